"""Requests: what an archive is asked for a source, and the digests that raw data is kept by.

A request is a mapping of JSON values that holds everything that shapes the answer, and nothing else. Two sources of
one name with equal requests have the same raw data; a changed request is asked again, and nothing else is.
"""

import json
import weakref
from collections.abc import Iterator, Mapping
from json.encoder import encode_basestring_ascii

import numpy as np
from numpy.typing import NDArray

from retriever.arrays import Array, Floats
from retriever.astrometry import moved
from retriever.errors import ConfigError
from retriever.identity import Digests, digest_each
from retriever.interfaces import Observatory, RequestsInColumns, StatesRequest, describe
from retriever.source import PLACE_ARCSEC, Source, SourceTable

__all__ = [
    "NOT_ASKED",
    "constant",
    "place",
    "places",
    "radii",
    "request_digest",
    "request_digests",
    "request_of",
    "request_text",
]

NOT_ASKED = "not asked"
"""The only key of the request of a source that the archive is not asked for; its value is the reason."""


_ROWS_AT_ONCE = 1 << 16


def request_of(observatory: Observatory, source: Source) -> Mapping[str, object]:
    """What an observatory asks for a source; for one without `request`, all of its fields and the place to 0.1 arcsec.

    Examples
    --------
    >>> from retriever.observatories.demo import DemoObservatory
    >>> request_of(DemoObservatory(epochs=5), Source(name="X", ra=10.00000012, dec=20.0))["ra"]
    10.0
    """
    if isinstance(observatory, StatesRequest):
        return observatory.request(source)
    steps = _steps(source)
    return {"fields": describe(observatory)["fields"], "ra_steps": int(steps[0][0]), "dec_steps": int(steps[1][0])}


def request_text(request: Mapping[str, object]) -> str:
    """A request as canonical JSON.

    Raises
    ------
    ValueError
        For NaN and infinities, which JSON does not have.

    Examples
    --------
    >>> request_text({"radius": 2.0, "bands": ["g"]})
    '{"bands": ["g"], "radius": 2.0}'
    """
    return json.dumps(request, sort_keys=True, allow_nan=False)


def request_digest(name: str, request: Mapping[str, object]) -> bytes:
    """Digest of a source's name and request.

    Examples
    --------
    >>> request_digest("X", {"ra": 1.0, "dec": 2.0}) == request_digest("X", {"dec": 2.0, "ra": 1.0})
    True
    >>> request_digest("X", {"ra": 1.0}) == request_digest("X", {"ra": 1})
    False
    """
    return bytes(digest_each([_encoded(name, request)])[0])


def request_digests(observatory: Observatory, sources: SourceTable) -> Digests:
    """Digest of the name and request of each source.

    An observatory that gives its requests in columns is asked for these; the digests are the same.

    Raises
    ------
    ConfigError
        When a request has other than finite JSON values.

    Examples
    --------
    >>> from retriever.observatories.demo import DemoObservatory
    >>> table = SourceTable.from_columns(name=["A"], ra=[1.0], dec=[2.0])
    >>> request = DemoObservatory().request(table.source(0))
    >>> bool(request_digests(DemoObservatory(), table)[0] == request_digest("A", request))
    True
    """
    known = _KNOWN.setdefault(sources, [])
    for other, digests in known:
        if other is observatory:
            return digests
    try:
        digests = digest_each(_all_encoded(observatory, sources))
    except (TypeError, ValueError) as error:
        raise ConfigError(f"a request of survey {observatory.survey} is no JSON ({error}); mend its class") from error
    known.append((observatory, digests))
    return digests


_KNOWN: weakref.WeakKeyDictionary[SourceTable, list[tuple[Observatory, Digests]]] = weakref.WeakKeyDictionary()
"""Digests of the tables in memory: a run derives its state several times from the same objects."""


# ---- parts of requests ---------------------------------------------------------------------------------------------


def radii(sources: Source | SourceTable, radius: float, half_span: float) -> NDArray[np.float64]:
    """Radii of circles in arcsec that hold a moving star for some years before and after.

    Parameters
    ----------
    radius
        For a star that does not move, in arcsec.
    half_span
        Years.

    Examples
    --------
    >>> radii(Source(name="X", ra=0.0, dec=0.0, pmra=300.0, pmdec=400.0), 2.0, 4.0).tolist()
    [4.0]
    """
    pm = [np.atleast_1d(np.asarray(motion, np.float64)) for motion in (sources.pmra, sources.pmdec)]
    speed = np.hypot(*(np.nan_to_num(motion, posinf=0.0, neginf=0.0) for motion in pm)) / 1000.0
    return np.asarray(np.round(radius + speed * half_span, 3))


def places(sources: Source | SourceTable, year: float | None, decimals: int = 6) -> tuple[Floats, Floats]:
    """Rounded places in degrees, moved to a Julian year; those of the catalog's epoch for None.

    A place that does not move is rounded as the catalog gives it, so that no trigonometric function, whose last bit
    differs between processors, decides how it is rounded.

    Examples
    --------
    >>> ra, dec = places(Source(name="X", ra=10.0, dec=0.0, pmra=0.0, pmdec=3.6e6), 2001.0)
    >>> ra.tolist(), dec.tolist()
    ([10.0], [1.0])
    """
    ra, dec, pmra, pmdec, epoch = (
        np.atleast_1d(np.asarray(getattr(sources, key), np.float64)) for key in ("ra", "dec", "pmra", "pmdec", "epoch")
    )
    if year is not None:
        years = year - epoch
        moves = (
            np.isfinite(pmra) & np.isfinite(pmdec) & np.isfinite(years) & (years != 0) & ((pmra != 0) | (pmdec != 0))
        )
        if moves.any():
            ra, dec = ra.copy(), dec.copy()
            ra[moves], dec[moves] = moved(ra[moves], dec[moves], pmra[moves], pmdec[moves], years[moves])
    return np.round(ra, decimals) % 360.0 + 0.0, np.round(dec, decimals) + 0.0


def place(source: Source, year: float | None, decimals: int = 6) -> tuple[float, float]:
    """The rounded place of one source; see `places`."""
    ra, dec = places(source, year, decimals)
    return float(ra[0]), float(dec[0])


def constant(value: object, n: int) -> Array:
    """A column of a request that has one JSON value for all sources.

    Examples
    --------
    >>> constant(["g", "r"], 2).tolist()
    [['g', 'r'], ['g', 'r']]
    """
    cell = np.empty((), object)
    cell[()] = value
    return np.broadcast_to(cell, n)


def _steps(sources: Source | SourceTable) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Places in steps of 0.1 arcsec."""
    per_degree = round(3600 / PLACE_ARCSEC)
    ra, dec = (np.atleast_1d(np.asarray(angle, np.float64)) for angle in (sources.ra, sources.dec))
    return np.rint(ra * per_degree).astype(np.int64) % (360 * per_degree), np.rint(dec * per_degree).astype(np.int64)


# ---- encoding ------------------------------------------------------------------------------------------------------


def _encoded(name: str, request: Mapping[str, object]) -> bytes:
    """Name, keys of the numbers with a fraction, and the rest as JSON, then those numbers as bytes.

    Writing millions of such numbers as text would take longer than all else.
    """
    keys = sorted(key for key, value in request.items() if isinstance(value, float))
    rest = {key: value for key, value in request.items() if key not in keys}
    numbers = np.array([request[key] for key in keys], "<f8") + 0.0
    if not np.isfinite(numbers).all():
        raise ValueError(f"the request for {name!r} has a number that is not finite; leave its key out")
    return json.dumps([name, keys, rest], sort_keys=True, allow_nan=False).encode() + numbers.astype("<f8").tobytes()


def _all_encoded(observatory: Observatory, sources: SourceTable) -> Iterator[bytes]:
    """The same for all sources of a table."""
    n = len(sources)
    if isinstance(observatory, RequestsInColumns):
        columns = observatory.request_columns(sources)
    elif isinstance(observatory, StatesRequest):
        for source in map(sources.source, range(n)):
            yield _encoded(source.name, observatory.request(source))
        return
    else:
        ra, dec = _steps(sources)
        columns = {"fields": constant(describe(observatory)["fields"], n), "ra_steps": ra, "dec_steps": dec}
    for first in range(0, n, _ROWS_AT_ONCE):
        piece = slice(first, min(first + _ROWS_AT_ONCE, n))
        yield from _encoded_rows(sources.name[piece], {key: column[piece] for key, column in columns.items()})


def _encoded_rows(names: NDArray[np.str_], columns: Mapping[str, Array]) -> list[bytes]:
    """Requests of some rows, encoded; those that have the same keys together."""
    present = {key: _present(column) for key, column in columns.items()}
    asked = ~present[NOT_ASKED] if NOT_ASKED in present else np.ones(names.size, np.bool_)
    keys = sorted(columns)
    code = np.zeros(names.size, np.int64)
    for k, key in enumerate(keys):
        code |= (present[key] & (asked | (key == NOT_ASKED))).astype(np.int64) << k
    encoded = np.empty(names.size, object)
    for pattern in np.unique(code).tolist():
        rows = np.flatnonzero(code == pattern)
        chosen = {key: np.ma.getdata(columns[key])[rows] for k, key in enumerate(keys) if pattern >> k & 1}
        encoded[rows] = _encoded_alike(names[rows], chosen)
    rows_encoded: list[bytes] = encoded.tolist()
    return rows_encoded


def _encoded_alike(names: NDArray[np.str_], columns: Mapping[str, Array]) -> list[bytes]:
    """Requests of rows that have all of the keys: numbers in one block, all else filled into one template."""
    numbers: dict[str, Floats] = {}
    parts: list[str] = []
    cells: list[list[object]] = [[encode_basestring_ascii(name) for name in names.tolist()]]
    for key, column in columns.items():
        shared = column.dtype.kind == "O" and all(cell is column[0] for cell in column[1:])
        label = json.dumps(key).replace("%", "%%")
        if column.dtype.kind == "f" or (shared and isinstance(column[0], float)):
            numbers[key] = column.astype("<f8")
        elif column.dtype.kind == "O" and any(isinstance(cell, float) for cell in column.tolist()):
            raise TypeError(
                f"the request column {key!r} has numbers among other objects; give them as an array of floats"
            )
        elif shared:
            parts.append(f"{label}: " + _json(column[0]).replace("%", "%%"))
        else:
            parts.append(f"{label}: %s")
            cells.append([_json(cell) for cell in column.tolist()])
    template = f"[%s, {json.dumps(list(numbers)).replace('%', '%%')}, {{{', '.join(parts)}}}]"
    block = np.column_stack([*numbers.values(), np.zeros((names.size, 0))]) + 0.0
    if not np.isfinite(block).all():
        raise ValueError(f"a request column of {', '.join(numbers)} has a value that is not finite; mask it")
    image, stride = block.astype("<f8").tobytes(), 8 * len(numbers)
    return [
        (template % row).encode() + image[k * stride : (k + 1) * stride]
        for k, row in enumerate(zip(*cells, strict=True))
    ]


def _json(value: object) -> str:
    if isinstance(value, str):
        return encode_basestring_ascii(value)
    return json.dumps(value, sort_keys=True, allow_nan=False)


def _present(column: Array) -> NDArray[np.bool_]:
    """Rows whose request has the key: neither masked nor None."""
    rows = ~np.ma.getmaskarray(column)
    if column.dtype.kind == "O" and column.strides != (0,):
        rows &= np.array([cell is not None for cell in np.ma.getdata(column).tolist()], np.bool_)
    elif column.dtype.kind == "O" and column.size and column[0] is None:
        rows[:] = False
    return rows
