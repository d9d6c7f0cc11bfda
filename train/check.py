"""What is refused before any work is done, and what is known from shapes alone."""

import dataclasses
import inspect
import shutil
from pathlib import Path

import jax
import numpy as np

from ..errors import UserError, nearest
from ..models.core import main_output, output_spec
from .config import Experiment
from .data import Dataset, Info
from .forecast import Forecast
from .init import factors, frozen, without
from .loop import steps_per_epoch
from .optimizers import optimizer_factory
from .show import multiply_adds
from .steps import Functions, RunState, carries_state, example_batch, hyper_parameters, input_spec

TOGETHER_MULTIPLY_ADDS = 20e6  # on a CPU, a step with more keeps the cores busy by itself


def check(experiment: Experiment, dataset: Dataset, compiled: Functions, folder: Path) -> RunState:
    """The shapes of the run's state. Raises UserError for anything that would stop the run later, before any work."""
    train, optimizer, info = experiment.train, experiment.optimizer, dataset.info
    steps_per_epoch(experiment, dataset)
    getattr(experiment.task, "check_data", lambda dataset: None)(dataset)
    run = shapes(experiment, info, compiled)
    weights = jax.eval_shape(lambda run: compiled.begin(compiled.present(run)), run)
    sums, _ = jax.eval_shape(compiled.evaluate, weights, example_batch(experiment, info))
    with np.errstate(all="ignore"):
        metrics = experiment.task.summarize(jax.tree.map(lambda a: np.ones(a.shape), sums))
    if train.monitor not in metrics:
        raise UserError(
            f"--train.monitor {train.monitor}: the metrics are {', '.join(metrics)}.{nearest(train.monitor, metrics)}"
        )
    if train.patience and "validation" not in dataset.splits:
        raise UserError("--train.patience needs a validation split: set --data.validation above 0")
    if experiment.init.rates and "linesearch" in inspect.signature(optimizer_factory(optimizer.name)).parameters:
        raise UserError(f"--init.rates: optimizer '{optimizer.name}' searches for the size of its steps itself")
    factors(experiment.init, without(run.params, frozen(experiment.init, run.params, run.state)))
    size = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(run)) * train.seeds
    check_disk(folder, 4 * size)  # three checkpoints and the weights
    return run


def check_disk(folder: Path, needed: int) -> None:
    """UserError where a run's folder has no room for so many bytes, those of its own checkpoints included."""
    own = sum(path.stat().st_size for path in folder.glob("**/checkpoints/**/*") if path.is_file())
    free = shutil.disk_usage(folder).free + own
    if needed > free:
        raise UserError(f"{folder} has {free / 1e6:,.1f} MB free, and this run needs {needed / 1e6:,.1f} MB there")


def shapes(experiment: Experiment, info: Info, compiled: Functions) -> RunState:
    """The shapes of the run's state. Raises UserError where the network does not fit the data or the task."""
    hyper = jax.eval_shape(lambda: jax.tree.map(lambda a: a[0], hyper_parameters(experiment, [0])))
    model, network = experiment.model.build(), type(experiment.model).__name__
    if carries_state(experiment) and info.kind != "language":
        raise UserError(f"--model.carry is for windows of a text, and {info.source} has examples of their own")
    if carries_state(experiment) and experiment.train.accumulate > 1:
        raise UserError("--model.carry hands on the state of a whole batch, without --train.accumulate")
    experiment.augment.check(info)
    getattr(experiment.task, "check_network", lambda *_: None)(experiment.model, info)
    shape = experiment.augment.shape(info.shape)
    spec = input_spec(info, experiment.train.batch_size, shape)
    try:
        params, state = jax.eval_shape(model.init, jax.random.key(0), spec)
        out = main_output(output_spec(model, params, state, spec))
    except (TypeError, ValueError, AttributeError) as error:
        if info.ragged and not isinstance(error, ValueError):
            raise UserError(
                f"{network} takes no sequences of different lengths, and {info.source} has such: use an RNN or a TCN, "
                "or cut them to the length of the shortest with --data.steps"
            ) from error
        if isinstance(error, AttributeError):
            raise
        raise UserError(f"{network} does not fit examples of shape {shape}: {error}") from error
    if info.kind == "reconstruction" and out.shape[1:] != shape:
        raise UserError(f"{network} gives outputs of shape {out.shape[1:]}, and is to restore examples of {shape}")
    wanted = experiment.task.outputs(info)
    every = shape[:1] if out.ndim == 3 and info.kind == "forecast" else ()  # a forecast of every step
    if every and getattr(experiment.model, "bidirectional", False):
        raise UserError(f"{network} reads from both ends, and would see at each step what it is to forecast")
    if every and isinstance(task := experiment.task, Forecast) and task.by_window and task.train_on == "next":
        raise UserError(
            f"{network} is read at every step, and with --task.by-window would learn from the mean and deviation of "
            "what it is to forecast: --task.train-on horizon"
        )
    per_place = {"segmentation": shape[:-1], "language": shape, "forecast": every, "reconstruction": shape[:-1]}
    places = per_place.get(info.kind, ())
    if out.shape[1:-1] != places:
        each = f"each of {' x '.join(map(str, places))} {'tokens' if info.tokens else 'pixels'}"
        each = each if places else "each example"
        raise UserError(f"{network} gives outputs of shape {out.shape[1:]}, and one is needed for {each}")
    if out.shape != (experiment.train.batch_size, *places, wanted):
        names = {field.name for field in dataclasses.fields(experiment.model)} & {"classes", "outputs", "vocabulary"}
        mend = "".join(f": set --model.{name} {wanted}" for name in names)
        what = {"regression": "targets", "forecast": "series", "language": f"different {info.tokens}"}.get(
            info.kind, "classes"
        )
        raise UserError(f"{network} gives outputs of shape {out.shape[1:]}, and the data have {wanted} {what}{mend}")
    try:
        return jax.eval_shape(compiled.init, hyper)
    except (TypeError, ValueError, NotImplementedError) as error:
        raise UserError(f"{network} cannot be trained with '{experiment.optimizer.name}': {error}") from error


def in_one_program(experiment: Experiment, dataset: Dataset) -> bool:
    """Whether several seeds train in one program, where the experiment leaves it open.

    One after another is faster for convolutions, except on a TPU, and on a CPU for steps large enough to keep all cores
    busy.
    """
    if dataset.stream is not None:
        if experiment.train.together == "yes":
            raise UserError("--train.together yes is for data in memory: of a stream each seed reads its own batches")
        return False
    if experiment.train.together != "auto":
        return experiment.train.together == "yes"
    if jax.default_backend() == "tpu":
        return True
    model = experiment.model.build()
    spec = input_spec(dataset.info, experiment.train.batch_size, experiment.augment.shape(dataset.info.shape))
    params, _ = jax.eval_shape(model.init, jax.random.key(0), spec)
    convolutional = any(leaf.ndim > 2 for leaf in jax.tree.leaves(params))
    small = jax.default_backend() != "cpu" or multiply_adds(model, spec) < TOGETHER_MULTIPLY_ADDS
    return small and not convolutional
