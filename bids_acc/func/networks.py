"""Summaries of a matrix of regions that studies of treatment resistance compare."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from bids_acc.typing import BoolArray, FloatArray

NETWORKS: Mapping[str, str] = MappingProxyType(
    {
        'DMN': 'DefaultMode', 'salience': 'Salience', 'control': 'FrontoParietal',
        'reward': 'Reward',
    }
)  # fmt: skip
"""Short name of each network, and Seitzman's."""

SYNONYMS: Mapping[str, str] = MappingProxyType(
    {'Default': 'DefaultMode', 'SalVentAttn': 'Salience', 'Cont': 'FrontoParietal'}
)
"""Names of the same networks in other atlases: Yeo's (2011, doi:10.1152/jn.00338.2011) as Schaefer
et al. (2018, doi:10.1093/cercor/bhx179) abbreviate them, and Gordon's (2016,
doi:10.1093/cercor/bhu239)."""

LEAST_PAIRS = 3
"""Pairs of regions below which a mean over networks is not given (own convention)."""
APART_MM = 10.0
"""Regions that lie nearer to each other share voxels or their blur; their pairs do not count in
means over networks (own convention)."""

PAIRS: tuple[tuple[str, str], ...] = (
    ('sgACC', 'DMN'), ('sgACC', 'salience'), ('sgACC', 'control'), ('sgACC', 'DLPFC'),
    ('sgACC', 'amygdala'), ('sgACC', 'hippocampus'), ('sgACC', 'accumbens'),
    ('sgACC', 'thalamus'), ('pgACC', 'DMN'), ('pgACC', 'control'), ('pgACC', 'amygdala'),
    ('dACC', 'DMN'), ('dACC', 'salience'), ('dACC', 'control'), ('dACC', 'amygdala'),
    ('amygdala', 'salience'), ('amygdala', 'control'), ('accumbens', 'control'),
    ('accumbens', 'DMN'),
)  # fmt: skip
"""A seed with a network or another seed."""


@dataclass(frozen=True)
class Marker:
    """A mean of Fisher's z over pairs of regions."""

    name: str
    value: float
    """NaN without enough pairs."""
    n_pairs: int
    reason: str = ''
    """Why there is no value."""


def markers(
    z: FloatArray,
    names: Sequence[str],
    networks: Sequence[str],
    centres: FloatArray,
    reasons: Sequence[str] = (),
) -> list[Marker]:
    """Summarise a matrix within and between networks, and of seeds.

    Parameters
    ----------
    z : (n, n) ndarray
        Fisher's z of each pair; NaN where a region is not measured.
    names : sequence of str
        Of the regions.
    networks : sequence of str
        Network of each region, by Seitzman's name or one of `SYNONYMS`; empty for seeds.
    centres : (n, 3) ndarray
        In mm; NaN where a region has no single centre.
    reasons : sequence of str
        Why a region is not measured, for each.

    Returns
    -------
    list of Marker
        ``within_DMN``, ``DMN_salience``, ..., ``sgACC_DMN``, ...
    """
    known = [SYNONYMS.get(n, n) for n in networks]
    member = {short: np.array([n == full for n in known]) for short, full in NETWORKS.items()}
    apart = _apart(centres)
    found = [_mean_of(f'within_{s}', z, member[s], member[s], apart) for s in member]
    shorts = list(member)
    for index, first in enumerate(shorts):
        found += [
            _mean_of(f'{first}_{second}', z, member[first], member[second], apart)
            for second in shorts[index + 1 :]
        ]
    place = {name: number for number, name in enumerate(names)}
    why = dict(zip(names, reasons, strict=True)) if reasons else {}
    for seed, other in PAIRS:
        if seed not in place or (other not in member and other not in place):
            continue
        one = np.arange(len(names)) == place[seed]
        many = member[other] if other in member else np.arange(len(names)) == place[other]
        marker = _mean_of(f'{seed}_{other}', z, one, many, apart, 1 if other in place else None)
        gone = '; '.join(f'{n}: {why[n]}' for n in (seed, other) if why.get(n))
        found.append(Marker(marker.name, marker.value, marker.n_pairs, gone or marker.reason))
    return found


def _apart(centres: FloatArray) -> BoolArray:
    """Tell which pairs lie far enough apart; where a centre is not known, all do."""
    gaps = np.linalg.norm(centres[:, None] - centres[None], axis=-1)
    return np.asarray(~(gaps < APART_MM))


def _mean_of(
    name: str,
    z: FloatArray,
    rows: BoolArray,
    columns: BoolArray,
    apart: BoolArray,
    least: int | None = None,
) -> Marker:
    """Average the pairs of two sets of regions, each pair once."""
    pairs = np.outer(rows, columns)
    # Above the diagonal: within one network every pair would count twice, and each region with
    # itself.
    pairs = np.triu(pairs | pairs.T, 1) & np.isfinite(z)
    # two seeds are one pair and chosen to be what they are; only means leave out near regions
    pairs &= apart if least is None else True
    count = int(pairs.sum())
    if count < (LEAST_PAIRS if least is None else least):
        return Marker(name, float('nan'), count, f'{count} pairs of regions with signal')
    return Marker(name, float(z[pairs].mean()), count)
