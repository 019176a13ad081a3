"""Prepared BOLD series: which is taken, and what is refused in one sentence."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import nibabel as nb
import numpy as np
import pandas as pd
import pytest

from bids_acc.bids.bold import find_bold, start_time
from bids_acc.bids.discovery import discover
from bids_acc.bids.index import ImageIndex
from bids_acc.bids.selection import Selection
from bids_acc.exceptions import InputDataError, MetadataError, MissingInputError
from bids_acc.func.denoising import read_confounds
from bids_acc.func.raw import check_repetition_time
from tests.synthetic.bids_folder import write_dataset, write_image
from tests.synthetic.fmriprep import confound_table, write_fmriprep, write_surfaces

N = 70
FD = 'framewise_displacement'


@pytest.fixture
def raw(tmp_path) -> Path:
    root = write_dataset(tmp_path / 'raw')
    (root / 'sub-01' / 'func').mkdir(parents=True)
    return root


def run(tmp_path, rng, n=N, rows=None, **options) -> Path:
    """Write a small prepared run."""
    series = rng.integers(100, 200, (6, 6, 6, n)).astype(np.float32)
    table = confound_table(rng, rows or n)
    mask, affine = np.ones((6, 6, 6)), np.diag([3.0, 3, 3, 1])
    return write_fmriprep(tmp_path / 'fp', '01', series, mask, affine, table, **options)


def find(tmp_path, raw, **options):
    """Look for the series of the one subject."""
    wanted = {'has_anat': False, **options}
    return find_bold({'fmriprep': tmp_path / 'fp'}, '01', None, raw_root=raw, **wanted)


def test_a_run_with_its_files(tmp_path, rng, raw):
    image = run(tmp_path, rng, sidecar={'StartTime': 0.8, 'SliceTimingCorrected': True})
    (raw / 'sub-01' / 'func' / 'sub-01_task-rest_events.tsv').write_text('onset\tduration\n1\t1\n')
    inputs, notes = find(tmp_path, raw)
    (found,) = inputs.runs
    assert found.bold == (image,)
    assert found.entities == {'subject': '01', 'task': 'rest'}
    assert found.source == 'fMRIPrep 23.2.1'
    assert found.space == 'MNI152NLin2009cAsym'
    assert found.mask.name.endswith('_desc-brain_mask.nii.gz')
    assert found.confounds.name == 'sub-01_task-rest_desc-confounds_timeseries.tsv'
    assert found.confounds_sidecar.suffix == '.json'
    assert found.events.name == 'sub-01_task-rest_events.tsv'
    assert len(found.files) == 5
    assert 'fMRIPrep 23.2.1' in notes[0]
    assert start_time(found.metadata, 2.0) == 0.8


def test_the_best_space_is_taken(tmp_path, rng, raw):
    for space in ('MNI152NLin6Asym', 'MNI152NLin2009cAsym', 'T1w'):
        run(tmp_path, rng, space=space)
    assert find(tmp_path, raw)[0].runs[0].space == 'MNI152NLin2009cAsym'
    assert find(tmp_path, raw, has_anat=True)[0].runs[0].space == 'T1w'
    chosen = find(tmp_path, raw, has_anat=True, space='MNI152NLin6Asym')
    assert chosen[0].runs[0].space == 'MNI152NLin6Asym'


def test_surfaces_of_fsaverage5_need_the_coarse_mesh(tmp_path, rng, raw):
    values = rng.standard_normal((N, 20))
    paths = write_surfaces(tmp_path / 'fp', '01', [values, values], confound_table(rng, N))
    assert find(tmp_path, raw, density='10k')[0].runs[0].bold == tuple(paths)
    with pytest.raises(MissingInputError, match='fsaverage5 is for --density 10k'):
        find(tmp_path, raw)


def test_t1w_space_alone_needs_the_t1w_image(tmp_path, rng, raw):
    run(tmp_path, rng, space='T1w')
    with pytest.raises(MissingInputError, match='needs the T1w image of the session'):
        find(tmp_path, raw)


def test_nothing_there_is_no_error(tmp_path, raw):
    assert find(tmp_path, raw) == (None, [])


@pytest.mark.parametrize(
    ('name', 'words'),
    [('space-fsLR_den-91k_bold.dtseries.nii', 'as CIFTI'),
     ('space-fsLR_den-91k_bold.dtseries.nii', '-d xcpd=DIR'),
     ('bold_desc-filtered_timeseries.dtseries.nii', 'as CIFTI'),
     ('desc-optcom_bold.nii.gz', 'optimal combination'),
     ('desc-denoised_bold.nii.gz', 'denoised already'),
     ('desc-coreg_boldref.nii.gz', '--level minimal'),
     ('desc-coreg_boldref.nii.gz', '--level full')],
)  # fmt: skip
def test_series_that_are_not_read_are_named(tmp_path, rng, raw, name, words):
    folder = tmp_path / 'fp' / 'sub-01' / 'func'
    folder.mkdir(parents=True)
    (folder / f'sub-01_task-rest_{name}').touch()
    inputs, (note,) = find(tmp_path, raw)
    assert inputs is None
    assert words in note
    assert '--output-spaces' in note
    run(tmp_path, rng, space='MNI152NLin6Asym')
    assert len(find(tmp_path, raw)[0].runs) == 1


@pytest.mark.parametrize('name', ['01', 'sub-01'])
def test_folders_of_the_hcp_pipelines_are_named(tmp_path, raw, name):
    (tmp_path / 'fp' / name / 'MNINonLinear' / 'Results').mkdir(parents=True)
    inputs, (note,) = find(tmp_path, raw)
    assert inputs is None
    assert '--input-type hcp' in note


def test_denoised_surfaces_are_no_prepared_ones(tmp_path, rng, raw):
    """XCP-D's, which would keep its maps and tables from being found."""
    folder = tmp_path / 'fp' / 'sub-01' / 'func'
    folder.mkdir(parents=True)
    (folder / 'sub-01_task-rest_hemi-L_space-fsLR_den-32k_desc-denoised_bold.func.gii').touch()
    inputs, (note,) = find(tmp_path, raw)
    assert inputs is None
    assert 'denoised already' in note


VERSIONS = {
    '20.2': ('MNI152NLin2009cAsym', '_desc-confounds_timeseries'),
    '1.5': ('MNI152NLin6Asym', '_desc-confounds_regressors'),
    '23, --output-spaces ...:res-2': ('MNI152NLin6Asym_res-2', '_desc-confounds_timeseries'),
    '25, --me-output-echos': ('MNI152NLin2009cAsym', '_desc-confounds_timeseries'),
}


@pytest.mark.parametrize('version', VERSIONS)
def test_names_of_versions(tmp_path, rng, raw, version):
    space, table = VERSIONS[version]
    image = run(tmp_path, rng, space=space.partition('_')[0])
    if '_res-2' in space:
        for path in image.parent.glob('*space-*'):
            path.rename(path.with_name(path.name.replace(f'space-{space[:-6]}', f'space-{space}')))
    if 'echos' in version:
        for echo in (1, 2):
            name = image.name.replace('task-rest_', f'task-rest_echo-{echo}_')
            image.with_name(name).write_bytes(image.read_bytes())
    for path in image.parent.glob('*_desc-confounds_timeseries.*'):
        path.rename(path.with_name(path.name.replace('_desc-confounds_timeseries', table)))
    (found,) = find(tmp_path, raw)[0].runs
    assert found.space == space.partition('_')[0]
    assert table in found.confounds.name
    assert found.mask is not None
    assert 'echo' not in found.entities


def test_older_names_of_the_table(tmp_path, rng, raw):
    image = run(tmp_path, rng)
    table = image.parent / 'sub-01_task-rest_desc-confounds_timeseries.tsv'
    old = table.with_name('sub-01_task-rest_desc-confounds_regressors.tsv')
    table.rename(old)
    assert find(tmp_path, raw)[0].runs[0].confounds == old


def test_the_raw_sidecar_gives_the_repetition_time(tmp_path, rng, raw):
    run(tmp_path, rng, repetition_time=None)
    (raw / 'task-rest_bold.json').write_text(json.dumps({'RepetitionTime': 2.2}))
    write_image(raw / 'sub-01' / 'func' / 'sub-01_task-rest_bold.nii.gz', (4, 4, 4, 5))
    assert find(tmp_path, raw)[0].runs[0].metadata['RepetitionTime'] == 2.2


@pytest.mark.parametrize(
    ('options', 'error', 'match'),
    [
        ({'n': 39}, InputDataError, '39 volumes, 78 s; at least 40 volumes and 120 s'),
        ({'n': 100, 'repetition_time': 0.8}, InputDataError, '100 volumes, 80 s'),
        ({'repetition_time': None}, MetadataError, 'no RepetitionTime'),
        ({'repetition_time': 2000}, MetadataError, '2000, which seems to be in ms'),
        ({'repetition_time': 15}, MetadataError, '0.2 to 12 can be used'),
        ({'repetition_time': 0}, MetadataError, 'RepetitionTime is 0'),
        ({'rows': N + 1}, InputDataError, f'has {N + 1} rows, but .* has {N} volumes'),
    ],
)
def test_what_cannot_be_used(tmp_path, rng, raw, options, error, match):
    run(tmp_path, rng, **options)
    with pytest.raises(error, match=match):
        find(tmp_path, raw)


def dummies(table, n):
    """Mark as many volumes as not of the steady state."""
    names = [f'non_steady_state_outlier{number:02d}' for number in range(n)]
    return pd.concat([table, pd.DataFrame(np.eye(N)[:, :n], columns=names)], axis=1)


@pytest.mark.parametrize('n', [40, N])
def test_what_is_left_after_dummies_counts(tmp_path, rng, raw, n):
    image = run(tmp_path, rng)
    dummies(confound_table(rng, N), n).to_csv(
        image.parent / 'sub-01_task-rest_desc-confounds_timeseries.tsv', sep='\t', index=False
    )
    with pytest.raises(
        InputDataError, match=f'{N - n} volumes without {n} .*, {2 * (N - n)} s; at'
    ):
        find(tmp_path, raw)


@pytest.mark.parametrize(
    ('change', 'match'),
    [(lambda text: text.replace('\t', ','), 'separated by tabs'),
     (lambda text: text.replace('\n0.', '\nx0.', 1), 'holds something else than numbers'),
     (lambda text: '', 'is empty')],
)  # fmt: skip
def test_tables_that_are_none(tmp_path, rng, raw, change, match):
    image = run(tmp_path, rng)
    table = image.parent / 'sub-01_task-rest_desc-confounds_timeseries.tsv'
    frame = confound_table(rng, N).abs()
    table.write_text(change(frame.to_csv(sep='\t', index=False, na_rep='n/a')))
    with pytest.raises(InputDataError, match=match):
        find(tmp_path, raw)


def test_a_broken_json_is_refused_in_the_plan(tmp_path, rng, raw):
    image = run(tmp_path, rng)
    (image.parent / 'sub-01_task-rest_desc-confounds_timeseries.json').write_text('{')
    with pytest.raises(InputDataError, match='no readable JSON'):
        find(tmp_path, raw)


@pytest.mark.parametrize(('value', 'match'), [(0, 'all values are zero'), (np.nan, 'is finite')])
def test_prepared_series_without_signal(tmp_path, rng, raw, value, match):
    image = run(tmp_path, rng)
    empty = np.full((6, 6, 6, N), value, np.float32)
    nb.Nifti1Image(empty, nb.load(image).affine).to_filename(image)
    with pytest.raises(InputDataError, match=match):
        find(tmp_path, raw)


def test_one_volume_is_no_series(tmp_path, rng, raw):
    image = run(tmp_path, rng)
    nb.Nifti1Image(np.ones((6, 6, 6), np.int16), np.eye(4)).to_filename(image)
    with pytest.raises(InputDataError, match='is one volume'):
        find(tmp_path, raw)


def test_a_mask_on_another_grid(tmp_path, rng, raw):
    image = run(tmp_path, rng)
    mask = image.with_name(image.name.replace('preproc_bold', 'brain_mask'))
    nb.Nifti1Image(np.ones((5, 6, 6), np.uint8), np.eye(4)).to_filename(mask)
    with pytest.raises(InputDataError, match='has the grid'):
        find(tmp_path, raw)


@pytest.mark.parametrize(
    ('change', 'match'),
    [('flip', r'lies up to 15.0 mm beside'), ('shift', r'lies up to 40.0 mm beside'),
     ('zero', 'marks no voxel')],
)  # fmt: skip
def test_a_mask_in_another_place(tmp_path, rng, raw, change, match):
    image = run(tmp_path, rng)
    affine, values = np.diag([3.0, 3, 3, 1]), np.ones((6, 6, 6), np.uint8)
    if change == 'flip':  # the same grid counted from the other side
        affine[0, 0], affine[0, 3] = -3, 15
    if change == 'shift':
        affine[0, 3] = 40
    path = str(image).replace('preproc_bold', 'brain_mask')
    nb.Nifti1Image(values * (change != 'zero'), affine).to_filename(path)
    with pytest.raises(InputDataError, match=match):
        find(tmp_path, raw)


def test_a_prepared_series_that_is_there_twice_counts_once(tmp_path, rng, raw):
    first = run(tmp_path, rng, name='task-rest_run-1')
    for name in ('task-rest_run-2', 'task-shapes'):
        shutil.copy(first, run(tmp_path, rng, name=name))
    inputs, notes = find(tmp_path, raw)
    found = {one.bold[0].name[:20]: len(one.notes) for one in inputs.runs}
    assert found == {'sub-01_task-rest_run': 0, 'sub-01_task-shapes_s': 1}
    assert any(n.startswith('not used: ') and 'run-2' in n for n in notes)


def test_displacement_that_the_table_lacks_is_computed(tmp_path, rng, raw):
    """Else nothing would be censored, and the gate would refuse without a reason."""
    table = confound_table(rng, N)
    image = run(tmp_path, rng)
    path = image.parent / 'sub-01_task-rest_desc-confounds_timeseries.tsv'
    for change in (table.drop(columns=FD), table.assign(**{FD: np.nan})):
        change.to_csv(path, sep='\t', index=False, na_rep='n/a')
        found = read_confounds(path, None, N, 0)
        np.testing.assert_allclose(found.column(FD)[1:], table[FD][1:], rtol=1e-6)
        assert 'computed from the motion parameters' in find(tmp_path, raw)[0].runs[0].notes[0]
    path.with_suffix('.json').write_text(json.dumps({f'rot_{x}': {'Units': 'deg'} for x in 'xyz'}))
    turned = {f'rot_{x}': np.rad2deg(table[f'rot_{x}']) for x in 'xyz'}
    change.assign(**turned).to_csv(path, sep='\t', index=False, na_rep='n/a')
    found = read_confounds(path, path.with_suffix('.json'), N, 0)
    np.testing.assert_allclose(found.column(FD)[1:], table[FD][1:], rtol=1e-6)


@pytest.mark.parametrize('factor', [0.001, 2.0])
def test_displacement_that_is_not_that_of_the_parameters_is_told(tmp_path, rng, raw, factor):
    table = confound_table(rng, N)
    image = run(tmp_path, rng)
    path = image.parent / 'sub-01_task-rest_desc-confounds_timeseries.tsv'
    table.assign(**{FD: table[FD] * factor}).to_csv(path, sep='\t', index=False, na_rep='n/a')
    (note,) = find(tmp_path, raw)[0].runs[0].notes
    assert 'another definition, or another unit' in note


@pytest.mark.parametrize(
    ('change', 'match'),
    [(lambda t: t.rename(columns={FD: 'FramewiseDisplacement'}), r'fMRIPrep 1\.0 and 1\.1'),
     (lambda t: t.assign(csf=t['csf'].where(t.index != 3, np.inf)), 'csf is infinite in row 4')],
)  # fmt: skip
def test_tables_of_old_names_and_infinite_values(tmp_path, rng, raw, change, match):
    image = run(tmp_path, rng)
    path = image.parent / 'sub-01_task-rest_desc-confounds_timeseries.tsv'
    change(confound_table(rng, N)).to_csv(path, sep='\t', index=False, na_rep='n/a')
    with pytest.raises(InputDataError, match=match):
        find(tmp_path, raw)


def test_a_series_that_has_lost_its_mean_is_refused(tmp_path, rng, raw):
    image = run(tmp_path, rng)
    values = np.asarray(nb.load(image).dataobj, dtype=np.float32)
    centred = values - values.mean(axis=3, keepdims=True)
    nb.Nifti1Image(centred, nb.load(image).affine).to_filename(image)
    with pytest.raises(InputDataError, match='denoised or whose mean was taken off'):
        find(tmp_path, raw)


def test_another_spacing_in_the_header_is_told(tmp_path, rng, raw):
    image = run(tmp_path, rng)
    other = nb.load(image)
    other.header.set_zooms((3.0, 3.0, 3.0, 0.72))
    nb.Nifti1Image(np.asarray(other.dataobj), other.affine, other.header).to_filename(image)
    (note,) = find(tmp_path, raw)[0].runs[0].notes
    assert '0.72 s in the header of the image' in note


def test_magnitudes_of_complex_series(tmp_path, rng, raw):
    """fMRIPrep keeps ``part-mag`` in all names (nilearn reads them likewise)."""
    image = run(tmp_path, rng, name='task-rest_part-mag')
    inputs, _ = find(tmp_path, raw)
    (found,) = inputs.runs
    assert found.bold == (image,)
    assert 'part-mag' in found.confounds.name
    assert 'part-mag' in found.mask.name
    for path in list(image.parent.iterdir()):
        path.rename(str(path).replace('part-mag', 'part-phase'))
    assert find(tmp_path, raw)[0] is None


@pytest.mark.parametrize('steps', [2.5, None])
def test_times_of_volumes(tmp_path, rng, raw, steps):
    times = list(np.arange(N) * steps) if steps else list(np.arange(N) ** 1.1 * 2)
    run(tmp_path, rng, repetition_time=None, sidecar={'VolumeTiming': times})
    words = 'are 2.5 s apart: write RepetitionTime' if steps else 'not acquired at equal distances'
    with pytest.raises(MetadataError, match=words):
        find(tmp_path, raw)


def test_runs_whose_number_has_lost_its_zero(tmp_path, rng, raw):
    """fMRIPrep 20.2 writes run-1 of run-01; without its events the task would be one at rest."""
    folder = raw / 'sub-01' / 'func'
    own = shutil.copy(run(tmp_path, rng, name='task-film_run-1'), folder / 'x.nii.gz')
    own.rename(folder / 'sub-01_task-film_run-01_bold.nii.gz')
    (folder / 'sub-01_task-film_run-01_bold.json').write_text('{"RepetitionTime": 0.8}')
    events = folder / 'sub-01_task-film_run-01_events.tsv'
    events.write_text('onset\tduration\ttrial_type\n1\t1\ta\n')
    inputs, notes = find(tmp_path, raw)
    assert inputs.runs[0].events == events
    assert any('0.8 s in the raw data set' in note for note in notes)
    assert not any('raw only' in note for note in notes)


def itk_text(path, degrees=0.0, shift=0.0, centre=10.0):
    """Write a rotation about one axis as ITK does."""
    turn = np.radians(degrees)
    matrix = [np.cos(turn), -np.sin(turn), 0, np.sin(turn), np.cos(turn), 0, 0, 0, 1]
    numbers = ' '.join(f'{v:.9g}' for v in (*matrix, shift, 0, 0))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        '#Insight Transform File V1.0\n#Transform 0\nTransform: AffineTransform_double_3_3\n'
        f'Parameters: {numbers}\nFixedParameters: {centre} 0 0\n'
    )


@pytest.mark.parametrize(('degrees', 'shift'), [(3, 0), (0, 2.0)])
def test_a_t1w_image_of_several_is_not_the_one_of_this_session(tmp_path, rng, raw, degrees, shift):
    """Surfaces of the second visit do not lie in fMRIPrep's space T1w, which is the first's."""
    for space in ('T1w', 'MNI152NLin2009cAsym'):
        image = run(tmp_path, rng, space=space)
    anat = tmp_path / 'fp' / 'sub-01' / 'anat'
    xfm = anat / 'sub-01_from-orig_to-T1w_mode-image_xfm.txt'
    itk_text(xfm)
    assert find(tmp_path, raw, has_anat=True)[0].runs[0].space == 'T1w'
    itk_text(xfm, degrees, shift)
    inputs, notes = find(tmp_path, raw, has_anat=True)
    assert inputs.runs[0].space == 'MNI152NLin2009cAsym'
    assert notes[0].startswith(f'not taken in space T1w: {xfm.name} moves')
    image.unlink()
    with pytest.raises(MissingInputError, match='not the place of this T1w image'):
        find(tmp_path, raw, has_anat=True)


def test_a_t1w_image_of_several_sessions_needs_its_transform(tmp_path, rng, raw):
    for visit in ('1', '2'):
        run(tmp_path, rng, space='T1w', session=visit)
        (raw / 'sub-01' / f'ses-{visit}' / 'anat').mkdir(parents=True)
        (raw / 'sub-01' / f'ses-{visit}' / 'anat' / f'sub-01_ses-{visit}_T1w.nii.gz').touch()
    joint = tmp_path / 'fp' / 'sub-01' / 'anat' / 'sub-01_desc-preproc_T1w.nii.gz'
    joint.parent.mkdir()

    def second():
        offered = {'fmriprep': tmp_path / 'fp'}
        return find_bold(offered, '01', '2', raw_root=raw, has_anat=True)

    assert second()[0].runs[0].space == 'T1w', 'of each session its own'
    joint.touch()
    with pytest.raises(MissingInputError, match=r'of several sessions \(ses-1, ses-2\)'):
        second()
    folder = tmp_path / 'fp' / 'sub-01' / 'ses-2' / 'anat'
    itk_text(folder / 'sub-01_ses-2_from-orig_to-T1w_mode-image_xfm.txt', 0.1, 0.1)
    assert second()[0].runs[0].space == 'T1w'


def test_runs_that_are_not_measured_are_named(tmp_path, rng, raw):
    run(tmp_path, rng, name='task-rest_run-1')
    run(tmp_path, rng, name='task-rest_run-2', space='MNI152NLin6Asym')
    image = run(tmp_path, rng, name='task-rest_run-3')
    image.rename(image.with_name('sub-01_task-rest_run-3_space-fsLR_den-91k_bold.dtseries.nii'))
    for name in ('task-rest_run-01', 'task-film_echo-1', 'task-film_echo-2'):
        (raw / 'sub-01' / 'func' / f'sub-01_{name}_bold.nii.gz').touch()
    inputs, _ = find(tmp_path, raw)
    assert [one.entities['run'] for one in inputs.runs] == ['1']
    space, cifti, film = inputs.left_out
    assert 'run-2_space-MNI152NLin6Asym' in space
    assert 'is there in MNI152NLin6Asym only' in space
    assert 'run-3_space-fsLR' in cifti
    assert 'is there as CIFTI only' in cifti
    assert film.startswith('sub-01_task-film_echo-1_bold.nii.gz: raw only, fMRIPrep 23.2.1 has')


def test_a_filter_chooses_prepared_runs(tmp_path, rng, raw):
    for name in ('task-rest_run-01', 'task-rest_run-02', 'task-film'):
        run(tmp_path, rng, name=name)
    wanted = {'task': 'rest', 'run': 2, 'suffix': 'bold', 'echo': '1'}
    assert [one.entities['run'] for one in find(tmp_path, raw, wanted=wanted)[0].runs] == ['02']
    assert find(tmp_path, raw, wanted={'task': 'nback'})[0] is None
    chosen = Selection(derivatives={'f': tmp_path / 'fp'}, modalities=('func',),
                       filters={'bold': {'task': 'nback'}})  # fmt: skip
    (session,) = discover(ImageIndex(raw), chosen)
    row = next(row for row in session.plan if row.modality == 'func')
    assert (row.status, row.reason_code) == ('skip', 'filtered')
    assert 'bold leaves none of 3 files' in row.reason


def test_two_repetition_times_are_told(tmp_path, rng, raw):
    image = run(tmp_path, rng)
    own = raw / 'sub-01' / 'func' / 'sub-01_task-rest_bold.nii.gz'
    shutil.copy(image, own)
    own.with_name('sub-01_task-rest_bold.json').write_text(json.dumps({'RepetitionTime': 0.8}))
    _, notes = find(tmp_path, raw)
    assert any('RepetitionTime is 2 s beside the prepared series and 0.8 s' in n for n in notes)


@pytest.mark.parametrize(
    ('old', 'new', 'words'),
    [('desc-preproc', 'desc-smoothAROMAnonaggr', "ICA-AROMA's, which are cleaned already"),
     ('task-rest', 'task-rest_echo-2', 'single echoes, not combined'),
     ('space-MNI152NLin2009cAsym_desc-preproc_bold', 'bold_space-T1w_preproc', "fMRIPrep 1.0's")],
)  # fmt: skip
def test_series_of_other_kinds_are_named_though_there_is_no_raw_data(
    tmp_path, rng, raw, old, new, words
):
    image = run(tmp_path, rng)
    image.rename(image.with_name(image.name.replace(old, new)))
    chosen = Selection(derivatives={'f': tmp_path / 'fp'}, modalities=('func',))
    (session,) = discover(ImageIndex(raw), chosen)
    row = next(row for row in session.plan if row.modality == 'func')
    assert row.status == 'fail'
    assert words in row.reason


def test_a_run_without_its_table(tmp_path, rng, raw):
    image = run(tmp_path, rng)
    (image.parent / 'sub-01_task-rest_desc-confounds_timeseries.tsv').unlink()
    with pytest.raises(MissingInputError, match='its table of confounds'):
        find(tmp_path, raw)


def test_a_bad_run_does_not_hide_the_others(tmp_path, rng, raw):
    run(tmp_path, rng, name='task-rest_run-1')
    run(tmp_path, rng, n=20, name='task-rest_run-2')
    inputs, notes = find(tmp_path, raw)
    assert [r.entities['run'] for r in inputs.runs] == ['1']
    assert 'not used: ' in notes[1]
    assert 'run-2' in inputs.left_out[0]


def test_slices_that_were_shifted_by_wrong_times_are_told(tmp_path, rng, raw):
    about = {'SliceTiming': [0, 500, 1000], 'SliceTimingCorrected': True, 'StartTime': 0.9}
    run(tmp_path, rng, sidecar=about)
    assert 'slices were shifted by it' in find(tmp_path, raw)[0].runs[0].notes[0]


def test_slice_times_in_ms_are_named(tmp_path, rng, raw):
    run(tmp_path, rng, sidecar={'SliceTiming': [0, 500, 1000, 1500]})
    assert 'SliceTiming is beyond' in find(tmp_path, raw)[0].runs[0].notes[0]


def test_a_person_whom_fmriprep_has_not_done_is_told(tmp_path, rng, raw):
    """Raw series are taken then, and treated otherwise than those of the others."""
    image = run(tmp_path, rng)
    own = raw / 'sub-01' / 'func' / 'sub-01_task-rest_bold.nii.gz'
    shutil.copy(image, own)
    own.with_name('sub-01_task-rest_bold.json').write_text('{"RepetitionTime": 2}')
    (tmp_path / 'fp' / 'sub-01').rename(tmp_path / 'fp' / 'sub-02')
    (tmp_path / 'fp' / 'sub-01.html').touch()
    for source, told in (('auto', True), ('raw', False)):
        chosen = Selection(derivatives={'f': tmp_path / 'fp'}, func_source=source)
        (session,) = discover(ImageIndex(raw), chosen)
        row = next(row for row in session.plan if row.modality == 'func')
        assert row.status == 'run'
        assert ('fMRIPrep 23.2.1 has no series of this session' in row.reason) == told


def test_our_own_results_are_no_source(tmp_path, rng, raw):
    run(tmp_path, rng)
    about = tmp_path / 'fp' / 'dataset_description.json'
    about.write_text(json.dumps({'Name': 'x', 'GeneratedBy': [{'Name': 'bids_acc'}]}))
    assert find(tmp_path, raw) == (None, [])
    shutil.rmtree(tmp_path / 'fp')


@pytest.mark.parametrize('given', [True, '2', float('nan'), None, -1])
def test_repetition_times_that_are_none(given):
    with pytest.raises(MetadataError):
        check_repetition_time({'RepetitionTime': given}, 'bold.nii')
