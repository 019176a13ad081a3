"""Tables of spectra that failed: what goes wrong with one is the matter of that one."""

from __future__ import annotations

import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bids_acc.participant import run


def test_only_the_tables_that_failed_are_tried_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tried = []

    def build(failure: Any, *, keep_fit: bool, **_: Any) -> Any:
        name = failure.inputs.svs.name

        def work(plugin: str) -> None:
            tried.append((name, keep_fit))
            if name == 'lost' or (name == 'half a fit' and keep_fit):
                raise RuntimeError(f'{plugin} crashed')

        return SimpleNamespace(run=work)

    failures = [
        SimpleNamespace(inputs=SimpleNamespace(svs=Path(name), files=[]))
        for name in ('lost', 'half a fit', 'sound')
    ]
    monkeypatch.setattr(run, 'failed_spectra', lambda jobs, known: failures)
    monkeypatch.setattr(run, 'init_failed_spectrum_wf', build)
    monkeypatch.setattr(run, 'tell_sources', lambda workflow, sources: None)
    folders: Any = SimpleNamespace(work=Path(), datasets={})
    request = SimpleNamespace(output_dir=Path(), settings=None)
    with caplog.at_level(logging.WARNING):
        run._tabulate_failed_spectra([], run._Ledger(Path()), request, folders)  # type: ignore[arg-type]
    assert tried == [
        ('lost', True), ('lost', False), ('half a fit', True), ('half a fit', False),
        ('sound', True),
    ]  # fmt: skip
    assert caplog.text.count('no tables of lost: RuntimeError: Linear crashed') == 2
    assert 'sound' not in caplog.text
