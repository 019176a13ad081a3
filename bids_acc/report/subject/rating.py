"""A form for a rater, which gives the table that the group level honours."""

from __future__ import annotations

from collections.abc import Iterator

from bids_acc.report.html import Block
from bids_acc.report.subject.view import SubjectView

TEXT = (
    'Rate what you have looked at, download the table, and put it into the folder code/ of the '
    'output. The group level leaves out what is rated exclude and says so, with reason and rater '
    '(bids_acc ... group honours code/exclude.tsv and code/*_exclude.tsv). Keep and unsure are '
    'kept on record and leave nobody out. Nothing leaves this page but by the download.'
)


def rating_blocks(view: SubjectView) -> Iterator[Block]:
    """Yield the form, with a row for each modality of each session that has results.

    Parameters
    ----------
    view : SubjectView
        The subject.

    Yields
    ------
    Block
    """
    rows = [
        (row.session_id or 'n/a', row.modality)
        for row in view.status
        if row.status in ('done', 'reused')
    ]
    if rows:
        yield Block(paragraphs=[TEXT], rating=(f'sub-{view.subject}', tuple(rows)))
