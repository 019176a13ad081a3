"""Two editing conditions made one difference: aligned where editing changes nothing, and checked.

Alignment uses the line of the cholines, which no pulse at 1.9 ppm touches, freed of a straight
complex baseline: on the whole spectrum a difference of the two kinds is taken for an offset.
Residual water that is much higher than NAA tells more exactly, and is used where both agree. In
GSH editing, whose pulse is near water, NAA takes the place of both.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares

from bids_acc.mrs.signal.alignment import register_transients, shift_and_phase
from bids_acc.mrs.signal.measures import ppm_mask
from bids_acc.mrs.spectrum import ppm_axis, to_spectrum
from bids_acc.typing import ComplexArray, FloatArray

WINDOWS_PPM = {'GABA': (3.15, 3.30), 'GSH': (1.9, 2.12)}
"""Where the conditions are aligned, by what is edited. From 3.11 ppm on, the line of GABA at 3.07
would turn a simulated spectrum without noise by 1 to 3 degrees, from 3.15 on by 0.4 to 0.9."""

WATER_PPM = (4.45, 4.9)
"""Residual water."""

CHECKED, TRUSTED = 1.0, 5.0
"""Residual water this many times as high as NAA in OFF checks the alignment, and is the alignment
where both agree: it lies midway between the pulses at 1.9 and 7.46 ppm, which change it alike.
(Conventions of this package; in a scan with water of 19 times NAA it takes the error of the
Gaussian fit of GABA from 8.4 to 7.1 %.)"""

WATER_LIMIT_HZ, WATER_LIMIT_DEG = 0.3, 5.0
"""Offset and phase between the alignments by cholines and by residual water beyond which they
disagree, and the alignment is in doubt. 0.5 Hz, or 3 degrees, would move GABA+ by some 15 %,
were they not fitted along."""

CHOLINE_PPM, CHOLINE_LIMIT = (3.12, 3.3), 0.2
"""Peak to peak of the difference in this range, over the height of the cholines in OFF, beyond
which the subtraction is in doubt; 0.08 to 0.12 is there without any error, from lines that editing
changes."""

LARGEST_HZ, LARGEST_RAD = 6.0, math.radians(60)
"""An alignment that ends this far from its start has failed."""

TAKEN_UP = 0.9
"""One that leaves more than this share of the misfit in its window, although it moved by more than
:data:`MOVED_HZ`, has failed as well: noise was aligned."""

MOVED_HZ = 1.0
"""Move from which an alignment must show that it helped."""

NAA_PPM = (1.9, 2.12)
"""Where NAA tells the sign of a difference of GABA."""

SUPPRESSED = 0.5
"""NAA in the difference below minus this share of NAA in OFF: the pulse was at NAA."""


@dataclass(frozen=True)
class EditedPair:
    """Two conditions on one scale, and how well they fit together."""

    on: ComplexArray
    """(n_points,) ON, moved and turned to OFF."""
    off: ComplexArray
    """(n_points,) OFF, as it was."""
    shift_hz: float
    """Offset of ON that was taken away."""
    phase_deg: float
    """Phase of ON that was taken away."""
    aligned: bool
    """Whether the alignment succeeded; if not, nothing was taken away."""
    by: str
    """What told it: ``choline``, ``water`` or ``NAA``."""
    water_shift_hz: float
    """Offset by residual water less that by the cholines; NaN where there is too little water."""
    water_phase_deg: float
    """Phase by residual water less that by the cholines."""
    choline_residual: float
    """Peak to peak of the difference at the cholines over their height in OFF."""
    naa_ratio: float
    """NAA of the difference over NAA of OFF, real parts: about -1 when the pulse was at NAA."""

    @property
    def difference(self) -> ComplexArray:
        """(n_points,) ON minus OFF, not halved."""
        return self.on - self.off

    @property
    def misaligned(self) -> bool:
        """Whether the conditions do not lie on each other."""
        known = not math.isnan(self.water_shift_hz)
        agree = _agree(self.water_shift_hz, math.radians(self.water_phase_deg))
        return not self.aligned or (known and not agree)

    @property
    def residue(self) -> bool:
        """Whether the cholines do not cancel."""
        return not self.choline_residual <= CHOLINE_LIMIT


def _agree(shift_hz: float, phase_rad: float) -> bool:
    """Whether two alignments differ by no more than the limits."""
    near = abs(shift_hz) <= WATER_LIMIT_HZ
    return near and abs(phase_rad) <= math.radians(WATER_LIMIT_DEG)


def _window(
    fid: ComplexArray, ppm: FloatArray, window: tuple[float, float]
) -> tuple[ComplexArray, FloatArray]:
    """Spectrum in a window, and the projector that takes a straight line away."""
    inside = ppm_mask(ppm, *window)
    axis = np.linspace(-1, 1, int(inside.sum()))
    straight = np.linalg.qr(np.vander(axis, 2))[0]
    return to_spectrum(fid, ppm.size)[inside], np.eye(axis.size) - straight @ straight.T


def _register(
    on: ComplexArray,
    off: ComplexArray,
    dwell_time: float,
    spectrometer_mhz: float,
    window: tuple[float, float],
    starts: tuple[tuple[float, float], ...],
) -> tuple[float, float]:
    """Offset in Hz and phase in rad of ON against OFF in a window; NaN when none was found."""
    ppm = ppm_axis(4 * off.size, dwell_time, spectrometer_mhz)
    target, flat = _window(off, ppm, window)
    target = flat @ target

    def residual(parameters: FloatArray) -> FloatArray:
        moved = shift_and_phase(on, dwell_time, parameters[0], parameters[1])
        rest = flat @ _window(moved, ppm, window)[0] - target
        return np.concatenate([rest.real, rest.imag])

    # Of about one: the tolerances of the solver are relative to it.
    scale = max(float(np.abs(target).max()), 1e-300)
    bound = np.array([LARGEST_HZ, LARGEST_RAD])
    best, share = _FAILED, math.inf
    for start in starts:
        before = float(np.sum(residual(np.array(start)) ** 2))
        found = least_squares(
            lambda x: residual(x) / scale, start, x_scale=(1.0, 0.1),
            bounds=(np.array(start) - bound, np.array(start) + bound),
        )  # fmt: skip
        moved = np.abs(found.x - start)
        left = float(np.sum(residual(found.x) ** 2))
        useless = moved[0] > MOVED_HZ and left > TAKEN_UP * before
        if not (np.any(moved > 0.99 * bound) or useless) and left < share:
            best, share = (float(found.x[0]), float(found.x[1])), left
    return best


_FAILED = (math.nan, math.nan)


def pair_conditions(
    on: ComplexArray,
    off: ComplexArray,
    wet_on: ComplexArray,
    wet_off: ComplexArray,
    dwell_time: float,
    spectrometer_mhz: float,
    *,
    target: str = 'GABA',
    residual_water_ratio: float = math.nan,
) -> EditedPair:
    """Lay ON upon OFF, and measure what of the subtraction is no editing.

    Parameters
    ----------
    on, off : (n_points,) ndarray of complex
        Conditions without residual water, OFF on the ppm scale and in phase.
    wet_on, wet_off : (n_points,) ndarray of complex
        The same with residual water.
    dwell_time, spectrometer_mhz : float
        Sampling interval in s and spectrometer frequency in MHz.
    target : {'GABA', 'GSH'}
        What is edited.
    residual_water_ratio : float
        Highest residual water over NAA in OFF; water is looked at where it is above 1.

    Returns
    -------
    EditedPair
    """
    axis = dwell_time, spectrometer_mhz
    coarse = register_transients(on[None], off, dwell_time)
    start = float(coarse.frequency_hz[0]), float(coarse.phase_rad[0])
    window = WINDOWS_PPM.get(target, WINDOWS_PPM['GABA'])
    # From two starts: the coarse one is led astray where the conditions differ much, the other
    # where the head moved.
    found = _register(on, off, *axis, window, ((0.0, 0.0), start))
    failed = math.isnan(found[0])
    by, water = 'NAA' if target == 'GSH' else 'choline', _FAILED
    # the editing pulse of GSH is so near that it changes water itself
    if not failed and residual_water_ratio > CHECKED and target == 'GABA':
        told = _register(wet_on, wet_off, *axis, WATER_PPM, (found,))
        water = told[0] - found[0], told[1] - found[1]
        if residual_water_ratio > TRUSTED and _agree(*water):
            found, by = told, 'water'
    shift, phase = (0.0, 0.0) if failed else found
    moved = shift_and_phase(on, dwell_time, shift, phase)
    ppm = ppm_axis(4 * off.size, *axis)
    spectra = {
        'off': to_spectrum(off, ppm.size).real,
        'difference': to_spectrum(moved - off, ppm.size).real,
    }
    return EditedPair(
        on=moved,
        off=off,
        shift_hz=shift,
        phase_deg=math.degrees(math.remainder(phase, 2 * math.pi)),
        aligned=not failed,
        by=by,
        water_shift_hz=water[0],
        water_phase_deg=math.degrees(water[1]),
        choline_residual=_choline_residual(spectra, ppm),
        naa_ratio=_naa_ratio(spectra, ppm),
    )


def _choline_residual(spectra: dict[str, FloatArray], ppm: FloatArray) -> float:
    """Peak to peak of the difference at the cholines over their height in OFF."""
    inside = ppm_mask(ppm, *CHOLINE_PPM)
    flanks = ppm_mask(ppm, 2.6, 2.85) | ppm_mask(ppm, 3.35, 3.5)
    height = float(spectra['off'][inside].max() - np.median(spectra['off'][flanks]))
    return float(np.ptp(spectra['difference'][inside])) / height if height > 0 else math.nan


def _naa_ratio(spectra: dict[str, FloatArray], ppm: FloatArray) -> float:
    """NAA of the difference over that of OFF, each above its flanks, at the summit in OFF."""
    inside = np.flatnonzero(ppm_mask(ppm, *NAA_PPM))
    flanks = ppm_mask(ppm, 1.7, 1.85)
    # At the place of the summit in OFF: in the difference the highest point would be the highest
    # of noise.
    top = inside[int(np.argmax(spectra['off'][inside]))]
    off, difference = (
        float(spectra[name][top] - np.median(spectra[name][flanks])) for name in spectra
    )
    return difference / off if off > 0 else math.nan
