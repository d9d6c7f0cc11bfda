"""What a run says while it works: one live line on a terminal, plain lines elsewhere, nothing when quiet."""

import os
import shutil
import sys
import time
from collections.abc import Iterable, Iterator, Mapping

DETAILS = ("iou_", "naive_", "seasonal_")  # metrics that no line of progress shows: single classes, and baselines


class Progress:
    """Prints to standard output. `steps` is the length of the run."""

    def __init__(self, steps: int, quiet: bool = False):
        self.steps, self.quiet = steps, quiet
        self.live_line = sys.stdout.isatty() and not quiet
        self.started: tuple[float, int] | None = None
        self.last = 0.0

    def note(self, text: str) -> None:
        """A line that stays."""
        if not self.quiet:
            self._clear()
            self._print(text)

    def step(self, step: int, loss: float, rate: float) -> None:
        """After a dispatch: loss so far since the last evaluation, `rate` examples a second."""
        now = time.perf_counter()
        self.started = self.started or (now, step)
        if self.quiet or now - self.last < (0.1 if self.live_line else 10):
            return
        if not self.live_line and not self.last:
            self.last = now
            return
        self.last = now
        line = f"step {step}/{self.steps}  loss {loss:.4f}  {rate:,.0f} examples/s  {self._left(now, step)} left"
        if self.live_line:
            self._live(line)
        else:
            self._print(line)

    def evaluated(self, step: int, epoch: float, train: Mapping[str, float], validation: Mapping[str, float]) -> None:
        """A line of an evaluation; on a terminal the next one takes its place."""
        parts = [f"step {step}/{self.steps}  epoch {epoch:.4g}"]
        for name, metrics in (("train", train), ("validation", validation)):
            shown = {k: v for k, v in metrics.items() if not k.startswith(DETAILS)}
            parts += [name + "".join(f" {k} {v:.4f}" for k, v in shown.items())] if metrics else []
        if self.quiet:
            return
        now = time.perf_counter()
        if self.live_line:
            self._live("  ".join(parts))
        elif now - self.last >= 1 or step >= self.steps:  # a run of a thousand short epochs is not a thousand lines
            self._print("  ".join(parts))
            self.last = now

    def end(self) -> None:
        """Keeps the live line."""
        if self.live_line:
            self._print("")

    def _live(self, line: str) -> None:
        """Replaces the live line; a longer one than the terminal is wide could not be replaced, so it is cut."""
        self._print(f"\r\x1b[K{line[: shutil.get_terminal_size().columns - 1]}", end="")

    def _clear(self) -> None:
        if self.live_line:
            self._print("\r\x1b[K", end="")

    def _print(self, text: str, end: str = "\n") -> None:
        """Where whoever read it has gone, as `head` does, the run goes on without a word."""
        try:
            print(text, end=end, flush=True)
        except BrokenPipeError:
            self.quiet, self.live_line = True, False
            hush()

    def _left(self, now: float, step: int) -> str:
        assert self.started is not None
        then, first = self.started
        if step <= first:
            return "?"
        return duration((now - then) / (step - first) * (self.steps - step))


def hush() -> None:
    """Sends what is still printed nowhere: the reader of the pipe has gone."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def counted(batches: Iterable[dict], examples: int) -> Iterator[dict]:
    """The same batches; on a terminal, how many examples are done stands on standard error until the last is."""
    started, done, live = time.perf_counter(), 0, sys.stderr.isatty()
    for batch in batches:
        yield batch
        done += int(batch["weight"].sum())
        if live:
            left = duration((time.perf_counter() - started) / max(done, 1) * (examples - done))
            print(f"\r\x1b[K{done:,} of {examples:,} examples, {left} left", end="", file=sys.stderr, flush=True)
    if live:
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def duration(seconds: float) -> str:
    """4 s, 2 min 5 s, 3 h 10 min."""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60} min"
