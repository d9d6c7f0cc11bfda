"""Measured results: the committed records of runs (config and summary), and how they are written down."""

import json
import math
from pathlib import Path
from typing import Any

HEADLINES = {  # metric -> (label, factor, unit, the direction in which it gets worse)
    "bits_per_character": ("bits per character", 1, "", math.ceil),
    "bits_per_byte": ("bits per byte", 1, "", math.ceil),
    "accuracy": ("accuracy", 100, "%", math.floor),
    "mean_iou": ("mean IoU", 100, "%", math.floor),
    "elbo": ("ELBO", 1, "nats", math.floor),
    "denoising_rmse": ("RMSE of restored images", 1, "", math.ceil),
    "velocity_rmse": ("RMSE of velocities", 1, "", math.ceil),
    "rmse": ("RMSE", 1, "", math.ceil),
    "r2": ("R^2", 1, "", math.floor),
}


RESULTS = Path(__file__).resolve().parent.parent / "configs" / "results"


def record_files(name: str) -> list[Path]:
    """Where the records of a config's runs lie, or would: on a CPU, and on a GPU or TPU."""
    return [RESULTS / f"{name}.json", RESULTS / f"{name}.accelerator.json"]


def records(name: str) -> dict[Path, dict[str, Any]]:
    """The records of a config's runs, {"command", "config", "data", "summary"} each, by file: none, one or two."""
    return {path: json.loads(path.read_text()) for path in record_files(name) if path.is_file()}


def measured(name: str) -> list[dict[str, Any]]:
    return [*records(name).values()]


def result_text(record: dict[str, Any] | None) -> str:
    """accuracy 98.94 ± 0.31 % (5 seeds). The mean is rounded to the worse side."""
    if record is None:
        return "not measured"
    summary = record["summary"]
    tested, spread = summary["metrics"]["test"], summary.get("std", {}).get("test", {})
    name = next(metric for metric in HEADLINES if metric in tested)
    label, scale, unit, worse = HEADLINES[name]
    digits = 2 if scale == 100 else 4
    exact = round(tested[name] * scale * 10**digits, 6)  # 99.12 % is 9911.999999999998 hundredths, and no 99.11 %
    rounded = worse(exact) / 10**digits
    value = f"{label} {rounded:.{digits}f}"
    value += f" ± {spread[name] * scale:.{digits}f}" if spread else ""
    seeds = f"{len(summary['seeds'])} seeds" if spread else f"seed {summary['seed']}"
    return f"{value} {unit}".rstrip() + f" ({seeds})"
