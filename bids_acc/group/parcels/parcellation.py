"""From the vertex maps of cohorts to parcels: selection, final fit, comparison."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd

from bids_acc.exceptions import InputDataError
from bids_acc.group.opnmf import fit_path, labels_of
from bids_acc.group.opnmf.agreement import adjusted_rand
from bids_acc.group.opnmf.anls import TOGETHER
from bids_acc.group.opnmf.choice import THRESHOLD, RankChoice, RankRule, choose_k
from bids_acc.group.opnmf.features import (
    FeatureMatrix,
    VertexMetrics,
    complete_cases,
    feature_matrix,
)
from bids_acc.group.opnmf.initialise import spectral_norm
from bids_acc.group.opnmf.labels import assign
from bids_acc.group.opnmf.rank import RankCurves, SelectionOptions, rank_curves
from bids_acc.group.opnmf.splits import strata
from bids_acc.group.parcels.bootstrap import assignment_confidence
from bids_acc.group.parcels.measures import (
    Parcellation,
    compare_cohorts,
    in_order_of,
    parcel_table,
)
from bids_acc.group.tasks import ProgressCallback, TaskProgress, child_rng

LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class ParcellationOptions:
    """How parcels are made."""

    selection: SelectionOptions = field(default_factory=SelectionOptions)
    """Numbers of components and how they are examined."""
    n_components: int | None = None
    """Number of components to use in place of the rule's."""
    default_components: int = 4
    """Number to use when no cohort is large enough to examine it."""
    threshold: float = THRESHOLD
    """Stability index of an admissible number of components."""
    rule: RankRule = 'variation'
    """Rule that picks the number of components."""
    stratify: tuple[str, ...] = ('group', 'age')
    """Columns of participants.tsv by which halves are balanced."""
    cohort: str | None = None
    """Column of participants.tsv that names the cohorts; one cohort when absent."""
    hemispheres: str = 'together'
    """``together`` or ``apart``."""
    max_missing: float = 0.05
    """Largest share of missing vertices with which a session takes part in the factorization."""
    n_init: int = 1
    """Starts of the final factorization."""
    n_bootstrap: int = 100
    """Resampled cohorts for the confidence of each vertex."""
    n_null: int = 1000
    """Null parcellations for the agreement of cohorts."""
    visits: tuple[str, ...] = ()
    """Sessions, the one that is factorized in front; of others each participant's earliest."""


@dataclass(frozen=True)
class ParcellationResult:
    """Everything that the parcellation of a study gives."""

    parcellations: Mapping[str, Parcellation]
    """By cohort; the key is empty when there is one."""
    choice: RankChoice
    """Number of components and why."""
    curves: Mapping[str, RankCurves]
    """By unit: the cohort, with the hemisphere where hemispheres are apart."""
    matrices: Mapping[str, FeatureMatrix]
    """By unit: what was factorized."""
    table: pd.DataFrame
    """Long table of parcel values, every session included."""
    agreement: pd.DataFrame
    """Pairs of cohorts; empty with one."""
    data: VertexMetrics
    """All maps of the region."""
    excluded: pd.DataFrame
    """Sessions that took no part in the factorization, and why."""
    notes: tuple[str, ...] = ()
    """What the reader should know."""


def memory_estimate_gb(
    data: VertexMetrics, options: ParcellationOptions, n_jobs: int = 1
) -> float:
    """Return how much memory the parcellation will need at most, in GB.

    Each worker holds the maps, one standardised matrix with its temporary copy, the end points
    of all numbers of components and starts, and about twenty arrays of weights (extrapolation,
    what was learnt of the data) for those that are solved together.

    Parameters
    ----------
    data : VertexMetrics
        All maps.
    options : ParcellationOptions
        The rest.
    n_jobs : int
        Workers.
    """
    matrix = data.values.nbytes
    columns = sum(options.selection.ks) * options.selection.n_init
    vertices = data.values.shape[2]
    together = min(columns, max(TOGETHER // vertices, *options.selection.ks))
    weights = 8.0 * vertices * (3 * columns + 20 * together)
    return float(2 * matrix + n_jobs * (3 * matrix + weights + 2.5e8)) / 1e9


def run_parcellation(
    data: VertexMetrics,
    participants: pd.DataFrame | None = None,
    options: ParcellationOptions | None = None,
    *,
    work_dir: Path | None = None,
    n_jobs: int = 1,
    backend: str = 'loky',
    progress: ProgressCallback | None = None,
) -> ParcellationResult:
    """Choose the number of components, find the parcels, and measure every session in them.

    The first session of each participant (`ParcellationOptions.visits`) takes part in the
    factorization; all sessions are measured. Cohorts are factorized apart, with one number of
    components for all, and the components of later cohorts are numbered as their partners in the
    first.

    Parameters
    ----------
    data : VertexMetrics
        From `bids_acc.group.cohort.vertexmaps.gather_vertex_metrics`.
    participants : DataFrame, optional
        ``participant_id`` and the columns by which halves are balanced and cohorts are told.
    options : ParcellationOptions, optional
        The rest.
    work_dir : Path, optional
        Where finished tasks are kept; a killed run continues there.
    n_jobs, backend, progress
        As for `bids_acc.group.tasks.run_tasks`.

    Returns
    -------
    ParcellationResult
        In memory; `bids_acc.group.parcels.files.write_parcellation` writes it.

    Raises
    ------
    InputDataError
        If no session can be used.
    """
    options = options or ParcellationOptions()
    run = _Run(options, work_dir, n_jobs, backend, progress)
    # told before it starts: a queue that kills it for its memory says nothing afterwards
    needed = f'the parcellation needs at most {memory_estimate_gb(data, options, n_jobs):.1f} GB'
    LOGGER.info(needed)
    if progress is not None:
        progress(TaskProgress(0, 0, needed, float('nan')))
    listed = _listed(data.sessions, participants)
    cohorts = _cohorts(listed, options.cohort)
    # one session of each person: several would let those with many visits decide, and put one
    # person into both halves
    complete, _ = complete_cases(_first_sessions(data, options.visits), options.max_missing)
    units = _units(complete, cohorts, options)
    curves = {
        name: run.curves(name, unit, strata(_rows_of(listed, unit), options.stratify))
        for name, (_, unit) in units.items()
    }
    choice = choose_k(
        {name: found.curves for name, found in curves.items()},
        threshold=options.threshold,
        override=options.n_components,
        default=options.default_components,
        rule=options.rule,
    )
    for line in choice.trace:
        LOGGER.info('Number of components: %s', line)
    fitted: dict[str, list[Parcellation]] = {}
    for name, (cohort, unit) in units.items():
        fitted.setdefault(cohort, []).append(run.fit(name, cohort, unit, choice.k))
    parcellations = _numbered_alike({c: _joined(parts) for c, parts in fitted.items()})
    agreement = compare_cohorts(
        list(parcellations.values()),
        child_rng(options.selection.seed, 4),
        neighbours=complete.neighbours,
        n_null=options.n_null,
    )
    warnings = [f'{n}: {t}' if n else t for n, c in curves.items() for t in c.notes]
    notes = [*complete.notes, *warnings, *_cautions(curves, fitted)]
    return ParcellationResult(
        parcellations=parcellations,
        choice=choice,
        curves=curves,
        matrices={name: feature_matrix(unit) for name, (_, unit) in units.items()},
        table=measure(data, parcellations, cohorts),
        agreement=agreement,
        data=data,
        excluded=complete.excluded if complete.excluded is not None else pd.DataFrame(),
        notes=tuple(notes),
    )


def _numbered_alike(parcellations: Mapping[str, Parcellation]) -> dict[str, Parcellation]:
    """Give the parcels of every cohort the numbers of their partners in the first."""
    # parcel 2 must be the same place wherever it is compared
    first = next(iter(parcellations.values()))
    return {
        cohort: one if one is first else in_order_of(first, one)
        for cohort, one in parcellations.items()
    }


def _cautions(
    curves: Mapping[str, RankCurves], fitted: Mapping[str, Sequence[Parcellation]]
) -> list[str]:
    """Say what did not converge, and how far parcels differ from those of the largest weight."""
    notes = []
    for name, found in curves.items():
        of = f' of {name}' if name else ''
        if found.curves.empty:
            continue
        stopped = found.curves.query('share_converged < 1')
        if len(stopped):
            shares = ', '.join(
                f'k = {k}: {1 - share:.0%}'
                for k, share in zip(stopped['k'], stopped['share_converged'], strict=True)
            )
            notes.append(f'Splits{of} with a factorization that did not converge: {shares}.')
    for one in (part for parts in fitted.values() for part in parts):
        of = f' of {one.cohort}' if one.cohort else ''
        sides = set(one.columns['hemisphere'])
        of += f' ({"left" if sides == {"L"} else "right"} hemisphere)' if len(sides) == 1 else ''
        if not one.facts['converged']:
            notes.append(
                f'The final factorization{of} did NOT converge (residual '
                f'{one.facts["residual"]:.1g}); its parcels are those of the nearest approach.'
            )
        if one.facts['label_rule'] != 'weight':
            notes.append(
                f'Parcels{of} by largest weight would agree with these to an adjusted Rand index '
                f'of {one.facts["ari_with_largest_weight"]:.2f}.'
            )
    return notes


def measure(
    data: VertexMetrics, parcellations: Mapping[str, Parcellation], cohorts: pd.Series
) -> pd.DataFrame:
    """Measure every session in the parcels of its cohort.

    Parameters
    ----------
    data : VertexMetrics
        All sessions, also those that took no part in the factorization.
    parcellations : mapping of str to Parcellation
        By cohort; the key is empty when there is one.
    cohorts : Series of str
        Cohort by ``participant_id``; who is not in it has the empty one.

    Returns
    -------
    DataFrame
        As `parcel_table`.
    """
    parts = []
    of_session = data.sessions['participant_id'].map(cohorts).fillna('')
    for cohort, one in parcellations.items():
        mine = data.take((of_session == cohort).to_numpy())
        if mine.n_sessions:
            parts.append(parcel_table(mine, one.labels, one.columns, cohort))
    return pd.concat(parts, ignore_index=True)


@dataclass(frozen=True)
class _Run:
    """What every step of one run shares."""

    options: ParcellationOptions
    work_dir: Path | None
    n_jobs: int
    backend: str
    progress: ProgressCallback | None

    def curves(self, name: str, unit: VertexMetrics, labels: pd.Series) -> RankCurves:
        """Examine the numbers of components in one unit.

        Parameters
        ----------
        name : str
            Of the unit, for progress messages: cohort and hemisphere.
        unit : VertexMetrics
            Sessions and vertices that are factorized together.
        labels : Series of str
            Stratum of each session.

        Returns
        -------
        RankCurves
            Stability and error by number of components.
        """
        return rank_curves(
            unit.values, labels, self.options.selection, work_dir=self.work_dir,
            n_jobs=self.n_jobs, backend=self.backend, progress=self._named(name, 'selection'),
        )  # fmt: skip

    def fit(self, name: str, cohort: str, unit: VertexMetrics, k: int) -> Parcellation:
        """Factorize one unit with the chosen number of components and resample it.

        Parameters
        ----------
        name : str
            Of the unit, for messages.
        cohort : str
            Cohort that the parcels are for.
        unit : VertexMetrics
            Sessions and vertices that are factorized together.
        k : int
            Number of components; lowered to the smaller side of the matrix.

        Returns
        -------
        Parcellation
            With confidence where cohorts are resampled and there are at least 4 sessions.
        """
        matrix = feature_matrix(unit)
        # of few sessions there are fewer independent maps than the rule may have chosen of another
        # cohort
        k = min(k, *matrix.X.shape)
        seed = self.options.selection.seed
        end = fit_path(
            matrix.X, [k], n_init=self.options.n_init, tol=self.options.selection.tol,
            max_iter=self.options.selection.max_iter, rng=child_rng(seed, 5),
        )[k][0]  # fmt: skip
        if not end.converged:
            LOGGER.warning('%s: the final factorization did not converge', name or 'cohort')
        rule = self.options.selection.label_rule
        labels = assign(rule, end.W, matrix.X, len(unit.metrics))
        confidence, ari = None, None
        if self.options.n_bootstrap and unit.n_sessions >= 4:
            confidence, ari = assignment_confidence(
                unit.values, end.W, labels, rule=rule, n_bootstrap=self.options.n_bootstrap,
                seed=seed, work_dir=self.work_dir, n_jobs=self.n_jobs, backend=self.backend,
                progress=self._named(name, 'bootstrap'),
            )  # fmt: skip
        # written beside the result: how far the components are from being parts, which the method
        # only approaches
        overlap = float(np.linalg.norm(end.W.T @ end.W - np.eye(k)))
        facts: dict[str, object] = {
            'n_components': k, 'n_observations': len(matrix.X), 'n_vertices': len(end.W),
            'reconstruction_error': end.error,
            'relative_error': end.error / float(np.linalg.norm(matrix.X)),
            'n_iter': end.n_iter, 'converged': end.converged, 'residual': end.residual,
            'mu': end.mu, 'orthogonality': overlap, 'spectral_norm': spectral_norm(end.W),
            'label_rule': rule, 'ari_with_largest_weight': adjusted_rand(labels, labels_of(end.W)),
        }  # fmt: skip
        return Parcellation(cohort, end.W, labels, matrix.columns, facts, confidence, ari)

    def _named(self, unit: str, what: str) -> Callable[[TaskProgress], None] | None:
        """Return the progress callback with the unit's name in front."""
        if self.progress is None:
            return None
        call, prefix = self.progress, ' '.join(filter(None, (unit, what)))
        return lambda state: call(replace(state, label=f'{prefix} {state.label}'))


def _listed(sessions: pd.DataFrame, participants: pd.DataFrame | None) -> pd.DataFrame:
    """Return one row for each participant with maps, with the columns of participants.tsv."""
    there = pd.DataFrame({'participant_id': sessions['participant_id'].unique()})
    if participants is None:
        return there
    unique = participants.drop_duplicates('participant_id')
    return there.merge(unique, on='participant_id', how='left')


def _cohorts(listed: pd.DataFrame, column: str | None) -> pd.Series:
    """Return the cohort of each participant, by label; letters and digits only."""
    names = pd.Series('', index=listed['participant_id'])
    if column is None:
        return names
    if column not in listed:
        raise InputDataError(f'participants.tsv: no column {column!r} that names the cohorts.')
    # they become parts of file names
    raw = listed[column].fillna('other').astype(str).str.replace(r'[^A-Za-z0-9]', '', regex=True)
    names[:] = raw.to_numpy()
    return names


def _first_sessions(data: VertexMetrics, visits: Sequence[str]) -> VertexMetrics:
    """Return the first session of each participant in the order of visits."""
    place = {label: i for i, label in enumerate(visits)}
    labels = data.sessions['session_id'].fillna('')
    order = data.sessions.assign(
        _place=labels.map(lambda label: place.get(label, len(place))), _label=labels
    ).sort_values(['participant_id', '_place', '_label'])
    first = order.drop_duplicates('participant_id')
    return data.take(np.sort(first.index.to_numpy()))


def _units(
    data: VertexMetrics, cohorts: pd.Series, options: ParcellationOptions
) -> dict[str, tuple[str, VertexMetrics]]:
    """Return what is factorized apart: cohort and maps by name."""
    of_session = data.sessions['participant_id'].map(cohorts)
    units = {}
    for cohort in sorted(of_session.unique()):
        mine = data.take((of_session == cohort).to_numpy())
        if options.hemispheres == 'together':
            units[cohort] = (cohort, mine)
            continue
        for side in ('L', 'R'):
            part = mine.hemisphere(side)
            if part.values.shape[2]:
                units[f'{cohort} {side}'.strip()] = (cohort, part)
    return units


def _rows_of(listed: pd.DataFrame, unit: VertexMetrics) -> pd.DataFrame:
    """Return the participants of a unit, in its order."""
    indexed = listed.set_index('participant_id')
    return indexed.loc[unit.sessions['participant_id']].reset_index()


def _joined(parts: Sequence[Parcellation]) -> Parcellation:
    """Put hemispheres side by side; the second's components are numbered on from the first's."""
    if len(parts) == 1:
        return parts[0]
    sizes = [part.n_components for part in parts]
    W = np.zeros((sum(len(part.W) for part in parts), sum(sizes)))
    labels, row, column = [], 0, 0
    for part in parts:
        W[row : row + len(part.W), column : column + part.n_components] = part.W
        # numbers go on from one hemisphere to the other; -1, of no parcel, stays
        labels.append(np.where(part.labels >= 0, part.labels + column, -1))
        row, column = row + len(part.W), column + part.n_components
    have = [part.confidence for part in parts if part.confidence is not None]
    facts = {
        f'{part.columns["hemisphere"].iloc[0]}_{key}': value
        for part in parts
        for key, value in part.facts.items()
    }
    return Parcellation(
        parts[0].cohort,
        W,
        np.concatenate(labels),
        pd.concat([part.columns for part in parts], ignore_index=True),
        facts,
        np.concatenate(have) if len(have) == len(parts) else None,
    )


__all__ = ['Parcellation', 'ParcellationOptions', 'ParcellationResult', 'run_parcellation']
