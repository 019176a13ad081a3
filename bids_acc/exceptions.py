"""Every way in which bids_acc refuses or fails, and the exit code that goes with it.

The codes follow ``sysexits.h`` and the draft BIDS execution specification. The command line
takes both the sentence it prints and the code it returns from the same exception, so the two
cannot disagree.
"""

from __future__ import annotations

import re
from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes of the command line; the README's table is checked against this one."""

    OK = 0
    """Everything that was asked for is done or reused."""
    INVALID_BIDS = 16
    """The folder is no valid BIDS dataset."""
    NOTHING_SELECTED = 18
    """The labels or filters match nothing, or no selected session has anything to process."""
    USAGE = 64
    """The command line or the configuration file is wrong."""
    BAD_DATA = 65
    """An input file is there but cannot be used; other sessions were finished."""
    NO_INPUT = 66
    """An input file or folder is missing; other sessions were finished."""
    INTERNAL = 70
    """A step failed for a reason that is not in the input: please report it."""
    CANNOT_WRITE = 73
    """The output or working folder cannot be written."""
    TRY_AGAIN = 75
    """Out of memory or killed: run the same command again, with fewer processes."""


_NO_MEMORY = re.compile(
    r'\[Errno 12\]|cannot allocate memory|unable to allocate|bad_?alloc|out of memory'
    r"|can't start new thread|failed to map segment|resource temporarily unavailable",
    re.IGNORECASE,
)
"""What the system, NumPy, C++ and the loader of libraries say when memory ends."""


def ran_out_of_memory(name: str, sentence: str) -> bool:
    """Tell whether an exception means that memory, or the right to more of it, ended.

    Parameters
    ----------
    name, sentence : str
        Class and message. Memory that cannot be mapped comes as an ``ImportError``, a thread that
        cannot be given its stack as a ``RuntimeError``.

    Examples
    --------
    >>> ran_out_of_memory('RuntimeError', "can't start new thread")
    True
    >>> ran_out_of_memory('RuntimeError', 'no such thread')
    False
    """
    return name in ('MemoryError', '_ArrayMemoryError') or bool(_NO_MEMORY.search(sentence))


_NO_FILES = re.compile(r'\[Errno 2[34]\]|too many open files', re.IGNORECASE)
"""What the system says when a process (24), or the machine (23), may open no further file."""

FEW_FILES = (
    'too many files are open at a time for this shell (ulimit -n) or machine; raise that limit or '
    'take fewer --nprocs, and run the same command again (what is finished is reused)'
)


def ran_out_of_files(sentence: str) -> bool:
    """Tell whether an exception means that no further file may be opened.

    Parameters
    ----------
    sentence : str
        Message.

    Examples
    --------
    >>> ran_out_of_files(str(OSError(24, 'Too many open files')))
    True
    >>> ran_out_of_files(str(OSError(2, 'No such file or directory')))
    False
    """
    return bool(_NO_FILES.search(sentence))


class BidsAccError(Exception):
    """Base of all errors that bids_acc raises on purpose."""

    exit_code = ExitCode.INTERNAL


class InputDataError(BidsAccError, ValueError):
    """An input file cannot be used; the message names file, field and remedy."""

    exit_code = ExitCode.BAD_DATA


class MissingInputError(BidsAccError, FileNotFoundError):
    """An input file is absent or its content was not fetched."""

    exit_code = ExitCode.NO_INPUT

    def __str__(self) -> str:
        """Return the sentence as given; OSError would wrap it in quotes."""
        return str(self.args[0]) if self.args else ''


class MetadataError(InputDataError):
    """A sidecar or header field is missing, implausible or contradicts another."""


class GridMismatchError(InputDataError):
    """Two images that must share a voxel grid, or two meshes their vertices, do not."""


class InvalidDatasetError(BidsAccError, ValueError):
    """The input folder is not a BIDS dataset."""

    exit_code = ExitCode.INVALID_BIDS


class NothingSelectedError(BidsAccError, LookupError):
    """Labels or filters match nothing."""

    exit_code = ExitCode.NOTHING_SELECTED


class SettingsError(BidsAccError, ValueError):
    """An option, a configuration file or a model file is wrong."""

    exit_code = ExitCode.USAGE


class OutputError(BidsAccError, OSError):
    """The output or working folder cannot be written."""

    exit_code = ExitCode.CANNOT_WRITE

    def __str__(self) -> str:
        """Return the sentence as given; OSError would wrap it in quotes."""
        return str(self.args[0]) if self.args else ''


class ResourceError(BidsAccError, MemoryError):
    """Memory ran out or a worker was killed."""

    exit_code = ExitCode.TRY_AGAIN


class ProgramError(BidsAccError, RuntimeError):
    """A program of others could not be started, did not end, or left unfinished files."""


class ComputationError(BidsAccError, ArithmeticError):
    """A computation did not give a usable result."""

    exit_code = ExitCode.INTERNAL
