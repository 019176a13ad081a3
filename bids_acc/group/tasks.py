"""Many independent tasks: in parallel, resumable, with the same bytes however many workers."""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from joblib import Parallel, delayed, parallel_backend
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from bids_acc.derivatives.outputs import plain

LOGGER = logging.getLogger(__name__)

Records = list[dict[str, Any]]


@dataclass(frozen=True)
class Progress:
    """How far a list of tasks has come."""

    done: int
    """Tasks finished, those of an earlier run included."""
    total: int
    """Tasks in all; 0 for a message before the first."""
    label: str
    """What was finished last."""
    seconds_left: float
    """Estimated from this run's tasks; NaN before the first."""

    def __str__(self) -> str:
        """Return one line for the terminal."""
        if self.total == 0:
            return self.label
        left = '' if np.isnan(self.seconds_left) else f', about {self.seconds_left:.0f} s left'
        return f'{self.done}/{self.total} {self.label}{left}'


ProgressCallback = Callable[[Progress], None]


@dataclass(frozen=True)
class Task:
    """One call whose result is a table."""

    name: str
    """File name of its result, without extension; unique in its list."""
    function: Callable[..., Records]
    """Called with the arguments; returns one dictionary for each row."""
    arguments: dict[str, Any] = field(default_factory=dict)
    """Keyword arguments."""


def digest(*parts: Any) -> str:
    """Return a short hash of arrays and plain values, to name a folder of results.

    Examples
    --------
    >>> digest(np.arange(3), 'a') == digest(np.arange(3), 'a') != digest(np.arange(3), 'b')
    True
    """
    sha = hashlib.sha256()
    for part in parts:
        if isinstance(part, np.ndarray):
            sha.update(str((part.shape, part.dtype.str)).encode())
            sha.update(np.ascontiguousarray(part).tobytes())
        else:
            sha.update(json.dumps(plain(part), sort_keys=True).encode())
    return sha.hexdigest()[:16]


def run_tasks(
    tasks: Sequence[Task],
    *,
    folder: Path | None = None,
    n_jobs: int = 1,
    backend: str = 'loky',
    progress: ProgressCallback | None = None,
) -> dict[str, Records]:
    """Run tasks and return their tables by name.

    Every task runs with one BLAS thread, so that the bytes do not depend on the number of
    workers. With a folder, each result is written there as soon as it is known, by renaming a
    finished file: a killed run continues where it was.

    Parameters
    ----------
    tasks : sequence of Task
        Independent of each other.
    folder : Path, optional
        Where results are kept. Its name must stand for data and settings (see `digest`).
    n_jobs : int
        Workers.
    backend : str
        joblib backend: ``loky`` on one machine, ``dask`` with a `distributed.Client` open.
    progress : callable, optional
        Called after each task.

    Returns
    -------
    dict of str to list of dict
        In the order of the tasks.
    """
    results: dict[str, Records] = {}
    for task in tasks:
        if folder is not None and (stored := _load(folder, task.name)) is not None:
            results[task.name] = stored
    waiting = [task for task in tasks if task.name not in results]
    if results:
        LOGGER.info('%d of %d tasks were done before', len(results), len(tasks))
    started = time.monotonic()
    for count, (name, found) in enumerate(_execute(waiting, n_jobs, backend), start=1):
        records = plain(found)
        if folder is not None:
            _store(folder, name, records)
        results[name] = records
        if progress is not None:
            pace = (time.monotonic() - started) / count
            progress(Progress(len(results), len(tasks), name, pace * (len(waiting) - count)))
    return {task.name: results[task.name] for task in tasks}


def _execute(tasks: Sequence[Task], n_jobs: int, backend: str) -> Iterator[tuple[str, Records]]:
    """Yield results as they come."""
    if not tasks:
        return
    if n_jobs == 1 and backend == 'loky':
        yield from map(_call, tasks)
        return
    with parallel_backend(backend, n_jobs=n_jobs):
        yield from Parallel(return_as='generator_unordered')(delayed(_call)(t) for t in tasks)


def _call(task: Task) -> tuple[str, Records]:
    """Run one task with one BLAS thread."""
    with threadpool_limits(limits=1):
        return task.name, task.function(**task.arguments)


def _load(folder: Path, name: str) -> Records | None:
    """Read a stored result; an unreadable one counts as absent."""
    try:
        return list(json.loads((folder / f'{name}.json').read_text()))
    except (OSError, json.JSONDecodeError):
        return None


def _store(folder: Path, name: str, records: Records) -> None:
    """Write a result by renaming a finished file."""
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f'.{name}.part'
    part.write_text(json.dumps(records))
    part.replace(folder / f'{name}.json')


def child_seed(seed: int, *path: int) -> np.random.SeedSequence:
    """Return the seed of one task, which does not depend on how many tasks there are."""
    return np.random.SeedSequence(seed, spawn_key=path)


def child_rng(seed: int, *path: int) -> np.random.Generator:
    """Return the generator of one task."""
    return np.random.default_rng(child_seed(seed, *path))


Positions = npt.NDArray[np.int64]
