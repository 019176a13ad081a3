"""What the interfaces of spectroscopy share."""

from __future__ import annotations

from typing import Any

from nipype.interfaces.base import isdefined


def given(value: Any) -> Any:
    """Return a trait's value, None when undefined or empty.

    Parameters
    ----------
    value : object
        Of an input trait.

    Returns
    -------
    object
        The value; None when it is undefined, empty or zero, which stands for *not asked for* in
        all optional inputs here.
    """
    return value if isdefined(value) and value else None
