"""References of the methods that a run used: in the text and as BibTeX."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path

from bids_acc.files.writing import write_bytes
from bids_acc.group.state import GroupRun

FREE = (
    'This text and its references may be copied without any condition (CC0 1.0, '
    'https://creativecommons.org/publicdomain/zero/1.0/).'
)
_ENTRY = re.compile(r'@\w+\{(?P<key>\w+),.*?\n\}', re.DOTALL)
_FIELD = re.compile(r'(\w+) = \{((?:[^{}]|\{[^{}]*\})*)\}')
_CORRECTIONS = {'bh': 'benjamini1995', 'holm': 'holm1979'}


MADE_WITH: Mapping[str, tuple[str, ...]] = {
    'Desikan et al.': ('desikan2006',),
    'CerebrA': ('klein2012', 'manera2020'),
    'deepbet': ('fisch2024',),
    'N4 (': ('tustison2010',),
}
"""Words of the description of the processing, and the references that go with them."""


def bibliography() -> dict[str, str]:
    """Return the shipped BibTeX entries by key, in their order.

    Returns
    -------
    dict of str to str
    """
    path = resources.files('bids_acc') / 'data' / 'report' / 'references.bib'
    text = path.read_text('utf-8')
    return {found['key']: found[0] for found in _ENTRY.finditer(text)}


def used_keys(run: GroupRun) -> list[str]:
    """List the references of what ran.

    Parameters
    ----------
    run : GroupRun
        A finished run.

    Returns
    -------
    list of str
        Keys of `bibliography`, in its order.
    """
    used = set(_used(run))
    return [key for key in bibliography() if key in used]


def _used(run: GroupRun) -> Iterator[str]:
    """Yield the keys of the methods of a run."""
    yield 'gorgolewski2016'
    made = ' '.join(run.processing)
    for word, keys in MADE_WITH.items():
        if word in made:
            yield from keys
    if run.parcellation is not None:
        yield 'desikan2006'  # the page names parcels by it
        if run.parcellation.choice.source != 'atlas':
            yield from ('yang2010', 'sotiras2015')
    if run.model is None or not run.tables:
        return
    yield from ('steiger2004', 'vonelm2007')
    content = run.model.content
    methods = {content['Correction'], *(f.get('Method') for f in content['Families'].values())}
    yield from (_CORRECTIONS[name] for name in methods if name in _CORRECTIONS)
    if 'mrs_group' in run.tables and str(content['Mrs']['UnitScheme']).startswith('water_tissue'):
        yield 'gasparovic2006'


def in_words(entry: str) -> str:
    """Write a BibTeX entry as a line of a list of references.

    Parameters
    ----------
    entry : str
        One BibTeX entry of a journal article.

    Returns
    -------
    str
        Authors (the first one of more than three), year, title, journal, volume, pages and DOI
        or address.

    Raises
    ------
    KeyError
        If author, year, title or journal is missing.

    Examples
    --------
    >>> in_words(bibliography()['holm1979']).rpartition(' ')[0]
    'Holm S (1979). A simple sequentially rejective multiple test procedure. Scandinavian Journal of Statistics 6:65-70.'
    """  # noqa: E501
    fields = {name: _plain(value) for name, value in _FIELD.findall(entry)}
    authors = [_author(name) for name in fields['author'].split(' and ')]
    named = ', '.join(authors) if len(authors) <= 3 else f'{authors[0]} et al.'
    where = f'https://doi.org/{fields["doi"]}' if 'doi' in fields else fields.get('url', '')
    pages = fields.get('pages', '').replace('--', '-')
    place = f'{fields["journal"]} {fields.get("volume", "")}:{pages}'
    return f'{named} ({fields["year"]}). {fields["title"]}. {place}. {where}'


def _plain(value: str) -> str:
    """Return text without BibTeX's marks."""
    for mark, letter in (("{\\'e}", 'é'), ('{\\o}', 'ø')):
        value = value.replace(mark, letter)
    return re.sub(r'[{}]', '', value)


def _author(name: str) -> str:
    """Write the family name and the initials."""
    family, _, given = name.partition(', ')
    return f'{family} {"".join(part[0] for part in given.split())}'.strip()


def write_methods(run: GroupRun, paragraphs: Sequence[str], folder: Path) -> list[str]:
    """Write ``methods.md`` and ``references.bib``.

    Parameters
    ----------
    run : GroupRun
        A finished run.
    paragraphs : sequence of str
        What was done, in words.
    folder : Path
        Of the model.

    Returns
    -------
    list of str
        The references as lines.
    """
    entries = bibliography()
    keys = used_keys(run)
    lines = [in_words(entries[key]) for key in keys]
    parts = [*paragraphs, '## References', *lines, FREE]
    write_bytes(folder / 'methods.md', ('\n\n'.join(['## Methods', *parts]) + '\n').encode())
    text = '\n'.join(entries[key] for key in keys) + '\n'
    write_bytes(folder / 'references.bib', text.encode())
    return lines
