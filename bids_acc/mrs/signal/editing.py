"""Two kinds of transients in one series: the sign of an editing dimension that no tag tells.

MEGA-PRESS switches an editing pulse on and off from shot to shot. A file that calls the shots
repetitions would have them averaged, which describes neither condition.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import least_squares

from bids_acc.mrs.signal.alignment import align_transients
from bids_acc.mrs.signal.measures import ppm_mask
from bids_acc.mrs.signal.referencing import find_shift, is_conjugated
from bids_acc.mrs.signal.water import remove_residual_water
from bids_acc.mrs.spectrum import ppm_axis, to_spectrum
from bids_acc.typing import BoolArray, ComplexArray, FloatArray

CONTRAST_PPM = (1.8, 3.2)
"""Where the energy of a pattern is measured: NAA, glutamate, GABA and creatine."""

MATCH_PPM = (1.8, 3.4)
"""Where the means of the two kinds are matched."""

MIN_SHOTS = 8
"""With fewer transients their scatter cannot be told."""

CONTRAST_LIMIT = 10.0
"""A pattern whose energy is this many times the mean energy of all others is looked at closely."""

SPLIT_LIMIT = 20.0
"""Two kinds are told apart when what remains of their difference, once scale, phase, shift and
width are matched, is this many times what the scatter of the transients explains."""

DOUBT_LIMIT = 4.0
"""Beyond this ratio the series may hold two kinds. In 216 simulated series of one kind, with a
head that moved, phases that followed breath and water whose sign was turned, the ratio stayed
below 2.5 (the benchmark of editing)."""

SUPPRESSED_NAA = 0.7
"""A condition whose NAA is lower than this share of the other's was edited there (GABA)."""

USED_S = 0.3
"""Only this much of the decays is looked at, in s: later samples hold mostly noise."""

MATCHED_HZ = 6.0
"""The spectra are smoothed by a line of this width, that of the lines that are looked for."""

N_LIKELY = 3
"""Patterns of the highest contrast that are looked at closely."""

DISTINCT = 0.7
"""Two patterns are distinct when this much of one is left without the other, of 1."""

_SHIFT_HZ, _WIDTH_HZ = 6.0, 8.0


SINGLETS_PPM, INVERTED, UNSUPPRESSED = (2.9, 3.35), -0.7, 40.0
"""Window of creatine and cholines; correlation of both kinds there below which they are opposite;
height of water over them that no suppressed water has. Own conventions: metabolite
cycling inverts all metabolites and leaves water as it is, editing leaves creatine and cholines."""


@dataclass(frozen=True)
class TwoKinds:
    """How clearly a series of transients falls into two kinds."""

    pattern: str
    """Order of the two kinds that fits best, in words."""
    first: BoolArray
    """Transients of the kind of the first one, (n_transients,)."""
    contrast: float
    """Energy of the pattern over the mean energy of all other contrasts; NaN with few shots."""
    unlike: float
    """What remains after matching, over what the scatter explains; NaN without a contrast."""
    naa_ratio: float
    """Height of NAA in the first kind over that in the other; NaN without a contrast."""
    cycled: bool = False
    """Whether creatine and cholines are inverted in one kind beneath unsuppressed water."""

    @property
    def clear(self) -> bool:
        """Whether the two kinds are told apart without doubt."""
        return self.contrast > CONTRAST_LIMIT and self.unlike > SPLIT_LIMIT

    @property
    def doubtful(self) -> bool:
        """Whether there may be two kinds."""
        return not self.clear and self.contrast > CONTRAST_LIMIT and self.unlike > DOUBT_LIMIT


def _patterns(n_shots: int) -> dict[str, BoolArray]:
    """Orders in which scanners and converters store two conditions."""
    shot = np.arange(n_shots)
    found = {
        'every second transient': shot % 2 == 0,
        'in the order ABBA': (shot % 4 == 0) | (shot % 4 == 3),
    }
    for size in (2, 4, 8, 16):
        if n_shots >= 2 * size:
            found[f'in blocks of {size}'] = (shot // size) % 2 == 0
    for parts in (4, 2):
        if n_shots % parts == 0:
            size = n_shots // parts
            found.setdefault(f'in blocks of {size}', (shot // size) % 2 == 0)
    return found


def _without_trend(n_shots: int) -> FloatArray:
    """Projector that takes a parabola over the shots away, (n_shots, n_shots)."""
    trend = np.linalg.qr(np.vander(np.linspace(-1, 1, n_shots), 3))[0]
    return np.asarray(np.eye(n_shots) - trend @ trend.T)


def _contrasts(spectra: ComplexArray) -> dict[str, tuple[float, float]]:
    """Energy of each pattern over the mean energy of all other contrasts, and the latter, by name.

    The strongest of the other patterns is left out of that mean: water whose sign the phase cycle
    turns must not hide an editing pulse that is switched in blocks.
    """
    n_shots = spectra.shape[0]
    projector = _without_trend(n_shots)
    flat = projector @ spectra
    total = float(np.sum(np.abs(flat) ** 2))
    units = {}
    for name, first in _patterns(n_shots).items():
        weights = projector @ np.where(first, 1.0, -1.0)
        size = float(np.linalg.norm(weights))
        # Some patterns are one and the same in a short series, or nothing but trend.
        if size > 1e-6 * math.sqrt(n_shots):
            units[name] = weights / size
    found = {}
    for name, unit in units.items():
        energy = float(np.sum(np.abs(unit @ flat) ** 2))
        besides = [other - (other @ unit) * unit for other in units.values()]
        own = [part / np.linalg.norm(part) for part in besides if np.linalg.norm(part) > DISTINCT]
        strongest = max((float(np.sum(np.abs(part @ flat) ** 2)) for part in own), default=0.0)
        # Five dimensions are gone: the parabola's three, this pattern's, and the strongest other
        # one's.
        other = max(total - energy - strongest, 0.0) / max(n_shots - 5, 1)
        found[name] = (energy / other if other > 0 else math.inf, other)
    return found


def _parabola(ppm: FloatArray) -> FloatArray:
    """Projector that takes a parabola over the axis away."""
    axis = (ppm - ppm.mean()) / np.ptp(ppm)
    basis = np.linalg.qr(np.vander(axis, 3))[0]
    return np.asarray(np.eye(ppm.size) - basis @ basis.T)


def _left_over(
    first: ComplexArray,
    second: ComplexArray,
    inside: BoolArray,
    flat: FloatArray,
    dwell_time: float,
) -> float:
    """Energy of one mean after the other was matched to it in scale, phase, shift and width.

    The width is bounded: without a bound broadening away all lines would match everything.
    """
    time = np.arange(first.size) * dwell_time

    def residual(parameters: FloatArray, whole: bool = False) -> FloatArray:
        shift, width = parameters
        # Only broadening is stable: narrowing a decay multiplies its noise by a growing
        # exponential.
        narrow, wide = (first, second) if width >= 0 else (second, first)
        turn = shift if width >= 0 else -shift
        moved = narrow * np.exp((2j * np.pi * turn - np.pi * abs(width)) * time)
        ours, target = flat @ to_spectrum(moved)[inside], flat @ to_spectrum(wide)[inside]
        scale = np.vdot(ours, target) / np.vdot(ours, ours).real
        rest = target - scale * ours
        if whole:  # in units of the pair's mean scale, whichever was moved
            rest = rest / math.sqrt(max(float(abs(scale)), 1e-3))
        return np.concatenate([rest.real, rest.imag])

    bounds = ([-_SHIFT_HZ, -_WIDTH_HZ], [_SHIFT_HZ, _WIDTH_HZ])
    ends = [
        least_squares(residual, start, bounds=bounds, x_scale=(1.0, 1.0), max_nfev=30)
        for start in ((0.0, 0.5), (0.0, -0.5))
    ]
    return min(float(np.sum(residual(end.x, whole=True) ** 2)) for end in ends)


def find_two_kinds(
    transients: npt.ArrayLike, dwell_time: float, spectrometer_mhz: float
) -> TwoKinds:
    """Look for two kinds of transients that take turns.

    The energy of each pattern in the aligned transients, a parabola over time removed, is
    compared with the mean energy of all other contrasts. A head that moved makes a contrast, too:
    therefore the means of the two kinds of the best pattern are matched in complex scale, shift
    and width, and only what remains counts.

    Parameters
    ----------
    transients : (n_transients, n_points) array_like of complex
        Decays of one combined coil, in the order of the file.
    dwell_time, spectrometer_mhz : float
        Sampling interval in s and spectrometer frequency in MHz.

    Returns
    -------
    TwoKinds
        With NaN where there are fewer than :data:`MIN_SHOTS`.
    """
    transients = np.asarray(transients, dtype=complex)
    n_shots = transients.shape[0]
    if n_shots < MIN_SHOTS:
        return TwoKinds('', np.ones(n_shots, dtype=bool), math.nan, math.nan, math.nan)
    transients = transients[:, : max(int(USED_S / dwell_time), 64)]
    aligned, _ = align_transients(transients, dwell_time, n_passes=2)
    water_removed = remove_residual_water(aligned.mean(axis=0), dwell_time, spectrometer_mhz)
    if is_conjugated(water_removed, dwell_time, spectrometer_mhz):
        aligned, water_removed = aligned.conj(), water_removed.conj()
    ppm = ppm_axis(aligned.shape[1], dwell_time, spectrometer_mhz)
    ppm = ppm - find_shift(water_removed, dwell_time, spectrometer_mhz)
    inside = ppm_mask(ppm, *MATCH_PPM)
    flat = _parabola(ppm[inside])
    smooth = np.exp(-np.pi * MATCHED_HZ * np.arange(aligned.shape[1]) * dwell_time)
    spectra = np.array([to_spectrum(fid * smooth) for fid in aligned])
    contrasts = _contrasts(spectra[:, ppm_mask(ppm, *CONTRAST_PPM)])
    # the scatter in the window of the match, the pattern itself left out
    scatters = _contrasts(np.asarray(spectra[:, inside] @ flat, dtype=complex))
    likely = sorted(contrasts, key=lambda name: -contrasts[name][0])[:N_LIKELY]
    found = []
    for pattern in likely:
        first = _patterns(n_shots)[pattern]
        means = [aligned[kind].mean(axis=0) for kind in (first, ~first)]
        left = _left_over(means[0] * smooth, means[1] * smooth, inside, flat, dwell_time)
        expected = scatters[pattern][1] * (1 / first.sum() + 1 / (~first).sum())
        unlike = left / expected if expected > 0 else math.inf
        naa = [_height(mean, ppm) for mean in means]
        ratio = naa[0] / naa[1] if naa[1] > 0 else math.nan
        cycled = _cycled(means[0], means[1], ppm)
        found.append(TwoKinds(pattern, first, contrasts[pattern][0], unlike, ratio, cycled))
    return max(found, key=lambda kinds: (kinds.contrast > CONTRAST_LIMIT, kinds.unlike))


def _cycled(first: ComplexArray, second: ComplexArray, ppm: FloatArray) -> bool:
    """Whether metabolites are inverted in one of two means that were aligned by their water."""
    inside = ppm_mask(ppm, *SINGLETS_PPM)
    flat = _parabola(ppm[inside])
    ours, theirs = (flat @ to_spectrum(mean)[inside] for mean in (first, second))
    size = float(np.linalg.norm(ours) * np.linalg.norm(theirs))
    if not size > 0 or np.vdot(ours, theirs).real / size > INVERTED:
        return False
    water = np.abs(to_spectrum(first + second)[ppm_mask(ppm, 4.4, 4.9)]).max(initial=0.0)
    return bool(water > UNSUPPRESSED * np.abs(np.concatenate([ours, theirs])).max())


def _height(fid: ComplexArray, ppm: FloatArray) -> float:
    """Height of NAA over its flanks, whatever its phase."""
    spectrum = to_spectrum(fid)
    inside = ppm_mask(ppm, 1.9, 2.1)
    flanks = ppm_mask(ppm, 1.75, 2.25) & ~inside
    return float(np.abs(spectrum[inside] - np.median(spectrum[flanks])).max())
