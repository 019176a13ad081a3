"""How often people of the norm population lie below the 5th centile, and how often that is tested.

Run ``python tests/benchmarks/group_norms.py [--quick]``. Controls and patients are drawn from one
population (age x sex model; the logarithm of the variance rises with age by ``spread``); 5 % of
both should be below, and Fisher's test of the shares should reject in at most 5 %.
"""

from __future__ import annotations

import argparse

import numpy as np

from bids_acc.exceptions import InputDataError
from bids_acc.group.formulas.contingency import fisher_exact
from bids_acc.group.formulas.norms import sample_norms


def one_study(
    rng: np.random.Generator, n_norm: int, n_new: int, spread: float, modelled: bool
) -> tuple[float, float, bool]:
    """Return the shares of new people and of members below, and whether they differ."""
    n = n_norm + n_new
    age, sex = rng.uniform(-1, 1, n), rng.choice([-1.0, 1.0], n)
    y = 0.5 * age + 0.3 * sex + np.exp(0.5 * spread * age) * rng.normal(size=n)
    X, member = np.column_stack([np.ones(n), age, sex, age * sex]), np.arange(n) < n_norm
    low = sample_norms(X, y, member, age[:, None] if modelled else None).centile < 5
    new, old = int(low[~member].sum()), int(low[member].sum())
    if not new + old:
        return 0.0, 0.0, False
    p, _ = fisher_exact([[new, n_new - new], [old, n_norm - old]], rng)
    return new / n_new, old / n_norm, p <= 0.05


def main() -> None:
    """Print one line for each design."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--quick', action='store_true')
    studies = 100 if parser.parse_args().quick else 1000
    print(f'{studies} studies; norm, new, spread, modelled: % of new, % of members below, % tests')
    for n_norm, n_new, spread, modelled in (
        (26, 24, 0.0, False), (26, 24, 0.0, True), (26, 24, 1.0, False), (26, 24, 1.0, True),
        (60, 40, 1.0, True), (120, 60, 1.0, True),
    ):  # fmt: skip
        found = []
        for seed in np.random.SeedSequence(1).spawn(studies):
            try:
                rng = np.random.default_rng(seed)
                found.append(one_study(rng, n_norm, n_new, spread, modelled))
            except InputDataError:
                continue
        new, old, tests = 100 * np.mean(np.array(found, dtype=float), axis=0)
        design = f'{n_norm:4d} {n_new:4d} {spread:4.1f} {modelled!s:5}'
        print(f'{design} {new:5.1f} {old:5.1f} {tests:5.1f}')


if __name__ == '__main__':
    main()
