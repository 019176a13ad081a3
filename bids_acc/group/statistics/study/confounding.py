"""Groups that were measured in different places or ways: what no analysis can tell apart.

Where two groups share no site, scanner, software, acquisition or data set, a difference between
them is as much one of the measurement. No covariate and no harmonisation corrects that; it is said
before any result and in each affected row.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from bids_acc.group.formulas.contingency import chi_squared
from bids_acc.group.statistics.study.data import KEYS, Study, as_text

PLACES = re.compile(
    r'(^|_)(sites?|scanner\w*|centre|center|institution\w*|manufacturer\w*|vendor|station\w*|'
    r'device\w*|machine|magnet\w*|hospital|h\u00f4pital|klinik\w*|clinic|zentrum|centro|standort|field_?strength|software\w*|version\w*|sequence|protocol|'
    r'acquisition|scheme|surface_source|dataset|coil|engine|wave|batch)(_|$)|^source$',
    re.IGNORECASE,
)
"""Columns that tell where or how somebody was measured."""
MOST_LEVELS = 40
FEW = 0.2
"""Share of the people of two groups, below which places that both have hardly help."""
UNEVEN_V, UNEVEN_P = 0.3, 0.001
"""From which association of group and place on it is said: Cramer's V of a medium size (w = .3 of
Cohen 1988, Statistical Power Analysis) that chance hardly makes (own convention)."""
NOT_ABOUT_MEASURES = frozenset({'demographics', 'flow', 'voxels', 'confounding', 'gate'})


@dataclass(frozen=True)
class Confounded:
    """Two groups that share no place, hardly one, or the same places unevenly."""

    cohort: str
    column: str
    groups: tuple[str, str]
    n_people: int
    n_comparable: int
    """People of both groups in places that have both."""
    places: Mapping[str, tuple[int, int]]
    """People of each group by place."""
    cramers_v: float = float('nan')
    """Association of group and place, where places are shared unevenly; NaN elsewhere."""

    @property
    def fully(self) -> bool:
        """Whether no place has both groups."""
        return self.n_comparable == 0

    def sentence(self) -> str:
        """Say what it means."""
        first, second = self.groups
        listed = ', '.join(
            f'{place}: {a} {first} and {b} {second}' for place, (a, b) in self.places.items()
        )
        where = '' if self.cohort == 'all' else f' in cohort {self.cohort}'
        if self.fully:
            return (
                f'{first} and {second} share no {self.column}{where} ({listed}): a difference '
                f'between them cannot be told from one of {self.column}, and no covariate or '
                'harmonisation corrects that.'
            )
        if self.cramers_v == self.cramers_v:
            return (
                f'{first} and {second} are spread unevenly over {self.column}{where} ({listed}; '
                f"Cramer's V {self.cramers_v:.2f}): part of a difference between them may be one "
                f'of {self.column}; name it as a covariate or as Cohort.'
            )
        return (
            f'{first} and {second} hardly share a {self.column}{where} ({listed}): only '
            f'{self.n_comparable} of {self.n_people} people are in a {self.column} that has both.'
        )


def with_places(study: Study) -> tuple[pd.DataFrame, list[str]]:
    """Return the baseline with all columns that tell where or how people were measured.

    Parameters
    ----------
    study : Study
        Columns of participants.tsv, text columns of the quality tables, and the label of the
        analysed spectra as ``mrs_acquisition``.
    """
    frame = study.baseline
    named = {study.model.content['Sites']['Column']}
    columns = [c for c in frame.columns if c in named or _tells_place(frame, str(c), study)]
    extra = [c for c in study.qc.columns if _tells_place(study.qc, str(c), study)]
    if extra and not study.qc.empty:
        # one row of a session: text of a second voxel or run would double its person in the counts
        qc = study.qc.drop_duplicates(KEYS)[[*KEYS, *extra]]
        frame = frame.drop(columns=[c for c in extra if c in frame]).merge(qc, on=KEYS, how='left')
    if len(study.voxels.used) == 1 and len(study.voxels.used[0].labels) > 1:
        labels = study.mrs.drop_duplicates(KEYS)[[*KEYS, 'label']]
        frame = frame.merge(labels.rename(columns={'label': 'mrs_acquisition'}), on=KEYS,
                            how='left')  # fmt: skip
        extra.append('mrs_acquisition')
    return frame, list(dict.fromkeys([*map(str, columns), *map(str, extra)]))


def _tells_place(frame: pd.DataFrame, column: str, study: Study) -> bool:
    """Tell whether a column says where or how people were measured."""
    reserved = {*KEYS, 'group', 'cohort', study.model.group.column, study.model.cohort}
    if column in reserved or not PLACES.search(column):
        return False
    return 2 <= frame[column].nunique() <= MOST_LEVELS


def confounded_groups(study: Study) -> list[Confounded]:
    """Find pairs of groups that share no place, in each cohort.

    Parameters
    ----------
    study : Study
        Data and model.

    Returns
    -------
    list of Confounded
        Fully confounded pairs in front.
    """
    frame, columns = with_places(study)
    adjusted = {covariate.column for covariate in study.model.covariates}
    found = [
        one
        for cohort, part in study.cohorts(frame)
        for column in columns
        for one in _pairs(cohort, part, column, study.group_levels(part), adjusted)
    ]
    return sorted(found, key=lambda one: not one.fully)


def _pairs(
    cohort: str, frame: pd.DataFrame, column: str, levels: list[str], adjusted: Container[str]
) -> Iterator[Confounded]:
    """Look at each pair of groups in one column; those adjusted for may be spread unevenly."""
    known = frame.assign(_place=as_text(frame[column])).dropna(subset=['_place'])
    counts = pd.crosstab(known['_place'], known['group'])
    for b, a in combinations(levels, 2):
        if a not in counts or b not in counts:
            continue
        pair = counts[[a, b]][counts[[a, b]].sum(axis=1) > 0]
        if len(pair) < 2 or min(pair[a].sum(), pair[b].sum()) < 1:
            continue
        total = int(pair.to_numpy().sum())
        both = int(pair[(pair > 0).all(axis=1)].to_numpy().sum())
        places = {str(p): (int(row[a]), int(row[b])) for p, row in pair.iterrows()}
        # named although a covariate adjusts for it: where nothing overlaps, a model that has both
        # can only extrapolate
        if both <= FEW * total:
            yield Confounded(cohort, column, (a, b), total, both, places)
            continue
        value, _, p = chi_squared(pair.to_numpy())
        cramers_v = float(np.sqrt(value / total))
        # both: in large cohorts a trifle is significant, in small ones V is large by chance
        if p < UNEVEN_P and cramers_v >= UNEVEN_V and column not in adjusted:
            yield Confounded(cohort, column, (a, b), total, both, places, cramers_v)


def confounding_table(found: list[Confounded]) -> pd.DataFrame:
    """Return one row for each pair of groups, column and cohort.

    Parameters
    ----------
    found : list of Confounded
        As `confounded` returns them.

    Returns
    -------
    DataFrame
        ``cohort, contrast, column, n, n_comparable, fully, note``; ``n_comparable`` counts
        people at places that both groups have.
    """
    return pd.DataFrame(
        [
            {'cohort': one.cohort, 'contrast': ' - '.join(one.groups), 'column': one.column,
             'n': one.n_people, 'n_comparable': one.n_comparable, 'fully': one.fully,
             'note': one.sentence()}
            for one in found
        ]
    )  # fmt: skip


def with_notes(table: pd.DataFrame, found: list[Confounded]) -> pd.DataFrame:
    """Add to each row that compares confounded groups what they are confounded with.

    Parameters
    ----------
    table : DataFrame
        With the common columns of a table of statistics.
    found : list of Confounded
        From `confounded_groups`.
    """
    if not found or 'note' not in table or 'contrast' not in table:
        return table
    notes = [_note_of(row, found) for _, row in table.iterrows()]
    joined = [
        '; '.join(part for part in (_text(old), new) if part)
        for old, new in zip(table['note'], notes, strict=True)
    ]
    return table.assign(note=joined)


def _note_of(row: pd.Series, found: list[Confounded]) -> str:
    """Say with what the groups of one row are confounded; empty where they are not."""
    if not np.isfinite(row.get('p_unc', np.nan)) or not _compares_groups(row):
        return ''
    words = []
    for one in found:
        contrast, pairs = _text(row['contrast']), (' - '.join(one.groups),
                                                  ' - '.join(one.groups[::-1]))  # fmt: skip
        omnibus = not contrast and set(one.groups) <= _compared(row)
        if _text(row['cohort']) in (one.cohort, 'all') and (contrast in pairs or omnibus):
            how = 'confounded with' if one.fully else 'hardly separable from'
            how = 'spread unevenly over' if one.cramers_v == one.cramers_v else how
            words.append(f'{" and ".join(one.groups)} are {how} {one.column}')
    return '; '.join(dict.fromkeys(words))


def _compared(row: pd.Series) -> set[str]:
    """Return the groups of which a row has people."""
    cells = (cell.rsplit('=', 1) for cell in _text(row.get('n_per_group')).split(';'))
    return {cell[0] for cell in cells if len(cell) == 2 and cell[1] != '0'}


def _compares_groups(row: pd.Series) -> bool:
    """Tell whether a row is about a difference between groups."""
    term = _text(row.get('term'))
    return 'group' in term or not term


def _text(value: object) -> str:
    """Return a cell as text; missing is empty."""
    return '' if value is None or value != value else str(value)
