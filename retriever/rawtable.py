"""Raw photometry: tables just as a survey gave them, every row and column."""

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from retriever.arrays import Array
from retriever.errors import DataError
from retriever.identity import digest_bytes

__all__ = ["RawPhotometry", "RawTable"]

"""A numpy array, or a masked array where the survey marked values as missing."""


@dataclass(frozen=True, kw_only=True, eq=False)
class RawTable:
    """One table of a survey's answer.

    Attributes
    ----------
    columns
        Name to array; all of one length. Native byte order, fixed-width strings, masks kept.
    units
        Column name to unit, where the survey states one.
    headers
        Text that came with the table, whole and in order: FITS headers of all extensions, comments of a text file.
    origin
        Where the table came from, such as the name of a file.

    Raises
    ------
    DataError
        For columns of different lengths, or of a type that no file can hold.

    Examples
    --------
    >>> RawTable(columns={"mjd": np.array([58000.0]), "mag": np.array([17.5])}).n_rows
    1
    """

    columns: Mapping[str, Array]
    units: Mapping[str, str] = field(default_factory=dict)
    headers: tuple[str, ...] = ()
    origin: str = ""

    def __post_init__(self) -> None:
        native = {str(name): _native(str(name), column) for name, column in self.columns.items()}
        if len({len(column) for column in native.values()}) > 1:
            raise DataError(f"columns of {self.origin or 'a raw table'} differ in length; the table is damaged")
        object.__setattr__(self, "columns", native)

    def __repr__(self) -> str:
        return f"<RawTable {self.origin}: {self.n_rows} rows of {', '.join(self.columns)}>"

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return len(next(iter(self.columns.values()), ()))

    def schema(self) -> str:
        """Names, types, shapes and units of the columns, as JSON."""
        return _schema(
            tuple(
                (
                    name,
                    column.dtype,
                    column.shape[1:],
                    isinstance(column, np.ma.MaskedArray),
                    self.units.get(name, ""),
                )
                for name, column in self.columns.items()
            )
        )

    def card(self, keyword: str, default: str = "") -> str:
        """Value of the first FITS header card with a keyword, as text without quotes.

        Examples
        --------
        >>> RawTable(columns={}, headers=("OBJECT  = 'TIC 1  '           / name",)).card("OBJECT")
        'TIC 1'
        """
        for header in self.headers:
            for line in header.split("\n"):
                if line[:8].rstrip() == keyword and line[8:10] == "= ":
                    value = line[10:].strip()
                    if value.startswith("'"):
                        return value[1:].split("'")[0].strip()
                    return value.split("/")[0].strip()
        return default


@functools.lru_cache(maxsize=1024)
def _schema(kinds: tuple[tuple[str, np.dtype[Any], tuple[int, ...], bool, str], ...]) -> str:
    return json.dumps([[name, kind.str, list(shape), masked, unit] for name, kind, shape, masked, unit in kinds])


def _native(name: str, column: Array) -> Array:
    array = np.ma.asanyarray(column) if np.ma.isMaskedArray(column) else np.asarray(column)
    if array.ndim == 0:
        raise DataError(f"column {name!r} is a single value; a raw table needs one value a row")
    if array.dtype.kind not in "biufSUc":
        raise DataError(f"column {name!r} has type {array.dtype}, which cannot be stored; turn it into numbers or text")
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    return array


@dataclass(frozen=True, kw_only=True, eq=False)
class RawPhotometry:
    """All that one survey answered for one source. No rows is an answer too.

    Attributes
    ----------
    tables
        The answer's tables; none when the survey has no data.
    provenance
        Where and how it was asked: address, request, release, status, time (`fetched`, UTC). Not part of the digest.
    aliases
        Other names of the source that the archive knows it by. Not part of the digest.

    Examples
    --------
    >>> RawPhotometry(tables=()).is_empty
    True
    """

    tables: tuple[RawTable, ...]
    provenance: Mapping[str, str] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()

    @property
    def n_rows(self) -> int:
        """Rows of all tables together."""
        return sum(table.n_rows for table in self.tables)

    @property
    def is_empty(self) -> bool:
        """Whether the survey has no data for the source."""
        return self.n_rows == 0

    def digest(self) -> str:
        """Digest of every value, type, shape, mask, unit and header of the answer; values under a mask do not count.

        Examples
        --------
        >>> row = RawTable(columns={"x": np.array([1.0])})
        >>> two_rows = RawTable(columns={"x": np.array([1.0, 1.0])})
        >>> RawPhotometry(tables=(row, row)).digest() == RawPhotometry(tables=(two_rows,)).digest()
        False
        """
        parts: list[bytes | Array] = [f"{len(self.tables)} tables".encode()]
        for table in self.tables:
            shapes = [column.shape for column in table.columns.values()]
            words = json.dumps([table.schema(), shapes, *table.headers, table.origin]).encode()
            parts += [b"%d:" % len(words), words]  # the sizes of all that follows are in the words
            for column in table.columns.values():
                values = np.ma.getdata(column)
                if isinstance(column, np.ma.MaskedArray):
                    mask = np.ma.getmaskarray(column)
                    parts.append(mask.tobytes())
                    values = np.where(mask, np.zeros((), values.dtype), values)
                parts.append(np.ascontiguousarray(values))
        return digest_bytes(*parts)
