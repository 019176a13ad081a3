"""One damaged map, label file or table of one person costs that person, and nobody else."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bids_acc.derivatives.outputs import find_outputs
from bids_acc.exceptions import InputDataError, MissingInputError
from bids_acc.group.cohort.reading import load_cohort, plan_group
from bids_acc.group.cohort.vertexmaps import LABEL_KEY, METRIC_KEYS, gather_vertex_metrics
from bids_acc.group.function.run import read_matrices
from bids_acc.group.measures.region_tables import read_regions
from tests.endtoend.test_command import bids_acc
from tests.faults.test_group_tables import annex
from tests.synthetic import derivatives, function_cohort
from tests.synthetic.bids_folder import write_dataset

METRICS = ('thickness', 'fa')


def other_values(content: bytes) -> bytes:
    """Replace the packed values by others that cannot be unpacked."""
    return re.sub(rb'<Data>....', b'<Data>AAAA', content, count=1, flags=re.DOTALL)


def change(how: Callable[[bytes], bytes]) -> Callable[[Path], object]:
    """Make a fault out of a change of the bytes."""
    return lambda path: path.write_bytes(how(path.read_bytes()))


FAULTS: dict[str, Callable[[Path], object]] = {
    'empty': change(lambda content: b''),
    'half': change(lambda content: content[: len(content) // 2]),
    'without its end': change(lambda content: content[:-30]),
    'binary': change(lambda content: bytes(range(256)) * 9),
    'text': change(lambda content: b'fetch me'),
    'other values': change(other_values),
    'entities': change(lambda content: content.replace(b'<GIFTI', b'<!DOCTYPE a [<!ENTITY b "c">]>'
                                                       b'<GIFTI', 1)),
    'other file': change(lambda content: content.replace(
        b'ExternalFileName=""', b'ExternalFileName="/etc/passwd"')),
    'fewer vertices': change(lambda content: re.sub(rb'Dim0="\d+"', b'Dim0="12"', content)),
    'not fetched': annex,
    'a folder': lambda path: (path.unlink(), path.mkdir()),
    'a link to itself': lambda path: (path.unlink(), path.symlink_to(path.name)),
}  # fmt: skip


@pytest.fixture(scope='module')
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an output folder of three people with maps and spectra."""
    root = write_dataset(
        tmp_path_factory.mktemp('cohort') / 'out', DatasetType='derivative',
        GeneratedBy=[{'Name': 'bids_acc'}],
    )  # fmt: skip
    derivatives.write_cohort(root, n_per_group=1)
    return root


@pytest.fixture
def root(sound: Path, tmp_path: Path) -> Path:
    """Return a copy of the folder that may be damaged; files are links to the sound ones."""
    copy = tmp_path / 'out'
    for path in sorted(sound.rglob('*')):
        if path.is_file():
            target = copy / path.relative_to(sound)
            target.parent.mkdir(parents=True, exist_ok=True)
            os.link(path, target)
    return copy


def damage(path: Path, fault: Callable[[Path], object]) -> None:
    """Damage a file, not the sound one that it is a link to."""
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content)
    fault(path)


def one_of(root: Path, key: str, **fixed: str) -> Path:
    """Return the left map of the second person."""
    return find_outputs(key, root, subject='002', hemisphere='L', **fixed)[0].path


@pytest.mark.parametrize('metric', METRICS)
@pytest.mark.parametrize('kind', FAULTS)
def test_a_damaged_map_costs_one_person(kind, metric, root):
    key, fixed = METRIC_KEYS[metric]
    path = one_of(root, key, **fixed)
    damage(path, FAULTS[kind])
    data = gather_vertex_metrics(root, METRICS)
    assert [who.removeprefix('sub-') for who in data.sessions['participant_id']] == ['001', '003']
    assert data.excluded is not None
    assert '002' in str(data.excluded['participant_id'].tolist())
    assert np.isfinite(data.values).all()


@pytest.mark.parametrize('kind', FAULTS)
def test_a_damaged_label_file_has_no_vote(kind, root):
    whole = gather_vertex_metrics(root, METRICS)
    damage(one_of(root, LABEL_KEY), FAULTS[kind])
    data = gather_vertex_metrics(root, METRICS)
    assert data.n_sessions == 3
    assert data.columns.equals(whole.columns)


def test_without_a_single_readable_label_file_the_reason_is_said(root):
    for item in find_outputs(LABEL_KEY, root):
        damage(item.path, FAULTS['half'])
    with pytest.raises((InputDataError, MissingInputError), match='dseg'):
        gather_vertex_metrics(root, METRICS)


TABLE_FAULTS: dict[str, Callable[[Path], object]] = {
    **{kind: FAULTS[kind] for kind in ('empty', 'binary', 'not fetched', 'a folder',
                                       'a link to itself')},
    'ragged': change(lambda content: content + b'a\tb\n'),
    'another separator': change(lambda content: content.replace(b'\t', b';')),
    'a header only': change(lambda content: content.split(b'\n')[0] + b'\n'),
    'numbers as words': change(lambda content: re.sub(rb'\d', b'x', content)),
    'one column': change(lambda content: b'\n'.join(
        line.split(b'\t')[0] for line in content.split(b'\n'))),
}  # fmt: skip


@pytest.fixture(scope='module')
def function_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an output folder of three people with tables of function."""
    root = tmp_path_factory.mktemp('function') / 'out'
    function_cohort.write_cohort(root, np.random.default_rng(0), n_per_group=1, n_regions=6)
    return root


@pytest.mark.parametrize('key', ['func_parcels', 'func_markers', 'func_matrix', 'func_regions',
                                 'func_qc'])  # fmt: skip
@pytest.mark.parametrize('kind', TABLE_FAULTS)
def test_a_damaged_table_of_function_costs_one_person(kind, key, function_root, tmp_path):
    copy = tmp_path / 'out'
    for path in sorted(function_root.rglob('*')):
        if path.is_file():
            (copy / path.relative_to(function_root)).parent.mkdir(parents=True, exist_ok=True)
            (copy / path.relative_to(function_root)).write_bytes(path.read_bytes())
    TABLE_FAULTS[kind](find_outputs(key, copy, subject='002')[0].path)
    everybody = {'sub-001', 'sub-002', 'sub-003'}
    others = everybody - {'sub-002'}
    cohort = load_cohort(copy, plan_group(copy))
    assert set(cohort.participants['participant_id']) >= others
    regions = read_regions(copy)
    assert regions is not None
    for metric in regions['metric'].unique():
        assert set(regions.loc[regions['metric'] == metric, 'participant_id']) >= others
    assert set(read_matrices(copy, None, everybody).by_person) >= others


@pytest.mark.slow
@pytest.mark.endtoend
def test_the_command_goes_on_without_the_damaged(tmp_path):
    """Each of six people with another damage: exit code 0, and each is told of."""
    root = write_dataset(tmp_path / 'out', DatasetType='derivative',
                         GeneratedBy=[{'Name': 'bids_acc'}])  # fmt: skip
    derivatives.write_cohort(root, n_per_group=8)
    thickness = [
        f for f in find_outputs('anat_thickness', root) if f.entities['hemisphere'] == 'L'
    ]
    harmed = {}
    for item, kind in zip(thickness, ['half', 'empty', 'not fetched', 'other file'], strict=False):
        FAULTS[kind](item.path)
        harmed[f'sub-{item.entities["subject"]}'] = item.path.name
    labels = [f for f in find_outputs(LABEL_KEY, root) if f.entities['subject'] == '010']
    for item in labels:
        FAULTS['half'](item.path)
    for item in find_outputs('mrs_quantities', root, subject='011'):
        TABLE_FAULTS['ragged'](item.path)
        harmed['sub-011'] = item.path.name
    done = bids_acc(root, root, 'group', '--model', 'auto')
    assert 'Traceback' not in done.stderr
    assert done.returncode == 0, done.stderr
    said = done.stderr + ''.join(
        p.read_text() for p in root.rglob('*.tsv') if p.name in ('exclusions.tsv', 'flow.tsv')
    )
    assert [who for who, name in harmed.items() if who not in said and name not in said] == []
