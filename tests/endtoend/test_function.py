"""The installed command on function that other tools have prepared or measured: people and group.

Nobody has a T1w image here: series and maps lie in MNI152, or in grayordinates.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bids_acc.derivatives.outputs import find_outputs, read_sidecar
from bids_acc.surfaces.gifti import read_map
from tests.endtoend.test_command import bids_acc
from tests.synthetic.bids_folder import write_dataset
from tests.synthetic.fmriprep import confound_table, planted_series, write_fmriprep
from tests.synthetic.xcpd import LAYOUTS, NODES, Run, write_xcpd

pytestmark = [pytest.mark.slow, pytest.mark.endtoend]

N = 160
FINISHED = [f'x{n:02d}' for n in range(1, 9)]
EVENTS = 'onset\tduration\ttrial_type\n' + ''.join(
    f'{onset}\t{length}\t{name}\n' for onset, length, name in [
        *((o, 12, 'faces') for o in range(10, 290, 60)),
        *((o, 12, 'twin') for o in range(10, 290, 60)),
        *((o, 0, 'press') for o in range(40, 290, 30)), (330, 12, 'faces'),
    ]
)  # fmt: skip
"""Blocks, a second condition at the same times, impulses, and an event after the last volume."""


def write_data(base: Path) -> Path:
    """Write what XCP-D made of eight people, and what fMRIPrep made of two."""
    raw = write_dataset(base / 'raw')
    people = {
        'participant_id': [f'sub-{name}' for name in FINISHED],
        'group': ['HC', 'responder', 'HC', 'resistant'] * 2,
        'age': range(30, 38), 'sex': list('FFMMFFMM'),
    }  # fmt: skip
    pd.DataFrame(people).to_csv(raw / 'participants.tsv', sep='\t', index=False)
    for k, name in enumerate(FINISHED):
        space = 'fsLR' if name == FINISHED[-1] else 'MNI152NLin2009cAsym'
        one = Run(space=space, seed=k)
        if k == 1:  # a region without coverage, as XCP-D 0.3 wrote it
            gone = NODES[-1]
            one.series[gone] = one.matrix[gone] = 0.0
            one.matrix.loc[gone] = 0.0
        if k == 2:
            one.displacement = one.displacement[:-4]
        write_xcpd(base / 'xcpd', one, LAYOUTS['0.10'], name)
    rng = np.random.default_rng(3)
    series, mask, affine = planted_series(rng, N, voxel_mm=6.0, noise=0.5)
    for name, task in (('f01', 'task-rest'), ('f02', 'task-faces')):
        table = confound_table(rng, N, 2).drop(columns='framewise_displacement')
        write_fmriprep(base / 'fmriprep', name, series, mask, affine, table, name=task)
    for name in (*FINISHED, 'f01', 'f02'):
        (raw / f'sub-{name}' / 'func').mkdir(parents=True)
    (raw / 'sub-f02' / 'func' / 'sub-f02_task-faces_events.tsv').write_text(EVENTS)
    return raw


@pytest.fixture(scope='module')
def ran(tmp_path_factory) -> Path:
    """Run the participant level once, on everybody."""
    base = tmp_path_factory.mktemp('function')
    raw = write_data(base)
    done = bids_acc(raw, base / 'out', 'participant', '--modalities', 'func', '--density', '10k',
                    '-d', f'xcpd={base / "xcpd"}', f'fmriprep={base / "fmriprep"}',
                    '--nprocs', '1', '-w', base / 'work')  # fmt: skip
    (base / 'said.txt').write_text(done.stdout + done.stderr)
    assert done.returncode == 65, done.stderr  # sub-x03 alone: the others go on
    return base


def test_each_person_has_a_status(ran):
    status = pd.read_csv(next((ran / 'out').rglob('status.tsv')), sep='\t')
    own = status[status['modality'] == 'func'].set_index('participant_id')
    failed = own.index[own['status'] == 'failed'].tolist()
    assert failed == ['sub-x03']
    assert 'outliers.tsv has 220 rows' in own.loc['sub-x03', 'reason_text']
    assert 'computed from the motion parameters' in own.loc['sub-f01', 'reason_text']


def test_what_a_design_tells_is_written_and_what_not_has_a_reason(ran):
    found = find_outputs('func_contrasts', ran / 'out', subject='f02')[0].path
    table = pd.read_csv(found, sep='\t')
    assert set(table['contrast']) == {'faces', 'twin', 'press'}
    by_contrast = table.groupby('contrast')
    assert by_contrast['effect'].count()[['faces', 'twin']].tolist() == [0, 0]
    reasons = table.loc[(table['contrast'] == 'faces') & (table['coverage'] > 0.9), 'reason']
    assert reasons.str.contains('cannot be told').sum() > 200
    press = table[(table['contrast'] == 'press') & table['reason'].isna()]
    assert len(press) > 200
    # noise: a second's response is told to a few per cent, and not to a few hundred
    assert press['effect'].abs().median() < 5
    findings = ' '.join(read_sidecar(found)['Findings'])
    assert '1 of 20 events lie outside the run' in findings
    assert 'faces is not estimable' in findings


def test_maps_and_correlations_of_the_other_tool_are_the_ones_written(ran):
    path = next(f.path for f in find_outputs('func_vertex_reho', ran / 'out', subject='x01'))
    values = read_map(path)
    assert 0.1 < np.nanmedian(values) < 0.7
    matrix = pd.read_csv(find_outputs('func_matrix', ran / 'out', subject='x02')[0].path,
                         sep='\t', index_col='Node')  # fmt: skip
    assert matrix[NODES[-1]].isna().all()
    assert matrix[NODES[0]].notna().sum() == len(NODES) - 1
    assert not find_outputs('func_vertex_reho', ran / 'out', subject=FINISHED[-1])
    assert find_outputs('func_parcels', ran / 'out', subject=FINISHED[-1])


def test_the_group_judges_them_by_what_they_tell(ran):
    """Finished measures tell no tSNR; the gate of the model once left out everybody for it."""
    done = bids_acc(ran / 'raw', ran / 'out', 'group', '--model', 'trd-function',
                    '-w', ran / 'work')  # fmt: skip
    folder = ran / 'out' / 'group' / 'model-trd-function'
    flow = pd.read_csv(folder / 'qc' / 'flow.tsv', sep='\t')
    own = flow[flow['modality'] == 'func'].set_index('participant_id')['status']
    assert (own[[f'sub-{name}' for name in FINISHED if name != 'x03']] == 'run').all(), done.stderr
    measures = pd.read_csv(folder / 'measures.tsv', sep='\t')
    # each atlas has its markers: XCP-D's people those of its parcels, fMRIPrep's of the spheres
    counts = {atlas: measures[f'fc__{atlas}__within_DMN__both'].notna().sum()
              for atlas in ('4S156Parcels', 'Seitzman')}  # fmt: skip
    assert counts == {'4S156Parcels': len(FINISHED) - 1, 'Seitzman': 1}
