"""Images as strangers hand them in are read as the plain one."""

from __future__ import annotations

from pathlib import Path

import nibabel as nb
import numpy as np
import pytest

from bids_acc.anat.interfaces import load_t1w
from bids_acc.exceptions import InputDataError
from bids_acc.images.volumes import close_gaps, is_skull_stripped
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


def test_forms_that_differ_in_the_size_of_a_voxel_are_refused(tmp_path: Path, head: Head) -> None:
    """One of them makes another brain of it; a shift or turn is measured only."""
    path = tmp_path / 'T1w.nii.gz'
    wrong_sform(head).image().to_filename(path)
    assert load_t1w(path)[2] > 20
    unit_sform(head).image().to_filename(path)
    with pytest.raises(InputDataError, match=r'1.00 x 1.00 x 1.00 mm by sform and 3.00 x'):
        load_t1w(path)
