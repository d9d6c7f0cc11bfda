"""A finished run: its folder opened, and its evaluation."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import UserError, nearest
from . import config, weights
from .augment import Views
from .check import shapes
from .config import Experiment
from .data import Info
from .ensemble import KINDS, ensemble
from .evaluation import evaluate_split
from .flow import FlowMatching
from .flow_likelihood import flow_likelihood
from .folder import load_data, load_info, read_json
from .likelihood import importance_weighted
from .steps import Functions, functions

STEPS = 50  # of a flow's ODE, where `eval --steps` does not say


def open_run(folder: Path, trust: bool, views: Views | None = None) -> tuple[Experiment, Info, Functions, dict]:
    """A finished run's experiment, data record, functions and weights. Raises UserError where something is missing."""
    experiment, _ = config.load(folder, trust)
    info = load_info(folder)
    if views is not None:
        experiment = dataclasses.replace(experiment, augment=dataclasses.replace(experiment.augment, views=views))
    compiled = functions(experiment, info, steps=1)
    run = shapes(experiment, info, compiled)
    return (
        experiment,
        info,
        compiled,
        weights.load(folder / "model.safetensors", compiled.present(run)),
    )


def seed_folders(folder: Path) -> list[Path]:
    """The folders of a run's seeds, or the run's own where it trained one. UserError where some are unfinished."""
    if not folder.is_dir():
        raise UserError(f"there is no folder {folder}")
    experiment = read_json(folder / "config.json")
    try:
        first, seeds = experiment["train"]["seed"], experiment["train"]["seeds"]
        found = [folder / f"seed-{seed}" for seed in range(first, first + seeds)] if seeds > 1 else [folder]
    except (KeyError, TypeError) as error:
        raise UserError(f"{folder / 'config.json'} is damaged: it does not say {error}") from error
    if missing := [home.name for home in found if not (home / "summary.json").is_file()]:
        raise UserError(
            f"{folder} has not finished{f' ({missing[0]})' if seeds > 1 else ''}: "
            f"`purezoo train --resume {folder}` goes on with it"
        )
    return found


def evaluate_run(
    folder: Path,
    split: str,
    batch: int,
    data_dir: str,
    trust: bool,
    views: Views | None = None,
    samples: int = 0,
    steps: int = STEPS,
) -> dict[str, Any]:
    """The metrics of a run on a split; of several seeds the mean, the standard deviation, each one's, and those of what
    they predict together, on average. `views` takes the place of the run's own --augment.views; with `samples`, also
    the importance-weighted bound of so many codes, or a flow's likelihood by so many probes and `steps` of its ODE.

    Raises UserError for an unknown split, for data that changed since the run and for `steps` of what is no flow.
    """
    homes = seed_folders(folder)
    opened = [open_run(home, trust, views) for home in homes]
    experiment, info, compiled, _ = opened[0]  # the seeds differ in their weights alone
    if split not in info.counts:
        raise UserError(
            f"the run has no split '{split}': it has {', '.join(info.counts)}.{nearest(split, info.counts)}"
        )
    if not (homes[0] / "splits.npz").is_file():
        raise UserError(f"{homes[0]} holds no whole run: splits.npz is missing")
    flow = isinstance(experiment.task, FlowMatching)
    if steps != STEPS and not flow:
        raise UserError(f"--steps is for flows, and {folder} is none")
    dataset, rows = load_data(experiment, homes[0], data_dir), batch or experiment.train.eval_batch_size
    results = []
    for one, _, _, found in opened:
        metrics, _ = evaluate_split(compiled, experiment.task, found, dataset, split, rows)
        if samples and flow:
            metrics |= flow_likelihood(one, found, dataset, split, samples, steps)
        elif samples:
            metrics |= importance_weighted(one, found, dataset, split, samples)
        results.append({"seed": one.train.seed, "metrics": metrics})
    each = {name: [one["metrics"][name] for one in results] for name in results[0]["metrics"]}
    mean = {name: float(np.mean(values)) for name, values in each.items()}
    answer = {"run": str(folder), "split": split, "examples": dataset.seen(split), "metrics": mean}
    answer |= {"samples": samples} if samples else {}
    answer |= {"steps": steps} if samples and flow else {}
    if len(results) > 1:
        answer |= {"std": {name: float(np.std(values, ddof=1)) for name, values in each.items()}, "seeds": results}
        if info.kind in KINDS:
            together, members = ensemble(experiment, info, [found for *_, found in opened])
            answer["together"] = evaluate_split(together, experiment.task, members, dataset, split, rows)[0]
    return answer
