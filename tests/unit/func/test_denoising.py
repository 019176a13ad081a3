"""Confounds and cleaning: nilearn's own results, real tables, and what is refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from nilearn import signal

from bids_acc.exceptions import InputDataError
from bids_acc.func import denoising
from bids_acc.func.connectivity import correlations, degrees_of_freedom, standardised
from tests.synthetic.fmriprep import TR, confound_table

BAND = (0.01, 0.1)


@pytest.mark.parametrize('share', [0.0, 0.15])
def test_one_matrix_does_what_nilearn_does(rng, share):
    n = 120
    kept = rng.random(n) >= share
    confounds = pd.DataFrame(rng.standard_normal((n, 12)).cumsum(axis=0))
    series = 100 + rng.standard_normal((n, 5)).cumsum(axis=0)
    made = denoising.make_cleaning(confounds, confounds.iloc[:, :2], kept, TR, BAND)
    mask = None if kept.all() else np.flatnonzero(kept)
    common = {'detrend': True, 'standardize': None, 't_r': TR, 'sample_mask': mask,
              'confounds': confounds.to_numpy(), 'extrapolate': False}  # fmt: skip
    filtered = signal.clean(series, high_pass=BAND[0], low_pass=BAND[1], **common)
    regressed = signal.clean(series, filter=False, **common)
    np.testing.assert_allclose(made.filtered @ series, filtered, atol=1e-9)
    np.testing.assert_allclose(made.regressed @ series, regressed, atol=1e-9)
    assert made.n_regressors == 12
    assert made.filtered.shape == (kept.sum(), n)


def test_what_is_regressed_out_is_gone(rng):
    confounds = pd.DataFrame(rng.standard_normal((100, 4)))
    made = denoising.make_cleaning(confounds, confounds.iloc[:, :1], np.ones(100, bool), TR, BAND)
    assert np.abs(made.regressed @ confounds.to_numpy()).max() < 1e-9


@pytest.mark.parametrize('n', [150, 400])
def test_degrees_of_freedom_predict_the_spread_of_null_correlations(rng, n):
    regressors = pd.DataFrame(rng.standard_normal((n, 20)))
    made = denoising.make_cleaning(regressors, regressors.iloc[:, :0], np.ones(n, bool), TR, BAND)
    series = standardised(made.filtered @ rng.standard_normal((n, 300)))
    r = correlations(series, series)[np.triu_indices(300, 1)]
    dof = degrees_of_freedom(n, made.n_regressors, BAND, TR)
    assert r.std() == pytest.approx(1 / np.sqrt(dof), rel=0.12)


@pytest.mark.parametrize(
    ('strategy', 'expected'),
    [('compcor', 12 + 10), ('compcor24', 24 + 10), ('simple', 24 + 2), ('36p', 36),
     ('compcor+gsr', 12 + 10 + 1), ('simple+gsr', 24 + 2 + 1)],
)  # fmt: skip
def test_strategies_take_what_they_say(rng, tmp_path, strategy, expected):
    table = confound_table(rng, 80)
    cosines = sum(name.startswith('cosine') for name in table)
    assert denoising.choose_regressors(_confounds(table, tmp_path), strategy).shape == (
        80, expected + cosines,
    )  # fmt: skip


def _confounds(table, folder):
    from tests.synthetic.fmriprep import components

    return denoising.Confounds(table, components(), folder / 'confounds.tsv')


@pytest.mark.parametrize(
    ('name', 'strategy', 'dummies', 'regressors'),
    [('test-v21_desc-confounds_timeseries', 'simple', 3, 27),
     ('test-v21_desc-confounds_timeseries', 'compcor', 3, 20),
     ('test_desc-confounds_regressors', 'compcor', 1, 26),
     ('no_nonsteady_desc-confounds_regressors', '36p', 0, 40)],
)  # fmt: skip
def test_tables_of_fmriprep_20_and_21(shared_data, name, strategy, dummies, regressors):
    path = shared_data / 'bold' / 'nilearn_confounds' / f'{name}.tsv'
    sidecar = path.with_suffix('.json')
    assert denoising.count_dummies(path) == dummies
    found = denoising.read_confounds(path, sidecar if sidecar.exists() else None, 30, dummies)
    chosen = denoising.choose_regressors(found, strategy)
    assert chosen.shape == (30 - dummies, regressors)
    assert np.isfinite(chosen.to_numpy()).all()


def test_another_length_is_refused(rng, tmp_path):
    path = tmp_path / 'sub-1_desc-confounds_timeseries.tsv'
    confound_table(rng, 81).to_csv(path, sep='\t', index=False, na_rep='n/a')
    with pytest.raises(InputDataError, match='has 81 rows, but the series has 80 volumes'):
        denoising.read_confounds(path, None, 80, 0)


def test_components_without_their_json_are_refused(rng, tmp_path):
    bare = denoising.Confounds(confound_table(rng, 60), {}, tmp_path / 'c.tsv')
    with pytest.raises(InputDataError, match='the JSON file beside it is missing'):
        denoising.choose_regressors(bare, 'compcor')
    assert len(denoising.choose_regressors(bare, 'simple')) == 60


def test_a_gap_is_refused_with_its_place(rng, tmp_path):
    table = confound_table(rng, 60)
    table.loc[30, 'trans_y'] = np.nan
    with pytest.raises(InputDataError, match='trans_y has no value in row 31'):
        denoising.choose_regressors(_confounds(table, tmp_path), 'compcor')


def test_a_gap_in_a_component_is_told_by_its_name_in_the_table(rng, tmp_path):
    """fMRIPrep 21 and later call those of white matter w_comp_cor_00 ..."""
    old = _confounds(confound_table(rng, 60), tmp_path)
    new = {f'a_comp_cor_{n + 10}': f'w_comp_cor_{n:02d}' for n in range(10)}
    about = {new.get(name, name): value for name, value in old.sidecar.items()}
    table = old.table.rename(columns=new)
    table.loc[4, 'w_comp_cor_02'] = np.nan
    with pytest.raises(InputDataError, match=r': w_comp_cor_02 has no value in row 5'):
        denoising.choose_regressors(denoising.Confounds(table, about, old.path), 'compcor')


def test_missing_columns_are_named_with_a_remedy(rng, tmp_path):
    table = confound_table(rng, 60).drop(columns=['csf'])
    with pytest.raises(InputDataError, match=r'simple needs columns that are not there \(csf\)'):
        denoising.choose_regressors(_confounds(table, tmp_path), 'simple')


def test_text_in_a_column_is_refused(rng, tmp_path):
    path = tmp_path / 'c.tsv'
    table = confound_table(rng, 50).astype(object)
    table.loc[3, 'rot_x'] = 'broken'
    table.to_csv(path, sep='\t', index=False, na_rep='n/a')
    with pytest.raises(InputDataError, match='the column rot_x holds something else'):
        denoising.read_confounds(path, None, 50, 0)


def test_components_are_found_whatever_their_numbers(rng, tmp_path):
    """Those of one tissue alone (an empty mask), with gaps, and in the names of fMRIPrep 21."""
    table, about = confound_table(rng, 60), _confounds(confound_table(rng, 60), tmp_path).sidecar
    chosen = [f'a_comp_cor_{n:02d}' for n in (10, 12, 13, 14, 15, 16)]
    white = {name: about[name] for name in chosen}
    only = denoising.Confounds(table, white, tmp_path / 'c.tsv')
    found = denoising.choose_regressors(only, 'compcor').filter(like='comp_cor').to_numpy()
    expected = table[chosen[:5]].to_numpy()
    np.testing.assert_allclose(found, expected - expected.mean(axis=0), atol=1e-12)
    assert denoising.lacking_tissues(only, 'compcor')[0].startswith(
        'the table has no components of CSF'
    )
    assert denoising.lacking_tissues(only, 'simple') == []
    names = {f'a_comp_cor_{n:02d}': f'{"cw"[n // 10]}_comp_cor_{n % 10:02d}' for n in range(20)}
    renamed = {names[name]: one for name, one in about.items()}
    newer = denoising.Confounds(table.rename(columns=names), renamed, tmp_path / 'c.tsv')
    older = denoising.Confounds(table, about, tmp_path / 'c.tsv')
    np.testing.assert_allclose(denoising.choose_regressors(newer, 'compcor'),
                               denoising.choose_regressors(older, 'compcor'))  # fmt: skip


@pytest.mark.parametrize('mask', ['combined', None])
def test_components_of_both_tissues_together_are_refused(rng, tmp_path, mask):
    table = confound_table(rng, 60)
    about = {name: {'Mask': mask} if mask else {} for name in table if 'comp_cor' in name}
    path = tmp_path / 'c.tsv'
    with pytest.raises(InputDataError, match='no components of white matter or of CSF alone'):
        denoising.choose_regressors(denoising.Confounds(table, about, path), 'compcor')
