"""What the interfaces of spectroscopy share."""

from __future__ import annotations

from typing import TypeVar

from nipype.interfaces.base import isdefined

T = TypeVar('T')


def given(value: T) -> T | None:
    """Return a trait's value, None when undefined or empty.

    Parameters
    ----------
    value : T
        Of an input trait.

    Returns
    -------
    T or None
        The value; None when it is undefined, empty or zero, which stands for *not asked for* in
        all optional inputs here.
    """
    return value if isdefined(value) and value else None
