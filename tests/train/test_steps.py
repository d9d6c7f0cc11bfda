"""The training step against hand computations, and as a function that can be mapped over hyper-parameters."""

from dataclasses import dataclass, field, replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purezoo.models import MLP, Model
from purezoo.train.config import Experiment, Train
from purezoo.train.data import Data
from purezoo.train.flow import FlowMatching
from purezoo.train.optimizers import Optimizer, Schedule
from purezoo.train.steps import functions, hyper_parameters
from purezoo.train.tasks import Classification

RATE = 0.1
BASE = Experiment(
    model=MLP(outputs=3, widths=(5,)),
    data=Data("iris"),
    optimizer=Optimizer("sgd", learning_rate=RATE),
    train=Train(batch_size=12),
)


@pytest.fixture
def batch():
    rng = np.random.default_rng(0)
    return {"x": rng.normal(size=(12, 4)).astype(np.float32), "y": rng.integers(0, 3, 12)}


@pytest.fixture
def steps_of(info, batch):
    """`steps_of(experiment, n)`: the run's state before the first and after each of n steps."""

    def take(experiment: Experiment, n: int = 1, seed: int = 0):
        made = functions(experiment, info("classification", (4,), 3), steps=10)
        hyper = jax.tree.map(lambda a: a[0], hyper_parameters(experiment, [seed]))
        step, runs = jax.jit(made.step), [made.init(hyper)]
        for _ in range(n):
            runs.append(step(runs[-1], hyper, batch))
        return runs

    return take


def optimizer(**changes):
    return replace(BASE, optimizer=replace(BASE.optimizer, **changes))


def difference(a, b):
    return jax.tree.map(jnp.subtract, a.params, b.params)


def close(a, b, **tolerance):
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, **tolerance), a, b)


def test_accumulated_gradients_are_those_of_the_whole_batch(steps_of):
    whole = steps_of(BASE, 3)[-1]
    parts = steps_of(replace(BASE, train=Train(batch_size=12, accumulate=4)), 3)[-1]
    close(parts.params, whole.params, rtol=1e-5, atol=1e-7)
    close(parts.sums, whole.sums, rtol=1e-6)


def test_moving_average(steps_of):
    runs = steps_of(optimizer(ema=0.9), 3)
    average = runs[0].params
    for run in runs[1:]:
        average = jax.tree.map(lambda a, p: 0.9 * a + 0.1 * p, average, run.params)
        close(run.ema, average, rtol=1e-6)


def test_penalties_act_on_kernels_alone(steps_of):
    before, plain = steps_of(BASE)
    _, penalised = steps_of(optimizer(l1=0.01, l2=0.5))
    change = difference(penalised, plain)
    for layer in ("dense1", "dense2"):
        kernel = before.params[layer]["kernel"]
        np.testing.assert_allclose(change[layer]["kernel"], -RATE * (0.01 * np.sign(kernel) + 0.5 * kernel), atol=1e-7)
        assert not np.any(change[layer]["bias"])
    np.testing.assert_allclose(penalised.sums["loss"], plain.sums["loss"])  # the penalty is no part of the metrics


@pytest.mark.parametrize("name", ["adamw", "lion", "sgd"])  # two with decay of their own, one that gets it added
def test_weight_decay_acts_on_kernels_alone(steps_of, name):
    before, plain = steps_of(optimizer(name=name))
    _, decayed = steps_of(optimizer(name=name, weight_decay=0.2))
    change = difference(decayed, plain)
    for layer in ("dense1", "dense2"):
        np.testing.assert_allclose(change[layer]["kernel"], -RATE * 0.2 * before.params[layer]["kernel"], atol=1e-6)
        assert not np.any(change[layer]["bias"])


def test_clipping_bounds_the_gradient_and_keeps_its_direction(steps_of):
    before, plain = steps_of(BASE)
    _, clipped = steps_of(optimizer(clip=0.01))
    long, short = difference(plain, before), difference(clipped, before)
    length = np.sqrt(sum(np.sum(np.square(leaf)) for leaf in jax.tree.leaves(short)))
    np.testing.assert_allclose(length, RATE * 0.01, rtol=1e-4)
    ratio = short["dense1"]["kernel"][0, 0] / long["dense1"]["kernel"][0, 0]
    close(short, jax.tree.map(lambda leaf: ratio * leaf, long), rtol=1e-2, atol=1e-8)


def test_label_smoothing_is_for_training_alone(info, batch):
    def apply(params, state, x, *, key=None, train=False):
        return x, state

    logits, labels = batch["x"][:, :3], batch["y"]
    loss = Classification(label_smoothing=0.3).loss(info("classification", (3,), 3))
    data = {"x": logits, "y": labels, "weight": np.ones(12)}
    log_p = np.asarray(jax.nn.log_softmax(logits))
    sharp = -log_p[np.arange(12), labels]
    smooth = 0.7 * sharp - 0.3 * log_p.mean(1)
    np.testing.assert_allclose(loss(apply, {}, {}, data, train=False)[0], sharp.mean(), rtol=1e-6)
    np.testing.assert_allclose(loss(apply, {}, {}, data, train=True)[0], smooth.mean(), rtol=1e-6)


@dataclass(frozen=True)
class Witness:
    """A linear layer that notes the dtypes it is given."""

    seen: list = field(default_factory=list)

    def build(self) -> Model:
        def apply(params, state, x, *, key=None, train=False):
            self.seen.append((x.dtype, params["dense"]["kernel"].dtype))
            return x @ params["dense"]["kernel"], state

        return Model(lambda key, spec: ({"dense": {"kernel": jnp.full((4, 3), 0.3)}}, {}), apply)


def test_bfloat16_is_what_the_network_computes_in_and_nothing_else(steps_of):
    witness = Witness()
    half = replace(BASE, model=witness, train=Train(batch_size=12, precision="bfloat16"))
    run = steps_of(half, 2)[-1]
    assert set(witness.seen) == {(jnp.dtype("bfloat16"), jnp.dtype("bfloat16"))}
    assert {leaf.dtype for leaf in jax.tree.leaves((run.params, run.sums))} == {jnp.dtype("float32")}
    full = steps_of(replace(BASE, model=Witness()), 2)[-1]
    close(run.params, full.params, atol=0.01)
    assert not np.array_equal(run.params["dense"]["kernel"], full.params["dense"]["kernel"])


@dataclass(frozen=True)
class FlowWitness:
    """Velocities of 0 for examples of 4 numbers, and a note of the dtypes of an example and of its time."""

    seen: list = field(default_factory=list)

    def build(self) -> Model:
        def apply(params, state, noisy, *, key=None, train=False):
            self.seen.append((noisy.x.dtype, noisy.time.dtype))
            return noisy.x * params["dense"]["kernel"], state

        return Model(lambda key, spec: ({"dense": {"kernel": jnp.zeros(4)}}, {}), apply)


def test_bfloat16_leaves_a_flow_its_times(info):
    witness = FlowWitness()
    half = replace(BASE, model=witness, task=FlowMatching(), train=Train(batch_size=12, precision="bfloat16"))
    made = functions(half, info("reconstruction", (4,), 3), steps=10)
    jax.eval_shape(made.init, jax.tree.map(lambda a: a[0], hyper_parameters(half, [0])))
    assert set(witness.seen) == {(jnp.dtype("bfloat16"), jnp.dtype("float32"))}


@pytest.mark.parametrize("schedule", [Schedule(), Schedule("warmup_cosine_decay", {"warmup_steps": 1})])
def test_learning_rates_and_decays_can_be_mapped_over(info, batch, steps_of, schedule):
    """A population of runs that differ in numbers is one program; each is what it would be alone."""
    base = optimizer(name="adamw", schedule=schedule, l2=0.1, ema=0.9)
    made = functions(base, info("classification", (4,), 3), steps=10)
    hyper = hyper_parameters(base, [0, 0])
    hyper |= {
        "learning_rate": jnp.array([RATE, 0.02]),
        "weight_decay": jnp.array([0.0, 0.3]),
        "l2": jnp.array([0.1, 0.0]),
    }
    hyper |= {"ema": jnp.array([0.9, 0.5])}
    both, step = jax.vmap(made.init)(hyper), jax.jit(jax.vmap(made.step, in_axes=(0, 0, None)))
    for _ in range(3):
        both = step(both, hyper, batch)
    alone = steps_of(base, 3)[-1], steps_of(
        replace(base, optimizer=replace(base.optimizer, learning_rate=0.02, weight_decay=0.3, l2=1e-30, ema=0.5)), 3
    )[-1]  # fmt: skip
    for i, run in enumerate(alone):
        close(
            jax.tree.map(lambda leaf, i=i: leaf[i], (both.params, both.ema)),
            (run.params, run.ema),
            rtol=2e-4,
            atol=2e-6,
        )
    assert not np.allclose(alone[0].params["dense1"]["kernel"], alone[1].params["dense1"]["kernel"], atol=1e-3)


def test_dropout_differs_by_step_and_by_seed_and_repeats(steps_of):
    random = replace(
        BASE, model=MLP(outputs=3, widths=(64,), dropout=0.5), optimizer=Optimizer("sgd", learning_rate=0.0)
    )
    first, again, other = steps_of(random, 2), steps_of(random, 2), steps_of(random, 1, seed=1)
    losses = [float(run.sums["loss"][0]) for run in first]
    assert losses == [float(run.sums["loss"][0]) for run in again]
    assert losses[2] - losses[1] != losses[1]  # the same batch and parameters: only the dropout differs
    assert losses[1] != float(other[1].sums["loss"][0])


def test_the_first_loss_that_is_not_finite_is_remembered(info, batch):
    made = functions(BASE, info("classification", (4,), 3), steps=10)
    hyper = jax.tree.map(lambda a: a[0], hyper_parameters(BASE, [0]))
    run = made.step(made.init(hyper), hyper, batch)
    assert int(run.failed) == -1
    for _ in range(2):
        run = made.step(run, hyper, batch | {"x": batch["x"] * np.nan})
    assert int(run.failed) == 1
