"""How the number of parcels is told to people who do not factorize matrices."""

from __future__ import annotations

import pandas as pd
import pytest

from bids_acc.group.opnmf.choice import THRESHOLD, choose_k
from bids_acc.group.opnmf.rank import RankCurves
from bids_acc.group.page.parcels import choice_in_words

JARGON = ('admissible', 'factoriz', 'second difference', 'null', 'gradient', 'elbow', 'k =')


def curves(stability: list[float], error: list[float]) -> RankCurves:
    table = pd.DataFrame({'k': [2, 3, 4, 5, 6], 'stability': stability, 'variation_error': error})
    return RankCurves(pd.DataFrame(), table)


CLEAR = curves([0.95, 0.93, 0.91, 0.6, 0.55], [10.0, 7.0, 4.0, 3.8, 3.6])
UNSTABLE = curves([0.5, 0.45, 0.4, 0.3, 0.2], [10.0, 9.0, 8.0, 7.0, 6.0])
TORN = curves([0.95, 0.94, 0.93, 0.92, 0.6], [10.0, 4.0, 3.9, 3.8, 3.7])


def told(one: RankCurves, **options) -> str:
    choice = choose_k({'': one.curves}, **options)
    rule = options.get('rule', 'variation')
    return ' '.join(choice_in_words(choice, {'': one}, rule, THRESHOLD))


@pytest.mark.parametrize('rule', ['variation', 'stability', 'published'])
def test_a_clear_number_is_told_with_its_agreement_and_without_jargon(rule):
    text = told(CLEAR, rule=rule)
    assert '0.93 with 3, 0.91 with 4, 0.60 with 5 parcels' in text
    assert not [word for word in JARGON if word in text.lower()]
    assert 'may look otherwise' not in text
    assert 'neighbouring' not in text


def test_what_is_not_sure_is_said():
    assert 'No number of parcels passed' in told(UNSTABLE)
    assert 'neighbouring number' in told(TORN)
    text = told(CLEAR, override=6)
    assert 'Here 6 parcels were asked for; the rule would take 4' in text
    assert 'do not agree enough' in text
    alone = choose_k({})
    assert 'too small' in choice_in_words(alone, {}, 'variation', THRESHOLD)[0]


def test_each_cohort_has_its_own_agreement():
    both = {'Tokyo': CLEAR, 'Toronto': TORN}
    choice = choose_k({name: one.curves for name, one in both.items()})
    text = ' '.join(choice_in_words(choice, both, 'variation', THRESHOLD))
    assert 'in every cohort' in text
    assert 'halves in Toronto: 0.95 with 2' in text
