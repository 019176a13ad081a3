"""Orthonormal projective non-negative matrix factorization as a scikit-learn estimator."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from numbers import Integral, Real
from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import Tags, assert_all_finite, check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted, check_non_negative, validate_data

from bids_acc.group.opnmf.anls import solve_anls
from bids_acc.group.opnmf.covariance import CovarianceOperator, lowest_and_square, nonzero_columns
from bids_acc.group.opnmf.initialise import Init, Starts
from bids_acc.group.opnmf.labels import labels_of
from bids_acc.group.opnmf.solvers import Factorization, solve_mu, solve_pnmf
from bids_acc.typing import BoolArray, FloatArray

Solver = Literal['anls', 'mu']
Objective = Literal['opnmf', 'pnmf']

ANLS_MAX_ITER = 1000
MU_MAX_ITER = 50_000


class OPNMF(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Parts of the cortex that vary together, found by orthonormal projective NMF.

    Approximates the non-negative data X by ``X W W'`` with a non-negative W, so that each
    component is a set of vertices and each observation is described by its weighted sums over
    those sets. Rows are observations (subject x metric) and columns are vertices; the papers
    and most other implementations use the transpose.

    Parameters
    ----------
    n_components : int
        Number of components k.
    init : {'nndsvd', 'nndsvda', 'random'} or (n_vertices, n_components) array_like
        First starting point; ``nndsvd`` is deterministic.
    solver : {'anls', 'mu'}
        ``mu`` follows the published multiplicative update step for step and stops where it
        does, usually 1 to 10 % away from a fixed point. ``anls`` reaches a fixed point of the
        same update, to ``tol``, in tens of iterations.
    objective : {'opnmf', 'pnmf'}
        The published iteration drops one term of the gradient and so does not minimise the
        error that is reported. ``pnmf`` continues to a minimum of the error itself.
    n_init : int
        Starting points; all but the first are random, and the end point with the smallest
        error is kept.
    tol : float
        For ``anls``, the fixed-point residual relative to the norm of W; for ``mu``, the
        change of W in one iteration relative to its norm, as published.
    max_iter : int, optional
        Iterations at most; 1000 for ``anls`` and 50 000 for ``mu`` when absent.
    theta : float
        Damping of ``anls``, between 0 and 1.
    random_state : int, RandomState, optional
        Seed of the random starts.
    dtype : {'float64', 'float32'}, optional
        Precision of the large products; that of the data when absent. W is float64 inside.

    Attributes
    ----------
    components_ : (n_components, n_vertices) ndarray
        W', of spectral norm 1. Its rows are orthogonal only where components do not overlap.
    labels_ : (n_vertices,) ndarray of int
        Component with the largest weight; -1 for vertices that are zero in all observations.
    reconstruction_err_ : float
        Frobenius norm of ``X - X W W'``.
    n_iter_ : int
        Iterations of the start that was kept.
    converged_ : bool
        Whether that start met its stopping rule.
    residual_ : float
        Distance of W to its exact step, relative to the norm of W; 0 at a fixed point.
    mu_ : float
        Scale between W and its exact step.
    orthogonality_ : float
        Frobenius norm of ``W'W - I``; about 0.4 even at a fixed point of correlated data.
    objectives_ : (n_init,) ndarray of float64
        Error of each start, in their order.
    n_features_in_ : int
        Number of vertices.

    References
    ----------
    Yang Z, Oja E (2010). Linear and nonlinear projective nonnegative matrix factorization.
    IEEE Trans Neural Netw 21:734-749. https://doi.org/10.1109/TNN.2010.2041361

    Sotiras A, Resnick SM, Davatzikos C (2015). Finding imaging patterns of structural
    covariance via non-negative matrix factorization. NeuroImage 108:1-16.
    https://doi.org/10.1016/j.neuroimage.2014.11.045

    Examples
    --------
    Two sets of vertices that never vary together are found as such.

    >>> parts = np.array([[1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 1.0]])
    >>> amounts = np.array([[3.0, 1.0], [1.0, 2.0], [2.0, 5.0]])
    >>> model = OPNMF(n_components=2).fit(amounts @ parts)
    >>> bool(model.labels_[0] == model.labels_[1] != model.labels_[2] == model.labels_[3])
    True
    >>> bool(model.reconstruction_err_ < 1e-3)
    True
    """

    _parameter_constraints: dict[str, list[Any]] = {
        'n_components': [Interval(Integral, 1, None, closed='left')],
        'init': [StrOptions({'nndsvd', 'nndsvda', 'random'}), 'array-like'],
        'solver': [StrOptions({'anls', 'mu'})],
        'objective': [StrOptions({'opnmf', 'pnmf'})],
        'n_init': [Interval(Integral, 1, None, closed='left')],
        'tol': [Interval(Real, 0, None, closed='left')],
        'max_iter': [None, Interval(Integral, 1, None, closed='left')],
        'theta': [Interval(Real, 0, 1, closed='neither')],
        'random_state': ['random_state'],
        'dtype': [None, StrOptions({'float64', 'float32'})],
    }

    def __init__(
        self,
        n_components: int = 4,
        *,
        init: Init | npt.ArrayLike = 'nndsvd',
        solver: Solver = 'anls',
        objective: Objective = 'opnmf',
        n_init: int = 1,
        tol: float = 1e-5,
        max_iter: int | None = None,
        theta: float = 0.85,
        random_state: int | np.random.RandomState | None = None,
        dtype: Literal['float64', 'float32'] | None = None,
    ) -> None:
        self.n_components = n_components
        self.init = init
        self.solver = solver
        self.objective = objective
        self.n_init = n_init
        self.tol = tol
        self.max_iter = max_iter
        self.theta = theta
        self.random_state = random_state
        self.dtype = dtype

    def fit(self, X: npt.ArrayLike, y: object = None) -> OPNMF:  # noqa: ARG002
        """Find the components.

        Parameters
        ----------
        X : (n_observations, n_vertices) array_like
            Non-negative data. Vertices that are zero everywhere take no part.
        y : object
            Ignored.

        Returns
        -------
        OPNMF
            The estimator.

        Raises
        ------
        ValueError
            If the data are negative or not finite, or the start has another shape.
        """
        self._validate_params()
        data, kept, square = self._prepare(X)
        operator = CovarianceOperator(
            data if kept.all() else data[:, kept],
            int(self.n_components),
            20_000 if self.solver == 'mu' else 12,
            trace=square,
        )
        ends = self._solve(operator, self._starts(operator, kept))
        self.objectives_ = np.array([end.error for end in ends])
        best = ends[int(np.argmin(self.objectives_))]
        self._record(best, kept, data.dtype)
        if not best.converged:
            warnings.warn(
                f'OPNMF with {self.n_components} components did not converge in {best.n_iter} '
                f'iterations (residual {best.residual:.2g}); raise max_iter or tol.',
                ConvergenceWarning,
                stacklevel=2,
            )
        return self

    def _prepare(self, X: npt.ArrayLike) -> tuple[npt.NDArray[np.floating], BoolArray, float]:
        """Check the data; return them, the vertices that are not zero everywhere, X's square."""
        dtypes = [np.float64, np.float32] if self.dtype is None else [np.dtype(self.dtype)]
        as_asked = type(X) is np.ndarray and X.ndim == 2 and X.size > 0 and X.dtype in dtypes
        data: npt.NDArray[np.floating] = validate_data(
            self, X, dtype=dtypes, ensure_all_finite=False, skip_check_array=as_asked
        )
        lowest, square = lowest_and_square(data)
        if not (lowest >= 0 and np.isfinite(square)):
            assert_all_finite(data, estimator_name='OPNMF', input_name='X')
            check_non_negative(data, 'OPNMF')
        kept = nonzero_columns(data)
        if not kept.any():
            raise ValueError('OPNMF: all values are zero.')
        return data, kept, square

    def _starts(self, operator: CovarianceOperator, kept: BoolArray) -> list[FloatArray]:
        """Return all starting points on the kept vertices."""
        k, n_init = int(self.n_components), int(self.n_init)
        first = None if isinstance(self.init, str) else self._given(kept)
        if first is not None and n_init == 1:
            return [first]
        # scikit-learn's old generators are what its users pass; the starts come from a new one
        seed = check_random_state(self.random_state).randint(2**31 - 1)
        rng = np.random.default_rng(seed)
        if first is None:
            return Starts(operator, k, cast('Init', self.init)).make(k, n_init, rng)
        others = Starts(operator, k, 'random')
        return [first, *(others.random(k, rng) for _ in range(n_init - 1))]

    def _given(self, kept: BoolArray) -> FloatArray:
        """Return the start that was given, on the kept vertices."""
        given = np.asarray(self.init, dtype=np.float64)
        wanted = len(kept), int(self.n_components)
        if given.shape != wanted:
            raise ValueError(
                f'OPNMF: init has shape {given.shape}, expected (n_vertices, n_components) = '
                f'{wanted}.'
            )
        check_non_negative(given, 'OPNMF (init)')
        return given if kept.all() else given[kept]

    def _solve(
        self, operator: CovarianceOperator, starts: list[FloatArray]
    ) -> list[Factorization]:
        """Run the chosen solver from every start."""
        if self.solver == 'mu':
            limit = self.max_iter or MU_MAX_ITER
            ends = [solve_mu(operator, W, tol=self.tol, max_iter=limit) for W in starts]
        else:
            limit = self.max_iter or ANLS_MAX_ITER
            ends = solve_anls(
                operator, starts, tol=self.tol, max_iter=limit, theta=float(self.theta)
            )
        if self.objective == 'pnmf':
            limit = self.max_iter or ANLS_MAX_ITER
            ends = [solve_pnmf(operator, e.W, tol=self.tol, max_iter=limit) for e in ends]
        return ends

    def _record(self, best: Factorization, kept: BoolArray, dtype: np.dtype) -> None:
        """Set the fitted attributes."""
        components = np.ascontiguousarray(best.W.T)
        if not kept.all():
            components = np.zeros((len(components), len(kept)))
            components[:, kept] = best.W.T
        self.components_ = components.astype(dtype, copy=False)
        self.labels_ = labels_of(components.T)
        self.reconstruction_err_ = best.error
        self.n_iter_ = best.n_iter
        self.converged_ = best.converged
        self.residual_ = best.residual
        self.mu_ = best.mu
        self.orthogonality_ = float(np.linalg.norm(best.W.T @ best.W - np.eye(best.W.shape[1])))

    @property
    def _n_features_out(self) -> int:
        """Number of output columns, for ``get_feature_names_out``."""
        return int(self.components_.shape[0])

    def transform(self, X: npt.ArrayLike) -> npt.NDArray[np.floating]:
        """Return the amount of each component in each observation, X W.

        Parameters
        ----------
        X : (n_observations, n_vertices) array_like
            Non-negative data, prepared as those that were fitted.

        Returns
        -------
        (n_observations, n_components) ndarray
            Weighted sums over vertices.
        """
        check_is_fitted(self)
        data: npt.NDArray[np.floating] = validate_data(
            self, X, dtype=[np.float64, np.float32], reset=False
        )
        return data @ self.components_.T.astype(data.dtype, copy=False)

    def inverse_transform(self, X: npt.ArrayLike) -> npt.NDArray[np.floating]:
        """Return the data that the amounts of components stand for.

        Parameters
        ----------
        X : (n_observations, n_components) array_like
            Amounts, as `transform` returns them.

        Returns
        -------
        (n_observations, n_vertices) ndarray
            Approximate data.
        """
        check_is_fitted(self)
        approximate: npt.NDArray[np.floating] = np.asarray(X) @ self.components_
        return approximate

    def __sklearn_tags__(self) -> Tags:
        """Tell scikit-learn that negative data are refused."""
        tags = super().__sklearn_tags__()
        tags.input_tags.positive_only = True
        tags.transformer_tags.preserves_dtype = ['float64', 'float32']
        return tags


def fit_path(
    X: npt.NDArray[np.floating],
    ks: Iterable[int],
    *,
    init: Init = 'nndsvd',
    n_init: int = 1,
    tol: float = 1e-5,
    max_iter: int = ANLS_MAX_ITER,
    theta: float = 0.85,
    rng: np.random.Generator | None = None,
) -> dict[int, list[Factorization]]:
    """Factorize the same data with several numbers of components and starts at once.

    The starts share one singular value decomposition and every iteration shares one matrix
    product, which costs two to three times less than one after the other.

    Parameters
    ----------
    X : (n_observations, n_vertices) ndarray
        Non-negative data; no vertex may be zero in all observations.
    ks : iterable of int
        Numbers of components.
    init, n_init, tol, max_iter, theta
        As for `OPNMF`.
    rng : Generator, optional
        Source of the random starts.

    Returns
    -------
    dict of int to list of Factorization
        For each k, its end points from the smallest error to the largest.
    """
    ks = list(ks)
    rng = np.random.default_rng(0) if rng is None else rng
    operator = CovarianceOperator(X, sum(ks) * n_init)
    starts = Starts(operator, max(ks), init)
    all_starts = [start for k in ks for start in starts.make(k, n_init, rng)]
    ends = solve_anls(operator, all_starts, tol=tol, max_iter=max_iter, theta=theta)
    groups = (ends[i * n_init : (i + 1) * n_init] for i in range(len(ks)))
    return {
        k: sorted(group, key=lambda end: end.error) for k, group in zip(ks, groups, strict=True)
    }


__all__ = ['OPNMF', 'Factorization', 'fit_path']
