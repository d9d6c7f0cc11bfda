"""Measured results: the committed records of runs (config and summary), and how they are written down."""

import json
import math
from pathlib import Path
from typing import Any

HEADLINES = {"accuracy": ("accuracy", 100, "%"), "mean_iou": ("mean IoU", 100, "%"), "r2": ("R^2", 1, "")}


def measured(path: Path) -> dict[str, Any] | None:
    """The record of a config's run, {"command", "config", "summary"}, or None where it has not been measured."""
    return json.loads(path.read_text()) if path.is_file() else None


def result_text(record: dict[str, Any] | None) -> str:
    """accuracy 98.94 ± 0.31 % (5 seeds). The mean is rounded down."""
    if record is None:
        return "not measured"
    summary = record["summary"]
    tested, spread = summary["metrics"]["test"], summary.get("std", {}).get("test", {})
    name = next(metric for metric in HEADLINES if metric in tested)
    label, scale, unit = HEADLINES[name]
    digits = 2 if scale == 100 else 4
    down = math.floor(tested[name] * scale * 10**digits) / 10**digits
    value = f"{label} {down:.{digits}f}"
    value += f" ± {spread[name] * scale:.{digits}f}" if spread else ""
    seeds = f"{len(summary['seeds'])} seeds" if spread else f"seed {summary['seed']}"
    return f"{value} {unit}".rstrip() + f" ({seeds})"
