"""The script that leaves a class out and asks whether its anomaly score tells it."""

import json
from pathlib import Path

import numpy as np
import pytest


def test_area_is_the_probability_of_a_higher_score(module):
    usual, strange = np.array([0.0, 1.0, 2.0]), np.array([1.5, 5.0])
    assert module.area(lambda x: x, usual, strange) == pytest.approx(5 / 6)
    assert module.area(lambda x: -x, usual, strange) == pytest.approx(1 / 6)


@pytest.fixture
def planted(tmp_path, monkeypatch):
    """Classes a and b lie in one plane, c beside it: no network and no components that know the plane restore it."""
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    plane, away = random.normal(size=(2, 8)), 6 * random.normal(size=8)
    x = random.normal(size=(240, 2)) @ plane + random.normal(0, 0.05, (240, 8))
    x[160:] += away
    rows = [",".join([*(f"{v:.4f}" for v in row), "abc"[i // 80]]) for i, row in enumerate(x)]
    Path("planted.csv").write_text("\n".join(["d0,d1,d2,d3,d4,d5,d6,d7,class", *rows]) + "\n")
    table = ("--data.source", "planted.csv", "--data.target", "class", "--task.noise", 0)
    return (*table, "--model.widths", 16, "--model.latent", 2, "--train.batch-size", 16, "--train.epochs", 5)


def test_a_strange_class_is_told_and_a_file_is_gone_on_with(script, module, planted, monkeypatch):
    flags = ("denoising_digits", *planted, "--json", "found.json")
    code, said, errors = script(*flags)
    assert (code, errors) == (0, "")
    found = json.loads(Path("found.json").read_text())["left_out"]
    assert list(found) == ["a", "b", "c"]
    assert min(found["c"]["network"][0], found["c"]["pca"]) > 0.99
    assert found["a"]["pca"] < 0.8
    lines = [line.split() for line in said.splitlines()]
    assert [line[0] for line in lines] == ["left", "a", "b", "c", "mean"]
    assert float(lines[-1][2]) == pytest.approx(np.mean([one["pca"] for one in found.values()]), abs=1e-4)

    monkeypatch.setattr(module, "without", None)
    assert script(*flags) == (0, said, "")
    code, _, errors = script(*flags, "--train.seed", 3)
    assert (code, errors) == (2, "leave_one_out.py: found.json holds results of other settings: name another file\n")


def test_what_has_no_classes_or_no_score_is_refused(script, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savez("bare.npz", x=np.random.default_rng(0).normal(size=(40, 5)))
    Path("torn.json").write_text('{"settings"')
    for args, message in (
        (("denoising_digits", "--data.source", "bare.npz"), "has fewer than 3 classes"),
        (("denoising_digits", "--data.classes", "3", "5"), "has fewer than 3 classes"),
        (("mlp_digits",), "Classification restores nothing"),
        (("flow_digits",), "FlowUNet makes no code"),
        (("denoising_digits", "--json", "nowhere/found.json"), "there is no folder nowhere"),
        (("denoising_digits", "--json", "torn.json"), "torn.json holds no results"),
        (("denoising_digit",), "Did you mean 'denoising_digits'?"),
    ):
        code, _, errors = script(*args)
        assert (code, errors.count("\n")) == (2, 1), args
        assert message in errors
