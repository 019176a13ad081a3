"""Rows of the table ``mixture``: one per number of components and measure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from scipy import stats

from bids_acc.exceptions import BidsAccError
from bids_acc.group.formulas.mixture import (
    RECOMMENDED_EVIDENCE_RATIO,
    MixtureComparison,
    MixtureFit,
    compare_mixtures,
)
from bids_acc.group.statistics.analyses.longitudinal_rows import chosen_measures
from bids_acc.group.statistics.rows.kinds import Effect, ResampledTest
from bids_acc.group.statistics.rows.row import Row
from bids_acc.group.statistics.study.data import Measure, Study, group_counts
from bids_acc.typing import FloatArray


def _numbers(values: np.ndarray) -> str:
    """Write numbers as one cell."""
    return ';'.join(f'{value:.6g}' for value in values)


def members(fit: MixtureFit, values: FloatArray, people: Sequence[str]) -> str:
    """Write who most probably belongs to which component.

    Parameters
    ----------
    fit : MixtureFit
        Components sorted by mean.
    values : (n,) ndarray
        Values that were fitted.
    people : sequence of str
        Participants, in the same order.
    """
    log_density = stats.norm.logpdf(values[:, None], fit.means, fit.sds) + np.log(fit.weights)
    # the likelier component, not the nearer mean: a broad component owns both tails
    belongs = np.argmax(log_density, axis=1)
    return '; '.join(
        f'{k + 1}: {", ".join(p for p, b in zip(people, belongs, strict=True) if b == k)}'
        for k in range(len(fit.means))
    )


def _model_row(
    comparison: MixtureComparison, k: int, common: Mapping[str, object], sample: pd.DataFrame
) -> Row:
    """Return the row of the model with k components, tested against k - 1."""
    fit = comparison.fits[k - 1]
    notes = []
    if k > 1:
        # a larger weight alone is not yet a choice: the published criterion asks for a ratio
        ratio = comparison.evidence_ratio(k, k - 1)
        if ratio < RECOMMENDED_EVIDENCE_RATIO:
            notes.append(f'evidence ratio {ratio:.3g} is below {RECOMMENDED_EVIDENCE_RATIO}')
    if fit.degenerate:
        notes.append('a standard deviation rests on its lower bound')
    if not fit.converged:
        notes.append('the likelihood did not settle')
    tested = k > 1
    return Row(
        **common,  # type: ignore[arg-type]
        term=f'{k} component{"s" * (k > 1)}', contrast=f'{k} v {k - 1}' if tested else '',
        test=ResampledTest(
            statistic='LR' if tested else '',
            value=float(comparison.likelihood_ratios[k - 2]) if tested else np.nan,
            p=float(comparison.bootstrap_p[k - 2]) if tested else np.nan,
            n_resamples=comparison.n_bootstrap,
        ),
        effect=Effect('akaike_weight', float(comparison.aic_weights[k - 1])),
        note='; '.join(notes),
        extra={
            'aic': fit.aic, 'aicc': fit.aicc, 'bic': fit.bic,
            'akaike_weight_aicc': float(comparison.aicc_weights[k - 1]),
            'evidence_ratio': comparison.evidence_ratio(k, k - 1) if tested else np.nan,
            'log_likelihood': fit.log_likelihood, 'n_parameters': fit.n_parameters,
            'means': _numbers(fit.means), 'sds': _numbers(fit.sds),
            'weights': _numbers(fit.weights),
            'members': members(
                fit, sample.iloc[:, 1].to_numpy(dtype=float), list(sample.iloc[:, 0].astype(str))
            ) if tested else '',
        },
    )  # fmt: skip


def _measure_rows(
    study: Study, cohort: str, frame: pd.DataFrame, measure: Measure, rng: np.random.Generator
) -> list[Row]:
    """Return the rows of one measure in one cohort."""
    wanted = study.model.content['Mixture']
    complete, excluded = study.missing(frame, [measure.name])
    common: dict[str, object] = {
        'analysis': 'mixture', 'cohort': cohort, 'response': measure.name,
        'component': measure.component, 'metric': measure.metric, 'n': len(complete),
        'n_per_group': group_counts(complete, study.group_levels(complete)),
        'excluded': excluded,
        'formula': f'{measure.name} ~ sum of Gaussians',
        'method': 'Gaussian mixture by expectation maximisation, '
        + ('one variance' if wanted['EqualVariance'] else 'unequal variances')
        + ', parametric bootstrap of the likelihood ratio',
    }  # fmt: skip
    try:
        comparison = compare_mixtures(
            complete[measure.name], rng=rng, max_components=wanted['MaxComponents'],
            n_bootstrap=wanted['Bootstraps'], equal_variance=wanted['EqualVariance'],
        )  # fmt: skip
    except BidsAccError as error:
        return [Row(**common, note=f'not done: {error}')]  # type: ignore[arg-type]
    sample = complete[['participant_id', measure.name]]
    components = range(1, wanted['MaxComponents'] + 1)
    return [_model_row(comparison, k, common, sample) for k in components]


def mixture_of_populations(
    study: Study, earlier: Mapping[str, pd.DataFrame], rng: np.random.Generator
) -> list[Row]:
    """Fit one to three Gaussians to each named measure without regard to the groups.

    Parameters
    ----------
    study : Study
        Data and model (``Mixture``).
    earlier : mapping of str to DataFrame
        Not used: this step looks at no other.
    rng : Generator
        Starts of the EM algorithm and bootstrap samples.

    Returns
    -------
    list of Row
        One row a measure, cohort and number of components.
    """
    del earlier
    wanted = study.model.content['Mixture']
    known = {measure.name for measure in study.measures}
    names = [name for name in wanted['Measures'] if name in known]
    if not names:
        return []
    rows: list[Row] = []
    for cohort, frame in study.cohorts():
        part = frame[frame['group'].isin(wanted['Groups'])] if wanted['Groups'] else frame
        for measure in chosen_measures(study, names):
            rows += _measure_rows(study, cohort, part, measure, rng)
    return rows
