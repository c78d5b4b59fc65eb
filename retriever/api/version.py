"""One version of a search, opened for reading: its tables, its config, its sources."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retriever.api.frames import frame_of
from retriever.api.segments import Segments
from retriever.api.source import LEVELS, Product, SourceInVersion
from retriever.errors import ConfigError, StoreError, nearest
from retriever.report.source_rows import all_product_rows, name_of_alias, place_in_catalog
from retriever.report.versions import VersionFolder, declared_defaults

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr
    from dask.dataframe import DataFrame
    from mocpy import MOC

    from retriever.api.candidates import Candidates
    from retriever.api.completeness import Completeness
    from retriever.config import Config
    from retriever.exports.skyportal import SkyPortal

__all__ = ["Version"]

_PRODUCT = ("observatory", "stage", "outcome", "message", "segment", "source_row")

_MANY = 5000
"""Catalogs longer than this are not looked through for a name that is close to a wrong one."""

_LISTED = 10
"""Names of more sources than this are not listed in a message."""


class Version:
    """A version, read from its folder alone; each table is read anew whenever it is asked for.

    Parameters
    ----------
    folder
        The version's folder.
    data
        The data folder.

    Examples
    --------
    >>> Version(VersionFolder(Path("outputs/DEMO_79edd068693d")), Path("data")).name
    'DEMO_79edd068693d'
    """

    def __init__(self, folder: VersionFolder, data: Path) -> None:
        self._folder = folder
        self._segments = Segments(folder.folder.parent, data)

    @property
    def name(self) -> str:
        """Name of the version."""
        return self._folder.name

    @property
    def folder(self) -> Path:
        """Folder of the version."""
        return self._folder.folder

    @property
    def manifest(self) -> Mapping[str, Any]:
        """What ``version.json`` says: the hash and its inputs, commits, when and in which environment it was made.

        Raises
        ------
        StoreError
            When it is missing or broken.
        """
        return self._folder.manifest

    @cached_property
    def config(self) -> "Config":
        """The config that the version was made with; values by key or by attribute, as OmegaConf has them.

        Raises
        ------
        ConfigError
            When it is missing or broken.
        """
        from retriever.config import load_frozen

        return load_frozen(self.folder / "config.yaml")

    @property
    def surveys(self) -> Mapping[str, str]:
        """Name of the survey of each observatory of the config."""
        return self._folder.surveys

    @property
    def has_tables(self) -> bool:
        """Whether a run has written its tables."""
        return self._folder.has_tables

    def report(self, path: Path | None = None, *, best: int = 8) -> Path:
        """Write a page with all that matters of the version into one HTML file; gives its path.

        Parameters
        ----------
        path
            The file; ``report.html`` in the version's folder where none is given.
        best
            Number of detections that are shown with their light curves.

        Raises
        ------
        StoreError
            When the version has no tables, or the file cannot be written.
        """
        from retriever.pages.report import write_report

        return write_report(self, path, best=best)

    def export(
        self,
        target: Path | str,
        kind: str,
        *,
        tables: Sequence[str] = (),
        sources: Sequence[str] | None = None,
        level: str = "processed",
        skyportal: "SkyPortal | None" = None,
    ) -> list[Path]:
        """Write the version in a format of other tools; see `retriever.exports.export.export`."""
        from retriever.exports.export import export

        return export(self, Path(target), kind, tables=tables, sources=sources, level=level, skyportal=skyportal)

    @property
    def tables(self) -> tuple[str, ...]:
        """Names of the tables that `table` reads."""
        return tuple(sorted(path.stem for path in self.folder.glob("*.parquet")))

    def table(self, name: str, columns: Sequence[str] | None = None) -> "pd.DataFrame":
        """A table of the version.

        Parameters
        ----------
        name
            Name of the table, as in `tables`.
        columns
            Columns to read; all where none are named.

        Returns
        -------
        pandas.DataFrame
            The table; ``attrs["units"]`` has the units of its columns.

        Raises
        ------
        StoreError
            When there is no such table or column, or the file is broken.
        """
        self._refuse_unknown(name)
        with self._folder.open_table(name) as file:
            stored = file.schema_arrow.names
            if columns is None:
                return frame_of(name, file.read())
            known = {*stored, *declared_defaults(name, None, dict.fromkeys(stored), 0)}
            for column in columns:
                if column not in known:
                    raise StoreError(f"table {name!r} of {self.name} has no column {column!r}{nearest(column, known)}")
            return frame_of(name, file.read(columns=[key for key in columns if key in stored]), list(columns))

    def to_dask(self, name: str = "detections", columns: Sequence[str] | None = None) -> "DataFrame":
        """A table as a partitioned frame of dask, which is read piece by piece when it is computed.

        Parameters
        ----------
        name
            Name of the table, as in `tables`.
        columns
            Columns to read; all where none are named.

        Raises
        ------
        ConfigError
            When dask is not installed.
        StoreError
            When there is no such table, or the file is broken.
        """
        from retriever.api.partitioned import table_in_parts

        self._refuse_unknown(name)
        return table_in_parts(self.folder, name, columns)

    def to_nested(
        self, *, level: str = "processed", sources: Sequence[str] | None = None, sources_per_partition: int = 10_000
    ) -> "DataFrame":
        """Light curves as a partitioned frame of dask: a row a source, its epochs nested in the column `lightcurve`.

        Each partition, and the whole when it is computed, is a `nested_pandas.NestedFrame`. Workers read the segments,
        so that they need the same folders.

        Parameters
        ----------
        level
            Level of the light curves; not "raw".
        sources
            Names of the sources; all where none are named.
        sources_per_partition
            Number of sources of each partition.

        Raises
        ------
        ConfigError
            When there is no such level, or dask or nested-pandas is not installed.
        """
        from retriever.api.partitioned import lightcurves_in_parts

        if level not in LEVELS or level == "raw":
            raise ConfigError(f"level is {level!r}; what can be nested is {', '.join(LEVELS[1:])}")
        return lightcurves_in_parts(self, self._segments.data, level, sources, sources_per_partition)

    def moc(self, order: int = 10) -> "MOC":
        """The part of the sky that the catalog covers, as a `mocpy.MOC`.

        Parameters
        ----------
        order
            Of the smallest cells: 3.4 arcmin at 10, 0.9 degrees at 6.

        Raises
        ------
        ConfigError
            When mocpy is not installed, or there is no such order.
        """
        from retriever.exports.moc import moc_of

        return moc_of(self, order)

    def _refuse_unknown(self, name: str) -> None:
        if name not in self.tables:
            hint = nearest(name, self.tables) or "; a run writes them when it ends"
            raise StoreError(f"{self.name} has no table {name!r}{hint}")

    @property
    def sources(self) -> "pd.DataFrame":
        """The catalog: a row a source."""
        return self.table("sources")

    @property
    def lightcurves(self) -> "pd.DataFrame":
        """What is known of each light curve, without its epochs."""
        return self.table("lightcurves")

    @property
    def detections(self) -> "pd.DataFrame":
        """Events that were found."""
        return self.table("detections")

    @property
    def injections(self) -> "pd.DataFrame":
        """Simulated events, and whether the search recovered them."""
        return self.table("injections")

    @property
    def properties(self) -> "pd.DataFrame":
        """Numbers that sum up each source in each survey."""
        return self.table("properties")

    @property
    def products(self) -> "pd.DataFrame":
        """What became of each source in each stage."""
        return self.table("products")

    @property
    def thresholds(self) -> "pd.DataFrame":
        """Purity and completeness by the least S/N of a detection."""
        return self.table("thresholds")

    def completeness(self, *by: str, bins: int = 6, threshold: float = 0.0) -> "Completeness":
        """Completeness and rates in bins of injected quantities.

        Parameters
        ----------
        by
            Names of quantities, "snr" where none are given: snr, amplitude, width, period, total_snr.
        bins
            Number of bins of each.
        threshold
            Least S/N of detections that count.

        Raises
        ------
        ConfigError
            For a quantity that does not exist, or that no injected event has.
        """
        from retriever.api.completeness import completeness_of

        return completeness_of(self._folder, by or ("snr",), bins, threshold)

    def candidates(self, *, purity: float | None = None, snr: float = 0.0) -> "Candidates":
        """Detections with their light curves, the strongest first.

        Parameters
        ----------
        purity
            Only those above the least S/N from which on detections are so pure; see `thresholds`.
        snr
            Only those whose absolute S/N is at least so high.

        Raises
        ------
        ConfigError
            When the purity is not known or not reached.
        """
        from retriever.api.candidates import Candidates, threshold_of_purity

        if purity is not None:
            snr = max(snr, threshold_of_purity(self.thresholds.to_dict("records"), purity))
        frame = self.detections
        return Candidates(frame[~(frame["snr"].abs() < snr)], self.source)

    @property
    def histograms(self) -> "xr.Dataset":
        """Counts of epochs by score, magnitude, exposure time and filter.

        Raises
        ------
        StoreError
            When the file is missing or broken.
        """
        import xarray as xr

        path = self.folder / "histograms.nc"
        try:
            with xr.open_dataset(path, engine="h5netcdf") as dataset:
                return dataset.load()
        except (OSError, ValueError, KeyError) as error:
            raise StoreError(f"cannot read {path} ({error}); run the version again to make it anew") from error

    def source(self, name: str) -> SourceInVersion:
        """A source of the catalog.

        Parameters
        ----------
        name
            Its name, or another name that the catalog or an archive gave it.

        Raises
        ------
        StoreError
            When the version has no such source.
        """
        self._refuse_unknown("sources")
        row, n = place_in_catalog(self._folder, name)
        if row < 0:
            other = name_of_alias(self._folder, name)
            if other is None:
                names = self.table("sources", ["name"])["name"].tolist() if n <= _MANY else []
                hint = nearest(name, names)
                if n > _LISTED and not hint.startswith(";"):
                    hint = "; see version.sources"
                raise StoreError(f"{self.name} has no source {name!r}{hint}")
            name, row = other, place_in_catalog(self._folder, other)[0]
        return SourceInVersion(self._folder, self._segments, name, row, n)

    def each_source(self, rows: Sequence[int] | None = None) -> Iterator[SourceInVersion]:
        """Sources of the catalog one after the other, much faster than each by itself.

        Parameters
        ----------
        rows
            Their rows in the catalog; all where none are given.

        Raises
        ------
        StoreError
            When a table is missing or broken.
        """
        names = self.table("sources", ["name"])["name"].tolist()
        n = len(names)
        products = all_product_rows(self._folder, n)
        for row in range(n) if rows is None else rows:
            own = (values[row::n].tolist() for values in (products[name] for name in _PRODUCT))
            history = tuple(
                Product(observatory=observatory, stage=stage, outcome=outcome, message=message, segment=segment, row=at)
                for observatory, stage, outcome, message, segment, at in zip(*own, strict=True)
            )
            yield SourceInVersion(self._folder, self._segments, names[row], row, n, history)

    def __repr__(self) -> str:
        try:
            created = str(self.manifest.get("created", ""))[:10]
            with self._folder.open_table("sources") as file:
                size = f"{file.metadata.num_rows} sources"
        except (StoreError, ConfigError):
            return f"<Version {self.name}, without tables>"
        return f"<Version {self.name}: {size}, created {created}>"
