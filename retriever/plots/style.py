"""What all plots share: axes, colours of bands, names of time axes."""

import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

from retriever.arrays import Floats

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["ACCENT", "BAD", "MUTED", "axes_or_new", "band_color", "legend", "middles", "plain_log", "time_label"]

ACCENT, MUTED, BAD = "#c2410c", "#64748b", "#9f1239"

_BANDS = {
    "u": "#6d28d9", "g": "#15803d", "r": "#c81e1e", "i": "#92400e", "z": "#374151", "y": "#111827",
    "zg": "#15803d", "zr": "#c81e1e", "zi": "#92400e",
    "G": "#334155", "BP": "#1d4ed8", "RP": "#be123c",
    "c": "#0e7490", "o": "#ea580c",
    "W1": "#4338ca", "W2": "#a21caf",
    "TESS": "#9a3412", "Kepler": "#1e40af",
    "U": "#6d28d9", "B": "#1d4ed8", "V": "#15803d", "R": "#c81e1e", "I": "#92400e",
}  # fmt: skip
"""Colours that are usual for bands, dark enough to be seen on white."""

_OTHERS = ("#0369a1", "#b45309", "#047857", "#7e22ce", "#be185d")

_SCALES = {"utc": "UTC", "tdb": "TDB", "tt": "TT", "tai": "TAI"}
_REFERENCES = {"observer": "", "heliocenter": "heliocentric ", "barycenter": "barycentric "}


def axes_or_new(ax: "Axes | None", **figure: Any) -> "Axes":
    """The axes given; those of a new figure where none are."""
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt

    new: Axes = plt.subplots(layout="constrained", **figure)[1]
    return new


def band_color(band: str) -> str:
    """Colour of a band; of one without a usual colour, always the same.

    Examples
    --------
    >>> band_color("g"), band_color("some filter") == band_color("some filter")
    ('#15803d', True)
    """
    return _BANDS.get(band, _OTHERS[zlib.crc32(band.encode()) % len(_OTHERS)])


def time_label(scale: str, reference: str) -> str:
    """Name of an axis of times that are MJD on some clock; "" where it is not known which.

    Examples
    --------
    >>> time_label("utc", "observer"), time_label("tdb", "barycenter")
    ('MJD (UTC)', 'MJD (barycentric TDB)')
    """
    if not scale:
        return "MJD (the survey's own clock)"
    return f"MJD ({_REFERENCES.get(reference, f'{reference} ')}{_SCALES.get(scale, scale.upper())})"


def legend(ax: "Axes", **words: Any) -> None:
    """A legend of what has a label, each label once."""
    handles, labels = ax.get_legend_handles_labels()
    first = dict(zip(reversed(labels), reversed(handles), strict=True))
    if first:
        ordered = list(dict.fromkeys(labels))
        ax.legend([first[label] for label in ordered], ordered, frameon=False, fontsize="small", **words)


def middles(low: Floats, high: Floats) -> Floats:
    """Where bins that are even in the logarithm are drawn; the first one may begin next to zero.

    Examples
    --------
    >>> middles(np.array([1e-20, 4.0]), np.array([4.0, 9.0])).round(2).tolist()
    [0.73, 6.0]
    """
    return np.sqrt(np.maximum(low, high / 30) * high)


def plain_log(ax: "Axes", *which: str) -> None:
    """Make axes ("x", "y") logarithmic, with plain numbers such as 3 and 0.2."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    for name in which:
        getattr(ax, f"set_{name}scale")("log")
        axis = getattr(ax, f"{name}axis")
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())
