"""Small samples: the permutation test is the finding, the test of a distribution a supplement.

With few people nobody can see whether a t or F has its distribution. Below a stated number
(``ExactBelow`` of the model file) the main row of a comparison therefore holds the permutation
test, exact where all divisions are enumerated; the usual test stands beside it under a name of
its own (``..._f``, ``..._t``), outside the family of findings. A relation of two measures is small
below twice that number, as a comparison of two such groups is.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bids_acc.group.formulas.permutation import PermutationTest, contrast_first, permutation_p
from bids_acc.group.formulas.two_samples import permuted_means
from bids_acc.group.statistics.analyses.modelling import FittedModel
from bids_acc.group.statistics.rows.kinds import ResampledTest
from bids_acc.group.statistics.rows.row import Row
from bids_acc.group.statistics.study.data import Study
from bids_acc.typing import FloatArray

FEWEST_DRAWS = 4999
"""Random permutations where not all divisions can be enumerated, if the model asks for fewer."""


def permutation_words(test: PermutationTest, *, slope: bool = False) -> str:
    """Say how a permutation test of groups, or of a slope, was done.

    Parameters
    ----------
    test : PermutationTest
        Number of resamples, and whether all were enumerated.
    slope : bool
        Whether the response was permuted, and not the labels of groups.

    Returns
    -------
    str
        For the column ``method``.
    """
    if test.exact:
        kind = 'the response, all {} orders' if slope else 'group labels, all {} divisions'
        return f'exact permutation of {kind.format(test.n_resamples + 1)}'
    return f'Freedman-Lane permutation of residuals, {test.n_resamples} at random'


def is_small(study: Study, row: Row) -> bool:
    """Tell whether a group of the comparison has fewer people than ``ExactBelow``.

    Parameters
    ----------
    study : Study
        Only its model is used.
    row : Row
        Test with its ``n_per_group``; empty groups do not count.

    Returns
    -------
    bool
        Whether the permutation is the main test.
    """
    counts = [n for n in row.n_per_group.values() if n]
    return bool(counts) and min(counts) < study.model.content['ExactBelow']


def is_small_relation(study: Study, row: Row) -> bool:
    """Tell whether a relation is of fewer people than two groups of ``ExactBelow``.

    The slope is a contrast of everybody, so that the smallest group does not count. The number is
    an own convention.

    Parameters
    ----------
    study : Study
        Only its model is used.
    row : Row
        Test with its ``n``.

    Returns
    -------
    bool
        Whether the permutation is the main test.
    """
    return 0 < row.n < 2 * int(study.model.content['ExactBelow'])


def _draws(study: Study) -> int:
    """Return the number of permutations where they are drawn."""
    return max(int(study.model.content['Permutations']), FEWEST_DRAWS)


def _why_small(study: Study) -> str:
    """Say why a comparison of groups is permuted."""
    return f'a group has fewer than {study.model.content["ExactBelow"]} people'


def _as_supplement(row: Row, ending: str, why: str) -> Row:
    """Return the usual test as the supplement it is."""
    note = f'supplement: {why}'
    return replace(
        row, analysis=f'{row.analysis}_{ending}', family='',
        note='; '.join(filter(None, [row.note, note])),
    )  # fmt: skip


def _permuted(
    row: Row, test: PermutationTest, statistic: str, value: float, *, slope: bool = False
) -> Row:
    """Return the main row with the p value of the permutation test."""
    note = f'smallest possible p is {test.smallest:.2g}'
    return replace(
        row,
        test=ResampledTest(statistic=statistic, value=value, df1=row.test.df1, df2=row.test.df2,
                           p=test.p, n_resamples=test.n_resamples),
        method=f'{permutation_words(test, slope=slope)}; effect and interval as in {row.method}',
        note='; '.join(filter(None, [row.note, note])),
    )  # fmt: skip


def term_or_permutation(
    row: Row, model: FittedModel, study: Study, term: str, rng: np.random.Generator
) -> list[Row]:
    """Return the row of an F test, or in small samples its permutation test and the supplement.

    Parameters
    ----------
    row : Row
        The F test.
    model : FittedModel
        Its model.
    study : Study
        Says what is small.
    term : str
        Tested term.
    rng : Generator
        Source of permutations.
    """
    if not is_small(study, row):
        return [row]
    columns = model.design.terms[term]
    test = permutation_p(model.design.X, model.y, columns, _draws(study), rng)
    return [
        _permuted(row, test, 'F permuted', test.f),
        _as_supplement(row, 'f', _why_small(study)),
    ]


def slope_or_permutation(
    row: Row, model: FittedModel, study: Study, term: str, rng: np.random.Generator
) -> list[Row]:
    """Return the row of a slope, or of few people its permutation test and the supplement.

    Parameters
    ----------
    row : Row
        The t or F test of the slope.
    model : FittedModel
        Its model.
    study : Study
        Says what is small.
    term : str
        The continuous term.
    rng : Generator
        Source of permutations.
    """
    if not is_small_relation(study, row):
        return [row]
    X, columns = model.design.X, model.design.terms[term]
    test = permutation_p(X, model.y, columns, _draws(study), rng)
    why = f'there are fewer than {2 * study.model.content["ExactBelow"]} people'
    return [
        _permuted(row, test, f'{row.test.statistic} permuted', row.test.value, slope=True),
        _as_supplement(row, row.test.statistic.lower(), why),
    ]


def permuted_contrast(
    row: Row, model: FittedModel, study: Study, weights: FloatArray, rng: np.random.Generator
) -> list[Row]:
    """Return the permutation test of a contrast of a small sample, and its t as a supplement.

    Parameters
    ----------
    row : Row
        The t test.
    model : FittedModel
        Its model.
    study : Study
        Says what is small.
    weights : (p,) ndarray
        The contrast, in coefficients of the design.
    rng : Generator
        Source of permutations.
    """
    # as a column of its own, which the permutation can leave out
    X = contrast_first(model.design.X, weights)
    column = 0
    if X.shape[1] == 2:  # two groups alone: their own coding lets all divisions be enumerated
        X, column = model.design.X, 1
    test = permutation_p(X, model.y, [column], _draws(study), rng)
    value = float(np.copysign(np.sqrt(test.f), row.test.value))
    return [_permuted(row, test, 't permuted', value), _as_supplement(row, 't', _why_small(study))]


def permuted_means_rows(
    row: Row, a: FloatArray, b: FloatArray, study: Study, rng: np.random.Generator
) -> list[Row]:
    """Return the permutation of the labels of two samples, and their t as a supplement.

    Parameters
    ----------
    row : Row
        Student's t of a - b.
    a, b : (n,) ndarray
        The samples.
    study : Study
        Says how many permutations are drawn.
    rng : Generator
        Source of permutations.
    """
    found = permuted_means(a, b, _draws(study), rng)
    test = PermutationTest(
        # the difference of means orders all divisions of two groups as F does: the exact p is the
        # same, found faster
        row.test.value**2, found.p, 1, len(a) + len(b) - 2, found.n_resamples, found.exact,
        found.smallest,
    )  # fmt: skip
    return [
        _permuted(row, test, 't permuted', row.test.value),
        _as_supplement(row, 't', _why_small(study)),
    ]
