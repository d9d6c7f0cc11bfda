"""The experiment's functions, compiled: ahead of time, so that compilation is timed apart from the run."""

import contextlib
import ctypes
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from ..errors import UserError
from .config import Experiment
from .data import Dataset
from .evaluation import Totals, add_up, in_order
from .feed import Steps, make_feed
from .steps import Functions, Hyper, RunState, carries_state, hyper_parameters

BLOCK = 512  # the most steps in one dispatch


class Programs(NamedTuple):
    """Compiled functions. Arrays of a population have a leading axis of seeds, those of a single run have none."""

    hyper: Callable[[list[int]], Hyper]  # the step's numbers for seeds, on the devices
    init: Callable[[Hyper, dict], RunState]  # (hyper, arrays to start from, by name)
    present: Callable[[RunState], dict]  # the weights to evaluate now
    shapes: RunState  # of what init gives
    feed: Callable[..., contextlib.AbstractContextManager[Steps]]  # (seeds, step, last step) -> their examples
    advance: Callable[..., RunState]  # (run, hyper, examples of K steps, n) takes n <= K steps; donates run
    evaluate: Callable[[dict, np.ndarray, list[int]], Totals]  # over rows; Stopped once the list has a signal
    keep_best: Callable[[RunState, np.ndarray], RunState]  # where better [seeds], keep the present weights
    place: Callable[[Any], Any]  # host arrays to the devices
    block: int  # K, the most steps in one dispatch
    compile_s: float


def compile_programs(
    experiment: Experiment, functions: Functions, dataset: Dataset, seeds: int, mesh: Mesh, start: dict | None = None
) -> Programs:
    """Compiles everything that a run of so many seeds calls. `start`: shapes of what each seed starts from, by name."""
    train, several = experiment.train, seeds > 1
    per_epoch = len(dataset.splits["train"]) // train.batch_size
    block = min(train.eval_every or per_epoch, BLOCK)
    held_out = max(len(rows) for name, rows in dataset.splits.items() if name != "train")
    eval_batch = -(-min(train.eval_batch_size, held_out) // mesh.size) * mesh.size  # shared by the devices
    everywhere = NamedSharding(mesh, PartitionSpec())
    feed = make_feed(dataset, train.batch_size, eval_batch, seeds, block, mesh, carries_state(experiment))

    def hyper_of(seeds: list[int]) -> Hyper:
        hyper = hyper_parameters(experiment, seeds)
        return jax.device_put(hyper if several else jax.tree.map(lambda a: a[0], hyper), everywhere)

    def each_seed(function):
        return jax.vmap(function) if several else function

    def advance(run, hyper, data, parts, n):
        one = each_seed(lambda run, hyper, part: functions.step(run, hyper, feed.batch(data, part)))

        def go_on(carry):
            i, run = carry
            return (i < n) & jnp.all(run.failed < 0)

        def go(carry):
            i, run = carry
            return i + 1, one(run, hyper, jax.tree.map(lambda a: a[i], parts))

        return jax.lax.while_loop(go_on, go, (0, run))[1]

    def evaluate(weights, data, part):
        batch = feed.batch(data, part)
        return each_seed(lambda weights: functions.evaluate(weights, batch))(weights)

    def keep_best(run, better):
        def choose(run, better):
            now = functions.present(run)
            return run._replace(best=jax.tree.map(lambda a, b: jnp.where(better, a, b), now, run.best))

        return each_seed(choose)(run, better if several else better[0])

    started = time.perf_counter()
    hyper = hyper_of([0] * seeds)
    example = jax.eval_shape(each_seed(functions.init), hyper)
    begun = jax.eval_shape(each_seed(functions.begin), functions.present(example))
    example, begun = jax.tree.map(
        lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=everywhere), (example, begun)
    )
    start = jax.tree.map(lambda a: jax.ShapeDtypeStruct(((seeds,) if several else ()) + a.shape, a.dtype), start or {})
    for_steps, for_evaluation = feed.shapes
    step = jax.jit(advance, donate_argnums=0, out_shardings=everywhere)
    try:
        lowered_step = step.lower(example, hyper, feed.data, for_steps, np.int32(0))
    except (TypeError, ValueError, NotImplementedError) as error:  # an argument that the optimiser cannot work with
        with_what = f"optimizer '{experiment.optimizer.name}' and schedule '{experiment.optimizer.schedule.name}'"
        raise UserError(f"cannot train with {with_what}: {str(error).splitlines()[0]}") from error
    jit = [
        jax.jit(each_seed(functions.init), out_shardings=everywhere).lower(hyper, start),
        lowered_step,
        jax.jit(evaluate, out_shardings=everywhere).lower(begun, feed.data, for_evaluation),
    ]
    if example.best:
        best = jax.jit(keep_best, donate_argnums=0, out_shardings=everywhere)
        jit.append(best.lower(example, np.zeros(seeds, bool)))
    with ThreadPoolExecutor() as pool:
        compiled = list(pool.map(lambda lowered: lowered.compile(), jit))
    compile_s = time.perf_counter() - started
    return_freed_memory()

    def evaluate_rows(weights, rows, received):
        weights = jax.device_put(each_seed(functions.begin)(weights), everywhere)
        with feed.once(rows) as parts:
            return add_up(
                in_order(lambda now, part: compiled[2](now, feed.data, part), weights, parts), seeds, received
            )

    return Programs(
        hyper=hyper_of,
        init=compiled[0],
        present=functions.present,
        shapes=example,
        feed=feed.training,
        advance=lambda run, hyper, parts, n: compiled[1](run, hyper, feed.data, parts, np.int32(n)),
        evaluate=evaluate_rows,
        keep_best=(lambda run, better: compiled[3](run, better)) if example.best else (lambda run, better: run),
        place=lambda tree: jax.device_put(tree, everywhere),
        block=feed.block,
        compile_s=compile_s,
    )


def return_freed_memory() -> None:
    """Hands what the compiler has freed back to the system: it needs more than most networks do. On glibc alone."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def make_mesh(wanted: int, batch: int) -> Mesh:
    """The devices that share each batch, of which `wanted` is the number; 0: as many as divide it.

    Raises UserError where there are too few or they do not divide the batch, and in a job of several processes.
    """
    if jax.process_count() > 1:
        raise UserError(
            f"this is one of {jax.process_count()} processes of JAX: a run trains in one, on the devices of one machine"
        )
    devices = jax.devices()
    count = wanted or max(n for n in range(1, len(devices) + 1) if batch % n == 0)
    if count > len(devices):
        raise UserError(f"--train.devices {count}: there are only {len(devices)} ({devices[0].platform})")
    if batch % count:
        raise UserError(
            f"a batch of {batch} does not divide over {count} devices: choose a multiple, or --train.devices 1"
        )
    return jax.make_mesh((count,), ("data",), axis_types=(AxisType.Auto,), devices=devices[:count])
