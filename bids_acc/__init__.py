"""bids_acc: from T1w, diffusion and 1H-MRS to the anterior cingulate, one subject or a cohort.

The package reads in the order of the data::

    BIDS -> bids/ -> anat/ -+
                     dwi/  -+-> participant/ -> derivatives/ -> group/ -> report/
                     mrs/  -+   (per session)      (files)

Within a modality formulas know arrays, interfaces know files, workflows know interfaces. Names
and sidecars of all outputs come from one declared table (``data/outputs``); only ``cli`` and
``participant`` see whole settings. ``tests/contract`` holds the code to this.
"""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version('bids_acc')  # from the tags of the repository, when it was installed
except PackageNotFoundError:  # imported from a folder that was never installed
    __version__ = '0.0.0'
