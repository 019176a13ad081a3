"""Folders that are given as derivatives and are none."""

from __future__ import annotations

import pytest

from bids_acc.cli.checks import check_together
from bids_acc.exceptions import SettingsError
from bids_acc.settings import Request, Settings


def request(tmp_path, folder):
    """Return a call with one derivative."""
    return Request(
        bids_dir=tmp_path, output_dir=tmp_path / 'out', level='participant',
        derivatives={'fmriprep': folder}, modalities=('func',), settings=Settings(),
    )  # fmt: skip


def test_a_folder_above_or_below_the_subjects_is_named(tmp_path):
    right = tmp_path / 'derivatives' / 'fmriprep'
    (right / 'sub-01' / 'func').mkdir(parents=True)
    check_together(request(tmp_path, right))
    check_together(request(tmp_path, right / 'sub-01' / 'func'))  # nothing tells what it is
    with pytest.raises(SettingsError, match=rf'but {right} does: give that one'):
        check_together(request(tmp_path, right.parent))
    with pytest.raises(SettingsError, match=rf'one subject: give the one above it, {right}'):
        check_together(request(tmp_path, right / 'sub-01'))
    with pytest.raises(SettingsError, match='is no folder'):
        check_together(request(tmp_path, tmp_path / 'none'))
