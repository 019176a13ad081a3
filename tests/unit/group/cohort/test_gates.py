"""Gates of a model: planted figures, boundaries, missing values, words that are not known."""

from __future__ import annotations

import contextlib
import json
from dataclasses import replace
from importlib import resources

import numpy as np
import pandas as pd
import pytest
import yaml

from bids_acc.derivatives.outputs import output_path
from bids_acc.exceptions import SettingsError
from bids_acc.group.cohort.exclusions import exclusions_table, honour, without_verdicts
from bids_acc.group.cohort.gates import apply_gates, of_gates, sessions_left_out
from bids_acc.group.cohort.reading import Cohort, load_cohort, plan_group
from bids_acc.group.folders import atlas_folder, parcels_folder
from bids_acc.group.opnmf.simulate import CohortDesign, planted_cohort
from bids_acc.group.parcels.parcellation import ParcellationOptions
from bids_acc.group.statistics.model.declaration import parse_model, read_model
from bids_acc.quality.gate import load_gate
from bids_acc.quality.sessions import (
    PRESETS,
    SHELL,
    SIDED,
    WHOLE,
    gate_for,
    judge_session,
    parse_session_gate,
    session_preset,
)
from bids_acc.tables.writing import write_tsv

BASE = {'Name': 'm', 'Group': {'Column': 'group', 'Levels': ['HC', 'TRS']}}
FD = {
    'metric': 'fd_mean', 'definition': 'builtin_fd_mean', 'operator': '<=', 'value': 0.5,
    'unit': 'mm', 'source': 'planted',
}  # fmt: skip
GOOD = {
    'brain_ml': 1300.0, 'field_of_view_share': 1.0, 'registration_dice': 0.95, 'cnr': 3.0,
    'rim_dark_share': 0.6, 'cut_cm2': 8.0,
    'boundary_contrast_L': 0.3, 'boundary_contrast_R': 0.3,
    'clamped_share_L': 0.01, 'clamped_share_R': 0.01,
}  # fmt: skip


def _model(**gate):
    return parse_model({**BASE, 'Gate': gate}, 'model-m_smdl.json')


# -- gates of images -----------------------------------------------------------------------------


@pytest.mark.parametrize('modality', ['anat', 'dwi'])
def test_metrics_are_columns_of_the_tables_in_their_units(modality):
    text = resources.files('bids_acc').joinpath(f'data/outputs/{modality}.yaml').read_text()
    columns = yaml.safe_load(text)[f'{modality}_qc']['columns']
    there = {name: entry.get('Units', '1') for name, entry in columns.items()}
    sided = {f'{m}_{side}': unit for m, unit in SIDED[modality].items() for side in 'LR'}
    for metric, unit in {**WHOLE[modality], **sided}.items():
        assert there[metric] == unit, metric
    shells = [name for name in there if SHELL.fullmatch(name)]
    assert bool(shells) == (modality == 'dwi')


@pytest.mark.parametrize('modality', ['anat', 'dwi'])
def test_each_shipped_threshold_tells_its_source(modality):
    for name in PRESETS[modality]:
        gate = session_preset(modality, name, 'here')
        for entry in gate.content['session']:
            source = entry['source']
            assert source.startswith(('doi:', 'convention of this package: ')), entry


@pytest.mark.parametrize(
    ('change', 'reasons'),
    [
        ({}, ''),
        ({'registration_dice': 0.9, 'brain_ml': 800.0, 'clamped_share_L': 0.1}, ''),
        ({'registration_dice': 0.899}, 'registration_dice >= 0.9: 0.899 fail'),
        ({'brain_ml': 2001.0}, 'brain_ml <= 2000 mL: 2001 fail'),
        ({'clamped_share_R': 0.11}, 'clamped_share_R <= 0.1: 0.11 fail'),
        ({'cnr': np.nan}, 'cnr >= 1.5: unknown'),
        ({'cnr': 'n/a'}, 'cnr >= 1.5: unknown'),
    ],
)
def test_anat_usual_at_and_beyond_its_limits(change, reasons):
    verdict = judge_session(session_preset('anat', 'anat-usual', 'x'), GOOD | change)
    assert verdict.reasons == reasons
    assert verdict.passed == (not reasons)


@pytest.mark.parametrize(
    ('name', 'figures', 'expected'),
    [('rest', {'strategy': 'compcor'}, 'rest'),
     ('rest', {'strategy': 'XCP-D 0.10.5: 36P', 'acc_coverage_L': 1.0}, 'rest-finished'),
     ('rest-strict', {'strategy': 'XCP-D 26.0.1: not told', 'acc_coverage_L': np.nan},
      'rest-strict-parcels'),
     ('rest-finished', {'strategy': 'XCP-D 0.10.5: 36P', 'acc_coverage_L': 1.0},
      'rest-finished')],
)  # fmt: skip
def test_finished_measures_are_judged_by_what_they_tell(name, figures, expected):
    """They tell no tSNR, for which the gate of a model left out everybody."""
    gate = session_preset('func', name, 'x')
    assert gate_for(gate, figures).name == expected
    stricter = replace(gate, session=gate.session[:1])
    assert gate_for(stricter, figures) is stricter  # a file of that name is taken at its word


def test_lenient_keeps_what_is_unknown_and_a_shell_can_be_named():
    shell = FD | {
        'metric': 'cnr_b1000', 'definition': 'builtin_cnr_b1000', 'operator': '>', 'value': 1,
        'unit': '1',
    }  # fmt: skip
    gate = parse_session_gate({'session': [shell], 'missing': 'lenient'}, 'dwi', 'x')
    assert judge_session(gate, {}).flagged
    assert judge_session(gate, {'cnr_b1000': 1.0}).reasons == 'cnr_b1000 > 1: 1 fail'
    assert judge_session(gate, {'cnr_b1000': 1.1}).passed


# -- sentences about what is not known -----------------------------------------------------------


@pytest.mark.parametrize(
    ('gate', 'words'),
    [
        ({'anat': 'anat-usua'}, ['model-m_smdl.json', 'Gate/anat', 'anat-usua', 'anat-usual']),
        ({'mrs': 'acc-struct'}, ['Gate/mrs', 'acc-struct', 'acc-structure, acc-glutamate']),
        ({'mrs': 'none'}, ['Gate/mrs', 'Mrs/Gate']),
        ({'dwi': {'session': [FD | {'metric': 'fd'}]}}, ['Gate/dwi', "'fd'", 'fd_mean']),
        ({'dwi': {'session': [FD | {'definition': 'power'}]}}, ["'power'", 'builtin_fd_mean']),
        ({'dwi': {'session': [FD | {'unit': 'cm'}]}}, ["'cm'", 'mm']),
        ({'dwi': {'session': ['fd_mean']}}, ['Gate/dwi', 'a threshold needs']),
        ({'dwi': {'sessions': []}}, ['Gate/dwi', 'list "session"']),
        ({'anat': {'session': [], 'limit': 3}}, ['Gate/anat', "'limit'"]),
        ({'mrs': {'session': []}}, ['Gate/mrs', '"spectrum"']),
        ({'func': 'x'}, ["'x'", 'Gate/func', 'rest-strict']),
        ({'mtr': 'rest'}, ["'rest'", 'Gate/mtr', 'mtr-usual']),
        ({'func': {'session': []}}, ['Gate/func', 'no criterion', 'none']),
        ({'func': {'session': [FD | {'definition': []}]}}, ['Gate/func', 'no definition']),
        ({'func': {'session': [FD | {'value': True}]}}, ['Gate/func', 'value a number']),
        ({'func': {'session': [FD | {'value': float('nan')}]}}, ['Gate/func', 'value a number']),
        ({'func': {'session': [FD], 'name': 5}}, ['Gate/func', '"name" is 5']),
        ({'mtr': {'session': [FD]}}, ['Gate/mtr', "'fd_mean'", 'snr_off']),
        ({'mrs': {'spectrum': None, 'metabolite': []}}, ['Gate/mrs', 'spectrum']),
        ({'mrs': {'spectrum': [], 'metabolite': [], 'artefacts': 5}}, ['Gate/mrs', 'artefacts']),
        ({'pet': 'x'}, ["'pet'", 'Gate']),
    ],
)
def test_what_is_not_known_is_named_with_what_is(gate, words):
    with pytest.raises(SettingsError) as caught:
        _model(**gate)
    assert caught.value.exit_code == 64
    assert '\n' not in str(caught.value)
    for word in words:
        assert word in str(caught.value)


HOSTILE = (
    None,
    True,
    5,
    -1.5,
    '',
    ' ',
    'none ',
    [],
    [None],
    [[]],
    {},
    {'a': 1},
    'x' * 300,
    '\u0000',
)


@pytest.mark.parametrize('modality', ['mrs', 'func', 'mtr', 'anat', 'dwi'])
def test_whatever_a_gate_is_it_is_a_gate_or_refused(modality):
    """Each value in the place of the gate, its lists, its criteria and each of their parts."""
    places = [lambda v: v, lambda v: {'session': v}, lambda v: {'session': [v]}]
    places += [lambda v, k=k: {'session': [FD | {k: v}]} for k in FD]
    places += [lambda v, k=k: {'session': [FD], k: v} for k in ('name', 'missing', 'other')]
    places += [lambda v, k=k: {'spectrum': [], 'metabolite': [], k: v}
               for k in ('spectrum', 'metabolite', 'artefacts')]  # fmt: skip
    for place in places:
        for value in HOSTILE:
            with contextlib.suppress(SettingsError):  # any other error is a fault
                _model(**{modality: place(value)})


def test_a_gate_file_lies_beside_the_model_and_is_taken_in_whole(tmp_path):
    (tmp_path / 'still.json').write_text(json.dumps({'session': [FD]}))
    path = tmp_path / 'model-m_smdl.json'
    path.write_text(json.dumps({**BASE, 'Gate': {'dwi': 'still.json'}}))
    model = read_model(path)
    assert model.session_gate('dwi').name == 'still'
    again = parse_model(json.loads(model.to_json()), 'again')
    assert again.session_gate('dwi').session == model.session_gate('dwi').session
    (tmp_path / 'still.json').write_text(json.dumps({'session': [FD | {'metric': 'fd'}]}))
    with pytest.raises(SettingsError, match=r"m_smdl.json: Gate/dwi: 'still.json': .*'fd' is unk"):
        read_model(path)
    path.write_text(json.dumps({**BASE, 'Gate': {'dwi': 'stil.json'}}))
    with pytest.raises(SettingsError, match=r"Gate/dwi: 'stil.json' is neither .* dwi-usual"):
        read_model(path)


# -- spectra judged again ------------------------------------------------------------------------


def _spectrum(folder, subject, voi='ACC', *, quality, crlb=(8.0, 15.0), detected='true'):
    entities = {'subject': subject, 'voi': voi}
    verdict = {'gate': 'pass', 'gate_reason': None, 'gate_criteria': 'snr > 10: 20 pass'}
    rows = [
        {'metabolite': name, 'unit_scheme': 'ratio_tcr', 'unit': '1', 'value': 1.0,
         'crlb_pct': bound, 'detected': detected, 'engine': 'builtin', 'gate_spectrum': 'pass',
         'gate_metabolite': 'pass', **verdict}
        for name, bound in zip(('Glu', 'GABA'), crlb, strict=True)
    ]  # fmt: skip
    write_tsv(output_path('mrs_quantities', folder, entities), pd.DataFrame(rows))
    row = {
        'engine': 'builtin', 'snr_lcm': 20.0, 'fwhm_hz': 6.0, 'spectrometer_mhz': 127.7,
        'gate_preset': 'acc-structure', 'gate': 'pass', 'gate_reasons': None,
        'gate_criteria': 'snr > 10: 20 pass; fwhm < 10 Hz: 6 pass', **quality,
    }  # fmt: skip
    write_tsv(output_path('mrs_quality', folder, entities), pd.DataFrame([row]))


@pytest.fixture
def spectra(tmp_path):
    _spectrum(tmp_path, '01', quality={})
    _spectrum(tmp_path, '02', quality={'fwhm_hz': 12.0, 'snr_lcm': 9.0})
    _spectrum(tmp_path, '03', quality={'snr_lcm': 8.0}, crlb=(8.0, 25.0))
    _spectrum(tmp_path, '04', quality={'fwhm_hz': np.nan})
    _spectrum(tmp_path, '05', quality={
        'gate': 'fail', 'gate_reasons': 'the basis set is of 7 T',
        'gate_criteria': 'the basis set is of 7 T; snr > 10: 20 pass'})  # fmt: skip
    return tmp_path


def _gate(cohort, folder, **gate):
    return apply_gates(cohort, _model(**gate), folder)


def _by_person(cohort, column='gate'):
    mrs = cohort.mrs.set_index(['participant_id', 'metabolite'])[column]
    return {(who[-2:], name): value for (who, name), value in mrs.items()}


def test_without_a_gate_everything_stays_as_the_participant_level_said(spectra):
    cohort = load_cohort(spectra, plan_group(spectra))
    assert _gate(cohort, spectra).cohort is cohort


def test_spectra_and_metabolites_are_judged_by_the_gate_of_the_model(spectra):
    cohort = load_cohort(spectra, plan_group(spectra))
    strict = _gate(cohort, spectra, mrs='acc-structure').cohort
    loose = _gate(cohort, spectra, mrs='acc-glutamate').cohort
    passed = {key for key, word in _by_person(strict).items() if word == 'pass'}
    assert passed == {('01', 'Glu'), ('01', 'GABA')}
    passed = {key for key, word in _by_person(loose).items() if word == 'pass'}
    assert passed == {(w, m) for w in ('01', '02') for m in ('Glu', 'GABA')} | {('03', 'Glu')}
    why = _by_person(strict, 'gate_reason')
    assert why['02', 'Glu'] == 'snr > 10: 9 fail; fwhm < 10 Hz: 12 fail'
    assert why['03', 'GABA'] == 'snr > 10: 8 fail; crlb < 20 %: 25 fail'
    assert why['04', 'Glu'] == 'fwhm < 10 Hz: unknown'
    assert why['05', 'Glu'] == 'the basis set is of 7 T'
    qc = strict.qc.set_index('participant_id')
    assert qc.loc['sub-02', 'mrs_gate'] == 'fail'
    assert set(cohort.mrs['gate']) == {'pass'}, 'the cohort that was read is not touched'


def test_flow_and_exclusions_follow_the_gate_and_human_verdicts_stay(spectra):
    cohort = load_cohort(spectra, plan_group(spectra))
    gated = _gate(cohort, spectra, mrs='acc-structure').cohort
    flow = gated.flow[gated.flow['modality'] == 'mrs'].set_index('participant_id')
    assert flow['status'].tolist() == ['run', *['exclude'] * 4]
    assert flow.loc['sub-02', 'reason'] == 'voi-ACC: snr > 10: 9 fail; fwhm < 10 Hz: 12 fail'
    assert any('4 of 5 sessions' in note for note in gated.notes)
    assert not any('1 of 5 sessions' in note for note in gated.notes)
    table = exclusions_table(honour(gated, of_gates(None)), of_gates(None))
    row = table[table['participant_id'].eq('sub-02') & table['criterion'].eq('fwhm')].iloc[0]
    assert (row['value'], row['threshold'], row['verdict']) == (12.0, '< 10 Hz', 'fail')
    made = table[table['value'].notna()].groupby('criterion')['definition'].unique()
    assert {k: list(v) for k, v in made.items()} == {
        'snr': ['builtin_snr_lcm'], 'fwhm': ['builtin_fwhm'], 'crlb': ['builtin_crlb'],
    }  # fmt: skip


def test_a_spectrum_that_failed_can_pass_another_gate(tmp_path):
    _spectrum(tmp_path, '01', quality={
        'snr_lcm': 9.0, 'gate': 'fail', 'gate_reasons': 'snr > 10: 9 fail',
        'gate_criteria': 'snr > 10: 9 fail; fwhm < 10 Hz: 6 pass'})  # fmt: skip
    cohort = load_cohort(tmp_path, plan_group(tmp_path))
    assert cohort.flow.set_index('modality').loc['mrs', 'status'] == 'exclude'
    gated = _gate(cohort, tmp_path, mrs='acc-glutamate').cohort
    row = gated.flow.set_index('modality').loc['mrs']
    assert (row['status'], row['reason']) == ('run', '')
    assert not any('excluded' in note for note in gated.notes)
    assert set(gated.mrs['gate']) == {'pass'}


def test_a_definition_that_the_gate_does_not_accept_names_the_spectrum(tmp_path):
    _spectrum(tmp_path, '01', quality={'engine': 'fsl_mrs', 'snr_spectrum': 30.0})
    cohort = load_cohort(tmp_path, plan_group(tmp_path))
    with pytest.raises(SettingsError, match=r'Gate/mrs: sub-01 voi-ACC: .*fsl_snr_spectrum'):
        _gate(cohort, tmp_path, mrs='acc-structure')


def test_artefacts_exclude_where_the_gate_names_them(tmp_path):
    _spectrum(tmp_path, '01', quality={'artefacts': 'lipid, ghost'})
    cohort = load_cohort(tmp_path, plan_group(tmp_path))
    own = dict(load_gate('acc-structure').content) | {'artefacts': ['ghost']}
    gated = _gate(cohort, tmp_path, mrs=own).cohort
    assert set(gated.mrs['gate_reason']) == {'artefact: ghost'}
    assert set(_gate(cohort, tmp_path, mrs='acc-structure').cohort.mrs['gate']) == {'pass'}


def test_levels_without_a_table_of_quality_fail(tmp_path):
    _spectrum(tmp_path, '01', quality={})
    output_path('mrs_quality', tmp_path, {'subject': '01', 'voi': 'ACC'}).unlink()
    cohort = load_cohort(tmp_path, plan_group(tmp_path))
    gated = _gate(cohort, tmp_path, mrs='acc-structure').cohort
    assert set(gated.mrs['gate_reason']) == {'no table of quality'}


# -- images judged -------------------------------------------------------------------------------


@pytest.fixture
def images(tmp_path):
    for subject, dice, motion in (('001', 0.95, 0.3), ('002', 0.8, 0.3), ('003', 0.95, 0.6),
                                  ('004', np.nan, 0.5)):  # fmt: skip
        for key, row in (('anat_qc', GOOD | {'registration_dice': dice}),
                         ('dwi_qc', {'fd_mean': motion})):  # fmt: skip
            write_tsv(output_path(key, tmp_path, {'subject': subject}), pd.DataFrame([row]))
    return tmp_path


def _cohort_of_images(folder):
    cohort = load_cohort(folder, plan_group(folder))
    flow = cohort.flow.assign(status='run', reason='')
    return cohort.__class__(cohort.participants, cohort.mrs, cohort.qc, flow)


def test_images_that_fail_are_left_out_with_criterion_value_and_threshold(images):
    found = _gate(_cohort_of_images(images), images, anat='anat-usual', dwi={'session': [FD]})
    rows = found.images.set_index(['participant_id', 'modality'])
    assert list(rows.index) == [('sub-002', 'anat'), ('sub-004', 'anat'), ('sub-003', 'dwi')]
    row = rows.loc[('sub-002', 'anat')]
    assert row[['criterion', 'definition', 'value', 'threshold', 'verdict']].tolist() == [
        'registration_dice', 'builtin_registration_dice', 0.8, '>= 0.9', 'fail'
    ]  # fmt: skip
    assert np.isnan(rows.loc[('sub-004', 'anat'), 'value'])
    assert any('T1w: 2 of 4 sessions fail the gate anat-usual' in n for n in found.cohort.notes)
    assert any('Diffusion: 1 of 2 sessions fail' in note for note in found.cohort.notes)
    flow = found.cohort.flow.set_index(['participant_id', 'modality'])
    assert flow.loc[('sub-002', 'anat'), 'reason'] == 'registration_dice >= 0.9: 0.8 fail'
    assert flow.loc[('sub-002', 'dwi'), 'reason'].startswith('T1w image: registration_dice')
    assert flow.loc[('sub-003', 'anat'), 'status'] == 'run'
    table = exclusions_table(found.cohort, of_gates(None), None, found.images)
    assert table['criterion'].tolist() == ['registration_dice'] * 2 + ['fd_mean']


def test_maps_of_images_that_fail_are_empty(images):
    found = _gate(_cohort_of_images(images), images, anat='anat-usual', dwi={'session': [FD]})
    planted = planted_cohort(
        CohortDesign(n_subjects=4), np.random.default_rng(1), level=3, region_size=60
    )
    assert planted.data.sessions['participant_id'].tolist() == [f'sub-00{i}' for i in range(1, 5)]
    data = without_verdicts(planted.data, of_gates(found.images))
    empty = np.isnan(data.values).all(axis=2)
    by_metric = dict(zip(data.metrics, empty, strict=True))
    assert by_metric['thickness'].tolist() == [False, True, False, True]
    assert by_metric['md'].tolist() == [False, True, True, True]


def test_parcels_of_other_people_lie_in_another_folder(images):
    cohort = _cohort_of_images(images)
    left_out = sessions_left_out(_gate(cohort, images, anat='anat-usual').images)
    assert left_out == [('sub-002', '', 'anat'), ('sub-004', '', 'anat')]
    options, region = ParcellationOptions(), ['acc']
    whole = parcels_folder(images, options, ['md'], region)
    assert parcels_folder(images, options, ['md'], region, []) == whole
    assert parcels_folder(images, options, ['md'], region, left_out) != whole
    assert atlas_folder(images, images / 'a.nii', left_out) != atlas_folder(images, images / 'a')


# -- the participant level's verdict of BOLD series ----------------------------------------------


def _with_function(gate):
    people = [f'sub-{k}' for k in range(3)]
    flow = pd.DataFrame(
        {'participant_id': people, 'session_id': None, 'modality': 'func', 'status': 'run',
         'reason': ''}
    )  # fmt: skip
    qc = pd.DataFrame(
        {'participant_id': people, 'session_id': None, 'func_gate': ['pass', gate, 'pass'],
         'func_gate_reason': [None, 'fd_mean <= 0.5 mm: 1.55 fail', None], 'func_fd_mean': 0.1}
    )  # fmt: skip
    return Cohort(flow[['participant_id', 'session_id']], None, qc, flow)


@pytest.mark.parametrize(
    ('model', 'out'),
    [(None, ['sub-1']), (_model(), ['sub-1']), (_model(func='none'), [])],
)
def test_series_that_failed_at_the_participant_level_are_left_out(tmp_path, model, out):
    found = apply_gates(_with_function('fail'), model, tmp_path)
    left = found.cohort.flow[found.cohort.flow['status'] == 'exclude']
    assert left['participant_id'].to_list() == out
    assert [row[0] for row in sessions_left_out(found.images)] == out
    if out:
        assert '1.55 fail' in left['reason'].iloc[0]
        assert found.cohort.notes[-1].startswith('Function: 1 of 3 sessions failed')
        without = honour(found.cohort, of_gates(found.images))
        assert not without.qc['func_fd_mean'].isna().all()


def test_nobody_is_left_out_where_all_series_pass(tmp_path):
    cohort = _with_function('pass')
    assert apply_gates(cohort, _model(), tmp_path).cohort is cohort
