"""Regions by the names of their labels, whoever wrote the atlas."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from bids_acc.exceptions import SettingsError
from bids_acc.typing import BoolArray

NOT_CORTEX = frozenset({'unknown', '???', 'medial_wall', 'medialwall', 'corpuscallosum', ''})
"""Labels that are no cortex."""
WHOLE_CORTEX = 'cortex'
"""Name of the region that holds every vertex with a label."""


def plain_label(name: str) -> str:
    """Return a label without hemisphere prefix, in small letters.

    Examples
    --------
    >>> plain_label('ctx-lh-caudalanteriorcingulate'), plain_label('R_Medial_wall')
    ('caudalanteriorcingulate', 'medial_wall')
    """
    name = name.strip().lower()
    for prefix in ('ctx-lh-', 'ctx-rh-', 'ctx_lh_', 'ctx_rh_', 'lh.', 'rh.', 'lh_', 'rh_',
                   'l_', 'r_'):  # fmt: skip
        if name.startswith(prefix):
            return name[len(prefix) :]
    return name


def region_mask(
    labels: npt.ArrayLike, names: Mapping[int, str], region: Sequence[str]
) -> BoolArray:
    """Tell which vertices belong to the region of interest.

    Parameters
    ----------
    labels : (n_vertices,) array_like of int
        Codes.
    names : mapping of int to str
        Code to name.
    region : sequence of str
        Names, with or without hemisphere prefix; ``cortex`` for all that is cortex. What is no
        cortex, such as the medial wall, is never among them.

    Returns
    -------
    (n_vertices,) ndarray of bool
        True inside.

    Raises
    ------
    SettingsError
        If a name is not among the labels, or is no cortex.

    Examples
    --------
    >>> region_mask([0, 1, 2], {0: 'unknown', 1: 'insula', 2: 'L_cuneus'}, ['cuneus'])
    array([False, False,  True])
    >>> region_mask([0, 1, 2], {0: 'unknown', 1: 'insula', 2: 'L_cuneus'}, ['cortex'])
    array([False,  True,  True])
    """
    cortex = {code: plain_label(name) for code, name in names.items()}
    cortex = {code: name for code, name in cortex.items() if name not in NOT_CORTEX}
    wanted = {plain_label(name) for name in region}
    if WHOLE_CORTEX in wanted:
        return np.isin(np.asarray(labels), list(cortex))
    if unknown := [name for name in region if plain_label(name) not in cortex.values()]:
        raise SettingsError(
            f'--roi {" ".join(unknown)}: no cortical label of the atlas; '
            f'it has {", ".join(sorted(set(cortex.values())))}.'
        )
    return np.isin(np.asarray(labels), [c for c, name in cortex.items() if name in wanted])
