"""Settings that would fail for every spectrum are refused before any is touched."""

from __future__ import annotations

from pathlib import Path

import pytest

from bids_acc.derivatives.status import StatusRow, verdict
from bids_acc.exceptions import BidsAccError, ExitCode
from bids_acc.mrs.engines.run import not_fitted
from bids_acc.mrs.levels.quantify import ratio_members
from bids_acc.mrs.workflow.settings import check_mrs_settings
from bids_acc.settings import MrsSettings


@pytest.mark.parametrize(
    ('settings', 'code', 'sentence'),
    [
        ({'gate': 'acc-structures'}, ExitCode.USAGE, 'neither a preset'),
        ({'relaxation': 'nobody'}, ExitCode.USAGE, '--mrs-relaxation'),
        ({'ratios': ('Glx',)}, ExitCode.USAGE, 'a ratio is written as'),
        ({'macromolecules': 'nowhere.nii.gz'}, ExitCode.USAGE, '--mrs-macromolecules'),
        ({'basis': 'nowhere.BASIS'}, ExitCode.NO_INPUT, '--mrs-basis nowhere.BASIS'),
        ({'fits': 'nowhere'}, ExitCode.NO_INPUT, '--mrs-fits nowhere'),
        ({'engine': 'import'}, ExitCode.USAGE, '--mrs-fits'),
        ({'engine': 'lcmodel'}, ExitCode.USAGE, 'no program "lcmodel"'),
        ({'second_engine': 'lcmodel'}, ExitCode.USAGE, 'no program "lcmodel"'),
    ],
)
def test_refused_at_once(
    settings: dict, code: ExitCode, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('PATH', '')
    with pytest.raises(BidsAccError) as error:
        check_mrs_settings(MrsSettings(**settings))
    assert error.value.exit_code is code
    assert sentence in str(error.value)


def test_defaults_and_files_that_are_there_pass(tmp_path: Path) -> None:
    check_mrs_settings(MrsSettings())
    check_mrs_settings(MrsSettings(fits=str(tmp_path), basis=str(tmp_path)))


def test_a_wrong_option_never_ends_well() -> None:
    row = StatusRow(
        'sub-01', None, 'mrs', 'failed', reason_text='the gate asks what no engine gives',
        exit_code=ExitCode.USAGE,
    )  # fmt: skip
    text, code = verdict([row])
    assert code is ExitCode.USAGE
    assert 'the gate asks' in text


def test_names_of_a_spectrum_that_failed_include_those_of_the_ratios() -> None:
    names = not_fitted('builtin', 'broken', ratio_members(('Mac/tCr', 'Ins+Gly/tNAA'))).names
    assert {'Glu', 'Mac', 'Gly', 'NAA'} <= set(names)
    assert len(names) == len(set(names))
