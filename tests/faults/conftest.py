"""Says at the end how many faults were tried, survived and lost."""

from __future__ import annotations

from typing import Any

from tests.faults.tally import ARRAYS, SURVIVED, TRIED, array_summary

FOLDER = 'tests/faults/'


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print the count of planted faults (one a test) and that of damaged inputs (fuzzing)."""
    ends = {
        end: [r.nodeid for r in terminalreporter.stats.get(end, []) if FOLDER in r.nodeid]
        for end in ('passed', 'failed', 'error')
    }
    survived, lost = len(ends['passed']), ends['failed'] + ends['error']
    if not survived and not lost:
        return
    terminalreporter.section('faults')
    terminalreporter.write_line(
        f'planted: {survived + len(lost)} tried, {survived} survived, {len(lost)} lost'
    )
    total, good = sum(TRIED.values()), sum(SURVIVED.values())
    if total:
        terminalreporter.write_line(
            f'damaged inputs of {len(TRIED)} kinds: {total} tried, {good} survived, '
            f'{total - good} lost'
        )
    if ARRAYS:
        terminalreporter.write_line(array_summary())
    for name in lost:
        terminalreporter.write_line(f'lost: {name}')
