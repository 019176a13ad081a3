"""Arrays by what they hold; shapes stand in the docstrings."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
ComplexArray = npt.NDArray[np.complex128]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]
SingleArray = npt.NDArray[np.float32]
"""Values of large images, which are kept in single precision."""
Volume = npt.NDArray[np.floating]
"""Values of an image of either precision: single as read, double once something was computed."""
