"""Seeds of the package stand where their sources say."""

from __future__ import annotations

import warnings

from nilearn.datasets import fetch_coords_dosenbach_2010

from bids_acc.func.regions import seed_regions


def test_dorsal_cingulate_is_that_of_dosenbach():
    with warnings.catch_warnings(action='ignore'):
        atlas = fetch_coords_dosenbach_2010()
    labels = [str(label) for label in atlas.labels]
    wanted = tuple(float(v) for v in atlas.rois[['x', 'y', 'z']].iloc[labels.index('dACC 27')])
    (seed,) = (region for region in seed_regions() if region.name == 'dACC')
    assert [sphere[:3] for sphere in seed.spheres] == [wanted]


def test_every_seed_has_a_source():
    assert all(region.source for region in seed_regions())
