"""What was computed from what, so that a rerun computes nothing twice.

One record for each session and modality lies in ``logs/records``: hashes of the inputs, of the
settings that matter and of the outputs. A record counts only while all of them still agree; a
deleted or edited output, a changed image or another setting makes that modality run again.
Nipype's own cache is no part of this: the working folder may be gone.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bids_acc.exceptions import InputDataError
from bids_acc.files.reading import reading
from bids_acc.files.writing import write_json
from bids_acc.modalities import MODALITIES

RECORDS = Path('logs') / 'records'


@dataclass(frozen=True)
class Record:
    """One finished modality of one session."""

    label: str
    """Session and modality, e.g. ``sub-01_ses-1_anat``."""
    version: str
    """Version of bids_acc."""
    settings: str
    """Fingerprint of the settings that change the result."""
    inputs: Mapping[str, str]
    """Name to SHA-256 of each input file."""
    upstream: Mapping[str, str] = field(default_factory=dict)
    """Modality to digest of the record whose outputs were used."""
    outputs: Mapping[str, str] = field(default_factory=dict)
    """Path below the output root to SHA-256."""
    fields: Mapping[str, Any] = field(default_factory=dict)
    """Content of the workflow's output node, paths below the output root."""

    @property
    def digest(self) -> str:
        """SHA-256 of the record, which those who build on it keep."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file's content.

    Parameters
    ----------
    path : Path
        Read in blocks, so that its size does not matter.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    with path.open('rb') as stream:
        return hashlib.file_digest(stream, 'sha256').hexdigest()


def hash_files(
    paths: Iterable[Path], root: Path | None = None, digest: Callable[[Path], str] = sha256
) -> dict[str, str]:
    """Hash files, named relative to a root where they lie below it.

    Parameters
    ----------
    paths : iterable of Path
    root : Path, optional
    digest : callable
        Returns the SHA-256 of a file; one that remembers saves reading it again.
    """
    hashes = {}
    for path in sorted(set(paths)):
        below = root is not None and path.is_relative_to(root)
        hashes[str(path.relative_to(root)) if below and root else str(path)] = digest(path)
    return hashes


def record_path(output_dir: Path, label: str) -> Path:
    """Return where the record of a session's modality lies.

    Parameters
    ----------
    output_dir : Path
        Root of the derivatives.
    label : str
        Of session and modality, such as ``sub-01_ses-1_anat``.
    """
    return output_dir / RECORDS / f'{label}.json'


def read_record(output_dir: Path, label: str) -> Record | None:
    """Read what was recorded of a finished modality, if there is a record that can be read.

    Parameters
    ----------
    output_dir : Path
        Root of the derivatives.
    label : str
        Of session and modality, such as ``sub-01_ses-1_anat``.

    Returns
    -------
    Record or None
        None leads to the modality being computed again.
    """
    try:
        content = json.loads(record_path(output_dir, label).read_text())
        record = Record(**content)
    # A record that cannot be read costs a computation; believed, it would cost a result.
    except (OSError, ValueError, TypeError, RecursionError):
        return None
    return record if record.label == label and _is_sound(record) else None


def _is_sound(record: Record) -> bool:
    """Tell whether what was read has the types of a record."""
    texts = (record.version, record.settings)
    tables = (record.inputs, record.upstream, record.outputs)
    return (
        all(isinstance(text, str) for text in texts)
        and isinstance(record.fields, dict)
        and all(
            isinstance(table, dict) and all(isinstance(value, str) for value in table.values())
            for table in tables
        )
    )


_HEAD = 1024
"""Bytes from the start of a record within which its version stands."""
_VERSION = re.compile(rb'"version": "([^"]+)"')


def version_of(output_dir: Path, label: str) -> str | None:
    """Read which version of bids_acc a record names, without reading all of it.

    Parameters
    ----------
    output_dir : Path
        Root of the derivatives.
    label : str
        Of session and modality, such as ``sub-01_ses-1_anat``.

    Returns
    -------
    str or None
        None where there is no record.
    """
    try:
        with record_path(output_dir, label).open('rb') as stream:
            found = _VERSION.search(stream.read(_HEAD))
    except OSError:
        return None
    return found[1].decode(errors='replace') if found else None


def write_record(output_dir: Path, record: Record) -> None:
    """Write the record of a finished modality, whole or not at all.

    Parameters
    ----------
    output_dir : Path
        Root of the derivatives.
    record : Record
        Its ``label`` gives the name.

    Raises
    ------
    OutputError
        If the system refuses.
    """
    write_json(record_path(output_dir, record.label), asdict(record))


def forget_record(output_dir: Path, label: str) -> None:
    """Remove a record before its outputs are written anew, so that a killed run leaves none.

    Parameters
    ----------
    output_dir : Path
        Root of the derivatives.
    label : str
        Of session and modality, such as ``sub-01_ses-1_anat``.
    """
    record_path(output_dir, label).unlink(missing_ok=True)


def outputs_intact(output_dir: Path, record: Record) -> bool:
    """Tell whether every recorded output is still there, byte for byte.

    Parameters
    ----------
    output_dir : Path
        Root of the derivatives, below which the recorded paths lie.
    record : Record
        Of a finished modality.

    Returns
    -------
    bool
        False for a record without outputs.
    """
    return bool(record.outputs) and all(
        (output_dir / name).is_file() and sha256(output_dir / name) == digest
        for name, digest in record.outputs.items()
    )


def still_valid(
    output_dir: Path,
    record: Record,
    *,
    version: str,
    settings: str,
    inputs: Mapping[str, str],
    upstream: Mapping[str, str],
) -> bool:
    """Tell whether what a record describes would come out again.

    Parameters
    ----------
    output_dir : Path
        Root of the derivative data set.
    record : Record
        What an earlier run left.
    version, settings, inputs, upstream
        As they are now.
    """
    return (
        record.version == version
        and record.settings == settings
        and dict(record.inputs) == dict(inputs)
        and dict(record.upstream) == dict(upstream)
        and outputs_intact(output_dir, record)
    )


class Ledger:
    """What the records of an output folder say about its files, each record read once.

    Parameters
    ----------
    output_dir : Path
        Root of the derivative data set.
    """

    def __init__(self, output_dir: Path) -> None:
        self._root = output_dir
        self._known: dict[str, dict[str, str]] = {}

    def intact(self, path: Path) -> Path:
        """Return a file, if it still is what the participant level wrote.

        A file that no record names passes: it may come from elsewhere.

        Parameters
        ----------
        path : Path
            Below the root of the derivatives.

        Returns
        -------
        Path
            The same path.

        Raises
        ------
        InputDataError
            If its SHA-256 is another one.
        """
        name = str(path.relative_to(self._root))
        expected = self._outputs(path).get(name)
        if expected is not None:
            with reading(path):
                found = sha256(path)
            if found != expected:
                raise InputDataError(
                    f'{path} is not what the participant level wrote (its SHA-256 is not that in '
                    f'{RECORDS}); run it again for this participant.'
                )
        return path

    def _outputs(self, path: Path) -> dict[str, str]:
        """Return name and SHA-256 of all outputs of the session that a file belongs to."""
        parts = path.relative_to(self._root).parts
        label = '_'.join(part for part in parts[:2] if part.startswith(('sub-', 'ses-')))
        if label not in self._known:
            records = [read_record(self._root, f'{label}_{m}') for m in MODALITIES]
            self._known[label] = {k: v for r in records if r for k, v in r.outputs.items()}
        return self._known[label]
