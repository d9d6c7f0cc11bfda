"""The judgement of a flow's samples: features, distance, and the whole on runs of a few steps."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.linalg import sqrtm


def test_distance_against_the_matrix_square_root(module):
    random = np.random.default_rng(0)
    one, other = random.normal(size=(50, 3)), random.normal(size=(60, 3)) @ random.normal(size=(3, 3)) + 1
    (m1, c1), (m2, c2) = module.moments(one), module.moments(other)
    exact = np.square(m1 - m2).sum() + np.trace(c1 + c2 - 2 * sqrtm(c1 @ c2).real)
    assert module.frechet((m1, c1), (m2, c2)) == pytest.approx(exact, rel=1e-6)
    assert module.frechet((m1, c1), (m1, c1)) == pytest.approx(0, abs=1e-9)


def test_samples_are_judged_beside_real_images(purezoo, script):
    quick = ("--train.epochs", 1, "--no-pictures", "--quiet")
    small = ("--model.width", 8, "--model.depth", 0, "--model.heads", 0, "--train.eval-every", 0)
    assert purezoo("train", "flow_digits", *quick, *small, "--out", "flow")[0] == 0
    assert purezoo("train", "lenet_digits", *quick, "--out", "lenet")[0] == 0
    validated = json.loads(Path("lenet/summary.json").read_text())["metrics"]["validation"]["accuracy"]
    code, said, _ = script("flow", "lenet", "--count", 60, "--steps", 2, "--json")
    assert code == 0
    found = json.loads(said)
    assert (found["steps"], found["real"]) == (2, "validation")
    assert (found["samples"]["images"], found["validation"]["images"]) == (60, 144)
    # so the features times the kernel are the logits
    assert found["validation"]["accuracy"] == pytest.approx(validated)
    assert found["samples"]["frechet"] > found["validation"]["frechet"] > 0
    code, said, _ = script("flow", "lenet", "--count", 60, "--steps", 2)
    assert code == 0
    assert said.startswith("samples        60: accuracy ")
    for args, message in (
        (("flow", "lenet", "--count", 61), "--count is a multiple of 10"),
        (("lenet", "lenet"), "is no run of a flow"),
        (("flow", "flow"), "does not tell the classes of the images"),
    ):
        code, _, errors = script(*args)
        assert code == 2
        assert message in errors
