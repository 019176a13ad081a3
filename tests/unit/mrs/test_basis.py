"""Reading, writing, checking and resampling of basis sets."""

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy.io import savemat

from bids_acc.exceptions import InputDataError, MetadataError, MissingInputError
from bids_acc.mrs.basis import simulate
from bids_acc.mrs.basis.basis_set import (
    canonical_name,
    load_basis,
    read_lcmodel_basis,
    with_macromolecules,
    write_lcmodel_basis,
)
from bids_acc.mrs.basis.macromolecules import birch_fid
from bids_acc.mrs.basis.scale import amplitude_per_proton
from bids_acc.mrs.spectrum import Basis, Spectrum, oriented

NAMES = ['Cr', 'Glu', 'NAA', 'Ins']


def grid(dwell_time=5e-4, n_points=1024, frequency=123.2, echo_time=0.03, sequence='press'):
    return Spectrum(np.ones(n_points), dwell_time, frequency, echo_time, sequence=sequence)


def model(dwell_time=5e-4, n_points=1024, frequency=123.2, **more):
    return simulate.basis(
        spectrometer_frequency=frequency,
        dwell_time=dwell_time,
        n_points=n_points,
        echo_time=0.03,
        te1=0.011,
        metabolites=NAMES,
        **more,
    )


def test_lcmodel_file_comes_back(tmp_path):
    basis = model()
    raw = read_lcmodel_basis(write_lcmodel_basis(tmp_path / 'own.BASIS', basis))
    assert raw.names == basis.names
    assert raw.fids == pytest.approx(basis.fids, abs=1e-5)
    assert (raw.dwell_time, raw.spectrometer_frequency) == (5e-4, 123.2)
    assert (raw.echo_time, raw.sequence) == (0.03, 'press')
    assert raw.linewidth_hz == pytest.approx(1.0, rel=1e-3)


def test_load_own_file_without_doubts(tmp_path):
    path = write_lcmodel_basis(tmp_path / 'own.BASIS', model())
    basis = load_basis(path, grid())
    assert basis.flags == ()
    assert basis.amplitude_per_proton == pytest.approx(1.0, abs=2e-3)
    assert basis.provenance['file'] == 'own.BASIS'
    assert len(basis.sha256) == 64
    assert np.isnan(basis.te1)
    assert load_basis(path, grid(), te1=0.011).te2 == pytest.approx(0.019)
    assert load_basis(path, grid(), metabolites=['mI', 'Glu']).names == ('Ins', 'Glu')
    assert load_basis(tmp_path, grid()).sha256 == basis.sha256


@pytest.mark.parametrize(
    ('spectrum', 'message'),
    [
        (grid(frequency=127.8), 'made for 123.20 MHz, data at 127.80'),
        (grid(echo_time=0.035), 'made for TE 30.0 ms, data at 35.0'),
        (grid(sequence='steam'), 'made for press, data by steam'),
    ],
)
def test_wrong_basis_is_refused_or_flagged(tmp_path, spectrum, message):
    path = write_lcmodel_basis(tmp_path / 'own.BASIS', model())
    with pytest.raises(MetadataError, match=message):
        load_basis(path, spectrum)
    assert any(message in flag for flag in load_basis(path, spectrum, strict=False).flags)


def test_small_differences_are_flagged(tmp_path):
    path = write_lcmodel_basis(tmp_path / 'own.BASIS', model())
    flags = load_basis(path, grid(frequency=124.2, echo_time=0.031)).flags
    assert len(flags) == 2


def test_folded_or_truncated_basis(tmp_path):
    folded = write_lcmodel_basis(tmp_path / 'folded.BASIS', model(1.2e-3))
    with pytest.raises(MetadataError, match='spectral width of 833 Hz is too small'):
        load_basis(folded, grid())
    short = write_lcmodel_basis(tmp_path / 'short.BASIS', model(n_points=256))
    assert load_basis(short, grid()).flags[0].startswith('its FIDs end at 0.13 s, undecayed')


def test_files_of_makebasis_are_scaled_and_moved(tmp_path):
    """Spectra with another carrier and unlike concentrations, as LCModel's MakeBasis writes."""
    basis = model()
    path = write_lcmodel_basis(tmp_path / 'own.BASIS', basis)
    points = 120
    moved = np.exp(-2j * np.pi * points * np.arange(1024) / 2048)  # -120 of 2048 points
    conc = np.array([50.0, 100.0, 50.0, 25.0])
    made = replace(basis, fids=basis.fids * moved * conc[:, None])
    parts = write_lcmodel_basis(tmp_path / 'made.BASIS', made).read_text().split(' CONC = 1.,')
    text = parts[0] + ''.join(
        f' CONC = {value},{part}' for value, part in zip(conc, parts[1:], strict=True)
    )
    (tmp_path / 'made.BASIS').write_text(text.replace(' ISHIFT = 0', f' ISHIFT = -{points}'))
    loaded, own = (load_basis(p, grid()) for p in (tmp_path / 'made.BASIS', path))
    np.testing.assert_allclose(loaded.fids, own.fids, atol=1e-4 * np.abs(own.fids).max())
    (tmp_path / 'bad.BASIS').write_text(text.replace(' CONC = 50.0', ' CONC = 0', 1))
    with pytest.raises(InputDataError, match='Cr: TRAMP, VOLUME and CONC must be above zero'):
        load_basis(tmp_path / 'bad.BASIS', grid())


@pytest.mark.parametrize(
    'change',
    [
        lambda text: text.replace('\n $END', ' $END'),  # as spant writes it
        lambda text: text.replace('$END', '$end').replace(' $SEQPAR', ' $seqpar'),
        lambda text: text.replace(' $END', ' /').replace(' $', ' &'),  # as gfortran writes it
        lambda text: text.replace('ECHOT = 30.00', 'ECHOT =  '),
    ],
)
def test_dialects_of_the_format(tmp_path, change):
    path = write_lcmodel_basis(tmp_path / 'own.BASIS', model())
    text = path.read_text()
    assert change(text) != text
    (tmp_path / 'other.BASIS').write_text(change(text))
    own, other = (read_lcmodel_basis(tmp_path / f'{name}.BASIS') for name in ('own', 'other'))
    np.testing.assert_array_equal(own.fids, other.fids)
    assert (own.names, own.sequence) == (other.names, other.sequence)


def test_spectra_without_zero_filling(tmp_path):
    basis = model(n_points=2048)
    text = write_lcmodel_basis(tmp_path / 'own.BASIS', basis).read_text()
    head, *parts = text.split(' ISHIFT = 0\n $END\n')
    for number, part in enumerate(parts):
        spectrum = np.fft.fft(basis.fids[number])
        lines = '\n'.join(f'{v.real:15.6E}{v.imag:15.6E}' for v in spectrum)
        rest = part[part.index(' $') :] if ' $' in part else ''
        head += f' ISHIFT = 0\n $END\n{lines}\n{rest}'
    (tmp_path / 'plain.BASIS').write_text(head.replace('NDATAB = 4096', 'NDATAB = 2048'))
    raw = read_lcmodel_basis(tmp_path / 'plain.BASIS')
    assert raw.flags == ('its spectra were written without zero filling',)
    np.testing.assert_allclose(raw.fids, basis.fids, atol=1e-5)


def test_unreadable_files(tmp_path):
    with pytest.raises(MissingInputError, match='no such basis'):
        load_basis(tmp_path / 'none.BASIS', grid())
    (tmp_path / 'text.BASIS').write_text('nothing here')
    with pytest.raises(InputDataError, match='no \\$BASIS block'):
        load_basis(tmp_path / 'text.BASIS', grid())
    whole = write_lcmodel_basis(tmp_path / 'own.BASIS', model()).read_text()
    (tmp_path / 'cut.BASIS').write_text(whole[:-2000])
    with pytest.raises(InputDataError, match=r'Ins has .* points, NDATAB says 2048'):
        load_basis(tmp_path / 'cut.BASIS', grid())
    (tmp_path / 'bare.BASIS').write_text(whole.replace('BADELT', 'NOTHING'))
    with pytest.raises(InputDataError, match='BADELT is missing'):
        load_basis(tmp_path / 'bare.BASIS', grid())
    (tmp_path / 'empty').mkdir()
    with pytest.raises(InputDataError, match=r'no \.json files'):
        load_basis(tmp_path / 'empty', grid())


@pytest.mark.parametrize(('dwell_time', 'tolerance'), [(2.5e-4, 1e-6), (4e-4, 3e-3)])
def test_resampling_equals_simulating_on_the_grid(tmp_path, dwell_time, tolerance):
    path = write_lcmodel_basis(tmp_path / 'own.BASIS', model(dwell_time, 4096))
    loaded = load_basis(path, grid())
    own = model()
    error = np.linalg.norm(loaded.fids - own.fids) / np.linalg.norm(own.fids)
    assert error < tolerance + 2e-6


def test_field_rescaling_keeps_chemical_shifts(tmp_path):
    path = write_lcmodel_basis(tmp_path / 'own.BASIS', model(2.5e-4, 4096, frequency=123.8))
    spectrum = np.abs(np.fft.fft(load_basis(path, grid()).fid('NAA'), 16384))
    ppm = 4.65 - np.fft.fftfreq(16384, 5e-4) / 123.2
    assert ppm[np.argmax(spectrum)] == pytest.approx(2.008, abs=1e-3)


def test_conjugate_file_is_turned(tmp_path):
    basis = model()
    turned = Basis(basis.names, basis.fids.conj(), 5e-4, 123.2, 0.03, 'press', linewidth_hz=1.0)
    path = write_lcmodel_basis(tmp_path / 'turned.BASIS', turned)
    loaded = load_basis(path, grid())
    assert loaded.fids == pytest.approx(basis.fids, abs=1e-5)
    assert any('conjugated' in flag for flag in loaded.flags)


def test_fsl_folder(tmp_path):
    basis = model()
    for name, fid in zip(('Cr', 'Glu', 'NAA', 'mI'), basis.fids, strict=True):
        record = {
            'basis': {
                'basis_re': fid.real.tolist(),
                'basis_im': (-fid.imag).tolist(),
                'basis_dwell': 5e-4,
                'basis_centre': 123.2,
                'basis_width': 1.0,
                'basis_name': name,
            }
        }
        (tmp_path / f'{name}.json').write_text(json.dumps(record))
    loaded = load_basis(tmp_path, grid())
    assert loaded.names == ('Cr', 'Glu', 'NAA', 'Ins')
    assert np.allclose(loaded.fids, basis.fids)
    (tmp_path / 'Odd.json').write_text('{"basis": {}}')
    with pytest.raises(InputDataError, match='not an FSL-MRS basis'):
        load_basis(tmp_path, grid())


def test_osprey_file(tmp_path):
    basis = model(frequency=42.577478518 * 3.0)
    struct = {
        'fids': basis.fids.T.conj(),
        'name': np.array(basis.names, dtype=object),
        'dwelltime': 5e-4,
        'Bo': 3.0,
        'te': 30.0,
        'seq': 'press',
        'linewidth': 1.0,
    }
    savemat(tmp_path / 'osprey.mat', {'BASIS': struct})
    loaded = load_basis(tmp_path / 'osprey.mat', grid(frequency=42.577478518 * 3.0))
    assert loaded.names == basis.names
    assert np.allclose(loaded.fids, basis.fids)
    assert loaded.echo_time == pytest.approx(0.03)
    (tmp_path / 'new.mat').write_bytes(b'\x89HDF')
    with pytest.raises(InputDataError, match='export it as an LCModel'):
        load_basis(tmp_path / 'new.mat', grid())


def test_references_are_left_out(tmp_path):
    basis = model()
    more = replace(basis, names=('H2O', *basis.names[1:]))
    path = write_lcmodel_basis(tmp_path / 'own.BASIS', more)
    loaded = load_basis(path, grid())
    assert loaded.names == basis.names[1:]
    assert loaded.fids == pytest.approx(basis.fids[1:], abs=1e-5)
    assert loaded.flags == ('left out, no metabolite: H2O',)


def test_simulated_basis_follows_the_spectrum():
    basis = load_basis('simulate', grid(sequence=''), metabolites=NAMES)
    assert basis.fids.shape == (4, 1024)
    assert any('PRESS assumed' in flag for flag in basis.flags)
    with pytest.raises(MetadataError, match='EchoTime is missing'):
        load_basis('simulate', grid(echo_time=float('nan')))


def test_names():
    assert canonical_name('MM_exp') == 'Mac'
    assert canonical_name('MM09') == 'MM09'
    with pytest.raises(InputDataError, match='occurs twice'):
        Basis(('Cr', 'Cr'), np.ones((2, 16), dtype=complex), 5e-4, 123.2)


def test_proton_amplitude_of_a_scaled_and_broad_basis():
    basis = model(linewidth_hz=3.0)
    scaled = Basis(basis.names, 0.37 * basis.fids, 5e-4, 123.2)
    assert amplitude_per_proton(scaled) == pytest.approx(0.37, rel=3e-3)
    bare = Basis(('Glu',), basis.fids[1:2], 5e-4, 123.2)
    assert np.isnan(amplitude_per_proton(bare))


def test_measured_macromolecules_join_and_replace():
    mm = Spectrum(5e3 * birch_fid(2048, 2.5e-4, 123.2), 2.5e-4, 123.2, 0.03, sequence='press')
    basis = model()
    joined = with_macromolecules(basis, mm, smoothing_hz=0.0)
    assert joined.names == (*basis.names, 'Mac')
    assert joined.mm_names == ('Mac',)
    expected = birch_fid(1024, 5e-4, 123.2)
    assert np.allclose(joined.fid('Mac'), expected / np.abs(expected).max(), atol=1e-3)
    assert 'macromolecules_sha256' in joined.provenance
    twice = with_macromolecules(joined, mm)
    assert twice.names == joined.names
    with pytest.raises(MetadataError, match='made for TE 60'):
        with_macromolecules(basis, replace(mm, echo_time=0.06))


def test_orientation_of_data():
    basis = model()
    fid = simulate.synthetic_fid(basis, {'NAA': 1.0, 'Cr': 1.0})
    spectrum = Spectrum(fid, 5e-4, 123.2)
    assert oriented(spectrum)[1]
    turned, kept = oriented(Spectrum(fid.conj(), 5e-4, 123.2))
    assert not kept
    assert np.array_equal(turned.fid, fid)


@pytest.mark.parametrize('fid', [np.ones((2, 64)), np.ones(3)])
def test_spectrum_refuses_other_shapes(fid):
    with pytest.raises(InputDataError, match='one FID'):
        Spectrum(fid, 5e-4, 123.2)
    with pytest.raises(InputDataError, match='must be positive'):
        Spectrum(np.ones(64), 0.0, 123.2)


def test_shared_files(shared_data):
    challenge = load_basis(
        shared_data / 'basis' / 'challenge_press3T_30ms.BASIS', grid(2.5e-4, 2048)
    )
    assert len(challenge.names) == 21
    assert challenge.mm_names == ('Mac',)
    assert {'Scyllo', 'PCh', 'Ins'} < set(challenge.names)
    philips = shared_data / 'basis' / '3T_PRESS_Philips_35ms_noMM.BASIS'
    with pytest.raises(MetadataError, match='wrong basis set'):
        load_basis(philips, grid(2.5e-4, 2048))
    fitting = load_basis(philips, grid(frequency=127.75, echo_time=0.035, n_points=2048))
    assert fitting.flags == ()
    assert len(fitting.names) == 17
