"""A T1w image as the surface fit sees it: intensities, and what each tissue looks like where."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage, sparse, special

from bids_acc.anat.morphometry import spread_on_mesh
from bids_acc.typing import BoolArray, FloatArray

CORTEX_SHARES = (0.35, 0.45, 0.55)
"""Where between white (0) and pial (1) surface the intensity of GM is read: rather near WM, whose
share in what is read there is known better than that of a sulcus."""
WHITE_DEPTHS = (1.5, 2.0, 2.5, 3.0)
"""How far inside the white surface the intensity of WM is read, in mm: beyond the blur of the
edge, and before the middle of most gyral blades."""
POOLED_FWHM = 8.0
"""Over how many mm of surface intensities are averaged. Twice that takes in, at the cingulate,
white matter that a bias field left 4 % brighter, which moves the surface by 0.1 mm."""
DARKEST_WHITE = 0.2
"""Samples below the cortex that lie nearer to GM than this share of the contrast are no WM; noise
of a fifth of the contrast brings hardly any WM there. Set by eye on simulated brains."""
TRUST = 0.35
"""How far a level may lie from the local mean, as a share of the GM-WM contrast: as long as the
surfaces are far from their places, what is read between them may be no cortex at all. Set
by eye on simulated brains."""
_LEAST_WEIGHT = 0.02
"""Weight of the volume's local mean, as a share of a vertex's full weight: it counts only where
the surfaces run through no tissue of that kind."""


@dataclass(frozen=True)
class TissueImage:
    """A bias-corrected T1w image with the tissues' means around each voxel."""

    intensity: npt.NDArray[np.float32]
    """(nx, ny, nz) intensities."""
    affine: FloatArray
    """(4, 4) voxel to scanner RAS in mm."""
    means: tuple[npt.NDArray[np.float32], ...]
    """Local mean intensity of GM, WM and CSF, on the grid of ``mean_affine``."""
    mean_affine: FloatArray
    """(4, 4) of the (coarser) grid of the means."""
    grey_share: npt.NDArray[np.float32]
    """Probability of GM, on the grid of ``share_affine``."""
    share_affine: FloatArray
    """(4, 4) of the grid of the probability."""
    side: npt.NDArray[np.float32] | None = None
    """Signed distance from the midsagittal plane in mm, positive right, on the coarser grid."""

    def sample(self, points: FloatArray) -> FloatArray:
        """Interpolate the intensity at points, linearly.

        Parameters
        ----------
        points : (..., 3) ndarray
            Scanner RAS in mm; outside the image the nearest voxel counts.

        Returns
        -------
        (...) ndarray
        """
        return sample_volume(self.intensity, self.affine, points)

    def tissue_means(self, points: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return the local means of GM, WM and CSF at points (..., 3) in mm.

        Parameters
        ----------
        points : (..., 3) ndarray
            Scanner RAS in mm.

        Returns
        -------
        grey, white, csf : (...) ndarray
            In the unit of the image.
        """
        grey, white, csf = (sample_volume(m, self.mean_affine, points) for m in self.means)
        return grey, white, csf


def sample_volume(volume: npt.ArrayLike, affine: FloatArray, points: npt.ArrayLike) -> FloatArray:
    """Interpolate a volume trilinearly at points in mm.

    Parameters
    ----------
    volume : (nx, ny, nz) array_like
        Values.
    affine : (4, 4) ndarray
        Voxel to mm.
    points : (..., 3) array_like
        In mm; beyond the edge the nearest voxel counts.

    Returns
    -------
    (...) ndarray
        Values at the points.
    """
    inverse = np.linalg.inv(affine)
    points = np.asarray(points, dtype=float)
    voxels = points @ inverse[:3, :3].T + inverse[:3, 3]
    coordinates = np.moveaxis(voxels, -1, 0).reshape(3, -1)
    values = ndimage.map_coordinates(
        np.asarray(volume), coordinates, order=1, mode='nearest', output=np.float64
    )
    return np.asarray(values.reshape(points.shape[:-1]))


def cortical_levels(
    image: TissueImage,
    white: FloatArray,
    pial: FloatArray,
    normals: FloatArray,
    cortex: BoolArray,
    links: sparse.csr_array,
    blur: float = 0.0,
) -> tuple[FloatArray, FloatArray]:
    r"""Return the intensities of GM and WM beside each vertex, read where the surfaces lie.

    Voxels that are chosen by their intensity have a mean that depends on noise, on partial
    volume and on how much of the neighbourhood a bias field brightened: half-way between such
    means lay 2 to 10 % off the boundary. Here place decides, so the estimate is linear in the
    image and noise averages out. The samples :math:`y_i`, some in the cortex and some below it,
    are mixed by the blur :math:`\sigma` of the image, with shares that the distances
    :math:`w_i` and :math:`p_i` from the white and pial surface tell,

    .. math::
        y_i = \Phi(-w_i / \sigma) \, \mu_{WM}
            + [\Phi(w_i / \sigma) - \Phi(p_i / \sigma)] \, \mu_{GM}
            + \Phi(p_i / \sigma) \, \mu_{CSF},

    and the normal equations of this regression are averaged along the surface. In the cortex
    samples count by the probability of GM; below it they count unless they are nearly as dark as
    GM (`DARKEST_WHITE`): a nucleus, the other wall of a thin blade, a surface that is not yet in
    its place. The probability of WM would be no good weight there: where a bias field left it
    darker than elsewhere, it picks the brighter part.

    Parameters
    ----------
    image : TissueImage
        Where to read.
    white, pial : (n_vertices, 3) ndarray
        Surfaces in mm.
    normals : (n_vertices, 3) ndarray
        Outward normals of the white surface.
    cortex : (n_vertices,) ndarray of bool
        Vertices to read at; the others get what is around them.
    links : (n_vertices, n_vertices) csr_array
        See `bids_acc.surfaces.neighbours.neighbour_mean`.
    blur : float
        Standard deviation of the image's blur in mm; zero takes the samples for pure.

    Returns
    -------
    grey, white_matter : (n_vertices,) ndarray
        Intensities.
    """
    grey, white_matter, csf = image.tissue_means(white)
    # A cortex thinner than the blur would have no share in any sample, and its level none to be
    # solved for.
    thickness = np.maximum(np.einsum('ij,ij->i', pial - white, normals), 2 * max(blur, 1e-3))
    sums = np.zeros((len(white), 5))
    samples = [(0, share * thickness, white + share * (pial - white)) for share in CORTEX_SHARES]
    samples += [(1, np.full(len(white), -d), white - d * normals) for d in WHITE_DEPTHS]
    counts = (len(CORTEX_SHARES), len(WHITE_DEPTHS))
    darkest = grey + DARKEST_WHITE * (white_matter - grey)
    for tissue, height, points in samples:
        values = image.sample(points)
        weight = (
            values > darkest
            if tissue
            else sample_volume(image.grey_share, image.share_affine, points)
        )
        weight = weight * cortex / counts[tissue]
        below, beyond = _mixing(height, thickness, blur)
        within = 1 - below - beyond
        rest = values - beyond * csf
        columns = (within**2, within * below, below**2, within * rest, below * rest)
        sums += weight[:, None] * np.stack(columns, axis=1)
    gg, gw, ww, gy, wy = spread_on_mesh(sums, white, links, POOLED_FWHM).T
    gg, ww = gg + _LEAST_WEIGHT, ww + _LEAST_WEIGHT
    gy, wy = gy + _LEAST_WEIGHT * grey, wy + _LEAST_WEIGHT * white_matter
    # Two unknowns: the normal equations are solved in closed form for all vertices at once.
    determinant = gg * ww - gw**2
    found = (ww * gy - gw * wy) / determinant, (gg * wy - gw * gy) / determinant
    room = TRUST * (white_matter - grey)
    return (
        np.clip(found[0], grey - room, grey + room),
        np.clip(found[1], white_matter - room, white_matter + room),
    )


def _mixing(
    height: FloatArray, thickness: FloatArray, blur: float
) -> tuple[FloatArray, FloatArray]:
    """Return the shares of WM and of CSF at some height above the white surface."""
    width = max(blur, 1e-3)
    return special.ndtr(-height / width), special.ndtr((height - thickness) / width)
