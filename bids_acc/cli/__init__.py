"""The command line.

Processes, not threads, use the cores, and sums of one thread are the same in each run. BLAS reads
its number of threads when NumPy is loaded, so that it is set before anything else is imported.
"""

import os

for _name in (
    'OMP_NUM_THREADS', 'OPENBLAS_NUM_THREADS', 'MKL_NUM_THREADS',
    'ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS',
):  # fmt: skip
    os.environ.setdefault(_name, '1')
