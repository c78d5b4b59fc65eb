"""Names of array types, for annotations."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Array", "Floats", "Rows"]

Array = NDArray[Any]
"""An array of any type, as a table's columns are."""

Floats = NDArray[np.float64]

Rows = NDArray[np.int64]
"""Indices, or counts, of rows."""
