"""Tables of numbers as other programs and hands leave them."""

from __future__ import annotations

import numpy as np
import pytest

from bids_acc.files.reading import number_table

EXPECTED = [[0.0, 1000.0, -0.5]]


@pytest.mark.parametrize(
    'content',
    [
        b'0 1000 -0.5\n',
        b'0\t1000\t-0.5\r\n\r\n',
        b'0, 1000, -0.5',
        b'0,1000,-0.5,\n',
        b'0;1000; -0.5',
        b'\xef\xbb\xbf0 1000 -0.5',
        '0 1000 -0.5'.encode('utf-16'),
        '0 1000 \N{MINUS SIGN}0.5'.encode(),
        b'# b-values\n0 1000 -0.5  # of the first run',
        b'0 1e3 -5E-1',
    ],
)
def test_the_same_numbers_come_out(content):
    np.testing.assert_array_equal(number_table(content), EXPECTED)


@pytest.mark.parametrize(
    ('content', 'words'),
    [
        (b'0,5 1000,0', 'commas within numbers'),
        (b'0,5;1000,0', 'commas within numbers'),
        (b'0 1\n0', 'rows of different lengths'),
        (b'0 n/a', 'could not convert'),
        (b'0 one', 'could not convert'),
    ],
)
def test_what_is_not_understood_is_not_guessed(content, words):
    with pytest.raises(ValueError, match=words):
        number_table(content)


def test_missing_values_stay_missing():
    assert np.isnan(number_table(b'0 nan')).tolist() == [[False, True]]
