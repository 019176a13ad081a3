"""Carry the networks of deepbet's wheel to ONNX, and compare both; see README.md.

Usage: ``python export_networks.py WHEEL [OUT]``; without ``OUT`` the files beside this script are
compared. Writing them anew with another version of torch gives other bytes and the same numbers.
"""

from __future__ import annotations

import hashlib
import io
import json
import sys
import zipfile
from pathlib import Path

import numpy as np
import onnxruntime
import torch

HERE = Path(__file__).resolve().parent
MEMBERS = {'bbox.onnx': 'data/models/bbox_model.pt', 'main.onnx': 'data/models/model.pt'}
TOLERANCE = 1e-3
"""Largest difference of a probability; masks take all above one half."""


def load_module(wheel: Path, member: str) -> torch.nn.Module:
    """Return a TorchScript network of the wheel, after a look at the wheel's checksum.

    Parameters
    ----------
    wheel : Path
        The file that ``weights.json`` names, with its SHA-256.
    member : str
        Path of the network in it.

    Returns
    -------
    torch.nn.Module
        In evaluation mode, on the CPU.

    Raises
    ------
    SystemExit
        If the checksum is another.
    """
    content = wheel.read_bytes()
    expected = json.loads((HERE / 'weights.json').read_text())['Wheel']['SHA256']
    if hashlib.sha256(content).hexdigest() != expected:
        raise SystemExit(f'{wheel} is not the wheel that weights.json names.')
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return torch.jit.load(io.BytesIO(archive.read(member)), map_location='cpu').eval()


def export(module: torch.nn.Module, path: Path) -> None:
    """Write a network that takes volumes whose sides are multiples of 32.

    Parameters
    ----------
    module : torch.nn.Module
        From `load_module`.
    path : Path
        ONNX file to write, opset 14.
    """
    axes = {'x': {2: 'a', 3: 'b', 4: 'c'}}
    torch.onnx.export(
        module, torch.rand(1, 1, 64, 64, 64), str(path), opset_version=14, input_names=['x'],
        output_names=['y'], dynamic_axes=axes, dynamo=False,
    )  # fmt: skip


def largest_difference(module: torch.nn.Module, path: Path) -> float:
    """Compare both on smoothed noise of the intensities that the networks are made for.

    Parameters
    ----------
    module : torch.nn.Module
        From `load_module`.
    path : Path
        ONNX file of the same network.

    Returns
    -------
    float
        Greatest absolute difference of the outputs; probabilities lie between 0 and 1.
    """
    generator = torch.Generator().manual_seed(1)
    noise = torch.randn(1, 1, 96, 96, 96, generator=generator)
    x = torch.nn.functional.avg_pool3d(noise, 5, stride=1, padding=2)
    x = (x - x.mean()) / x.std() * 0.226 + 0.449
    session = onnxruntime.InferenceSession(str(path), providers=['CPUExecutionProvider'])
    with torch.no_grad():
        original = module(x).numpy()
    return float(np.abs(session.run(None, {'x': x.numpy()})[0] - original).max())


def main() -> None:
    """Export, if asked to, and compare."""
    wheel, folder = Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else HERE
    folder.mkdir(parents=True, exist_ok=True)
    for name, member in MEMBERS.items():
        module = load_module(wheel, member)
        if folder != HERE:
            export(module, folder / name)
        difference = largest_difference(module, folder / name)
        print(f'{name}: largest difference of a probability {difference:.2g}')  # noqa: T201
        if not difference < TOLERANCE:
            raise SystemExit(f'{name} is not the network of the wheel.')


if __name__ == '__main__':
    main()
