"""Where a run's voxels lie in the template."""

from __future__ import annotations

import numpy as np

from bids_acc.func.sampling import RunSeries, places_in_template


def test_places_in_the_template_follow_an_affine_that_stands_before_a_warp(tmp_path):
    """ANTsPy inverts such an affine unless told not to."""
    import ants

    shift = np.array([3.0, 20.0, -15.0])  # RAS, T1w to template
    affine = ants.create_ants_transform(
        transform_type='AffineTransform', dimension=3, translation=(shift * [-1, -1, 1]).tolist()
    )
    ants.write_transform(affine, str(tmp_path / 'affine.mat'))
    warp = ants.from_numpy(
        np.zeros((8, 8, 8, 3), np.float32), has_components=True, spacing=[30.0] * 3
    )
    ants.image_write(warp, str(tmp_path / 'warp.nii.gz'))
    inside = np.zeros((2, 2, 2), dtype=bool)
    inside[0, 0, 0] = inside[1, 1, 0] = True
    series = RunSeries(
        np.zeros((5, 2), np.float32), 1, inside=inside, affine=np.diag([2.0, 2, 2, 1])
    )
    transforms = [tmp_path / 'affine.mat', tmp_path / 'warp.nii.gz']
    found = places_in_template(series, transforms, '10k')
    np.testing.assert_allclose(found, [shift, np.add(shift, [2, 2, 0])], atol=1e-4)
