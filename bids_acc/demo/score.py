"""How well an analysis found what `bids_acc-demo` planted.

Reads the results of the participant and group levels and ``code/truth.json``; the analysis
itself never sees the latter. Every figure is printed as it is, good or bad.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats
from sklearn.metrics import adjusted_rand_score

from bids_acc.anat.template import load_template
from bids_acc.derivatives.outputs import find_outputs
from bids_acc.exceptions import BidsAccError, InputDataError, MissingInputError
from bids_acc.group.cohort import read_mrs, read_tsv, sessions_on_disk
from bids_acc.group.vertexmaps import gather_vertex_metrics

from .patterns import PATTERNS, DiffusivityChange, effect_at, pattern_weights
from .recovery import AFFECTED, REFERENCE, Effect, Recovery, compare, group_effect

FloatArray = npt.NDArray[np.float64]

METABOLITES = ('Glx', 'Glu', 'tNAA', 'tCho', 'Ins')
PREGENUAL = 1
"""Number of the pattern in which the largest effects are planted."""


def read_truth(bids_dir: Path) -> dict[str, Any]:
    """Read what was planted.

    Raises
    ------
    MissingInputError
        If the folder holds no demo dataset.
    InputDataError
        If ``code/truth.json`` cannot be read.
    """
    path = bids_dir / 'code' / 'truth.json'
    if not path.is_file():
        raise MissingInputError(f'{path} is missing: {bids_dir} was not made by bids_acc-demo.')
    try:
        return dict(json.loads(path.read_text()))
    except ValueError as error:
        raise InputDataError(f'{path} is no JSON: {error}') from error


def _key(participant: Any, session: Any) -> tuple[str, str]:
    """Make one key of participant and session; a missing session is empty."""
    return str(participant), session if isinstance(session, str) else ''


def _match(
    truth: Mapping[str, Any], keys: Iterable[tuple[str, str]]
) -> tuple[list[dict[str, Any]], list[int]]:
    """Pair measured rows with planted ones; rows without truth are left out."""
    planted = {_key(v['participant_id'], v['session_id']): v for v in truth['visits']}
    pairs = [(planted[key], row) for row, key in enumerate(keys) if key in planted]
    return [visit for visit, _ in pairs], [row for _, row in pairs]


def score_spectra(
    output_dir: Path, truth: Mapping[str, Any]
) -> tuple[list[Recovery], list[Effect]]:
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
    effects : list of Effect
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
        visits, matched = _match(truth, keys)
        values = rows['value'].where(rows['gate'] == 'pass').to_numpy(dtype=float)[matched]
        planted = np.array([visit['metabolites_tcr'][name] for visit in visits])
        recoveries.append(compare(f'{name}/tCr', '', planted, values, absolute=True))
        if name == 'Glx':
            groups = [visit['group'] for visit in visits]
            effects.append(group_effect('Glx/tCr', '', groups, planted, values))
    return recoveries, effects


def _pattern_means(
    output_dir: Path, metric: str
) -> tuple[list[tuple[str, str]], FloatArray, FloatArray, FloatArray]:
    """Average a vertex metric with each pattern's weights.

    Returns
    -------
    keys : list of (participant, session)
    means : (n_sessions, n_patterns) ndarray
    shares : (n_vertices, n_patterns) ndarray
        Weight of each vertex in each mean.
    points : (n_vertices, 3) ndarray
        MNI coordinates, mm.
    """
    found = gather_vertex_metrics(output_dir, (metric,))
    template = load_template(found.density or '41k')
    places = zip(found.columns['hemisphere'], found.columns['vertex'], strict=True)
    points = np.array([template[side].white[vertex] for side, vertex in places])
    weights = pattern_weights(points)
    values = found.values[0]
    known = np.isfinite(values)
    means = (np.where(known, values, 0) @ weights) / (known @ weights)
    pairs = zip(found.sessions['participant_id'], found.sessions['session_id'], strict=True)
    return [_key(p, s) for p, s in pairs], means, weights / weights.sum(axis=0), points


def score_thickness(
    output_dir: Path, truth: Mapping[str, Any]
) -> tuple[list[Recovery], list[Effect]]:
    """Compare thickness with the planted shift of the border and the stretch of the warp.

    The template's own thickness has no known truth, so each pattern is compared as difference
    from the mean over all sessions.
    """
    keys, means, _, _ = _pattern_means(output_dir, 'thickness')
    visits, rows = _match(truth, keys)
    means = means[rows]
    change = np.array([visit['thickness_change']['by_pattern_mm'] for visit in visits])
    stretch = np.array([visit['thickness_change']['warp_factor'] for visit in visits])
    planted = change + means.mean(axis=0) * (stretch - 1)
    return _score_patterns('thickness', 'mm', visits, planted, means)


def planted_diffusivity(visit: Mapping[str, Any], points: FloatArray) -> FloatArray:
    """Return the relative change of mean diffusivity that was planted in a visit, at points."""
    return DiffusivityChange(**visit['md_change']).at(points)


def score_diffusivity(
    output_dir: Path, truth: Mapping[str, Any]
) -> tuple[list[Recovery], list[Effect]]:
    """Compare differences of mean diffusivity with those planted in grey matter.

    In per cent of the planted grey matter's own diffusivity: fluid in the samples raises the
    measured level, and would make the same difference in mm2/s a smaller share of it.
    """
    keys, means, shares, points = _pattern_means(output_dir, 'md')
    visits, rows = _match(truth, keys)
    relative = 100 * means[rows] / truth['gm_md_mm2_per_s']
    planted = 100 * np.array([planted_diffusivity(visit, points) @ shares for visit in visits])
    return _score_patterns('MD', '%', visits, planted, relative)


def _score_patterns(
    name: str,
    unit: str,
    visits: Sequence[Mapping[str, Any]],
    planted: FloatArray,
    measured: FloatArray,
) -> tuple[list[Recovery], list[Effect]]:
    """Score one metric over all patterns and its group difference in the pregenual one."""
    if len(visits) < 3:
        return [], []
    planted = planted - planted.mean(axis=0)
    measured = measured - measured.mean(axis=0)
    recovery = compare(
        f'{name}, {len(PATTERNS)} parts', unit, planted.ravel(), measured.ravel(), absolute=False
    )
    groups = [visit['group'] for visit in visits]
    effect = group_effect(
        f'{name}, {PATTERNS[PREGENUAL].name}', unit, groups,
        planted[:, PREGENUAL], measured[:, PREGENUAL],
    )  # fmt: skip
    return [recovery], [effect]


def realisation(truth: Mapping[str, Any]) -> float:
    """Tell which part of the asked-for shift of the border is in the images."""
    asked, done = (
        np.array([visit['thickness_change'][name] for visit in truth['visits']]).ravel()
        for name in ('asked_by_pattern_mm', 'by_pattern_mm')
    )
    return float(asked @ done / (asked @ asked))


def score_parcels(
    output_dir: Path, truth: Mapping[str, Any]
) -> tuple[list[Recovery], list[Effect], list[str]]:
    """Compare the group level's parcels with the planted parts and effects.

    Returns
    -------
    recoveries : list of Recovery
        None: parcels are compared by group.
    effects : list of Effect
        Thickness in the parcel in which most was planted, diffusivity in all.
    remarks : list of str
        How many parcels there are and how they agree with the planted parts.
    """
    index, values = _group_tables(output_dir)
    template = load_template('41k')
    places = zip(index['hemisphere'], index['vertex'], strict=True)
    points = np.array([template[str(side)].white[int(vertex)] for side, vertex in places])
    component = index['component'].to_numpy(dtype=float)
    inside = np.isfinite(component)
    ari = adjusted_rand_score(pattern_weights(points[inside]).argmax(axis=1), component[inside])
    n_parcels = len(np.unique(component[inside]))
    agreement = f'adjusted Rand index of parcels and parts {ari:.2f}'
    remarks = [f'{n_parcels} parcels ({len(PATTERNS)} parts planted); {agreement}']
    groups = truth['groups']
    planted = {
        int(c): float(
            effect_at(points[component == c], _difference(groups, 'thickness_mm')).mean()
        )
        for c in np.unique(component[inside])
    }
    strongest = max(planted, key=lambda c: abs(planted[c]))
    where = points[component == strongest]
    share = realisation(truth)

    def thickness(visit: Mapping[str, Any], points: FloatArray) -> FloatArray:
        return share * effect_at(points, visit['thickness_loadings_mm'])

    def diffusivity(visit: Mapping[str, Any], points: FloatArray) -> FloatArray:
        return 100 * planted_diffusivity(visit, points)

    effects = [_parcel_effect(values, truth, strongest, where, 'thickness', 'mm', thickness)]
    for number in planted:
        place = points[component == number]
        effects.append(_parcel_effect(values, truth, number, place, 'md', '%', diffusivity))
    return [], [effect for effect in effects if effect], remarks


def _difference(groups: Mapping[str, Any], effect: str) -> FloatArray:
    """Subtract the reference's loadings from those of the affected group."""
    return np.array(groups[AFFECTED][effect]) - np.array(groups[REFERENCE][effect])


def _group_tables(output_dir: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read the parcel of each vertex and the parcels' values, of the first cohort."""
    tables = []
    for key in ('group_vertexindex', 'group_parcelvalues'):
        found = find_outputs(key, output_dir)
        if not found:
            raise MissingInputError(
                f'{output_dir}: no parcels; the group level makes them once there are maps.'
            )
        tables.append(read_tsv(found[0].path))
    return tables[0], tables[1]


def _parcel_effect(
    values: pd.DataFrame,
    truth: Mapping[str, Any],
    component: int,
    points: FloatArray,
    metric: str,
    unit: str,
    planted_at: Callable[[Mapping[str, Any], FloatArray], FloatArray],
) -> Effect | None:
    """Compare one metric's group difference in one parcel; None without that metric."""
    rows = values[(values['metric'] == metric) & (values['component'] == component)]
    keys = [_key(p, s) for p, s in zip(rows['participant_id'], rows['session_id'], strict=True)]
    visits, matched = _match(truth, keys)
    if not visits:
        return None
    measured = rows['value'].to_numpy(dtype=float)[matched]
    if unit == '%':
        measured = 100 * measured / truth['gm_md_mm2_per_s']
    planted = np.array([planted_at(visit, points).mean() for visit in visits])
    groups = [visit['group'] for visit in visits]
    return group_effect(f'{metric}, parcel {component}', unit, groups, planted, measured)


def score_report(
    output_dir: Path, truth: Mapping[str, Any]
) -> tuple[list[Recovery], list[Effect], list[str]]:
    """Look up the planted rise of diffusivity in the group report's own pairwise comparisons.

    Returns
    -------
    recoveries : list of Recovery
        None.
    effects : list of Effect
        Adjusted difference of each parcel's MD with the interval that its estimate, standard
        error and degrees of freedom give, in per cent of the planted grey matter's diffusivity.
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
    template = load_template('41k')
    effects, remarks = [], []
    for number in sorted(index['component'].dropna().unique()):
        rows = table[table['component'] == number]
        rows = rows[rows['contrast'].isin([f'{AFFECTED} - {REFERENCE}',
                                           f'{REFERENCE} - {AFFECTED}'])]  # fmt: skip
        if rows.empty:
            remarks.append(f'the group report does not compare MD of parcel {number:.0f}')
            continue
        part = index[index['component'] == number]
        places = zip(part['hemisphere'], part['vertex'], strict=True)
        points = np.array([template[str(side)].white[int(vertex)] for side, vertex in places])
        effects.append(_reported_effect(rows.iloc[0], values, truth, points))
    inside = sum(e.low <= e.planted <= e.high for e in effects)
    if effects:
        level = values[values['metric'] == 'md']['value'].mean() / truth['gm_md_mm2_per_s']
        remarks.append(
            f'MD of the parcels is {100 * (level - 1):.0f} % above the level of grey matter, by '
            'fluid in the samples; differences are in per cent of that of grey matter'
        )
        remarks.append(
            f'group report: {inside} of {len(effects)} intervals of MD hold what was planted'
        )
    return [], effects, remarks


def _reported_effect(
    row: pd.Series, values: pd.DataFrame, truth: Mapping[str, Any], points: FloatArray
) -> Effect:
    """Turn a row of pairwise comparisons into an effect in per cent."""
    own = values[(values['metric'] == 'md') & (values['component'] == row['component'])]
    keys = [_key(p, s) for p, s in zip(own['participant_id'], own['session_id'], strict=True)]
    visits, _ = _match(truth, keys)
    groups = np.array([visit['group'] for visit in visits])
    planted = np.array([100 * planted_diffusivity(visit, points).mean() for visit in visits])
    factor = 100 if row['contrast'].startswith(AFFECTED) else -100
    factor /= truth['gm_md_mm2_per_s']
    middle = factor * float(row['estimate'])
    margin = abs(factor) * float(row['se']) * float(stats.t.ppf(0.975, float(row['df2'])))
    return Effect(
        name=f'md, parcel {row["component"]:.0f}, group report',
        unit='%',
        planted=float(planted[groups == AFFECTED].mean() - planted[groups == REFERENCE].mean()),
        measured=middle,
        low=middle - margin,
        high=middle + margin,
    )


def score(output_dir: Path, bids_dir: Path) -> tuple[list[Recovery], list[Effect], list[str]]:
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
    effects : list of Effect
    remarks : list of str
        What the parcels look like, and what could not be compared and why.
    """
    truth = read_truth(bids_dir)
    recoveries: list[Recovery] = []
    effects: list[Effect] = []
    notes: list[str] = []
    for part in (score_thickness, score_diffusivity, score_spectra, score_parcels, score_report):
        try:
            found, differences, *remarks = part(output_dir, truth)
        except BidsAccError as error:
            notes.append(f'Not compared: {error}')
            continue
        recoveries += found
        effects += differences
        notes += [line for lines in remarks for line in lines]
    return recoveries, effects, notes
