"""Run one engine on a preprocessed spectrum, with its basis set."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

import bids_acc
from bids_acc.exceptions import (
    ComputationError,
    MetadataError,
    MissingInputError,
    SettingsError,
)
from bids_acc.mrs.basis import spin_systems
from bids_acc.mrs.basis.basis_set import load_basis, with_macromolecules
from bids_acc.mrs.basis.edit_metadata import editing_of
from bids_acc.mrs.basis.sequence import (
    other_sequence,
    sequence_of,
    told_split,
    too_short,
    usual_te1,
)
from bids_acc.mrs.engines.builtin import builtin_result, choose_engine, run_builtin
from bids_acc.mrs.engines.edited import NAMES as EDITED_NAMES
from bids_acc.mrs.engines.edited import EditedScan
from bids_acc.mrs.engines.importers import import_result
from bids_acc.mrs.engines.lcmodel import run_lcmodel
from bids_acc.mrs.lcm import FitOptions
from bids_acc.mrs.lcm.options import ANALYSIS_PPM
from bids_acc.mrs.lcm.timecourse import fit_blocks
from bids_acc.mrs.levels.constants import load_relaxation
from bids_acc.mrs.levels.quantify import parse_ratio
from bids_acc.mrs.results.engine_result import EngineResult
from bids_acc.mrs.scan.conditions import editing_named
from bids_acc.mrs.scan.io import MrsData, read_nifti_mrs
from bids_acc.mrs.scan.nulled import check_nulled, read_nulled
from bids_acc.mrs.signal.spectrum import Basis, Spectrum
from bids_acc.quality.gate import load_gate
from bids_acc.settings import MrsSettings
from bids_acc.typing import ComplexArray

LOGGER = logging.getLogger(__name__)

MACROMOLECULES = ('auto', 'parametrised', 'none')
"""Values of ``--mrs-macromolecules`` besides a file."""

FREQUENCY_TOLERANCE = 0.005
"""Largest relative difference of the frequencies of an imported fit and of the spectrum."""


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
    metadata: Mapping[str, Any] = field(default_factory=dict)
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
    """Preprocessed decay with what the basis set must fit to, and notes on what was assumed."""
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


def _split_assumed(basis: Basis) -> bool | None:
    """Whether TE1 was assumed; None for a file of PRESS spectra that does not state it."""
    if basis.sequence in ('', 'press') and math.isnan(basis.te1):
        return None
    return bool(basis.te_split_assumed)


def basis_info(basis: Basis) -> dict[str, Any]:
    """Say in a sidecar's terms which basis set was used."""
    return {
        'BasisSHA256': basis.sha256,
        'BasisNames': list(basis.names),
        'BasisSequence': basis.sequence,
        'BasisEchoTime': basis.echo_time,
        'BasisTE1': basis.te1,
        'BasisTE2': basis.te2,
        'BasisTESplitAssumed': _split_assumed(basis),
        'BasisProvenance': dict(basis.provenance),
        'BasisFlags': list(basis.flags),
    }


def check_mrs_settings(settings: MrsSettings) -> None:
    """Refuse settings that would fail for every spectrum, before any is touched.

    Parameters
    ----------
    settings : MrsSettings
        As asked for.

    Raises
    ------
    SettingsError
        If the engine is not there, a gate or a file of constants is not of the right form, a ratio
        cannot be read, or there is no such file of macromolecules.
    MissingInputError
        If the basis set or the folder of fits is not there.
    """
    for engine in (settings.engine, settings.second_engine):
        if engine != 'none':
            choose_engine(engine, settings.fits is not None)
    load_gate(settings.gate)
    check_blocks(settings.blocks)
    load_relaxation(settings.relaxation)
    for text in settings.ratios:
        parse_ratio(text)
    if settings.macromolecules not in MACROMOLECULES:
        check_nulled(settings.macromolecules)
    for flag, value in (('basis', settings.basis), ('fits', settings.fits)):
        if value not in ('simulate', None) and not Path(str(value)).exists():
            raise MissingInputError(f'--mrs-{flag} {value}: there is no such file or folder.')


def mixing_time(request: FitRequest, echo_time: float = math.nan) -> float | None:
    """Mixing time as asked, else as the sidecar tells; None when neither does.

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
    """
    if request.te1 is not None or request.basis != 'simulate' or spectrum.sequence != 'press':
        return request.te1, ()
    seconds, problem = told_split(request.metadata, 'press', spectrum.echo_time)
    if math.isnan(seconds):
        return None, (problem,) if problem else ()
    return seconds, (f'TE1 {1e3 * seconds:.1f} ms read from PulseSequenceTiming.',)


def _load(spectrum: Spectrum, request: FitRequest) -> Basis:
    """Basis set for the spectrum, with measured macromolecules where they are given.

    A basis set that states another sequence than the one assumed for want of a field is flagged
    and not refused: the assumption is the weaker of the two.
    """
    if request.basis == 'simulate' and math.isnan(spectrum.echo_time):
        told = request.metadata.get('EchoTime')
        found = 'missing' if told is None else f'{told!r}, no number'
        raise MetadataError(
            f'{request.svs_name}: EchoTime is {found}, so no basis set can be simulated: add it '
            f'to the sidecar, in seconds, or name a basis set with --mrs-basis.'
        )
    assumed = not (request.sequence or sequence_of(request.metadata, request.acquisition)[0])
    basis = load_basis(
        request.basis,
        replace(spectrum, sequence='') if assumed and request.basis != 'simulate' else spectrum,
        te1=first_part(request, spectrum)[0],
        tm=mixing_time(request, spectrum.echo_time),
        cache_dir=None if request.cache_dir is None else Path(request.cache_dir),
    )
    if request.macromolecules in MACROMOLECULES:
        return basis
    return with_macromolecules(basis, read_nulled(request.macromolecules))


def _check_import(
    result: EngineResult, spectrum: Spectrum, request: FitRequest
) -> tuple[EngineResult, dict[str, Any]]:
    """Check an imported fit against the data, and its basis set where that can be read.

    A fit that was made for another field excludes the spectrum, because its numbers look good.
    """
    invalid, notes, info = [], [], {}
    control = result.extra.get('control', {})
    used = float(control.get('hzpppm', spectrum.spectrometer_frequency))
    if abs(used / spectrum.spectrometer_frequency - 1) > FREQUENCY_TOLERANCE:
        invalid.append(
            f'the fit was made at {used:g} MHz, the spectrum at '
            f'{spectrum.spectrometer_frequency:g} MHz'
        )
    named = Path(str(result.extra.get('basis_file') or ''))
    source = request.basis if request.basis != 'simulate' else str(named)
    if request.basis != 'simulate' or named.is_file():
        try:
            info = basis_info(
                load_basis(source, spectrum, te1=request.te1, tm=mixing_time(request))
            )
        except MetadataError as error:
            invalid.append(f'wrong basis set: {error}')
    else:
        notes.append(
            'the basis set of the imported fit was not checked: name it with --mrs-basis.'
        )
    return replace(result, invalid=tuple(invalid), notes=(*result.notes, *notes)), info


def edited_scan(data: MrsData, request: FitRequest) -> EditedScan | None:
    """Difference of a scan with both conditions, OFF first; None without them.

    Only PRESS with editing pulses is simulated; of another sequence OFF is fitted alone.
    """
    if data.fids.shape[2] != 2:
        return None
    editing = editing_of(request.metadata, request.naa_ratio)
    return EditedScan(data.fids[0, 0, 1] - data.fids[0, 0, 0], editing)


def _lcmodel(
    spectrum: Spectrum,
    basis: Basis,
    water: ComplexArray | None,
    request: FitRequest,
) -> EngineResult:
    """Run LCModel; a fit that it gives up becomes NaN with its reason."""
    try:
        return run_lcmodel(
            spectrum, basis, water, request.work_dir, request.macromolecules, request.ppm_max
        )
    except ComputationError as error:
        LOGGER.warning('%s', error)
        return EngineResult.failed('lcmodel', 'unknown', basis.names, str(error))


def _options(request: FitRequest) -> FitOptions:
    """Make the settings of the built-in engine."""
    kinds: dict[str, Literal['parametrised', 'none']] = {
        'parametrised': 'parametrised', 'none': 'none',
    }  # fmt: skip
    return FitOptions(
        ppm_range=(ANALYSIS_PPM[0], request.ppm_max),
        ed_per_ppm=request.baseline_ed_per_ppm,
        macromolecules=kinds.get(request.macromolecules, 'auto'),
    )


def run_blocks(data: MrsData, request: FitRequest) -> list[EngineResult]:
    """Fit the blocks of a series with the built-in engine.

    Parameters
    ----------
    data : MrsData
        One decay per block, in the place of transients, with one alignment and line shape.
    request : FitRequest
        As for the whole spectrum.

    Returns
    -------
    list of EngineResult
        One for each block.

    Raises
    ------
    MetadataError, InputDataError
        If the basis set does not fit the data or a file cannot be read.
    """
    spectrum, _ = spectrum_of(data, request)
    basis = _load(spectrum, request)
    _, fits = fit_blocks(data.fids[0, :, 0], spectrum, basis, _options(request))
    return [builtin_result(fit, request.water_amplitude) for fit in fits]


def check_blocks(text: str | None) -> None:
    """Refuse a division into blocks that cannot be meant.

    Raises
    ------
    SettingsError
        If it is neither ``events`` nor a number of two or more.
    """
    if text is None or text == 'events' or (text.isdigit() and int(text) >= 2):
        return
    raise SettingsError(
        f'--mrs-blocks {text}: give the number of blocks, 2 or more, or the word events.'
    )


def _impossible(spectrum: Spectrum, request: FitRequest) -> str:
    """Say why the sequence cannot have the echo time; empty where it can, or may.

    A sequence that no field names, or that is not simulated, is no reason to refuse a basis set
    that was made for it.
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


def run_engine(data: MrsData, request: FitRequest) -> tuple[EngineResult, dict[str, Any]]:
    """Fit, or import.

    Parameters
    ----------
    data : MrsData
        Preprocessed spectrum.
    request : FitRequest
        What is asked.

    Returns
    -------
    result : EngineResult
        Amplitudes and quality.
    info : dict
        The basis set, for sidecars.

    Raises
    ------
    MetadataError, InputDataError
        If the basis set does not fit the data or a file cannot be read.
    MissingInputError
        If a fit to import is not there.
    """
    spectrum, notes = spectrum_of(data, request)
    edited = bool(editing_named(request.metadata, request.acquisition)[0])
    impossible = _impossible(spectrum, request)
    if impossible and request.engine != 'import':
        where = request.svs_name or data.source
        if impossible.startswith(other_sequence(request.metadata, request.acquisition) or '-'):
            raise MetadataError(
                f'{where}: {impossible}: give a basis set made for it with --mrs-basis.'
            )
        raise MetadataError(
            f'{where}: {impossible} (it may be the time of the first echo): give the whole echo '
            f'time in the sidecar, in seconds, or another sequence with --mrs-sequence.'
        )
    if request.unusable and request.engine != 'import':
        names = (*spin_systems.available(), *(EDITED_NAMES if edited else ()))
        return EngineResult.failed(
            request.engine, bids_acc.__version__, names, request.unusable
        ), {}
    if request.engine == 'import':
        stem = request.svs_name.split('.')[0]
        result, files = import_result(Path(request.fits_dir or '.'), stem)
        info: dict[str, Any] = {'ImportedFiles': files}
        result, checked = _check_import(result, spectrum, request)
        info |= checked
        invalid = tuple(part for part in (request.unusable, impossible) if part)
        result = replace(result, invalid=(*result.invalid, *invalid))
    else:
        basis = _load(spectrum, request)
        info = basis_info(basis)
        if info['BasisTESplitAssumed'] is None:
            notes.append(
                'the basis set does not state TE1: say it with --mrs-te1, for the record.'
            )
        notes += first_part(request, spectrum)[1]
        usual = usual_te1(request.metadata, spectrum.echo_time)
        if info['BasisTESplitAssumed'] and basis.sequence == 'press' and usual is not None:
            notes.append(usual.sentence)
        if basis.sequence and basis.sequence != spectrum.sequence:
            notes.append(f'the basis set was made for {basis.sequence}, which no field confirms.')
        if request.engine == 'lcmodel':
            water = None
            if request.water_file is not None:
                water = read_nifti_mrs(request.water_file, {}).fids[0, 0, 0]
            result = _lcmodel(spectrum, basis, water, request)
        else:
            options = _options(request)
            rng = np.random.default_rng(np.random.SeedSequence(request.seed))
            scan = edited_scan(data, request)
            cache = None if request.cache_dir is None else Path(request.cache_dir)
            result = run_builtin(
                spectrum, basis, options, request.water_amplitude, rng, scan, cache
            )
    return replace(result, notes=(*notes, *result.notes)), info
