"""Photometry for SkyPortal: requests of its API as JSON, and photometric series as its uploader takes them (HDF5).

After SkyPortal's documentation of ``POST /api/photometry`` and of photometric series
(https://skyportal.io/docs/photometric_series.html).
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from retriever.arrays import Floats
from retriever.errors import ConfigError
from retriever.exports.hdf5 import opened, put

if TYPE_CHECKING:
    import pandas as pd

    from retriever.api.lightcurve import VersionLightcurve
    from retriever.api.source import SourceInVersion

__all__ = ["SkyPortal", "mjd_utc", "object_id", "requests_of", "write_requests", "write_series"]

_FILTERS = {
    ("ZTF", "g"): "ztfg", ("ZTF", "r"): "ztfr", ("ZTF", "i"): "ztfi",
    ("ZTF", "zg"): "ztfg", ("ZTF", "zr"): "ztfr", ("ZTF", "zi"): "ztfi",
    ("ATLAS", "c"): "atlasc", ("ATLAS", "o"): "atlaso",
    ("PANSTARRS", "g"): "ps1::g", ("PANSTARRS", "r"): "ps1::r", ("PANSTARRS", "i"): "ps1::i",
    ("PANSTARRS", "z"): "ps1::z", ("PANSTARRS", "y"): "ps1::y",
    ("GAIA", "G"): "gaia::g", ("GAIA", "BP"): "gaia::gbp", ("GAIA", "RP"): "gaia::grp",
    ("TESS", "TESS"): "tess", ("KEPLER", "Kepler"): "kepler",
}  # fmt: skip
"""SkyPortal's names of filters, which are those of sncosmo, by survey and band."""

_VEGA = ("GAIA", "NEOWISE")
"""Surveys whose magnitudes are in the Vega system; all others are in AB."""


@dataclass(frozen=True, kw_only=True)
class SkyPortal:
    """What an instance of SkyPortal knows, and a version does not.

    Attributes
    ----------
    instruments
        SkyPortal's number of the instrument, by survey or by the name of an observatory in the config.
    filters
        SkyPortal's name of a filter, by our name of a band; usual bands are known.
    groups
        Numbers of the groups that may see the photometry; all groups where none are named.
    """

    instruments: Mapping[str, int] = field(default_factory=dict)
    filters: Mapping[str, str] = field(default_factory=dict)
    groups: tuple[int, ...] = ()

    def instrument(self, observatory: str, survey: str) -> int:
        """Number of the instrument of a survey.

        Raises
        ------
        ConfigError
            When it is not named.
        """
        known = {name.lower(): number for name, number in self.instruments.items()}
        for name in (observatory, survey):
            if name.lower() in known:
                return known[name.lower()]
        raise ConfigError(
            f"SkyPortal needs its number of the instrument of {observatory}; give --instrument {observatory}=NUMBER"
        )

    def filter(self, survey: str, band: str) -> str:
        """SkyPortal's name of a band."""
        return self.filters.get(band) or _FILTERS.get((survey.upper(), band), band)

    @property
    def group_ids(self) -> list[int] | str:
        """Groups as requests name them."""
        return list(self.groups) or "all"


def mjd_utc(lightcurve: "VersionLightcurve") -> Floats:
    """UTC of the middle of each exposure as MJD, as SkyPortal has times; barycentric times stay barycentric."""
    from astropy.time import Time

    system = lightcurve.time_system
    half = np.where(np.isfinite(lightcurve.exptime), lightcurve.exptime, 0.0) / 2 / 86_400
    middle = lightcurve.time + {"start": 1.0, "middle": 0.0, "end": -1.0}[system.point] * half
    if system.scale == "utc":
        return middle
    return np.asarray(Time(middle, format="mjd", scale=system.scale).utc.mjd, np.float64)


Pairs = Iterable[tuple["SourceInVersion", "VersionLightcurve"]]
"""Light curves with their sources."""


def requests_of(lightcurves: Pairs, surveys: Mapping[str, str], skyportal: SkyPortal) -> Iterator[dict[str, Any]]:
    """Bodies of requests to ``/api/photometry``, one a light curve that has usable epochs.

    Fluxes are sent with their zero point, so that epochs without a positive flux count too.

    Parameters
    ----------
    surveys
        Name of the survey of each observatory.

    Raises
    ------
    ConfigError
        When an instrument is not named, or a light curve has no zero point.
    """
    for source, lc in lightcurves:
        use = lc.usable
        survey = surveys.get(lc.observatory, lc.observatory)
        if use.any():
            yield {
                "obj_id": object_id(source.name),
                "instrument_id": skyportal.instrument(lc.observatory, survey),
                "group_ids": skyportal.group_ids,
                "filter": skyportal.filter(survey, lc.band),
                "magsys": "vega" if survey.upper() in _VEGA else "ab",
                **_fluxes(lc, use),
                "mjd": mjd_utc(lc)[use].tolist(),
                "ra": source.catalog.ra,
                "dec": source.catalog.dec,
                "origin": lc.version,
                "altdata": _altdata(lc),
            }


def _fluxes(lc: "VersionLightcurve", use: NDArray[np.bool_]) -> dict[str, Any]:
    """Fluxes with their errors and zero point."""
    if not np.isfinite(lc.zero_point):
        raise ConfigError(
            f"light curve {lc.number} of {lc.source} in {lc.observatory} has no zero point, which SkyPortal needs; "
            "give the catalog a magnitude, or export other sources"
        )
    errors = [value if np.isfinite(value) else None for value in lc.flux_err[use].tolist()]
    return {"flux": lc.flux[use].tolist(), "fluxerr": errors, "zp": lc.zero_point}


def write_requests(lightcurves: Pairs, surveys: Mapping[str, str], path: Path, skyportal: SkyPortal) -> None:
    """Write bodies of requests as JSON lines: each line is one ``POST /api/photometry``; see `requests_of`."""
    with path.open("w", encoding="utf-8") as file:
        for request in requests_of(lightcurves, surveys, skyportal):
            file.write(json.dumps(request, allow_nan=False) + "\n")


def write_series(lightcurves: Pairs, surveys: Mapping[str, str], folder: Path, skyportal: SkyPortal) -> None:
    """Write photometric series, one HDF5 file a light curve: a table of pandas with the metadata that SkyPortal takes.

    Raises
    ------
    ConfigError
        When the package tables is not installed, or an instrument is not named.
    """
    for number, (source, lc) in enumerate(lightcurves, 1):
        survey = surveys.get(lc.observatory, lc.observatory)
        name = object_id(source.name)
        metadata = {
            "series_name": f"{lc.version}/{object_id(lc.observatory)}",
            "series_obj_id": f"{name}_{lc.number}",
            "obj_id": name,
            "instrument_id": skyportal.instrument(lc.observatory, survey),
            "exp_time": float(np.nanmedian(lc.exptime)) if np.isfinite(lc.exptime).any() else 0.0,
            "ra": source.catalog.ra,
            "dec": source.catalog.dec,
            "filter": skyportal.filter(survey, lc.band),
            "time_stamp_alignment": "middle",
            "origin": lc.version,
            "group_ids": skyportal.group_ids,
            "stream_ids": [],
            "altdata": _altdata(lc),
        }
        if lc.n_epochs:
            with opened(folder / f"{number:06d}_{name[:60]}_{lc.number:02d}.h5") as store:
                put(store, "photometry", _series(lc), metadata)


def _series(lc: "VersionLightcurve") -> "pd.DataFrame":
    """Epochs of a light curve with SkyPortal's names of columns."""
    import pandas as pd

    return pd.DataFrame({
        "mjd": mjd_utc(lc), "flux": lc.flux, "fluxerr": lc.flux_err, "mag": lc.mag, "magerr": lc.mag_err,
        "exptime": lc.exptime, "flag": lc.qflag,
    })  # fmt: skip


def object_id(name: str) -> str:
    """A name as SkyPortal takes it: letters, digits, - and +; others become _.

    Examples
    --------
    >>> object_id("WDJ135309.97+484021.17"), object_id("../../x")
    ('WDJ135309_97+484021_17', '______x')
    """
    return re.sub(r"[^A-Za-z0-9_+-]", "_", name)


def _altdata(lc: "VersionLightcurve") -> dict[str, Any]:
    """What else is known of a light curve."""
    system = lc.time_system
    return {
        "version": lc.version, "observatory": lc.observatory, "series": lc.series, "number": lc.number,
        "level": lc.level, "zero_point": lc.zero_point if np.isfinite(lc.zero_point) else None,
        "flux_unit": lc.flux_unit, "time_reference": system.reference, "source": lc.source,
    }  # fmt: skip
