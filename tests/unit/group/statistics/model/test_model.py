"""The model file and its proposal."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from bids_acc.exceptions import InputDataError, SettingsError
from bids_acc.group.statistics.model.declaration import parse_model, presets, read_model
from bids_acc.group.statistics.study.proposal import propose_model, resolve_model

MINIMAL = {'Name': 'm', 'Group': {'Column': 'group', 'Levels': ['HC', 'FL', 'TRS']}}


@pytest.fixture
def people():
    return pd.DataFrame({
        'participant_id': [f'sub-{i}' for i in range(6)],
        'group': ['HC', 'TRS', 'HC', 'TRS', 'HC', 'TRS'],
        'age': [30, 41, 28, 39, 55, 47], 'sex': list('FMFMMF'),
        'panss_total': ['n/a', 70, 'n/a', 65, 'n/a', 88],
    })  # fmt: skip


@pytest.mark.parametrize('name', sorted(presets()))
def test_presets_are_complete_models(name):
    model = read_model(name)
    assert model.name == name
    assert parse_model(json.loads(model.to_json())).content == model.content


def test_every_key_of_the_format_is_described():
    schema = json.loads((presets()['prepost'].parent / 'schema.json').read_text())
    for part in (schema, *schema['$defs'].values()):
        for key, entry in part['properties'].items():
            assert entry.get('description') or '$ref' in entry, key
        assert part['additionalProperties'] is False


def test_there_are_the_three_presets():
    assert {'acc-structure', 'acc-glutamate', 'prepost'} <= set(presets())


def test_defaults_are_filled_all_the_way_down():
    model = parse_model(MINIMAL)
    assert (model.ss_type, model.alpha, model.group.reference) == ('II', 0.05, 'HC')
    assert model.content['Prediction']['MinPerClass'] == 20
    assert model.content['Sessions']['Baseline'] is None


@pytest.mark.parametrize(
    ('change', 'words'),
    [
        ({'Covariate': []}, "unknown key 'Covariate' at top level; did you mean 'Covariates'"),
        ({'alpha': 0.1}, "did you mean 'Alpha'"),
        ({'Mrs': {'UnitSchema': 'ratio_tcr'}}, "at Mrs; did you mean 'UnitScheme'"),
        ({'Covariates': [{'Nam': 'age'}]}, "at Covariates/0; did you mean 'Name'"),
        ({'SumOfSquares': 'I'}, 'SumOfSquares'),
        ({'Alpha': 0}, 'Alpha'),
        ({'Ratios': ['Glx']}, 'Ratios/0'),
        ({'Group': {'Column': 'g', 'Levels': ['HC']}}, 'Group/Levels'),
        ({'Group': {**MINIMAL['Group'], 'Reference': 'CTRL'}}, "'CTRL' is none of HC, FL, TRS"),
        ({'Contrasts': [{'Name': 'c', 'Weights': {'HC': 1, 'X': -1}}]}, "'X' is none of"),
        ({'Contrasts': [{'Name': 'c', 'Weights': {'HC': 1, 'FL': 1}}]}, 'do not sum to zero'),
        ({'Covariates': [{'Name': 'age'}, {'Name': 'age'}]}, 'there twice'),
        ({'Covariates': [{'Name': 'group'}]}, 'is the group column'),
        ({'Covariates': [{'Name': 'cohort'}]}, 'rename the column'),
        ({'Norms': {'Level': 'nobody'}}, 'Norms/Level'),
        ({'Families': {'mrs_primry': {}}}, "no family 'mrs_primry'; did you mean 'mrs_primary'"),
        ({'Prediction': {'MinPerClass': 5}}, 'Prediction/MinPerClass'),
    ],
)
def test_mistakes_are_refused_in_words(change, words):
    with pytest.raises(SettingsError) as caught:
        parse_model({**MINIMAL, **change}, 'my.json')
    assert words in str(caught.value)
    assert str(caught.value).startswith('my.json')


def test_all_mistakes_are_told_at_once():
    with pytest.raises(SettingsError) as caught:
        parse_model({**MINIMAL, 'Alfa': 1, 'SumOfSquares': 'I'})
    assert len(str(caught.value).splitlines()) == 2


def test_pairs_put_the_reference_last():
    group = parse_model({**MINIMAL, 'Group': {**MINIMAL['Group'], 'Reference': 'FL'}}).group
    every = group.pairs('all', ['HC', 'FL', 'TRS'])
    assert every == [('HC', 'FL'), ('TRS', 'FL'), ('TRS', 'HC')]
    assert group.pairs('reference', ['HC', 'FL', 'TRS']) == every[:2]
    assert group.pairs('all', ['HC', 'TRS']) == [('TRS', 'HC')]


def test_a_file_that_is_not_there_names_what_was_meant(tmp_path):
    with pytest.raises(SettingsError, match="did you mean 'acc-structure'"):
        read_model('acc-structur')
    broken = tmp_path / 'm.json'
    broken.write_text('{')
    with pytest.raises(SettingsError, match='no valid JSON'):
        read_model(broken)


def test_subsample_rules_use_wildcards():
    _, rule, _ = read_model('acc-structure').subsamples
    assert rule.covers('panss_positive')
    assert not rule.covers('cpz_dose')


def test_the_proposal_gives_reasons_and_is_a_model(people):
    content = propose_model(people)
    model = parse_model(content)
    assert model.group.reference == 'HC'
    assert model.covariate_names == ('age', 'sex')
    assert content['Clinical']['Scores'] == ['panss_total']
    assert any('control' in reason for reason in content['Proposal'])


def test_the_sidecar_gives_order_and_labels(people):
    sidecar = {'group': {'Levels': {'TRS': 'resistant', 'HC': 'controls', 'FL': 'nobody'}}}
    content = propose_model(people, sidecar)
    assert content['Group']['Labels'] == {'TRS': 'resistant', 'HC': 'controls'}
    assert content['Group']['Levels'] == ['HC', 'TRS']


def test_levels_that_the_sidecar_does_not_know_are_told(people):
    sidecar = {'group': {'Levels': {'HC': 'controls'}}}
    content = propose_model(people, sidecar)
    assert any('TRS occur in the column but not' in reason for reason in content['Proposal'])


def test_odd_codings_are_told(people):
    odd = people.assign(sex=['F', 'M', 'female', 'M', 'M', 'F'])
    assert any('several ways' in reason for reason in propose_model(odd)['Proposal'])


def test_without_a_group_column_the_columns_are_listed(people):
    with pytest.raises(InputDataError, match='the columns are participant_id, age'):
        propose_model(people[['participant_id', 'age']])


def test_without_a_choice_a_proposal_is_written_and_nothing_is_run(people, tmp_path):
    file = tmp_path / 'code' / 'model-proposed_smdl.json'
    with pytest.raises(SettingsError, match='--model auto'):
        resolve_model(None, people, None, file)
    assert resolve_model(str(file), people, None, file).group.column == 'group'


def test_auto_takes_the_proposal_and_leaves_it_on_disk(people, tmp_path):
    file = tmp_path / 'model-proposed_smdl.json'
    model = resolve_model('auto', people, None, file)
    assert json.loads(file.read_text()) == model.content
    assert resolve_model('prepost', people, None, tmp_path / 'x').name == 'prepost'
    assert not (tmp_path / 'x').exists()


def test_spellings_and_lone_participants_are_told(people):
    odd = pd.concat([people, people.assign(participant_id=lambda t: t['participant_id'] + 'b')])
    odd['group'] = ['HC', 'TRS', 'hc', 'TRS', 'HC', 'TRS', 'HC', 'TRS', 'HC', 'TSR', 'HC', 'X']
    content = propose_model(odd)
    assert content['Group']['Levels'] == ['HC', 'TRS']
    assert content['Group']['Recode'] == {'hc': 'HC'}
    reasons = '\n'.join(content['Proposal'])
    assert 'hc is read as HC' in reasons
    assert 'TSR is left out of the groups: it has one participant only. Is it TRS?' in reasons
    assert 'X is left out' in reasons


def test_one_group_is_nothing_to_compare(people):
    with pytest.raises(InputDataError, match='nothing to compare'):
        propose_model(people.assign(group=['TRS'] * 5 + ['HC']))


def test_text_in_a_numeric_column_is_told_with_the_cell(people):
    odd = people.assign(age=['30', 'old', '28', '39', '55', '47'])
    content = propose_model(odd)
    assert "it holds text ('old' of sub-1; 1 such cells)" in '\n'.join(content['Proposal'])
    assert [c['Name'] for c in content['Covariates']] == ['sex']


def test_visits_are_put_in_order_and_people_counted_once(people):
    visits = pd.concat([people.assign(session_id=s) for s in ('ses-fu', 'ses-post', 'ses-pre')])
    visits.loc[visits['participant_id'] == 'sub-5', 'group'] = 'lone'
    content = propose_model(visits)
    assert content['Sessions'] == {'Baseline': 'ses-pre', 'Order': ['ses-pre', 'ses-fu',
                                                                   'ses-post']}  # fmt: skip
    assert content['Group']['Levels'] == ['HC', 'TRS']
    parse_model(content)


def test_an_edited_proposal_is_kept(people, tmp_path):
    file = tmp_path / 'code' / 'model-proposed_smdl.json'
    resolve_model('auto', people, None, file)
    assert len(list(file.parent.iterdir())) == 1
    resolve_model('auto', people, None, file)
    assert len(list(file.parent.iterdir())) == 1
    file.write_text('{"mine": 1}')
    resolve_model('auto', people, None, file)
    kept = file.with_name('model-proposed-before_smdl.json')
    assert kept.read_text() == '{"mine": 1}'
    assert 'mine' not in file.read_text()


@pytest.mark.parametrize(
    ('dataset', 'column', 'reference', 'n_levels'),
    [('ds000030', 'diagnosis', 'CONTROL', 4), ('ds004302', 'group', 'HC', 3)],
)
def test_real_tables_get_the_right_proposal(shared_data, dataset, column, reference, n_levels):
    folder = shared_data / 'clinical' / dataset
    people = pd.read_csv(folder / 'participants.tsv', sep='\t')
    file = folder / 'participants.json'
    sidecar = json.loads(file.read_text()) if file.exists() else None
    group = parse_model(propose_model(people, sidecar)).group
    assert (group.column, group.reference, len(group.levels)) == (column, reference, n_levels)


def test_proposal_tells_how_function_is_compared(people):
    told = ' '.join(propose_model(people, function=True)['Proposal'])
    assert '--model trd-function' in told
    assert 'trd-function' not in ' '.join(propose_model(people)['Proposal'])


@pytest.mark.parametrize(
    ('texts', 'control'),
    [
        (('patients', 'témoins sains'), '1'), (('patients schizophrènes', 'contrôles'), '1'),
        (('Patienten', 'gesunde Kontrollen'), '1'), (('Patientengruppe', 'Kontrollgruppe'), '1'),
        (('pacientes', 'controles sanos'), '1'), (('pazienti', 'controlli sani'), '1'),
        (('patiënten', 'gezonde controles'), '1'), (('患者', '健常者'), '1'),
        (('患者', '健康对照'), '1'), (('пациенты', 'здоровые'), '1'),
        (('unaffected relatives of patients', 'unaffected controls'), '1'),
        (('schizophrenia', 'never ill'), '1'),
    ],
)  # fmt: skip
def test_controls_are_known_in_other_languages(people, texts, control):
    codes = people.assign(group=people['group'].map({'TRS': '0', 'HC': '1'}))
    sidecar = {'group': {'Levels': dict(zip(('0', '1'), texts, strict=True))}}
    assert propose_model(codes, sidecar)['Group']['Reference'] == control
    words = people.assign(group=people['group'].map(dict(zip(('TRS', 'HC'), texts, strict=True))))
    assert propose_model(words)['Group']['Reference'] == texts[1]


def test_no_control_is_a_guess_and_said(people):
    levels = {'group': {'Levels': {'0': 'schizophrenia', '1': 'well-controlled hypertension'}}}
    codes = people.assign(group=people['group'].map({'TRS': '0', 'HC': '1'}))
    assert any('is a guess' in reason for reason in propose_model(codes, levels)['Proposal'])


def test_a_code_for_missing_is_no_group(people):
    more = pd.DataFrame({'participant_id': ['a', 'b'], 'group': [9, 9], 'age': [1, 2]})
    codes = people.assign(group=people['group'].map({'TRS': 1, 'HC': 0}))
    found = propose_model(pd.concat([codes, more], ignore_index=True))
    assert found['Group']['Levels'] == ['0', '1']
    assert any(reason.startswith('9: read as missing') for reason in found['Proposal'])


def test_columns_of_other_languages_are_found_and_what_is_not_is_said(people):
    renamed = people.rename(columns={'group': 'Gruppe', 'age': 'Age at MRI', 'sex': 'Geschlecht'})
    found = propose_model(renamed)
    assert found['Group']['Column'] == 'Gruppe'
    assert [c['Name'] for c in found['Covariates']] == ['Age at MRI', 'Geschlecht']
    lacking = propose_model(people.drop(columns='age'))
    assert any(reason.startswith('Age is no covariate') for reason in lacking['Proposal'])


def test_a_score_with_words_in_it_is_named(people):
    odd = people.assign(panss_total=['x', 70, 71, 65, 80, 88])
    assert any('panss_total is no clinical score' in r for r in propose_model(odd)['Proposal'])


@pytest.mark.parametrize('name', ['acc-structure', 'acc-glutamate'])
def test_the_model_of_a_paper_names_the_gate_of_its_paper(name):
    gate = read_model(name).spectra_gate
    assert gate is not None
    assert gate.name == name


@pytest.mark.parametrize('encoding', ['utf-8', 'utf-8-sig', 'utf-16'])
def test_a_model_is_read_as_editors_of_windows_save_it(tmp_path, encoding):
    (tmp_path / 'm.json').write_bytes(json.dumps(MINIMAL).encode(encoding))
    assert read_model(tmp_path / 'm.json').group.reference == 'HC'


def test_levels_that_are_numbers_are_refused_with_the_remedy():
    with pytest.raises(SettingsError, match='Levels/0: 1 is a number; write it as text: "1"'):
        parse_model({**MINIMAL, 'Group': {'Column': 'group', 'Levels': [1, 'TRS']}})


@pytest.mark.parametrize('modality', ['mrs', 'anat', 'dwi', 'func', 'mtr'])
def test_a_gate_that_there_is_not_is_refused_when_the_model_is_read(modality):
    with pytest.raises(SettingsError, match=f'Gate/{modality}'):
        parse_model({**MINIMAL, 'Gate': {modality: 'usual'}})


@pytest.mark.parametrize(
    ('text', 'says'),
    [
        ('Name: m\nGroup:\n  Column: group\n', 'JSON, not YAML or TOML'),
        ("{'Name': 'm'}", 'names in double quotes'),
        ('{"Name": "m", "Group": {"Column": "a", "Levels": ["x"], "Column": "b"}}',
         "'Column' stands twice"),
        ('[{"Name": "m"}]', 'one JSON object'),
        ('{"Name": "m", "Nodes": [], "Edges": []}', 'BIDS Stats Model'),
    ],
)  # fmt: skip
def test_files_of_other_kinds_are_called_what_they_are(tmp_path, text, says):
    path = tmp_path / 'model-m_smdl.json'
    path.write_text(text)
    with pytest.raises(SettingsError, match=says):
        read_model(path)
