"""Results between nodes: JSON that gives back the same numbers, NaN included."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np

from bids_acc.mrs.results.engine_result import Curves, EngineResult
from bids_acc.quality.measure import QualityMeasure


def _plain(value: object) -> object:
    """Turn into what JSON knows; NaN stays NaN, which Python's JSON reads back."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    # read-only mappings are no dict
    if isinstance(value, dict) or hasattr(value, 'items'):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def save_record(record: object, path: str | Path) -> Path:
    """Write a record of numbers and arrays as JSON.

    Parameters
    ----------
    record : dataclass instance, dict or list
        What to write.
    path : str or Path
        File to write.

    Returns
    -------
    Path
        The file written.
    """
    path = Path(path)
    path.write_text(json.dumps(_plain(record)))
    return path


def load_result(path: str | Path) -> EngineResult:
    """Read an `EngineResult` back.

    Parameters
    ----------
    path : str or Path
        Written by :func:`save_record`.

    Returns
    -------
    EngineResult
        Equal to what was written.
    """
    content = json.loads(Path(path).read_text())
    optional = {
        key: None if content.get(key) is None else np.array(content[key], dtype=float)
        for key in ('covariance', 'sampling', 'unbiased', 'unbiased_covariance', 'refits')
    }
    curves = {
        name: None
        if content.get(name) is None
        else Curves(**{key: np.array(value, dtype=float) for key, value in content[name].items()})
        for name in ('curves', 'difference')
    }
    return EngineResult(
        **content
        | {
            'names': tuple(content['names']),
            'kinds': tuple(content['kinds']),
            'values': np.array(content['values'], dtype=float),
            'sd': np.array(content['sd'], dtype=float),
            **optional,
            'sums': {name: (pair[0], pair[1]) for name, pair in content['sums'].items()},
            'measures': {
                metric: tuple(QualityMeasure(**entry) for entry in entries)
                for metric, entries in content['measures'].items()
            },
            **curves,
            'notes': tuple(content['notes']),
            'invalid': tuple(content['invalid']),
        }
    )
