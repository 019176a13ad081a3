"""How often each rule for the number of parcels picks the planted one.

Pairs of cohorts share their planted parcels (3 to 6, of about equal size, smooth borders); size,
noise and strength of the parcels vary. All rules read the same curves. Run::

    python tests/benchmarks/opnmf_rules.py [--seeds 3]
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from itertools import product
from typing import get_args

import numpy as np
import pandas as pd

from bids_acc.group.opnmf.choice import RankRule, choose_k
from bids_acc.group.opnmf.rank import SelectionOptions, rank_curves
from bids_acc.group.simulate import CohortDesign, planted_cohort

RULES: tuple[RankRule, ...] = get_args(RankRule)
SIZES = ((25, 25), (73, 79), (150, 150))
NOISE = (0.5, 0.75, 1.0, 1.5)
EFFECTS = (0.4, 0.55)


def curves_of(
    k: int, size: int, noise: float, effect: float, seed: int, side: int
) -> pd.DataFrame:
    """Examine one cohort; ``seed`` fixes the parcels, ``side`` the people."""
    design = CohortDesign(
        n_subjects=size, n_parcels=k, parcel_effect=effect, smooth_noise=0.5 * noise,
        white_noise=0.4 * noise, blur=4,
    )  # fmt: skip
    rng = np.random.default_rng([seed, side, k, size, int(100 * noise), int(100 * effect)])
    cohort = planted_cohort(design, rng, level=4, region_size=120, geometry_seed=seed)
    options = SelectionOptions(ks=tuple(range(2, 9)), n_splits=4, n_null=2, seed=seed)
    return rank_curves(cohort.data.values, cohort.participants['group'], options).curves


def elbow(curves: dict[str, pd.DataFrame], column: str) -> int:
    """Return the k at which one error bends most, whatever the stability."""
    tables = [table.set_index('k')[column] for table in curves.values()]
    error = pd.concat([t / t.iloc[0] for t in tables], axis=1, join='inner').mean(axis=1)
    bend = (error.shift(1) - 2 * error + error.shift(-1)).dropna()
    return int(bend.idxmax())


def main() -> None:
    """Print the share of pairs in which each rule is right."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--seeds', type=int, default=1, help='pairs of each kind')
    seeds = parser.parse_args().seeds
    start = time.process_time()
    hits: dict[tuple[str, object], dict[str, list[bool]]] = defaultdict(lambda: defaultdict(list))
    kinds = product((3, 4, 5, 6), SIZES, NOISE, EFFECTS, range(seeds))
    for k, sizes, noise, effect, seed in kinds:
        curves = {
            str(side): curves_of(k, size, noise, effect, seed, side)
            for side, size in enumerate(sizes)
        }
        found = {rule: choose_k(curves, rule=rule).k for rule in RULES}
        found['elbow of variation alone'] = elbow(curves, 'variation_error')
        found['elbow of the whole error'] = elbow(curves, 'full_error')
        for name, chosen in found.items():
            for part in (
                ('all', ''), ('n', f'{sizes[0]} + {sizes[1]}'), ('noise', noise),
                ('parcels of SD', effect), ('planted k', k),
            ):  # fmt: skip
                hits[part][name].append(chosen == k)
    names = [*RULES, 'elbow of variation alone', 'elbow of the whole error']
    print('Planted number of parcels picked, per cent of pairs (stability from 4 splits)')
    print(f'  {"":<22}{"pairs":>6} ' + ' '.join(f'{name:>26}' for name in names))
    for part in sorted(hits, key=str):
        rates = [100 * float(np.mean(hits[part][name])) for name in names]
        label = ' '.join(str(word) for word in part)
        print(
            f'  {label:<22}{len(hits[part]["variation"]):>6} '
            + ' '.join(f'{rate:>26.0f}' for rate in rates)
        )
    print(f'  [{time.process_time() - start:.0f} CPU s]')


if __name__ == '__main__':
    main()
