"""The comparison of an autoencoder with principal components, on a run of a few steps."""

import numpy as np
import pytest
from scipy import stats
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA


def test_both_errors_are_in_the_same_units(purezoo, script):
    flags = ("--train.epochs", 2, "--no-pictures", "--quiet", "--model.latent", 5, "--out", "run")
    assert purezoo("train", "denoising_digits", *flags)[0] == 0
    shown = dict(line.split() for line in purezoo("eval", "run")[1].splitlines()[1:])
    code, said, _ = script("run")
    assert code == 0
    lines = said.splitlines()
    own, pca = (float(line.split(": ")[1]) for line in lines[:2])
    assert own == pytest.approx(float(shown["mse"]), abs=2e-6)
    x = load_digits().images.reshape(-1, 64) / 16
    splits = np.load("run/splits.npz")
    fitted = PCA(5).fit(x[splits["train"]])
    test = x[splits["test"]]
    assert pca == pytest.approx(np.mean((fitted.inverse_transform(fitted.transform(test)) - test) ** 2), abs=2e-6)
    assert lines[2] == f"PCA's error is {pca / own:.2f} times the autoencoder's"


def test_bits_stand_beside_those_of_a_normal_distribution(purezoo, script):
    """Data of a normal distribution with two factors, of which probabilistic PCA gives the likelihood."""
    random, factors, noise = np.random.default_rng(0), 2, 0.3
    x = random.normal(size=(400, factors)) @ random.normal(size=(factors, 6)) + noise * random.normal(size=(400, 6))
    np.savez("normal.npz", x=x)
    flags = (
        "--data.source",
        "normal.npz",
        "--task.likelihood",
        "gaussian",
        "--task.deviation",
        0.5,
        "--task.warmup",
        0,
    )
    small = ("--model.widths", 16, "--model.latent", factors, "--train.epochs", 2, "--train.batch-size", 20)
    assert purezoo("train", "vae_mnist", *flags, *small, "--no-pictures", "--quiet", "--out", "run")[0] == 0
    shown = dict(line.split() for line in purezoo("eval", "run")[1].splitlines()[1:])
    code, said, _ = script("run")
    assert code == 0
    lines = said.splitlines()
    own, pca = (float(line.split(": ")[1].split(" bits")[0]) for line in lines)
    assert own == pytest.approx(float(shown["bits_per_dimension"]), abs=2e-6)
    splits = np.load("run/splits.npz")
    x = (x - x[splits["train"]].mean(0)) / x[splits["train"]].std(0)
    covariance = np.cov(x[splits["train"]].T)
    values, vectors = np.linalg.eigh(covariance)
    values[: 6 - factors] = values[: 6 - factors].mean()
    density = stats.multivariate_normal(x[splits["train"]].mean(0), vectors * values @ vectors.T)
    assert pca == pytest.approx(-density.logpdf(x[splits["test"]]).mean() / 6 / np.log(2), abs=1e-4)
    assert pca < own


def test_what_is_no_autoencoder_is_refused(purezoo, script):
    assert purezoo("train", "mlp_digits", "--train.epochs", 1, "--no-pictures", "--quiet", "--out", "mlp")[0] == 0
    code, _, errors = script("mlp")
    assert code == 2
    assert "mlp is no run of an autoencoder" in errors
    digits = ("--data.source", "digits", "--model.widths", 8, "--model.latent", 2, "--train.epochs", 1)
    assert purezoo("train", "vae_mnist", *digits, "--no-pictures", "--quiet", "--out", "vae")[0] == 0
    code, _, errors = script("vae")
    assert code == 2
    assert "vae has a likelihood of pixels that are 0 or 1" in errors
