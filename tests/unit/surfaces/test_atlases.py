"""Atlases that are shipped, and those of users."""

from __future__ import annotations

import shutil
from importlib import resources
from pathlib import Path

import nibabel as nb
import numpy as np
import pandas as pd
import pytest

from bids_acc.exceptions import MissingInputError, SettingsError
from bids_acc.surfaces.atlases import (
    SUBREGIONS,
    VolumeAtlas,
    all_labels,
    atlas_files,
    cerebra,
    check_region,
    check_sides,
    load_atlas,
    on_mesh,
    read_atlas,
    shipped_surface,
    split_side,
)
from bids_acc.surfaces.gifti import write_labels
from bids_acc.surfaces.regions import find_region
from bids_acc.surfaces.template import load_template

ACC = ['caudalanteriorcingulate', 'rostralanteriorcingulate']
SHIPPED = Path(str(resources.files('bids_acc') / 'data' / 'atlases'))


@pytest.mark.parametrize(('side', 'dkt', 'desikan'), [('L', 595, 562), ('R', 583, 538)])
def test_the_anterior_cingulate_is_that_of_dkt(side, dkt, desikan):
    """Paper 1 has 847 vertices a side, on CIVET's mesh (doi:10.1503/jpn.210113)."""
    labels = all_labels(side, '41k')
    assert find_region(labels, ACC).sum() == dkt
    assert find_region(labels, [f'Desikan:{name}' for name in ACC]).sum() == desikan


def test_labels_lie_where_those_of_the_template_lie():
    """In another order of vertices the overlap is a third."""
    for side, mesh in load_template().items():
        both = [find_region([atlas.labels(side, '41k')], ACC) for atlas in
                (shipped_surface('DKT'), shipped_surface('Desikan'))]  # fmt: skip
        assert 2 * (both[0] & both[1]).sum() / (both[0].sum() + both[1].sum()) > 0.85
        assert not (both[0] & ~mesh.cortex).any()
        assert (mesh.white[both[0], 0] * {'L': -1, 'R': 1}[side] > 0).all()


def test_parts_of_the_cingulate_lie_below_before_and_above_the_genu():
    for side, mesh in load_template().items():
        where = {name: mesh.white[find_region(all_labels(side, '41k'), [name])].mean(axis=0)
                 for name in SUBREGIONS}  # fmt: skip
        assert where['subgenualACC'][2] < where['pregenualACC'][2] < where['dorsalACC'][2]
        assert where['pregenualACC'][1] > where['subgenualACC'][1] > where['dorsalACC'][1]


def test_cerebra_has_left_on_the_left_and_its_cortex_is_dkt():
    atlas = cerebra()
    check_sides(atlas)
    assert ('hippocampus', 'L') in atlas.regions.values()
    for side in 'LR':
        looked_up, shipped = on_mesh(atlas), shipped_surface('DKT')
        names = np.array([looked_up.names[side][c] for c in looked_up.codes[side]])
        others = np.array([shipped.names[side][c] for c in shipped.codes[side]])
        assert (names == others).mean() > 0.97  # the rest: ties, and what is no cortex


def test_a_mirrored_atlas_is_refused():
    atlas = cerebra()
    with pytest.raises(SettingsError, match='left and right are exchanged'):
        check_sides(VolumeAtlas('x', atlas.data[::-1], atlas.affine, atlas.regions))


def test_a_volume_region_is_no_region_of_the_cortex():
    with pytest.raises(SettingsError, match='region of the volume of CerebrA'):
        check_region(['hippocampus'])
    with pytest.raises(SettingsError, match=r'did you mean subgenualacc \(HCPMMP1\)'):
        check_region(['subgenual'])


@pytest.mark.parametrize(
    ('name', 'found'),
    [('ctx-lh-insula', ('insula', 'L')), ('Uncinate fasciculus R', ('Uncinate fasciculus', 'R')),
     ('L_Caudate', ('Caudate', 'L')), ('Cingulum (right)', ('Cingulum', 'R')),
     ('Lingual', ('Lingual', '')), ('genu', ('genu', ''))],
)  # fmt: skip
def test_sides_in_names(name, found):
    assert split_side(name) == found


@pytest.fixture
def folder(tmp_path) -> Path:
    """A BIDS atlas: CerebrA under another name, at 1 and 2 mm."""
    image = nb.Nifti1Image.from_filename(SHIPPED / 'CerebrA_dseg.nii.gz')
    for res, step in (('01', 1), ('02', 2)):
        data = np.asarray(image.dataobj)[::step, ::step, ::step]
        affine = image.affine @ np.diag([step, step, step, 1])
        name = f'tpl-MNI152NLin2009cSym_atlas-Mine_res-{res}_dseg.nii.gz'
        nb.Nifti1Image(data, affine).to_filename(tmp_path / name)
    shutil.copy(SHIPPED / 'CerebrA_dseg.tsv', tmp_path / 'atlas-Mine_dseg.tsv')
    return tmp_path


def test_a_bids_folder_gives_its_finest_file_and_the_shared_table(folder):
    atlas = read_atlas('Mine', folder)
    assert isinstance(atlas, VolumeAtlas)
    assert atlas.data.shape == cerebra().data.shape
    assert dict(atlas.regions) == dict(cerebra().regions)
    assert not atlas.note
    assert len(atlas_files(f'Mine={folder}')) == 3


def test_another_space_is_taken_and_said(folder):
    file = next(folder.glob('*res-01*'))
    file = file.rename(folder / 'tpl-MNI152NLin6Asym_atlas-Mine_dseg.nii.gz')
    atlas = read_atlas('Mine', file)
    assert 'MNI152NLin6Asym; it is taken as' in atlas.note


def test_tables_that_are_missing_or_do_not_fit(folder):
    file, table = next(folder.glob('*res-01*')), folder / 'atlas-Mine_dseg.tsv'
    pd.DataFrame({'code': [1]}).to_csv(table, sep='\t', index=False)
    with pytest.raises(SettingsError, match='needs the columns index and name'):
        load_atlas(f'A1={file}')
    table.unlink()
    with pytest.raises(MissingInputError, match=r'--atlas A2=.*the table that names its regions'):
        load_atlas(f'A2={file}')
    with pytest.raises(MissingInputError, match='there is no file'):
        load_atlas(f'A3={folder / "nothing.nii.gz"}')


def _change(folder: Path, change, affine=None) -> Path:
    """Write CerebrA's codes, changed, with its table."""
    source = nb.Nifti1Image.from_filename(next(folder.glob('*res-02*')))
    values = change(np.asarray(source.dataobj).astype(np.float32))
    path = folder / 'atlas-Mine_dseg.nii.gz'
    nb.Nifti1Image(values, source.affine if affine is None else affine).to_filename(path)
    return path


@pytest.mark.parametrize(
    ('change', 'words'),
    [
        (lambda v: 0.98 * v + 0.2 * (v > 0), 'between whole numbers .*interpolated'),
        (lambda v: v - 300 * (v == 5), 'negative codes'),
        (lambda v: 0 * v, 'none of the codes'),
        (lambda v: np.stack([v, v], axis=3), 'from 0 to 1'),
    ],
)
def test_voxels_that_are_no_labels_are_refused(folder, change, words):
    """Interpolated codes would be labels of regions that are not there."""
    path = _change(folder, lambda v: change(v) if change(v).ndim == 3 else 9 * change(v))
    if change(np.zeros((1, 1, 1))).ndim == 4:
        (folder / 'atlas-Mine_dseg.tsv').write_text('name\na\nb\n')
    with pytest.raises(SettingsError, match=words):
        read_atlas('Mine', path)


def test_missing_values_are_no_label(folder):
    """Outside of the brain some tools write NaN; float codes are codes."""
    path = _change(folder, lambda v: np.where(v == 0, np.nan, v))
    assert len(read_atlas('Mine', path).regions) == len(cerebra().regions)


def test_an_atlas_beside_the_brain_is_refused(folder):
    """A header without its transform, or of another voxel size."""
    with pytest.raises(SettingsError, match='outside the brain of MNI152'):
        read_atlas('Mine', _change(folder, lambda v: v, np.diag([2.0, 2, 2, 1])))


def test_a_name_of_two_regions_is_refused(folder):
    """One of them would be lost in the table of measures."""
    path = _change(folder, lambda v: v)
    table = folder / 'atlas-Mine_dseg.tsv'
    frame = pd.read_csv(table, sep='\t')
    frame.iloc[1] = [frame.iloc[1, 0], *frame.iloc[0, 1:]]
    frame.to_csv(table, sep='\t', index=False)
    with pytest.raises(SettingsError, match='several regions'):
        read_atlas('Mine', path)


def test_files_that_are_no_atlas_are_refused_in_a_sentence(tmp_path):
    """CIFTI is NIfTI by name only; a broken file, and labels without names."""
    for name, words in (('a.dlabel.nii', 'CIFTI'), ('b.nii.gz', 'convert it again')):
        (tmp_path / name).write_bytes(b'nothing')
        with pytest.raises(SettingsError, match=words):
            load_atlas(f'Mine={tmp_path / name}')
    codes = np.ones(40962, dtype=np.int32)
    for side in 'LR':
        array = nb.gifti.GiftiDataArray(codes, intent='NIFTI_INTENT_LABEL')
        image = nb.gifti.GiftiImage(darrays=[array])
        image.to_filename(tmp_path / f'x_hemi-{side}_dseg.label.gii')
    with pytest.raises(SettingsError, match='names none of its codes'):
        load_atlas(f'Mine={tmp_path / "x_hemi-L_dseg.label.gii"}')


def test_probabilities_become_labels_of_the_mesh(tmp_path):
    atlas = cerebra()
    code = {region: code for code, region in atlas.regions.items()}
    maps = [(atlas.data == code['insula', side]) * 100.0 for side in 'LR']
    path = tmp_path / 'tpl-MNI152NLin2009aSym_atlas-Two_probseg.nii.gz'
    nb.Nifti1Image(np.stack(maps, axis=3).astype(np.float32), atlas.affine).to_filename(path)
    table = tmp_path / 'atlas-Two_probseg.tsv'
    table.write_text('name\themisphere\ninsula\tL\ninsula\tR\n')
    found = on_mesh(read_atlas('Two', path)).labels('R', '41k').mask('insula')
    assert found is not None
    wanted = on_mesh(atlas).labels('R', '41k').mask('insula')
    np.testing.assert_array_equal(found, wanted)


def test_surface_files_of_both_hemispheres(tmp_path):
    desikan = shipped_surface('Desikan')
    for side in 'LR':
        path = tmp_path / f'tpl-fsaverage_hemi-{side}_atlas-Own_den-41k_dseg.label.gii'
        write_labels(path, desikan.codes[side], dict(desikan.names[side]), side, 'own')
    for where in (tmp_path, tmp_path / path.name):
        found = read_atlas('Own', where).labels('R', '41k').mask('rh_insula')
        assert found is not None
        assert found.sum() == (desikan.labels('R', '41k').mask('insula')).sum()
    right = path.read_bytes()
    write_labels(path, desikan.codes['R'], dict(desikan.names['R']), 'L', 'own')
    with pytest.raises(SettingsError, match=r'stands for hemisphere R.*left and right are exch'):
        load_atlas(f'Own1={tmp_path}')
    path.write_bytes(right)
    path.unlink()
    with pytest.raises(MissingInputError, match='the other hemisphere'):
        load_atlas(f'Own={tmp_path}')
    small = tmp_path / 'hemi-L_den-32k_dseg.label.gii'
    write_labels(small, np.zeros(32492, dtype=int), {0: 'unknown'}, 'L', 'own')
    (tmp_path / 'hemi-R_den-32k_dseg.label.gii').write_bytes(small.read_bytes())
    with pytest.raises(SettingsError, match='32492 vertices'):
        load_atlas(f'Own2={small}')
