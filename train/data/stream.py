"""Pictures from the disk: all decoded into memory where they fit, else batch by batch, ahead of the training.

What a stream gives is a pure function of the rows that are asked for. Grain only asks for them ahead of time, in worker
processes or threads, so that batches do not depend on their number, and resuming needs the step alone.
"""

import functools
import gc
import logging
import multiprocessing
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ...errors import UserError
from .config import Data
from .images import read_pixels
from .order import Order, masked_batch
from .raw import Raw, check_memory

log = logging.getLogger(__name__)
MEMORY = 4e9  # bytes: more decoded pictures than this are streamed
MEND = "--data.on-error skip leaves such pictures out."
SHORT = 2000  # pictures: threads have read so few before processes have started
SAMPLE = 2000  # training pictures that the mean and the deviation of a stream are measured on

Choose = Callable[[int], tuple[np.ndarray, np.ndarray]]  # number of a batch -> rows [B], weight [B]
Batch = dict[str, np.ndarray]  # "x" [B, H, W, C] uint8, "y" and "row" [B] int32, "weight" [B] float32


class Pictures(Protocol):
    """Pictures with labels by number, those of the source's own splits one after another."""

    @property
    def sizes(self) -> dict[str, int]: ...

    @property
    def classes(self) -> tuple[str, ...]: ...

    @property
    def labels(self) -> np.ndarray | None: ...  # [N] int32, where they are known without reading

    @property
    def shape(self) -> tuple[int, int, int] | None: ...  # [H, W, C] of the first picture, where it is known

    @property
    def channels(self) -> int: ...

    def fingerprint(self) -> str: ...

    def stamp(self) -> str: ...  # what a cache of the pictures goes by: another one where a file may have changed

    def open(self, row: int) -> tuple[Path | BytesIO, str, int]: ...  # the file, its name for messages, the label


class Failure(Exception):
    """A picture that cannot be read."""

    def __init__(self, row: int, message: str):
        super().__init__(row, message)
        self.row, self.message = row, message


@dataclass(frozen=True)
class Stream:
    """How batches of pictures are read. Picklable: worker processes get a copy."""

    pictures: Pictures
    shape: tuple[int, int, int]
    size: int  # of the square that pictures are made; 0: they all have the shape as they are
    workers: int
    on_error: str  # stop or skip

    def example(self, row: int) -> tuple[np.ndarray, int]:
        """uint8 [H, W, C] and the label. Failure where the picture cannot be read, UserError where it does not fit."""
        try:
            file, name, label = self.pictures.open(row)
            x = read_pixels(file, name, self.shape[2], self.size)
        except UserError as error:
            raise Failure(row, str(error)) from error
        if x.shape != self.shape:
            raise UserError(
                f"{name} has {x.shape[1]} x {x.shape[0]} pixels, and others {self.shape[1]} x {self.shape[0]}: "
                "give them one size with --data.size, as in --data.size 64."
            )
        if not 0 <= label < len(self.pictures.classes):
            raise UserError(
                f"{name} has the label {label}, outside the {len(self.pictures.classes)} classes. A test without "
                "labels is left out by --data.test-split, which names another split to test on."
            )
        return x, label

    def read(self, rows: np.ndarray, weight: np.ndarray) -> tuple[Batch, list[tuple[int, str]], str]:
        """A batch, the (row, what is wrong) of pictures in it that cannot be read, and what else is wrong.

        Examples of weight 0 are not read. Their places, and those of pictures that cannot be read, hold a copy of
        another example and have weight 0, so that batch statistics see pictures only.
        """
        batch: Batch = {"x": np.zeros((len(rows), *self.shape), np.uint8), "y": np.zeros(len(rows), np.int32)}
        weight, failures = weight.copy(), list[tuple[int, str]]()
        for i in np.flatnonzero(weight):
            try:
                batch["x"][i], batch["y"][i] = self.example(int(rows[i]))
            except Failure as failure:
                failures.append((failure.row, failure.message))
                weight[i] = 0
            except UserError as error:
                return batch, failures, str(error)
        for array in batch.values():
            array[weight == 0] = array[weight.argmax()]
        return batch | {"row": rows.astype(np.int32), "weight": weight}, failures, ""

    def batches(self, choose: Choose, start: int, stop: int, skipped: set[int]) -> Iterator[Batch]:
        """Batches number start, ..., stop - 1, read ahead by Grain. Adds the rows of skipped pictures to `skipped`.

        Each worker holds at most three batches (in the making, made, sent), each thread one. UserError, with the
        picture named, where one cannot be read and `on_error` says stop, and where a worker dies.
        """
        import absl.flags
        import grain  # it takes half a second

        absl.flags.FLAGS.mark_as_parsed()
        count = (stop - start) * len(choose(start)[0])
        workers = worker_count(self.workers) if count > SHORT else 0
        threads = 0 if workers else cores()
        batches: Any = grain.MapDataset.source(Batches(self, choose, start, stop)).to_iter_dataset(
            grain.ReadOptions(num_threads=threads, prefetch_buffer_size=threads)
        )
        if workers:
            batches = batches.mp_prefetch(grain.MultiprocessingOptions(workers, per_worker_buffer_size=1), init_worker)
        iterator: Any = iter(batches)
        try:
            for batch, failures, wrong in iterator:
                if wrong or (failures and self.on_error == "stop"):
                    raise UserError(wrong or f"{failures[0][1].rstrip('.')}. {MEND}")
                for row, message in failures:
                    if row not in skipped:
                        log.warning("Skipped: %s", message)
                    skipped.add(row)
                # Copied: what a worker sends lies in shared memory, which no array on a device may depend on.
                yield {key: np.array(array) for key, array in batch.items()}
        except RuntimeError as error:
            if "Worker process" not in str(error):
                raise
            raise UserError(
                f"A worker that decodes pictures has died: {error} It may lack (shared) memory: choose fewer "
                "--data.workers; with 0 the pictures are decoded in this process."
            ) from error
        finally:
            iterator.close()
            if workers:  # the iterator, which is part of a cycle, holds each worker's last batch in shared memory
                iterator = batch = batches = None
                gc.collect()
                time.sleep(0.1)  # for the thread of Grain that gives it back

    def training(self, order: Order, start: int, stop: int, skipped: set[int]) -> Iterator[Batch]:
        """The batches of the steps start, ..., stop - 1."""
        return self.batches(functools.partial(_step, order), start, stop, skipped)

    def once(self, rows: np.ndarray, batch: int, skipped: set[int]) -> Iterator[Batch]:
        """Every row exactly once, in batches of one size, the last filled up with weight 0."""
        return self.batches(functools.partial(masked_batch, rows, batch), 0, -(-len(rows) // batch), skipped)


class Batches:
    """Batches by number, as Grain takes its sources."""

    def __init__(self, stream: Stream, choose: Choose, start: int, stop: int):
        self.stream, self.choose, self.start, self.stop = stream, choose, start, stop

    def __len__(self) -> int:
        return self.stop - self.start

    def __getitem__(self, i: int):
        return self.stream.read(*self.choose(self.start + i))


def _step(order: Order, step: int) -> tuple[np.ndarray, np.ndarray]:
    return order.rows(step, 1, 1)[0], np.ones(order.batch, np.float32)


def init_worker(index: int, count: int) -> None:
    """In a worker: Ctrl-C and SIGTERM, which a whole group of processes may get, are the main process's to answer, and
    the worker ends when that process has gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)

    def follow(parent):
        parent.join()
        os._exit(0)

    threading.Thread(target=follow, args=(multiprocessing.parent_process(),), daemon=True).start()


def worker_count(wanted: int) -> int:
    return min(16, cores() - 1) if wanted < 0 else wanted


def cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def open_stream(data: Data, pictures: Pictures) -> Stream:
    """The stream of a source's pictures. UserError where their shape is not known."""
    shape = (data.size, data.size, pictures.channels) if data.size else pictures.shape
    if shape is None:
        raise UserError(f"The pictures of {data.source} may have different sizes: choose one with --data.size.")
    return Stream(pictures, shape, data.size, data.workers, data.on_error)


def is_large(stream: Stream) -> bool:
    """Whether the decoded pictures would take more than MEMORY bytes."""
    return int(np.prod(stream.shape)) * sum(stream.pictures.sizes.values()) > MEMORY


def read_all(stream: Stream, name: str) -> Raw:
    """All pictures decoded into memory. Those that cannot be read are left out where `on_error` says skip."""
    pictures, total = stream.pictures, sum(stream.pictures.sizes.values())
    check_memory(total * int(np.prod(stream.shape)), f"{name} ({total:,} pictures of {list(stream.shape)})")
    once = ", for the first time only" if stream.on_error == "stop" else ""  # with gaps they are not cached
    log.warning("Decoding the %s pictures of %s%s.", f"{total:,}", name, once)
    x, y, good = decode(stream, np.arange(total))
    parts = np.split(good, np.cumsum(list(pictures.sizes.values()))[:-1])
    sizes = {split: int(part.sum()) for split, part in zip(pictures.sizes, parts, strict=True)}
    skipped = tuple(np.flatnonzero(~good).tolist())
    x, y = (x[good], y[good]) if skipped else (x, y)
    return Raw(x, y, sizes, pictures.classes, pixel_max=255.0, skipped=skipped)


def sample(stream: Stream, rows: np.ndarray, seed: int) -> np.ndarray:
    """uint8 [n, H, W, C]: at most SAMPLE of the pictures `rows`, drawn by `seed`, less those that cannot be read."""
    x, _, good = decode(stream, np.sort(np.random.default_rng(seed).permutation(rows)[:SAMPLE]))
    if not good.any():
        raise UserError(f"None of {len(x)} training pictures can be read.")
    return x if good.all() else x[good]


def decode(stream: Stream, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pictures uint8 [N, H, W, C], labels int32 [N], and which of them could be read, bool [N]; by threads.

    UserError at one that cannot be read where `on_error` says stop.
    """
    x, y, good = np.empty((len(rows), *stream.shape), np.uint8), np.empty(len(rows), np.int32), np.ones(len(rows), bool)

    def read(i: int) -> None:
        try:
            x[i], y[i] = stream.example(int(rows[i]))
        except Failure as failure:
            if stream.on_error == "stop":
                raise UserError(f"{failure.message.rstrip('.')}. {MEND}") from failure
            good[i] = False
            log.warning("Skipped: %s", failure.message)

    with ThreadPoolExecutor(cores()) as pool:
        for begin in range(0, len(rows), 1000):  # of all at once the futures would need more memory than small pictures
            deque(pool.map(read, range(begin, min(begin + 1000, len(rows)))), 0)
    return x, y, good
