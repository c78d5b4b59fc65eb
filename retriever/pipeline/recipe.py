"""What a run is made of: its components, and the keys that say what their products stand on."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from retriever import verbs
from retriever.fingerprint import code_of, fingerprint
from retriever.identity import canonical_hash
from retriever.outcome import STAGES
from retriever.store.batch import StageSpec
from retriever.store.segments import safe_name
from retriever.verbs import describe

__all__ = ["DATA_TYPE", "Recipe", "Survey", "describe"]

DATA_TYPE = "photometry"


@dataclass(frozen=True, kw_only=True)
class Survey:
    """One observatory of a run with its reducer."""

    observatory: verbs.Observatory
    reducer: verbs.Reducer


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """All that the products of a run depend on, but for the sources.

    Attributes
    ----------
    surveys
        Observatory and reducer by the name they have in the config.
    quality, finder, analysis, simulator
        The other components.
    seed
        ``project.seed``.
    data, outputs
        The two roots on disk; no key depends on them.
    """

    surveys: Mapping[str, Survey]
    quality: verbs.Quality
    finder: verbs.Finder
    analysis: verbs.Analysis
    simulator: verbs.Simulator
    seed: int
    data: Path
    outputs: Path

    @cached_property
    def stories(self) -> dict[str, dict[str, dict[str, Any]]]:
        """What goes into the key of each stage, by observatory and stage; plain data."""
        return {name: self._stories_of(name, survey) for name, survey in self.surveys.items()}

    @cached_property
    def specs(self) -> dict[str, dict[str, StageSpec]]:
        """Each observatory's stages with their keys."""
        return {
            name: {
                stage: StageSpec(
                    key=canonical_hash(story),
                    stage=stage,
                    observatory=name,
                    survey=self.surveys[name].observatory.survey,
                    data_type=DATA_TYPE,
                )
                for stage, story in stories.items()
            }
            for name, stories in self.stories.items()
        }

    @cached_property
    def code(self) -> dict[str, dict[str, dict[str, str]]]:
        """Hash of each module that a stage stands on beside those of the stages above, by observatory and stage."""
        search = (self.analysis, self.quality, self.finder)
        modules = {"analyze": [type(part).__module__ for part in search], "simulate": [type(self.simulator).__module__]}
        return {
            name: {
                stage: code_of(f"retriever.stages.{stage}", *names)
                for stage, names in {"reduce": [type(survey.reducer).__module__], **modules}.items()
            }
            for name, survey in self.surveys.items()
        }

    def _stories_of(self, name: str, survey: Survey) -> dict[str, dict[str, Any]]:
        # what is asked for each source is in the input of its raw product; see retriever.observatories.requests
        download = {"data_type": DATA_TYPE, "survey": survey.observatory.survey}
        reduce = {
            "stage": "reduce",
            "observatory": name,
            "reducer": describe(survey.reducer),
            "code": fingerprint("retriever.stages.reduce", type(survey.reducer).__module__),
            "upstream": canonical_hash(download),
        }
        search = (self.analysis, self.quality, self.finder)
        analyze = {
            "stage": "analyze",
            "analysis": describe(self.analysis),
            "quality": describe(self.quality),
            "finder": describe(self.finder),
            "code": fingerprint("retriever.stages.analyze", *(type(part).__module__ for part in search)),
            "upstream": canonical_hash(reduce),
        }
        simulate = {
            "stage": "simulate",
            "simulator": describe(self.simulator),
            "seed": self.seed,
            "code": fingerprint("retriever.stages.simulate", type(self.simulator).__module__),
            "upstream": canonical_hash(analyze),
        }
        return dict(zip(STAGES, (download, reduce, analyze, simulate), strict=True))

    @property
    def roots(self) -> dict[str, Path]:
        """The two roots on disk by what segments and the database call them."""
        return {"data": self.data, "outputs": self.outputs}

    @staticmethod
    def root_word(stage: str) -> str:
        """What the root that segments of a stage lie below is called."""
        return "data" if stage == "download" else "outputs"

    def root(self, stage: str) -> Path:
        """The root on disk that segments of a stage lie below."""
        return self.roots[self.root_word(stage)]

    def folder(self, spec: StageSpec) -> str:
        """Folder of a stage's segments below its root."""
        if spec.stage == "download":
            return f"{safe_name(spec.survey)}/{DATA_TYPE}"
        return f".stages/{spec.stage}/{spec.key[:12]}"
