"""ComBat: take the offset and scale of each site out of many features, and nothing else.

An own implementation of Johnson, Li and Rabinovic (2007) as used for imaging by Fortin et al.
(2018). It is a scikit-learn transformer that learns from the rows it is fitted to, so that it can
stand inside a cross-validation: the sites' corrections then come from the training folds only.

It refuses what it cannot do: one site, a site that it was not fitted to, too few subjects in a
site, a group that lives in one site only, missing values.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from bids_acc.exceptions import InputDataError
from bids_acc.typing import FloatArray

MIN_PER_SITE = 10
"""Subjects that a site must have by default; below this its scale is a guess."""


def _inverse_gamma_prior(variances: FloatArray) -> tuple[float, float]:
    """Return shape and scale of the prior of one site's scales, by the method of moments."""
    mean, spread = float(variances.mean()), float(variances.var(ddof=1))
    # the prior's shape would be infinite: nothing is learnt from features that are copies of one
    if not spread > 0:
        raise InputDataError(
            'ComBat: all features have one variance in a site, as copies of one feature do; name '
            'each feature once, or use empirical_bayes=False.'
        )
    return (2 * spread + mean**2) / spread, (mean * spread + mean**3) / spread


def empirical_bayes(
    z: npt.ArrayLike, tol: float = 1e-8, max_iter: int = 1000
) -> tuple[FloatArray, FloatArray]:
    """Shrink the offsets and scales of one site towards their mean over the features.

    Parameters
    ----------
    z : (n_subjects, n_features) array_like
        Standardised values of the subjects of one site.
    tol : float
        Largest relative change that ends the iteration.
    max_iter : int
        Most iterations.

    Returns
    -------
    gamma : (n_features,) ndarray of float64
        Offsets.
    delta2 : (n_features,) ndarray of float64
        Scales, as variances.

    References
    ----------
    Johnson WE, Li C, Rabinovic A (2007). Biostatistics 8:118-127.
    doi:10.1093/biostatistics/kxj037
    """
    z = np.asarray(z, dtype=float)
    n = len(z)
    gamma_hat, delta_hat = z.mean(axis=0), z.var(axis=0, ddof=1)
    gamma_bar, tau2 = float(gamma_hat.mean()), float(gamma_hat.var(ddof=1))
    shape, scale = _inverse_gamma_prior(delta_hat)
    gamma, delta2 = gamma_hat.copy(), delta_hat.copy()
    for _ in range(max_iter):
        new_gamma = (n * tau2 * gamma_hat + delta2 * gamma_bar) / (n * tau2 + delta2)
        residual = ((z - new_gamma) ** 2).sum(axis=0)
        new_delta2 = (0.5 * residual + scale) / (n / 2 + shape - 1)
        change = max(
            float(np.abs((new_gamma - gamma) / gamma).max()),
            float(np.abs((new_delta2 - delta2) / delta2).max()),
        )
        gamma, delta2 = new_gamma, new_delta2
        if change < tol:
            break
    return gamma, delta2


class ComBat(TransformerMixin, BaseEstimator):
    """Remove site effects from features, keeping those of named covariates.

    Input is a table with the features, the site and the covariates side by side; output has the
    features only.

    Parameters
    ----------
    site : str
        Column with the site.
    preserve : sequence of str
        Columns whose effects are kept (group, age, sex, ...). Text columns are factors. A new
        table must have them too, so what is to be *predicted* must not stand here.
    empirical_bayes : bool
        Shrink over the features, as the papers do; needs at least two features. Without it
        each feature is corrected alone.
    min_per_site : int
        Fewest subjects of a site in the table it is fitted to.
    tol : float
        Relative change at which the iteration ends; R's sva stops at 1e-4, short of the answer.

    Attributes
    ----------
    sites_ : list of str
        Sites, in alphabetical order.
    n_per_site_ : dict
        Subjects of each site in the fit.
    feature_names_out_ : list of str
        Features.
    gamma_ : (n_sites, n_features) ndarray of float64
        Offsets in units of the pooled standard deviation.
    delta2_ : (n_sites, n_features) ndarray of float64
        Scales, as variances relative to the pooled one.

    References
    ----------
    Johnson WE, Li C, Rabinovic A (2007). Biostatistics 8:118-127.
    doi:10.1093/biostatistics/kxj037.
    Fortin JP, et al. (2018). NeuroImage 167:104-120. doi:10.1016/j.neuroimage.2017.11.024.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> table = pd.DataFrame(rng.normal(size=(40, 3)), columns=['a', 'b', 'c'])
    >>> table['site'] = ['x', 'y'] * 20
    >>> table.loc[table['site'] == 'y', ['a', 'b', 'c']] += 5
    >>> clean = ComBat().fit_transform(table)
    >>> bool((clean[table['site'] == 'y'].mean() - clean[table['site'] == 'x'].mean()).max() < 0.3)
    True
    """

    def __init__(
        self,
        site: str = 'site',
        preserve: Sequence[str] = (),
        empirical_bayes: bool = True,
        min_per_site: int = MIN_PER_SITE,
        tol: float = 1e-8,
    ) -> None:
        self.site = site
        self.preserve = preserve
        self.empirical_bayes = empirical_bayes
        self.min_per_site = min_per_site
        self.tol = tol

    def fit(self, X: pd.DataFrame, y: object = None) -> ComBat:  # noqa: ARG002 - the contract of fit
        """Learn the corrections of the sites.

        Parameters
        ----------
        X : DataFrame
            Features, site and preserved columns; one row per subject.
        y : object
            Ignored.

        Returns
        -------
        ComBat
            Itself.

        Raises
        ------
        InputDataError
            For each of the guards that the module describes.
        """
        sites = self._sites_of(X)
        names, counts = np.unique(sites, return_counts=True)
        self.sites_ = [str(name) for name in names]
        self.n_per_site_ = dict(zip(self.sites_, (int(c) for c in counts), strict=True))
        self._check_sites()
        self.feature_names_out_ = [c for c in X.columns if c not in {self.site, *self.preserve}]
        values = self._values(X)
        if self.empirical_bayes and values.shape[1] < 2:
            raise InputDataError(
                'ComBat shrinks over features and there is one only: use empirical_bayes=False.'
            )
        self.covariate_levels_ = {
            c: sorted(X[c].astype(str).unique())
            for c in self.preserve
            if not pd.api.types.is_numeric_dtype(X[c])
        }
        self._fit_values(values, sites, self._covariates(X))
        return self

    def transform(self, X: pd.DataFrame) -> pd.DataFrame:
        """Apply the learnt corrections.

        Parameters
        ----------
        X : DataFrame
            As for `fit`; sites must be among those of the fit.

        Returns
        -------
        DataFrame
            Harmonised features, same rows.

        Raises
        ------
        InputDataError
            If a site was not in the fit, or a value is missing.
        """
        check_is_fitted(self, 'gamma_')
        sites = self._sites_of(X)
        if unknown := sorted(set(sites) - set(self.sites_)):
            raise InputDataError(
                f'site {str(unknown[0])!r} was not among the sites that ComBat was fitted to; a '
                'new site cannot be harmonised without its own subjects in the fit.'
            )
        # by the sites of the fit and not of this table, which in a test fold may lack one
        at = np.searchsorted(self.sites_, sites)
        expected = self.alpha_ + self._covariates(X) @ self.beta_
        z = (self._values(X) - expected) / self.sigma_
        clean = (z - self.gamma_[at]) / np.sqrt(self.delta2_[at]) * self.sigma_ + expected
        return pd.DataFrame(clean, index=X.index, columns=self.feature_names_out_)

    def get_feature_names_out(
        self,
        input_features: object = None,  # noqa: ARG002 - the contract of scikit-learn
    ) -> npt.NDArray[np.object_]:
        """Return the names of the features.

        Parameters
        ----------
        input_features : object
            Not used: the names are those that ``fit`` saw.

        Returns
        -------
        (n_features,) ndarray of object
            Names of the harmonised columns, in the order of ``transform``.

        Raises
        ------
        NotFittedError
            If ``fit`` was not called.
        """
        check_is_fitted(self, 'gamma_')
        return np.asarray(self.feature_names_out_, dtype=object)

    def _sites_of(self, X: pd.DataFrame) -> npt.NDArray[np.str_]:
        """Return the site of each row, refusing a missing column or value."""
        for column in (self.site, *self.preserve):
            if column not in X:
                raise InputDataError(f'ComBat needs the column {column!r}, which is not there.')
            if X[column].isna().any():
                raise InputDataError(f'ComBat: {column!r} is missing for some subjects.')
        return np.asarray(X[self.site].astype(str).to_numpy(), dtype=str)

    def _check_sites(self) -> None:
        if len(self.sites_) < 2:
            there = 'one' if self.sites_ else 'none'
            raise InputDataError(f'ComBat needs at least two sites; there is {there}.')
        small = {s: n for s, n in self.n_per_site_.items() if n < max(self.min_per_site, 2)}
        if small:
            text = ', '.join(f'{site} has {n}' for site, n in small.items())
            raise InputDataError(
                f'ComBat needs {max(self.min_per_site, 2)} subjects in each site: {text}.'
            )

    def _values(self, X: pd.DataFrame) -> FloatArray:
        """Return the features as numbers, refusing text and missing values."""
        for name in self.feature_names_out_:
            if not pd.api.types.is_numeric_dtype(X[name]):
                raise InputDataError(
                    f'ComBat: {name!r} is no number; name it in preserve or take it out.'
                )
        values = X[self.feature_names_out_].to_numpy(dtype=float)
        if not np.isfinite(values).all():
            bad = np.flatnonzero(~np.isfinite(values).all(axis=0))[0]
            raise InputDataError(f'ComBat: {self.feature_names_out_[bad]!r} has missing values.')
        return values

    def _covariates(self, X: pd.DataFrame) -> FloatArray:
        """Return the preserved columns as numbers; factors by indicators of all but one level."""
        blocks = [np.empty((len(X), 0))]
        for column in self.preserve:
            levels = self.covariate_levels_.get(column)
            if levels is None:
                blocks.append(X[[column]].to_numpy(dtype=float))
                continue
            text = X[column].astype(str).to_numpy()
            if unknown := sorted(set(text) - set(levels)):
                raise InputDataError(f'ComBat: {column} = {unknown[0]!r} was not in the fit.')
            blocks.append(np.column_stack([text == lv for lv in levels]).astype(float)[:, 1:])
        return np.hstack(blocks)

    def _fit_values(
        self, values: FloatArray, sites: npt.NDArray[np.str_], covariates: FloatArray
    ) -> None:
        """Estimate mean, covariate effects, pooled variance, offsets and scales."""
        n = len(values)
        indicators = (sites[:, None] == np.array(self.sites_)[None]).astype(float)
        design = np.hstack([indicators, covariates])
        # least squares would answer all the same, by any of many splits of one difference between
        # site and group, and what is called the site's would be taken out
        if np.linalg.matrix_rank(design) < design.shape[1]:
            raise InputDataError(
                'ComBat: site cannot be told from '
                f'{" and ".join(self.preserve) or "the mean"}; a group or level lives in one '
                'site only, or two preserved columns say the same.'
            )
        if n <= design.shape[1]:
            raise InputDataError(f'ComBat: {n} subjects for {design.shape[1]} coefficients.')
        coefficients = np.linalg.lstsq(design, values, rcond=None)[0]
        n_sites = len(self.sites_)
        # weighted by people, so that a small site does not decide where all are brought to
        self.alpha_ = indicators.sum(axis=0) / n @ coefficients[:n_sites]
        self.beta_ = coefficients[n_sites:]
        # Maximum likelihood (divided by n), as in Johnson et al.
        self.sigma_ = np.sqrt(((values - design @ coefficients) ** 2).mean(axis=0))
        # a constant feature has a residual of rounding, by which everything would be divided
        flat = self.sigma_ <= 1e-10 * np.abs(values).max(axis=0)
        if flat.any():
            bad = self.feature_names_out_[int(np.flatnonzero(flat)[0])]
            raise InputDataError(f'ComBat: {bad!r} has no variance within sites.')
        z = (values - self.alpha_ - covariates @ self.beta_) / self.sigma_
        per_site = [self._site_effects(z[sites == name]) for name in self.sites_]
        self.gamma_ = np.array([gamma for gamma, _ in per_site])
        self.delta2_ = np.array([delta2 for _, delta2 in per_site])

    def _site_effects(self, z: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return offsets and scales of one site, shrunken if asked."""
        if self.empirical_bayes:
            return empirical_bayes(z, tol=self.tol)
        return z.mean(axis=0), z.var(axis=0, ddof=1)
