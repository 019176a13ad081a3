"""The networks of brain extraction as files: checked, loaded and run, on one thread."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TypedDict

import numpy as np

from bids_acc.anat.brain_network import BrainNetworks, FloatVolume, Network
from bids_acc.exceptions import ComputationError

FOLDER = Path(str(resources.files('bids_acc'))) / 'data' / 'brain_extraction'
BRAIN_CLASS = 1
"""Of the two classes that the networks give a probability of."""


class WeightsRecord(TypedDict):
    """What ``weights.json`` says of the networks; a sidecar gets all of it."""

    Name: str
    Version: str
    License: str
    Reference: str
    SHA256: dict[str, str]
    """File to checksum."""


@cache
def weights_record() -> WeightsRecord:
    """Return name, version, licence, reference and SHA-256 of the weights."""
    found: WeightsRecord = json.loads((FOLDER / 'weights.json').read_text(encoding='utf-8'))
    return found


def load_networks(folder: Path = FOLDER) -> BrainNetworks:
    """Load both networks.

    They are loaded for each image, since a session keeps the memory (about a gigabyte) that it
    once took.

    Parameters
    ----------
    folder : Path
        With ``bbox.onnx`` and ``main.onnx``.

    Raises
    ------
    ComputationError
        If a file is not the one that `weights_record` names.
    """
    expected = weights_record()['SHA256']
    return BrainNetworks(*(
        _network(folder / name, expected[name]) for name in ('bbox.onnx', 'main.onnx')
    ))  # fmt: skip


def _network(path: Path, sha256: str) -> Network:
    """Load one network after a look at its checksum."""
    content = path.read_bytes() if path.exists() else b''
    if hashlib.sha256(content).hexdigest() != sha256:
        raise ComputationError(
            f'{path} is not the file that belongs to this version of bids_acc (its SHA-256 '
            'differs): install bids_acc again.'
        )
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(content, options, providers=['CPUExecutionProvider'])
    name = session.get_inputs()[0].name

    def run(data: FloatVolume) -> FloatVolume:
        batch = np.ascontiguousarray(data, dtype=np.float32)[None, None]
        return np.asarray(session.run(None, {name: batch})[0][0, BRAIN_CLASS])

    return run
