"""Which localisation sequence a spectrum was measured with, from its metadata."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

SEQUENCES = ('press', 'steam', 'slaser')
"""Sequences that can be simulated."""

_PATTERNS = (
    ('slaser', re.compile(r's(emi)?[-_ ]?laser', re.IGNORECASE)),
    ('steam', re.compile(r'steam|svs_st(?![a-z])', re.IGNORECASE)),
    ('press', re.compile(r'press|svs_se', re.IGNORECASE)),
)

_FIELDS = ('PulseSequenceType', 'SequenceName', 'PulseSequenceDetails', 'ProtocolName',
           'SeriesDescription')  # fmt: skip


def sequence_of(metadata: Mapping[str, Any], acquisition: str = '') -> tuple[str, str]:
    """Sequence and where it was read.

    Parameters
    ----------
    metadata : mapping
        Sidecar.
    acquisition : str
        Label of the ``acq`` entity, the last place that is looked at.

    Returns
    -------
    sequence : str
        One of :data:`SEQUENCES`, or empty when nothing names one.
    origin : str
        Field that named it.

    Examples
    --------
    >>> sequence_of({'ProtocolName': 'PRESS PAR 35'})
    ('press', 'ProtocolName')
    >>> sequence_of({}, 'sLASER')
    ('slaser', 'acq entity')
    >>> sequence_of({})
    ('', '')
    """
    places = [(name, str(metadata[name])) for name in _FIELDS if name in metadata]
    for name, text in [*places, ('acq entity', acquisition)]:
        for sequence, pattern in _PATTERNS:
            if pattern.search(text):
                return sequence, name
    return '', ''
