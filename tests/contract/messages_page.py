"""Write the documentation's list of messages from `docs/messages.yaml` and the code.

Run ``python -m tests.contract.messages_page`` after a change of a message or an entry;
``test_messages.py`` fails while the two differ.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import yaml

from tests.contract.messages import HOLE, Message, all_messages, kinds

DOCS = Path(__file__).resolve().parents[2] / 'docs'
PAGE = DOCS / 'messages.md'
HEAD = """\
# Every message

What bids_acc says when it refuses, with what it means and what to do. Search this page for words
of the message; `…` stands for the file, value or name that it gives. The number is the exit
code, where the message ends the run ([when something goes wrong](trouble.md)). One session's
message stands in `logs/<run>/status.tsv` and ends nothing else.

Written from `docs/messages.yaml` and the code by `python -m tests.contract.messages_page`.
"""


def entries() -> list[dict[str, Any]]:
    """Read the entries."""
    found: list[dict[str, Any]] = yaml.safe_load((DOCS / 'messages.yaml').read_text())
    return found


def fits(entry: dict[str, Any], message: Message) -> bool:
    """Tell whether a message is of an entry's kind."""
    here = any(fnmatch(message.place, pattern) for pattern in entry.get('in', ['*']))
    return here and re.search(entry.get('says', ''), message.text) is not None


def sort_messages(
    messages: Sequence[Message], known: list[dict[str, Any]]
) -> tuple[list[list[Message]], list[Message]]:
    """Give each message to the first entry that it fits; return those of each, and the others."""
    sorted_ = [list[Message]() for _ in known]
    others = []
    for message in messages:
        at = next((i for i, entry in enumerate(known) if fits(entry, message)), None)
        (others if at is None else sorted_[at]).append(message)
    return sorted_, others


def own_words(text: str) -> str:
    """Return a message as one line for the page; empty where all of it is filled in."""
    if len(re.sub(r'[^A-Za-z]', '', text)) < 8:
        return ''
    line = ' '.join(text.replace('`', "'").split())
    return re.sub(rf'{HOLE}(\s*{HOLE})+', HOLE, line)


def page() -> str:
    """Return the whole page."""
    lines, known, codes = [HEAD], entries(), kinds()
    for entry, own in zip(known, sort_messages(all_messages(), known)[0], strict=True):
        lines += [
            f'## {entry["title"]}',
            '',
            f'{entry["means"]}',
            '',
            f'**What to do.** {entry["do"]}',
            '',
        ]
        said = sorted({(own_words(m.text), codes[m.kind]) for m in own if own_words(m.text)})
        lines += [*(f'- `{text}` ({code})' for text, code in said), '']
    return '\n'.join(lines)


if __name__ == '__main__':
    PAGE.write_text(page())
