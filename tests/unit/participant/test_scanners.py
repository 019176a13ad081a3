"""Scanner, software and sequence come from the sidecars and reach the group level."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from bids_acc.bids.discovery import discover
from bids_acc.bids.index import ImageIndex
from bids_acc.bids.inputs import FuncInputs, Session
from bids_acc.bids.selection import Selection
from bids_acc.derivatives.outputs import read_sidecar
from bids_acc.func.raw import RawRun
from bids_acc.group.cohort.reading import read_quality
from bids_acc.group.measures.files import _quality_entry
from bids_acc.participant.scanners import keep_scanner, scanner_table, told_by
from tests.synthetic.bids_folder import write_dataset, write_dwi, write_svs, write_t1w
from tests.synthetic.bids_folder import write_image as write_plain
from tests.synthetic.transfer import write_image

SCANNER = {
    'Manufacturer': 'Siemens', 'ManufacturersModelName': 'Prisma', 'DeviceSerialNumber': '0451',
    'MagneticFieldStrength': 3, 'SoftwareVersions': 'syngo MR E11', 'InstitutionName': 'CAMH',
    'StationName': 'MR2', 'ScanningSequence': ['GR', 'IR'], 'EchoTime': 0.00298,
    'ReceiveCoilName': 'HeadNeck_64',
}  # fmt: skip


def raw(root: Path) -> Path:
    """Write a data set of one person with inherited sidecars."""
    write_dataset(root)
    write_t1w(root, '01')
    write_dwi(root, '01')
    write_svs(root, '01', metadata={'Manufacturer': 'Siemens', 'SequenceName': '=svs_se'})
    (root / 'T1w.json').write_text(json.dumps(SCANNER))
    return root


def test_what_sidecars_tell_is_kept_for_the_group(tmp_path):
    (session,) = discover(ImageIndex(raw(tmp_path / 'bids')), Selection())
    table = scanner_table(session).set_index('modality')
    assert list(table.index) == ['anat', 'dwi', 'mrs']
    assert table.loc['dwi'].dropna().to_dict() == {  # its sidecar tells nothing
        'voxel_size': '3 x 3 x 3 mm', 'volumes': '8', 'b_values': '1 x b 0, 7 x b 1000',
    }  # fmt: skip
    anat = table.loc['anat'].dropna().to_dict()
    assert anat.pop('voxel_size') == '3 x 3 x 3 mm'
    assert anat.pop('echo_time') == '0.00298'
    assert anat == {
        'manufacturer': 'Siemens', 'scanner_model': 'Prisma', 'scanner': '0451',
        'field_strength': '3', 'software': 'syngo MR E11', 'sequence': 'GR IR',
        'coil': 'HeadNeck_64', 'institution': 'CAMH',
    }  # fmt: skip
    out = tmp_path / 'out'
    datasets = {'raw': tmp_path / 'bids'}
    keep_scanner(session, out, datasets)
    (path,) = out.rglob('*.tsv')
    assert path.name == 'sub-01_scanner.tsv'
    sources = read_sidecar(path)['Sources']
    assert 'bids:raw:sub-01/anat/sub-01_T1w.nii.gz' in sources
    assert any('_svs.nii' in uri for uri in sources)
    before = path.stat().st_mtime_ns
    keep_scanner(session, out, datasets)
    assert path.stat().st_mtime_ns == before
    quality = read_quality(out, [('sub-01', None), ('sub-02', None)])
    assert quality is not None
    assert quality['anat_scanner'].tolist()[0] == '0451'  # no number, so never an outlier
    assert quality['mrs_sequence'].tolist()[0] == "'=svs_se"
    assert quality['anat_protocol'].tolist()[0] == 'TE 3 ms, voxels of 3 x 3 x 3 mm'
    assert quality.loc[1].drop(['participant_id', 'session_id']).isna().all()
    assert 'SoftwareVersions' in _quality_entry('anat_software')['Description']


def test_without_images_nothing_is_written(tmp_path):
    root = write_dataset(tmp_path / 'bids')
    write_svs(root, '01', metadata={'ResonantNucleus': ['1H']})
    (session,) = discover(ImageIndex(root), Selection())
    keep_scanner(session, tmp_path / 'out')
    assert not (tmp_path / 'out').exists()


def test_a_run_of_one_modality_keeps_what_is_known_of_the_others(tmp_path):
    root, out = raw(tmp_path / 'bids'), tmp_path / 'out'
    for modalities in (('anat', 'dwi', 'mrs'), ('mrs',), ('anat',)):
        (session,) = discover(ImageIndex(root), Selection(modalities=modalities))
        keep_scanner(session, out)
        (path,) = out.rglob('*.tsv')
        rows = [row.split('\t')[0] for row in path.read_text().splitlines()[1:]]
        assert rows == ['anat', 'dwi', 'mrs']
        assert path.read_text().splitlines()[1].split('\t')[3] == '0451'


@pytest.mark.parametrize('names', [('mt-on_MTR', 'mt-off_MTR'), ('MTRmap',)])
def test_magnetization_transfer_tells_its_scanner_too(tmp_path, names):
    root = write_dataset(tmp_path / 'bids')
    write_t1w(root, '01')
    base = np.full((10, 10, 10), 40.0, dtype=np.float32)
    base[:3] = 1
    for name, level in zip(names, (1, 2), strict=False):
        state = name[3:].partition('_')[0] if '_' in name else ''
        path = root / 'sub-01' / 'anat' / f'sub-01_{name}.nii.gz'
        write_image(path, base * level, np.eye(4), state, **SCANNER)
    (session,) = discover(ImageIndex(root), Selection())
    table = scanner_table(session).set_index('modality')
    assert table.loc['mtr', ['scanner', 'software']].tolist() == ['0451', 'syngo MR E11']


def test_all_echoes_of_a_series_are_told_and_its_volumes_once(tmp_path):
    images = [
        write_plain(tmp_path / f'sub-01_task-rest_echo-{n}_bold.nii.gz', (4, 4, 4, 50))
        for n in (1, 2)
    ]
    sidecars = tuple({**SCANNER, 'RepetitionTime': 2, 'EchoTime': te} for te in (0.014, 0.03))
    func = FuncInputs(raw=(RawRun(tuple(images), sidecars),))
    told = scanner_table(Session('01', None, None, None, (), (), func=func)).iloc[0]
    assert told[['modality', 'echo_time', 'repetition_time', 'volumes']].tolist() == [
        'func', '0.014; 0.03', '2', '50',
    ]  # fmt: skip


def test_words_of_any_kind():
    assert told_by([{'a': None}, {'a': [1.5, True, {'b': 1}]}], ['a']) == '1.5'
    assert told_by([{'a': ' x\ty '}, {'a': 'x y'}], ['a']) == 'x y'
    assert told_by([{}, {'a': []}], ['a', 'b']) is None
    assert told_by([{'b': 3.0}, {'b': 3}], ['a', 'b']) == '3'
