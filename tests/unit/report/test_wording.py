"""Numbers and comparisons in words, where a result lies at an edge."""

from __future__ import annotations

from collections import Counter

import pandas as pd
import pytest

from bids_acc.group.cohort.processing import _counted
from bids_acc.report.wording import digits_words, finding_words


@pytest.mark.parametrize(
    ('number', 'words'),
    [(999.4, '999'), (999.6, '1000'), (-999.96, '-1000'), (1234.5, '1234'), (0.01234, '0.0123')],
)
def test_a_number_that_rounds_up_to_a_thousand_has_no_exponent(number, words):
    assert digits_words(number) == words


@pytest.mark.parametrize(('effect', 'way'), [(0.2, 'upwards'), (-0.2, 'downwards')])
def test_of_two_slopes_the_words_do_not_say_that_either_rises_or_falls(effect, way):
    row = {
        'response': 'Glx', 'term': 'group:time', 'effect_name': 'slope_difference',
        'contrast': 'drug - placebo', 'effect': effect, 'statistic': 't',
    }  # fmt: skip
    words = finding_words(pd.Series(row))
    assert words == f'Glx changes more {way} over time in drug than in placebo'


def test_one_other_way_is_one():
    ways = Counter({'a': 4, 'b': 3, 'c': 2, 'd': 1})
    assert _counted(ways) == 'a (4), b (3), c (2), 1 other'
    assert _counted(ways + Counter('e')) == 'a (4), b (3), c (2), 2 others'
