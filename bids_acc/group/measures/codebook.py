"""The codebook of the table of measures: what each column holds, and what stands in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd

from bids_acc.files.writing import write_bytes
from bids_acc.group.measures.files import LONG, LONG_COLUMNS, TABLE, DataDictionary
from bids_acc.group.measures.table import Kind, Measures
from bids_acc.quality.sessions import PRESETS, session_preset
from bids_acc.report.html import Block, Section, render_page, table_block

PAGE = 'codebook.html'
MOST_LEVELS = 6
"""Different texts of a column that are listed."""
WORDS: Mapping[Kind, str] = {
    'person': 'People', 'parcel': 'Parcels', 'region': 'Regions of atlases',
    'metabolite': 'Metabolites', 'voxel': 'Place of the voxels', 'quality': 'Quality',
    'status': 'What is there', 'ungated': 'Without the gates of images',
}  # fmt: skip
HEAD = (
    f'Every column of {TABLE}, in which each participant and session is a row. n is the number '
    'of rows with a value, missing that of n/a. The usual range is that of the declared limits '
    'of a column (Minimum and Maximum of participants.json) or of the package (the gates '
    'anat-usual, dwi-usual and rest); where it is empty, no range holds for all scanners and '
    'protocols.'
)


def codebook_table(measures: Measures, dictionary: DataDictionary) -> pd.DataFrame:
    """Describe each column, with what stands in it.

    Parameters
    ----------
    measures : Measures
        The table.
    dictionary : mapping
        From `bids_acc.group.measures.files.data_dictionary`.

    Returns
    -------
    DataFrame
        A row for each column: ``kind``, ``column``, ``definition``, ``unit``, ``usual range``,
        ``n``, ``missing``, ``smallest``, ``largest`` and ``values`` (of a text).
    """
    usual = dict(_usual_ranges())
    rows = []
    for name, meaning in measures.meanings.items():
        told, cells = dictionary.get(name), measures.wide[name]
        entry = told if isinstance(told, dict) else {}
        unit = str(entry.get('Units', ''))
        rows.append(
            {
                'kind': meaning.kind,
                'column': name,
                'definition': _definition(entry),
                'unit': '' if unit == '1' else unit,
                # what the data set declares of its own column goes before what the package thinks
                # usual
                'usual range': _declared(entry) or usual.get(name.partition('__')[0], ''),
                'n': int(cells.notna().sum()),
                'missing': int(cells.isna().sum()),
                **_contents(cells),
            }
        )
    columns = ['kind', 'column', 'definition', 'unit', 'usual range', 'n', 'missing',
               'smallest', 'largest', 'values']  # fmt: skip
    return pd.DataFrame(rows, columns=columns)


def write_codebook(measures: Measures, dictionary: DataDictionary, folder: Path) -> Path:
    """Write the codebook as a page beside the table.

    Parameters
    ----------
    measures, dictionary
        As in `codebook_table`.
    folder : Path
        That of the table.

    Returns
    -------
    Path
        The page.
    """
    table = codebook_table(measures, dictionary)
    size = (
        f'{len(measures.wide)} rows, {len(measures.meanings)} columns and two keys: '
        'participant_id and session_id (n/a without sessions).'
    )
    sections = [Section('Table', [Block(paragraphs=[HEAD, size])])]
    for kind in get_args(Kind):
        own = table[table['kind'] == kind].drop(columns='kind')
        if len(own):
            shown = own.loc[:, ~(own.astype(str) == '').all()]
            block = table_block(shown, caption=f'{len(own)} columns.', file=folder / TABLE)
            sections.append(Section(WORDS[kind], [block]))
    long = pd.DataFrame({'column': list(LONG_COLUMNS), 'definition': list(LONG_COLUMNS.values())})
    caption = f'The same values one below the other: {LONG}.'
    sections.append(Section('Long form', [table_block(long, caption=caption, file=folder / LONG)]))
    path = folder / PAGE
    write_bytes(path, render_page('Codebook', TABLE, sections, folder).encode())
    return path


def _definition(entry: Mapping[str, object]) -> str:
    """Return what a column holds, with what its levels mean."""
    text = str(entry.get('Description', '')).strip()
    levels = entry.get('Levels')
    if not isinstance(levels, Mapping):
        return text
    named = (
        f'{key}: {value.get("Description", "") if isinstance(value, Mapping) else value}'
        for key, value in levels.items()
    )
    return f'{text.rstrip(".")}. {"; ".join(named)}'


def _declared(entry: Mapping[str, object]) -> str:
    """Write the range that a sidecar declares."""
    low, high = entry.get('Minimum'), entry.get('Maximum')
    if low is None and high is None:
        return ''
    return f'{low} to {high}' if None not in (low, high) else (
        f'from {low}' if high is None else f'up to {high}'
    )  # fmt: skip


def _usual_ranges() -> Iterator[tuple[str, str]]:
    """Yield the columns of quality that have a usual range."""
    for modality, presets in PRESETS.items():
        limits: dict[str, list[str]] = {}
        for one in session_preset(modality, presets[0], 'codebook').session:  # type: ignore[arg-type]
            limits.setdefault(one.metric, []).append(f'{one.operator} {one.value:g}')
        for metric, said in limits.items():
            for name in (metric, f'{metric}_L', f'{metric}_R'):
                yield f'{modality}_{name}', ' and '.join(said)


def _contents(cells: pd.Series) -> dict[str, str]:
    """Say what stands in a column: from where to where, or which texts."""
    known = cells.dropna()
    # pandas counts truth values among the numbers
    if pd.api.types.is_numeric_dtype(cells) and not pd.api.types.is_bool_dtype(cells):
        numbers = known.to_numpy(dtype=float)
        ends = (np.min(numbers), np.max(numbers)) if numbers.size else (None, None)
        low, high = ('' if end is None else f'{end:.5g}' for end in ends)
        return {'smallest': low, 'largest': high, 'values': ''}
    counts = known.astype(str).value_counts()
    shown = [f'{name} ({n})' for name, n in counts.head(MOST_LEVELS).items()]
    more = f' and {len(counts) - MOST_LEVELS} others' if len(counts) > MOST_LEVELS else ''
    return {'smallest': '', 'largest': '', 'values': ', '.join(shown) + more}
