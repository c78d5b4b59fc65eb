"""TESS, Kepler and K2 light curves from MAST (https://mast.stsci.edu/api/v0/): star, observations, files."""

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from retriever.astrometry import separation_arcsec
from retriever.client.answers import refuse_web_page
from retriever.client.http import Client, about
from retriever.client.inbox import Answer
from retriever.errors import ConfigError, DataError, FetchError
from retriever.formats import read_aperture, read_bytes
from retriever.observatories.bounds import nothing
from retriever.observatories.requests import place, request_text
from retriever.rawtable import RawPhotometry, RawTable
from retriever.source import Source
from retriever.verbs import NO_RESULT

__all__ = ["KeplerObservatory", "TESSObservatory"]

MAST = "https://mast.stsci.edu"
PIPELINES = ("SPOC-120", "SPOC-20", "TESS-SPOC", "QLP")
PAGE = 5000

TIC_EPOCH = 2000.0
"""Julian year of the places in the TIC and in the tables of targets."""


@dataclass(frozen=True, kw_only=True)
class File:
    """One light-curve file: `kind` is the pipeline (with its cadence), `part` the sector, quarter or campaign."""

    kind: str
    part: str
    name: str
    uri: str
    size: int | None


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
        rows = _invoke(self.client, self.url, "Mast.Catalogs.Filtered.Tic", {"columns": "*", "filters": filters}, "")
        if not rows:
            raise FetchError(f"the TIC has no star {number}; check the number")
        return _star(rows[0])

    def request(self, source: Source) -> dict[str, Any]:
        """What is asked for a source: the TIC number, or what finds it in the TIC; and which files."""
        wanted: dict[str, Any] = {"pipelines": list(self.pipelines), "all_pipelines": self.all_pipelines}
        if self.sectors:
            wanted["sectors"] = sorted(set(self.sectors))
        number = _number(r"(?:TIC[\s_-]*)0*(\d+)", source)
        if number:
            return {"TIC": number, **wanted}
        ra, dec = place(source, TIC_EPOCH)
        by_place = {"ra": ra, "dec": dec, "radius": self.radius}
        if self.max_mag_difference > 0 and math.isfinite(source.mag):
            by_place |= {"mag": round(source.mag, 6), "max_mag_difference": self.max_mag_difference}
        return {**by_place, **wanted}

    def _ask(self, source: Source) -> RawPhotometry:
        keep = about(self.survey, source)
        request = self.request(source)
        number = request.get("TIC") or self._identify(request, keep)
        if not number:
            return nothing("the TIC has no such star", request, f"{self.url}/api/v0/invoke")
        files = _chosen(_tess_files(self.client, self.url, number, keep), request)
        return _photometry(self.client, self.url, files, keep, f"TIC {number}", request)

    def _identify(self, request: Mapping[str, Any], keep: str) -> str:
        """TIC number of the nearest star whose magnitude agrees; "" where there is none."""
        ra, dec, radius = request["ra"], request["dec"], request["radius"]
        asked = {"ra": ra, "dec": dec, "radius": radius / 3600}
        rows = _invoke(self.client, self.url, "Mast.Catalogs.Tic.Cone", asked, keep)
        found = []
        for row in rows:
            distance = float(separation_arcsec(row["ra"], row["dec"], ra, dec))
            gaia = row.get("GAIAmag") if "mag" in request else None
            differs = gaia is not None and abs(gaia - request["mag"]) > request["max_mag_difference"]
            if distance <= radius and not differs:
                found.append((distance, str(row["ID"])))
        return min(found)[1] if found else ""


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
        wanted = {"missions": sorted(set(self.missions)), "cadence": self.cadence}
        kic = _number(r"(?:KIC|KPLR)[\s_-]*0*(\d+)", source)
        epic = _number(r"(?:EPIC|KTWO)[\s_-]*0*(\d+)", source)
        if kic or epic:
            return {"target": f"kplr{int(kic):09d}" if kic else f"ktwo{int(epic):09d}", **wanted}
        ra, dec = place(source, TIC_EPOCH)
        return {"ra": ra, "dec": dec, "radius": self.radius, **wanted}

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
        for product in _products(self.client, self.url, rows, keep):
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
        return _photometry(self.client, self.url, files, keep, alias, request)

    def _observations(self, request: Mapping[str, Any], keep: str) -> list[dict[str, Any]]:
        filters = [
            {"paramName": "obs_collection", "values": request["missions"]},
            {"paramName": "dataproduct_type", "values": ["timeseries"]},
        ]
        if "target" in request:
            filters.append({"paramName": "target_name", "values": [request["target"]]})
            return _invoke(self.client, self.url, "Mast.Caom.Filtered", {"columns": "*", "filters": filters}, keep)
        ra, dec, radius = request["ra"], request["dec"], request["radius"]
        asked = {"columns": "*", "filters": filters, "position": f"{ra:.7f}, {dec:.7f}, {radius / 3600:.7f}"}
        rows = _invoke(self.client, self.url, "Mast.Caom.Filtered.Position", asked, keep)
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
    rows = _invoke(client, url, "Mast.Caom.Filtered", {"columns": "*", "filters": filters}, keep)
    found = []
    for product in _products(client, url, rows, keep):
        name = str(product["productFilename"])
        kind = _tess_kind(name)
        sector = re.search(r"[-_]s(\d{4})", name)
        if kind and sector:
            part = str(int(sector[1])).zfill(4)
            found.append(File(kind=kind, part=part, name=name, uri=product["dataURI"], size=product.get("size")))
    return found


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


# ---- the protocol ------------------------------------------------------------------------------------------------


def _invoke(client: Client, url: str, service: str, params: dict[str, Any], keep: str) -> list[dict[str, Any]]:
    """All rows of a service's answer, page after page."""
    rows: list[dict[str, Any]] = []
    page = 1
    while True:
        request = {"service": service, "params": params, "format": "json", "pagesize": PAGE, "page": page}
        answer = client.post(
            f"{url}/api/v0/invoke", {"request": json.dumps(request, sort_keys=True)}, check=_check_json, about=keep
        )
        told = json.loads(answer.body)
        rows += told.get("data", [])
        if page >= int(told.get("paging", {}).get("pagesFiltered", 1) or 1):
            return rows
        page += 1


def _check_json(answer: Answer) -> None:
    refuse_web_page(answer.body, answer.address)
    try:
        told = json.loads(answer.body)
        status = told["status"]
    except (ValueError, KeyError, TypeError):
        raise FetchError(f"{answer.address} answered with no JSON: {answer.text[:120]!r}", passing=True) from None
    if status == "EXECUTING":
        raise FetchError(f"{answer.address} is still at work on the question", passing=True)
    if status != "COMPLETE":
        raise FetchError(f"{answer.address} answered with an error: {told.get('msg') or status}")


def _products(client: Client, url: str, rows: Sequence[dict[str, Any]], keep: str) -> list[dict[str, Any]]:
    """Files of observations, each once."""
    if not rows:
        return []
    numbers = ",".join(sorted({str(row["obsid"]) for row in rows}))
    found = _invoke(client, url, "Mast.Caom.Products", {"obsid": numbers}, keep)
    return list({product["dataURI"]: product for product in found}.values())


def _photometry(
    client: Client, url: str, files: Sequence[File], keep: str, alias: str, request: Mapping[str, Any]
) -> RawPhotometry:
    """Download files and read them."""
    tables: list[RawTable] = []
    fetched = ""
    for file in files:
        read: list[RawTable] = []

        def check(answer: Answer, name: str = file.name, read: list[RawTable] = read) -> None:
            refuse_web_page(answer.body, answer.address)
            try:
                read[:] = _tables(answer.body, name)
            except DataError as error:
                raise FetchError(f"{answer.address} sent a broken file: {error}", passing=True) from error

        answer = client.get(f"{url}/api/v0.1/Download/file", {"uri": file.uri}, check=check, size=file.size, about=keep)
        tables += read or _tables(answer.body, file.name)  # one that was kept has passed its check before
        fetched = max(fetched, answer.fetched)
    told = {"fetched": fetched} if fetched else {}
    return RawPhotometry(
        tables=tuple(tables),
        provenance={
            "address": f"{url}/api/v0.1/Download/file",
            "request": " ".join(file.uri for file in files) or alias,
            "asked": request_text(request),
            "release": ", ".join(sorted({file.kind for file in files})),
            "status": "200",
            **told,
        },
        aliases=(alias,),
    )


def _tables(image: bytes, name: str) -> list[RawTable]:
    """The light curve in a file, and the aperture."""
    return [read_bytes(image, name), *read_aperture(image, name)]


def _number(pattern: str, source: Source) -> str:
    """Number that a name or alias of a source has, or ""."""
    found = (re.fullmatch(pattern, name.strip(), re.IGNORECASE) for name in (source.name, *source.aliases))
    return next((one[1] for one in found if one), "")


def _star(row: dict[str, Any]) -> Source:
    def number(key: str) -> float:
        value = row.get(key)
        return float("nan") if value is None else float(value)

    return Source(
        name=f"TIC {row['ID']}", ra=number("ra"), dec=number("dec"), pmra=number("pmRA"), pmdec=number("pmDEC"),
        mag=number("Tmag"), band="TESS",
    )  # fmt: skip
