"""Any Optax optimiser and schedule by name, with clipping and weight decay around it."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import optax
import optax.contrib

from ..errors import UserError, nearest

Number = int | float | bool | str
DECAY_MASKS = ("mask", "weight_decay_mask")
OURS = {  # arguments of an optimiser that are not for --optimizer.args
    "learning_rate": "--optimizer.learning-rate sets it",
    "weight_decay": "--optimizer.weight-decay sets it",
    "muon_weight_dimension_numbers": "every kernel is a matrix to its last axis",
} | dict.fromkeys(DECAY_MASKS, "weight decay acts on kernels")
CONSTANT_RATE = ("optimistic_adam", "rprop", "sm3")  # for these, Optax wants a number
REFUSED = {  # optimisers of Optax that need more than the gradient of a batch
    "dpsgd": "it needs the gradient of each example",
    "noisy_sgd": "it needs random numbers of its own",
    "sophia": "it needs an estimate of the Hessian",
    "polyak_sgd": "it takes no learning rate",
    "schedule_free": "it evaluates other parameters than it trains",
    "schedule_free_adamw": "it evaluates other parameters than it trains",
    "schedule_free_sgd": "it evaluates other parameters than it trains",
}


@dataclass(frozen=True)
class Schedule:
    """How the learning rate changes over the steps: any schedule of Optax, https://optax.readthedocs.io."""

    name: str = "constant"
    """a schedule of Optax, without '_schedule': constant, cosine_decay, warmup_cosine_decay, linear, ..."""
    args: dict[str, Number] = field(default_factory=dict)
    """its own arguments, as NAME VALUE pairs; the learning rate and the steps are filled in where not given"""


@dataclass(frozen=True)
class Optimizer:
    """How the parameters follow the gradient."""

    name: str = "adam"
    """an optimiser of Optax: sgd, adam, adamw, rmsprop, lion, lamb, ... (or of optax.contrib: muon, prodigy, ...)"""
    learning_rate: float = 1e-3
    """size of a step; the highest one where a schedule changes it"""
    args: dict[str, Number] = field(default_factory=dict)
    """the optimiser's own arguments, as NAME VALUE pairs: momentum 0.9 nesterov True"""
    schedule: Schedule = Schedule()
    """how the learning rate changes over the steps"""
    clip: float = 0.0
    """scale a longer gradient down to this norm; 0: never"""
    weight_decay: float = 0.0
    """shrink kernels by this share of the learning rate at each step: all parameters of two axes or more, to which also
    a bias belongs that has the shape of an image; where the optimiser has no weight decay of its own it is added to the
    gradient, as is usual for sgd"""
    l1: float = 0.0
    """add this times the sum of absolute kernel weights to the loss"""
    l2: float = 0.0
    """add half of this times the sum of squared kernel weights to the loss"""
    ema: float = 0.0
    """evaluate and keep a moving average of the parameters, which keeps this share of its old value at each step"""

    def __post_init__(self):
        if not 0 <= self.learning_rate < float("inf"):
            raise UserError(f"--optimizer.learning-rate is a number from 0 up, not {self.learning_rate}")
        for name in ("clip", "weight_decay", "l1", "l2"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise UserError(
                    f"--optimizer.{name.replace('_', '-')} is a number from 0 up, not {getattr(self, name)}"
                )
        if not 0 <= self.ema < 1:
            raise UserError(f"--optimizer.ema lies in [0, 1), not {self.ema}")
        factory, who = optimizer_factory(self.name), f"--optimizer.args: {self.name}"
        _check_arguments(factory, self.args, who, OURS)
        if self.name in CONSTANT_RATE and self.schedule.name != "constant":
            raise UserError(f"optimizer '{self.name}' takes no schedule: set --optimizer.schedule.name constant")
        schedule, who = schedule_factory(self.schedule.name), f"the schedule {self.schedule.name}"
        known, named = inspect.signature(schedule).parameters, dict(self.schedule.args)
        if "cosine_kwargs" in known and named:
            raise UserError(f"{who} has four cycles over the run, and takes no arguments")
        if "boundaries_and_scales" in known:  # STEP SCALE pairs
            named = {name: value for name, value in named.items() if not name.isdigit()}
        _check_arguments(schedule, named, who, {})


def build(optimizer: Optimizer, steps: int, hyper: Mapping[str, Any]) -> optax.GradientTransformationExtraArgs:
    """The gradient transformation for `steps` steps. `hyper` holds learning_rate and weight_decay, which may be traced.

    Raises UserError for arguments that Optax refuses.
    """
    factory = optimizer_factory(optimizer.name)
    known = inspect.signature(factory).parameters
    args: dict[str, Any] = dict(optimizer.args)
    before = [optax.clip_by_global_norm(optimizer.clip)] if optimizer.clip else []
    if "weight_decay" in known:
        args["weight_decay"] = hyper["weight_decay"]
        args |= {mask: kernels for mask in DECAY_MASKS if mask in known}
    elif optimizer.weight_decay:
        before.append(optax.add_decayed_weights(hyper["weight_decay"], mask=kernels))
    if "muon_weight_dimension_numbers" in known:
        args["muon_weight_dimension_numbers"] = as_matrices
    try:
        rate = learning_rate(optimizer, steps, hyper["learning_rate"])
        return optax.with_extra_args_support(optax.chain(*before, factory(learning_rate=rate, **args)))
    except (TypeError, ValueError, AttributeError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"optimizer '{optimizer.name}' with schedule '{optimizer.schedule.name}': {reason}") from error


def learning_rate(optimizer: Optimizer, steps: int, highest):
    """The learning rate as a function of the step, or a number where it is constant. `highest`, which may be traced,
    takes the place of the optimiser's own learning rate: the whole schedule is scaled."""
    own = optimizer.learning_rate or 1.0
    schedule = build_schedule(optimizer.schedule, steps, own)  # Optax compares its numbers, so they cannot be traced
    return (lambda step: schedule(step) * (highest / own)) if callable(schedule) else schedule * (highest / own)


def build_schedule(schedule: Schedule, steps: int, learning_rate: float):
    """A schedule of Optax, a function of the step; the learning rate itself where it is constant.

    Arguments that Optax requires and nobody gave get the values a run of `steps` steps suggests: the learning rate as
    the peak, a twentieth of the steps to warm up, the whole run to decay to zero (exponentially: to a hundredth).
    """
    factory = schedule_factory(schedule.name)
    known = inspect.signature(factory).parameters
    args: dict[Any, Any] = dict(schedule.args)
    if factory is optax.schedules.constant_schedule:
        return args.get("value", learning_rate)
    if "boundaries_and_scales" in known:  # given as STEP SCALE pairs
        args = {k: v for k, v in args.items() if not k.isdigit()} | {
            "boundaries_and_scales": {int(k): v for k, v in args.items() if k.isdigit()}
        }
    if "cosine_kwargs" in known:
        quarter = max(1, steps // 4)
        cycle = {"init_value": 0.0, "peak_value": learning_rate, "warmup_steps": quarter // 20, "decay_steps": quarter}
        return factory([cycle] * 4)
    suggested = {
        "init_value": 0.0 if "peak_value" in known else learning_rate,
        "peak_value": learning_rate,
        "end_value": 0.0,
        "warmup_steps": min(max(1, steps // 20), steps - 1),
        "decay_steps": steps,
        "transition_steps": steps,
        "decay_rate": 0.01,
        "power": 1,
        "interpolate_type": "linear",
    }
    needed = [name for name, parameter in known.items() if parameter.default is parameter.empty]
    return factory(**{name: suggested[name] for name in needed if name in suggested} | args)


def optimizer_factory(name: str) -> Callable:
    """The function of optax, or else optax.contrib, of that name that takes a learning rate. Raises UserError."""
    if name in REFUSED:
        raise UserError(f"optimizer '{name}' cannot train here: {REFUSED[name]}")
    known = optimizer_factories()
    if name not in known:
        raise UserError(f"Optax has no optimizer '{name}'.{nearest(name, known)}")
    return known[name]


def optimizer_factories() -> dict[str, Callable]:
    """The functions of optax and optax.contrib that make an optimiser from a learning rate, by name."""
    public = {n: f for n, f in (vars(optax.contrib) | vars(optax)).items() if not n.startswith(("_", "scale_by_"))}
    return {
        name: function
        for name, function in public.items()
        if inspect.isfunction(function) and "learning_rate" in inspect.signature(function).parameters
    }


def schedule_factory(name: str) -> Callable:
    """The schedule of Optax of that name, with or without '_schedule'. Raises UserError."""
    schedules = {n: f for n, f in vars(optax.schedules).items() if inspect.isfunction(f)}
    schedules = {n: f for n, f in schedules.items() if n.endswith(("_schedule", "_interpolate", "_decay"))}
    for candidate in (name, f"{name}_schedule"):
        if candidate in schedules:
            return schedules[candidate]
    raise UserError(f"Optax has no schedule '{name}'.{nearest(name, [n.removesuffix('_schedule') for n in schedules])}")


def kernels(params):
    """True for the leaves that weight decay and penalties act on: arrays of two axes or more."""
    return jax.tree.map(lambda leaf: leaf.ndim >= 2, params)


def as_matrices(params):
    """For Muon: a kernel is a matrix from all its other axes to its last one; biases and scales go to Adam."""
    axes = {ndim: optax.contrib.MuonDimensionNumbers(tuple(range(ndim - 1)), (ndim - 1,)) for ndim in range(2, 6)}
    return jax.tree.map(lambda leaf: axes.get(leaf.ndim), params)


def penalty(params, l1, l2):
    """l1 sum |w| + l2 / 2 sum w^2 over all kernels, a float32 scalar."""
    leaves = [leaf.astype(jnp.float32) for leaf in jax.tree.leaves(params) if leaf.ndim >= 2]
    return sum((l1 * jnp.abs(leaf).sum() + 0.5 * l2 * jnp.square(leaf).sum() for leaf in leaves), jnp.float32(0))


def _check_arguments(factory: Callable, args: Mapping[str, Number], who: str, ours: Mapping[str, str]) -> None:
    known = [name for name in inspect.signature(factory).parameters if name not in ours]
    for name in args:
        if name in ours:
            raise UserError(f"{who}: '{name}' is no argument here: {ours[name]}")
        if name not in known:
            raise UserError(f"{who} has no argument '{name}': it takes {', '.join(known)}.{nearest(name, known)}")
        parameter = inspect.signature(factory).parameters[name]
        takes_text = "str" in str(parameter.annotation) or isinstance(parameter.default, str) or name.endswith("dtype")
        if isinstance(args[name], str) and not takes_text:
            wanted = "True or False" if isinstance(parameter.default, bool) else "a number"
            raise UserError(f"{who}: '{name}' is {wanted}, not '{args[name]}'")
