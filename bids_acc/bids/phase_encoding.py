"""PhaseEncodingDirection as BIDS wants it, out of what sidecars hold."""

from __future__ import annotations

import re
from collections.abc import Mapping

import nibabel as nb
import numpy.typing as npt

from bids_acc.images.distortion import PHASE_DIRECTIONS

_SIDES = {'h': 's', 'f': 'i'}
"""Head and foot of DICOM as superior and inferior."""

_OPPOSITE = {'a': 'p', 'p': 'a', 'l': 'r', 'r': 'l', 's': 'i', 'i': 's'}


def phase_direction(word: object, affine: npt.ArrayLike) -> tuple[str, str]:
    """Translate any customary word for a phase-encoding direction into BIDS'.

    Axes may be called x, y, z and have their sign before or behind; ``AP`` and the like are taken
    as the way from the first side to the second, as converters name series (dcm2niix writes
    ``j-`` where Siemens calls a series AP).

    Parameters
    ----------
    word : object
        What the sidecar holds; None where it holds nothing.
    affine : (4, 4) array_like
        Voxel indices to scanner RAS, which tells what side an axis runs to.

    Returns
    -------
    direction : str
        BIDS' word; empty where the sidecar holds nothing, or nothing that is understood.
    note : str
        What had to be translated or is not understood, in words; empty otherwise.

    Examples
    --------
    >>> import numpy as np
    >>> phase_direction('j-', np.eye(4))
    ('j-', '')
    >>> phase_direction('AP', np.eye(4))[0], phase_direction('AP', np.diag([1, -1, 1, 1]))[0]
    ('j-', 'j')
    >>> phase_direction('COL', np.eye(4))[1]
    "PhaseEncodingDirection is 'COL', which is none of i, i-, j, j-, k, k-"
    """
    if word is None or word == '':
        return '', ''
    if word in PHASE_DIRECTIONS:
        return str(word), ''
    found = _of_axis(word) or _of_sides(word, affine)
    if not found:
        allowed = ', '.join(PHASE_DIRECTIONS)
        return '', f'PhaseEncodingDirection is {word!r}, which is none of {allowed}'
    return found, f'PhaseEncodingDirection {word!r} is no word of BIDS and was taken as {found}'


def direction_of(
    metadata: Mapping[str, object], label: str, affine: npt.ArrayLike
) -> tuple[str, str]:
    """Return the phase-encoding direction of an image by its sidecar, else by its ``dir-`` label.

    Parameters
    ----------
    metadata : mapping
        Sidecar.
    label : str
        Of ``dir-``; only the ways from one side to the other count, such as ``AP``.
    affine : (4, 4) array_like
        Voxel indices to scanner RAS.

    Returns
    -------
    direction, note : str
        As `phase_direction`.

    Examples
    --------
    >>> import numpy as np
    >>> direction_of({}, 'AP', np.eye(4))
    ('j-', 'its sidecar has no PhaseEncodingDirection: j- was taken from dir-AP')
    >>> (
    ...     direction_of({'PhaseEncodingDirection': 'j'}, 'AP', np.eye(4)),
    ...     direction_of({}, 'x', np.eye(4)),
    ... )
    (('j', ''), ('', ''))
    """
    told = metadata.get('PhaseEncodingDirection')
    if told not in (None, ''):
        return phase_direction(told, affine)
    found = _of_sides(label, affine) if is_way(label) else ''
    axis = str(metadata.get('PhaseEncodingAxis') or '')[:1]
    if not found or axis not in ('', found[0]):
        return '', ''
    return found, f'its sidecar has no PhaseEncodingDirection: {found} was taken from dir-{label}'


def is_way(label: str) -> bool:
    """Tell whether a ``dir-`` label is a way from one side to the other.

    Parameters
    ----------
    label : str
        Without ``dir-``.

    Examples
    --------
    >>> is_way('AP'), is_way('b0')
    (True, False)
    """
    return bool(re.fullmatch('[APLRSIHF]{2}', label.upper())) and opposite_label(label) != ''


def opposite_label(label: str) -> str:
    """Return the label of the opposite way; empty of any other label.

    Parameters
    ----------
    label : str
        Of ``dir-``.

    Examples
    --------
    >>> opposite_label('ap'), opposite_label('FH'), opposite_label('b0')
    ('PA', 'HF', '')
    """
    start, end = (label.lower()[:1], label.lower()[1:])
    sides = _SIDES.get(start, start), _SIDES.get(end, end)
    return (end + start).upper() if _OPPOSITE.get(sides[0]) == sides[1] else ''


def only_axis(metadata: Mapping[str, object]) -> str:
    """Say that a sidecar names the axis of phase encoding alone, as dcm2niix does for Philips.

    Parameters
    ----------
    metadata : mapping
        Sidecar.

    Returns
    -------
    str
        To follow a sentence on what is missing; empty where there is no axis.
    """
    axis = metadata.get('PhaseEncodingAxis')
    if axis in (None, ''):
        return ''
    return (
        f', only PhaseEncodingAxis {axis}, which does not tell the way: write {axis} or {axis}-, '
        'whichever the protocol says'
    )


def said_by_labels(one: str, other: str, same: bool) -> str:
    """Say that two ``dir-`` labels contradict the sidecars.

    Parameters
    ----------
    one, other : str
        Labels.
    same : bool
        Whether both sidecars have the same direction.

    Returns
    -------
    str
        To follow a statement on the direction; empty where nothing contradicts.

    Examples
    --------
    >>> said_by_labels('PA', 'AP', True)
    ', although dir-PA is the opposite of dir-AP: look at PhaseEncodingDirection in both sidecars'
    >>> said_by_labels('PA', 'PA', True), said_by_labels('b0', 'AP', True)
    ('', '')
    """
    if not same or not other or opposite_label(one) != other.upper():
        return ''
    return (
        f', although dir-{one} is the opposite of dir-{other}: look at PhaseEncodingDirection in '
        'both sidecars'
    )


def _of_axis(word: object) -> str:
    """Understand the name of an axis with its sign before or behind it."""
    parts = re.fullmatch(r'([+-]?)([ijkxyz])([+-]?)', re.sub(r'[\s_]', '', str(word).lower()))
    if parts is None or (parts[1] and parts[3]):
        return ''
    axis = parts[2].translate(str.maketrans('xyz', 'ijk'))
    return f'{axis}-' if '-' in (parts[1], parts[3]) else axis


def _of_sides(word: object, affine: npt.ArrayLike) -> str:
    """Understand a way from one side of the head to the other."""
    text = re.sub(r'(\W|_|to|2)+', ' ', str(word).strip().lower())
    side = '(a(?:nt|nterior)?|p(?:ost|osterior)?|l(?:eft)?|r(?:ight)?|s(?:uperior)?|i(?:nferior)?'
    side += '|h(?:ead)?|f(?:oot|eet)?)'
    parts = re.fullmatch(f'{side} {side}', text) or re.fullmatch('([aplrsihf])([aplrsihf])', text)
    if parts is None:
        return ''
    start, end = (_SIDES.get(part[0], part[0]) for part in parts.groups())
    codes = [str(code).lower() for code in nb.aff2axcodes(affine)]
    if _OPPOSITE[start] != end or not {start, end} & set(codes):
        return ''
    number = next(n for n, code in enumerate(codes) if code in (start, end))
    return 'ijk'[number] + ('' if codes[number] == end else '-')
