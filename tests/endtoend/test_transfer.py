"""Magnetization transfer by the installed command: a known ratio, and groups that differ in it."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nb
import numpy as np
import pandas as pd
import pytest

from bids_acc.demo.warp import rigid
from bids_acc.derivatives.outputs import find_outputs, output_path, write_sidecar
from bids_acc.surfaces.gifti import read_map, write_map
from bids_acc.tables.writing import write_tsv
from tests.endtoend.test_command import bids_acc
from tests.synthetic.derivatives import write_cohort
from tests.synthetic.transfer import (
    make_phantom,
    true_regions,
    write_dataset,
    write_image,
)

pytestmark = [pytest.mark.slow, pytest.mark.endtoend]

MOTION = rigid(np.array([1.0, -0.8, 0.6]), np.array([1.0, -1.5, 0.8]))
SCANNER = {'Manufacturer': 'Siemens', 'DeviceSerialNumber': '0451', 'SoftwareVersions': 'E11'}
LOSS = {'HC': 0.0, 'responder': 1.0, 'resistant': 2.0}
"""Planted loss of the ratio in group comparisons, points."""


Tables = dict[str, tuple[pd.DataFrame, pd.Series]]


def _collection(anat: Path, images: dict[str, nb.Nifti1Image]) -> None:
    """Write the two images as part of an MTS collection, with a third of another flip angle."""
    for state, image in images.items():
        path = anat / f'sub-01_flip-1_mt-{state}_MTS.nii.gz'
        write_image(path, np.asarray(image.dataobj), image.affine, state, **SCANNER)
    path = anat / 'sub-01_flip-2_mt-off_MTS.nii.gz'
    third = 0.6 * np.asarray(images['off'].dataobj)
    write_image(path, third, images['off'].affine, 'off', FlipAngle=20, **SCANNER)


def _fractions(anat: Path, images: dict[str, nb.Nifti1Image]) -> None:
    """Write the map that a scanner makes of two images that lie on each other, as fractions."""
    on, off = (np.asarray(images[state].dataobj) for state in ('on', 'off'))
    ratio = np.where(off > 60, 1 - on / np.maximum(off, 1), np.nan).astype(np.float32)
    nb.Nifti1Image(ratio, images['off'].affine).to_filename(anat / 'sub-01_MTRmap.nii.gz')


@pytest.fixture(scope='module')
def measured(tmp_path_factory) -> tuple[Path, dict[str, float], Tables]:
    """Return output, true ratios, and regions and quality of a pair, a collection and a map.

    It is one head; what is made of its T1w image is taken over by the second and third run.
    """
    base = tmp_path_factory.mktemp('transfer')
    phantom = make_phantom()
    truth = true_regions(phantom)
    root = write_dataset(base / 'bids', phantom, motion=MOTION)
    anat = root / 'sub-01' / 'anat'
    moved = _pair(anat)
    still = _pair(write_dataset(base / 'still', phantom) / 'sub-01' / 'anat')
    tables: Tables = {}
    for habit, write in (('pair', None), ('map', _fractions), ('collection', _collection)):
        if write is not None:
            for path in anat.glob('*MT*'):
                path.unlink()
            write(anat, still if habit == 'map' else moved)
        done = bids_acc(root, base / 'out', 'participant', '--density', '10k', '--modalities',
                        'anat', 'mtr')  # fmt: skip
        assert done.returncode == 0, done.stderr
        tables[habit] = _tables(base / 'out')
    return base / 'out', truth, tables


def _pair(anat: Path) -> dict[str, nb.Nifti1Image]:
    """Read a pair, so that its files may go."""
    found = {}
    for state in ('on', 'off'):
        image = nb.Nifti1Image.from_filename(anat / f'sub-01_mt-{state}_MTR.nii.gz')
        found[state] = nb.Nifti1Image(np.array(image.dataobj), image.affine)
    return found


def _tables(out: Path) -> tuple[pd.DataFrame, pd.Series]:
    """Return the table of regions, and the row of quality."""
    regions, quality = (
        pd.read_csv(next(iter(find_outputs(key, out))).path, sep='\t', na_values='n/a')
        for key in ('mtr_regions', 'mtr_qc')
    )
    return regions, quality.iloc[0]


@pytest.mark.parametrize('habit', ['pair', 'map', 'collection'])
def test_labels_have_the_planted_ratio(measured, habit):
    _, truth, tables = measured
    table = tables[habit][0]
    labels = table[table['method'] == 'label'].dropna(subset=['mtr'])
    true = np.array([truth[f'{r} {h}'] for r, h in zip(labels['region'], labels['hemisphere'],
                                                       strict=True)])  # fmt: skip
    # where tissue and CSF mix a ready map is the mean of ratios, not the ratio of means
    tissue = true > 25
    error = (labels['mtr'].to_numpy() - true)[tissue]
    assert len(error) > 80
    assert abs(error.mean()) < 0.5  # as the design asks
    assert np.median(np.abs(error)) < 0.5
    assert error.std() < 1.2
    assert np.corrcoef(true[tissue], labels['mtr'][tissue])[0, 1] > 0.9
    surface = table[(table['method'] == 'surface') & (table['atlas'] == 'DKT')]
    # grey matter has 33; what white matter (45) adds, CSF (2) takes
    assert surface['mtr'].mean() == pytest.approx(33, abs=2)


def test_habits_of_naming_agree(measured):
    keys = ['atlas', 'region', 'hemisphere']
    _, _, tables = measured
    pair, ready, collection = (tables[h][0].set_index(keys)['mtr']
                               for h in ('pair', 'map', 'collection'))  # fmt: skip
    assert np.nanmax(np.abs(pair - collection)) < 0.01  # the same images by other names
    assert np.nanmedian(np.abs(pair - ready)) < 0.5
    assert tables['pair'][1]['on_off_moved'] > 1.5
    assert tables['pair'][1]['on_off_gap'] < 0.2
    assert [tables[h][1]['source'] for h in ('pair', 'map')] == ['pair', 'map']
    assert {row['verdict'] for _, row in tables.values()} == {'usual'}


def test_scanner_and_page(measured):
    out, _, _ = measured
    scanner = pd.read_csv(out / 'sub-01' / 'sub-01_scanner.tsv', sep='\t', dtype=str)
    assert scanner.set_index('modality').loc['mtr', 'scanner'] == '0451'
    page = (out / 'sub-01.html').read_text()
    assert 'Magnetization transfer ratio and T1w image in turn' in page
    assert 'Quality of the magnetization transfer images' in page


def test_groups_that_differ_in_the_ratio(tmp_path):
    people = write_cohort(tmp_path, n_per_group=10)
    rng = np.random.default_rng(8)
    for _, person in people.iterrows():
        entities = {'subject': person['participant_id'][4:]}
        level = 35 - LOSS[person['group']] + rng.normal(0, 0.5)
        for item in find_outputs('anat_thickness', tmp_path, **entities):
            side, density = item.entities['hemisphere'], item.entities['density']
            thick = read_map(item.path)
            values = level + (thick - np.nanmean(thick)) + rng.normal(0, 0.3, len(thick))
            path = output_path(
                'mtr_vertex_mtr', tmp_path, entities, hemisphere=side, density=density
            )
            write_map(path, values, side, 'mtr')
            write_sidecar('mtr_vertex_mtr', path)
        rows = [{'atlas': 'DKT', 'region': 'caudalanteriorcingulate', 'hemisphere': side,
                 'method': 'surface', 'mtr': level + rng.normal(0, 0.3)}
                for side in 'LR']  # fmt: skip
        write_tsv(output_path('mtr_regions', tmp_path, entities), pd.DataFrame(rows))
    model = {
        'Name': 'transfer', 'Group': {'Column': 'group', 'Levels': list(LOSS), 'Reference': 'HC'},
        'Covariates': [{'Name': 'age', 'Kind': 'continuous'}],
        'Responses': {'Metrics': ['mtr'], 'Columns': ['mtr__DKT__caudalanteriorcingulate__?']},
    }  # fmt: skip
    (tmp_path / 'model.json').write_text(json.dumps(model))
    done = bids_acc(
        'none', tmp_path, 'group', '--model', tmp_path / 'model.json', '-w', tmp_path / 'work',
        '--opnmf-metrics', 'thickness', 'mtr', '--opnmf-components', '3', '--opnmf-k-range', '2',
        '4', '--opnmf-splits', '2', '--opnmf-bootstraps', '5',
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (folder,) = (tmp_path / 'group').glob('model-*')
    measures = pd.read_csv(folder / 'measures.tsv', sep='\t', na_values='n/a')
    means = measures.groupby('group')['mtr__DKT__caudalanteriorcingulate__L'].mean()
    assert means['HC'] - means['resistant'] == pytest.approx(2.0, abs=0.7)
    assert {'mtr_c1', 'mtr_c3'} <= set(measures)
    sidecar = json.loads((folder / 'measures.json').read_text())
    assert sidecar['mtr_c1']['Units'] == '%'
    path = folder / 'stats' / 'ancova.tsv'
    rows = pd.read_csv(path, sep='\t', na_values='n/a').query("term == 'group'")
    found = rows.set_index('response')['p_unc']
    for name in ('mtr_c1', 'mtr__DKT__caudalanteriorcingulate__L'):
        assert found[name] < 0.001, found
    page = (tmp_path / 'group.html').read_text()
    assert 'internal error' not in page
    assert 'MTR of caudalanteriorcingulate, left (DKT) is lower in resistant than in HC' in page
