"""What a run is made of: its components, and the keys that say what its products depend on."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from functools import cached_property
from pathlib import Path

from retriever import interfaces
from retriever.batch import Components
from retriever.fingerprint.code_hashes import code_of, definition_of
from retriever.graph import GRAPH, Graph, Stage
from retriever.histogram import Histograms
from retriever.identity import canonical_hash
from retriever.interfaces import describe
from retriever.store.batch import StageSpec
from retriever.store.files import safe_name

__all__ = ["DATA_TYPE", "JOINT", "Recipe", "Survey", "definitions_of", "describe"]

DATA_TYPE = "photometry"

JOINT = ""
"""Used instead of the name of an observatory for stages that join surveys."""


@dataclass(frozen=True, kw_only=True)
class Survey:
    """One observatory of a run with its reducer."""

    observatory: interfaces.Observatory
    reducer: interfaces.Reducer


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything that the products of a run depend on, except the sources.

    Attributes
    ----------
    surveys
        Observatory and reducer by the name they have in the config.
    search
        The components that all surveys share, by group: detrend, quality, finder, analysis, simulator.
    seed
        ``project.seed``.
    data, outputs
        The two roots on disk; no key depends on them.
    graph
        The stages, those of the project included.
    own
        Components of the project's stages, by the name of the stage.
    histograms
        Axes of the histograms; no key depends on them, since segments hold no counts.
    """

    surveys: Mapping[str, Survey]
    search: Components
    seed: int
    data: Path
    outputs: Path
    graph: Graph = GRAPH
    own: Mapping[str, object] = field(default_factory=dict)
    histograms: Histograms = field(default_factory=Histograms)

    def components(self, observatory: str) -> Components:
        """The components by group: those of one survey, or those for stages that join surveys."""
        if observatory == JOINT:
            return {**self.search, **self.own, "histograms": self.histograms}
        survey = self.surveys[observatory]
        own = {"observatory": survey.observatory, "reducer": survey.reducer, **self.own}
        return {**self.search, **own, "histograms": self.histograms}

    @cached_property
    def stages(self) -> Graph:
        """The stages that do something."""
        first = next(iter(self.surveys))
        return self.graph.without_identities(self.components(first))

    def observatories(self, stage: Stage) -> tuple[str, ...]:
        """For which observatories there is a stage; `JOINT` for one that joins them."""
        return (JOINT,) if stage.joins_surveys else tuple(self.surveys)

    def nodes(self) -> Iterator[tuple[str, Stage]]:
        """All stages of all observatories, upstream first."""
        for stage in self.stages:
            for name in self.observatories(stage):
                yield name, stage

    def upstream(self, observatory: str, stage: Stage) -> list[tuple[str, Stage]]:
        """The observatories and stages that a stage of an observatory takes from."""
        nodes = []
        for other in self.stages.upstream(stage):
            names = self.observatories(other) if stage.joins_surveys or other.joins_surveys else (observatory,)
            nodes += [(name, other) for name in names]
        return nodes

    @cached_property
    def manifests(self) -> dict[str, dict[str, dict[str, object]]]:
        """What goes into the key of each stage, by observatory and stage; plain data."""
        manifests: dict[str, dict[str, dict[str, object]]] = {}
        for name, stage in self.nodes():
            upstream = {
                f"{other_name} {other.name}".strip(): canonical_hash(manifests[other_name][other.name])
                for other_name, other in self.upstream(name, stage)
            }
            manifests.setdefault(name, {})[stage.name] = self._manifest(name, stage, upstream)
        return manifests

    def _manifest(self, name: str, stage: Stage, upstream: Mapping[str, str]) -> dict[str, object]:
        components = self.components(name)
        used = {group: describe(components[group]) for group in stage.groups if group in components}
        if stage.root == "data":  # without the code, so that a change of code asks no archive again
            # what is asked for each source is in the input of its raw product; see retriever.observatories.requests
            return {"data_type": DATA_TYPE, "survey": self.surveys[name].observatory.survey}
        manifest: dict[str, object] = {
            "stage": stage.name,
            "components": used,
            "code": canonical_hash(self.code[name][stage.name]),
            "upstream": dict(upstream),
        }
        if stage.target:  # of a project; retriever's own tables have defaults for columns that come later
            manifest["tables"] = [table.signature for table in stage.tables]
        if stage.version:
            manifest["version"] = stage.version
        if not stage.joins_surveys and "raw" in stage.inputs:
            manifest["observatory"] = name
        return {**manifest, "seed": self.seed} if stage.seeded else manifest

    def _definitions(self, name: str, stage: Stage) -> list[str]:
        """Where the code of a stage is: its function, and the classes of the components it uses."""
        components = self.components(name)
        roots = [definition_of(stage.run)]
        for group in stage.groups:
            if group in components:
                roots += definitions_of(components[group])
        return list(dict.fromkeys(roots))

    @cached_property
    def specs(self) -> dict[str, dict[str, StageSpec]]:
        """Each observatory's stages with their keys."""
        return {
            name: {
                stage: StageSpec(
                    key=canonical_hash(manifest),
                    stage=stage,
                    observatory=name,
                    survey=self.surveys[name].observatory.survey if name in self.surveys else "",
                    data_type=DATA_TYPE,
                )
                for stage, manifest in manifests.items()
            }
            for name, manifests in self.manifests.items()
        }

    @cached_property
    def code(self) -> dict[str, dict[str, dict[str, str]]]:
        """Hash of each definition that a stage can reach, by observatory and stage."""
        hashes: dict[str, dict[str, dict[str, str]]] = {}
        known: dict[tuple[str, ...], dict[str, str]] = {}
        for name, stage in self.nodes():
            if stage.root != "data":
                roots = tuple(self._definitions(name, stage))
                if roots not in known:
                    known[roots] = code_of(*roots, versioned=roots[:1] if stage.version else ())
                hashes.setdefault(name, {})[stage.name] = known[roots]
        return hashes

    @property
    def roots(self) -> dict[str, Path]:
        """The two roots on disk by what segments and the database call them."""
        return {"data": self.data, "outputs": self.outputs}

    def root(self, stage: str) -> Path:
        """The root on disk that segments of a stage lie below."""
        return self.roots[self.stages[stage].root]

    def folder(self, spec: StageSpec) -> str:
        """Folder of a stage's segments below its root."""
        if self.stages[spec.stage].root == "data":
            return f"{safe_name(spec.survey)}/{DATA_TYPE}"
        return f".stages/{spec.stage}/{spec.key[:12]}"


def definitions_of(component: object) -> list[str]:
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
