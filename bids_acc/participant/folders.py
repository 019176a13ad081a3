"""Which folders a run may touch: its own output and work, and nothing of anybody else.

Called before anything is written and for the plan, so that ``--dry-run`` refuses what the run
would refuse.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bids_acc.bids.sidecars import read_json
from bids_acc.exceptions import (
    BidsAccError,
    InvalidDatasetError,
    MissingInputError,
    OutputError,
)
from bids_acc.files.private import InUse, private_folder, temporary_folder
from bids_acc.files.writing import cannot_write, check_space

GENERATOR = 'bids_acc'
"""``GeneratedBy.Name`` of the folders that are ours."""

HARMLESS = frozenset({'logs', 'lost+found'})
"""Names that say nothing about whose folder it is, besides those that begin with a dot."""


def check_folders(
    bids_dir: Path, output_dir: Path, work_dir: Path | None, *, validate: bool = True
) -> None:
    """Refuse folders of the participant level that are not there, not ours, or mixed up.

    Parameters
    ----------
    bids_dir, output_dir : Path
        As on the command line.
    work_dir : Path, optional
        The same, or None for the default.
    validate : bool
        Whether a derivative data set of another tool is refused as input.

    Raises
    ------
    MissingInputError
        If there is no such input folder.
    InvalidDatasetError
        If the input is a derivative data set.
    OutputError
        If the output or work folder is, holds or lies in what belongs to others.
    """
    if not bids_dir.is_dir():
        raise MissingInputError(f'{bids_dir}: there is no such folder.')
    _check_not_derivative(bids_dir, output_dir, validate=validate)
    check_apart(bids_dir, output_dir, work_dir or default_work_dir(output_dir))
    check_ours(output_dir)
    check_links(output_dir)


def check_group_folder(output_dir: Path) -> None:
    """Refuse to add results of the group level to a data set that is not ours.

    A folder without ``dataset_description.json`` is welcome: that it holds our results is
    checked where they are read.

    Parameters
    ----------
    output_dir : Path
        Where the group level reads and writes.

    Raises
    ------
    OutputError
        If the folder is another data set, or links in it lead out.
    """
    if (output_dir / 'dataset_description.json').exists():
        check_ours(output_dir)
    if output_dir.is_dir():
        check_links(output_dir)


def _generators(folder: Path) -> list[str]:
    """Name the tools that made a data set; none if it does not say."""
    try:
        made = read_json(folder / 'dataset_description.json').get('GeneratedBy')
    except BidsAccError:
        return []
    entries = made if isinstance(made, list) else [made]
    return [str(entry['Name']) for entry in entries if isinstance(entry, dict) and 'Name' in entry]


def _check_not_derivative(bids_dir: Path, output_dir: Path, *, validate: bool) -> None:
    """Refuse results where raw data belong."""
    try:
        kind = read_json(bids_dir / 'dataset_description.json').get('DatasetType')
    except BidsAccError:
        return  # said where the data set is checked
    made = _generators(bids_dir)
    derived = str(kind).strip().lower() == 'derivative'
    if GENERATOR not in made and not (derived and validate):
        return  # our own results are never input, whatever is left of their description
    by = f' of {", ".join(made)}' if made else ''
    swapped = '; did you swap it with the output folder?'
    if (output_dir / 'dataset_description.json').is_file() and not _generators(output_dir):
        swapped = f': it seems to be swapped with {output_dir}.'
    raise InvalidDatasetError(
        f'{bids_dir} holds derivatives{by} (DatasetType in dataset_description.json), not raw '
        f'data{swapped}'
    )


def check_apart(bids_dir: Path, output_dir: Path, work_dir: Path | None) -> None:
    """Refuse an output or work folder that would mix with the input, however it is written.

    Parameters
    ----------
    bids_dir : Path
        Raw data set.
    output_dir : Path
        Root of the derivatives; ``bids_dir/derivatives`` is a good place for it.
    work_dir : Path or None
        For intermediate files; None for one below the temporary folder.

    Raises
    ------
    OutputError
        With both names.
    """
    advice = f'choose another output folder, e.g. {bids_dir / "derivatives" / "bids_acc"}.'
    if _same(output_dir, bids_dir):
        raise OutputError(f'{output_dir} is the dataset itself; {advice}')
    if _lies_in(bids_dir, output_dir):
        raise OutputError(f'{output_dir} holds the dataset {bids_dir}; {advice}')
    # a later run would take such results for raw data of that subject
    if (raw := _subject_folder(output_dir, bids_dir)) is not None:
        raise OutputError(f'{output_dir} lies in {raw}, which holds raw data; {advice}')
    if work_dir is not None and (_same(work_dir, bids_dir) or _lies_in(work_dir, bids_dir)):
        raise OutputError(
            f'--work-dir {work_dir} lies in the dataset {bids_dir}; choose a folder outside.'
        )


def _same(one: Path, other: Path) -> bool:
    """Tell whether two names stand for one folder, through links and mounts as well."""
    try:
        # resolve() does not see that two mounts are one folder; samefile() needs both to exist.
        return one.resolve() == other.resolve() or one.samefile(other)
    except (OSError, RuntimeError):  # absent, or a loop of links
        return False


def _lies_in(inner: Path, outer: Path) -> bool:
    """Tell whether a folder, which need not exist yet, lies in another."""
    return any(_same(parent, outer) for parent in _real(inner).parents)


def _real(path: Path) -> Path:
    """Follow all links.

    Raises
    ------
    OutputError
        If they go round in a circle.
    """
    try:
        return path.resolve()
    except (OSError, RuntimeError) as error:
        raise OutputError(f'{path} is a link that leads round in a circle.') from error


def _subject_folder(folder: Path, bids_dir: Path) -> Path | None:
    """Name the subject of the input in which a folder lies."""
    real = _real(folder)
    subjects = (p for p in (real, *real.parents) if p.name.startswith('sub-'))
    return next((p for p in subjects if _same(p.parent, bids_dir)), None)


def check_ours(output_dir: Path) -> None:
    """Refuse an output folder in which something lies that bids_acc did not write.

    Parameters
    ----------
    output_dir : Path
        May be empty or absent; hidden files and those of `HARMLESS` do not count.

    Raises
    ------
    OutputError
        With the file that says whose it is.
    """
    if not output_dir.exists():
        return
    if not output_dir.is_dir():
        raise OutputError(f'{output_dir} is a file, not a folder; choose another output folder.')
    description = output_dir / 'dataset_description.json'
    # a broken link is a description all the same, and would be written through
    if description.exists() or description.is_symlink():
        made = _generators(output_dir)
        if GENERATOR not in made:
            whose = f'by {", ".join(made)}' if made else 'not by bids_acc'
            raise OutputError(
                f'{description} says that this data set was made {whose}; nothing is written '
                'into it: choose an empty output folder.'
            )
        return
    for name in sorted(_listed(output_dir)):
        if name not in HARMLESS and not name.startswith('.'):
            raise OutputError(
                f'{output_dir / name} is there, and no dataset_description.json says that '
                'bids_acc wrote it; choose an empty output folder.'
            )


def _listed(folder: Path) -> list[str]:
    """List a folder."""
    try:
        return [path.name for path in folder.iterdir()]
    except OSError as error:
        raise cannot_write(folder, error) from error


def check_links(output_dir: Path) -> None:
    """Refuse folders of the output that are links to somewhere else.

    A file that is a link is replaced when it is written; a folder would be written through.

    Parameters
    ----------
    output_dir : Path
        Folders in it that are links are followed to their ends.

    Raises
    ------
    OutputError
        With the link and where it leads.
    """
    if not output_dir.is_dir():
        return
    root = _real(output_dir)
    for link in _linked_folders(output_dir):
        # what lies outside may belong to another data set, or be shared
        if not _real(link).is_relative_to(root):
            raise OutputError(
                f'{link} is a link that leads out of the output folder, to {_real(link)}; '
                'nothing is written through it: replace it by a folder.'
            )


def _linked_folders(folder: Path) -> Iterator[Path]:
    """Walk over the links to folders below a folder, without following them."""
    for parent, folders, _ in os.walk(folder):
        for name in [name for name in folders if (Path(parent) / name).is_symlink()]:
            yield Path(parent) / name
        if Path(parent) == folder:
            # os.walk reads the list again after it was changed in place: hidden folders (of
            # version control, of claims) are not entered.
            folders[:] = [name for name in folders if not name.startswith('.')]


# --- the working folder ------------------------------------------------------------------------


def default_work_dir(output_dir: Path) -> Path:
    """Name the folder for intermediate files, the same whenever the output folder is the same.

    Parameters
    ----------
    output_dir : Path
        Absolute.

    Returns
    -------
    Path
        Below the temporary folder, with the user's number in its name.
    """
    # two output folders of one name must not share their intermediate files
    digest = hashlib.sha256(os.fsencode(output_dir)).hexdigest()[:12]
    return temporary_folder() / f'bids_acc-{os.getuid()}-{digest}'


@dataclass(frozen=True)
class WorkFolder:
    """Where intermediate files lie."""

    path: Path
    """Private to this user."""
    in_use: InUse | None
    """Its parent, where the user did not name that."""

    def close(self) -> None:
        """Remove the files, unless the user named their place or another run uses them."""
        if self.in_use is not None:
            self.in_use.remove_if_last()


def prepare_work_dir(output_dir: Path, work_dir: Path | None, state: str) -> WorkFolder:
    """Make the folder for intermediate files, which only this user can write.

    Parameters
    ----------
    output_dir : Path
        Root of the derivative data set.
    work_dir : Path, optional
        Folder that the user named.
    state : str
        Name of the code that runs (`bids_acc.execution.configure.code_state`).

    Returns
    -------
    WorkFolder

    Raises
    ------
    OutputError
        If they cannot be made, belong to another user, or their disk is full.
    """
    base = work_dir or default_work_dir(output_dir)
    in_use = InUse(base) if work_dir is None else None
    if base.exists() and not base.is_dir():
        raise OutputError(
            f'--work-dir {base} is a file, not a folder; remove it, or name another folder.'
        )
    work = private_folder(base / state)
    check_space(work)
    return WorkFolder(work, in_use)
