#!/usr/bin/env python3
"""How good are the images that a flow draws? A classifier of the zoo, trained on real ones, judges them.

    scripts/judge_samples.py RUN CLASSIFIER_RUN [--count 10000] [--seed 0] [--steps 50] [--guidance 1] [--sampler heun]

Draws as many images of each class, and prints the share that the classifier takes for the class they were drawn as,
and the Fréchet distance (Heusel et al. 2017, arXiv:1706.08500) between them and the test split, by what the last dense
layer of this classifier is given: |m1 - m2|^2 + trace(C1 + C2 - 2 (C1 C2)^(1/2)), of means m and covariances C. Beside
both stand those of real images, the validation split, or the training split where there is none. The distance falls as
the images become more: compare those of as many.
"""

import argparse
import json
import typing
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from purezoo.errors import UserError
from purezoo.models.flows import Sampler
from purezoo.train.data import Info
from purezoo.train.evaluation import compute_rows, examples
from purezoo.train.flow import FlowMatching
from purezoo.train.flow_samples import TOGETHER, Drawing, drawer
from purezoo.train.folder import load_data
from purezoo.train.serve import open_run, seed_folders


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, metavar="RUN")
    parser.add_argument("classifier", type=Path, metavar="CLASSIFIER_RUN")
    parser.add_argument("--count", type=int, default=10_000, help="images to draw, a multiple of the classes")
    parser.add_argument("--seed", type=int, default=0, help="of the draws")
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--guidance", type=float, default=1.0)
    parser.add_argument("--sampler", choices=typing.get_args(Sampler), default="heun")
    parser.add_argument("--data-dir", default="", help="folder of the data's files, where it has moved since the run")
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    args = parser.parse_args()
    try:
        drawing = Drawing((), args.steps, args.guidance, args.sampler)
        found = judged(args.run, args.classifier, drawing, args.count, args.seed, args.data_dir)
    except UserError as error:
        parser.exit(2, f"{parser.prog}: {error}\n")
    if args.json:
        print(json.dumps(vars(args) | found, default=str))
        return 0
    for name in ("samples", found["real"]):
        what = found[name]
        print(
            f"{name:<10} {what['images']:6,}: accuracy {what['accuracy']:.4f}  Fréchet distance {what['frechet']:.4f}"
        )
    return 0


def judged(run: Path, classifier: Path, drawing: Drawing, count: int, seed: int, data_dir: str) -> dict:
    """{"samples": ..., "validation": ..., "real": "validation"}, of each the images, accuracy and distance to the test.

    Of several seeds of training the first one's weights are used. Raises UserError for runs that do not go together.
    """
    experiment, info, _, weights = open_run(seed_folders(run)[0], trust=False)
    if not isinstance(experiment.task, FlowMatching):
        raise UserError(f"{run} is no run of a flow")
    home = seed_folders(classifier)[0]
    judge, own, functions, judge_weights = open_run(home, trust=False, views="one")
    if own.kind != "classification" or (own.shape, own.classes) != (info.shape, info.classes):
        raise UserError(f"{classifier} does not tell the classes of the images that {run} draws")
    told = drawing.labels(experiment, info, 1).min() >= 0
    if count < 2 or count % len(info.classes) or not told:
        raise UserError(f"--count is a multiple of {len(info.classes)}, all classes that are drawn, not {count}")
    labels, dataset = drawing.labels(experiment, info, count), load_data(judge, home, data_dir)
    features = feature_function(functions.predict, judge_weights, own)
    reference = moments(features(examples(dataset, dataset.splits["test"])[0])[0])

    def of(x: np.ndarray, y: np.ndarray) -> dict:
        found, logits = features(x)
        accuracy = float(np.mean(logits.argmax(1) == y))
        return {"images": len(x), "accuracy": accuracy, "frechet": frechet(moments(found), reference)}

    real = "validation" if "validation" in dataset.splits else "train"
    made = drawer(experiment, info, weights, drawing)(labels, seed) * (own.pixel_max / info.pixel_max)
    return {"samples": of(made, labels), real: of(*examples(dataset, dataset.splits[real])), "real": real}


def feature_function(predict: Callable, weights: dict, info: Info) -> Callable:
    """(raw x [N, ...]) -> what the last dense layer is given [N, D], and the logits [N, classes].

    The identity in place of its kernel makes the network give what it is given. UserError where there is no such layer.
    """
    outputs = len(info.classes)
    found = [
        path[:-1]
        for path, leaf in jax.tree.leaves_with_path(weights["params"])
        if path[-1].key == "kernel" and leaf.ndim == 2 and leaf.shape[1] == outputs
    ]
    if len(found) != 1:
        raise UserError(f"the classifier has {len(found)} dense layers with {outputs} outputs, and must have one")
    place = [part.key for part in found[0]]
    params = jax.tree.map(lambda leaf: leaf, weights["params"])  # new dicts
    parent = params
    for name in place[:-1]:
        parent = parent[name]
    last = parent[place[-1]]
    width = last["kernel"].shape[0]
    parent[place[-1]] = {"kernel": jnp.eye(width), "bias": jnp.zeros(width)}

    def of(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        features = compute_rows(predict, weights | {"params": params}, x, TOGETHER)
        return features, features @ np.asarray(last["kernel"]) + np.asarray(last.get("bias", 0))

    return of


def moments(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean [D] and covariance [D, D] of features [N, D], in float64."""
    return features.mean(0, dtype=np.float64), np.cov(features.astype(np.float64), rowvar=False)


def frechet(one: tuple[np.ndarray, np.ndarray], other: tuple[np.ndarray, np.ndarray]) -> float:
    """The squared Fréchet distance of two normal distributions, each by mean and covariance."""
    (m1, c1), (m2, c2) = one, other
    values, vectors = np.linalg.eigh(c1)
    root = vectors * np.sqrt(values.clip(0)) @ vectors.T
    cross = np.sqrt(np.linalg.eigvalsh(root @ c2 @ root).clip(0)).sum()
    return float(np.square(m1 - m2).sum() + np.trace(c1) + np.trace(c2) - 2 * cross)


if __name__ == "__main__":
    raise SystemExit(main())
