"""Processes that nodes run in, of which one that dies takes nothing else with it."""

from __future__ import annotations

import contextlib
import errno
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, Future
from concurrent.futures.process import BrokenProcessPool, ProcessPoolExecutor
from functools import partial
from multiprocessing.process import BaseProcess
from typing import Any

from bids_acc.exceptions import OutputError
from bids_acc.files.writing import DISK_ERRORS

CLOSED = frozenset({errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOENT, errno.ENOSYS})
"""What the system answers where there is no ``/dev/shm``, or none that may be written."""

END_S = 1.0
"""Seconds that a dying process is waited for."""


@contextlib.contextmanager
def shared_memory() -> Iterator[None]:
    """Name ``/dev/shm``, not the output folder, where a pool of workers finds no space or right.

    Raises
    ------
    OutputError
        If the disk in memory is full, of which small containers have next to nothing, or cannot be
        written.
    """
    try:
        yield
    except OSError as error:
        if error.errno in CLOSED:
            raise OutputError(
                f'processes cannot share memory: /dev/shm is missing or cannot be written '
                f'({error.strerror}); mount it, or give the container one (--shm-size).'
            ) from error
        if error.errno not in DISK_ERRORS:
            raise
        raise OutputError(
            'no space is left in /dev/shm, where processes keep what they share; free some, or '
            'give the container more (--shm-size), and run the same command again.'
        ) from error


class WorkerDiedError(BrokenProcessPool):
    """The process in which a task ran has ended before the task.

    Parameters
    ----------
    exit_code : int, optional
        Of the process; the number of a signal is negative.
    """

    def __init__(self, exit_code: int | None) -> None:
        super().__init__(f'exit code {exit_code}')
        self.exit_code = exit_code


class Workers:
    """Processes of which each is a pool of its own.

    A `ProcessPoolExecutor` ends all of its workers, and fails all that they do, when one of them
    dies: a step that ends with a segmentation fault would take hours of other sessions with it.

    Parameters
    ----------
    new_pool : callable
        Makes a pool of one worker.
    """

    def __init__(self, new_pool: Callable[[], ProcessPoolExecutor]) -> None:
        self._new_pool = new_pool
        self._idle: list[ProcessPoolExecutor] = []
        self._busy: set[ProcessPoolExecutor] = set()
        self._lock = threading.Lock()  # tasks end in threads of their pools

    def submit(self, function: Callable[..., object], *arguments: Any) -> Future[Any]:
        """Run a function in a process that has nothing to do, or else in a new one.

        Parameters
        ----------
        function : callable
            Can be pickled, as its arguments and its result.
        *arguments : object
            Handed to ``function``.

        Returns
        -------
        Future
            Raises `WorkerDiedError` if the process ends before the function.

        Raises
        ------
        OSError, RuntimeError
            If the system allows no further process or thread.
        """
        while True:
            with self._lock:
                pool = self._idle.pop() if self._idle else self._new()
            try:
                inner = pool.submit(function, *arguments)
            except BrokenProcessPool:  # killed while it waited for work
                pool.shutdown(wait=False)
                continue
            except (OSError, RuntimeError):  # no thread may be started: its process waits for ever
                for process in _processes(pool):
                    process.kill()
                raise
            break
        self._busy.add(pool)
        outer: Future[Any] = Future()
        outer.set_running_or_notify_cancel()
        inner.add_done_callback(partial(self._pass_on, outer, pool, _processes(pool)))
        return outer

    def _new(self) -> ProcessPoolExecutor:
        """Make a pool."""
        with shared_memory():
            return self._new_pool()

    def _pass_on(
        self,
        outer: Future[object],
        pool: ProcessPoolExecutor,
        processes: Sequence[BaseProcess],
        inner: Future[object],
    ) -> None:
        """Take a pool back unless its process has died; then tell how the task ended."""
        error = CancelledError() if inner.cancelled() else inner.exception()
        died = isinstance(error, BrokenProcessPool)
        if died:
            for process in processes:
                process.join(END_S)  # its pipes close a moment before it is gone
            error = WorkerDiedError(next((p.exitcode for p in processes), None))
        with self._lock:
            self._busy.discard(pool)
            if not died:
                self._idle.append(pool)
        if error is None:
            outer.set_result(inner.result())
        else:
            outer.set_exception(error)

    def processes(self) -> list[BaseProcess]:
        """List the processes."""
        with self._lock:
            return [process for pool in (*self._idle, *self._busy) for process in _processes(pool)]

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the processes.

        Parameters
        ----------
        wait : bool
            Return when they have ended.
        cancel_futures : bool
            Part of `concurrent.futures.Executor`'s signature; not used, a process has one task.
        """
        with self._lock:
            pools = (*self._idle, *self._busy)
        for pool in pools:
            pool.shutdown(wait=wait, cancel_futures=cancel_futures)


def _processes(pool: ProcessPoolExecutor) -> list[BaseProcess]:
    """List the processes of a pool that is not shut down."""
    return list((pool._processes or {}).values())
