"""The training step and the evaluation of a batch: pure functions, compiled once and called many steps at a time."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ..errors import UserError
from ..models.core import as_model, main_output
from ..models.flows import Noisy
from ..models.layers.sequences import Padded, zero_padding
from . import optimizers
from .augment import augmentation, in_turn, seen
from .config import Experiment
from .data import Info
from .data.examples import Ragged
from .init import frozen, keep_frozen_state, replaced, scaled, whole, without

FRESH = 0xF2E5  # folded into a seed's key for the layers that start anew beside others' weights
MIRRORING = 0xFFFFFFFF  # folded into a seed's key: no step has this number
AUGMENTATION = 0xA06  # folded into a step's key, apart from the numbers that `chain` folds in for its layers
Hyper = dict[str, Any]  # the hyper-parameters that are numbers: arguments of the step, so that runs can differ in them


class RunState(NamedTuple):
    """All that a run must remember to go on exactly. With several seeds every array has a leading axis of seeds."""

    step: jax.Array  # steps taken, int32 []
    params: Any
    state: Any  # what the network remembers without learning it: batch-norm statistics
    opt: Any  # the optimiser's state
    ema: Any  # the moving average of params, {} where off
    best: Any  # {"params", "state"} of the best evaluation so far, {} without early stopping
    sums: Any  # training metrics since the last evaluation, name -> (sum, count)
    failed: jax.Array  # the first step whose loss was not finite, or -1, int32 []


class Functions(NamedTuple):
    """The pure functions of an experiment, for one seed."""

    init: Callable[..., RunState]  # (hyper, arrays by dotted name to start from = {})
    step: Callable[[RunState, Hyper, dict], RunState]
    present: Callable[
        [RunState], dict
    ]  # the weights to evaluate now, {"params", "state"}: the average where there is one
    begin: Callable[
        [dict], dict
    ]  # the weights as evaluation begins with them, in whose state nothing has been read yet
    evaluate: Callable[[dict, dict], tuple[dict, Any]]  # ({"params", "state"}, batch) -> metrics, state for the next
    # ({"params", "state"}, raw x) -> outputs of the network, float32; of a series the whole forecast
    predict: Callable[[dict, Any], jax.Array]
    # ({"params", "state"}, raw x) -> how badly each example is restored [B]; None for tasks that restore nothing
    errors: Callable[[dict, Any], jax.Array] | None = None


def functions(experiment: Experiment, info: Info, steps: int) -> Functions:
    """The experiment as pure functions. `steps` is the length of the run, which schedules need.

    Raises UserError for a network whose hyper-parameters do not build one.
    """
    try:
        model = as_model(experiment.model.build())
    except (TypeError, ValueError) as error:
        raise UserError(f"{type(experiment.model).__name__}: {error}") from error
    model = keep_frozen_state(model, experiment.init)
    train, optimizer = experiment.train, experiment.optimizer
    half_precision = train.precision == "bfloat16"
    task_loss = experiment.task.loss(info)
    outputs = getattr(experiment.task, "predict", lambda info: plain)(info)
    errors_of: Callable | None = getattr(experiment.task, "errors", lambda info: None)(info)
    prepare, prepare_target = preparation(info)
    change, mix = augmentation(experiment.augment, info)
    per_epoch = max(1, info.counts.get("train", 0) // train.batch_size)
    shape = experiment.augment.shape(info.shape)
    spec = input_spec(info, train.batch_size // train.accumulate, shape)

    def apply(params, state, x, *, key=None, train=False):
        if half_precision:
            params = jax.tree.map(_half, params)
            # Not a flow's time, of which bfloat16 has too few values near 1.
            x = x._replace(x=_half(x.x)) if isinstance(x, Noisy) else jax.tree.map(_half, x)
        return model.apply(params, state, x, key=key, train=train)

    carries = carries_state(experiment)
    apply_seen = in_one_piece(apply) if carries else seen(experiment.augment, info.kind, apply)

    def prepared(key, step, batch):
        """The batch of a step as the network is trained on it. `key` is that of all steps."""
        n = len(batch["y"])
        batch = {"weight": jnp.ones(n), "row": jnp.arange(n)} | batch | {"step": jnp.full(n, step)}
        if experiment.augment.flip:
            half = in_turn(jax.random.fold_in(key, MIRRORING), batch["row"], step // per_epoch)
            batch = batch | {"mirrored": half}
        keys = jax.random.split(jax.random.fold_in(jax.random.fold_in(key, step), AUGMENTATION))
        batch = change(keys[0], batch)
        return mix(keys[1], batch | {"x": prepare(batch["x"]), "y": prepare_target(batch["y"])})

    def loss(params, state, batch, key, hyper):
        value, (state, metrics) = task_loss(apply, params, state, batch, key=key, train=True)
        if optimizer.l1 or optimizer.l2:
            value = value + optimizers.penalty(params, hyper["l1"], hyper["l2"])
        return value, (state, metrics)

    def gradient(params, state, batch, key, hyper):
        """Loss, gradient of what is trained, state and metrics of a batch; one part after another with `accumulate`."""
        names = frozen(experiment.init, params, state)
        trained = without(params, names)
        grad = jax.value_and_grad(lambda trained, *rest: loss(whole(params, trained, names), *rest), has_aux=True)
        if train.accumulate == 1:
            (value, (state, metrics)), grads = grad(trained, state, batch, key, hyper)
            return value, grads, state, metrics
        # every n-th example, so that each device has its share of every part
        parts = jax.tree.map(lambda a: a.reshape(-1, train.accumulate, *a.shape[1:]).swapaxes(0, 1), batch)

        def one(state, numbered):
            i, part = numbered
            (value, (state, metrics)), grads = grad(trained, state, part, jax.random.fold_in(key, i), hyper)
            return state, (value, grads, metrics)

        state, (values, grads, metrics) = jax.lax.scan(one, state, (jnp.arange(train.accumulate), parts))
        mean, total = (lambda a: a.mean(0)), (lambda a: a.sum(0))
        return values.mean(), jax.tree.map(mean, grads), state, jax.tree.map(total, metrics)

    def init(hyper: Hyper, start: Mapping = MappingProxyType({})) -> RunState:
        key = jax.random.key(hyper["seed"])
        if experiment.init.source:  # whose layers may have learned around what this very key once drew
            key = jax.random.fold_in(key, FRESH)
        params, state = (replaced(tree, start) for tree in model.init(key, spec))
        opt = optimizers.build(optimizer, steps, hyper).init(without(params, frozen(experiment.init, params, state)))
        key, batch = jax.random.key(0), example_batch(experiment, info)
        metrics = jax.eval_shape(lambda: loss(params, state, prepared(key, 0, batch), key, hyper)[1][1])
        copy = jax.tree.map(jnp.copy, params)  # no two donated arrays may be one
        return RunState(
            step=jnp.int32(0),
            params=params,
            state=state,
            opt=opt,
            ema=copy if optimizer.ema else {},
            best=jax.tree.map(jnp.copy, {"params": params, "state": kept(state)}) if train.patience else {},
            sums=jax.tree.map(lambda m: jnp.zeros(m.shape, jnp.float32), metrics),
            failed=jnp.int32(-1),
        )

    def step(run: RunState, hyper: Hyper, batch: dict) -> RunState:
        # Not the key of init: the seed with some bits flipped gives random numbers of their own to the steps.
        key = jax.random.key(hyper["seed"] ^ jnp.uint32(0x9E3779B9))
        batch, key = prepared(key, run.step, batch), jax.random.fold_in(key, run.step)
        before = run.state
        if carries:  # the first windows of an epoch follow nothing
            before = jax.tree.map(lambda a: jnp.where(run.step % per_epoch, a, 0), before)
        value, grads, state, metrics = gradient(run.params, before, batch, key, hyper)
        names = frozen(experiment.init, run.params, run.state)
        trained = without(run.params, names)
        # value, grad and value_fn are for optimisers with a line search, such as lbfgs; the others ignore them.
        updates, opt = optimizers.build(optimizer, steps, hyper).update(
            grads, run.opt, trained, value=value, grad=grads,
            value_fn=lambda trained: loss(whole(run.params, trained, names), before, batch, key, hyper)[0],
        )  # fmt: skip
        trained = jax.tree.map(lambda p, u: (p + u).astype(p.dtype), trained, scaled(experiment.init, updates))

        def average(a, p):
            return hyper["ema"] * a + (1 - hyper["ema"]) * p

        return RunState(
            step=run.step + 1,
            params=whole(run.params, trained, names),
            state=state,
            opt=opt,
            ema=whole(run.ema, jax.tree.map(average, without(run.ema, names), trained), names) if optimizer.ema else {},
            best=run.best,
            sums=jax.tree.map(jnp.add, run.sums, metrics),
            failed=jnp.where((run.failed < 0) & ~jnp.isfinite(value), run.step, run.failed),
        )

    def kept(state):
        return {} if carries else state  # what a batch of training windows left is no part of the weights

    def present(run: RunState) -> dict:
        return {"params": run.ema or run.params, "state": kept(run.state)}

    def begin(weights: dict) -> dict:
        if not carries:
            return weights
        _, state = jax.eval_shape(model.init, jax.random.key(0), input_spec(info, 1))
        return weights | {"state": jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), state)}

    def evaluate(weights: dict, batch: dict) -> tuple[dict, Any]:
        batch = {"row": jnp.arange(len(batch["weight"]))} | batch
        batch = batch | {"x": prepare(batch["x"]), "y": prepare_target(batch["y"])}
        return task_loss(apply_seen, weights["params"], weights["state"], batch, key=None, train=False)[1][::-1]

    def predict(weights: dict, x: jax.Array) -> jax.Array:
        return outputs(apply_seen, weights["params"], weights["state"], prepare(x)).astype(jnp.float32)

    def errors(weights: dict, x: jax.Array) -> jax.Array:
        assert errors_of is not None
        return errors_of(apply_seen, weights["params"], weights["state"], prepare(x))

    return Functions(init, step, present, begin, evaluate, predict, errors if errors_of else None)


def hyper_parameters(experiment: Experiment, seeds: list[int]) -> Hyper:
    """The step's numbers for each seed, arrays [seeds]: a population may differ in any of them."""
    optimizer = experiment.optimizer
    names = ("learning_rate", "weight_decay", "l1", "l2", "ema")
    return {"seed": jnp.array(seeds, jnp.uint32)} | {n: jnp.full(len(seeds), getattr(optimizer, n)) for n in names}


def carries_state(experiment: Experiment) -> bool:
    """Whether the network begins each batch where the last one ended, and so reads windows in their order."""
    return bool(getattr(experiment.model, "carry", False))


def in_one_piece(apply: Callable) -> Callable:
    """The same network, which reads the windows of a batch [B, T] as one sequence [1, B T]."""

    def read(params, state, x, **rest):
        y, state = apply(params, state, x.reshape(1, -1), **rest)
        return y.reshape(*x.shape, -1), state

    return read


def plain(apply: Callable, params, state, x) -> jax.Array:
    """What a network predicts: its main output. A task may make more of it, with a function `predict` of its own."""
    return main_output(apply(params, state, x)[0])


def preparation(info: Info) -> tuple[Callable, Callable]:
    """The functions that standardise raw inputs and raw targets, with the training split's mean and deviation; pixels
    come into the order that is wanted."""
    x_mean, x_std = jnp.asarray(info.x_mean, jnp.float32), jnp.asarray(info.x_std, jnp.float32)

    def inputs(x):
        if info.tokens:
            return x
        if isinstance(x, Ragged):
            return zero_padding(Padded(inputs(x.x), x.lengths))
        x = (x.astype(jnp.float32) - x_mean) / x_std
        if info.pixel_order is None:
            return x
        order = np.random.default_rng(info.pixel_order).permutation(x.shape[1] * x.shape[2])
        return x.reshape(len(x), -1, x.shape[-1])[:, order].reshape(x.shape)

    def targets(y):
        if info.kind == "forecast":
            return (y - x_mean) / x_std
        if info.kind != "regression":
            return y
        return (y - jnp.asarray(info.y_mean, jnp.float32)) / jnp.asarray(info.y_std, jnp.float32)

    return inputs, targets


def example_batch(experiment: Experiment, info: Info) -> dict:
    """A batch of zeros as the data give it, to learn shapes from."""
    n = experiment.train.batch_size
    targets = {
        "classification": jnp.zeros(n, jnp.int32),
        "segmentation": jnp.zeros((n, *info.shape[:2]), jnp.uint8),
        "reconstruction": jnp.zeros(n, jnp.int32),
        "language": jnp.zeros((n, *info.shape), jnp.int32),
        "forecast": jnp.zeros((n, info.horizon, len(info.targets))),
    }
    y = targets.get(info.kind, jnp.zeros((n, len(info.targets))))
    x = jax.tree.map(lambda spec: jnp.zeros(spec.shape, spec.dtype), input_spec(info, n))
    x = Ragged(*x) if info.ragged else x
    return {"x": x, "y": y, "weight": jnp.ones(n)}


def input_spec(info: Info, n: int, shape: tuple[int, ...] = ()) -> Any:
    """Shape and dtype of what a network is given of n examples; `shape` of each where it is not the data's own."""
    x: Any = jax.ShapeDtypeStruct((n, *(shape or info.shape)), jnp.int32 if info.tokens else jnp.float32)
    lengths: Any = jax.ShapeDtypeStruct((n,), jnp.int32)
    return Padded(x, lengths) if info.ragged else x


def _half(leaf):
    return leaf.astype(jnp.bfloat16) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf
