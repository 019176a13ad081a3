"""The index of images: what is in it, under which entities, and from which roots."""

import os
from pathlib import Path

import pytest

from bids_acc.bids.index import ImageIndex
from bids_acc.bids.indexing import ImageIndexer, iter_images
from tests.synthetic.bids_folder import write_dataset

IMAGES = (
    'sub-01/anat/sub-01_T1w.nii.gz',
    'sub-01/ses-a/dwi/sub-01_ses-a_run-02_dwi.nii',
    'sub-02/mrs/sub-02_acq-acc_svs.nii.gz',
)
OTHERS = (
    'sub-01/anat/sub-01_T1w.json', 'sub-01/anat/more/sub-01_T1w.nii.gz',
    'sub-01/perf/sub-01_asl.nii.gz', 'sub-01/sub-01_T1w.nii.gz', 'sub-01/anat/sub-01_T1w.nii.bz2',
    'sub-é/anat/sub-é_T1w.nii.gz', 'derivatives/x/sub-01/anat/sub-01_T1w.nii.gz',
)  # fmt: skip


def write(root: Path) -> Path:
    """Make a data set of empty files."""
    write_dataset(root)
    for name in (*IMAGES, *OTHERS):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def test_only_images_in_folders_of_data_types_are_walked(tmp_path):
    root = write(tmp_path / 'raw')
    assert [os.path.relpath(path, root) for path in iter_images(root)] == list(IMAGES)
    assert [os.path.relpath(path, root) for path in iter_images(root, ['02'])] == [IMAGES[2]]


# PyBIDS by itself would take datatype and subject of all images from these roots
@pytest.mark.parametrize('place', ['raw', 'dwi/raw', 'sub-9/ses-8/anat/raw', 'acq-x_run-3/raw'])
def test_entities_are_those_below_the_root(place, tmp_path):
    index = ImageIndex(write(tmp_path / place))
    (series,) = index.get(subject='01', datatype='dwi')
    assert series.path.endswith(IMAGES[1])
    assert series.get_entities() == {
        'subject': '01', 'session': 'a', 'run': '02', 'suffix': 'dwi', 'extension': '.nii',
        'datatype': 'dwi',
    }  # fmt: skip
    assert list(series.entities) == [
        'subject', 'session', 'run', 'suffix', 'extension', 'datatype',
    ]  # fmt: skip
    assert not index.get(subject='9')
    (spectrum,) = index.get(subject='02')
    assert spectrum.entities['acquisition'] == 'acc'


def test_a_data_base_holds_everybody(tmp_path):
    root = write(tmp_path / 'raw')
    made = ImageIndex(root, ['01'], tmp_path / 'db')
    (root / IMAGES[0]).unlink()
    again = ImageIndex(root, None, tmp_path / 'db')
    for index in (made, again):
        assert [i.path for s in ('01', '02') for i in index.get(subject=s)] == [
            str(root / name) for name in IMAGES
        ]


def test_an_index_that_was_broken_off_is_not_believed(tmp_path, monkeypatch):
    root = write(tmp_path / 'raw')

    def broken_off(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(ImageIndexer, '__call__', broken_off)
        with pytest.raises(KeyboardInterrupt):
            ImageIndex(root, None, tmp_path / 'db')
    index = ImageIndex(root, None, tmp_path / 'db')
    assert [i.path for i in index.get(subject='02')] == [str(root / IMAGES[2])]
    assert [path.name for path in (tmp_path / 'db').iterdir()] == ['layout_index.sqlite']


def test_a_folder_named_as_an_image_is_in_the_index_to_be_refused(tmp_path):
    root = write(tmp_path / 'raw')
    (root / 'sub-02' / 'anat' / 'sub-02_T1w.nii.gz').mkdir(parents=True)
    (image,) = ImageIndex(root).get(subject='02', suffix='T1w')
    assert Path(image.path).is_dir()


def test_names_that_are_no_text_and_circles_are_left_out(tmp_path, caplog):
    root = write(tmp_path / 'raw')
    os.link(root / IMAGES[0], os.fsencode(root) + b'/sub-01/anat/sub-01_acq-\xff_T1w.nii.gz')
    (root / 'sub-01' / 'func').symlink_to('..')
    assert len(list(iter_images(root))) == len(IMAGES)
    assert 'its name is no UTF-8' in caplog.text
    assert 'func is a link to a folder that holds it' in caplog.text
