"""Plain data that a search gives back: detections, injections, properties."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from retriever.lightcurve import Lightcurve

__all__ = ["Analyzed", "Detection", "Injection", "Properties", "Simulated"]

Properties = Mapping[str, tuple[float | int | str | bool, str]]
"""What an analysis says of one source: name to value and unit ("" where there is none)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Detection:
    """An event found in a light curve.

    Attributes
    ----------
    lightcurve
        Number of the light curve, from 1.
    first, peak, last
        Indices of the event's first, highest and last epoch in the light curve.
    time_first, time_peak, time_last
        Their times, MJD in days.
    snr
        Signal to noise at the peak, negative for a dip.
    dmag
        Magnitude at the peak less the light curve's median; negative is brighter; NaN where undefined.
    n_epochs
        Number of epochs that belong to the event.
    finder
        Which finder found it, where there are several.
    """

    lightcurve: int
    first: int
    peak: int
    last: int
    time_first: float
    time_peak: float
    time_last: float
    snr: float
    dmag: float
    n_epochs: int
    finder: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Injection:
    """A simulated event, and what the search made of it.

    Attributes
    ----------
    lightcurve
        Number of the light curve it was put into, from 1.
    shape
        Name of the event's profile.
    time_peak
        Middle of the event, MJD in days.
    width
        Full width at half maximum, in days.
    amplitude
        Change of flux at the middle, in the light curve's unit of flux; negative for a dip.
    snr
        `amplitude` over the noise of the light curve there.
    dmag
        Change of magnitude at the middle, negative for brighter; NaN where it has none.
    n_epochs
        Usable epochs within one full width at half maximum, centered on the event.
    recovered
        Whether a detection overlaps the event.
    found_snr
        S/N of the strongest detection that overlaps; NaN when none does.
    blended
        Whether the light curve had a detection there before the injection: leave those out of a completeness.
    """

    lightcurve: int
    shape: str
    time_peak: float
    width: float
    amplitude: float
    snr: float
    dmag: float
    n_epochs: int
    recovered: bool = False
    found_snr: float = float("nan")
    blended: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Analyzed:
    """The search of one source: its light curves with scores, what was found, and its properties."""

    lightcurves: tuple[Lightcurve, ...]
    detections: tuple[Detection, ...] = ()
    properties: Properties = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulated:
    """Light curves with simulated events in them, and the truth."""

    lightcurves: tuple[Lightcurve, ...]
    injections: tuple[Injection, ...] = ()
