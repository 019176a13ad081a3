"""Displacement along the phase-encoding axis."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bids_acc.exceptions import MetadataError
from bids_acc.images.distortion import apply_warp, check_readout, readout_time


def test_warp_moves_along_its_axis_and_keeps_the_amount_of_signal():
    field = 0.1 * np.indices((11, 11, 11))[1].astype(float)
    moved, factor = apply_warp(field, np.eye(4), [[5.0, 6.0, 5.0]], [0, 1, 0])
    np.testing.assert_allclose(moved, [[5, 6.6, 5]], atol=1e-6)
    np.testing.assert_allclose(factor, [1.1], atol=1e-6)


@pytest.mark.parametrize(
    ('sidecar', 'expected'),
    [
        ({'TotalReadoutTime': 0.05}, 0.05),
        ({'TotalReadoutTime': '0.05'}, 0.05),
        ({'TotalReadoutTime': 'n/a', 'EffectiveEchoSpacing': 0.0005}, 0.05),
        ({'TotalReadoutTime': 0, 'EffectiveEchoSpacing': 0.0005, 'ReconMatrixPE': 201}, 0.1),
        ({'TotalReadoutTime': None, 'EffectiveEchoSpacing': []}, math.nan),
        ({}, math.nan),
        ({'EstimatedTotalReadoutTime': 0.04, 'EffectiveEchoSpacing': 0.0005}, 0.05),
        ({'EstimatedEffectiveEchoSpacing': 0.0004}, 0.04),
        # 434.2 Hz between water and fat at 3 T
        ({'WaterFatShift': 21.71, 'MagneticFieldStrength': 3}, 0.05),
        ({'WaterFatShift': 21.71}, math.nan),
        ({'TotalReadoutTime': True}, math.nan),
    ],
)
def test_readout_time_is_a_number_or_unknown(sidecar, expected):
    assert readout_time(sidecar, 101) == pytest.approx(expected, rel=1e-3, nan_ok=True)


def test_a_readout_in_milliseconds_is_refused():
    for known in (0.05, math.nan):
        check_readout(known, 'dwi.nii.gz')
    with pytest.raises(MetadataError, match='not milliseconds'):
        check_readout(readout_time({'EffectiveEchoSpacing': 0.5}, 101), 'dwi.nii.gz')
    with pytest.raises(MetadataError, match='the time of all lines in seconds'):
        check_readout(5e-5, 'dwi.nii.gz')
