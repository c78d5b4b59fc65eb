"""Light curves of a version: they know where they come from, can be plotted, folded and taken to other packages."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from retriever.errors import ConfigError
from retriever.lightcurve import Lightcurve
from retriever.periodogram import phases

if TYPE_CHECKING:
    import pandas as pd
    from astropy.timeseries import TimeSeries
    from lightkurve import LightCurve
    from matplotlib.axes import Axes

__all__ = ["VersionLightcurve"]


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class VersionLightcurve(Lightcurve):
    """A light curve that was read from a version.

    Attributes
    ----------
    source, observatory, level, version
        Where it comes from.
    """

    source: str = ""
    observatory: str = ""
    level: str = ""
    version: str = ""
    _detections: "Callable[[], pd.DataFrame] | None" = None

    @classmethod
    def with_context(cls, lightcurve: Lightcurve, **context: Any) -> "VersionLightcurve":
        """A light curve with the context that it comes from."""
        own = {spec.name: getattr(lightcurve, spec.name) for spec in fields(Lightcurve)}
        return cls(**own, **context)

    @property
    def detections(self) -> "pd.DataFrame":
        """The version's detections in it."""
        if self._detections is None:
            raise ConfigError("this light curve does not know its version; take it from version.source(NAME)")
        frame = self._detections()
        chosen = (frame["observatory"] == self.observatory) & (frame["lightcurve"] == self.number)
        return frame[chosen].reset_index(drop=True)

    def plot(self, ax: "Axes | None" = None, *, values: str = "auto", detections: bool = True) -> "Axes":
        """Draw it; see `retriever.plots.plot_lightcurve`.

        Parameters
        ----------
        values
            "mag", "flux", or "auto".
        detections
            Whether to shade detections.
        """
        from retriever.plots import plot_lightcurve

        shown = self.detections.to_dict("records") if detections and self._detections is not None else []
        ax = plot_lightcurve(self, ax, values=values, detections=shown)
        ax.set_title(f"{self.source}, {self.observatory}, {self.level}", fontsize="medium")
        return ax

    def fold(self, period: float, epoch: float | None = None) -> "pd.DataFrame":
        """Its usable epochs in the order of phase.

        Parameters
        ----------
        period
            In days.
        epoch
            Time of phase zero, MJD; that of the first epoch where none is given.

        Returns
        -------
        pandas.DataFrame
            Columns `phase` (0 to 1), `cycle`, and those of `to_pandas`.

        Raises
        ------
        ConfigError
            When the period is not above zero.
        """
        frame = self.to_pandas()[self.usable]
        phase, cycle = phases(frame["time"].to_numpy(), period, epoch)
        frame.insert(0, "phase", phase)
        frame.insert(1, "cycle", cycle)
        return frame.sort_values("phase", kind="stable").reset_index(drop=True)

    def to_timeseries(self) -> "TimeSeries":
        """As an astropy `TimeSeries` with units; times are on the survey's clock, `bjd` is BJD_TDB as MJD."""
        from astropy import units
        from astropy.time import Time
        from astropy.timeseries import TimeSeries

        frame = self.to_pandas()
        of_columns = frame.attrs["units"]
        series = TimeSeries(time=Time(frame["time"].to_numpy(), format="mjd", scale=self.time_system.scale))
        for name in frame.columns.drop("time"):
            values = frame[name].to_numpy()
            series[name] = values * units.Unit(_astropy_unit(of_columns[name])) if of_columns.get(name) else values
        if self.bjd_offset is not None:
            series["bjd"] = self.bjd * units.d
        series.meta.update(self._meta())
        return series

    def to_lightkurve(self) -> "LightCurve":
        """As a `lightkurve.LightCurve` of the usable epochs; needs the package lightkurve.

        Raises
        ------
        ConfigError
            When lightkurve is not installed.
        """
        try:
            from lightkurve import LightCurve
        except ImportError as error:
            raise ConfigError("to_lightkurve needs the package lightkurve: pip install lightkurve") from error
        from astropy import units
        from astropy.time import Time

        use = self.usable
        unit = units.Unit("" if self.flux_unit == "1" else _astropy_unit(self.flux_unit))
        time, scale = (self.bjd, "tdb") if self.bjd_offset is not None else (self.time, self.time_system.scale)
        return LightCurve(
            time=Time(time[use], format="mjd", scale=scale), flux=self.flux[use] * unit,
            flux_err=self.flux_err[use] * unit, meta={key.upper(): value for key, value in self._meta().items()},
        )  # fmt: skip

    def _meta(self) -> dict[str, object]:
        system = self.time_system
        return {
            "label": self.source, "source": self.source, "observatory": self.observatory, "level": self.level,
            "version": self.version, "band": self.band, "series": self.series, "number": self.number,
            "zero_point": self.zero_point, "flux_unit": self.flux_unit, "time_scale": system.scale,
            "time_reference": system.reference, "time_point": system.point,
        }  # fmt: skip

    def _repr_html_(self) -> str:
        return self.to_pandas()._repr_html_()  # type: ignore[no-any-return]


def _astropy_unit(unit: str) -> str:
    """A unit in astropy's spelling.

    Examples
    --------
    >>> _astropy_unit("e-/s"), _astropy_unit("uJy")
    ('electron/s', 'uJy')
    """
    return unit.replace("e-", "electron")
