"""What stages that join the light curves of a source share."""

import numpy as np

from retriever.arrays import Floats
from retriever.lightcurve import Lightcurve

__all__ = ["common_time"]


def common_time(lightcurve: Lightcurve) -> Floats:
    """BJD_TDB of each epoch, as MJD, or the survey's own time where that is not known."""
    bjd = lightcurve.bjd
    return np.where(np.isfinite(bjd), bjd, lightcurve.time)
