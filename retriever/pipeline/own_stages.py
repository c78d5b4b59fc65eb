"""Stages that a project adds in its config: group `stages`, by name."""

from collections.abc import Mapping

from retriever.config import build
from retriever.errors import ConfigError, nearest
from retriever.graph import GRAPH, Graph, imported_stage

__all__ = ["build_stages"]

_KEYS = ("stage", "after", "component")


def build_stages(nodes: Mapping[str, object]) -> tuple[Graph, dict[str, object]]:
    """The graph with a project's own stages, and their components by the name of the stage.

    Parameters
    ----------
    nodes
        Name to a mapping of ``stage`` (a module's name and that of its `Stage`), ``after`` (the name of the stage
        before) and ``component`` (a ``_target_`` with its parameters; may be left out).

    Raises
    ------
    ConfigError
        When a stage cannot be imported or does not fit.
    """
    graph, own = GRAPH, {}
    for name, node in nodes.items():
        where = f"stages.{name}"
        if not isinstance(node, Mapping) or not all(isinstance(node.get(key), str) for key in ("stage", "after")):
            raise ConfigError(f"{where} needs stage=MODULE.NAME and after=STAGE")
        for key in node:
            if key not in _KEYS:
                raise ConfigError(f"{where} has no parameter {key!r}{nearest(str(key), _KEYS)}")
        stage = imported_stage(node["stage"])
        if stage.name != name:
            raise ConfigError(
                f"{where}.stage is {node['stage']}, which calls itself {stage.name!r}; use that as its key"
            )
        graph = graph.with_stage(stage, node["after"])
        if node.get("component") is not None:
            own[name] = build(node["component"], "", f"{where}.component")
    return graph, own
