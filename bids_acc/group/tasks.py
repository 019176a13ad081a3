"""Many independent tasks: in parallel, resumable, with the same bytes however many workers."""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from joblib import Parallel, delayed, effective_n_jobs, parallel_backend
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from bids_acc.files.writing import plain, write_bytes
from bids_acc.typing import IntArray

LOGGER = logging.getLogger(__name__)

Records = list[dict[str, Any]]


@dataclass(frozen=True)
class TaskProgress:
    """How far a list of tasks has come."""

    done: int
    """Tasks finished, those of an earlier run included."""
    total: int
    """Tasks in all; 0 for a message before the first."""
    label: str
    """What was finished last."""
    seconds_left: float
    """Estimated from this run's tasks (see `Pace`); NaN before the first."""

    def __str__(self) -> str:
        """Return one line for the terminal."""
        if self.total == 0:
            return self.label
        left = '' if np.isnan(self.seconds_left) else f', about {self.seconds_left:.0f} s left'
        return f'{self.done}/{self.total} {self.label}{left}'


ProgressCallback = Callable[[TaskProgress], None]


@dataclass(frozen=True)
class Task:
    """One call whose result is a table."""

    name: str
    """File name of its result, without extension; unique in its list."""
    function: Callable[..., Records]
    """Called with the arguments; returns one dictionary for each row."""
    arguments: dict[str, Any] = field(default_factory=dict)
    """Keyword arguments."""


class Pace:
    """How long tasks take, each kind by itself, and so how long those that are left will."""

    def __init__(self) -> None:
        self._seconds: dict[Callable[..., Records], float] = {}
        self._ended: Counter[Callable[..., Records]] = Counter()

    def add(self, task: Task, seconds: float) -> None:
        """Count a finished task and its time.

        Parameters
        ----------
        task : Task
            The task; its function tells the kind.
        seconds : float
            Wall time in the worker.
        """
        self._seconds[task.function] = self._seconds.get(task.function, 0.0) + seconds
        self._ended[task.function] += 1

    def seconds_left(self, waiting: Sequence[Task], n_workers: int) -> float:
        """Return the time that tasks still need when so many run side by side.

        A kind of which none has ended is taken to need as long as all others on average.

        Parameters
        ----------
        waiting : sequence of Task
            Tasks that have not ended; at least one other must have.
        n_workers : int
            Tasks that run at a time.

        Returns
        -------
        float
            Seconds of wall time; 0 when nothing is waiting.

        Examples
        --------
        >>> short, long = Task('a', list), Task('b', sorted)
        >>> pace = Pace()
        >>> pace.add(short, 1.0)
        >>> pace.add(long, 5.0)
        >>> pace.seconds_left([short] * 4 + [long] * 4, n_workers=2)
        12.0
        """
        if not waiting:
            return 0.0
        average = sum(self._seconds.values()) / self._ended.total()
        work = 0.0
        for kind, number in Counter(task.function for task in waiting).items():
            ended = self._ended[kind]
            work += number * (self._seconds[kind] / ended if ended else average)
        return work / min(n_workers, len(waiting))


def digest(*parts: object) -> str:
    """Return a short hash of arrays and plain values, to name a folder of results.

    Parameters
    ----------
    *parts : object
        Arrays, or what JSON can hold. Shape, type and bytes of an array count.

    Returns
    -------
    str
        First 16 hexadecimal digits of the SHA-256.

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
    pace, n_workers = Pace(), _n_workers(n_jobs, backend)
    for task, found, seconds in _execute(waiting, n_jobs, backend):
        # as JSON has them, also when nothing is stored: a run that was resumed must compute on
        # with the same numbers
        records = plain(found)
        if folder is not None:
            _store(folder, task.name, records)
        results[task.name] = records
        if progress is not None:
            pace.add(task, seconds)
            left = pace.seconds_left([t for t in waiting if t.name not in results], n_workers)
            progress(TaskProgress(len(results), len(tasks), task.name, left))
    return {task.name: results[task.name] for task in tasks}


def _n_workers(n_jobs: int, backend: str) -> int:
    """Return how many tasks will run side by side."""
    with parallel_backend(backend, n_jobs=n_jobs):
        return int(effective_n_jobs(n_jobs))


def _execute(
    tasks: Sequence[Task], n_jobs: int, backend: str
) -> Iterator[tuple[Task, Records, float]]:
    """Yield tasks, results and seconds as they come."""
    if not tasks:
        return
    if n_jobs == 1 and backend == 'loky':
        for task in tasks:
            yield task, *_call(task)[1:]
        return
    by_name = {task.name: task for task in tasks}
    with parallel_backend(backend, n_jobs=n_jobs):
        calls = (delayed(_call)(task) for task in tasks)
        for name, found, seconds in Parallel(return_as='generator_unordered')(calls):
            yield by_name[name], found, seconds


def _call(task: Task) -> tuple[str, Records, float]:
    """Run one task with one BLAS thread; return its name, result and seconds."""
    started = time.monotonic()
    # sums of BLAS depend on its number of threads in their last digits, from which labels of
    # vertices may tip
    with threadpool_limits(limits=1):
        found = task.function(**task.arguments)
    return task.name, found, time.monotonic() - started


def _load(folder: Path, name: str) -> Records | None:
    """Read a stored result; an unreadable one counts as absent."""
    try:
        return list(json.loads((folder / f'{name}.json').read_text()))
    except (OSError, json.JSONDecodeError):
        return None


def _store(folder: Path, name: str, records: Records) -> None:
    """Write a result, whole."""
    write_bytes(folder / f'{name}.json', json.dumps(records).encode())


def child_seed(seed: int, *path: int) -> np.random.SeedSequence:
    """Return the seed of one task, which does not depend on how many tasks there are.

    Parameters
    ----------
    seed : int
        Seed of the run.
    *path : int
        Place of the task in the run: kind of task, then its numbers.

    Returns
    -------
    SeedSequence
        The same for the same path; independent streams for others.
    """
    return np.random.SeedSequence(seed, spawn_key=path)


def child_rng(seed: int, *path: int) -> np.random.Generator:
    """Return the random generator of one task; see `child_seed`.

    Parameters
    ----------
    seed : int
        Seed of the run.
    *path : int
        Place of the task in the run.

    Returns
    -------
    Generator
        NumPy's default bit generator.
    """
    return np.random.default_rng(child_seed(seed, *path))


Positions = IntArray
