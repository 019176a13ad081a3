"""A BOLD phantom small enough for tests: a textured ellipsoid that moves as it is told."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from bids_acc.func.motion import rigid_matrix
from bids_acc.images.affines import apply_matrix, voxel_centres

SHAPE = (26, 30, 22)
ZOOM = 6.0
AXES_MM = (62.0, 76.0, 54.0)


def affine_at(centre=(0.0, 0.0, 0.0)) -> np.ndarray:
    """Return the affine of the phantom's grid around a centre, stored right to left."""
    matrix = np.diag([-ZOOM, ZOOM, ZOOM, 1.0])
    matrix[:3, 3] = np.array(centre) - matrix[:3, :3] @ (0.5 * (np.array(SHAPE) - 1))
    return matrix


@dataclass(frozen=True)
class Phantom:
    """Values of the phantom anywhere."""

    texture: np.ndarray
    """On a grid of 3 mm around the origin."""

    @classmethod
    def draw(cls, seed: int = 0) -> Phantom:
        """Draw the texture: smooth blobs within an ellipsoid, fluid in the middle."""
        rng = np.random.default_rng(seed)
        size = (56, 62, 48)
        grid = np.stack(np.indices(size), axis=-1) * 3.0 - 1.5 * (np.array(size) - 1)
        radius = np.sqrt(((grid / AXES_MM) ** 2).sum(axis=-1))
        blobs = ndimage.gaussian_filter(rng.standard_normal(size), 3.0)
        values = 1000 + 300 * blobs / blobs.std()
        values[radius < 0.25] = 1800
        return cls(ndimage.gaussian_filter(np.where(radius < 1, values.clip(300), 0), 1.2))

    def at(self, points: np.ndarray) -> np.ndarray:
        """Return values at points of the phantom's own frame, mm."""
        where = points / 3.0 + 0.5 * (np.array(self.texture.shape) - 1)
        return ndimage.map_coordinates(self.texture, where.T, order=1)

    def volume(self, pull: np.ndarray, centre=(0.0, 0.0, 0.0)) -> np.ndarray:
        """Return the image of the phantom around a centre, moved by a matrix."""
        points = voxel_centres(np.ones(SHAPE, dtype=bool), affine_at(centre))
        own = apply_matrix(np.linalg.inv(pull), points) - np.array(centre)
        return self.at(own).reshape(SHAPE)


def moving_series(
    path: np.ndarray, centre=(0.0, 0.0, 0.0), noise: float = 10.0, seed: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """Return a series of the phantom, and the pull matrices of each volume.

    Parameters
    ----------
    path : (n_volumes, 6) ndarray
        Translations of the centre (mm) and rotation vectors (rad).
    centre : (3,) tuple
        Of the phantom in the scanner.
    noise : float
        Standard deviation; the phantom's signal is about 1000.
    seed : int
    """
    rng = np.random.default_rng(seed)
    phantom = Phantom.draw()
    pulls = np.stack([rigid_matrix(row, centre) for row in path])
    volumes = [phantom.volume(pull, centre) for pull in pulls]
    series = np.stack(volumes, axis=-1)
    return (series + noise * rng.standard_normal(series.shape)).astype(np.float32), pulls
