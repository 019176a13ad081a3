"""Images as strangers hand them in are read as the plain one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import nibabel as nb
import numpy as np
import pytest

from bids_acc.anat.interfaces import load_t1w
from bids_acc.exceptions import InputDataError
from bids_acc.images.volumes import close_gaps, is_skull_stripped, shifted_to_zero
from tests.synthetic.strange_heads import (
    Head,
    nan_border,
    one_volume,
    stripped,
    turned_axes,
    unit_sform,
    wrong_sform,
)


@pytest.fixture
def head(rng: np.random.Generator) -> Head:
    """Return an ellipsoid of brain in a shell of dark bone and bright scalp."""
    affine = np.diag([3.0, 3, 3, 1])
    affine[:3, 3] = (-90, -110, -80)
    x, y, z = (np.indices((60, 74, 56)) - np.reshape([29, 36, 28], (3, 1, 1, 1))) * 3.0
    radius = np.sqrt((x / 66) ** 2 + (y / 82) ** 2 + (z / 60) ** 2)
    data = np.select([radius < 1, radius < 1.1, radius < 1.25], [700.0, 60.0, 800.0], 10.0)
    return Head(data + rng.normal(0, 5, data.shape), affine, radius < 1)


@pytest.mark.parametrize('axes', ['RAS', 'LPS', 'PIR', 'ASL'])
def test_axes_of_any_order_are_turned_with_the_brain(
    tmp_path: Path, head: Head, axes: str
) -> None:
    path = tmp_path / 'T1w.nii.gz'
    one_volume(turned_axes(head, axes)).image().to_filename(path)
    data, affine, _ = load_t1w(path)
    assert nb.aff2axcodes(affine) == ('R', 'A', 'S')
    np.testing.assert_allclose(data, head.data, rtol=1e-5)
    np.testing.assert_allclose(affine, head.affine)


def test_borders_and_background_of_nan_are_air(head: Head) -> None:
    data, share = close_gaps(nan_border(head).data)
    assert share == 0
    assert not data[0].any()
    alone, share = close_gaps(stripped(head, np.nan).data)
    assert share == 0
    assert is_skull_stripped(alone, (3, 3, 3))
    assert not is_skull_stripped(head.data, (3, 3, 3))


@pytest.mark.parametrize(('slope', 'offset'), [(1.0, -300.0), (1 / 800, -0.5), (1 / 200, -2.0)])
def test_intensities_below_zero_are_shifted(
    tmp_path: Path, head: Head, slope: float, offset: float
) -> None:
    """Air far below zero, a uniform image from -0.5 to 0.5, a standardised one."""
    path = tmp_path / 'T1w.nii.gz'
    replace(head, data=head.data * slope + offset).image().to_filename(path)
    data = load_t1w(path)[0] / slope
    assert data.min() == 0
    assert np.median(data[head.mask]) == pytest.approx(700, abs=15)
    assert not is_skull_stripped(data, (3, 3, 3))


def test_standardised_brain_alone_keeps_its_dark_tissues(tmp_path: Path, head: Head) -> None:
    """Zero is the background there, and the mean of the brain."""
    path = tmp_path / 'T1w.nii.gz'
    below = np.indices(head.data.shape)[0] < 29  # half of the brain lies below its mean
    brain = np.where(below, -1.5, 1.0) + (head.data - 700) / 100
    replace(head, data=np.where(head.mask, brain, 0)).image().to_filename(path)
    data = load_t1w(path)[0]
    np.testing.assert_array_equal(data > 0, head.mask)
    assert is_skull_stripped(data, (3, 3, 3))


@pytest.mark.parametrize('dtype', [np.uint16, np.float32])
@pytest.mark.parametrize('air', ['noise', 'clean'])
def test_intensities_that_begin_far_above_zero_are_shifted(
    tmp_path: Path, head: Head, dtype: type, air: str
) -> None:
    """Signed numbers that were written as unsigned ones have an offset of 32768."""
    path = tmp_path / 'T1w.nii.gz'
    plain = np.where(head.data < 30, 0, head.data) if air == 'clean' else head.data
    replace(head, data=(plain + 32768).astype(dtype)).image().to_filename(path)
    data = load_t1w(path)[0]
    assert data.min() == 0
    assert np.median(data[head.mask]) == pytest.approx(700, abs=15)


@pytest.mark.parametrize(('outside', 'slope'), [(-1.0, 1.0), (-1.0, 1e-3), (100.0, 1.0)])
def test_background_of_any_one_value_is_empty(
    tmp_path: Path, head: Head, outside: float, slope: float
) -> None:
    path = tmp_path / 'T1w.nii.gz'
    alone = stripped(replace(head, data=head.data * slope), outside)
    alone.image().to_filename(path)
    data = load_t1w(path)[0]
    np.testing.assert_array_equal(data > 0, head.mask)
    np.testing.assert_allclose(data[head.mask], head.data[head.mask] * slope, rtol=1e-5)
    assert is_skull_stripped(data, (3, 3, 3))


def test_what_lies_above_zero_stays_as_it_is(head: Head) -> None:
    """Also where interpolation undershoots a little."""
    below = np.where(head.data < 20, head.data - 10, head.data)
    below = np.maximum(below, -6)
    for values in (np.maximum(head.data, 0), below):
        np.testing.assert_array_equal(shifted_to_zero(values), np.float32(values))


def test_forms_that_differ_in_the_size_of_a_voxel_are_refused(tmp_path: Path, head: Head) -> None:
    """One of them makes another brain of it; a shift or turn is measured only."""
    path = tmp_path / 'T1w.nii.gz'
    wrong_sform(head).image().to_filename(path)
    assert load_t1w(path)[2] > 20
    unit_sform(head).image().to_filename(path)
    with pytest.raises(InputDataError, match=r'1.00 x 1.00 x 1.00 mm by sform and 3.00 x'):
        load_t1w(path)
