"""Coverage of the interval of ICC(2,1).

Run ``python tests/benchmarks/group_reliability.py [--quick]``. Two sessions, with and without a
shift that differs from study to study.
"""

from __future__ import annotations

import argparse

import numpy as np

from bids_acc.group.formulas.reliability import reliability


def coverage(n: int, people: int, icc: float, session_sd: float) -> tuple[float, float]:
    """Return how often the interval holds the truth, and the mean ICC."""
    inside, mean = 0, 0.0
    for child in np.random.SeedSequence(1).spawn(n):
        rng = np.random.default_rng(child)
        error = (1 - icc) / icc - session_sd**2
        x = rng.normal(0, 1, (people, 1)) + rng.normal(0, error**0.5, (people, 2))
        found = reliability(x + rng.normal(0, session_sd, 2))
        inside += found.ci_low <= icc <= found.ci_high
        mean += found.icc
    return inside / n, mean / n


def main() -> None:
    """Print coverage."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--quick', action='store_true', help='100 studies instead of 1,000')
    n = 100 if parser.parse_args().quick else 1000
    band = 1.96 * (0.95 * 0.05 / n) ** 0.5
    for people in (12, 30, 100):
        for icc in (0.5, 0.9):
            for session_sd in (0.0, 0.1):
                found, mean = coverage(n, people, icc, session_sd)
                mark = '  OUTSIDE' if abs(found - 0.95) > band else ''
                print(f'{people:3d} people, ICC {icc}, SD of sessions {session_sd}: coverage '
                      f'{found:.3f} +- {band:.3f}, mean ICC {mean:.3f}{mark}')  # fmt: skip


if __name__ == '__main__':
    main()
