#!/usr/bin/env python3
"""How well classifiers of images bear a shift that they were not trained for: accuracy against its length in pixels.

    scripts/shift_tolerance.py RUN... [--most 8] [--data-dir FOLDER] [--out shifts.png]

Every test image is moved right, left, down and up, with black coming in; the accuracy is the mean of the four, and over
the seeds of a run. Prints a table, and draws it where --out says.
"""

import argparse
from pathlib import Path

import numpy as np

from purezoo.errors import UserError
from purezoo.train.evaluation import predict_rows
from purezoo.train.folder import load_arrays, new_file
from purezoo.train.serve import open_run, seed_folders


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN")
    parser.add_argument("--most", type=int, default=8, help="the longest shift, in pixels")
    parser.add_argument("--data-dir", default="", help="folder of the data's files, where it has moved since the runs")
    parser.add_argument("--out", type=Path, help="picture to draw; it must not exist yet")
    args = parser.parse_args()
    try:
        if args.out:
            new_file(args.out, "--out", ".png")
        found = {run: accuracies(run, range(args.most + 1), args.data_dir) for run in args.runs}
    except UserError as error:
        parser.exit(2, f"{parser.prog}: {error}\n")
    print("pixels " + "".join(f"{run.name:>24}" for run in found))
    for shift in range(args.most + 1):
        cells = (f"{a[:, shift].mean():8.2%} ± {spread(a[:, shift]):6.2%}" for a in found.values())
        print(f"{shift:6} " + "".join(f"{cell:>24}" for cell in cells))
    if args.out:
        draw(found, args.out)
    return 0


def accuracies(run: Path, shifts: range, data_dir: str) -> np.ndarray:
    """[seeds, shifts]. Raises UserError for what is no finished run of a classifier of images."""
    rows = []
    for home in seed_folders(run):
        experiment, info, functions, weights = open_run(home, trust=False)
        if info.kind != "classification" or len(info.shape) != 3:
            raise UserError(f"{home} classifies no images")
        dataset = load_arrays(experiment, home, data_dir)
        test = dataset.splits["test"]
        x, y = dataset.x[test], dataset.y[test]
        rows.append([accuracy(functions, weights, x, y, shift) for shift in shifts])
    return np.array(rows)


def accuracy(functions, weights: dict, x: np.ndarray, y: np.ndarray, shift: int) -> float:
    ways = [(0, shift), (0, -shift), (shift, 0), (-shift, 0)] if shift else [(0, 0)]
    guesses = [predict_rows(functions, weights, moved(x, *way), 1000).argmax(-1) for way in ways]
    return float(np.mean([guess == y for guess in guesses]))


def moved(x: np.ndarray, down: int, right: int) -> np.ndarray:
    """Images [N, H, W, C] moved, with zeros, which are black, coming in."""
    height, width = x.shape[1:3]
    sides = [(0, 0), (max(down, 0), max(-down, 0)), (max(right, 0), max(-right, 0)), (0, 0)]
    return np.pad(x, sides)[:, max(-down, 0) :, max(-right, 0) :][:, :height, :width]


def spread(values: np.ndarray) -> float:
    return float(values.std(ddof=1)) if len(values) > 1 else 0.0


def draw(found: dict[Path, np.ndarray], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
    for run, values in found.items():
        axes.errorbar(range(values.shape[1]), values.mean(0), [spread(v) for v in values.T], label=run.name, capsize=2)
    axes.set(xlabel="shift of the test images, pixels", ylabel="accuracy", ylim=(0, 1))
    axes.legend()
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    raise SystemExit(main())
