"""Answers of the archives in their exact form: generated, or real ones where there is real data."""

import csv
from pathlib import Path

import numpy as np

from retriever.astrometry import separation_arcsec
from retriever.identity import random_stream
from tests.archive import Archive, Reply, Request, Route

ZTF_COLUMNS = [
    "oid",
    "expid",
    "hjd",
    "mjd",
    "mag",
    "magerr",
    "catflags",
    "filtercode",
    "ra",
    "dec",
    "chi",
    "sharp",
    "filefracday",
    "field",
    "ccdid",
    "qid",
    "limitmag",
    "magzp",
    "magzprms",
    "clrcoeff",
    "clrcounc",
    "exptime",
    "airmass",
    "programid",
]
ZTF_PATH = "/cgi-bin/ZTF/nph_light_curves"


def ztf_answer(ra: float, dec: float, mag: float = 17.0, epochs: int = 60, columns: list[str] | None = None) -> bytes:
    """A table of IRSA's light-curve service, made up: two object ids, g and r."""
    rng = random_stream(1, "ztf", f"{ra:.4f} {dec:.4f}")
    rows = [",".join(columns or ZTF_COLUMNS)]
    for number, code in enumerate(("zg", "zr")):
        mjd = np.sort(rng.uniform(58200, 60000, epochs))
        mags = mag + 0.02 * rng.standard_normal(epochs)
        for k in range(epochs):
            row = {
                "oid": f"{600 + number}1031000{int(ra * 1000) % 100000:05d}", "expid": f"{54248304 + k}",
                "hjd": f"{mjd[k] + 2400000.502:.13f}", "mjd": f"{mjd[k]:.9f}", "mag": f"{mags[k]:.6f}",
                "magerr": "0.0201", "catflags": "32768" if k % 29 == 0 else "0", "filtercode": code,
                "ra": f"{ra + 1e-5 * rng.standard_normal() / np.cos(np.radians(dec)):.9f}",
                "dec": f"{dec + 1e-5 * rng.standard_normal():.9f}",
                "chi": "0.725000024", "sharp": "-0.00300000003", "filefracday": "20180627483032", "field": "604",
                "ccdid": "0x3", "qid": "0x1", "limitmag": "19.4200001", "magzp": "26.2383842", "magzprms": "0.037",
                "clrcoeff": "-0.05754", "clrcounc": "8.8e-05", "exptime": "30", "airmass": "1.583", "programid": "1",
            }  # fmt: skip
            rows.append(",".join(row.get(name, "7") for name in columns or ZTF_COLUMNS))
    return ("\n".join(rows) + "\n").encode()


def ztf_route(real: Path | None = None, **how: object) -> Route:
    """IRSA's service: real tables for the stars that are known, made-up ones for the rest."""
    known = []
    if real is not None:
        with (real / "catalogs" / "ztf_white_dwarfs.csv").open() as file:
            known = [(float(row["ra"]), float(row["dec"]), row["source_id"]) for row in csv.DictReader(file)]

    def answer(request: Request) -> Reply:
        shape, ra, dec, radius = request.params["POS"].split()
        if (
            shape != "CIRCLE"
            or request.params["FORMAT"] != "CSV"
            or not request.params["COLLECTION"].startswith("ztf_dr")
        ):
            return Reply(b"bad request", 400)
        for star_ra, star_dec, name in known:
            if separation_arcsec(star_ra, star_dec, float(ra), float(dec)) < max(float(radius) * 3600, 5.0):
                return Reply((real / "ztf" / f"irsa_{name}.csv").read_bytes(), headers={"Content-Type": "text/csv"})  # type: ignore[operator]
        if float(dec) < -30:
            return Reply((",".join(ZTF_COLUMNS) + "\n").encode())
        return Reply(ztf_answer(float(ra), float(dec), **how), headers={"Content-Type": "text/csv"})  # type: ignore[arg-type]

    return answer


def ztf_archive(real: Path | None = None, **how: object) -> Archive:
    return Archive(routes={ZTF_PATH: ztf_route(real, **how)})


# ---- white dwarfs ------------------------------------------------------------------------------------------------

WHITE_DWARFS_PATH = "/catalogues/gaiaedr3_wd_main.fits.gz"


def white_dwarfs_fits(n: int, seed: int = 0) -> bytes:
    """The authors' file with its native columns, made up."""
    import gzip
    import io

    from astropy.io import fits

    rng = np.random.default_rng(seed)
    ra, dec = rng.uniform(0, 360, n), np.degrees(np.arcsin(rng.uniform(-0.4, 1, n)))
    columns = {
        "WDJ_name": ("23A", np.array([f"WDJ{k:06d}.00+000000.00" for k in range(n)])),
        "designation": ("28A", np.array([f"Gaia EDR3 {10**18 + k}" for k in range(n)])),
        "source_id": ("K", 10**18 + np.arange(n)),
        "ra": ("D", ra), "dec": ("D", dec), "parallax": ("D", rng.uniform(1, 30, n)),
        "pmra": ("D", rng.normal(0, 50, n)), "pmdec": ("D", rng.normal(0, 50, n)),
        "phot_g_mean_mag": ("E", rng.uniform(14, 20.5, n)), "Pwd": ("E", rng.uniform(0, 1, n)),
    }  # fmt: skip
    table = fits.BinTableHDU.from_columns(
        [fits.Column(name, kind, array=data) for name, (kind, data) in columns.items()]
    )
    image = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), table]).writeto(image)
    return gzip.compress(image.getvalue(), 1)


def white_dwarfs_route(n: int = 200, seed: int = 0) -> Route:
    body = white_dwarfs_fits(n, seed)
    return lambda request: Reply(body, headers={"Content-Type": "application/gzip"})
