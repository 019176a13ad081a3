"""Error rate, power and cost of group contrasts at every vertex.

Run ``python tests/benchmarks/vertexwise.py [--quick]``. Maps are
smoothed noise on a sphere; the p of a cohort is its smallest, corrected for all vertices, so 5 %
of the null cohorts may have one.
"""

from __future__ import annotations

import argparse
import resource
import time

import numpy as np
from scipy.sparse import csr_array, diags_array

from bids_acc.group.formulas.permutation import contrast_first
from bids_acc.group.formulas.tfce import Mesh, contrast_at_vertices
from bids_acc.group.opnmf.simulate import icosphere, smoothed
from bids_acc.surfaces.neighbours import adjacency, neighbour_lists

PEOPLE, PERMUTATIONS = 40, 99


def mesh_of(level: int) -> tuple[Mesh, csr_array, list[np.ndarray]]:
    """Return a sphere, what averages over neighbours on it, and the neighbours."""
    vertices, faces = icosphere(level)
    graph = adjacency(faces, len(vertices))
    smoother = diags_array(1 / (graph.sum(axis=1) + 1.0)) @ (
        graph + diags_array(np.ones(len(vertices)))
    )
    near = neighbour_lists(graph)
    return Mesh.of(near), csr_array(smoother), near


def smallest_p(rng: np.random.Generator, mesh: Mesh, smoother: csr_array, patch: np.ndarray,
               effect: float, skewed: bool = False) -> tuple[float, float]:  # fmt: skip
    """Return the smallest corrected p of a cohort, and the share of the patch that is found."""
    group = np.arange(PEOPLE) % 2 * 1.0
    age = rng.normal(40, 9, PEOPLE) + 5 * group
    noise = rng.standard_normal((len(mesh.areas), PEOPLE))
    Y = smoothed(np.exp(noise) if skewed else noise, smoother, 3).T + 0.02 * age[:, None]
    Y[:, patch] += effect * group[:, None]
    X = np.column_stack([np.ones(PEOPLE), group, age])
    found = contrast_at_vertices(Y, contrast_first(X, [0, 1, 0]), mesh, PERMUTATIONS, rng)
    return float(found.p.min()), float((found.p[patch] <= 0.05).mean())


def rate(n: int, seed: int, effect: float, skewed: bool = False) -> tuple[float, float]:
    """Return the share of cohorts with a significant vertex, and of the patch that is found."""
    mesh, smoother, near = mesh_of(2)
    patch = np.unique(np.concatenate([near[0], *(near[v] for v in near[0])]))
    found = [
        smallest_p(np.random.default_rng(child), mesh, smoother, patch, effect, skewed)
        for child in np.random.SeedSequence(seed).spawn(n)
    ]
    p, share = np.array(found).T
    return float((p <= 0.05).mean()), float(share.mean())


def main() -> None:
    """Print rates and costs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--quick', action='store_true', help='50 cohorts instead of 1,000')
    parser.add_argument('--cohorts', type=int, default=1000, help='how many are simulated')
    options = parser.parse_args()
    n = 50 if options.quick else options.cohorts
    band = 1.96 * np.sqrt(0.05 * 0.95 / n)
    print(f'{n} cohorts of {PEOPLE}, 162 vertices, {PERMUTATIONS} permutations')
    for name, skewed in (('normal noise', False), ('lognormal noise', True)):
        found = rate(n, 1, 0.0, skewed)[0]
        mark = '  OUTSIDE' if abs(found - 0.05) > band else ''
        print(f'type I, {name:30s} {found:.3f}  theory 0.050 +- {band:.3f}{mark}')
    for effect in (0.6, 1.0):
        power, share = rate(max(n // 5, 20), 2, effect)
        print(f'patch of {effect} SD: found at all {power:.2f}, share of the patch {share:.2f}')
    for level, name in ((4, '2,562'), (5, '10,242'), (6, '40,962')):
        mesh, smoother, _ = mesh_of(level)
        start = time.process_time()
        smallest_p(np.random.default_rng(0), mesh, smoother, np.arange(3), 0.0)
        spent = (time.process_time() - start) / (PERMUTATIONS + 1)
        print(f'{name} vertices: {1000 * spent:.0f} CPU ms for each permutation')
    print(f'{resource.getrusage(resource.RUSAGE_SELF).ru_utime:.0f} CPU s')


if __name__ == '__main__':
    main()
