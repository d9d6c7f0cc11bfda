"""Checkpoints with Orbax: asynchronous, atomic, the two latest and the best kept, a damaged one passed over."""

import contextlib
import json
import logging
import os
import re
import shutil
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np

from ..errors import UserError
from .steps import RunState


@contextlib.contextmanager
def open_checkpoints(folder: Path, higher_is_better: bool) -> Iterator[Any]:
    """The Orbax checkpointer of a run's folder; leaving the context waits for what is being written.

    Raises OSError where that cannot be written, on a full disk for example.
    """
    from orbax.checkpoint import v1 as ocp

    for metrics in (folder / "checkpoints").glob("*/metrics/metrics"):
        try:
            json.loads(metrics.read_bytes())
        except ValueError:  # Orbax would open none of the checkpoints; the state has a checksum of its own
            shutil.rmtree(metrics.parent)
    keep = ocp.training.preservation_policies
    best = keep.BestN(
        get_metric_fn=lambda metrics: metrics["score"],
        reverse=not higher_is_better,
        n=1,
        keep_checkpoints_without_metrics=False,
    )
    try:
        with quiet_threads(), ocp.training.Checkpointer(
            (folder / "checkpoints").absolute(),
            preservation_policy=keep.AnyPreservationPolicy([keep.LatestN(2), best]),
            cleanup_tmp_directories=True,
        ) as checkpointer:  # fmt: skip
            yield checkpointer
    except ValueError as error:  # what TensorStore, in its own threads, makes of the system's error
        code = re.search(r"os_error_code='(\d+)'", str(error))
        if code is None:
            raise
        number = int(code[1])
        raise OSError(number, os.strerror(number), str(folder / "checkpoints")) from error


@contextlib.contextmanager
def quiet_threads() -> Iterator[None]:
    """Keeps the threads of Orbax from printing a traceback each for an error that the main thread raises as well."""
    log = logging.getLogger("absl")
    level = log.level
    log.setLevel(logging.CRITICAL)
    sys.unraisablehook = report_unraisable  # for good: a late thread may still find its event loop closed
    logging.getLogger("asyncio").addFilter(is_news)  # for good: a failed task speaks up when it is collected
    log.addFilter(is_news)  # for good: a late thread may still report a failed write
    try:
        yield
    finally:
        log.setLevel(level)


def report_unraisable(error, report=sys.unraisablehook) -> None:
    """What cannot be raised is reported as before, but for what a failed write leaves behind in Orbax's event loops."""
    if str(error.exc_value) != "Event loop is closed":
        report(error)


def is_news(record: logging.LogRecord) -> bool:
    """False for a failed task or thread of Orbax, whose error the main thread has raised as well.

    It is reported while its memory is collected, which may be in the middle of any call. In Python 3.11 a traceback
    formatted inside of `ast.parse`, which reads the docstrings of flags, ends that in a SystemError.
    """
    of_orbax = record.exc_info and "orbax" in Path(record.pathname).parts
    return not of_orbax and "coro=<_wrap_awaitable()" not in record.getMessage()


def save(checkpointer, run: RunState, memory: dict[str, Any], score: float | None) -> None:
    """Starts to write a checkpoint. `memory`: what the loop remembers, plain JSON; `score` tells the best."""
    tree = host_copy(run)
    step = int(np.ravel(tree["step"])[0])
    if not all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(tree["params"])):
        raise UserError(
            f"the parameters are not finite after step {step}. "
            "Lower --optimizer.learning-rate or set --optimizer.clip 1"
        )
    checkpointer.save_async(
        step,
        tree,
        metrics=None if score is None else {"score": score},
        custom_metadata={"memory": memory, "checksum": checksum(tree)},
        force=True,
        overwrite=True,
    )


def restore(checkpointer, like: RunState, note: Callable[[str], None]) -> tuple[RunState, dict[str, Any]] | None:
    """The newest checkpoint that is whole, and the loop's memory; None where there is none.

    `note` is told of each that is damaged. Raises UserError where all are, or where they are another network's.
    """
    abstract = jax.tree.map(lambda a: np.zeros(a.shape, a.dtype), like._asdict())
    steps = sorted((checkpoint.step for checkpoint in checkpointer.checkpoints), reverse=True)
    for step in steps:
        try:
            tree = checkpointer.load(step, abstract)
            record = checkpointer.metadata(step).custom_metadata
            if record["checksum"] != checksum(tree):
                raise ValueError("its checksum is wrong")
        except Exception as error:  # Orbax and TensorStore raise many kinds for a damaged file
            note(f"the checkpoint of step {step} is damaged and passed over ({str(error).splitlines()[0][:200]})")
            continue
        return RunState(**tree), record["memory"]
    if steps:
        raise UserError(f"all checkpoints in {checkpointer.directory} are damaged: start again in another folder")
    return None


def host_copy(run: RunState) -> dict[str, Any]:
    """The run's arrays as NumPy arrays of their own: the device's buffers are donated to the next step."""
    return jax.tree.map(lambda a: np.array(a), run._asdict())


def checksum(tree) -> int:
    """CRC-32 over the names, shapes and bytes of all arrays."""
    value = 0
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        leaf = np.ascontiguousarray(leaf)
        value = zlib.crc32(f"{jax.tree_util.keystr(path)}{leaf.shape}{leaf.dtype}".encode(), value)
        value = zlib.crc32(leaf.reshape(-1).view(np.uint8).data, value)
    return value
