"""Arrays of a page, read as its script does."""

from __future__ import annotations

import base64
import zlib

import numpy as np


def unpacked(text: str, kind: str) -> np.ndarray:
    """Read an array as the page does: all low bytes, then all high ones."""
    planes = np.frombuffer(zlib.decompress(base64.b64decode(text)), dtype=np.uint8)
    return np.ascontiguousarray(planes.reshape(2, -1).T).view(kind).ravel()


def corners(text: str) -> np.ndarray:
    """Add up what each face differs by from the one before."""
    return np.cumsum(unpacked(text, '<u2').reshape(3, -1).T, axis=0, dtype=np.uint16)
