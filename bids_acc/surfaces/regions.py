"""Regions by the names of their labels, whoever wrote the atlas."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from bids_acc.exceptions import SettingsError
from bids_acc.typing import BoolArray, IntArray

NOT_CORTEX = frozenset({'unknown', '???', 'medial_wall', 'medialwall', 'corpuscallosum', ''})
"""Labels that are no cortex."""
WHOLE_CORTEX = 'cortex'
"""Name of the region that holds every vertex with a label."""


def plain_label(name: str) -> str:
    """Return a label without hemisphere prefix, in small letters.

    Parameters
    ----------
    name : str
        As FreeSurfer, Connectome Workbench or an atlas writes it.

    Examples
    --------
    >>> plain_label('ctx-lh-caudalanteriorcingulate'), plain_label('R_Medial_wall')
    ('caudalanteriorcingulate', 'medial_wall')
    """
    name = name.strip().lower()
    # FreeSurfer's volumes write ctx-lh-, its tables lh_, the annotations of HCP-MMP1.0 L_.
    for prefix in ('ctx-lh-', 'ctx-rh-', 'ctx_lh_', 'ctx_rh_', 'lh.', 'rh.', 'lh_', 'rh_',
                   'l_', 'r_'):  # fmt: skip
        if name.startswith(prefix):
            return name[len(prefix) :]
    return name


@dataclass(frozen=True)
class Labels:
    """The labels of an atlas at the vertices of one hemisphere's mesh."""

    atlas: str
    """Name of the atlas."""
    codes: IntArray
    """(n_vertices,) codes; one that has no name is no region."""
    names: Mapping[int, str]
    """Code to name, with or without hemisphere prefix."""
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Regions made of several labels: name to plain labels."""
    alone: tuple[str, ...] = ()
    """Plain labels that are tabulated; empty for all."""

    def cortical(self) -> dict[int, str]:
        """Return code and plain label of all that is cortex."""
        plain = {code: plain_label(name) for code, name in self.names.items()}
        return {code: name for code, name in plain.items() if name not in NOT_CORTEX}

    def known(self) -> tuple[str, ...]:
        """Return the names of all regions, plain, each once, groups first."""
        return tuple(dict.fromkeys([*map(str.lower, self.groups), *self.cortical().values()]))

    def mask(self, name: str) -> BoolArray | None:
        """Tell which vertices belong to a region; None if the atlas does not know it.

        Parameters
        ----------
        name : str
            A region or a key of ``groups``; prefixes of hemispheres and case do not matter.

        Returns
        -------
        (n_vertices,) ndarray of bool or None
        """
        groups = {key.lower(): parts for key, parts in self.groups.items()}
        wanted = plain_label(name)
        parts = {plain_label(part) for part in groups.get(wanted, (wanted,))}
        codes = [code for code, label in self.cortical().items() if label in parts]
        return np.isin(self.codes, codes) if codes else None

    def regions(self) -> Iterator[tuple[str, BoolArray]]:
        """Yield name and vertices of each region that is tabulated and has any here."""
        cortical = self.cortical()
        for name in [*self.groups, *(self.alone or dict.fromkeys(cortical.values()))]:
            mask = self.mask(name)
            if mask is not None and mask.any():
                yield name, mask


def region_mask(
    labels: npt.ArrayLike, names: Mapping[int, str], region: Sequence[str]
) -> BoolArray:
    """Tell which vertices belong to the region of interest, by the labels of one atlas.

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
    return find_region([Labels('labels', np.asarray(labels), names)], region)


def find_region(atlases: Sequence[Labels], region: Sequence[str]) -> BoolArray:
    """Tell which vertices belong to the region of interest, by the labels of several atlases.

    Parameters
    ----------
    atlases : sequence of Labels
        On the same mesh. A name is looked for in their order.
    region : sequence of str
        Names, with or without hemisphere prefix, of labels or groups of labels of any of the
        atlases; ``ATLAS:name`` names one. ``cortex`` stands for all that the first atlas labels.

    Returns
    -------
    (n_vertices,) ndarray of bool
        True inside any of them.

    Raises
    ------
    SettingsError
        If no atlas has a name; what was probably meant is said.
    """
    inside = np.zeros(np.shape(atlases[0].codes), dtype=bool)
    for name in region:
        inside |= _found(atlases, name)
    return inside


def region_codes(
    atlases: Sequence[Labels], region: Sequence[str]
) -> tuple[IntArray, dict[int, str]]:
    """Return the region of interest as codes: the first name 1, the second 2, and so on.

    Parameters
    ----------
    atlases, region
        See `find_region`, which this agrees with.

    Returns
    -------
    codes : (n_vertices,) ndarray of int
        0 outside; where names overlap, the first counts.
    names : dict of int to str
        Code to plain name, of those that have any vertex.
    """
    codes = np.zeros(np.shape(atlases[0].codes), dtype=np.int64)
    for code, name in enumerate(region, start=1):
        codes[_found(atlases, name) & (codes == 0)] = code
    there = set(np.unique(codes))
    names = {code: _plain_name(name) for code, name in enumerate(region, start=1)}
    return codes, {0: 'unknown', **{c: n for c, n in names.items() if c in there}}


def _plain_name(name: str) -> str:
    """Return a label without atlas and side."""
    return plain_label(name.rpartition(':')[2])


def _found(atlases: Sequence[Labels], name: str) -> BoolArray:
    """Return the vertices of one name, of the first atlas that has it."""
    if plain_label(name) == WHOLE_CORTEX:
        return np.isin(atlases[0].codes, list(atlases[0].cortical()))
    which, colon, label = name.partition(':')
    if colon:
        chosen = [atlas for atlas in atlases if atlas.atlas.lower() == which.lower()]
        if not chosen:
            known = ', '.join(dict.fromkeys(atlas.atlas for atlas in atlases))
            raise SettingsError(f'--roi {name}: there is no atlas {which!r}; there are {known}.')
        atlases, name = chosen, label
    for atlas in atlases:
        mask = atlas.mask(name)
        if mask is not None:
            return mask
    asked = f'{which}:{label}' if colon else name
    raise SettingsError(f'--roi {asked}: {unknown_label(name, atlases)}')


def unknown_label(name: str, atlases: Sequence[Labels]) -> str:
    """Say that no atlas has a label, and which was probably meant.

    Parameters
    ----------
    name : str
        As it was given.
    atlases : sequence of Labels
        Where it was looked for.
    """
    known = {label: atlas.atlas for atlas in reversed(atlases) for label in atlas.known()}
    close = difflib.get_close_matches(plain_label(name), known, n=3)
    if close:
        hint = f'did you mean {" or ".join(f"{label} ({known[label]})" for label in close)}?'
    else:
        hint = _all_labels(atlases)
    return f'no cortical label of {_listed(a.atlas for a in atlases)}; {hint}'


def _all_labels(atlases: Sequence[Labels]) -> str:
    """List what the first atlas has, and how many labels the others."""
    first, *others = atlases
    parts = [f'{first.atlas} has {", ".join(sorted(first.known()))}']
    parts += [f'{atlas.atlas} has {len(atlas.known())} labels' for atlas in others]
    return '; '.join(parts) + '.'


def _listed(words: Iterable[str]) -> str:
    """Join words, each once."""
    return ' or '.join(dict.fromkeys(words))
