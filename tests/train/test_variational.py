"""Bounds of the likelihood: against exact values where they are known, whatever the batch; and a run of a VAE."""

import json
from dataclasses import dataclass, replace
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from scipy import stats

from purezoo.errors import UserError
from purezoo.models.vae import Posterior, VAEOutput
from purezoo.train.config import Experiment
from purezoo.train.data import Dataset
from purezoo.train.evaluation import add_up, masked_batches, of_seed
from purezoo.train.likelihood import importance_weighted
from purezoo.train.variational import Variational

from .conftest import VAE, train

N, SHAPE, LATENT = 40, (2, 2, 1), 2
random = np.random.default_rng(0)
GREY = random.uniform(0, 255, (N, *SHAPE)).astype(np.float32)
MEAN, STD = 100.0, 60.0
FACTORS = jnp.asarray(random.normal(size=(LATENT, 4)), jnp.float32)


class Functions(NamedTuple):
    init: object
    apply: object
    encode: object
    decode: object


def encode(params, state, x):
    """Some posterior: what it is, a bound must hold."""
    flat = x.reshape(len(x), -1)
    return Posterior(0.3 * flat[:, :LATENT], jnp.full((len(x), LATENT), -0.5))


def decode(params, state, code):
    return (code @ FACTORS).reshape(-1, *SHAPE)


def apply(params, state, x, *, key=None, train=False):
    posterior = encode(params, state, x)
    keys = key if key.ndim else jax.random.split(key, len(x))
    noise = jax.vmap(lambda key: jax.random.normal(key, (LATENT,)))(keys)
    code = posterior.mean + jnp.exp(posterior.log_variance / 2) * noise
    return VAEOutput(decode(params, state, code), *posterior), state


@dataclass(frozen=True)
class Linear:
    """A linear model of normal variables, whose likelihood is known."""

    def build(self):
        return Functions(None, apply, encode, decode)


@pytest.fixture
def record(info):
    return replace(info("reconstruction", SHAPE, 0), x_mean=(MEAN,), x_std=(STD,), pixel_max=255.0)


def standardised(x):
    return jnp.asarray((x - MEAN) / STD)


def metrics_of(task, record, size, rows=N):
    loss = jax.jit(lambda batch: task.loss(record)(apply, {}, {}, batch, train=False)[1][1])
    x = standardised(GREY)

    def batch(rows, weight):
        return loss({"x": x[rows], "row": rows, "weight": weight})

    return task.summarize(of_seed(add_up(batch(*one) for one in masked_batches(np.arange(rows), size)), 0))


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
def test_metrics_do_not_depend_on_the_batch_and_add_up(record, likelihood):
    task = Variational(likelihood, beta=0.5)
    found = metrics_of(task, record, 7)
    assert found == pytest.approx(metrics_of(task, record, N), rel=1e-4)
    assert found["elbo"] == pytest.approx(-found["reconstruction"] - found["kl"], rel=1e-5)
    assert found["loss"] == pytest.approx(found["reconstruction"] + 0.5 * found["kl"], rel=1e-5)
    assert found["bits_per_dimension"] == pytest.approx(-found["elbo"] / (4 * np.log(2)), rel=1e-5)
    assert found["active_units"] == LATENT


def test_divergence_and_likelihoods_by_hand(record):
    """KL of normal distributions and densities against SciPy."""
    parts = Variational().parts(record)
    logits, pixels = random.normal(size=(3, *SHAPE)), random.integers(0, 2, (3, *SHAPE))
    expected = stats.bernoulli.logpmf(pixels, 1 / (1 + np.exp(-logits))).sum((1, 2, 3))
    np.testing.assert_allclose(parts.log_likelihood(jnp.asarray(logits), jnp.asarray(pixels)), expected, rtol=1e-5)

    gauss = Variational("gaussian", deviation=0.3).parts(record)
    means, values = random.normal(size=(3, *SHAPE)), random.uniform(size=(3, *SHAPE))
    density = stats.norm.logpdf(values, (means * STD + MEAN) / 255, 0.3).sum((1, 2, 3)) - 4 * np.log(256)
    np.testing.assert_allclose(gauss.log_likelihood(jnp.asarray(means), jnp.asarray(values)), density, rtol=1e-5)


def test_pixels_are_drawn_anew_in_training_and_their_mean_is_the_grey_value(record):
    parts = Variational().parts(record)
    x = standardised(np.repeat(GREY[:1], 20_000, 0))
    seen = np.asarray(parts.observe(jax.random.key(0), x))
    assert set(np.unique(seen)) == {0.0, 1.0}
    np.testing.assert_allclose(seen.mean(0), GREY[0] / 255, atol=0.02)
    assert not np.array_equal(seen, parts.observe(jax.random.key(1), x))


def test_bytes_are_spread_over_their_bins(record):
    parts = Variational("gaussian").parts(record)
    seen = np.asarray(parts.observe(jax.random.key(0), standardised(np.full((9, *SHAPE), 200.0)))) * 256
    assert seen.min() + 1e-3 >= 200
    assert seen.max() - 1e-3 <= 201
    assert seen.std() > 0.2


def test_beta_grows_with_the_steps(record):
    task = Variational(beta=2.0, warmup=10)
    batch = {"x": standardised(GREY), "weight": jnp.ones(N)}

    def loss(step, task=task):
        told = batch | {"step": jnp.full(N, step)}
        return task.loss(record)(apply, {}, {}, told, key=jax.random.key(0), train=True)

    values = {step: float(loss(step)[0]) for step in (0, 5, 10, 1000)}
    totals = loss(0)[1][1]
    kl = float(totals["kl"][0] / totals["kl"][1])
    assert values[0] == pytest.approx(-float(totals["elbo"][0]) / N - kl, rel=1e-4)
    assert values[5] - values[0] == pytest.approx(kl, rel=1e-3)
    assert values[10] - values[0] == pytest.approx(2 * kl, rel=1e-3)
    assert values[1000] == values[10]


def bound(record, samples, likelihood="gaussian", rows=4, white=0.0):
    """The importance-weighted bound of the linear model, of a table of standardised values."""
    info = replace(record, pixel_max=white, x_mean=(0.0,), x_std=(1.0,))
    x = np.asarray(standardised(GREY))
    dataset = Dataset(x, np.zeros(N, np.int32), {"test": np.arange(rows, dtype=np.int32)}, info, set())
    experiment = Experiment(Linear(), task=Variational(likelihood, deviation=0.5))
    return importance_weighted(experiment, {"params": {}, "state": {}}, dataset, "test", samples)


def test_the_importance_weighted_bound_reaches_the_likelihood(record):
    """Of a linear model with normal noise it is known exactly."""
    exact = stats.multivariate_normal(np.zeros(4), np.asarray(FACTORS.T @ FACTORS) + 0.25 * np.eye(4))
    truth = exact.logpdf(np.asarray(standardised(GREY[:4])).reshape(4, -1)).mean()
    found = [bound(record, samples)["importance_weighted_elbo"] for samples in (1, 70, 5000)]
    assert found[0] < found[1] < truth + 0.1
    assert found[2] == pytest.approx(truth, abs=0.05)
    bits = bound(record, 70)["importance_weighted_bits_per_dimension"]
    assert bits == pytest.approx(-found[1] / (4 * np.log(2)))


def test_the_bound_is_one_of_each_example(record, monkeypatch):
    """It does not depend on which others there are, nor on how many codes are drawn at a time in all."""
    one, three = bound(record, 60, rows=1), bound(record, 60, rows=3)
    monkeypatch.setattr("purezoo.train.likelihood.EXAMPLES", 2)
    again = bound(record, 60, rows=3)
    assert three["importance_weighted_elbo"] == pytest.approx(again["importance_weighted_elbo"], rel=1e-5)
    assert one["importance_weighted_elbo"] != three["importance_weighted_elbo"]


def test_evaluation_is_the_summary_and_the_bound_is_tighter(purezoo, vae_run):
    summary = json.loads((vae_run / "summary.json").read_text())["metrics"]["test"]
    expected = {"loss", "elbo", "kl", "reconstruction", "bits_per_dimension", "active_units"}
    assert set(summary) == expected
    found = json.loads(purezoo("eval", vae_run, "--json", "--batch-size", 7, "--samples", 60)[1])
    assert {name: found["metrics"][name] for name in expected} == pytest.approx(summary, rel=1e-5)
    assert found["samples"] == 60
    assert found["metrics"]["importance_weighted_elbo"] > summary["elbo"]
    assert "60 codes for each" in purezoo("eval", vae_run, "--samples", 60)[1]


def test_in_parts_and_in_half_precision_it_learns_as_well(purezoo, vae_run, tmp_path):
    other = ("--train.accumulate", "4", "--train.precision", "bfloat16", "--train.epochs", "20")
    run = train(tmp_path / "parts", *VAE, *other)
    elbo, whole = (
        json.loads((folder / "summary.json").read_text())["metrics"]["test"]["elbo"] for folder in (run, vae_run)
    )
    assert elbo == pytest.approx(whole, abs=0.05)
    assert elbo != whole


def test_images_are_drawn_by_seed(purezoo, vae_run):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        code, out, errors = purezoo("generate", vae_run, "--out", f"{name}.png", "--seed", seed, "--count", 5)
        assert (code, out, errors) == (0, f"{name}.png: 5 images\n", "")
    a, b, c = (np.asarray(Image.open(f"{name}.png")) for name in "abc")
    assert a.shape == (2 * 56, 3 * 56)
    np.testing.assert_array_equal(a, b)
    assert not np.array_equal(a, c)
    assert (a[56:, 112:] == 0).all()


def test_codes_and_anomalies_of_a_vae(purezoo, vae_run, tmp_path):
    np.savez("x.npz", x=np.random.default_rng(1).choice([0, 16], (3, 8, 8, 1)).astype(np.float32))
    assert purezoo("encode", vae_run, "x.npz", "--out", "codes.npz")[:2] == (0, "codes.npz: codes [3, 12] and names\n")
    records = [json.loads(line) for line in purezoo("predict", vae_run, "x.npz", "--format", "json")[1].splitlines()]
    assert all(record["restored"]["anomaly"] for record in records)


def test_a_collapsed_posterior_is_told(purezoo):
    short = ("--train.epochs", 15, "--train.batch-size", 32, "--optimizer.learning-rate", 0.01)
    strong = ("--task.beta", 1000, "--task.warmup", 700)
    code, said, _ = purezoo("train", *VAE, *short, *strong, "--out", "run")
    assert code == 0
    assert "fewer than --task.warmup 700" in said
    assert "active_units 0.0000" in said
    assert "the posterior has collapsed" in said


def test_what_does_not_go_together_is_refused(purezoo, vae_run, digits_run, tmp_path):
    np.savez("negative.npz", x=random.normal(size=(30, 8, 8, 1)).astype(np.float32))
    np.savez("dark.npz", x=random.integers(0, 17, (30, 8, 8, 1)))
    np.savez("odd.npz", x=random.uniform(0, 200, (30, 8, 8, 1)).astype(np.float32))
    (tmp_path / "mine.png").write_text("mine")
    few = ("--train.batch-size", 4)
    for args, message in (
        (
            ("train", "vae_mnist", "--data.source", "negative.npz", *few),
            "the Bernoulli likelihood needs values from 0 to",
        ),
        (
            ("train", "vae_mnist", "--data.source", "dark.npz", *few),
            "has values of at most 16, and white is taken to be 255",
        ),
        (
            ("train", "vae_mnist", "--data.source", "odd.npz", "--task.likelihood", "gaussian", *few),
            "has pixels up to 255 that are no whole numbers",
        ),
        (("train", *VAE, "--model.latent", 0), "a code has at least 1 number"),
        (
            ("train", "vae_mnist", "--data.source", "digits", "--task.warmup", -1),
            "--task.warmup is a number of steps, or 0, not -1",
        ),
        (("predict", vae_run, "negative.npz"), "the Bernoulli likelihood needs values from 0 to 16"),
        (("eval", digits_run, "--samples", 5), "--samples is for flows and variational autoencoders"),
        (("eval", vae_run, "--samples", -1), "--samples is a number of draws"),
        (("generate", vae_run, "--out", "new.png", "--count", 10**8), "a picture holds at most 10,000 images"),
        (("generate", vae_run, "--out", "new.png", "--manifold", "--count", 101), "at most 100 images a side"),
        (("generate", vae_run, "--out", "new.png", "--traverse", 0, "--count", 1001), "at most 1,000 images a row"),
        (("eval", vae_run, "--samples", 5, "--steps", 9), "--steps is for flows"),
        (("generate", vae_run), "--out samples.png draws images"),
        (("generate", digits_run, "--out", "new.png"), "has no distribution to draw images from"),
        (("generate", vae_run, "--out", "mine.png"), "is there already, and is not replaced"),
    ):
        code, out, errors = purezoo(*args)
        assert (code, out, errors.count("\n")) == (2, "", 1), args
        assert message in errors


def test_a_network_without_a_posterior_is_refused(record):
    batch = {"x": standardised(GREY), "row": jnp.arange(N), "weight": jnp.ones(N)}
    with pytest.raises(UserError, match="a network with a posterior"):
        Variational().loss(record)(lambda params, state, x, **_: (x, state), {}, {}, batch)
