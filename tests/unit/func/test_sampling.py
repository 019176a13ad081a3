"""Where a run's voxels lie in the template."""

from __future__ import annotations

import numpy as np
import pytest

from bids_acc.exceptions import InputDataError
from bids_acc.func.regions import Region, members_of_spheres
from bids_acc.func.sampling import RunSeries, places_in_template, read_surface_run
from bids_acc.surfaces.gifti import map_image


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


@pytest.mark.parametrize(
    ('fault', 'words'),
    [('exchanged', 'hemi-L_.*func.gii stands for hemisphere L, but .* of CortexRight'),
     ('same', 'hold the same values')],
)  # fmt: skip
def test_hemispheres_that_are_not_what_they_stand_for(tmp_path, rng, fault, words):
    halves = [rng.normal(100, 1, (4, 10242)).astype(np.float32) for _ in 'LR']
    paths = [tmp_path / f'sub-01_hemi-{side}_space-fsaverage5_bold.func.gii' for side in 'LR']
    volumes = [f'volume {n}' for n in range(4)]
    for path, values, side in zip(paths, halves, 'RL' if fault == 'exchanged' else 'LR',
                                  strict=True):  # fmt: skip
        one = halves[0] if fault == 'same' else values
        path.write_bytes(map_image(one, side, volumes).to_bytes())
    with pytest.raises(InputDataError, match=words):
        read_surface_run(paths, 0, '10k')


def test_coverage_does_not_depend_on_where_a_coarse_grid_falls():
    """Of a sphere of 5 mm one to four voxels of 5 mm have their centres inside."""
    region = Region('r', 'seed', spheres=((0.0, 0.0, 0.0, 5.0),))
    grid = 5.0 * np.stack(np.meshgrid(*[np.arange(-6, 7)] * 3), axis=-1).reshape(-1, 3)
    for shift in ((0, 0, 0), (2.5, 0, 0), (2.5, 2.5, 2.5), (1, 2, 0.5)):
        places = grid + shift
        whole = members_of_spheres([region], places, np.ones(len(places), bool), 125.0)
        assert whole.coverage == (1.0,)
        left = members_of_spheres([region], places, places[:, 0] <= shift[0] - 2.5, 125.0)
        assert left.coverage[0] < 0.6
