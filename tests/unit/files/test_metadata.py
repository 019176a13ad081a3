"""Numbers of sidecars, as converters and hands write them."""

from __future__ import annotations

import math

import pytest

from bids_acc.dwi.interfaces.series import is_partial
from bids_acc.files.metadata import first_number


@pytest.mark.parametrize(
    ('value', 'number'),
    [(0.035, 0.035), ('0.035', 0.035), ([127.75, 1], 127.75), ((3,), 3.0), (10**3, 1000.0)],
)
def test_the_first_number_counts(value, number):
    assert first_number(value) == number


@pytest.mark.parametrize(
    'value', [None, '', 'n/a', [], {}, True, [None], float('inf'), 'inf', 10**400, object()]
)
def test_what_is_no_finite_number_is_nan(value):
    assert math.isnan(first_number(value))


@pytest.mark.parametrize(
    ('told', 'partial'),
    [(0.75, True), ('6/8', True), ('0.875', True), (1, False), (1.0, False), ('8/8', False),
     (None, False), ('', False), ('off', False), ('6/0', False), ([0.75], False)],
)  # fmt: skip
def test_part_of_k_space_is_told_by_share_or_fraction(told, partial):
    assert is_partial({'PartialFourier': told}) is partial
