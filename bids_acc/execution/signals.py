"""Signals that tell a command to end."""

from __future__ import annotations

import signal

BEFORE_THE_END = (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGXCPU)
"""What else tells a command to end: a terminal that is gone, SLURM's ``--signal`` or Grid Engine's
``-notify`` before the time is up, the soft limit of CPU time. Unheard, each kills on the spot."""
