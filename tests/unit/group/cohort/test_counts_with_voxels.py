"""Cohorts of several voxels, sites and raters, drawn at random: all tables count the same people.

The truth is drawn first and counted by plain loops over it; the package reads the files only, as
the command does: plan, people, verdicts, phenotype, measures (written and read back), flow and
analyses.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from bids_acc.group.cohort.exclusions import exclusions_table, honour, read_verdicts
from bids_acc.group.cohort.people import People, join_phenotype
from bids_acc.group.cohort.reading import load_cohort, plan_group
from bids_acc.group.measures.files import read_measures, write_measures
from bids_acc.group.measures.table import Measures, build_measures
from bids_acc.group.page.participant_flow import participant_flow
from bids_acc.group.statistics.model.declaration import parse_model
from bids_acc.group.statistics.run import run_statistics
from bids_acc.group.statistics.study.sessions import visit_order

GROUPS, SITES, VOXELS, VISITS = ('HC', 'TRS'), ('north', 'south'), ('ACC', 'PFC'), ('pre', 'post')
WORDS = ('n/a', 'NA', 'unbekannt', '', '#NV', '-')
STATES = ('pass', 'pass', 'pass', 'fail', 'absent')
MODEL = parse_model({
    'Name': 'm', 'Cohort': 'site', 'Group': {'Column': 'group', 'Levels': list(GROUPS)},
    'Covariates': [{'Name': 'iq'}], 'Permutations': 0,
    'Sessions': {'Baseline': 'pre', 'Order': list(VISITS)},
    'Mrs': {
        'Primary': ['Glu'], 'Relation': None,
        'Voxels': {voxel: [f'acq-{site}_voi-{voxel}' for site in SITES] for voxel in VOXELS},
    },
    'Mixture': {'Measures': []}, 'Nuisance': {'IfDifferent': False},
    'Replication': {'Rule': 'none'},
})  # fmt: skip


@dataclass(frozen=True)
class Person:
    """What is true of one person, and how it is written."""

    number: int
    group: str | None
    site: str | None
    scanned_at: str
    """Site by which the voxels are named; participants.tsv may not know it."""
    iq: float | None
    spelling: int
    word: str
    twice: bool
    visits: tuple[str, ...]
    states: tuple[str, str, str, str]
    """Of the voxels of the first visit and of those of the second."""
    left_out: str | None
    """Visit whose spectra a rater left out, or ``all``."""

    @property
    def label(self) -> str:
        """Name of the folder of results."""
        return f'sub-{self.number:03d}'

    def written(self) -> str:
        """Id as somebody wrote it; ``sub007`` is known by the results only."""
        if not self.spectra():
            return self.label
        ways = (self.label, f'{self.number:03d}', f'sub{self.number:03d}', f' {self.label}\u00a0',
                f'SUB-{self.number:03d}')  # fmt: skip
        return ways[self.spelling]

    def state(self, visit: str, voxel: str) -> str:
        """Return whether a spectrum passes, fails or is absent."""
        if visit not in self.visits:
            return 'absent'
        drawn = self.states[2 * VISITS.index(visit) + VOXELS.index(voxel)]
        return 'fail' if drawn == 'pass' and self.left_out in (visit, 'all') else drawn

    def spectra(self) -> list[str]:
        """Return the states of all spectra that there are."""
        found = [self.state(visit, voxel) for visit in self.visits for voxel in VOXELS]
        return [state for state in found if state != 'absent']


def person_of(number: st.SearchStrategy[int]) -> st.SearchStrategy[Person]:
    """Draw a person."""
    return st.builds(
        Person, number=number, group=st.sampled_from([*GROUPS, *GROUPS, 'other', None]),
        site=st.sampled_from([*SITES, *SITES, None]), scanned_at=st.sampled_from(SITES),
        iq=st.one_of(st.none(), st.integers(80, 130).map(float)), spelling=st.integers(0, 4),
        word=st.sampled_from(WORDS), twice=st.booleans(),
        visits=st.sampled_from([('pre', 'post'), ('pre',), ('post',), ()]),
        states=st.tuples(*[st.sampled_from(STATES)] * 4),
        left_out=st.sampled_from([None, None, None, 'pre', 'post', 'all']),
    )  # fmt: skip


PHASES = tuple(phase for phase in Phase if phase is not Phase.shrink)
"""A smaller failing cohort is not worth the minutes that finding it takes."""
ANCHORS = tuple(
    Person(300 + i, GROUPS[i % 2], SITES[i // 8], SITES[i // 8], 90.0 + (i * i) % 17, 0, 'n/a',
           False, VISITS, ('pass',) * 4, None)
    for i in range(16)
)  # fmt: skip
"""Enough complete people at each site that every analysis can be made."""


def write(cohort: Iterable[Person], root: Path) -> None:
    """Write results, tables and the verdicts of a rater."""
    rng = np.random.default_rng(0)
    rows, scores = ['participant_id\tgroup\tsite'], ['participant_id\tiq']
    verdicts = ['participant_id\tsession_id\tmodality\treason\trater']
    for one in cohort:
        line = f'{one.written()}\t{one.group or one.word}\t{one.site or one.word}'
        rows += [line] * (1 + one.twice)
        scores.append(f'{one.written()}\t{one.word if one.iq is None else f"{one.iq:g}"}')
        if one.left_out is not None:
            visit = 'n/a' if one.left_out == 'all' else one.left_out
            verdicts.append(f'{one.written()}\t{visit}\tmrs\tlipids\tAB')
        for visit in one.visits:
            for voxel in VOXELS:
                drawn = one.states[2 * VISITS.index(visit) + VOXELS.index(voxel)]
                if drawn != 'absent':
                    _write_spectrum(root, one, visit, voxel, drawn, rng.normal(1, 0.1))
    for name, lines in {'participants': rows, 'phenotype/wais': scores,
                        'code/exclude': verdicts}.items():  # fmt: skip
        (root / f'{name}.tsv').parent.mkdir(exist_ok=True)
        (root / f'{name}.tsv').write_text('\n'.join(lines) + '\n')


def _write_spectrum(
    root: Path, one: Person, visit: str, voxel: str, verdict: str, value: float
) -> None:
    """Write levels and quality of one spectrum."""
    folder = root / one.label / f'ses-{visit}' / 'mrs'
    folder.mkdir(parents=True, exist_ok=True)
    stem = f'{one.label}_ses-{visit}_acq-{one.scanned_at}_voi-{voxel}_desc'
    (folder / f'{stem}-quantities_svs.tsv').write_text(
        'metabolite\tunit_scheme\tvalue\tcrlb_pct\tgate\tgate_reason\n'
        f'Glu\tratio_tcr\t{value:.4f}\t5\t{verdict}\tn/a\n'
    )
    (folder / f'{stem}-qualitycontrol_svs.tsv').write_text(
        f'snr_lcm\tgate\tgate_reasons\n{10 + value:.3f}\t{verdict}\tn/a\n'
    )


def analyse(root: Path) -> tuple[dict[str, pd.DataFrame], Measures, pd.DataFrame]:
    """Do what the command does with the files; return analyses, measures and exclusions."""
    plan = plan_group(root)
    verdicts = read_verdicts(None, root, {(r['participant_id'], r['session_id']) for r in plan})
    cohort = honour(load_cohort(root, plan), verdicts)
    known = {path.name for path in root.glob('sub-*')}
    people = join_phenotype(
        People(cohort.participants), root / 'phenotype', {'iq'}, known, visit_order
    ).frame
    made = build_measures(people, None, cohort.mrs, cohort.qc, cohort.flow)
    measures = read_measures(write_measures(made, root, {}))
    tables = run_statistics(
        MODEL, None, measures.mrs, measures.people_with(set()), measures.qc,
        np.random.default_rng(1),
    )  # fmt: skip
    return tables, measures, exclusions_table(cohort, verdicts, None)


def count(cohort: Iterable[Person], holds: Callable[[Person], bool]) -> Counter[tuple[str, str]]:
    """Count people by site and group, ``n/a`` for what is not known."""
    return Counter((p.site or 'n/a', p.group or 'n/a') for p in cohort if holds(p))


def of_cell(text: str) -> dict[str, int]:
    """Read a cell such as ``HC=3;TRS=4``."""
    pairs = [part.split('=') for part in text.split(';')] if text else []
    return {name: int(number) for name, number in pairs}


def in_groups(one: Person) -> bool:
    """Tell whether the model knows group and site of a person."""
    return one.group in GROUPS and one.site is not None


@settings(max_examples=6, deadline=None, phases=PHASES)
@given(st.lists(person_of(st.integers(1, 200)), max_size=14, unique_by=lambda one: one.number))
def test_flow_measures_and_analyses_agree_with_an_independent_count(tmp_path_factory, drawn):
    root = tmp_path_factory.mktemp('cohort')
    cohort = (*drawn, *ANCHORS)
    write(cohort, root)
    tables, measures, excluded = analyse(root)

    wide = measures.wide
    rows = Counter(wide['participant_id'])
    assert rows == {
        one.label: max(
            1,
            len(
                [
                    v
                    for v in one.visits
                    if any(one.states[2 * VISITS.index(v) + i] != 'absent' for i in (0, 1))
                ]
            ),
        )
        for one in cohort
    }
    for voxel in VOXELS:
        gated = [n for n, m in measures.meanings.items() if m.quantity == 'gated' and voxel in n]
        values = wide[gated].notna().any(axis=1).sum()
        assert values == sum(one.state(v, voxel) == 'pass' for one in cohort for v in one.visits)

    flow = participant_flow(measures, MODEL, 'ses-pre')
    steps = {
        'listed': lambda one: True,
        'in_groups': in_groups,
        'results': lambda one: in_groups(one) and bool(one.spectra()),
        'passed': lambda one: in_groups(one) and 'pass' in one.spectra(),
        'analysed': lambda one: (
            in_groups(one) and 'pass' in [one.state('pre', voxel) for voxel in VOXELS]
        ),
    }
    for step, holds in steps.items():
        part = flow[(flow['modality'] == 'mrs') & (flow['step'] == step) & (flow['n'] > 0)]
        found = {(r['cohort'], r['group']): r['n'] for r in part.to_dict('records')}
        assert found == count(cohort, holds), step

    groups = tables['mrs_group']
    for site in SITES:
        for voxel in VOXELS:
            own = groups[(groups['cohort'] == site) & (groups['response'] == f'Glu_{voxel}')]
            used = [one for one in cohort if in_groups(one) and one.site == site
                    and one.state('pre', voxel) == 'pass']  # fmt: skip
            test = own[own['analysis'] == 'mrs_t'].iloc[0]
            assert of_cell(test['n_per_group']) == Counter(one.group for one in used)
            adjusted = own[own['analysis'] == 'mrs_ancova'].iloc[0]
            complete = [one for one in used if one.iq is not None]
            assert of_cell(adjusted['n_per_group']) == Counter(one.group for one in complete)
            assert of_cell(adjusted['excluded']).get('iq missing', 0) == len(used) - len(complete)

    failed = {
        (one.label, f'ses-{visit}') for one in cohort for visit in one.visits
        for voxel in VOXELS if one.state(visit, voxel) == 'fail'
    }  # fmt: skip
    named = excluded[excluded['modality'] == 'mrs']
    sessions = {one.label: [f'ses-{visit}' for visit in one.visits] for one in cohort}
    told = {
        (who, visit)
        for who, session in zip(named['participant_id'], named['session_id'], strict=True)
        for visit in ([session] if isinstance(session, str) else sessions[who])
    }  # fmt: skip
    there = {(one.label, f'ses-{visit}') for one in cohort for visit in one.visits
             if {one.state(visit, voxel) for voxel in VOXELS} != {'absent'}}  # fmt: skip
    assert told & there == failed
