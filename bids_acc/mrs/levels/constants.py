"""Relaxation times and water contents, each with its source, from versioned JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import TypedDict

from bids_acc.exceptions import SettingsError
from bids_acc.files.reading import read_whole, reads, short

TISSUES = ('GM', 'WM', 'CSF')
"""Order of tissues everywhere in the spectroscopy part."""

WATER_MOLALITY = 55510.0
"""Pure water in mmol per kg of water: 1000 / 18.015 g/mol (Gasparovic et al. 2006, Magn Reson
Med 55:1219, https://doi.org/10.1002/mrm.20901)."""

SHIPPED = ('relaxation-3T.json', 'relaxation-7T.json', 'relaxation-1.5T.json')
"""Files of constants that come with the package, one for each field; the first set of a file is
what ``auto`` takes there. There is none for 4 T: no published set of water and metabolite values
could be checked, so levels at 4 T stay uncorrected unless the user gives a file."""


@dataclass(frozen=True)
class RelaxationSet:
    """Relaxation times and water contents at one field strength."""

    name: str
    """Name of the set."""
    version: str
    """Version of the file."""
    field_tesla: tuple[float, float]
    """Fields in T for which the values hold."""
    water_content: tuple[float, float, float]
    """Visible water in kg/L of GM, WM, CSF."""
    water_t1: tuple[float, float, float]
    """T1 of water in s in GM, WM, CSF."""
    water_t2: tuple[float, float, float]
    """T2 of water in s in GM, WM, CSF."""
    metabolites: Mapping[str, tuple[float, float]]
    """T1 and T2 in s of each metabolite, mean of grey and white matter; ``default`` for others."""
    sources: Mapping[str, str]
    """Where the values come from."""

    def metabolite(self, name: str) -> tuple[float, float]:
        """T1 and T2 of a metabolite in s; the macromolecules edited along count as GABA.

        Parameters
        ----------
        name : str
            Member of a fit; ``_edited`` is left off.

        Returns
        -------
        t1, t2 : float
            In s; those of ``default`` where the set has no own ones.
        """
        plain = name.removesuffix('_edited')
        plain = 'GABA' if plain == 'MM30' else plain
        return self.metabolites.get(plain, self.metabolites['default'])

    def describe(self) -> dict[str, object]:
        """Constants with their sources, as a sidecar has them."""
        return {
            'Set': self.name,
            'Version': self.version,
            'WaterContent': dict(zip(TISSUES, self.water_content, strict=True)),
            'WaterT1': dict(zip(TISSUES, self.water_t1, strict=True)),
            'WaterT2': dict(zip(TISSUES, self.water_t2, strict=True)),
            'MetaboliteT1T2': {name: list(pair) for name, pair in self.metabolites.items()},
            'Units': 's; water content kg/L',
            'Sources': dict(self.sources),
        }


class _WaterContent(TypedDict):
    """Visible water by tissue."""

    values: Mapping[str, float]
    source: str


class _Set(TypedDict):
    """One set of relaxation times of a file, in s."""

    water_t1_s: Mapping[str, float]
    water_t1_source: str
    water_t2_s: Mapping[str, float]
    water_t2_source: str
    metabolites: Mapping[str, Mapping[str, float]]
    metabolite_source: str


class _Document(TypedDict):
    """A file of constants."""

    version: str
    field_tesla: tuple[float, float]
    water_content: _WaterContent
    sets: Mapping[str, _Set]


def _mean_pair(entry: Mapping[str, float]) -> tuple[float, float]:
    """Plain means of the grey and white matter values, as the anchors of Osprey need."""
    return (entry['T1_GM'] + entry['T1_WM']) / 2, (entry['T2_GM'] + entry['T2_WM']) / 2


def _parse(document: _Document, name: str) -> RelaxationSet:
    """One set of a document."""
    entry = document['sets'][name]

    def tissues(values: Mapping[str, float]) -> tuple[float, float, float]:
        gm, wm, csf = (float(values[tissue]) for tissue in TISSUES)
        return gm, wm, csf

    low, high = document['field_tesla']
    return RelaxationSet(
        name=name,
        version=str(document['version']),
        field_tesla=(float(low), float(high)),
        water_content=tissues(document['water_content']['values']),
        water_t1=tissues(entry['water_t1_s']),
        water_t2=tissues(entry['water_t2_s']),
        metabolites={key: _mean_pair(value) for key, value in entry['metabolites'].items()},
        sources={
            'WaterContent': document['water_content']['source'],
            'WaterT1': entry['water_t1_source'],
            'WaterT2': entry['water_t2_source'],
            'Metabolites': entry['metabolite_source'],
        },
    )


@reads('set of relaxation times', 'correct it', SettingsError)
def load_relaxation(name: str, field_tesla: float = math.nan) -> RelaxationSet | None:
    """Constants of a shipped set, or of a JSON file of the same form.

    Parameters
    ----------
    name : str
        ``auto`` (by field: ``wyss-mlynarik`` at 3 T, ``xin-marjanska`` at 7 T, ``gasparovic`` at
        1.5 T), one of these names, ``fsl`` (3 and 7 T), or a path, optionally followed by ``:``
        and a set in it.
    field_tesla : float
        Field of the data in T; NaN is not compared.

    Returns
    -------
    RelaxationSet or None
        None when no shipped set holds for this field: levels then stay uncorrected.

    Raises
    ------
    SettingsError
        If the set is unknown, or a file is not of the right form.

    Examples
    --------
    >>> load_relaxation('fsl').metabolite('Glu')
    (1.29, 0.194)
    >>> load_relaxation('fsl', 7.0).metabolite('Glu'), load_relaxation('auto', 4.0) is None
    ((1.43, 0.131), True)
    """
    if '.json' in name:
        path, _, wanted = name.partition('.json')
        try:
            document: _Document = json.loads(read_whole(path + '.json', error=SettingsError))
            return _parse(document, wanted.lstrip(':') or next(iter(document['sets'])))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise SettingsError(
                f'--mrs-relaxation {name}: not a file of relaxation constants ({short(error)}).'
            ) from error
    known = []
    for file_name in SHIPPED:
        text = resources.files('bids_acc').joinpath(f'data/mrs/{file_name}').read_text()
        document = json.loads(text)
        known += list(document['sets'])
        wanted = next(iter(document['sets'])) if name == 'auto' else name
        if wanted in document['sets']:
            found = _parse(document, wanted)
            low, high = found.field_tesla
            if math.isnan(field_tesla) or low <= field_tesla <= high:
                return found
    if name not in ('auto', *known):
        raise SettingsError(
            f'--mrs-relaxation {name}: unknown; choose auto, '
            f'{", ".join(dict.fromkeys(known))} or FILE.'
        )
    return None
