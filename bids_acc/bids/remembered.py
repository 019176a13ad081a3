"""What an earlier plan found, kept beside PyBIDS' index, so that images are looked into once.

What is kept of a person counts only while every file in the person's folder and in the root of the
data set has the size, the time and the rights that it had, the index names the same images, and
the same is asked of the same code. Other people's files are not kept track of: a person with
prepared data of other tools, or whose sidecars name files elsewhere, is looked at anew each time.
"""

from __future__ import annotations

import hashlib
import logging
import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from bids_acc.bids.index import ImageIndex
from bids_acc.bids.inputs import MrsInputs, Session
from bids_acc.bids.selection import Selection

LOGGER = logging.getLogger(__name__)

FILE = 'bids_acc_plan.sqlite'
"""Name of the data base, in the folder of PyBIDS' index."""

_TABLES = (
    'CREATE TABLE IF NOT EXISTS people (label TEXT PRIMARY KEY, state TEXT, sessions BLOB)',
    'CREATE TABLE IF NOT EXISTS hashes (path TEXT PRIMARY KEY, state TEXT, sha256 TEXT)',
)

_SESSIONS: TypeAdapter[list[Session]] = TypeAdapter(list[Session])

WAIT_S = 10.0
"""How long another process that writes is waited for."""


class Memory:
    """What is known of the people of a data set.

    Parameters
    ----------
    folder : Path
        Of PyBIDS' index. A data base that cannot be used is done without.
    asked : Selection
        What is asked of each session.
    code : str
        Name of the code that finds it.
    index : ImageIndex
        Of the data set.
    """

    def __init__(self, folder: Path, asked: Selection, code: str, index: ImageIndex) -> None:
        self._index = index
        of_each = replace(asked, participant_labels=())  # a job for one finds what all have found
        self._base = '\n'.join([code, repr(of_each), str(index.root), *_files_in(str(index.root))])
        self._has_others = bool(asked.derivatives)
        self._connection = _connect(folder / FILE)

    def recall(self, subject: str) -> list[Session] | None:
        """Return the sessions of a person, or None where they are to be looked for.

        Parameters
        ----------
        subject : str
            Label without prefix.

        Returns
        -------
        list of Session or None
            None also where a file of the person was added, removed or changed since, or where
            derivatives are used, whose changes are not followed.
        """
        if self._has_others:
            return None
        known = self._read('SELECT state, sessions FROM people WHERE label = ?', subject)
        if known is None or known[0] != self._state(subject):
            return None
        try:
            return _SESSIONS.validate_json(known[1])
        except ValidationError:
            return None

    def keep(self, subject: str, sessions: Sequence[Session]) -> None:
        """Remember what was found of a person, if it can be read back unchanged.

        Parameters
        ----------
        subject : str
            Label without prefix.
        sessions : sequence of Session
            All of the person's. None is kept where one has failed or depends on other people's
            files.
        """
        if self._has_others or not all(_stands_alone(one) for one in sessions):
            return
        state = self._state(subject)
        try:
            content = _SESSIONS.dump_json(list(sessions))
            # Written and read again before it is believed: JSON has no NaN and no tuples, and a
            # plan from memory must be the plan.
            same = _SESSIONS.validate_json(content) == list(sessions)
        except ValueError:  # names that are no text
            return
        if state and same:
            self._write('INSERT OR REPLACE INTO people VALUES (?, ?, ?)', subject, state, content)

    def sha256(self, path: Path) -> str:
        """Return the SHA-256 of a file: the one known of it in this state, or a new one.

        Parameters
        ----------
        path : Path
            File of the data set. Size, time of change and rights make its state.

        Returns
        -------
        str
            64 hexadecimal digits.
        """
        state = _state_of(os.stat(path))  # noqa: PTH116 - no path object for each
        known = self._read('SELECT state, sha256 FROM hashes WHERE path = ?', str(path))
        if known is not None and known[0] == state:
            return str(known[1])
        with path.open('rb') as stream:
            found = hashlib.file_digest(stream, 'sha256').hexdigest()
        self._write('INSERT OR REPLACE INTO hashes VALUES (?, ?, ?)', str(path), state, found)
        return found

    def close(self) -> None:
        """Write what is new."""
        if self._connection is not None:
            try:
                self._connection.commit()
            except sqlite3.Error as error:
                LOGGER.debug('%s: %s', FILE, error)
            self._connection.close()
            self._connection = None

    def _state(self, subject: str) -> str:
        """Name the state of a person's files; empty where it cannot be told."""
        images = [image.path for image in self._index.get(subject=subject)]
        files = list(_files_below(f'{self._index.root}/sub-{subject}'))
        if '' in files:
            return ''
        text = '\n'.join([self._base, *images, *files])
        return hashlib.sha256(text.encode(errors='surrogateescape')).hexdigest()

    def _read(self, query: str, key: str) -> tuple[Any, ...] | None:
        """Return a row."""
        if self._connection is None:
            return None
        try:
            row: tuple[Any, ...] | None = self._connection.execute(query, (key,)).fetchone()
        except (sqlite3.Error, UnicodeError) as error:
            self._give_up(error)
            return None
        return row

    def _write(self, query: str, *values: Any) -> None:
        """Write a row; it is there for others once all are (`close`)."""
        if self._connection is not None:
            try:
                self._connection.execute(query, values)
            except (sqlite3.Error, UnicodeError) as error:
                self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        """Go on without a data base."""
        LOGGER.debug('%s: %s', FILE, error)
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _connect(path: Path) -> sqlite3.Connection | None:
    """Open the data base; None where there can be none."""
    try:
        connection = sqlite3.connect(path, timeout=WAIT_S)
        for table in _TABLES:
            connection.execute(table)
    except sqlite3.Error as error:
        LOGGER.debug('%s: %s', path, error)
        return None
    return connection


def _stands_alone(session: Session) -> bool:
    """Tell whether nothing has failed, and no sidecar names a file of somebody else."""
    if any(row.status == 'fail' or row.exit_code for row in session.plan):
        return False
    own = f'sub-{session.subject}'
    return all(
        own in uri and '..' not in uri
        for spectrum in (*session.mrs, *session.broken_mrs) for uri in _named(spectrum)
    )  # fmt: skip


def _named(spectrum: MrsInputs) -> Iterator[str]:
    """Yield the files that the sidecars of a spectrum name."""
    sidecars: tuple[Mapping[str, Any], ...] = (spectrum.metadata, spectrum.reference_metadata)
    for metadata in sidecars:
        for key in ('AnatomicalImage', 'ReferenceSignal'):
            value = metadata.get(key) or []
            yield from map(str, value if isinstance(value, list) else [value])


def _state_of(found: os.stat_result) -> str:
    """Write down size, time and rights of a file."""
    return f'{found.st_size} {found.st_mtime_ns} {found.st_mode}'


def _files_in(folder: str) -> list[str]:
    """Name the files of a folder, with their states."""
    with os.scandir(folder) as entries:
        states = [(entry.path, _state_if_file(entry)) for entry in entries]
    return sorted(f'{path} {state}' for path, state in states if state)


def _state_if_file(entry: os.DirEntry[str]) -> str:
    """Write down the state of a file; nothing of a folder, or of a link that leads nowhere."""
    try:
        return _state_of(entry.stat()) if entry.is_file() else ''
    except OSError:
        return ''


def _files_below(folder: str) -> Iterator[str]:
    """Name what lies below a folder, with its state; an empty text where that cannot be told.

    A link to a folder, or to what is not there, may become another one without a trace here.
    """
    try:
        with os.scandir(folder) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
    except OSError:  # it was closed to this user since
        yield ''
        return
    for entry in found:
        try:
            is_link, is_folder, state = entry.is_symlink(), entry.is_dir(), _state_of(entry.stat())
        except OSError:
            is_link, is_folder, state = True, True, ''
        if is_folder and is_link:
            yield ''
        elif is_folder:
            yield entry.path
            yield from _files_below(entry.path)
        else:
            yield f'{entry.path} {state}'
