"""A field map that was measured by gradient echoes, as displacements on the grid of a series."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from nibabel.affines import voxel_sizes
from scipy import ndimage

from bids_acc.exceptions import InputDataError
from bids_acc.images import registration
from bids_acc.images.distortion import normalised_mutual_information, undistort
from bids_acc.images.files import read_image
from bids_acc.images.masks import brain_mask
from bids_acc.images.phase import FieldMap, difference, field_hz, in_radians, unwrapped
from bids_acc.images.resampling import on_grid
from bids_acc.images.reversed_pe import shift_sizes
from bids_acc.images.used_field import FieldReport
from bids_acc.typing import BoolArray, FloatArray, Volume

AROUND_MM = 6.0
"""How far around the brain the field is unwrapped: a distorted brain lies beside its place (own
convention)."""
SMOOTHING_MM = 3.0
"""Standard deviation by which the field is smoothed: it varies slowly, its noise does not (own
convention)."""
ROUNDS = 2
"""How often the map is aligned: first to the distorted image, then to the undistorted one."""


def read_field(field_map: FieldMap) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Read a field map.

    Parameters
    ----------
    field_map : FieldMap

    Returns
    -------
    hz : (i, j, k) ndarray
        The field; continued from the brain outwards by the nearest value.
    magnitude : (i, j, k) ndarray
    affine : (4, 4) ndarray

    Raises
    ------
    InputDataError
        If an image holds nothing.
    """
    magnitude, affine = read_image(field_map.magnitude)
    magnitude = magnitude.reshape(*magnitude.shape[:3], -1)[..., 0]
    brain = brain_mask(magnitude, voxel_sizes(affine), 'the magnitude of the field map')
    # Phase without signal is noise, and unwrapping through it adds turns at random.
    inside = _grown(brain, affine, AROUND_MM) & (magnitude > 0)
    values = [_volume(path) for path in field_map.images]
    if field_map.spacing_s:
        try:
            turns = [in_radians(one) for one in values]
        except ValueError as error:
            raise InputDataError(
                f'{field_map.images[0]} {error}; it is no image of phases: convert it again.'
            ) from error
        phase = turns[0] if len(turns) == 1 else difference(turns[0], turns[1])
        hz = field_hz(unwrapped(phase, magnitude, inside), field_map.spacing_s)
    else:
        hz = np.where(inside, values[0] * field_map.factor, np.nan)
    hz = hz - np.nanmedian(hz[brain])  # the series was acquired at the head's own frequency
    return _continued(hz, affine), magnitude.astype(float), affine


def _volume(path: Path) -> FloatArray:
    """Read the first volume of an image."""
    values = read_image(path)[0]
    return values.reshape(*values.shape[:3], -1)[..., 0].astype(float)


def _grown(mask: BoolArray, affine: FloatArray, by_mm: float) -> BoolArray:
    """Grow a mask by a distance."""
    gap = ndimage.distance_transform_edt(~mask, sampling=voxel_sizes(affine))
    return np.asarray(gap <= by_mm)


def _continued(hz: FloatArray, affine: FloatArray) -> FloatArray:
    """Fill gaps with the nearest value, and smooth."""
    # The edge of the brain needs a field on either side: zero beyond it would be a step that tears
    # the image.
    gaps = ~np.isfinite(hz)
    nearest = ndimage.distance_transform_edt(
        gaps, sampling=voxel_sizes(affine), return_distances=False, return_indices=True
    )
    filled = hz[tuple(nearest)]
    return np.asarray(ndimage.gaussian_filter(filled, SMOOTHING_MM / voxel_sizes(affine)))


def measured_displacement(
    field_map: FieldMap, reference: Volume, mask: BoolArray, affine: FloatArray,
    axis: FloatArray, readout_s: float, *, seed: int = 1,
) -> tuple[FloatArray, FieldReport]:  # fmt: skip
    """Return the displacement that a field map tells of, on the grid of a series.

    The map is aligned with the series by its magnitude, rigidly. Signs of fields are told in more
    than one way: that with which the undistorted series is more like the magnitude is taken, and
    none where it is not more like it than the distorted one.

    Parameters
    ----------
    field_map : FieldMap
    reference : (i, j, k) ndarray
        Mean of the series, distorted.
    mask : (i, j, k) ndarray of bool
        Its brain.
    affine : (4, 4) ndarray
    axis : (3,) ndarray
        Unit vector of phase encoding.
    readout_s : float
        Total readout time, s.
    seed : int
        Of registration.

    Returns
    -------
    shift : (i, j, k) ndarray
        Along ``axis``, mm.
    report : FieldReport
        Its similarity is normalised mutual information.
    """
    hz, magnitude, grid = read_field(field_map)
    steps = np.asarray(affine)[:3, :3]
    along = int(np.argmax(np.abs(steps.T @ axis)))
    per_hz = readout_s * float(np.linalg.norm(steps[:, along]))
    straight, shift, best = reference, np.zeros(reference.shape), float('nan')
    before, finding = float('nan'), ''
    for _ in range(ROUNDS):
        pull = registration.rigid(straight, affine, magnitude, grid, seed=seed)
        both = np.stack([hz, magnitude], axis=-1).astype(np.float32)
        moved = on_grid(both, grid, reference.shape, affine, pull)
        field, like = moved[..., 0] * per_hz, moved[..., 1]
        before = normalised_mutual_information(reference[mask], like[mask])
        scores = {}
        for sign in (1.0, -1.0):
            tried = undistort(reference, sign * field, affine, axis)
            scores[sign] = normalised_mutual_information(tried[mask], like[mask])
        sign = max(scores, key=lambda s: scores[s])
        shift, best = sign * np.asarray(field, dtype=float), scores[sign]
        straight = undistort(reference, shift, affine, axis)
        finding = 'The field map was used with its sign reversed.' if sign < 0 else ''
    if best <= before:
        finding = 'With the field map the series is not more like its magnitude than without.'
    return shift, {
        **shift_sizes(shift, mask), 'sdc_similarity_before': before, 'sdc_similarity': best,
        'sdc_finding': finding,
    }  # fmt: skip
