"""PyTorch's state dicts (.pth, .pt) without PyTorch, and without running what is in them.

Such a file is a zip archive: a pickle that names the tensors, and an entry of raw bytes for each storage. A pickle can
call anything, so this one may use only the opcodes and the few names that state dicts need, and each of these names
stands for an inert object of this module. Tensors are read-only views of the bytes that were read: whatever the pickle
claims, no more memory is used than the file is long.
"""

import io
import math
import pickle
import pickletools
import reprlib
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import ml_dtypes
import numpy as np

from ..errors import UserError

DTYPES = {
    "FloatStorage": "<f4",
    "DoubleStorage": "<f8",
    "HalfStorage": "<f2",
    "BFloat16Storage": ml_dtypes.bfloat16,
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "?",
}
OPCODES = """
    PROTO FRAME STOP MARK GLOBAL STACK_GLOBAL REDUCE BUILD BINPERSID BINGET LONG_BINGET BINPUT LONG_BINPUT MEMOIZE
    NONE NEWTRUE NEWFALSE BININT BININT1 BININT2 LONG1 BINFLOAT SHORT_BINUNICODE BINUNICODE
    EMPTY_DICT SETITEM SETITEMS EMPTY_LIST APPEND APPENDS EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3
"""
WRAPPERS = ("state_dict", "model")  # under which training scripts keep the state dict
LEGACY = "python -c \"import torch; f = '{}'; torch.save(torch.load(f, weights_only=True), f)\""
CONVERT = "If you trust it, save its tensors alone with PyTorch: safetensors.torch.save_file(state_dict, FILE)"


def read(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a state dict by name, read-only and in their own dtypes. {"state_dict": ...}, {"model": ...} and
    the prefix "module." of DataParallel are taken off.

    Raises UserError for a file that is damaged, older than PyTorch 1.6 or more than a state dict, and OSError.
    """
    with path.open("rb") as file:
        start = file.read(4)
        if start[:1] == b"\x80":  # a pickle, not a zip archive
            raise UserError(f"{path} has the format from before PyTorch 1.6. Convert it: {LEGACY.format(path)}")
        try:
            with zipfile.ZipFile(file) as archive:
                found = load(archive, file.seek(0, io.SEEK_END))
        except Refused as refused:
            raise UserError(f"{path}: {refused}") from None
        except Exception as error:  # zipfile raises many kinds for a damaged file
            raise UserError(f"{path} is damaged, or no file of PyTorch's: {shown(str(error))}") from error
    for name in WRAPPERS:
        found = found[name] if isinstance(found, dict) and isinstance(found.get(name), dict) else found
    if not isinstance(found, dict) or not found:
        raise UserError(f"{path} holds no state dict")
    for name, value in found.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise UserError(f"{path} holds no state dict: {shown(name)} is no tensor")
    prefix = "module." if all(name.startswith("module.") for name in found) else ""
    return {name.removeprefix(prefix): tensor.array for name, tensor in found.items()}


def load(archive: zipfile.ZipFile, size: int) -> Any:
    """What the pickle of an archive of `size` bytes describes, made of inert objects. Raises Refused."""
    entries = archive.infolist()
    pickles = [e.filename for e in entries if e.filename.count("/") == 1 and e.filename.endswith("/data.pkl")]
    if len(pickles) != 1:
        raise Refused("this zip archive is no state dict: it holds no data.pkl")
    if any(e.compress_type != zipfile.ZIP_STORED for e in entries) or sum(e.file_size for e in entries) > size:
        raise Refused("its entries claim more bytes than the file has")
    data, folder = archive.read(pickles[0]), pickles[0].removesuffix("data.pkl")
    if f"{folder}byteorder" in archive.namelist() and archive.read(f"{folder}byteorder") != b"little":
        raise Refused("it was written on a big-endian machine")
    try:
        return Loader(data, archive, f"{folder}data/").load()
    except Refused:
        raise
    except Exception as error:  # also of opcodes that are allowed a pickle can be nonsense
        raise Refused(f"its pickle is damaged: {type(error).__name__}") from error


class Refused(Exception):
    """What a file holds that is not read; the message says what."""


FOLLOW = pickle._Unpickler.dispatch  # what the unpickler in Python does at each opcode


def refuse(opcode: str) -> Callable:
    def follow(loader):
        raise Refused(f"it is more than a state dict: its pickle uses {opcode}. {CONVERT}")

    return follow


def set_items(opcode: bytes, keys: slice) -> Callable:
    def follow(loader):
        for key in loader.stack[keys]:
            if not isinstance(key, str | int):
                raise Refused(f"a dict with the key {shown(key)}, which is neither a string nor an integer")
        FOLLOW[opcode[0]](loader)

    return follow


class Loader(pickle._Unpickler):
    """Follows a pickle up to the first opcode that state dicts do not need. The persistent ids of its tensors name
    entries of the archive.

    Not the unpickler in C, which hashes the keys of dicts unseen: tuples within tuples crash it, or keep it for ever.
    """

    dispatch: ClassVar[dict[int, Callable]] = (
        FOLLOW
        | {ord(code.code): refuse(code.name) for code in pickletools.opcodes if code.name not in OPCODES.split()}
        | {pickle.SETITEM[0]: set_items(pickle.SETITEM, slice(-2, -1))}
        | {pickle.SETITEMS[0]: set_items(pickle.SETITEMS, slice(None, None, 2))}
    )

    def __init__(self, data: bytes, archive: zipfile.ZipFile, folder: str):
        super().__init__(io.BytesIO(data))
        self.archive, self.folder = archive, folder
        self.entries: dict[str, bytes] = {}

    def find_class(self, module: str, name: str) -> Any:
        return stand_in(module, name)

    def persistent_load(self, pid: Any) -> "Storage":
        kind, dtype, key, _, n = pid if isinstance(pid, tuple) and len(pid) == 5 else (None,) * 5
        if kind != "storage" or not isinstance(dtype, Name) or dtype.name not in DTYPES or not isinstance(key, str):
            raise Refused(f"a storage named {shown(pid)}")
        if key not in self.entries:
            if self.folder + key not in self.archive.namelist():
                raise Refused(f"it has no storage {shown(key)}")
            self.entries[key] = self.archive.read(self.folder + key)
        data, numbers = self.entries[key], np.dtype(DTYPES[dtype.name])
        if type(n) is not int or n * numbers.itemsize != len(data):
            raise Refused(f"storage {shown(key)} has {len(data)} bytes, which are not {shown(n)} {numbers.name}")
        return Storage(np.frombuffer(data, numbers))


class Storage(NamedTuple):
    """The numbers that one or more tensors look at."""

    array: np.ndarray  # [n]


class Tensor(NamedTuple):
    array: np.ndarray


class Dict(dict):
    """Stands in for OrderedDict. State dicts set an attribute of theirs, _metadata, which nothing needs."""

    __slots__ = ()

    def __setstate__(self, state):
        pass


class Name:
    """Stands in for what a pickle names; called, it calls one of the functions below, or nothing."""

    __slots__ = ("call", "name")

    def __init__(self, name: str, call: Callable | None = None):
        self.name, self.call = name, call

    def __call__(self, *args):
        if self.call is None:
            raise Refused(f"it calls {self.name}")
        return self.call(*args)

    def __setstate__(self, state):
        raise Refused(f"it changes {self.name}")


def tensor_of(storage, offset, shape, strides, requires_grad=False, hooks=None, metadata=None) -> Tensor:
    """A view of a storage: `offset` and `strides` count its numbers. Raises Refused where it does not lie within."""
    whole = isinstance(storage, Storage) and isinstance(shape, tuple) and isinstance(strides, tuple)
    if not whole or len(shape) > 32 or not all(type(i) is int and i >= 0 for i in (offset, *shape, *strides)):
        raise Refused(f"a tensor of shape {shown(shape)} and strides {shown(strides)}")
    n, last = len(storage.array), offset + sum((d - 1) * s for d, s in zip(shape, strides, strict=True))
    if math.prod(shape) > n or (0 not in shape and last >= n):
        raise Refused(f"a tensor of shape {shown(shape)} does not lie within its storage of {n} numbers")
    if 0 in shape:
        return Tensor(np.zeros(shape, storage.array.dtype))
    steps = tuple(s * storage.array.itemsize for s in strides)
    return Tensor(np.lib.stride_tricks.as_strided(storage.array[offset:], shape, steps, writeable=False))


def parameter_of(tensor, requires_grad=True, hooks=None) -> Tensor:
    if not isinstance(tensor, Tensor):
        raise Refused("a parameter that is no tensor")
    return tensor


NAMES = {
    ("collections", "OrderedDict"): Name("OrderedDict", lambda: Dict()),
    ("torch._utils", "_rebuild_tensor_v2"): Name("_rebuild_tensor_v2", tensor_of),
    ("torch._utils", "_rebuild_parameter"): Name("_rebuild_parameter", parameter_of),
} | {("torch", name): Name(name) for name in DTYPES}


def stand_in(module: str, name: str) -> Name:
    """What a name of a pickle stands for here. Raises Refused for all but those of state dicts."""
    if (module, name) not in NAMES:
        raise Refused(f"it is more than a state dict: it names {shown(f'{module}.{name}')}. {CONVERT}")
    return NAMES[module, name]


def shown(value: Any) -> str:
    """A value from a file, short and on one line."""
    short = reprlib.Repr()
    short.maxstring = 100
    return ascii(short.repr(value if isinstance(value, str | int | tuple) else type(value)))[1:-1]
