"""Metrics as exact sums: against scikit-learn, whatever the batch size; and each task overfits one tiny batch."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import softmax
from sklearn import metrics as reference

from purezoo.models import MLP
from purezoo.train.config import Experiment, Train
from purezoo.train.evaluation import add_up, masked_batches, of_seed
from purezoo.train.optimizers import Optimizer
from purezoo.train.steps import functions, hyper_parameters
from purezoo.train.tasks import Classification, Regression

N, SIZES = 131, (1, 7, 64, 131, 1000)
rng = np.random.default_rng(0)


def outputs_are_inputs(params, state, x, *, key=None, train=False):
    return x, state


def evaluate(task, info, x, y, size):
    """The metrics of a network that gives its inputs back, and the totals they come from."""
    loss = task.loss(info)

    @jax.jit
    def batch(rows, weight):
        data = {"x": x[rows], "y": y[rows], "weight": weight}
        return loss(outputs_are_inputs, {}, {}, data, train=False)[1][1]

    sums = of_seed(add_up(batch(*one) for one in masked_batches(np.arange(len(x)), size)), 0)
    return task.summarize(sums), sums


@pytest.mark.parametrize("size", SIZES)
def test_classification_against_scikit_learn(info, size):
    logits, labels = jnp.asarray(rng.normal(size=(N, 5)), jnp.float32), jnp.asarray(rng.integers(0, 5, N))
    found, sums = evaluate(Classification(top_k=2), info("classification", (5,), 5), logits, labels, size)
    chance = softmax(np.asarray(logits, np.float64), axis=1)
    assert found["accuracy"] == reference.accuracy_score(labels, logits.argmax(1))
    assert found["top_k_accuracy"] == reference.top_k_accuracy_score(labels, logits, k=2)
    assert found["loss"] == pytest.approx(reference.log_loss(labels, chance), rel=1e-6)
    np.testing.assert_array_equal(sums["confusion"][0], reference.confusion_matrix(labels, logits.argmax(1)))
    assert sums["loss"][1] == N


def test_top_k_ranks_ties_by_index(info):
    """Top-1 is the accuracy also where logits are equal, as in bfloat16; NaNs are no hits."""
    record, labels = info("classification", (5,), 5), jnp.arange(5)
    tied = jnp.asarray(rng.integers(0, 2, (N, 5)), jnp.float32), jnp.asarray(rng.integers(0, 5, N))
    found, _ = evaluate(Classification(top_k=1), record, *tied, 64)
    assert found["top_k_accuracy"] == found["accuracy"]
    assert evaluate(Classification(top_k=2), record, jnp.zeros((5, 5)), labels, 5)[0]["top_k_accuracy"] == 2 / 5
    one_nan = jnp.eye(5).at[:, 4].set(jnp.nan)
    assert evaluate(Classification(top_k=2), record, one_nan, labels, 5)[0]["top_k_accuracy"] == 4 / 5
    assert evaluate(Classification(top_k=2), record, one_nan * jnp.nan, labels, 5)[0]["top_k_accuracy"] == 0


def test_top_k_is_reported_only_where_there_are_more_classes(info):
    logits, labels = jnp.zeros((4, 3)), jnp.zeros(4, jnp.int32)
    assert "top_k_accuracy" not in evaluate(Classification(), info("classification", (3,), 3), logits, labels, 4)[0]
    assert "top_k_accuracy" in evaluate(Classification(top_k=2), info("classification", (3,), 3), logits, labels, 4)[0]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("targets", [1, 3])
def test_regression_against_scikit_learn(info, targets, size):
    """In the targets' own units, though the network predicts standardised ones."""
    mean, std = rng.normal(size=targets) * 10, rng.uniform(1, 50, targets)
    guess, true = rng.normal(size=(2, N, targets))
    record = info("regression", (targets,), targets, mean, std)
    found, _ = evaluate(Regression(), record, jnp.asarray(guess, jnp.float32), jnp.asarray(true, jnp.float32), size)
    own_true, own_guess = true * std + mean, guess * std + mean
    assert found["rmse"] == pytest.approx(np.sqrt(reference.mean_squared_error(own_true, own_guess)), rel=1e-5)
    assert found["mae"] == pytest.approx(reference.mean_absolute_error(own_true, own_guess), rel=1e-5)
    assert found["r2"] == pytest.approx(reference.r2_score(own_true, own_guess), abs=1e-5)
    assert found["loss"] == pytest.approx(np.mean((guess - true) ** 2), rel=1e-6)


@pytest.mark.parametrize("value", [0.1, 1234.567])
@pytest.mark.parametrize("met", [True, False])
def test_r2_of_a_constant_target_against_scikit_learn(info, value, met):
    true = np.full((N, 1), value, np.float32)
    guess = true if met else true + rng.normal(size=(N, 1)).astype(np.float32)
    found, _ = evaluate(Regression(), info("regression", (1,), 1), jnp.asarray(guess), jnp.asarray(true), 64)
    assert found["r2"] == reference.r2_score(true, guess) == float(met)
    single, _ = evaluate(Regression(), info("regression", (1,), 1), jnp.asarray(guess[:1]), jnp.asarray(true[:1]), 1)
    assert single["r2"] == float(met)


def test_errors_of_huge_targets_do_not_overflow(info):
    record = info("regression", (2,), 2, 0.0, (3e31, 2e37))
    guess = jnp.ones((N, 2), jnp.float32)
    found, _ = evaluate(Regression(), record, guess, jnp.asarray(rng.normal(size=(N, 2)), jnp.float32) + guess, 64)
    assert found["rmse"] == pytest.approx(2e37 / np.sqrt(2), rel=0.3)
    assert found["mae"] == pytest.approx(2e37 / 2 * np.sqrt(2 / np.pi), rel=0.3)


def test_huber_counts_far_errors_linearly(info):
    error = np.array([[0.5], [-2.0], [10.0]], np.float32)
    found, _ = evaluate(Regression(huber=1.0), info("regression", (1,), 1), jnp.asarray(error), jnp.zeros((3, 1)), 2)
    assert found["loss"] == pytest.approx(np.mean([0.5 * 0.25, 1.5, 9.5]), rel=1e-6)


@pytest.mark.parametrize("size", [1, 3, 10, 16])
def test_every_row_is_in_one_batch(size):
    rows = np.arange(5, 15)
    batches = list(masked_batches(rows, size))
    assert {len(part) for part, _ in batches} == {size}
    np.testing.assert_array_equal(np.concatenate([part[weight > 0] for part, weight in batches]), rows)


@pytest.mark.parametrize(
    "task", [Classification(), Classification(label_smoothing=0.1), Regression(), Regression(huber=1.0)]
)
def test_each_task_overfits_a_tiny_batch(info, task):
    outputs = 3 if task.kind == "classification" else 2
    record = info(task.kind, (6,), outputs)
    x = rng.normal(size=(8, 6)).astype(np.float32)
    y = rng.integers(0, 3, 8) if task.kind == "classification" else rng.normal(size=(8, 2)).astype(np.float32)
    experiment = Experiment(
        MLP(outputs, widths=(32,)), optimizer=Optimizer(learning_rate=0.01), train=Train(batch_size=8)
    )
    made = functions(replace(experiment, task=task), record, steps=300)
    hyper = jax.tree.map(lambda a: a[0], hyper_parameters(experiment, [0]))
    run = jax.jit(
        lambda run: jax.lax.fori_loop(0, 300, lambda _, run: made.step(run, hyper, {"x": x, "y": y}), run)
    )(made.init(hyper))  # fmt: skip
    sums = made.evaluate({"params": run.params, "state": run.state}, {"x": x, "y": y, "weight": np.ones(8)})[0]
    found = task.summarize(jax.tree.map(np.asarray, sums))
    assert found[task.headline] > 0.99
