"""BIDS URIs of files in the data sets that an output folder is made from."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

RAW = 'raw'
"""Name of the raw data set in a URI; further ones are called ``raw2`` and so on."""


def link_names(raw: str, bids_dir: Path, derivatives: Mapping[str, Path]) -> dict[str, Path]:
    """Name the data sets that a run reads.

    Parameters
    ----------
    raw : str
        Name of the raw data set.
    bids_dir : Path
        Its root.
    derivatives : mapping of str to Path
        Name to root of further data sets, as on the command line.

    Returns
    -------
    dict of str to Path
        Names of letters and digits, none twice.

    Examples
    --------
    >>> list(link_names('raw', Path('/d'), {'free-surfer': Path('/f'), 'raw': Path('/x')}))
    ['raw', 'freesurfer', 'derivative']
    """
    names = {raw: bids_dir}
    for given, root in derivatives.items():
        plain = re.sub(r'[^A-Za-z0-9]+', '', given)
        # Names that begin with raw are kept for raw data sets, of which more may come later.
        plain = 'derivative' if not plain or plain.startswith(RAW) else plain
        number, name = 1, plain
        while name in names:
            number += 1
            name = f'{plain}{number}'
        names[name] = root
    return names


def bids_uri(path: Path, datasets: Mapping[str, Path]) -> str:
    """Return the URI of a file; empty where no data set holds it.

    Parameters
    ----------
    path : Path
        Any file.
    datasets : mapping of str to Path
        From `link_names`.

    Examples
    --------
    >>> bids_uri(Path('/d/sub-01/anat/sub-01_T1w.nii.gz'), {'raw': Path('/d')})
    'bids:raw:sub-01/anat/sub-01_T1w.nii.gz'
    >>> bids_uri(Path('/elsewhere/x'), {'raw': Path('/d')})
    ''
    """
    holding = [
        (len(root.parts), name, root)
        for name, root in datasets.items()
        if path.absolute().is_relative_to(root.absolute())
    ]
    if not holding:
        return ''
    _, name, root = max(holding)  # of nested ones the innermost
    return f'bids:{name}:{path.absolute().relative_to(root.absolute()).as_posix()}'


def bids_uris(paths: Iterable[Path], datasets: Mapping[str, Path]) -> list[str]:
    """Return the URIs of files, each once, in their order; files of no data set are left out.

    Parameters
    ----------
    paths : iterable of Path
        Input files of an output.
    datasets : mapping of str to Path
        From `link_names`.

    Returns
    -------
    list of str
        For ``Sources`` of a sidecar, such as ``bids:raw:sub-01/anat/sub-01_T1w.nii.gz``.
    """
    found = (bids_uri(path, datasets) for path in paths)
    return list(dict.fromkeys(uri for uri in found if uri))


def location(root: Path, output_dir: Path) -> str:
    """Say where a data set lies, for ``DatasetLinks``.

    Parameters
    ----------
    root : Path
        Of the data set.
    output_dir : Path
        Root of the derivative data set.

    Returns
    -------
    str
        Relative to the output folder where both lie in a common folder, so that the link holds
        when that folder moves; else a file URI.

    Examples
    --------
    >>> location(Path('/study/bids'), Path('/study/derivatives/acc'))
    '../../bids'
    >>> location(Path('/data'), Path('/out'))
    'file:///data'
    """
    one, other = root.resolve(), output_dir.resolve()  # ".." leads out of a link's target
    common = Path(os.path.commonpath([one, other]))
    # nothing in common but the root: a relative way would be longer, and break with either move
    if common == Path(common.anchor):
        return one.as_uri()
    return Path(os.path.relpath(one, start=other)).as_posix()
