"""Where parcels lie: checked against the atlas and a point known to everybody."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest

from bids_acc.group.parcels.measures import Parcellation
from bids_acc.group.parcels.places import SECTORS, parcel_places, sector
from bids_acc.group.parcels.surface_maps import borders, surface_maps
from bids_acc.surfaces.inflated import N_VERTICES
from bids_acc.surfaces.template import load_template


def parcels(*regions: str) -> tuple[pd.DataFrame, np.ndarray]:
    """Return one parcel for each region of the atlas, on both hemispheres."""
    rows = []
    for side, mesh in load_template('10k').items():
        codes = {name: code for code, name in mesh.names.items()}
        for label, region in enumerate(regions):
            rows += [(side, v, label) for v in np.flatnonzero(mesh.labels == codes[region])]
    table = pd.DataFrame(rows, columns=['hemisphere', 'vertex', 'label'])
    return table[['hemisphere', 'vertex']], table['label'].to_numpy()


def test_caudal_is_dorsal_and_rostral_in_front_and_others_have_no_word() -> None:
    columns, labels = parcels('caudalanteriorcingulate', 'rostralanteriorcingulate', 'insula')
    found = parcel_places(columns, labels, N_VERTICES)
    assert [found[n].words for n in (1, 2, 3)] == ['dorsal', 'perigenual', '']
    assert found[1].regions_in_words == 'caudal anterior cingulate 100%'
    left, right = found[1].centre['L'], found[1].centre['R']
    assert left[0] < 0 < right[0]
    assert left[1:] == pytest.approx(right[1:], abs=4), 'the template is symmetric'


def test_sectors_cover_every_direction_once() -> None:
    ends = sorted(SECTORS.values())
    assert (ends[0][0], ends[-1][1]) == (-180, 180)
    assert all(a[1] == b[0] for a, b in itertools.pairwise(ends))
    assert sector(27, -30) == 'subgenual'
    assert sector(-10, 5) == 'dorsal'


def test_a_mesh_that_is_not_the_templates_has_no_places() -> None:
    columns = pd.DataFrame({'hemisphere': ['L'], 'vertex': [0]})
    assert parcel_places(columns, np.array([0]), 642) == {}


def test_maps_hold_labels_weights_and_confidence_where_they_belong() -> None:
    columns, labels = parcels('caudalanteriorcingulate', 'rostralanteriorcingulate')
    labels = labels.copy()
    labels[0] = -1
    weights = np.eye(2)[np.maximum(labels, 0)] * 4.0
    one = Parcellation('', weights, labels, columns, {}, confidence=np.full(len(labels), 0.75))
    keys, weight, sure = surface_maps(one, parcel_places(columns, labels, N_VERTICES))
    assert [name for name, _ in keys.labels] == ['parcel 1 (dorsal)', 'parcel 2 (perigenual)']
    for side in 'LR':
        own = (columns['hemisphere'] == side).to_numpy()
        where = columns.loc[own, 'vertex'].to_numpy()
        known = labels[own] >= 0
        assert np.array_equal(keys.shown(side)[where][known], labels[own][known])
        assert np.isnan(keys.shown(side)[where][~known]).all()
        assert np.allclose(weight.shown(side)[where][known], 1)
        assert np.allclose(sure.shown(side)[where], 0.75)
        outside = np.setdiff1d(np.arange(N_VERTICES), where)
        assert np.isnan(keys.shown(side)[outside]).all()
        assert np.array_equal(borders(one)[side][where][known], labels[own][known] + 1)
