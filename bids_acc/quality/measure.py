"""A quality value that is told apart from others of the same name."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class QualityMeasure:
    """A quality value that knows what it means."""

    value: float
    """NaN when undefined, never zero."""
    unit: str
    """``1``, ``Hz``, ``ppm`` or ``%``."""
    definition: str
    """Which formula, and whose."""

    def in_unit(self, unit: str, spectrometer_mhz: float) -> float:
        """Return the value in another unit; Hz and ppm are joined by the spectrometer frequency.

        Parameters
        ----------
        unit : str
            That of the threshold, such as ``Hz``, ``ppm`` or ``1``.
        spectrometer_mhz : float
            Transmitter frequency of the nucleus, MHz: 1 ppm is as many Hz.

        Returns
        -------
        float
            NaN where the units cannot be converted into each other.

        Examples
        --------
        >>> round(QualityMeasure(0.1, 'ppm', 'lcmodel_fwhm').in_unit('Hz', 127.79), 3)
        12.779
        """
        if unit == self.unit:
            return self.value
        if (self.unit, unit) == ('ppm', 'Hz'):
            return self.value * spectrometer_mhz
        if (self.unit, unit) == ('Hz', 'ppm'):
            return self.value / spectrometer_mhz
        return math.nan
