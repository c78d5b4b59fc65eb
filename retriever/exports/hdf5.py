"""HDF5 files of pandas, and the layout of files that AstroRetriever had: files by right ascension, groups by source."""

import itertools
import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from retriever.arrays import Array
from retriever.errors import ConfigError, NotMade
from retriever.identity import digest_bytes

if TYPE_CHECKING:
    import pandas as pd

    from retriever.api.lightcurve import VersionLightcurve
    from retriever.api.source import SourceInVersion

__all__ = ["group_name", "opened", "put", "write_per_source"]

_SUFFIX = {
    "raw": "", "reduced": "_reduced", "detrended": "_detrended", "processed": "_processed", "simulated": "_simulated",
}  # fmt: skip


@contextmanager
def opened(path: Path) -> Iterator["pd.HDFStore"]:
    """An HDF5 file of pandas, to put frames into.

    Raises
    ------
    ConfigError
        When the package tables is not installed.
    """
    try:
        import tables
    except ImportError as error:
        raise ConfigError("HDF5 files of pandas need the package tables: pip install 'retriever[hdf5]'") from error
    import pandas as pd

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", tables.NaturalNameWarning)  # names of sources are no names of Python
        with pd.HDFStore(str(path), mode="a") as store:
            yield store


def put(store: "pd.HDFStore", key: str, frame: "pd.DataFrame", metadata: Mapping[str, Any]) -> None:
    """Add a frame as a table, with what is known of it as the attribute `metadata`."""
    store.put(key, frame, format="table", index=None, track_times=False)
    store.get_storer(key).attrs.metadata = dict(metadata)


def write_per_source(
    sources: Iterable["SourceInVersion"], surveys: Mapping[str, str], folder: Path, level: str,
    missing: Callable[[NotMade], object] | None = None,
) -> None:  # fmt: skip
    """Write light curves in AstroRetriever's layout.

    Sources of one degree of right ascension are in one file, such as ``ZTF_photometry_RA123_reduced.h5``; files of raw
    tables have no suffix. Each raw table is a group named after its source, each light curve one named like
    ``NAME_reduction_01_of_02`` (``_processed_`` for processed ones).

    Parameters
    ----------
    sources
        In the order of right ascension, so that each file is opened once.
    surveys
        Name of the survey of each observatory.
    missing
        As for `retriever.api.source.SourceInVersion.lightcurves`.

    Raises
    ------
    ConfigError
        When the package tables is not installed.
    """
    for degree, some in itertools.groupby(sources, key=lambda source: int(source.catalog.ra % 360)):
        with ExitStack() as stack:
            stores: dict[str, pd.HDFStore] = {}
            for source in some:
                place = {"source_name": source.name, "ra": source.catalog.ra, "dec": source.catalog.dec}
                for observatory in source.observatories:
                    survey = re.sub(r"[^A-Za-z0-9]", "-", surveys.get(observatory, observatory)).upper()
                    for key, frame in _frames(source, observatory, level, missing):
                        if survey not in stores:
                            path = folder / f"{survey}_photometry_RA{degree:03d}{_SUFFIX[level]}.h5"
                            stores[survey] = stack.enter_context(opened(path))
                        put(stores[survey], key, frame, place)


def _frames(
    source: "SourceInVersion", observatory: str, level: str, missing: Callable[[NotMade], object] | None
) -> Iterator[tuple[str, "pd.DataFrame"]]:
    """Groups of a source and their frames."""
    import pandas as pd

    name = group_name(source.name)
    if level == "raw":
        raw = source.lightcurves("raw", observatory=observatory, missing=missing)
        for k, table in enumerate(raw):
            plain = {key: _plain(column) for key, column in table.columns.items() if column.ndim == 1}
            yield name if len(raw) == 1 else f"{name}_{k + 1:02d}_of_{len(raw):02d}", pd.DataFrame(plain)
        return
    word = "reduction" if level == "reduced" else level
    found = source.lightcurves(level, observatory=observatory, missing=missing)
    for lc in cast("tuple[VersionLightcurve, ...]", found):
        yield f"{name}_{word}_{lc.number:02d}_of_{lc.of:02d}", frame_of_lightcurve(lc)


def _plain(column: Array) -> Array:
    whole = column.filled() if isinstance(column, np.ma.MaskedArray) else column
    return whole.astype(str).astype(object) if whole.dtype.kind in "SU" else whole


def frame_of_lightcurve(lc: "VersionLightcurve") -> "pd.DataFrame":
    """A light curve with the columns that AstroRetriever had: times are MJD as the survey gives them."""
    import pandas as pd

    frame = pd.DataFrame({
        "mjd": lc.time, "exptime": lc.exptime, "flux": lc.flux, "fluxerr": lc.flux_err, "mag": lc.mag,
        "magerr": lc.mag_err, "flag": lc.flag, "qflag": lc.qflag, "filter": lc.band,
    })  # fmt: skip
    for name, column in lc.extra.items():
        if column.ndim == 1 and name not in frame:
            frame[name] = column
    return frame


def group_name(name: str) -> str:
    """A name as a group of HDF5; one with other characters than letters, digits and ``_+-.`` gets its digest.

    Examples
    --------
    >>> group_name("WDJ135309.97+484021.17")
    'WDJ135309.97+484021.17'
    >>> group_name("../../x")
    'x_.._.._x_9cdf6a50'
    """
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_+.-]{0,99}", name):
        return name
    plain = re.sub(r"[^A-Za-z0-9_+.-]", "_", name)[:80]  # PyTables keeps names that begin with _ to itself
    return f"x_{plain}_{digest_bytes(name.encode())[:8]}"
