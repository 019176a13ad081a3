"""ANTs on arrays: rigid alignment of contrasts, distortion along one axis, bias field.

Everything ANTs-specific stays here: its LPS coordinates, its parameter order, its files.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from bids_acc.images.itk import itk_session
from bids_acc.images.resampling import apply_matrix, voxel_centres, voxel_sizes
from bids_acc.typing import FloatArray

LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""RAS+ to ITK's LPS+, and back."""

RIM_VOXELS = 1.2
"""Depth of the brain's rim that holds voxels with something else than brain in them."""

MAX_REFINEMENT = 0.25
"""By how many voxels the brain without its rim may correct what the whole image says. The rim
costs a tenth of a voxel; a larger correction is a lost registration (real series with few and
large voxels: 3 to 20 mm)."""


def to_ants(volume: npt.ArrayLike, affine: npt.ArrayLike) -> Any:
    """Make an ANTs image.

    Parameters
    ----------
    volume : (i, j, k) array_like
    affine : (4, 4) array_like
        Voxel indices to RAS+; shears are dropped, as ITK knows none.
    """
    import ants

    matrix = LPS @ np.asarray(affine, dtype=float)
    spacing = np.linalg.norm(matrix[:3, :3], axis=0)
    return ants.from_numpy(
        np.nan_to_num(np.asarray(volume, dtype=np.float32)),
        origin=matrix[:3, 3].tolist(),
        spacing=spacing.tolist(),
        direction=matrix[:3, :3] / spacing,
    )


def read_matrix(path: str | Path) -> FloatArray:
    """Read an ITK affine as a RAS+ pull matrix, fixed to moving.

    Parameters
    ----------
    path : Path
        What ANTs writes as forward transform.

    Returns
    -------
    (4, 4) ndarray
    """
    import ants

    transform = ants.read_transform(str(path))
    linear = np.asarray(transform.parameters[:9], dtype=float).reshape(3, 3)
    centre = np.asarray(transform.fixed_parameters, dtype=float)
    matrix = np.eye(4)
    matrix[:3, :3] = linear
    matrix[:3, 3] = np.asarray(transform.parameters[9:12]) + centre - linear @ centre
    return LPS @ matrix @ LPS


def write_matrix(matrix: npt.ArrayLike, path: Path) -> None:
    """Write a RAS+ pull matrix as an ITK text file, which ANTs and Workbench read."""
    itk = LPS @ np.asarray(matrix, dtype=float) @ LPS
    numbers = ' '.join(f'{v:.10g}' for v in [*itk[:3, :3].ravel(), *itk[:3, 3]])
    path.write_text(
        '#Insight Transform File V1.0\n#Transform 0\n'
        'Transform: AffineTransform_double_3_3\n'
        f'Parameters: {numbers}\nFixedParameters: 0 0 0\n'
    )


def rigid(
    fixed: npt.ArrayLike,
    fixed_affine: npt.ArrayLike,
    moving: npt.ArrayLike,
    moving_affine: npt.ArrayLike,
    *,
    fixed_mask: npt.ArrayLike | None = None,
    initial: npt.ArrayLike | None = None,
    iterations: tuple[int, ...] = (200, 100, 50),
    shrink: tuple[int, ...] = (4, 2, 1),
    smoothing: tuple[int, ...] = (2, 1, 0),
    transform: str = 'Rigid',
    sampling: float = 0.25,
    seed: int = 1,
) -> FloatArray:
    """Align two images of different contrast by Mattes mutual information.

    Parameters
    ----------
    fixed, moving : (i, j, k) array_like
    fixed_affine, moving_affine : (4, 4) array_like
    fixed_mask : (i, j, k) array_like of bool, optional
        Where the images are compared.
    initial : (4, 4) array_like, optional
        Pull matrix to start from; by default the scanner's coordinates are trusted.
    iterations, shrink, smoothing : tuple of int
        Coarse to fine.
    transform : {'Rigid', 'Affine'}
    sampling : float
        Share of the voxels that are compared.
    seed : int
        Of the random sampling.

    Returns
    -------
    (4, 4) ndarray
        RAS+ pull matrix, fixed to moving.

    References
    ----------
    Mattes D, et al. (2003). PET-CT image registration in the chest using free-form
    deformations. IEEE Trans Med Imaging 22:120-128. https://doi.org/10.1109/TMI.2003.809072
    """
    import ants

    start = np.eye(4) if initial is None else np.asarray(initial, dtype=float)
    with itk_session(seed=seed), tempfile.TemporaryDirectory() as folder:
        first = Path(folder) / 'initial.txt'
        write_matrix(start, first)
        result = ants.registration(
            to_ants(fixed, fixed_affine),
            to_ants(moving, moving_affine),
            transform,
            initial_transform=str(first),
            outprefix=f'{folder}/out',
            mask=None if fixed_mask is None else to_ants(fixed_mask, fixed_affine),
            aff_metric='mattes',
            aff_sampling=32,
            aff_random_sampling_rate=sampling,
            aff_iterations=iterations,
            aff_shrink_factors=shrink,
            aff_smoothing_sigmas=smoothing,
            singleprecision=False,
        )
        matrices = [read_matrix(path) for path in result['fwdtransforms']]
    total = np.eye(4)
    for matrix in matrices:  # the last one in ANTs' list is applied to a point first
        total = matrix @ total if len(matrices) == 1 else total @ matrix
    return total


def anchor_contrast(
    fixed: npt.ArrayLike,
    moving: npt.ArrayLike,
    affine: npt.ArrayLike,
    mask: npt.ArrayLike,
    seed: int = 1,
) -> FloatArray:
    """Align the mean of a shell with the mean b = 0 image.

    First on the whole image, then inside the brain only, without its outer rim: there a voxel
    that is half fluid and half skull or air looks like tissue in one image and not in the other,
    which shifts the alignment by 0.2 mm (measured on a head that kept still; 0.07 mm without
    the rim). What the brain alone says counts only as a small correction.

    Parameters
    ----------
    fixed, moving : (i, j, k) array_like
        On the same grid.
    affine : (4, 4) array_like
    mask : (i, j, k) array_like of bool
        Brain in ``fixed``.
    seed : int
        Of the random sampling.

    Returns
    -------
    (4, 4) ndarray
        RAS+ pull matrix, fixed to moving.
    """
    first = rigid(fixed, affine, moving, affine, seed=seed)
    zooms = voxel_sizes(affine)
    depth = ndimage.distance_transform_edt(np.pad(np.asarray(mask, dtype=bool), 1), zooms)
    edge = float(np.cbrt(np.prod(zooms)))
    inner = depth[1:-1, 1:-1, 1:-1] > RIM_VOXELS * edge
    second = rigid(
        fixed, affine, moving, affine, fixed_mask=inner, initial=first, iterations=(100, 50),
        shrink=(2, 1), smoothing=(1, 0), sampling=1.0, seed=seed,
    )  # fmt: skip
    points = voxel_centres(inner, affine)
    gap = np.linalg.norm(apply_matrix(second, points) - apply_matrix(first, points), axis=1)
    return second if gap.size and gap.mean() < MAX_REFINEMENT * edge else first


def bias_field(
    image: npt.ArrayLike, affine: npt.ArrayLike, mask: npt.ArrayLike, shrink: int = 4
) -> FloatArray:
    """Return the smooth intensity field of an image (N4).

    Parameters
    ----------
    image : (i, j, k) array_like
        Mean of the b = 0 volumes.
    affine : (4, 4) array_like
    mask : (i, j, k) array_like of bool
        Brain.
    shrink : int
        N4 works on every so many-th voxel.

    Returns
    -------
    (i, j, k) ndarray
        Mean one inside the mask; divide by it.

    References
    ----------
    Tustison NJ, et al. (2010). N4ITK: improved N3 bias correction. IEEE Trans Med Imaging
    29:1310-1320. https://doi.org/10.1109/TMI.2010.2046908
    """
    import ants

    inside = np.asarray(mask, dtype=bool)
    field = ants.n4_bias_field_correction(
        to_ants(np.maximum(np.asarray(image, dtype=float), 1e-3), affine),
        mask=to_ants(inside, affine),
        shrink_factor=shrink,
        convergence={'iters': [30, 30, 30], 'tol': 1e-5},
        return_bias_field=True,
    ).numpy()
    return np.asarray(field / field[inside].mean(), dtype=float)


def centre_shift(
    fixed_mask: npt.ArrayLike,
    fixed_affine: npt.ArrayLike,
    moving_mask: npt.ArrayLike,
    moving_affine: npt.ArrayLike,
    trust_mm: float = 20.0,
) -> FloatArray:
    """Return the shift between the brains' centres, or none where scanner coordinates agree.

    Parameters
    ----------
    fixed_mask, moving_mask : (i, j, k) array_like of bool
    fixed_affine, moving_affine : (4, 4) array_like
    trust_mm : float
        Centres that are nearer than this are left to the scanner's coordinates, which are
        better than the centre of a mask.

    Returns
    -------
    (4, 4) ndarray
        Pull matrix, fixed to moving.
    """
    centres = [
        apply_matrix(affine, np.argwhere(np.asarray(mask)).mean(axis=0))
        for mask, affine in ((fixed_mask, fixed_affine), (moving_mask, moving_affine))
    ]
    matrix = np.eye(4)
    if np.linalg.norm(centres[1] - centres[0]) > trust_mm:
        matrix[:3, 3] = centres[1] - centres[0]
    return matrix
