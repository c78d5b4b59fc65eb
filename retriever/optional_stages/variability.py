"""How variable each source is: measures and the best period of each light curve, and of all of them together."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from retriever.attempt import attempt
from retriever.batch import Batch, Components, Made
from retriever.errors import ConfigError
from retriever.graph import Port, Stage
from retriever.lightcurve import Lightcurve
from retriever.noise import check_noise_model, epoch_noise
from retriever.optional_stages.joined import common_time
from retriever.periodogram import Series, highest_peak
from retriever.schema import Column, Table
from retriever.scores import with_scores
from retriever.variability import MEASURES, Photometry, measures

__all__ = ["VARIABILITY", "VARIABILITY_TABLE", "Variability"]


@dataclass(frozen=True, kw_only=True)
class Variability:
    """How variability is measured; see `retriever.variability.measures` and `retriever.periodogram.highest_peak`.

    Parameters
    ----------
    within
        Days up to which epochs are neighbours for Stetson's J.
    shortest, longest
        Limits of the period in days; a longest of 0 is the length of the light curves.
    oversampling
        Frequencies within the width of a peak of the periodogram.
    clip
        Epochs farther from the median than so many robust sigmas are left out of the periodogram; 0 for none.
    noise
        How the noise of an epoch of the periodogram is judged; see `retriever.noise`. The measures take errors as
        they are.
    """

    within: float = 0.025
    shortest: float = 0.1
    longest: float = 0.0
    oversampling: float = 5.0
    clip: float = 5.0
    noise: str = "rescaled"

    def __post_init__(self) -> None:
        check_noise_model(self.noise, "variability's noise")
        if not (self.within >= 0 and self.shortest > 0 and self.longest >= 0 and self.oversampling >= 1):
            raise ConfigError(
                "variability's within and longest must not be below 0, its shortest must be above 0, and its "
                "oversampling 1 or more"
            )


VARIABILITY_TABLE = Table(
    name="variability",
    columns=(
        Column(name="survey", kind=str, description="observatory, or 'all' in the row of all light curves together"),
        Column(name="lightcurve", kind=int, description="number of the light curve; 0 for all together"),
        Column(name="band", kind=str, description="band, or all bands"),
        Column(name="n_epochs", kind=int, description="usable epochs"),
        *(
            Column(
                name=name, kind=float, unit="1" if name in ("amplitude", "excess_scatter") else "", description=meaning
            )
            for name, meaning in MEASURES.items()
        ),
        Column(name="period", kind=float, unit="d", description="period of the highest peak of the periodogram"),
        Column(name="power", kind=float, description="share of the chi-square that a sinusoid of it explains"),
        Column(name="period_fap", kind=float, description="probability that noise alone has a higher peak"),
    ),
    order=("survey", "lightcurve"),
)

Member = tuple[str, Lightcurve, Photometry, Series]
"""A light curve with its survey, and the epochs of its measures and its periodogram."""


def run(components: Components, batch: Batch) -> Made:
    """Measure the light curves of each source of a batch, and all of them together."""
    parameters = components["variability"]
    of_sources: list[list[Member]] = [[] for _ in range(len(batch))]
    for survey, ports in sorted(batch.joined.items()):
        processed = with_scores(ports["lightcurves"], ports["scores"])[1]
        for source, lightcurves in zip(of_sources, processed.objects(len(batch)), strict=True):
            source += [(survey, lc, *_epochs(parameters, lc)) for lc in lightcurves]
    rows = [
        attempt(f"measuring {name}", _rows, parameters, members)
        for name, members in zip(batch.items.tolist(), of_sources, strict=True)
    ]
    return Made.from_rows(VARIABILITY_TABLE, rows)


def _epochs(parameters: Variability, lightcurve: Lightcurve) -> tuple[Photometry, Series]:
    """Usable epochs of a light curve, and those that the periodogram is made of."""
    usable = lightcurve.usable
    time, flux, error = common_time(lightcurve), lightcurve.flux, lightcurve.flux_err
    noise = epoch_noise(flux, error, usable, np.array([0, flux.size]), parameters.noise)
    center, scatter = lightcurve.flux_moments
    kept = usable & (noise > 0)
    if parameters.clip and scatter > 0:
        kept &= np.abs(flux - center) <= parameters.clip * scatter
    return (
        Photometry(time=time[usable], flux=flux[usable], flux_err=error[usable]),
        Series(time=time[kept], flux=flux[kept], noise=noise[kept]),
    )


def _rows(parameters: Variability, members: Sequence[Member]) -> list[dict[str, object]]:
    """A row for each light curve of a source, and one for all together."""
    rows = [
        {"survey": survey, "lightcurve": lc.number, "band": lc.band, **_measured(parameters, [photometry], [series])}
        for survey, lc, photometry, series in members
    ]
    bands = ", ".join(sorted({lc.band for _, lc, _, _ in members}))
    together = _measured(parameters, [member[2] for member in members], [member[3] for member in members])
    return [*rows, {"survey": "all", "lightcurve": 0, "band": bands, **together}] if rows else []


def _measured(parameters: Variability, photometry: Sequence[Photometry], series: Sequence[Series]) -> dict[str, object]:
    peak = highest_peak(
        series, shortest=parameters.shortest, longest=parameters.longest, oversampling=parameters.oversampling
    )
    return {
        "n_epochs": sum(curve.flux.size for curve in photometry),
        **measures(photometry, parameters.within),
        "period": 1.0 / peak.frequency if peak else np.nan,
        "power": peak.power if peak else np.nan,
        "period_fap": float(np.exp(peak.log_fap)) if peak else np.nan,
    }


VARIABILITY = Stage(
    name="variability",
    run=run,
    unit=("source",),
    inputs=("lightcurves", "scores"),
    outputs=(Port(name="variability", tables=("variability",)),),
    tables=(VARIABILITY_TABLE,),
    groups=("variability",),
)
"""Measures the light curves of a source, as they were searched."""
