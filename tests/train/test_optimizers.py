"""Every optimiser and every schedule of Optax, through the one function that builds them."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from purezoo.errors import UserError
from purezoo.train.optimizers import (
    CONSTANT_RATE,
    REFUSED,
    Optimizer,
    Schedule,
    build,
    build_schedule,
    optimizer_factories,
    penalty,
)

RATES = dict.fromkeys(("adadelta", "cocob", "dadapt_adamw", "dog", "dowg", "prodigy"), 1.0)
RATES |= {"simplified_ademamix": 1e-3, "galore": 0.05}
NAMES = sorted(set(optimizer_factories()) - set(REFUSED))
SCHEDULES = sorted(
    name.removesuffix("_schedule")
    for name, made in vars(optax.schedules).items()
    if inspect.isfunction(made) and name.endswith(("_schedule", "_interpolate", "_decay"))
)
X = np.random.default_rng(0).normal(size=(32, 6)).astype(np.float32)
Y = X @ np.random.default_rng(1).normal(size=(6, 2)).astype(np.float32) + 1


def loss(params):
    return jnp.mean((X @ params["dense"]["kernel"] + params["dense"]["bias"] - Y) ** 2)


def start():
    return {"dense": {"kernel": jnp.full((6, 2), 0.1), "bias": jnp.zeros(2)}}


def numbers(rate=0.1, decay=0.0):
    return {"learning_rate": jnp.float32(rate), "weight_decay": jnp.float32(decay)}


def train(optimizer: Optimizer, steps: int, hyper):
    """The loss after some steps as the training step takes them."""

    def one(carry, _):
        params, state = carry
        value, grads = jax.value_and_grad(loss)(params)
        updates, state = tx.update(grads, state, params, value=value, grad=grads, value_fn=loss)
        return (jax.tree.map(lambda p, u: (p + u).astype(p.dtype), params, updates), state), None

    tx = build(optimizer, steps, hyper)
    (params, _), _ = jax.lax.scan(one, (start(), tx.init(start())), length=steps)
    return loss(params)


@pytest.mark.filterwarnings("ignore:.*deprecated")  # optimistic_adam, by Optax
@pytest.mark.parametrize("name", NAMES)
def test_every_optimizer_lowers_a_loss(name):
    rate = RATES.get(name, 0.1)
    after = jax.jit(lambda hyper: train(Optimizer(name, learning_rate=rate), 60, hyper))(numbers(rate))
    assert after < 0.95 * loss(start())


@pytest.mark.parametrize("name", NAMES)
def test_every_optimizer_takes_decay_and_a_schedule_or_refuses_it(name):
    if name in CONSTANT_RATE:
        with pytest.raises(UserError, match="takes no schedule"):
            Optimizer(name, schedule=Schedule("cosine_decay"))
        return
    optimizer = Optimizer(name, schedule=Schedule("warmup_cosine_decay"), weight_decay=0.1, clip=1.0)
    jax.eval_shape(lambda hyper: train(optimizer, 20, hyper), numbers())


def test_the_usual_names_are_there():
    usual = {"sgd", "adam", "adamw", "rmsprop", "adagrad", "lion", "lamb", "lars", "nadam", "muon", "prodigy", "lbfgs"}
    assert usual - set(NAMES) <= {"nadam"}  # which Optax offers as adam with nesterov
    assert len(NAMES) > 35


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_what_a_gradient_is_not_enough_for_is_refused_with_the_reason(name):
    with pytest.raises(UserError, match=f"'{name}' cannot train here: it "):
        Optimizer(name)


@pytest.mark.parametrize("name", ["scale_by_rprop", "adm", "chain", "__builtins__", "", "sgd.x"])
def test_what_is_no_optimizer_is_refused(name):
    with pytest.raises(UserError, match="Optax has no optimizer"):
        Optimizer(name)


@pytest.mark.parametrize("steps", [1, 2, 7, 1000])
@pytest.mark.parametrize("name", SCHEDULES)
def test_every_schedule_is_finite_from_the_first_step_to_the_last(name, steps):
    made = build_schedule(Schedule(name), steps, 0.1)
    rates = [float(made(step)) if callable(made) else made for step in (0, steps // 2, steps - 1)]
    assert np.isfinite(rates).all()
    assert 0 <= min(rates) <= max(rates) <= 0.1 + 1e-7


def test_suggested_arguments_of_schedules():
    def rates(name, *steps, args=None):
        made = build_schedule(Schedule(name, args or {}), 100, 0.1)
        return [round(float(made(step)), 6) for step in steps]

    assert rates("cosine_decay", 0, 50, 100) == [0.1, 0.05, 0]
    assert rates("linear", 0, 50, 100) == [0.1, 0.05, 0]
    assert rates("exponential_decay", 0, 50, 100) == [0.1, 0.01, 0.001]
    assert rates("warmup_cosine_decay", 0, 5, 100) == [0, 0.1, 0]
    assert rates("warmup_cosine_decay", 0, 5, 10, args={"warmup_steps": 10, "end_value": 0.01}) == [0, 0.05, 0.1]
    assert rates("piecewise_constant", 9, 11, 51, args={"10": 0.1, "50": 0.5}) == [0.1, 0.01, 0.005]
    assert build_schedule(Schedule("constant", {"value": 0.3}), 100, 0.1) == 0.3


def test_own_arguments_reach_the_optimizer():
    def after(**args):
        return float(train(Optimizer("sgd", learning_rate=0.01, args=args), 5, numbers(0.01)))

    tx = optax.sgd(0.01, momentum=0.9, nesterov=True)
    params, state = start(), tx.init(start())
    for _ in range(5):
        updates, state = tx.update(jax.grad(loss)(params), state)
        params = optax.apply_updates(params, updates)
    np.testing.assert_allclose(after(momentum=0.9, nesterov=True), loss(params), rtol=1e-6)
    assert after(momentum=0.9, nesterov=True) != after()


def test_penalty_by_hand():
    params = {"dense": {"kernel": jnp.array([[1.0, -2.0]]), "bias": jnp.array([5.0])}}
    np.testing.assert_allclose(penalty(params, 0.1, 0.4), 0.1 * 3 + 0.4 / 2 * 5)
