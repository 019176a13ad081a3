"""A subject's page, put together from its sections.

A section of a session is a title and a function from the subject and the session to blocks; a new
one is a line in `SESSION_SECTIONS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

from bids_acc.files.writing import write_bytes
from bids_acc.report.glossary import with_glossary
from bids_acc.report.html import Block, Section, render_page
from bids_acc.report.plain_words import plain_sections
from bids_acc.report.subject.modality import declared_blocks
from bids_acc.report.subject.rating import rating_blocks
from bids_acc.report.subject.spectroscopy import gate_blocks, levels_blocks
from bids_acc.report.subject.summary import summary_blocks
from bids_acc.report.subject.surface_maps import surface_blocks
from bids_acc.report.subject.view import SubjectView

BlocksOf = Callable[[SubjectView, str | None], Iterable[Block]]


def _spectroscopy(view: SubjectView, session: str | None) -> Iterator[Block]:
    """Yield verdict and levels first, then figures and tables as declared."""
    yield from gate_blocks(view, session)
    yield from levels_blocks(view, session)
    yield from declared_blocks(view, session, 'mrs')


SESSION_SECTIONS: Sequence[tuple[str, BlocksOf]] = (
    ('Structure (T1w)', partial(declared_blocks, modality='anat')),
    ('Diffusion', partial(declared_blocks, modality='dwi')),
    ('Function (BOLD)', partial(declared_blocks, modality='func')),
    ('Magnetization transfer', partial(declared_blocks, modality='mtr')),
    ('Spectroscopy (1H-MRS)', _spectroscopy),
    ('Surface maps', surface_blocks),
)
"""Title and content of each section of a session; a section without blocks is left out."""


def subject_sections(view: SubjectView) -> list[Section]:
    """Collect the sections of a page.

    Parameters
    ----------
    view : SubjectView
        The subject.

    Returns
    -------
    list of Section
    """
    sections = [Section('Summary', list(summary_blocks(view)))]
    for session in view.visits:
        for title, blocks_of in SESSION_SECTIONS:
            if blocks := list(blocks_of(view, session)):
                name = f'{title} ses-{session}' if session else title
                sections += plain_sections([Section(name, blocks)])
    if rating := list(rating_blocks(view)):
        sections.append(Section('Rating', rating))
    return with_glossary(sections)


def write_subject_report(view: SubjectView) -> Path:
    """Write a subject's page.

    Parameters
    ----------
    view : SubjectView
        The subject.

    Returns
    -------
    Path
        ``sub-<label>.html``.
    """
    path = view.output_dir / f'sub-{view.subject}.html'
    count = f', {len(view.visits)} sessions' if len(view.visits) > 1 else ''
    page = render_page(
        f'sub-{view.subject}', f'bids_acc participant report{count}', subject_sections(view),
        view.output_dir,
    )  # fmt: skip
    write_bytes(path, page.encode())
    return path
