"""What a run is made of: its components, and the keys that say what their products stand on."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from retriever import verbs
from retriever.fingerprint import code_of, definition_of
from retriever.identity import canonical_hash
from retriever.outcome import STAGES
from retriever.store.batch import StageSpec
from retriever.store.segments import safe_name

__all__ = ["DATA_TYPE", "Recipe", "Survey", "definitions_of", "describe"]

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
        """Hash of each definition that a stage reaches beside those of the stages above, by observatory and stage."""
        later = {"analyze": (self.analysis, self.quality, self.finder), "simulate": (self.simulator,)}
        shared = {stage: _code_of_stage(stage, parts) for stage, parts in later.items()}
        return {
            name: {"reduce": _code_of_stage("reduce", (survey.reducer,)), **shared}
            for name, survey in self.surveys.items()
        }

    def _stories_of(self, name: str, survey: Survey) -> dict[str, dict[str, Any]]:
        request = describe(survey.observatory)["fields"]
        code = {stage: canonical_hash(hashes) for stage, hashes in self.code[name].items()}
        download = {"data_type": DATA_TYPE, "survey": survey.observatory.survey, "request": request}
        reduce = {
            "stage": "reduce",
            "observatory": name,
            "reducer": describe(survey.reducer),
            "code": code["reduce"],
            "upstream": canonical_hash(download),
        }
        analyze = {
            "stage": "analyze",
            "analysis": describe(self.analysis),
            "quality": describe(self.quality),
            "finder": describe(self.finder),
            "code": code["analyze"],
            "upstream": canonical_hash(reduce),
        }
        simulate = {
            "stage": "simulate",
            "simulator": describe(self.simulator),
            "seed": self.seed,
            "code": code["simulate"],
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


def _code_of_stage(stage: str, components: Iterable[Any]) -> dict[str, str]:
    roots = [root for component in components for root in definitions_of(component)]
    return code_of(f"retriever.stages.{stage}:{stage}", *roots)


def definitions_of(component: Any) -> list[str]:
    """The class of a component, and those of the components in its fields, as roots of a fingerprint.

    Examples
    --------
    >>> from retriever.simulators.box import BoxSimulator
    >>> definitions_of(BoxSimulator())
    ['retriever.simulators.box:BoxSimulator', 'retriever.simulators.distribution:Distribution']
    """
    roots: dict[str, None] = {}
    waiting = [component]
    while waiting:
        value = waiting.pop(0)
        if is_dataclass(value) and not isinstance(value, type):
            roots[definition_of(type(value))] = None
            waiting += [getattr(value, spec.name) for spec in fields(value) if spec.metadata.get("result", True)]
        elif isinstance(value, Mapping):
            waiting += value.values()
        elif isinstance(value, list | tuple):
            waiting += value
    return [*roots]


def describe(component: Any) -> dict[str, Any]:
    """A component as plain data: its class, and the fields that can change a result.

    Examples
    --------
    >>> from retriever.quality.standard import StandardQuality
    >>> describe(StandardQuality(max_offset=5.0))
    {'class': 'retriever.quality.standard.StandardQuality', 'fields': {'use_flags': True, 'max_offset': 5.0}}
    """
    kind = type(component)
    return {
        "class": f"{kind.__module__}.{kind.__qualname__}",
        "fields": {
            spec.name: _plain(getattr(component, spec.name))
            for spec in fields(component)
            if spec.metadata.get("result", True)
        },
    }


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return describe(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    return value
