"""How well an analysis found what `bids_acc-demo` planted.

Reads the results of the participant and group levels and ``code/truth.json``; the analysis
itself never sees the latter. Every figure is printed as it is, good or bad.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd
from scipy import stats
from sklearn.metrics import adjusted_rand_score

from bids_acc.demo.patterns import PATTERNS, DiffusivityChange, pattern_weights
from bids_acc.demo.recovery import (
    AFFECTED,
    REFERENCE,
    GroupEffect,
    Recovery,
    adjusted_difference,
    compare,
    group_difference,
    group_effect,
)
from bids_acc.demo.truth import DatasetTruth, VisitTruth
from bids_acc.derivatives.outputs import find_outputs
from bids_acc.exceptions import BidsAccError, InputDataError, MissingInputError
from bids_acc.group.cohort.reading import read_mrs, sessions_on_disk
from bids_acc.group.cohort.vertexmaps import gather_vertex_metrics
from bids_acc.group.folders import parcels_there
from bids_acc.surfaces.template import load_template
from bids_acc.tables.reading import read_tsv
from bids_acc.typing import FloatArray

METABOLITES = ('Glx', 'Glu', 'tNAA', 'tCho', 'Ins')
PREGENUAL = 1
"""Number of the pattern in which the largest effects are planted."""


def read_truth(bids_dir: Path) -> DatasetTruth:
    """Read what was planted.

    Parameters
    ----------
    bids_dir : Path
        The demo dataset.

    Returns
    -------
    dict
        As in ``code/truth.json``; each visit has its true thickness (mm) besides, a Series by
        hemisphere and vertex.

    Raises
    ------
    MissingInputError
        If the folder holds no demo dataset, or a table of it is missing.
    InputDataError
        If ``code/truth.json`` cannot be read.
    """
    path = bids_dir / 'code' / 'truth.json'
    if not path.is_file():
        raise MissingInputError(f'{path} is missing: {bids_dir} was not made by bids_acc-demo.')
    try:
        truth = cast('DatasetTruth', dict(json.loads(path.read_text())))
    except ValueError as error:
        raise InputDataError(f'{path} is no JSON: {error}') from error
    for visit in truth['visits']:
        visit['thickness'] = _read_thickness(path.parent / visit.get('thickness_file', 'truth'))
    return truth


def _read_thickness(path: Path) -> pd.Series:
    """Read the true thickness of each vertex, indexed by hemisphere and vertex; mm."""
    if not path.is_file():
        raise MissingInputError(
            f'{path} is missing: the data set was made by an earlier bids_acc-demo, or is '
            'incomplete; make it anew.'
        )
    return read_tsv(path).set_index(['hemisphere', 'vertex'])['thickness']


def _key(participant: object, session: object) -> tuple[str, str]:
    """Make one key of participant and session; a missing session is empty."""
    return str(participant), session if isinstance(session, str) else ''


def _match(
    visits: Sequence[VisitTruth], keys: Iterable[tuple[str, str]]
) -> tuple[list[VisitTruth], list[int]]:
    """Pair measured rows with planted ones; rows without truth are left out."""
    planted = {_key(v['participant_id'], v['session_id']): v for v in visits}
    pairs = [(planted[key], row) for row, key in enumerate(keys) if key in planted]
    return [visit for visit, _ in pairs], [row for _, row in pairs]


def score_spectra(
    output_dir: Path, truth: DatasetTruth
) -> tuple[list[Recovery], list[GroupEffect]]:
    """Compare ratios to total creatine with what the spectra hold.

    Parameters
    ----------
    output_dir : Path
        Root of the derivatives.
    truth : mapping
        From `read_truth`.

    Returns
    -------
    recoveries : list of Recovery
        One for each of `METABOLITES`; values that did not pass the gate are left out.
    effects : list of GroupEffect
        The group difference of Glx.
    """
    table = read_mrs(output_dir, sessions_on_disk(output_dir))
    if table is None:
        return [], []
    table = table[table['unit_scheme'] == 'ratio_tcr']
    recoveries, effects = [], []
    for name in METABOLITES:
        rows = table[table['metabolite'] == name]
        keys = [
            _key(p, s) for p, s in zip(rows['participant_id'], rows['session_id'], strict=True)
        ]
        visits, matched = _match(truth['visits'], keys)
        values = rows['value'].where(rows['gate'] == 'pass').to_numpy(dtype=float)[matched]
        planted = np.array([visit['metabolites_tcr'][name] for visit in visits])
        recoveries.append(compare(f'{name}/tCr', '', planted, values, absolute=True))
        if name == 'Glx':
            groups = [visit['group'] for visit in visits]
            effects.append(group_effect('Glx/tCr', '', groups, planted, values))
    return recoveries, effects


MARKER = 'sgACC_DMN'
"""Connectivity of the subgenual cingulate with the default-mode network in `func_markers`."""


def score_function(
    output_dir: Path, truth: DatasetTruth
) -> tuple[list[Recovery], list[GroupEffect], list[str]]:
    """Compare connectivity of the subgenual cingulate with what noise leaves of the planted one.

    Noise lowers every correlation that is measured, so that the truth of the images is not the
    correlation of the planted series but `bids_acc.demo.attenuation.expected_z` of them.

    Parameters
    ----------
    output_dir : Path
        Root of the derivatives.
    truth : DatasetTruth
        From `read_truth`.

    Returns
    -------
    recoveries : list of Recovery
    effects : list of GroupEffect
        The group difference of Fisher's z.
    remarks : list of str
        Whose run did not pass the gate, beside who moved; what noise does to the planted
        difference.
    """
    rows: dict[tuple[str, str], tuple[float, bool]] = {}
    gates = {_who(item.entities): str(read_tsv(item.path)['gate'].iloc[0])
             for item in find_outputs('func_qc', output_dir)}  # fmt: skip
    for item in find_outputs('func_markers', output_dir):
        table = read_tsv(item.path).set_index('marker')['z']
        who = _who(item.entities)
        rows[who] = float(table.get(MARKER, np.nan)), gates.get(who) == 'pass'
    visits, matched = _match(truth['visits'], rows)
    visits = [visit for visit in visits if 'sgacc_dmn_expected_z' in visit]
    if len(visits) < 3:
        return [], [], []
    found = [list(rows.values())[row] for row in matched]
    measured = np.array([z if passed else np.nan for z, passed in found])
    planted = np.array([visit['sgacc_dmn_expected_z'] for visit in visits])
    drawn = np.array([visit['sgacc_dmn_z'] for visit in visits])
    groups = [visit['group'] for visit in visits]
    effect = group_effect('z of sgACC and DMN', '', groups, planted, measured)
    known = np.isfinite(measured)
    before = group_difference(np.asarray(groups)[known], drawn[known])
    failed = [v['participant_id'] for v, (_, passed) in zip(visits, found, strict=True)
              if not passed]  # fmt: skip
    moved = [v['participant_id'] for v in visits if v['mean_fd_mm'] > MUCH_MOTION_MM]
    remark = (
        f'function: {", ".join(failed) or "nobody"} did not pass the gate; planted to move too '
        f'much: {", ".join(moved) or "nobody"}'
    )
    noise = (
        f'function: the planted series differ by {before:.3f}; thermal noise and activity of no '
        f'region leave {effect.planted:.3f} of it in the images (computed, not fitted), which is '
        'what is called planted above'
    )
    return (
        [compare('z of sgACC and DMN', '', planted, measured, absolute=True)],
        [effect],
        [remark, noise],
    )


MUCH_MOTION_MM = 0.5
"""Mean framewise displacement above which the gate `rest` leaves a run out."""


def _who(entities: Mapping[str, str]) -> tuple[str, str]:
    """Return participant and session of an output."""
    session = entities.get('session')
    return f'sub-{entities["subject"]}', f'ses-{session}' if session else ''


@dataclass(frozen=True)
class VertexMaps:
    """A vertex metric of the visits whose truth is known."""

    visits: list[VisitTruth]
    """Their truth."""
    values: FloatArray
    """(n_visits, n_vertices)."""
    places: pd.MultiIndex
    """Hemisphere and vertex."""
    points: FloatArray
    """(n_vertices, 3) MNI coordinates, mm."""

    def by_pattern(self, values: FloatArray) -> FloatArray:
        """Average (n_visits, n_vertices) with each pattern's weights, where there is a value.

        Parameters
        ----------
        values : (n_visits, n_vertices) ndarray
            NaN where there is no value.

        Returns
        -------
        (n_visits, n_patterns) ndarray
            In the unit of the values.
        """
        weights = pattern_weights(self.points)
        known = np.isfinite(values)
        return np.asarray((np.where(known, values, 0) @ weights) / (known @ weights))


def _vertex_maps(output_dir: Path, truth: DatasetTruth, metric: str) -> VertexMaps:
    """Read a vertex metric of all visits."""
    found = gather_vertex_metrics(output_dir, (metric,))
    places = pd.MultiIndex.from_frame(found.columns[['hemisphere', 'vertex']])
    pairs = zip(found.sessions['participant_id'], found.sessions['session_id'], strict=True)
    visits, rows = _match(truth['visits'], [_key(p, s) for p, s in pairs])
    return VertexMaps(visits, found.values[0][rows], places, _points(places))


def _points(places: pd.MultiIndex) -> FloatArray:
    """Return the MNI coordinates of vertices, mm; a coarser mesh has the first of a finer one."""
    template = load_template('41k')
    return np.array([template[str(side)].white[int(vertex)] for side, vertex in places])


def _true_thickness(visits: Sequence[VisitTruth], places: pd.MultiIndex) -> FloatArray:
    """Return true thickness (n_visits, n_vertices), mm; NaN outside the planted region."""
    return np.array([visit['thickness'].reindex(places) for visit in visits], dtype=float)


def score_thickness(
    output_dir: Path, truth: DatasetTruth
) -> tuple[list[Recovery], list[GroupEffect]]:
    """Compare thickness with that of the template's surfaces, carried into each head.

    Each pattern and each vertex is compared as difference from the mean over all visits, so that
    a common error shows as bias only.

    Parameters
    ----------
    output_dir : Path
        Root of the derivatives.
    truth : DatasetTruth
        From `read_truth`.

    Returns
    -------
    recoveries : list of Recovery
        mm; by pattern and by vertex.
    effects : list of GroupEffect
        In the pregenual pattern, mm.
    """
    maps = _vertex_maps(output_dir, truth, 'thickness')
    planted = _true_thickness(maps.visits, maps.places)
    planted[~np.isfinite(maps.values)] = np.nan
    measured = np.where(np.isfinite(planted), maps.values, np.nan)
    recoveries, effects = _score_patterns(
        'thickness', 'mm', maps.visits, maps.by_pattern(planted), maps.by_pattern(measured),
        absolute=True,
    )  # fmt: skip
    if recoveries:
        recoveries.append(_by_place('thickness, vertices', 'mm', planted, measured, absolute=True))
    return recoveries, effects


def planted_diffusivity(visit: VisitTruth, points: FloatArray) -> FloatArray:
    """Return the relative change of mean diffusivity that was planted in a visit, at points.

    Parameters
    ----------
    visit : VisitTruth
        Its ``md_change``.
    points : (n, 3) ndarray
        MNI coordinates, mm.

    Returns
    -------
    (n,) ndarray
        0.1 for 10 % more.
    """
    change = visit['md_change']
    return DiffusivityChange(change['rise'], tuple(change['loadings'])).at(points)


def score_diffusivity(
    output_dir: Path, truth: DatasetTruth
) -> tuple[list[Recovery], list[GroupEffect]]:
    """Compare differences of mean diffusivity with those planted in grey matter.

    In per cent of the planted grey matter's own diffusivity: CSF in the samples raises the
    measured level, and would make the same difference in mm2/s a smaller share of it.

    Parameters
    ----------
    output_dir : Path
        Root of the derivatives.
    truth : DatasetTruth
        From `read_truth`.

    Returns
    -------
    recoveries : list of Recovery
        By pattern, per cent.
    effects : list of GroupEffect
        In the pregenual pattern, per cent.
    """
    maps = _vertex_maps(output_dir, truth, 'md')
    measured = 100 * maps.values / truth['gm_md_mm2_per_s']
    planted = 100 * np.array([planted_diffusivity(visit, maps.points) for visit in maps.visits])
    return _score_patterns(
        'MD', '%', maps.visits, maps.by_pattern(planted), maps.by_pattern(measured),
        absolute=False,
    )  # fmt: skip


def _score_patterns(
    name: str,
    unit: str,
    visits: Sequence[VisitTruth],
    planted: FloatArray,
    measured: FloatArray,
    *,
    absolute: bool,
) -> tuple[list[Recovery], list[GroupEffect]]:
    """Score one metric over all patterns and its group difference in the pregenual one."""
    if len(visits) < 3:
        return [], []
    recovery = _by_place(
        f'{name}, {len(PATTERNS)} parts', unit, planted, measured, absolute=absolute
    )
    groups = [visit['group'] for visit in visits]
    effect = group_effect(
        f'{name}, {PATTERNS[PREGENUAL].name}', unit, groups,
        planted[:, PREGENUAL], measured[:, PREGENUAL],
    )  # fmt: skip
    return [recovery], [effect]


def _by_place(
    name: str, unit: str, planted: FloatArray, measured: FloatArray, *, absolute: bool
) -> Recovery:
    """Compare differences between visits at each place, and the level if it counts.

    A difference between places would be found by any method that knows the template, so that the
    mean over visits is taken from both.
    """
    bias = float(np.nanmean(measured - planted)) if absolute else np.nan
    centred = [(values - _mean(values, axis=0)).ravel() for values in (planted, measured)]
    return replace(compare(name, unit, *centred, absolute=False), bias=bias)


def _mean(values: FloatArray, axis: int) -> FloatArray:
    """Average what is known; NaN where nothing is."""
    known = np.isfinite(values)
    number = known.sum(axis=axis)
    return np.asarray(np.where(known, values, 0).sum(axis=axis) / np.where(number, number, np.nan))


def score_parcels(
    output_dir: Path, truth: DatasetTruth
) -> tuple[list[Recovery], list[GroupEffect], list[str]]:
    """Compare the group level's parcels with the planted parts and effects.

    Parameters
    ----------
    output_dir : Path
        Root of the derivatives, with results of the group level.
    truth : DatasetTruth
        From `read_truth`.

    Returns
    -------
    recoveries : list of Recovery
        None: parcels are compared by group.
    effects : list of GroupEffect
        Thickness in the parcel in which most was planted, diffusivity in all.
    remarks : list of str
        How many parcels there are and how they agree with the planted parts.
    """
    index, values = _group_tables(output_dir)
    places = pd.MultiIndex.from_frame(index[['hemisphere', 'vertex']])
    points = _points(places)
    component = index['component'].to_numpy(dtype=float)
    inside = np.isfinite(component)
    ari = adjusted_rand_score(pattern_weights(points[inside]).argmax(axis=1), component[inside])
    n_parcels = len(np.unique(component[inside]))
    agreement = f'adjusted Rand index of parcels and parts {ari:.2f}'
    remarks = [f'{n_parcels} parcels ({len(PATTERNS)} parts planted); {agreement}']
    thickness = _true_thickness(truth['visits'], places)
    diffusivity = 100 * np.array([planted_diffusivity(v, points) for v in truth['visits']])
    parts = {int(c): component == c for c in np.unique(component[inside])}
    thick = {number: _mean(thickness[:, part], axis=1) for number, part in parts.items()}
    groups = np.array([visit['group'] for visit in truth['visits']])
    sizes = {number: abs(group_difference(groups, mean)) for number, mean in thick.items()}
    known = {number: size for number, size in sizes.items() if np.isfinite(size)}
    effects = []
    if known:
        strongest = max(known, key=known.__getitem__)
        effects.append(
            _parcel_effect(values, truth, strongest, 'thickness', 'mm', thick[strongest])
        )
    for number, part in parts.items():
        planted = diffusivity[:, part].mean(axis=1)
        effects.append(_parcel_effect(values, truth, number, 'md', '%', planted))
    return [], [effect for effect in effects if effect], remarks


def _group_tables(output_dir: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read the parcel of each vertex and the parcels' values, of the first cohort."""
    tables = []
    for key in ('group_vertexindex', 'group_parcelvalues'):
        found = [item for root in parcels_there(output_dir) for item in find_outputs(key, root)]
        if not found:
            raise MissingInputError(
                f'{output_dir}: no parcels; the group level makes them once there are maps.'
            )
        tables.append(read_tsv(found[0].path))
    return tables[0], tables[1]


def _parcel_effect(
    values: pd.DataFrame,
    truth: DatasetTruth,
    component: int,
    metric: str,
    unit: str,
    planted: FloatArray,
) -> GroupEffect | None:
    """Compare one metric's group difference in one parcel; None without that metric.

    ``planted`` has one value for each visit of the truth.
    """
    rows = values[(values['metric'] == metric) & (values['component'] == component)]
    keys = [_key(p, s) for p, s in zip(rows['participant_id'], rows['session_id'], strict=True)]
    visits, matched = _match(truth['visits'], keys)
    if not visits:
        return None
    measured = rows['value'].to_numpy(dtype=float)[matched]
    if unit == '%':
        measured = 100 * measured / truth['gm_md_mm2_per_s']
    groups = [visit['group'] for visit in visits]
    by_visit = {_key(v['participant_id'], v['session_id']): value
                for v, value in zip(truth['visits'], planted, strict=True)}  # fmt: skip
    wanted = np.array([by_visit[_key(v['participant_id'], v['session_id'])] for v in visits])
    return group_effect(f'{metric}, parcel {component}', unit, groups, wanted, measured)


def score_report(
    output_dir: Path, truth: DatasetTruth
) -> tuple[list[Recovery], list[GroupEffect], list[str]]:
    """Look up the planted rise of diffusivity in the group report's own pairwise comparisons.

    Parameters
    ----------
    output_dir : Path
        Root of the derivatives, with results of the group level and a model.
    truth : DatasetTruth
        From `read_truth`.

    Returns
    -------
    recoveries : list of Recovery
        None.
    effects : list of GroupEffect
        Adjusted difference of each parcel's MD with the interval that its estimate, standard
        error and degrees of freedom give, in per cent of the planted grey matter's diffusivity;
        beside it the difference of what was planted, adjusted in the same way.
    remarks : list of str
        Parcels that the report does not compare, and how many intervals hold what was planted.
    """
    index, values = _group_tables(output_dir)
    found = sorted((output_dir / 'group').rglob('stats/posthoc.tsv'))
    if not found:
        raise MissingInputError(f'{output_dir}: no pairwise comparisons; run group with --model.')
    comparisons = read_tsv(found[0])
    table = comparisons[(comparisons['analysis'] == 'posthoc') & (comparisons['metric'] == 'md')]
    if table.empty:
        why = '; '.join(comparisons['note'].dropna().astype(str).unique())
        return [], [], [f'the group report compares no pair of groups in MD ({why or "no MD"})']
    people = read_tsv(output_dir / 'participants.tsv').set_index('participant_id')
    effects, remarks = [], []
    for number in sorted(index['component'].dropna().unique()):
        rows = table[table['component'] == number]
        rows = rows[rows['contrast'].isin([f'{AFFECTED} - {REFERENCE}',
                                           f'{REFERENCE} - {AFFECTED}'])]  # fmt: skip
        if rows.empty:
            remarks.append(f'the group report does not compare MD of parcel {number:.0f}')
            continue
        part = index[index['component'] == number]
        points = _points(pd.MultiIndex.from_frame(part[['hemisphere', 'vertex']]))
        effects.append(_reported_effect(rows.iloc[0], values, people, truth, points))
    inside = sum(e.low <= e.planted <= e.high for e in effects)
    if effects:
        level = values[values['metric'] == 'md']['value'].mean() / truth['gm_md_mm2_per_s']
        remarks.append(
            f'MD of the parcels is {100 * (level - 1):.0f} % above the level of grey matter, by '
            'CSF in the samples; differences are in per cent of that of grey matter'
        )
        remarks.append(
            f'group report: {inside} of {len(effects)} intervals of MD hold what was planted'
        )
    return [], effects, remarks


def _reported_effect(
    row: pd.Series,
    values: pd.DataFrame,
    people: pd.DataFrame,
    truth: DatasetTruth,
    points: FloatArray,
) -> GroupEffect:
    """Turn a row of pairwise comparisons into an effect in per cent."""
    own = values[(values['metric'] == 'md') & (values['component'] == row['component'])]
    keys = [_key(p, s) for p, s in zip(own['participant_id'], own['session_id'], strict=True)]
    visits, _ = _match(truth['visits'], keys)
    planted = np.array([100 * planted_diffusivity(visit, points).mean() for visit in visits])
    compared = people.loc[[visit['participant_id'] for visit in visits]]
    factor = 100.0 if row['contrast'].startswith(AFFECTED) else -100.0
    factor /= truth['gm_md_mm2_per_s']
    middle = factor * float(row['estimate'])
    margin = abs(factor) * float(row['se']) * float(stats.t.ppf(0.975, float(row['df2'])))
    return GroupEffect(
        name=f'md, parcel {row["component"]:.0f}, group report',
        unit='%',
        planted=adjusted_difference(row['formula'], compared, planted),
        measured=middle,
        low=middle - margin,
        high=middle + margin,
    )


def score(output_dir: Path, bids_dir: Path) -> tuple[list[Recovery], list[GroupEffect], list[str]]:
    """Compare all results with the truth.

    Parameters
    ----------
    output_dir : Path
        Root of the derivatives.
    bids_dir : Path
        The demo dataset.

    Returns
    -------
    recoveries : list of Recovery
    effects : list of GroupEffect
    remarks : list of str
        What the parcels look like, and what could not be compared and why.
    """
    truth = read_truth(bids_dir)
    recoveries: list[Recovery] = []
    effects: list[GroupEffect] = []
    notes: list[str] = []
    parts = (score_thickness, score_diffusivity, score_spectra, score_function, score_parcels,
             score_report)  # fmt: skip
    for part in parts:
        try:
            found, differences, *remarks = part(output_dir, truth)
        except BidsAccError as error:
            if (why := f'Not compared: {error}') not in notes:
                notes.append(why)
            continue
        recoveries += found
        effects += differences
        notes += [line for lines in remarks for line in lines]
    return recoveries, effects, notes
