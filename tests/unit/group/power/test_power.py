"""Power of a declared model: against the noncentral F, and what the command says."""

from __future__ import annotations

import pandas as pd
import pytest
from statsmodels.stats.power import FTestAnovaPower, TTestIndPower

from bids_acc.cli.power import main
from bids_acc.group.power.simulation import Assumptions, power_table, smallest_sizes
from bids_acc.group.statistics.model.declaration import parse_model

STUDIES = 1000
BAND = 4 * (0.25 / STUDIES) ** 0.5
"""Four standard errors of a share."""


def model(levels=('HC', 'TRS'), **changes):
    group = {'Column': 'group', 'Levels': list(levels)}
    return parse_model({'Name': 'p', 'Group': group, **changes})


def powers(declared, given, sizes=(25,), seed=1):
    table = power_table(declared, given, sizes, STUDIES, seed)
    return table.set_index(['n_per_group', 'test'])['power']


def test_one_test_of_two_groups_is_the_t_test():
    found = powers(model(), Assumptions({'TRS': 0.7}, n_tests=1), (15, 30))
    for size in (15, 30):
        expected = TTestIndPower().power(0.7, size, 0.05)
        assert found[size, 'group effect'] == pytest.approx(expected, abs=BAND)
        assert found[size, 'TRS - HC'] == pytest.approx(found[size, 'group effect'])


def test_three_groups_are_the_analysis_of_variance():
    found = powers(model(('HC', 'FL', 'TRS')), Assumptions({'TRS': 0.8}, n_tests=1), (20,))
    means = pd.Series([0, 0, 0.8])
    f = float(((means - means.mean()) ** 2).mean() ** 0.5)
    expected = FTestAnovaPower().power(f, 60, 0.05, k_groups=3)
    assert found[20, 'group effect'] == pytest.approx(expected, abs=BAND)


def test_bonferroni_is_a_test_at_a_sixteenth():
    found = powers(model(Correction='bonferroni'), Assumptions({'TRS': 0.9}))
    expected = TTestIndPower().power(0.9, 25, 0.05 / 16)
    assert found[25, 'group effect'] == pytest.approx(expected, abs=BAND)
    assert found[25, 'any false positive'] <= 0.05 + BAND


def test_replication_in_two_independent_cohorts_is_the_square():
    given = Assumptions({'TRS': 0.8}, n_tests=1)
    alone = powers(model(), given)[25, 'group effect']
    both = powers(model(), Assumptions({'TRS': 0.8}, 1, n_cohorts=2), seed=2)
    assert both[25, 'group effect'] == pytest.approx(alone**2, abs=BAND)


def test_nothing_is_found_at_the_level():
    found = powers(model(Covariates=[{'Name': 'age', 'Shape': 'spline'}]),
                   Assumptions({}, n_tests=1))  # fmt: skip
    assert found[25, 'group effect'] == pytest.approx(0.05, abs=0.03)


def test_contrasts_and_covariates_of_some_groups_are_simulated():
    declared = model(
        ('HC', 'FL', 'TRS'),
        Covariates=[{'Name': 'dose', 'OnlyIn': ['FL', 'TRS']},
                    {'Name': 'class', 'Kind': 'categorical', 'OnlyIn': ['FL', 'TRS']}],
        Contrasts=[{'Name': 'ill', 'Weights': {'FL': 0.5, 'TRS': 0.5, 'HC': -1}}],
    )  # fmt: skip
    table = power_table(declared, Assumptions({'TRS': 1.0, 'FL': 1.0}), (12, 40), 100, 1)
    found = table.set_index(['n_per_group', 'test'])
    assert found.loc[(40, 'ill'), 'assumed'] == 1
    assert found.loc[(40, 'TRS - FL'), 'assumed'] == 0
    assert found.loc[(12, 'ill'), 'power'] < found.loc[(40, 'ill'), 'power'] > 0.6
    assert 'TRS - FL' not in smallest_sizes(table)


def test_the_command_writes_table_figure_and_assumptions(tmp_path, capsys):
    arguments = ['acc-structure', '--n', '30', '8', '--effect', 'TRS=-1', '--studies', '40',
                 '--out', str(tmp_path)]  # fmt: skip
    assert main(arguments) == 0
    first = (tmp_path / 'power.tsv').read_bytes()
    assert main(arguments) == 0
    assert (tmp_path / 'power.tsv').read_bytes() == first
    names = {p.name for p in tmp_path.iterdir()}
    assert names == {'power.tsv', 'power.json', 'power.svg', 'paper'}
    assert {p.name for p in (tmp_path / 'paper').iterdir()} == {'power.pdf', 'power.png'}
    assert 'TRS - HC: power of 0.8' in capsys.readouterr().out


@pytest.mark.parametrize(
    ('arguments', 'said'),
    [
        (['acc-structure', '--n', '20', '--effect', 'XX=1'], 'the model has no such group'),
        (['acc-structure', '--n', '20', '--effect', 'HC=1'], 'this is the reference'),
        (['acc-structure', '--n', '20', '--effect', 'TRS'], 'write GROUP=SD'),
        (['acc-structure', '--n', '2', '--effect', 'TRS=1'], 'at least 3 people'),
        (['acc-struct', '--n', '20', '--effect', 'TRS=1'], "did you mean 'acc-structure'"),
        (
            ['acc-structure', '--n', '20', '--effect', 'TRS=1', '--affected', '17'],
            'choose 1 to 16',
        ),
    ],
)  # fmt: skip
def test_wrong_options_are_said_in_words(arguments, said, capsys):
    assert main(arguments) == 64
    assert said in capsys.readouterr().err
