"""Alignment of a series' reference with the T1w image of the same person."""

from __future__ import annotations

from pathlib import Path

import nibabel as nb
import numpy as np
import pytest

from bids_acc.images.registration import BrainPair


def _head(shift_mm: float) -> tuple[np.ndarray, np.ndarray]:
    """Draw a brain of unequal axes with a dark ventricle, and a bright scalp around it."""
    x, y, z = np.indices((36, 36, 36)) * 4.0 - 70.0
    x = x - shift_mm
    radius = np.sqrt((x / 40) ** 2 + (y / 52) ** 2 + (z / 45) ** 2)
    ventricle = np.sqrt(((x - 6) / 12) ** 2 + ((y + 9) / 16) ** 2 + (z / 10) ** 2) < 1
    brain = radius < 1
    image = 100.0 * brain - 60.0 * (brain & ventricle) + 300.0 * ((radius > 1.1) & (radius < 1.2))
    return image.astype('f4'), brain


def test_two_brains_are_laid_upon_each_other_whatever_their_scalps_do(tmp_path: Path) -> None:
    affine = np.array([[4.0, 0, 0, -70], [0, 4, 0, -70], [0, 0, 4, -70], [0, 0, 0, 1]])
    paths = []
    for name, shift in (('bold', 0.0), ('t1w', 8.0)):
        image, brain = _head(shift)
        if name == 'bold':
            image[:, :, :9] = 500  # what lies outside the brain is no part of the alignment
            image[~brain & (image < 500)] = 0
            image[brain] = 200 - image[brain]  # another contrast
        for kind, values in (('image', image), ('mask', brain.astype('u1'))):
            paths.append(str(tmp_path / f'{name}_{kind}.nii.gz'))
            nb.Nifti1Image(values, affine).to_filename(paths[-1])
    pair = BrainPair.read(*paths)
    matrix = pair.align(seed=1)
    assert matrix[:3, 3] == pytest.approx([8, 0, 0], abs=0.5)
    assert matrix[:3, :3] == pytest.approx(np.eye(3), abs=0.02)
    assert pair.overlap(np.eye(4)) < 0.92 < 0.97 < pair.overlap(matrix)
