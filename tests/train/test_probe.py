"""What features are worth, on planted ones and on a small run; maps of codes."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from sklearn.decomposition import PCA

from purezoo.errors import UserError
from purezoo.models import Autoencoder
from purezoo.train.config import Experiment
from purezoo.train.data import Dataset
from purezoo.train.encode import Encoder, classes_of, open_encoder
from purezoo.train.finetune import tuner
from purezoo.train.maps import coordinates
from purezoo.train.probe import as_table, draws, features, linear, numbers_of_labels, scaled

from .conftest import QUICK

random = np.random.default_rng(0)
Y = {split: np.arange(n) % 3 for split, n in (("train", 300), ("validation", 90), ("test", 150))}


def planted(columns=lambda one_hot, noise: np.concatenate([one_hot, noise], 1)):
    """Features of three classes, by split."""
    return {split: columns(np.eye(3)[y], random.normal(0, 0.1, (len(y), 4))) for split, y in Y.items()}


def test_perfect_features_need_three_labels_and_noise_is_worth_nothing():
    rows = np.arange(3)
    assert linear(planted(), Y)(rows, 0).accuracy == 1
    noise = linear(planted(lambda one_hot, noise: noise), Y)(np.arange(300), 0)
    assert noise.accuracy == pytest.approx(1 / 3, abs=0.12)


def test_the_scale_of_features_does_not_count():
    x = planted(lambda one_hot, noise: one_hot + noise[:, :3] * 8)
    large = {split: 1000 * values + 5 for split, values in x.items()}
    for split in x:
        np.testing.assert_allclose(scaled(large)[split], scaled(x)[split], rtol=1e-6, atol=1e-9)
    assert scaled(x)["train"].var(0).mean() == pytest.approx(1)
    constant = {"train": np.ones((5, 2))}
    assert (scaled(constant)["train"] == 0).all()


def test_draws_hold_every_class_and_are_those_of_their_seed():
    y = np.repeat(np.arange(4), [2, 100, 300, 598])
    found = list(draws(y, 10, 3))
    assert all(len(rows) == len(set(rows)) == 10 for rows in found)
    assert all(set(y[rows]) == {0, 1, 2, 3} for rows in found)
    assert not np.array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[2], list(draws(y, 10, 5))[2])
    np.testing.assert_array_equal(next(draws(y, 1000, 1)), np.arange(1000))


def test_numbers_of_labels():
    y = np.arange(400) % 20
    assert numbers_of_labels((), y) == [100, 400]
    assert numbers_of_labels(("all", "30"), y) == [30, 400]
    for wrong in ("19", "401", "some", "-1"):
        with pytest.raises(UserError, match=f"--labels {wrong}: give numbers from 20, one for each class, to 400"):
            numbers_of_labels((wrong,), y)


def test_components_are_scikit_learns_and_codes_the_encoders(denoising_run):
    encoder = open_encoder(denoising_run, trust=False)
    dataset = encoder.dataset()
    found = features(encoder, dataset)
    raw = {split: (dataset.x[rows] / 16).reshape(-1, 64) for split, rows in dataset.splits.items()}
    expected = PCA(6, random_state=0).fit(raw["train"]).transform(raw["test"])
    similar = [abs(np.corrcoef(a, b)[0, 1]) for a, b in zip(found["PCA"]["test"].T, expected.T, strict=True)]
    assert min(similar) > 0.999
    code = encoder.codes(dataset.x[dataset.splits["test"]])
    assert np.corrcoef(found["codes"]["test"][:, 3], code[:, 3])[0, 1] == pytest.approx(1)
    assert {name: x["train"].shape for name, x in found.items()} == {
        "pixels": (1293, 64), "PCA": (1293, 6), "codes": (1293, 6)
    }  # fmt: skip


def test_table_files_and_seeds(purezoo, denoising_run, tmp_path):
    few = ("--labels", 20, "all", "--seeds", 3)
    for out in ("a", "b"):
        (tmp_path / out).mkdir()
        code, said, errors = purezoo("probe", denoising_run, *few, "--out", out)
        assert (code, errors) == (0, "")
    assert Path("a/probe.json").read_text() == Path("b/probe.json").read_text()
    assert Path("a/probe.png").stat().st_size > 5000
    saved = json.loads(Path("a/probe.json").read_text())
    assert (saved["train"], saved["test"], saved["classes"][3]) == (1293, 360, "3")
    by = {(record["features"], record["labels"]): record["accuracy"] for record in saved["results"]}
    assert [len(by[name, 20]) for name in ("pixels", "PCA", "codes")] == [3, 3, 3]
    assert len(by["pixels", 1293]) == 1
    assert by["pixels", 1293][0] > 0.93
    assert by["codes", 1293][0] > np.mean(by["codes", 20]) > 0.3
    lines = said.splitlines()
    assert lines[0] == "test accuracy by so many labels, mean ± standard deviation of 3 draws"
    assert lines[1].split() == ["20", "1,293"]
    assert [line.split()[0] for line in lines[2:5]] == ["pixels", "PCA", "codes"]
    mean, spread = 100 * np.mean(by["codes", 20]), 100 * np.std(by["codes", 20], ddof=1)
    assert f"{mean:.2f} ± {spread:.2f} %" in lines[4]

    code, out, errors = purezoo("probe", denoising_run, *few, "--out", "a")
    assert (code, out, errors.count("\n")) == (2, "", 1)
    assert "--out a/probe.json is there already, and is not replaced" in errors


def test_a_table_of_one_draw():
    record = {"features": "codes", "width": 3, "labels": 50, "accuracy": [0.5], "chosen": [1.0]}
    assert as_table([record], 1).splitlines()[-1].split() == ["codes", "(3)", "50.00", "%"]


class Linear(NamedTuple):
    init: Callable
    encode: Callable


def test_fine_tuning_goes_on_from_what_is_learned(info):
    """An encoder that has learned the answer already, and begins knowing nothing that its gradient could mend."""
    x = np.concatenate([*planted().values()]).astype(np.float32)
    y = np.concatenate([*Y.values()])
    rows = {"train": np.arange(300), "validation": np.arange(300, 390), "test": np.arange(390, 540)}
    dataset = Dataset(x, y, rows, info("classification", (7,), 3), set())
    blind = Linear(lambda key, spec: ({"w": jnp.zeros((7, 3))}, {}), lambda params, state, x: x @ params["w"])
    weights = {"params": {"w": jnp.eye(7, 3)}, "state": {}}
    encoder = Encoder(Path("run"), Experiment(Autoencoder()), dataset.info, blind, weights)
    tuned = tuner(encoder, dataset, True)(np.arange(3), 0)
    assert (tuned.accuracy, tuned.chosen in (1e-4, 1e-3)) == (1.0, True)
    assert tuner(encoder, dataset, False)(np.arange(300), 0).accuracy == pytest.approx(1 / 3)
    np.testing.assert_array_equal(weights["params"]["w"], np.eye(7, 3))


def test_fine_tuning_in_the_table(purezoo, denoising_run, monkeypatch, tmp_path):
    monkeypatch.setattr("purezoo.train.finetune.STEPS", 40)
    few = ("--labels", 100, "--seeds", 2)
    said = purezoo("probe", denoising_run, *few, "--fine-tune", "--out", tmp_path)[1]
    assert [line.rsplit("(", 1)[0].strip() for line in said.splitlines()[2:7]] == [
        "pixels", "PCA", "codes", "fine-tuned", "from scratch"
    ]  # fmt: skip
    tuned = json.loads((tmp_path / "probe.json").read_text())["results"][3]
    assert len(set(tuned["accuracy"])) == 2
    assert min(tuned["accuracy"]) > 0.3


def test_what_cannot_be_probed_is_refused(purezoo, denoising_run, digits_run, tmp_path):
    few = ("--model.widths", 8, "--model.latent", 2, "--train.epochs", 1, "--train.batch-size", 4, *QUICK)
    np.savez("bare.npz", x=random.normal(size=(40, 5)))
    for name, flags in (("bare", ("--data.source", "bare.npz")), ("whole", ("--data.validation", 0))):
        assert purezoo("train", "denoising_digits", *flags, *few, "--out", name)[0] == 0
    for args, message in (
        ((digits_run,), "has no encoder: MLP makes no code"),
        (("bare",), "whose examples have no classes to tell apart"),
        (("whole",), "has no validation split"),
        ((denoising_run, "--labels", 9), "--labels 9: give numbers from 10"),
        ((denoising_run, "--seeds", 0), "--seeds is at least 1"),
        ((denoising_run, "--out", "none"), "in a folder that exists"),
        ((), "probe which run?"),
    ):
        code, out, errors = purezoo("probe", *args)
        assert (code, out, errors.count("\n")) == (2, "", 1), args
        assert message in errors
    assert not (denoising_run / "probe.json").exists()


def test_codes_of_the_test_split_and_their_map(purezoo, denoising_run):
    assert purezoo("encode", denoising_run, "--out", "codes.npz", "--map", "map.png", "--by", "pca")[:2] == (
        0, "codes.npz: codes [360, 6], names and labels\nmap.png: a map of codes [360, 6]\n"
    )  # fmt: skip
    encoder = open_encoder(denoising_run, trust=False)
    dataset = encoder.dataset()
    rows = dataset.splits["test"]
    with np.load("codes.npz") as file:
        np.testing.assert_allclose(file["codes"], encoder.codes(dataset.x[rows]), rtol=1e-5)
        assert file["labels"].tolist() == classes_of(dataset, rows).tolist()
        assert file["labels"][7] == str(dataset.y[rows[7]])
        assert file["names"][7] == "test[7]"
    assert Image.open("map.png").size[0] == 840
    for args, message in (
        (("--map", "map.png"), "--map map.png is there already"),
        ((), "encode what, and where to?"),
        ((denoising_run / "model.safetensors", "--map", "new.png"), "model.safetensors"),
    ):
        code, out, errors = purezoo("encode", denoising_run, *args)
        assert (code, out, errors.count("\n")) == (2, "", 1), args
        assert message in errors


@pytest.mark.parametrize("by", ["tsne", "pca"])
def test_a_map_keeps_groups_together_and_is_the_same_each_time(by):
    codes = np.concatenate([random.normal(10 * i, 1, (20, 6)) for i in range(3)]).astype(np.float32)
    found = coordinates(codes, by)
    np.testing.assert_array_equal(found, coordinates(codes, by))
    distances = np.linalg.norm(found[:, None] - found[None], axis=-1) + np.diag(np.full(60, np.inf))
    np.testing.assert_array_equal(distances.argmin(1) // 20, np.arange(60) // 20)
    with pytest.raises(UserError, match="at least 3 codes of at least 2 numbers, and there are 60 of 1"):
        coordinates(codes[:, :1], by)
