"""A run from its config to its folder: config.json, data.json, splits.npz, metrics.jsonl, checkpoints/, summary.json,
model.safetensors and pictures. With several seeds each has such a folder of its own, seed-0, seed-1, ..., inside."""

import contextlib
import dataclasses
import fcntl
import json
import os
import platform
import shutil
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..errors import Interrupted, UserError, nearest
from ..models.core import count, output_spec
from . import config, data, weights
from .config import Experiment
from .data import Dataset, Info
from .evaluation import of_seed
from .loop import Memory, fit, read_history, signals, steps_per_epoch, total_steps
from .programs import Programs, compile_programs, make_mesh
from .progress import Progress
from .show import multiply_adds
from .steps import Functions, functions

STARTED = time.perf_counter()
TOGETHER_MULTIPLY_ADDS = 20e6  # on a CPU, a step with more keeps the cores busy by itself


@dataclasses.dataclass(frozen=True)
class Options:
    """How a run behaves, beside what the experiment says."""

    resume: bool = False
    quiet: bool = False
    pictures: bool = True


def train(experiment: Experiment, folder: Path, source: Path | None = None, options: Options = Options()) -> dict:
    """Trains an experiment in a folder and returns its summary, which is also the folder's summary.json.

    Raises UserError for what does not fit, before any work, and Interrupted where a signal stopped it.
    """
    experiment = dataclasses.replace(experiment, data=experiment.data.absolute())
    with locked(folder, options.resume), signals() as received, top_folder(folder):
        dataset = load_data(experiment, folder if options.resume else None)
        compiled = functions(experiment, dataset.info, total_steps(experiment, dataset))
        check(experiment, dataset, compiled, folder)
        mesh = make_mesh(experiment.train.devices, experiment.train.batch_size // experiment.train.accumulate)
        first = experiment.train.seed
        seeds = list(range(first, first + experiment.train.seeds))
        together = len(seeds) > 1 and in_one_program(experiment, dataset)
        note = Progress(0, options.quiet).note
        note(opening(experiment, dataset, seeds, together))
        programs = compile_programs(experiment, compiled, dataset, len(seeds) if together else 1, mesh)
        note(f"compiled in {programs.compile_s:.1f} s")
        start_folder(folder, experiment, dataset, source)
        job = Job(experiment, dataset, compiled, programs, source, options, received)
        if together:
            summaries = train_together(job, seeds, folder)
        elif len(seeds) > 1:
            summaries = [train_in_turn(job, seed, folder) for seed in seeds]
        else:
            summaries = [train_one(job, seeds[0], folder)]
        summary = summaries[0] if len(seeds) == 1 else combined(summaries, together)
        summary["time"]["total_s"] = time.perf_counter() - STARTED
        write_json(folder / "summary.json", summary)
        return summary


@dataclasses.dataclass(frozen=True)
class Job:
    """What all seeds of a run share."""

    experiment: Experiment
    dataset: Dataset
    functions: Functions
    programs: Programs
    source: Path | None
    options: Options
    received: list[int]  # signals

    def fit(self, seeds: list[int], folder: Path) -> tuple[dict, Memory, int]:
        """Trains seeds to the end: their final weights, the loop's memory and the steps taken."""
        progress = Progress(total_steps(self.experiment, self.dataset), self.options.quiet)
        resume, received = self.options.resume, self.received
        return fit(self.experiment, self.dataset, self.programs, seeds, folder, progress, resume, received)


def train_one(job: Job, seed: int, folder: Path) -> dict:
    """One seed in its folder."""
    final, memory, steps = job.fit([seed], folder)
    return finish(job, job.experiment, folder, seed, 0, final, memory, steps, test(job, final))


def train_in_turn(job: Job, seed: int, folder: Path) -> dict:
    """One of several seeds, in a folder of its own. One that finished before the run was resumed is not repeated."""
    home = folder / f"seed-{seed}"
    if job.options.resume and (home / "summary.json").is_file():
        return read_json(home / "summary.json")
    home.mkdir(exist_ok=True)
    one = single(job.experiment, seed)
    start_folder(home, one, job.dataset, job.source)
    return train_one(dataclasses.replace(job, experiment=one), seed, home)


def train_together(job: Job, seeds: list[int], folder: Path) -> list[dict]:
    """All seeds in one program; then each gets its folder."""
    final, memory, steps = job.fit(seeds, folder)
    tested, lines, summaries = test(job, final), read_history(folder), []
    for i, seed in enumerate(seeds):
        home, one = folder / f"seed-{seed}", single(job.experiment, seed)
        home.mkdir(exist_ok=True)
        start_folder(home, one, job.dataset, job.source)
        own = [json.dumps(line) + "\n" for line in lines if line["seed"] == seed]
        (home / "metrics.jsonl").write_text("".join(own))
        weights_of_seed = jax.tree.map(lambda a, i=i: a[i], final)
        summaries.append(finish(job, one, home, seed, i, weights_of_seed, memory, steps, tested))
    return summaries


def test(job: Job, final: dict) -> dict:
    """The totals of the metrics on every split that was not trained on."""
    return {name: job.programs.evaluate(final, rows) for name, rows in job.dataset.splits.items() if name != "train"}


def finish(job: Job, one: Experiment, folder: Path, seed: int, place: int, final: dict, memory: Memory, steps: int,
           tested: dict) -> dict:  # fmt: skip
    """Writes what a finished seed leaves behind, and returns its summary. `place`: its place in the population."""
    sums = {split: of_seed(totals, place) for split, totals in tested.items()}
    metrics = {split: one.task.summarize(totals) for split, totals in sums.items()}
    lines = [line for line in read_history(folder) if line["seed"] == seed]
    stopped = memory.stopped[place]
    together = len(memory.best)
    examples = steps * one.train.batch_size * together
    final = jax.device_get(final)
    weights.save(folder / "model.safetensors", final)
    summary = {
        "metrics": {"train": lines[-1]["train"] if lines else {}, **metrics},
        "parameters": count(final["params"]),
        "steps": stopped or steps,
        **({"best_step": memory.best_step[place]} if one.train.patience else {}),
        "seed": seed,
        "seeds_in_one_program": together,
        "examples_per_s": examples / memory.train_s if memory.train_s else 0.0,
        "time": {
            "compile_s": job.programs.compile_s,
            "run_s": memory.run_s,
            "total_s": time.perf_counter() - STARTED,
        },
        "device": device_name(),
        "versions": versions(),
    }
    write_json(folder / "summary.json", summary)
    if job.options.pictures:  # last, for the results are safe by now
        from . import pictures

        pictures.draw(folder, one, job.dataset, job.functions, final, sums, lines)
    return summary


def combined(summaries: list[dict], together: bool) -> dict:
    """Mean and sample standard deviation of the seeds' metrics, and each seed's own."""

    def over_seeds(statistic) -> dict:
        first = summaries[0]["metrics"]
        return {
            split: {m: float(statistic([s["metrics"][split][m] for s in summaries])) for m in first[split]}
            for split in first
        }

    spread = lambda values: np.std(values, ddof=1)  # noqa: E731
    times = [summary["time"] for summary in summaries]
    return {
        "metrics": over_seeds(np.mean),
        "std": over_seeds(spread),
        "seeds": [{"seed": s["seed"], "steps": s["steps"], "metrics": s["metrics"]} for s in summaries],
        "together": together,
        **{key: summaries[0][key] for key in ("parameters", "steps", "seed", "device", "versions")},
        "examples_per_s": summaries[0]["examples_per_s"]
        if together
        else float(np.mean([s["examples_per_s"] for s in summaries])),
        "time": {
            "compile_s": times[0]["compile_s"],
            "run_s": times[0]["run_s"] if together else sum(t["run_s"] for t in times),
        },
    }


def load_data(experiment: Experiment, recorded: Path | None) -> Dataset:
    """The experiment's data; with the splits of the run's folder `recorded`, where they are there already.

    Raises UserError where the data are no longer those the run was trained on.
    """
    kind = experiment.task.kind
    if recorded is None or not (recorded / "splits.npz").is_file():
        return data.load(experiment.data, kind)
    dataset = data.load(experiment.data, kind, data.load_splits(recorded / "splits.npz"))
    info = load_info(recorded)
    if dataset.info.fingerprint != info.fingerprint:
        raise UserError(f"the data of {experiment.data.source} have changed since {recorded} was trained on them")
    return dataset._replace(info=info)


def load_info(folder: Path) -> Info:
    return Info.from_json(read_json(folder / "data.json"))


def check(experiment: Experiment, dataset: Dataset, compiled: Functions, folder: Path) -> None:
    """Raises UserError for anything that would stop the run later, before any work is done."""
    train, info = experiment.train, dataset.info
    steps_per_epoch(experiment, dataset)
    run = shapes(experiment, info, compiled)
    batch = {
        "x": jnp.zeros((1, *info.shape)),
        "y": jnp.zeros(1, jnp.int32) if info.kind == "classification" else jnp.zeros((1, len(info.targets))),
        "weight": jnp.ones(1),
    }
    sums = jax.eval_shape(compiled.evaluate, {"params": run.params, "state": run.state}, batch)
    with np.errstate(all="ignore"):
        metrics = experiment.task.summarize(jax.tree.map(lambda a: np.ones(a.shape), sums))
    if train.monitor not in metrics:
        raise UserError(
            f"--train.monitor {train.monitor}: the metrics are {', '.join(metrics)}.{nearest(train.monitor, metrics)}"
        )
    if train.patience and "validation" not in dataset.splits:
        raise UserError("--train.patience needs a validation split: set --data.validation above 0")
    size = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(run)) * train.seeds
    free = shutil.disk_usage(folder).free
    if 4 * size > free:  # three checkpoints and the weights
        raise UserError(
            f"{folder} has {free / 1e9:.1f} GB free, and this run's checkpoints need {4 * size / 1e9:.1f} GB"
        )


def shapes(experiment: Experiment, info: Info, compiled: Functions):
    """The shapes of the run's state. Raises UserError where the network does not fit the data or the task."""
    hyper = {
        name: jax.ShapeDtypeStruct((), jnp.float32) for name in ("learning_rate", "weight_decay", "l1", "l2", "ema")
    }
    hyper["seed"] = jax.ShapeDtypeStruct((), jnp.uint32)
    model, network = experiment.model.build(), type(experiment.model).__name__
    spec = jax.ShapeDtypeStruct((experiment.train.batch_size, *info.shape), jnp.float32)
    try:
        params, state = jax.eval_shape(model.init, jax.random.key(0), spec)
        out = output_spec(model, params, state, spec)
    except (TypeError, ValueError) as error:
        raise UserError(f"{network} does not fit examples of shape {info.shape}: {error}") from error
    wanted = experiment.task.outputs(info)
    if out.shape != (experiment.train.batch_size, wanted):
        names = {field.name for field in dataclasses.fields(experiment.model)} & {"classes", "outputs"}
        mend = "".join(f": set --model.{name} {wanted}" for name in names)
        what = "classes" if info.kind == "classification" else "targets"
        raise UserError(f"{network} gives outputs of shape {out.shape[1:]}, and the data have {wanted} {what}{mend}")
    try:
        return jax.eval_shape(compiled.init, hyper)
    except (TypeError, ValueError, NotImplementedError) as error:
        raise UserError(f"{network} cannot be trained with '{experiment.optimizer.name}': {error}") from error


def in_one_program(experiment: Experiment, dataset: Dataset) -> bool:
    """Whether several seeds train in one program, where the experiment leaves it open.

    On a CPU one after another is faster for convolutions and for steps large enough to keep all cores busy.
    """
    if experiment.train.together != "auto":
        return experiment.train.together == "yes"
    if jax.default_backend() != "cpu":
        return True
    model = experiment.model.build()
    spec = jax.ShapeDtypeStruct((experiment.train.batch_size, *dataset.info.shape), jnp.float32)
    params, _ = jax.eval_shape(model.init, jax.random.key(0), spec)
    convolutional = any(leaf.ndim > 2 for leaf in jax.tree.leaves(params))
    return not convolutional and multiply_adds(model, spec) < TOGETHER_MULTIPLY_ADDS


def single(experiment: Experiment, seed: int) -> Experiment:
    """The same experiment for one seed alone."""
    return dataclasses.replace(experiment, train=dataclasses.replace(experiment.train, seed=seed, seeds=1))


def opening(experiment: Experiment, dataset: Dataset, seeds: list[int], together: bool) -> str:
    """The first lines of a run."""
    counts = ", ".join(f"{n:,} {name}" for name, n in dataset.info.counts.items())
    lines = [
        f"{type(experiment.model).__name__} on {experiment.data.source} ({counts}), {device_name()}",
        f"{total_steps(experiment, dataset):,} steps of {experiment.train.batch_size} examples, "
        f"{experiment.train.epochs:g} epochs",
    ]
    if len(seeds) > 1:
        how = "in one program" if together else "one after another, which is faster here"
        how = how if together or experiment.train.together == "auto" else "one after another"
        lines.append(f"seeds {seeds[0]} to {seeds[-1]}, {how}")
    return "\n".join(lines)


def start_folder(folder: Path, experiment: Experiment, dataset: Dataset, source: Path | None) -> None:
    """Writes what is known before the first step; a resumed run has it."""
    if (folder / "splits.npz").is_file():
        return
    config.save(folder, experiment, source)
    write_json(folder / "data.json", dataset.info.to_json())
    data.save_splits(folder / "splits.npz", dataset.splits)


@contextlib.contextmanager
def top_folder(folder: Path) -> Iterator[None]:
    """A signal that stops one of several seeds stops the run: it is the run's folder to resume."""
    try:
        yield
    except Interrupted as stop:
        stop.folder = folder
        raise


@contextlib.contextmanager
def locked(folder: Path, resume: bool) -> Iterator[None]:
    """Makes the folder and holds it: no other process can train in it. Raises UserError where it is held or in use."""
    if not resume and (folder / "config.json").exists():
        raise UserError(
            f"{folder} already holds a run: `purezoo train --resume {folder}` goes on with it, or choose another --out"
        )
    if not resume and folder.is_dir() and any(path.name != ".lock" for path in folder.iterdir()):
        raise UserError(f"{folder} is not empty: choose another --out")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / ".lock").open("w")
    except OSError as error:
        raise UserError(f"cannot write to {folder}: {error.strerror}") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UserError(f"another process trains in {folder}") from None
        try:
            yield
        finally:
            if not (folder / "config.json").exists():  # refused before any work: leave nothing behind
                (folder / ".lock").unlink()
                with contextlib.suppress(OSError):
                    folder.rmdir()


def device_name() -> str:
    """What the run computes on: "cpu (2 cores, x86_64)" or "2 x NVIDIA H100"."""
    first, n = jax.devices()[0], jax.device_count()
    if first.platform == "cpu":
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        return f"cpu ({cores} cores, {platform.machine()})"
    return f"{n} x {first.device_kind}" if n > 1 else first.device_kind


def versions() -> dict[str, str]:
    """Of Python and of the packages that a result depends on."""
    names = ("purezoo", "jax", "jaxlib", "optax", "flax", "numpy")
    return {"python": platform.python_version()} | {name: version(name) for name in names}


def write_json(path: Path, record: Any) -> None:
    """Replaces the file only when the new one is whole."""
    part = path.with_suffix(".part")
    part.write_text(json.dumps(record, indent=2) + "\n")
    os.replace(part, path)


def read_json(path: Path) -> Any:
    """A JSON file of a run. Raises UserError where it is missing or damaged."""
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        raise UserError(f"{path.parent} holds no whole run: {path.name} is missing") from None
    except ValueError as error:
        raise UserError(f"{path} is damaged: {error}") from error
