from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bids_acc.clinical import classify as cl
from bids_acc.clinical import logic
from bids_acc.clinical.criteria import DEFINITIONS, UNDETERMINED
from bids_acc.clinical.evidence import load_thresholds
from bids_acc.clinical.history import history_schema, read_records, read_table
from bids_acc.derivatives import outputs
from bids_acc.exceptions import InputDataError, MissingInputError, SettingsError

ITEMS = [f'panss_{s}{i}' for s, n in (('p', 7), ('n', 7), ('g', 16)) for i in range(1, n + 1)]
GOOD_TRIAL = {'weeks': 8, 'adherence_pct': 90, 'response': 'inadequate'}
FAILED = [
    {'drug': 'risperidone', 'dose_mg': 6, **GOOD_TRIAL},
    {'drug': 'olanzapine', 'dose_mg': 20, **GOOD_TRIAL},
]
CLOZAPINE = {'drug': 'clozapine', 'dose_mg': 450, 'weeks': 20, 'adherence_pct': 95}
ILL = {'patient': True, 'history_complete': True, 'gaf': 45, **dict.fromkeys(ITEMS, 3),
       'panss_p1': 5}  # fmt: skip
WELL = {**ILL, 'gaf': 70, 'panss_p1': 2}


def groups(trials, rating, *definitions, **options):
    table = pd.DataFrame([{'participant_id': 'sub-01', 'trial': i + 1, **t}
                          for i, t in enumerate(trials)] or [],
                         columns=None if trials else ['participant_id', 'drug'])  # fmt: skip
    ratings = pd.DataFrame([{'participant_id': 'sub-01', **rating}])
    return cl.classify(
        table.astype(object), ratings.astype(object), definitions=definitions, **options
    )


def label(trials, rating, definition, **options):
    return groups(trials, rating, definition, **options).labels[definition].item()


class TestTrrip:
    def test_resistant(self):
        assert label(FAILED, ILL, 'trrip') == 'TRS'

    def test_clozapine_resistant(self):
        trials = [*FAILED, {**CLOZAPINE, 'response': 'inadequate'}]
        assert label(trials, ILL, 'trrip') == 'URS'

    def test_clozapine_responder(self):
        trials = [*FAILED, {**CLOZAPINE, 'response': 'adequate'}]
        assert label(trials, WELL, 'trrip') == 'CLZ-Resp'

    def test_first_line_responder(self):
        trials = [{'drug': 'risperidone', 'dose_mg': 4, **GOOD_TRIAL, 'response': 'adequate'}]
        assert label(trials, WELL, 'trrip') == 'FL-Resp'

    def test_control_needs_nothing_else(self):
        assert label([], {'patient': False}, 'trrip') == 'HC'

    def test_short_clozapine_trial_leaves_trs(self):
        trials = [*FAILED, {**CLOZAPINE, 'weeks': 4, 'response': 'inadequate'}]
        assert label(trials, ILL, 'trrip') == 'TRS'

    def test_low_level_overrules_a_high_dose(self):
        trials = [*FAILED, {**CLOZAPINE, 'plasma_ng_ml': 200, 'response': 'inadequate'}]
        assert label(trials, ILL, 'trrip') == 'TRS'

    @pytest.mark.parametrize('column', ['dose_mg', 'weeks', 'adherence_pct', 'response'])
    def test_missing_evidence_is_undetermined(self, column):
        trials = [FAILED[0], {k: v for k, v in FAILED[1].items() if k != column}]
        result = groups(trials, ILL, 'trrip')
        assert result.labels['trrip'].item() == UNDETERMINED
        assert 'failed trials' in result.labels['trrip_lacks'].item()

    @pytest.mark.parametrize(
        ('column', 'value'), [('dose_mg', 5), ('weeks', 5), ('adherence_pct', 79)]
    )
    def test_just_below_the_threshold_does_not_count(self, column, value):
        trials = [FAILED[0], {**FAILED[1], column: value}]
        assert label(trials, ILL, 'trrip') == 'unclassified'

    def test_one_drug_twice_is_one_drug(self):
        assert label([FAILED[0], FAILED[0]], ILL, 'trrip') == 'unclassified'

    def test_incomplete_history_never_shows_that_trials_were_few(self):
        rating = {k: v for k, v in ILL.items() if k != 'history_complete'}
        assert label([FAILED[0]], rating, 'trrip') == UNDETERMINED

    def test_unknown_clozapine_is_undetermined(self):
        rating = {k: v for k, v in ILL.items() if k != 'history_complete'}
        assert label(FAILED, rating, 'trrip') == UNDETERMINED
        assert label(FAILED, {**rating, 'clozapine_ever': False}, 'trrip') == 'TRS'

    def test_contradicting_ratings_are_undetermined(self):
        trials = [FAILED[0], {**FAILED[1], 'reduction_pct': 60}]
        assert label(trials, ILL, 'trrip') == UNDETERMINED

    def test_small_reduction_counts_as_failure(self):
        trials = [
            {**{k: v for k, v in t.items() if k != 'response'}, 'reduction_pct': 19}
            for t in FAILED
        ]
        assert label(trials, ILL, 'trrip') == 'TRS'

    def test_unknown_drug_has_no_dose(self):
        trials = [FAILED[0], {**FAILED[1], 'drug': 'mysterydrug'}]
        assert label(trials, ILL, 'trrip') == UNDETERMINED

    def test_thresholds_can_be_changed(self):
        trials = [{**t, 'dose_mg': t['dose_mg'] * 0.7} for t in FAILED]
        assert label(trials, ILL, 'trrip') == 'unclassified'
        changed = {'trrip': {'min_cpz_mg': 400}}
        assert label(trials, ILL, 'trrip', thresholds=changed) == 'TRS'


class TestKane:
    rating = {**ILL, 'adherent_6_months': True, 'months_without_improvement': 8}

    def test_resistant(self):
        trials = [{**t, 'dose_mg': t['dose_mg'] * 0.7} for t in FAILED]  # 420 mg CPZ
        assert label(trials, self.rating, 'kane') == 'resistant'

    @pytest.mark.parametrize(('gaf', 'expected'), [(58, 'resistant'), (59, 'unclassified')])
    def test_gaf_must_be_below_59(self, gaf, expected):
        assert label(FAILED, {**self.rating, 'gaf': gaf}, 'kane') == expected

    def test_negative_symptoms_do_not_replace_positive_ones(self):
        rating = {**self.rating, 'panss_p1': 3, 'panss_n1': 6}
        assert label(FAILED, rating, 'kane') == 'unclassified'

    def test_clozapine_excludes(self):
        trials = [*FAILED, {**CLOZAPINE, 'response': 'inadequate'}]
        assert label(trials, self.rating, 'kane') == 'unclassified'

    def test_responsive(self):
        rating = {**WELL, 'adherent_6_months': True, 'months_without_relapse': 6}
        assert label([], rating, 'kane') == 'responsive'

    def test_one_item_above_three_is_not_responsive(self):
        rating = {**WELL, 'adherent_6_months': True, 'months_without_relapse': 6, 'panss_g7': 4}
        assert label([], rating, 'kane') == 'unclassified'

    def test_one_missing_item_is_undetermined(self):
        rating = {**WELL, 'adherent_6_months': True, 'months_without_relapse': 6}
        del rating['panss_g7']
        assert label([], rating, 'kane') == UNDETERMINED


class TestRswg:
    @pytest.mark.parametrize(
        ('change', 'expected'),
        [
            ({'months_in_remission': 6}, 'remission'),
            ({'months_in_remission': 5}, 'no remission'),
            ({}, UNDETERMINED),
            ({'panss_n4': 4}, 'no remission'),  # whatever the duration
            ({'panss_g1': 7, 'months_in_remission': 6}, 'remission'),  # not one of the eight
        ],
    )
    def test_labels(self, change, expected):
        assert label([], {**WELL, **change}, 'rswg') == expected


class TestClozapine:
    @pytest.mark.parametrize(
        ('trial', 'expected'),
        [
            ({'monotherapy': True, 'response_positive': 'full', 'response_negative': 'full'},
             'CLZ-R'),
            ({'monotherapy': True, 'response_positive': 'partial', 'response_negative': 'full',
              'sustained': True}, 'CLZ-R'),
            ({'monotherapy': True, 'response_positive': 'partial', 'response_negative': 'partial',
              'sustained': False, 'relapse': False}, 'unclassified'),
            ({'monotherapy': False, 'response_positive': 'ineffective',
              'response_negative': 'ineffective'}, 'CLZ-NR'),
            ({'monotherapy': False, 'response_positive': 'partial',
              'response_negative': 'partial', 'sustained': False, 'relapse': True}, 'CLZ-NR'),
            ({'monotherapy': True, 'response_positive': 'full'}, UNDETERMINED),
            ({'response_positive': 'full', 'response_negative': 'full'}, UNDETERMINED),
        ],
    )  # fmt: skip
    def test_labels(self, trial, expected):
        assert label([{'drug': 'Clozapine', **trial}], ILL, 'clozapine') == expected

    def test_never_given_is_unclassified(self):
        assert label(FAILED, ILL, 'clozapine') == 'unclassified'


class TestDepression:
    @staticmethod
    def failure(drug_class, **change):
        return {'drug': drug_class, 'drug_class': drug_class, 'weeks': 8, 'adequate': True,
                'response': 'inadequate', **change}  # fmt: skip

    @pytest.mark.parametrize(
        ('classes', 'expected'),
        [
            ([], 'stage 0'),
            (['ssri'], 'stage I'),
            (['ssri', 'ssri'], 'stage I'),
            (['ssri', 'snri'], 'stage II'),
            (['ssri', 'tca'], 'stage III'),
            (['ssri', 'maoi'], 'stage II'),
            (['ssri', 'tca', 'maoi'], 'stage IV'),
        ],
    )
    def test_stages(self, classes, expected):
        trials = [self.failure(c) for c in classes]
        assert label(trials, ILL, 'trd_stage') == expected

    def test_stage_five_needs_bilateral_ect(self):
        trials = [self.failure(c) for c in ('ssri', 'tca', 'maoi')]
        assert label([*trials, self.failure('ect', bilateral=True)], ILL, 'trd_stage') == 'stage V'
        assert label([*trials, self.failure('ect', bilateral=False)], ILL, 'trd_stage') == (
            'stage IV'
        )
        assert label([*trials, self.failure('ect')], ILL, 'trd_stage') == UNDETERMINED

    def test_review_definition_needs_one_failure(self):
        assert label([self.failure('ssri')], ILL, 'trd') == 'TRD'
        assert label([self.failure('ssri', response='adequate')], ILL, 'trd') == 'not TRD'

    def test_short_trial_is_not_adequate(self):
        assert label([self.failure('ssri', weeks=2)], ILL, 'trd') == 'not TRD'

    def test_unrated_adequacy_is_undetermined(self):
        trial = self.failure('ssri')
        del trial['adequate']
        assert label([trial], ILL, 'trd') == UNDETERMINED


CELLS = st.fixed_dictionaries(
    {'drug': st.sampled_from(['risperidone', 'olanzapine', 'clozapine', 'nobodyknows'])},
    optional={
        'dose_mg': st.sampled_from([2, 20, 500]), 'weeks': st.sampled_from([2, 6, 30]),
        'adherence_pct': st.sampled_from([50, 90]),
        'response': st.sampled_from(['adequate', 'inadequate']),
        'monotherapy': st.booleans(), 'sustained': st.booleans(), 'relapse': st.booleans(),
        'response_positive': st.sampled_from(['full', 'partial', 'ineffective']),
        'response_negative': st.sampled_from(['full', 'partial', 'ineffective']),
    },
)  # fmt: skip
RATINGS = st.fixed_dictionaries(
    {},
    optional={
        'patient': st.just(True), 'history_complete': st.booleans(), 'gaf': st.integers(30, 90),
        'panss_p1': st.integers(1, 7), 'panss_n1': st.integers(1, 7),
        'clozapine_ever': st.booleans(), 'months_in_remission': st.integers(0, 12),
    },
)  # fmt: skip


@given(st.lists(CELLS, min_size=1, max_size=4), RATINGS, st.data())
def test_taking_evidence_away_never_changes_one_label_into_another(trials, rating, data):
    """With less evidence a label may become undetermined, but never a different group."""
    full = groups(trials, {**WELL, **rating}, *DEFINITIONS).labels.iloc[0]
    keys = sorted({**WELL, **rating})
    gone = set(data.draw(st.lists(st.sampled_from(keys), max_size=5)))
    less_rating = {k: v for k, v in {**WELL, **rating}.items() if k not in gone}
    column = data.draw(st.sampled_from(sorted(trials[0])))
    first = {k: v for k, v in trials[0].items() if k != column or k == 'drug'}
    less = groups([first, *trials[1:]], less_rating, *DEFINITIONS).labels.iloc[0]
    for name in DEFINITIONS:
        if full[name] != UNDETERMINED:
            assert less[name] in (full[name], UNDETERMINED), name


def test_empty_record_gives_no_label_at_all():
    result = groups([], {}, *DEFINITIONS)
    for name in DEFINITIONS:
        assert result.labels[name].item() == UNDETERMINED


def test_trace_shows_every_rule_with_source():
    trace = groups(FAILED, ILL, *DEFINITIONS).trace
    assert set(trace['definition']) == set(DEFINITIONS)
    assert set(trace['outcome']) <= {'met', 'not met', 'unknown'}
    assert (trace['source'] != '').all()
    row = trace[(trace['definition'] == 'trrip') & (trace['rule'] == 'failed trials')].iloc[0]
    assert row['outcome'] == 'met'
    assert 'risperidone 600 mg CPZ, 8 weeks' in row['evidence']


class TestTables:
    def test_misspelt_column(self):
        with pytest.raises(InputDataError, match="'adherence_pct'"):
            groups([{**FAILED[0], 'adherance_pct': 90}], ILL, 'trrip')

    def test_impossible_item(self):
        with pytest.raises(InputDataError, match='line 2, panss_p1'):
            groups(FAILED, {**ILL, 'panss_p1': 8}, 'trrip')

    def test_text_where_a_number_belongs(self):
        with pytest.raises(InputDataError, match='weeks'):
            groups([{**FAILED[0], 'weeks': 'six'}], ILL, 'trrip')

    @pytest.mark.parametrize(
        'written',
        [
            {'dose_mg': '6 mg'}, {'dose_mg': '6 mg/d'}, {'dose_mg': '0.006 g daily'},
            {'dose_mg': '6000 \u00b5g'}, {'dose_mg': '6,0'}, {'weeks': '8 weeks'},
            {'weeks': '56 days'}, {'drug': 'Risperdal'}, {'drug': 'Risperidon'},
            {'adherence_pct': '90 %'},
        ],
    )  # fmt: skip
    def test_units_and_names_that_leave_no_doubt_change_no_label(self, written):
        trials = [dict(FAILED[0], drug='risperidone', dose_mg=6, weeks=8, adherence_pct=90),
                  FAILED[1]]  # fmt: skip
        plain = groups(trials, ILL, 'trrip')
        other = groups([{**trials[0], **written}, trials[1]], ILL, 'trrip')
        assert other.labels['trrip'].tolist() == plain.labels['trrip'].tolist()
        assert other.doses['cpz_mg'].tolist() == pytest.approx(plain.doses['cpz_mg'].tolist())
        assert any(str(value) in note for value in written.values() for note in other.notes)

    @pytest.mark.parametrize(
        ('written', 'words'),
        [
            ({'dose_mg': '150 mg bid'}, 'dose_mg.*mg per day'), ({'dose_mg': '2x150'}, 'dose_mg'),
            ({'dose_mg': '100-200'}, 'dose_mg'), ({'dose_mg': '-5'}, 'dose_mg'),
            ({'drug': 'olanzapine+clozapine'}, 'several drugs'),
            ({'drug': 'clozapin/risperidon'}, 'several drugs'),
            ({'drug': 'olanzepine'}, "did you mean 'olanzapine'"),
        ],
    )  # fmt: skip
    def test_what_may_be_meant_in_two_ways_is_refused(self, written, words):
        with pytest.raises(InputDataError, match=words):
            groups([{**FAILED[0], **written}], ILL, 'trrip')

    @pytest.mark.parametrize('name', ['Clozaril', 'Leponex', 'clozapin', 'Clozapina', 'clozapine'])
    def test_clozapine_is_clozapine_by_any_name(self, name):
        record = read_records(
            pd.DataFrame({'participant_id': ['sub-01'], 'drug': [name]}), 'trial'
        )
        assert record[0]['drug'] == 'clozapine'

    def test_shares_in_place_of_per_cent_are_refused(self):
        trials = [{**trial, 'adherence_pct': 0.9} for trial in FAILED]
        with pytest.raises(InputDataError, match='write per cent'):
            groups(trials, ILL, 'trrip')

    def test_all_wrong_rows_are_named_at_once(self):
        trials = [{**FAILED[0], 'dose_mg': 'much'}, {**FAILED[1], 'weeks': 'six'}]
        with pytest.raises(InputDataError, match=r'line 2, dose_mg.*line 3, weeks'):
            groups(trials, ILL, 'trrip')

    def test_unknown_drugs_and_impossible_doses_are_said(self):
        trials = [{**FAILED[0], 'drug': 'perazine'}, {**FAILED[1], 'drug': 'olanzapine',
                                                       'dose_mg': 300}]  # fmt: skip
        notes = ' '.join(groups(trials, ILL, 'trrip').notes)
        assert 'no chlorpromazine equivalent of perazine (1)' in notes
        assert 'olanzapine of sub-01 (9000 mg)' in notes

    def test_unknown_word(self):
        with pytest.raises(InputDataError, match='response'):
            groups([{**FAILED[0], 'response': 'good'}], ILL, 'trrip')

    def test_participant_twice(self):
        ratings = pd.DataFrame({'participant_id': ['sub-01', 'sub-01']})
        trials = pd.DataFrame(columns=['participant_id', 'drug'])
        with pytest.raises(InputDataError, match='stands twice'):
            cl.classify(trials, ratings)

    @pytest.mark.parametrize('word', ['n/a', '', 'nan'])
    def test_missing_words(self, word):
        table = pd.DataFrame({'participant_id': ['sub-01'], 'drug': ['x'], 'weeks': [word]})
        assert 'weeks' not in read_records(table, 'trial')[0]

    def test_absent_file(self, tmp_path):
        with pytest.raises(MissingInputError, match='does not exist'):
            cl.classify_files(tmp_path / 'a.tsv', tmp_path / 'b.tsv')

    def test_files_give_the_same_as_tables(self, tmp_path):
        trials = pd.DataFrame([{'participant_id': 'sub-01', 'trial': i, **t}
                               for i, t in enumerate(FAILED, 1)])  # fmt: skip
        ratings = pd.DataFrame([{'participant_id': 'sub-01', **ILL}])
        for name, table in (('trials', trials), ('ratings', ratings)):
            table.to_csv(tmp_path / f'{name}.tsv', sep='\t', index=False, na_rep='n/a')
        found = cl.classify_files(tmp_path / 'trials.tsv', tmp_path / 'ratings.tsv')
        assert found.labels['trrip'].item() == 'TRS'

    def test_schema_describes_every_column(self):
        for part in history_schema()['$defs'].values():
            assert all(rule['description'] for rule in part['properties'].values())


def test_model_section_decides(tmp_path):
    section = {
        'Definition': 'trrip', 'Trials': 'trials.tsv', 'Ratings': 'ratings.tsv',
        'Equivalents': None, 'Method': 'woods2003', 'Thresholds': {'trrip': {'min_cpz_mg': 300}},
    }  # fmt: skip
    trials = [{'participant_id': 'sub-01', 'trial': i, **t} for i, t in enumerate(FAILED, 1)]
    pd.DataFrame(trials).to_csv(tmp_path / 'trials.tsv', sep='\t', index=False)
    pd.DataFrame([{'participant_id': 'sub-01', **ILL}]).to_csv(
        tmp_path / 'ratings.tsv', sep='\t', index=False
    )
    result = cl.classify_for_model(section, tmp_path)
    # Risperidone 6 mg is 300 mg of chlorpromazine by Woods, 600 mg by Gardner.
    assert result.labels['trrip'].item() == 'TRS'
    assert result.doses['cpz_mg'].tolist() == [300, 400]
    assert list(result.labels) == ['participant_id', 'trrip', 'trrip_lacks']
    assert cl.classify_for_model({**section, 'Definition': None}, tmp_path) is None
    people = pd.DataFrame({'participant_id': ['sub-01'], 'trrip': ['mine']})
    with pytest.raises(InputDataError, match="'trrip'"):
        cl.join_labels(people, result)


def test_unknown_names_are_refused():
    with pytest.raises(SettingsError, match='trrip'):
        groups(FAILED, ILL, 'trip')
    with pytest.raises(SettingsError, match='min_cpz_mg'):
        load_thresholds({'trrip': {'min_dose': 1}})


def test_outputs_are_declared_and_stable(tmp_path):
    result = groups(FAILED, ILL, *DEFINITIONS)
    paths = cl.write_groups(result, tmp_path)
    before = {key: path.read_bytes() for key, path in paths.items()}
    cl.write_groups(result, tmp_path)
    for key, path in paths.items():
        assert path.read_bytes() == before[key]
        columns = path.read_text().splitlines()[0].split('\t')
        assert set(columns) == set(outputs.output_spec(key).columns)
    assert paths['clinical_groups'].relative_to(tmp_path).as_posix() == (
        'phenotype/treatmentresponse.tsv'
    )


class TestLogic:
    values = st.lists(st.sampled_from([True, False, None]), max_size=5)

    @given(values)
    def test_de_morgan(self, parts):
        left = logic.negate(logic.all_of(parts))
        assert left is logic.any_of([logic.negate(p) for p in parts])

    @given(values, st.integers(0, 4))
    def test_at_least_agrees_with_every_completion(self, parts, n):
        unknown = [i for i, p in enumerate(parts) if p is None]
        worlds = set()
        for mask in range(2 ** len(unknown)):
            world = list(parts)
            for bit, i in enumerate(unknown):
                world[i] = bool(mask >> bit & 1)
            worlds.add(sum(bool(p) for p in world) >= n)
        expected = worlds.pop() if len(worlds) == 1 else None
        assert logic.at_least(n, parts) is expected


def test_real_table_without_ratings_labels_nobody_but_controls(shared_data):
    people = pd.read_csv(shared_data / 'clinical' / 'ds000030' / 'participants.tsv', sep='\t')
    chosen = people[people['diagnosis'].isin(['CONTROL', 'SCHZ'])]
    ratings = chosen[['participant_id']].assign(patient=chosen['diagnosis'] != 'CONTROL')
    labels = cl.classify(pd.DataFrame(columns=['participant_id', 'drug']), ratings).labels
    known = labels.merge(chosen, on='participant_id')
    assert set(known.loc[known['diagnosis'] == 'CONTROL', 'trrip']) == {'HC'}
    assert set(known.loc[known['diagnosis'] == 'SCHZ', 'trrip']) == {UNDETERMINED}


class TestMaudsley:
    RATED = {'patient': True, 'history_complete': True, 'episode_months': 30,
             'depression_severity': 'severe', 'augmentation_failed': True}  # fmt: skip

    @staticmethod
    def failures(*drugs, **change):
        return [{'drug': d, 'drug_class': 'ssri', 'weeks': 8, 'adequate': True,
                 'response': 'inadequate', **change} for d in drugs]  # fmt: skip

    def test_a_full_history_has_the_printed_score(self):
        """3 for the duration, 4 for the severity, 2 for three drugs, 1 for augmentation, 1 for
        ECT."""
        ect = {'drug': 'ect', 'drug_class': 'ect', 'adequate': True, 'response': 'inadequate'}
        found = groups([*self.failures('a', 'b', 'c', 'c'), ect], self.RATED, 'msm')
        assert found.labels['msm'].item() == 'severe'
        text = found.trace.query("rule == 'stage severe'")['evidence'].item()
        assert text.startswith(
            'score 11: episode 3, severity 4, antidepressants 2, augmentation 1'
        )

    @pytest.mark.parametrize(
        ('change', 'expected'),
        [
            ({'episode_months': 6, 'depression_severity': 'mild', 'augmentation_failed': False},
             'mild'),  # 1 + 2 + 1
            ({'episode_months': 13, 'depression_severity': 'moderate'}, 'moderate'),
            ({}, 'moderate'),  # 3 + 4 + 1 + 1
            ({'depression_severity': 'psychotic'}, 'moderate'),  # 3 + 5 + 1 + 1: the upper end
            ({'patient': False}, 'HC'),
        ],
    )  # fmt: skip
    def test_stages(self, change, expected):
        assert label(self.failures('a'), {**self.RATED, **change}, 'msm') == expected

    def test_without_a_failed_trial_there_is_no_stage(self):
        assert label([], self.RATED, 'msm') == 'no failed trial'
        good = self.failures('a', response='adequate')
        assert label(good, self.RATED, 'msm') == 'no failed trial'

    def test_what_is_missing_counts_only_where_it_matters(self):
        mild = {**self.RATED, 'episode_months': 3, 'depression_severity': 'mild'}
        del mild['augmentation_failed']
        assert label(self.failures('a'), mild, 'msm') == 'mild'  # 4 or 5
        unknown = {**self.RATED, 'augmentation_failed': False}
        del unknown['depression_severity']
        assert label(self.failures('a'), unknown, 'msm') == UNDETERMINED  # 5 to 9
        open_end = {**self.RATED, 'history_complete': False}
        assert label(self.failures('a'), open_end, 'msm') == UNDETERMINED  # 9 to 14

    def test_the_history_form_can_rate_adequacy(self):
        trial = self.failures('a')[0]
        del trial['adequate']
        assert label([{**trial, 'athf': 3}], ILL, 'trd') == 'TRD'
        assert label([{**trial, 'athf': 2}], ILL, 'trd') == 'not TRD'
        assert label([{**trial, 'athf': 2, 'adequate': True}], ILL, 'trd') == UNDETERMINED
        wrong = pd.DataFrame([{'participant_id': 'sub-01', **trial, 'athf': 6}])
        with pytest.raises(InputDataError, match='athf'):
            read_records(wrong, 'trial')


@pytest.mark.parametrize('written', ['01', 'sub-01', 'Sub-01', ' sub-01 '])
def test_participants_of_a_history_are_read_as_in_all_tables(tmp_path, written):
    (tmp_path / 't.tsv').write_text(f'participant_id\ttrial\tdrug\n{written}\t1\tclozapine\n')
    records = list(read_records(read_table(tmp_path / 't.tsv'), 'trial', 't.tsv'))
    assert [record['participant_id'] for record in records] == ['sub-01']
