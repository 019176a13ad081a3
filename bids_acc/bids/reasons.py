"""Why images are not used, in words for the plan."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bids_acc.exceptions import BidsAccError


def without_path(error: BidsAccError, path: Path) -> str:
    """Shorten an error's message where the file is already named.

    Parameters
    ----------
    error : BidsAccError
        Raised while the file was judged.
    path : Path
        Removed from the start of the message, and shortened to its name elsewhere in it.

    Returns
    -------
    str
        Without a full stop, to stand in a list.
    """
    text = str(error).removeprefix(f'{path}: ').removeprefix(f'{path} ')
    return text.replace(str(path), path.name).rstrip('.')


def listed(refused: Sequence[tuple[Path, BidsAccError]]) -> list[str]:
    """Name each image with what is wrong with it.

    Parameters
    ----------
    refused : sequence of tuple of (Path, BidsAccError)
        Each image with the error that it raised.

    Returns
    -------
    list of str
        ``name: reason`` for each, in order.
    """
    return [f'{path.name}: {without_path(error, path)}' for path, error in refused]


def none_left(refused: Sequence[tuple[Path, BidsAccError]], what: str) -> BidsAccError:
    """Return the error for a session of which no image can be used.

    Parameters
    ----------
    refused : sequence of (Path, BidsAccError)
        At least one.
    what : str
        What the images are, in the plural.
    """
    if len(refused) == 1:
        return refused[0][1]
    first = min((error for _, error in refused), key=lambda error: int(error.exit_code))
    return type(first)(f'none of {len(refused)} {what} can be used: {"; ".join(listed(refused))}.')
