"""Write the documentation's page of all columns from the declared table of outputs.

Run ``python tests/contract/numbers_page.py`` after a change in ``bids_acc/data/outputs``;
``test_docs.py`` fails while the two differ.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bids_acc.derivatives.outputs import load_table
from tests.contract.outputs_table import HEADINGS, example_name

PAGE = Path(__file__).resolve().parents[2] / 'docs' / 'numbers.md'
HEAD = """\
# Each number

Written from `bids_acc/data/outputs` by `python tests/contract/numbers_page.py`: the columns
of every table, as its JSON sidecar describes them. Missing is `n/a`, never 0.
"""


def cell(text: object) -> str:
    """Write text into a table cell."""
    return ' '.join(str(text).split()).replace('|', '\\|').replace('<', '&lt;').replace('*', '\\*')


def meaning(about: Mapping[str, Any]) -> str:
    """Describe a column, with its levels."""
    levels = about.get('Levels') or {}
    listed = '; '.join(f'`{name}`: {text}' for name, text in levels.items())
    return cell('. '.join(filter(None, [str(about.get('Description', '')), listed])))


def page() -> str:
    """Return the whole page."""
    lines = [HEAD]
    for prefix, heading in HEADINGS.items():
        tables = [s for s in load_table().values() if s.key.startswith(f'{prefix}_') and s.columns]
        lines += [f'## {heading}', ''] if tables else []
        for spec in tables:
            lines += [f'### `{Path(example_name(spec)).name}`', '']
            lines += ['| column | unit | meaning |', '|---|---|---|']
            lines += [
                f'| `{name}` | {cell(about.get("Units", ""))} | {meaning(about)} |'
                for name, about in spec.columns.items()
            ]
            lines.append('')
    return '\n'.join(lines)


if __name__ == '__main__':
    PAGE.write_text(page())
