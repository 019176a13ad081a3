"""What discovery finds, what it refuses, and with which words."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from bids_acc.bids.discovery import discover
from bids_acc.bids.index import ImageIndex
from bids_acc.bids.selection import Selection, check_dataset, choose_labels, read_filters
from bids_acc.bids.uris import resolve_uri
from bids_acc.exceptions import (
    ExitCode,
    InvalidDatasetError,
    NothingSelectedError,
    SettingsError,
)
from bids_acc.participant.plan import refuse_nothing
from bids_acc.participant.workflow import other_space
from tests.synthetic.bids_folder import (
    BVAL,
    BVEC,
    write_dataset,
    write_dwi,
    write_svs,
    write_t1w,
)


def find(root: Path, **selection):
    """Discover a whole folder."""
    return discover(ImageIndex(root), Selection(**selection))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return an empty data set."""
    return write_dataset(tmp_path / 'bids')


def test_complete_subject_without_sessions(root):
    write_t1w(root, '01')
    write_dwi(root, '01')
    write_svs(root, '01', acq='press')
    write_svs(root, '01', acq='press', suffix='mrsref')
    (session,) = find(root)
    assert session.session is None
    assert [row.status for row in session.plan] == ['run', 'run', 'run']
    assert session.mrs[0].reference.name == 'sub-01_acq-press_mrsref.nii.gz'
    assert len(session.row('dwi').inputs) == 3


def test_a_spectrum_that_lies_there_plain_and_compressed_is_taken_once(root):
    for suffix in ('svs', 'mrsref'):
        path = write_svs(root, '01', suffix=suffix)
        path.with_suffix('').write_bytes(gzip.decompress(path.read_bytes()))
    session = find(root)[0]
    (spectrum,) = session.mrs
    assert (spectrum.svs.name, spectrum.reference.name) == (
        'sub-01_svs.nii.gz', 'sub-01_mrsref.nii.gz'
    )  # fmt: skip
    assert 'sub-01_svs.nii: not used' in session.row('mrs').reason


def test_a_spectrum_is_not_its_own_reference(root):
    write_svs(
        root, '01', metadata={'ReferenceSignal': 'bids::sub-01/mrs/sub-01_svs.nii.gz'}
    )  # fmt: skip
    session = find(root)[0]
    assert session.mrs[0].reference is None
    assert 'names the spectrum itself' in session.row('mrs').reason


@pytest.mark.parametrize(
    ('names', 'word'),
    [
        (['sub-01_svs.SDAT', 'sub-01_svs.SPAR'], 'SDAT, sub-01_svs.SPAR lies there: convert'),
        (['sub-01_press.nii.gz'], 'name spectra of one voxel *_svs.nii.gz'),
        (['sub-01_mrsi.nii.gz', 'sub-01_mrsi.json'], 'spectroscopic images are not fitted'),
        ([f'meas{k}.dat' for k in range(5)], 'meas2.dat and 2 more lies there'),
        (['sub-01_mrsref.nii.gz'], 'no file matches'),
    ],
)
def test_what_lies_in_the_place_of_a_spectrum_is_named(root, names, word):
    write_t1w(root, '01')
    for name in names:
        place = root / 'sub-01' / 'mrs' / name
        place.parent.mkdir(exist_ok=True)
        place.write_bytes(b'x')
    row = find(root)[0].row('mrs')
    assert row.status == 'skip'
    assert word in row.reason
    assert ('lies there' in row.reason) is (names != ['sub-01_mrsref.nii.gz'])


def test_events_of_a_spectrum_are_inherited(root):
    """The table nearest to the series counts, and is one of the files that results depend on."""
    write_svs(root, '01', task='pain')
    write_svs(root, '01', task='rest')
    (root / 'task-pain_events.tsv').write_text('onset\tduration\n0\t1\n')
    pain, rest = sorted(find(root)[0].mrs, key=lambda spectrum: spectrum.svs.name)
    assert (pain.events, rest.events) == (root / 'task-pain_events.tsv', None)
    assert pain.events in pain.files
    own = root / 'sub-01' / 'mrs' / 'sub-01_task-pain_events.tsv'
    own.write_text('onset\tduration\n0\t1\n')
    assert {spectrum.events for spectrum in find(root)[0].mrs} == {own, None}


def test_sessions_are_separate(root):
    write_t1w(root, '01', 'pre')
    write_t1w(root, '01', 'post')
    write_dwi(root, '01', 'post')
    sessions = find(root)
    assert [s.session_id for s in sessions] == ['ses-post', 'ses-pre']
    assert [s.row('dwi').status for s in sessions] == ['run', 'skip']


def test_t1w_of_another_session_is_used_and_said(root):
    write_t1w(root, '01', 'pre')
    write_dwi(root, '01', 'post')
    post = find(root)[0]
    assert post.anat.t1w.name == 'sub-01_ses-pre_T1w.nii.gz'
    assert 'ses-pre' in post.row('anat').reason


def test_each_modality_without_the_others(root):
    write_dwi(root, '01')
    write_svs(root, '02')
    write_t1w(root, '03')
    status = [[row.status for row in s.plan] for s in find(root)]
    assert status == [['skip', 'run', 'skip'], ['skip', 'skip', 'run'], ['run', 'skip', 'skip']]


@pytest.mark.parametrize('above', ['dwi', 'anat', 'mrs', 'func'])
def test_a_folder_above_that_is_called_like_a_datatype_misleads_nobody(root, above):
    place = root / above / 'study'
    place.mkdir(parents=True)
    (place / 'dataset_description.json').write_text('{"Name": "x", "BIDSVersion": "1.9.0"}')
    write_t1w(place, '01')
    write_dwi(place, '01')
    write_svs(place, '01')
    (session,) = find(place)
    assert [row.status for row in session.plan] == ['run', 'run', 'run']
    assert session.dwi.entities['datatype'] == 'dwi'


def test_inherited_gradients_and_metadata(root):
    write_dwi(root, '01', gradients=False)
    (root / 'dwi.bval').write_text(BVAL)
    (root / 'dwi.bvec').write_text(BVEC)
    (root / 'dwi.json').write_text(json.dumps({'PhaseEncodingDirection': 'j-'}))
    (session,) = find(root)
    assert session.dwi.runs[0].bval == root / 'dwi.bval'
    assert session.dwi.runs[0].metadata['PhaseEncodingDirection'] == 'j-'


def test_missing_bval_fails_only_diffusion(root):
    write_t1w(root, '01')
    path = write_dwi(root, '01')
    path.with_name('sub-01_dwi.bval').unlink()
    (session,) = find(root)
    row = session.row('dwi')
    assert session.row('anat').status == 'run'
    assert (row.status, row.exit_code) == ('fail', ExitCode.NO_INPUT)
    assert 'sub-01_dwi.bval is missing' in row.reason


def test_gradient_count_must_fit(root):
    path = write_dwi(root, '01')
    path.with_name('sub-01_dwi.bval').write_text('0 1000 1000\n')
    row = find(root)[0].row('dwi')
    assert (row.status, row.exit_code) == ('fail', ExitCode.BAD_DATA)


def test_dangling_annex_link_says_datalad_get(root):
    path = write_t1w(root, '01')
    path.unlink()
    path.symlink_to('../../.git/annex/objects/xx/MD5E-s1--00.nii.gz')
    row = find(root)[0].row('anat')
    assert row.exit_code is ExitCode.NO_INPUT
    assert f'not fetched: `datalad get {path}`' in row.reason


def test_unlocked_annex_pointer_says_datalad_get(root):
    path = write_t1w(root, '01')
    path.write_text('/annex/objects/MD5E-s1--00.nii.gz\n')
    assert 'datalad get' in find(root)[0].row('anat').reason


def test_zero_byte_and_cut_off_files(root):
    write_t1w(root, '01').write_bytes(b'')
    whole = write_t1w(root, '02').read_bytes()
    (root / 'sub-02' / 'anat' / 'sub-02_T1w.nii.gz').write_bytes(whole[: len(whole) // 2])
    empty, cut = (s.row('anat') for s in find(root))
    assert empty.exit_code is cut.exit_code is ExitCode.BAD_DATA
    assert '0 bytes' in empty.reason
    assert 'damaged' in cut.reason or 'readable' in cut.reason


def test_several_spectra_keep_their_own_reference(root):
    for voi in ('ACC', 'PCC'):
        write_svs(root, '01', acq='press', voi=voi)
        write_svs(root, '01', acq='press', voi=voi, suffix='mrsref')
    spectra = find(root)[0].mrs
    assert len(spectra) == 2
    for spectrum in spectra:
        assert spectrum.svs.name.replace('_svs', '') == spectrum.reference.name.replace(
            '_mrsref', ''
        )


def test_one_broken_spectrum_leaves_the_other(root):
    write_svs(root, '01', acq='a')
    write_svs(root, '01', acq='b').write_bytes(b'')
    row = find(root)[0].row('mrs')
    assert row.status == 'run'
    assert row.exit_code is ExitCode.BAD_DATA
    assert 'acq-b' in row.reason


def test_reference_by_uri(root):
    write_svs(root, '01', suffix='mrsref', acq='water')
    uri = 'bids::sub-01/mrs/sub-01_acq-water_mrsref.nii.gz'
    write_svs(root, '01', acq='press', metadata={'ReferenceSignal': uri})
    assert find(root)[0].mrs[0].reference.name == 'sub-01_acq-water_mrsref.nii.gz'


def test_anatomical_image_by_uri(root):
    """The T1w image that a spectrum names is the one that is segmented."""
    write_t1w(root, '01', run='1')
    write_t1w(root, '01', run='2')
    uri = 'bids::sub-01/anat/sub-01_run-2_T1w.nii.gz'
    write_svs(root, '01', metadata={'AnatomicalImage': uri})
    (session,) = find(root)
    assert session.anat.t1w.name == 'sub-01_run-2_T1w.nii.gz'
    assert session.mrs[0].anatomical == session.anat.t1w
    assert other_space(session, session.mrs[0]) == ''
    (session,) = find(root, filters={'t1w': {'run': 1}})
    assert 'run-1_T1w.nii.gz was segmented' in other_space(session, session.mrs[0])


def test_anatomical_image_that_is_not_there_is_said(root):
    write_svs(root, '01', metadata={'AnatomicalImage': 'bids::sub-01/anat/none_T1w.nii.gz'})
    (session,) = find(root)
    assert session.mrs[0].anatomical is None
    assert "none_T1w.nii.gz' does not exist" in session.row('mrs').reason


def test_t1w_of_another_session_is_not_in_the_space_of_the_spectrum(root):
    write_t1w(root, '01', 'pre')
    write_svs(root, '01', 'post')
    write_svs(root, '01', 'pre')
    post, pre = find(root)
    assert 'is of another session than the spectrum' in other_space(post, post.mrs[0])
    assert other_space(pre, pre.mrs[0]) == ''


def test_legacy_reference_is_taken_with_a_warning(root):
    write_svs(root, '01', acq='press')
    write_svs(root, '01', acq='press', suffix='ref')
    (session,) = find(root)
    assert session.mrs[0].reference.name == 'sub-01_acq-press_ref.nii.gz'
    assert 'legacy suffix _ref' in session.row('mrs').reason


def test_no_reference_is_said(root):
    write_svs(root, '01')
    assert 'no water reference' in find(root)[0].row('mrs').reason


def test_labels_that_match_nothing_list_what_there_is(root):
    write_t1w(root, '01', 'a')
    with pytest.raises(NothingSelectedError, match=r'99 matches nothing; there is: 01'):
        find(root, participant_labels=('99',))
    with pytest.raises(NothingSelectedError, match=r'b matches nothing; there is: a'):
        find(root, session_labels=('b',))
    asked, there = ([f'{letter}{i}' for i in range(500)] for letter in 'ab')
    with pytest.raises(NothingSelectedError) as refused:
        choose_labels(asked, there, 'participant')
    assert str(refused.value).count('(500 in all)') == 2
    assert len(str(refused.value)) < 400


def test_filter_file_chooses_among_runs(root):
    write_t1w(root, '01', run='1')
    write_t1w(root, '01', run='2')
    (session,) = find(root)
    assert session.anat.t1w.name.endswith('run-1_T1w.nii.gz')
    assert '2 T1w images' in session.row('anat').reason
    (session,) = find(root, filters={'t1w': {'run': 2}})
    assert session.anat.t1w.name.endswith('run-2_T1w.nii.gz')


def test_a_filter_that_leaves_nothing_of_a_session_says_of_how_many(root):
    for label in ('01', '02'):
        write_t1w(root, label)
    write_svs(root, '01', acq='press')
    write_svs(root, '02', acq='steam')
    filters = {'svs': {'acquisition': 'steam'}, 'dwi': {'run': 7}}
    one, other = find(root, filters=filters)
    assert one.row('mrs').reason == '--bids-filter-file: svs leaves none of 1 file'
    assert other.row('mrs').status == 'run'
    assert 'no file matches' in one.row('dwi').reason, 'no filter took it away'
    rows = [row for session in (one, other) for row in session.plan]
    refuse_nothing(rows, everybody=True)


def test_a_filter_that_matches_nothing_anywhere_is_refused(root):
    for label in ('01', '02'):
        write_t1w(root, label)
        write_svs(root, label)
    rows = [row for one in find(root, filters={'svs': {'run': 7}}) for row in one.plan]
    words = 'svs leaves none of 1 file of sub-01, and nothing in 1 other session:'
    with pytest.raises(NothingSelectedError, match=words):
        refuse_nothing(rows, everybody=True)
    refuse_nothing(rows)  # one job of many: others may have what it asks for


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('{"pet": {}}', 'unknown query pet; known: bold, dwi, mrsref, mtr, svs, t1w'),
        ('{"t1": {}}', 'unknown query t1; did you mean t1w'),
        ('{"t1w": "run-1"}', 'it takes an object of entities'),
        ('{"t1w": {"sessoin": "pre"}}', 'unknown entity sessoin; did you mean session'),
        ('{"t1w": {"run": {"a": 1}}}', 'it takes text, a number, null'),
        ('{"t1w": {"run": 1.5}}', 'it takes text, a number, null'),
        ('[]', 'filter.json'),
        ('nonsense', 'filter.json'),
    ],
)
def test_a_wrong_filter_file_is_refused_by_name(text, message, tmp_path):
    path = tmp_path / 'filter.json'
    path.write_text(text)
    with pytest.raises(SettingsError, match=message) as error:
        read_filters(path)
    assert str(error.value).startswith('--bids-filter-file')


def test_a_filter_file_may_ask_for_files_without_an_entity(tmp_path):
    path = tmp_path / 'filter.json'
    path.write_text('{"t1w": {"session": null, "run": [1, 2], "acquisition": "mprage"}}')
    assert read_filters(path)['t1w']['run'] == [1, 2]


def test_invalid_datasets(tmp_path):
    with pytest.raises(InvalidDatasetError, match='no BIDS dataset'):
        check_dataset(tmp_path)
    (tmp_path / 'dataset_description.json').write_text('{"Name": "x"}')
    with pytest.raises(InvalidDatasetError, match='BIDSVersion is missing'):
        check_dataset(tmp_path)


def test_uri_to_a_linked_dataset(tmp_path):
    write_dataset(tmp_path, DatasetLinks={'other': 'file:///elsewhere'})
    assert resolve_uri('bids:other:a.nii', tmp_path, tmp_path) == Path('/elsewhere/a.nii')
    assert resolve_uri('bids:unknown:a.nii', tmp_path, tmp_path) is None


def references(root, labels, **entities):
    for label in labels:
        write_svs(root, '01', suffix='mrsref', acq=label, **entities)


def test_reference_of_another_acq_is_taken_when_it_is_the_only_one(root):
    write_svs(root, '01', acq='press', voi='ACC')
    references(root, ['pressnows'], voi='ACC')
    (session,) = find(root)
    assert session.mrs[0].reference.name == 'sub-01_acq-pressnows_voi-ACC_mrsref.nii.gz'
    assert 'the only one of this voxel' in session.row('mrs').reason


def test_reference_for_quantification_is_told_from_that_for_eddy_currents(root):
    write_svs(root, '01')
    references(root, ['conc', 'ecc'])
    (session,) = find(root)
    assert session.mrs[0].reference.name == 'sub-01_acq-conc_mrsref.nii.gz'
    assert 'acq-ecc_mrsref.nii.gz is there and not taken' in session.row('mrs').reason


def test_reference_is_told_by_echo_time_and_averages(root):
    write_svs(root, '01')
    write_svs(root, '01', suffix='mrsref', acq='a', metadata={'EchoTime': 0.02})
    references(root, ['b'])
    assert find(root)[0].mrs[0].reference.name == 'sub-01_acq-b_mrsref.nii.gz'
    for label, count in (('b', 2), ('c', 16)):
        metadata = {'NumberOfTransients': count}
        write_svs(root, '01', suffix='mrsref', acq=label, metadata=metadata)
    assert find(root)[0].mrs[0].reference.name == 'sub-01_acq-c_mrsref.nii.gz'


def test_references_that_cannot_be_told_apart_are_named(root):
    write_svs(root, '01')
    references(root, ['a', 'b'])
    (session,) = find(root)
    assert session.mrs[0].reference is None
    reason = session.row('mrs').reason
    assert 'acq-a_mrsref' in reason
    assert 'acq-b_mrsref' in reason
    assert 'ReferenceSignal' in reason
    uris = [f'bids::sub-01/mrs/sub-01_acq-{a}_mrsref.nii.gz' for a in ('ecc', 'conc')]
    references(root, ['conc', 'ecc'])
    write_svs(root, '01', metadata={'ReferenceSignal': uris})
    assert find(root)[0].mrs[0].reference.name == 'sub-01_acq-conc_mrsref.nii.gz'


def test_reference_of_another_voxel_is_named_and_not_taken(root):
    write_svs(root, '01', voi='ACC')
    references(root, ['w'], voi='PCC')
    (session,) = find(root)
    assert session.mrs[0].reference is None
    assert 'its voi is PCC, that of the spectrum ACC' in session.row('mrs').reason


def test_another_nucleus_is_passed_over(root):
    write_svs(root, '01', acq='press')
    write_svs(root, '01', nuc='31P', metadata={'ResonantNucleus': ['31P']})
    (session,) = find(root)
    assert [spectrum.svs.name for spectrum in session.mrs] == ['sub-01_acq-press_svs.nii.gz']
    assert session.row('mrs').exit_code is ExitCode.OK
    assert '31P; only proton spectra are fitted' in session.row('mrs').reason
