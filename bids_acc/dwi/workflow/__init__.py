"""The diffusion line as a graph: series to FA, MD and MO in the brain and at the cortex.

``line`` joins the stages ``prepare``, ``tensor``, ``surface`` and ``outputs``; ``engines`` decides
which program does each step.
"""

from bids_acc.dwi.workflow.engines import choose_engines
from bids_acc.dwi.workflow.line import init_dwi_wf

__all__ = ['choose_engines', 'init_dwi_wf']
