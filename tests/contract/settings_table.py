"""Write the documentation's table of settings from the declared ones.

Run ``python tests/contract/settings_table.py`` after a change in ``bids_acc/settings``;
``test_readme.py`` fails while the two differ.
"""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

from bids_acc.settings import Settings
from bids_acc.settings.option import Option, options

PAGE = Path(__file__).resolve().parents[2] / 'docs' / 'settings.md'
HEADINGS = {
    'anat': 'T1w', 'dwi': 'Diffusion', 'mrs': 'Spectroscopy', 'func': 'Function',
    'mtr': 'Magnetization transfer',
    'group': 'Group level', 'resources': 'Resources', '': 'General',
}  # fmt: skip
HEAD = """\
# Settings

Written from `bids_acc/settings/records.py` by `python tests/contract/settings_table.py`. Each
setting is a flag of the command line and a key of the file that `--config-file` takes;
`bids_acc --config-schema` prints the JSON schema of that file, and `logs/<run>/config.toml` of the
output folder holds the whole call of a run: `bids_acc --config-file config.toml` repeats it.
"""


def row(item: Option) -> str:
    """Write one setting."""
    default = ' '.join(map(str, item.default)) if item.is_list else item.default
    shown = (
        '' if default in (None, '') else f'`{str(default).lower() if item.is_flag else default}`'
    )
    cells = (f'`{item.flag}`', f'`{item.name}`', item.help, item.allowed, shown)
    return '| ' + ' | '.join(cell.replace('|', '\\|') for cell in cells) + ' |'


def page() -> str:
    """Return the whole page."""
    lines = [HEAD]
    for section, items in groupby(options(Settings), key=lambda item: item.section):
        where = f' (`[{section}]`)' if section else ''
        lines += [f'## {HEADINGS[section]}{where}', '']
        lines += ['| flag | key | what it does | allowed | default |', '|---|---|---|---|---|']
        lines += [*map(row, items), '']
    return '\n'.join(lines)


if __name__ == '__main__':
    PAGE.write_text(page())
