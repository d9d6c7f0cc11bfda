"""What `purezoo list` says: the networks of the zoo, and the configs with their measured results."""

import importlib
import json
import sys
from collections.abc import Sequence
from typing import Any

from ..models.catalogue import CATALOGUE
from .config import config_names
from .results import measured, result_text


def networks() -> list[dict[str, Any]]:
    """Name, what it is, parameters and source of each network; the source is what its module's first line cites."""
    rows = []
    for name, entry in CATALOGUE.items():
        kind = type(entry.network)
        about, _, source = (sys.modules[kind.__module__].__doc__ or "").strip().splitlines()[0].partition(". ")
        rows.append(
            {
                "name": name,
                "class": kind.__name__,
                "what": about,
                "input": list(entry.input),
                "output": list(entry.output),
                "parameters": entry.parameters,
                "source": source.rstrip("."),
            }
        )
    return rows


def configs() -> list[dict[str, Any]]:
    """Name, what it is and measured result of each config, and the results on other devices."""
    rows = []
    for name in config_names():
        about = (importlib.import_module(f"..configs.{name}", __package__).__doc__ or "").strip().splitlines()[0]
        records = measured(name)
        rows.append({"name": name, "what": about, "result": records[0] if records else None, "others": records[1:]})
    return rows


def as_json() -> str:
    return json.dumps({"networks": networks(), "configs": configs()}, indent=2)


def as_text() -> str:
    nets = [
        (n["name"], f"{n['parameters']:,}", " x ".join(map(str, n["input"])), f"{n['what']}. {n['source']}")
        for n in networks()
    ]
    runs = []
    for c in configs():
        runs.append((c["name"], result_text(c["result"]), c["what"]))
        runs += [("", result_text(other), f"the same, on {other['summary']['device']}") for other in c["others"]]
    return "\n".join(
        [
            "Networks",
            *columns(("name", "parameters", "for input", "what it is"), nets),
            "",
            "Configs (purezoo train NAME), with their measured results",
            *columns(("name", "test result", "what it is"), runs),
        ]
    )


def columns(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows of text in aligned columns."""
    widths = [max(len(row[i]) for row in (header, *rows)) for i in range(len(header) - 1)]
    return [
        "  " + "  ".join([*(f"{c:<{w}}" for c, w in zip(row, widths, strict=False)), row[-1]])
        for row in (header, *rows)
    ]
