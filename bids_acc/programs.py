"""Programs of others: started, watched, and believed only after a look at what they left.

Nipype's own ``CommandLine.run`` takes a program that ends with an error for one that worked, as
long as its output file is there; a ``dwidenoise`` that stops on a full disk leaves a file of which
half was never written. Here the exit code, the signal, the time and the result are looked at, and
the program's last words are part of the reason.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shlex
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Protocol

import nibabel as nb
import numpy as np
import numpy.typing as npt

from bids_acc.exceptions import ProgramError, ResourceError
from bids_acc.typing import FloatArray

LONGEST_S = 12 * 3600.0
"""Seconds after which a program is ended; the slowest here, eddy without a graphics card, takes
some hours."""

GRACE_S = 5.0
"""Seconds to end by itself when told to, before it is killed."""

LAST_WORDS = 300
"""Characters of a program's messages that are quoted."""

_PR_SET_PDEATHSIG = 1


class ToolInputs(Protocol):
    """What is read of the inputs of a command-line interface of Nipype."""

    environ: Mapping[str, str]


class ToolOutputs(Protocol):
    """The outputs of a command-line interface of Nipype: paths of files by name."""

    def __getattr__(self, name: str, /) -> str: ...


class CommandLineTool(Protocol):
    """A command-line interface of Nipype, which this layer does not import."""

    cmd: str
    """The program, with what comes before its arguments."""
    cmdline: str
    """The whole command."""
    inputs: ToolInputs

    def aggregate_outputs(self) -> ToolOutputs:
        """Return the outputs; `FileNotFoundError` where one is not there."""


def run_program(
    command: Sequence[str],
    *,
    cwd: Path | str,
    name: str = '',
    stdin: Path | None = None,
    environment: Mapping[str, str] | None = None,
    longest_s: float = LONGEST_S,
    grace_s: float = GRACE_S,
) -> str:
    """Run a program to its end.

    Parameters
    ----------
    command : sequence of str
        Program and arguments; no shell is involved.
    cwd : Path
        Working folder.
    name : str
        What messages call it; the program's file name by default.
    stdin : Path, optional
        File that it reads.
    environment : mapping, optional
        Variables besides those of this process.
    longest_s : float
        Seconds after which it and all that it started is ended.
    grace_s : float
        Seconds between telling it to end and killing it.

    Returns
    -------
    str
        The end of what it said, messages and output together.

    Raises
    ------
    ProgramError
        If it cannot be started, ends with another code than 0, crashes, or does not end.
    ResourceError
        If it was killed.
    """
    name = name or Path(command[0]).name
    with _input(stdin) as source:
        try:
            process = subprocess.Popen(
                list(command), cwd=cwd, stdin=source, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT, env={**os.environ, **(environment or {})},
                start_new_session=True,
                preexec_fn=die_with_parent,  # noqa: PLW1509 - takes no lock
            )  # fmt: skip
        except OSError as error:
            raise ProgramError(
                f'{name} could not be started ({error.strerror}): try {command[0]} in a shell.'
            ) from error
    said = _LastWords(process)
    late = False
    try:
        process.wait(longest_s)
    except subprocess.TimeoutExpired:
        late = True
    finally:
        _end_group(process, grace_s)
    text = said.text()
    if late:
        raise ProgramError(f'{name} did not end within {longest_s:g} s and was stopped.')
    if process.returncode:
        raise _died(name, process.returncode, text)
    return text


class _LastWords:
    """The end of what a program says; the rest is read and forgotten, however much it is."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._tail = b''
        self._stream = process.stdout
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        while self._stream is not None and (chunk := self._stream.read1(1 << 16)):  # type: ignore[attr-defined]
            self._tail = (self._tail + chunk)[-(1 << 16) :]

    def text(self) -> str:
        """Return it, once the program has ended."""
        self._thread.join(GRACE_S)
        if self._stream is not None and not self._thread.is_alive():
            self._stream.close()
        return self._tail.decode(errors='replace')


@contextlib.contextmanager
def _input(path: Path | None) -> Iterator[IO[bytes] | int]:
    """Open what the program reads."""
    if path is None:
        yield subprocess.DEVNULL
        return
    with path.open('rb') as stream:
        yield stream


def die_with_parent(number: int = signal.SIGTERM) -> None:
    """Ask the system to end this process when the one that started it is gone.

    Parameters
    ----------
    number : int
        Signal to get then.
    """
    with contextlib.suppress(OSError, AttributeError):  # Linux only
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(number))


def _end_group(process: subprocess.Popen[bytes], grace_s: float) -> None:
    """End a program and all that it started; harmless when they have ended."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(grace_s)


def _died(name: str, code: int, text: str) -> ProgramError | ResourceError:
    """Say how a program ended.

    A program behind a script ends with 128 and the number of the signal; without one in between
    the number is negative.
    """
    number = -code if code < 0 else code - 128
    if number == signal.SIGKILL:
        return ResourceError(f'{name} was killed, most likely because memory ran out.')
    words = ' '.join(text.split())[-LAST_WORDS:]
    said = f' ({words})' if words else ''
    if code in (126, 127):  # of the shell, for a script that starts the program
        return ProgramError(f'{name} could not be started{said}: try it in a shell.')
    if number in {item.value for item in signal.Signals}:
        return ProgramError(f'{name} crashed with {signal.Signals(number).name}{said}.')
    return ProgramError(f'{name} ended with exit code {code}{said}.')


def run_tool(tool: CommandLineTool, cwd: Path | str) -> ToolOutputs:
    """Run a command-line interface of Nipype by `run_program`.

    Parameters
    ----------
    tool : nipype.interfaces.base.CommandLine
        With its inputs set.
    cwd : Path
        Working folder.

    Returns
    -------
    ToolOutputs
        The interface's outputs: paths of files by name.

    Raises
    ------
    ProgramError, ResourceError
        As `run_program`, and if an output is not there.
    """
    name = shlex.split(tool.cmd)[0]
    with contextlib.chdir(cwd):
        said = run_program(shlex.split(tool.cmdline), cwd=cwd, environment=tool.inputs.environ)
        try:
            return tool.aggregate_outputs()
        except FileNotFoundError as error:
            words = ' '.join(said.split())[-LAST_WORDS:]
            raise ProgramError(
                f'{name} ended without an error, but its output is not there '
                f'({words or "it said nothing"}).'
            ) from error


def read_result(
    path: Path | str, name: str, shape: tuple[int, ...], affine: FloatArray
) -> npt.NDArray[np.float32]:
    """Read an image that a program made of another, and refuse what cannot be one.

    Parameters
    ----------
    path : Path
        What the program left.
    name : str
        The program.
    shape : tuple of int
        Voxels, and volumes, of what it was given.
    affine : (4, 4) ndarray
        Grid of what it was given.

    Returns
    -------
    ndarray
        Values, float32.

    Raises
    ------
    ProgramError
        If it cannot be read, or has another shape or grid, or values that are no numbers.
    """
    try:
        image = nb.Nifti1Image.from_filename(Path(path))
        found, grid = tuple(image.shape), np.asarray(image.affine)
        if found != tuple(shape):
            raise ProgramError(
                f'{name} left {Path(path).name} with shape {found}; it was given {tuple(shape)}.'
            )
        values = image.get_fdata(dtype=np.float32)
    except (nb.filebasedimages.ImageFileError, OSError, EOFError, ValueError) as error:
        raise ProgramError(
            f'{name} left {Path(path).name}, which cannot be read ({error}).'
        ) from error
    if not np.allclose(grid, affine, atol=1e-2):
        raise ProgramError(f'{name} left {Path(path).name} on another grid than it was given.')
    if bad := int(np.count_nonzero(~np.isfinite(values))):
        raise ProgramError(f'{name} left {Path(path).name} with {bad} values that are no numbers.')
    return values
