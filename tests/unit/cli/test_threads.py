"""One thread in each process, whatever is imported first."""

from __future__ import annotations

import json
import os
import subprocess
import sys

CODE = """
import json
import bids_acc.cli.run
import numpy, scipy.linalg
from threadpoolctl import threadpool_info
print(json.dumps([pool["num_threads"] for pool in threadpool_info()]))
"""


def test_blas_of_the_command_has_one_thread():
    clean = {k: v for k, v in os.environ.items() if not k.endswith('_NUM_THREADS')}
    done = subprocess.run(
        [sys.executable, '-c', CODE], env=clean, capture_output=True, text=True, check=True
    )
    threads = json.loads(done.stdout)
    assert threads
    assert set(threads) == {1}
