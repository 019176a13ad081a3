"""The field of susceptibility from two images of reversed phase encoding, without FSL."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from nibabel.affines import voxel_sizes

from bids_acc.images import registration
from bids_acc.images.affines import apply_matrix, voxel_centres
from bids_acc.images.distortion import correlation, field_from_pair, undistort
from bids_acc.images.masks import brain_mask
from bids_acc.images.motion import displacement
from bids_acc.images.resampling import sample
from bids_acc.images.used_field import FieldReport, PairReport, ShiftSizes
from bids_acc.typing import BoolArray, FloatArray, Volume

FAR_APART_MM = 2.0
"""Movement between images of reversed phase encoding beyond which a finding says so: on the
benchmark's phantom 4 mm and 4 degrees left a slowly varying error in the field, which a small
rotation and a shear along the phase encoding share."""


def best_sign(
    shift: FloatArray, image: Volume, reversed_pe: Volume, affine: FloatArray, axis: FloatArray,
    ratio: float = 1.0,
) -> tuple[FloatArray, FieldReport]:  # fmt: skip
    """Take the sign of a field with which images of reversed phase encoding agree.

    Parameters
    ----------
    shift : (i, j, k) ndarray
        Displacement along ``axis``, mm.
    image, reversed_pe : (i, j, k) ndarray
        On one grid.
    affine : (4, 4) ndarray
    axis : (3,) ndarray
        Phase encoding of ``image``.
    ratio : float
        Readout time of the reversed image, relative to the first one's.

    Returns
    -------
    shift : (i, j, k) ndarray
        Of either sign, mm.
    measures : FieldReport
    """
    mask = brain_mask(image, voxel_sizes(affine))
    before = correlation(image[mask], reversed_pe[mask])
    scores = {}
    for sign in (1.0, -1.0):
        one = undistort(image, sign * shift, affine, axis)
        two = undistort(reversed_pe, sign * ratio * shift, affine, -axis)
        scores[sign] = correlation(one[mask], two[mask])
    sign = 1.0 if scores[1.0] >= scores[-1.0] else -1.0
    finding = ''
    if scores[sign] <= before:
        finding = 'The field does not make the images of reversed phase encoding agree.'
    elif sign < 0:
        finding = "The field was used with its sign reversed, as the images' fit told."
    return sign * shift, {
        **shift_sizes(shift, mask),
        'sdc_similarity_before': before,
        'sdc_similarity': scores[sign],
        'sdc_finding': finding,
    }


def shift_sizes(shift: Volume, mask: BoolArray) -> ShiftSizes:
    """Return how far the brain's signal is displaced, for the table of quality.

    Parameters
    ----------
    shift : (i, j, k) ndarray
        Displacement along the phase encoding, mm, of either sign.
    mask : (i, j, k) ndarray of bool
        Brain; not empty.

    Returns
    -------
    dict of float
        ``sdc_shift_mean`` and ``sdc_shift_p95`` (95th percentile) of its absolute value, mm.
    """
    inside = np.abs(np.asarray(shift)[mask])
    return {
        'sdc_shift_mean': float(inside.mean()),
        'sdc_shift_p95': float(np.percentile(inside, 95)),
    }


@dataclass(frozen=True)
class ReversedPair:
    """Two images of reversed phase encoding, between which the head may have moved.

    Field and rigid alignment are estimated in turn, from two starts (no movement, and the
    alignment of the distorted images), of which the one is taken with which the undistorted images
    agree better. What no such pair can tell is an offset of the field from a movement along the
    phase encoding, so that the undistorted head may be shifted as a whole; the alignment with the
    T1w image takes that away.
    """

    image: Volume
    reversed_pe: Volume
    mask: BoolArray
    affine: FloatArray
    axis: FloatArray
    ratio: float
    seed: int

    def displacement(self) -> tuple[FloatArray, PairReport]:
        """Return the displacement along the axis, mm, and what is to be said of it."""
        starts = [self.field(np.eye(4)), self.field(self.aligned(self.image, self.reversed_pe))]
        _, shift, moved = max(starts, key=lambda found: found[0])
        moved = self.realigned(shift, moved)
        _, shift, moved = self.field(moved)
        shift, measures = best_sign(
            shift, self.image, self.seen_at(moved), self.affine, self.axis, self.ratio
        )
        gap = float(displacement([moved], voxel_centres(self.mask, self.affine))[0])
        finding = measures['sdc_finding']
        if gap > FAR_APART_MM:
            finding = (
                f'{finding} The head moved by {gap:.1f} mm between the images of reversed phase '
                'encoding; the field may hold part of that movement.'
            ).strip()
        return shift, {**measures, 'sdc_moved': gap, 'sdc_finding': finding}

    def seen_at(self, moved: FloatArray) -> Volume:
        """Return the reversed image where the head was in the first one.

        Parameters
        ----------
        moved : (4, 4) ndarray
            Rigid affine from the first image to the reversed one, scanner RAS in mm.

        Returns
        -------
        (i, j, k) ndarray
            Resampled onto the grid of the first image; 0 outside the field of view.
        """
        if np.array_equal(moved, np.eye(4)):
            return self.reversed_pe
        centres = voxel_centres(np.ones(self.image.shape, dtype=bool), self.affine)
        values = sample(self.reversed_pe, self.affine, apply_matrix(moved, centres))
        return np.nan_to_num(values).reshape(self.image.shape)

    def field(self, moved: FloatArray) -> tuple[float, FloatArray, FloatArray]:
        """Estimate the field for a given movement, and how well it fits.

        Parameters
        ----------
        moved : (4, 4) ndarray
            Rigid affine from the first image to the reversed one, scanner RAS in mm.

        Returns
        -------
        likeness : float
            Correlation of both images without distortion, inside the brain.
        shift : (i, j, k) ndarray
            Displacement along ``axis``, mm.
        moved : (4, 4) ndarray
            As given.
        """
        other = self.seen_at(moved)
        shift = field_from_pair(self.image, other, self.mask, self.affine, self.axis, self.ratio)
        one, two = self.undistorted(shift, other)
        return correlation(one[self.mask], two[self.mask]), shift, moved

    def undistorted(self, shift: FloatArray, other: Volume) -> tuple[FloatArray, FloatArray]:
        """Return both images without the distortion that a field causes.

        Parameters
        ----------
        shift : (i, j, k) ndarray
            Displacement along ``axis`` in the first image, mm; in the reversed one it is ``ratio``
            times as large, the other way.
        other : (i, j, k) ndarray
            Reversed image as of `seen_at`.

        Returns
        -------
        one, two : (i, j, k) ndarray
            First and reversed image, with their intensities corrected for what was piled up.
        """
        return (
            undistort(self.image, shift, self.affine, self.axis),
            undistort(other, self.ratio * shift, self.affine, -self.axis),
        )

    def realigned(self, shift: FloatArray, moved: FloatArray) -> FloatArray:
        """Correct a movement by what is left of it in the undistorted images.

        Parameters
        ----------
        shift : (i, j, k) ndarray
            Displacement along ``axis``, mm.
        moved : (4, 4) ndarray
            Rigid affine from the first image to the reversed one, with which ``shift`` was
            estimated.

        Returns
        -------
        (4, 4) ndarray
            The corrected affine.
        """
        return moved @ self.aligned(*self.undistorted(shift, self.seen_at(moved)))

    def aligned(self, one: Volume, two: Volume) -> FloatArray:
        """Register one image to another, rigidly.

        Parameters
        ----------
        one, two : (i, j, k) ndarray
            Both on the grid of the pair.

        Returns
        -------
        (4, 4) ndarray
            From a point of ``one`` to the same place of the head in ``two``, scanner RAS in mm.
        """
        return registration.rigid(one, self.affine, two, self.affine, sampling=1.0, seed=self.seed)
