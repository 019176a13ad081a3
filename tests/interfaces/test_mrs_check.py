"""The check of converted spectra: each thing that the fit needs, missing one at a time."""

from __future__ import annotations

import json
import os
import re
from dataclasses import replace
from pathlib import Path

import nibabel as nb
import numpy as np
import pytest

from bids_acc.cli.check_file import find_reference, main
from bids_acc.exceptions import MetadataError, ProgramError
from bids_acc.mrs.basis.lcmodel_file import write_lcmodel_basis
from bids_acc.mrs.basis.simulate import basis as simulate_basis
from bids_acc.mrs.basis.simulate import synthetic_fid
from bids_acc.mrs.engines.request import FitRequest, first_part, spectrum_of
from bids_acc.mrs.engines.run import run_engine
from bids_acc.mrs.scan.check import Remark, check_file
from bids_acc.mrs.scan.io import MrsData, write_nifti_mrs
from tests.synthetic.lcmodel import install_stand_in

DWELL, MHZ, N = 5e-4, 127.75, 1024
METADATA = {
    'EchoTime': 0.035, 'RepetitionTime': 2.0, 'PulseSequenceType': 'PRESS',
    'Manufacturer': 'Philips', 'SpectrometerFrequency': [MHZ], 'ResonantNucleus': ['1H'],
}  # fmt: skip


def brain() -> np.ndarray:
    levels = {'NAA': 10.0, 'Cr': 4.5, 'PCr': 4.0, 'GPC': 1.5, 'Glu': 9.5, 'Ins': 6.0}
    basis = simulate_basis(
        spectrometer_frequency=MHZ, dwell_time=DWELL, n_points=N, echo_time=0.035,
        sequence='press', te1=0.0163, metabolites=list(levels),
    )  # fmt: skip
    rng = np.random.default_rng(5)
    noise = rng.normal(size=(2, N))
    return synthetic_fid(basis, levels) + 0.05 * (noise[0] + 1j * noise[1])


BRAIN = brain()


def scan(**changes: object) -> MrsData:
    affine = np.diag([20.0, 25, 30, 1])
    affine[:3, 3] = [2, 30, 10]
    data = MrsData(BRAIN[None, None, None], DWELL, MHZ, 0.035, 2.0, affine, METADATA)
    return replace(data, **changes)


def spectrum(folder: Path, name: str = 'sub-01_voi-ACC_svs', **changes: object) -> Path:
    data = scan(**changes)
    path = write_nifti_mrs(data, folder / f'{name}.nii.gz')
    sidecar = {k: v for k, v in data.metadata.items() if not k.startswith('dim_')}
    (folder / f'{name}.json').write_text(json.dumps(sidecar))
    return path


def water(folder: Path, name: str = 'sub-01_voi-ACC_mrsref', **changes: object) -> Path:
    decay = 4e4 * np.exp(-np.arange(N) * DWELL / 0.06) + 0j
    return spectrum(folder, name, **{'fids': decay[None, None, None], **changes})


def texts(remarks: list[Remark], kind: str) -> str:
    return ' '.join(remark.text for remark in remarks if remark.kind == kind)


def test_a_whole_acquisition_lacks_nothing(tmp_path: Path) -> None:
    remarks = check_file(spectrum(tmp_path), water(tmp_path), te1=0.0163)
    assert not texts(remarks, 'lacks')
    assert not texts(remarks, 'refused')
    good = texts(remarks, 'good')
    for word in ('1 transient,', '127.750 MHz', '20.0 x 25.0 x 30.0 mm (15.0 mL)', 'press',
                 'Echo time 35 ms', '16.3 + 18.7 ms', 'Repetition time 2000 ms', 'same place',
                 'Lines lie where', 'NAA: width'):  # fmt: skip
        assert word in good, word


def without(*names: str, **more: object) -> dict[str, object]:
    return {'metadata': {k: v for k, v in METADATA.items() if k not in names} | more}


@pytest.mark.parametrize(
    ('changes', 'kind', 'word'),
    [
        (without('EchoTime'), 'refused', 'EchoTime is missing'),
        (without(PulseSequenceType='sLASER', EchoTime=0.008), 'refused', 'too short for slaser'),
        (without(EchoTime=35), 'refused', 'value in ms'),
        (without(PulseSequenceType='SPECIAL', EchoTime=0.0085), 'refused',
         "'SPECIAL', which is not simulated, and EchoTime 8.5 ms is too short for press"),
        (without('RepetitionTime'), 'lacks', 'RepetitionTime is missing'),
        (without('PulseSequenceType'), 'lacks', 'PRESS is assumed'),
        (without(PulseSequenceType='STEAM'), 'lacks', 'MixingTime is missing'),
        (without(), 'lacks', 'Philips usually has TE1 16.3 ms'),
        (without(PulseSequenceTiming=[0, 0.008, 0.0255]), 'good', 'Echo time as 16 + 19 ms'),
        (without(PulseSequenceTiming=[0, 8, 25.5]), 'note', 'does not fit press'),
        (without(PulseSequenceType='STEAM', PulseSequenceTiming=[0, 0.0175, 0.0275]), 'good',
         'Mixing time 0.01'),
        (without(PulseSequenceType='STEAM', MixingTime=10), 'refused', 'value in ms'),
        (without('Manufacturer'), 'lacks', 'The protocol of the scanner tells it'),
        (without(PulseSequenceType='HERMES'), 'refused', 'four conditions'),
        (without(PulseSequenceType='MEGA-PRESS', EchoTime=0.068), 'refused', 'one average'),
        (without(InversionTime=0.75), 'note', 'if the sequence inverts'),
        ({'affine': np.eye(4)}, 'lacks', 'affine is empty'),
        ({'affine': np.diag([1e4, 1e4, 1e4, 1])}, 'lacks', 'no voxel of a brain'),
        ({'affine': np.diag([2, 2.5, 3, 1])}, 'lacks', 'like one in cm'),
        ({'fids': BRAIN.conj()[None, None, None]}, 'note', 'conjugated'),
        ({'fids': np.zeros((1, 1, 1, N), complex)}, 'refused', 'zero throughout'),
        ({'fids': BRAIN.real[None, None, None] + 0j}, 'refused', 'half of each complex number'),
        ({'fids': np.fft.fft(BRAIN)[None, None, None]}, 'refused', 'spectra, not decays'),
        ({'dwell_time': DWELL / 2}, 'refused', 'they fit 256 MHz, or 2000 Hz'),
        ({'fids': (BRAIN * np.exp(-10 * DWELL * np.arange(N)))[None, None, None]}, 'note',
         'Filtered decay: noise falls'),
        ({'fids': np.repeat(BRAIN[None], 8, 0)[:, None, None]}, 'note', 'coils of the file agree'),
    ],
)  # fmt: skip
def test_each_need(tmp_path: Path, changes: dict, kind: str, word: str) -> None:
    remarks = check_file(spectrum(tmp_path, **changes))
    assert word in texts(remarks, kind)
    kinds = [remark.kind for remark in remarks]
    assert kinds == sorted(kinds, key=('refused', 'lacks', 'note', 'good').index)


@pytest.mark.parametrize(
    ('changes', 'word'),
    [
        ({'dwell_time': 4e-4}, 'sampled at 2500 Hz'),
        ({'affine': np.diag([20.0, 25, 30, 1])}, 'not measured at the place'),
        ({'fids': np.ones((4, 1, 1, N), complex) * np.exp(1j * np.arange(4))[:, None, None, None]},
         'has 4 coils, the spectrum 1'),
    ],
)  # fmt: skip
def test_a_water_reference_that_does_not_fit(tmp_path: Path, changes: dict, word: str) -> None:
    assert word in texts(check_file(spectrum(tmp_path), water(tmp_path, **changes)), 'lacks')


def test_the_reference_of_the_same_voxel_is_found(tmp_path: Path) -> None:
    path = spectrum(tmp_path)
    water(tmp_path, 'sub-01_voi-PCC_mrsref')
    own = water(tmp_path)
    water(tmp_path, 'sub-02_voi-ACC_mrsref')
    found, said = find_reference(path)
    assert found == own
    assert ['PCC' in remark.text for remark in said] == [True]


def test_metadata_are_inherited_and_name_the_reference(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As the participant level has them: from the root of the data set, by ``ReferenceSignal``."""
    folder = tmp_path / 'sub-01' / 'mrs'
    folder.mkdir(parents=True)
    (tmp_path / 'dataset_description.json').write_text('{}')
    path = spectrum(folder, 'sub-01_acq-a_svs')
    path.with_name('sub-01_acq-a_svs.json').unlink()
    for name in 'bc':
        water(folder, f'sub-01_acq-{name}_mrsref')
    assert find_reference(path)[0] is None
    above = tmp_path / 'acq-a_svs.json'
    above.write_text(
        json.dumps({'ReferenceSignal': 'bids::sub-01/mrs/sub-01_acq-c_mrsref.nii.gz'})
    )
    assert find_reference(path)[0].name == 'sub-01_acq-c_mrsref.nii.gz'
    above.write_text(json.dumps({'ReferenceSignal': 'sub-01/mrs/x_mrsref.nii.gz', 'EchoTime': 30}))
    assert main([str(path)]) == 65
    told = capsys.readouterr().out
    assert 'EchoTime is 30 s' in told
    assert "ReferenceSignal 'sub-01/mrs/x_mrsref.nii.gz' does not exist" in told
    above.write_text('{')
    assert main([str(path)]) == 65
    assert 'acq-a_svs.json' in capsys.readouterr().out


@pytest.mark.parametrize(
    ('name', 'word'),
    [('scan.SDAT', 'spec2nii philips '), ('scan.rda', 'spec2nii rda '), ('meas.dat', 'twix'),
     ('P1.7', 'spec2nii ge '), ('a.IMA', 'spec2nii dicom'), ('a.list', 'philips_dl'),
     ('a.doc', 'convert it with spec2nii')],
)  # fmt: skip
def test_scanner_files_are_told_how_to_be_converted(tmp_path: Path, name: str, word: str) -> None:
    (tmp_path / name).write_bytes(b'x')
    (remark,) = check_file(tmp_path / name)
    assert (remark.kind, word in remark.text) == ('refused', True)


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spectrum(tmp_path)
    water(tmp_path)
    assert main([str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert 'sub-01_voi-ACC_svs.nii.gz: can be fitted; 1 thing is lacking' in shown
    image = nb.Nifti1Image(np.zeros((4, 4, 4), dtype=np.float32), np.eye(4))
    image.to_filename(tmp_path / 'sub-02_svs.nii.gz')
    assert main([str(tmp_path), '--json']) == 65
    rows = json.loads(capsys.readouterr().out)
    assert {Path(row['file']).name for row in rows if row['kind'] == 'refused'} == {
        'sub-02_svs.nii.gz'
    }
    assert main([str(tmp_path / 'nothing.nii.gz')]) == 66
    assert 'no such file' in capsys.readouterr().err
    assert main(['--mrs-te1', 'x']) == 64


def test_real_exports(shared_data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What real conversions hold: fitted as they are but for the simulated ones without TE."""
    for name, code in (('mrs-press30', 0), ('mrs-press35', 0), ('mrs-siemens30', 0)):
        assert main([str(shared_data / name)]) == code
    shown = capsys.readouterr().out
    assert shown.count('can be fitted') == 4
    assert len(re.findall('usually has TE1', shown)) == 4
    assert main([str(shared_data / 'mrs-challenge' / 'sub-01_svs.nii.gz')]) == 65


@pytest.mark.parametrize(('te1', 'offered'), [(None, True), (0.0163, False)])
def test_the_usual_split_is_offered_with_a_fit_that_assumes_one(
    te1: float | None, offered: bool
) -> None:
    request = FitRequest('builtin', te1=te1, metadata=METADATA)
    result, info = run_engine(scan(), request)
    assert info['BasisTE1'] == (te1 or 0.0124)  # offered, not taken
    assert any('Philips usually has TE1 16.3 ms' in note for note in result.notes) is offered


def test_the_times_of_the_pulses_divide_the_echo_time(tmp_path: Path) -> None:
    """BIDS' PulseSequenceTiming; what is asked for comes first, a file's split is its own."""
    told = METADATA | {'PulseSequenceTiming': [0, 0.008, 0.0255]}
    spectrum_, _ = spectrum_of(scan(), FitRequest('builtin', metadata=told))
    request = FitRequest('builtin', metadata=told)
    assert first_part(request, spectrum_)[0] == pytest.approx(0.016)
    assert first_part(replace(request, te1=0.012), spectrum_)[0] == 0.012
    assert first_part(replace(request, basis='x.BASIS'), spectrum_)[0] is None
    result, info = run_engine(scan(), request)
    assert info['BasisTE1'] == pytest.approx(0.016)
    assert info['BasisTESplitAssumed'] is False
    assert any('TE1 16.0 ms read from PulseSequenceTiming' in note for note in result.notes)


def test_a_sequence_that_is_not_simulated_is_fitted_with_its_own_basis_set(
    tmp_path: Path,
) -> None:
    """SPECIAL at 8.5 ms: too short for the PRESS that is assumed, not for its own basis set."""
    metadata = METADATA | {'PulseSequenceType': 'SPECIAL', 'EchoTime': 0.0085}
    data = scan(metadata=metadata, echo_time=0.0085)
    with pytest.raises(MetadataError, match=r'SPECIAL.*not simulated.*--mrs-basis'):
        run_engine(data, FitRequest('builtin', metadata=metadata))
    basis = simulate_basis(
        spectrometer_frequency=MHZ, dwell_time=DWELL, n_points=N, echo_time=0.0085,
        sequence='press', te1=0.004, metabolites=['NAA', 'Cr', 'PCr', 'GPC', 'Glu', 'Ins'],
    )  # fmt: skip
    path = write_lcmodel_basis(tmp_path / 'special.BASIS', basis)
    request = FitRequest('builtin', basis=str(path), metadata=metadata, macromolecules='none')
    result, _ = run_engine(data, request)
    assert result.ratio('NAA', 'tCr')[0] > 0
    with pytest.raises(MetadataError, match='too short for slaser'):
        run_engine(data, replace(request, sequence='slaser'))


def test_the_range_reaches_both_engines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The built-in fit has no point above it; LCModel is told it, and its table ends the run."""
    request = FitRequest('builtin', te1=0.0163, metadata=METADATA, ppm_max=4.0)
    result, _ = run_engine(scan(), request)
    assert result.curves is not None
    assert 3.99 < result.curves.ppm.max() <= 4.0
    install_stand_in('cat > seen\nexit 3\n', tmp_path, monkeypatch)
    with pytest.raises(ProgramError):
        run_engine(scan(), replace(request, engine='lcmodel', work_dir=tmp_path))
    assert re.search(r'^ ppmst=4\.0$', (tmp_path / 'seen').read_text(), re.MULTILINE)


def test_lcmodel_as_the_docs_add_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The place where the docs copy the binary is on the PATH that the image has."""
    from bids_acc.mrs.engines.run import choose_engine

    root = Path(__file__).resolve().parents[2]
    line = re.search(r'^COPY --chmod=755 lcmodel (\S+)$', (root / 'docs/spectra.md').read_text(),
                     re.MULTILINE)  # fmt: skip
    assert line is not None
    own = re.search(r'PATH=(\S+):\$PATH', (root / 'Dockerfile').read_text())
    assert own is not None
    # what Debian's image sets, which the Dockerfile prepends to
    path = [own[1], '/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin']
    program = tmp_path / line[1].lstrip('/')
    program.parent.mkdir(parents=True)
    program.write_text('#!/bin/sh\n')
    program.chmod(0o755)
    monkeypatch.setenv('PATH', os.pathsep.join(f'{tmp_path}{part}' for part in path))
    assert choose_engine('lcmodel', False) == 'lcmodel'
