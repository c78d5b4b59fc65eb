"""One source of a version: its rows in the tables, and its light curves at each level."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal, TypeVar, overload

from retriever.api.frames import frame_of
from retriever.api.lightcurve import VersionLightcurve
from retriever.api.raw import raw_curves
from retriever.api.segments import Segments
from retriever.errors import ConfigError, NotMade, StoreError, nearest
from retriever.graph import GRAPH, LIGHTCURVE_PORT
from retriever.lightcurve import Lightcurve
from retriever.lightcurves import LightcurveSet
from retriever.rawbatch import unpack_raw
from retriever.rawtable import RawPhotometry, RawTable
from retriever.report.source_rows import product_rows, rows_of_source
from retriever.report.versions import VersionFolder
from retriever.schema import Tables
from retriever.scores import with_scores
from retriever.source import Source, decoded_aliases

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

__all__ = ["LEVELS", "Product", "SourceInVersion"]

Read = TypeVar("Read")

LEVELS = ("raw", "reduced", "detrended", "processed", "simulated")
"""Levels of light curves: as the survey gave them, uniform, as they were searched, with flags and scores, with
injections."""

_COLUMNS = {"name", "ra", "dec", "pmra", "pmdec", "parallax", "epoch", "mag", "mag_err", "band"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """What a stage made of a source.

    Attributes
    ----------
    observatory, stage
        Which survey and which stage.
    outcome, message
        What became of it, in a word; and why, where it failed.
    segment, row
        Where it lies; "" where it is nowhere.
    """

    observatory: str
    stage: str
    outcome: str
    message: str
    segment: str
    row: int


class SourceInVersion:
    """A source of a version; `retriever.api.version.Version.source` makes it.

    Parameters
    ----------
    folder, segments
        The version's folder, and the segments of the archive.
    name
        Name of the source.
    row, n
        Its row in the catalog, from 0, and the catalog's length.
    history
        What each stage made of it, where that is known already.
    """

    def __init__(
        self, folder: VersionFolder, segments: Segments, name: str, row: int, n: int,
        history: "tuple[Product, ...] | None" = None,
    ) -> None:  # fmt: skip
        self._folder, self._segments = folder, segments
        self.name = name
        self.row, self._n, self._history = row, n, history

    @cached_property
    def catalog(self) -> Source:
        """What the catalog says of the source, with all names that archives gave it."""
        with self._folder.open_table("sources") as file:
            first = group = 0
            while first + file.metadata.row_group(group).num_rows <= self.row:
                first += file.metadata.row_group(group).num_rows
                group += 1
            (row,) = file.read_row_group(group).slice(self.row - first, 1).to_pylist()
        aliases = decoded_aliases(row.pop("aliases", ""))
        row.pop("digest", None)
        own = {key: row.pop(key) for key in sorted(_COLUMNS & row.keys())}
        return Source(aliases=aliases, extra=row, **own)

    @cached_property
    def history(self) -> tuple[Product, ...]:
        """What each stage made of the source, in the order of the stages of each survey."""
        if self._history is not None:
            return self._history
        columns = ["observatory", "stage", "outcome", "message", "segment", "source_row"]
        rows = product_rows(self._folder, self.row, self._n, None, columns)
        return tuple(Product(row=row.pop("source_row"), **row) for row in rows)

    @property
    def observatories(self) -> tuple[str, ...]:
        """Surveys in which the source was looked for, by their names in the config."""
        return tuple(dict.fromkeys(product.observatory for product in self.history if product.observatory))

    def table(self, name: str) -> "pd.DataFrame":
        """Rows of the source in a table of the version.

        Raises
        ------
        StoreError
            When there is no such table, or the file is broken.
        """
        return frame_of(name, rows_of_source(self._folder, name, self.name))

    @property
    def detections(self) -> "pd.DataFrame":
        """Events that were found in its light curves."""
        return self.table("detections")

    @property
    def injections(self) -> "pd.DataFrame":
        """Simulated events in its light curves, and whether the search recovered them."""
        return self.table("injections")

    @property
    def properties(self) -> "pd.DataFrame":
        """Numbers that sum it up, in each survey."""
        return self.table("properties")

    @overload
    def lightcurves(
        self, level: Literal["reduced", "detrended", "processed", "simulated"] = ..., *,
        observatory: str | None = ..., missing: Callable[[NotMade], object] | None = ...,
    ) -> tuple[VersionLightcurve, ...]: ...  # fmt: skip
    @overload
    def lightcurves(
        self, level: Literal["raw"], *,
        observatory: str | None = ..., missing: Callable[[NotMade], object] | None = ...,
    ) -> tuple[RawTable, ...]: ...  # fmt: skip
    @overload
    def lightcurves(
        self, level: str, *, observatory: str | None = ..., missing: Callable[[NotMade], object] | None = ...
    ) -> tuple[VersionLightcurve, ...] | tuple[RawTable, ...]: ...

    def lightcurves(
        self, level: str = "processed", *,
        observatory: str | None = None, missing: Callable[[NotMade], object] | None = None,
    ) -> tuple[VersionLightcurve, ...] | tuple[RawTable, ...]:  # fmt: skip
        """The light curves of the source, in the order of surveys and numbers.

        Parameters
        ----------
        level
            "raw" for the tables that the survey gave; "reduced" for uniform light curves; "detrended" for light curves
            as they were searched, which are the reduced ones where nothing detrends or refines them; "processed" for
            those with the flags and scores of the search; "simulated" for light curves with injected events, which are
            made again by the code that made the version.
        observatory
            Only those of this survey, by its name in the config; of all where none is named.
        missing
            Is told, for each survey where a stage failed or was not run yet, why it has no light curves; they are then
            left out. Without it, that is an error.

        Returns
        -------
        tuple
            `retriever.api.lightcurve.VersionLightcurve` objects, of level "raw" `retriever.rawtable.RawTable`; none
            where the survey has no data of the source.

        Raises
        ------
        ConfigError
            When there is no such level or observatory.
        NotMade
            When a stage failed for the source or was not run yet, and nobody is to be told.
        StoreError
            When a file is missing.
        """
        if level not in LEVELS:
            raise ConfigError(f"there is no level {level!r}{nearest(level, LEVELS)}")
        if level == "raw":
            return tuple(table for _, table in self._of_surveys(self._raw, observatory, missing))
        return self._read(level, observatory, missing)

    def raw_curves(self, observatory: str | None = None) -> tuple[VersionLightcurve, ...]:
        """The raw tables as light curves to look at, on the survey's own clock, with each row that has a brightness.

        The column `dropped` says why the reducer dropped a row, and such rows are marked as bad, unless the present
        code reduces otherwise than that of the version did. Columns are found by the names that surveys use.

        Raises
        ------
        DataError
            When a table has no time and brightness by a name that is known.
        ConfigError, StoreError
            As for `lightcurves`.
        """
        return tuple(
            self._with_context(lightcurve, name, "raw")
            for name, lightcurve in self._of_surveys(self._raw_curves, observatory)
        )

    def _raw_curves(self, observatory: str) -> list[Lightcurve]:
        from retriever.api.regenerated import dropped_rows

        answer = self._answer(observatory)
        if answer is None:
            return []
        dropped = dropped_rows(self._folder, self._segments, observatory, self.catalog, answer)
        return raw_curves(answer.tables, dropped)

    def _surveys(self, observatory: str | None) -> tuple[str, ...]:
        names = self.observatories
        if observatory is not None and observatory not in names:
            raise ConfigError(f"{self._folder.name} has no observatory {observatory!r}{nearest(observatory, names)}")
        return names if observatory is None else (observatory,)

    def _of_surveys(
        self, read: Callable[[str], Sequence[Read]], observatory: str | None,
        missing: Callable[[NotMade], object] | None = None,
    ) -> Iterator[tuple[str, Read]]:  # fmt: skip
        """What is read of each survey, with its name."""
        for name in self._surveys(observatory):
            try:
                yield from ((name, each) for each in read(name))
            except NotMade as error:
                if missing is None:
                    raise
                missing(error)

    def _read(
        self, level: str, observatory: str | None, missing: Callable[[NotMade], object] | None = None
    ) -> tuple[VersionLightcurve, ...]:
        read = {"reduced": self._reduced, "detrended": self._detrended, "processed": self._processed,
                "simulated": self._simulated}[level]  # fmt: skip
        found = self._of_surveys(read, observatory, missing)
        return tuple(self._with_context(lightcurve, name, level) for name, lightcurve in found)

    def _with_context(self, lightcurve: Lightcurve, observatory: str, level: str) -> VersionLightcurve:
        return VersionLightcurve.with_context(
            lightcurve, source=self.name, observatory=observatory, level=level, version=self._folder.name,
            _detections=lambda: self.detections,
        )  # fmt: skip

    def plot(self, ax: "Axes | None" = None, *, level: str = "processed", observatory: str | None = None) -> "Axes":
        """Draw its light curves with their detections, and the injected events of the level "simulated".

        Those of several surveys are drawn on one axis, whatever their clocks; name an observatory to have one. At the
        level "raw", rows that were dropped are crossed, with the reason in the legend; see `raw_curves`.
        """
        from retriever.plots import plot_lightcurve

        if level not in LEVELS:
            raise ConfigError(f"there is no level {level!r}{nearest(level, LEVELS)}")
        curves = self.raw_curves(observatory) if level == "raw" else self._read(level, observatory)
        names = {lc.observatory for lc in curves}
        found = self.detections if level != "simulated" else self.injections
        rows = found[found["observatory"].isin(names)].to_dict("records")
        dropped = self.table("dropped")
        dropped = dropped[dropped["observatory"].isin(names)].groupby("reason", sort=True)["n_rows"].sum()
        crossed = Counter(why for lc in curves if level == "raw" for why in lc.extra["dropped"][lc.qflag].tolist())
        shown = {"injections": rows} if level == "simulated" else {"detections": rows}
        ax = plot_lightcurve(curves, ax, reasons=Counter(dropped.to_dict()) - crossed, **shown)
        ax.set_title(f"{self.name}, {level}", fontsize="medium")
        return ax

    # ---- levels ------------------------------------------------------------------------------------------------

    def _of_survey(self, observatory: str) -> dict[str, Product]:
        return {product.stage: product for product in self.history if product.observatory == observatory}

    def _made(self, observatory: str, stage: str) -> Product | None:
        """What a stage made; None where there was nothing to make it from."""
        product = self._of_survey(observatory).get(stage)
        if product is None:
            raise StoreError(f"{self._folder.name} has no stage {stage!r} of {observatory}; see version.products")
        if product.outcome in ("failed", "blocked", "pending"):
            of_survey = self._of_survey(observatory).values()
            failed = next((each for each in of_survey if each.outcome == "failed"), product)
            why = f", for {failed.stage} failed" if failed is not product else ""
            why += f" ({failed.message})" if failed.message else ""
            raise NotMade(
                f"{self.name} has no product of stage {stage!r} of {observatory}: it is {product.outcome}{why}; "
                "run the version again, or name another observatory"
            )
        return product if product.segment and product.outcome == "done" else None

    def _tables(self, product: Product, port: str) -> Tables:
        tables = GRAPH[product.stage].port(port).tables
        return self._segments.product(product.segment, product.row, tables)

    def _raw(self, observatory: str) -> tuple[RawTable, ...]:
        answer = self._answer(observatory)
        return () if answer is None else answer.tables

    def _answer(self, observatory: str) -> RawPhotometry | None:
        product = self._made(observatory, "download")
        if product is None:
            return None
        (answer,) = unpack_raw(self._tables(product, "raw"), [0])
        return answer

    def _searched(self, observatory: str) -> tuple[Product, Tables] | None:
        """The product with the light curves that were searched: that of the latest such stage before the search.

        What the search got has not failed; where nothing was searched, a stage that failed may have been the one.
        """
        stages = list(self._of_survey(observatory).values())
        names = [product.stage for product in stages]
        search = names.index("analyze") if "analyze" in names else len(names)
        got = search < len(names) and stages[search].outcome not in ("blocked", "pending")
        for product in reversed(stages[:search]):
            if not got:
                self._made(observatory, product.stage)
            if product.segment:
                tables = self._segments.product(product.segment, product.row, LIGHTCURVE_PORT.tables)
                if "lightcurves" in tables:
                    return product, tables
        return None

    def _reduced(self, observatory: str) -> tuple[Lightcurve, ...]:
        product = self._made(observatory, "reduce")
        if product is None:
            return ()
        return LightcurveSet.read(self._tables(product, "lightcurves")).objects(1)[0]

    def _detrended(self, observatory: str) -> tuple[Lightcurve, ...]:
        searched = self._searched(observatory)
        return LightcurveSet.read(searched[1]).objects(1)[0] if searched else ()

    def _processed(self, observatory: str) -> tuple[Lightcurve, ...]:
        searched = self._searched(observatory)
        scored = self._made(observatory, "analyze") if searched else None
        if searched is None or scored is None:
            return ()
        _, processed = with_scores(searched[1], self._tables(scored, "scores"))
        return processed.objects(1)[0]

    def _simulated(self, observatory: str) -> tuple[Lightcurve, ...]:
        from retriever.api.regenerated import simulated_again

        if self._made(observatory, "simulate") is None:
            return ()
        searched, scored = self._searched(observatory), self._made(observatory, "analyze")
        taken = (self._made(observatory, "reduce"), searched[0] if searched else None, scored)
        products: Mapping[str, Product] = {product.stage: product for product in taken if product is not None}
        places = {stage: (product.segment, product.row) for stage, product in products.items()}
        return simulated_again(self._folder, self._segments, observatory, self.catalog, places)

    def __repr__(self) -> str:
        stages: dict[str, list[str]] = {}
        for product in self.history:
            stages.setdefault(product.observatory or "all surveys", []).append(f"{product.stage} {product.outcome}")
        made = "; ".join(f"{name}: {', '.join(words)}" for name, words in stages.items())
        return f"<Source {self.name} of {self._folder.name}: {made}>"
