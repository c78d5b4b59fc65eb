"""Plain data that a search gives back: detections, injections, properties; and their tables."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from retriever.arrays import Array
from retriever.lightcurve import Lightcurve
from retriever.schema import NUMPY_KINDS, Columns, Table, column, table_of

__all__ = [
    "DETECTIONS",
    "INJECTIONS",
    "PROPERTIES",
    "Analyzed",
    "Detection",
    "Injection",
    "Properties",
    "Simulated",
    "columns_of_records",
    "pack_properties",
    "property_tables",
    "records_of_columns",
]

Properties = Mapping[str, tuple[float | int | str | bool, str]]
"""What an analysis says of one source: name to value and unit ("" where there is none)."""

Record = TypeVar("Record")

NAN = float("nan")


@dataclass(frozen=True, slots=True, kw_only=True)
class Detection:
    """An event found in a light curve."""

    lightcurve: int = column("", "number of the light curve, from 1")
    first: int = column("", "index of the event's first epoch in the light curve")
    peak: int = column("", "index of its highest epoch")
    last: int = column("", "index of its last epoch")
    time_first: float = column("d", "time of the first epoch, MJD")
    time_peak: float = column("d", "time of the highest epoch, MJD in the survey's own time system (see lightcurves)")
    time_last: float = column("d", "time of the last epoch, MJD")
    snr: float = column("", "significance in standard deviations of normal noise, negative for a dip")
    dmag: float = column("mag", "magnitude at the peak less the median; negative is brighter; NaN where undefined")
    n_epochs: int = column("", "number of epochs that belong to the event")
    finder: str = column("", "which finder found it, where there are several", default="")
    bjd_peak: float = column("d", "BJD_TDB of the highest epoch, in the middle of the exposure, as MJD", default=NAN)
    fap: float = column("", "probability that noise alone gives such an event anywhere in the light curve", default=NAN)
    amplitude: float = column("", "change of flux, in the light curve's unit of flux; negative for a dip", default=NAN)
    width: float = column("d", "duration: full width at half maximum, or of the template or transit", default=NAN)
    chi2: float = column("", "chi-square of the fitted shape per degree of freedom", default=NAN)
    period: float = column("d", "period, where the finder gives one", default=NAN)
    sde: float = column("", "height of the periodogram's peak over its mean, in its standard deviations", default=NAN)
    odd_even: float = column("", "difference of odd and even transits in depth, in its standard errors", default=NAN)
    secondary: float = column("", "S/N of a dip half a period after the transits", default=NAN)
    equivalent_duration: float = column("s", "time in which the quiet star emits the energy of the flare", default=NAN)
    noise: float = column(
        "", "noise of an epoch of the light curve: its robust scatter or median error, whichever is larger", default=NAN
    )

    @classmethod
    def of(cls, lightcurve: Lightcurve, *, first: int, peak: int, last: int, snr: float, **others: Any) -> "Detection":
        """A detection in a light curve, with what follows from its epochs; for finders of one's own.

        Parameters
        ----------
        lightcurve
            Where it was found.
        first, peak, last
            Indices of its first, highest and last epoch.
        snr
            Its significance in standard deviations, negative for a dip.
        others
            Further columns, such as `width` in days.

        Examples
        --------
        >>> lc = Lightcurve.from_columns(band="r", time=np.arange(5.0), flux=np.array([3.0, 3, 9, 5, 3]),
        ...                              flux_err=np.ones(5), mag=np.full(5, 20.0), mag_err=np.ones(5))
        >>> found = Detection.of(lc, first=2, peak=2, last=3, snr=6.0)
        >>> found.time_peak, found.n_epochs, found.amplitude
        (2.0, 2, 6.0)
        """
        time = lightcurve.time
        derived: dict[str, Any] = {
            "dmag": float(lightcurve.mag[peak] - lightcurve.mag_moments[0]),
            "amplitude": float(lightcurve.flux[peak] - lightcurve.flux_moments[0]),
            "n_epochs": int(np.count_nonzero(lightcurve.usable[first : last + 1])),
        }
        return cls(
            lightcurve=lightcurve.number, first=int(first), peak=int(peak), last=int(last), snr=float(snr),
            time_first=float(time[first]), time_peak=float(time[peak]), time_last=float(time[last]),
            **{**derived, **others},
        )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Injection:
    """A simulated event, and what the search made of it."""

    lightcurve: int = column("", "number of the light curve that its height is measured in, from 1")
    shape: str = column("", "name of the event's profile")
    time_peak: float = column("d", "middle of the event, MJD")
    width: float = column("d", "full width at half maximum; NaN for a sinusoid")
    amplitude: float = column("", "change of flux at the middle, in that light curve's unit; negative for a dip")
    snr: float = column("", "amplitude over the noise of the light curve there")
    dmag: float = column("mag", "change of magnitude at the middle, negative for brighter; NaN where it has none")
    n_epochs: int = column("", "usable epochs of all light curves within one full width at half maximum")
    recovered: bool = column("", "whether a detection agrees in sign, time, and width or period", default=False)
    found_snr: float = column("", "S/N of the strongest detection that agrees; NaN if none", default=NAN)
    blended: bool = column(
        "", "whether there was a detection before the injection: leave those out of a completeness", default=False
    )
    trial: int = column("", "number of the independent trial of the source, from 0", default=0)
    relative: float = column("", "change of flux at the middle as a share of the flux", default=NAN)
    period: float = column("d", "period, for an event that repeats", default=NAN)
    total_snr: float = column("", "S/N of all usable epochs together, for a search that knew the shape", default=NAN)
    bjd_peak: float = column(
        "d", "middle of the event, BJD_TDB as MJD, where it is the same in all surveys; else NaN", default=NAN
    )
    exptime: float = column("s", "longest exposure of the light curve that its height is measured in", default=0.0)


DETECTIONS = table_of(Detection, "detections", order=("lightcurve", "peak", "finder"))
INJECTIONS = table_of(Injection, "injections", order=("trial", "lightcurve", "time_peak", "shape"))
PROPERTIES = Table(name="properties", columns=(), extensible=True)


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


def columns_of_records(table: Table, of_sources: Sequence[Sequence[object]]) -> Columns:
    """One row for each record, with the row of its source."""
    flat = [(row, record) for row, records in enumerate(of_sources) for record in records]
    columns: Columns = {"source": np.array([row for row, _ in flat], np.int64)}
    for spec in table.columns:
        columns[spec.name] = np.array([getattr(record, spec.name) for _, record in flat], NUMPY_KINDS[spec.kind])
    return columns


def records_of_columns(kind: type[Record], columns: Columns, source: int) -> tuple[Record, ...]:
    """The records of one source."""
    rows = np.flatnonzero(columns["source"] == source)
    names = [spec.name for spec in fields(kind)]  # type: ignore[arg-type]
    values = [columns[name][rows].tolist() for name in names]
    return tuple(kind(**dict(zip(names, row, strict=True))) for row in zip(*values, strict=True))


def pack_properties(of_sources: Sequence[Properties]) -> dict[str, Columns]:
    """Tables `properties` (one row a source that has any) and `properties.units`."""
    flat = [(row, properties) for row, properties in enumerate(of_sources) if properties]
    units: dict[str, str] = {}
    for _, properties in flat:
        for name, (_, unit) in properties.items():
            units.setdefault(name, unit)
    values: Columns = {
        name: _property_column([properties.get(name, (None, ""))[0] for _, properties in flat]) for name in units
    }
    return property_tables(np.array([row for row, _ in flat], np.int64), values, units)


def property_tables(
    source: NDArray[np.int64], values: Mapping[str, Array], units: Mapping[str, str]
) -> dict[str, Columns]:
    """Tables `properties` and `properties.units` from columns with a value for each source."""
    names = np.array(list(units), np.str_) if units else np.array([], "U1")
    return {
        "properties": {"source": source, **{f"p.{name}": column for name, column in values.items()}},
        "properties.units": {"name": names, "unit": np.array(list(units.values()), np.str_)},
    }


def _property_column(values: list[Any]) -> Array:
    kinds = {type(value) for value in values if value is not None}
    if kinds <= {bool, np.bool_} and None not in values:
        return np.array(values, np.bool_)
    if kinds <= {int, np.int64, bool} and None not in values:
        return np.array(values, np.int64)
    if str in kinds:
        return np.array(["" if value is None else str(value) for value in values])
    return np.array([np.nan if value is None else float(value) for value in values])
