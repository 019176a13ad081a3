"""Whether directions lie beside the right volumes, told by how well a tensor explains them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bids_acc.dwi.tensor import N_PARAMETERS, design_matrix
from bids_acc.typing import FloatArray, IntArray

CLEAR_GAIN = 1.03
"""An order must explain the signal better than the given one by this factor to be believed. Own
convention: of OpenNeuro ds000114 (13 directions) the right order does by 1.12 to 1.17."""
MAX_VOXELS = 20_000
"""As many tell as much as all."""
LEAST_SPARE = 3
"""Volumes beyond the tensor's unknowns without which every order explains the signal."""
WORDS = {
    'later': 'those of the volume before', 'earlier': 'those of the volume after',
    'reversed': 'those of the volumes in reversed order',
}  # fmt: skip


@dataclass(frozen=True)
class OrderCheck:
    """Which order of the directions explains the signal best."""

    best: str
    """``given``, ``later``, ``earlier`` or ``reversed``."""
    gain: float
    """Residual with the given order, relative to that with the best other one; NaN where it could
    not be told."""

    @property
    def suspicious(self) -> bool:
        """Whether another order is clearly better than the given one."""
        return self.best != 'given'

    def sentence(self) -> str:
        """Return the finding in words; empty where nothing is wrong."""
        if not self.suspicious:
            return ''
        return (
            f'The directions look as if they were {WORDS[self.best]}: a tensor explains the '
            f'signal {self.gain:.2f} times as well then. FA and directions are wrong; convert '
            'images and gradient table again, together.'
        )


def orders(runs: IntArray) -> dict[str, IntArray]:
    """Return other orders of volumes, run by run.

    Parameters
    ----------
    runs : (n_volumes,) ndarray of int
        Number of the run of each volume.

    Returns
    -------
    dict of str to (n_volumes,) ndarray of int
        Of each volume, whose direction it would have.

    Examples
    --------
    >>> {k: v.tolist() for k, v in orders(np.array([0, 0, 0, 1, 1])).items()}
    {'later': [2, 0, 1, 4, 3], 'earlier': [1, 2, 0, 4, 3], 'reversed': [2, 1, 0, 4, 3]}
    """
    found = {name: np.arange(len(runs)) for name in WORDS}
    for run in np.unique(runs):
        own = np.flatnonzero(runs == run)
        found['later'][own] = np.roll(own, 1)
        found['earlier'][own] = np.roll(own, -1)
        found['reversed'][own] = own[::-1]
    return found


def check_order(
    signal: npt.ArrayLike, bvals: npt.ArrayLike, directions: npt.ArrayLike, runs: npt.ArrayLike
) -> OrderCheck:
    """Compare the given order of the directions with those that tables were found in by mistake.

    For each order the root mean square residual of a tensor's linear fit to the logarithm of the
    signal is taken, each voxel weighted with its mean signal. Only directions of weighted volumes
    change their places; b-values are judged by brightness (`bids_acc.dwi.levels`).

    Parameters
    ----------
    signal : (n_voxels, n_volumes) array_like
        Aligned, brain voxels.
    bvals : (n_volumes,) array_like
        s/mm2.
    directions : (n_volumes, 3) array_like
        Unit vectors; zero where b is.
    runs : (n_volumes,) array_like of int
        Number of the run of each volume.

    Returns
    -------
    OrderCheck
        ``given``, with a gain that is NaN, where there are too few volumes or voxels.
    """
    data = np.asarray(signal)
    data = data[:: max(len(data) // MAX_VOXELS, 1)].astype(float)
    data = data[(data > 0).all(axis=1) & np.isfinite(data).all(axis=1)]
    vectors = np.asarray(directions, dtype=float)
    weighted = np.flatnonzero(vectors.any(axis=1))
    if len(data) < MAX_VOXELS // 100 or data.shape[1] < N_PARAMETERS + LEAST_SPARE:
        return OrderCheck('given', float('nan'))
    logs = np.log(data) * data.mean(axis=1, keepdims=True)
    given = _residual(logs, bvals, vectors)
    scores = {}
    for name, order in orders(np.asarray(runs)[weighted]).items():
        moved = vectors.copy()
        moved[weighted] = vectors[weighted][order]
        scores[name] = _residual(logs, bvals, moved)
    best = min(scores, key=lambda name: scores[name])
    gain = given / scores[best] if scores[best] > 0 else float('nan')
    return OrderCheck(best if gain > CLEAR_GAIN else 'given', gain)


def _residual(logs: FloatArray, bvals: npt.ArrayLike, directions: FloatArray) -> float:
    """Return the root mean square of what a tensor leaves of the logarithms."""
    basis = np.linalg.qr(design_matrix(bvals, directions))[0]
    left = logs - (logs @ basis) @ basis.T
    return float(np.sqrt(np.square(left).mean()))
