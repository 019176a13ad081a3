"""Every kind of figure says how it is read and what it cannot tell."""

from __future__ import annotations

import ast

from bids_acc.derivatives.outputs import load_table
from bids_acc.report.reading import READINGS, explained
from tests.contract.layers import read_sources

PICTURES = {'.svg', '.png'}
UNSHOWN = {'power'}
"""Figures of other commands, which no page shows."""


def calls() -> set[str]:
    """List the kinds that the code names."""
    return {
        node.args[0].value
        for source in read_sources().values()
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call) and getattr(node.func, 'id', '') == 'explained'
        and isinstance(node.args[0], ast.Constant)
    }  # fmt: skip


def declared() -> set[str]:
    """List the figures of a participant's page, by the name of the output."""
    return {
        spec.key for spec in load_table().values()
        if spec.report and spec.entities.get('extension') in PICTURES
    }  # fmt: skip


def test_every_figure_has_an_entry_and_every_entry_a_figure():
    assert len(declared()) > 20
    assert calls() | declared() | UNSHOWN == set(READINGS)


def test_an_entry_has_both_parts_as_sentences():
    for kind, (read, cannot) in READINGS.items():
        assert read.endswith('.'), kind
        assert cannot.endswith('.'), kind
        assert min(len(read), len(cannot)) > 20, kind
        assert 'What this cannot tell: ' in explained(kind, '')


def test_whoever_shows_a_picture_of_a_cohort_explains_it():
    drawn = [
        place for place, source in read_sources().items()
        if place.startswith('group/') and 'save_for_paper(' in source
    ]  # fmt: skip
    assert len(drawn) > 5
    silent = [place for place in drawn if 'explained(' not in read_sources()[place]]
    assert silent == ['group/power/files.py'], 'its figure is in no page'
    assert not [
        place for place, source in read_sources().items()
        if place.startswith('group/') and 'save_figure(' in source
    ], 'a figure of a cohort has a version for papers: save_for_paper'  # fmt: skip
