"""Reading tables of any common format, exactly: no value, type or mask is changed on the way."""

import gzip
import io
import re
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from retriever.arrays import Array
from retriever.errors import FileFormatError, nearest
from retriever.rawtable import RawTable

if TYPE_CHECKING:
    import h5py
    import pyarrow as pa
    from astropy.table import Column, Table

__all__ = ["SUFFIXES", "primary_header", "read_aperture", "read_bytes", "read_table"]

Columns = Sequence[str] | None
File = Path | io.BytesIO


def read_table(path: Path, columns: Columns = None) -> RawTable:
    """Read the first table of a file; its suffix tells the format.

    CSV and TSV (also compressed by gzip, with comment lines before the names of the columns), ECSV, other text tables,
    Parquet, FITS, VOTable and HDF5 (a compound dataset, or a group of columns).

    Parameters
    ----------
    path
        The file.
    columns
        Names of the columns to read; all, where none are given.

    Returns
    -------
    RawTable
        With the headers of all FITS extensions, or the comments of a text file.

    Raises
    ------
    FileFormatError
        When the file is missing, broken, or of no known format, or lacks a column that is asked for.
    """
    return _read(path, path, columns)


def read_bytes(data: bytes, name: str) -> RawTable:
    """Read the first table of what an archive sent; see `read_table`.

    Parameters
    ----------
    data
        The content of a file.
    name
        The file's name, whose suffix tells the format.

    Examples
    --------
    >>> read_bytes(b"mjd,mag\\n58000.5,17.1\\n", "answer.csv").columns["mag"].tolist()
    [17.1]
    """
    return _read(io.BytesIO(data), Path(name), None)


def _read(file: File, path: Path, columns: Columns) -> RawTable:
    name = path.name.lower().removesuffix(".gz")
    reader = SUFFIXES.get(name[name.rfind(".") :]) if "." in name else None
    if reader is None:
        raise FileFormatError(f"{path} has no suffix of a known format ({', '.join(sorted(SUFFIXES))}); rename it")
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            table = reader(file, path, columns)
    except FileFormatError:
        raise
    except FileNotFoundError:
        raise FileFormatError(f"there is no file {path}; check the path") from None
    except Exception as error:  # readers of broken files raise many kinds of errors
        raise FileFormatError(f"{path} cannot be read ({_first_line(error)}); fetch or make it again") from error
    for warning in caught:
        if "truncated" in str(warning.message):
            raise FileFormatError(f"{path} is truncated; fetch or make it again")
    return table


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)[:200]


def _chosen(available: Sequence[str], columns: Columns, path: Path) -> list[str]:
    names = list(available) if columns is None else list(dict.fromkeys(columns))
    for name in names:
        if name not in available:
            raise FileFormatError(f"{path} has no column {name!r}{nearest(name, available)}")
    if len(set(available)) != len(available):
        twice = next(name for name in available if list(available).count(name) > 1)
        raise FileFormatError(f"{path} has more than one column {twice!r}; rename one of them")
    return names


# ---- text ------------------------------------------------------------------------------------------------------


def _read_csv(file: File, path: Path, columns: Columns) -> RawTable:
    import pyarrow as pa
    from pyarrow import csv

    delimiter = "\t" if ".tsv" in path.name.lower() else ","
    data = file.getvalue() if isinstance(file, io.BytesIO) else file.read_bytes()
    if data[:2] == b"\x1f\x8b":
        data = gzip.decompress(data)
    comments = []
    start = 0
    while data[start : start + 1] == b"#":
        end = data.find(b"\n", start)
        end = len(data) if end < 0 else end + 1
        comments.append(data[start:end].decode("utf-8", "replace").rstrip("\r\n"))
        start = end
    if not data[start:].strip():
        raise FileFormatError(f"{path} is empty: it has not even the names of columns; fetch or make it again")
    options: dict[str, object] = {"parse_options": csv.ParseOptions(delimiter=delimiter, newlines_in_values=False)}
    body = pa.py_buffer(data[start:])
    convert = csv.ConvertOptions(null_values=_MISSING)
    table = csv.read_csv(pa.BufferReader(body), convert_options=convert, **options)
    as_text = {f.name: pa.string() for f in table.schema if pa.types.is_temporal(f.type)}
    if _ODD_INTEGER.search(data, start):
        as_text |= _not_quite_integers(table, body, options)
    if _LONG_INTEGER.search(data, start):
        as_text |= _too_long_integers(table, body, options)
    if as_text:  # dates, hexadecimal numbers and those with leading zeros are kept as they were written
        convert = csv.ConvertOptions(column_types=as_text, null_values=_MISSING)
        table = csv.read_csv(pa.BufferReader(body), convert_options=convert, **options)
    return _from_arrow(table, path, columns, tuple(comments))


_MISSING = ["", "null", "NULL", "N/A", "NA", "#N/A"]
"""What stands for a missing number in text; NaN is a number."""

_ODD_INTEGER = re.compile(rb"(?:^|[,\t\n\"])[+-]?0[0-9xX]")
"""Where a number may begin that Arrow would take for an integer, and that would not be written so again."""


_LONG_INTEGER = re.compile(rb"(?:^|[,\t\n\"])[0-9]{19,}(?:[,\t\r\n\"]|$)")
"""What may be an integer beyond 2^63, which Arrow would take for a floating-point number."""


def _too_long_integers(table: "pa.Table", body: "pa.Buffer", options: dict[str, object]) -> dict[str, object]:
    """Columns of integers, some of them beyond 2^63, which are kept as text since no number holds them exactly."""
    import pyarrow as pa
    import pyarrow.compute as pc
    from pyarrow import csv

    floats = {
        f.name: pa.string()
        for f in table.schema
        if pa.types.is_floating(f.type) and (pc.max(table.column(f.name)).as_py() or 0.0) >= 2.0**63
    }
    if not floats:
        return {}
    convert = csv.ConvertOptions(
        column_types=floats, include_columns=list(floats), strings_can_be_null=True, null_values=_MISSING
    )
    written = csv.read_csv(pa.BufferReader(body), convert_options=convert, **options)
    return {
        name: pa.string()
        for name in floats
        if pc.all(pc.match_substring_regex(written.column(name), "^[0-9]+$")).as_py()
    }


def _not_quite_integers(table: "pa.Table", body: "pa.Buffer", options: dict[str, object]) -> dict[str, object]:
    """Columns that Arrow takes for integers although they are written otherwise, such as 0x3 or 007."""
    import pyarrow as pa
    from pyarrow import csv

    integers = {f.name: pa.string() for f in table.schema if pa.types.is_integer(f.type)}
    convert = csv.ConvertOptions(column_types=integers, include_columns=list(integers), strings_can_be_null=True)
    if not integers:
        return {}
    written = csv.read_csv(pa.BufferReader(body), convert_options=convert, **options)
    return {
        name: pa.string() for name in integers if not written.column(name).equals(table.column(name).cast(pa.string()))
    }


def _text_of(file: File) -> object:
    return file.getvalue().decode("utf-8", "replace") if isinstance(file, io.BytesIO) else file


def _read_text(file: File, path: Path, columns: Columns) -> RawTable:
    from astropy.io import ascii

    return _from_astropy(ascii.read(_text_of(file)), path, columns)


def _read_ecsv(file: File, path: Path, columns: Columns) -> RawTable:
    from astropy.table import Table

    return _from_astropy(Table.read(_text_of(file), format="ascii.ecsv"), path, columns)


def _read_votable(file: File, path: Path, columns: Columns) -> RawTable:
    from astropy.io.votable import parse

    document = parse(file)
    for info in [*document.infos, *(info for resource in document.resources for info in resource.infos)]:
        if info.name == "QUERY_STATUS" and str(info.value).upper() == "ERROR":
            raise FileFormatError(f"{path} is an archive's error message: {' '.join(str(info.content).split())[:200]}")
    return _from_astropy(document.get_first_table().to_table(use_names_over_ids=True), path, columns)


def _from_astropy(table: "Table", path: Path, columns: Columns) -> RawTable:
    arrays: dict[str, Array] = {}
    units = {}
    for name in _chosen(table.colnames, columns, path):
        column = table[name]
        arrays[name] = _plain_column(column, name, path)
        if getattr(column, "unit", None) is not None:
            units[name] = str(column.unit)
    comments = table.meta.get("comments", []) if hasattr(table, "meta") else []
    return RawTable(columns=arrays, units=units, headers=tuple(map(str, comments)), origin=path.name)


def _plain_column(column: "Column", name: str, path: Path) -> Array:
    masked = hasattr(column, "mask") and bool(np.any(column.mask))
    data = np.asarray(column.filled("") if masked and column.dtype.kind in "OU" else np.ma.getdata(column))
    if data.dtype.kind == "O":
        if any(not isinstance(value, str | bytes | None.__class__) for value in data.tolist()):
            raise FileFormatError(f"{path}: column {name!r} holds lists in its cells; give each value its own row")
        data = np.array(["" if value is None else str(value) for value in data.tolist()])
    return np.ma.MaskedArray(data, mask=np.broadcast_to(column.mask, data.shape)) if masked else data


# ---- Parquet -----------------------------------------------------------------------------------------------------


def _read_parquet(file: File, path: Path, columns: Columns) -> RawTable:
    import pyarrow.parquet as pq

    with pq.ParquetFile(file) as parquet:
        names = _chosen(parquet.schema_arrow.names, columns, path)
        # column after column, so that not all of a large table is in memory twice
        arrays = {name: _arrow_column(parquet.read(columns=[name]).column(0), name, path) for name in names}
    return RawTable(columns=arrays, origin=path.name)


def _from_arrow(table: "pa.Table", path: Path, columns: Columns, comments: tuple[str, ...]) -> RawTable:
    names = _chosen(table.column_names, columns, path)
    return RawTable(
        columns={name: _arrow_column(table.column(name), name, path) for name in names},
        headers=comments,
        origin=path.name,
    )


def _arrow_column(column: "pa.ChunkedArray", name: str, path: Path) -> Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = column.type
    if pa.types.is_dictionary(kind):
        column = column.cast(kind.value_type)
        kind = column.type
    if pa.types.is_nested(kind):
        raise FileFormatError(f"{path}: column {name!r} holds lists in its cells; give each value its own row")
    if pa.types.is_null(kind):
        return np.ma.MaskedArray(np.full(len(column), np.nan), mask=True) if len(column) else np.empty(0)
    if pa.types.is_temporal(kind) or pa.types.is_decimal(kind):
        column = column.cast(pa.string())
    mask = np.asarray(column.is_null()) if column.null_count else None
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        values = _arrow_texts(pc.fill_null(column, ""))
    elif mask is not None:
        missing: bool | float = False if pa.types.is_boolean(column.type) else 0
        if pa.types.is_floating(column.type):
            missing = float("nan")
        values = pc.fill_null(column, pa.scalar(missing, column.type)).to_numpy()
    else:
        values = column.to_numpy()
    return np.ma.MaskedArray(values, mask=mask) if mask is not None else np.asarray(values)


def _arrow_texts(column: "pa.ChunkedArray") -> Array:
    """Text of fixed width, piece by piece, so that a million texts are not all Python objects at once."""
    import pyarrow.compute as pc

    width = max(int(pc.max(pc.utf8_length(column)).as_py() or 0), 1)
    values = np.empty(len(column), f"U{width}")
    for first in range(0, len(column), _TEXTS_AT_ONCE):
        values[first : first + _TEXTS_AT_ONCE] = column.slice(first, _TEXTS_AT_ONCE).to_pylist()
    return values


_TEXTS_AT_ONCE = 1 << 16

# ---- FITS --------------------------------------------------------------------------------------------------------


def _read_fits(file: File, path: Path, columns: Columns) -> RawTable:
    from astropy.io import fits

    with fits.open(file, memmap=columns is not None and isinstance(file, Path), lazy_load_hdus=False) as hdus:
        table = next((hdu for hdu in hdus if isinstance(hdu, fits.BinTableHDU | fits.TableHDU)), None)
        if table is None:
            raise FileFormatError(f"{path} has no table extension; fetch or make it again")
        arrays: dict[str, Array] = {}
        specs = {spec.name: spec for spec in table.columns}
        for name in _chosen(table.columns.names, columns, path):
            data = np.asarray(table.data[name])
            if data.dtype.kind == "O":
                raise FileFormatError(f"{path}: column {name!r} holds lists in its cells; give each value its own row")
            null = specs[name].null
            missing = data == null if null not in (None, "") and data.dtype.kind in "iu" else None
            arrays[name] = np.ma.MaskedArray(data.copy(), mask=missing) if missing is not None else data.copy()
        return RawTable(
            columns=arrays,
            units={spec.name: spec.unit for spec in table.columns if spec.name in arrays and spec.unit},
            headers=tuple(hdu.header.tostring(sep="\n", endcard=False, padding=False) for hdu in hdus),
            origin=path.name,
        )


def read_aperture(data: bytes, name: str) -> list[RawTable]:
    """The aperture of a light-curve file of TESS or Kepler, a row a row of pixels; none where the file has none.

    Parameters
    ----------
    data
        The content of a FITS file.
    name
        The file's name; the table's origin is ``name[APERTURE]``.
    """
    from astropy.io import fits

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with fits.open(io.BytesIO(data), memmap=False) as hdus:
            apertures = [hdu for hdu in hdus if hdu.name == "APERTURE" and getattr(hdu, "data", None) is not None]
            return [
                RawTable(columns={"aperture": np.array(hdu.data)}, origin=f"{name}[APERTURE]")
                for hdu in apertures
                if hdu.data.ndim == 2
            ]


def primary_header(path: Path) -> dict[str, object]:
    """Values of a FITS file's primary header by keyword, without reading the rest.

    Raises
    ------
    FileFormatError
        When it is no FITS file.
    """
    from astropy.io import fits

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return dict(fits.getheader(path, 0))
    except Exception as error:  # readers of broken files raise many kinds of errors
        raise FileFormatError(f"{path} is no FITS file ({_first_line(error)})") from error


# ---- HDF5 --------------------------------------------------------------------------------------------------------


def _read_hdf5(file: File, path: Path, columns: Columns) -> RawTable:
    import h5py

    with h5py.File(file, "r", locking=False) as file:
        node = _hdf5_table(file)
        if node is None:
            raise FileFormatError(
                f"{path} holds no compound dataset and no group of equally long columns; see its layout"
            )
        available = list(node.dtype.names) if isinstance(node, h5py.Dataset) else list(node)
        names = _chosen(available, columns, path)
        arrays = {name: _hdf5_column(node[name], name, path) for name in names}
        units = {}
        if isinstance(node, h5py.Group):
            units = {name: str(node[name].attrs["units"]) for name in names if "units" in node[name].attrs}
    return RawTable(columns=arrays, units=units, origin=path.name)


def _hdf5_table(group: "h5py.Group") -> "h5py.Dataset | h5py.Group | None":
    """The first compound dataset, or group of columns, below a group."""
    import h5py

    datasets = [node for node in group.values() if isinstance(node, h5py.Dataset)]
    for node in datasets:
        if node.dtype.names:
            return node
    columns = [node for node in datasets if node.ndim]
    if columns and len({node.shape[0] for node in columns}) == 1 and len(columns) == len(datasets):
        return group
    inside = (_hdf5_table(node) for node in group.values() if isinstance(node, h5py.Group))
    return next((node for node in inside if node is not None), None)


def _hdf5_column(values: "h5py.Dataset", name: str, path: Path) -> Array:
    data = np.asarray(values)
    if data.dtype.kind == "O":
        texts = [value.decode() if isinstance(value, bytes) else value for value in data.tolist()]
        if not all(isinstance(text, str) for text in texts):
            raise FileFormatError(f"{path}: column {name!r} holds objects; store numbers or text")
        data = np.array(texts, dtype=np.str_)
    return data


SUFFIXES: dict[str, Callable[[File, Path, Columns], RawTable]] = {
    ".csv": _read_csv,
    ".tsv": _read_csv,
    ".ecsv": _read_ecsv,
    ".txt": _read_text,
    ".dat": _read_text,
    ".tbl": _read_text,
    ".parquet": _read_parquet,
    ".pq": _read_parquet,
    ".fits": _read_fits,
    ".fit": _read_fits,
    ".vot": _read_votable,
    ".xml": _read_votable,
    ".votable": _read_votable,
    ".h5": _read_hdf5,
    ".hdf5": _read_hdf5,
}
"""Suffix of a file to the reader of its format."""
