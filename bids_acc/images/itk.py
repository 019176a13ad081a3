"""ITK's threads and ANTs' random numbers, for as long as one registration takes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

_THREADS = 'ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS'


@contextmanager
def itk_session(n_threads: int = 1, seed: int = 1) -> Iterator[None]:
    """Limit ITK's threads and seed ANTs; with one thread, the same input gives the same bytes.

    ``ants.registration`` has no argument for a seed and swallows one that it is given
    (antspyx 0.6.3): the voxels at which the metric of an affine is sampled are then jittered
    anew each time. Its package-wide setting is the only way, and it seeds NumPy's global
    generator too, which nothing here reads.

    Parameters
    ----------
    n_threads : int
        Of ITK; more than one gives up the last bits.
    seed : int
        Any; zero would mean the clock.
    """
    from ants.config import set_ants_deterministic

    before = os.environ.get(_THREADS)
    set_ants_deterministic(on=True, seed_value=seed % 2**31 or 1)
    os.environ[_THREADS] = str(n_threads)
    try:
        yield
    finally:
        set_ants_deterministic(on=False, seed_value=None)
        if before is None:
            del os.environ[_THREADS]
        else:
            os.environ[_THREADS] = before
