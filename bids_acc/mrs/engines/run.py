"""Run one engine on a preprocessed spectrum, with its basis set."""

from __future__ import annotations

import logging
import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal, NoReturn, SupportsFloat

import numpy as np

import bids_acc
from bids_acc.exceptions import (
    ComputationError,
    MetadataError,
    SettingsError,
)
from bids_acc.mrs.basis import spin_systems
from bids_acc.mrs.basis.basis_set import load_basis, with_macromolecules
from bids_acc.mrs.basis.edit_metadata import editing_of
from bids_acc.mrs.basis.sequence import (
    other_sequence,
    sequence_of,
    usual_te1,
)
from bids_acc.mrs.engines.builtin import builtin_result
from bids_acc.mrs.engines.edited import NAMES as EDITED_NAMES
from bids_acc.mrs.engines.edited import EditedScan, basis_of, join_difference
from bids_acc.mrs.engines.importers import import_result
from bids_acc.mrs.engines.lcmodel import run_lcmodel
from bids_acc.mrs.engines.request import (
    MACROMOLECULES,
    FitRequest,
    first_part,
    impossible,
    mixing_time,
    spectrum_of,
)
from bids_acc.mrs.lcm import FitOptions, fit_spectrum
from bids_acc.mrs.lcm.difference import fit_difference
from bids_acc.mrs.lcm.options import ANALYSIS_PPM
from bids_acc.mrs.lcm.stability import refits
from bids_acc.mrs.lcm.timecourse import fit_blocks
from bids_acc.mrs.results.engine_result import EngineResult
from bids_acc.mrs.scan.conditions import editing_named
from bids_acc.mrs.scan.io import MrsData, read_nifti_mrs
from bids_acc.mrs.scan.nulled import read_nulled
from bids_acc.mrs.spectrum import Basis, BasisInfo, Spectrum
from bids_acc.typing import ComplexArray

LOGGER = logging.getLogger(__name__)

ENGINES = ('auto', 'builtin', 'lcmodel', 'import')
"""Values of ``--mrs-engine``."""

FREQUENCY_TOLERANCE = 0.005
"""Largest relative difference of the frequencies of an imported fit and of the spectrum."""


def choose_engine(engine: str, has_import: bool) -> str:
    """Engine that ``auto`` stands for: the user's own fits if given, else the one built in.

    LCModel is never chosen silently, because results must not depend on what is installed.

    Parameters
    ----------
    engine : str
        One of :data:`ENGINES`.
    has_import : bool
        Whether a folder of other programs' fits was given.

    Returns
    -------
    {'builtin', 'lcmodel', 'import'}

    Raises
    ------
    SettingsError
        If ``lcmodel`` is asked and not on PATH, or ``import`` without a folder of fits.

    Examples
    --------
    >>> choose_engine('auto', False), choose_engine('auto', True)
    ('builtin', 'import')
    """
    if engine == 'auto':
        return 'import' if has_import else 'builtin'
    if engine == 'lcmodel' and shutil.which('lcmodel') is None:
        raise SettingsError('--mrs-engine lcmodel: no program "lcmodel" on PATH; use builtin.')
    if engine == 'import' and not has_import:
        raise SettingsError(
            '--mrs-engine import: no fit found for this spectrum; name the folder of fits with '
            '--mrs-fits PATH.'
        )
    if engine not in ENGINES:
        raise SettingsError(f'--mrs-engine {engine}: choose {", ".join(ENGINES)}.')
    return engine


def not_fitted(engine: str, reason: str, more: Sequence[str] = ()) -> EngineResult:
    """Give a spectrum that was not fitted the rows that a fit would have had, without values.

    Parameters
    ----------
    engine : str
        What would have fitted it.
    reason : str
        Why it was not, one sentence.
    more : sequence of str
        Names beside those of the simulated metabolites, each of which gets a row.

    Returns
    -------
    EngineResult
        NaN for every amplitude.
    """
    # the same rows as of a fitted spectrum: in a table of the group a person without rows would
    # look as if nobody had been measured
    names = tuple(dict.fromkeys([*spin_systems.available(), *more]))
    return EngineResult.failed(engine, bids_acc.__version__, names, reason)


def _split_assumed(basis: Basis) -> bool | None:
    """Whether TE1 was assumed; None for a file of PRESS spectra that does not state it."""
    if basis.sequence in ('', 'press') and math.isnan(basis.te1):
        return None
    return bool(basis.te_split_assumed)


def basis_info(basis: Basis) -> BasisInfo:
    """Say in a sidecar's terms which basis set was used.

    Parameters
    ----------
    basis : Basis
        As used.

    Returns
    -------
    BasisInfo
        Checksum, members, sequence and delays (s), where the spectra come from and what is
        doubtful; ``BasisTESplitAssumed`` is None where nobody knows how the echo time was divided.
    """
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
    # a file of spectra is checked against what is known of the scan; a sequence that was only
    # assumed must not refuse it
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
) -> tuple[EngineResult, BasisInfo]:
    """Check an imported fit against the data, and its basis set where that can be read.

    A fit that was made for another field excludes the spectrum, because its numbers look good.
    """
    invalid, notes = [], []
    info: BasisInfo = {}
    control = result.extra.get('control')
    # only LCModel's table repeats the frequency that it was told; of the others nothing can be
    # checked
    told = control.get('hzpppm') if isinstance(control, Mapping) else None
    used = (
        float(told) if isinstance(told, str | SupportsFloat) else spectrum.spectrometer_frequency
    )
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
        # numbers are there and are shown; they pass no gate
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

    Parameters
    ----------
    data : MrsData
        Preprocessed: one decay for each condition, laid upon each other.
    request : FitRequest
        Metadata that name target and pulses, and what preprocessing measured of NAA.

    Returns
    -------
    EditedScan or None
        ON minus OFF, not halved.
    """
    # preprocessing leaves one condition, or OFF and ON in this order; four (HERMES) are refused
    if data.fids.shape[2] != 2:
        return None
    editing = editing_of(request.metadata, request.naa_ratio)
    return EditedScan(data.fids[0, 0, 1] - data.fids[0, 0, 0], editing)


def run_builtin(
    spectrum: Spectrum,
    basis: Basis,
    options: FitOptions,
    water_amplitude: float,
    rng: np.random.Generator | None = None,
    scan: EditedScan | None = None,
    cache_dir: Path | None = None,
) -> EngineResult:
    """Fit with the package's own linear-combination model.

    Parameters
    ----------
    spectrum, basis, options
        As for `bids_acc.mrs.lcm.fit_spectrum`.
    water_amplitude : float
        Magnitude of the water decay at time zero; NaN without water.
    rng : Generator, optional
        With it, copies of the spectrum that no measurement could tell from it are fitted too.
    scan : EditedScan, optional
        Difference of an edited scan, of which ``spectrum`` is the condition OFF.
    cache_dir : Path, optional
        Folder where its simulated basis set is kept.

    Returns
    -------
    EngineResult
    """
    fit = fit_spectrum(spectrum, basis, options)
    result = builtin_result(fit, water_amplitude)
    if fit.failed:
        return result
    if rng is not None:
        result = replace(result, refits=refits(spectrum, basis, options, rng))
    if scan is None:
        return result
    # what is simulated with editing pulses is MEGA-PRESS
    if spectrum.sequence != 'press':
        reason = f'edited {spectrum.sequence} is not simulated: the difference is not fitted.'
        return replace(result, notes=(*result.notes, reason))
    try:
        edited = basis_of(scan, fit.basis, cache_dir)
        difference = replace(spectrum, fid=scan.difference)
        found = fit_difference(difference, edited, fit)
        copies = None
        if rng is not None and not found.fit.failed:
            copies = refits(difference, found.fit.basis, found.fit.options, rng)
        return join_difference(result, found, edited, copies)
    # OFF was fitted, and its levels do not depend on the difference
    except SettingsError as error:
        return replace(result, notes=(*result.notes, f'the difference is not fitted: {error}'))


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
        # a program that died is not caught here: a later run may go well, and its exit code says
        # so
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


def run_engine(data: MrsData, request: FitRequest) -> tuple[EngineResult, BasisInfo]:
    """Fit a preprocessed spectrum with the engine asked for, or read a fit of it.

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
    info : BasisInfo
        The basis set, for sidecars.

    Raises
    ------
    MetadataError, InputDataError
        If the basis set does not fit the data or a file cannot be read.
    MissingInputError
        If a fit to import is not there.
    """
    spectrum, notes = spectrum_of(data, request)
    wrong = impossible(spectrum, request)
    if request.engine == 'import':
        result, info = _imported(spectrum, request)
        # another program fitted the spectrum already: what is wrong with it excludes, and refuses
        # nothing
        invalid = tuple(part for part in (request.unusable, wrong) if part)
        result = replace(result, invalid=(*result.invalid, *invalid))
        return replace(result, notes=(*notes, *result.notes)), info
    if wrong:
        _refuse(wrong, request, request.svs_name or data.source)
    if request.unusable:
        edited = bool(editing_named(request.metadata, request.acquisition)[0])
        more = EDITED_NAMES if edited else ()
        return not_fitted(request.engine, request.unusable, more), {}
    basis = _load(spectrum, request)
    notes += _notes_on(basis, spectrum, request)
    result = _fitted(data, spectrum, basis, request)
    return replace(result, notes=(*notes, *result.notes)), basis_info(basis)


def _refuse(wrong: str, request: FitRequest, where: str) -> NoReturn:
    """Refuse an echo time that the sequence cannot have, and say what to do."""
    # no sentence begins with a dash: it stands for a sequence that nobody named
    if wrong.startswith(other_sequence(request.metadata, request.acquisition) or '-'):
        raise MetadataError(f'{where}: {wrong}: give a basis set made for it with --mrs-basis.')
    raise MetadataError(
        f'{where}: {wrong} (it may be the time of the first echo): give the whole echo '
        f'time in the sidecar, in seconds, or another sequence with --mrs-sequence.'
    )


def _imported(spectrum: Spectrum, request: FitRequest) -> tuple[EngineResult, BasisInfo]:
    """Read another program's fit of the spectrum, checked against the data."""
    stem = request.svs_name.split('.')[0]
    result, files = import_result(Path(request.fits_dir or '.'), stem)
    result, info = _check_import(result, spectrum, request)
    return result, {'ImportedFiles': files, **info}


def _notes_on(basis: Basis, spectrum: Spectrum, request: FitRequest) -> list[str]:
    """Say what of the basis set was assumed, and what is not stated or not confirmed."""
    notes, assumed = [], _split_assumed(basis)
    if assumed is None:
        notes.append('the basis set does not state TE1: say it with --mrs-te1, for the record.')
    notes += first_part(request, spectrum)[1]
    usual = usual_te1(request.metadata, spectrum.echo_time)
    if assumed and basis.sequence == 'press' and usual is not None:
        notes.append(usual.sentence)
    if basis.sequence and basis.sequence != spectrum.sequence:
        notes.append(f'the basis set was made for {basis.sequence}, which no field confirms.')
    return notes


def _fitted(data: MrsData, spectrum: Spectrum, basis: Basis, request: FitRequest) -> EngineResult:
    """Fit with LCModel or the built-in engine."""
    if request.engine == 'lcmodel':
        water = None
        if request.water_file is not None:
            water = read_nifti_mrs(request.water_file, {}).fids[0, 0, 0]
        return _lcmodel(spectrum, basis, water, request)
    # its own generator for each spectrum: results do not depend on how many ran before, or beside
    rng = np.random.default_rng(np.random.SeedSequence(request.seed))
    scan = edited_scan(data, request)
    cache = None if request.cache_dir is None else Path(request.cache_dir)
    return run_builtin(
        spectrum, basis, _options(request), request.water_amplitude, rng, scan, cache
    )
