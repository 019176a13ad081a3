"""How often each rule for the number of parcels picks the planted one, and how right its map is.

Pairs of cohorts share their planted parcels (3 to 6, smooth borders); size, noise and strength of
the parcels vary, and whether the largest has as many vertices as the smallest or four times as
many. All rules read the same curves; the adjusted Rand index is that of the parcels of the whole
cohort with the planted ones, at the number that the rule picks, mean of both cohorts. Run::

    python tests/benchmarks/opnmf_rules.py [--seeds 3] [--quick] [--keep FILE]

The whole grid has 192 pairs for each seed and takes some 10 CPU min. With ``--keep`` each pair is
written down as it is done, and a later call goes on where this one ended.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd

from bids_acc.group.opnmf.agreement import adjusted_rand
from bids_acc.group.opnmf.choice import RankRule, choose_k
from bids_acc.group.opnmf.estimator import fit_path
from bids_acc.group.opnmf.features import standardise
from bids_acc.group.opnmf.labels import labels_by_variation
from bids_acc.group.opnmf.rank import SelectionOptions, rank_curves
from bids_acc.group.opnmf.simulate import CohortDesign, PlantedCohort, planted_cohort

RULES: tuple[RankRule, ...] = get_args(RankRule)
SIZES = ((25, 25), (73, 79), (150, 150))
NOISE = (0.5, 0.75, 1.0, 1.5)
EFFECTS = (0.4, 0.55)


RATIOS = (1.0, 4.0)
"""Vertices of the largest planted parcel over those of the smallest."""
KS = tuple(range(2, 9))


@dataclass(frozen=True)
class Kind:
    """What is planted in a pair of cohorts."""

    k: int
    sizes: tuple[int, int]
    noise: float
    effect: float
    ratio: float
    seed: int

    def cohort(self, side: int) -> PlantedCohort:
        """Draw one cohort of the pair; the seed fixes the parcels, the side the people."""
        design = CohortDesign(
            n_subjects=self.sizes[side], n_parcels=self.k, parcel_effect=self.effect,
            smooth_noise=0.5 * self.noise, white_noise=0.4 * self.noise, blur=4,
            size_ratio=self.ratio,
        )  # fmt: skip
        entropy = [self.seed, side, self.k, self.sizes[side], int(100 * self.noise),
                   int(100 * self.effect)]  # fmt: skip
        rng = np.random.default_rng(entropy)
        return planted_cohort(design, rng, level=4, region_size=120, geometry_seed=self.seed)

    @property
    def parts(self) -> tuple[tuple[str, object], ...]:
        """Rows of the table that the pair counts in."""
        return (
            ('all', ''), ('n', f'{self.sizes[0]} + {self.sizes[1]}'), ('noise', self.noise),
            ('parcels of SD', self.effect), ('planted k', self.k),
            ('sizes', 'equal' if self.ratio == 1 else f'1 to {self.ratio:g}'),
        )  # fmt: skip


def examined(cohort: PlantedCohort, seed: int) -> tuple[pd.DataFrame, dict[int, float]]:
    """Return the curves of a cohort, and how well its parcels at each k agree with the planted."""
    options = SelectionOptions(ks=KS, n_splits=4, n_null=2, seed=seed)
    values = cohort.data.values
    curves = rank_curves(values, cohort.participants['group'], options).curves
    X = standardise(values)[0]
    path = fit_path(X, KS, rng=np.random.default_rng(seed))
    found = {k: labels_by_variation(path[k][0].W, X, len(values)) for k in KS}
    return curves, {k: adjusted_rand(found[k], cohort.labels) for k in KS}


def elbow(curves: dict[str, pd.DataFrame], column: str) -> int:
    """Return the k at which one error bends most, whatever the stability."""
    tables = [table.set_index('k')[column] for table in curves.values()]
    error = pd.concat([t / t.iloc[0] for t in tables], axis=1, join='inner').mean(axis=1)
    bend = (error.shift(1) - 2 * error + error.shift(-1)).dropna()
    return int(bend.idxmax())


def picked(kind: Kind) -> dict[str, tuple[int, float]]:
    """Return what each rule picks in a pair of cohorts, and the agreement of that map."""
    pairs = [examined(kind.cohort(side), kind.seed) for side in (0, 1)]
    curves = {str(side): pair[0] for side, pair in enumerate(pairs)}
    ks = {str(rule): choose_k(curves, rule=rule).k for rule in RULES}
    ks['elbow of variation alone'] = elbow(curves, 'variation_error')
    ks['elbow of the whole error'] = elbow(curves, 'full_error')
    ks['planted k'] = kind.k
    return {name: (k, float(np.mean([pair[1][k] for pair in pairs]))) for name, k in ks.items()}


def kept(file: Path | None) -> dict[str, dict[str, tuple[int, float]]]:
    """Return what earlier calls wrote down: by kind of pair, what `picked` returned."""
    if file is None or not file.is_file():
        return {}
    return dict(json.loads(line) for line in file.read_text().splitlines())


def _grid(options: argparse.Namespace) -> list[Kind]:
    """List the pairs, one seed after the other and mixed within it.

    Whatever is done when a call ends early is then a fair sample of the grid.
    """
    sizes, noise = (SIZES[1:2], NOISE[:2]) if options.quick else (SIZES, NOISE)
    grid = list(product((3, 4, 5, 6), sizes, noise, EFFECTS, RATIOS))
    kinds: list[Kind] = []
    for seed in range(options.seeds):
        order = np.random.default_rng(seed).permutation(len(grid))
        kinds += [Kind(*grid[i], seed) for i in order]
    return kinds


def main() -> None:
    """Print the share of pairs in which each rule is right, and its maps' agreement."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--seeds', type=int, default=1, help='pairs of each kind')
    parser.add_argument('--quick', action='store_true', help='one size, two levels of noise')
    parser.add_argument('--keep', type=Path, metavar='FILE', help='pairs that are done, as JSON')
    options = parser.parse_args()
    start, done = time.process_time(), kept(options.keep)
    found: dict[tuple[str, object], dict[str, list[tuple[bool, float]]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for kind in _grid(options):
        key = json.dumps(asdict(kind))
        if key not in done:
            done[key] = picked(kind)
            if options.keep is not None:
                with options.keep.open('a', encoding='utf-8') as stream:
                    stream.write(json.dumps([key, done[key]]) + '\n')
        for name, (k, ari) in done[key].items():
            for part in kind.parts:
                found[part][name].append((k == kind.k, ari))
    names = [*RULES, 'elbow of variation alone', 'elbow of the whole error', 'planted k']
    print('Planted number picked, per cent of pairs (4 splits); adjusted Rand index of its map')
    print(f'  {"":<22}{"pairs":>6} ' + ' '.join(f'{name:>25}' for name in names))
    for part in sorted(found, key=str):
        label = ' '.join(str(word) for word in part)
        cells = (np.mean(found[part][name], axis=0) for name in names)
        print(
            f'  {label:<22}{len(found[part]["variation"]):>6} '
            + ' '.join(f'{100 * rate:>20.0f} {ari:.2f}' for rate, ari in cells)
        )
    print(f'  [{time.process_time() - start:.0f} CPU s]')


if __name__ == '__main__':
    main()
