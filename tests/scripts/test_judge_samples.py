"""The judgement of a flow's samples: features, distance, and the whole on runs of a few steps."""

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.linalg import sqrtm

PATH = Path(__file__).parents[2] / "scripts" / "judge_samples.py"
SPEC = importlib.util.spec_from_file_location("judge_samples", PATH)
MODULE = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(MODULE)
SMALL = ("--model.width", 8, "--model.depth", 0, "--model.heads", 0, "--train.eval-every", 0)


@pytest.fixture
def script(monkeypatch):
    def call(*args):
        monkeypatch.setattr(sys, "argv", ["judge_samples.py", *map(str, args)])
        return MODULE.main()

    return call


def test_distance_against_the_matrix_square_root():
    random = np.random.default_rng(0)
    one, other = random.normal(size=(50, 3)), random.normal(size=(60, 3)) @ random.normal(size=(3, 3)) + 1
    (m1, c1), (m2, c2) = MODULE.moments(one), MODULE.moments(other)
    exact = np.square(m1 - m2).sum() + np.trace(c1 + c2 - 2 * sqrtm(c1 @ c2).real)
    assert MODULE.frechet((m1, c1), (m2, c2)) == pytest.approx(exact, rel=1e-6)
    assert MODULE.frechet((m1, c1), (m1, c1)) == pytest.approx(0, abs=1e-9)


def test_samples_are_judged_beside_real_images(purezoo, script, capsys):
    quick = ("--train.epochs", 1, "--no-pictures", "--quiet")
    assert purezoo("train", "flow_digits", *quick, *SMALL, "--out", "flow")[0] == 0
    assert purezoo("train", "lenet_digits", *quick, "--out", "lenet")[0] == 0
    validated = json.loads(Path("lenet/summary.json").read_text())["metrics"]["validation"]["accuracy"]
    assert script("flow", "lenet", "--count", 60, "--steps", 2, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["steps"], found["real"]) == (2, "validation")
    assert (found["samples"]["images"], found["validation"]["images"]) == (60, 144)
    assert found["validation"]["accuracy"] == pytest.approx(
        validated
    )  # so the features times the kernel are the logits
    assert found["samples"]["frechet"] > found["validation"]["frechet"] > 0
    assert script("flow", "lenet", "--count", 60, "--steps", 2) == 0
    line = capsys.readouterr().out.splitlines()[0]
    assert line.startswith("samples        60: accuracy ")
    for args, message in (
        (("flow", "lenet", "--count", 61), "--count is a multiple of 10"),
        (("lenet", "lenet"), "is no run of a flow"),
        (("flow", "flow"), "does not tell the classes of the images"),
    ):
        with pytest.raises(SystemExit) as stop:
            script(*args)
        assert stop.value.code == 2
        assert message in capsys.readouterr().err
