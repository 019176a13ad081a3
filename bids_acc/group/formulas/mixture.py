"""Whether a measurement comes from one population or from several.

Finite mixtures of one to three Gaussians are fitted by expectation maximisation and compared by
Akaike weights and by a parametric bootstrap of the likelihood ratio. All starts, and all
bootstrap samples, run through one vectorised loop, so that a bootstrap of a cohort of forty
takes seconds.

The likelihood of a Gaussian mixture has no upper bound: a component that sits on one value can
shrink for ever. Standard deviations are therefore kept above a fraction of the sample's, and a
solution that rests on that bound is taken only when no start gave another.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from bids_acc.exceptions import InputDataError
from bids_acc.typing import FloatArray

MIN_SD_FRACTION = 0.05
"""Lower bound of a component's standard deviation, as a fraction of the sample's."""
RECOMMENDED_EVIDENCE_RATIO = 2.7
"""Evidence ratio that doi:10.1093/schbul/sbv151 asks for before one model is preferred."""
_LOG_2PI = float(np.log(2 * np.pi))
_CHUNK = 2_000_000
"""Largest number of floats in one block of simultaneous fits (16 MB)."""


class ConvergenceWarning(UserWarning):
    """Expectation maximisation stopped before the likelihood settled."""


@dataclass(frozen=True)
class MixtureFit:
    """A fitted mixture of Gaussians, components sorted by mean."""

    weights: FloatArray
    """(n_components,) Mixing proportions, summing to one."""
    means: FloatArray
    """(n_components,) Means, in the unit of the data."""
    sds: FloatArray
    """(n_components,) Standard deviations, in the unit of the data."""
    log_likelihood: float
    """Natural logarithm of the likelihood."""
    n: int
    """Number of values."""
    converged: bool
    """Whether the likelihood settled."""
    degenerate: bool
    """Whether a standard deviation rests on its lower bound."""
    equal_variance: bool = False
    """Whether all components were given one standard deviation."""

    @property
    def n_components(self) -> int:
        """Number of Gaussians."""
        return len(self.means)

    @property
    def n_parameters(self) -> int:
        """Free parameters: means, standard deviations and all but one weight."""
        return 2 * self.n_components if self.equal_variance else 3 * self.n_components - 1

    @property
    def aic(self) -> float:
        """Akaike's information criterion."""
        return 2 * self.n_parameters - 2 * self.log_likelihood

    @property
    def aicc(self) -> float:
        """AIC with Hurvich and Tsai's (1989) small-sample term; NaN when n is too small."""
        p = self.n_parameters
        if self.n - p - 1 <= 0:
            return float('nan')
        return self.aic + 2 * p * (p + 1) / (self.n - p - 1)

    @property
    def bic(self) -> float:
        """Schwarz's information criterion, smaller is better."""
        return self.n_parameters * float(np.log(self.n)) - 2 * self.log_likelihood


@dataclass(frozen=True)
class MixtureComparison:
    """Mixtures with 1, 2, ... components, side by side."""

    fits: tuple[MixtureFit, ...]
    """One fit for each number of components, from one upwards."""
    aic_weights: FloatArray
    """(n_models,) Akaike weights; they sum to one."""
    aicc_weights: FloatArray
    """(n_models,) Akaike weights from AICc."""
    likelihood_ratios: FloatArray
    """(n_models - 1,) Twice the gain in log likelihood by one more component."""
    bootstrap_p: FloatArray
    """(n_models - 1,) Parametric bootstrap p of each ratio; NaN when not asked for."""
    n_bootstrap: int
    """Samples behind each p."""

    def evidence_ratio(self, better: int, worse: int, *, corrected: bool = False) -> float:
        """Return how many times better one number of components is supported than another.

        Parameters
        ----------
        better, worse : int
            Numbers of components, from 1 to the largest that was fitted.
        corrected : bool
            Use AICc, which penalises small samples more, and not AIC.

        Returns
        -------
        float
            Ratio of the two Akaike weights; above 1 favours ``better``.
        """
        weights = self.aicc_weights if corrected else self.aic_weights
        return float(weights[better - 1] / weights[worse - 1])


@dataclass(frozen=True)
class _Effort:
    """How long expectation maximisation may try, and which variances it may choose."""

    n_starts: int
    tol: float
    max_iter: int
    equal_variance: bool


def _log_joint(
    x: FloatArray, weights: FloatArray, means: FloatArray, sds: FloatArray
) -> FloatArray:
    """Return log(weight * density): (b, n), (b, k) x 3 -> (b, k, n)."""
    z = (x[:, None, :] - means[:, :, None]) / sds[:, :, None]
    with np.errstate(divide='ignore'):
        scale = np.log(weights) - np.log(sds) - 0.5 * _LOG_2PI
    joint: FloatArray = scale[:, :, None] - 0.5 * z**2
    return joint


def _starts(x: FloatArray, k: int, n_starts: int, rng: np.random.Generator) -> FloatArray:
    """Return (b, n_starts, k) starting means: quantiles first, then random data values."""
    quantiles = np.quantile(x, (np.arange(k) + 0.5) / k, axis=1).T[:, None, :]
    picks = np.argsort(rng.random((len(x), n_starts - 1, x.shape[1])), axis=-1)[..., :k]
    drawn = np.take_along_axis(np.broadcast_to(x[:, None], (*picks.shape[:2], x.shape[1])),
                               picks, axis=-1)  # fmt: skip
    return np.concatenate([quantiles, drawn], axis=1)


def _em_step(
    x: FloatArray,
    weights: FloatArray,
    means: FloatArray,
    sds: FloatArray,
    floor: FloatArray,
    equal_variance: bool,
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Do one step for b mixtures at once; also return the likelihood before the step."""
    joint = _log_joint(x, weights, means, sds)
    peak = joint.max(axis=1, keepdims=True)
    density = np.exp(joint - peak)
    total = density.sum(axis=1, keepdims=True)
    log_likelihood = (np.log(total) + peak).sum(axis=(1, 2))
    resp = density / total
    # a component that nobody belongs to dies without dividing by zero; another start then wins
    mass = np.maximum(resp.sum(axis=2), 1e-12)
    means = np.einsum('bkn,bn->bk', resp, x) / mass
    spread = np.einsum('bkn,bkn->bk', resp, (x[:, None] - means[:, :, None]) ** 2) / mass
    if equal_variance:
        pooled = (spread * mass).sum(axis=1, keepdims=True) / x.shape[1]
        spread = np.broadcast_to(pooled, spread.shape)
    return mass / x.shape[1], means, np.maximum(np.sqrt(spread), floor), log_likelihood


def _em(
    x: FloatArray, means: FloatArray, floor: FloatArray, effort: _Effort
) -> dict[str, FloatArray]:
    """Run expectation maximisation for b mixtures until each one's likelihood settles."""
    b, k = means.shape
    state = {
        'weights': np.full((b, k), 1 / k),
        'means': means.copy(),
        # narrower than the sample, or all components would start as the same one
        'sds': np.maximum(np.repeat(x.std(axis=1, keepdims=True) / k, k, axis=1), floor),
        'log_likelihood': np.full(b, -np.inf),
        'converged': np.zeros(b, dtype=bool),
    }
    active = np.arange(b)
    for _ in range(effort.max_iter):
        w, m, s, loglik = _em_step(
            x[active], state['weights'][active], state['means'][active], state['sds'][active],
            floor[active], effort.equal_variance,
        )  # fmt: skip
        gain = loglik - state['log_likelihood'][active]
        state['log_likelihood'][active] = loglik
        done = np.abs(gain) < effort.tol * x.shape[1]
        state['converged'][active[done]] = True
        moving = active[~done]
        state['weights'][moving] = w[~done]
        state['means'][moving] = m[~done]
        state['sds'][moving] = s[~done]
        active = moving
        if not len(active):
            break
    return state


def _best(
    state: dict[str, FloatArray], floor: FloatArray, n_samples: int
) -> dict[str, FloatArray]:
    """Choose for each sample the best start, a regular one if there is any."""
    on_floor = (state['sds'] <= floor * (1 + 1e-9)).any(axis=1).reshape(n_samples, -1)
    loglik = state['log_likelihood'].reshape(n_samples, -1)
    # the likelihood of the others is larger for the wrong reason: they sit on single values
    regular = np.where(on_floor, -np.inf, loglik)
    has_regular = ~on_floor.all(axis=1)
    index = np.where(has_regular, regular.argmax(axis=1), loglik.argmax(axis=1))
    flat = index + np.arange(n_samples) * loglik.shape[1]
    return {**{name: value[flat] for name, value in state.items()}, 'degenerate': ~has_regular}


def _fit_samples(
    x: FloatArray, k: int, rng: np.random.Generator, effort: _Effort
) -> dict[str, FloatArray]:
    """Fit k Gaussians to each row of x; returns arrays with one entry for each row."""
    n_starts = 1 if k == 1 else effort.n_starts
    floor = MIN_SD_FRACTION * x.std(axis=1, keepdims=True)
    starts = _starts(x, k, n_starts, rng)
    step = max(1, _CHUNK // (n_starts * k * x.shape[1]))
    parts = []
    for first in range(0, len(x), step):
        rows = slice(first, first + step)
        block = np.repeat(x[rows], n_starts, axis=0)
        block_floor = np.repeat(floor[rows], n_starts, axis=0)
        state = _em(block, starts[rows].reshape(len(block), k), block_floor, effort)
        parts.append(_best(state, block_floor, len(x[rows])))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _checked(values: npt.ArrayLike, n_components: int) -> FloatArray:
    """Return finite values, or refuse."""
    x: FloatArray = np.asarray(values, dtype=float)
    x = x[np.isfinite(x)]
    if len(x) < 3 * n_components + 1:
        raise InputDataError(
            f'a mixture of {n_components} needs at least {3 * n_components + 1} values, '
            f'there are {len(x)}; ask for fewer components.'
        )
    if np.ptp(x) == 0:
        raise InputDataError('all values are equal: a mixture cannot be fitted.')
    return x


def fit_mixture(
    values: npt.ArrayLike,
    n_components: int,
    *,
    rng: np.random.Generator,
    equal_variance: bool = False,
    n_starts: int = 50,
    tol: float = 1e-12,
    max_iter: int = 20000,
) -> MixtureFit:
    """Fit a mixture of Gaussians by expectation maximisation.

    Parameters
    ----------
    values : (n,) array_like
        Measurements in any unit; NaN are left out.
    n_components : int
        Number of Gaussians.
    rng : numpy.random.Generator
        Draws the starting means.
    equal_variance : bool
        Give all components one standard deviation; steadier in small samples.
    n_starts : int
        Starts; the first is always at the quantiles.
    tol : float
        Smallest gain of log likelihood per value that counts as progress.
    max_iter : int
        Steps per start.

    Returns
    -------
    MixtureFit
        The likeliest solution whose standard deviations lie above their lower bound.

    Raises
    ------
    InputDataError
        If there are too few values, or all are equal.

    References
    ----------
    McLachlan G, Peel D (2000). Finite Mixture Models. Wiley. doi:10.1002/0471721182

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> values = np.r_[rng.normal(0, 1, 200), rng.normal(6, 1, 100)]
    >>> fit = fit_mixture(values, 2, rng=rng)
    >>> fit.means.round(1), fit.weights.round(2)
    (array([0. , 5.9]), array([0.67, 0.33]))
    """
    x = _checked(values, n_components)
    # Work on standardised values: tolerances then mean the same for every unit.
    centre, scale = float(x.mean()), float(x.std())
    z = ((x - centre) / scale)[None]
    effort = _Effort(n_starts, tol, max_iter, equal_variance)
    state = _fit_samples(z, n_components, rng, effort)
    if not state['converged'][0]:
        warnings.warn(
            f'mixture of {n_components}: the likelihood did not settle in {max_iter} steps',
            ConvergenceWarning,
            stacklevel=2,
        )
    order = np.argsort(state['means'][0], kind='stable')
    return MixtureFit(
        weights=state['weights'][0][order],
        means=state['means'][0][order] * scale + centre,
        sds=state['sds'][0][order] * scale,
        log_likelihood=float(state['log_likelihood'][0] - len(x) * np.log(scale)),
        n=len(x),
        converged=bool(state['converged'][0]),
        degenerate=bool(state['degenerate'][0]),
        equal_variance=equal_variance,
    )


def akaike_weights(criteria: npt.ArrayLike) -> FloatArray:
    """Return the weight of evidence of each model from its AIC or AICc.

    Parameters
    ----------
    criteria : (n_models,) array_like
        AIC or AICc; NaN gets weight zero.

    Returns
    -------
    (n_models,) ndarray of float64
        Weights, summing to one.

    References
    ----------
    Burnham KP, Anderson DR (2002). Model Selection and Multimodel Inference. Springer.
    doi:10.1007/b97636

    Examples
    --------
    >>> akaike_weights([100.0, 102.0]).round(3)
    array([0.731, 0.269])
    """
    values = np.asarray(criteria, dtype=float)
    # criteria of thousands underflow; only differences matter
    relative = np.exp(-0.5 * (values - np.nanmin(values)))
    relative = np.where(np.isnan(relative), 0.0, relative)
    weights: FloatArray = relative / relative.sum()
    return weights


def bootstrap_lrt(
    values: npt.ArrayLike,
    n_components: int,
    *,
    rng: np.random.Generator,
    equal_variance: bool = False,
    n_bootstrap: int = 199,
    n_starts: int = 10,
    tol: float = 1e-7,
    max_iter: int = 1000,
) -> tuple[float, float]:
    """Test n against n + 1 components by a parametric bootstrap of the likelihood ratio.

    The ratio has no chi-square distribution here, because the smaller model lies on the edge of
    the larger one. The sample and its bootstrap copies are fitted with the same effort.

    Parameters
    ----------
    values : (n,) array_like
        Measurements; NaN are left out.
    n_components : int
        Components under the null hypothesis.
    rng : numpy.random.Generator
        Draws the samples and the starting means.
    n_bootstrap : int
        Samples from the fitted null model.
    equal_variance, n_starts, tol, max_iter
        As for `fit_mixture`.

    Returns
    -------
    statistic : float
        Twice the difference of the log likelihoods, never negative.
    p : float
        (1 + samples with at least this ratio) / (1 + samples).

    References
    ----------
    McLachlan GJ (1987). J R Stat Soc C 36:318-324. doi:10.2307/2347790
    """
    x = _checked(values, n_components + 1)
    z = ((x - x.mean()) / x.std())[None]
    effort = _Effort(n_starts, tol, max_iter, equal_variance)
    null = _fit_samples(z, n_components, rng, effort)
    weights, means, sds = (null[name][0] for name in ('weights', 'means', 'sds'))
    label = rng.choice(n_components, size=(n_bootstrap, len(x)), p=weights / weights.sum())
    copies = rng.normal(means[label], sds[label])
    samples = np.concatenate([z, copies])
    small = _fit_samples(samples, n_components, rng, effort)['log_likelihood']
    large = _fit_samples(samples, n_components + 1, rng, effort)['log_likelihood']
    ratio = np.maximum(2 * (large - small), 0.0)
    p = (1 + np.count_nonzero(ratio[1:] >= ratio[0])) / (1 + n_bootstrap)
    return float(ratio[0]), float(p)


def compare_mixtures(
    values: npt.ArrayLike,
    *,
    rng: np.random.Generator,
    max_components: int = 3,
    equal_variance: bool = False,
    n_starts: int = 50,
    n_bootstrap: int = 199,
) -> MixtureComparison:
    """Compare mixtures with one to ``max_components`` Gaussians.

    Parameters
    ----------
    values : (n,) array_like
        Measurements; NaN are left out.
    rng : numpy.random.Generator
        Source of every random choice.
    max_components : int
        Largest mixture.
    equal_variance : bool
        As for `fit_mixture`.
    n_starts : int
        Starts for each mixture.
    n_bootstrap : int
        Bootstrap samples for each test of one more component; 0 leaves the tests out.

    Returns
    -------
    MixtureComparison
        Fits, Akaike weights, likelihood ratios and their p.

    Raises
    ------
    InputDataError
        If there are too few values for the largest mixture.
    """
    _checked(values, max_components)
    fits = tuple(
        fit_mixture(values, k, rng=rng, equal_variance=equal_variance, n_starts=n_starts)
        for k in range(1, max_components + 1)
    )
    # not by chi squared: under fewer components the parameters of the further one are not
    # identified, and the ratio has another law
    ratios = np.array([2 * (b.log_likelihood - a.log_likelihood) for a, b in pairwise(fits)])
    p = np.full(max_components - 1, np.nan)
    if n_bootstrap:
        for k in range(1, max_components):
            p[k - 1] = bootstrap_lrt(
                values, k, rng=rng, equal_variance=equal_variance, n_bootstrap=n_bootstrap
            )[1]
    return MixtureComparison(
        fits=fits,
        aic_weights=akaike_weights([fit.aic for fit in fits]),
        aicc_weights=akaike_weights([fit.aicc for fit in fits]),
        likelihood_ratios=np.maximum(ratios, 0.0),
        bootstrap_p=p,
        n_bootstrap=n_bootstrap,
    )
