"""The command line reads what people write and refuses the rest with 64."""

from __future__ import annotations

import re
from dataclasses import replace
from importlib import resources
from pathlib import Path

import pytest

from bids_acc.cli.parser import build_parser, parse, read_labels
from bids_acc.exceptions import ExitCode, SettingsError
from bids_acc.settings import Settings, to_toml
from bids_acc.settings.option import options


def test_minimal(tmp_path):
    request = parse([str(tmp_path), str(tmp_path / 'out'), 'participant'])
    assert request.settings == Settings()
    assert request.level == 'participant'
    assert request.dry_run is None


def test_paths_are_short_where_they_lead_to_the_same_place(tmp_path, monkeypatch):
    (tmp_path / 'study' / 'raw').mkdir(parents=True)
    (tmp_path / 'link').symlink_to(tmp_path / 'study' / 'raw')
    monkeypatch.chdir(tmp_path / 'study')
    request = parse(['raw/../raw', './../out', 'participant', '-d', '..', '-w', '../link/../w'])
    assert request.bids_dir == tmp_path / 'study' / 'raw'
    assert request.output_dir == tmp_path / 'out'
    assert request.derivatives == {tmp_path.name: tmp_path}
    # behind a link `..` is the parent of where it leads
    assert request.work_dir == tmp_path / 'study' / '..' / 'link' / '..' / 'w'


@pytest.mark.parametrize(
    ('words', 'hint'),
    [(('raw', 'out', 'Participants'), 'did you mean participant'),
     (('participant', 'raw', 'out'), 'in this order')],
)  # fmt: skip
def test_a_level_that_is_none_gets_a_hint(words, hint):
    with pytest.raises(SettingsError, match=hint):
        parse(words)
    assert parse(('raw', 'out', 'subject')).level == 'participant'


def test_flags_win_over_the_configuration_file(tmp_path):
    config = tmp_path / 'c.toml'
    config.write_text('random_seed = 5\n[resources]\nnprocs = 3\n')
    base = [str(tmp_path), 'out', 'participant', '--config-file', str(config)]
    assert parse(base).settings.resources.nprocs == 3
    settings = parse([*base, '--nprocs', '8']).settings
    assert (settings.resources.nprocs, settings.random_seed) == (8, 5)


@pytest.mark.parametrize('item', list(options(Settings)), ids=lambda item: item.flag)
def test_each_flag_changes_its_own_setting_and_no_other(item, tmp_path):
    (tmp_path / 'der').mkdir()
    if item.is_flag:
        words, expected = [], True
    elif item.choices:
        expected = next(word for word in item.choices if word != item.default)
        words = [expected]
    elif item.name == 'roi':
        words, expected = ['insula'], ('insula',)
    elif item.flag in ('--func-seeds', '--func-atlas'):  # files that are read at once
        names = {'--func-seeds': 'func/seeds.tsv', '--func-atlas': 'atlases/CerebrA_dseg.nii.gz'}
        expected = str(resources.files('bids_acc') / 'data' / names[item.flag])
        words = [expected]
    elif item.flag == '--func-gate':
        words, expected = ['none'], 'none'
    elif item.flag == '--tract-atlas':
        atlases = Path(str(resources.files('bids_acc') / 'data' / 'atlases'))
        expected = f'Mine={atlases / "CerebrA_dseg.nii.gz"}'
        words = [expected]
    elif item.flag == '--mesh-labels':
        (tmp_path / 'labels.txt').write_text('1\n' * 40962)
        expected = tuple(f'{side}={tmp_path / "labels.txt"}' for side in 'LR')
        words = list(expected)
    elif item.flag == '--atlas':
        words, expected = ['Desikan', 'HCPMMP1'], ('Desikan', 'HCPMMP1')
    elif item.name == 'k_range':
        words, expected = ['3', '4'], (3, 4)
    elif item.name == 'band':
        words, expected = ['0.02', '0.08'], (0.02, 0.08)
    elif item.is_list:
        words, expected = ['a', 'b'], ('a', 'b')
    else:
        middle = {int: 7, float: 0.5}.get(item.annotation, 'word')
        if isinstance(item.default, float) and item.default > 1:  # 0.5 may be below its range
            middle = item.default + (0.1 if item.flag == '--mrs-ppm-max' else 1)
        words, expected = [str(middle)], middle
    base = [str(tmp_path), 'out', 'participant', '-d', f'x={tmp_path / "der"}', '--mrs-fits', 'f']
    if item.name.startswith('mesh_'):  # of a mesh that must be asked for
        base += ['--mesh', 'civet', *(['--mesh-roi', '1'] if item.name == 'mesh_labels' else [])]
    before = parse(base).settings
    after = parse([*base, item.flag, *words]).settings
    section = getattr(before, item.section) if item.section else before
    changed = replace(section, **{item.name: expected})
    assert after == (replace(before, **{item.section: changed}) if item.section else changed)


@pytest.mark.parametrize(
    ('words', 'message'),
    [
        (['--dwi-b-max', '-5'], r'--dwi-b-max -5: allowed is above 0 s/mm2'),
        (['--dwi-b-max', 'many'], 'takes a number, above 0'),
        (['--opnmf-max-missing', '70'], r'at least 0 and below 1'),
        (['--opnmf-k-range', '2', '3', '9'], r'--opnmf-k-range 2 3 9: it takes two values'),
        (['--mem', '-3'], r'--mem -3: allowed is above 0 GB'),
        (['--opnmf-components', '0'], 'at least 2'),
        (['--opnmf-starts', '0'], 'at least 1'),
        (['--opnmf-splits', '-4'], 'at least 1'),
        (['--dwi-denois', 'none'], r'did you mean --dwi-denoise\?'),
        (['--roi', 'insulaa'], '--roi insulaa: no cortical label'),
        (['--roi', 'subgenual'], 'did you mean subgenualacc'),
        (['--roi', 'amygdala'], 'region of the volume of CerebrA'),
        (['--atlas', 'AAL'], 'neither NAME=PATH nor one that is shipped'),
        (['--atlas', 'Desikan', 'Desikan'], 'two atlases have this name'),
        (['--roi', 'cortex', 'insula'], 'stands alone'),
        (['--surface-source', 'freesurfer'], 'say where, with -d NAME=PATH'),
        (['--mesh', 'fsLR'], '--mesh fsLR takes the results of another tool: say where, with -d'),
        (['--mesh-roi', '18'], 'add --mesh civet or --mesh fsLR'),
        (['--dwi-source', 'derivative'], 'say where, with -d'),
        (['--mrs-engine', 'import'], 'say where, with --mrs-fits'),
        (['--modalities', 'anatt'], 'one of anat, dwi, func, mtr, mrs'),
    ],
)
def test_refusals_name_the_flag_the_value_and_what_is_allowed(words, message):
    with pytest.raises(SettingsError, match=message):
        parse(['in', 'out', 'participant', *words])


def test_a_flag_that_swallows_the_folders_is_named():
    with pytest.raises(SettingsError, match='--participant-label takes every word'):
        parse(['--participant-label', '01', 'in', 'out', 'participant'])
    with pytest.raises(SettingsError, match='missing: bids_dir output_dir level'):
        parse([])


def test_names_of_other_apps(tmp_path):
    request = parse(['in', 'out', 'subject', '--n_cpus', '3', '--mem_mb', '4000'])
    assert (request.level, request.settings.resources.nprocs) == ('participant', 3)
    assert request.settings.resources.mem_gb == 4
    assert parse(['in', 'out', 'dataset', '-q']).verbosity == -1


def test_a_configuration_file_repeats_the_call(tmp_path):
    listed, other = tmp_path / 'wanted \U0001f9e0.txt', tmp_path / 'fs'
    listed.write_text('sub-01\n02\n')
    other.mkdir()
    words = [
        str(tmp_path), str(tmp_path / 'out'), 'participant', '--participant-label', str(listed),
        '--session-label', 'ses-a', '--modalities', 'mrs', 'anat', '-d', f'freesurfer={other}',
        '--bids-filter-file', 'f.json', '-w', 'work', '--force', '-v', '--dwi-b-max', '1200',
        '--opnmf-k-range', '3', '5', '--skip-bids-validation', '--stop-on-first-crash',
    ]  # fmt: skip
    first = parse(words)
    config = tmp_path / 'config.toml'
    config.write_text(to_toml(first), encoding='utf-8')
    assert parse(['--config-file', str(config)]) == first
    again = parse(
        ['--config-file', str(config), '--participant-label', '07', '--dwi-b-max', '900']
    )
    assert again.participant_labels == ('07',)
    assert again.settings.dwi.b_max == 900


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('request = 3', 'it is a section'),
        (
            '[request]\nparticipant_labels = "01"',
            r'participant_labels = .01.: it takes',
        ),
        ('[request]\nparticipants = ["01"]', 'unknown setting participants; did you mean'),
        ('[request]\ndry_run = "text"', 'neither settings nor dry_run'),
    ],
)
def test_a_wrong_request_in_the_file_is_refused(text, message, tmp_path):
    (tmp_path / 'c.toml').write_text(text)
    with pytest.raises(SettingsError, match=message):
        parse(['in', 'out', 'participant', '--config-file', str(tmp_path / 'c.toml')])


def test_labels(tmp_path):
    listed = tmp_path / 'labels.txt'
    listed.write_text('participant_id\nsub-01\n02\textra\n\n')
    assert read_labels([str(listed), 'sub-03'], 'sub-') == ('01', '02', '03')
    with pytest.raises(SettingsError, match='no such file'):
        read_labels(['none.txt'], 'sub-')
    with pytest.raises(SettingsError, match='no BIDS label'):
        read_labels(['0_1'], 'sub-')


@pytest.mark.parametrize(
    'arguments',
    [
        [],
        ['in', 'out', 'everything'],
        ['in', 'out', 'participant', '--nprocs', 'many'],
        ['in', 'out', 'participant', '--nprocs', '0'],
        ['in', 'out', 'participant', '--no-such-flag'],
        ['in', 'out', 'participant', '--surface-source', 'x'],
        ['in', 'out', 'participant', '-d', 'fs=/nowhere/at/all'],
    ],
)
def test_wrong_usage_is_64(arguments):
    with pytest.raises(SettingsError) as error:
        parse(arguments)
    assert error.value.exit_code is ExitCode.USAGE


def test_folders_without_a_slash_become_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ('fits', 'parcels', 'simulate', 'acc-structure'):
        (tmp_path / name).mkdir()
    flags = '--mrs-fits fits --mrs-basis simulate --mrs-gate acc-structure --opnmf-atlas parcels'
    request = parse(['in', 'out', 'participant', *flags.split()])
    assert request.settings.mrs.fits == str(tmp_path / 'fits')
    assert request.settings.group.atlas == str(tmp_path / 'parcels')
    assert request.settings.mrs.gate == 'acc-structure'
    assert request.settings.mrs.basis == 'simulate'


def test_help_lists_every_exit_code():
    text = build_parser().format_help()
    listed = {int(number) for number in re.findall(r'\b(\d\d?)(?= [a-zA-Z])', text[-600:])}
    assert {int(code) for code in ExitCode} <= listed
