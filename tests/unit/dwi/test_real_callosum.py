"""A real series as it is: nothing irregular is claimed, and the callosum is found.

OpenNeuro ds000114 (CC0), 4 mm, 7 volumes of b = 0 and 13 of b = 1000. Another way to these data,
FA registered to a template, gave .37 in the core of the genu and .52 in that of the splenium.
"""

from __future__ import annotations

import numpy as np
import pytest
from nibabel.affines import voxel_sizes
from scipy import ndimage

from bids_acc.dwi.coherence import check_axes
from bids_acc.dwi.order import check_order
from bids_acc.dwi.series import Series, join_runs
from bids_acc.dwi.tensor import TensorFit, fit_tensor, scalar_maps
from bids_acc.images.masks import brain_mask


@pytest.fixture(scope='module')
def series(shared_data) -> Series:
    """Return the series with its table."""
    stem = shared_data / 'dwi-ds000114/sub-01/ses-test/dwi/sub-01_ses-test_dwi'
    files = [stem.with_name(stem.name + end) for end in ('.nii.gz', '.bval', '.bvec')]
    if not files[0].exists():
        pytest.skip(f'no series at {stem.parent}')
    return join_runs(*([path] for path in files), [{'PhaseEncodingDirection': 'j'}])


@pytest.fixture(scope='module')
def brain(series) -> np.ndarray:
    """Return the brain of the first volume."""
    return brain_mask(series.data[..., 0], voxel_sizes(series.affine))


@pytest.fixture(scope='module')
def fit(series, brain) -> TensorFit:
    """Return the tensors of the brain, volumes as they were acquired."""
    table = series.gradients
    return fit_tensor(series.data[brain], table.bvals, table.directions)


def test_nothing_irregular_is_claimed(series):
    assert series.findings == ()
    assert series.data.shape[3] == series.n_expected == 20
    assert abs(series.drift) < 0.05


def test_order_and_axes_are_believed(series, brain, fit):
    table = series.gradients
    order = check_order(series.data[brain], table.bvals, table.directions, table.runs)
    assert order.best == 'given'
    assert order.gain < 0.95
    fa = np.full(brain.shape, np.nan)
    fa[brain] = scalar_maps(fit)['fa']
    first = np.zeros((*brain.shape, 3))
    first[brain] = fit.evecs[:, :, 0]
    assert not check_axes(first, fa, series.affine).suspicious


def test_genu_and_splenium_have_the_anisotropy_of_their_voxels(series, brain, fit):
    maps = {name: np.full(brain.shape, np.nan) for name in ('fa', 'md')}
    for name, values in maps.items():
        values[brain] = scalar_maps(fit)[name]
    sideways = np.zeros(brain.shape)
    sideways[brain] = np.abs(fit.evecs[:, 0, 0])
    middle = round(float(np.argwhere(brain)[:, 0].mean()))
    fibres = (maps['fa'] > 0.2) & (sideways > 0.65)
    fibres[: middle - 1] = fibres[middle + 2 :] = False
    parts = ndimage.label(fibres, np.ones((3, 3, 3)))[0]
    callosum = parts == 1 + np.bincount(parts.ravel())[1:].argmax()
    front = np.argwhere(callosum)[:, 1]
    fifth = (front.max() - front.min()) // 5
    ends = {'splenium': front <= front.min() + fifth, 'genu': front >= front.max() - fifth}
    found = {name: [float(maps[m][callosum][end].mean()) for m in ('fa', 'md')]
             for name, end in ends.items()}  # fmt: skip
    print(', '.join(f'{n}: FA {fa:.2f}, MD {1e3 * md:.2f}e-3' for n, (fa, md) in found.items()))
    assert 60 < 4 * np.ptp(front) < 110  # mm from end to end
    assert found['splenium'][0] == pytest.approx(0.52, abs=0.06)
    assert found['genu'][0] == pytest.approx(0.41, abs=0.06)
    assert all(0.6e-3 < md < 1.3e-3 for _, md in found.values())
