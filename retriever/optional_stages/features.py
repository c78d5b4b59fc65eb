"""Features of light curves as the package light-curve computes them (Malanchev et al. 2021, MNRAS 502, 5147).

That package is under the GPL and therefore not required: ``pip install 'retriever[features]'``.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from retriever.attempt import attempt
from retriever.batch import Batch, Components, Made
from retriever.errors import ConfigError, nearest
from retriever.graph import Port, Stage
from retriever.schema import Column, Table
from retriever.scores import with_scores

__all__ = ["FEATURES", "FEATURE_TABLE", "Features"]


@dataclass(frozen=True, kw_only=True)
class Features:
    """Which features are computed, of the usable epochs of each light curve.

    Parameters
    ----------
    names
        Classes of light-curve, such as Cusum or OtsuSplit, with their default parameters.
    quantity
        "flux" or "mag": what they are computed of.
    """

    names: list[str] = field(default_factory=list)
    quantity: str = "flux"

    def __post_init__(self) -> None:
        if self.quantity not in ("flux", "mag"):
            raise ConfigError(f"features' quantity is {self.quantity!r}; it is flux or mag")
        if not self.names or len(set(self.names)) < len(self.names):
            raise ConfigError("features' names must name at least one feature, and each once")
        self.extractor()

    def extractor(self) -> Any:
        """What computes the features, in their order.

        Raises
        ------
        ConfigError
            When light-curve is not installed, or has no such feature.
        """
        try:
            import light_curve
        except ImportError as error:
            raise ConfigError("features need the package light-curve; pip install 'retriever[features]'") from error
        known = {
            name: kind for name, kind in vars(light_curve).items() if isinstance(kind, type) and hasattr(kind, "many")
        }
        for name in self.names:
            if name not in known:
                raise ConfigError(f"light-curve has no feature {name!r}{nearest(name, known)}")
        try:
            features = [known[name]() for name in self.names]
        except TypeError as error:
            raise ConfigError(f"a feature needs parameters of its own ({error}); leave it out") from error
        for name, feature in zip(self.names, features, strict=True):
            if not hasattr(feature, "names"):
                raise ConfigError(f"the feature {name!r} cannot be computed together with others; leave it out")
        return light_curve.Extractor(*features)


FEATURE_TABLE = Table(
    name="features",
    columns=(
        Column(name="lightcurve", kind=int, description="number of the light curve"),
        Column(name="band", kind=str, description="band"),
        Column(name="feature", kind=str, description="name of the feature in light-curve"),
        Column(name="value", kind=float, description="its value; NaN where the light curve has too few epochs"),
    ),
    order=("lightcurve", "feature"),
)


def run(components: Components, batch: Batch) -> Made:
    """Compute the features of each light curve of a batch."""
    features = components["features"]
    extractor = features.extractor()
    lightcurves = with_scores(batch.inputs["lightcurves"], batch.inputs["scores"])[1]
    rows = [
        attempt(f"computing features of {name}", _rows, extractor, features.quantity, own)
        for name, own in zip(batch.items.tolist(), lightcurves.objects(len(batch)), strict=True)
    ]
    return Made.from_rows(FEATURE_TABLE, rows)


def _rows(extractor: Any, quantity: str, lightcurves: tuple[Any, ...]) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for lc in lightcurves:
        values, errors = (lc.flux, lc.flux_err) if quantity == "flux" else (lc.mag, lc.mag_err)
        kept = lc.usable & np.isfinite(values)
        kept[1:] &= np.diff(lc.time) > 0  # some features need times that differ: the first epoch of each is taken
        errors = np.where(errors > 0, errors, np.nan)[kept]
        # without errors all epochs count alike
        errors = np.where(np.isnan(errors), np.nanmedian(errors) if np.isfinite(errors).any() else 1.0, errors)
        numbers = extractor(lc.time[kept], values[kept], errors, fill_value=np.nan)
        rows += [
            {"lightcurve": lc.number, "band": lc.band, "feature": name, "value": float(value)}
            for name, value in zip(extractor.names, numbers, strict=True)
        ]
    return rows


FEATURES = Stage(
    name="features",
    run=run,
    inputs=("lightcurves", "scores"),
    outputs=(Port(name="features", tables=("features",)),),
    tables=(FEATURE_TABLE,),
    groups=("features",),
)
"""Computes features of each light curve, as it was searched."""
