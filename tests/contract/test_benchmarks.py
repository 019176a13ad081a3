"""Benchmarks run by one command, fail by themselves, and stand in the documentation."""

from __future__ import annotations

import pytest

from tests.benchmarks import __main__ as benchmarks
from tests.contract.layers import ROOT

PAGE = ROOT / 'docs' / 'benchmarks.md'
PRINTED = ROOT / 'docs' / 'benchmarks'


@pytest.fixture
def scripts(tmp_path, monkeypatch):
    """Two benchmarks, of which the first fails, and a file that both share."""
    ends = "if __name__ == '__main__':\n"
    (tmp_path / 'broken.py').write_text(f'"""Broken."""\n{ends}    print("so far")\n    1 / 0\n')
    (tmp_path / 'sound.py').write_text(
        f'"""Sound.\n\nMore."""\nimport sys\n{ends}    print(sys.argv[1:])\n'
    )
    (tmp_path / 'shared.py').write_text('VALUE = 1\n')
    monkeypatch.setattr(benchmarks, 'HERE', tmp_path)
    return tmp_path


def test_one_that_fails_does_not_stop_the_others(scripts, capfd):
    code = benchmarks.main(['--out', str(scripts / 'out')])
    said = capfd.readouterr().out
    assert code == 1
    assert 'so far' in said
    assert "['--quick']" in said
    kept = {path.name: path.read_text() for path in (scripts / 'out').iterdir()}
    assert sorted(kept) == ['broken.txt', 'sound.txt']
    assert 'exit 1' in kept['broken.txt']
    assert kept['sound.txt'].startswith('$ python tests/benchmarks/sound.py --quick\n')


def test_whole_runs_are_not_shortened(scripts, capfd):
    assert benchmarks.main(['sound', '--full']) == 0
    assert '[]' in capfd.readouterr().out


def test_names_are_checked_before_anything_runs(scripts):
    with pytest.raises(SystemExit, match='no benchmark sond; there are broken, sound'):
        benchmarks.main(['sound', 'sond'])


def test_list_says_what_there_is(scripts, capsys):
    assert benchmarks.main(['--list']) == 0
    assert capsys.readouterr().out.splitlines()[1].split() == ['sound', 'Sound.']


def test_each_has_a_short_form():
    texts = {
        name: (benchmarks.HERE / f'{name}.py').read_text('utf-8') for name in benchmarks.names()
    }
    assert [name for name, text in texts.items() if "'--quick'" not in text] == []


def test_each_stands_on_the_page():
    page = PAGE.read_text('utf-8')
    assert [name for name in benchmarks.names() if f'`{name}`' not in page] == []


def test_what_is_shown_was_printed_by_one_that_ended_well():
    page = PAGE.read_text('utf-8')
    shown = sorted(PRINTED.glob('*.txt'))
    assert shown
    for path in shown:
        command, facts = path.read_text('utf-8').splitlines()[:2]
        assert path.stem in benchmarks.names()
        assert f'{{literalinclude}} benchmarks/{path.name}' in page
        script, *flags = command.removeprefix('$ python tests/benchmarks/').split()
        assert (script, flags) in [(f'{path.stem}.py', f) for f in ([], ['--full'], ['--quick'])]
        assert facts.endswith('exit 0'), path.name
