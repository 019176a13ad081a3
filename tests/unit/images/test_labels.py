"""Labels between voxels."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from bids_acc.images.labels import sum_labels


@pytest.fixture
def labels() -> np.ndarray:
    """Three boxes in a volume of 20 x 18 x 16."""
    codes = np.zeros((20, 18, 16), dtype=np.int64)
    codes[3:9, 3:12, 4:10] = 2
    codes[9:15, 3:12, 4:10] = 7
    codes[3:9, 12:15, 4:10] = 3
    return codes


def test_each_label_is_interpolated_as_an_image_of_its_own(labels):
    rng = np.random.default_rng(0)
    points = rng.uniform(-2, 20, size=(5000, 3))
    field = rng.uniform(size=5000)
    found = sum_labels(labels, np.eye(4), points, [field])
    for code in (2, 3, 7):
        share = ndimage.map_coordinates((labels == code).astype(float), points.T, order=1,
                                        mode='grid-constant')  # fmt: skip
        assert found.amount[code] == pytest.approx(share.sum())
        assert found.weighted[0, code] == pytest.approx((share * field).sum())
    assert found.amount.sum() == pytest.approx(5000)


def test_volume_does_not_depend_on_the_grid(labels):
    affine = np.diag([1.5, 1.5, 1.5, 1])
    for step in (0.5, 1.0):
        axes = [np.arange(-2, n * 1.5 + 2, step) for n in labels.shape]
        points = np.stack(np.meshgrid(*axes, indexing='ij'), axis=-1).reshape(-1, 3)
        found = sum_labels(labels, affine, points)
        assert found.amount[7] * step**3 == pytest.approx((labels == 7).sum() * 1.5**3, rel=0.02)


def test_the_largest_share_and_what_lies_nowhere(labels):
    points = [[8.4, 5, 5], [8.6, 5, 5], [np.nan] * 3, [500, 0, 0], [5, 11.4, 6]]
    found = sum_labels(labels, np.eye(4), points)
    assert found.nearest.tolist() == [2, 7, 0, 0, 2]
