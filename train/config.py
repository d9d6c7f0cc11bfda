"""What an experiment is: frozen dataclasses, which are the config file, the flags and the run's config.json."""

import contextlib
import dataclasses
import hashlib
import importlib
import importlib.util
import json
import sys
import types
import typing
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar, Literal, Protocol

from ..errors import UserError, nearest
from ..models.core import Contract
from .augment import Augment
from .data import Data
from .data.cache import cache_folder
from .init import Init
from .optimizers import Optimizer
from .tasks import Classification, Task

CONFIGS = Path(__file__).parent.parent / "configs"
USER_MODULE = "purezoo_user_experiment"  # what a config file given by its path is imported as


class Network(Protocol):
    """A frozen dataclass of hyper-parameters whose `build()` returns the pure functions."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    def build(self) -> Contract: ...


@dataclass(frozen=True)
class Train:
    """How long to train, on what, and what to keep."""

    batch_size: int = 64
    """examples in a step"""
    epochs: float = 10
    """passes over the training split; a last partial batch waits for the next pass's shuffle"""
    seed: int = 0
    """of the initial parameters, the order of the examples and dropout"""
    seeds: int = 1
    """train this many seeds (seed, seed + 1, ...) and report mean and standard deviation"""
    together: Literal["auto", "yes", "no"] = "auto"
    """several seeds in one compiled program, or one after another; auto: what is faster for this network and device"""
    eval_every: int = 0
    """steps between evaluations on the validation split; 0: once an epoch"""
    eval_batch_size: int = 256
    """examples in a batch of evaluation; the metrics do not depend on it"""
    patience: int = 0
    """stop after this many evaluations without a better validation metric, and keep the best parameters; 0: never"""
    monitor: str = "loss"
    """the validation metric that tells which parameters are best"""
    accumulate: int = 1
    """split each batch into this many parts and average their gradients, to save memory"""
    precision: Literal["float32", "bfloat16"] = "float32"
    """what the network computes in; parameters, normalisation statistics and losses stay float32. In products GPUs take
    float32 for TF32 and TPUs for bfloat16, unless JAX_DEFAULT_MATMUL_PRECISION=highest is set"""
    checkpoint_every: int = 0
    """steps between checkpoints; 0: at evaluations, at most one a minute. The last state is always kept"""
    devices: int = 0
    """devices of this machine that share each batch; 0: as many as divide it"""

    def __post_init__(self):
        for name in ("batch_size", "seeds", "accumulate", "eval_batch_size"):
            if getattr(self, name) < 1:
                raise UserError(f"--train.{name.replace('_', '-')} is at least 1, not {getattr(self, name)}")
        for name in ("eval_every", "patience", "checkpoint_every", "devices", "seed"):
            if getattr(self, name) < 0:
                raise UserError(f"--train.{name.replace('_', '-')} is at least 0, not {getattr(self, name)}")
        if self.seed + self.seeds > 2**31:
            raise UserError(f"--train.seed lies below 2^31, not {self.seed}")
        if not 0 < self.epochs < 1e9:
            raise UserError(f"--train.epochs is a positive number, not {self.epochs}")
        if self.batch_size % self.accumulate:
            raise UserError(f"--train.accumulate {self.accumulate} must divide --train.batch-size {self.batch_size}")


@dataclass(frozen=True)
class Experiment:
    """A network, data, a task, an optimiser, how long to train, random changes of images, and weights to start from."""

    model: Network
    data: Data = field(default_factory=Data)
    task: Task = field(default_factory=Classification)
    optimizer: Optimizer = field(default_factory=Optimizer)
    train: Train = field(default_factory=Train)
    augment: Augment = field(default_factory=Augment)
    init: Init = field(default_factory=Init)


def config_names() -> list[str]:
    """The configs that come with the zoo."""
    return sorted(path.stem for path in CONFIGS.glob("*.py") if path.stem != "__init__")


def load_config(name: str, networks: Collection[str] = ()) -> tuple[Experiment, bytes | None]:
    """The experiment of a config by name, or by the path of a Python file, and what that file holds.

    A file given by its path is code, and is run. Raises UserError where there is none, or it holds no EXPERIMENT;
    `networks` are other names that might have been meant.
    """
    if name.endswith(".py") or "/" in name:
        path = Path(name).expanduser().resolve()
        if (path / "config.json").is_file():
            raise UserError(f"{name} is a run: `purezoo train --resume {name}` goes on with it")
        if not path.is_file():
            raise UserError(f"there is no config file {name}")
        code = path.read_bytes()
        experiment = experiment_of(import_code(code, path), name)
        remember(code)
        return experiment, code
    if Path(f"{name}.py").is_file() and name not in config_names():
        raise UserError(f"no config is named '{name}'. Did you mean the file: {name}.py?")
    if name not in config_names():
        what, choices = "network or config" if networks else "config", [*networks, *config_names()]
        raise UserError(f"no {what} is named '{name}'.{nearest(name, choices)} `purezoo list` shows them all.")
    return experiment_of(importlib.import_module(f"..configs.{name}", __package__), name), None


def import_code(code: bytes, path: Path) -> ModuleType:
    """Runs what a Python file held when it was read as a module. Raises UserError where it fails.

    It can import what is installed, but not the files beside it: a run keeps a copy of this one file, and nothing else
    of a run's folder may ever be run.
    """
    spec = importlib.util.spec_from_file_location(USER_MODULE, path)
    if spec is None:
        raise UserError(f"{path} is no config: a config is a Python file, NAME.py")
    module = sys.modules[USER_MODULE] = importlib.util.module_from_spec(spec)
    try:
        exec(compile(code, path, "exec"), vars(module))
    except UserError:
        raise
    except Exception as error:
        line = getattr(error, "lineno", None) or _line_in(error, path)
        hint = ". A config is one file: what it imports must be installed" if isinstance(error, ImportError) else ""
        raise UserError(f"{path}, line {line}: {type(error).__name__}: {getattr(error, 'msg', error)}{hint}") from error
    return module


def experiment_of(module: ModuleType, name: str) -> Experiment:
    """The module's EXPERIMENT. Raises UserError where it has none or its model is no dataclass with build()."""
    experiment = getattr(module, "EXPERIMENT", None)
    if not isinstance(experiment, Experiment):
        raise UserError(f"{name} does not define EXPERIMENT = Experiment(model=..., ...)")
    model = type(experiment.model)
    if not dataclasses.is_dataclass(model) or not callable(getattr(model, "build", None)):
        raise UserError(f"{name}: the model {model.__name__} must be a dataclass with a build() method")
    if not getattr(model, "__dataclass_params__").frozen:  # noqa: B009
        raise UserError(f"{name}: {model.__name__} must be frozen: @dataclass(frozen=True)")
    for part, hint in typing.get_type_hints(Experiment).items():
        if not _comes_back(hint, value := getattr(experiment, part)):
            raise UserError(
                f"{name}: config.json cannot hold the {part} {value}. Fields are numbers, strings, dataclasses, and "
                "tuples, lists or dicts of them, annotated as what they are"
            )
    return experiment


def to_json(value: Any) -> Any:
    """Plain JSON of an experiment. The model and the task carry their class's name as "type"."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: to_json(getattr(value, f.name)) for f in dataclasses.fields(value)}
        if "type" in fields:
            raise UserError(f"{type(value).__name__}: a field of a config cannot be named 'type', as its class is")
        open_type = callable(getattr(value, "build", None)) or callable(getattr(value, "loss", None))
        return ({"type": f"{type(value).__module__}:{type(value).__qualname__}"} if open_type else {}) | fields
    if isinstance(value, dict):
        return {key: to_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_json(item) for item in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise UserError(f"a config holds numbers, strings, lists and dataclasses, not {value!r}: it is saved as JSON")


def from_json(kind: Any, value: Any) -> Any:
    """The inverse of `to_json`; `kind` is the class or annotation expected. Raises UserError for what does not fit."""
    arms = [arm for arm in typing.get_args(kind) if arm is not type(None)]
    if typing.get_origin(kind) in (typing.Union, types.UnionType) and len(arms) == 1:  # X | None
        kind, arms = arms[0], list(typing.get_args(arms[0]))
    if isinstance(value, dict) and "type" in value:
        kind, value = _open_type(value["type"]), {k: v for k, v in value.items() if k != "type"}
    if dataclasses.is_dataclass(kind) and isinstance(kind, type) and value is not None:
        hints = typing.get_type_hints(kind)
        unknown = set(value) - {f.name for f in dataclasses.fields(kind)}
        if unknown:
            raise UserError(
                f"{kind.__name__} has no field '{sorted(unknown)[0]}': was this run made by another version?"
            )
        return kind(**{name: from_json(hints[name], item) for name, item in value.items()})
    if isinstance(value, list):
        each = arms if typing.get_origin(kind) is tuple and arms[-1] is not ... else arms[:1] * len(value)
        items = [from_json(inner, item) for inner, item in zip(each or [Any] * len(value), value, strict=True)]
        return items if list in (kind, typing.get_origin(kind)) else tuple(items)
    if isinstance(value, dict) and len(arms) == 2:
        return {
            arms[0](key) if arms[0] in (int, float) else key: from_json(arms[1], item) for key, item in value.items()
        }
    return value


def _comes_back(kind: Any, value: Any) -> bool:
    """Whether config.json can hold a field's value. Raises UserError for what JSON has nothing like."""
    record = json.loads(json.dumps(to_json(value)))
    with contextlib.suppress(KeyError, TypeError, ValueError):
        return _comparable(from_json(kind, record)) == _comparable(value)
    return False


def _comparable(value: Any) -> Any:
    """With tuples for lists, and each dataclass beside its type."""
    if dataclasses.is_dataclass(value):
        return type(value), [_comparable(getattr(value, field.name)) for field in dataclasses.fields(value)]
    if isinstance(value, dict):
        return {key: _comparable(item) for key, item in value.items()}
    return tuple(map(_comparable, value)) if isinstance(value, list | tuple) else value


def save(folder: Path, experiment: Experiment, code: bytes | None) -> None:
    """Writes config.json, and what the user's config file held as experiment.py."""
    record = to_json(experiment)
    if code is not None:
        write(folder / "experiment.py", code)
        record["source"] = "experiment.py"
    write(folder / "config.json", (json.dumps(record, indent=2) + "\n").encode())  # last: what has it is a run


def write(path: Path, content: bytes) -> None:
    """The file is either whole or not there, also where the disk is full."""
    part = path.with_name(path.name + ".part")
    try:
        part.write_bytes(content)
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def load(folder: Path, trust: bool = False) -> tuple[Experiment, bytes | None]:
    """The experiment of a run's folder, and what the folder's copy of the user's config file holds, if there is one.

    That copy is code. It is run where `trust` says so, or where the user has trained with the very same file before.
    Raises UserError for a folder without a run.
    """
    if not folder.is_dir():
        raise UserError(f"there is no folder {folder}")
    try:
        record = json.loads((folder / "config.json").read_text())
        if not isinstance(record, dict):
            raise ValueError("not an object")
    except FileNotFoundError:
        raise UserError(f"{folder} holds no run: it has no config.json") from None
    except ValueError as error:
        raise UserError(f"{folder / 'config.json'} is damaged: {error}") from error
    copy, code = folder / "experiment.py", None
    if record.pop("source", None):
        if not copy.is_file():
            raise UserError(f"{folder} holds no whole run: experiment.py is missing")
        code = copy.read_bytes()
        if not trust and fingerprint(code) not in trusted():
            raise UserError(
                f"{folder} was trained with a config file of its own, {copy}, which is code that would be run. "
                "Read it, and pass --trust if you trust it."
            )
        import_code(code, copy)
    try:
        return from_json(Experiment, record), code
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{folder / 'config.json'} does not fit this version: {error}") from error


def fingerprint(code: bytes) -> str:
    """SHA-256 of a file's content."""
    return hashlib.sha256(code).hexdigest()


def remember(code: bytes) -> None:
    """Notes that the user has run this config file, so that the runs it made can be opened without asking."""
    if fingerprint(code) not in trusted():
        with contextlib.suppress(OSError):  # without a cache folder the user passes --trust
            cache_folder().mkdir(parents=True, exist_ok=True)
            with open(cache_folder() / "trusted.txt", "a") as file:  # other runs may add to it at the same time
                file.write(fingerprint(code) + "\n")


def trusted() -> set[str]:
    """Fingerprints of the config files that the user has run by their path."""
    try:
        return set((cache_folder() / "trusted.txt").read_text().split())
    except OSError:
        return set()


def _open_type(name: str) -> type:
    """The class that a config.json names: a network or a task of the zoo, or one that the run's config file imported.

    Nothing else is imported or called, since a run's folder may come from anywhere.
    """
    module_name, _, class_name = str(name).partition(":")
    try:
        if module_name.split(".")[0] == __name__.split(".")[0]:
            importlib.import_module(module_name)
        found: Any = sys.modules[module_name]
        for part in class_name.split("."):
            found = getattr(found, part)
    except (ImportError, KeyError, AttributeError) as error:
        raise UserError(f"the run names {name}, which neither the zoo nor its own config file has") from error
    is_class = isinstance(found, type) and dataclasses.is_dataclass(found)
    if not is_class or not (hasattr(found, "build") or hasattr(found, "loss")):
        raise UserError(f"the run names {name}, which is neither a network nor a task")
    return typing.cast(type, found)


def _line_in(error: BaseException, path: Path) -> int:
    """The last line of `path` on the error's way up."""
    line, trace = 0, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(path):
            line = trace.tb_lineno
        trace = trace.tb_next
    return line
