#!/usr/bin/env python3
"""How an error falls as a network sees more: the RMSE of each target against the length of the sequence.

    scripts/error_by_length.py RUN [--out error.png]

For a run that predicts numbers from sequences of different lengths, such as `ball`. Test split; mean over the seeds of
the run ± standard deviation. Two targets whose names differ in x and y alone are one place, and its error a distance.
"""

import argparse
from pathlib import Path

import numpy as np

from purezoo.errors import UserError
from purezoo.train.evaluation import examples, predict_rows
from purezoo.train.folder import load_data, new_file
from purezoo.train.serve import open_run, seed_folders


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, metavar="RUN")
    parser.add_argument("--out", type=Path, help="picture to draw; it must not exist yet")
    args = parser.parse_args()
    try:
        if args.out:
            new_file(args.out, "--out", ".png")
        lengths, found = by_length(args.run)
    except UserError as error:
        parser.exit(2, f"{parser.prog}: {error}\n")
    print("length  " + "".join(f"{name:>20}" for name in found))
    for i, length in enumerate(lengths):
        cells = (f"{values[:, i].mean():.4f} ± {spread(values[:, i]):.4f}" for values in found.values())
        print(f"{length:6}  " + "".join(f"{cell:>20}" for cell in cells))
    if args.out:
        draw(lengths, found, args.out)
    return 0


def by_length(run: Path) -> tuple[list[int], dict[str, np.ndarray]]:
    """The lengths, and of each group of targets the RMSE [seeds, lengths]. Raises UserError for another kind of run."""
    rows: dict[str, list[list[float]]] = {}
    for home in seed_folders(run):
        experiment, info, functions, weights = open_run(home, trust=False)
        if info.kind != "regression" or not info.ragged:
            raise UserError(f"{home} predicts no numbers from sequences of different lengths")
        x, y = examples(dataset := load_data(experiment, home), dataset.splits["test"])
        guess = predict_rows(functions, weights, x, 1000) * np.asarray(info.y_std) + np.asarray(info.y_mean)
        lengths = sorted(set(x.lengths.tolist()))
        for name, columns in groups(info.targets).items():
            squared = np.square(guess - y)[:, columns].sum(1)  # of a place the squared distance
            rows.setdefault(name, []).append([float(np.sqrt(squared[x.lengths == n].mean())) for n in lengths])
    return lengths, {name: np.array(values) for name, values in rows.items()}


def groups(targets: tuple[str, ...]) -> dict[str, list[int]]:
    """Targets whose names differ in x and y alone are the two coordinates of one place."""
    found: dict[str, list[int]] = {}
    for i, name in enumerate(targets):
        parts = [part for part in name.split("_") if part not in ("x", "y")]
        found.setdefault("_".join(parts) or name, []).append(i)
    return found


def spread(values: np.ndarray) -> float:
    return float(values.std(ddof=1)) if len(values) > 1 else 0.0


def draw(lengths: list[int], found: dict[str, np.ndarray], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for name, values in found.items():
        axes.errorbar(lengths, values.mean(0), [spread(v) for v in values.T], label=name, marker="o", capsize=2)
    axes.set(xlabel="steps seen", ylabel="RMSE", yscale="log", title="test split")
    axes.legend()
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    raise SystemExit(main())
