"""The stages of a run, declared in one place. Keys, plan, tables, archives, counts and help are derived from here.

A stage takes *ports* (kinds of products) and gives ports. It gets a port from the latest stage before it that gives it,
so a stage can be inserted between others: one that takes and gives light curves comes between reduction and search,
and neither of these changes.

What a stage works on is its *unit*:

- ``("source", "survey")``: each source in each survey by itself;
- ``("source",)``: each source, with all surveys that have data of it;
- ``("survey", "night")`` (or ``"sector"``, or any other word): groups of sources. A stage before it, the one that gives
  the port `members`, says in a table with the column `group` to which groups each source belongs. The stage gets all
  products of the sources of a group; stages of sources that take what it gives get that of all groups a source is in.

A project adds stages of its own in its config (group `stages`; see docs/add-a-stage.md).
"""

import importlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from retriever.batch import Batch, Components, Made
from retriever.detection import DETECTIONS, INJECTIONS, PROPERTIES
from retriever.errors import ConfigError, nearest
from retriever.lightcurves import LIGHTCURVES
from retriever.schema import Table
from retriever.stages import analyze, detrend, download, reduce, scramble, simulate

__all__ = ["GRAPH", "LIGHTCURVE_PORT", "NAME", "Graph", "Port", "Stage", "imported_stage"]

NAME = re.compile(r"[a-z][a-z0-9_]{0,40}")
"""Names of stages and tables, which name folders, files and tables of the database."""


@dataclass(frozen=True, kw_only=True)
class Port:
    """A kind of product.

    Attributes
    ----------
    name
        What stages call it.
    tables
        The tables that hold it in a segment; a name that ends in ``*`` means all tables with this prefix.
    """

    name: str
    tables: tuple[str, ...]


def never(components: Components) -> bool:
    """The stage always does something, whatever its components."""
    return False


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One stage.

    Attributes
    ----------
    name
        Its name, a word of lower-case letters.
    run
        Takes the components of a survey and a batch, gives what was made.
    unit
        What it works on; see this module's docstring.
    inputs
        Names of the ports it takes.
    outputs
        The ports it gives.
    tables
        Tables among its products that have a row a source, a light curve or an event. The database and the version
        folders have them too.
    groups
        Names of the components that it uses, which enter its key.
    members
        For stages of groups, the port that says which sources are in each.
    root
        Below which root its segments lie: "data" or "outputs".
    seeded
        Whether its products depend on ``project.seed``.
    is_identity
        Whether it changes nothing with some components; it is then left out, also from the keys.
    version
        Covers what is not visible in the code of `run`, such as data files that it reads: increase it when they change.
    target
        Module and name that it is imported by, for a stage of a project's own.
    """

    name: str
    run: Callable[[Components, Batch], Made]
    unit: tuple[str, ...] = ("source", "survey")
    inputs: tuple[str, ...] = ()
    outputs: tuple[Port, ...] = ()
    tables: tuple[Table, ...] = ()
    groups: tuple[str, ...] = ()
    members: str = ""
    root: str = "outputs"
    seeded: bool = False
    is_identity: Callable[[Components], bool] = never
    version: str = ""
    target: str = ""

    def __reduce__(self) -> tuple[Callable[[str], "Stage"], tuple[str]]:
        """Workers import a stage by its name, so its functions need not be picklable."""
        return (imported_stage, (self.target,)) if self.target else (built_in_stage, (self.name,))

    def __post_init__(self) -> None:
        for name in (self.name, *(table.name for table in self.tables)):
            if not NAME.fullmatch(name):
                raise ConfigError(f"stage or table {name!r} needs a name of up to 41 letters a-z, digits and '_'")
        if "<" in getattr(self.run, "__qualname__", "<"):
            raise ConfigError(
                f"stage {self.name!r} needs a function of the top level of a module, whose code can be traced"
            )
        if self.is_of_groups != bool(self.members) or (self.members and self.members not in self.inputs):
            raise ConfigError(
                f"stage {self.name!r} must name the port of its members among its inputs if it is of groups"
            )

    @property
    def is_of_groups(self) -> bool:
        """Whether it works on groups of sources."""
        return "source" not in self.unit

    @property
    def joins_surveys(self) -> bool:
        """Whether it works on a source in all surveys at once."""
        return self.unit == ("source",)

    @property
    def gives(self) -> tuple[str, ...]:
        """Names of the ports it gives."""
        return tuple(port.name for port in self.outputs)

    def port(self, name: str) -> Port:
        """One of the ports it gives."""
        return next(port for port in self.outputs if port.name == name)


def built_in_stage(name: str) -> Stage:
    """One of retriever's own stages."""
    return GRAPH[name]


def imported_stage(target: str) -> Stage:
    """A project's stage by its module and name.

    Raises
    ------
    ConfigError
        When it cannot be imported, or is no stage.
    """
    module_name, _, name = target.rpartition(".")
    try:
        stage = getattr(importlib.import_module(module_name), name, None)
    except Exception as error:  # a user's module may raise anything
        raise ConfigError(
            f"cannot import the stage {target!r} ({type(error).__name__}: {error}); "
            "put its module into the current folder or install it"
        ) from error
    if not isinstance(stage, Stage):
        raise ConfigError(f"{target} is not a retriever.graph.Stage; name one with its module")
    return replace(stage, target=target)


@dataclass(frozen=True)
class Graph:
    """Stages in an order in which each comes after those it takes from."""

    stages: tuple[Stage, ...]

    def __iter__(self) -> Iterator[Stage]:
        return iter(self.stages)

    def __getitem__(self, name: str) -> Stage:
        for stage in self.stages:
            if stage.name == name:
                return stage
        raise ConfigError(f"there is no stage {name!r}{nearest(name, self.names)}")

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the stages, upstream first."""
        return tuple(stage.name for stage in self.stages)

    @property
    def tables(self) -> tuple[Table, ...]:
        """Declared tables of all stages."""
        return tuple(table for stage in self.stages for table in stage.tables)

    def declares(self, table: Table) -> bool:
        """Whether one of the stages has a table of this name."""
        return table.name in {own.name for own in self.tables}

    def producers(self, stage: Stage) -> dict[str, Stage]:
        """The stage that gives each input of a stage.

        Raises
        ------
        ConfigError
            When no stage before it gives one of them.
        """
        before = self.stages[: self.stages.index(stage)]
        producers: dict[str, Stage] = {}
        for port in stage.inputs:
            giving = [other for other in before if port in other.gives]
            if not giving:
                raise ConfigError(f"stage {stage.name!r} takes {port!r}, which no stage before it gives")
            producers[port] = giving[-1]
        return producers

    def upstream(self, stage: Stage) -> tuple[Stage, ...]:
        """The stages that a stage takes from, each once, in their order."""
        taken = self.producers(stage).values()
        return tuple(other for other in self.stages if other in taken)

    def with_stage(self, stage: Stage, after: str) -> "Graph":
        """A graph with one stage more, after a named one.

        Raises
        ------
        ConfigError
            When a stage or one of its tables has a name that is taken.
        """
        taken = {*self.names, *(table.name for table in self.tables), *_OWN_TABLES}
        for name in (stage.name, *(table.name for table in stage.tables)):
            if name in taken:
                raise ConfigError(f"stage {stage.name!r} cannot use the name {name!r}, which is taken; choose another")
        at = self.stages.index(self[after]) + 1
        graph = Graph((*self.stages[:at], stage, *self.stages[at:]))
        for other in graph:
            graph.producers(other)
        return graph

    def without_identities(self, components: Components) -> "Graph":
        """The graph without the stages that change nothing with these components."""
        return Graph(tuple(stage for stage in self.stages if not stage.is_identity(components)))


_OWN_TABLES = ("sources", "products", "segments", "stages", "versions", "version_stages", "runs", "leases", "meta")
"""Names that the database and version folders use themselves."""

RAW = Port(name="raw", tables=("raw_index", "raw", "headers", "rows*"))
LIGHTCURVE_PORT = Port(name="lightcurves", tables=("lightcurves", "epochs*"))
REDUCED = Port(name="reduced", tables=LIGHTCURVE_PORT.tables)
"""Light curves as they were reduced, for stages that need them beside those that the stages between have changed."""

DROPPED_PORT = Port(name="dropped", tables=("dropped",))
SCORES = Port(name="scores", tables=("scored", "scores*"))
DETECTION_PORT = Port(name="detections", tables=("detections",))
PROPERTY_PORT = Port(name="properties", tables=("properties", "properties.units"))
FALSE_ALARM_PORT = Port(name="false_alarms", tables=("false_alarms",))
INJECTION_PORT = Port(name="injections", tables=("injections", "simulated_lightcurves", "simulated_epochs*"))

GRAPH = Graph(
    (
        Stage(
            name="download",
            run=download.run,
            outputs=(RAW,),
            tables=(download.RAW_INDEX,),
            groups=("observatory",),
            root="data",
        ),
        Stage(
            name="reduce",
            run=reduce.run,
            inputs=("raw",),
            outputs=(LIGHTCURVE_PORT, REDUCED, DROPPED_PORT),
            tables=(LIGHTCURVES, reduce.DROPPED),
            groups=("reducer",),
        ),
        Stage(
            name="detrend",
            run=detrend.run,
            inputs=("lightcurves",),
            outputs=(LIGHTCURVE_PORT,),
            groups=("detrend",),
            is_identity=detrend.is_none,
        ),
        Stage(
            name="analyze",
            run=analyze.run,
            inputs=("lightcurves",),
            outputs=(SCORES, DETECTION_PORT, PROPERTY_PORT),
            tables=(DETECTIONS, PROPERTIES),
            groups=("analysis", "quality", "finder"),
        ),
        Stage(
            name="scramble",
            run=scramble.run,
            inputs=("lightcurves", "scores", "detections"),
            outputs=(FALSE_ALARM_PORT,),
            tables=(scramble.FALSE_ALARMS,),
            groups=("scrambler",),
            seeded=True,
            is_identity=scramble.is_none,
        ),
        Stage(
            name="simulate",
            run=simulate.run,
            inputs=("reduced", "lightcurves", "scores", "detections"),
            outputs=(INJECTION_PORT,),
            tables=(INJECTIONS,),
            groups=("simulator",),
            seeded=True,
        ),
    )
)
"""The stages of every run; a project may add its own."""
