"""The command line, `purezoo train | list | show | ...`: an experiment's fields are its flags."""

import dataclasses
import datetime
import errno
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import Interrupted, UserError, is_out_of_memory, nearest, printable
from .commands import encode, evaluate, generate, predict, probe
from .flags import parse, parse_experiment, words
from .progress import hush

BEGAN = time.perf_counter()  # before jax is imported

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
OUT_OF_REACH = (errno.EACCES, errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR)

HELP = """\
usage: purezoo COMMAND ...

A functional model zoo for JAX: networks as pure functions, trained from config files.

  purezoo train CONFIG        train a network:           purezoo train lenet_digits
  purezoo train --resume RUN  go on with a stopped run
  purezoo eval RUN            its metrics on a split:    purezoo eval runs/lenet_digits --split test
  purezoo predict RUN FILE    its answers for your data: purezoo predict runs/lenet_digits digit.png
  purezoo encode RUN FILE     their codes, by a run with an encoder: --out codes.npz
  purezoo probe RUN           what its codes are worth:  purezoo probe runs/denoising_digits
  purezoo generate RUN        what follows a text:       purezoo generate runs/lstm_text --prompt "ROMEO:"
                              or images, in a grid:      purezoo generate runs/vae_mnist --out samples.png
  purezoo list                the networks and the configs, with their measured results
  purezoo show NAME           a network layer by layer:  purezoo show lenet_mnist

`purezoo COMMAND --help` explains a command, `purezoo train CONFIG --help` every setting of a config.
CONFIG is a name from `purezoo list`, or the path of your own Python file, which is run.
Exit codes: 0 done, 2 something for you to mend, 130 stopped by Ctrl-C, 143 stopped by SIGTERM (both after
saving; another one, 3 seconds later or more, stops at once).
"""


def run(args: Sequence[str]) -> int:
    """Runs a command and returns its exit code. What a user can mend is one line on standard error and code 2."""
    try:
        code = command(list(args))
        sys.stdout.flush()
        return code
    except UserError as error:
        return complain(str(error))
    except Interrupted as stop:
        print(
            f"\n{stop.name}: saved at step {stop.step}. Go on with: purezoo train --resume {stop.folder}",
            file=sys.stderr,
        )
        return stop.code
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of a pipe has gone, which is no error of ours
        hush()
        return 0
    except OSError as error:
        if error.errno not in (*FULL, *OUT_OF_REACH):
            raise
        do, what = "write" if error.errno in FULL else "read or write", error.filename or "a file"
        return complain(f"cannot {do} {what}: {error.strerror}. What was saved before is whole.")
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        return complain("out of memory: choose a smaller batch or network")


def command(args: list[str]) -> int:
    """Dispatches to a command."""
    commands: dict[str, Callable[[list[str]], int]] = {
        "train": train, "eval": evaluate, "predict": predict, "encode": encode, "probe": probe,
        "generate": generate, "list": list_zoo, "show": show,
    }  # fmt: skip
    if not args or args[0] in ("-h", "--help", "help"):
        print(HELP, end="")
        return 0
    if args[0] == "--version":
        from .. import __version__

        print(f"purezoo {__version__}")
        return 0
    if args[0] not in commands:
        raise UserError(
            f"there is no command '{args[0]}'.{nearest(args[0], commands)} `purezoo --help` shows them all."
        )
    return commands[args[0]](args[1:])


def complain(message: str) -> int:
    print(f"purezoo: {printable(message)}", file=sys.stderr)
    return 2


@dataclass(frozen=True)
class TrainFlags:
    """Train the network of a config, or go on with a stopped run. `purezoo train CONFIG --help` shows its settings."""

    out: str = ""
    """folder for the run; empty: runs/CONFIG, or runs/CONFIG-DATE where that is taken"""
    resume: str = ""
    """folder of a stopped run to go on with, instead of a config"""
    quiet: bool = False
    """print the result alone"""
    no_pictures: bool = False
    """draw no pictures"""
    trust: bool = False
    """run the config file that a run's folder brings along (with --resume)"""


def train(args: list[str]) -> int:
    from . import config
    from .folder import read_json
    from .run import Options
    from .run import train as train_run

    place = next(iter(words(args, TrainFlags)), None)
    if place is None:
        if not any(arg.startswith(("--resume", "-h", "--help")) for arg in args):
            raise UserError("train what? Name a config first, `purezoo train lenet_digits`, or a run: --resume RUN")
        flags = parse(TrainFlags, args, "purezoo train", [] if "--resume" in " ".join(args) else ["CONFIG"])
        if flags.out:
            raise UserError("--resume goes on in the run's own folder: leave --out away")
        folder = Path(flags.resume)
        experiment, code = config.load(folder, flags.trust)
        options = Options(True, flags.quiet, not flags.no_pictures, BEGAN)
        if finished(folder, experiment):
            print(f"{folder} has finished already.")
            return report(folder, read_json(folder / "summary.json"))
    else:
        experiment, code = config.load_config(args[place])
        flags, experiment = parse_experiment(TrainFlags, experiment, args, place, "purezoo train")
        if flags.resume:
            raise UserError("--resume takes the settings of the run's folder: leave the config away")
        folder = Path(flags.out) if flags.out else free_folder(Path(args[place]).stem)
        options = Options(False, flags.quiet, not flags.no_pictures, BEGAN)
    return report(folder, train_run(experiment, folder, code, options))


def finished(folder: Path, experiment) -> bool:
    """Whether a run has all that it should leave behind."""
    from .folder import is_whole

    seeds = range(experiment.train.seed, experiment.train.seed + experiment.train.seeds)
    homes = [folder / f"seed-{seed}" for seed in seeds] if len(seeds) > 1 else [folder]
    return (folder / "summary.json").is_file() and all(map(is_whole, homes))


def report(folder: Path, summary: dict) -> int:
    """The last lines of a run: the result, where it is, what to try next."""
    from .folder import load_info

    try:
        tested, spread, times = summary["metrics"]["test"], summary.get("std", {}).get("test", {}), summary["time"]
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{folder / 'summary.json'} is damaged: it does not say {error}") from error
    values = [f"{k} {v:.4f}" + (f" ± {spread[k]:.4f}" if k in spread else "") for k, v in tested.items()]
    seeds = f", mean ± standard deviation of {len(summary['seeds'])} seeds" if spread else ""
    print(f"test: {'  '.join(values)}{seeds}")
    print(
        f"{summary['parameters']:,} parameters, {summary['steps']:,} steps, "
        f"{summary['examples_per_s']:,.0f} examples/s; compiling {times['compile_s']:.1f} s, "
        f"run {times['run_s']:.1f} s, in all {times['total_s']:.1f} s"
    )
    if summary.get("skipped"):
        left = ", ".join(f"{count:,} {split}" for split, count in summary.get("examples", {}).items())
        print(f"{summary['skipped']:,} pictures could not be read and were skipped: {left} are left")
    print(f"folder: {folder}")
    if tested.get("active_units") == 0:
        print("the posterior has collapsed: no unit of the code is active. Try --task.warmup, or a smaller --task.beta")
    info, use = load_info(folder), "predict {0} FILE"
    if info.tokens:
        use = "generate {0}"
    elif {"elbo", "velocity_rmse"} & set(tested) and info.is_picture:
        use = "generate {0} --out samples.png"
    print(f"next: purezoo {use.format(folder)}    purezoo eval {folder}    purezoo list")
    return 0


@dataclass(frozen=True)
class ListFlags:
    """The networks of the zoo, and the configs with their measured results."""

    json: bool = False
    """print JSON"""


def list_zoo(args: list[str]) -> int:
    from .catalogue import as_json, as_text

    flags = parse(ListFlags, args, "purezoo list")
    print(as_json() if flags.json else as_text())
    return 0


@dataclass(frozen=True)
class ShowFlags:
    """A network, or that of a config or run, layer by layer: output shape, parameters, multiply-adds, memory."""

    input: tuple[int, ...] = field(default=())
    """shape of one example, 224 224 3; empty: that of the config's data"""
    trust: bool = False
    """run the config file that a run's folder brings along, where CONFIG is such a folder"""


def show(args: list[str]) -> int:
    from ..models.catalogue import CATALOGUE
    from . import config
    from .show import spec_of, table

    place = next(iter(words(args, ShowFlags)), None)
    if place is None:
        if {"-h", "--help"} & set(args):
            parse(ShowFlags, args, "purezoo show", ["CONFIG"])
        raise UserError("show what? Name a network, a config or a run first: purezoo show lenet_mnist")
    name = args[place]
    folder = Path(name)
    entry = CATALOGUE.get(name)
    if entry is not None:
        experiment = config.Experiment(model=entry.network)
    elif (folder / "config.json").is_file():
        experiment, _ = config.load(folder, "--trust" in args)
    else:
        experiment, _ = config.load_config(name, CATALOGUE)
    flags, experiment = parse_experiment(ShowFlags, experiment, args, place, "purezoo show")
    shape = flags.input or (entry.input if entry else example_shape(experiment))
    if min(shape) < 1:
        raise UserError(f"--input is a shape of positive numbers, not {shape}")
    network = type(experiment.model).__name__
    spec = spec_of(shape, tokens=bool(entry.tokens) if entry else experiment.task.kind == "language")
    try:
        print(table(experiment.model.build(), spec, f"{network} of {name}: {settings(experiment.model)}"))
    except (TypeError, ValueError) as error:
        raise UserError(f"{network} does not fit examples of shape {shape}: {error}") from error
    return 0


def example_shape(experiment: Any) -> tuple[int, ...]:
    """What the network sees of an example, as far as that is known without reading the data."""
    from .data import peek

    data = experiment.data
    try:
        known = peek(data, experiment.task.kind)
    except UserError:  # the pictures are not here, but their size is a setting
        if not (data.size and data.has_pictures):
            raise
        known = (data.size, data.size, data.channels or 3), 0
    if known is None:
        raise UserError(f"the shape of {data.source} is not known without reading it: give --input, as in 28 28 1")
    return experiment.augment.shape(tuple(known[0]))


def settings(model: Any) -> str:
    return ", ".join(f"{f.name}={getattr(model, f.name)!r}" for f in dataclasses.fields(model))


def free_folder(name: str) -> Path:
    """runs/NAME, or with the time behind it where that is taken."""
    folder = Path("runs") / name
    killed_at_its_start = folder.is_dir() and [path.name for path in folder.iterdir()] == [".lock"]
    if not folder.exists() or killed_at_its_start:
        return folder
    return folder.with_name(f"{name}-{datetime.datetime.now():%Y%m%d-%H%M%S}")
