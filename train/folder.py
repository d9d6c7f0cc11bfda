"""A run's folder: held by one process at a time, and written so that a file is either whole or not there."""

import contextlib
import fcntl
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import Interrupted, UserError
from . import config, data
from .config import Experiment
from .data import Dataset, Info

DRAWING = ".drawing"  # in a folder while the pictures of a finished run are drawn


@contextlib.contextmanager
def locked(folder: Path, resume: bool) -> Iterator[None]:
    """Makes the folder and holds it: no other process can train in it. Raises UserError where it is held or in use."""
    if not resume and (folder / "config.json").exists():
        raise UserError(
            f"{folder} already holds a run: `purezoo train --resume {folder}` goes on with it, or choose another --out"
        )
    if not resume and folder.is_dir() and any(path.name != ".lock" for path in folder.iterdir()):
        raise UserError(f"{folder} is not empty: choose another --out")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / ".lock").open("w")
    except OSError as error:
        raise UserError(f"cannot write to {folder}: {error.strerror}") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"another process trains in {folder}") from None
        except OSError as error:
            raise UserError(f"{folder} cannot be held against other processes: {error.strerror}") from error
        try:
            yield
        finally:
            if not (folder / "config.json").exists():  # refused before any work: leave nothing behind
                for name in (".lock", "experiment.py"):
                    (folder / name).unlink(missing_ok=True)
                with contextlib.suppress(OSError):
                    folder.rmdir()


@contextlib.contextmanager
def top_folder(folder: Path) -> Iterator[None]:
    """A signal that stops one of several seeds stops the run: it is the run's folder to resume."""
    try:
        yield
    except Interrupted as stop:
        stop.folder = folder
        raise


def start_folder(folder: Path, experiment: Experiment, dataset: Dataset, code: bytes | None) -> None:
    """Writes what is known before the first step; a resumed run has it."""
    if (folder / "splits.npz").is_file():
        return
    config.save(folder, experiment, code)
    write_json(folder / "data.json", dataset.info.to_json())
    data.save_splits(folder / "splits.npz", dataset.splits)


def load_data(experiment: Experiment, recorded: Path | None, data_dir: str = "") -> Dataset:
    """The experiment's data, from another folder where they have moved to `data_dir`; with the splits of the run's
    folder `recorded`, where they are there already.

    Raises UserError where the data are no longer those the run was trained on.
    """
    kind, source = experiment.task.kind, experiment.data.moved_to(data_dir) if data_dir else experiment.data
    if recorded is None or not (recorded / "splits.npz").is_file():
        return data.load(source, kind)
    dataset = data.load(source, kind, data.load_splits(recorded / "splits.npz"))
    info = load_info(recorded)
    if dataset.info.fingerprint != info.fingerprint:
        raise UserError(f"the data of {source.source} have changed since {recorded} was trained on them")
    return dataset._replace(info=info)


def load_arrays(experiment: Experiment, home: Path, data_dir: str = "") -> Dataset:
    """The data of a finished run. Raises UserError also where they are a stream, not arrays in memory."""
    dataset = load_data(experiment, home, data_dir)
    if dataset.stream is not None:
        raise UserError(f"{home} was trained on a stream, and this needs data in memory (--data.stream no)")
    return dataset


def load_info(folder: Path) -> Info:
    return Info.from_json(read_json(folder / "data.json"))


def new_file(path: Path, flag: str, suffix: str) -> None:
    """UserError where `path`, which the flag names, is no new file NAME.suffix in a folder that exists."""
    if path.suffix != suffix or not path.parent.is_dir():
        raise UserError(f"{flag} {path} is to be a file NAME{suffix} in a folder that exists")
    if path.exists():
        raise UserError(f"{flag} {path} is there already, and is not replaced")


def is_whole(home: Path) -> bool:
    """Whether a seed has all in its folder that it should leave behind."""
    files = (home / "summary.json", home / "model.safetensors")
    return all(file.is_file() for file in files) and not (home / DRAWING).exists()


def write_json(path: Path, record: Any) -> None:
    """Replaces the file only when the new one is whole."""
    config.write(path, (json.dumps(record, indent=2) + "\n").encode())


def read_json(path: Path) -> Any:
    """A JSON file of a run. Raises UserError where it is missing or damaged."""
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        raise UserError(f"{path.parent} holds no whole run: {path.name} is missing") from None
    except ValueError as error:
        raise UserError(f"{path} is damaged: {error}") from error
