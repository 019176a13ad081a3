"""Basis sets for a given spectrum: simulated or read, checked, on the grid of the data."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import numpy as np

from bids_acc.exceptions import InputDataError, MetadataError
from bids_acc.mrs.basis import simulate, spin_systems
from bids_acc.mrs.basis.files import read_basis_file, resample, upfield
from bids_acc.mrs.basis.lcmodel_file import RawBasis, read_lcmodel_basis, write_lcmodel_basis
from bids_acc.mrs.basis.scale import amplitude_per_proton
from bids_acc.mrs.spectrum import PPM_REFERENCE, Basis, Spectrum

__all__ = [
    'MEASURED_MM',
    'SYNONYMS',
    'Basis',
    'canonical_name',
    'load_basis',
    'read_lcmodel_basis',
    'with_macromolecules',
    'write_lcmodel_basis',
]

SYNONYMS = MappingProxyType(
    {
        'mi': 'Ins',
        'myo': 'Ins',
        'myoins': 'Ins',
        'mins': 'Ins',
        'minositol': 'Ins',
        'myoinositol': 'Ins',
        'si': 'Scyllo',
        'sins': 'Scyllo',
        'scy': 'Scyllo',
        'scyllo': 'Scyllo',
        'scylloinositol': 'Scyllo',
        'glth': 'GSH',
        'gth': 'GSH',
        'pcho': 'PCh',
        'pch': 'PCh',
        'pe': 'PE',
        'peth': 'PE',
        'phe': 'PE',
        'cre': 'Cr',
        'crea': 'Cr',
        'gaba': 'GABA',
        'gluc': 'Glc',
        'mmexp': 'Mac',
        'mmbl': 'Mac',
        'mmmeas': 'Mac',
        'mm': 'Mac',
        'mac': 'Mac',
    }
)
"""Other spellings, in lower case without separators, and LCModel's."""

NOT_FITTED = frozenset({'H2O', 'Water', 'TMS', 'DSS', 'TSP', 'Ref', 'CrCH2', '-CrCH2'})
"""Members that are no metabolite signal: references, water, and corrections of other fits."""

MEASURED_MM = frozenset({'Mac'})
"""Members that hold a whole measured macromolecule spectrum."""

_MAX_FIELD_ERROR = 0.03
_DOUBTFUL_FIELD_ERROR = 0.005
_MAX_TE_ERROR = 0.002
_DOUBTFUL_TE_ERROR = 0.0005
_FAMILY = MappingProxyType({'press': 'press', 'steam': 'steam', 'slase': 'slaser'})


def canonical_name(name: str) -> str:
    """LCModel's spelling of a metabolite.

    Parameters
    ----------
    name : str
        As a basis set or another program's result has it.

    Returns
    -------
    str
        The name among the spin systems of this package that it stands for, whatever its case and
        separators; itself when it is none of them. LCModel's corrections, which begin with a
        minus, stay as they are.

    Examples
    --------
    >>> [canonical_name(name) for name in ('mI', 'PCho', 'sIns', 'GLU', 'MM_exp', '-CrCH2')]
    ['Ins', 'PCh', 'Scyllo', 'Glu', 'Mac', '-CrCH2']
    """
    if name.startswith('-'):
        return name
    plain = re.sub(r'[-_ ]', '', name).lower()
    known = {own.lower(): own for own in spin_systems.available()}
    return SYNONYMS.get(plain, known.get(plain, name))


def load_basis(
    source: Path | str,
    spectrum: Spectrum,
    *,
    te1: float | None = None,
    te2: float | None = None,
    tm: float | None = None,
    sequence: str | None = None,
    metabolites: Sequence[str] | None = None,
    cache_dir: Path | None = None,
    strict: bool = True,
) -> Basis:
    """Basis set for a spectrum: simulated, or read from a file or folder and checked.

    Parameters
    ----------
    source : Path or str
        ``'simulate'``, an LCModel .BASIS file, a folder of FSL-MRS JSON files, an Osprey
        .mat file (not version 7.3), or a folder that holds one of these files.
    spectrum : Spectrum
        The data; gives field, sampling, echo time and sequence.
    te1, te2, tm : float, optional
        Parts of the echo time and mixing time in s, for a simulation.
    sequence : {'press', 'steam', 'slaser'}, optional
        Overrides that of the spectrum.
    metabolites : sequence of str, optional
        Members to keep; all when left out.
    cache_dir : Path, optional
        Folder for simulated sets.
    strict : bool
        Refuse a set that was made for another field, echo time or sequence. When false,
        say so in ``flags``.

    Returns
    -------
    Basis
        On the sampling grid of the spectrum.

    Raises
    ------
    MissingInputError
        If there is no such file.
    InputDataError
        If the file cannot be read.
    MetadataError
        If the set does not belong to the data and ``strict`` is true.
    """
    wanted = sequence or spectrum.sequence
    if str(source) == 'simulate':
        return _simulated(spectrum, wanted, te1, te2, tm, metabolites, cache_dir)
    path = Path(source)
    raw = read_basis_file(path)
    flags = _check(raw, spectrum, wanted, path, strict=strict)
    names = tuple(canonical_name(name) for name in raw.names)
    fids, oriented = upfield(raw)
    if not oriented:
        flags = (*flags, 'conjugated: the lines were on the other side of water')
    keep = _kept(names, metabolites, path)
    left_out = [name for name in names if name in NOT_FITTED] if metabolites is None else []
    if left_out:
        flags = (*flags, f'left out, no metabolite: {", ".join(left_out)}')
    resampled = resample(fids[keep], raw, spectrum)
    names = tuple(names[index] for index in keep)
    basis = Basis(
        names=names,
        fids=resampled,
        dwell_time=spectrum.dwell_time,
        spectrometer_frequency=spectrum.spectrometer_frequency,
        echo_time=raw.echo_time,
        sequence=_family(raw.sequence),
        te1=float('nan') if te1 is None else te1,
        te2=_second_part(raw.echo_time, te1, te2),
        linewidth_hz=raw.linewidth_hz,
        mm_names=tuple(name for name in names if name in MEASURED_MM),
        provenance={
            'file': path.name,
            'sha256': raw.sha256,
            'original_names': list(raw.names),
            'original_dwell_time_s': raw.dwell_time,
            'original_spectrometer_frequency_mhz': raw.spectrometer_frequency,
        },
        flags=flags,
        sha256=raw.sha256,
    )
    return replace(basis, amplitude_per_proton=amplitude_per_proton(basis))


def _second_part(echo_time: float, te1: float | None, te2: float | None) -> float:
    """TE2 as told, or as TE1 leaves it; NaN when neither is known."""
    if te2 is not None:
        return te2
    return float('nan') if te1 is None else echo_time - te1


def with_macromolecules(
    basis: Basis, spectrum: Spectrum, *, name: str = 'Mac', smoothing_hz: float = 4.0
) -> Basis:
    """Add a measured macromolecule spectrum to a basis set.

    Parameters
    ----------
    basis : Basis
        Model spectra of the metabolites.
    spectrum : Spectrum
        Metabolite-nulled acquisition of the same sequence: preprocessed, with water at 4.65
        ppm and in phase, as eddy-current correction leaves it, and residual metabolites
        removed.
    name : str
        Name of the new member; members of that name, and parametrised macromolecules and
        lipids of the basis set, make way for it.
    smoothing_hz : float
        Gaussian width that takes noise out of the new member.

    Returns
    -------
    Basis
        The fit then uses the stiffer baseline that suits a measured background.

    Raises
    ------
    MetadataError
        If field or echo time differ from those of the basis set.
    """
    raw = RawBasis(
        names=(name,),
        fids=spectrum.fid[None, :],
        dwell_time=spectrum.dwell_time,
        spectrometer_frequency=spectrum.spectrometer_frequency,
        echo_time=spectrum.echo_time,
        sequence=spectrum.sequence,
        linewidth_hz=float('nan'),
        flags=(),
        sha256=hashlib.sha256(spectrum.fid.tobytes()).hexdigest(),
    )
    target = Spectrum(
        basis.fids[0], basis.dwell_time, basis.spectrometer_frequency, basis.echo_time
    )
    flags = _check(raw, target, basis.sequence, Path(name), strict=True)
    fid = resample(upfield(raw)[0], raw, target)[0]
    # Its noise would else be fitted as if it were signal; broad lines lose nothing by 4 Hz.
    fid = fid * np.exp(-((np.pi * smoothing_hz * target.time) ** 2) / (4 * np.log(2)))
    scale = basis.amplitude_per_proton
    scale = scale if np.isfinite(scale) and scale > 0 else float(np.abs(basis.fids).max())
    fid = fid * scale / max(float(np.abs(fid).max()), 1e-300)
    keep = [
        index
        for index, member in enumerate(basis.names)
        # A measured spectrum holds all of these lines: simulated ones beside it would share its
        # signal at will.
        if member != name and not member.startswith(('MM', 'Lip'))
    ]
    return replace(
        basis,
        names=(*(basis.names[index] for index in keep), name),
        fids=np.vstack([basis.fids[keep], fid]),
        mm_names=(name,),
        provenance=basis.provenance | {'macromolecules_sha256': raw.sha256},
        flags=(*basis.flags, *(f'{name}: {flag}' for flag in flags)),
    )


def _simulated(
    spectrum: Spectrum,
    sequence: str,
    te1: float | None,
    te2: float | None,
    tm: float | None,
    metabolites: Sequence[str] | None,
    cache_dir: Path | None,
) -> Basis:
    """Simulate for the timings of the spectrum; an unknown sequence is taken as PRESS."""
    if np.isnan(spectrum.echo_time):
        raise MetadataError('a simulated basis set needs the echo time: EchoTime is missing')
    basis = simulate.basis(
        spectrometer_frequency=spectrum.spectrometer_frequency,
        dwell_time=spectrum.dwell_time,
        n_points=spectrum.n_points,
        echo_time=spectrum.echo_time,
        sequence=sequence or 'press',
        te1=te1,
        te2=te2,
        tm=tm,
        metabolites=metabolites,
        cache_dir=cache_dir,
    )
    if sequence:
        return basis
    return replace(basis, flags=(*basis.flags, 'sequence not stated: PRESS assumed'))


def _kept(names: tuple[str, ...], metabolites: Sequence[str] | None, path: Path) -> list[int]:
    """Positions of the members to keep."""
    if metabolites is None:
        return [index for index, name in enumerate(names) if name not in NOT_FITTED]
    wanted = [canonical_name(name) for name in metabolites]
    missing = [name for name in wanted if name not in names]
    if missing:
        raise InputDataError(f'{path}: no {", ".join(missing)} in this basis set')
    return [names.index(name) for name in wanted]


def _family(sequence: str) -> str:
    """Name of the sequence as the package spells it; empty when not recognised."""
    text = sequence.lower().replace('-', '').replace('semi', 's')
    for key, family in _FAMILY.items():
        if key in text:
            return family
    return ''


def _check(
    raw: RawBasis, spectrum: Spectrum, sequence: str, path: Path, *, strict: bool
) -> tuple[str, ...]:
    """Compare basis and data; refuse or flag."""
    refusals: list[str] = []
    flags = list(raw.flags)
    field_error = abs(raw.spectrometer_frequency / spectrum.spectrometer_frequency - 1)
    if field_error > _DOUBTFUL_FIELD_ERROR:
        (refusals if field_error > _MAX_FIELD_ERROR else flags).append(
            f'made for {raw.spectrometer_frequency:.2f} MHz, '
            f'data at {spectrum.spectrometer_frequency:.2f} MHz'
        )
    te_error = abs(raw.echo_time - spectrum.echo_time)
    if te_error > _DOUBTFUL_TE_ERROR:
        (refusals if te_error > _MAX_TE_ERROR else flags).append(
            f'made for TE {raw.echo_time * 1e3:.1f} ms, data at {spectrum.echo_time * 1e3:.1f} ms'
        )
    refusals += _too_narrow(raw)
    flags += _too_short(raw, spectrum)
    if np.isnan(raw.echo_time):
        flags.append('the file does not state its echo time')
    made_for = _family(raw.sequence)
    if not made_for:
        flags.append('the file does not state its sequence')
    elif sequence and made_for != sequence:
        refusals.append(f'made for {made_for}, data by {sequence}')
    if refusals and strict:
        raise MetadataError(
            f'{path}: wrong basis set: {"; ".join(refusals)}. Give a basis set of this '
            'acquisition, or simulate one.'
        )
    return (*refusals, *flags)


def _too_narrow(raw: RawBasis) -> list[str]:
    """Say that lines up to 0 ppm do not fit into the spectral width of a basis set."""
    half_width = 0.5 / raw.dwell_time
    if half_width > PPM_REFERENCE * raw.spectrometer_frequency * 0.95:
        return []
    return [f'its spectral width of {2 * half_width:.0f} Hz is too small: lines are folded']


def _too_short(raw: RawBasis, spectrum: Spectrum) -> list[str]:
    """Say that the FIDs of a basis set end before they decayed and before the data do."""
    duration = raw.fids.shape[-1] * raw.dwell_time
    size = np.abs(raw.fids)
    undecayed = size[:, -1].max() > 0.05 * size.max()
    if duration > 0.99 * spectrum.duration or not undecayed:
        return []
    ends = f'its FIDs end at {duration:.2f} s, undecayed'
    return [f'{ends}, those of the data at {spectrum.duration:.2f} s']
