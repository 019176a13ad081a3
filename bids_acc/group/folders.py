"""Folders of the group level: one for each model, one for each way of finding parcels.

Each is written aside and takes its name when it is whole, so that no table of an earlier run stays
beside those of this one, and a run that stops leaves the earlier results as they were.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Required, TypedDict, cast
from uuid import uuid4

import pandas as pd

from bids_acc.files.meshes import TEMPLATE_MESH
from bids_acc.files.writing import PART, write_bytes
from bids_acc.group.parcels.parcellation import ParcellationOptions
from bids_acc.group.tasks import digest
from bids_acc.report.html import Block, Section, render_page, table_block

GROUP_FOLDER = 'group'
NO_MODEL = 'none'
"""Name of the model where nothing is compared."""
YOUNG_S = 1.0
"""Seconds for which a folder aside is left alone, as its run may be about to claim it."""
PAGE = 'report.html'
INDEX = 'index.html'


def model_folder(output_dir: Path, name: str | None) -> Path:
    """Return the folder of one model's results.

    Parameters
    ----------
    output_dir : Path
        Root of the derivative data set.
    name : str or None
        Of the model; None where nothing is compared.

    Examples
    --------
    >>> model_folder(Path('out'), 'my model').as_posix()
    'out/group/model-my-model'
    """
    plain = re.sub(r'[^A-Za-z0-9.]+', '-', name or NO_MODEL).strip('-.')
    return output_dir / GROUP_FOLDER / f'model-{plain or NO_MODEL}'


def model_folders(output_dir: Path) -> list[Path]:
    """Return the folders of all models that an output folder has results of.

    Parameters
    ----------
    output_dir : Path
        Root of the derivative data set.
    """
    return sorted((output_dir / GROUP_FOLDER).glob('model-*'))


def parcels_folder(
    output_dir: Path,
    options: ParcellationOptions,
    metrics: Sequence[str],
    region: Sequence[str],
    left_out: Sequence[Sequence[str]] = (),
    smooth_mm: float = 0.0,
) -> Path:
    """Return the folder of the parcels that are found in one way.

    Models that ask for the same parcels share it.

    Parameters
    ----------
    output_dir : Path
        Root of the derivative data set.
    options : ParcellationOptions
        How parcels are found.
    metrics, region : sequence of str
        In which maps and where.
    left_out : sequence of sequence of str
        Participant, session and modality of the images that the model's gates leave out: parcels
        that are found in other people are other parcels.
    smooth_mm : float
        Kernel with which the maps were smoothed before.
    """
    settings = {**vars(options), 'selection': vars(options.selection)}
    gated = [[list(entry) for entry in left_out]] if left_out else []
    smoothed = [f'smoothed by {smooth_mm:g} mm'] if smooth_mm else []
    key = digest(settings, list(metrics), list(region), *gated, *smoothed)
    return output_dir / GROUP_FOLDER / f'parcels-{key[:8]}'


def atlas_folder(
    output_dir: Path, atlas: Path, left_out: Sequence[Sequence[str]] = (), smooth_mm: float = 0.0,
    mesh: str = TEMPLATE_MESH,
) -> Path:  # fmt: skip
    """Return the folder of measures in the parcels of an existing atlas.

    Parameters
    ----------
    output_dir : Path
        Root of the derivative data set.
    atlas : Path
        Its file.
    left_out, smooth_mm
        As in `parcels_folder`.
    mesh : str
        Whose mesh the maps lie on.
    """
    plain = re.sub(r'[^A-Za-z0-9]+', '', atlas.name.partition('.')[0])
    gated = f'-{digest([list(entry) for entry in left_out])[:8]}' if left_out else ''
    smoothed = f'-smooth{smooth_mm:g}' if smooth_mm else ''
    other = '' if mesh == TEMPLATE_MESH else f'-{mesh}'
    return output_dir / GROUP_FOLDER / f'parcels-atlas{plain}{gated}{smoothed}{other}'


@contextlib.contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """Give a folder to write into, which replaces the one of that name when all went well.

    Parameters
    ----------
    folder : Path
        The name that it takes.

    Yields
    ------
    Path
        A folder beside it. Nothing is left of it after an error; what runs left that were killed
        is removed first.
    """
    _remove_leftovers(folder.parent)
    token = uuid4().hex
    aside = folder.with_name(f'.{folder.name}-{token}{PART}')
    aside.mkdir(parents=True)
    claim = os.open(aside, os.O_RDONLY)
    try:
        _claim(claim)
        yield aside
        former = folder.with_name(f'.{folder.name}-{token}-former{PART}')
        # two renames and no copy: whoever looks meanwhile sees one whole result or the other
        if folder.exists():
            folder.replace(former)
        aside.replace(folder)
        shutil.rmtree(former, ignore_errors=True)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
        os.close(claim)


def _claim(descriptor: int) -> bool:
    """Claim an open folder for this process, if no living one has; the system gives it back."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # another's, or a file system without locks
        return False
    return True


def _remove_leftovers(parent: Path) -> None:
    """Remove folders that were being written when their run was killed."""
    for left in sorted(parent.glob(f'.*-*{PART}')):
        with contextlib.suppress(OSError):
            descriptor = os.open(left, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                old = time.time() - os.fstat(descriptor).st_mtime > YOUNG_S
                if old and _claim(descriptor):
                    shutil.rmtree(left, ignore_errors=True)
            finally:
                os.close(descriptor)


class ModelRecord(TypedDict, total=False):
    """What is read of the record that the results of a model have of themselves."""

    Folder: Required[str]
    """Its name in `GROUP_FOLDER`."""
    Model: str | None
    Description: str | None
    Groups: list[str] | None
    Participants: int
    Components: int | None
    ParcelsFolder: str | None
    Findings: int


def models_there(output_dir: Path) -> list[ModelRecord]:
    """Return what each model's results say of themselves, by name.

    Parameters
    ----------
    output_dir : Path
        Root of the derivative data set.
    """
    found: list[ModelRecord] = []
    for path in sorted((output_dir / GROUP_FOLDER).glob('model-*/provenance.json')):
        with contextlib.suppress(OSError, json.JSONDecodeError):
            record = {'Folder': path.parent.name, **json.loads(path.read_text('utf-8'))}
            found.append(cast('ModelRecord', record))
    return found


def parcels_there(output_dir: Path) -> list[Path]:
    """Return the folders of parcels, those of the first model in front.

    Parameters
    ----------
    output_dir : Path
        Root of the derivative data set.
    """
    used = [record.get('ParcelsFolder') for record in models_there(output_dir)]
    folders = sorted((output_dir / GROUP_FOLDER).glob('parcels-*'))
    return sorted(folders, key=lambda path: path.name not in used)


def models_table(output_dir: Path) -> pd.DataFrame:
    """Return a table of all models with results in the output folder.

    Parameters
    ----------
    output_dir : Path
        Root of the derivative data set.

    Returns
    -------
    DataFrame
        One row a model, by name: what it is for, groups, participants, parcels, number of
        significant findings, and its page.
    """
    rows = [
        {
            'model': record.get('Model') or 'no model',
            'what for': record.get('Description') or '',
            'groups': ', '.join(record.get('Groups') or []),
            'participants': record.get('Participants'),
            'parcels': (
                f'{record["Components"]} ({record.get("ParcelsFolder")})'
                if record.get('Components') else 'none'
            ),
            'significant': record.get('Findings'),
            'page': f'{GROUP_FOLDER}/{record["Folder"]}/{PAGE}',
        }
        for record in models_there(output_dir)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def models_block(output_dir: Path) -> Block:
    """Show all models with results in the output folder.

    Parameters
    ----------
    output_dir : Path
        Root of the derivative data set.

    Returns
    -------
    Block
        Part of a page.
    """
    return table_block(
        models_table(output_dir),
        'Models in this folder',
        'Each model has tables, figures and a page of its own; none reads or changes those of '
        'another. Significant: findings after correction. Pages are named from the output folder.',
    )


def write_index(output_dir: Path) -> Path:
    """Write the page over all models.

    Parameters
    ----------
    output_dir : Path
        Root of the derivative data set.
    """
    path = output_dir / GROUP_FOLDER / INDEX
    sections = [Section('Models', [models_block(output_dir)])]
    page = render_page('bids_acc group level', 'All models of this folder', sections)
    for record in models_there(output_dir):
        name = f'{GROUP_FOLDER}/{record["Folder"]}/{PAGE}'
        link = f'<a href="{record["Folder"]}/{PAGE}">{name}</a>'
        page = page.replace(f'{name}<', f'{link}<', 1)
    write_bytes(path, page.encode())
    return path
