#!/usr/bin/env python3
"""An autoencoder against principal component analysis with as many components, fitted on the same training split.

    scripts/against_pca.py RUN [--data-dir FOLDER]

Prints the mean squared error of the restored test examples by both, in the pixels' own units, in which white is 1 (of
tables in standard deviations), and how many times the autoencoder's is the smaller one.
"""

import argparse
import dataclasses
from pathlib import Path

import numpy as np

from purezoo.errors import UserError
from purezoo.train.data import Dataset
from purezoo.train.evaluation import errors_of_split
from purezoo.train.folder import load_data
from purezoo.train.principal import code_width, principal
from purezoo.train.serve import open_run, seed_folders


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, metavar="RUN")
    parser.add_argument("--data-dir", default="", help="folder of the data's files, where it has moved since the run")
    args = parser.parse_args()
    try:
        errors, width, dataset = measured(args.run, args.data_dir)
        pca = principal(dataset, width)(dataset.x[dataset.splits["test"]]).mean(dtype=np.float64)
    except UserError as error:
        parser.error(str(error))
    spread = f" ± {np.std(errors, ddof=1):.6f} ({len(errors)} seeds)" if len(errors) > 1 else ""
    print(f"autoencoder, code of {width:4}: {np.mean(errors):.6f}{spread}")
    print(f"PCA, components {width:8}: {pca:.6f}")
    print(f"PCA's error is {pca / np.mean(errors):.2f} times the autoencoder's")
    return 0


def measured(run: Path, data_dir: str) -> tuple[list[float], int, Dataset]:
    """The test error of each seed, the width of the code, and the data. UserError for a run without an encoder."""
    errors = []
    for home in seed_folders(run):
        experiment, info, functions, weights = open_run(home, trust=False)
        model = experiment.model.build()
        if info.kind != "reconstruction" or not hasattr(model, "encode"):
            raise UserError(f"{home} is no run of an autoencoder")
        data = experiment.data.moved_to(data_dir) if data_dir else experiment.data
        dataset = load_data(dataclasses.replace(experiment, data=data), home)
        errors.append(float(errors_of_split(functions, weights, dataset, "test", 256).mean(dtype=np.float64)))
    return errors, code_width(model, info, weights), dataset


if __name__ == "__main__":
    raise SystemExit(main())
