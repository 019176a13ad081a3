"""Write the documentation's table of outputs from the declared one.

Run ``python tests/contract/outputs_table.py`` after a change in ``bids_acc/data/outputs``;
``test_docs.py`` fails while the two differ.
"""

from __future__ import annotations

from pathlib import Path

from bids_acc.derivatives.outputs import ENTITIES, OutputSpec, build_path, load_table
from bids_acc.group.statistics.tables import TITLES

PAGE = Path(__file__).resolve().parents[2] / 'docs' / 'outputs.md'
BEGIN = '<!-- outputs: written by `python tests/contract/outputs_table.py` -->'
END = '<!-- /outputs -->'
HEADINGS = {
    'anat': 'Structure',
    'dwi': 'Diffusion',
    'func': 'Function',
    'mtr': 'Magnetization transfer',
    'mrs': 'Spectroscopy',
    'session': 'Session',
    'group': 'Group',
    'clinical': 'Treatment history',
}


def example_name(spec: OutputSpec) -> str:
    """Write the name of an output with its entities in angle brackets."""
    fields = {name: f'<{ENTITIES[name]}>' for name in spec.free if name in ENTITIES}
    if 'extension' in spec.free:
        fields['extension'] = '.*'
    subject = {'subject': '<label>'} if spec.level != 'dataset' else {}
    return str(build_path(spec, {**subject, **spec.entities, **fields}))


GROUP_ROOTS = dict.fromkeys(('voxels', 'vertexwise', 'tables'), 'group/model-<name>/')
"""Where folders of the group level lie that are not those of the parcels."""


def outputs_table() -> str:
    """Return the Markdown of all outputs but the figures."""
    lines = []
    for prefix, heading in HEADINGS.items():
        lines += [f'**{heading}**', '', '| file | content |', '|---|---|']
        for spec in load_table().values():
            if (
                spec.mesh
                or spec.key.partition('_')[0] != prefix
                or 'figures'
                in (
                    spec.datatype,
                    Path(spec.folder or '').name,
                )
            ):
                continue
            description = str(spec.metadata.get('Description', '')).strip()
            root = (
                GROUP_ROOTS.get(spec.folder, 'group/parcels-<key>/') if prefix == 'group' else ''
            )
            lines.append(f'| `{root}{example_name(spec)}` | {" ".join(description.split())} |')
        lines.append('')
    lines += [
        MESHES,
        '',
        MEASURES,
        '',
        '**Statistics**, in `group/model-<name>/stats`; a table is there if its analysis was made',
        '',
    ]
    lines += ['| file | content |', '|---|---|']
    lines += [f'| `{name}.tsv` | {title} |' for name, title in TITLES.items()]
    return '\n'.join([*lines, ''])


MESHES = """\
With `--mesh civet` or `--mesh fsLR`, surfaces, thickness, area, volume, labels and what diffusion,
magnetization transfer and function tell at vertices lie on the mesh of the derivative as well, by
the same names with `space-civet_den-41k` or `space-fsLR_den-32k`."""

MEASURES = """\
**Measures**: `group/model-<name>/measures.tsv`, everything that is measured with a row for each
participant and session, and `measures_long.tsv`; the JSON file beside it describes every column.
All analyses are made of this table. `measures_example.R` and `.py` compute a row of the report
from it; edited or extended, it is analysed by `group --measures FILE`."""


def page() -> str:
    """Return the whole page, with the table between its two marks."""
    head, _, rest = PAGE.read_text().partition(BEGIN)
    tail = rest.partition(END)[2]
    return f'{head}{BEGIN}\n\n{outputs_table()}\n{END}{tail}'


if __name__ == '__main__':
    PAGE.write_text(page())
