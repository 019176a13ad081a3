"""Who takes part and what is planted in each participant."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np

from bids_acc.demo.patterns import PATTERNS, DiffusivityChange

GROUPS = ('HC', 'responder', 'resistant')
"""Levels of ``group``: healthy controls, patients who respond to treatment, who resist it."""

SITES = ('north', 'south')

THICKNESS_EFFECT_MM: Mapping[str, tuple[float, ...]] = MappingProxyType(
    {
        'HC': (0.0, 0.0, 0.0, 0.0),
        'responder': (0.0, -0.15, 0.0, 0.0),
        'resistant': (-0.1, -0.65, -0.45, 0.0),
    }
)
"""Mean change of cortical thickness at the centre of each pattern, mm."""

MD_RISE: Mapping[str, float] = MappingProxyType({'HC': 0.0, 'responder': 0.02, 'resistant': 0.10})
"""Relative rise of grey-matter mean diffusivity, flat over the whole anterior cingulate
(`bids_acc.demo.patterns.cingulate_share`), whatever its parcels."""

GLX_TCR: Mapping[str, float] = MappingProxyType({
    'HC': 1.45, 'responder': 1.40, 'resistant': 1.75
})  # fmt: skip
"""Mean ratio of glutamate plus glutamine to total creatine."""

SGACC_COUPLING: Mapping[str, float] = MappingProxyType({
    'HC': 0.3, 'responder': 0.4, 'resistant': 0.8
})  # fmt: skip
"""Mean correlation of the subgenual cingulate with the default-mode network's own series, see
`bids_acc.demo.networks.draw_series`."""
SGACC_COUPLING_SD = 0.06
"""Its standard deviation between participants."""

RESTLESS = 7
"""Number of the participant who moves in the BOLD run, from zero."""

THICKNESS_SD_MM = 0.22
"""Between-participant standard deviation of each thickness loading, mm."""

MD_SD = 0.035
"""Between-participant standard deviation of each diffusivity loading about the rise, relative."""

GLX_SD = 0.09
"""Between-participant standard deviation of Glx/tCr within a group."""

GLX_THICKNESS_R = -0.5
"""Correlation, within a group, of Glx/tCr with the thickness loading of the pregenual pattern."""

FOLLOW_UP: Mapping[str, Mapping[str, float]] = MappingProxyType(
    {
        'HC': MappingProxyType({'thickness_mm': 0.0, 'glx_tcr': 0.0, 'panss': 0.0}),
        'responder': MappingProxyType({'thickness_mm': 0.0, 'glx_tcr': -0.10, 'panss': -12.0}),
        'resistant': MappingProxyType({'thickness_mm': -0.15, 'glx_tcr': 0.05, 'panss': -2.0}),
    }
)
"""Mean change from the first to the second session (with ``--sessions``)."""


@dataclass(frozen=True)
class Visit:
    """What is planted in one session."""

    session: str | None
    """Label without ``ses-``; None when the dataset has no sessions."""
    thickness_mm: tuple[float, ...]
    """Change of thickness at the centre of each pattern, mm."""
    md_change: DiffusivityChange
    """Relative change of grey-matter mean diffusivity: the group's and the participant's own."""
    glx_tcr: float
    """True ratio of Glu + Gln to Cr + PCr."""
    clinical: dict[str, int | None] = field(default_factory=dict)
    """Symptom scores and dose; None for controls."""


@dataclass(frozen=True)
class Participant:
    """One participant and the seed of the images."""

    label: str
    """Label without ``sub-``."""
    group: str
    age: int
    sex: str
    site: str
    visits: tuple[Visit, ...]
    seed: tuple[int, int]
    """Seed of the dataset and number of the participant: the images' source of randomness."""

    @property
    def restless(self) -> bool:
        """Whether this is the one who moves in the BOLD run."""
        return self.seed[1] == RESTLESS

    def coupling(self, rng: np.random.Generator) -> float:
        """Draw the coupling of the subgenual cingulate with the default-mode network.

        Parameters
        ----------
        rng : numpy.random.Generator
            Draws what the person differs from the group's mean by.

        Returns
        -------
        float
            Correlation, 0 to 0.95.
        """
        drawn = SGACC_COUPLING[self.group] + SGACC_COUPLING_SD * rng.standard_normal()
        return round(float(np.clip(drawn, 0, 0.95)), 4)

    def generator(self, *stream: int) -> np.random.Generator:
        """Return the generator of one stream of random numbers of this participant.

        Parameters
        ----------
        *stream : int
            What is drawn, and at which visit; each pair has numbers of its own.

        Returns
        -------
        numpy.random.Generator
            The same whatever else is drawn before.
        """
        seed, index = self.seed
        return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(index, *stream)))


def _clinical(group: str, severity: float, rng: np.random.Generator) -> dict[str, int | None]:
    """Draw symptom scores and dose; controls have none."""
    if group == 'HC':
        return dict.fromkeys(
            ('panss_positive', 'panss_negative', 'panss_general', 'panss_total', 'cpz_dose')
        )
    mean = {'responder': (12, 16, 28, 350), 'resistant': (24, 22, 44, 600)}[group]
    positive, negative, general = (
        max(low, round(m + severity * s + rng.normal(0, s)))
        for m, s, low in zip(mean[:3], (2, 3, 4), (7, 7, 16), strict=True)
    )
    return {
        'panss_positive': positive, 'panss_negative': negative, 'panss_general': general,
        'panss_total': positive + negative + general,
        'cpz_dose': int(25 * round(max(100, rng.normal(mean[3], 120)) / 25)),
    }  # fmt: skip


def _baseline(group: str, session: str | None, rng: np.random.Generator) -> Visit:
    """Draw what is planted at the first (or only) visit."""
    deviation = rng.standard_normal(len(PATTERNS))
    thickness = np.array(THICKNESS_EFFECT_MM[group]) + THICKNESS_SD_MM * deviation
    md = MD_SD * rng.standard_normal(len(PATTERNS))
    own = np.sqrt(1 - GLX_THICKNESS_R**2) * rng.standard_normal()
    glx = GLX_TCR[group] + GLX_SD * (GLX_THICKNESS_R * deviation[1] + own)
    return Visit(
        session=session,
        thickness_mm=tuple(np.clip(thickness, -1.1, 0.8).round(4).tolist()),
        md_change=DiffusivityChange(MD_RISE[group], tuple(md.round(4).tolist())),
        glx_tcr=round(float(glx), 4),
        clinical=_clinical(group, float(rng.standard_normal()), rng),
    )


def _follow_up(group: str, first: Visit, rng: np.random.Generator) -> Visit:
    """Draw the second visit from the first."""
    mean = FOLLOW_UP[group]
    thickness = np.array(first.thickness_mm) + mean['thickness_mm'] * np.array([0, 1, 1, 0])
    clinical = dict(first.clinical)
    if group != 'HC':
        change = round(mean['panss'] + rng.normal(0, 3))
        clinical['panss_general'] = max(16, (clinical['panss_general'] or 0) + change)
        clinical['panss_total'] = sum(
            clinical[f'panss_{scale}'] or 0 for scale in ('positive', 'negative', 'general')
        )
    return Visit(
        session='2',
        thickness_mm=tuple(np.clip(thickness, -1.1, 0.8).round(4).tolist()),
        md_change=first.md_change,
        glx_tcr=round(first.glx_tcr + mean['glx_tcr'] + float(rng.normal(0, 0.03)), 4),
        clinical=clinical,
    )


def draw_cohort(n_per_group: int, *, sessions: bool, seed: int) -> list[Participant]:
    """Draw the participants; the groups take turns, so that a larger cohort begins like a smaller.

    Parameters
    ----------
    n_per_group : int
        Participants in each of the three groups.
    sessions : bool
        Two sessions for everyone instead of none.
    seed : int
        The same seed gives the same cohort.

    Returns
    -------
    list of Participant
        ``3 * n_per_group`` participants.

    Examples
    --------
    >>> cohort = draw_cohort(2, sessions=False, seed=1)
    >>> [(p.label, p.group) for p in cohort[:4]]
    [('01', 'HC'), ('02', 'responder'), ('03', 'resistant'), ('04', 'HC')]
    >>> cohort[:3] == draw_cohort(1, sessions=False, seed=1)
    True
    """
    return [_draw_participant(index, sessions, seed) for index in range(3 * n_per_group)]


def _draw_participant(index: int, sessions: bool, seed: int) -> Participant:
    """Draw one participant from a stream of their own."""
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(index, 0)))
    group, turn = GROUPS[index % len(GROUPS)], index // len(GROUPS)
    first = _baseline(group, '1' if sessions else None, rng)
    visits = (first, _follow_up(group, first, rng)) if sessions else (first,)
    return Participant(
        label=f'{index + 1:02d}',
        group=group,
        age=int(rng.integers(22, 48)),
        sex=('F', 'M')[turn % 2],
        site=SITES[(turn // 2) % len(SITES)],
        visits=visits,
        seed=(seed, index),
    )
