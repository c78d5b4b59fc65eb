"""One clock for all surveys: BJD_TDB, barycentric Julian Date in barycentric dynamical time (Eastman, Siverd & Gaudi
2010, PASP 122, 935).

The Earth's place comes from ERFA's series (`erfa.epv00`, right to 5 km or 0.02 ms), evaluated once a day and
interpolated with cubics through places and velocities (right to 0.1 km). What is left out is small: where on or around
the Earth the observer is (up to 21 ms on the ground, 25 ms in low orbit), the star's parallax (1 ms for 1 pc), and the
gravity of the Sun (0.05 ms).
"""

from functools import lru_cache

import numpy as np

from retriever.arrays import Array, Floats, Rows

__all__ = ["bjd_offset", "seconds_to_tdb"]

_LIGHT_SECONDS = 499.004783836
"""Light time of one astronomical unit, in seconds (IAU 2012 B2)."""

_FIRST, _LAST = 15384, 88069
"""The years 1901 to 2099 as MJD, for which the series holds."""

_DAYS = 512
"""Days that are tabled at a time."""


def bjd_offset(
    time: Floats, exptime: Floats, ra: Floats, dec: Floats, lengths: Rows, *, scale: str, reference: str, point: str
) -> Floats:
    """What to add to a survey's times to have BJD_TDB in the middle of the exposure, in seconds.

    Parameters
    ----------
    time
        MJD of epochs of light curves that lie one after the other.
    exptime
        Exposure time in seconds; an unknown one counts as zero.
    ra, dec
        Place of the star of each light curve in degrees.
    lengths
        Epochs of each light curve.
    scale
        "utc", "tai", "tt", "tdb" or "tcb".
    reference
        "observer", "heliocenter" or "barycenter".
    point
        Which moment of the exposure the times are: "start", "middle" or "end".

    Returns
    -------
    numpy.ndarray
        NaN where the place is unknown, the time not in the years 1901 to 2099, or scale or reference another word.

    Examples
    --------
    A star at the ecliptic's pole, where the Earth's way matters little, and one in the ecliptic, both on 2018-01-01:

    >>> place = {"ra": np.array([270.0, 100.0]), "dec": np.array([66.56, 23.1])}
    >>> bjd_offset(np.full(2, 58119.0), np.full(2, 30.0), **place, lengths=np.array([1, 1]), scale="utc",
    ...            reference="observer", point="start").round(1).tolist()
    [84.1, 577.6]
    """
    with np.errstate(invalid="ignore"):
        is_known = (time >= _FIRST) & (time < _LAST)
    when = np.where(is_known, time, 51544.0)
    seconds = seconds_to_tdb(when, scale)
    seconds += {"start": 0.5, "middle": 0.0, "end": -0.5}[point] * np.where(np.isfinite(exptime), exptime, 0.0)
    if reference != "barycenter":
        seconds += _light_time(when + seconds / 86400.0, ra, dec, lengths, reference)
    return np.where(is_known, seconds, np.nan)


def seconds_to_tdb(time: Floats, scale: str) -> Floats:
    """TDB less the time of a scale, in seconds; NaN for a scale that is not known.

    Leap seconds are those that the installed ERFA knows. TDB - TT is the annual term alone (right to 0.03 ms).

    Examples
    --------
    >>> seconds_to_tdb(np.array([57753.9, 57754.1]), "utc").round(3).tolist()
    [68.184, 69.184]
    """
    if scale == "tdb":
        return np.zeros(time.size)
    if scale == "tcb":  # IAU 2006 B3
        return -1.550519768e-8 * (time + 2400000.5 - 2443144.5003725) * 86400.0 - 6.55e-5
    anomaly = np.radians(357.53 + 0.98560028 * (time - 51544.5))
    from_tt = 0.001657 * np.sin(anomaly) + 0.000022 * np.sin(2 * anomaly)
    if scale == "tt":
        return np.asarray(from_tt)
    if scale == "tai":
        return np.asarray(from_tt + 32.184)
    if scale == "utc":
        days, tai_less_utc = _leap_seconds()
        return np.asarray(from_tt + 32.184 + tai_less_utc[np.searchsorted(days, time, side="right")])
    return np.full(time.size, np.nan)


@lru_cache(maxsize=1)
def _leap_seconds() -> tuple[Floats, Floats]:
    """Days from which TAI - UTC has its next value, and the values; the first is that before the first of them."""
    import erfa

    known = erfa.leap_seconds.get()
    days, seconds = [], [0.0]
    for year, month, value in known.tolist():
        days.append(erfa.cal2jd(year, month, 1)[1])
        seconds.append(value)
    return np.array(days), np.array(seconds)


def _light_time(time: Floats, ra: Floats, dec: Floats, lengths: Rows, reference: str) -> Floats:
    """Seconds by which light reaches the barycenter later than the observer or the Sun's center."""
    if reference not in ("observer", "heliocenter"):
        return np.full(time.size, np.nan)
    if not time.size:
        return np.zeros(0)
    time = np.where(np.isfinite(time), time, 51544.0)
    day = np.floor(time).astype(np.int64)
    first, last = int(day.min()) // _DAYS, int(day.max()) // _DAYS
    blocks = [_cubics(block, reference) for block in range(first, last + 1)]
    cubics = blocks[0] if len(blocks) == 1 else np.concatenate(blocks, axis=2)
    at, share = day - first * _DAYS, time - day
    ra, dec = np.radians(ra), np.radians(dec)
    toward = np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)]) * _LIGHT_SECONDS
    along = np.zeros(time.size)
    for of_axis, component in zip(cubics, toward, strict=True):
        place = of_axis[3].take(at)
        for power in (2, 1, 0):
            place *= share
            place += of_axis[power].take(at)
        place *= np.repeat(component, lengths)
        along += place
    return along


@lru_cache(maxsize=256)
def _cubics(block: int, reference: str) -> Array:
    """Coefficients, by axis, power and day, of the place of the Earth or the Sun from the barycenter, in au."""
    import erfa

    days = block * _DAYS + np.arange(_DAYS + 1.0)
    from_sun, from_barycenter = erfa.epv00(2400000.5, np.clip(days, _FIRST, _LAST))
    p, v = (from_barycenter[key] - (from_sun[key] if reference == "heliocenter" else 0.0) for key in ("p", "v"))
    step = p[1:] - p[:-1]
    cubics = np.stack([p[:-1], v[:-1], 3 * step - 2 * v[:-1] - v[1:], v[:-1] + v[1:] - 2 * step])
    return np.ascontiguousarray(cubics.transpose(2, 0, 1))
