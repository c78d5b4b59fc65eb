"""Tables of a version as VOTable, FITS, ECSV or CSV, with units and UCDs."""

from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from retriever.errors import DataError

if TYPE_CHECKING:
    import pandas as pd
    from astropy.table import Table

__all__ = ["FORMATS", "UCDS", "write_csv", "write_table"]

FORMATS = {"csv": ".csv", "ecsv": ".ecsv", "fits": ".fits", "votable": ".vot"}
"""Formats of tables, and how the names of their files end."""

UCDS = {
    "name": "meta.id;meta.main", "source": "meta.id;src", "ra": "pos.eq.ra;meta.main", "dec": "pos.eq.dec;meta.main",
    "pmra": "pos.pm;pos.eq.ra", "pmdec": "pos.pm;pos.eq.dec", "parallax": "pos.parallax", "epoch": "time.epoch",
    "mag": "phot.mag", "mag_err": "stat.error;phot.mag", "band": "instr.bandpass", "observatory": "instr",
    "time_first": "time.start", "time_last": "time.end", "time_peak": "time.epoch", "bjd_peak": "time.epoch",
    "snr": "stat.snr", "fap": "stat.probability", "chi2": "stat.fit.chi2", "period": "time.period",
    "width": "time.duration",
    "flux_median": "phot.flux;stat.median", "mag_median": "phot.mag;stat.median",
    "exptime_median": "time.duration;obs.exposure", "n_epochs": "meta.number", "dmag": "phot.mag;arith.diff",
    "amplitude": "phot.flux;arith.diff", "noise": "stat.error;phot.flux",
}  # fmt: skip
"""Unified content descriptors (IVOA UCD 1.23) of columns that have one."""

_FORMULAS = ("=", "+", "-", "@", "\t", "\r")
"""Beginnings of a text that spreadsheets take for a formula."""


def write_table(name: str, frame: "pd.DataFrame", path: Path, kind: str) -> None:
    """Write a table of a version.

    Parameters
    ----------
    name
        Name of the table.
    frame
        The table; ``attrs["units"]`` has the units of its columns.
    path
        The file.
    kind
        One of `FORMATS`.

    Raises
    ------
    DataError
        When the format cannot hold a text.
    """
    if kind == "csv":
        write_csv(frame, path)
        return
    table = _with_units(name, frame)
    if kind == "votable":
        from astropy.io.votable import from_table

        votable = from_table(table, table_id=name)
        for field in votable.get_first_table().fields:
            field.ucd = UCDS.get(field.name)
        votable.to_xml(str(path))
        return
    try:
        table.write(path, format="fits" if kind == "fits" else "ascii.ecsv")
    except (UnicodeEncodeError, ValueError) as error:
        raise DataError(f"{kind} cannot hold the table {name} ({error}); export it as votable or ecsv") from error


def write_csv(frame: "pd.DataFrame", target: "Path | TextIO") -> None:
    """Write a table as CSV; a text that a spreadsheet would take for a formula begins with an apostrophe."""
    safe = frame.copy()
    for column in frame.select_dtypes(include=["object", "string"]):
        texts = frame[column].astype(str)
        safe[column] = texts.where(~texts.str.startswith(_FORMULAS), "'" + texts)
    safe.to_csv(target, index=False)


def _with_units(name: str, frame: "pd.DataFrame") -> "Table":
    """A table of astropy, with units and UCDs of its columns."""
    from astropy import units
    from astropy.table import Table

    table = Table({column: _plain(frame[column]) for column in frame}, meta={"name": name})
    for column, unit in frame.attrs.get("units", {}).items():
        table[column].unit = units.Unit(unit, parse_strict="silent")
    for column in table.colnames:
        if column in UCDS:
            table[column].meta["ucd"] = UCDS[column]
    return table


def _plain(column: "pd.Series") -> object:
    """Values as numpy has them, texts as such and not as objects."""
    return column.astype(str).to_numpy(dtype=str) if column.dtype.kind == "O" else column.to_numpy()
