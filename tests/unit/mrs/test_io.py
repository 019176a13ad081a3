"""NIfTI-MRS in and out, and the sentences with which bad metadata are refused."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nb
import numpy as np
import pytest

from bids_acc.exceptions import InputDataError, MetadataError, MissingInputError
from bids_acc.mrs.scan.io import MrsData, read_affine, read_nifti_mrs, write_nifti_mrs
from bids_acc.mrs.scan.metadata import check_metadata

GOOD = {
    'SpectrometerFrequency': [127.75],
    'ResonantNucleus': ['1H'],
    'EchoTime': 0.035,
    'RepetitionTime': 2.0,
}


def make_file(path: Path, data: np.ndarray, header: dict, dwell: float = 5e-4) -> Path:
    """Write a NIfTI-MRS file of any shape."""
    image = nb.Nifti2Image(data.astype(np.complex64), np.diag([20.0, 25.0, 30.0, 1.0]))
    image.header.set_zooms((20.0, 25.0, 30.0, dwell) + (1.0,) * (data.ndim - 4))
    image.header.set_xyzt_units('mm', 'sec')
    image.header.extensions.append(nb.nifti1.Nifti1Extension(44, json.dumps(header).encode()))
    image.to_filename(path)
    return path


@pytest.fixture
def decays(rng: np.random.Generator) -> np.ndarray:
    """Two coils, three transients, two edits, 128 points."""
    return rng.standard_normal((2, 3, 2, 128)) + 1j * rng.standard_normal((2, 3, 2, 128))


def test_round_trip_keeps_decays_and_axes(tmp_path: Path, decays: np.ndarray) -> None:
    data = MrsData(decays, 5e-4, 127.75, 0.035, 2.0, np.diag([20.0, 25, 30, 1]), GOOD)
    found = read_nifti_mrs(write_nifti_mrs(data, tmp_path / 'x_svs.nii.gz'), {})
    np.testing.assert_allclose(found.fids, decays, rtol=1e-6)
    assert found.dwell_time == pytest.approx(5e-4)
    assert (found.echo_time, found.repetition_time) == (0.035, 2.0)
    assert found.voxel_volume_ml == pytest.approx(15.0)


@pytest.mark.parametrize(
    ('order', 'tags'),
    [
        ((3, 0, 1, 2), ('DIM_COIL', 'DIM_DYN', 'DIM_EDIT')),
        ((3, 1, 0, 2), ('DIM_DYN', 'DIM_COIL', 'DIM_EDIT')),
        ((3, 2, 1, 0), ('DIM_EDIT', 'DIM_DYN', 'DIM_COIL')),
        ((3, 0, 1, 2), ('dim_coil', 'Dim_Dyn ', 'dim_edit')),
    ],
)
def test_tagged_axes_in_any_order(
    tmp_path: Path, decays: np.ndarray, order: tuple, tags: tuple
) -> None:
    header = GOOD | {f'dim_{5 + k}': tag for k, tag in enumerate(tags)}
    block = np.transpose(decays, order)[None, None, None]
    found = read_nifti_mrs(make_file(tmp_path / 'x_svs.nii.gz', block, header))
    np.testing.assert_allclose(found.fids, decays, rtol=1e-6)


def test_untagged_axes_are_coils_then_transients_and_said_so(
    tmp_path: Path, decays: np.ndarray
) -> None:
    block = np.moveaxis(decays[:, :, 0], -1, 0)[None, None, None]
    found = read_nifti_mrs(make_file(tmp_path / 'x_svs.nii.gz', block, GOOD))
    assert found.fids.shape == (2, 3, 1, 128)
    assert any('not tagged' in note for note in found.notes)


def test_sidecar_wins_and_the_contradiction_is_noted(tmp_path: Path) -> None:
    path = make_file(tmp_path / 'x_svs.nii.gz', np.ones((1, 1, 1, 128)), GOOD)
    found = read_nifti_mrs(path, {'EchoTime': 0.03})
    assert found.echo_time == 0.03
    assert found.notes == ('EchoTime: sidecar says 0.03, header 0.035; the sidecar is used.',)


def test_sidecar_beside_the_file_is_found(tmp_path: Path) -> None:
    path = make_file(tmp_path / 'x_svs.nii.gz', np.ones((1, 1, 1, 128)), GOOD)
    (tmp_path / 'x_svs.json').write_text(json.dumps({'RepetitionTime': 3.0}))
    assert read_nifti_mrs(path).repetition_time == 3.0


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'EchoTime': 35}, 'EchoTime is 35 s, outside 0.001-0.5 s; it looks like a value in ms'),
        ({'EchoTime': 0.6}, 'EchoTime is 0.6 s, outside'),
        ({'RepetitionTime': 2000}, 'RepetitionTime is 2000 s, .* looks like a value in ms'),
        ({'RepetitionTime': 0.2}, 'RepetitionTime is 0.2 s, outside 0.3-20 s'),
        ({'SpectrometerFrequency': 127.75e6}, 'SpectrometerFrequency is 1.2775e.08 MHz'),
        ({'SpectrometerFrequency': None}, 'SpectrometerFrequency is missing'),
        ({'ResonantNucleus': ['31P']}, "ResonantNucleus is '31P'"),
        (
            {'MagneticFieldStrength': 1.5},
            'means 3.00 T for 1H, but MagneticFieldStrength says 1.5',
        ),
    ],
)
def test_implausible_metadata_are_refused(change: dict, message: str) -> None:
    with pytest.raises(MetadataError, match=message):
        check_metadata(GOOD | change, 'sub-01_svs.nii.gz')


@pytest.mark.parametrize('value', [0.001, 0.5])
def test_limits_of_the_echo_time_are_allowed(value: float) -> None:
    assert check_metadata(GOOD | {'EchoTime': value}, 'x')[0] == value


def test_spectral_width_that_contradicts_the_header_is_refused(tmp_path: Path) -> None:
    path = make_file(tmp_path / 'x_svs.nii.gz', np.ones((1, 1, 1, 128)), GOOD)
    with pytest.raises(MetadataError, match='SpectralWidth is 4000 Hz but the header samples'):
        read_nifti_mrs(path, {'SpectralWidth': 4000})


@pytest.mark.parametrize(
    ('data', 'message'),
    [
        (np.ones((2, 1, 1, 128)), 'only single-voxel spectra'),
        (np.ones((1, 1, 1, 16)), 'no complex decays'),
        (np.ones((1, 1, 1, 8, 16, 128)), 'dimension 6 seems to hold the samples in time'),
    ],
)
def test_unusable_data_are_refused(tmp_path: Path, data: np.ndarray, message: str) -> None:
    with pytest.raises(InputDataError, match=message):
        read_nifti_mrs(make_file(tmp_path / 'x_svs.nii.gz', data, GOOD))


@pytest.mark.parametrize(
    ('data', 'reason'),
    [
        (np.zeros((1, 1, 1, 128)), 'the decays are zero throughout'),
        (np.full((1, 1, 1, 128), np.nan), 'no decay is finite throughout'),
        (np.ones((1, 1, 1, 128)), 'the decay lasts 0.064 s, less than 0.1 s'),
    ],
)
def test_empty_decays_come_with_the_reason(tmp_path: Path, data: np.ndarray, reason: str) -> None:
    assert read_nifti_mrs(make_file(tmp_path / 'x_svs.nii.gz', data, GOOD)).unusable == reason


def test_transients_that_are_not_finite_are_left_out(tmp_path: Path) -> None:
    fids = np.ones((1, 1, 1, 256, 5))
    fids[..., 7, 2] = np.nan
    header = GOOD | {'dim_5': 'DIM_DYN'}
    data = read_nifti_mrs(make_file(tmp_path / 'x_svs.nii.gz', fids, header))
    assert data.fids.shape == (1, 4, 1, 256)
    assert data.notes == ('1 of 5 transients hold values that are not finite.',)
    assert data.unusable == ''


@pytest.mark.parametrize('sidecar', [{'SpectralWidth': 1234.5}, {'DwellTime': 1 / 1234.5}])
def test_sampling_comes_from_the_sidecar_when_the_header_has_none(
    tmp_path: Path, sidecar: dict
) -> None:
    path = make_file(tmp_path / 'x_svs.nii.gz', np.ones((1, 1, 1, 128)), GOOD)
    image = nb.Nifti2Image.from_filename(path)
    image.header['pixdim'][4] = 1
    image.to_filename(tmp_path / 'y_svs.nii.gz')
    data = read_nifti_mrs(tmp_path / 'y_svs.nii.gz', sidecar)
    assert data.spectral_width == pytest.approx(1234.5)
    assert data.notes == (
        'the header gives a dwell time of 1 s; 1/1234.5 s of the sidecar is used.',
    )
    with pytest.raises(MetadataError, match='the sidecar has no SpectralWidth'):
        read_nifti_mrs(tmp_path / 'y_svs.nii.gz', {})


@pytest.mark.parametrize('nucleus', ['1H', ['1H'], 'H1', '1h', 'Proton', '^1H'])
def test_spellings_of_the_proton(nucleus: object) -> None:
    assert check_metadata(GOOD | {'ResonantNucleus': nucleus}, 'x')[2] > 0


def test_unknown_dimension_is_refused(tmp_path: Path) -> None:
    header = GOOD | {'dim_5': 'DIM_INDIRECT_0'}
    path = make_file(tmp_path / 'x_svs.nii.gz', np.ones((1, 1, 1, 128, 4)), header)
    with pytest.raises(InputDataError, match='DIM_INDIRECT_0 of size 4'):
        read_nifti_mrs(path)


def test_cycled_metabolites_are_refused_with_what_to_do(tmp_path: Path) -> None:
    header = GOOD | {'dim_5': 'DIM_METCYCLE'}
    path = make_file(tmp_path / 'x_svs.nii.gz', np.ones((1, 1, 1, 128, 2)), header)
    with pytest.raises(InputDataError, match='subtract its two halves'):
        read_nifti_mrs(path)


def test_echo_times_of_a_progression_are_told_as_they_are(tmp_path: Path) -> None:
    times = {'start': 0.035, 'increment': 0.01}
    header = GOOD | {'dim_5': 'DIM_INDIRECT_0', 'dim_5_header': {'EchoTime': times}}
    path = make_file(tmp_path / 'x_svs.nii.gz', np.ones((1, 1, 1, 128, 4)), header)
    with pytest.raises(MetadataError, match=r'EchoTime of dimension 5 varies \(0.035, 0.045 s\)'):
        read_nifti_mrs(path)


def test_steps_that_localise_by_inversion_are_no_repetitions(tmp_path: Path) -> None:
    """SPECIAL adds and subtracts them: their mean is of what lies outside the voxel as well."""
    header = GOOD | {'dim_5': 'DIM_DYN', 'dim_6': 'DIM_ISIS'}
    path = make_file(tmp_path / 'x_svs.nii.gz', np.ones((1, 1, 1, 128, 4, 2)), header)
    with pytest.raises(InputDataError, match='dimension 6 holds steps that localise by inversion'):
        read_nifti_mrs(path)


def test_a_dwell_time_that_contradicts_the_header_is_named(tmp_path: Path) -> None:
    path = make_file(tmp_path / 'x_svs.nii.gz', np.ones((1, 1, 1, 128)), GOOD)
    with pytest.raises(MetadataError, match=r'DwellTime is 500 s but .* correct DwellTime'):
        read_nifti_mrs(path, {'DwellTime': 500})


def test_a_nucleus_that_a_converter_left_empty_is_the_proton() -> None:
    assert check_metadata(GOOD | {'ResonantNucleus': []}, 'x')[2] == 127.75


def test_real_valued_and_foreign_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / 'x_svs.nii.gz'
    nb.Nifti1Image(np.ones((1, 1, 1, 128), np.float32), np.eye(4)).to_filename(path)
    with pytest.raises(InputDataError, match='no complex decays'):
        read_nifti_mrs(path)
    image = nb.Nifti1Image(np.ones((1, 1, 1, 128), np.complex64), np.eye(4))
    image.to_filename(path)
    with pytest.raises(InputDataError, match='no NIfTI-MRS header extension'):
        read_nifti_mrs(path)
    path.write_bytes(b'no gzip')
    with pytest.raises(InputDataError, match='is damaged'):
        read_nifti_mrs(path)
    with pytest.raises(MissingInputError, match='no such file'):
        read_nifti_mrs(tmp_path / 'absent.nii.gz')


def test_shared_spectra_are_read(shared_data: Path) -> None:
    data = read_nifti_mrs(shared_data / 'mrs-press30/sub-01/mrs/sub-01_acq-press_svs.nii.gz')
    assert data.fids.shape == (1, 1, 1, 2048)
    assert data.field_tesla == pytest.approx(3.0005, abs=1e-3)
    assert data.voxel_volume_ml == pytest.approx(20.28)
    assert data.notes == ()


def header_only(path: Path, content: bytes, shape: tuple[int, ...] = (1, 1, 1, 512)) -> Path:
    """Write a decay with any bytes as its header extension."""
    image = nb.Nifti2Image(np.ones(shape, dtype=np.complex64), np.eye(4))
    image.header.set_zooms((1.0, 1, 1, 5e-4) + (1.0,) * (len(shape) - 4))
    image.header.set_xyzt_units('mm', 'sec')
    image.header.extensions.append(nb.nifti1.Nifti1Extension(44, content))
    image.to_filename(path)
    return path


def test_header_in_latin_1_is_read(tmp_path: Path) -> None:
    text = json.dumps(GOOD | {'InstitutionName': 'Universität'}, ensure_ascii=False)
    data = read_nifti_mrs(header_only(tmp_path / 'x_svs.nii', text.encode('latin-1')))
    assert data.metadata['InstitutionName'] == 'Universität'


def test_header_that_is_cut_off_gives_way_to_the_sidecar(tmp_path: Path) -> None:
    path = header_only(tmp_path / 'x_svs.nii', json.dumps(GOOD).encode()[:40])
    data = read_nifti_mrs(path, GOOD)
    assert data.echo_time == 0.035
    assert 'no JSON' in data.notes[0]
    with pytest.raises(InputDataError, match=r'no JSON.*SpectrometerFrequency'):
        read_nifti_mrs(path, {'EchoTime': 0.03})
    many = header_only(tmp_path / 'y_svs.nii', b'{"dim_5"', (1, 1, 1, 512, 8))
    with pytest.raises(InputDataError, match=r'what dimension 5 holds'):
        read_nifti_mrs(many, GOOD)
    assert read_nifti_mrs(many, GOOD | {'dim_5': 'DIM_DYN'}).fids.shape[1] == 8


@pytest.mark.parametrize('value', ['35 ms', '0,035', [], True])
def test_a_value_that_is_no_number_does_not_beat_the_header(tmp_path: Path, value: object) -> None:
    header = dict(GOOD)
    path = header_only(tmp_path / 'x_svs.nii', json.dumps(header).encode())
    data = read_nifti_mrs(path, {'EchoTime': value})
    assert data.echo_time == 0.035
    assert any(repr(value) in note for note in data.notes)
    del header['RepetitionTime']
    path = header_only(tmp_path / 'y_svs.nii', json.dumps(header).encode())
    nothing = read_nifti_mrs(path, {'RepetitionTime': value})
    assert np.isnan(nothing.repetition_time)
    assert any(repr(value) in note for note in nothing.notes)
    with pytest.raises(MetadataError, match='no number'):
        check_metadata({'SpectrometerFrequency': value}, 'x_svs')


def test_echo_times_that_vary_are_refused(tmp_path: Path) -> None:
    varied = {'dim_5': 'DIM_DYN', 'dim_5_header': {'EchoTime': [0.03, 0.05]}}
    path = header_only(tmp_path / 'x.nii', json.dumps(GOOD | varied).encode(), (1, 1, 1, 512, 2))
    with pytest.raises(MetadataError, match='EchoTime of dimension 5 varies'):
        read_nifti_mrs(path)
    path = header_only(tmp_path / 'y.nii', json.dumps(GOOD).encode(), (1, 1, 1, 512, 2))
    with pytest.raises(MetadataError, match='EchoTime varies'):
        read_nifti_mrs(path, {'EchoTime': [0.03, 0.05]})


def test_the_place_of_a_voxel_needs_no_metadata(tmp_path: Path) -> None:
    assert np.array_equal(read_affine(header_only(tmp_path / 'x.nii', b'{')), np.eye(4))


@pytest.mark.parametrize(
    ('field', 'value', 'hint'),
    [
        ('EchoTime', 35000.0, 'a value in us'),
        ('RepetitionTime', 2000.0, 'a value in ms'),
        ('SpectrometerFrequency', [127.75e6], 'a value in Hz'),
    ],
)
def test_slips_of_the_unit_are_named(field: str, value: object, hint: str) -> None:
    with pytest.raises(MetadataError, match=hint):
        check_metadata({**GOOD, field: value}, 'x_svs')


@pytest.mark.parametrize('mark', ['utf-8-sig', 'utf-16'])
def test_sidecars_and_headers_with_a_byte_order_mark_are_read(tmp_path: Path, mark: str) -> None:
    path = header_only(tmp_path / 'x_svs.nii.gz', json.dumps(GOOD).encode(mark))
    (tmp_path / 'x_svs.json').write_bytes(json.dumps({'EchoTime': 0.03}).encode(mark))
    assert read_nifti_mrs(path).echo_time == 0.03


def test_padding_of_a_header_that_was_not_cleared_is_no_part_of_it(tmp_path: Path) -> None:
    content = json.dumps(GOOD).encode() + b'\x00\x00"EchoTime": 0.03}'
    assert read_nifti_mrs(header_only(tmp_path / 'x_svs.nii.gz', content), {}).echo_time == 0.035


def test_an_unreadable_number_of_the_header_is_quoted(tmp_path: Path) -> None:
    header = GOOD | {'EchoTime': '35 ms'}
    path = make_file(tmp_path / 'x_svs.nii.gz', np.ones((1, 1, 1, 512)), header)
    found = read_nifti_mrs(path, {})
    assert np.isnan(found.echo_time)
    assert any("EchoTime of the header is '35 ms'" in note for note in found.notes)


def test_transients_that_were_not_measured_are_left_out(tmp_path: Path) -> None:
    """A series that was stopped, or a reference that another dimension was allotted for."""
    data = np.zeros((1, 1, 1, 512, 6))
    data[..., [1, 4]] = 1
    path = make_file(tmp_path / 'x_svs.nii.gz', data, GOOD | {'dim_5': 'DIM_DYN'})
    found = read_nifti_mrs(path, {})
    assert found.fids.shape == (1, 2, 1, 512)
    assert found.positions == (1, 4)
    assert any('4 of 6 transients are zero' in note for note in found.notes)


def test_a_condition_without_data_is_said(tmp_path: Path) -> None:
    data = np.ones((1, 1, 1, 512, 4, 2))
    data[..., 1] = 0
    tags = {'dim_5': 'DIM_DYN', 'dim_6': 'DIM_EDIT'}
    found = read_nifti_mrs(make_file(tmp_path / 'x_svs.nii.gz', data, GOOD | tags), {})
    assert 'one of the editing conditions is zero' in found.unusable


@pytest.mark.parametrize(
    'told', [{'SpecFreqChemShift': 3.0}, {'RxOffset': -1.65}, {'SpecFreqChemShift': 4.65,
                                                              'RxOffset': [-1.65]}]
)  # fmt: skip
def test_a_spectrum_received_off_water_is_moved_to_its_place(
    tmp_path: Path, told: dict[str, object]
) -> None:
    """NAA at 2.008 ppm lies 0.992 ppm above the centre of 3.0 ppm, and must lie where it is."""
    time = np.arange(1024) * 5e-4
    naa = np.exp((2j * np.pi * (3.0 - 2.008) * 127.75 - 20) * time)[None, None, None]
    path = make_file(tmp_path / 'x_svs.nii.gz', naa, GOOD | told)
    found = read_nifti_mrs(path, {})
    wanted = np.exp((2j * np.pi * (4.65 - 2.008) * 127.75 - 20) * time)
    np.testing.assert_allclose(found.fids[0, 0, 0], wanted, atol=1e-3)
    # what is written lies at its place, and is not moved again
    again = read_nifti_mrs(write_nifti_mrs(found, tmp_path / 'y_svs.nii.gz'), {})
    np.testing.assert_allclose(again.fids, found.fids, atol=1e-5)


@pytest.mark.parametrize(('told', 'moved'), [(3.0, True), (0, False), (-2.3, False)])
def test_the_centre_by_the_field_of_bids(tmp_path: Path, told: float, moved: bool) -> None:
    """ChemicalShiftOffset is the chemical shift at 0 Hz; the offset of a transmitter is not."""
    line = np.exp(2j * np.pi * 30 * np.arange(512) * 5e-4)[None, None, None]
    path = make_file(tmp_path / 'x_svs.nii.gz', line, GOOD | {'ChemicalShiftOffset': told})
    found = read_nifti_mrs(path, {})
    turned = np.angle(found.fids[0, 0, 0, 1] / line[0, 0, 0, 1]) / (2 * np.pi * 5e-4)
    assert turned == pytest.approx((4.65 - 3.0) * 127.75 if moved else 0.0, abs=0.1)
    assert 'ChemicalShiftOffset' not in found.metadata


def test_an_offset_beyond_the_protons_is_not_believed(tmp_path: Path) -> None:
    path = make_file(tmp_path / 'x_svs.nii.gz', np.ones((1, 1, 1, 512)), GOOD | {'RxOffset': 211})
    found = read_nifti_mrs(path, {})
    assert np.all(found.fids == 1)
    assert any('not believed' in note for note in found.notes)
