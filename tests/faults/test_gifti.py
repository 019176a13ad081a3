"""Surfaces, maps and labels that are damaged or mean harm."""

from __future__ import annotations

import base64
import re
import resource
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bids_acc.exceptions import BidsAccError, InputDataError, MissingInputError
from bids_acc.surfaces import gifti
from tests.faults.tally import damaged

VERTICES = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
FACES = np.array([[0, 1, 2], [0, 1, 3], [0, 2, 3], [1, 2, 3]])
READERS = (gifti.read_surface, gifti.read_map, gifti.read_labels)


@pytest.fixture(scope='module')
def sound(tmp_path_factory) -> dict[Callable, bytes]:
    """Return a sound file for each reader."""
    folder = tmp_path_factory.mktemp('gifti')
    surface = gifti.write_surface(folder / 'a.surf.gii', VERTICES, FACES, 'L', 'white')
    values = gifti.write_map(folder / 'a.shape.gii', [1, 2, np.nan, 4], 'L', 'thickness')
    labels = gifti.write_labels(folder / 'a.label.gii', [0, 1, 1, 0], {0: 'x', 1: 'ACC'}, 'L', 'a')
    files = (surface, values, labels)
    return {reader: path.read_bytes() for reader, path in zip(READERS, files, strict=True)}


def swap(pattern: bytes, new: bytes) -> Callable[[bytes], bytes]:
    """Make a fault by replacing something, everywhere."""

    def apply(content: bytes) -> bytes:
        changed = re.sub(pattern, new, content, flags=re.DOTALL)
        assert changed != content, pattern
        return changed

    return apply


def data(payload: bytes) -> Callable[[bytes], bytes]:
    """Make a fault of the packed values."""
    return swap(rb'<Data>.*?</Data>', b'<Data>' + payload + b'</Data>')


def bomb() -> bytes:
    """Pack 256 MB of zeros into some 250 kB."""
    packer = zlib.compressobj(9)
    parts = [packer.compress(bytes(1 << 20)) for _ in range(256)]
    return base64.b64encode(b''.join([*parts, packer.flush()]))


ENTITIES = b'<!DOCTYPE GIFTI [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]>'
FAULTS: dict[str, Callable[[bytes], bytes]] = {
    'empty': lambda content: b'',
    'half': lambda content: content[: len(content) // 2],
    'no XML': lambda content: b'\x00\x01\x02' * 100,
    'other XML': lambda content: b'<html></html>',
    'no arrays': swap(rb'<DataArray.*</DataArray>', b''),
    'external': swap(rb'ExternalFileName=""', b'ExternalFileName="/etc/passwd"'),
    'external encoding': swap(rb'Encoding="GZip\w+"', b'Encoding="ExternalFileBinary"'),
    'entities': swap(rb'<!DOCTYPE[^>]*>', ENTITIES),
    'huge': swap(rb'Dim0="\d+"', b'Dim0="9999999999999"'),
    'negative': swap(rb'Dim0="\d+"', b'Dim0="-4"'),
    'no number': swap(rb'Dim0="\d+"', b'Dim0="many"'),
    'fewer': swap(rb'Dim0="\d+"', b'Dim0="400"'),
    'no dimension': swap(rb'Dim0="\d+"', b''),
    'no type': swap(rb'DataType="\w+"', b'DataType="NIFTI_TYPE_MAGIC"'),
    'other type': swap(rb'DataType="\w+"', b'DataType="NIFTI_TYPE_FLOAT64"'),
    'no encoding': swap(rb'Encoding="\w+"', b'Encoding="Rot13"'),
    'no order': swap(rb'Endian="\w+"', b'Endian="Middle"'),
    'no base64': data(b'%%%%'),
    'no zlib': data(base64.b64encode(b'no zlib at all')),
    'bomb': data(bomb()),
    'nothing': data(b''),
    'latin-1': swap(rb'CortexLeft', 'Großhirn'.encode('latin-1')),
    'dimensionality': swap(rb'Dimensionality="\d"', b'Dimensionality="99999999"'),
}


@pytest.mark.parametrize('reader', READERS, ids=lambda r: r.__name__)
@pytest.mark.parametrize('kind', FAULTS)
def test_each_fault_is_one_sentence(kind, reader, sound, tmp_path):
    path = tmp_path / 'sub-01_hemi-L.gii'
    path.write_bytes(FAULTS[kind](sound[reader]))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(BidsAccError, match=re.escape(path.name)) as caught:
        reader(path)
    assert len(str(caught.value)) < 400
    assert '\n' not in str(caught.value)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 100_000, 'kilobytes'


def test_sound_files_are_read(sound, tmp_path):
    path = tmp_path / 'a.gii'
    for reader, content in sound.items():
        path.write_bytes(content)
        found = reader(path)
        assert len(found if reader is gifti.read_map else found[0]) == 4
    with pytest.raises(MissingInputError):
        gifti.read_map(tmp_path / 'nowhere.gii')


@pytest.mark.parametrize(
    ('vertices', 'faces'),
    [
        (VERTICES, FACES + 1),
        (VERTICES, FACES - 1),
        (np.full((4, 3), np.nan), FACES),
        (VERTICES[:, :2], FACES),
        (VERTICES, FACES[:, :2]),
    ],
)
def test_what_is_no_mesh(vertices, faces, tmp_path):
    path = gifti.write_surface(tmp_path / 'a.surf.gii', vertices, faces, 'L', 'white')
    with pytest.raises(InputDataError, match='is no surface'):
        gifti.read_surface(path)


def test_labels_are_whole_numbers(tmp_path):
    path = gifti.write_map(tmp_path / 'a.label.gii', [0, 1, np.nan, 1], 'L', 'a')
    with pytest.raises(InputDataError, match='no labels'):
        gifti.read_labels(path)


@given(st.data())
def test_noise_in_a_file_is_refused_or_read(sound, tmp_path_factory, data):
    """Bytes changed anywhere never raise what is not ours."""
    reader = data.draw(st.sampled_from(READERS))
    content = bytearray(sound[reader])
    places = st.integers(0, len(content) - 1)
    for place, byte in data.draw(st.lists(st.tuples(places, st.integers(0, 255)), max_size=8)):
        content[place] = byte
    path = tmp_path_factory.mktemp('noise') / 'a.gii'
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    with damaged('GIFTI'):
        reader(path)
