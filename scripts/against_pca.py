#!/usr/bin/env python3
"""An autoencoder against principal component analysis with as many components, fitted on the same training split.

    scripts/against_pca.py RUN [--data-dir FOLDER]

Prints the mean squared error of the restored test examples by both, in the pixels' own units, in which white is 1 (of
tables in standard deviations), and how many times the autoencoder's is the smaller one. Of a variational autoencoder
with a Gaussian likelihood it prints the bits per dimension of the test examples, beside those of probabilistic PCA.
"""

import argparse
from pathlib import Path

import numpy as np

from purezoo.errors import UserError
from purezoo.train.data import Dataset
from purezoo.train.data.examples import take
from purezoo.train.evaluation import errors_of_split, evaluate_split
from purezoo.train.folder import load_arrays
from purezoo.train.principal import code_width, principal, principal_bits
from purezoo.train.serve import open_run, seed_folders
from purezoo.train.variational import Variational

BITS = "bits per dimension"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, metavar="RUN")
    parser.add_argument("--data-dir", default="", help="folder of the data's files, where it has moved since the run")
    args = parser.parse_args()
    try:
        found, width, dataset, unit = measured(args.run, args.data_dir)
        if unit:
            pca = principal_bits(dataset, width, "test")
        else:
            pca = principal(dataset, width)(take(dataset.x, dataset.splits["test"])).mean(dtype=np.float64)
    except UserError as error:
        parser.exit(2, f"{parser.prog}: {error}\n")
    spread = f" ± {np.std(found, ddof=1):.6f} ({len(found)} seeds)" if len(found) > 1 else ""
    print(f"autoencoder, code of {width:4}: {np.mean(found):.6f}{spread} {unit}".rstrip())
    print(f"PCA, components {width:8}: {pca:.6f} {unit}".rstrip())
    if not unit:
        print(f"PCA's error is {pca / np.mean(found):.2f} times the autoencoder's")
    return 0


def measured(run: Path, data_dir: str) -> tuple[list[float], int, Dataset, str]:
    """The test error or the bits of each seed, the width of the code, the data, and the unit of the first.

    UserError for a run without an encoder, and for a likelihood that is not Gaussian.
    """
    found = []
    for home in seed_folders(run):
        experiment, info, functions, weights = open_run(home, trust=False)
        model, task = experiment.model.build(), experiment.task
        unit = BITS if isinstance(task, Variational) else ""
        if info.kind != "reconstruction" or not hasattr(model, "encode"):
            raise UserError(f"{home} is no run of an autoencoder")
        if unit and task.likelihood != "gaussian":
            raise UserError(f"{home} has a likelihood of pixels that are 0 or 1, and PCA has none of those")
        dataset = load_arrays(experiment, home, data_dir)
        if unit:
            metrics, _ = evaluate_split(functions, task, weights, dataset, "test", 256)
            found.append(metrics["bits_per_dimension"])
        else:
            found.append(float(errors_of_split(functions, weights, dataset, "test", 256).mean(dtype=np.float64)))
    return found, code_width(model, info, weights), dataset, unit


if __name__ == "__main__":
    raise SystemExit(main())
