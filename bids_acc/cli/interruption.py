"""A command that is told to end tidies up once and is gone within seconds.

Schedulers send SIGTERM, sometimes every few seconds, and kill some seconds after the first; people
press Ctrl-C until something happens, which reaches every process of the terminal.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable
from types import FrameType

INTERRUPTED = 130
"""Exit code, as shells give it for SIGINT."""

NOBODY_LISTENS = 141
"""The same for SIGPIPE: what is printed goes nowhere."""

TIDY_S = 10.0
"""Seconds in which further signals are not heard, so that they do not break off the tidying."""

_heard = [-TIDY_S]


def listen() -> None:
    """Let SIGTERM and SIGINT break off what is done now.

    As process 1 of a container Python ignores SIGTERM unless told otherwise.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
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


def _leave(code: list[int]) -> None:
    """End the process if it was interrupted."""
    if code == [INTERRUPTED]:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(INTERRUPTED)
