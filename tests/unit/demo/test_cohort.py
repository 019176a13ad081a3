"""Who takes part and what is planted."""

import numpy as np
import pytest

from bids_acc.demo.cohort import (
    GLX_TCR,
    GROUPS,
    THICKNESS_EFFECT_MM,
    draw_cohort,
)


def test_same_seed_same_cohort_and_other_seed_another():
    assert draw_cohort(3, sessions=True, seed=7) == draw_cohort(3, sessions=True, seed=7)
    assert draw_cohort(3, sessions=False, seed=7) != draw_cohort(3, sessions=False, seed=8)


def test_groups_have_equal_size_and_both_sexes():
    cohort = draw_cohort(4, sessions=False, seed=1)
    for group in GROUPS:
        members = [p for p in cohort if p.group == group]
        assert len(members) == 4
        assert [p.sex for p in members].count('F') == 2


def test_group_means_are_those_that_truth_json_tells():
    cohort = draw_cohort(400, sessions=False, seed=2)
    for group in GROUPS:
        visits = [p.visits[0] for p in cohort if p.group == group]
        thickness = np.mean([v.thickness_mm for v in visits], axis=0)
        assert thickness == pytest.approx(THICKNESS_EFFECT_MM[group], abs=0.04)
        assert np.mean([v.glx_tcr for v in visits]) == pytest.approx(GLX_TCR[group], abs=0.02)


def test_glx_goes_with_pregenual_thickness_within_groups():
    cohort = draw_cohort(400, sessions=False, seed=3)
    visits = [p.visits[0] for p in cohort if p.group == 'HC']
    r = np.corrcoef([v.thickness_mm[1] for v in visits], [v.glx_tcr for v in visits])[0, 1]
    assert r == pytest.approx(-0.5, abs=0.1)


def test_controls_have_no_symptom_scores_and_subscales_add_up():
    for person in draw_cohort(5, sessions=True, seed=4):
        for visit in person.visits:
            c = visit.clinical
            if person.group == 'HC':
                assert set(c.values()) == {None}
            else:
                parts = c['panss_positive'], c['panss_negative'], c['panss_general']
                assert c['panss_total'] == sum(parts)
                assert parts[0] >= 7
                assert parts[2] >= 16


def test_streams_of_one_participant_differ():
    person = draw_cohort(1, sessions=False, seed=1)[0]
    assert person.generator(1).random() == person.generator(1).random()
    assert person.generator(1).random() != person.generator(2, 0).random()
