#!/usr/bin/env python3
"""How well a class that a network has never seen is told by its anomaly score: each class is left out once.

    scripts/leave_one_out.py CONFIG [--json FILE] [--train.epochs 5 ... any flag of `purezoo train CONFIG`]

A network that restores its input is trained on the other classes' training examples. Then the test examples of all
classes get its anomaly score (squared error; of a variational autoencoder the negative ELBO): the area under the ROC
curve is the probability that an example of the class left out has a higher one than an example of the others. Beside it
stands the area of the squared error of principal component analysis with as many components as the code has numbers.

What --json holds already is not trained again.
"""

import json
import math
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score

from purezoo.errors import Interrupted, UserError
from purezoo.train import config
from purezoo.train.data import Dataset
from purezoo.train.data import load as load_data
from purezoo.train.encode import classes_of, has_classes, open_encoder
from purezoo.train.evaluation import compute_rows
from purezoo.train.flags import parse_experiment, words
from purezoo.train.folder import write_json
from purezoo.train.principal import code_width, principal
from purezoo.train.run import Options, train
from purezoo.train.serve import open_run, seed_folders


@dataclass(frozen=True)
class Flags:
    """Leave each class out of training once, and measure how well its anomaly score tells it."""

    json: str = ""
    """file of the results, which are added to those that it holds"""


def main() -> int:
    args = sys.argv[1:]
    place = next(iter(words(args, Flags)), None)
    if place is None:
        print(__doc__.strip())
        return 0 if {"-h", "--help"} & set(args) else 2
    try:
        experiment, code = config.load_config(args[place])
        flags, experiment = parse_experiment(Flags, experiment, args, place, "scripts/leave_one_out.py")
        return measure(experiment, code, Path(flags.json) if flags.json else None)
    except UserError as error:
        print(f"leave_one_out.py: {error}", file=sys.stderr)
        return 2
    except Interrupted as stop:
        return stop.code


def measure(experiment: config.Experiment, code: bytes | None, path: Path | None) -> int:
    """Prints a line for each class and the means. UserError for what has no classes or no anomaly score, and for a file
    of other settings."""
    experiment = replace(experiment, data=experiment.data.absolute())
    everything = load_data(experiment.data, experiment.task.kind)
    classes = everything.info.classes
    if everything.stream is not None:
        raise UserError(f"{experiment.data.source} is streamed, and this needs data in memory: --data.stream no")
    if not has_classes(everything) or len(classes) < 3:
        raise UserError(f"{experiment.data.source} has fewer than 3 classes, one of which could be left out")
    if not hasattr(experiment.task, "errors"):
        raise UserError(f"{type(experiment.task).__name__} restores nothing, so it has no anomaly score")
    if not hasattr(experiment.model.build(), "encode"):
        name = type(experiment.model).__name__
        raise UserError(f"{name} makes no code, whose width is that of the PCA it is compared with")
    if path and not path.parent.is_dir():
        raise UserError(f"--json {path}: there is no folder {path.parent}")
    settings = config.to_json(experiment)
    record: Any = {"settings": settings, "left_out": {}}
    if path and path.exists():
        try:
            record = json.loads(path.read_text())
        except (OSError, ValueError) as error:
            raise UserError(f"{path} holds no results: {error}") from error
    if not isinstance(record, dict) or record.get("settings") != settings:
        raise UserError(f"{path} holds results of other settings: name another file")
    print(f"{'left out':12}{'network':>20}{'PCA':>10}")
    for left in classes:
        if left not in record["left_out"]:
            record["left_out"][left] = without(left, experiment, code, everything)
            if path:
                write_json(path, record)
        found = record["left_out"][left]
        print(f"{left:12}{cell(found['network']):>20}{found['pca']:10.4f}", flush=True)
    network, pca = ([record["left_out"][left][way] for left in classes] for way in ("network", "pca"))
    print(f"{'mean':12}{cell(np.mean(network, 0)):>20}{np.mean(pca):10.4f}")
    return 0


def cell(areas) -> str:
    return f"{np.mean(areas):.4f}" + (f" ± {np.std(areas, ddof=1):.4f}" if len(areas) > 1 else "")


def without(left: str, experiment: config.Experiment, code: bytes | None, everything: Dataset) -> dict[str, Any]:
    """Trains without a class: the area under the ROC curve by each seed's network, and by PCA."""
    kept = tuple(name for name in everything.info.classes if name != left)
    experiment = replace(experiment, data=replace(experiment.data, classes=kept))
    test = everything.splits["test"]
    strange = everything.x[test[classes_of(everything, test) == left]]
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "run"
        train(experiment, folder, code, Options(quiet=True, pictures=False))
        dataset = open_encoder(folder, trust=True).dataset()
        usual, areas = dataset.x[dataset.splits["test"]], []
        for home in seed_folders(folder):
            _, info, functions, weights = open_run(home, trust=True)
            areas.append(area(lambda x, f=functions, w=weights: compute_rows(f.errors, w, x, 256), usual, strange))
    most = min(len(dataset.splits["train"]), math.prod(info.shape))
    components = min(code_width(experiment.model.build(), info, weights), most)
    return {"network": areas, "pca": area(principal(dataset, components), usual, strange)}


def area(score: Callable[[np.ndarray], np.ndarray], usual: np.ndarray, strange: np.ndarray) -> float:
    """Under the ROC curve of a score of raw examples [N, ...]: 1 where it is higher for all strange ones."""
    return float(roc_auc_score([0] * len(usual) + [1] * len(strange), np.concatenate([score(usual), score(strange)])))


if __name__ == "__main__":
    raise SystemExit(main())
