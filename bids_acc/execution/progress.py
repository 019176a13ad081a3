"""Which subject, which step and how much is left.

On a terminal one live line for each step that runs, below the count of all; in a log one line a
minute, so that a run of a day can be read.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple, TextIO

from rich.console import Console
from rich.live import Live
from rich.text import Text


class Step(NamedTuple):
    """What a node of a graph is."""

    session: str
    """Which session it belongs to, in words."""
    modality: str
    """Which modality it belongs to."""
    part: str
    """Graph of the session in which it lies: a modality, or one spectrum."""
    name: str
    """Its name there, the same for all sessions."""

    @property
    def kind(self) -> tuple[str, str]:
        """Modality and name: steps that share them are expected to take equally long."""
        return self.part, self.name

    def __str__(self) -> str:
        """Return the step in words, as in ``sub-01 ses-1 dwi: tensor``."""
        words = '.'.join(part.removesuffix('_wf') for part in self.name.split('.'))
        return f'{self.session} {self.part.removesuffix("_wf")}: {words}'


@dataclass
class Progress:
    """Which subject, which step and how much is left.

    Told of each graph that begins or ends, and of each of its nodes that starts, ends or fails.
    It keeps the names of the nodes of running graphs only.
    """

    graphs: int = 1
    """Graphs of the run."""
    nprocs: int = 1
    stream: TextIO = field(default_factory=lambda: sys.stderr)
    quiet: bool = False
    """Say only what failed."""
    heartbeat_s: float = 60.0
    """A line is printed this often, so that a long step is not taken for a hang."""
    UNSEEN_SHARE: ClassVar[float] = 0.1
    """Share of the steps to come that may be of a kind not seen yet, for an estimate of time."""
    done: int = 0
    """Nodes that ended, well or not."""
    begun: int = 0
    """Graphs that began."""
    _steps: dict[str, Step] = field(default_factory=dict)
    _kinds: dict[Any, int] = field(default_factory=lambda: defaultdict(int))
    """Kind of step to the number of nodes of all graphs that began."""
    _remaining: dict[Any, int] = field(default_factory=lambda: defaultdict(int))
    """The same for those that are still to come."""
    _running: dict[str, float] = field(default_factory=dict)
    _seconds: dict[Any, tuple[int, float]] = field(default_factory=dict)
    """Kind of step to how many ended and the seconds that they took."""
    _started: float = field(default_factory=time.monotonic)
    _printed: float = 0.0
    _lock: Any = field(default_factory=threading.Lock)
    _live: Live | None = None
    """The lines on a terminal, while graphs run."""

    def begin(self, steps: Mapping[str, Step]) -> None:
        """Take note of the nodes of a graph that begins.

        Parameters
        ----------
        steps : mapping of str to Step
            By full name.
        """
        with self._lock:
            self.begun += 1
            self._steps.update(steps)
            for step in steps.values():
                self._kinds[step.kind] += 1
                self._remaining[step.kind] += 1

    def end(self, steps: Mapping[str, Step]) -> None:
        """Forget the nodes of a graph that has ended; those that did not run count as done.

        Parameters
        ----------
        steps : mapping of str to Step
            As they were given to `begin`.
        """
        with self._lock:
            for name, step in steps.items():
                if self._steps.pop(name, None) is not None:
                    self._remaining[step.kind] -= 1
                    self.done += 1
                self._running.pop(name, None)

    @property
    def total(self) -> int:
        """Nodes of the run; those of graphs to come are estimated from those that began."""
        return round(sum(self._kinds.values()) * self._scale())

    def _scale(self) -> float:
        """Return how many graphs there are for each that began."""
        return max(self.graphs, self.begun) / max(1, self.begun)

    def __call__(self, name: str, status: str) -> None:
        """Take note of a node that starts, ends or fails."""
        now = time.monotonic()
        with self._lock:
            step = self._steps.get(name)
            if step is None:
                return
            if status == 'start':
                self._running[name] = now
            else:
                del self._steps[name]
                count, seconds = self._seconds.get(step.kind, (0, 0.0))
                took = now - self._running.pop(name, now)
                self._seconds[step.kind] = count + 1, seconds + took
                self._remaining[step.kind] -= 1
                self.done += 1
        if status == 'exception':
            self._print(f'FAILED {step}')
        elif not self.quiet and now - self._printed > self.heartbeat_s:
            self._print(str(step))

    def left_s(self) -> float | None:
        """Estimate the seconds that are left; None until most kinds of step were seen.

        A few steps take nearly all the time, so what is still unseen may be far from the mean
        of what was seen.
        """
        known = {kind: seconds / count for kind, (count, seconds) in self._seconds.items()}
        ahead = self._scale() - 1
        left = {kind: self._remaining[kind] + n * ahead for kind, n in self._kinds.items()}
        unseen = sum(count for kind, count in left.items() if kind not in known)
        if not known or unseen > self.UNSEEN_SHARE * sum(left.values()):
            return None
        mean = sum(known.values()) / len(known)
        work = sum(count * known.get(kind, mean) for kind, count in left.items())
        now = time.monotonic()
        for name, begun in self._running.items():
            work -= min(now - begun, known.get(self._steps[name].kind, mean))
        return max(0.0, work / max(1, self.nprocs))

    def _count(self) -> str:
        """Tell how many steps are done, and how long it takes."""
        left = self.left_s()
        hint = '' if left is None else f', about {_clock(left)} left'
        about = '' if self.begun >= self.graphs else 'about '
        elapsed = _clock(time.monotonic() - self._started)
        return f'[{self.done:3d}/{about}{self.total} steps, {elapsed}{hint}]'

    def _print(self, what: str) -> None:
        """Print one line; above the live ones, where there are any."""
        self._printed = time.monotonic()
        line = f'{self._count()} {what}'
        if self._live is not None:
            self._live.console.print(Text(line))
            return
        self.stream.write(f'{line}\n')
        self.stream.flush()

    def running(self) -> list[str]:
        """Name the steps that run, the longest first, each with how long it has.

        Returns
        -------
        list of str
        """
        now = time.monotonic()
        with self._lock:
            begun = sorted(self._running.items(), key=lambda item: item[1])
            return [f'{self._steps[name]} since {_clock(now - t)}' for name, t in begun]

    @contextlib.contextmanager
    def beating(self) -> Iterator[Progress]:
        """Report progress while graphs run: live lines on a terminal, else one line a minute."""
        if self.quiet:
            yield self
        elif self.stream.isatty() and os.environ.get('TERM') != 'dumb':
            with self._on_terminal():
                yield self
        else:
            with self._in_a_log():
                yield self

    @contextlib.contextmanager
    def _on_terminal(self) -> Iterator[None]:
        """Keep a line for each running step at the foot of the terminal."""

        def lines() -> Text:
            return Text('\n'.join([self._count(), *(f'  {one}' for one in self.running())]))

        live = Live(
            get_renderable=lines, console=Console(file=self.stream), refresh_per_second=2,
            transient=True, redirect_stdout=False, vertical_overflow='ellipsis',
        )  # fmt: skip
        with live:
            self._live = live
            try:
                yield
            finally:
                self._live = None

    @contextlib.contextmanager
    def _in_a_log(self) -> Iterator[None]:
        """Print a line now and then."""
        stop = threading.Event()

        def beat() -> None:
            while not stop.wait(self.heartbeat_s / 3):
                if time.monotonic() - self._printed >= self.heartbeat_s:
                    self._print('; '.join(self.running()[:2]) or 'waiting')

        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()


def _clock(seconds: float) -> str:
    """Write a duration as people read it.

    Examples
    --------
    >>> _clock(75)
    '1:15'
    """
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f'{hours}:{minutes:02d}:{rest:02d}' if hours else f'{minutes}:{rest:02d}'
