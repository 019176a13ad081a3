from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bids_acc.clinical import equivalents as eq
from bids_acc.exceptions import BidsAccError, InputDataError

TABLE = eq.load_equivalents()


@pytest.mark.parametrize(
    ('drug', 'dose', 'expected'),
    [('risperidone', 6, 600), ('haloperidol', 10, 600), ('quetiapine', 750, 600),
     ('clozapine', 400, 600), ('chlorpromazine', 250, 250), ('sulpiride', 800, 600)],
)  # fmt: skip
def test_gardner(drug, dose, expected):
    assert eq.chlorpromazine_equivalent(drug, dose) == pytest.approx(expected)


def test_abstract_of_gardner_extremes():
    # "ratios of oral agents ranged from 0.025 for sulpiride to 10.0 for trifluperidol"
    ratios = {
        drug: 20 / entry.dose_mg
        for (method, drug, route), entry in TABLE.items()
        if method == 'gardner2010' and route == 'oral'
    }
    assert min(ratios.items(), key=lambda kv: kv[1]) == ('sulpiride', 0.025)
    assert max(ratios.items(), key=lambda kv: kv[1]) == ('trifluperidol', 10.0)


@pytest.mark.parametrize(('drug', 'dose'), [('risperidone', 2), ('olanzapine', 5),
                                            ('quetiapine', 75), ('ziprasidone', 60),
                                            ('aripiprazole', 7.5)])  # fmt: skip
def test_woods_abstract(drug, dose):
    assert eq.chlorpromazine_equivalent(drug, dose, method='woods2003') == pytest.approx(100)


def test_leucht_reference_is_one_mg_olanzapine():
    value = eq.chlorpromazine_equivalent('olanzapine', 10, method='leucht2015')
    assert value == pytest.approx(389)


def test_depot_is_spread_over_its_interval():
    fortnight = eq.chlorpromazine_equivalent(
        'flupenthixol decanoate', 40, route='depot', interval_days=14
    )
    month = eq.chlorpromazine_equivalent(
        'flupenthixol decanoate', 40, route='depot', interval_days=28
    )
    assert fortnight == pytest.approx(600)
    assert month == pytest.approx(300)


def test_depot_without_interval_is_unknown():
    assert np.isnan(eq.chlorpromazine_equivalent('haloperidol decanoate', 100, route='depot'))


def test_same_name_by_another_route_is_unknown():
    assert np.isnan(eq.chlorpromazine_equivalent('olanzapine', 10, route='depot'))


@given(st.floats(0.1, 2000), st.sampled_from(sorted(TABLE)))
def test_dose_is_proportional(dose, key):
    method, drug, route = key
    options = {'method': method, 'route': route, 'interval_days': 14.0, 'table': TABLE}
    once = eq.chlorpromazine_equivalent(drug, dose, **options)
    assert eq.chlorpromazine_equivalent(drug, 2 * dose, **options) == pytest.approx(2 * once)


def test_every_row_names_its_source():
    assert all(entry.source for entry in TABLE.values())
    assert {method for method, _, _ in TABLE} == {'gardner2010', 'leucht2015', 'woods2003'}


def test_own_table_replaces_the_shipped_one(tmp_path):
    path = tmp_path / 'own.tsv'
    path.write_text('\t'.join(eq.COLUMNS) + '\nmine\tNewdrug\toral\t2\t1\t100\tus\tn/a\n')
    table = eq.load_equivalents(path)
    value = eq.chlorpromazine_equivalent('newdrug', 4, method='mine', table=table)
    assert value == pytest.approx(200)


@pytest.mark.parametrize(
    ('content', 'told'),
    [
        (None, 'own.tsv'),
        (b'', 'own.tsv'),
        (b'drug\tequivalent\tsource\nquetiapine\t7,5\tus\n', "'7,5' is no number"),
    ],
    ids=['absent', 'empty', 'comma'],
)
def test_what_cannot_be_read_is_said_with_its_file(tmp_path, content, told):
    path = tmp_path / 'own.tsv'
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BidsAccError, match=told):
        eq.load_equivalents(path)


@pytest.mark.parametrize(
    'row',
    ['m\td\toral\t0\t1\t100\tus\tn/a', 'm\td\toral\t1\t1\tn/a\tus\tn/a',
     'm\td\toral\t1\t1\t100\t\tn/a', 'm\td\toral\t1\t1\t100\tus\tx\nm\tD\toral\t1\t1\t100\tus\tx'],
)  # fmt: skip
def test_bad_rows_are_refused(tmp_path, row):
    path = tmp_path / 'own.tsv'
    path.write_text('\t'.join(eq.COLUMNS) + '\n' + row + '\n')
    with pytest.raises(InputDataError):
        eq.load_equivalents(path)


def test_a_short_table_of_ones_own_needs_no_method(tmp_path):
    path = tmp_path / 'own.tsv'
    path.write_text('drug\tequivalent\tsource\nHaloperidol\t2\tthe clinic\nnewdrug\t50\tus\n')
    table = eq.load_equivalents(path)
    assert eq.chlorpromazine_equivalent('haloperidol', 6, table=table) == pytest.approx(300)
    assert eq.chlorpromazine_equivalent('newdrug', 25, table=table) == pytest.approx(50)
    assert np.isnan(eq.chlorpromazine_equivalent('olanzapine', 10, table=table))
    depot = '\troute\tinterval_days\n'
    path.write_text(
        'drug\tequivalent\tsource' + depot + 'xd\t50\tus\tdepot\t14\nx\t4\tus\tn/a\tn/a\n'
    )
    table = eq.load_equivalents(path)
    value = eq.chlorpromazine_equivalent('xd', 100, route='depot', interval_days=28, table=table)
    assert value == pytest.approx(100)
    assert eq.chlorpromazine_equivalent('x', 4, table=table) == pytest.approx(100)
    for bad in ('xd\t50\tus\tdepot\tn/a', 'x\t0\tus\toral\t1', 'x\t4\tn/a\toral\t1'):
        path.write_text('drug\tequivalent\tsource' + depot + bad + '\n')
        with pytest.raises(InputDataError, match='line 2'):
            eq.load_equivalents(path)


def test_a_table_of_another_encoding_is_read(tmp_path):
    path = tmp_path / 'own.tsv'
    text = 'drug\tequivalent\tsource\nquetiapine\t75\tKlinik Z\u00fcrich\n'
    path.write_bytes(text.encode('latin-1'))
    (entry,) = eq.load_equivalents(path).values()
    assert entry.source == 'Klinik Z\u00fcrich'


def test_an_interval_of_zero_days_is_no_interval():
    options = {'route': 'depot', 'interval_days': 0}
    assert np.isnan(eq.chlorpromazine_equivalent('haloperidol decanoate', 100, **options))
    assert eq.chlorpromazine_equivalent('olanzapine', 20, interval_days=0) == pytest.approx(600)
