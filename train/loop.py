"""The training loop: a straight line from the first step, or a checkpoint, to the last."""

import contextlib
import fnmatch
import functools
import importlib
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import numpy as np

from ..errors import Interrupted, UserError
from . import checkpoints
from .config import Experiment, write
from .data import Dataset
from .evaluation import Stopped, of_seed, with_seed_axis
from .heap import Heap
from .programs import Programs
from .progress import Progress
from .start import Start
from .steps import RunState
from .tasks import Task

CHECKPOINT_SECONDS = 60.0
LATE_SECONDS = 3.0
DISPATCH_SECONDS = 0.25  # a dispatch takes about this long, so that a signal is answered soon


@dataclass
class Memory:
    """What the loop remembers on the host. The lists have an entry for each seed."""

    best: list[float]  # the best validation metric so far
    best_step: list[int]
    waited: list[int]  # evaluations since
    stopped: list[int]  # the step at which patience ran out, 0 until then
    run_s: float = 0.0
    before_s: float = 0.0  # of it in processes that were stopped, before the one that goes on
    train_s: float = 0.0  # of it in training steps
    skipped: list[int] = field(default_factory=list)  # examples of a stream that could not be read, whatever the seed
    evaluated: int = -1  # the step of the last evaluation; -1: of an older checkpoint, which came after its evaluation

    @classmethod
    def fresh(cls, seeds: int, higher_is_better: bool) -> "Memory":
        worst = -1e30 if higher_is_better else 1e30
        return cls([worst] * seeds, [0] * seeds, [0] * seeds, [0] * seeds, evaluated=0)


def fit(experiment: Experiment, dataset: Dataset, programs: Programs, seeds: list[int], folder: Path,
        progress: Progress, resume: bool, received: list[int], start: Start) -> tuple[dict, Memory, int]:  # fmt: skip
    """Trains all seeds to the end. Returns the final weights {"params", "state"}, the memory and the steps taken.

    `received` fills with signals, see `signals`. Raises Interrupted after one, with the state saved, and UserError at
    the first loss that is not finite.
    """
    train, steps = experiment.train, total_steps(experiment, dataset)
    every = train.eval_every or steps_per_epoch(experiment, dataset)
    higher = is_higher_better(experiment.task, train.monitor)
    hyper = programs.hyper(seeds)

    def is_mark(step: int) -> bool:
        return step % every == 0 or step == steps

    with contextlib.ExitStack() as stack:
        threading.Thread(target=importlib.import_module, args=("orbax.checkpoint",), daemon=True).start()

        @functools.cache
        def checkpointer():  # opened when needed first: by then Orbax has been imported beside the training
            return stack.enter_context(checkpoints.open_checkpoints(folder, higher))

        if resume and (found := checkpoints.restore(checkpointer(), programs.shapes, progress.note)):
            run, memory = programs.place(found[0]), Memory(**found[1])
            memory.before_s = memory.run_s
            dataset.skipped.update(memory.skipped)
            progress.note(f"going on after step {_step(run)}")
        else:
            run, memory = programs.init(hyper, start(seeds)), Memory.fresh(len(seeds), higher)
        step, score = _step(run), None
        feed = stack.enter_context(programs.feed(seeds, step, steps))
        pending = is_mark(step) and 0 <= memory.evaluated < step  # a signal came before this step's evaluation
        history = History(folder, step - 1 if pending else step)
        started = time.perf_counter() - memory.run_s
        saved, size, heap = time.perf_counter(), 1, Heap()

        while (step < steps or pending) and not all(memory.stopped):
            if not pending:
                marks = [mark - step % mark for mark in (every, train.checkpoint_every) if mark]
                n = min(size, steps - step, programs.block, *marks)
                begun = time.perf_counter()
                run = programs.advance(run, hyper, feed(step, n), n)
                failed, loss = jax.device_get((run.failed, run.sums["loss"]))
                _stop_if_not_finite(failed, seeds, checkpointer)
                heap.look()
                took = time.perf_counter() - begun
                step, size = step + n, int(np.clip(n * DISPATCH_SECONDS / max(took, 1e-4), 1, 4 * size))
                memory.train_s += took
                progress.step(step, np.mean(loss[0] / loss[1]), n * train.batch_size * len(seeds) / took)

            evaluated = pending = False
            if is_mark(step) and not received:
                with contextlib.suppress(Stopped):
                    run, score = _evaluate(
                        experiment, dataset, programs, run, step, seeds, memory, history, progress, received
                    )
                    evaluated = True
            last = evaluated and (step == steps or all(memory.stopped))
            elapsed = time.perf_counter() - saved
            due = (
                step % train.checkpoint_every == 0
                if train.checkpoint_every
                else evaluated and elapsed > CHECKPOINT_SECONDS
            )
            if due or last or received:
                memory.run_s, memory.skipped = time.perf_counter() - started, sorted(dataset.skipped)
                checkpoints.save(checkpointer(), run, vars(memory), score if evaluated else None)
                saved = time.perf_counter()
            if received and not last:
                checkpointer().wait()
                raise Interrupted(received[0], step, folder)
        progress.end()
    return (run.best or programs.present(run)), memory, step


def _evaluate(experiment, dataset, programs, run, step, seeds, memory, history, progress, received):
    """Metrics of the steps since the last evaluation and of the validation split; early stopping. Returns the run, with
    its sums at zero, and the mean validation metric. Raises Stopped, and then has changed nothing."""
    task, train = experiment.task, experiment.train
    trained = with_seed_axis(jax.device_get(run.sums), len(seeds))
    rows = dataset.splits.get("validation")
    validated = programs.evaluate(programs.present(run), rows, received) if rows is not None else None
    epoch = step / steps_per_epoch(experiment, dataset)
    values, lines = [], []
    for i, seed in enumerate(seeds):
        line: dict[str, Any] = {
            "step": step,
            "epoch": epoch,
            "seed": seed,
            "train": task.summarize(of_seed(trained, i)),
        }
        if validated is not None:
            line["validation"] = task.summarize(of_seed(validated, i))
            if train.monitor not in line["validation"]:
                raise UserError(f"--train.monitor {train.monitor}: no validation example has what it is measured on")
            values.append(line["validation"][train.monitor])
        lines.append(line)
    memory.evaluated = step
    history.write([line for line, stopped in zip(lines, memory.stopped, strict=True) if not stopped])
    if values:
        run = programs.keep_best(run, _better(values, step, train, memory, is_higher_better(task, train.monitor)))
    progress.evaluated(step, epoch, _average(lines, "train"), _average(lines, "validation"))
    run = run._replace(sums=programs.place(jax.tree.map(np.zeros_like, jax.device_get(run.sums))))
    return run, float(np.mean(values)) if values else None


def is_higher_better(task: Task, metric: str) -> bool:
    return any(fnmatch.fnmatchcase(metric, pattern) for pattern in task.higher_is_better)


def _better(values: list[float], step: int, train, memory: Memory, higher: bool) -> np.ndarray:
    """Which seeds are better than ever before, [seeds] bool; counts the evaluations that were not."""
    better = np.zeros(len(values), bool)
    for i, value in enumerate(values):
        if memory.stopped[i]:
            continue
        better[i] = value > memory.best[i] if higher else value < memory.best[i]
        if better[i]:
            memory.best[i], memory.best_step[i], memory.waited[i] = value, step, 0
        else:
            memory.waited[i] += 1
            if train.patience and memory.waited[i] >= train.patience:
                memory.stopped[i] = step
    return better


class History:
    """The file metrics.jsonl: a line for each evaluation and seed."""

    def __init__(self, folder: Path, step: int):
        """Drops the lines after `step`, which a resumed run writes again, and a half-written last one."""
        self.path = folder / "metrics.jsonl"
        kept = [line for line in read_history(folder) if line["step"] <= step]
        write(self.path, "".join(json.dumps(line) + "\n" for line in kept).encode())

    def write(self, lines: list[dict]) -> None:
        with self.path.open("a") as file:
            file.write("".join(json.dumps(line) + "\n" for line in lines))


def read_history(folder: Path) -> list[dict]:
    """The lines of metrics.jsonl that are whole."""
    path, lines = folder / "metrics.jsonl", []
    for text in path.read_text().splitlines() if path.is_file() else []:
        with contextlib.suppress(ValueError):
            lines.append(json.loads(text))
    return lines


def steps_per_epoch(experiment: Experiment, dataset: Dataset) -> int:
    """Full batches in the training split. Raises UserError where it has none."""
    n, batch = len(dataset.splits["train"]), experiment.train.batch_size
    if n < batch:
        raise UserError(f"--train.batch-size {batch} is more than the {n} training examples")
    return n // batch


def total_steps(experiment: Experiment, dataset: Dataset) -> int:
    return max(1, round(experiment.train.epochs * steps_per_epoch(experiment, dataset)))


@contextlib.contextmanager
def signals() -> Iterator[list[int]]:
    """Collects SIGINT and SIGTERM instead of being stopped by them. Another one that comes soon, as from a key that is
    pressed twice, changes nothing; a later one ends the process at once, where something does not come to its end.

    A compilation, which may take minutes, goes before: then a note tells that the signal was heard.
    """
    received: list[int] = []
    since = 0.0
    if threading.current_thread() is not threading.main_thread():
        yield received
        return

    def handle(number, frame):
        nonlocal since
        if not received:
            since = time.monotonic()
            received.append(number)
        elif time.monotonic() - since > LATE_SECONDS:
            os.write(2, b"\nstopped at once: what was saved before is whole\n")
            os._exit(128 + number)  # Orbax's threads would wait for what they write

    (heard, tell), over = os.pipe(), threading.Event()
    os.set_blocking(tell, False)
    threading.Thread(target=_note_if_late, args=(heard, over), daemon=True).start()
    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    told = signal.set_wakeup_fd(tell, warn_on_full_buffer=False)
    try:
        yield received
    finally:
        over.set()
        signal.set_wakeup_fd(told)
        os.close(tell)  # which ends the thread
        for number, handler in before.items():
            signal.signal(number, handler)


def _note_if_late(heard: int, over: threading.Event) -> None:
    """Reads the numbers of signals, which C writes at once even where Python waits for XLA, and tells of the first one
    that does not stop the run soon."""
    noted = False
    with open(heard, "rb", buffering=0) as pipe:
        while number := pipe.read(1):
            if number[0] in (signal.SIGINT, signal.SIGTERM) and not noted and not over.wait(LATE_SECONDS):
                noted, name = True, signal.Signals(number[0]).name
                late = "The run stops after its compilation, step, batch of evaluation or pictures; another ends it now"
                print(f"\n{name}: heard. {late}", file=sys.stderr)


def _stop_if_not_finite(failed, seeds: list[int], checkpointer) -> None:
    bad = [(int(step), seed) for step, seed in zip(np.ravel(failed), seeds, strict=True) if step >= 0]
    if not bad:
        return
    step, seed = min(bad)
    kept = checkpointer().latest
    advice = "Lower --optimizer.learning-rate or try --optimizer.clip"
    if step == 0:
        advice = "Nothing was learned yet: look at the data and at the settings of the task and of the network"
    raise UserError(
        f"the loss of seed {seed} is not finite at step {step}. {advice}"
        + (f". The checkpoint of step {kept.step} is kept." if kept else ".")
    )


def _step(run: RunState) -> int:
    return int(np.ravel(jax.device_get(run.step))[0])


def _average(lines: list[dict], split: str) -> dict[str, float]:
    """The mean over seeds of each metric of a split."""
    first = lines[0].get(split, {})
    return {name: float(np.mean([line[split][name] for line in lines])) for name in first}
