"""Why a node failed, as its crash file tells it."""

from __future__ import annotations

import errno
import re
from dataclasses import dataclass
from pathlib import Path

from bids_acc import exceptions
from bids_acc.exceptions import (
    FEW_FILES,
    BidsAccError,
    ExitCode,
    ran_out_of_files,
    ran_out_of_memory,
)
from bids_acc.files.writing import full_folder

KILLED = (
    'a worker process was killed, most likely because memory ran out; run the same command '
    'again with fewer --nprocs or a larger --mem (what is finished is reused)'
)

CRASHED = (
    'the process of this step ended {how}, not by an error of its own: a fault in a library, or a '
    'library that does not fit this processor; please report it with the crash file'
)

DISK_FULL = (
    'no space is left in the working or output folder; free some, or name another with '
    '--work-dir, and run the same command again (what is finished is reused)'
)


@dataclass(frozen=True)
class Crash:
    """Why a node failed."""

    node: str
    reason: str
    exit_code: ExitCode
    file: Path | None = None


_DISK_ERROR = re.compile(rf"\[Errno (?:{errno.ENOSPC}|{errno.EDQUOT})\][^:]*(?:: '(.*?)')?")

_MISSING_FILE = re.compile(rf"(?:\[Errno {errno.ENOENT}\][^:]*: ')?(/[^']*)'?$")
"""The system's sentence, or the path alone, as Nipype says that a step before left no result."""

_LAST_LINE = re.compile(r'^\s*((?:[A-Za-z_]\w*\.)*[A-Za-z_]\w*)(?:: (.*))?$')


def read_crash(path: Path) -> Crash:
    """Find the node, the exception and its sentence in a crash file.

    Parameters
    ----------
    path : Path
        Nipype's ``crash-*.txt``.

    Returns
    -------
    Crash
        Our own errors keep their exit code. A worker that was killed, or that may open no further
        file, is `ExitCode.TRY_AGAIN`, a full disk `ExitCode.CANNOT_WRITE`, anything else
        `ExitCode.INTERNAL`.
    """
    text = path.read_text(errors='replace')
    node = re.search(r'^Node: (\S+)', text, re.MULTILINE)
    reason, code = 'the step failed; see the log', ExitCode.INTERNAL
    for name, sentence in reversed(_exceptions_in(text)):
        kind = getattr(exceptions, name.rpartition('.')[2], None)
        if isinstance(kind, type) and issubclass(kind, BidsAccError):
            reason, code = sentence, kind.exit_code
            break
    else:
        found = _exceptions_in(text)
        if found:
            name, sentence = found[-1]
            name = name.rpartition('.')[2]
            if name == 'NodeExecutionError' and len(found) > 1:
                name, sentence = found[-2][0].rpartition('.')[2], found[-2][1]
            reason = f'{name}: {sentence}' if sentence else name
            if name == 'BrokenProcessPool' or ran_out_of_memory(name, sentence):
                reason, code = KILLED, ExitCode.TRY_AGAIN
            elif ran_out_of_files(sentence):
                reason, code = FEW_FILES, ExitCode.TRY_AGAIN
            elif full := _DISK_ERROR.match(sentence):
                where = f'{full[1]}: ' if full[1] else ''
                reason, code = where + DISK_FULL, ExitCode.CANNOT_WRITE
            elif (gone := _missing(name, sentence)) and _on_full_disk(gone):
                reason, code = f'{gone}: {DISK_FULL}', ExitCode.CANNOT_WRITE
    return Crash(node[1] if node else path.name, reason, code, path)


def _missing(name: str, sentence: str) -> Path | None:
    """Return the file that an exception says is not there."""
    found = _MISSING_FILE.match(sentence) if name == 'FileNotFoundError' else None
    return Path(found[1]) if found else None


def _on_full_disk(missing: Path) -> bool:
    """Tell whether a file is missing on a full disk: an earlier step could not write it."""
    there = next((folder for folder in missing.parents if folder.is_dir()), None)
    return there is not None and full_folder([there]) is not None


def _exceptions_in(text: str) -> list[tuple[str, str]]:
    """List ``Name: sentence`` lines that look like the end of a traceback.

    A name that stands alone, such as ``MemoryError``, counts at the beginning of a line.
    """
    found = []
    for line in text.splitlines():
        match = _LAST_LINE.match(line)
        if not match or not re.search(r'(Error|Exception|Pool|Warning|Exit)$', match[1]):
            continue
        # Nipype indents the traceback of a worker by one tab
        if match[2] or not line.removeprefix('\t')[:1].isspace():
            found.append((match[1], (match[2] or '').strip()))
    return found
