"""Arrays, tables and records by what they hold; shapes stand in the docstrings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

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
Codes = npt.NDArray[np.integer]
"""Labels of an atlas, in whatever size of integer its file has."""
Numbers = npt.NDArray[np.number]
"""Values of a file of others, which may be integers or not."""
Scalar = TypeVar('Scalar', bound=np.generic)
"""Of functions that move values about and give back the type that they got."""

Metadata = Mapping[str, object]
"""What a sidecar or a table of quality holds: a value is looked at before it is believed."""
Row = dict[str, str | float]
"""One row of a table, by the names of its columns."""
