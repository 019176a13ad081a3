"""Files that hold basis sets, brought to one record and one sampling grid."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
from scipy.interpolate import make_interp_spline

from bids_acc.exceptions import InputDataError, MissingInputError
from bids_acc.files.reading import reads
from bids_acc.images.phase import GAMMA_HZ_PER_T
from bids_acc.mrs.basis.lcmodel_file import RawBasis, read_lcmodel_basis
from bids_acc.mrs.spectrum import PPM_REFERENCE, Spectrum
from bids_acc.typing import ComplexArray

_CENTRE_PPM = 2.6


@reads('basis set', 'make or fetch it again')
def read_basis_file(path: Path) -> RawBasis:
    """Read a basis set of LCModel, FSL-MRS or Osprey, whichever it is.

    Parameters
    ----------
    path : Path
        An LCModel .BASIS file, a folder of FSL-MRS JSON files, an Osprey .mat file, or a
        folder that holds one such file.

    Returns
    -------
    RawBasis

    Raises
    ------
    MissingInputError
        If there is no such file.
    InputDataError
        If it cannot be read.
    """
    if not path.exists():
        raise MissingInputError(f'{path}: no such basis set')
    if path.is_dir():
        single = sorted([*path.glob('*.mat'), *path.glob('*.BASIS'), *path.glob('*.basis')])
        # FSL-MRS keeps one JSON file for each metabolite in a folder.
        if len(single) != 1 or any(path.glob('*.json')):
            return _read_fsl_folder(path)
        path = single[0]
    if path.suffix.lower() == '.mat':
        return _read_osprey(path)
    return read_lcmodel_basis(path)


def _read_fsl_folder(path: Path) -> RawBasis:
    """Read a folder with one FSL-MRS JSON file per metabolite."""
    names, fids, members = [], [], []
    digest = hashlib.sha256()
    for file in sorted(path.glob('*.json')):
        content = file.read_bytes()
        digest.update(content)
        try:
            record = json.loads(content)
            member = record.get('basis', record)
            real, imaginary = member['basis_re'], member['basis_im']
            timing = (float(member['basis_dwell']), float(member['basis_centre']))
        except (ValueError, KeyError, AttributeError) as error:
            raise InputDataError(f'{file}: not an FSL-MRS basis spectrum: {error}') from error
        names.append(str(member.get('basis_name', file.stem)))
        fids.append(np.asarray(real, dtype=float) + 1j * np.asarray(imaginary, dtype=float))
        members.append((*timing, float(member.get('basis_width', 'nan')), record))
    if not names:
        raise InputDataError(f'{path}: no .json files in this basis folder')
    if len({member[:2] for member in members}) > 1 or len({fid.size for fid in fids}) > 1:
        raise InputDataError(f'{path}: the files differ in dwell time, field or length')
    dwell_time, centre, width, record = members[0]
    info = record.get('seq', {}) if isinstance(record, dict) else {}
    return RawBasis(
        names=tuple(names),
        fids=np.array(fids),
        dwell_time=dwell_time,
        # FSL-MRS writes Hz; some converters write MHz into the same field.
        spectrometer_frequency=centre / 1e6 if centre > 1e5 else centre,
        echo_time=float(info.get('TE', info.get('te', 'nan')) or 'nan'),
        sequence=str(info.get('sequenceName', '')),
        linewidth_hz=width,
        flags=(),
        sha256=digest.hexdigest(),
    )


def _read_osprey(path: Path) -> RawBasis:
    """Read an Osprey basis set, when its .mat version lets scipy do so."""
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        struct = loadmat(path, squeeze_me=True, struct_as_record=False)['BASIS']
    except (MatReadError, NotImplementedError, ValueError, KeyError, OSError) as error:
        raise InputDataError(
            f'{path}: cannot be read as an Osprey basis set ({error}); '
            'export it as an LCModel .BASIS file'
        ) from error
    fids = np.asarray(struct.fids, dtype=complex)
    # Osprey's third dimension holds the conditions of an edited basis set, of which the first is
    # not edited.
    fids = fids[..., 0] if fids.ndim == 3 else fids
    echo_time = float(getattr(struct, 'te', float('nan')))
    sequence = getattr(struct, 'seq', '')
    return RawBasis(
        names=tuple(str(name) for name in np.atleast_1d(struct.name)),
        fids=fids.T,
        dwell_time=float(struct.dwelltime),
        spectrometer_frequency=GAMMA_HZ_PER_T / 1e6 * float(struct.Bo),
        # In ms as Osprey writes it; no echo takes a second.
        echo_time=echo_time / 1e3 if echo_time > 1 else echo_time,
        sequence=str(np.atleast_1d(sequence)[0]) if np.size(sequence) else '',
        linewidth_hz=float(getattr(struct, 'linewidth', float('nan'))),
        flags=(),
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
    )


def upfield(raw: RawBasis) -> tuple[ComplexArray, bool]:
    """Turn FIDs to the package's sign: brain metabolites lie upfield of water.

    Parameters
    ----------
    raw : RawBasis
        As read.

    Returns
    -------
    fids : (n_metabolites, n_points) ndarray of complex128
    oriented : bool
        Whether they had that sign already.
    """
    spectra = np.abs(np.fft.fft(raw.fids, axis=-1)) ** 2
    frequencies = np.fft.fftfreq(raw.fids.shape[-1], raw.dwell_time)
    ppm = frequencies / raw.spectrometer_frequency
    upfield = spectra[:, (ppm > 0.5) & (ppm < 4.5)].sum()
    downfield = spectra[:, (ppm < -0.5) & (ppm > -4.5)].sum()
    return (raw.fids, True) if upfield >= downfield else (raw.fids.conj(), False)


def resample(fids: ComplexArray, raw: RawBasis, spectrum: Spectrum) -> ComplexArray:
    """Band-limited values of the FIDs on the time grid of the data.

    Parameters
    ----------
    fids : (n_metabolites, n_samples) ndarray
        FIDs on the grid of the file.
    raw : RawBasis
        Gives that grid.
    spectrum : Spectrum
        Gives the wanted one.

    Returns
    -------
    (n_metabolites, n_points) ndarray of complex128
        Zero after the end of the file's FIDs.

    Notes
    -----
    Time is stretched by the ratio of the spectrometer frequencies, which keeps chemical
    shifts. The band is centred first: a quintic spline then is accurate to 1e-3 for a dwell
    time up to 0.5 ms, and exact when the grids coincide.
    """
    frequency_ratio = spectrum.spectrometer_frequency / raw.spectrometer_frequency
    # At another field strength the same ppm turn slower or faster: time is stretched, so that
    # lines keep their ppm.
    times = spectrum.time * frequency_ratio
    grid = np.arange(fids.shape[-1]) * raw.dwell_time
    centre = 2j * np.pi * (PPM_REFERENCE - _CENTRE_PPM) * raw.spectrometer_frequency
    inside = times <= grid[-1]
    if np.isclose(frequency_ratio, 1, atol=1e-9) and spectrum.dwell_time == raw.dwell_time:
        resampled: ComplexArray = fids[:, : inside.sum()]
    else:
        # Turned to the middle of the metabolites first, where they oscillate least: a spline
        # follows a slow oscillation almost exactly and a fast one not at all.
        spline = make_interp_spline(grid, fids * np.exp(-centre * grid), k=5, axis=-1)
        resampled = spline(times[inside]) * np.exp(centre * times[inside])
    padded = np.zeros((len(fids), spectrum.n_points), dtype=complex)
    padded[:, : resampled.shape[1]] = resampled
    return padded
