"""Light curves as FITS files that `lightkurve.read` opens: one file a light curve."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from retriever.api.lightcurve import VersionLightcurve
    from retriever.api.source import SourceInVersion

__all__ = ["write_lightcurves"]


def write_lightcurves(lightcurves: Iterable[tuple["SourceInVersion", "VersionLightcurve"]], folder: Path) -> None:
    """Write one FITS file a light curve into a folder.

    Times are BJD_TDB as MJD where they are known, else those of the survey; FITS says which (``TIMESYS``, ``TIMEREF``).

    Parameters
    ----------
    lightcurves
        Light curves with their sources.
    """
    for number, (source, lc) in enumerate(lightcurves, 1):
        name = re.sub(r"[^A-Za-z0-9_+.-]", "_", f"{source.name[:60]}_{lc.observatory[:20]}_{lc.number:02d}")
        _write(source, lc, folder / f"{number:06d}_{name}.fits")


def _write(source: "SourceInVersion", lc: "VersionLightcurve", path: Path) -> None:
    from astropy.io import fits

    known = lc.bjd_offset is not None
    system = lc.time_system
    time = lc.bjd if known else lc.time
    unit = {"e-/s": "electron/s", "1": ""}.get(lc.flux_unit, lc.flux_unit)
    quality = np.where(lc.qflag, np.maximum(lc.flag, 1), 0).astype(np.int32)
    columns = [
        fits.Column(name="TIME", format="D", unit="d", array=time),
        fits.Column(name="FLUX", format="D", unit=unit, array=lc.flux),
        fits.Column(name="FLUX_ERR", format="D", unit=unit, array=lc.flux_err),
        fits.Column(name="QUALITY", format="J", array=quality),
        fits.Column(name="MAG", format="D", unit="mag", array=lc.mag),
        fits.Column(name="MAG_ERR", format="D", unit="mag", array=lc.mag_err),
        fits.Column(name="EXPTIME", format="D", unit="s", array=lc.exptime),
    ]
    for name, column in lc.extra.items():
        if column.ndim == 1 and column.dtype.kind == "f":
            columns.append(fits.Column(name=name.upper(), format="D", array=column))
    table = fits.BinTableHDU.from_columns(columns, name="LIGHTCURVE")
    for key, value in {
        "TIMESYS": "TDB" if known else system.scale.upper(), "TIMEUNIT": "d", "MJDREFI": 0, "MJDREFF": 0.0,
        "TIMEREF": {"barycenter": "SOLARSYSTEM", "heliocenter": "HELIOCENTRIC"}.get(
            "barycenter" if known else system.reference, "LOCAL"
        ),
    }.items():  # fmt: skip
        table.header[key] = value
    primary = fits.PrimaryHDU()
    for key, value in _cards(source, lc).items():
        primary.header[key] = value
    fits.HDUList([primary, table]).writeto(path, checksum=True)


def _cards(source: "SourceInVersion", lc: "VersionLightcurve") -> dict[str, Any]:
    """What is known of a light curve as FITS cards, which are ASCII."""
    texts = {
        "OBJECT": source.name, "LABEL": source.name, "VERSION": lc.version, "OBSERVAT": lc.observatory,
        "LEVEL": lc.level, "FILTER": lc.band, "SERIES": lc.series, "FLUXUNIT": lc.flux_unit,
    }  # fmt: skip
    cards: dict[str, Any] = {key: re.sub(r"[^ -~]", "?", text)[:60] for key, text in texts.items()}
    numbers = {"RA_OBJ": source.catalog.ra, "DEC_OBJ": source.catalog.dec, "ZEROPNT": lc.zero_point}
    cards |= {key: value for key, value in numbers.items() if np.isfinite(value)}
    return cards | {"NUMBER": lc.number, "ORIGIN": "retriever"}
