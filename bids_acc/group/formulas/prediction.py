"""Can a baseline measure tell who will respond? Answered on people the model has not seen.

Every step that learns (filling in missing values, scaling, harmonising, choosing the penalty)
lies in one scikit-learn pipeline that is fitted to the training folds alone. Nothing here returns
a score of the people a model was fitted to, so no table can show one.

Scores are computed within each test fold and then averaged: pooling the decision values of
models that were fitted to different folds biases the area under the curve downwards (Forman and
Scholz 2010, doi:10.1145/1882471.1882479).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats
from sklearn import config_context
from sklearn.base import BaseEstimator, clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import KFold, LeaveOneGroupOut, StratifiedKFold
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from bids_acc.exceptions import InputDataError
from bids_acc.group.formulas.classification import youden_cutoff
from bids_acc.group.formulas.harmonise import ComBat
from bids_acc.typing import BoolArray, FloatArray, IntArray

Rows = FloatArray | pd.DataFrame
"""Predictors of people, one row each; a table where ComBat needs names."""
Folds = list[tuple[IntArray, IntArray]]
Scheme = Literal['folds', 'leave-site-out']

MIN_PER_CLASS = 20
"""Subjects in each class below which prediction is refused unless forced."""
PENALTIES = (0.01, 0.1, 1.0, 10.0)
"""Inverse ridge penalties that the inner folds choose from."""


@dataclass(frozen=True)
class PredictionResult:
    """How well unseen subjects were predicted."""

    metric: Literal['AUC', 'r']
    """Area under the ROC curve, or correlation of predicted with observed."""
    value: float
    """Mean over test folds and repeats."""
    ci_low: float
    """Lower end of the 95 % confidence interval; NaN with fewer than three test folds."""
    ci_high: float
    """Upper end of the 95 % confidence interval."""
    p: float
    """Permutation p, one-sided (better than chance); NaN when not asked for."""
    n_permutations: int
    """Permutations behind p."""
    n: int
    """Subjects."""
    n_per_class: dict[str, int]
    """Subjects of each class; empty for a continuous outcome."""
    scheme: Scheme
    """How test folds were made."""
    fold_scores: FloatArray
    """(n_repeats, n_folds) Score of each test fold."""
    chosen_penalties: tuple[float, ...]
    """Penalty that the inner folds chose, for each outer fold."""
    out_of_fold: FloatArray = field(repr=False)
    """(n,) Mean decision value of each subject when unseen."""
    truth: FloatArray = field(repr=False, default_factory=lambda: np.empty(0))
    """(n,) Outcome; 1 and 0 for two classes."""
    called: BoolArray = field(repr=False, default_factory=lambda: np.empty(0, dtype=bool))
    """(n,) Whether most repeats call the unseen subject positive, at Youden's cut-off of the
    training folds; empty for a continuous outcome."""
    note: str = ''
    """What the reader must know besides."""
    rows: IntArray = field(repr=False, default_factory=lambda: np.empty(0, dtype=np.int64))
    """(n,) Row of each subject in the table that was given, from 0."""


def make_pipeline(*, classify: bool = True, harmonise: ComBat | None = None) -> Pipeline:
    """Return the whole model, every learning step inside.

    Parameters
    ----------
    classify : bool
        Logistic regression if true, else ridge regression; both with a ridge penalty.
    harmonise : ComBat, optional
        Harmonisation of the features, fitted in each training fold.

    Returns
    -------
    sklearn.pipeline.Pipeline
        Not fitted; the penalty is called ``model__C`` or ``model__alpha``.
    """
    steps: list[tuple[str, BaseEstimator]] = [
        ('impute', SimpleImputer(strategy='median', keep_empty_features=True)),
        ('scale', StandardScaler()),
        (
            'model',
            LogisticRegression(solver='newton-cholesky', max_iter=500) if classify else Ridge(),
        ),
    ]
    if harmonise is not None:
        steps.insert(0, ('harmonise', harmonise))
    return Pipeline(steps)


def _numeric(table: pd.DataFrame, features: Sequence[str]) -> pd.DataFrame:
    """Return the features as numbers; text becomes one indicator for each level but the first."""
    columns: dict[str, npt.NDArray[np.str_]] = {}
    for name in features:
        column = table[name]
        if pd.api.types.is_numeric_dtype(column):
            columns[name] = column.to_numpy(dtype=float)
            continue
        known = column.notna().to_numpy()
        for level in sorted(column.dropna().astype(str).unique())[1:]:
            indicator = (column.astype(str) == level).to_numpy(dtype=float)
            columns[f'{name}[{level}]'] = np.where(known, indicator, np.nan)
    return pd.DataFrame(columns, index=table.index)


def _take(X: Rows, rows: IntArray) -> Rows:
    """Return rows of a table or of an array."""
    return X.iloc[rows] if isinstance(X, pd.DataFrame) else X[rows]


def _inner_score(truth: FloatArray, decision: FloatArray, classify: bool) -> float:
    """Return the score by which the inner folds choose the penalty."""
    return float(roc_auc(truth, decision) if classify else -np.mean((truth - decision) ** 2))


def _inner_scores(
    plan: _Plan, X: Rows, y: FloatArray, seed: int
) -> tuple[tuple[float, ...], FloatArray]:
    """Return the penalties and the mean score of each over the inner folds.

    What learns without the outcome is fitted once for each inner fold and shared by the
    penalties; with a plain grid search it would be fitted once for each of them.
    """
    name = 'C' if plan.classify else 'alpha'
    grid = PENALTIES if plan.classify else tuple(1 / c for c in PENALTIES)
    folds = plan.inner_folds(X, y, seed)
    scores = np.zeros(len(grid))
    for train, test in folds:
        prepare = clone(plan.pipeline[:-1])
        seen = prepare.fit_transform(_take(X, train), y[train])
        unseen = prepare.transform(_take(X, test))
        for at, penalty in enumerate(grid):
            model = clone(plan.pipeline[-1]).set_params(**{name: penalty}).fit(seen, y[train])
            decision = _decisions(model, unseen, plan.classify)
            scores[at] += _inner_score(y[test], decision, plan.classify)
    return grid, scores / len(folds)


def _fit_with_inner_folds(
    plan: _Plan, X: Rows, y: FloatArray, seed: int
) -> tuple[Pipeline, float]:
    """Choose the penalty by inner folds, then fit the whole pipeline to all rows given."""
    grid, scores = _inner_scores(plan, X, y, seed)
    # of equal scores the strongest penalty, which stands first
    best = grid[int(np.argmax(scores))]
    name = 'C' if plan.classify else 'alpha'
    return clone(plan.pipeline).set_params(**{f'model__{name}': best}).fit(X, y), best


def roc_auc(truth: npt.ArrayLike, decision: npt.ArrayLike) -> float:
    """Return the area under the ROC curve from the ranks of the decision values.

    Parameters
    ----------
    truth : (n,) array_like
        1 for the positive class, else 0.
    decision : (n,) array_like
        Larger means more likely positive; ties count one half.

    Examples
    --------
    >>> roc_auc([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
    0.75
    """
    positive = np.asarray(truth) > 0.5
    ranks = stats.rankdata(decision)
    n_pos = int(positive.sum())
    u = ranks[positive].sum() - n_pos * (n_pos + 1) / 2
    return float(u / (n_pos * (len(positive) - n_pos)))


def _decisions(model: BaseEstimator, rows: Rows, classify: bool) -> FloatArray:
    """Return decision values for subjects that the model has not seen."""
    return np.asarray(model.decision_function(rows) if classify else model.predict(rows))


def _fold_score(truth: FloatArray, decision: FloatArray, classify: bool) -> float:
    """Return the score of one test fold; NaN when it cannot be scored."""
    if np.ptp(truth) == 0:
        return float('nan')
    if classify:
        return roc_auc(truth, decision)
    # a constant ranks nobody, and is worth 0; as NaN it would leave the mean, and folds that
    # learnt nothing would not count
    if np.ptp(decision) <= 1e-12 * max(1.0, float(np.abs(decision).max())):
        return 0.0
    return float(np.corrcoef(truth, decision)[0, 1])


@dataclass(frozen=True)
class _Plan:
    """What is fitted and how folds are made."""

    pipeline: Pipeline
    classify: bool
    scheme: Scheme
    n_folds: int
    n_inner: int
    sites: npt.NDArray[np.str_] | None

    def folds(self, table: Rows, y: FloatArray, seed: int) -> Folds:
        """Return the outer folds, whose test people are predicted.

        Parameters
        ----------
        table : (n, n_features) array_like
            Only its number of rows is used.
        y : (n,) ndarray of float64
            Response; 0 and 1 in classification, where folds are stratified by class (and
            site).
        seed : int
            Seed of the shuffle; not used by leave-site-out.

        Returns
        -------
        list of (train, test)
            Row numbers of each fold.

        Raises
        ------
        InputDataError
            If there are fewer people, or people of the larger class, than folds.
        """
        if self.scheme == 'leave-site-out':
            return list(LeaveOneGroupOut().split(table, y, self.sites))
        if not self.classify:
            if len(y) < self.n_folds:
                raise InputDataError(f'{len(y)} people are fewer than {self.n_folds} folds.')
            return list(KFold(self.n_folds, shuffle=True, random_state=seed).split(table))
        largest = int(max(y.sum(), len(y) - y.sum()))
        if largest < self.n_folds:
            raise InputDataError(
                f'{largest} people in the larger class are fewer than {self.n_folds} folds; take '
                'fewer folds.'
            )
        strata = y
        if self.sites is not None:
            # Strata of class and site keep every site in every training fold; scikit-learn
            # refuses them where many small sites leave each smaller than the number of folds.
            both = np.unique(self.sites, return_inverse=True)[1] * 2 + y
            if np.bincount(both.astype(np.int64)).max() >= self.n_folds:
                strata = both
        with warnings.catch_warnings():
            warnings.filterwarnings('ignore', message='The least populated class')
            outer = StratifiedKFold(self.n_folds, shuffle=True, random_state=seed)
            return list(outer.split(table, strata))

    def inner_folds(self, X: Rows, y: FloatArray, seed: int) -> Folds:
        """Return the folds inside a training set, which choose the penalty.

        Parameters
        ----------
        X : (n, n_features) array_like
            Training rows; only their number is used.
        y : (n,) ndarray of float64
            Their response.
        seed : int
            Seed of the shuffle.

        Returns
        -------
        list of (train, test)
            At most as many as the smaller class has members.

        Raises
        ------
        InputDataError
            If a class has fewer than two members.
        """
        if not self.classify:
            count = min(self.n_inner, len(y))
            return list(KFold(count, shuffle=True, random_state=seed).split(X))
        smallest = int(min(y.sum(), len(y) - y.sum()))
        if smallest < 2:
            raise InputDataError(
                f'a training fold has {smallest} of the smaller class: no penalty can be chosen '
                'within it; leave no site out, or predict in more people.'
            )
        inner = StratifiedKFold(min(self.n_inner, smallest), shuffle=True, random_state=seed)
        return list(inner.split(X, y))


def _cross_validate(
    plan: _Plan, X: Rows, y: FloatArray, seed: int
) -> tuple[FloatArray, FloatArray, list[float], BoolArray]:
    """Run one repeat: scores of test folds, unseen decision values, penalties, unseen calls."""
    scores, penalties = [], []
    called = np.zeros(len(y), dtype=bool)
    decisions = np.full(len(y), np.nan)
    for train, test in plan.folds(X, y, seed):
        with warnings.catch_warnings(), config_context(skip_parameter_validation=True):
            warnings.simplefilter('ignore', ConvergenceWarning)
            model, penalty = _fit_with_inner_folds(plan, _take(X, train), y[train], seed)
        decisions[test] = _decisions(model, _take(X, test), plan.classify)
        if plan.classify:
            seen = _decisions(model, _take(X, train), plan.classify)
            # the cut-off of the people whom the model knows: one that is chosen on the test fold
            # is judged by what chose it
            called[test] = decisions[test] >= youden_cutoff(y[train] > 0.5, seen)
        scores.append(_fold_score(y[test], decisions[test], plan.classify))
        penalties.append(penalty)
    return np.array(scores), decisions, penalties, called


def corrected_interval(
    scores: npt.ArrayLike, test_fraction: float, bounds: tuple[float, float] = (0.0, 1.0)
) -> tuple[float, float]:
    """Return the 95 % interval of a cross-validated score.

    Folds share training subjects, so their scores vary less than independent ones would. Nadeau
    and Bengio's correction adds the ratio of test to training subjects to the variance.

    Parameters
    ----------
    scores : (n_scores,) array_like
        Scores of the test folds over all repeats; NaN are left out.
    test_fraction : float
        Test subjects divided by training subjects.
    bounds : (float, float)
        Range of the score.

    Returns
    -------
    low, high : float
        NaN with fewer than three scores.

    References
    ----------
    Nadeau C, Bengio Y (2003). Mach Learn 52:239-281. doi:10.1023/A:1024068626366

    Examples
    --------
    >>> low, high = corrected_interval([0.7, 0.8, 0.75, 0.65, 0.85], 0.25)
    >>> round(low, 2), round(high, 2)
    (0.6, 0.9)
    """
    values = np.asarray(scores, dtype=float)
    values = values[np.isfinite(values)]
    if len(values) < 3:
        return float('nan'), float('nan')
    # the term beside 1/n does not shrink with more repeats: they see the same people again
    se = np.sqrt((1 / len(values) + test_fraction) * values.var(ddof=1))
    half = float(stats.t.ppf(0.975, len(values) - 1) * se)
    mean = float(values.mean())
    return max(bounds[0], mean - half), min(bounds[1], mean + half)


def _permutations(
    y: FloatArray, sites: npt.NDArray[np.str_] | None, n: int, rng: np.random.Generator
) -> Iterator[FloatArray]:
    """Yield shuffled outcomes, shuffled within sites when there are sites."""
    # exchanged between sites, outcomes would lose their relation to the site, and a model that
    # knows nothing but the site would look better than chance
    blocks = (
        [np.arange(len(y))]
        if sites is None
        else [np.flatnonzero(sites == name) for name in np.unique(sites)]
    )
    for _ in range(n):
        shuffled = y.copy()
        for block in blocks:
            shuffled[block] = y[rng.permutation(block)]
        yield shuffled


def _checked_outcome(
    table: pd.DataFrame, outcome: str, positive: str | None, min_per_class: int, force: bool
) -> tuple[FloatArray, dict[str, int], str]:
    """Return the outcome as numbers, the class sizes and a note; refuse small classes."""
    if positive is None:
        y = table[outcome].to_numpy(dtype=float)
        if len(y) < 2 * min_per_class and not force:
            raise InputDataError(
                f'{outcome}: {len(y)} subjects are fewer than {2 * min_per_class}; a prediction '
                'from so few says little (force it if you must).'
            )
        return y, {}, '' if len(y) >= 2 * min_per_class else 'forced with few subjects'
    labels = table[outcome].astype(str)
    counts = {str(k): int(v) for k, v in labels.value_counts().sort_index().items()}
    if len(counts) != 2 or positive not in counts:
        raise InputDataError(
            f'{outcome} must have two classes, one of them {positive!r}; it has {counts}.'
        )
    small = min(counts.values())
    if small < min_per_class and not force:
        raise InputDataError(
            f'{outcome}: {small} subjects in a class are fewer than {min_per_class}; a '
            'prediction from so few says little (force it if you must).'
        )
    note = '' if small >= min_per_class else f'forced with {small} subjects in a class'
    return np.asarray(labels == positive, dtype=float), counts, note


def _check_features(
    table: pd.DataFrame, features: Sequence[str], outcome: str, harmonise: ComBat | None
) -> None:
    """Refuse what would let the outcome into the predictors."""
    if not features:
        raise InputDataError('no predictor is named.')
    if missing := [c for c in features if c not in table]:
        raise InputDataError(f'the predictor {missing[0]!r} is not in the table.')
    if outcome in features or (harmonise is not None and outcome in harmonise.preserve):
        raise InputDataError(
            f'{outcome!r} is to be predicted, so it cannot be a predictor nor be preserved by '
            'ComBat: that would show the answer to the model.'
        )
    if empty := [c for c in features if table[c].isna().all()]:
        raise InputDataError(f'the predictor {empty[0]!r} has no value at all.')


def predict(
    table: pd.DataFrame,
    outcome: str,
    features: Sequence[str],
    *,
    rng: np.random.Generator,
    positive: str | None = None,
    site: str | None = None,
    harmonise: ComBat | None = None,
    scheme: Scheme = 'folds',
    n_folds: int = 5,
    n_inner: int = 5,
    n_repeats: int = 3,
    n_permutations: int = 199,
    min_per_class: int = MIN_PER_CLASS,
    force: bool = False,
) -> PredictionResult:
    """Predict an outcome by nested cross-validation.

    Parameters
    ----------
    table : DataFrame
        One row per subject, at baseline.
    outcome : str
        Column to predict; subjects without it, or without a site, are left out.
    features : sequence of str
        Predictors; missing numbers are filled with the training folds' median.
    rng : numpy.random.Generator
        Makes the folds and the permutations.
    positive : str, optional
        Level of a two-level outcome that counts as positive; without it the outcome is
        continuous.
    site : str, optional
        Column with the site: folds are stratified by it, labels are shuffled within it.
    harmonise : ComBat, optional
        Harmonisation, fitted in each training fold; not with ``'leave-site-out'``.
    scheme : {'folds', 'leave-site-out'}
        Test folds: random and stratified, or one whole site each.
    n_folds, n_inner : int
        Outer and inner folds.
    n_repeats : int
        Repeats with other random folds; one when sites are left out.
    n_permutations : int
        Shuffled outcomes, each going through the whole procedure; 0 gives no p.
    min_per_class : int
        Fewest subjects of a class (half of all subjects for a continuous outcome).
    force : bool
        Go on below ``min_per_class``.

    Returns
    -------
    PredictionResult
        Scores of unseen subjects only.

    Raises
    ------
    InputDataError
        If classes are too small, the outcome is among the predictors, or a site that is left
        out would have to be harmonised.
    """
    _check_features(table, features, outcome, harmonise)
    if scheme == 'leave-site-out' and (site is None or harmonise is not None):
        raise InputDataError(
            'leaving a site out needs a site column and no ComBat: the site that is left out '
            'has no subjects from which its correction could be learnt.'
        )
    told = table[outcome].notna()
    if site is not None:
        told &= table[site].notna()  # people without a site are not a site of their own
    data = table[told].reset_index(drop=True)
    y, counts, note = _checked_outcome(data, outcome, positive, min_per_class, force)
    X = _predictors(data, features, harmonise)
    classify = positive is not None
    plan = _Plan(
        pipeline=make_pipeline(classify=classify, harmonise=harmonise),
        classify=classify, scheme=scheme, n_folds=n_folds, n_inner=n_inner,
        sites=None if site is None else data[site].astype(str).to_numpy(dtype=str),
    )  # fmt: skip
    repeats = 1 if scheme == 'leave-site-out' else n_repeats
    seeds = [int(s) for s in rng.integers(2**31, size=repeats)]
    runs = [_cross_validate(plan, X, y, seed) for seed in seeds]
    scores = np.array([run[0] for run in runs])
    if np.isnan(scores).any():
        note = '; '.join(filter(None, [note, 'a test fold with one class was left out']))
    value = float(np.nanmean(scores))
    low, high = corrected_interval(
        scores.ravel(), 1 / (scores.shape[1] - 1), (0.0, 1.0) if classify else (-1.0, 1.0)
    )
    return PredictionResult(
        metric='AUC' if classify else 'r', value=value, ci_low=low, ci_high=high,
        p=_permutation_p(plan, X, y, seeds, value, n_permutations, rng),
        n_permutations=n_permutations, n=len(y), n_per_class=counts, scheme=scheme,
        fold_scores=scores, chosen_penalties=tuple(c for run in runs for c in run[2]),
        out_of_fold=np.mean([run[1] for run in runs], axis=0), note=note, truth=y,
        called=np.mean([run[3] for run in runs], axis=0) > 0.5,
        rows=np.flatnonzero(told),
    )  # fmt: skip


def _predictors(data: pd.DataFrame, features: Sequence[str], harmonise: ComBat | None) -> Rows:
    """Return the predictors: numbers, or a table with what ComBat needs besides."""
    if harmonise is None:
        return _numeric(data, list(features)).to_numpy()
    extra = [harmonise.site, *harmonise.preserve]
    return _numeric(data, [c for c in features if c not in extra]).join(data[extra])


def _permutation_p(
    plan: _Plan, X: Rows, y: FloatArray, seeds: Sequence[int], value: float, n_permutations: int,
    rng: np.random.Generator,
) -> float:  # fmt: skip
    """Return the share of shuffled outcomes that are predicted as well; NaN without any."""
    if not n_permutations:
        return float('nan')
    # with the folds of the real outcome: the p is that of the outcome and not of lucky folds
    null = [
        float(np.nanmean([_cross_validate(plan, X, shuffled, seed)[0] for seed in seeds]))
        for shuffled in _permutations(y, plan.sites, n_permutations, rng)
    ]
    as_good = np.count_nonzero(np.array(null) >= value - 1e-12)
    return float((1 + as_good) / (1 + n_permutations))
