"""Rigid alignment of contrasts and bias field, by ANTs."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bids_acc.images.affines import apply_matrix, centre_of_mass, voxel_centres
from bids_acc.images.ants_bridge import itk_session, read_matrix, to_ants, write_matrix
from bids_acc.images.files import read_image
from bids_acc.images.resampling import sample
from bids_acc.typing import BoolArray, FloatArray, Volume


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
        Affine matrix to start from; by default the scanner's coordinates are trusted.
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
        RAS+ affine matrix, fixed to moving.

    References
    ----------
    Mattes D, et al. (2003). PET-CT image registration in the chest using free-form
    deformations. IEEE Trans Med Imaging 22:120-128. https://doi.org/10.1109/TMI.2003.809072
    """
    import ants

    start = np.eye(4) if initial is None else np.asarray(initial, dtype=float)
    with itk_session(seed=seed), tempfile.TemporaryDirectory() as folder:
        first = Path(folder) / 'initial.txt'
        # The identity is written as well: without a start ANTs lays the centres of intensity over
        # each other, which is worse than the scanner's coordinates.
        write_matrix(start, first)
        result = ants.registration(
            to_ants(fixed, fixed_affine, missing_as_zero=True),
            to_ants(moving, moving_affine, missing_as_zero=True),
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
        # N4 works on logarithms; interpolation and denoising leave zeros and negative values.
        to_ants(np.maximum(np.asarray(image, dtype=float), 1e-3), affine, missing_as_zero=True),
        mask=to_ants(inside, affine),
        shrink_factor=shrink,
        convergence={'iters': [30, 30, 30], 'tol': 1e-5},
        return_bias_field=True,
    ).numpy()
    # The field's scale is arbitrary: with a mean of one the corrected image keeps its level.
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
        Affine matrix, fixed to moving.
    """
    centres = [
        centre_of_mass(mask, affine)
        for mask, affine in ((fixed_mask, fixed_affine), (moving_mask, moving_affine))
    ]
    matrix = np.eye(4)
    if np.linalg.norm(centres[1] - centres[0]) > trust_mm:
        matrix[:3, 3] = centres[1] - centres[0]
    return matrix


def align_brains(
    image: npt.ArrayLike,
    affine: npt.ArrayLike,
    t1w: npt.ArrayLike,
    t1w_affine: npt.ArrayLike,
    *,
    masks: tuple[npt.ArrayLike, npt.ArrayLike],
    seed: int,
) -> FloatArray:
    """Align a brain of any contrast with that of the T1w image, rigidly.

    Parameters
    ----------
    image, t1w : (i, j, k) array_like
        Zero outside the brain.
    affine, t1w_affine : (4, 4) array_like
    masks : tuple of (i, j, k) array_like of bool
        Both brains, for a start where scanner coordinates do not agree.
    seed : int
        Of the random sampling.

    Returns
    -------
    (4, 4) ndarray
        Affine matrix, image to T1w: the smaller image is the fixed one, which is several times
        faster.
    """
    start = centre_shift(masks[0], affine, masks[1], t1w_affine)
    return rigid(image, affine, t1w, t1w_affine, initial=start, seed=seed)


def moved_overlap(
    mask: npt.ArrayLike,
    affine: npt.ArrayLike,
    brain: npt.ArrayLike,
    brain_affine: npt.ArrayLike,
    matrix: npt.ArrayLike,
) -> float:
    """Return the overlap (Dice) of two masks of different grids, the first one moved.

    Parameters
    ----------
    mask, brain : (i, j, k) array_like of bool
    affine, brain_affine : (4, 4) array_like
    matrix : (4, 4) array_like
        Affine matrix, ``mask`` to ``brain``.

    Returns
    -------
    float
    """
    moved = apply_matrix(matrix, voxel_centres(mask, affine))
    inside = np.nan_to_num(sample(np.asarray(brain, dtype=np.float32), brain_affine, moved)).sum()
    # The grids differ, so that volumes are compared and not voxels.
    sizes = [np.abs(np.linalg.det(np.asarray(a, dtype=float)[:3, :3]))
             for a in (affine, brain_affine)]  # fmt: skip
    volumes = np.asarray(mask).sum() * sizes[0] + np.asarray(brain).sum() * sizes[1]
    return float(2 * inside * sizes[0] / volumes)


@dataclass(frozen=True)
class BrainPair:
    """Image of any contrast and T1w image of the same person, each with its brain."""

    image: Volume
    """(i, j, k) reference image of a series."""
    affine: FloatArray
    """(4, 4) of its grid."""
    mask: BoolArray
    """(i, j, k) brain in it."""
    t1w: Volume
    """(i, j, k) T1w image."""
    t1w_affine: FloatArray
    """(4, 4) of its grid."""
    brain: BoolArray
    """(i, j, k) brain in it."""

    @classmethod
    def read(cls, image: str, mask: str, t1w: str, t1w_mask: str) -> BrainPair:
        """Read both images and both masks.

        Parameters
        ----------
        image, mask, t1w, t1w_mask : str
            Files; each mask on the grid of its image.

        Returns
        -------
        BrainPair
        """
        data, affine = read_image(image)
        anatomy, t1w_affine = read_image(t1w)
        inside, brain = (read_image(path)[0] > 0 for path in (mask, t1w_mask))
        return cls(data, affine, inside, anatomy, t1w_affine, brain)

    def align(self, seed: int) -> FloatArray:
        """Align the brains rigidly.

        Parameters
        ----------
        seed : int
            Of the random sampling.

        Returns
        -------
        (4, 4) ndarray
            Affine matrix, image to T1w.
        """
        # without skull and scalp, which differ between contrasts and move with eyes and jaw
        return align_brains(
            np.where(self.mask, self.image, 0), self.affine,
            np.where(self.brain, self.t1w, 0), self.t1w_affine,
            masks=(self.mask, self.brain), seed=seed,
        )  # fmt: skip

    def overlap(self, matrix: npt.ArrayLike) -> float:
        """Return the overlap (Dice) of both brains after an alignment.

        Parameters
        ----------
        matrix : (4, 4) array_like
            Affine matrix, image to T1w.

        Returns
        -------
        float
        """
        return moved_overlap(self.mask, self.affine, self.brain, self.t1w_affine, matrix)
