"""BIDS-URIs, and the paths that older sidecars hold in their place."""

from __future__ import annotations

from pathlib import Path

from bids_acc.bids.sidecars import read_json
from bids_acc.exceptions import BidsAccError


def resolve_uri(uri: str, root: Path, folder: Path) -> Path | None:
    """Turn a BIDS-URI, or a path as older sidecars hold it, into a path.

    Parameters
    ----------
    uri : str
        ``bids::sub-01/mrs/...``, or a path relative to the subject, the data set or the file.
    root : Path
        Root of the data set.
    folder : Path
        Folder of the file whose sidecar holds the URI.

    Returns
    -------
    Path or None
        None if it points to another data set that is not linked here.

    Examples
    --------
    >>> resolve_uri('bids::sub-01/mrs/a.nii.gz', Path('/d'), Path('/d/sub-01/mrs')).as_posix()
    '/d/sub-01/mrs/a.nii.gz'
    """
    if uri.startswith('bids:'):
        name, _, relative = uri[5:].partition(':')
        if not name:
            return root / relative
        links = _dataset_links(root)
        target = links.get(name)
        if target is None or ('://' in target and not target.startswith('file://')):
            return None
        return (root / target.removeprefix('file://') / relative).absolute()
    subject_folder = next((p for p in folder.parents if p.name.startswith('sub-')), root)
    for base in (folder, subject_folder, root):
        if is_there(base / uri):
            return base / uri
    return folder / uri


def _dataset_links(root: Path) -> dict[str, str]:
    """Read ``DatasetLinks`` of a data set."""
    try:
        links = read_json(root / 'dataset_description.json').get('DatasetLinks', {})
    except BidsAccError:
        return {}
    return {str(k): str(v) for k, v in links.items()}


def is_there(path: Path) -> bool:
    """Tell whether a file or link of that name is there; impossible names are not.

    Parameters
    ----------
    path : Path
        A link to nowhere counts, so that a file that was not fetched is found and named.
    """
    try:
        return path.exists() or path.is_symlink()
    except (OSError, ValueError):  # too long, or with a zero byte
        return False
