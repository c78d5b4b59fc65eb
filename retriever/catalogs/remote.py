"""Catalogs of archives, queried by TAP: any query, any table of VizieR, Gaia."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from retriever.catalogs.frozen import Fetched, FrozenCatalogs, freeze_table
from retriever.catalogs.tabular import CatalogColumns, Loaded, Magnitude, TableCatalog
from retriever.client.addresses import place_of
from retriever.client.http import Client
from retriever.client.tap import ask_tap
from retriever.errors import CatalogError, FetchError
from retriever.formats import read_bytes, read_table
from retriever.interfaces import NO_RESULT, no_result_with

__all__ = ["Box", "Cone", "GaiaCatalog", "TAPCatalog", "VizierCatalog"]


@dataclass(frozen=True, kw_only=True)
class Cone:
    """A circle on the sky.

    Parameters
    ----------
    ra, dec
        Its middle in degrees (ICRS); null for no circle.
    radius
        In degrees.
    """

    ra: float | None = None
    dec: float | None = None
    radius: float | None = None

    def __post_init__(self) -> None:
        given = [value is not None for value in (self.ra, self.dec, self.radius)]
        if any(given) and not all(given):
            raise CatalogError("catalog.cone needs ra, dec and radius, in degrees")

    def adql(self, ra: str, dec: str) -> list[str]:
        """The ADQL condition that a position is inside the circle."""
        if self.radius is None:
            return []
        return [f"1 = CONTAINS(POINT('ICRS', {ra}, {dec}), CIRCLE('ICRS', {self.ra!r}, {self.dec!r}, {self.radius!r}))"]

    def expression(self, ra: str, dec: str) -> list[str]:
        """The same condition for `retriever.catalogs.where`: the chord to the centre has a largest length."""
        if self.ra is None or self.dec is None or self.radius is None:
            return []  # __post_init__ refuses one without the others
        right, up = np.radians(self.ra), np.radians(self.dec)
        x, y, z = (
            float(component) for component in (np.cos(up) * np.cos(right), np.cos(up) * np.sin(right), np.sin(up))
        )
        chord = float(2 * np.sin(np.radians(self.radius) / 2)) ** 2
        return [
            f"(cos(radians({dec})) * cos(radians({ra})) - {x!r}) ** 2 + (cos(radians({dec})) * sin(radians({ra})) "
            f"- {y!r}) ** 2 + (sin(radians({dec})) - {z!r}) ** 2 <= {chord!r}"
        ]


@dataclass(frozen=True, kw_only=True)
class Box:
    """A range of right ascension and declination.

    Parameters
    ----------
    ra_min, ra_max
        In degrees; null for no bound. The first may be beyond the second.
    dec_min, dec_max
        In degrees; null for no bound.
    """

    ra_min: float | None = None
    ra_max: float | None = None
    dec_min: float | None = None
    dec_max: float | None = None

    def conditions(self, ra: str, dec: str) -> list[str]:
        """The conditions that a position is in range, valid in ADQL and for `retriever.catalogs.where`."""
        low = [f"{ra} >= {self.ra_min!r}"] if self.ra_min is not None else []
        high = [f"{ra} <= {self.ra_max!r}"] if self.ra_max is not None else []
        around_zero = self.ra_min is not None and self.ra_max is not None and self.ra_min > self.ra_max
        conditions = [f"({low[0]} or {high[0]})"] if around_zero else low + high
        conditions += [f"{dec} >= {self.dec_min!r}"] if self.dec_min is not None else []
        return conditions + ([f"{dec} <= {self.dec_max!r}"] if self.dec_max is not None else [])


@dataclass(frozen=True, kw_only=True)
class TAPCatalog(TableCatalog):
    """Any query in ADQL to any TAP service. The answer is frozen in the folder of catalogs and used from then on.

    Parameters
    ----------
    query
        In ADQL. Its columns are mapped by `columns` and `magnitudes`.
    url
        Address of the service; it identifies the table if no release is given.
    release
        Of the table; where it is given, the same table may come from any address.
    asynchronous
        Whether to ask by a job that may take long.
    name
        Of the frozen files.
    reference
        What to cite.
    max_rows
        Limit to ask the service for; null for its own. An answer that was cut is refused in any case.
    folder
        Where frozen catalogs lie.
    client
        How it is asked.
    """

    query: str = ""
    url: str = field(default="https://tapvizier.cds.unistra.fr/TAPVizieR/tap", metadata=no_result_with("release"))
    release: str = ""
    asynchronous: bool = field(default=False, metadata=NO_RESULT)
    name: str = "tap"
    reference: str = ""
    max_rows: int | None = None
    folder: str = field(default="catalogs", metadata=NO_RESULT)
    client: Client = field(default_factory=Client, metadata=NO_RESULT)

    def read(self, wanted: Sequence[str]) -> Loaded:
        """The frozen table, or the service's answer, which is then frozen."""
        return self._frozen(self.adql(wanted), [self.url], wanted)

    def adql(self, wanted: Sequence[str]) -> str:
        """What is asked."""
        if not self.query.strip():
            raise CatalogError("catalog.query is not given; write it in ADQL")
        return self.query

    def _frozen(self, query: str, urls: Sequence[str], wanted: Sequence[str]) -> Loaded:
        asked = {"query": " ".join(query.split()), "max_rows": self.max_rows}
        files = FrozenCatalogs(
            folder=Path(self.folder).expanduser(),
            name=self.name,
            request={**asked, **({"release": self.release} if self.release else {"url": self.url})},
            reference=self.reference,
            before={**asked, "address": [place_of(url) for url in urls]},
        )
        path, notes = files.get(self.client, lambda scratch: self._fetch(query, urls), self.columns.name)
        return Loaded(
            table=read_table(path, list(dict.fromkeys(wanted))), where=str(path), notes=notes, reference=self.reference
        )

    def _fetch(self, query: str, urls: Sequence[str]) -> Fetched:
        """Ask the service, or the next one if it does not answer."""
        for k, url in enumerate(urls):
            try:
                answer = ask_tap(self.client, url, query, asynchronous=self.asynchronous, max_rows=self.max_rows)
            except FetchError:
                if k + 1 == len(urls):
                    raise
                continue
            table = read_bytes(answer.body, "answer.vot")
            if table.n_rows == 0:
                raise CatalogError(f"{answer.address} has no rows for this query; widen it: {' '.join(query.split())}")
            return freeze_table(table, answer.address)
        raise CatalogError("catalog.url is not given; name a TAP service")


@dataclass(frozen=True, kw_only=True)
class VizierCatalog(TAPCatalog):
    """A table of VizieR, by its name, with the columns that are mapped, and no limit of rows.

    Parameters
    ----------
    table
        Name, as in ``J/MNRAS/508/3877/maincat``.
    conditions
        In ADQL, each on columns of the table; all must hold.
    cone, box
        Where on the sky.
    """

    table: str = ""
    conditions: list[str] = field(default_factory=list)
    cone: Cone = field(default_factory=Cone)
    box: Box = field(default_factory=Box)

    def adql(self, wanted: Sequence[str]) -> str:
        """What is asked."""
        if not self.table or '"' in self.table:
            raise CatalogError(
                f"catalog.table is {self.table!r}; name a table of VizieR, as in J/MNRAS/508/3877/maincat"
            )
        columns = ", ".join(f'"{name}"' for name in dict.fromkeys(wanted))
        ra, dec = (f'"{name}"' for name in (self.columns.ra, self.columns.dec))
        conditions = [*self.conditions, *self.cone.adql(ra, dec), *self.box.conditions(ra, dec)]
        where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        return f'SELECT {columns} FROM "{self.table}"{where}'


def _gaia_columns() -> CatalogColumns:
    return CatalogColumns(
        name="source_id", pmra="pmra", pmdec="pmdec", parallax="parallax", epoch="ref_epoch", aliases=["designation"]
    )


def gaia_magnitudes() -> dict[str, Magnitude]:
    """Gaia's G, as the archive names it."""
    return {"G": Magnitude(mag="phot_g_mean_mag", band="G")}


@dataclass(frozen=True, kw_only=True)
class GaiaCatalog(TAPCatalog):
    """Sources of Gaia DR3: in a cone or box, of some ids, of some range of magnitudes.

    Parameters
    ----------
    table
        Name in the archive.
    cone, box
        Where on the sky.
    ids
        Source ids; all, where none are given.
    mag_min, mag_max
        Range of G; null for no bound.
    mirrors
        Services that are asked in turn where the first does not answer.
    """

    columns: CatalogColumns = field(default_factory=_gaia_columns)
    magnitudes: dict[str, Magnitude] = field(default_factory=gaia_magnitudes)
    epoch: float = 2016.0
    url: str = field(default="https://gea.esac.esa.int/tap-server/tap", metadata=no_result_with("release"))
    release: str = "DR3"
    name: str = "gaia"
    reference: str = "Gaia Collaboration, Vallenari et al. 2023, A&A 674, A1"
    table: str = "gaiadr3.gaia_source"
    cone: Cone = field(default_factory=Cone)
    box: Box = field(default_factory=Box)
    ids: list[int] = field(default_factory=list)
    mag_min: float | None = None
    mag_max: float | None = None
    mirrors: list[str] = field(default_factory=lambda: ["https://gaia.ari.uni-heidelberg.de/tap"], metadata=NO_RESULT)

    def read(self, wanted: Sequence[str]) -> Loaded:
        """The frozen table, or the answer of the archive or of a mirror, which is then frozen."""
        return self._frozen(self.adql(wanted), [self.url, *self.mirrors], wanted)

    def adql(self, wanted: Sequence[str]) -> str:
        """What is asked."""
        conditions = [*self.cone.adql("ra", "dec"), *self.box.conditions("ra", "dec")]
        if self.ids:
            conditions.append(f"source_id IN ({', '.join(map(str, self.ids))})")
        conditions += [f"phot_g_mean_mag >= {self.mag_min!r}"] if self.mag_min is not None else []
        conditions += [f"phot_g_mean_mag <= {self.mag_max!r}"] if self.mag_max is not None else []
        if not conditions:
            raise CatalogError("catalog=gaia would be the whole sky; give catalog.cone, box, ids or mag_max")
        columns = ", ".join(dict.fromkeys(wanted))
        return f"SELECT {columns} FROM {self.table} WHERE {' AND '.join(conditions)}"
