"""The bridge to ANTs: its LPS coordinates, images, matrices, threads and random numbers.

Everything here is in RAS+ and mm; what ANTs wants is made, and what it gives is taken, here.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from bids_acc.typing import FloatArray

if TYPE_CHECKING:
    from ants.core.ants_image import ANTsImage

LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""RAS+ to ITK's LPS+, and back."""

_THREADS = 'ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS'


@contextmanager
def itk_session(n_threads: int = 1, seed: int = 1) -> Iterator[None]:
    """Limit ITK's threads and seed ANTs; with one thread, the same input gives the same bytes.

    ``ants.registration`` has no argument for a seed and swallows one that it is given
    (antspyx 0.6.3): the voxels at which the metric of an affine is sampled are then jittered
    anew each time. Its package-wide setting is the only way, and it seeds NumPy's global
    generator too, which nothing here reads.

    Parameters
    ----------
    n_threads : int
        Of ITK; more than one gives up the last bits.
    seed : int
        Any; zero would mean the clock.
    """
    from ants.config import set_ants_deterministic

    before = os.environ.get(_THREADS)
    set_ants_deterministic(on=True, seed_value=seed % 2**31 or 1)
    os.environ[_THREADS] = str(n_threads)
    try:
        yield
    finally:
        set_ants_deterministic(on=False, seed_value=None)
        if before is None:
            del os.environ[_THREADS]
        else:
            os.environ[_THREADS] = before


def to_ants(
    volume: npt.ArrayLike, affine: npt.ArrayLike, *, missing_as_zero: bool = False
) -> ANTsImage:
    """Make an ANTs image.

    Parameters
    ----------
    volume : (i, j, k) array_like
    affine : (4, 4) array_like
        Voxel indices to RAS+; its axes should be orthogonal, as ITK knows no shears.
    missing_as_zero : bool
        Whether NaN becomes 0, the background. Otherwise the volume must be finite: ITK spreads
        a NaN over whatever it smooths.

    Returns
    -------
    ANTsImage
        Of float32, at the same place in ITK's LPS+.
    """
    import ants

    matrix = LPS @ np.asarray(affine, dtype=float)
    spacing = np.linalg.norm(matrix[:3, :3], axis=0)
    values = np.ascontiguousarray(volume, dtype=np.float32)
    return ants.from_numpy(
        np.nan_to_num(values) if missing_as_zero else values,
        origin=matrix[:3, 3].tolist(),
        spacing=spacing.tolist(),
        direction=matrix[:3, :3] / spacing,
    )


def carry_points(points: npt.ArrayLike, transforms: Sequence[str | Path]) -> FloatArray:
    """Carry points of the fixed image to the moving one.

    Parameters
    ----------
    points : (n, 3) array_like
        RAS+ of the fixed image in mm.
    transforms : sequence of Path
        That resample the moving image onto the fixed one, in ANTs' order, none to be inverted.

    Returns
    -------
    (n, 3) ndarray
        RAS+ of the moving image in mm.
    """
    import ants
    import pandas as pd

    to_lps = np.diag(LPS)[:3]
    frame = pd.DataFrame(np.asarray(points, dtype=float) * to_lps, columns=['x', 'y', 'z'])
    names = [str(path) for path in transforms]
    # Points go the other way round than images: what resamples the moving image onto the fixed one
    # takes a point of the fixed image to the moving one. A warp cannot be inverted here, so none
    # is asked for.
    moved = ants.apply_transforms_to_points(3, frame, names, whichtoinvert=[False] * len(names))
    return np.asarray(np.asarray(moved[['x', 'y', 'z']], dtype=float) * to_lps)


def read_matrix(path: str | Path) -> FloatArray:
    """Read an ITK affine as a RAS+ matrix, fixed to moving.

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
    # ITK turns about a centre, x -> A (x - c) + c + t: what a homogeneous matrix adds is t + c - A
    # c.
    matrix[:3, 3] = np.asarray(transform.parameters[9:12]) + centre - linear @ centre
    return np.asarray(LPS @ matrix @ LPS)


def write_matrix(matrix: npt.ArrayLike, path: Path) -> None:
    """Write a RAS+ affine matrix as an ITK text file, which ANTs and Workbench read.

    Parameters
    ----------
    matrix : (4, 4) array_like
        From the points of the fixed image to those of the moving one, RAS+ in mm, as `read_matrix`
        returns it; turned into LPS+ here.
    path : Path
        Ends in ``.txt``, by which ITK knows the format.
    """
    itk = LPS @ np.asarray(matrix, dtype=float) @ LPS
    numbers = ' '.join(f'{v:.10g}' for v in [*itk[:3, :3].ravel(), *itk[:3, 3]])
    path.write_text(
        '#Insight Transform File V1.0\n#Transform 0\n'
        'Transform: AffineTransform_double_3_3\n'
        f'Parameters: {numbers}\nFixedParameters: 0 0 0\n'
    )
