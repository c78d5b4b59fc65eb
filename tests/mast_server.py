"""MAST for tests: the star catalog, observations, products and files, in the form of the real service's answers."""

import io
import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from retriever.astrometry import separation_arcsec
from retriever.identity import random_stream
from tests.archive import Archive, Reply, Request


@dataclass
class MASTServer:
    """Files by name, and stars of the TIC; routes are added to an archive."""

    archive: Archive
    files: dict[str, bytes] = field(default_factory=dict)
    stars: list[dict[str, Any]] = field(default_factory=list)
    page_size: int = 5000

    def __post_init__(self) -> None:
        self.archive.routes["/api/v0/invoke"] = self.invoke
        self.archive.routes["/api/v0.1/Download/file"] = self.download

    def add_folder(self, folder: Path) -> None:
        """All light-curve files of a folder, under their own names."""
        self.files |= {path.name: path.read_bytes() for path in folder.glob("*.fits")}

    def add_star(
        self, number: int, ra: float, dec: float, gaia: float | None = None, sectors: tuple[int, ...] = (1,)
    ) -> None:
        """A star of the TIC with made-up 2-minute light curves."""
        self.stars.append({
            "ID": number, "ra": ra, "dec": dec, "GAIAmag": gaia, "Tmag": gaia, "pmRA": None, "pmDEC": None, "objType": "STAR",
        })  # fmt: skip
        for sector in sectors:
            name = f"tess2018{206 + 27 * sector:03d}045859-s{sector:04d}-{number:016d}-0120-s_lc.fits"
            self.files[name] = tess_fits(number, sector, ra, dec, gaia or 12.0)

    # ---- answers --------------------------------------------------------------------------------------------------

    def invoke(self, request: Request) -> Reply:
        asked = json.loads(request.params["request"])
        params = asked["params"]
        filters = {one["paramName"]: one["values"] for one in params.get("filters", ())}
        match asked["service"]:
            case "Mast.Catalogs.Tic.Cone":
                near = (params["ra"], params["dec"], params["radius"] * 3600)
                rows = [star for star in self.stars if self._is_near(star["ra"], star["dec"], near)]
            case "Mast.Catalogs.Filtered.Tic":
                rows = [star for star in self.stars if str(star["ID"]) in filters["ID"]]
            case "Mast.Caom.Filtered":
                rows = self._observations(filters)
            case "Mast.Caom.Filtered.Position":
                ra, dec, radius = map(float, params["position"].split(","))
                near = (ra, dec, radius * 3600)
                rows = [row for row in self._observations(filters) if self._is_near(row["s_ra"], row["s_dec"], near)]
            case "Mast.Caom.Products":
                wanted = set(params["obsid"].split(","))
                rows = [row for row in self._products() if str(row["obsID"]) in wanted]
            case _:
                return Reply(json.dumps({"status": "ERROR", "msg": f"no service {asked['service']}"}).encode())
        size, page = min(asked["pagesize"], self.page_size), asked["page"]
        paging = {
            "page": page,
            "pageSize": size,
            "pagesFiltered": max(-(-len(rows) // size), 1),
            "rowsFiltered": len(rows),
        }
        told = {
            "status": "COMPLETE",
            "msg": "",
            "data": rows[(page - 1) * size : page * size],
            "fields": [],
            "paging": paging,
        }
        return Reply(json.dumps(told).encode(), headers={"Content-Type": "application/json"})

    def download(self, request: Request) -> Reply:
        name = request.params["uri"].rpartition("/")[2]
        return Reply(self.files[name]) if name in self.files else Reply(b"not found", 404)

    @staticmethod
    def _is_near(ra: float, dec: float, near: tuple[float, float, float]) -> bool:
        return bool(separation_arcsec(ra, dec, near[0], near[1]) <= near[2])

    def _observations(self, filters: dict[str, list[str]]) -> list[dict[str, Any]]:
        rows = []
        for obsid, (name, image) in enumerate(self.files.items(), 1000):
            row = {"obsid": obsid, "dataproduct_type": "timeseries", **facts(name, image)}
            if all(str(row[key]) in list(map(str, values)) for key, values in filters.items()):
                rows.append(row)
        return rows

    def _products(self) -> list[dict[str, Any]]:
        rows = []
        for obsid, (name, image) in enumerate(self.files.items(), 1000):
            for product, size in (
                (name, len(image)),
                (re.sub(r"_l?l?c?[cC]\.fits|_slc\.fits", "_tp.fits", name), 5),
                ("dvt.fits", 7),
            ):
                rows.append({
                    "obsID": obsid, "dataURI": f"mast:TESS/product/{product}", "productFilename": product, "size": size,
                    "dataproduct_type": "timeseries", "productSubGroupDescription": "LC", "type": "S",
                })  # fmt: skip
        return rows


def facts(name: str, image: bytes) -> dict[str, Any]:
    """What CAOM says of a file: collection, target, pipeline, place."""
    from astropy.io import fits

    header = fits.getheader(io.BytesIO(image))
    place = {"s_ra": float(header.get("RA_OBJ") or 0), "s_dec": float(header.get("DEC_OBJ") or 0)}
    if name.startswith(("kplr", "ktwo")):
        collection = "Kepler" if name.startswith("kplr") else "K2"
        return {"obs_collection": collection, "target_name": name.split("-")[0], "provenance_name": collection, **place}
    number = str(int(re.sub(r"\D", "", str(header["OBJECT"]))))
    pipeline = "QLP" if "qlp" in name else "TESS-SPOC" if "hlsp_tess-spoc" in name else "SPOC"
    collection = "HLSP" if name.startswith("hlsp") else "TESS"
    return {"obs_collection": collection, "target_name": number, "provenance_name": pipeline, **place}


def tess_fits(number: int, sector: int, ra: float, dec: float, mag: float, cadences: int = 400) -> bytes:
    """A light-curve file as the mission's pipeline writes it, made up and short."""
    from astropy.io import fits

    rng = random_stream(2, "tess", f"{number} {sector}")
    flux = 10 ** (-0.4 * (mag - 20.44)) * (1 + 0.003 * rng.standard_normal(cadences))
    time = 1325.3 + 27.4 * (sector - 1) + np.arange(cadences) * 2 / 1440
    columns = [
        ("TIME", "D", time), ("TIMECORR", "E", np.zeros(cadences)), ("CADENCENO", "J", np.arange(cadences)),
        ("SAP_FLUX", "E", flux), ("SAP_FLUX_ERR", "E", 0.003 * flux), ("PDCSAP_FLUX", "E", flux),
        ("PDCSAP_FLUX_ERR", "E", 0.003 * flux), ("QUALITY", "J", np.zeros(cadences)),
        ("MOM_CENTR1", "D", np.full(cadences, 100.0)), ("MOM_CENTR2", "D", np.full(cadences, 200.0)),
    ]  # fmt: skip
    table = fits.BinTableHDU.from_columns(
        [fits.Column(name, kind, array=data) for name, kind, data in columns], name="LIGHTCURVE"
    )
    table.header.update(
        {"TELESCOP": "TESS", "BJDREFI": 2457000, "BJDREFF": 0.0, "TIMEDEL": 2 / 1440, "DEADC": 0.792, "EXPOSURE": 1.0}
    )
    primary = fits.PrimaryHDU()
    primary.header.update({
        "TELESCOP": "TESS", "OBJECT": f"TIC {number}", "TICID": number, "SECTOR": sector, "RA_OBJ": ra, "DEC_OBJ": dec,
        "TESSMAG": mag, "PMRA": 0.0, "PMDEC": 0.0,
    })  # fmt: skip
    aperture = fits.ImageHDU(np.ones((11, 11), np.int32), name="APERTURE")
    image = io.BytesIO()
    fits.HDUList([primary, table, aperture]).writeto(image)
    return image.getvalue()
