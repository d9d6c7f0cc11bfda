"""What a finished run's folder is good for: evaluation and prediction."""

import csv
import dataclasses
import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import UserError, nearest, printable
from . import config, weights
from .anomalies import restored, threshold_or_note
from .augment import Views
from .check import shapes
from .config import Experiment
from .data import Info, read_inputs
from .data.inputs import with_path
from .data.masks import write_mask
from .data.series import read_series, times_after
from .ensemble import KINDS, ensemble
from .evaluation import evaluate_split, predict_rows
from .flow import FlowMatching
from .flow_likelihood import flow_likelihood
from .folder import load_data, load_info, read_json
from .likelihood import importance_weighted
from .pictures import probabilities
from .steps import Functions, functions

STEPS = 50  # of a flow's ODE, where `eval --steps` does not say
FALSE_ALARMS = 0.01  # where `predict --false-alarms` does not say


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


def predict_files(
    folder: Path, files: list[Path], trust: bool, masks: str = "", false_alarms: float = FALSE_ALARMS
) -> list[dict[str, Any]]:
    """A record for each example in the files: its name, and class and probabilities, or the predicted numbers, or the
    share of each class in its pixels, or how badly it is restored. Of several files, names have the paths as given.

    With several seeds, probabilities, numbers and errors are the mean over seeds. `masks` is a folder for the classes
    of all pixels, a PNG for each example. Raises UserError where it would replace a file, before any is written.
    `false_alarms`: the share of validation examples whose error may exceed the threshold of an anomaly.
    """
    homes = seed_folders(folder)
    opened = [open_run(home, trust) for home in homes]
    info, records = opened[0][1], []
    found: dict[Path, np.ndarray] = {}  # the masks to write
    if masks and info.kind != "segmentation":
        raise UserError(f"--masks is for the classes of pixels, and {folder} learned a {info.kind}")
    if masks and Path(masks).exists() and not Path(masks).is_dir():
        raise UserError(f"--masks {masks} is no folder")
    if false_alarms != FALSE_ALARMS and info.kind != "reconstruction":
        raise UserError(f"--false-alarms is for runs that restore examples, and {folder} learned a {info.kind}")
    if info.kind == "reconstruction" and opened[0][2].errors is None:
        raise UserError(
            f"{folder} has learned nothing of examples without a class: train it with --task.unlabelled 0.1"
        )
    limit = threshold_or_note(folder, homes, false_alarms) if info.kind == "reconstruction" else None
    for path in files if info.kind == "forecast" else ():
        steps = forecast_of(path, opened)
        records += steps if len(files) == 1 else [step | {"input": f"{path}: {step['input']}"} for step in steps]
    for path in files if info.kind != "forecast" else ():
        inputs = read_inputs(path, info)
        names = with_path(path, inputs.names) if len(files) > 1 else inputs.names
        for note in inputs.notes:
            print(f"purezoo: {note}", file=sys.stderr)
        if info.kind == "reconstruction":
            getattr(opened[0][0].task, "check_values", lambda *_: None)(inputs.x, info, str(path))
            records += restored(opened, inputs.x, names, limit)
            continue
        outputs = [predict_rows(compiled, weights, inputs.x, 256) for _, _, compiled, weights in opened]
        if info.kind == "classification":
            chances = np.mean([probabilities(o) for o in outputs], 0)
            for name, chance in zip(names, chances, strict=True):
                ranked = {info.classes[i]: float(chance[i]) for i in np.argsort(-chance, kind="stable")}
                records.append({"input": name, "class": next(iter(ranked)), "probabilities": ranked})
        elif info.kind == "segmentation":
            guess = np.mean([probabilities(o) for o in outputs], 0).argmax(-1).astype(np.uint8)  # [N, H, W]
            for name, own, mask in zip(names, inputs.names, guess, strict=True):
                share = np.bincount(mask.ravel(), minlength=len(info.classes)) / mask.size
                ranked = {info.classes[i]: float(share[i]) for i in np.argsort(-share, kind="stable")}
                records.append({"input": name, "shares": ranked})
                if masks:
                    target = Path(masks) / mask_name(own)
                    if target in found:
                        raise UserError(f"--masks: two of the inputs would be written as {target}")
                    if target.exists():
                        raise UserError(f"--masks: {target} is there already, and is not replaced")
                    found[target] = mask
        else:
            numbers = np.mean(outputs, 0, dtype=np.float64) * np.asarray(info.y_std) + np.asarray(info.y_mean)
            for name, row in zip(names, numbers, strict=True):
                predicted = dict(zip(info.targets, map(float, row), strict=True))
                records.append({"input": name, "predicted": predicted})
    if masks:
        Path(masks).mkdir(parents=True, exist_ok=True)
        for target, mask in found.items():
            write_mask(target, mask)
    return records


def forecast_of(path: Path, opened: list) -> list[dict[str, Any]]:
    """A record for each step that follows a series; with several seeds the mean of their forecasts."""
    info = opened[0][1]
    if path.suffix.lower() != ".csv":
        raise UserError(
            f"{path} is no .csv file: the run forecasts the columns of one, and needs {info.time} (the time) and "
            f"{', '.join(info.features)}"
        )
    series = read_series(path, info.time, info.fill, info.features)
    window, horizon = info.shape[0], info.horizon
    if len(series.values) < window:
        raise UserError(f"{path} has {len(series.values)} steps, and the model reads {window}")
    x = series.values[None, -window:]
    found = np.mean(
        [predict_rows(compiled, weights, x, 1)[0] for _, _, compiled, weights in opened], 0, dtype=np.float64
    )
    found = found * np.asarray(info.x_std) + np.asarray(info.x_mean)
    return [
        {"input": time, "predicted": dict(zip(info.targets, map(float, row), strict=True))}
        for time, row in zip(times_after(series.times, horizon), found, strict=True)
    ]


def mask_name(name: str) -> str:
    """street.jpg -> street.png, streets.npz[3] -> streets-3.png."""
    found = re.fullmatch(r"(.*)\[(\d+)\]", name)
    stem, row = found.groups() if found else (name, "")
    return Path(stem).stem + (f"-{row}" if row else "") + ".png"


def print_predictions(records: list[dict[str, Any]], form: str, top: int) -> None:
    """Prints predictions as a table, as lines of JSON, or as CSV with a column for each class or target."""
    if form == "json":
        for record in records:
            print(json.dumps(record))
        return
    if form == "csv":
        kind = next(key for key in ("probabilities", "shares", "predicted", "restored") if key in records[0])
        classes, names = kind == "probabilities", list(records[0][kind])
        names = names if kind == "predicted" else sorted(names)  # probabilities come the highest first
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(["input", *(["class"] if classes else []), *names])
        for record in records:
            values = record[kind]
            writer.writerow([record["input"], *([record["class"]] if classes else []), *(values[n] for n in names)])
        return
    names = [printable(record["input"]) for record in records]
    width = max(map(len, names))
    for name, record in zip(names, records, strict=True):
        if "restored" in record:
            error, limit, anomaly = (record["restored"].get(key) for key in ("error", "threshold", "anomaly"))
            said = f"error {error:.6g}" + (
                "" if limit is None else f"  {'anomaly' if anomaly else 'usual'} (threshold {limit:.6g})"
            )
        elif "predicted" not in record:
            best = list((record.get("probabilities") or record["shares"]).items())[:top]
            said = "  ".join(f"{printable(found)} {chance:7.2%}" for found, chance in best)
        else:
            said = "  ".join(f"{printable(found)} {value:.6g}" for found, value in record["predicted"].items())
        print(f"{name:<{width}}  {said}")
