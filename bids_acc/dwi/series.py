"""Runs joined into one series with one checked gradient table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bids_acc.exceptions import InputDataError, MetadataError

from .files import FloatArray, Gradients, check_same_grid, read_image
from .resample import sample, voxel_centres
from .shells import B0_THRESHOLD, axes_of, bvecs_to_scanner, check_gradients, scheme_hash
from .susceptibility import readout_time

PHASE_DIRECTIONS = ('i', 'i-', 'j', 'j-', 'k', 'k-')
"""What BIDS allows as PhaseEncodingDirection."""


@dataclass(frozen=True)
class Series:
    """All usable volumes of one session."""

    data: npt.NDArray[np.float32]
    """(i, j, k, n_volumes)."""
    affine: FloatArray
    gradients: Gradients
    bvecs_hash: str
    """See `bids_acc.dwi.shells.scheme_hash`."""
    n_expected: int
    """Volumes in the files; less those without a direction gives the volumes of `data`."""
    findings: tuple[str, ...]
    """What was irregular, in sentences."""
    slice_axis: int
    """Voxel axis along which slices were acquired."""
    acquisition: tuple[Acquisition, ...]
    """Of each run, whether it is used or not."""
    opposite: npt.NDArray[np.float32] | None
    """(i, j, k, n) b = 0 volumes of opposite phase encoding, where there are any."""
    opposite_acquisition: Acquisition | None
    """Of those."""


@dataclass(frozen=True)
class Acquisition:
    """How phase was encoded."""

    direction: str
    """BIDS' PhaseEncodingDirection."""
    readout: float
    """Total readout time in s; NaN if unknown."""


def acquisition_of(metadata: Mapping[str, Any], shape: Sequence[int]) -> Acquisition:
    """Read direction and readout time out of a sidecar; ``j`` is assumed."""
    given = metadata.get('PhaseEncodingDirection') or metadata.get('PhaseEncodingAxis') or 'j'
    return Acquisition(str(given), readout_time(metadata, shape['ijk'.index(str(given)[0])]))


def on_grid(
    data: npt.NDArray[np.float32],
    affine: FloatArray,
    shape: Sequence[int],
    grid: FloatArray,
) -> npt.NDArray[np.float32]:
    """Return volumes on another grid, linearly; as they are where it is the same.

    Parameters
    ----------
    data : (i, j, k, n) ndarray
    affine : (4, 4) ndarray
        Of the volumes.
    shape, grid : shape and affine
        Of the wanted grid.
    """
    if data.shape[:3] == tuple(shape[:3]) and np.allclose(affine, grid, atol=1e-2):
        return data
    centres = voxel_centres(np.ones(shape[:3], dtype=bool), grid)
    moved = [np.nan_to_num(sample(data[..., n], affine, centres)) for n in range(data.shape[3])]
    return np.stack([m.reshape(shape[:3]) for m in moved], axis=3).astype(np.float32)


def phase_axis(metadata: Mapping[str, Any], affine: npt.ArrayLike) -> tuple[FloatArray, str]:
    """Return the phase-encoding direction in scanner coordinates.

    Parameters
    ----------
    metadata : mapping
        Sidecar, with ``PhaseEncodingDirection`` or, failing that, ``PhaseEncodingAxis``.
    affine : (4, 4) array_like

    Returns
    -------
    axis : (3,) ndarray
        Unit vector, RAS+.
    finding : str
        Empty, or what had to be assumed.

    Raises
    ------
    MetadataError
        If the field holds something that BIDS does not know.
    """
    given = metadata.get('PhaseEncodingDirection') or metadata.get('PhaseEncodingAxis')
    if given is not None and given not in PHASE_DIRECTIONS:
        raise MetadataError(
            f'PhaseEncodingDirection is {given!r}; it must be one of '
            f'{", ".join(PHASE_DIRECTIONS)}.'
        )
    finding = '' if given else 'PhaseEncodingDirection is missing: j (usually AP) is assumed.'
    name = given or 'j'
    sign = -1.0 if name.endswith('-') else 1.0
    return sign * axes_of(affine)[:, 'ijk'.index(name[0])], finding


def join_runs(
    dwi_files: Sequence[str | Path],
    bval_files: Sequence[str | Path],
    bvec_files: Sequence[str | Path],
    sidecars: Sequence[Mapping[str, Any]],
    opposite: Sequence[tuple[str | Path, Mapping[str, Any]]] = (),
) -> Series:
    """Read all runs and join them.

    Runs whose phase encoding is not the first run's are left out of the tensor (their distortion
    is another one), as are volumes with b > 0 and no direction, and volumes without any signal.
    The b = 0 volumes of a run of opposite phase encoding are kept for the field.

    Parameters
    ----------
    dwi_files, bval_files, bvec_files : sequence of Path
        One of each per run; FSL gradient files in either orientation.
    sidecars : sequence of mapping
        Metadata of each run; may be empty.
    opposite : sequence of (Path, mapping)
        Further images of opposite phase encoding, b = 0, with their metadata.

    Returns
    -------
    Series

    Raises
    ------
    InputDataError
        If files do not fit each other.
    """
    parts: list[tuple[npt.NDArray[np.float32], Gradients]] = []
    findings: list[str] = []
    metadata = list(sidecars) or [{}] * len(dwi_files)
    first: tuple[tuple[int, ...], FloatArray] | None = None
    raw_tables = []
    n_expected = 0
    acquisition = []
    reversed_images = []
    for number, (image, bval, bvec) in enumerate(
        zip(dwi_files, bval_files, bvec_files, strict=True)
    ):
        data, affine = read_image(image)
        if data.ndim == 3:
            data = data[..., None]
        first = first or (data.shape, affine)
        check_same_grid(first, (data.shape, affine), Path(image).name)
        report = check_gradients(*read_table(bval, bvec), data.shape[3])
        axis, assumed = phase_axis(metadata[number], affine)
        acquisition.append(acquisition_of(metadata[number], data.shape))
        label = f'run {number + 1}: ' if len(dwi_files) > 1 else ''
        findings += [label + f for f in (*report.findings, assumed) if f]
        if parts and axis @ parts[0][1].phase_axes[0] < 0.9:
            findings.append(f'{label}other phase encoding: not used for the tensor.')
            if axis @ parts[0][1].phase_axes[0] < -0.9:
                base = data[..., report.bvals <= B0_THRESHOLD]
                reversed_images.append((base, affine, acquisition[-1]))
            continue
        n_expected += data.shape[3]
        blank = np.array([not np.any(np.nan_to_num(data[..., n])) for n in range(data.shape[3])])
        if blank.any():
            listed = ', '.join(map(str, np.flatnonzero(blank)))
            findings.append(f'{label}volumes {listed} hold no signal: not used.')
        keep = report.usable & ~blank
        directions = bvecs_to_scanner(report.bvecs, affine)[keep]
        raw_tables.append((report.bvals, report.bvecs))
        table = Gradients(
            report.bvals[keep],
            directions,
            np.tile(axis, (int(keep.sum()), 1)),
            np.full(int(keep.sum()), number, dtype=np.int64),
        )
        parts.append((data if keep.all() else data[..., keep], table))
    if first is None:
        raise InputDataError('no diffusion run was given.')
    for path, fields in opposite:
        data, affine = read_image(path)
        data = data if data.ndim == 4 else data[..., None]
        reversed_images.append((data, affine, acquisition_of(fields, data.shape)))
    reversed_images = [entry for entry in reversed_images if entry[0].shape[3]]
    return Series(
        data=parts[0][0] if len(parts) == 1 else np.concatenate([d for d, _ in parts], axis=3),
        affine=first[1],
        gradients=_joined([table for _, table in parts]),
        bvecs_hash=scheme_hash(
            np.concatenate([b for b, _ in raw_tables]), np.concatenate([v for _, v in raw_tables])
        ),
        n_expected=n_expected,
        findings=tuple(dict.fromkeys(findings)),
        slice_axis='ijk'.index(str(metadata[0].get('SliceEncodingDirection', 'k'))[0]),
        acquisition=tuple(acquisition),
        opposite=on_grid(*reversed_images[0][:2], *first) if reversed_images else None,
        opposite_acquisition=reversed_images[0][2] if reversed_images else None,
    )


def _joined(tables: Sequence[Gradients]) -> Gradients:
    """Join gradient tables, volume after volume."""
    return Gradients(
        *(
            np.concatenate([getattr(table, name) for table in tables])
            for name in ('bvals', 'directions', 'phase_axes', 'runs')
        )
    )


def read_table(bval: str | Path, bvec: str | Path) -> tuple[FloatArray, FloatArray]:
    """Read FSL gradient files.

    Raises
    ------
    InputDataError
        If they hold no numbers.
    """
    tables = []
    for path in (bval, bvec):
        try:
            tables.append(np.loadtxt(path, ndmin=2))
        except ValueError as error:
            raise InputDataError(f'{path} does not hold a table of numbers: {error}') from error
    return tables[0].ravel(), tables[1]
