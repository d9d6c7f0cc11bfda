"""What a finished run's networks say of files: `purezoo predict`."""

import csv
import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import UserError, printable
from .anomalies import restored, threshold_or_note
from .data import Info, read_inputs
from .data.examples import Examples
from .data.inputs import with_path
from .data.masks import write_mask
from .data.series import read_series, times_after
from .evaluation import predict_rows
from .pictures import probabilities
from .serve import open_run, seed_folders
from .steps import Functions

FALSE_ALARMS = 0.01  # where `predict --false-alarms` does not say
Records = list[dict[str, Any]]


def predict_files(
    folder: Path, files: list[Path], trust: bool, masks: str = "", false_alarms: float = FALSE_ALARMS
) -> Records:
    """A record for each example in the files: its name, and class and probabilities, or the predicted numbers, or the
    share of each class in its pixels, or how badly it is restored. Of several files, names have the paths as given.

    With several seeds, probabilities, numbers and errors are the mean over seeds. `masks` is a folder for the classes
    of all pixels, a PNG for each example. Raises UserError where it would replace a file, before any is written.
    `false_alarms`: the share of validation examples whose error may exceed the threshold of an anomaly.
    """
    homes = seed_folders(folder)
    opened = [open_run(home, trust) for home in homes]
    _, info, compiled, _ = opened[0]
    refuse_what_does_not_apply(folder, info, compiled, masks, false_alarms)
    if info.kind == "forecast":
        return forecasts(files, opened)
    limit = threshold_or_note(folder, homes, false_alarms) if info.kind == "reconstruction" else None
    records: Records = []
    pixels: dict[Path, np.ndarray] = {}  # the masks to write
    for path in files:
        inputs = read_inputs(path, info)
        names = with_path(path, inputs.names) if len(files) > 1 else inputs.names
        for note in inputs.notes:
            print(f"purezoo: {note}", file=sys.stderr)
        if info.kind == "reconstruction":
            getattr(opened[0][0].task, "check_values", lambda *_: None)(inputs.x, info, str(path))
            records += restored(opened, inputs.x, names, limit)
            continue
        said = mean_of_seeds(opened, inputs.x, 256)
        if info.kind == "segmentation":
            said = said.argmax(-1).astype(np.uint8)  # [N, H, W]
        records += records_of(info, names, said)
        if masks:
            add_masks(pixels, Path(masks), inputs.names, said)
    if masks:
        Path(masks).mkdir(parents=True, exist_ok=True)
    for target, mask in pixels.items():
        write_mask(target, mask)
    return records


def refuse_what_does_not_apply(folder: Path, info: Info, compiled: Functions, masks: str, false_alarms: float) -> None:
    if masks and info.kind != "segmentation":
        raise UserError(f"--masks is for the classes of pixels, and {folder} learned a {info.kind}")
    if masks and Path(masks).exists() and not Path(masks).is_dir():
        raise UserError(f"--masks {masks} is no folder")
    if false_alarms != FALSE_ALARMS and info.kind != "reconstruction":
        raise UserError(f"--false-alarms is for runs that restore examples, and {folder} learned a {info.kind}")
    if info.kind == "reconstruction" and compiled.errors is None:
        raise UserError(
            f"{folder} has learned nothing of examples without a class: train it with --task.unlabelled 0.1"
        )


def mean_of_seeds(opened: list, x: Examples, batch: int) -> np.ndarray:
    """Of raw inputs [N, ...] the probabilities of classes, or the numbers, on average of a run's seeds, float64."""
    _, info, compiled, _ = opened[0]  # the seeds differ in their weights alone
    outputs = [predict_rows(compiled, weights, x, batch) for *_, weights in opened]
    if info.kind in ("classification", "segmentation"):
        outputs = [probabilities(one) for one in outputs]
    return np.stack(outputs).mean(0, dtype=np.float64)


def records_of(info: Info, names: list[str], said: np.ndarray) -> Records:
    """Of each example the classes, in the order of their probability or of their share in its mask, or the numbers."""
    if info.kind == "classification":
        ranked = [by_size(info, chance) for chance in said]
        return [
            {"input": name, "class": next(iter(chances)), "probabilities": chances}
            for name, chances in zip(names, ranked, strict=True)
        ]
    if info.kind == "segmentation":
        shares = [np.bincount(mask.ravel(), minlength=len(info.classes)) / mask.size for mask in said]
        return [{"input": name, "shares": by_size(info, share)} for name, share in zip(names, shares, strict=True)]
    numbers = said * np.asarray(info.y_std) + np.asarray(info.y_mean)
    return [
        {"input": name, "predicted": dict(zip(info.targets, map(float, row), strict=True))}
        for name, row in zip(names, numbers, strict=True)
    ]


def by_size(info: Info, values: np.ndarray) -> dict[str, float]:
    """The value [C] of each class, the largest first."""
    return {info.classes[i]: float(values[i]) for i in np.argsort(-values, kind="stable")}


def add_masks(found: dict[Path, np.ndarray], folder: Path, names: list[str], masks: np.ndarray) -> None:
    """Adds masks [N, H, W] under the names of their files. Raises UserError where one would replace another."""
    for name, mask in zip(names, masks, strict=True):
        target = folder / mask_name(name)
        if target in found:
            raise UserError(f"--masks: two of the inputs would be written as {target}")
        if target.exists():
            raise UserError(f"--masks: {target} is there already, and is not replaced")
        found[target] = mask


def mask_name(name: str) -> str:
    """street.jpg -> street.png, streets.npz[3] -> streets-3.png."""
    found = re.fullmatch(r"(.*)\[(\d+)\]", name)
    stem, row = found.groups() if found else (name, "")
    return Path(stem).stem + (f"-{row}" if row else "") + ".png"


def forecasts(files: list[Path], opened: list) -> Records:
    records: Records = []
    for path in files:
        steps = forecast_of(path, opened)
        records += steps if len(files) == 1 else [step | {"input": f"{path}: {step['input']}"} for step in steps]
    return records


def forecast_of(path: Path, opened: list) -> Records:
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
    found = mean_of_seeds(opened, x, 1)[0] * np.asarray(info.x_std) + np.asarray(info.x_mean)
    return [
        {"input": time, "predicted": dict(zip(info.targets, map(float, row), strict=True))}
        for time, row in zip(times_after(series.times, horizon), found, strict=True)
    ]


def print_predictions(records: Records, form: str, top: int) -> None:
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
