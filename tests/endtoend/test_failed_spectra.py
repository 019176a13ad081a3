"""Spectra that cannot be processed, one kind of fault each: n/a and the reason in every table."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import nibabel as nb
import numpy as np
import pandas as pd
import pytest

from bids_acc.derivatives.outputs import find_outputs
from bids_acc.group.cohort.reading import load_cohort, plan_group
from tests.endtoend.test_command import bids_acc
from tests.interfaces.test_mrs_robustness import Case, measure
from tests.synthetic.bids_folder import write_dataset

pytestmark = [pytest.mark.slow, pytest.mark.endtoend]


def edit(**fields: object) -> Callable[[Path], None]:
    """Change fields of the sidecar; None removes one."""

    def change(svs: Path) -> None:
        sidecar = svs.with_name(svs.name.replace('.nii.gz', '.json'))
        content = {**json.loads(sidecar.read_text()), **fields}
        sidecar.write_text(json.dumps({k: v for k, v in content.items() if v is not None}))

    return change


def decays(function: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], None]:
    """Change the decays."""

    def change(svs: Path) -> None:
        image = nb.Nifti2Image.from_filename(svs)
        values = function(np.asarray(image.dataobj))
        made = nb.Nifti2Image(values, image.affine, image.header)
        made.header.set_data_dtype(values.dtype)
        made.to_filename(svs)

    return change


def bytes_of(content: bytes) -> Callable[[Path], None]:
    """Replace the file."""
    return lambda svs: svs.write_bytes(content) and None


def broken_sidecar(svs: Path) -> None:
    """Cut the sidecar off."""
    svs.with_name(svs.name.replace('.nii.gz', '.json')).write_text('{"EchoTime": 0.035,')


def truncated(svs: Path) -> None:
    """Cut the file off, as a full disk does."""
    svs.write_bytes(svs.read_bytes()[:4000])


FAULTS: dict[str, tuple[Callable[[Path], None], str]] = {
    'milliseconds': (edit(EchoTime=35), 'EchoTime is 35 s'),
    'repetition': (edit(RepetitionTime=2000), 'RepetitionTime is 2000 s'),
    'nucleus': (edit(ResonantNucleus=['31P']), 'only proton spectra'),
    'frequency': (edit(SpectrometerFrequency=[1277]), 'outside 20-600 MHz'),
    'field': (edit(MagneticFieldStrength=7), 'correct the wrong one'),
    'width': (edit(SpectralWidth=4000), 'SpectralWidth is 4000 Hz'),
    'short': (decays(lambda x: x[:, :, :, :50]), 'are no complex decays'),
    'real': (decays(lambda x: x.real.astype(np.float32)), 'are no complex decays'),
    'zero': (decays(lambda x: 0 * x), 'zero throughout'),
    'nan': (decays(lambda x: np.nan * x), 'no decay is finite'),
    'empty': (bytes_of(b''), 'is empty'),
    'text': (bytes_of(b'<html>404</html>'), 'no readable NIfTI'),
    'truncated': (truncated, 'is damaged'),
    'sidecar': (broken_sidecar, 'no valid JSON'),
}
"""What is done to a spectrum and what its tables must say."""

GOES_ON = {'zero', 'nan'}
"""Faults of the decays alone: tabulated, and no reason to complain about the input."""


@pytest.fixture(scope='module')
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a data set with a sound spectrum and one for each fault."""
    root = write_dataset(tmp_path_factory.mktemp('faults') / 'bids')
    source = tmp_path_factory.mktemp('measured')
    svs, _, metadata = measure(Case(points=1024), source)
    for label in ('sound', *FAULTS):
        folder = root / f'sub-{label}' / 'mrs'
        folder.mkdir(parents=True)
        target = folder / f'sub-{label}_svs.nii.gz'
        shutil.copyfile(svs, target)
        target.with_name(f'sub-{label}_svs.json').write_text(json.dumps(metadata))
        if label in FAULTS:
            FAULTS[label][0](target)
    people = ''.join(f'sub-{label}\n' for label in ('sound', *FAULTS))
    (root / 'participants.tsv').write_text('participant_id\n' + people)
    return root


@pytest.fixture(scope='module')
def done(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the output folder of the participant level, which ends with exit code 65."""
    out = tmp_path_factory.mktemp('out') / 'out'
    run = bids_acc(raw, out, 'participant', '--modalities', 'mrs')
    assert run.returncode == 65, run.stderr
    for label, (_, reason) in FAULTS.items():
        assert label in GOES_ON or reason in run.stderr, label
    return out


def table(out: Path, key: str, label: str) -> pd.DataFrame:
    """Read one table of one participant."""
    (found,) = find_outputs(key, out, subject=label)
    return pd.read_csv(found.path, sep='\t', na_values='n/a')


@pytest.mark.parametrize('label', FAULTS)
def test_every_fault_gives_nan_and_its_reason(done: Path, label: str) -> None:
    reason = FAULTS[label][1]
    levels = table(done, 'mrs_quantities', label)
    assert (
        levels[['value', 'value_sd', 'ci_low', 'ci_high', 'value_crlb', 'crlb_pct']]
        .isna()
        .all(axis=None)
    )
    assert (levels['gate'] == 'fail').all()
    assert levels['gate_reason'].str.contains(reason, regex=False).all()
    assert {'Glu', 'Glx', 'tNAA', 'tCr'} <= set(levels['metabolite'])
    assert {'ratio_tcr', 'water_tissue'} <= set(levels['unit_scheme'])
    quality = table(done, 'mrs_quality', label).iloc[0]
    assert quality['gate'] == 'fail'
    assert reason in quality['gate_reasons']
    assert pd.isna(quality['snr_lcm'])
    assert str(done) not in quality['gate_reasons']


def test_the_sound_spectrum_went_on(done: Path) -> None:
    assert table(done, 'mrs_quality', 'sound').iloc[0]['gate'] == 'pass'


def test_status_says_the_same(done: Path) -> None:
    newest = max((done / 'logs').glob('2*'))
    rows = pd.read_csv(newest / 'status.tsv', sep='\t')
    rows = rows[rows['modality'] == 'mrs'].set_index('participant_id')
    for label, (_, reason) in FAULTS.items():
        if label not in GOES_ON:
            assert rows.loc[f'sub-{label}', 'status'] == 'failed'
            assert reason in rows.loc[f'sub-{label}', 'reason_text']


def test_the_group_level_counts_them_with_the_reason(done: Path) -> None:
    plan = plan_group(done)
    rows = {row['participant_id']: row for row in plan if row['modality'] == 'mrs'}
    assert rows['sub-sound']['status'] == 'run'
    for label, (_, reason) in FAULTS.items():
        assert rows[f'sub-{label}']['status'] == 'exclude', label
        assert reason in rows[f'sub-{label}']['reason'], label
    cohort = load_cohort(done, plan)
    assert cohort.mrs is not None
    assert set(cohort.mrs['participant_id']) == {f'sub-{label}' for label in ('sound', *FAULTS)}


def test_a_wrong_basis_set_keeps_what_was_known(raw: Path, tmp_path: Path) -> None:
    from bids_acc.mrs.basis import simulate
    from bids_acc.mrs.basis.lcmodel_file import write_lcmodel_basis

    basis = simulate.basis(
        spectrometer_frequency=63.9, dwell_time=5e-4, n_points=1024, echo_time=0.035
    )
    path = write_lcmodel_basis(tmp_path / 'other-field.BASIS', basis)
    out = tmp_path / 'out'
    options = ('--modalities', 'mrs', '--participant-label', 'sound', '--mrs-basis', path)
    run = bids_acc(raw, out, 'participant', *options)
    assert run.returncode == 65, run.stderr
    levels = table(out, 'mrs_quantities', 'sound')
    assert levels['value'].isna().all()
    assert levels['gate_reason'].str.contains('wrong basis set').all()
    quality = table(out, 'mrs_quality', 'sound').iloc[0]
    assert 'wrong basis set' in quality['gate_reasons']
    assert (quality['n_transients'], quality['te_s']) == (1, 0.035)
    assert list(out.glob('sub-sound/mrs/*_desc-preproc_svs.nii.gz'))


def test_mended_data_replace_the_tables(raw: Path, tmp_path: Path) -> None:
    copy, out = tmp_path / 'bids', tmp_path / 'out'
    shutil.copytree(raw, copy)
    options = ('--modalities', 'mrs', '--participant-label', 'milliseconds')
    assert bids_acc(copy, out, 'participant', *options).returncode == 65
    edit(EchoTime=0.035)(copy / 'sub-milliseconds' / 'mrs' / 'sub-milliseconds_svs.nii.gz')
    assert bids_acc(copy, out, 'participant', *options).returncode == 0
    assert table(out, 'mrs_quality', 'milliseconds').iloc[0]['gate'] == 'pass'
