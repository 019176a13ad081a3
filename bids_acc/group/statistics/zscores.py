"""How far each participant and each group lies from a declared norm group."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from bids_acc.exceptions import InputDataError
from bids_acc.group.formulas.two_samples import welch
from bids_acc.group.statistics.ancova import named_measures
from bids_acc.group.statistics.kinds import NAN, Effect, TTest
from bids_acc.group.statistics.rows import Row
from bids_acc.group.statistics.study import Measure, Study, group_counts
from bids_acc.typing import FloatArray

COLUMNS = ('participant_id', 'session_id', 'cohort', 'group', 'measure', 'z', 'norm_n')


def z_score(values: npt.ArrayLike, norm: npt.ArrayLike) -> FloatArray:
    """Return values in standard deviations from the mean of a norm sample.

    Parameters
    ----------
    values : (n,) array_like
        Values to score.
    norm : (m,) array_like
        Norm sample; NaN are ignored.

    Raises
    ------
    InputDataError
        If the norm sample has fewer than two values or does not vary.

    Examples
    --------
    >>> z_score([4.0], [1, 2, 3])
    array([2.])
    """
    reference = np.asarray(norm, dtype=float)
    reference = reference[np.isfinite(reference)]
    if reference.size < 2 or reference.std(ddof=1) == 0:
        raise InputDataError(
            f'the norm sample has {reference.size} values or does not vary: no z scores.'
        )
    return (np.asarray(values, dtype=float) - reference.mean()) / reference.std(ddof=1)


def scored_measures(study: Study) -> list[Measure]:
    """Return the measures and columns that the model wants scored."""
    wanted = study.model.content['Norms']['Columns']
    if not wanted:
        return named_measures(study)
    return [study.measure(name) or Measure(name, 'column', name) for name in wanted]


def participant_scores(study: Study) -> pd.DataFrame:
    """Return z scores of every participant and session, in long form.

    The norm is the norm group's baseline session of the same cohort.
    """
    level = study.model.content['Norms']['Level']
    parts = []
    for cohort, frame in study.cohorts(study.wide):
        base = study.baseline
        norm = base[(base['group'] == level) & (base['cohort'] == cohort)]
        for measure in scored_measures(study):
            if measure.name not in frame.columns:
                continue
            reference = pd.to_numeric(norm[measure.name], errors='coerce')
            values = pd.to_numeric(frame[measure.name], errors='coerce')
            try:
                z = z_score(values, reference)
            except InputDataError:
                z = np.full(len(frame), NAN)
            part = frame[['participant_id', 'session_id', 'cohort', 'group']]
            parts.append(
                part.assign(measure=measure.name, z=z, norm_n=int(reference.notna().sum()))
            )
    table = pd.concat(parts) if parts else pd.DataFrame(columns=list(COLUMNS))
    return table.sort_values(
        ['cohort', 'measure', 'participant_id', 'session_id'], ignore_index=True
    )


def group_zscores(
    study: Study, earlier: Mapping[str, pd.DataFrame], rng: np.random.Generator
) -> list[Row]:
    """Compare each group's mean z score with the norm group's, in each cohort."""
    del earlier, rng
    level = study.model.content['Norms']['Level']
    if level is None:
        return []
    rows = []
    for cohort, frame in study.cohorts():
        for measure in scored_measures(study):
            complete, excluded = study.missing(frame, [measure.name])
            values = {
                name: pd.to_numeric(part[measure.name]).to_numpy(dtype=float)
                for name, part in complete.groupby('group')
            }
            norm = values.get(level, np.array([]))
            for name in study.group_levels(complete):
                own = values[name]
                if name == level or min(len(own), len(norm)) < 2 or np.ptp(norm) == 0:
                    continue
                test = welch(own, norm)
                mean_z = float(z_score(own, norm).mean())
                quantile = stats.t.ppf((1 + study.model.confidence) / 2, test.df2)
                margin = abs(float(quantile * mean_z / test.value)) if test.value else NAN
                counts = group_counts(complete, [name, level])
                rows.append(
                    Row(
                        analysis='zscores', cohort=cohort, response=measure.name,
                        component=measure.component, metric=measure.metric, term='group',
                        contrast=f'{name} - {level}',
                        test=TTest(value=test.value, df2=test.df2, p=test.p),
                        n=sum(counts.values()), n_per_group=counts,
                        effect=Effect('mean z', mean_z, mean_z - margin, mean_z + margin),
                        family='zscores',
                        formula=f'z({measure.name}) ~ group',
                        method=f"z by mean and SD of {level} in the cohort; Welch's t test and "
                        'interval, the SD taken as known',
                        excluded=excluded,
                    )
                )  # fmt: skip
    return rows
