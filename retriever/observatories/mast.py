"""TESS, Kepler and K2 light curves from MAST (https://mast.stsci.edu/api/v0/): star, observations, files."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from retriever.arrays import Array
from retriever.astrometry import separation_arcsec
from retriever.client.http import Client, about
from retriever.errors import ConfigError, FetchError
from retriever.interfaces import NO_RESULT
from retriever.observatories.bounds import nothing
from retriever.observatories.mast_service import File, invoke, photometry_of, products
from retriever.observatories.requests import constant, place, places
from retriever.rawtable import RawPhotometry
from retriever.source import Source, SourceTable

__all__ = ["KeplerObservatory", "TESSObservatory"]

MAST = "https://mast.stsci.edu"
PIPELINES = ("SPOC-120", "SPOC-20", "TESS-SPOC", "QLP")
TIC, KIC, EPIC = (
    re.compile(rf"(?:{words})[\s_-]*0*(\d+)", re.IGNORECASE) for words in ("TIC", "KIC|KPLR", "EPIC|KTWO")
)
"""How stars are named by their numbers in the catalogs of the missions."""

TIC_EPOCH = 2000.0
"""Julian year of the places in the TIC and in the tables of targets."""


@dataclass(frozen=True, kw_only=True)
class TESSObservatory:
    """Of each sector the best file there is, whole: all columns, all headers, the aperture.

    A star without a TIC number as name or alias is looked for in the TIC; the number then becomes an alias of it.

    Parameters
    ----------
    survey
        Name that the raw data is kept by.
    pipelines
        Which light curves count, the best first: "SPOC-120" and "SPOC-20" (2 minutes and 20 seconds), "TESS-SPOC" and
        "QLP" (from full-frame images).
    all_pipelines
        Whether to take a file of each pipeline, rather than the best of each sector.
    sectors
        Numbers of sectors; all, where none are given.
    radius
        Largest distance of the star from its place in the TIC, in arcsec.
    max_mag_difference
        Largest difference of the catalog's magnitude from Gaia's G in the TIC; 0 for any.
    url
        Address of MAST.
    client
        How it is asked.
    """

    survey: str = "TESS"
    pipelines: list[str] = field(default_factory=lambda: list(PIPELINES))
    all_pipelines: bool = False
    sectors: list[int] = field(default_factory=list)
    radius: float = 5.0
    max_mag_difference: float = 1.0
    url: str = field(default=MAST, metadata=NO_RESULT)
    client: Client = field(default_factory=Client, metadata=NO_RESULT)

    def __post_init__(self) -> None:
        unknown = set(self.pipelines) - set(PIPELINES)
        if unknown or not self.pipelines:
            raise ConfigError(f"observatories.tess.pipelines is {self.pipelines}; choose of {', '.join(PIPELINES)}")

    def fetch(self, sources: Sequence[Source]) -> Iterator[RawPhotometry | Exception]:
        """Ask for each source."""
        yield from self.client.each(self._ask, sources)

    def find_place(self, number: str) -> Source:
        """The star of a TIC number, as a source; used where no catalog names it.

        Raises
        ------
        FetchError
            When the TIC does not have it.
        """
        filters = [{"paramName": "ID", "values": [number]}]
        rows = invoke(self.client, self.url, "Mast.Catalogs.Filtered.Tic", {"columns": "*", "filters": filters}, "")
        if not rows:
            raise FetchError(f"the TIC has no star {number}; check the number")
        return _star(rows[0])

    def request(self, source: Source) -> dict[str, Any]:
        """What is asked for a source: the TIC number, or what finds it in the TIC; and which files."""
        number = _number(TIC, (source.name, *source.aliases))
        if number:
            return {"TIC": number, **self._wanted}
        ra, dec = place(source, TIC_EPOCH)
        by_place = {"ra": ra, "dec": dec, "radius": self.radius}
        if self.max_mag_difference > 0 and np.isfinite(source.mag):
            by_place |= {"mag": float(np.round(source.mag, 6)), "max_mag_difference": self.max_mag_difference}
        return {**by_place, **self._wanted}

    def request_columns(self, sources: SourceTable) -> dict[str, Array]:
        """The requests of a table."""
        n = len(sources)
        numbers = np.array([_number(TIC, names) or None for names in _all_names(sources)], object)
        named = np.array([number is not None for number in numbers.tolist()], np.bool_)
        no_mag = named | ~np.isfinite(sources.mag) | (self.max_mag_difference <= 0)
        ra, dec = places(sources, TIC_EPOCH)
        columns = {
            "ra": (ra, named), "dec": (dec, named), "radius": (np.full(n, self.radius), named),
            "mag": (np.round(sources.mag, 6), no_mag),
            "max_mag_difference": (np.full(n, self.max_mag_difference), no_mag),
        }  # fmt: skip
        return {
            "TIC": numbers,
            **{key: np.ma.MaskedArray(column, mask=mask) for key, (column, mask) in columns.items()},
            **{key: constant(value, n) for key, value in self._wanted.items()},
        }

    @property
    def _wanted(self) -> dict[str, object]:
        """The part of a request that says which files are wanted."""
        wanted: dict[str, object] = {"pipelines": list(self.pipelines), "all_pipelines": self.all_pipelines}
        return {**wanted, "sectors": sorted(set(self.sectors))} if self.sectors else wanted

    def _ask(self, source: Source) -> RawPhotometry:
        keep = about(self.survey, source)
        request = self.request(source)
        number = request.get("TIC") or self._identify(request, keep)
        if not number:
            return nothing("the TIC has no such star", request, f"{self.url}/api/v0/invoke")
        files = _chosen(_tess_files(self.client, self.url, number, keep), request)
        return photometry_of(self.client, self.url, files, keep, f"TIC {number}", request)

    def _identify(self, request: Mapping[str, Any], keep: str) -> str:
        """TIC number of the nearest star whose magnitude agrees; "" where there is none."""
        ra, dec, radius = request["ra"], request["dec"], request["radius"]
        asked = {"ra": ra, "dec": dec, "radius": radius / 3600}
        rows = invoke(self.client, self.url, "Mast.Catalogs.Tic.Cone", asked, keep)
        candidates = []
        for row in rows:
            distance = float(separation_arcsec(row["ra"], row["dec"], ra, dec))
            gaia = row.get("GAIAmag") if "mag" in request else None
            differs = gaia is not None and abs(gaia - request["mag"]) > request["max_mag_difference"]
            if distance <= radius and not differs:
                candidates.append((distance, str(row["ID"])))
        return min(candidates)[1] if candidates else ""


@dataclass(frozen=True, kw_only=True)
class KeplerObservatory:
    """All files of a star of Kepler or K2, whole: all columns, all headers, the aperture.

    A star without a KIC or EPIC number as name or alias is looked for by place; the number then becomes an alias of it.

    Parameters
    ----------
    survey
        Name that the raw data is kept by.
    missions
        "Kepler", "K2", or both.
    cadence
        "long" (half an hour), "short" (a minute) or "both".
    radius
        Largest distance of the star from its target's place, in arcsec.
    url
        Address of MAST.
    client
        How it is asked.
    """

    survey: str = "KEPLER"
    missions: list[str] = field(default_factory=lambda: ["Kepler", "K2"])
    cadence: str = "long"
    radius: float = 4.0
    url: str = field(default=MAST, metadata=NO_RESULT)
    client: Client = field(default_factory=Client, metadata=NO_RESULT)

    def __post_init__(self) -> None:
        if not self.missions or not set(self.missions) <= {"Kepler", "K2"}:
            raise ConfigError(f"observatories.kepler.missions is {self.missions}; choose of Kepler, K2")
        if self.cadence not in ("long", "short", "both"):
            raise ConfigError(f"observatories.kepler.cadence is {self.cadence!r}; it is long, short or both")

    def fetch(self, sources: Sequence[Source]) -> Iterator[RawPhotometry | Exception]:
        """Ask for each source."""
        yield from self.client.each(self._ask, sources)

    def request(self, source: Source) -> dict[str, Any]:
        """What is asked for a source: the name of its target, or a place and radius; and which files."""
        target = _target((source.name, *source.aliases))
        if target:
            return {"target": target, **self._wanted}
        ra, dec = place(source, TIC_EPOCH)
        return {"ra": ra, "dec": dec, "radius": self.radius, **self._wanted}

    def request_columns(self, sources: SourceTable) -> dict[str, Array]:
        """The requests of a table."""
        n = len(sources)
        targets = np.array([_target(names) or None for names in _all_names(sources)], object)
        named = np.array([target is not None for target in targets.tolist()], np.bool_)
        ra, dec = places(sources, TIC_EPOCH)
        by_place = {"ra": ra, "dec": dec, "radius": np.full(n, self.radius)}
        return {
            "target": targets,
            **{key: np.ma.MaskedArray(column, mask=named) for key, column in by_place.items()},
            **{key: constant(value, n) for key, value in self._wanted.items()},
        }

    @property
    def _wanted(self) -> dict[str, object]:
        """The part of a request that says which files are wanted."""
        return {"missions": sorted(set(self.missions)), "cadence": self.cadence}

    def _ask(self, source: Source) -> RawPhotometry:
        keep = about(self.survey, source)
        request = self.request(source)
        rows = self._observations(request, keep)
        targets = {str(row["target_name"]) for row in rows}
        if not targets:
            return nothing("no target of Kepler or K2 there", request, f"{self.url}/api/v0/invoke")
        if len(targets) > 1:
            ra, dec = request["ra"], request["dec"]
            nearest = min(rows, key=lambda row: float(separation_arcsec(row["s_ra"], row["s_dec"], ra, dec)))
            targets = {str(nearest["target_name"])}
            rows = [row for row in rows if row["target_name"] in targets]
        files = []
        wanted = {"long": ("llc",), "short": ("slc",), "both": ("llc", "slc")}[request["cadence"]]
        for product in products(self.client, self.url, rows, keep):
            name = str(product["productFilename"])
            match = re.fullmatch(r"(?:kplr|ktwo)\d+-([\dc]+)_(llc|slc)\.fits", name)
            if match and match[2] in wanted:
                files.append(
                    File(kind=match[2], part=match[1], name=name, uri=product["dataURI"], size=product.get("size"))
                )
        files.sort(key=lambda file: (file.part, file.kind))
        (target,) = targets
        catalog = "EPIC" if target.lower().startswith("ktwo") else "KIC"
        alias = f"{catalog} {int(re.sub(r'[^0-9]', '', target))}"
        return photometry_of(self.client, self.url, files, keep, alias, request)

    def _observations(self, request: Mapping[str, Any], keep: str) -> list[dict[str, Any]]:
        filters = [
            {"paramName": "obs_collection", "values": request["missions"]},
            {"paramName": "dataproduct_type", "values": ["timeseries"]},
        ]
        if "target" in request:
            filters.append({"paramName": "target_name", "values": [request["target"]]})
            return invoke(self.client, self.url, "Mast.Caom.Filtered", {"columns": "*", "filters": filters}, keep)
        ra, dec, radius = request["ra"], request["dec"], request["radius"]
        asked = {"columns": "*", "filters": filters, "position": f"{ra:.7f}, {dec:.7f}, {radius / 3600:.7f}"}
        rows = invoke(self.client, self.url, "Mast.Caom.Filtered.Position", asked, keep)
        return [row for row in rows if separation_arcsec(row["s_ra"], row["s_dec"], ra, dec) <= radius]


def _chosen(files: list[File], request: Mapping[str, Any]) -> list[File]:
    """The files of TESS that a request wants: the best of each sector, or one of each pipeline."""
    order = {kind: k for k, kind in enumerate(request["pipelines"])}
    wanted = [file for file in files if file.kind in order]
    if "sectors" in request:
        wanted = [file for file in wanted if file.part.isdigit() and int(file.part) in request["sectors"]]
    wanted.sort(key=lambda file: (file.part, order[file.kind], file.name))
    best: dict[tuple[str, ...], File] = {}
    for file in wanted:
        best.setdefault((file.part, file.kind) if request["all_pipelines"] else (file.part,), file)
    return list(best.values())


def _tess_files(client: Client, url: str, number: str, keep: str) -> list[File]:
    """Light-curve files of a star, of all pipelines."""
    filters = [
        {"paramName": "target_name", "values": [number]},
        {"paramName": "obs_collection", "values": ["TESS", "HLSP"]},
        {"paramName": "dataproduct_type", "values": ["timeseries"]},
        {"paramName": "provenance_name", "values": ["SPOC", "TESS-SPOC", "QLP"]},
    ]
    rows = invoke(client, url, "Mast.Caom.Filtered", {"columns": "*", "filters": filters}, keep)
    files = []
    for product in products(client, url, rows, keep):
        name = str(product["productFilename"])
        kind = _tess_kind(name)
        sector = re.search(r"[-_]s(\d{4})", name)
        if kind and sector:
            part = str(int(sector[1])).zfill(4)
            files.append(File(kind=kind, part=part, name=name, uri=product["dataURI"], size=product.get("size")))
    return files


def _tess_kind(name: str) -> str:
    """Pipeline of a light-curve file by its name; "" for other files.

    Examples
    --------
    >>> _tess_kind("tess2018206045859-s0001-0000000441420236-0120-s_lc.fits")
    'SPOC-120'
    >>> _tess_kind("tess2018206045859-s0001-0000000441420236-0120-s_tp.fits")
    ''
    """
    if re.fullmatch(r"tess\d+-s\d{4}-\d+-\d+-[a-z]_lc\.fits", name):
        return "SPOC-120"
    if re.fullmatch(r"tess\d+-s\d{4}-\d+-\d+-a_fast-lc\.fits", name):
        return "SPOC-20"
    if re.fullmatch(r"hlsp_tess-spoc_tess_phot_\d+-s\d{4}_tess_v\d+_lc\.fits", name):
        return "TESS-SPOC"
    if re.fullmatch(r"hlsp_qlp_tess_ffi_s\d{4}-\d+_tess_v\d+_llc\.fits", name):
        return "QLP"
    return ""


def _number(pattern: re.Pattern[str], names: Iterable[str]) -> str:
    """Number that one of a source's names has, or ""."""
    matches = (pattern.fullmatch(name.strip()) for name in names)
    return next((match[1] for match in matches if match), "")


def _target(names: Sequence[str]) -> str:
    """Name of the target of Kepler or K2 that one of a source's names has, or "".

    Examples
    --------
    >>> _target(["x", "KIC 757076"]), _target(["EPIC-0009"]), _target(["TIC 1"])
    ('kplr000757076', 'ktwo000000009', '')
    """
    kic, epic = _number(KIC, names), _number(EPIC, names)
    return f"kplr{int(kic):09d}" if kic else f"ktwo{int(epic):09d}" if epic else ""


def _all_names(sources: SourceTable) -> Iterator[tuple[str, ...]]:
    """Name and aliases of each source."""
    aliases = sources.aliases or ((),) * len(sources)
    return ((name, *others) for name, others in zip(sources.name.tolist(), aliases, strict=True))


def _star(row: dict[str, Any]) -> Source:
    def number(key: str) -> float:
        value = row.get(key)
        return float("nan") if value is None else float(value)

    return Source(
        name=f"TIC {row['ID']}", ra=number("ra"), dec=number("dec"), pmra=number("pmRA"), pmdec=number("pmDEC"),
        mag=number("Tmag"), band="TESS",
    )  # fmt: skip
