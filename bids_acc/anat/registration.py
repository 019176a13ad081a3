"""N4 and registration to the template with ANTs (antspyx), on files.

All transforms are ITK files. ANTs works in LPS; points are converted here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import nibabel as nb
import numpy as np
import numpy.typing as npt
from scipy import ndimage

from bids_acc.exceptions import ComputationError
from bids_acc.images.ants_bridge import carry_points, itk_session, to_ants
from bids_acc.typing import FloatArray, SingleArray, Volume

TEMPLATE_NAME = 'MNI152NLin2009aSym'
"""The T1w template that comes with nilearn."""
FINE_MM = 1.6
"""Voxels up to this size in mm are worth more rounds of registration."""


def template_path(kind: str) -> Path:
    """Return nilearn's template file.

    Parameters
    ----------
    kind : str
        ``'t1'``, ``'gm'`` or ``'wm'``; the latter two hold probability times 255.
    """
    import nilearn

    folder = Path(nilearn.__file__).parent / 'datasets' / 'data'
    return folder / f'mni_icbm152_{kind}_tal_nlin_sym_09a_converted.nii.gz'


def coarser(data: Volume, affine: FloatArray, target_mm: float) -> tuple[SingleArray, FloatArray]:
    """Average blocks of voxels to about a spacing, for a faster registration.

    Parameters
    ----------
    data : (nx, ny, nz) ndarray
        Finite.
    affine : (4, 4) ndarray
        Voxel to scanner RAS in mm.
    target_mm : float
        Wanted spacing. An axis is averaged over ``floor(target_mm / size + 1/4)`` voxels, at least
        one, so that slices thicker than that stay as they are.

    Returns
    -------
    data : (mx, my, mz) ndarray
        Block means; what does not fill a block is left out.
    affine : (4, 4) ndarray
        Of the coarser grid.
    """
    sizes = np.linalg.norm(affine[:3, :3], axis=0)
    factor = np.maximum(np.floor(target_mm / sizes + 0.25).astype(int), 1)
    shape = np.array(data.shape) // factor
    cut = data[tuple(slice(0, n * f) for n, f in zip(shape, factor, strict=True))]
    blocks = cut.reshape(shape[0], factor[0], shape[1], factor[1], shape[2], factor[2])
    shifted = np.asarray(affine) @ np.diag([*factor.astype(float), 1.0])
    # The first block's centre, not its first voxel's: half a voxel less and the brain would lie
    # askew.
    shifted[:3, 3] = (affine @ np.r_[(factor - 1) / 2, 1])[:3]
    return blocks.mean(axis=(1, 3, 5), dtype=np.float32), shifted


def bias_correct(
    data: Volume, affine: FloatArray, mask: npt.ArrayLike, n_threads: int = 1
) -> SingleArray:
    """Remove the bias field with N4.

    Tustison et al. (2010), IEEE TMI 29:1310-1320, https://doi.org/10.1109/TMI.2010.2046908.
    The field is smooth: it is estimated on a grid of about 6 mm, where N4 takes a tenth of the
    time, and its logarithm is interpolated to the voxels. Knots are no nearer than 75 mm: with
    half of that the field takes up the difference between cortex and white matter, which moves
    the white surface by half a millimetre in a brain of known truth.

    Parameters
    ----------
    data : (nx, ny, nz) ndarray
        T1w intensities, not negative.
    affine : (4, 4) ndarray
        Voxel to scanner RAS in mm.
    mask : (nx, ny, nz) ndarray of bool
        Brain; the field beyond it is extended from its edge.
    n_threads : int
        Of ITK.

    Returns
    -------
    (nx, ny, nz) ndarray of float32
        Corrected image, with the mean inside the mask kept.
    """
    import ants

    data, inside = np.asarray(data, dtype=np.float32), np.asarray(mask, dtype=np.float32)
    weight, grid = coarser(inside, affine, 6.0)
    block, _ = coarser(data * inside, affine, 6.0)
    # The mean over the brain's voxels of a block only: with the zeros around it the outline would
    # be darker, which N4 would take for the field.
    image = np.where(weight > 0.5, block / np.maximum(weight, 0.5), 0)
    with itk_session(n_threads):
        field = ants.n4_bias_field_correction(
            to_ants(image, grid),
            mask=to_ants((weight > 0.5).astype(np.float32), grid),
            shrink_factor=1,
            convergence={'iters': [50, 50], 'tol': 1e-6},
            spline_param=150,
            return_bias_field=True,
        ).numpy()
    logarithm = np.log(np.maximum(field, 1e-6))
    factor = np.linalg.norm(grid[:3, :3], axis=0) / np.linalg.norm(affine[:3, :3], axis=0)
    fine = ndimage.affine_transform(
        logarithm,
        np.diag(1 / factor),
        # Centres of blocks lie between voxels: index i is found at (i - (factor - 1) / 2) /
        # factor.
        offset=(1 - factor) / (2 * factor),
        output_shape=data.shape,
        order=1,
        mode='nearest',
    )
    corrected = data * np.exp(-fine)
    here = inside > 0
    return np.asarray(
        (corrected * (data[here].mean() / corrected[here].mean())).astype(np.float32)
    )


def register_to_template(
    data: Volume, affine: FloatArray, prefix: Path, *, seed: int = 1, n_threads: int = 1,
    spacing_mm: float = 2.0,
) -> tuple[list[Path], list[Path]]:  # fmt: skip
    """Register a brain to the template: affine, then SyN by local cross-correlation.

    Avants et al. (2008), Med Image Anal 12:26-41, https://doi.org/10.1016/j.media.2007.06.004.
    Mutual information widens the fissure between the hemispheres: in a brain of known truth both
    walls of the cingulate come to lie 0.7 to 1.5 mm too far from the midline, and 0.1 mm with
    cross-correlation (cubes of three voxels). The finest level gets more rounds where voxels are
    small.

    Parameters
    ----------
    data : (nx, ny, nz) ndarray
        Bias-corrected brain, zero outside.
    affine : (4, 4) ndarray
        Voxel to scanner RAS in mm.
    prefix : Path
        Where the transforms go.
    seed : int
        Of the samples for the metric of the affine.
    n_threads : int
        Threads of ITK.
    spacing_mm : float
        Grid of the registration.

    Returns
    -------
    points_to_t1w : list of Path
        Warp and affine that carry template *points* to the T1w (and T1w images to the
        template), in ANTs' order.
    images_to_t1w : list of Path
        Affine (inverted already) and inverse warp that carry template *images* to the T1w.

    Raises
    ------
    ComputationError
        If ANTs fails.
    """
    import ants

    template = nb.Nifti1Image.from_filename(template_path('t1'))
    fixed = coarser(template.get_fdata(dtype=np.float32), template.affine, spacing_mm)
    moving = coarser(np.asarray(data, dtype=np.float32), affine, spacing_mm)
    with itk_session(n_threads, seed):
        result = ants.registration(
            fixed=to_ants(*fixed),
            moving=to_ants(*moving),
            type_of_transform='SyN',
            syn_metric='CC',
            syn_sampling=1,
            reg_iterations=_iterations(affine),
            outprefix=str(prefix),
            singleprecision=True,
        )
        forward = [Path(p) for p in result['fwdtransforms']]
        inverse_warp = [Path(p) for p in result['invtransforms'] if str(p).endswith('.nii.gz')]
        if len(forward) != 2 or len(inverse_warp) != 1:
            raise ComputationError(f'registration to {TEMPLATE_NAME} gave no transforms.')
        # ANTs tells a list of files and flags which of them to invert; what is kept for others is
        # to be used as it stands.
        inverse_affine = Path(f'{prefix}inverse_affine.mat')
        ants.write_transform(ants.read_transform(str(forward[1])).invert(), str(inverse_affine))
    return forward, [inverse_affine, *inverse_warp]


def _iterations(affine: FloatArray) -> tuple[int, int, int]:
    """Return SyN's rounds at four, two and one times the spacing of the registration."""
    fine = float(np.linalg.norm(affine[:3, :3], axis=0).max()) <= FINE_MM
    return (40, 30, 5) if fine else (30, 20, 2)


def points_to_t1w(points: FloatArray, transforms: Sequence[Path | str]) -> FloatArray:
    """Carry points from the template to the T1w.

    Parameters
    ----------
    points : (n, 3) ndarray
        Template RAS in mm.
    transforms : sequence of Path
        ``points_to_t1w`` of `register_to_template`.

    Returns
    -------
    (n, 3) ndarray
        Scanner RAS of the T1w in mm.
    """
    return carry_points(points, transforms)


def image_to_t1w(
    data: npt.ArrayLike, affine: FloatArray, grid_shape: tuple[int, ...], grid_affine: FloatArray,
    transforms: Sequence[Path | str], interpolator: str = 'linear',
) -> SingleArray:  # fmt: skip
    """Carry a template image to the T1w's grid.

    Parameters
    ----------
    data : (mx, my, mz) ndarray
        Template image.
    affine : (4, 4) ndarray
        Of the template image.
    grid_shape : tuple of int
        Target grid.
    grid_affine : (4, 4) ndarray
        Target grid's voxel to scanner RAS in mm.
    transforms : sequence of Path
        ``images_to_t1w`` of `register_to_template`.
    interpolator : str
        Of ANTs.

    Returns
    -------
    (nx, ny, nz) ndarray of float32
        The image on the target grid.
    """
    import ants

    moved = ants.apply_transforms(
        fixed=to_ants(np.zeros(grid_shape, dtype=np.float32), grid_affine),
        moving=to_ants(data, affine),
        transformlist=[str(p) for p in transforms],
        whichtoinvert=[False] * len(transforms),
        interpolator=interpolator,
    )
    return np.asarray(moved.numpy(), dtype=np.float32)
