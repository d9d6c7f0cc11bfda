"""A run from its config to its folder: config.json, data.json, splits.npz, metrics.jsonl, checkpoints/, summary.json,
model.safetensors and pictures. With several seeds each has such a folder of its own, seed-0, seed-1, ..., inside."""

import dataclasses
import json
import os
import platform
import time
from importlib.metadata import version
from pathlib import Path

import jax
import numpy as np

from ..errors import Interrupted
from ..models.core import count
from . import weights
from .anomalies import keep_errors
from .check import check, in_one_program
from .config import Experiment, write
from .data import Dataset
from .evaluation import Stopped, of_seed
from .folder import DRAWING, is_whole, load_data, locked, read_json, start_folder, top_folder, write_json
from .loop import Memory, fit, read_history, signals, total_steps
from .programs import Programs, compile_programs, make_mesh
from .progress import Progress
from .start import Start
from .steps import Functions, functions


@dataclasses.dataclass(frozen=True)
class Options:
    """How a run behaves, beside what the experiment says."""

    resume: bool = False
    quiet: bool = False
    pictures: bool = True
    began: float = 0.0  # time.perf_counter() where the process began; 0: now


def train(experiment: Experiment, folder: Path, code: bytes | None = None, options: Options = Options()) -> dict:
    """Trains an experiment in a folder and returns its summary, which is also the folder's summary.json.

    `code` is what the user's own config file held.
    Raises UserError for what does not fit, before any work, and Interrupted where a signal stopped it.
    """
    options = options if options.began else dataclasses.replace(options, began=time.perf_counter())
    experiment = dataclasses.replace(experiment, data=experiment.data.absolute(), init=experiment.init.absolute())
    with locked(folder, options.resume), signals() as received, top_folder(folder):
        dataset = load_data(experiment, folder if options.resume else None)
        compiled = functions(experiment, dataset.info, total_steps(experiment, dataset))
        shapes = check(experiment, dataset, compiled, folder)
        mesh = make_mesh(experiment.train.devices, experiment.train.batch_size // experiment.train.accumulate)
        first = experiment.train.seed
        seeds = list(range(first, first + experiment.train.seeds))
        start = Start(experiment, compiled.present(shapes))
        experiment = experiment if options.resume else start.noted(seeds)
        together = len(seeds) > 1 and in_one_program(experiment, dataset)
        note = Progress(0, options.quiet).note
        device = device_name(mesh.size)
        note(opening(experiment, dataset, seeds, together, device))
        if said := start.opening():
            note(said)
        programs = compile_programs(experiment, compiled, dataset, len(seeds) if together else 1, mesh, start.spec)
        note(f"compiled in {programs.compile_s:.1f} s")
        start_folder(folder, experiment, dataset, code)
        job = Job(experiment, dataset, compiled, programs, start, code, options, received, device)
        if together:
            summaries = train_together(job, seeds, folder)
        elif len(seeds) > 1:
            summaries = [train_in_turn(job, seed, folder) for seed in seeds]
        else:
            summaries = [train_one(job, seeds[0], folder)]
        summary = summaries[0] if len(seeds) == 1 else combined(summaries, together)
        summary["time"]["total_s"] = summary["time"]["before_s"] + time.perf_counter() - options.began
        write_json(folder / "summary.json", summary)
        return summary


@dataclasses.dataclass(frozen=True)
class Job:
    """What all seeds of a run share."""

    experiment: Experiment
    dataset: Dataset
    functions: Functions
    programs: Programs
    start: Start
    code: bytes | None  # of a user's config file
    options: Options
    received: list[int]  # signals
    device: str

    def fit(self, seeds: list[int], folder: Path) -> tuple[dict, Memory, int]:
        """Trains seeds to the end: their final weights, the loop's memory and the steps taken."""
        progress = Progress(total_steps(self.experiment, self.dataset), self.options.quiet)
        resume, received = self.options.resume, self.received
        return fit(self.experiment, self.dataset, self.programs, seeds, folder, progress, resume, received, self.start)

    def test(self, final: dict, folder: Path, step: int) -> dict:
        """The totals of the metrics on every split that was not trained on. Raises Interrupted."""
        try:
            return {
                name: self.programs.evaluate(final, rows, self.received)
                for name, rows in self.dataset.splits.items()
                if name != "train"
            }
        except Stopped:
            raise Interrupted(self.received[0], step, folder) from None


def train_one(job: Job, seed: int, folder: Path) -> dict:
    """One seed in its folder."""
    final, memory, steps = job.fit([seed], folder)
    return finish(job, job.experiment, folder, seed, 0, final, memory, steps, job.test(final, folder, steps))


def train_in_turn(job: Job, seed: int, folder: Path) -> dict:
    """One of several seeds, in a folder of its own. One that finished before the run was resumed is not repeated."""
    home = folder / f"seed-{seed}"
    if job.options.resume and is_whole(home):
        done = read_json(home / "summary.json")
        return done | {"time": done["time"] | {"before_s": done["time"]["run_s"]}}
    one = single(job.experiment, seed)
    Progress(0, job.options.quiet).note(f"seed {seed}")
    with locked(home, resume=True):  # nobody else resumes it by itself
        start_folder(home, one, job.dataset, job.code)
        return train_one(dataclasses.replace(job, experiment=one), seed, home)


def train_together(job: Job, seeds: list[int], folder: Path) -> list[dict]:
    """All seeds in one program; then each gets its folder."""
    final, memory, steps = job.fit(seeds, folder)
    tested, lines, summaries = job.test(final, folder, steps), read_history(folder), []
    for i, seed in enumerate(seeds):
        home, one = folder / f"seed-{seed}", single(job.experiment, seed)
        home.mkdir(exist_ok=True)
        start_folder(home, one, job.dataset, job.code)
        own = [json.dumps(line) + "\n" for line in lines if line["seed"] == seed]
        write(home / "metrics.jsonl", "".join(own).encode())
        weights_of_seed = jax.tree.map(lambda a, i=i: a[i], final)
        summaries.append(finish(job, one, home, seed, i, weights_of_seed, memory, steps, tested))
    return summaries


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
    keep_errors(folder, job.functions, final, job.dataset, one.train.eval_batch_size)
    summary = {
        "metrics": {"train": lines[-1]["train"] if lines else {}, **metrics},
        "parameters": count(final["params"]),
        "steps": stopped or steps,
        **({"best_step": memory.best_step[place]} if one.train.patience else {}),
        "seed": seed,
        "seeds_in_one_program": together,
        **(seen(job.dataset) if one.data.on_error == "skip" else {}),
        "examples_per_s": examples / memory.train_s if memory.train_s else 0.0,
        "time": {
            "compile_s": job.programs.compile_s,
            "before_s": memory.before_s,
            "run_s": memory.run_s,
            "total_s": memory.before_s + time.perf_counter() - job.options.began,
        },
        "device": job.device,
        "versions": versions(),
    }
    drawing = folder / DRAWING
    if job.options.pictures:
        drawing.touch()
    write_json(folder / "summary.json", summary)
    if job.options.pictures:  # last, for the results are safe by now
        from . import pictures

        pictures.draw(folder, one, job.dataset, job.functions, final, sums, lines)
    drawing.unlink(missing_ok=True)
    return summary


def seen(dataset: Dataset) -> dict:
    """How many pictures could not be read, and how many examples of each split could."""
    return {"skipped": len(dataset.skipped), "examples": {split: dataset.seen(split) for split in dataset.splits}}


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
        **{key: summaries[-1][key] for key in ("skipped", "examples") if key in summaries[-1]},
        **{key: summaries[0][key] for key in ("parameters", "steps", "seed", "device", "versions")},
        "examples_per_s": summaries[0]["examples_per_s"]
        if together
        else float(np.mean([s["examples_per_s"] for s in summaries])),
        "time": {
            "compile_s": times[0]["compile_s"],
            **{key: times[0][key] if together else sum(t[key] for t in times) for key in ("before_s", "run_s")},
        },
    }


def single(experiment: Experiment, seed: int) -> Experiment:
    """The same experiment for one seed alone."""
    return dataclasses.replace(experiment, train=dataclasses.replace(experiment.train, seed=seed, seeds=1))


def opening(experiment: Experiment, dataset: Dataset, seeds: list[int], together: bool, device: str) -> str:
    """The first lines of a run."""
    counts = ", ".join(f"{n:,} {name}" for name, n in dataset.info.counts.items())
    steps, warmup = total_steps(experiment, dataset), getattr(experiment.task, "warmup", 0)
    lines = [
        f"{type(experiment.model).__name__} on {experiment.data.source} ({counts}), {device}",
        f"{steps:,} steps of {experiment.train.batch_size} examples, {experiment.train.epochs:g} epochs",
    ]
    if warmup > steps:
        lines.append(f"these are fewer than --task.warmup {warmup}: the KL divergence never gets its whole weight")
    if len(seeds) > 1:
        how = "in one program" if together else "one after another, which is faster here"
        how = how if together or experiment.train.together == "auto" else "one after another"
        lines.append(f"seeds {seeds[0]} to {seeds[-1]}, {how}")
    return "\n".join(lines)


def device_name(n: int) -> str:
    """What the run computes on, the first `n` devices: "cpu (2 cores, x86_64)" or "2 x NVIDIA H100"."""
    first = jax.devices()[0]
    if first.platform == "cpu":
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        return f"cpu ({cores} cores, {platform.machine()})"
    return f"{n} x {first.device_kind}" if n > 1 else first.device_kind


def versions() -> dict[str, str]:
    """Of Python and of the packages that a result depends on."""
    names = ("purezoo", "jax", "jaxlib", "optax", "flax", "numpy")
    return {"python": platform.python_version()} | {name: version(name) for name in names}
