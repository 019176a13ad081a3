"""Self-contained pages from the figures and tables that lie in the output folder.

A page asks nothing of the network, so it can be mailed, archived and opened inside a hospital. Its
one script, told to the browser by its hash, sorts, filters and copies tables; without it the page
says the same.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2
import numpy as np
import pandas as pd

from bids_acc import __version__
from bids_acc.report.surface_view import mesh_content
from bids_acc.report.wording import four_digits

_MIME = {'.svg': 'image/svg+xml', '.png': 'image/png', '.jpg': 'image/jpeg'}
_WHOLE = 18
"""Letters of a cell that stay on one line, such as those of F(2, 70) = 0.38."""
_VERDICTS = ('pass', 'fail', 'done', 'reused', 'skipped', 'failed', 'excluded', 'flag', 'unknown')


@dataclass(frozen=True)
class Block:
    """A figure, a table or some paragraphs, with title and caption."""

    title: str = ''
    caption: str = ''
    image: str = ''
    """Data URI."""
    file: Path | None = None
    """What the figure or table was read from; linked where the page lies above it."""
    columns: Sequence[str] = ()
    rows: Sequence[Sequence[Mapping[str, str]]] = ()
    folded: bool = False
    """Whether a long table scrolls in a window of its own; in print it is whole."""
    paragraphs: Sequence[str] = ()
    markup: str = ''
    """SVG that stands in the page itself; its text is escaped by whoever made it."""
    frames: bool = False
    """Whether the image has two halves, one above the other, that a slider lays over each
    other."""
    viewer: str = ''
    """Maps on surfaces as JSON (`bids_acc.report.surface_view`); the image is shown without
    script."""
    surfaces: str = ''
    """Surfaces of the viewer as JSON where they are not the template's."""
    rating: tuple[str, Sequence[tuple[str, str]]] | None = None
    """Participant, and session and modality of each row of a form for raters."""
    beside: Sequence[tuple[Path, str]] = ()
    """Files that belong to it, with words: the rows that a figure shows, a table for a paper."""
    links: Sequence[tuple[Path, str]] = ()
    """Files with what they hold; one below the page's folder is linked."""
    kind: str = ''
    """``bad`` sets paragraphs off, as errors."""

    @property
    def source(self) -> str:
        """Name of the file."""
        return self.file.name if self.file else ''

    @property
    def as_tsv(self) -> str:
        """The table as a data URI, for those that are no file of the folder."""
        lines = [list(self.columns), *([cell['text'] for cell in row] for row in self.rows)]
        text = ''.join('\t'.join(' '.join(c.split()) for c in line) + '\n' for line in lines)
        encoded = base64.b64encode(text.encode()).decode()
        return f'data:text/tab-separated-values;charset=utf-8;base64,{encoded}'

    @property
    def alternative(self) -> str:
        """What a figure shows, for those who do not see it."""
        return '. '.join(part.rstrip('.') for part in (self.title, self.caption) if part) + '.'


@dataclass(frozen=True)
class Section:
    """A part of the page that the navigation names."""

    title: str
    blocks: Sequence[Block] = field(default_factory=tuple)
    text: str = ''


def image_block(path: Path, title: str, caption: str = '') -> Block:
    """Embed a figure.

    Parameters
    ----------
    path : Path
        SVG, PNG or JPEG.
    title, caption : str
        Words above it.
    """
    if path.suffix == '.svg':
        uri = svg_address(path.read_text(encoding='utf-8'))
    else:
        encoded = base64.b64encode(path.read_bytes()).decode()
        uri = f'data:{_MIME[path.suffix]};base64,{encoded}'
    return Block(title=title, caption=caption, image=uri, file=path)


def svg_address(text: str) -> str:
    """Write an SVG as the address of an image, half as long as base64 would be.

    Parameters
    ----------
    text : str
        As Matplotlib writes it: attributes in double quotes, none of them ``class``.

    Returns
    -------
    str
        Data URI that holds the picture as text, drawn as the file is. What draws nothing (prolog,
        metadata, indents) is left out, and styles that are repeated have a name.
    """
    # a page holds hundreds of figures and may be sent by mail: much of each is repeated styles
    drawn = re.sub(r'\s*\n\s*', ' ', _NOT_DRAWN.sub('', _named_styles(text))).strip()
    quoted = re.sub(r'<[^>]*>', lambda tag: re.sub(r'="([^"\']*)"', r"='\1'", tag[0]), drawn)
    return f'data:image/svg+xml;charset=utf-8,{quoted.translate(_IN_ADDRESS)}'


_NOT_DRAWN = re.compile(r'<\?xml.*?\?>|<!DOCTYPE.*?>|<metadata>.*?</metadata>', re.DOTALL)
_IN_ADDRESS = str.maketrans({sign: f'%{ord(sign):02X}' for sign in '%#&"<>\\'})
"""Signs that end an address, an attribute or a tag, or mean something in a style sheet."""
_STYLE = re.compile(r' style="([^"]*)"')
_OFTEN = 4
"""Times from which a style is worth a name."""


def _named_styles(svg: str) -> str:
    """Give the styles that are repeated a class, in the style sheet that Matplotlib writes."""
    # with classes of its own, names could meet; such a figure stays as it is
    if '</style>' not in svg or ' class="' in svg:
        return svg
    counts = Counter(_STYLE.findall(svg))
    often = [style for style, times in counts.items() if times >= _OFTEN]
    names = {style: f's{number}' for number, style in enumerate(often)}
    rules = ''.join(f'.{name}{{{style}}}' for style, name in names.items())
    named = _STYLE.sub(lambda m: f' class="{names[m[1]]}"' if m[1] in names else m[0], svg)
    return named.replace('</style>', f'{rules}</style>', 1)


def table_block(
    table: pd.DataFrame,
    title: str = '',
    caption: str = '',
    *,
    columns: Sequence[str] | None = None,
    fold_above: int = 40,
    file: Path | None = None,
) -> Block:
    """Show a table; a long one scrolls in a window of its own.

    Parameters
    ----------
    table : DataFrame
        What to show.
    title, caption : str
        Words above it.
    columns : sequence of str, optional
        Only these, in this order.
    fold_above : int
        Number of rows from which the table scrolls.
    file : Path, optional
        The table itself, to be linked.
    """
    shown = [c for c in columns if c in table.columns] if columns else list(table.columns)
    rows = [[_cell(value) for value in record] for record in table[shown].itertuples(index=False)]
    return Block(
        title=title, caption=caption, columns=shown, rows=rows,
        folded=len(rows) > fold_above, file=file,
    )  # fmt: skip


def _cell(value: object) -> dict[str, str]:
    """Write one table cell and choose its look."""
    if value is None or (isinstance(value, float) and pd.isna(value)):
        return {'text': 'n/a', 'css': '' if value is None else 'number'}
    if isinstance(value, bool | np.bool_):
        return {'text': 'yes' if value else 'no', 'css': ''}
    if isinstance(value, float):
        return {'text': four_digits(value), 'css': 'number'}
    if isinstance(value, int | np.integer):
        return {'text': str(value), 'css': 'number'}
    text = str(value)
    if text in _VERDICTS:
        return {'text': text, 'css': text}
    if text.endswith(']') and ' [' in text:
        return {'text': text, 'css': 'interval'}
    return {'text': text, 'css': 'whole' if ' ' in text and len(text) <= _WHOLE else ''}


def render_page(
    title: str, subtitle: str, sections: Sequence[Section], folder: Path | None = None
) -> str:
    """Fill the page template.

    Parameters
    ----------
    title, subtitle : str
        Head of the page.
    sections : sequence of Section
        In order.
    folder : Path, optional
        Where the page will lie; files in it are linked.

    Returns
    -------
    str
        HTML; all text is escaped.
    """
    shipped = resources.files('bids_acc') / 'data' / 'report'
    turned = any(block.viewer for section in sections for block in section.blocks)
    on_template = any(b.viewer and not b.surfaces for section in sections for b in section.blocks)
    names = ('page.js', 'surface.js') if turned else ('page.js',)
    scripts = [(shipped / name).read_text('utf-8') for name in names]
    # labels and notes come from users' tables, and are text wherever they stand
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    template = environment.from_string((shipped / 'page.html.j2').read_text('utf-8'))
    return template.render(
        title=title,
        subtitle=subtitle,
        sections=sections,
        footer=f'bids_acc {__version__}. All figures and tables come from files in this folder.',
        href=lambda block: _href(block.file, folder),
        link=lambda file: _href(file, folder),
        slug=lambda text: re.sub(r'[^A-Za-z0-9]+', '_', text).strip('_').lower() or 'table',
        address=lambda uri: uri.translate(_IN_ATTRIBUTE),
        style=(shipped / 'page.css').read_text('utf-8'),
        mesh=mesh_content() if on_template else '',
        scripts=scripts,
        script_hashes=[_script_hash(script) for script in scripts],
    )


_IN_ATTRIBUTE = str.maketrans({sign: f'%{ord(sign):02X}' for sign in '&"<>'})
"""Signs that no attribute holds as they are; an address means the same with their codes."""


def _script_hash(script: str) -> str:
    """Tell the browser which script may run: by all that stands between its tags."""
    digest = hashlib.sha256(f'\n{script}'.encode()).digest()  # with the line break after the tag
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def _href(file: Path | None, folder: Path | None) -> str:
    """Write the link from a page to a file below its folder, or beside it; else empty."""
    if file is None or folder is None:
        return ''
    if file.is_relative_to(folder):
        return quote(file.relative_to(folder).as_posix())
    if file.is_relative_to(folder.parent):
        return f'../{quote(file.relative_to(folder.parent).as_posix())}'
    return ''


def upright(
    table: pd.DataFrame, described: Mapping[str, Any], columns: Sequence[str] | None = None
) -> pd.DataFrame:
    """Turn the first row of a wide table into one row for each figure, with unit and meaning.

    Parameters
    ----------
    table : DataFrame
        Of one row.
    described : mapping
        Column to its ``Description`` and ``Units``, as in the sidecar.
    columns : sequence of str, optional
        Only these, in this order; one of a diffusion shell stands for those of all shells.

    Examples
    --------
    >>> wide = pd.DataFrame({'cnr': [2.5]})
    >>> upright(wide, {'cnr': {'Description': 'Contrast', 'Units': '1'}}).iloc[0].to_dict()
    {'measure': 'cnr', 'value': '2.5', 'unit': '', 'meaning': 'Contrast'}

    Of shells one is named and described for all.

    >>> shells = pd.DataFrame({'snr_b2000': [12.0], 'n': [3]})
    >>> about = {'snr_b1000': {'Description': 'S/N of a shell'}}
    >>> upright(shells, about, ['snr_b1000'])[['measure', 'meaning']].values.tolist()
    [['snr_b2000', 'S/N of a shell']]
    """
    wanted = dict.fromkeys(_of_any_shell(c) for c in columns or table.columns)
    shown = [c for name in wanted for c in table.columns if _of_any_shell(c) == name]
    alike = {_of_any_shell(name): about for name, about in described.items()}
    rows = []
    for name in shown if len(table) else ():  # a header alone is what a full disk leaves
        about = described.get(name) or alike.get(_of_any_shell(name), {})
        unit = str(about.get('Units', ''))
        rows.append(
            {
                'measure': name,
                'value': _cell(table[name].iloc[0])['text'],
                'unit': '' if unit == '1' else unit,
                'meaning': ' '.join(str(about.get('Description', '')).split()),
            }
        )
    return pd.DataFrame(rows, columns=['measure', 'value', 'unit', 'meaning'])


def _of_any_shell(name: str) -> str:
    """Leave the b-value out of a column's name."""
    return re.sub(r'_b\d+$', '_b', name)
