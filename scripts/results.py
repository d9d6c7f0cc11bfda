#!/usr/bin/env python3
"""Published results come from committed records of runs in configs/results; this script writes them down.

scripts/results.py add RUN...   keep the record of a finished run of a config, and write what follows from it:
scripts/results.py              the README's table and the figures in the configs' docstrings
scripts/results.py --check      fail where they, or a config, differ from the records
"""

import argparse
import dataclasses
import json
import re
import sys
from pathlib import Path
from typing import Any

from purezoo.errors import UserError
from purezoo.train import config
from purezoo.train.data import Data
from purezoo.train.folder import load_info
from purezoo.train.results import measured, record_files, records, result_text

ROOT = Path(__file__).resolve().parent.parent
BEGIN, END = "<!-- results: written by scripts/results.py -->", "<!-- end of results -->"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", nargs="?", choices=["add"])
    parser.add_argument("runs", nargs="*", type=Path)
    parser.add_argument("--check", action="store_true")
    args = parser.parse_args()
    for run in args.runs:
        add(run)
    wrong = []
    for path, text in written().items():
        if path.read_text() == text:
            continue
        wrong.append(path.relative_to(ROOT))
        if not args.check:
            path.write_text(text)
            print(f"wrote {wrong[-1]}")
    stale = [(name, path) for name in config.config_names() for path in stale_records(name)]
    for name, path in stale:
        print(
            f"configs/{name}.py has changed since {path.relative_to(ROOT)} was measured: train it anew on such a "
            "device, and scripts/results.py add RUN",
            file=sys.stderr,
        )
    if args.check and wrong:
        print(f"{', '.join(map(str, wrong))} differ from configs/results: run scripts/results.py", file=sys.stderr)
    return 1 if stale or (args.check and wrong) else 0


def add(run: Path) -> None:
    """Keeps a run's record under the name of the config that it ran."""
    experiment, _ = config.load(run)
    name = next((n for n in config.config_names() if same(to_compare(experiment), current(n))), None)
    if name is None:
        raise UserError(f"{run} is no run of a config as it stands now")
    seeds = f" --train.seeds {experiment.train.seeds}" if experiment.train.seeds > 1 else ""
    folder = " --data.dir FOLDER" if experiment.data.dir else source_flag(experiment.data)
    record = {
        "command": f"purezoo train {name}{folder}{seeds}",
        "config": config.to_json(to_compare(experiment)),
        "data": load_info(run).fingerprint,  # SHA-256 of the examples
        "summary": json.loads((run / "summary.json").read_text()),
    }
    on_cpu, on_accelerator = record_files(name)
    path = on_cpu if record["summary"]["device"].startswith("cpu") else on_accelerator
    path.write_text(json.dumps(record, indent=1) + "\n")


def written() -> dict[Path, str]:
    """What the README and the configs should say."""
    files = {ROOT / "README.md": readme()}
    for name in config.config_names():
        path = ROOT / "configs" / f"{name}.py"
        if found := measured(name):
            files[path] = docstring(path.read_text(), found)
    return files


def docstring(text: str, measurements: list[dict[str, Any]]) -> str:
    """A config's text with its command and its figures as the last paragraphs of its docstring."""
    about = text.split('"""')[1].split("\n\n`purezoo train")[0]
    first, *others = measurements
    size = f"{first['summary']['parameters']:,}"
    figures = [f"Measured on the test split: {result_text(first)}, {size} parameters,\n{time_of(first)}."]
    figures += [f"By `{record['command']}`\n{result_text(record)}, {time_of(record)}." for record in others]
    text_after = text.split('"""', 2)[2]
    return f'"""{about}\n\n`{first["command"]}`\n\n' + "\n".join(figures) + '\n"""' + text_after


def time_of(record: dict[str, Any]) -> str:
    """The time, the hardware."""
    summary = record["summary"]
    how = "" if "seeds" not in summary else " in one program" if summary["together"] else " one after another"
    return f"{clock(summary['time']['total_s'])} in all{how}, {summary['device']}, jax {summary['versions']['jax']}"


def readme() -> str:
    """The README with its table of results."""
    rows = ["| config | test result | parameters | time, all seeds | hardware |", "|---|---|---:|---:|---|"]
    for name in config.config_names():
        for record in measured(name):
            summary = record["summary"]
            rows.append(
                f"| [`{name}`](configs/{name}.py) | {result_text(record)} | {summary['parameters']:,} "
                f"| {clock(summary['time']['total_s'])} | {summary['device']} |"
            )
    text = (ROOT / "README.md").read_text()
    pattern = re.compile(f"{re.escape(BEGIN)}.*?{re.escape(END)}", re.DOTALL)
    return pattern.sub(lambda _: "\n".join([BEGIN, *rows, END]), text)


def stale_records(name: str) -> list[Path]:
    """The records of a config that has changed since it was measured."""
    then = {path: config.from_json(config.Experiment, record["config"]) for path, record in records(name).items()}
    return [path for path, experiment in then.items() if not same(experiment, current(name))]


def current(name: str) -> config.Experiment:
    return to_compare(config.load_config(name)[0])


def to_compare(experiment: config.Experiment) -> config.Experiment:
    """The experiment without what may differ from machine to machine, and from one seed to several."""
    data = experiment.data
    return dataclasses.replace(
        experiment,
        data=dataclasses.replace(data, dir="", source=placeholder(data)),
        train=dataclasses.replace(experiment.train, seeds=1, together="auto"),
    )


def placeholder(data: Data) -> str:
    """The source; of a user's own file or folder a word that stands for it."""
    return f"FILE{data.file}" if data.file else "folder:FOLDER" if data.source.startswith("folder:") else data.source


def source_flag(data: Data) -> str:
    return " --data.source FILE" if data.file else " --data.source FOLDER" if data.source.startswith("folder:") else ""


def same(one: config.Experiment, other: config.Experiment) -> bool:
    return config.to_json(one) == config.to_json(other)


def clock(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


if __name__ == "__main__":
    try:
        sys.exit(main())
    except UserError as error:
        sys.exit(f"scripts/results.py: {error}")
