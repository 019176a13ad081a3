"""A cohort as large as a published one: two sites, four patient groups and controls.

Numbers of people, lost spectra and group differences are those of Iwata, Nakajima and colleagues'
study of the anterior cingulate in treatment-resistant schizophrenia
(https://doi.org/10.1503/jpn.210113): Tokyo 23 treatment-resistant, 24 responders to first-line
drugs and 26 controls; Toronto 21 resistant to clozapine too, 15 responders to clozapine, 17 to
first-line drugs and 26 controls. A difference in standard deviations is the published t of a pair
times ``sqrt(1 / n_a + 1 / n_b)``; differences of so few people are larger than true ones on the
average. Ages, doses and scores are usual ones of such groups, not those of the study, whose
tables of them are in a supplement.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
import pandas as pd

from bids_acc.demo.patterns import PATTERNS

CONTROLS = 'HC'
GROUPS: Mapping[str, str] = MappingProxyType(
    {
        'HC': 'healthy control',
        'FL-Resp': 'responder to first-line antipsychotics',
        'CLZ-Resp': 'responder to clozapine',
        'TRS': 'treatment-resistant schizophrenia',
        'URS': 'resistant to clozapine too',
    }
)
"""Levels of ``group``, as in the shipped model ``acc-structure``."""

Shifts = Mapping[str, tuple[float, float, float, float]]
"""By group, the difference from controls in each of `PATTERNS`, in standard deviations."""


@dataclass(frozen=True)
class Site:
    """One of the sites and what is planted there."""

    name: str
    counts: Mapping[str, int]
    """People in each group."""
    lost_spectra: Mapping[str, int]
    """How many spectra of each group do not pass the gate."""
    differences: Mapping[str, Shifts]
    """By metric."""
    glx: Mapping[str, float]
    """Difference of Glx from controls by group, in standard deviations."""
    glx_thickness_r: float
    """Correlation within groups of Glx with the thickness of the two affected parts."""
    age: tuple[float, float]
    """Mean and standard deviation, years."""
    snr: float
    """Mean S/N of the spectra."""
    diffusion_snr: float
    """Mean S/N of the volumes without diffusion weighting."""
    scheme: str
    """Name of the diffusion protocol, in place of its hash."""


SITES = (
    Site(
        name='Tokyo',
        counts={'HC': 26, 'FL-Resp': 24, 'TRS': 23},
        lost_spectra={'HC': 1, 'FL-Resp': 4, 'TRS': 3},
        differences={
            'thickness': {'FL-Resp': (0, -1.2, -1.1, 0), 'TRS': (0, -1.5, -1.2, 0)},
            'md': {'FL-Resp': (0, 0.4, 0.7, 0), 'TRS': (0, 0.9, 1.0, 0)},
        },
        glx={'TRS': 0.8},
        glx_thickness_r=-0.43,
        age=(44, 11),
        snr=18,
        diffusion_snr=16,
        scheme='30dir5b0',
    ),
    Site(
        name='Toronto',
        counts={'HC': 26, 'FL-Resp': 17, 'CLZ-Resp': 15, 'URS': 21},
        lost_spectra={},
        differences={
            'thickness': {
                'FL-Resp': (0, -0.4, -0.4, 0), 'CLZ-Resp': (0, -1.4, -1.2, 0),
                'URS': (0, -1.2, -1.05, 0),
            },
            'md': {'URS': (0, 0.9, 0.85, 0)},
        },
        glx={'URS': 0.6},
        glx_thickness_r=-0.25,
        age=(41, 12),
        snr=22,
        diffusion_snr=19,
        scheme='30dir3b0',
    ),
)  # fmt: skip

N_PUBLISHED = sum(sum(site.counts.values()) for site in SITES)
"""People of the study."""

SCORES: Mapping[str, Mapping[str, tuple[float, float]]] = MappingProxyType(
    {
        'panss_positive': {
            'TRS': (24, 4), 'URS': (23, 4),
            'FL-Resp': (12, 3), 'CLZ-Resp': (12, 3),
        },
        'panss_negative': {
            'TRS': (25, 5), 'URS': (23, 5),
            'FL-Resp': (16, 4), 'CLZ-Resp': (16, 4),
        },
        'panss_general': {
            'TRS': (48, 8), 'URS': (44, 8),
            'FL-Resp': (29, 5), 'CLZ-Resp': (28, 5),
        },
        'rbans_total': {
            'HC': (98, 12), 'TRS': (64, 12), 'URS': (70, 13), 'FL-Resp': (78, 14),
            'CLZ-Resp': (76, 13),
        },
        'cpz_dose': {
            'TRS': (950, 350), 'URS': (500, 250), 'FL-Resp': (420, 220), 'CLZ-Resp': (300, 150),
        },
        'clozapine_dose': {'URS': (420, 110), 'CLZ-Resp': (320, 100)},
    }
)  # fmt: skip
"""Mean and standard deviation of scores and doses by group; nothing is measured in the others."""
LIMITS: Mapping[str, tuple[float, float]] = MappingProxyType(
    {
        'panss_positive': (7, 49), 'panss_negative': (7, 49), 'panss_general': (16, 112),
        'rbans_total': (40, 160), 'cpz_dose': (50, 2000), 'clozapine_dose': (50, 900),
    }
)  # fmt: skip


@dataclass(frozen=True)
class Person:
    """One participant."""

    label: str
    """With ``sub-``."""
    site: Site
    group: str
    age: int
    sex: str
    lost_spectrum: bool
    """Whether the spectrum is too broad for the gate."""
    clinical: Mapping[str, object] = field(default_factory=dict)
    """Scores and doses; None where there are none."""

    def shift(self, metric: str) -> np.ndarray:
        """Return the planted difference from controls in each part, standard deviations.

        Parameters
        ----------
        metric : str
            Such as ``thickness``.

        Returns
        -------
        (n_parts,) ndarray
            Zero for controls and for metrics without an effect.
        """
        none = (0.0,) * len(PATTERNS)
        return np.array(self.site.differences.get(metric, {}).get(self.group, none))


def places(n_people: int) -> list[tuple[Site, str, bool]]:
    """Return site, group and whether the spectrum is lost, for any number of people.

    The groups take turns in proportion to their size, so that any beginning of the list is mixed
    as the whole is; the study's own number of people gives its own numbers in each group.

    Parameters
    ----------
    n_people : int
        How many.

    Returns
    -------
    list of (Site, str, bool)
    """
    published: list[tuple[float, int, Site, str, bool]] = []
    for site in SITES:
        for group, count in site.counts.items():
            lost = site.lost_spectra.get(group, 0)
            bad = {round((i + 0.5) * count / lost) for i in range(lost)}
            published += [
                ((i + 0.5) / count, len(published) + i, site, group, i in bad)
                for i in range(count)
            ]
    ordered = [entry[2:] for entry in sorted(published, key=lambda entry: entry[:2])]
    return [ordered[i % len(ordered)] for i in range(n_people)]


def draw_people(n_people: int, seed: int) -> list[Person]:
    """Draw the people, each from a stream of their own.

    Parameters
    ----------
    n_people : int
        How many; `N_PUBLISHED` for the study's size.
    seed : int
        The same seed gives the same people.

    Returns
    -------
    list of Person

    Examples
    --------
    >>> people = draw_people(N_PUBLISHED, seed=1)
    >>> sum(p.site.name == 'Tokyo' for p in people), sum(p.group == 'URS' for p in people)
    (73, 21)
    """
    drawn = []
    for index, (site, group, lost) in enumerate(places(n_people)):
        rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(index, 0)))
        age = int(np.clip(round(rng.normal(*site.age)), 19, 70))
        drawn.append(
            Person(
                label=f'sub-{site.name}{index + 1:0{max(3, len(str(n_people)))}d}',
                site=site,
                group=group,
                age=age,
                sex='M' if rng.random() < 0.6 else 'F',
                lost_spectrum=lost,
                clinical=_clinical(group, age, rng),
            )
        )
    return drawn


def _clinical(group: str, age: int, rng: np.random.Generator) -> dict[str, int | None]:
    """Draw scores and doses, none of them related to the brain."""
    found: dict[str, int | None] = {}
    for name, by_group in SCORES.items():
        value = rng.normal(*by_group.get(group, (0, 1)))
        low, high = LIMITS[name]
        found[name] = int(np.clip(round(value), low, high)) if group in by_group else None
    if group == CONTROLS:
        return found | {'panss_total': None, 'age_onset': None, 'illness_duration': None}
    onset = int(np.clip(round(rng.normal(24, 6)), 14, age - 1))
    scales = ('panss_positive', 'panss_negative', 'panss_general')
    return found | {
        'panss_total': sum(found[name] or 0 for name in scales),
        'age_onset': onset,
        'illness_duration': age - onset,
    }


def participants_table(people: Sequence[Person]) -> pd.DataFrame:
    """Return ``participants.tsv``.

    Parameters
    ----------
    people : sequence of Person
        Of both sites.

    Returns
    -------
    DataFrame
        One row each, in their order.
    """
    return pd.DataFrame(
        {
            'participant_id': [p.label for p in people],
            'cohort': [p.site.name for p in people],
            'group': [p.group for p in people],
            'age': [p.age for p in people],
            'sex': [p.sex for p in people],
        }
    )


def clinical_table(people: Sequence[Person]) -> pd.DataFrame:
    """Return ``phenotype/clinical.tsv``; integers as such, missing ones as None.

    Parameters
    ----------
    people : sequence of Person
        Of both sites.

    Returns
    -------
    DataFrame
        One row each; controls have no scores.
    """
    rows = [{'participant_id': p.label, **p.clinical} for p in people]
    return pd.DataFrame(rows, dtype=object)


PARTICIPANT_COLUMNS: dict[str, dict[str, object]] = {
    'participant_id': {'Description': 'Simulated participant'},
    'cohort': {
        'Description': 'Simulated site',
        'Levels': {site.name: f'site of the size of the {site.name} cohort' for site in SITES},
    },
    'group': {'Description': 'Group', 'Levels': dict(GROUPS)},
    'age': {'Description': 'Age', 'Units': 'year'},
    'sex': {'Description': 'Sex', 'Levels': {'F': 'female', 'M': 'male'}},
}
"""``participants.json``."""

CLINICAL_COLUMNS: dict[str, dict[str, object]] = {
    'participant_id': {'Description': 'Simulated participant'},
    'panss_positive': {'Description': 'Positive and Negative Syndrome Scale, positive subscale'},
    'panss_negative': {'Description': 'Positive and Negative Syndrome Scale, negative subscale'},
    'panss_general': {
        'Description': 'Positive and Negative Syndrome Scale, general psychopathology'
    },
    'rbans_total': {
        'Description': 'Repeatable Battery for the Assessment of Neuropsychological Status, total'
    },
    'cpz_dose': {
        'Description': 'Antipsychotic dose as chlorpromazine equivalent', 'Units': 'mg/d'
    },
    'clozapine_dose': {'Description': 'Dose of clozapine', 'Units': 'mg/d'},
    'panss_total': {'Description': 'Positive and Negative Syndrome Scale, sum'},
    'age_onset': {'Description': 'Age at onset', 'Units': 'year'},
    'illness_duration': {'Description': 'Duration of illness', 'Units': 'year'},
}  # fmt: skip
"""``phenotype/clinical.json``."""
