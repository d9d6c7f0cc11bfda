"""Small runs that several tests read: trained once, never changed."""

import numpy as np
import pytest

from purezoo.train.cli import run
from purezoo.train.data import Info

QUICK = ("--no-pictures", "--quiet")
TINY_VAE = ("--model.widths", "32", "--model.latent", "12", "--task.warmup", "0", "--optimizer.ema", "0.9")
VAE = ("vae_mnist", "--data.source", "digits", *TINY_VAE)


def train(folder, *args):
    assert run(["train", *args, "--out", str(folder), *QUICK]) == 0
    return folder


@pytest.fixture(scope="session")
def digits_run(tmp_path_factory):
    """A small MLP on the digits."""
    return train(
        tmp_path_factory.mktemp("runs") / "digits", "mlp_digits", "--model.widths", "16", "--train.epochs", "3"
    )


@pytest.fixture(scope="session")
def seeds_run(tmp_path_factory):
    """Two seeds of an MLP on the wine data, in one program."""
    several = ("--train.seeds", "2", "--train.together", "yes")
    return train(tmp_path_factory.mktemp("runs") / "wine", "mlp_wine", "--train.epochs", "3", *several)


@pytest.fixture(scope="session")
def diabetes_run(tmp_path_factory):
    """Linear regression on the diabetes data."""
    short = ("--train.epochs", "20", "--train.eval-every", "10")
    return train(tmp_path_factory.mktemp("runs") / "diabetes", "linear_diabetes", *short)


@pytest.fixture(scope="session")
def denoising_run(tmp_path_factory):
    """A small autoencoder on noisy digits, in two seeds."""
    flags = ("--model.widths", "32", "--model.latent", "6", "--train.epochs", "20", "--train.seeds", "2")
    return train(tmp_path_factory.mktemp("runs") / "denoising", "denoising_digits", *flags)


@pytest.fixture(scope="session")
def vae_run(tmp_path_factory):
    """A small VAE on the digits."""
    return train(tmp_path_factory.mktemp("runs") / "vae", *VAE, "--train.epochs", "20")


@pytest.fixture
def info():
    """The record of made-up data: `info("classification", (4,), 3)`."""

    def make(kind: str, shape: tuple[int, ...], outputs: int, y_mean=0.0, y_std=1.0) -> Info:
        classes = tuple("abcdefghij"[:outputs]) if kind != "regression" else ()
        targets = tuple(f"t{i}" for i in range(outputs)) if kind == "regression" else ()
        numbers = [tuple(np.broadcast_to(value, len(targets)).tolist()) for value in (y_mean, y_std)]
        zeros, ones = (0.0,) * shape[-1], (1.0,) * shape[-1]
        return Info(
            "made up", kind, shape, classes, (), targets, zeros, ones, *numbers, 0.0, "", {"train": 8, "test": 8}
        )

    return make
