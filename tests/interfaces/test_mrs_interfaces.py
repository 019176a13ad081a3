"""The shells: files in, numbers and refusals out."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nb
import numpy as np
import pandas as pd
import pytest

from bids_acc.exceptions import GridMismatchError, MetadataError
from bids_acc.mrs.interfaces.fit import FitSpectrum
from bids_acc.mrs.interfaces.preprocess import PreprocessSpectrum
from bids_acc.mrs.interfaces.tables import PlotFit, PlotModel, TabulateSpectrum
from bids_acc.mrs.interfaces.voxel import VoxelTissue
from bids_acc.mrs.levels.tables import _water_scaling
from bids_acc.mrs.results.engine_result import Curves, EngineResult
from bids_acc.mrs.results.records import save_record
from bids_acc.mrs.scan.conditions import OWN_WATER
from bids_acc.mrs.scan.io import MrsData, read_affine, read_nifti_mrs, unread, write_nifti_mrs

DWELL, MHZ, N = 5e-4, 127.75, 2048
TIME = np.arange(N) * DWELL
METADATA = {
    'SpectrometerFrequency': [MHZ], 'ResonantNucleus': ['1H'], 'EchoTime': 0.035,
    'RepetitionTime': 2.0, 'PulseSequenceType': 'PRESS',
}  # fmt: skip


def lines(**heights: float) -> np.ndarray:
    places = {'naa': 2.008, 'cr': 3.027, 'cho': 3.21}
    return np.sum(
        [
            h * np.exp((2j * np.pi * (4.65 - places[n]) * MHZ - 15) * TIME)
            for n, h in heights.items()
        ],
        axis=0,
    )


def write(path: Path, fids: np.ndarray, metadata: dict = METADATA, dwell: float = DWELL) -> str:
    rng = np.random.default_rng(3)
    noise = 0.1 * (rng.standard_normal((*fids.shape, 2)) @ np.array([1, 1j]))
    affine = np.diag([8.0, 8.0, 8.0, 1.0])
    affine[:3, 3] = 10
    data = MrsData(np.zeros((1, 1, 1, 1), complex), dwell, MHZ, 0.035, 2.0, affine, metadata)
    return str(write_nifti_mrs(data.with_fids(fids + noise), path))


@pytest.fixture
def svs(tmp_path: Path) -> str:
    return write(tmp_path / 'sub-01_svs.nii.gz', lines(naa=30, cr=25, cho=12))


@pytest.fixture
def ref(tmp_path: Path) -> str:
    return write(tmp_path / 'sub-01_mrsref.nii.gz', 1e4 * np.exp(-TIME / 0.05))


@pytest.fixture
def preprocessed(svs: str, ref: str, tmp_path: Path) -> PreprocessSpectrum:
    node = PreprocessSpectrum(svs_file=svs, ref_file=ref)
    return node.run(cwd=str(tmp_path)).outputs


def test_preprocessing_writes_spectrum_report_and_steps(preprocessed: object) -> None:
    data = read_nifti_mrs(preprocessed.out_file)
    assert data.fids.shape == (1, 1, 1, N)
    assert (data.echo_time, data.repetition_time) == (0.035, 2.0)
    report = json.loads(Path(preprocessed.report_file).read_text())
    assert report['water_amplitude'] == pytest.approx(1e4, rel=0.01)
    steps = pd.read_csv(preprocessed.steps_file, sep='\t')
    assert steps['step'].tolist()[0] == 'coils'
    assert {'snr_before', 'snr_after', 'fwhm_before_hz', 'fwhm_after_hz'} <= set(steps)


def test_no_reference_is_said(svs: str, tmp_path: Path) -> None:
    out = PreprocessSpectrum(svs_file=svs).run(cwd=str(tmp_path)).outputs
    report = json.loads(Path(out.report_file).read_text())
    assert 'no water reference: no eddy-current correction, no water scaling.' in report['notes']
    assert np.isnan(report['water_amplitude'])


def test_water_of_the_series_stands_in_for_a_reference(tmp_path: Path) -> None:
    """Eight shots of water before the others, as GE stores them; a reference goes before them."""
    shots = np.repeat(lines(naa=30, cr=25, cho=12)[None], 24, 0)
    shots[:8] = 1e4 * np.exp(-TIME / 0.05)
    path = write(tmp_path / 'sub-01_svs.nii.gz', shots[None, :, None])
    out = PreprocessSpectrum(svs_file=path).run(cwd=str(tmp_path)).outputs
    report = json.loads(Path(out.report_file).read_text())
    assert report['n_transients'] == 16
    assert report['water_amplitude'] == pytest.approx(1e4, rel=0.01)
    assert OWN_WATER in report['notes']
    other = write(tmp_path / 'sub-01_mrsref.nii.gz', 2e4 * np.exp(-TIME / 0.05))
    out = PreprocessSpectrum(svs_file=path, ref_file=other).run(cwd=str(tmp_path)).outputs
    report = json.loads(Path(out.report_file).read_text())
    assert report['water_amplitude'] == pytest.approx(2e4, rel=0.01)
    assert OWN_WATER not in report['notes']


def test_reference_with_wrong_metadata_is_left_out(svs: str, tmp_path: Path) -> None:
    wrong = {'SpectrometerFrequency': [127.75], 'EchoTime': 35}
    done = PreprocessSpectrum(
        svs_file=svs, svs_metadata=METADATA, ref_file=svs, ref_metadata=wrong
    ).run(cwd=str(tmp_path))  # fmt: skip
    report = json.loads(Path(done.outputs.report_file).read_text())
    assert any('EchoTime is 35 s' in note and 'left out' in note for note in report['notes'])
    assert np.isnan(report['water_amplitude'])


def test_reference_sampled_differently_is_left_out(svs: str, tmp_path: Path) -> None:
    other = write(tmp_path / 'y_mrsref.nii.gz', np.exp(-TIME / 0.05), dwell=2.5e-4)
    out = PreprocessSpectrum(svs_file=svs, ref_file=other).run(cwd=str(tmp_path)).outputs
    report = json.loads(Path(out.report_file).read_text())
    assert 'sampled at 4000 Hz, the spectrum at 2000 Hz; left out' in report['notes'][0]
    assert np.isnan(report['water_amplitude'])


@pytest.mark.parametrize(
    ('affine', 'used'),
    [
        (np.diag([8.0, 8, 8, 1]), True),
        (np.array([[0, 0, 8.0, 0], [8, 0, 0, 0], [0, -8, 0, 0], [0, 0, 0, 1]]), True),
        (np.diag([1e4, 1e4, 1e4, 1]), True),
        (np.diag([6.0, 6, 6, 1]), False),
        (np.array([[8.0, 0, 0, 25], [0, 8, 0, 0], [0, 0, 8, 0], [0, 0, 0, 1]]), False),
    ],
)
def test_a_reference_of_another_voxel_scales_nothing(
    tmp_path: Path, affine: np.ndarray, used: bool
) -> None:
    """The same box with its axes in another order is the same voxel; a place not told may be."""
    paths = {}
    for name, fid, place in (
        ('svs', lines(naa=30, cr=25, cho=20), np.diag([8.0, 8, 8, 1])),
        ('mrsref', 2e4 * np.exp(-TIME / 0.05), affine),
    ):
        data = MrsData(fid[None, None, None], DWELL, MHZ, 0.035, 2.0, place, METADATA)
        paths[name] = str(write_nifti_mrs(data, tmp_path / f'x_{name}.nii.gz'))
    out = PreprocessSpectrum(svs_file=paths['svs'], ref_file=paths['mrsref']).run(
        cwd=str(tmp_path)
    )
    report = json.loads(Path(out.outputs.report_file).read_text())
    assert np.isfinite(report['water_amplitude']) == used
    told = any('not measured at the place of the spectrum' in note for note in report['notes'])
    assert told is not used


@pytest.mark.parametrize('edge', [1.0, 1e4])
def test_a_voxel_without_place_has_no_tissue(tissue: dict, tmp_path: Path, edge: float) -> None:
    """What converters write where they find none lies in the image, and all around it."""
    place = np.diag([edge, edge, edge, 1])
    data = MrsData(lines(naa=30, cr=25)[None, None, None], DWELL, MHZ, 0.035, 2.0, place, METADATA)
    path = str(write_nifti_mrs(data, tmp_path / 'x_svs.nii.gz'))
    out = VoxelTissue(svs_file=path, **tissue).run(cwd=str(tmp_path)).outputs
    found = json.loads(Path(out.tissue_file).read_text())
    assert all(np.isnan(float('nan' if v is None else v)) for v in found.values())
    assert not nb.Nifti1Image.from_filename(out.mask_file).get_fdata().any()
    assert np.isnan(data.voxel_volume_ml)
    report = {'ref_echo_time': 0.035, 'ref_repetition_time': 2.0}
    tissue_read = {name: float('nan') for name in found}
    scaling, notes = _water_scaling(report, tissue_read, 'auto', data)
    assert np.isnan(scaling.fractions).all()
    assert any('does not tell the place of the voxel' in note for note in notes)


@pytest.mark.parametrize('value', [0.0, np.nan])
def test_empty_decays_give_nan_and_the_reason(tmp_path: Path, value: float) -> None:
    affine = np.diag([8.0, 8.0, 8.0, 1.0])
    empty = MrsData(np.full((1, 1, 1, N), value, complex), DWELL, MHZ, 0.035, 2.0, affine,
                    METADATA)  # fmt: skip
    path = str(write_nifti_mrs(empty, tmp_path / 'sub-01_svs.nii.gz'))
    out = PreprocessSpectrum(svs_file=path).run(cwd=str(tmp_path)).outputs
    fit = FitSpectrum(
        in_file=out.out_file, report_file=out.report_file, svs_file=path, engine='builtin'
    ).run(cwd=str(tmp_path)).outputs  # fmt: skip
    tables = TabulateSpectrum(
        in_file=out.out_file, report_file=out.report_file, result_file=fit.result_file
    ).run(cwd=str(tmp_path)).outputs  # fmt: skip
    levels = pd.read_csv(tables.quantities_file, sep='\t')
    assert levels['value'].isna().all()
    assert set(levels['gate']) == {'fail'}
    reason = 'throughout'
    assert levels['gate_reason'].str.contains(reason).all()
    assert reason in pd.read_csv(tables.quality_file, sep='\t')['gate_reasons'][0]
    PlotFit(fit_file=tables.fit_file, quality_file=tables.quality_file).run(cwd=str(tmp_path))


@pytest.mark.parametrize(('labels', 'wanted'), [(['ON', 'OFF'], 1), (['off', 'on'], 0),
                                                ({'Value': ['ON', 'OFF']}, 1)])  # fmt: skip
def test_edit_off_is_fitted(tmp_path: Path, labels: object, wanted: int) -> None:
    fids = np.stack([k * lines(naa=30, cr=25) for k in (1, 2)])[None, None]
    metadata = METADATA | {'dim_5_header': {'EditCondition': labels}}
    path = write(tmp_path / 'x_svs.nii.gz', fids, metadata)
    # the writer tags the axis but drops keys of foreign axes: the sidecar brings them back
    node = PreprocessSpectrum(svs_file=path, svs_metadata=metadata | {'dim_5': 'DIM_EDIT'})
    out = node.run(cwd=str(tmp_path)).outputs
    assert json.loads(Path(out.report_file).read_text())['edit_index'] == wanted


def test_unlabelled_edits_need_a_choice(tmp_path: Path) -> None:
    fids = np.stack([lines(naa=30, cr=25)] * 2)[None, None]
    path = write(tmp_path / 'x_svs.nii.gz', fids)
    with pytest.raises(MetadataError, match='--mrs-edit-index'):
        PreprocessSpectrum(svs_file=path).run(cwd=str(tmp_path))
    out = PreprocessSpectrum(svs_file=path, edit_index=1).run(cwd=str(tmp_path)).outputs
    assert Path(out.out_file).exists()


def test_imported_fit_of_empty_decays_is_excluded_with_the_reason(tmp_path: Path) -> None:
    empty = MrsData(np.zeros((1, 1, 1, N), complex), DWELL, MHZ, 0.035, 2.0, np.eye(4), METADATA)
    path = str(write_nifti_mrs(empty, tmp_path / 'sub-01_svs.nii.gz'))
    out = PreprocessSpectrum(svs_file=path).run(cwd=str(tmp_path)).outputs
    (tmp_path / 'sub-01.csv').write_text('Row, Col, Cr, Cr %SD, Cr/Cr\n1, 1, 4.4, 5, 1.0\n')
    fit = FitSpectrum(
        in_file=out.out_file, report_file=out.report_file, svs_file=path, engine='import',
        fits_dir=str(tmp_path),
    ).run(cwd=str(tmp_path)).outputs  # fmt: skip
    tables = TabulateSpectrum(
        in_file=out.out_file, report_file=out.report_file, result_file=fit.result_file
    ).run(cwd=str(tmp_path)).outputs  # fmt: skip
    quality = pd.read_csv(tables.quality_file, sep='\t').iloc[0]
    assert quality['gate'] == 'fail'
    assert 'zero throughout' in quality['gate_reasons']


def test_failed_preprocessing_is_a_reason(
    svs: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bids_acc.mrs.interfaces import preprocess as interfaces

    def broken(*_: object, **__: object) -> None:
        raise np.linalg.LinAlgError('no convergence')

    monkeypatch.setattr(interfaces, 'preprocess', broken)
    out = PreprocessSpectrum(svs_file=svs).run(cwd=str(tmp_path)).outputs
    report = json.loads(Path(out.report_file).read_text())
    assert report['unusable'] == 'preprocessing failed: no convergence'
    assert np.isnan(read_nifti_mrs(out.out_file).fids).all()


def image(path: Path, data: np.ndarray, zoom: float = 1.0) -> str:
    nb.Nifti1Image(data.astype(np.float32), np.diag([zoom] * 3 + [1.0])).to_filename(path)
    return str(path)


@pytest.fixture
def tissue(tmp_path: Path) -> dict:
    """Grey matter left of the voxel's middle, white matter right, a layer of CSF above."""
    maps = np.zeros((3, 20, 20, 20))
    maps[0, :10], maps[1, 10:] = 1, 1
    maps[:, :, :, 12:] = 0
    maps[2, :, :, 12:] = 1
    acc = np.zeros((20, 20, 20))
    acc[:10] = 1
    return {
        't1w_file': image(tmp_path / 't1w.nii.gz', np.ones((20, 20, 20))),
        'tpms': [image(tmp_path / f'{k}.nii.gz', maps[k]) for k in range(3)],
        'acc_mask': image(tmp_path / 'acc.nii.gz', acc),
    }


def test_fractions_of_a_known_arrangement(svs: str, tissue: dict, tmp_path: Path) -> None:
    """The voxel spans 6 to 14 mm; voxel centres are at whole mm, so faces lie within voxels."""
    out = VoxelTissue(svs_file=svs, **tissue).run(cwd=str(tmp_path)).outputs
    found = json.loads(Path(out.tissue_file).read_text())
    csf = (14 - 11.5) / 8
    left = (9.5 - 6) / 8
    assert found['f_csf'] == pytest.approx(csf, abs=1e-6)
    assert found['f_gm'] == pytest.approx((1 - csf) * left, abs=1e-6)
    assert found['voxel_in_acc_fraction'] == pytest.approx(left, abs=1e-6)
    assert found['voxel_volume_ml'] == pytest.approx(0.512)
    assert found['voxel_in_image_fraction'] == pytest.approx(1)
    mask = nb.Nifti1Image.from_filename(out.mask_file)
    assert mask.get_fdata().sum() == pytest.approx(512)


def test_voxel_in_the_template_follows_the_transform(svs: str, tmp_path: Path) -> None:
    """A transform that takes T1w points 20 mm to the front and half as far from the origin."""
    from bids_acc.images.ants_bridge import write_matrix
    from bids_acc.mrs.interfaces.voxel import VoxelInTemplate

    matrix = np.diag([2.0, 2, 2, 1])
    matrix[1, 3] = 20
    write_matrix(matrix, tmp_path / 'affine.txt')
    out = VoxelInTemplate(svs_file=svs, transforms=[str(tmp_path / 'affine.txt')])
    mask = nb.Nifti1Image.from_filename(out.run(cwd=str(tmp_path)).outputs.out_file)
    values = mask.get_fdata()
    where = np.stack(np.nonzero(values > 0.5), axis=1) @ mask.affine[:3, :3] + mask.affine[:3, 3]
    centre = 2 * read_affine(svs)[:3, 3] + [0, 20, 0]
    assert np.allclose((where.min(axis=0) + where.max(axis=0)) / 2, centre, atol=1.1)
    assert values.sum() * 8 == pytest.approx(8 * 512, rel=0.02)


def test_voxel_on_the_cortex_has_a_share_of_each_column(svs: str, tmp_path: Path) -> None:
    from bids_acc.mrs.interfaces.voxel import VoxelOnCortex
    from bids_acc.surfaces.gifti import read_map, write_surface

    centre = read_affine(svs)[:3, 3]
    white = centre + np.array([[0.0, 0, 0], [0, 0, 3], [0, 0, 50]])
    faces = np.array([[0, 1, 2]])
    files = {
        name: [
            str(write_surface(tmp_path / f'{name}_{s}.surf.gii', points, faces, s, name))
            for s in 'LR'
        ]
        for name, points in (('white', white), ('pial', white + np.array([0.0, 0, 2])))
    }
    out = VoxelOnCortex(svs_file=svs, **files).run(cwd=str(tmp_path)).outputs
    assert read_map(out.left).tolist() == pytest.approx([1, 0.5, 0])
    assert read_map(out.right).tolist() == read_map(out.left).tolist()


def test_a_voxel_that_leaves_the_image_is_of_its_nominal_volume(
    svs: str, tissue: dict, tmp_path: Path
) -> None:
    """The image ends at 10.5 mm along the first axis, the voxel at 14: 56 % of it are inside."""
    for path in (tissue['t1w_file'], tissue['acc_mask'], *tissue['tpms']):
        whole = nb.Nifti1Image.from_filename(path)
        cut = whole.get_fdata()[:11]
        nb.Nifti1Image(cut.astype(np.float32), whole.affine).to_filename(path)
    out = VoxelTissue(svs_file=svs, **tissue).run(cwd=str(tmp_path)).outputs
    found = json.loads(Path(out.tissue_file).read_text())
    share = 4.5 / 8
    assert found['voxel_in_image_fraction'] == pytest.approx(share, abs=1e-6)
    assert found['f_gm'] + found['f_wm'] + found['f_csf'] == pytest.approx(share, abs=1e-6)


@pytest.mark.parametrize(('share', 'corrected'), [(0.56, False), (0.97, True)])
def test_levels_are_corrected_for_tissue_only_where_the_voxel_is_in_the_image(
    share: float, corrected: bool
) -> None:
    tissue = {'f_gm': 0.6 * share, 'f_wm': 0.3 * share, 'f_csf': 0.1 * share,
              'voxel_in_image_fraction': share}  # fmt: skip
    report = {'ref_echo_time': 0.035, 'ref_repetition_time': 2.0}
    data = unread(METADATA, 'x', '')
    scaling, notes = _water_scaling(report, tissue, 'auto', data)
    assert np.allclose(scaling.fractions, [0.6, 0.3, 0.1]) is corrected
    assert any('lies in the T1w image' in note for note in notes) is not corrected


def test_maps_on_another_grid_are_refused(svs: str, tissue: dict, tmp_path: Path) -> None:
    tissue['tpms'][1] = image(tmp_path / 'other.nii.gz', np.ones((20, 20, 20)), zoom=2.0)
    with pytest.raises(GridMismatchError, match=r'other.nii.gz is not on the grid of t1w.nii.gz'):
        VoxelTissue(svs_file=svs, **tissue).run(cwd=str(tmp_path))


TABLE = """\
 LCModel (Version 6.3-1N)
 t

$$CONC 4 lines in following concentration table = NCONC+1
    Conc.  %SD /Cr+PCr  Metabolite
    4.0  10%   0.500 Cr
    4.0  10%   0.500 PCr
    8.0  20%   1.000 Glu
    8.0   3%   1.000 Cr+PCr

$$MISC  3 lines in following misc. output table
  FWHM = 0.050 ppm    S/N =  {snr}
  Data shift = 0.015 ppm
  Ph:   8 deg       5.7 deg/ppm

$$INPU 3 lines
 wconc=55510.
 atth2o=1.0
 dows=T
"""


@pytest.fixture
def tables(svs: str, preprocessed: object, tissue: dict, tmp_path: Path) -> object:
    fits = tmp_path / 'fits' / 'sub-01'
    fits.mkdir(parents=True)
    (fits / 'table').write_text(TABLE.format(snr=20))
    fit = FitSpectrum(
        in_file=preprocessed.out_file, report_file=preprocessed.report_file, svs_file=svs,
        engine='import', fits_dir=str(fits.parent),
    ).run(cwd=str(tmp_path))  # fmt: skip
    voxel = VoxelTissue(svs_file=svs, **tissue).run(cwd=str(tmp_path))
    return TabulateSpectrum(
        result_file=fit.outputs.result_file, report_file=preprocessed.report_file,
        in_file=preprocessed.out_file, tissue_file=voxel.outputs.tissue_file,
        basis_info=fit.outputs.basis_info, relaxation='fsl',
    ).run(cwd=str(tmp_path)).outputs  # fmt: skip


def test_levels_of_an_imported_fit(tables: object) -> None:
    rows = pd.read_csv(tables.quantities_file, sep='\t').set_index(['metabolite', 'unit_scheme'])
    assert rows.loc[('Glu', 'ratio_tcr'), 'value'] == pytest.approx(1.0)
    # LCModel's scaling is undone with its own WCONC and ATTH2O, then ours is applied
    assert rows.loc[('Glu', 'water_raw'), 'value'] == pytest.approx(8.0)
    csf = (14 - 11.5) / 8
    assert rows.loc[('Glu', 'water_csf'), 'value'] == pytest.approx(8 / (1 - csf), rel=1e-5)
    assert rows.loc[('Glu', 'water_tissue'), 'value'] > 0


def test_boundary_of_the_bound_survives_the_files(tables: object) -> None:
    """20 % is printed, and 20 % fails; the spectrum itself passes."""
    rows = pd.read_csv(tables.quantities_file, sep='\t').set_index(['metabolite', 'unit_scheme'])
    glutamate = rows.loc[('Glu', 'ratio_tcr')]
    assert (glutamate['gate_spectrum'], glutamate['gate']) == ('pass', 'fail')
    assert glutamate['gate_reason'] == 'crlb < 20 %: 20 fail'
    assert rows.loc[('tCr', 'ratio_tcr'), 'gate'] == 'pass'


def test_engines_values_stand_apart_from_ours(tables: object) -> None:
    row = pd.read_csv(tables.quality_file, sep='\t').iloc[0]
    assert row['snr_lcmodel'] == 20
    assert np.isnan(row['snr_lcm'])
    assert row['fwhm_lcmodel_hz'] == pytest.approx(0.05 * MHZ)
    assert np.isnan(row['fwhm_hz'])
    assert row['gate_criteria'] == 'snr > 10: 20 pass; fwhm < 10 Hz: 6.388 pass'
    notes = ' '.join(tables.metadata['Notes'])
    assert 'basis set of the imported fit was not checked' in notes
    assert tables.metadata['RelaxationConstants']['Set'] == 'fsl'


@pytest.mark.parametrize(('share', 'said'), [(0.04, True), (0.5, False), (np.nan, False)])
def test_voxel_outside_the_cingulate_is_remarked_upon(
    preprocessed: object, tables: object, tmp_path: Path, share: float, said: bool
) -> None:
    tissue = tmp_path / 'other_tissue.json'
    fractions = {'f_gm': 0.6, 'f_wm': 0.3, 'f_csf': 0.1, 'voxel_in_acc_fraction': share}
    tissue.write_text(json.dumps(fractions))
    out = TabulateSpectrum(
        result_file=str(tmp_path / 'result.json'), report_file=preprocessed.report_file,
        in_file=preprocessed.out_file, tissue_file=str(tissue),
    ).run(cwd=str(tmp_path)).outputs  # fmt: skip
    assert ('only 4 % of the voxel lies' in ' '.join(out.metadata['Notes'])) is said


def test_no_curves_no_fit_in_the_figure(tables: object, tmp_path: Path) -> None:
    out = PlotFit(fit_file=tables.fit_file, quality_file=tables.quality_file)
    assert 'no fit' in Path(out.run(cwd=str(tmp_path)).outputs.out_file).read_text()


def test_echo_time_is_needed_to_simulate(tmp_path: Path) -> None:
    metadata = {key: value for key, value in METADATA.items() if key != 'EchoTime'}
    path = write(tmp_path / 'x_svs.nii.gz', lines(naa=30, cr=25, cho=12), metadata)
    out = PreprocessSpectrum(svs_file=path).run(cwd=str(tmp_path)).outputs
    node = FitSpectrum(
        in_file=out.out_file, report_file=out.report_file, svs_file=path, engine='builtin'
    )
    with pytest.raises(MetadataError, match='EchoTime is missing, so no basis set can be'):
        node.run(cwd=str(tmp_path))


def imported(shared_data: Path, folder: Path, run: str, **settings: object) -> object:
    """Tables of a stored LCModel run of the TE 30 spectrum."""
    svs = shared_data / 'mrs-press30/sub-01/mrs/sub-01_acq-press_svs.nii.gz'
    pre = PreprocessSpectrum(svs_file=str(svs)).run(cwd=str(folder)).outputs
    place = folder / 'fits' / 'sub-01_acq-press'
    place.mkdir(parents=True)
    (place / 'table').write_text((shared_data / 'lcmodel' / run / 'table').read_text())
    fit = FitSpectrum(
        in_file=pre.out_file, report_file=pre.report_file, svs_file=str(svs), engine='import',
        fits_dir=str(folder / 'fits'), **settings,
    ).run(cwd=str(folder))  # fmt: skip
    return TabulateSpectrum(
        result_file=fit.outputs.result_file, report_file=pre.report_file, in_file=pre.out_file
    ).run(cwd=str(folder)).outputs  # fmt: skip


def test_fit_with_the_wrong_basis_set_fails_although_it_looks_good(
    shared_data: Path, tmp_path: Path
) -> None:
    """S/N 40 and 4.3 Hz, but a basis set of 123 MHz for data of 128 MHz."""
    basis = str(shared_data / 'basis' / 'challenge_press3T_30ms.BASIS')
    for checked, word in ((True, 'fail'), (False, 'pass')):
        folder = tmp_path / str(checked)
        folder.mkdir()
        settings = {'basis': basis} if checked else {}
        tables = imported(shared_data, folder, 'press30-wrongbasis', **settings)
        row = pd.read_csv(tables.quality_file, sep='\t').iloc[0]
        assert row['gate'] == word
        if checked:
            assert 'wrong basis set' in row['gate_reasons']
        else:
            assert any('not checked' in note for note in tables.metadata['Notes'])


def test_fit_of_another_spectrum_fails(shared_data: Path, tmp_path: Path) -> None:
    tables = imported(shared_data, tmp_path, 'challenge-01')
    row = pd.read_csv(tables.quality_file, sep='\t').iloc[0]
    assert row['gate_reasons'] == 'the fit was made at 123.2 MHz, the spectrum at 127.755 MHz'


def test_parts_of_the_model_correlations_and_water_are_drawn(
    preprocessed: object, tmp_path: Path
) -> None:
    """The parts add up to the model; a correlation has its sign and ones on the diagonal."""
    ppm = np.linspace(4.2, 0.2, 80)
    parts = np.stack([np.exp(-((ppm - 2.0) ** 2)), np.exp(-((ppm - 3.0) ** 2)), 0 * ppm])
    baseline = 0.1 * ppm
    result = EngineResult(
        engine='builtin', version='1', names=('NAA', 'Cr', 'Lac'), kinds=('metabolite',) * 3,
        values=np.array([2.0, 1.0, 0.0]), sd=np.array([0.1, 0.2, 0.0]),
        covariance=np.array([[0.01, -0.01, 0], [-0.01, 0.04, 0], [0, 0, 0]]),
        curves=Curves(ppm, parts.sum(0) + baseline, parts.sum(0) + baseline, baseline, parts),
    )  # fmt: skip
    node = TabulateSpectrum(
        result_file=str(save_record(result, tmp_path / 'result.json')),
        report_file=preprocessed.report_file,
        in_file=preprocessed.out_file,
    )
    found = node.run(cwd=str(tmp_path)).outputs
    table = pd.read_csv(found.components_file, sep='\t')
    fit = pd.read_csv(found.fit_file, sep='\t')
    whole = table[['NAA', 'Cr', 'Lac']].sum(axis=1) + fit['baseline']
    assert whole.to_numpy() == pytest.approx(fit['fit'].to_numpy(), abs=1e-4)
    correlation = pd.read_csv(found.correlation_file, sep='\t', index_col=0, na_values='n/a')
    assert correlation.loc['NAA', 'Cr'] == pytest.approx(-0.5)
    assert correlation.loc['NAA', 'NAA'] == pytest.approx(1)
    assert correlation.loc['Lac'].isna().all(), 'no variance, no correlation'
    assert set(found.components_metadata) == {'NAA', 'Cr', 'Lac', 'Engine'}
    drawn = PlotModel(
        fit_file=found.fit_file, components_file=found.components_file,
        correlation_file=found.correlation_file, water_file=preprocessed.water_file,
    ).run(cwd=str(tmp_path)).outputs  # fmt: skip
    text = Path(drawn.components).read_text()
    assert all(word in text for word in ('NAA', 'baseline', 'residual', 'zero: Lac'))
    assert '-.5' in Path(drawn.correlation).read_text()
    assert 'amplitude' in Path(drawn.water).read_text()


def test_engines_that_tell_nothing_say_so(preprocessed: object, tmp_path: Path) -> None:
    result = EngineResult.failed('lcmodel', '1', ['NAA'], 'no fit')
    found = TabulateSpectrum(
        result_file=str(save_record(result, tmp_path / 'result.json')),
        report_file=preprocessed.report_file, in_file=preprocessed.out_file,
    ).run(cwd=str(tmp_path)).outputs  # fmt: skip
    drawn = PlotModel(
        fit_file=found.fit_file, components_file=found.components_file,
        correlation_file=found.correlation_file,
    ).run(cwd=str(tmp_path)).outputs  # fmt: skip
    assert 'the engine does not tell' in Path(drawn.components).read_text()
    assert 'no water reference' in Path(drawn.water).read_text()
