"""Licences of bids_acc and of every package that it brings, as they are installed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata, resources
from importlib.metadata import PackageMetadata

from packaging.requirements import Requirement

from bids_acc import __version__

WORDS = (
    ('AGPL', 'AGPL'), ('LGPL', 'LGPL'), ('Lesser General', 'LGPL'), ('GPL', 'GPL'),
    ('GNU General', 'GPL'), ('MPL', 'MPL'), ('Mozilla', 'MPL'), ('EPL', 'EPL'), ('Eclipse', 'EPL'),
)  # fmt: skip
"""Words of licences that ask for something when the package is passed on, the narrower first."""


@dataclass(frozen=True)
class Licence:
    """An installed package and the licence that its own metadata tell."""

    package: str
    version: str
    licence: str

    @property
    def copyleft(self) -> str:
        """Family of a licence that asks for its source or its terms to be passed on; or empty."""
        return next((name for word, name in WORDS if word in self.licence), '')


def licences(package: str = 'bids_acc') -> list[Licence]:
    """Return a package's dependencies, all the way down, with their licences.

    Parameters
    ----------
    package : str
        Name of an installed package; itself is not among the result.

    Returns
    -------
    list of Licence
        Sorted by name; what is not installed is left out.
    """
    found: dict[str, Licence] = {}
    waiting = [(package, frozenset[str]())]
    seen = set()
    while waiting:
        name, extras = waiting.pop()
        key = (_normal(name), extras)
        if key in seen:
            continue
        seen.add(key)
        try:
            distribution = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue
        found[_normal(name)] = Licence(
            distribution.metadata['Name'], distribution.version, licence_of(distribution.metadata)
        )
        waiting += list(_needed(distribution, extras))
    found.pop(_normal(package), None)
    return [found[name] for name in sorted(found)]


def _normal(name: str) -> str:
    """Return a package's name in the one form that PEP 503 defines."""
    return re.sub(r'[-_.]+', '-', name).lower()


def _needed(
    distribution: metadata.Distribution, extras: frozenset[str]
) -> Iterator[tuple[str, frozenset[str]]]:
    """Yield what a package needs on this machine."""
    for line in distribution.requires or []:
        requirement = Requirement(line)
        marker = requirement.marker
        if marker is None or any(marker.evaluate({'extra': e}) for e in ('', *extras)):
            yield requirement.name, frozenset(requirement.extras)


def licence_of(fields: PackageMetadata) -> str:
    """Return a package's licence in the words of its metadata.

    The expression of PEP 639 is preferred, then the trove classifiers; of a whole licence's text
    the first line is taken.

    Parameters
    ----------
    fields : importlib.metadata.PackageMetadata
    """
    if expression := fields.get_all('License-Expression'):
        return str(expression[0])
    prefix = 'License :: '
    classified = [c.removeprefix(prefix) for c in fields.get_all('Classifier') or []
                  if c.startswith(prefix)]  # fmt: skip
    if names := [c.rpartition(' :: ')[2] for c in classified if c != 'OSI Approved']:
        return ', '.join(names)
    text = (fields.get_all('License') or [''])[0]
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[0][:80] if lines else 'not told by its metadata'


def licence_text() -> str:
    """Return the list that ``--licences`` prints, with the package's NOTICE."""
    rows = licences()
    width = max((len(f'{row.package} {row.version}') for row in rows), default=0)
    listed = [
        f'{f"{row.package} {row.version}":{width}s}  {row.licence}'
        f'{f"  [{row.copyleft}]" if row.copyleft else ""}'
        for row in rows
    ]
    special = sorted({row.copyleft for row in rows if row.copyleft})
    head = (
        f'bids_acc {__version__}: Apache-2.0. It needs {len(rows)} packages, each under its own '
        f'licence; marked are those that ask for more than to be named ({", ".join(special)}).'
    )
    return '\n'.join([head, '', *listed, '', _notice()])


def _notice() -> str:
    """Return NOTICE, from the installed package or the checkout."""
    try:
        files = metadata.files('bids_acc') or []
    except metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.name == 'NOTICE':
            return str(file.read_text())
    beside = resources.files('bids_acc') / '..' / 'NOTICE'
    return beside.read_text() if beside.is_file() else ''
