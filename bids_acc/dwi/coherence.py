"""Whether gradient axes are swapped or flipped, told from the continuity of fibres."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations, product

import numpy as np
import numpy.typing as npt

from bids_acc.typing import FloatArray

MIN_FA = 0.3
"""Voxels below this FA have no fibre direction worth following."""

MIN_VOXELS = 500
"""With fewer anisotropic voxels the check says nothing."""

CLEAR_GAIN = 1.05
"""The best table must be more coherent than the given one by this factor to be believed."""


@dataclass(frozen=True)
class AxisCheck:
    """Verdict on the axes of a gradient table."""

    matrix: FloatArray
    """(3, 3) signed permutation that makes the fibres most coherent; apply to scanner
    directions."""
    coherence_given: float
    """Coherence with the table as it is."""
    coherence_best: float
    """Coherence with the best of the 24 tables."""

    @property
    def suspicious(self) -> bool:
        """Whether another table than the given one is clearly more coherent."""
        return bool(self.coherence_best > CLEAR_GAIN * self.coherence_given)

    def sentence(self, *, fixed: bool = False) -> str:
        """Return the finding in words, and what was or can be done.

        Parameters
        ----------
        fixed : bool
            Whether the better table was used.
        """
        if not np.isfinite(self.coherence_given):
            return 'Gradient axes not checked: too few anisotropic voxels.'
        if not self.suspicious:
            return f'Gradient axes are consistent (fibre coherence {self.coherence_given:.3f}).'
        axes = ', '.join(_axis_name(row) for row in self.matrix)
        return (
            f'Gradient axes look wrong: fibres are more coherent ({self.coherence_best:.3f} '
            f'against {self.coherence_given:.3f}) when x, y, z (right, front, up) become {axes}. '
            + (
                'That table was used (--dwi-fix-gradients).'
                if fixed
                else 'FA and MD do not depend on it, directions do. Convert the images again, or '
                'use --dwi-fix-gradients.'
            )
        )


def _axis_name(row: FloatArray) -> str:
    """Name the axis that a row of a signed permutation picks."""
    axis = int(np.abs(row).argmax())
    return ('-' if row[axis] < 0 else '') + 'xyz'[axis]


def signed_permutations(axes: npt.ArrayLike | None = None) -> list[FloatArray]:
    """Return the 24 different ways to permute and flip axes; the first changes nothing.

    A flip of all three axes is none, as gradients have no sign.

    Parameters
    ----------
    axes : (3, 3) array_like, optional
        Columns are the directions of the voxel axes; errors happen along these. By default the
        scanner's.

    Returns
    -------
    list of (3, 3) ndarray
    """
    frame = np.eye(3) if axes is None else np.asarray(axes, dtype=float)
    flips = [f for f in product([1.0, -1.0], repeat=3) if f.count(-1.0) <= 1]
    return [
        frame @ (np.diag(flip) @ np.eye(3)[list(order)]) @ frame.T
        for order, flip in product(permutations(range(3)), flips)
    ]


def fibre_coherence(directions: npt.ArrayLike, fa: npt.ArrayLike, affine: npt.ArrayLike) -> float:
    r"""Return how well fibres continue into the voxels that they point to.

    Mean over all pairs of neighbouring anisotropic voxels, with :math:`u` the unit vector
    between their centres, of :math:`(v_1 \cdot u)^2 (v_2 \cdot u)^2`, weighted with both FA.
    One for a straight bundle along one of the neighbour directions. The idea is that of
    Schilling et al. 2019 (doi:10.1016/j.mri.2019.01.018); the formula is simpler.

    Parameters
    ----------
    directions : (i, j, k, 3) array_like
        Principal direction in scanner coordinates.
    fa : (i, j, k) array_like
        NaN or 0 where it does not count.
    affine : (4, 4) array_like

    Returns
    -------
    float
        NaN without pairs.
    """
    vectors = np.nan_to_num(np.asarray(directions, dtype=float))
    weight = np.nan_to_num(np.asarray(fa, dtype=float))
    weight = np.where(weight >= MIN_FA, weight, 0)
    linear = np.asarray(affine, dtype=float)[:3, :3]
    total = norm = 0.0
    for step in product((-1, 0, 1), repeat=3):
        # Half of the 26 neighbours: the other half are the same pairs seen from the other end.
        if step <= (0, 0, 0):
            continue
        towards = linear @ np.array(step, dtype=float)
        towards /= np.linalg.norm(towards)
        here, there = _neighbours(step)
        pair = weight[here] * weight[there]
        along = (vectors[here] @ towards) ** 2 * (vectors[there] @ towards) ** 2
        total += float((pair * along).sum())
        norm += float(pair.sum())
    return total / norm if norm > 0 else float('nan')


def _neighbours(step: tuple[int, ...]) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Return the slices of a volume and of the same volume moved by a step."""
    here = tuple(slice(max(0, -s), -s if s > 0 else None) for s in step)
    there = tuple(slice(max(0, s), s if s < 0 else None) for s in step)
    return here, there


def check_axes(directions: npt.ArrayLike, fa: npt.ArrayLike, affine: npt.ArrayLike) -> AxisCheck:
    """Try all 24 permutations and flips of the gradient axes.

    A signed permutation of the gradients turns every tensor, and its principal direction, in
    the same way, so that one fit serves for all.

    Parameters
    ----------
    directions : (i, j, k, 3) array_like
        Principal direction in scanner coordinates, from the table as given.
    fa : (i, j, k) array_like
    affine : (4, 4) array_like

    Returns
    -------
    AxisCheck
    """
    from bids_acc.images.affines import axes_of

    matrices = signed_permutations(axes_of(affine))
    if (np.nan_to_num(np.asarray(fa, dtype=float)) >= MIN_FA).sum() < MIN_VOXELS:
        return AxisCheck(np.eye(3), float('nan'), float('nan'))
    vectors = np.asarray(directions, dtype=float)
    scores = [fibre_coherence(vectors @ m.T, fa, affine) for m in matrices]
    best = int(np.argmax(scores))
    return AxisCheck(matrices[best], scores[0], scores[best])
