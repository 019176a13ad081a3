"""The README says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

from bids_acc.cli.parser import build_parser
from bids_acc.exceptions import ExitCode

README = Path(__file__).resolve().parents[2] / 'README.md'


def test_table_of_exit_codes_is_complete():
    listed = re.findall(r'^\| (\d+) \|', README.read_text(), re.MULTILINE)
    assert sorted(map(int, listed)) == sorted(int(code) for code in ExitCode)


def test_named_flags_exist():
    text = README.read_text()
    known = set(build_parser().format_help().replace(',', ' ').split())
    own = {'--rm', '--array', '--wrap', '--dependency', '--score', '--n-per-group', '--quick',
               '--cohort'}  # fmt: skip
    for flag in set(re.findall(r'(?<![\w-])--[a-z][a-z0-9-]+', text)) - own:
        assert flag in known, flag
