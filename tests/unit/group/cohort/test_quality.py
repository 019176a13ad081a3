"""What deviates is named before anything is analysed, and nothing is left out for it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from bids_acc.derivatives.outputs import output_spec
from bids_acc.group.cohort.quality import (
    HIGHER_IS_BETTER,
    LOWER_IS_BETTER,
    deviation_notes,
    flagged_sessions,
    modified_z,
)
from bids_acc.group.measures.files import VOXEL_QUALITY


@pytest.fixture
def people():
    return pd.DataFrame(
        {
            'participant_id': [f'sub-{n}' for n in range(6)],
            'session_id': [None] * 6,
            'site': ['a', 'a', 'a', 'b', 'b', 'b'],
        }
    )


def test_each_cohort_is_compared_with_itself(people):
    qc = people[['participant_id', 'session_id']].assign(
        dwi_scheme=['s1', 's1', 's2', 's3', 's3', None]
    )
    notes = deviation_notes(qc, people)
    assert notes == ['Diffusion protocols deviate in site a: s1 in 2 sessions, s2 in sub-2.']


def test_one_protocol_is_no_note(people):
    qc = people[['participant_id', 'session_id']].assign(dwi_scheme='s1')
    assert deviation_notes(qc, people) == []
    assert deviation_notes(None, people) == []


def test_mixed_sources_of_surfaces_are_told(people):
    qc = people[['participant_id', 'session_id']].assign(
        anat_surface_source=['freesurfer'] * 4 + ['builtin', np.nan]
    )
    (note,) = deviation_notes(qc, people.drop(columns='site'))
    assert note.startswith(
        'Surfaces come from different sources: freesurfer in 4 sessions, builtin in sub-4.'
    )
    assert '--surface-source' in note


def test_flags_and_outliers_are_listed_and_nobody_is_dropped():
    n = 20
    qc = pd.DataFrame(
        {
            'participant_id': [f'sub-{k:02}' for k in range(n)],
            'session_id': [None] * n,
            'anat_flags': [np.nan] * 19 + ['brain_ml 700 (usual: 800 to 2000)'],
            'anat_cnr': np.linspace(2.9, 3.1, n),
            'anat_converged': [True] * 19 + [False],
            'anat_voxel_max_mm': [1.0] * n,
            'dwi_fd_mean': np.linspace(0.1, 0.3, n),
        }
    )
    qc.loc[4, 'anat_cnr'] = 1.0
    qc.loc[5, 'dwi_fd_mean'] = np.nan
    found = flagged_sessions(qc)
    told = {tuple(row) for row in found[['participant_id', 'modality', 'criterion']].values}
    assert told == {
        ('sub-19', 'anat', 'usual range'), ('sub-04', 'anat', 'outlier in the cohort'),
    }  # fmt: skip
    outlier = found[found['participant_id'] == 'sub-04']['reason'].iloc[0]
    assert outlier.startswith('cnr 1 (median of the cohort 3')
    assert len(flagged_sessions(None)) == 0
    assert list(flagged_sessions(qc[:3]).columns) == list(found.columns)


@pytest.mark.parametrize(
    ('column', 'low', 'high'),
    [('anat_registration_dice_wm', True, False), ('dwi_fd_mean', False, True),
     ('mrs_f_gm', True, True)],
)  # fmt: skip
def test_better_than_all_others_is_no_reason_to_look(column, low, high):
    n = 20
    values = np.linspace(0.45, 0.55, n)
    values[3], values[7] = 0.1, 0.9
    qc = pd.DataFrame({'participant_id': [f'sub-{k:02}' for k in range(n)], 'session_id': None})
    found = set(flagged_sessions(qc.assign(**{column: values}))['participant_id'])
    assert found == {who for who, told in (('sub-03', low), ('sub-07', high)) if told}


def test_what_nobody_can_see_is_no_outlier():
    n = 20
    values = np.linspace(0.999, 1, n)
    values[3], values[7] = 0.97, 0.9
    qc = pd.DataFrame({'participant_id': [f'sub-{k:02}' for k in range(n)], 'session_id': None})
    found = flagged_sessions(qc.assign(func_coreg_dice=values))
    assert list(found['participant_id']) == ['sub-07']


def test_directions_are_those_of_columns_that_are_written():
    written = [
        f'{modality}_{column}'
        for modality, key in (
            ('anat', 'anat_qc'), ('dwi', 'dwi_qc'), ('func', 'func_qc'), ('mrs', 'mrs_quality'),
        )
        for column in output_spec(key).columns
    ] + list(VOXEL_QUALITY)  # fmt: skip
    for start in (*HIGHER_IS_BETTER, *LOWER_IS_BETTER):
        assert any(column.startswith(start) for column in written), start


def test_a_few_sessions_have_no_outliers():
    assert np.isnan(modified_z(np.array([1.0, 2, 3, 900]))[0]).all()
    score, _ = modified_z(np.append(np.arange(20.0), np.nan))
    assert np.isnan(score[-1])
    assert np.abs(score[:-1]).max() < 2


def test_a_measure_in_another_unit_is_listed_once_and_a_like_one_by_itself():
    rng = np.random.default_rng(5)
    width = rng.normal(7, 0.7, 30)
    width[4] = 14
    other = width + rng.normal(0, 0.3, 30)
    qc = pd.DataFrame(
        {
            'participant_id': [f'sub-{i:02d}' for i in range(30)], 'session_id': None,
            'mrs_fwhm_hz': width, 'mrs_fwhm_ppm': (width / 127.7).round(5),
            'mrs_fwhm_lcmodel_hz': other, 'dwi_fd_mean': width,
        }
    )  # fmt: skip
    found = flagged_sessions(qc)
    assert found['participant_id'].unique().tolist() == ['sub-04']
    assert [reason.split()[0] for reason in found['reason']] == [
        'fd_mean', 'fwhm_hz', 'fwhm_lcmodel_hz'
    ]  # fmt: skip
