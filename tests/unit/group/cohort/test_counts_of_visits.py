"""Trials drawn at random: who is followed, drops out, comes back or has a score, counted right.

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

from bids_acc.group.cohort.reading import load_cohort, plan_group
from bids_acc.group.statistics.model.declaration import parse_model
from bids_acc.group.statistics.run import run_statistics

VISITS = ('baseline', 'week2', 'week10')
"""By letters week10 comes before week2."""
ARMS = ('placebo', 'drug')
MODEL = parse_model({
    'Name': 'm', 'Group': {'Column': 'arm', 'Levels': ['HC', *ARMS]}, 'Permutations': 0,
    'Mrs': {'Primary': ['Glu'], 'Relation': None}, 'Mixture': {'Measures': []},
    'Nuisance': {'IfDifferent': False}, 'Replication': {'Rule': 'none'},
    'Sessions': {'Improvement': {'Score': 'madrs', 'Threshold': 50}},
})  # fmt: skip


@dataclass(frozen=True)
class Person:
    """What is true of one person, and how it is written."""

    number: int
    arm: str
    came: tuple[bool, bool, bool]
    passes: tuple[bool, bool, bool]
    """Whether the spectrum passes its gate, by visit."""
    score: tuple[int | None, int | None, int | None]
    told: str
    """Whether the table of visits tells the arm at every visit or at the first one only."""
    prefix: bool
    """Whether visits are written with ``ses-``."""

    @property
    def label(self) -> str:
        """Name of the folder of results."""
        return f'sub-{self.number:03d}'

    @property
    def visits(self) -> tuple[str, ...]:
        """Visits that took place; controls are seen once."""
        last = 1 if self.arm == 'HC' else len(VISITS)
        return tuple(v for v, came in zip(VISITS[:last], self.came, strict=False) if came)

    def has(self, visit: str) -> bool:
        """Tell whether there is a value that counts."""
        return visit in self.visits and self.passes[VISITS.index(visit)]

    def rated(self, visit: str) -> int | None:
        """Return the score at a visit."""
        return self.score[VISITS.index(visit)] if visit in self.visits else None


often = st.sampled_from([True, True, True, False])
people = st.builds(
    Person, number=st.integers(1, 200), arm=st.sampled_from(['HC', *ARMS]),
    came=st.tuples(often, often, often), passes=st.tuples(often, often, often),
    score=st.tuples(*[st.none() | st.integers(1, 40)] * 3),
    told=st.sampled_from(['always', 'first']), prefix=st.booleans(),
).filter(lambda one: one.visits)  # fmt: skip
ANCHORS = tuple(
    Person(300 + i, arm, (True,) * 3, (True,) * 3, (30, 20, 10 + i), 'always', True)
    for i, arm in enumerate(['HC', *ARMS] * 3)
)
"""Enough complete people that every analysis can be made."""


def write(cohort: tuple[Person, ...], root: Path) -> None:
    """Write results and tables."""
    rng = np.random.default_rng(0)
    rows = ['participant_id\tage']
    for one in cohort:
        rows.append(f'{one.label}\t{rng.integers(18, 60)}')
        lines = ['session_id\tarm\tmadrs']
        for visit in one.visits:
            arm = one.arm if one.told == 'always' or visit == one.visits[0] else 'n/a'
            score = one.rated(visit)
            lines.append(
                f'{"ses-" * one.prefix}{visit}\t{arm}\t{"n/a" if score is None else score}'
            )
            folder = root / one.label / f'ses-{visit}' / 'mrs'
            folder.mkdir(parents=True)
            stem = f'{one.label}_ses-{visit}_voi-ACC'
            verdict = 'pass' if one.passes[VISITS.index(visit)] else 'fail'
            (folder / f'{stem}_desc-quantities_svs.tsv').write_text(
                'metabolite\tunit_scheme\tvalue\tcrlb_pct\tgate\tgate_reason\n'
                f'Glu\tratio_tcr\t{rng.normal(1, 0.1):.4f}\t5\t{verdict}\tn/a\n'
            )
            (folder / f'{stem}_desc-qualitycontrol_svs.tsv').write_text(
                f'snr_lcm\tgate\tgate_reasons\n{rng.normal(20, 2):.3f}\t{verdict}\tn/a\n'
            )
        (root / one.label / f'{one.label}_sessions.tsv').write_text('\n'.join(lines) + '\n')
    (root / 'participants.tsv').write_text('\n'.join(rows) + '\n')


def counts(cell: object) -> dict[str, int]:
    """Read a cell such as ``drug=3;placebo=4``."""
    pairs = [part.split('=') for part in str(cell).split(';')] if cell else []
    return {name: int(number) for name, number in pairs}


def shares(cell: str) -> dict[str, tuple[int, int]]:
    """Read a cell such as ``drug: 3/12 (25 %); placebo: 1/12 (8 %)``."""
    found = {}
    for part in cell.split('; '):
        arm, _, rest = part.partition(': ')
        event, _, size = rest.partition(' ')[0].partition('/')
        found[arm] = (int(event), int(size))
    return found


def only(table: pd.DataFrame, **where: str) -> pd.Series:
    """Return the one row that fits."""
    for column, value in where.items():
        table = table[table[column] == value]
    assert len(table) == 1, where
    return table.iloc[0]


@settings(max_examples=12)
@given(st.lists(people, max_size=12, unique_by=lambda one: one.number))
def test_change_rates_and_dropouts_agree_with_an_independent_count(tmp_path_factory, drawn):
    root = tmp_path_factory.mktemp('trial')
    cohort = (*drawn, *ANCHORS)
    write(cohort, root)
    read = load_cohort(root, plan_group(root))
    tables = run_statistics(
        MODEL, None, read.mrs, read.participants, read.qc, np.random.default_rng(1)
    )
    change, trial = tables['change'], tables['trial']
    followed = [one for one in cohort if one.arm in ARMS]

    for later in VISITS[1:]:
        contrast = f'ses-{later} - ses-baseline'
        for arm in ARMS:
            pairs = [one for one in followed if one.arm == arm
                     and one.has('baseline') and one.has(later)]  # fmt: skip
            row = only(change, analysis='paired change', contrast=contrast, term=arm)
            assert row['n'] == len(pairs)
            assert row['n'] + sum(counts(row['excluded']).values()) == sum(
                one.arm == arm and bool({'baseline', later} & set(one.visits)) for one in followed
            )

    everybody = only(change, analysis='mixed model', term='session_id:group')
    usable = [one for one in followed if any(map(one.has, VISITS))]
    assert counts(everybody['n_per_group']) == Counter(one.arm for one in usable)
    assert f'{sum(map(one_has, usable))} observations' in everybody['note']

    left = {one.label for one in followed if set(one.visits) != set(VISITS)}
    table = tables.get('dropouts', pd.DataFrame(columns=['participant_id']))
    assert set(table['participant_id']) == left
    gone = shares(only(trial, analysis='dropout rate')['description'])
    response = shares(only(trial, analysis='response rate')['description'])
    for arm in ARMS:
        own = [one for one in followed if one.arm == arm]
        assert gone[arm] == (sum(VISITS[-1] not in one.visits for one in own), len(own))
        began = [one for one in own if one.rated('baseline') is not None]
        assert response[arm] == (sum(map(halved, began)), len(began))


def one_has(one: Person) -> int:
    """Count the values of a person."""
    return sum(map(one.has, VISITS))


def halved(one: Person) -> bool:
    """Tell whether the score fell by half; without a last one it did not."""
    first, last = one.rated('baseline'), one.rated(VISITS[-1])
    return first is not None and last is not None and 1 - last / first >= 0.5
