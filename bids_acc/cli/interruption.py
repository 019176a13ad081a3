"""A command that is told to end tidies up once and is gone within seconds.

Schedulers send SIGTERM, sometimes every few seconds, and kill some seconds after the first; people
press Ctrl-C until something happens, which reaches every process of the terminal.
"""

from __future__ import annotations

import atexit
import contextlib
import errno
import io
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import TextIO

from bids_acc.execution.signals import BEFORE_THE_END

INTERRUPTED = 130
"""Exit code, as shells give it for SIGINT."""

NOBODY_LISTENS = 141
"""The same for SIGPIPE: what is printed goes nowhere."""

TIDY_S = 10.0
"""Seconds in which further signals are not heard, so that they do not break off the tidying."""

FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})
"""What a disk answers that takes no more, or a terminal that is gone."""

_kept: list[TextIO] = []
"""Streams that others read or write through; one that nobody holds any more is closed."""

_heard = [-TIDY_S]


def listen() -> None:
    """Let the signals by which schedulers, shells and people end a command break it off.

    As process 1 of a container Python ignores SIGTERM unless told otherwise. What ``nohup`` or a
    shell has set to be ignored stays so.
    """
    for number in (signal.SIGTERM, signal.SIGINT, *BEFORE_THE_END):
        if number not in BEFORE_THE_END or signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _break_off)


def _break_off(number: int, frame: FrameType | None) -> None:
    """Raise once; whoever insists after the time for tidying is heard again."""
    del number, frame
    now = time.monotonic()
    if now - _heard[0] >= TIDY_S:
        _heard[0] = now
        raise KeyboardInterrupt


def run_and_leave(main: Callable[[], int]) -> int:
    """Run the command; after an interruption leave without taking the process apart.

    To take thousands of modules and a graph apart costs a second of CPU time, ten on a machine
    that does much else. What others asked to be called at the end is called nevertheless: the
    first that is registered comes last.

    Parameters
    ----------
    main : callable
        Returns the exit code.
    """
    open_streams()
    code: list[int] = []
    atexit.register(_leave, code)
    code.append(main())
    return code[0]


def open_streams() -> None:
    """Put the null device where a stream was closed (``2>&-``, some schedulers).

    The next file that is opened would get its number, and what libraries print would go there.
    """
    for number, (name, mode) in enumerate((('stdin', 'r'), ('stdout', 'w'), ('stderr', 'w'))):
        try:
            os.fstat(number)
        except OSError:
            taken = os.open(os.devnull, os.O_RDWR)
            if taken != number:
                os.dup2(taken, number)
                os.close(taken)
            setattr(sys, name, os.fdopen(number, mode))
    _kept.append(sys.stderr)
    sys.stderr = Messages(sys.stderr.buffer, sys.stderr.encoding, 'backslashreplace',
                          line_buffering=True)  # fmt: skip


class Messages(io.TextIOWrapper):
    """Messages to the user: one that the disk of a log cannot take is lost, and not the run."""

    def write(self, text: str) -> int:
        """Write to the terminal, if that can be done: a full disk behind it ends no run.

        Parameters
        ----------
        text : str
            Usually one line.

        Returns
        -------
        int
            Number of characters, whether they could be written or not.
        """
        with lost_if_full():
            return super().write(text)
        return len(text)

    def flush(self) -> None:
        """Pass on what was written, if that can be done."""
        with lost_if_full():
            super().flush()


@contextlib.contextmanager
def lost_if_full() -> Iterator[None]:
    """Give up what a full disk does not take; a reader that went away is another matter."""
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise


def _leave(code: list[int]) -> None:
    """End the process if it was interrupted."""
    if code == [INTERRUPTED]:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(INTERRUPTED)
