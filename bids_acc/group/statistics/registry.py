"""Which analyses there are: a function enters by its decorator."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bids_acc.group.statistics.rows import Row
from bids_acc.group.statistics.study import Study

AnalysisFunction = Callable[[Study, Mapping[str, pd.DataFrame], np.random.Generator], list[Row]]


@dataclass(frozen=True)
class Analysis:
    """A registered analysis."""

    name: str
    table: str
    order: int
    title: str
    function: AnalysisFunction


REGISTRY: dict[str, Analysis] = {}
"""All analyses by name; filled when their modules are imported."""


def analysis(
    *, table: str, order: int, title: str = ''
) -> Callable[[AnalysisFunction], AnalysisFunction]:
    """Register an analysis.

    Parameters
    ----------
    table : str
        Table that its rows go to.
    order : int
        Analyses with lower numbers run before; their tables are seen by the later ones.
    title : str
        Heading in the report (default: the function's first docstring line).
    """

    def register(function: AnalysisFunction) -> AnalysisFunction:
        heading = title or (function.__doc__ or function.__name__).strip().splitlines()[0]
        REGISTRY[function.__name__] = Analysis(function.__name__, table, order, heading, function)
        return function

    return register
