"""How examples come to the devices: all at once, to be gathered there, or as a stream of batches, put there ahead.

Both answer the same calls, so that the loop and the compiled programs need not know which it is. A *part* is what a
compiled call is given of them: rows of the resident examples, or the examples of a batch themselves.
"""

import contextlib
import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from ..errors import UserError, is_out_of_memory
from .data import Dataset
from .data.examples import Examples, Windows, take
from .data.order import Order, masked_batches

jax.tree_util.register_dataclass(Windows, data_fields=["values"], meta_fields=["length", "stride"])

AHEAD = 2  # batches of a stream that wait on the devices
Part = Any
Steps = Callable[[int, int], Part]  # (step, n) -> the parts of n steps from `step` on, [K, ...]


class Feed(Protocol):
    data: Any  # what stays on the devices, an argument of every compiled call
    block: int  # K, the most steps in one dispatch
    shapes: tuple[Part, Part]  # of the parts for K steps of training, and for a batch of evaluation

    def batch(self, data: Any, part: Part) -> dict:
        """In a compiled call: the batch of a part."""

    def training(self, seeds: list[int], start: int, stop: int) -> contextlib.AbstractContextManager[Steps]:
        """The parts of the steps from `start` to `stop`, in their order."""

    def once(self, rows: np.ndarray) -> contextlib.AbstractContextManager[Iterable[Part]]:
        """Parts of evaluation that hold each of `rows` exactly once."""


class Resident:
    """All examples lie on the devices, and a compiled step gathers its batch from them."""

    def __init__(
        self, dataset: Dataset, batch: int, eval_batch: int, seeds: int, block: int, mesh: Mesh, in_turn: bool
    ):
        self.dataset, self.block, self.size, self.eval_size, self.mesh = dataset, block, batch, eval_batch, mesh
        self.in_turn = in_turn
        self.data = to_devices((flat(dataset.x), flat(dataset.y)), NamedSharding(mesh, PartitionSpec()))
        rows = np.zeros((block, seeds, batch) if seeds > 1 else (block, batch), np.int32)
        self.shapes = rows, (np.zeros(eval_batch, np.int32), np.zeros(eval_batch, np.float32))

    def batch(self, data: Any, part: Part) -> dict:
        rows, *weight = part if isinstance(part, tuple) else (part,)
        if self.mesh.size > 1:
            rows = jax.lax.with_sharding_constraint(rows, NamedSharding(self.mesh, PartitionSpec("data")))
        x, y = (taken(data[i], rows, examples) for i, examples in enumerate((self.dataset.x, self.dataset.y)))
        return {"row": rows, "x": x, "y": y} | ({"weight": weight[0]} if weight else {})

    @contextlib.contextmanager
    def training(self, seeds: list[int], start: int, stop: int) -> Iterator[Steps]:
        order = Order(seeds, self.dataset.splits["train"], self.size, self.in_turn)
        yield lambda step, n: order.rows(step, self.block, n)

    @contextlib.contextmanager
    def once(self, rows: np.ndarray) -> Iterator[Iterable[Part]]:
        yield masked_batches(rows, self.eval_size)


def flat(examples: Examples) -> Any:
    """Arrays [N, ...] as [N, M]: the layout that a TPU gives an array of images takes several times its memory."""
    return examples.reshape(len(examples), -1) if isinstance(examples, np.ndarray) and examples.ndim > 2 else examples


def taken(stored: Any, rows: jax.Array, examples: Examples) -> Any:
    """Of what `flat` made of examples those of the numbers `rows` [B], in their own shape."""
    found = take(stored, rows)
    return found.reshape(len(rows), *examples.shape[1:]) if isinstance(examples, np.ndarray) else found


def to_devices(data: Any, sharding: NamedSharding) -> Any:
    """Raises UserError where a device has no memory for all of it."""
    try:
        return jax.block_until_ready(jax.device_put(data, sharding))
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        size = sum(leaf.nbytes for leaf in jax.tree.leaves(data)) / 1e9
        raise UserError(
            f"the {size:.1f} GB of examples do not fit the device's memory: --data.stream yes reads pictures from the "
            "disk, and --data.size makes them smaller"
        ) from error


class Streamed:
    """Batches are read and decoded on the host, and the next ones put on the devices while a step runs."""

    block = 1
    data = ()

    def __init__(self, dataset: Dataset, batch: int, eval_batch: int, mesh: Mesh):
        assert dataset.stream is not None
        self.dataset, self.stream, self.size, self.eval_size = dataset, dataset.stream, batch, eval_batch
        self.steps = NamedSharding(mesh, PartitionSpec(None, "data"))
        self.split = NamedSharding(mesh, PartitionSpec("data"))
        self.shapes = self._shapes((1, batch), self.steps), self._shapes((eval_batch,), self.split)

    def _shapes(self, leading: tuple[int, ...], sharding: NamedSharding) -> Part:
        one, number = (self.stream.shape, np.uint8), ((), np.int32)
        kinds = {"x": one, "y": number, "row": number, "weight": ((), np.float32)}
        return {
            name: jax.ShapeDtypeStruct((*leading, *shape), dtype, sharding=sharding)
            for name, (shape, dtype) in kinds.items()
        }

    def batch(self, data: Any, part: Part) -> dict:
        return part

    @contextlib.contextmanager
    def training(self, seeds: list[int], start: int, stop: int) -> Iterator[Steps]:
        order = Order(seeds, self.dataset.splits["train"], self.size)
        batches = self.stream.training(order, start, stop, self.dataset.skipped)
        with ahead(batches, lambda batch: jax.device_put({k: a[None] for k, a in batch.items()}, self.steps)) as parts:
            yield lambda step, n: next(parts)

    @contextlib.contextmanager
    def once(self, rows: np.ndarray) -> Iterator[Iterable[Part]]:
        batches = self.stream.once(rows, self.eval_size, self.dataset.skipped)
        with ahead(batches, lambda batch: jax.device_put(batch, self.split)) as parts:
            yield parts


@contextlib.contextmanager
def ahead(items: Iterator[dict], place: Callable[[dict], Part]) -> Iterator[Iterator[Part]]:
    """The items, each put in its place by a thread before it is asked for: at most AHEAD wait, beside one being put.

    What goes wrong in the thread is raised where the item is asked for. On leaving, the thread ends and `items` closes.
    """
    waiting: queue.Queue = queue.Queue(AHEAD)
    stopped = threading.Event()

    def put(item) -> None:
        while not stopped.is_set():
            with contextlib.suppress(queue.Full):
                return waiting.put(item, timeout=0.1)

    def fill() -> None:
        try:
            with contextlib.closing(items):  # type: ignore[type-var]
                for item in items:
                    put((place(item), None))
                    if stopped.is_set():
                        return
            put((None, StopIteration()))
        except BaseException as error:
            put((None, error))

    def take() -> Iterator[Part]:
        while True:
            part, error = waiting.get()
            if isinstance(error, StopIteration):
                return
            if error is not None:
                raise error
            yield part

    thread = threading.Thread(target=fill, daemon=True)
    thread.start()
    try:
        yield take()
    finally:
        stopped.set()
        thread.join()


def make_feed(
    dataset: Dataset, batch: int, eval_batch: int, seeds: int, block: int, mesh: Mesh, in_turn: bool = False
) -> Feed:
    """The feed that a data set calls for. `in_turn`: training examples come in their order, as windows of a text."""
    if dataset.stream is not None:
        return Streamed(dataset, batch, eval_batch, mesh)
    return Resident(dataset, batch, eval_batch, seeds, block, mesh, in_turn)
