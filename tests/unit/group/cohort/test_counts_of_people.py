"""Cohorts drawn at random, written as people write them: everybody is counted once, and right.

The truth is drawn first and counted by plain loops over it; the package reads the files only.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from bids_acc.group.cohort.people import People, join_phenotype
from bids_acc.group.cohort.reading import load_cohort, plan_group
from bids_acc.group.statistics.model.declaration import parse_model
from bids_acc.group.statistics.run import run_statistics
from bids_acc.group.statistics.study.sessions import visit_order

MISSING = ('n/a', 'NA', 'NaN', 'unknown', '', '.', '#N/A')
MODEL = parse_model({
    'Name': 'm', 'Group': {'Column': 'group', 'Levels': ['HC', 'TRS']},
    'Covariates': [{'Name': 'age'}, {'Name': 'iq'}], 'Permutations': 0,
    'Mrs': {'Primary': ['Glu'], 'Relation': None}, 'Mixture': {'Measures': []},
    'Nuisance': {'IfDifferent': False},
})  # fmt: skip


@dataclass(frozen=True)
class Person:
    """What is true of one person, and how it is written."""

    number: int
    group: str | None
    age: float | None
    iq: float | None
    listed: bool
    """Whether participants.tsv has a row."""
    spelling: int
    word: str
    """For what is missing."""
    twice: bool
    """Whether a row of a table stands twice."""
    visits: tuple[str, ...]
    """Sessions with results; ``()`` for results without sessions is not mixed in here."""
    gates: tuple[bool, bool]
    """Whether the spectrum passes, by visit."""
    acquisition: str

    @property
    def label(self) -> str:
        """Name of the folder of results."""
        return f'sub-{self.number:03d}'

    def written(self) -> str:
        """Id as somebody wrote it."""
        ways = (self.label, f'{self.number:03d}', str(self.number), f' {self.label} ',
                f'Sub-{self.number:03d}', f'{self.number}.0')  # fmt: skip
        return ways[self.spelling]


numbers = st.one_of(st.none(), st.integers(18, 70).map(float))
people = st.builds(
    Person, number=st.integers(1, 200), group=st.sampled_from(['HC', 'TRS', 'HC', 'TRS', None]),
    age=numbers, iq=numbers, listed=st.sampled_from([True] * 6 + [False]),
    spelling=st.integers(0, 5), word=st.sampled_from(MISSING), twice=st.booleans(),
    visits=st.sampled_from([('pre', 'post'), ('pre',), ('post',)]),
    gates=st.tuples(st.booleans() | st.just(True), st.booleans() | st.just(True)),
    acquisition=st.sampled_from(['acq-a_voi-ACC', 'acq-b_voi-ACC']),
)  # fmt: skip
ANCHORS = tuple(
    Person(300 + i, group, 30.0 + 3 * i, 90.0 + (i * i) % 17, True, 0, 'n/a', False, ('pre',),
           (True, True), 'acq-a_voi-ACC')
    for i, group in enumerate(['HC', 'TRS'] * 4)
)  # fmt: skip
"""Enough complete people that every analysis can be made."""


def cell(value: float | None, word: str) -> str:
    """Write a number, or a word for missing."""
    return word if value is None else f'{value:g}'


def write(cohort: tuple[Person, ...], root: Path) -> None:
    """Write results and tables."""
    rng = np.random.default_rng(0)
    rows, phenotype = ['participant_id\tgroup\tage'], ['participant_id\tiq']
    for one in cohort:
        if one.listed:
            row = f'{one.written()}\t{one.group or one.word}\t{cell(one.age, one.word)}'
            rows += [row] * (1 + one.twice)
            line = f'{one.written()}\t{cell(one.iq, one.word)}'
            phenotype += [line] * (1 + one.twice)
        for visit in one.visits:
            passed = one.gates[visit == 'post']
            folder = root / one.label / f'ses-{visit}' / 'mrs'
            folder.mkdir(parents=True)
            stem = f'{one.label}_ses-{visit}_{one.acquisition}'
            verdict = 'pass' if passed else 'fail'
            (folder / f'{stem}_desc-quantities_svs.tsv').write_text(
                'metabolite\tunit_scheme\tvalue\tcrlb_pct\tgate\tgate_reason\n'
                f'Glu\tratio_tcr\t{rng.normal(1, 0.1):.4f}\t5\t{verdict}\tn/a\n'
            )
            (folder / f'{stem}_desc-qualitycontrol_svs.tsv').write_text(
                f'snr_lcm\tgate\tgate_reasons\n{rng.normal(20, 2):.3f}\t{verdict}\tn/a\n'
            )
    (root / 'participants.tsv').write_text('\n'.join(rows) + '\n')
    (root / 'phenotype').mkdir()
    (root / 'phenotype' / 'wais.tsv').write_text('\n'.join(phenotype) + '\n')


def analyse(root: Path) -> dict[str, pd.DataFrame]:
    """Read the files and run all analyses."""
    cohort = load_cohort(root, plan_group(root))
    known = {path.name for path in root.glob('sub-*')}
    joined = join_phenotype(
        People(cohort.participants), root / 'phenotype', {'iq'}, known, visit_order
    )
    return run_statistics(
        MODEL, None, cohort.mrs, joined.frame, cohort.qc, np.random.default_rng(1)
    )


def counts(cell_of_table: str) -> dict[str, int]:
    """Read a cell such as ``HC=3;TRS=4``."""
    pairs = [part.split('=') for part in cell_of_table.split(';')] if cell_of_table else []
    return {name: int(number) for name, number in pairs}


@settings(max_examples=15)
@given(st.lists(people, max_size=14, unique_by=lambda one: one.number))
def test_flow_and_analyses_agree_with_an_independent_count(tmp_path_factory, drawn):
    root = tmp_path_factory.mktemp('cohort')
    cohort = (*drawn, *ANCHORS)
    write(cohort, root)
    tables = analyse(root)

    in_groups = [one for one in cohort if one.listed and one.group and 'pre' in one.visits]
    used = [one for one in in_groups if one.gates[0]]
    complete = [one for one in used if one.age is not None and one.iq is not None]
    grouped = [one for one in cohort if one.listed and one.group]
    flow = tables['flow']
    glu = flow[flow['measure'] == 'Glu'].set_index('group')
    for level in ('HC', 'TRS'):
        assert glu.loc[level, 'n_participants'] == sum(one.group == level for one in in_groups)
        assert glu.loc[level, 'n_used'] == sum(one.group == level for one in used)
    left_out = flow[flow['excluded'] != ''].set_index('excluded')['n_participants'].to_dict()
    expected = {
        'group missing': len(cohort) - len(grouped),
        'no baseline session, ses-pre': len(grouped) - len(in_groups),
    }
    assert left_out == {reason: n for reason, n in expected.items() if n}
    assert glu['n_participants'].sum() + sum(left_out.values()) == len(cohort)

    rows = tables['mrs_group'].set_index('analysis')
    assert counts(rows.loc['mrs_t', 'n_per_group']) == Counter(one.group for one in used)
    ancova = rows.loc['mrs_ancova']
    assert counts(ancova['n_per_group']) == Counter(one.group for one in complete)
    lost = counts(ancova['excluded'])
    assert ancova['n'] + sum(lost.values()) == len(in_groups)
    assert lost.get('Glu failed quality gate', 0) == len(in_groups) - len(used)
    assert lost.get('age missing', 0) == sum(one.age is None for one in used)
