"""Which software made the results of other tools that ``--derivatives`` names."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from bids_acc.bids.sidecars import read_json
from bids_acc.exceptions import BidsAccError


def generated_by(folders: Iterable[Path]) -> list[tuple[str, str]]:
    """Return the names and versions in the first dataset description of some folders.

    Parameters
    ----------
    folders : iterable of Path
        Where to look, in this order; usually the parents of a file.

    Returns
    -------
    list of (str, str)
        An absent version is empty; the list is, too, where nothing readable tells.
    """
    for folder in folders:
        path = folder / 'dataset_description.json'
        if not path.is_file():
            continue
        try:
            made = read_json(path).get('GeneratedBy', [])
        except BidsAccError:
            return []
        entries = [m for m in made if isinstance(m, dict)] if isinstance(made, list) else []
        return [(str(m['Name']), str(m.get('Version') or '')) for m in entries if m.get('Name')]
    return []
