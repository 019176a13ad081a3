"""Design matrices from named columns, and the reasons why one cannot be built.

Factors are coded to sum to zero over their levels and continuous covariates are centred on the
analysed sample, so that each main effect is tested at the average of the others, with and
without interactions, and an adjusted mean needs no further averaging.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import formulaic
import numpy as np
import pandas as pd

from bids_acc.exceptions import InputDataError
from bids_acc.typing import FloatArray

OUTSIDE = '(not asked)'
"""Cell of a factor in people whom it is not asked of: all its codes are zero there."""


class DesignError(InputDataError):
    """The sample cannot carry the model: a cell is empty or columns are collinear."""


@dataclass(frozen=True)
class Design:
    """Design matrix with the names of its parts."""

    X: FloatArray
    """(n, p) Matrix; the first column is the intercept."""
    terms: Mapping[str, tuple[int, ...]]
    """Columns of each term except the intercept."""
    levels: Mapping[str, tuple[str, ...]]
    """Levels of each factor, in coding order."""
    formula: str
    """Right-hand side as a reader would write it."""
    notes: tuple[str, ...] = ()
    """What was left out because it is the same in everybody."""

    def level_weights(self, factor: str, level: str) -> FloatArray:
        """Return the coefficients' weights in the adjusted mean of one level.

        Other factors are averaged with equal weight for each level, continuous covariates are
        at their mean, splines at the average of their curve.

        Parameters
        ----------
        factor, level : str
            Factor and one of its levels.

        Returns
        -------
        (p,) ndarray of float64
        """
        weights = np.zeros(self.X.shape[1])
        weights[0] = 1
        weights[list(self.terms[factor])] = sum_coding(self.levels[factor])[level]
        return weights

    def cell_weights(self, factor: str, level: str, other: str, codes: FloatArray) -> FloatArray:
        """Return the weights in the adjusted mean of one level at one value of another term.

        Parameters
        ----------
        factor, level : str
            Factor and one of its levels.
        other : str
            Term that the factor interacts with, as ``factor:other``.
        codes : (q,) ndarray of float64
            Codes of the value: a row of the columns of ``other``.

        Returns
        -------
        (p,) ndarray of float64
        """
        weights = self.level_weights(factor, level)
        own = sum_coding(self.levels[factor])[level]
        weights[list(self.terms[other])] = codes
        # formulaic lets the columns of the first part of a:b run fastest
        weights[list(self.terms[f'{factor}:{other}'])] = np.outer(codes, own).ravel()
        return weights


def sum_coding(levels: Sequence[str]) -> dict[str, FloatArray]:
    """Return the codes of each level of a factor; they sum to zero over the levels.

    Parameters
    ----------
    levels : sequence of str
        At least two levels, in the order of the model; the last is -1 in every column.

    Returns
    -------
    dict of str to (n_levels - 1,) ndarray of float64
        Row of the design for each level, without the intercept.

    Examples
    --------
    >>> sum_coding(['HC', 'FL', 'TRS'])['TRS']
    array([-1., -1.])
    """
    codes = np.vstack([np.eye(len(levels) - 1), -np.ones(len(levels) - 1)])
    return dict(zip(levels, codes, strict=True))


def build_design(
    frame: pd.DataFrame,
    terms: Sequence[str],
    factors: Mapping[str, Sequence[str]],
    *,
    center: bool = True,
    keep: Sequence[str] = (),
    splines: Mapping[str, int] | None = None,
) -> Design:
    """Build the design matrix of a linear model.

    Parameters
    ----------
    frame : DataFrame
        One row per observation, complete in the columns that the terms use.
    terms : sequence of str
        Column names and interactions ``a:b``, in the order of the model.
    factors : mapping of str to sequence of str
        Levels of the categorical columns, in order; levels that nobody has are left out.
    center : bool
        Subtract the sample's mean from continuous columns.
    keep : sequence of str
        Terms that must not be left out, even when constant: then the design is refused.
    splines : mapping of str to int, optional
        Continuous columns that enter as natural cubic splines, and the number of coefficients
        of each; knots at quantiles of the sample, the columns centred (Wood 2006, Generalized
        Additive Models, section 4.1.2; formulaic's ``cr``).

    Raises
    ------
    DesignError
        If a kept term does not vary, a spline has too few values, a cell of an interaction is
        empty, columns are collinear, or there are no more observations than coefficients. The
        message names the columns.

    Examples
    --------
    >>> frame = pd.DataFrame({'group': list('aabb'), 'age': [20.0, 30, 25, 40]})
    >>> build_design(frame, ['group', 'age'], {'group': ['a', 'b']}).formula
    'group + age'
    """
    notes: list[str] = []
    used, levels = [], {}
    for name in dict.fromkeys(part for term in terms for part in term.split(':')):
        if name not in frame.columns:
            raise DesignError(f'column {name!r} is not in the table.')
        if name in factors:
            # a level that nobody has would be a column that nothing can estimate
            present = set(frame[name])
            levels[name] = tuple(level for level in factors[name] if level in present)
            differs = len(levels[name]) > 1
        else:
            differs = varies(frame[name])
        if differs:
            used.append(name)
            continue
        # a covariate that everybody shares adjusts nothing and may go; without the tested term
        # there is no question left
        if name in keep:
            raise DesignError(
                f'{name} is the same in all {len(frame)} participants: nothing to compare.'
            )
        notes.append(f'{name} is the same in all {len(frame)} and was left out')
    kept = [term for term in terms if set(term.split(':')) <= set(used)]
    curved = {name: df for name, df in (splines or {}).items() if name in used}
    _refuse_few_values(frame, curved)
    levels = {k: v for k, v in levels.items() if k in used}
    X, columns = code_terms(frame, kept, levels, center=center, splines=curved)
    design = Design(X, columns, levels, _in_words(kept, curved))
    _refuse_empty_cells(frame, kept, levels)
    _refuse_collinear(design)
    return Design(design.X, design.terms, design.levels, design.formula, tuple(notes))


def varies(column: pd.Series) -> bool:
    """Tell whether a column holds at least two different values.

    Parameters
    ----------
    column : Series
        Any type; missing cells are not counted as a value.

    Returns
    -------
    bool
        False for a constant or an empty column, which no model can use.
    """
    return len(column.dropna().unique()) > 1


def code_terms(
    frame: pd.DataFrame,
    terms: Sequence[str],
    levels: Mapping[str, Sequence[str]],
    *,
    center: bool = True,
    splines: Mapping[str, int] | None = None,
) -> tuple[FloatArray, dict[str, tuple[int, ...]]]:
    """Code columns and their interactions by formulaic: factors sum to zero, numbers centred.

    Parameters
    ----------
    frame : DataFrame
        Complete rows.
    terms : sequence of str
        Column names and interactions ``a:b``.
    levels : mapping of str to sequence of str
        Levels of the factors, all of which occur; the last is coded -1 throughout. A cell that
        is `OUTSIDE` has codes of zero.
    center : bool
        Subtract the mean from numbers.
    splines : mapping of str to int, optional
        As in `build_design`.

    Returns
    -------
    X : (n, p) ndarray of float64
        Intercept first.
    columns : dict of str to tuple of int
        Columns of each term; that of the intercept is not listed.
    """
    # Names of columns may hold anything (Glx/tNAA): the formula sees plain ones.
    plain = {
        # names of users may hold what a formula reads as an operator
        name: f'v{i}'
        for i, name in enumerate(dict.fromkeys(':'.join(terms).split(':')))
        if name
    }
    columns: list[tuple[str, tuple[str, ...] | None, bytes]] = []
    for name, short in plain.items():
        if name in levels:
            known = {level: code for code, level in enumerate(levels[name])} | {OUTSIDE: 0}
            codes = np.array([known[str(value)] for value in frame[name]], dtype=np.int64)
            columns.append((short, tuple(levels[name]), codes.tobytes()))
        else:
            columns.append((short, None, frame[name].to_numpy(dtype=float).tobytes()))
    numbers = 'center({})' if center else '{}'
    parts = {
        name: (f'C({short}, contr.sum)' if name in levels else numbers.format(short))
        for name, short in plain.items()
    }
    for name, df in (splines or {}).items():
        parts[name] = f"cr({plain[name]}, df={df}, constraints='center')"
    formula = ' + '.join(['1', *(':'.join(parts[p] for p in term.split(':')) for term in terms)])
    X, spans = _coded(formula, len(frame), tuple(columns))
    named = dict(zip(dict.fromkeys(terms), (tuple(range(a, b)) for a, b in spans), strict=True))
    X = X.copy()
    for name in levels:
        # zero in every column of the factor: a person of no level takes no part in its contrasts,
        # and still tells of the covariates
        outside = (frame[name] == OUTSIDE).to_numpy()
        for term, span in named.items():
            if name in term.split(':'):
                X[outside, span[0] : span[-1] + 1] = 0
    return X, named


@lru_cache(maxsize=128)
def _coded(
    formula: str, n: int, columns: tuple[tuple[str, tuple[str, ...] | None, bytes], ...]
) -> tuple[FloatArray, tuple[tuple[int, int], ...]]:
    """Materialise a formula; sixteen responses of one sample share the result."""
    data: dict[str, Any] = {'n_': np.ones(n)}
    for name, levels, content in columns:
        data[name] = (
            np.frombuffer(content, dtype=float)
            if levels is None
            else pd.Categorical.from_codes(
                np.frombuffer(content, dtype=np.int64), pd.Index(levels)
            )
        )
    coded = formulaic.model_matrix(
        # formulaic sorts terms by their degree; columns are found by the order of the model file
        formulaic.Formula(formula, _ordering='none'),
        pd.DataFrame(data),
        # rows are complete by now: one that is dropped here in silence would part design and
        # response
        na_action='raise',
        # or a column that is called like a variable of this module would be read from here
        context={},
    )
    slices = list(coded.model_spec.term_slices.values())[1:]
    return coded.to_numpy(dtype=float), tuple((part.start, part.stop) for part in slices)


def _in_words(terms: Sequence[str], splines: Mapping[str, int]) -> str:
    """Write the right-hand side of a model as a reader would."""
    shown = {name: f'ns({name}, df={df})' for name, df in splines.items()}
    named = [':'.join(shown.get(part, part) for part in term.split(':')) for term in terms]
    return ' + '.join(named) if named else '1'


def _refuse_few_values(frame: pd.DataFrame, splines: Mapping[str, int]) -> None:
    """Refuse splines whose knots, at quantiles, would not all be different."""
    for name, df in splines.items():
        # tied knots make dependent columns, of which formulaic's own message says nothing that an
        # author of a model file could use
        knots = np.quantile(np.unique(frame[name]), np.linspace(0, 1, df + 1))
        if len(np.unique(knots)) <= df or frame[name].nunique() <= df + 1:
            raise DesignError(
                f'{name} has only {frame[name].nunique()} different values, too few for a spline '
                f'of {df} coefficients; set Shape to linear or a smaller Df.'
            )


def _refuse_empty_cells(
    frame: pd.DataFrame, terms: Sequence[str], levels: Mapping[str, tuple[str, ...]]
) -> None:
    """Refuse interactions of factors with combinations that nobody has."""
    for term in terms:
        parts = [part for part in term.split(':') if part in levels]
        if len(parts) < 2:
            continue
        cells = pd.crosstab(frame[parts[0]].astype(str), [frame[p].astype(str) for p in parts[1:]])
        if (cells == 0).any(axis=None):
            raise DesignError(f'{term}: at least one combination of levels has no participant.')


def _refuse_collinear(design: Design) -> None:
    """Refuse rank-deficient designs and name the terms that cannot be told apart."""
    n, p = design.X.shape
    if n <= p:
        raise DesignError(
            f'{n} complete participants are too few for {p} coefficients ({design.formula}).'
        )
    # lengths of one: beside age in years, MD in mm2/s would pass for a column of zeros
    scale = np.linalg.norm(design.X, axis=0)
    X = design.X / np.where(scale > 0, scale, 1)
    if np.linalg.matrix_rank(X, tol=1e-8) == p:
        return
    # the direction that the columns cannot see holds the terms that say the same: to be named, or
    # the reader has a message about matrices
    _, _, vt = np.linalg.svd(X, full_matrices=False)
    involved = np.abs(vt[-1]) > 1e-6
    guilty = [term for term, columns in design.terms.items() if any(involved[i] for i in columns)]
    raise DesignError(
        f'{" and ".join(guilty) or design.formula} are collinear in these participants: '
        f'take one of them out of the model.'
    )
