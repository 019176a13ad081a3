"""NIfTI-MRS in and out: one single-voxel acquisition, checked and in one order.

The standard is Clarke et al. (2022), Magn Reson Med 88:2358, https://doi.org/10.1002/mrm.29418:
a complex NIfTI whose fourth axis is time and whose header extension 44 holds JSON metadata.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import nibabel as nb
import numpy as np
import numpy.typing as npt

from bids_acc.exceptions import InputDataError, MetadataError, MissingInputError
from bids_acc.files.metadata import first_number
from bids_acc.files.reading import check_gzip, reads
from bids_acc.mrs.levels.voxel import nominal_volume_ml
from bids_acc.mrs.scan.decays import (
    MIN_POINTS,
    arranged,
    centred_on_water,
    from_the_echo,
    without_unusable,
    without_zero_filling,
)
from bids_acc.mrs.scan.metadata import (
    HEADER_CODE,
    check_constant,
    check_metadata,
    header_metadata,
    merged,
    read_json_object,
)
from bids_acc.mrs.signal.measures import GYROMAGNETIC_RATIO_1H
from bids_acc.typing import ComplexArray, FloatArray, Metadata

LOGGER = logging.getLogger(__name__)

MIN_DURATION_S = 0.1
"""A shorter decay resolves no lines of metabolites (10 Hz and more)."""

SPECTRAL_WIDTH_RANGE_HZ = (100.0, 200_000.0)
"""Plausible spectral widths, in Hz."""

CONDITIONS = 'EditConditions'
"""Where conditions that are to be written stand, until the place of their dimension is known."""


@dataclass(frozen=True)
class MrsData:
    """A single-voxel acquisition in memory, checked."""

    fids: ComplexArray
    """Decays, (n_coils, n_transients, n_edits, n_points)."""
    dwell_time: float
    """Sampling interval in s."""
    spectrometer_mhz: float
    """Spectrometer frequency in MHz."""
    echo_time: float
    """Echo time in s; NaN when the file does not tell."""
    repetition_time: float
    """Repetition time in s; NaN when the file does not tell."""
    affine: FloatArray
    """Voxel to scanner millimetres (RAS), (4, 4)."""
    metadata: Metadata = field(default_factory=dict)
    """Sidecar over header extension."""
    notes: tuple[str, ...] = ()
    """Sentences about what the file left open or contradicts."""
    source: str = ''
    """File name, for messages."""
    unusable: str = ''
    """Why no level can come of these decays; empty when one can."""
    positions: tuple[int, ...] = ()
    """Places of the transients in the file where some were left out; empty where none was."""

    @property
    def n_points(self) -> int:
        """Number of samples of each decay."""
        return int(self.fids.shape[-1])

    @property
    def spectral_width(self) -> float:
        """Spectral width in Hz."""
        return 1 / self.dwell_time

    @property
    def field_tesla(self) -> float:
        """Magnetic field in T that the spectrometer frequency implies for protons."""
        return self.spectrometer_mhz / GYROMAGNETIC_RATIO_1H

    @property
    def voxel_volume_ml(self) -> float:
        """Nominal volume of the voxel in mL; NaN where the file does not tell its place."""
        return nominal_volume_ml(self.affine)

    def with_fids(self, fids: npt.ArrayLike) -> MrsData:
        """Return the same acquisition with other decays; missing leading axes are added.

        Parameters
        ----------
        fids : (..., n_points) array_like of complex
            Up to four axes: coils, transients, editing conditions, samples.

        Returns
        -------
        MrsData
        """
        fids = np.asarray(fids, dtype=complex)
        shape = (1,) * (4 - fids.ndim) + fids.shape
        return replace(self, fids=fids.reshape(shape))

    def with_conditions(self, conditions: Mapping[str, npt.ArrayLike]) -> MrsData:
        """Return the same acquisition with one decay for each editing condition, by name.

        Parameters
        ----------
        conditions : mapping of str to (n_points,) array_like of complex
            One decay by the name of its condition (``OFF``, ``ON``), which goes into the header.

        Returns
        -------
        MrsData
        """
        stacked = self.with_fids(np.array(list(conditions.values()), dtype=complex))
        header = {'EditCondition': list(conditions)}
        return replace(stacked, metadata={**self.metadata, CONDITIONS: header})


def _plausible(dwell: float) -> bool:
    """Whether a sampling interval in s can be that of a spectrum."""
    return dwell > 0 and SPECTRAL_WIDTH_RANGE_HZ[0] <= 1 / dwell <= SPECTRAL_WIDTH_RANGE_HZ[1]


def _dwell_time(image: nb.Nifti1Image, metadata: Metadata, source: str) -> tuple[float, list[str]]:
    """Read the sampling interval from the header, check it against SpectralWidth.

    A header that holds no sampling interval (0 or 1 s, as image tools leave it) gives way to the
    sidecar, which is said.
    """
    # the unit of time is written in the header, and not every writer leaves it at seconds
    scale = {'msec': 1e-3, 'usec': 1e-6}.get(image.header.get_xyzt_units()[1], 1.0)
    dwell = float(image.header.get_zooms()[3]) * scale
    width, told = (first_number(metadata.get(key)) for key in ('SpectralWidth', 'DwellTime'))
    field, says = 'SpectralWidth', f'{width:g} Hz'
    if math.isnan(width) and told > 0:
        width, field, says = 1 / told, 'DwellTime', f'{told:g} s'
    if not _plausible(dwell):
        if _plausible(1 / width if width > 0 else 0.0):
            note = f'the header gives a dwell time of {dwell:g} s; 1/{width:g} s of the sidecar'
            return 1 / width, [f'{note} is used.']
        low, high = SPECTRAL_WIDTH_RANGE_HZ
        raise MetadataError(
            f'{source}: the header gives a dwell time of {dwell:g} s (spectral width '
            f'{1 / dwell if dwell else math.inf:g} Hz), outside {low:g}-{high:g} Hz, and the '
            f'sidecar has no SpectralWidth: add it, in Hz, or convert the file again.'
        )
    if not math.isnan(width) and abs(width * dwell - 1) > 1e-3:
        raise MetadataError(
            f'{source}: {field} is {says} but the header samples at {1 / dwell:g} Hz '
            f'({dwell:g} s): correct {field} in the sidecar or convert the file again.'
        )
    return dwell, []


def _open(path: Path) -> nb.Nifti1Image:
    """Open NIfTI-2 or NIfTI-1; the former is a subclass of the latter."""
    check_gzip(path)
    try:
        # NIfTI-2 first: nibabel's class of it refuses a NIfTI-1 file, and the other way round it
        # depends on the version.
        return nb.Nifti2Image.from_filename(path)
    except Exception:  # noqa: BLE001  (nibabel raises several kinds; NIfTI-1 is tried next)
        LOGGER.debug('%s is not NIfTI-2', path)
    try:
        return nb.Nifti1Image.from_filename(path)
    except Exception as error:
        raise InputDataError(f'{path.name}: not readable as NIfTI ({error}).') from error


def _own_sidecar(path: Path) -> dict[str, object]:
    """Read the JSON beside a file; nothing without one."""
    own = path.with_name(path.name.split('.')[0] + '.json')
    if not own.exists():
        return {}
    found, problem = read_json_object(own.read_bytes())
    if problem:
        raise InputDataError(f'{own.name}: no valid JSON object: correct it.')
    return found


def read_affine(path: str | Path) -> FloatArray:
    """Place of the voxel of a NIfTI-MRS file, for which no metadata are needed.

    Parameters
    ----------
    path : str or Path
        NIfTI file.

    Returns
    -------
    (4, 4) ndarray of float64
        Voxel to scanner millimetres (RAS).

    Raises
    ------
    InputDataError
        If the file is no NIfTI.
    """
    return np.asarray(_open(Path(path)).affine, dtype=np.float64)


def _elsewhere(shape: tuple[int, ...]) -> str:
    """Say that a later dimension is so long that it holds the samples; empty where none is."""
    later = [axis for axis, size in enumerate(shape[4:], start=5) if size >= 4 * shape[3]]
    if not later or max(shape[4:]) < MIN_POINTS:
        return ''
    return f' (dimension {later[-1]} seems to hold the samples in time, which are the fourth)'


@reads('NIfTI-MRS file', 'copy or convert it again')
def read_nifti_mrs(path: str | Path, sidecar: Metadata | None = None) -> MrsData:
    """Read a single-voxel NIfTI-MRS file.

    Parameters
    ----------
    path : str or Path
        Complex NIfTI with header extension 44.
    sidecar : mapping, optional
        BIDS metadata, which win over the header; without it the file's own JSON is looked for
        beside it.

    Returns
    -------
    MrsData
        Decays as (coils, transients, edits, points), with checked metadata. Transients that are
        not finite are left out; decays that are zero or not finite throughout come with the
        reason in ``unusable``.

    Raises
    ------
    MissingInputError
        If the file is not there.
    InputDataError
        If it is no single-voxel NIfTI-MRS file.
    MetadataError
        If metadata are implausible or contradict the header.
    """
    path = Path(path)
    if not path.exists():
        raise MissingInputError(f'{path}: no such file.')
    image = _open(path)
    data = np.asanyarray(image.dataobj)
    if not np.iscomplexobj(data) or data.ndim < 4 or data.shape[3] < MIN_POINTS:
        raise InputDataError(
            f'{path.name}: {data.dtype} data of shape {data.shape} are no complex decays of at '
            f'least {MIN_POINTS} points{_elsewhere(data.shape)}: convert the scanner file with '
            f'spec2nii.'
        )
    if sidecar is None:
        sidecar = _own_sidecar(path)
    header, replaced = header_metadata(image, sidecar, path.name)
    metadata, notes = merged(header, sidecar)
    notes = [*replaced, *notes]
    check_constant(metadata, path.name)
    echo_time, repetition_time, frequency = check_metadata(metadata, path.name)
    fids, more = arranged(data.astype(complex), metadata, path.name)
    dwell_time, said = _dwell_time(image, metadata, path.name)
    fids, left_out, unusable, positions = without_unusable(fids)
    fids, cut = without_zero_filling(fids)
    fids, metadata, begun, late = from_the_echo(fids, metadata, dwell_time)
    unusable = unusable or late
    fids, metadata, centred = centred_on_water(fids, metadata, dwell_time, frequency)
    duration = fids.shape[-1] * dwell_time
    if not unusable and duration < MIN_DURATION_S:
        unusable = f'the decay lasts {duration:.3f} s, less than {MIN_DURATION_S:g} s'
        unusable += _elsewhere(data.shape)
    notes += [*more, *said, *left_out, *cut, *begun, *centred]
    for note in (*notes, *([unusable] if unusable else [])):
        LOGGER.warning('%s: %s', path.name, note)
    return MrsData(
        fids=fids,
        dwell_time=dwell_time,
        spectrometer_mhz=frequency,
        echo_time=echo_time,
        repetition_time=repetition_time,
        affine=np.asarray(image.affine, dtype=np.float64),
        metadata=metadata,
        notes=tuple(notes),
        source=path.name,
        unusable=unusable,
        positions=positions,
    )


def unread(metadata: Metadata, source: str, reason: str) -> MrsData:
    """Stand for an acquisition that cannot be used: no samples, NaN for what is not known.

    Parameters
    ----------
    metadata : mapping
        BIDS metadata, as far as there are any; echo time, repetition time and spectrometer
        frequency are taken over when they are plausible together.
    source : str
        File name.
    reason : str
        Why it cannot be used.

    Returns
    -------
    MrsData

    Examples
    --------
    >>> data = unread(
    ...     {'SpectrometerFrequency': 127.7, 'EchoTime': 35}, 'x_svs', 'EchoTime is 35 s'
    ... )
    >>> data.echo_time, data.n_points, data.unusable
    (nan, 0, 'EchoTime is 35 s')
    """
    try:
        echo_time, repetition_time, frequency = check_metadata(metadata, source)
    # the reason for which it is unread comes first; what else is wrong is said when that is mended
    except MetadataError:
        echo_time = repetition_time = frequency = math.nan
    return MrsData(
        fids=np.zeros((1, 0, 1, 0), dtype=complex),
        dwell_time=math.nan,
        spectrometer_mhz=frequency,
        echo_time=echo_time,
        repetition_time=repetition_time,
        affine=np.full((4, 4), math.nan),
        metadata=metadata,
        notes=(reason,),
        source=source,
        unusable=reason,
    )


def write_nifti_mrs(data: MrsData, path: str | Path) -> Path:
    """Write decays as NIfTI-MRS; axes of size one are dropped from the end.

    Parameters
    ----------
    data : MrsData
        Decays and metadata.
    path : str or Path
        File to write, ``.nii`` or ``.nii.gz``.

    Returns
    -------
    Path
        The file written.
    """
    block = np.moveaxis(data.fids, -1, 0)[None, None, None]
    tags = ['DIM_COIL', 'DIM_DYN', 'DIM_EDIT']
    keep = [axis for axis in range(3) if block.shape[4 + axis] > 1]
    block = block.reshape(*block.shape[:4], *(block.shape[4 + axis] for axis in keep))
    header = {
        key: value for key, value in data.metadata.items() if not key.startswith(('dim_', 'bids'))
    }
    header |= {
        'SpectrometerFrequency': [data.spectrometer_mhz],
        'ResonantNucleus': ['1H'],
        'SpectralWidth': 1 / data.dwell_time,
    }
    header |= {f'dim_{5 + n}': tags[axis] for n, axis in enumerate(keep)}
    if CONDITIONS in header:
        conditions = header.pop(CONDITIONS)
        header |= {f'dim_{5 + n}_header': conditions for n, axis in enumerate(keep) if axis == 2}
    image = nb.Nifti2Image(block.astype(np.complex64), data.affine)
    # Readers tell NIfTI-MRS from other complex images by this name, and the version of the
    # standard with it.
    image.header['intent_name'] = b'mrs_v0_11'
    image.header.set_zooms((*image.header.get_zooms()[:3], data.dwell_time) + (1.0,) * len(keep))
    image.header.set_xyzt_units('mm', 'sec')
    content = json.dumps(header, sort_keys=True).encode()
    image.header.extensions.append(nb.nifti1.Nifti1Extension(HEADER_CODE, content))
    path = Path(path)
    image.to_filename(path)
    return path
