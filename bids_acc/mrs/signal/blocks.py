"""Blocks of transients: which transient is in which, their averages, line shapes made alike."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar

from bids_acc.exceptions import InputDataError
from bids_acc.mrs.signal.alignment import shift_and_phase
from bids_acc.mrs.signal.measures import ppm_mask
from bids_acc.mrs.signal.preprocessing import Preprocessed
from bids_acc.mrs.signal.water import remove_residual_water
from bids_acc.mrs.spectrum import ppm_axis, to_spectrum
from bids_acc.typing import BoolArray, ComplexArray, FloatArray

REST = 'rest'
"""Name of the transients that no event holds."""

MIN_TRANSIENTS = 4
"""A block of fewer is not fitted."""

MATCH_PPM = (1.8, 3.4)
"""Where the widths of blocks are compared: NAA, creatine and cholines."""

WIDEST_HZ = 5.0
"""Largest difference of widths that is looked for."""


@dataclass(frozen=True)
class TransientBlock:
    """Transients that are averaged together."""

    label: str
    """``1``, ``2`` and so on, or the type of an event."""
    members: BoolArray
    """(n_transients,) which transients it holds."""
    onset_s: float
    """Start of its first transient after the start of the scan."""


def equal_blocks(n_transients: int, count: int, repetition_time: float) -> list[TransientBlock]:
    """Cut a series into blocks of equal length; some are longer by one where it does not go up.

    Parameters
    ----------
    n_transients : int
        Transients of the series.
    count : int
        Blocks.
    repetition_time : float
        In s.

    Returns
    -------
    list of Block

    Raises
    ------
    InputDataError
        If a block would hold too few.

    Examples
    --------
    >>> [int(block.members.sum()) for block in equal_blocks(10, 2, 2.0)]
    [5, 5]
    """
    if n_transients < MIN_TRANSIENTS * count:
        raise InputDataError(
            f'{n_transients} transients make no {count} blocks of {MIN_TRANSIENTS} or more'
        )
    parts = np.array_split(np.arange(n_transients), count)
    return [
        TransientBlock(
            str(number), np.isin(np.arange(n_transients), part), float(part[0] * repetition_time)
        )
        for number, part in enumerate(parts, start=1)
    ]


def event_blocks(
    onsets: Sequence[float],
    durations: Sequence[float],
    kinds: Sequence[str],
    n_transients: int,
    repetition_time: float,
    positions: Sequence[int] = (),
) -> list[TransientBlock]:
    """Put each transient to the event during which it was excited, all others to rest.

    Parameters
    ----------
    onsets, durations : sequence of float
        Of the events, in s after the first transient.
    kinds : sequence of str
        Type of each event; events of one type are one block.
    n_transients : int
        Transients of the series.
    repetition_time : float
        In s.
    positions : sequence of int
        Places of the transients among those that were measured; empty where none was left out.

    Returns
    -------
    list of Block
        Rest first, then the types in the order of their first event.

    Raises
    ------
    InputDataError
        If the events go on after the series, events of two types overlap, a type holds too few
        transients, or there is one block only.

    Examples
    --------
    >>> blocks = event_blocks([20.0], [20.0], ['task'], 20, 2.0)
    >>> [(block.label, int(block.members.sum())) for block in blocks]
    [('rest', 10), ('task', 10)]
    """
    places = np.array(positions or range(n_transients))
    times = places * repetition_time
    length = float(places[-1] + 1) * repetition_time
    ends = [onset + duration for onset, duration in zip(onsets, durations, strict=True)]
    if not (math.isfinite(length) and ends and max(ends) <= 1.1 * length):
        raise InputDataError(
            f'the events end after {max(ends, default=math.nan):g} s, the {n_transients} '
            f'transients of {repetition_time:g} s after {length:g} s: transients were averaged '
            'when they were stored, or RepetitionTime is wrong'
        )
    members: dict[str, BoolArray] = {}
    for onset, end, kind in zip(onsets, ends, kinds, strict=True):
        # A microsecond for times that were multiplied and rounded: an event that starts with a
        # transient holds it.
        inside = (times >= onset - 1e-6) & (times < end - 1e-6)
        members[kind] = members.get(kind, np.zeros(n_transients, dtype=bool)) | inside
    held = np.sum(list(members.values()), axis=0)
    if np.any(held > 1):
        raise InputDataError('events of two types overlap: one transient would be in two blocks')
    if np.sum(held == 0) >= MIN_TRANSIENTS:
        members = {REST: held == 0, **members}
    small = [kind for kind, own in members.items() if own.sum() < MIN_TRANSIENTS]
    if small or len(members) < 2:
        what = f'fewer than {MIN_TRANSIENTS} transients in {", ".join(small)}'
        raise InputDataError(what if small else 'the events leave one block, nothing to compare')
    return [TransientBlock(k, m, float(times[m][0])) for k, m in members.items()]


def block_averages(
    fids: npt.ArrayLike,
    dwell_time: float,
    spectrometer_mhz: float,
    done: Preprocessed,
    blocks: Sequence[TransientBlock],
) -> tuple[ComplexArray, list[int]]:
    """Average blocks of a series, with the alignment and corrections of the whole.

    Parameters
    ----------
    fids : (n_coils, n_transients, n_points) array_like of complex
        Raw decays.
    dwell_time, spectrometer_mhz : float
        Sampling interval in s and spectrometer frequency in MHz.
    done : Preprocessed
        The whole series, preprocessed.
    blocks : sequence of TransientBlock
        What to average.

    Returns
    -------
    averages : (n_blocks, n_points) ndarray of complex128
        Without residual water.
    counts : list of int
        Transients in each; those that the whole left out are left out here.

    Raises
    ------
    InputDataError
        If the file holds one transient, or too few of a block are left.
    """
    replay, alignment = done.replay, done.alignment
    if replay is None or alignment is None:
        raise InputDataError('the file holds one average, so that there are no blocks')
    used = np.asarray(fids, dtype=complex)[replay.coils, :, : replay.turn.size]
    transients = np.tensordot(replay.weights, used, axes=1)
    aligned = shift_and_phase(transients, dwell_time, alignment.frequency_hz, alignment.phase_rad)
    averages, counts = [], []
    for block in blocks:
        kept = block.members & done.used
        if kept.sum() < MIN_TRANSIENTS:
            raise InputDataError(f'block {block.label} holds {kept.sum()} transients like others')
        mean = aligned[kept].mean(axis=0)
        fid = (mean.conj() if replay.conjugated else mean) * replay.turn
        if replay.water_ppm is not None:
            low, high = (ppm - done.shift_ppm for ppm in replay.water_ppm)
            fid = remove_residual_water(fid, dwell_time, spectrometer_mhz, (low, high))
        averages.append(fid)
        counts.append(int(kept.sum()))
    return np.array(averages), counts


def match_widths(
    averages: ComplexArray, dwell_time: float, spectrometer_mhz: float
) -> tuple[ComplexArray, FloatArray]:
    """Broaden all blocks to the widest, so that no level follows the width of the lines.

    Where more blood is oxygenated lines are narrower, and a fit takes some of that for a level
    (the BOLD effect on spectra: Zhu and Chen 2001, Magn Reson Med 46:841,
    https://doi.org/10.1002/mrm.1267).

    Parameters
    ----------
    averages : (n_blocks, n_points) ndarray of complex
        Blocks, aligned.
    dwell_time, spectrometer_mhz : float
        Sampling interval in s and spectrometer frequency in MHz.

    Returns
    -------
    matched : (n_blocks, n_points) ndarray of complex128
    added_hz : (n_blocks,) ndarray of float64
        Lorentzian width given to each.
    """
    time = np.arange(averages.shape[-1]) * dwell_time
    inside = ppm_mask(ppm_axis(time.size, dwell_time, spectrometer_mhz), *MATCH_PPM)
    axis = np.linspace(-1, 1, int(inside.sum()))
    straight = np.linalg.qr(np.vander(axis, 2))[0]
    # A straight line is taken out of both, so that the foot of water does not tell the width.
    flat = np.eye(axis.size) - straight @ straight.T
    mean = averages.mean(axis=0)

    def excess(fid: ComplexArray) -> float:
        """Width of the mean above that of a block, in Hz; negative for a wide block."""

        def left(width: float) -> float:
            # both are broadened, so that none is sharpened and noise counts alike
            ours = to_spectrum(fid * np.exp(-np.pi * (WIDEST_HZ + width) * time))[inside]
            theirs = to_spectrum(mean * np.exp(-np.pi * WIDEST_HZ * time))[inside]
            ours, theirs = flat @ ours, flat @ theirs
            scale = np.vdot(ours, theirs) / np.vdot(ours, ours).real
            return float(np.sum(np.abs(theirs - scale * ours) ** 2) / np.vdot(theirs, theirs).real)

        found = minimize_scalar(left, bounds=(-WIDEST_HZ, WIDEST_HZ), method='bounded')
        return float(found.x)

    needed = np.array([excess(fid) for fid in averages])
    added: FloatArray = needed - needed.min()
    return averages * np.exp(-np.pi * np.outer(added, time)), added
