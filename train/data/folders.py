"""A folder of pictures as a data set: class/name.jpg, or train/class/name.jpg, validation/..., test/..."""

import hashlib
import logging
import os
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ...errors import UserError, nearest
from .config import Data
from .images import SUFFIXES, picture_size
from .split import NAMES

log = logging.getLogger(__name__)
ALIASES = {"val": "validation", "valid": "validation", "training": "train", "testing": "test"}
NOT_CLASSES = ("__MACOSX", "@eaDir")  # of macOS and of network storages; hidden folders are none either


class FolderPictures(NamedTuple):
    """The pictures of a folder by number, those of its own splits one after another in the order of `sizes`."""

    root: Path
    names: np.ndarray  # [N] paths in `root`, bytes
    labels: np.ndarray  # [N] int32 class indices
    lengths: np.ndarray  # [N] int64, bytes in each file
    changed: np.ndarray  # [N] int64, when each file was changed last, in nanoseconds
    sizes: dict[str, int]  # "train" and, where they are there, "validation" and "test": number of pictures
    classes: tuple[str, ...]
    channels: int

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of the first picture whose header can be read. UserError where there is none."""
        wrong = None
        for name in self.names:
            path = self.root / os.fsdecode(name)
            try:
                return (*picture_size(path, path), self.channels)
            except UserError as error:
                wrong = wrong or error
        assert wrong is not None
        raise wrong

    def fingerprint(self) -> str:
        """SHA-256 of the paths, the lengths of the files and the number in each split."""
        digest = hashlib.sha256(repr((self.sizes, self.classes)).encode())
        for array in (self.names, self.lengths):
            digest.update(array.tobytes())
        return digest.hexdigest()

    def stamp(self) -> str:
        """SHA-256 of that, of where the folder lies, and of when each file was changed."""
        digest = hashlib.sha256(f"{self.fingerprint()} {self.root.resolve()}".encode())
        digest.update(self.changed.tobytes())
        return digest.hexdigest()

    def open(self, row: int) -> tuple[Path, str, int]:
        """The file of a picture, its name for messages, and its label."""
        path = self.root / os.fsdecode(self.names[row])
        return path, str(path), int(self.labels[row])


def find_pictures(data: Data) -> FolderPictures:
    """The pictures in a folder, see `find_files`."""
    return find_files(data, SUFFIXES, "picture")


def find_files(data: Data, suffixes: Collection[str], what: str) -> FolderPictures:
    """The files of a folder that end in one of `suffixes`; `what` each of them is.

    A folder named train with folders in it means that the splits are given. Hidden files and folders are passed over,
    files of another kind too, with a note. UserError where there are none, fewer than two classes, a class without a
    file to train on, or folders that are no splits beside train.
    """
    root = data.folder
    assert root is not None
    if not root.is_dir():
        raise UserError(f"There is no folder {root}.")
    splits = _splits(root, data.test_split)
    classes = _class_names(splits["train"], suffixes, what)
    index = {name: i for i, name in enumerate(classes)}
    names, labels, lengths, changed, strays = list[bytes](), list[int](), list[int](), list[int](), list[str]()
    sizes: dict[str, int] = {}
    for split, folder in splits.items():
        before = len(names)
        for name in _class_names(folder, suffixes, what):
            if name not in index:
                raise UserError(f"{folder / name} is a class that {splits['train']} has not.{nearest(name, classes)}")
            found = len(names)
            for path in walk(folder / name):
                if Path(path).suffix.lower() in suffixes:
                    names.append(os.fsencode(os.path.relpath(path, root)))
                    labels.append(index[name])
                    length, when = _length_and_time(path)
                    lengths.append(length)
                    changed.append(when)
                else:
                    strays.append(path)
            if len(names) == found and split == "train":
                raise UserError(f"The folder {folder / name} holds no {what}{_only(strays)}: every class needs some.")
        sizes[split] = len(names) - before
        if not sizes[split]:
            raise UserError(f"The folder {folder} holds no {what}s.")
    if strays:
        passed = f"1 file that is no {what} is" if len(strays) == 1 else f"{len(strays)} files that are no {what}s are"
        log.warning("%s passed over, such as %s.", passed, strays[0])
    if loose := [path for folder in splits.values() for path in folder.iterdir() if path.suffix.lower() in suffixes]:
        lie = f"1 {what} lies" if len(loose) == 1 else f"{len(loose)} {what}s lie"
        log.warning("%s in no class's folder, such as %s.", lie, loose[0])
    if len(classes) < 2:
        raise UserError(f"{splits['train']} holds one class, '{classes[0]}', and at least 2 are needed: class/name")
    return FolderPictures(
        root,
        np.array(names),
        np.array(labels, np.int32),
        np.array(lengths),
        np.array(changed),
        sizes,
        tuple(classes),
        data.channels or 3,
    )


def peek_folder(data: Data) -> tuple[tuple[int, ...], int]:
    """The shape of one example and the number of classes."""
    pictures = find_pictures(data)
    shape = (data.size, data.size, pictures.channels) if data.size else pictures.shape
    return shape, len(pictures.classes)


def _splits(root: Path, test_split: str) -> dict[str, Path]:
    """The folder of each split; {"train": root} where they are to be drawn."""
    there: dict[str, Path] = {}
    for path in sorted(_folders(root)):
        if (name := _split_name(path.name)) in there:
            raise UserError(f"{root} holds {there[name].name} and {path.name}, which are one split: join them.")
        there[name] = path
    if not ("train" in there and _folders(there["train"])):
        if test_split:
            raise UserError(f"--data.test-split {test_split}: {root} has no folders train and {test_split}.")
        return {"train": root}
    wanted = _split_name(test_split)
    if others := sorted(there.keys() - {*NAMES, wanted}):
        raise UserError(
            f"{root} holds {there['train'].name} with folders in it, as a split has, and {others[0]}, which is none: "
            "move it elsewhere. Where both are classes, they hold their files without folders."
        )
    if test_split:
        if wanted not in there or wanted == "train":
            raise UserError(f"--data.test-split {test_split}: {root} holds {', '.join(there)}.")
        there["test"] = there.pop(wanted)
    return {name: there[name] for name in NAMES if name in there}


def _split_name(name: str) -> str:
    """Train is train and val is validation; other names stay."""
    known = ALIASES.get(name.lower(), name.lower())
    return known if known in NAMES else name


def _class_names(folder: Path, suffixes: Collection[str], what: str) -> list[str]:
    """The names of the folders in `folder`, which are the classes."""
    names = sorted(path.name for path in _folders(folder))
    if not names:
        loose = any(path.suffix.lower() in suffixes for path in folder.iterdir())
        found = f"{what}s, but no folders of them" if loose else f"no folders of {what}s"
        suffix = "wav" if what == "recording" else "jpg"
        raise UserError(f"{folder} holds {found}: a folder for each class is needed, class/name.{suffix}")
    return names


def _folders(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.is_dir() and path.name[0] != "." and path.name not in NOT_CLASSES]


def walk(folder: Path) -> Iterator[str]:
    """The path of each file in a folder and the folders in it, in the order of their names."""
    seen: set[str] = set()
    for place, folders, files in os.walk(folder, followlinks=True):
        if (real := os.path.realpath(place)) in seen:  # a link to what it lies in
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if name[0] != "." and name not in NOT_CLASSES)
        for name in sorted(files):
            if name[0] != ".":
                yield os.path.join(place, name)


def _length_and_time(path: str) -> tuple[int, int]:
    """Bytes, and nanoseconds since 1970; zeros for what cannot be opened: reading it says so."""
    try:
        found = os.stat(path)
    except OSError:
        return 0, 0
    return found.st_size, found.st_mtime_ns


def _only(strays: list[str]) -> str:
    return f" (only files such as {strays[-1]})" if strays else ""
