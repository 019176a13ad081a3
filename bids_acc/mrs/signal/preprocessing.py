"""From raw transients to one spectrum, each step recorded with what it changed.

Order (Near et al. 2021, NMR Biomed 34:e4257, https://doi.org/10.1002/nbm.4257): coils, alignment,
transients unlike the others, average, eddy currents, residual water, ppm scale, phase.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from bids_acc.exceptions import InputDataError
from bids_acc.mrs.signal.alignment import (
    UNLIKE_SD,
    Alignment,
    align_transients,
    shift_and_phase,
    unlike_transients,
)
from bids_acc.mrs.signal.coils import LEAST_AGREEMENT, coil_agreement, combine_coils
from bids_acc.mrs.signal.ending import wrapped_samples
from bids_acc.mrs.signal.heights import two_heights
from bids_acc.mrs.signal.measures import peak_measures
from bids_acc.mrs.signal.referencing import (
    LARGEST_SHIFT_PPM,
    SINGLETS_PPM,
    WIDEST_SHIFT_PPM,
    find_phase,
    find_shift,
    is_conjugated,
    scale_factor,
    singlet_amplitudes,
    singlet_score,
)
from bids_acc.mrs.signal.water import (
    LEAST_OVER_OWN,
    RESIDUAL_WATER_PPM,
    correct_eddy_currents,
    reference_problem,
    remove_residual_water,
    suppressed_as_well,
    water_amplitude,
)
from bids_acc.typing import BoolArray, ComplexArray

WIDENING_LIMIT = 1.05
"""An eddy-current correction that widens NAA by more than this factor is left out."""

LOWERING_LIMIT = 0.97
"""One that leaves less than this share of the height of NAA is left out as well."""

CENTRED_SCORE, CENTRED_GAIN = 0.85, 1.25
"""Water is taken to be off the centre when the singlets then score more than the first (of 3), and
better by the second, a factor. Spectra with water in the centre score 0.9 to 1.7 down to a S/N of
1, moved ones 0.9 and less."""

WINDOW_SLACK_PPM = 0.03
"""The window of residual water stays where it is for displacements of the scale up to this."""

LEAST_WATER = 40.0
"""A reference that is no higher than the spectrum (`LEAST_OVER_OWN`) and holds less than this many
times as much water as all else was suppressed: its phase is that of metabolites too, which a
correction would print into the spectrum. A convention."""

COLD_WATER_PPM = 4.73
"""Water beyond this, on the scale of NAA, creatine and cholines, is colder than 31 degrees
Celsius. In real scans at hand its reference lies at 4.67; a convention."""

TURNED_LIMIT = 1.15
"""A water reference is taken as conjugated when its conjugate makes NAA higher than the reference
does, and than no correction does, by more than this factor."""


@dataclass(frozen=True)
class StepRecord:
    """One step with S/N and width of NAA before and after it."""

    step: str
    """Name of the step."""
    applied: bool
    """Whether there was anything to do."""
    detail: str
    """What was done, or why nothing was."""
    snr_before: float
    """Height of the NAA peak over the noise before the step."""
    snr_after: float
    """The same after it."""
    fwhm_before_hz: float
    """Width of the NAA peak before the step, in Hz."""
    fwhm_after_hz: float
    """The same after it."""


@dataclass(frozen=True)
class Replay:
    """What was done to a spectrum, so that another condition of the same scan gets the same."""

    coils: BoolArray
    """Which coils were used."""
    weights: ComplexArray
    """Of these coils."""
    conjugated: bool
    """Whether the decays were conjugated, after they were averaged."""
    turn: ComplexArray
    """(n_points,) factors of modulus one that follow: eddy currents, ppm scale, phase."""
    wet: ComplexArray
    """(n_points,) the decay with all of this, and with its residual water."""
    water_ppm: tuple[float, float] | None
    """Where residual water was taken out, before the ppm scale was set; None when it was not."""


@dataclass(frozen=True)
class Preprocessed:
    """One averaged, corrected decay with the history of its making."""

    fid: ComplexArray
    """(n_points,)."""
    water: ComplexArray | None
    """Combined and averaged water reference, (n_points,), or None."""
    steps: tuple[StepRecord, ...]
    """What was done, in order."""
    n_transients: int
    """Transients in the file."""
    n_transients_used: int
    """Transients that were averaged."""
    drift_hz: float
    """Range of the transients' offsets; NaN when the file holds one transient."""
    shift_ppm: float
    """Displacement that referencing took away, in ppm."""
    phase0_deg: float
    """Phase that was taken away, in degrees."""
    water_amplitude: float
    """Water signal at time zero; NaN without reference."""
    water_fwhm_hz: float
    """Width of the water line in Hz, before eddy-current correction; NaN without reference."""
    residual_water_ratio: float
    """Highest residual water over NAA in the magnitude spectrum, before its removal."""
    alignment: Alignment | None = None
    """Offset and phase of each transient."""
    used: BoolArray = field(default_factory=lambda: np.ones(1, dtype=bool))
    """Which transients were averaged."""
    replay: Replay | None = None
    """What another condition of the scan needs; None when there was nothing usable."""
    reference_problem: str = ''
    """Why the water reference shares no scale with the spectrum; empty when it does."""
    uneven: str = ''
    """That the transients are of two heights; empty when they are not."""


class _History:
    """Collect step records; the measures after one step are those before the next."""

    def __init__(self, fid: ComplexArray, dwell_time: float, spectrometer_mhz: float) -> None:
        self.axis = (dwell_time, spectrometer_mhz)
        self.last = peak_measures(fid, *self.axis)
        self.steps: list[StepRecord] = []

    def add(self, step: str, fid: ComplexArray | None, detail: str) -> None:
        """Record a step, with height and width of NAA before and after it.

        Parameters
        ----------
        step : str
            Its name in the table of steps.
        fid : (n_points,) ndarray of complex or None
            Decay after it; None when the step was left out.
        detail : str
            What was done, or why nothing was.
        """
        now = self.last if fid is None else peak_measures(fid, *self.axis)
        self.steps.append(
            StepRecord(step, fid is not None, detail, self.last[0], now[0], self.last[1], now[1])
        )
        self.last = now


def _average_reference(
    reference: ComplexArray, weights: ComplexArray | None, dwell_time: float, n_points: int
) -> ComplexArray:
    """Water decays combined, aligned and averaged; longer ones are cut.

    The weights of the spectrum combine those of the same coils, so that both share one scale.
    None for others, which serve eddy currents only and get weights of their own.
    """
    combined = (
        combine_coils(reference)[0]
        if weights is None
        else np.tensordot(weights, reference, axes=1)
    )
    transients = np.asarray(combined, dtype=np.complex128)
    aligned = align_transients(transients[:, :n_points], dwell_time, n_passes=2)[0]
    return np.asarray(aligned.mean(axis=0))


def _same_coils(
    fids: ComplexArray, reference: ComplexArray, dwell_time: float, mhz: float
) -> tuple[ComplexArray | None, str]:
    """Water decays that share the coils of a spectrum, conjugated where they must be.

    None where the coils are others, with what is wrong: sensitivities that water and metabolites
    do not share tell another order or phase of the coils, which would print the pattern of the
    wrong coils into the sum.
    """
    if fids.shape[0] == 1 or reference.shape[0] != fids.shape[0]:
        return (reference if reference.shape[0] == fids.shape[0] else None), ''
    agreement = coil_agreement(fids, reference, dwell_time, mhz)
    if not agreement < LEAST_AGREEMENT:
        return reference, ''
    if coil_agreement(fids, reference.conj(), dwell_time, mhz) > LEAST_AGREEMENT:
        return reference.conj(), 'the water reference is conjugated against the spectrum: turned.'
    return None, (
        f'no water scaling: the coils of the water reference see the voxel otherwise than those '
        f'of the spectrum (agreement {agreement:.2f} of 1), as coils in another order or with '
        'other phases do; convert both in the same way. Both are combined by their own coils.'
    )


def _residual_water_ratio(fid: ComplexArray, dwell_time: float, mhz: float) -> float:
    """Magnitude of the highest point at water over that at NAA."""
    ppm = 4.65 - np.fft.fftfreq(fid.size, dwell_time) / mhz
    magnitude = np.abs(np.fft.fft(fid))
    water = magnitude[(ppm > RESIDUAL_WATER_PPM[0]) & (ppm < RESIDUAL_WATER_PPM[1])]
    naa = magnitude[(ppm > 1.85) & (ppm < 2.15)]
    if not (water.size and naa.size and naa.max() > 0):
        return math.nan
    return float(water.max() / naa.max())


def _without_water(
    fid: ComplexArray, dwell_time: float, mhz: float
) -> tuple[ComplexArray, tuple[float, float]]:
    """Take residual water out, from a window that moves with the ppm scale, which is returned.

    Where the scale is off, the usual window would take the lines at 4.1 ppm away as well.
    """
    water_removed = remove_residual_water(fid, dwell_time, mhz)
    shift = find_shift(water_removed, dwell_time, mhz)
    if abs(shift) <= WINDOW_SLACK_PPM:
        return water_removed, RESIDUAL_WATER_PPM
    window = (RESIDUAL_WATER_PPM[0] + shift, RESIDUAL_WATER_PPM[1] + shift)
    return remove_residual_water(fid, dwell_time, mhz, window), window


def _align_and_average(
    transients: ComplexArray, dwell_time: float, history: _History
) -> tuple[ComplexArray, Alignment | None, BoolArray]:
    """Align, leave out, align again, average."""
    n_transients = transients.shape[0]
    if n_transients == 1:
        for step in ('align', 'outliers', 'average'):
            history.add(step, None, 'the file holds one transient, averaged on the scanner')
        return transients[0], None, np.ones(1, dtype=bool)
    aligned, alignment = align_transients(transients, dwell_time)
    spread = np.std(alignment.frequency_hz), np.degrees(np.std(alignment.phase_rad))
    history.add(
        'align', aligned.mean(axis=0), f'SD of offsets {spread[0]:.2f} Hz, {spread[1]:.1f} deg'
    )
    used = ~unlike_transients(aligned, dwell_time)
    if used.all():
        history.add('outliers', None, f'none beyond {UNLIKE_SD} robust SD')
    else:
        # The mean to which they were aligned held those that are now out.
        again, second = align_transients(aligned[used], dwell_time)
        frequency, phase = alignment.frequency_hz.copy(), alignment.phase_rad.copy()
        frequency[used] += second.frequency_hz
        phase[used] += second.phase_rad
        aligned, alignment = again, Alignment(frequency, phase)
        history.add(
            'outliers',
            aligned.mean(axis=0),
            f'{n_transients - used.sum()} of {n_transients} beyond {UNLIKE_SD} robust SD left out',
        )
    history.add('average', aligned.mean(axis=0), f'mean of {aligned.shape[0]} transients')
    return aligned.mean(axis=0), alignment, used


def _uneven(
    transients: ComplexArray,
    alignment: Alignment | None,
    used: BoolArray,
    conjugated: bool,
    history: _History,
) -> str:
    """Say that the transients that were averaged are of two heights; empty when they are not."""
    if alignment is None:
        return ''
    corrections = alignment.frequency_hz[used], alignment.phase_rad[used]
    aligned = shift_and_phase(transients[used], history.axis[0], *corrections)
    return two_heights(aligned.conj() if conjugated else aligned, *history.axis)


def _between(before: ComplexArray, after: ComplexArray) -> ComplexArray:
    """Factors of modulus one that lead from a decay to another."""
    return np.asarray(np.exp(1j * np.angle(after * before.conj())))


def _highest(decay: ComplexArray, dwell_time: float) -> float:
    """Frequency in Hz of the highest line."""
    frequency = np.fft.fftfreq(8 * decay.size, dwell_time)
    return float(frequency[np.argmax(np.abs(np.fft.fft(decay, 8 * decay.size)))])


def _lies_at(water: ComplexArray, dwell_time: float, offset: float) -> bool:
    """Whether a water line is nearer to an offset in Hz than to the centre."""
    place = _highest(water, dwell_time)
    return abs(place - offset) < abs(place)


def _centre(
    fid: ComplexArray, water: ComplexArray | None, dwell_time: float, mhz: float
) -> tuple[float, str]:
    """Offset in Hz by which water lies off the centre of the spectrum, and what told it; 0 mostly.

    Water is looked for where the reference, and the spectrum itself, are highest, and where the
    distances of the singlets put it; an offset counts when the singlets then stand clearly better
    in their places.
    """

    def score(offset: float) -> float:
        moved = shift_and_phase(fid, dwell_time, offset, 0.0)
        water_removed = remove_residual_water(moved, dwell_time, mhz)
        return max(
            singlet_score(d, dwell_time, mhz) for d in (water_removed, water_removed.conj())
        )

    places = {}
    for evidence, decay in (('the highest line', fid), ('the water reference', water)):
        if decay is not None:
            offset = _highest(decay, dwell_time)
            if abs(offset) > LARGEST_SHIFT_PPM * mhz:
                places[round(offset)] = (offset, evidence)
    water_removed = remove_residual_water(fid, dwell_time, mhz)
    wide = -find_shift(water_removed, dwell_time, mhz, WIDEST_SHIFT_PPM) * mhz
    if abs(wide) > LARGEST_SHIFT_PPM * mhz:
        places.setdefault(round(wide), (wide, 'the place of the singlets'))
    if not places:
        return 0.0, ''
    best, chosen = score(0.0), (0.0, '')
    for offset, evidence in places.values():
        found = score(offset)
        if found > max(CENTRED_GAIN * best, CENTRED_SCORE):
            best, chosen = found, (offset, evidence)
    return chosen


def _is_suppressed(water: ComplexArray, fid: ComplexArray, dwell_time: float, mhz: float) -> bool:
    """Whether a reference is no higher than the spectrum and holds much else than water."""
    height, own = (float(np.abs(decay)[2:10].mean()) for decay in (water, fid))
    if height > LEAST_OVER_OWN * own:
        return False
    dry = remove_residual_water(water, dwell_time, mhz)
    return height < LEAST_WATER * float(np.abs(dry)[2:10].mean())


def _correct_eddy_currents(
    fid: ComplexArray, water: ComplexArray | None, mode: str, history: _History
) -> ComplexArray:
    """Take the water's phase away, unless there is none or the scanner has done it."""
    if water is None or mode == 'off':
        reason = 'no water reference' if water is None else 'switched off'
        history.add('eddy_current', None, reason)
        return fid
    if _is_suppressed(water, fid, *history.axis):
        history.add('eddy_current', None, 'the water of the reference was suppressed')
        return fid
    # Some converters conjugate one of the two files and not the other; its phase then doubles what
    # it should take away.
    corrected, mirrored = (
        correct_eddy_currents(fid, w, history.axis[0]) for w in (water, water.conj())
    )
    measured = [
        peak_measures(remove_residual_water(f, *history.axis), *history.axis)
        for f in (fid, corrected, mirrored)
    ]
    heights, (before, after, _) = zip(*measured, strict=True)
    if heights[2] > TURNED_LIMIT * max(heights[:2]):
        history.add(
            'eddy_current',
            mirrored,
            f'phase of the conjugated water reference taken away: NAA is '
            f'{heights[2] / heights[1]:.1f} times as high as with the reference as it is',
        )
        return mirrored
    if mode == 'auto' and not after <= WIDENING_LIMIT * before:
        history.add(
            'eddy_current',
            None,
            f'would widen NAA from {before:.1f} to {after:.1f} Hz: taken as done by the scanner',
        )
        return fid
    if mode == 'auto' and heights[1] < LOWERING_LIMIT * heights[0]:
        history.add(
            'eddy_current',
            None,
            f'would leave {100 * heights[1] / heights[0]:.0f} % of the height of NAA: done by the '
            'scanner already, or the reference is conjugated',
        )
        return fid
    history.add('eddy_current', corrected, 'phase of the water reference taken away')
    return corrected


def _begun(fids: ComplexArray, dwell_time: float, mhz: float) -> tuple[ComplexArray, _History]:
    """Decays without what the receiver's filter wrapped to their end, and the history begun."""
    # coils differ in phase: before they are combined one of them shows more than their mean
    first = fids[int(np.argmax(np.sum(np.abs(fids) ** 2, axis=(1, 2))))]
    history = _History(first.mean(axis=0), dwell_time, mhz)
    if wrapped := wrapped_samples(fids, dwell_time):
        fids = fids[..., :-wrapped]
        history.add(
            'wrapped_end',
            first[:, :-wrapped].mean(axis=0),
            f'{wrapped} samples at the end, where the decay rises again, left out: the start of '
            "the receiver's digital filter, wrapped round",
        )
    return fids, history


@dataclass(frozen=True)
class _Coils:
    """Transients of all coils together, and the water decays that go with them."""

    transients: ComplexArray
    """(n_transients, n_points)."""
    weights: ComplexArray
    """(n_alive,) with which the coils were combined."""
    alive: BoolArray
    """(n_coils,) those that hold signal."""
    water: ComplexArray | None
    """Water decays of single coils; None without a reference."""
    shares_scale: bool
    """Whether they are of the same coils."""
    problem: str
    """What is wrong with the reference; empty when nothing is."""


def _combined(fids: ComplexArray, reference: npt.ArrayLike | None, history: _History) -> _Coils:
    """Combine the coils that hold signal, by the water reference where it is of the same coils."""
    # a coil that was not connected has no noise to be whitened by
    alive = np.any(fids != 0, axis=(1, 2))
    water = shared = None
    if reference is not None:
        water = np.asarray(reference, dtype=complex)
        if water.shape[0] == fids.shape[0]:
            alive &= np.any(water != 0, axis=(1, 2))
            water = water[alive]
    dead = ', '.join(str(k) for k in np.flatnonzero(~alive))
    fids = fids[alive]
    problem = ''
    if water is not None:
        shared, problem = _same_coils(fids, water, *history.axis)
    transients, weights = combine_coils(fids, shared)
    history.add(
        'coils',
        transients.mean(axis=0) if fids.shape[0] > 1 else None,
        (f'{fids.shape[0]} coils, whitened SVD' if fids.shape[0] > 1 else 'one coil or combined')
        + (f'; without signal and left out: {dead} (counted from 0)' if dead else ''),
    )
    is_shared = shared is not None
    return _Coils(transients, weights, alive, shared if is_shared else water, is_shared, problem)


def _averaged_water(coils: _Coils, dwell_time: float, n_points: int) -> ComplexArray | None:
    """Water reference as one decay; None without."""
    if coils.water is None:
        return None
    weights = coils.weights if coils.shares_scale else None
    return _average_reference(coils.water, weights, dwell_time, n_points)


def _centred(
    fid: ComplexArray, water: ComplexArray | None, history: _History
) -> tuple[ComplexArray, ComplexArray | None]:
    """Move a spectrum to where its water is in the centre, and the reference where it lies so."""
    dwell_time = history.axis[0]
    offset, evidence = _centre(fid, water, *history.axis)
    if offset:
        fid = shift_and_phase(fid, dwell_time, offset, 0.0)
        if water is not None and _lies_at(water, dwell_time, offset):
            water = shift_and_phase(water, dwell_time, offset, 0.0)
        history.add('centre', fid, f'moved by {-offset:+.0f} Hz: {evidence} was off the centre')
    return fid, water


def _turned(
    fid: ComplexArray, water: ComplexArray | None, history: _History
) -> tuple[ComplexArray, ComplexArray | None, bool]:
    """Conjugate decays whose lines lie on the wrong side of water; also whether they did."""
    if not is_conjugated(remove_residual_water(fid, *history.axis), *history.axis):
        return fid, water, False
    fid = fid.conj()
    history.add('conjugate', fid, 'the lines lay downfield of water')
    return fid, None if water is None else water.conj(), True


def _dried(fid: ComplexArray, history: _History) -> tuple[ComplexArray, tuple[float, float]]:
    """Take residual water out, and record it; also the window that it was taken from."""
    fid, window = _without_water(fid, *history.axis)
    detail = f'HLSVD, 30 components, {window[0]:.2f}-{window[1]:.2f} ppm'
    history.add('residual_water', fid, detail)
    return fid, window


def _referenced(fid: ComplexArray, history: _History) -> tuple[ComplexArray, float, float]:
    """Set the ppm scale and the phase; also the shift in ppm and the phase taken away."""
    dwell_time, mhz = history.axis
    shift = find_shift(fid, dwell_time, mhz)
    fid = shift_and_phase(fid, dwell_time, -shift * mhz, 0.0)
    history.add('reference', fid, f'moved by {-shift:+.3f} ppm to NAA, tCr and tCho')
    # last, because the foot of residual water bends the phase of the lines on it
    phase = find_phase(fid, dwell_time, mhz)
    fid = fid * np.exp(-1j * phase)
    history.add('phase', fid, f'{math.degrees(phase):.1f} deg taken away')
    return fid, shift, phase


def nothing_usable(n_points: int, reason: str) -> Preprocessed:
    """Stand for a spectrum of which nothing can be said: NaN all over, with the reason.

    Parameters
    ----------
    n_points : int
        Samples of the decay.
    reason : str
        Becomes the detail of the only step.

    Returns
    -------
    Preprocessed
        With no water and no transients used.
    """
    nan = math.nan
    return Preprocessed(
        fid=np.full(n_points, nan, dtype=complex),
        water=None,
        steps=(StepRecord('read', False, reason, nan, nan, nan, nan),),
        n_transients=0,
        n_transients_used=0,
        drift_hz=nan,
        shift_ppm=nan,
        phase0_deg=nan,
        water_amplitude=nan,
        water_fwhm_hz=nan,
        residual_water_ratio=nan,
    )


def preprocess(
    fids: npt.ArrayLike,
    dwell_time: float,
    spectrometer_mhz: float,
    reference: npt.ArrayLike | None = None,
    eddy_current: Literal['auto', 'on', 'off'] = 'auto',
    residual_water: bool = True,
) -> Preprocessed:
    """Combine, align, average and correct raw decays, which makes one spectrum of them.

    Parameters
    ----------
    fids : (n_coils, n_transients, n_points) array_like of complex
        Decays of one editing condition.
    dwell_time, spectrometer_mhz : float
        Sampling interval in s and spectrometer frequency in MHz.
    reference : (n_coils, n, m) array_like of complex, optional
        Water decays of the same voxel.
    eddy_current : {'auto', 'on', 'off'}
        Correct eddy currents where there is a reference; 'auto' only when this does not widen
        NAA by more than :data:`WIDENING_LIMIT`, which tells that the scanner has done it, nor
        lowers it beyond :data:`LOWERING_LIMIT`.
    residual_water : bool
        Take residual water out.

    Returns
    -------
    Preprocessed
        Decay, water and the record of steps.

    Raises
    ------
    InputDataError
        If a coil holds no signal.
    """
    fids, history = _begun(np.asarray(fids, dtype=complex), dwell_time, spectrometer_mhz)
    coils = _combined(fids, reference, history)
    fid, alignment, used = _align_and_average(coils.transients, dwell_time, history)
    averaged, water = fid, _averaged_water(coils, dwell_time, fid.size)
    fid, water = _centred(fid, water, history)
    fid, water, conjugated = _turned(fid, water, history)
    uneven = _uneven(coils.transients, alignment, used, conjugated, history)
    fid = _correct_eddy_currents(fid, water, eddy_current, history)

    before = averaged.conj() if conjugated else averaged
    turn = _between(before, fid)
    # while it is there: this tells how well suppression worked
    ratio = _residual_water_ratio(fid, dwell_time, spectrometer_mhz)
    fid, window = _dried(fid, history) if residual_water else (fid, None)
    if window is None:
        history.add('residual_water', None, 'switched off')
    fid, shift, phase = _referenced(fid, history)
    turn = shift_and_phase(turn, dwell_time, -shift * spectrometer_mhz, phase)
    return Preprocessed(
        fid=fid,
        water=water,
        steps=tuple(history.steps),
        n_transients=coils.transients.shape[0],
        n_transients_used=int(used.sum()),
        drift_hz=float(np.ptp(alignment.frequency_hz)) if alignment else math.nan,
        shift_ppm=shift,
        phase0_deg=math.degrees(phase),
        water_amplitude=water_amplitude(water, dwell_time)
        if water is not None and coils.shares_scale
        else math.nan,
        water_fwhm_hz=math.nan
        if water is None
        else peak_measures(water, dwell_time, spectrometer_mhz, (4.2, 5.1))[1],
        residual_water_ratio=ratio,
        alignment=alignment,
        used=used,
        replay=Replay(coils.alive, coils.weights, conjugated, turn, before * turn, window),
        reference_problem=coils.problem,
        uneven=uneven,
    )


def replayed(
    fids: npt.ArrayLike, dwell_time: float, spectrometer_mhz: float, done: Preprocessed
) -> tuple[ComplexArray, ComplexArray, int]:
    """Preprocess another editing condition of a scan as the first one was.

    Parameters
    ----------
    fids : (n_coils, n_transients, n_points) array_like of complex
        Decays of the other condition.
    dwell_time, spectrometer_mhz : float
        Sampling interval in s and spectrometer frequency in MHz.
    done : Preprocessed
        The first condition.

    Returns
    -------
    fid, wet : (n_points,) ndarray of complex128
        Decay without and with residual water. Transients are aligned among themselves; coils,
        eddy currents, ppm scale and phase are those of the first condition.
    n_used : int
        Transients that were averaged.

    Raises
    ------
    InputDataError
        If there is nothing to replay.
    """
    replay = done.replay
    if replay is None:
        raise InputDataError('the other editing condition holds nothing usable')
    n_points = replay.turn.size
    used = np.asarray(fids, dtype=complex)[replay.coils, :, :n_points]
    transients = np.asarray(np.tensordot(replay.weights, used, axes=1), dtype=np.complex128)
    history = _History(transients.mean(axis=0), dwell_time, spectrometer_mhz)
    fid, _, kept = _align_and_average(transients, dwell_time, history)
    wet = (fid.conj() if replay.conjugated else fid) * replay.turn
    if replay.water_ppm is None:
        return wet, wet, int(kept.sum())
    # the window was found before the ppm scale was, this decay has it already
    low, high = (ppm - done.shift_ppm for ppm in replay.water_ppm)
    dry = remove_residual_water(wet, dwell_time, spectrometer_mhz, (low, high))
    return dry, wet, int(kept.sum())


def wrong_axis(done: Preprocessed, dwell_time: float, spectrometer_mhz: float) -> str:
    """Say that the lines lie as those of another sampling interval or field; empty when not.

    Parameters
    ----------
    done : Preprocessed
        Spectrum.
    dwell_time, spectrometer_mhz : float
        Sampling interval in s and spectrometer frequency in MHz.
    """
    where_it_was = shift_and_phase(done.fid, dwell_time, done.shift_ppm * spectrometer_mhz, 0.0)
    factor = scale_factor(where_it_was, dwell_time, spectrometer_mhz)
    if factor == 1:
        return ''
    return (
        f'NAA, creatine and cholines lie {factor:.2g} times as far from each other as they do at '
        f'{spectrometer_mhz:.2f} MHz with a spectral width of {1 / dwell_time:.0f} Hz: they fit '
        f'{factor * spectrometer_mhz:.0f} MHz, or {1 / dwell_time / factor:.0f} Hz; correct '
        'SpectrometerFrequency, or SpectralWidth and the header'
    )


def cold_water(done: Preprocessed, dwell_time: float, spectrometer_mhz: float) -> str:
    """Say that water lies where that of a phantom at room temperature does; empty when not.

    The distance of water to NAA is a thermometer (Cady et al. 1995, Magn Reson Med 33:862,
    https://doi.org/10.1002/mrm.1910330620; measured from 30 to 40 degrees, and taken beyond).
    Residual water and reference must agree, because suppression moves the one and another carrier
    the other.

    Parameters
    ----------
    done : Preprocessed
        Spectrum and water.
    dwell_time, spectrometer_mhz : float
        Sampling interval in s and spectrometer frequency in MHz.
    """
    if done.water is None or done.replay is None or not np.any(done.fid):
        return ''
    own = 4.65 - _highest(done.replay.wet - done.fid, dwell_time) / spectrometer_mhz
    # the correction of eddy currents brings the water of the reference to the centre
    corrected = any(step.step == 'eddy_current' and step.applied for step in done.steps)
    offset = 0.0 if corrected else _highest(done.water, dwell_time)
    scaled = 4.65 - offset / spectrometer_mhz - done.shift_ppm
    coldest = min(own, scaled)
    if coldest < COLD_WATER_PPM or abs(own - scaled) > WINDOW_SLACK_PPM:
        return ''
    distance = coldest - SINGLETS_PPM[0]
    return (
        f'water lies {distance:.2f} ppm from NAA, as at about {286.9 - 94.0 * distance:.0f} '
        'degrees Celsius: if this is a phantom, relaxation and macromolecules are not those of '
        'brain, for which levels are meant.'
    )


def checked_scale(
    done: Preprocessed, dwell_time: float, spectrometer_mhz: float
) -> tuple[Preprocessed, str]:
    """Discard the amplitude of a water reference that is implausible beside the metabolites.

    Parameters
    ----------
    done : Preprocessed
        Spectrum and water.
    dwell_time, spectrometer_mhz : float
        Sampling interval in s and spectrometer frequency in MHz.

    Returns
    -------
    done : Preprocessed
        With NaN as amplitude of water where the reference cannot be one.
    problem : str
        What is wrong; empty when nothing is.
    """
    if done.uneven:
        scale = '; no water scaling' if done.water_amplitude > 0 else ''
        done = replace(done, water_amplitude=math.nan)
        return done, f'{done.uneven}{scale}. {done.reference_problem}'.rstrip()
    if not (done.water_amplitude > 0 and np.any(done.fid)):
        return done, done.reference_problem
    lines = singlet_amplitudes(done.fid, dwell_time, spectrometer_mhz)
    highest = float(np.abs(lines).max())
    problem = reference_problem(done.water_amplitude, highest)
    if done.replay is not None and not problem.startswith('no water scaling'):
        own = float(np.abs(done.replay.wet - done.fid)[2:10].mean())
        problem = suppressed_as_well(done.water_amplitude, own, highest) or problem
    if problem.startswith('no water scaling'):
        done = replace(done, water_amplitude=float('nan'))
    return done, ' '.join(part for part in (done.reference_problem, problem) if part)
