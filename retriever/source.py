"""Sources: what a catalog says of one object, and the table of many."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from retriever.arrays import Array, Floats
from retriever.astrometry import moved
from retriever.errors import CatalogError, nearest
from retriever.identity import Digests, digest_bytes, digest_each

__all__ = ["PLACE_ARCSEC", "Source", "SourceTable", "decoded_aliases"]


PLACE_ARCSEC = 0.1
"""Two positions closer than about this ask an archive for the same place."""

PLACE_DECIMALS = 9
"""Decimals of positions in degrees: 4 microarcsec. The last bits of a float differ between processors."""

_NUMBERS = ("ra", "dec", "pmra", "pmdec", "parallax", "epoch", "mag", "mag_err")


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One source of a catalog.

    Attributes
    ----------
    name
        Unique in its catalog.
    ra, dec
        ICRS position in degrees at `epoch`.
    pmra, pmdec
        Proper motion in mas per year, `pmra` with the factor cos(dec); NaN where unknown.
    parallax
        In mas; NaN where unknown.
    epoch
        Julian year of the position.
    mag, mag_err, band
        The preferred magnitude; NaN and "" where unknown.
    aliases
        Other names.
    extra
        Further columns of the catalog that the config asked for.

    Examples
    --------
    >>> Source(name="X", ra=10.0, dec=20.0).position(2016.0)
    (10.0, 20.0)
    """

    name: str
    ra: float
    dec: float
    pmra: float = float("nan")
    pmdec: float = float("nan")
    parallax: float = float("nan")
    epoch: float = 2000.0
    mag: float = float("nan")
    mag_err: float = float("nan")
    band: str = ""
    aliases: tuple[str, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)

    def position(self, year: float) -> tuple[float, float]:
        """Right ascension and declination in degrees at a Julian year."""
        if not (self.pmra == self.pmra and self.pmdec == self.pmdec):
            return self.ra, self.dec
        ra, dec = moved(self.ra, self.dec, self.pmra, self.pmdec, year - self.epoch)
        return float(ra), float(dec)


@dataclass(frozen=True, kw_only=True, eq=False)
class SourceTable:
    """A catalog's sources in columns, validated once.

    Attributes
    ----------
    name, ra, dec, pmra, pmdec, parallax, epoch, mag, mag_err, band
        Arrays of one length; see `Source`. Positions are rounded to 1e-9 degrees.
    aliases
        One tuple of names per source, or empty when no source has any.
    extra
        Further columns by name.
    skipped
        What was left out on reading, and why: reason to number of rows.
    notes
        Sentences for the user.
    reference
        What to cite; "" where it is not known.

    Raises
    ------
    CatalogError
        For no rows, an empty name or one given twice, positions that are missing or out of range.

    Examples
    --------
    >>> table = SourceTable.from_columns(name=["A", "B"], ra=[1.0, 2.0], dec=[0.0, -3.0])
    >>> len(table), table.source(1).dec
    (2, -3.0)
    """

    name: NDArray[np.str_]
    ra: Floats
    dec: Floats
    pmra: Floats
    pmdec: Floats
    parallax: Floats
    epoch: Floats
    mag: Floats
    mag_err: Floats
    band: NDArray[np.str_]
    aliases: tuple[tuple[str, ...], ...] = ()
    extra: Mapping[str, Array] = field(default_factory=dict)
    skipped: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    reference: str = ""

    @classmethod
    def from_columns(cls, *, name: ArrayLike, ra: ArrayLike, dec: ArrayLike, **others: Any) -> "SourceTable":
        """Build a table from sequences; what is not given is unknown."""
        names = np.asarray(name, dtype=np.str_)
        n = names.size

        def column(values: ArrayLike | None, default: float) -> Floats:
            filled = np.full(n, default) if values is None else np.asarray(values, np.float64)
            if filled.shape != (n,):
                raise CatalogError(f"a column of the catalog has {filled.size} values for {n} names; give one a source")
            return filled

        numbers = {
            key: column(value, 2000.0 if key == "epoch" else np.nan)
            for key, value in (("ra", ra), ("dec", dec), *((k, others.get(k)) for k in _NUMBERS[2:]))
        }
        band = others.get("band")
        return cls(
            name=names,
            band=np.broadcast_to(np.asarray("" if band is None else band, dtype=np.str_), n),
            aliases=tuple(others.get("aliases") or ()),
            extra=dict(others.get("extra") or {}),
            skipped=dict(others.get("skipped") or {}),
            notes=tuple(others.get("notes") or ()),
            reference=str(others.get("reference") or ""),
            **numbers,
        )

    @classmethod
    def of(cls, sources: Sequence[Source]) -> "SourceTable":
        """A table of sources given as objects."""
        numbers = {key: [getattr(source, key) for source in sources] for key in _NUMBERS}
        extra = {
            key: np.array([source.extra[key] for source in sources]) for key in (sources[0].extra if sources else ())
        }
        aliases = [source.aliases for source in sources]
        return cls.from_columns(
            name=[source.name for source in sources],
            band=[source.band for source in sources],
            aliases=aliases if any(aliases) else (),
            extra=extra,
            **numbers,
        )

    def __post_init__(self) -> None:
        n = self.name.size
        columns = [getattr(self, key) for key in _NUMBERS] + [self.band, *self.extra.values()]
        if any(len(column) != n for column in columns) or len(self.aliases) not in (0, n):
            raise CatalogError("the catalog's columns are not all of one length; every source needs a row in each")
        if n == 0:
            raise CatalogError("the catalog has no sources; give it at least one row with a name, ra and dec")
        if (self.name == "").any():
            raise CatalogError(f"row {int(np.argmax(self.name == ''))} of the catalog has no name; name every source")
        points = np.ascontiguousarray(self.name).view(np.uint32).reshape(n, -1)
        if ((points[:, :-1] == 0) & (points[:, 1:] != 0)).any():
            raise CatalogError("a name in the catalog has a NUL character in it; take it out")
        self._check_names()
        self._check_positions()

    def _check_names(self) -> None:
        try:
            ordered = np.sort(self.name.astype(np.bytes_))  # a quarter of the memory
        except UnicodeEncodeError:
            ordered = np.sort(self.name)
        twice = ordered[1:][ordered[1:] == ordered[:-1]].astype(np.str_)
        if twice.size:
            raise CatalogError(
                f"the catalog names {len(np.unique(twice))} source(s) more than once, the first {str(twice[0])!r}; "
                "names must be unique"
            )

    def _check_positions(self) -> None:
        with np.errstate(invalid="ignore"):
            good = (self.ra >= 0) & (self.ra < 360) & (np.abs(self.dec) <= 90)
        if not good.all():
            row = int(np.argmin(good))
            raise CatalogError(
                f"source {str(self.name[row])!r} has ra={self.ra[row]:g}, dec={self.dec[row]:g}; "
                "positions are in degrees with 0 <= ra < 360 and -90 <= dec <= 90"
            )
        # what is digested is what is used
        object.__setattr__(self, "ra", np.round(self.ra, PLACE_DECIMALS) % 360.0)
        object.__setattr__(self, "dec", np.round(self.dec, PLACE_DECIMALS))

    def __len__(self) -> int:
        return int(self.name.size)

    @cached_property
    def _row_of(self) -> dict[str, int]:
        return {name: row for row, name in enumerate(self.name.tolist())}

    def row_of(self, name: str) -> int:
        """Row of a source by its name, or by an alias; −1 when there is none."""
        if name in self._row_of:
            return self._row_of[name]
        return next((row for row, aliases in enumerate(self.aliases) if name in aliases), -1)

    def hint(self, name: str) -> str:
        """Which source a wrong name was probably meant for, to end a sentence with; "" for long catalogs."""
        return nearest(name, self.name.tolist()) if len(self) <= 1000 else ""

    def source(self, row: int) -> Source:
        """One source as an object."""
        return Source(
            name=str(self.name[row]),
            band=str(self.band[row]),
            aliases=self.aliases[row] if self.aliases else (),
            extra={key: column[row].item() for key, column in self.extra.items()},
            **{key: float(getattr(self, key)[row]) for key in _NUMBERS},
        )

    def take(self, rows: NDArray[np.int64]) -> "SourceTable":
        """The sources of some rows, in their order."""
        return SourceTable(
            name=self.name[rows],
            band=self.band[rows],
            aliases=tuple(self.aliases[row] for row in rows) if self.aliases else (),
            extra={key: column[rows] for key, column in self.extra.items()},
            skipped=self.skipped,
            notes=self.notes,
            reference=self.reference,
            **{key: getattr(self, key)[rows] for key in _NUMBERS},
        )

    @cached_property
    def digests(self) -> Digests:
        """Digest of all that is known of each source: one changed field changes just this source's."""
        numbers = np.column_stack([getattr(self, key) for key in _NUMBERS]) + 0.0
        numbers[np.isnan(numbers)] = np.nan  # one bit pattern for all NaN
        stride, block = numbers.shape[1] * 8, numbers.astype("<f8").tobytes()
        extra_names = sorted(self.extra)
        words = [self.name.tolist(), self.band.tolist(), *(self.extra[key].tolist() for key in extra_names)]
        if self.aliases:
            words.append(list(self.aliases))
        header = repr(extra_names).encode()
        return digest_each(
            b"".join((header, block[row * stride : (row + 1) * stride], repr(texts).encode()))
            for row, texts in enumerate(zip(*words, strict=True))
        )

    @cached_property
    def places(self) -> Digests:
        """Name and place of each source to 0.1 arcsec: what raw data was kept by before it was kept by request."""
        per_degree = round(3600 / PLACE_ARCSEC)
        right = np.rint(self.ra * per_degree).astype(np.int64) % (360 * per_degree)
        up = np.rint(self.dec * per_degree).astype(np.int64)
        block = np.column_stack([right, up]).astype("<i8").tobytes()
        return digest_each(
            block[16 * row : 16 * row + 16] + name.encode() for row, name in enumerate(self.name.tolist())
        )

    @cached_property
    def digest(self) -> str:
        """Digest of the whole catalog, whatever the order of its rows."""
        return digest_bytes(np.sort(self.digests).tobytes())


def decoded_aliases(text: str) -> tuple[str, ...]:
    """Other names of a source, as the table of sources has them.

    Examples
    --------
    >>> decoded_aliases('"TIC 1" "a \\\\"b\\\\""')
    ('TIC 1', 'a "b"')
    """
    decoder, at, names = json.JSONDecoder(), 0, []
    while at < len(text):
        name, end = decoder.raw_decode(text, at)
        names.append(str(name))
        at = end + 1
    return tuple(names)
