"""What the cohort's page makes of the tables of statistics."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd

from bids_acc.group.formulas.linear import t_two_sided
from bids_acc.group.page.content import shown_tables
from bids_acc.group.page.parcels import names_of_parcels
from bids_acc.group.statistics.model.declaration import parse_model
from bids_acc.group.statistics.rows.kinds import Effect, TTest
from bids_acc.group.statistics.rows.row import Family, Row, finish_table
from bids_acc.report.findings import NAMED, findings_in_brief, significant_findings
from bids_acc.report.group_page import GroupPage, compact, render_group_page


def t_test(value: float) -> TTest:
    return TTest(value=value, df2=36.0, p=t_two_sided(value, 36.0))


T = {'test': t_test(3.0), 'n': 38}


def test_the_page_of_a_study_in_which_nothing_passed_the_gate():
    table = finish_table([Row(analysis='posthoc', note='not done: nothing')], {}, Family())
    content = {'Name': 'm', 'Group': {'Column': 'g', 'Levels': ['a', 'b']}}
    model = parse_model({**content, 'PostHoc': {'Report': 'plain'}})
    shown = shown_tables(SimpleNamespace(model=model, tables={'posthoc': table}))
    assert compact(shown['posthoc'])['note'].tolist() == ['not done: nothing']
    assert compact(table.iloc[:0]).empty


def test_only_one_of_two_kinds_of_post_hoc_test_is_shown():
    rows = [Row(analysis=name, family=name, **T) for name in ('posthoc', 'posthoc_plain')]
    content = {'Name': 'm', 'Group': {'Column': 'g', 'Levels': ['a', 'b']}}
    for kind, wanted in (('plain', 'posthoc_plain'), ('adjusted', 'posthoc')):
        model = parse_model({**content, 'PostHoc': {'Report': kind}})
        tables = {'posthoc': finish_table(rows, {}, Family())}
        shown = shown_tables(SimpleNamespace(model=model, tables=tables))
        assert shown['posthoc']['analysis'].tolist() == [wanted]


def test_a_primary_hypothesis_is_not_called_corrected_and_variants_are_no_findings():
    rows = [
        Row(analysis=name, response='Glu', contrast='a - b', family=family, **T)
        for name, family in (('mrs_t', 'mrs_primary'), ('mrs_nuisance', 'mrs_primary nuisance'),
                             ('mrs_t', 'mrs_secondary'))
    ]  # fmt: skip
    families = {'mrs_primary': Family('none')}
    tables = {'mrs_group': finish_table(rows, families, Family('bonferroni'))}
    found = significant_findings(tables, 0.05)
    assert len(found) == 2
    assert found['evidence'].str.contains('uncorrected p = 0.005').sum() == 1
    nothing = {'mrs_group': pd.DataFrame(tables['mrs_group'].assign(p_corrected=0.5))}
    assert significant_findings(nothing, 0.05).empty


def test_every_cohort_stands_beside_the_one_with_the_finding():
    def row(cohort: str, effect: float, value: float) -> Row:
        return Row(analysis='posthoc', cohort=cohort, response='md_c1', metric='md', component=1,
                   term='group', contrast='TRS - HC', family=f'posthoc {cohort}', n=38,
                   effect=Effect('difference of means', effect), test=t_test(value))  # fmt: skip

    rows = [row('one', 1.0, 3.0), row('two', 0.2, 0.6), row('three', -1.1, -2.8)]
    relation = Row(analysis='clinical', cohort='two', response='md_c1', metric='md',
                   component=1, term='Glx', family='clinical', n=38, test=t_test(-3.0),
                   effect=Effect('partial_r', -3.0 / (9.0 + 36.0) ** 0.5))  # fmt: skip
    tables = {
        'posthoc': finish_table(rows, {}, Family()),
        'clinical': finish_table([relation], {}, Family()),
    }
    found = significant_findings(tables, 0.05)
    assert found['finding'].tolist() == [
        'MD of parcel 1 is higher in TRS than in HC', 'MD of parcel 1 falls with Glx',
    ]  # fmt: skip
    first, second = found.to_dict('records')
    assert first['holds in'] == '1 of 3; the opposite in three'
    assert first['two'] == 'difference of means 0.200, corrected p = 0.552, n = 38'
    assert second['holds in'] == '1 of 3'
    assert second['one'] == second['three'] == 'not tested'


def test_the_summary_names_what_holds_in_most_cohorts():
    holds = ['1 of 3', '2 of 3', '3 of 3', '1 of 3; the opposite in three', '1 of 1']
    table = pd.DataFrame({'finding': list('abcde'), 'holds in': holds})
    assert findings_in_brief(table).startswith('5 findings, 2 in more than one cohort: c; b. See')
    alone = findings_in_brief(table.iloc[[0, 3, 4]])
    assert alone.startswith('3 findings, none in more than one cohort. See')
    one_cohort = pd.DataFrame({'finding': list('abcdefg'[: NAMED + 2])})
    assert findings_in_brief(one_cohort).startswith('6 findings: a; b; c; d; and 2 more. See')
    assert findings_in_brief(table.iloc[:0]).startswith('No comparison is significant')


def test_a_parcel_has_its_place_in_its_name_where_all_cohorts_agree(monkeypatch):
    places = {
        'one': {1: SimpleNamespace(words='dorsal'), 2: SimpleNamespace(words='subgenual')},
        'two': {1: SimpleNamespace(words='dorsal'), 2: SimpleNamespace(words='perigenual')},
    }
    monkeypatch.setattr(
        'bids_acc.group.page.parcels.places_of', lambda one, _: places[one.columns]
    )
    parcellations = {
        name: SimpleNamespace(columns=name, n_components=3, labels=np.zeros(3)) for name in places
    }
    result = SimpleNamespace(parcellations=parcellations, data=None)
    assert names_of_parcels(result) == {1: 'parcel 1 (dorsal)', 2: 'parcel 2', 3: 'parcel 3'}


def test_groups_are_columns_beside_their_test():
    rows = [
        Row(analysis='demographics', response='age', family='demographics', **T,
            extra={'description': 'a: 41 (9), n=20; b: 39 (8), n=18; n: 40 (7), n=9'}),
        Row(analysis='demographics', response='score', note='not done: no value in this cohort'),
    ]  # fmt: skip
    shown = compact(finish_table(rows, {}, Family()))
    assert shown['a'].tolist() == ['41 (9), n=20', '']
    assert shown['group n'].tolist() == ['40 (7), n=9', '']
    assert shown.columns.get_loc('b') < shown.columns.get_loc('test')
    # however many groups there are, p is not pushed out of sight
    assert shown.columns.get_loc('p') < shown.columns.get_loc('a')


def test_a_score_is_named_beside_its_scope():
    row = Row(analysis='clinical', response='Glu', term='panss_total', contrast='all groups',
              family='clinical', **T)  # fmt: skip
    table = finish_table([row], {}, Family())
    assert compact(table)['term'].tolist() == ['panss_total: all groups']
    words = significant_findings({'clinical': table}, 0.05)['finding'].tolist()
    assert words == ['Glu: panss_total: all groups']


def test_functional_responses_stand_under_function():
    rows = [
        Row(analysis='ancova', response=name, family='ancova', **T)
        for name in ('thickness_c1', 'fc__Seitzman__sgACC_DMN__both')
    ]
    page = GroupPage(summary=(), tables={'ancova': finish_table(rows, {}, Family())})
    text = render_group_page(page, '')
    order = [text.index(words) for words in (
        'Parcel metrics between groups', 'thickness',
        'Functional measures between groups', 'sgACC',
    )]  # fmt: skip
    assert order == sorted(order)


def quality_row(cohort: str, name: str, means: str, note: str = '', analysis='quality') -> Row:
    test = {} if note else T
    return Row(analysis=analysis, cohort=cohort, response=name, term='group', note=note,
               extra={'description': means}, **test)  # fmt: skip


NO_VARIATION = 'not done: no variation'


def quality_page(*rows: Row) -> str:
    table = finish_table(list(rows), {}, Family())
    return render_group_page(GroupPage(summary=(), tables={'qc_by_group': table}), '')


def test_measures_that_do_not_vary_are_one_sentence():
    page = quality_page(
        quality_row('A', 'dwi_fd_mean', 'HC: 0.2 (0.1), n=9; TRS: 0.3 (0.1), n=9'),
        quality_row('A', 'mrs_te_s', 'HC: 0.03 (0), n=9; TRS: 0.03 (0), n=9', NO_VARIATION),
        quality_row('B', 'mrs_te_s', 'HC: 0.03 (0), n=8; TRS: 0.03 (0), n=8', NO_VARIATION),
        quality_row('A', 'dwi_n_volumes', 'HC: 35 (0), n=9; TRS: 35 (0), n=9', NO_VARIATION),
        quality_row('B', 'dwi_n_volumes', 'HC: 33 (0), n=8; TRS: 33 (0), n=8', NO_VARIATION),
    )
    assert 'spectrum: echo time (s) = 0.03' in page
    assert 'diffusion: volumes = 35 (A), 33 (B)' in page
    assert '1 row<' in page
    assert '0.03 (0)' not in page
    only = quality_page(quality_row('A', 'mrs_te_s', 'HC: 0.03 (0), n=9', NO_VARIATION))
    assert 'echo time (s) = 0.03.' in only
    assert 'Quality measures compared' not in only


def test_a_measure_that_varies_before_the_gate_stays_in_the_table():
    page = quality_page(
        quality_row('A', 'gate_Glx', 'HC: fail 1, pass 8; TRS: fail 3, pass 6'),
        quality_row('A', 'gate_Glx', 'HC: pass 8; TRS: pass 6',
                    'not done: one category or one group only', 'quality_passed'),
    )  # fmt: skip
    assert '2 rows<' in page
    assert 'do not vary' not in page


def test_cohorts_with_other_groups_have_tables_of_their_own():
    rows = [
        quality_row('A', 'dwi_fd_mean', 'HC: 0.2 (0.1), n=9; TRS: 0.3 (0.1), n=9'),
        quality_row('B', 'dwi_fd_mean', 'HC: 0.2 (0.1), n=9; URS: 0.3 (0.1), n=9'),
    ]
    page = quality_page(*rows)
    for cohort, own, other in (('A', 'TRS', 'URS'), ('B', 'URS', 'TRS')):
        part = page.split(f'Quality measures compared between groups, {cohort}</h3>')[1]
        head = part.split('</thead>')[0]
        assert f'>{own}</th>' in head
        assert f'>{other}</th>' not in head
    same = quality_page(
        rows[0], quality_row('B', 'dwi_fd_mean', 'HC: 1 (1), n=9; TRS: 2 (1), n=9')
    )
    assert same.count('Quality measures compared between groups</h3>') == 1


def test_a_test_statistic_stays_on_one_line():
    page = quality_page(quality_row('A', 'dwi_fd_mean', 'HC: 0.2 (0.1), n=9; TRS: 0.3 (0.1), n=9'))
    assert '<td class="whole">t(36) = 3.00</td>' in page


def test_measures_of_the_same_people_are_one_row_of_the_flow():
    flow = pd.DataFrame(
        {
            'cohort': 'A', 'group': [*['HC'] * 6, 'TRS'], 'label': None,
            'measure': ['md_c1', 'thickness_c1', 'Glx', 'md_c3', 'md_c2_L', 'Glu', 'md_c1'],
            'people': 9, 'measured': 9, 'used': [9, 9, 7, 9, 9, 9, 9], 'excluded': None,
        }
    )  # fmt: skip
    page = render_group_page(GroupPage(summary=(), tables={'flow': flow}), '')
    assert '3 rows<' in page
    assert 'MD of parcels 1 and 3, thickness of parcel 1, MD of parcel 2, left, Glu</td>' in page
    assert '>Glx</td>' in page
    assert page.count('>9</td>') == 8
