"""The command's refusals; what it writes is tested end to end."""

import json
from dataclasses import asdict

import pytest

from bids_acc.demo.cli import main
from bids_acc.demo.dataset import DemoOptions
from bids_acc.exceptions import ExitCode


@pytest.mark.parametrize(
    'flags', [['--n-per-group', '0'], ['--resolution', '9'], ['--seed', '-1']]
)
def test_impossible_options_are_refused_before_anything_is_written(tmp_path, capsys, flags):
    assert main([str(tmp_path / 'new'), *flags]) == ExitCode.USAGE
    assert flags[0] in capsys.readouterr().err
    assert not (tmp_path / 'new').exists()


def test_a_folder_with_other_things_is_left_alone(tmp_path, capsys):
    (tmp_path / 'thesis.txt').write_text('years of work')
    assert main([str(tmp_path)]) == ExitCode.CANNOT_WRITE
    assert 'not empty' in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ['thesis.txt']


def test_the_same_dataset_is_not_written_twice(tmp_path, capsys):
    (tmp_path / 'code').mkdir()
    truth = {
        'options': asdict(DemoOptions(n_per_group=2)),
        'visits': [{'thickness_file': 'truth/sub-01_thickness.tsv'}],
    }
    (tmp_path / 'code' / 'truth.json').write_text(json.dumps(truth))
    assert main([str(tmp_path), '--n-per-group', '2']) == ExitCode.OK
    assert 'already there' in capsys.readouterr().out
    assert main([str(tmp_path), '--n-per-group', '3']) == ExitCode.CANNOT_WRITE


def test_a_dataset_of_an_earlier_version_is_not_taken_for_this_one(tmp_path, capsys):
    (tmp_path / 'code').mkdir()
    truth = {'options': asdict(DemoOptions()), 'visits': [{'thickness_change': {}}]}
    (tmp_path / 'code' / 'truth.json').write_text(json.dumps(truth))
    assert main([str(tmp_path)]) == ExitCode.CANNOT_WRITE
    assert 'made by an earlier version: remove it' in capsys.readouterr().err


def test_score_without_a_demo_dataset_is_missing_input(tmp_path, capsys):
    assert main([str(tmp_path), '--score', str(tmp_path)]) == ExitCode.NO_INPUT
    assert 'truth.json' in capsys.readouterr().err
