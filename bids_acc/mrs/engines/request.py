"""What is asked of an engine, and what the sidecar says about the sequence of the spectrum."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path

from bids_acc.mrs.basis.sequence import (
    other_sequence,
    sequence_of,
    told_split,
    too_short,
)
from bids_acc.mrs.lcm.options import ANALYSIS_PPM
from bids_acc.mrs.scan.conditions import editing_named
from bids_acc.mrs.scan.io import MrsData
from bids_acc.mrs.spectrum import Spectrum
from bids_acc.typing import Metadata

MACROMOLECULES = ('auto', 'parametrised', 'none')
"""Values of ``--mrs-macromolecules`` besides a file."""


@dataclass(frozen=True)
class FitRequest:
    """What is asked of an engine."""

    engine: str
    """``builtin``, ``lcmodel`` or ``import``."""
    basis: str = 'simulate'
    """``simulate``, or a file or folder."""
    fits_dir: str | None = None
    """Folder of other programs' fits."""
    svs_name: str = ''
    """Name of the raw spectrum, by which imported fits are found."""
    sequence: str = ''
    """Sequence; empty reads the metadata."""
    acquisition: str = ''
    """Label of the acq entity."""
    te1: float | None = None
    """First part of the echo time in s."""
    tm: float | None = None
    """Mixing time in s."""
    baseline_ed_per_ppm: float | None = None
    """Stiffness of the baseline."""
    ppm_max: float = ANALYSIS_PPM[1]
    """Upper end of the range that is fitted, in ppm."""
    macromolecules: str = 'auto'
    """``auto``, ``parametrised``, ``none``, or a metabolite-nulled spectrum."""
    cache_dir: str | None = None
    """Folder where simulated basis sets are kept."""
    unusable: str = ''
    """Why there is nothing to fit; empty when there is."""
    metadata: Metadata = field(default_factory=dict)
    """Sidecar of the raw spectrum."""
    water_amplitude: float = math.nan
    """Water signal at time zero."""
    water_file: str | None = None
    """Combined and averaged water, for engines that scale by themselves."""
    seed: int = 0
    """Seed of the noise by which the built-in fit is probed."""
    naa_ratio: float = math.nan
    """NAA of ON - OFF over NAA of OFF; NaN without two editing conditions."""
    work_dir: Path = Path()
    """Where an external program may write."""


def spectrum_of(data: MrsData, request: FitRequest) -> tuple[Spectrum, list[str]]:
    """Preprocessed decay with what the basis set must fit to, and notes on what was assumed.

    Parameters
    ----------
    data : MrsData
        Preprocessed decay, the first where there are several conditions or blocks.
    request : FitRequest
        The sequence that was asked for, and the sidecar of the raw spectrum.

    Returns
    -------
    spectrum : Spectrum
        Its sequence is the one asked for, else what the sidecar or the ``acq`` entity names, else
        PRESS.
    notes : list of str
        Where the sequence comes from.
    """
    sequence, origin = sequence_of(request.metadata, request.acquisition)
    notes = []
    if request.sequence:
        sequence = request.sequence
    elif not sequence:
        sequence = 'press'
        told = request.metadata.get('PulseSequenceType')
        reason = (
            f'PulseSequenceType {told!r} is unknown' if told else 'no field names the sequence'
        )
        if other := other_sequence(request.metadata, request.acquisition):
            reason = f'{other} (its own basis set can be given with --mrs-basis)'
        notes.append(f'{reason}: PRESS assumed; say it with --mrs-sequence.')
    else:
        notes.append(f'sequence {sequence} read from {origin}.')
    spectrum = Spectrum(
        fid=data.fids[0, 0, 0],
        dwell_time=data.dwell_time,
        spectrometer_frequency=data.spectrometer_mhz,
        echo_time=data.echo_time,
        repetition_time=data.repetition_time,
        sequence=sequence,
    )
    return spectrum, notes


def mixing_time(request: FitRequest, echo_time: float = math.nan) -> float | None:
    """Mixing time as asked, else as the sidecar tells; None when neither does.

    Parameters
    ----------
    request : FitRequest
        ``tm``, else ``MixingTime`` or the times of the pulses in its metadata.
    echo_time : float
        Of STEAM in s, with which the times of the pulses must agree.

    Returns
    -------
    float or None
        In s.

    Examples
    --------
    >>> mixing_time(FitRequest('builtin', metadata={'MixingTime': 0.010}))
    0.01
    >>> mixing_time(FitRequest('builtin', metadata={'PulseSequenceTiming': [0, 0.01, 0.02]}), 0.02)
    0.01
    """
    if request.tm is not None:
        return request.tm
    told = request.metadata.get('MixingTime')
    told = told[0] if isinstance(told, list | tuple) and told else told
    if isinstance(told, int | float):
        return float(told)
    seconds, _ = told_split(request.metadata, 'steam', echo_time)
    return None if math.isnan(seconds) else seconds


def first_part(request: FitRequest, spectrum: Spectrum) -> tuple[float | None, tuple[str, ...]]:
    """First part of the echo time as asked, else by the times of the pulses, and what to say.

    Of a basis set from a file it is what the user knows of that file, not of the scan.

    Parameters
    ----------
    request : FitRequest
        ``te1``, else the times of the pulses in its metadata, where the basis set is simulated.
    spectrum : Spectrum
        Sequence and echo time.

    Returns
    -------
    te1 : float or None
        In s; None leaves it to the simulation to assume one.
    notes : tuple of str
        Where it was read, or why the times of the pulses were not used.
    """
    if request.te1 is not None or request.basis != 'simulate' or spectrum.sequence != 'press':
        return request.te1, ()
    seconds, problem = told_split(request.metadata, 'press', spectrum.echo_time)
    if math.isnan(seconds):
        return None, (problem,) if problem else ()
    return seconds, (f'TE1 {1e3 * seconds:.1f} ms read from PulseSequenceTiming.',)


def impossible(spectrum: Spectrum, request: FitRequest) -> str:
    """Say why the sequence cannot have the echo time; empty where it can, or may.

    A sequence that no field names, or that is not simulated, is no reason to refuse a basis set
    that was made for it.

    Parameters
    ----------
    spectrum : Spectrum
        Sequence and echo time.
    request : FitRequest
        Whether the sequence was asked for, and whether a basis set was given.

    Returns
    -------
    str
        A clause without full stop.
    """
    named = request.sequence or sequence_of(request.metadata, request.acquisition)[0]
    if not named and request.basis != 'simulate':
        return ''
    edited = bool(editing_named(request.metadata, request.acquisition)[0])
    short = too_short(spectrum.sequence, spectrum.echo_time, edited)
    other = '' if named else other_sequence(request.metadata, request.acquisition)
    if short and other:
        return f'{other}, and {short}'
    return short
