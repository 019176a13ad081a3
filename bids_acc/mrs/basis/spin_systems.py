"""Published spin systems: chemical shifts, couplings and their source for each metabolite."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib import resources

from bids_acc.exceptions import SettingsError


@dataclass(frozen=True)
class SpinGroup:
    """Protons of a molecule that are coupled among themselves and to nothing else.

    A group of one shift may stand for several equivalent, uncoupled protons.
    """

    shifts_ppm: tuple[float, ...]
    """Chemical shift of each proton."""
    couplings_hz: tuple[tuple[int, int, float], ...] = ()
    """Pairs of protons and their scalar coupling."""
    phosphorus_hz: tuple[tuple[int, float], ...] = ()
    """Protons coupled to one phosphorus-31 nucleus, and the coupling."""
    protons_each: int = 1
    """Equivalent protons behind each shift."""
    weight: float = 1.0
    """Share of the molecules in this form (anomers of glucose)."""

    @property
    def n_protons(self) -> int:
        """Protons of one molecule in this group."""
        return len(self.shifts_ppm) * self.protons_each

    @property
    def n_spins(self) -> int:
        """Spins to simulate, the phosphorus included."""
        return len(self.shifts_ppm) + bool(self.phosphorus_hz)


@dataclass(frozen=True)
class SpinSystem:
    """One molecule: its groups, and where the numbers were published."""

    name: str
    full_name: str
    source: str
    groups: tuple[SpinGroup, ...]
    sha256: str

    @property
    def n_protons(self) -> float:
        """Protons of one molecule that the simulation shows."""
        return sum(group.weight * group.n_protons for group in self.groups)


@cache
def available() -> tuple[str, ...]:
    """Names of the metabolites that come with the package, sorted.

    Examples
    --------
    >>> len(available()), 'Glu' in available()
    (20, True)
    """
    folder = resources.files('bids_acc') / 'data' / 'mrs' / 'spins'
    return tuple(sorted(item.name[:-5] for item in folder.iterdir() if item.name[-5:] == '.json'))


@cache
def load(name: str) -> SpinSystem:
    """Read the spin system of a metabolite.

    Parameters
    ----------
    name : str
        One of :func:`available`.

    Returns
    -------
    SpinSystem

    Raises
    ------
    SettingsError
        If the package holds no such metabolite.

    Examples
    --------
    >>> load('Cr').n_protons
    5.0
    """
    if name not in available():
        raise SettingsError(f'no spin system for {name}; there are {", ".join(available())}')
    path = resources.files('bids_acc') / 'data' / 'mrs' / 'spins' / f'{name}.json'
    content = path.read_bytes()
    record = json.loads(content)
    return SpinSystem(
        name=record['name'],
        full_name=record['full_name'],
        source=record['source'],
        groups=tuple(_group(item) for item in record['groups']),
        sha256=hashlib.sha256(content).hexdigest(),
    )


def _group(item: dict[str, object]) -> SpinGroup:
    """Turn one JSON group into a record."""

    def rows(key: str) -> Iterable[list[float]]:
        return item.get(key, [])  # type: ignore[return-value]

    return SpinGroup(
        shifts_ppm=tuple(item['shifts_ppm']),  # type: ignore[arg-type]
        couplings_hz=tuple((int(i), int(j), float(value)) for i, j, value in rows('couplings_hz')),
        phosphorus_hz=tuple((int(i), float(value)) for i, value in rows('phosphorus_hz')),
        protons_each=int(item.get('protons_each', 1)),  # type: ignore[call-overload]
        weight=float(item.get('weight', 1.0)),  # type: ignore[arg-type]
    )
