"""What somebody sees of a page, and what a table leaves undescribed."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import unquote


def visible_texts(page: str) -> list[str]:
    """Return the texts of a page and of the SVG figures in it, without scripts and styles."""
    body = re.sub(r'<(script|style).*?</\1>', '', page, flags=re.DOTALL)
    figures = [unquote(found) for found in re.findall(r'data:image/svg\+xml;[^,]*,([^"]+)', body)]
    drawn = [
        text for svg in figures for text in re.findall(r'<text[^>]*>(.*?)</text>', svg, re.DOTALL)
    ]
    alternative = re.findall(r' (?:alt|aria-label)="([^"]*)"', body)
    plain = re.sub(r'<[^>]+>', '\n', body)
    return [html.unescape(text) for text in [*plain.split('\n'), *alternative, *drawn] if text]


def raw_names(texts: Iterable[str], names: Iterable[str]) -> list[str]:
    """List the names that stand in a text as words of their own; names of files do not count."""
    wanted = '|'.join(sorted(map(re.escape, names), key=len, reverse=True))
    pattern = re.compile(rf'(?<![\w./\'\x22-])({wanted})(?![\w./-]*\w)')
    return sorted({found[1] for text in texts for found in pattern.finditer(text)})


def undescribed(root: Path) -> list[str]:
    """List the columns of the TSV files below a folder that their JSON does not describe.

    Those of series and matrices are regions, which the table of regions describes row by row;
    those of label tables are BIDS's own.
    """
    missing = []
    for path in sorted(root.rglob('*.tsv')):
        if path.stem.endswith(('_timeseries', '_relmat', '_dseg')):
            continue
        sidecar = path.with_suffix('.json')
        known = json.loads(sidecar.read_text()) if sidecar.is_file() else {}
        for name in path.read_text().partition('\n')[0].split('\t'):
            entry = known.get(name)
            told = entry.get('Description') if isinstance(entry, dict) else None
            if not (isinstance(told, str) and told.strip()):
                missing.append(f'{path.relative_to(root)}: {name}')
    return missing
