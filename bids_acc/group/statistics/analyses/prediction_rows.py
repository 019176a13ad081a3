"""Rows of the table ``prediction``: how well unseen participants were predicted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd
from scipy import special

from bids_acc.exceptions import BidsAccError, InputDataError
from bids_acc.group.formulas.harmonise import ComBat
from bids_acc.group.formulas.prediction import PredictionResult, Scheme, predict
from bids_acc.group.statistics.analyses.classification_rows import classification_rows
from bids_acc.group.statistics.analyses.longitudinal_rows import chosen_measures
from bids_acc.group.statistics.analyses.site_rows import site_column
from bids_acc.group.statistics.rows.kinds import Effect, ResampledTest
from bids_acc.group.statistics.rows.row import Row
from bids_acc.group.statistics.study.data import Study


def prediction_row(result: PredictionResult, outcome: str, features: list[str]) -> Row:
    """Turn a result into a row.

    Parameters
    ----------
    result : PredictionResult
        From `predict`.
    outcome : str
        What was predicted.
    features : list of str
        Predictors.
    """
    return Row(
        analysis='prediction', response=outcome, term=result.scheme,
        test=ResampledTest(
            statistic='AUC' if result.metric == 'AUC' else 'out-of-sample r', value=result.value,
            p=result.p, n_resamples=result.n_permutations,
        ),
        n=result.n, n_per_group=result.n_per_class, family='prediction',
        effect=Effect('AUC' if result.metric == 'AUC' else 'out_of_sample_r', result.value,
                      result.ci_low, result.ci_high),
        formula=f'{outcome} ~ {" + ".join(features)}',
        method='ridge-penalised '
        + ('logistic' if result.metric == 'AUC' else 'linear')
        + ' regression, nested cross-validation, every learning step inside the folds, '
        'permutation p',
        note=result.note,
        extra={
            'n_folds': result.fold_scores.shape[1],
            'n_repeats': result.fold_scores.shape[0],
            'fold_min': float(np.nanmin(result.fold_scores)),
            'fold_max': float(np.nanmax(result.fold_scores)),
        },
    )  # fmt: skip


def _run(study: Study, scheme: Scheme, rng: np.random.Generator) -> list[Row]:
    """Predict by one scheme; a classification is told in full."""
    wanted, sites = study.model.content['Prediction'], study.model.content['Sites']
    features = [m.name for m in chosen_measures(study, wanted['Predictors'])]
    outcome = str(wanted['Outcome'])
    frame = study.baseline
    if outcome not in frame:
        raise InputDataError(f'Prediction/Outcome: there is no column {outcome!r}.')
    if wanted['Positive'] is None:
        frame = frame.assign(**{outcome: pd.to_numeric(frame[outcome], errors='coerce')})
    # cohorts are sites too: folds that ignore them let a model learn the scanner in place of the
    # outcome
    site = site_column(study) if sites['Column'] or len(set(frame['cohort'])) > 1 else None
    combat = None
    if sites['Harmonise'] == 'combat' and scheme == 'folds' and site is not None:
        frame = frame.dropna(subset=features)  # ComBat cannot fill in
        combat = ComBat(site=site, min_per_site=sites['MinPerSite'],
                        empirical_bayes=len(features) > 1)  # fmt: skip
    result = predict(
        frame, outcome, features, rng=rng, positive=wanted['Positive'], site=site,
        harmonise=combat, scheme=scheme, n_folds=wanted['Folds'], n_repeats=wanted['Repeats'],
        n_permutations=wanted['Permutations'], min_per_class=wanted['MinPerClass'],
        force=wanted['Force'],
    )  # fmt: skip
    row = prediction_row(result, outcome, features)
    placeless = 0 if site is None else int((frame[outcome].notna() & frame[site].isna()).sum())
    lost = len(study.baseline) - result.n - placeless
    excluded = {'outcome or predictor missing': lost, f'{site} missing': placeless}
    row.excluded = {why: number for why, number in excluded.items() if number}
    if result.metric != 'AUC':
        return [row]
    row.people = people_of(result, frame, outcome, str(wanted['Positive']))
    more = classification_rows(result, outcome, wanted['Cutoff'])
    return [row, *(replace(one, excluded=row.excluded, formula=row.formula) for one in more)]


def people_of(
    result: PredictionResult, frame: pd.DataFrame, outcome: str, positive: str
) -> pd.DataFrame:
    """Return what was predicted of each participant, unseen.

    Parameters
    ----------
    result : PredictionResult
        Of a two-level outcome.
    frame : DataFrame
        The table that it was made from.
    outcome, positive : str
        What was predicted, and its level that counts as positive.

    Returns
    -------
    DataFrame
        A row for each participant: the outcome, the predicted logit and probability of the
        positive level, and whether Youden's cut-off calls the participant positive.
    """
    own = frame.iloc[result.rows]
    return pd.DataFrame(
        {
            'participant_id': own['participant_id'].astype(str).to_numpy(),
            'cohort': own['cohort'].to_numpy(),
            'scheme': result.scheme,
            'response': outcome,
            'positive': positive,
            'observed': own[outcome].astype(str).to_numpy(),
            'decision': result.out_of_fold,
            'probability': special.expit(result.out_of_fold),
            'called': np.where(result.called, 'yes', 'no'),
        }
    )


def prediction_of_outcome(
    study: Study, earlier: Mapping[str, pd.DataFrame], rng: np.random.Generator
) -> list[Row]:
    """Predict the model's outcome from baseline measures, on unseen participants only.

    Parameters
    ----------
    study : Study
        Data and model (``Prediction``).
    earlier : mapping of str to DataFrame
        Not used: this step looks at no other.
    rng : Generator
        Folds and permutations.

    Returns
    -------
    list of Row
        One row a scheme of folds for the score, and those of a classification
        (`classification_rows`); empty without an outcome.
    """
    del earlier
    wanted = study.model.content['Prediction']
    if wanted['Outcome'] is None:
        return []
    schemes: list[Scheme] = ['folds']
    if wanted['LeaveSiteOut']:
        schemes.append('leave-site-out')
    rows = []
    for scheme in schemes:
        try:
            rows += _run(study, scheme, rng)
        except BidsAccError as error:
            rows.append(
                Row(analysis='prediction', response=str(wanted['Outcome']), term=scheme,
                    note=f'not done: {error}')
            )  # fmt: skip
    return rows
