"""The command line, `purezoo train | eval | predict | encode | ...`: an experiment's fields are its flags."""

import dataclasses
import datetime
import errno
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ..errors import Interrupted, UserError, nearest
from .flags import parse, parse_experiment, words, words_and_flags

BEGAN = time.perf_counter()  # before jax is imported

HELP = """\
usage: purezoo COMMAND ...

A functional model zoo for JAX: networks as pure functions, trained from config files.

  purezoo train CONFIG        train a network:           purezoo train lenet_digits
  purezoo train --resume RUN  go on with a stopped run
  purezoo eval RUN            its metrics on a split:    purezoo eval runs/lenet_digits --split test
  purezoo predict RUN FILE    its answers for your data: purezoo predict runs/lenet_digits digit.png
  purezoo encode RUN FILE     their codes, by a run with an encoder: --out codes.npz
  purezoo generate RUN        what follows a text:       purezoo generate runs/lstm_text --prompt "ROMEO:"
                              or images, in a grid:      purezoo generate runs/vae_mnist --out samples.png
  purezoo list                the networks and the configs, with their measured results
  purezoo show NAME           a network layer by layer:  purezoo show lenet_mnist

`purezoo COMMAND --help` explains a command, `purezoo train CONFIG --help` every setting of a config.
CONFIG is a name from `purezoo list`, or the path of your own Python file, which is run.
Exit codes: 0 done, 2 something for you to mend, 130 stopped by Ctrl-C, 143 stopped by SIGTERM (both after saving).
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
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EROFS):
            raise
        return complain(f"cannot write {error.filename or 'a file'}: {error.strerror}. What was saved before is whole.")
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "RESOURCE_EXHAUSTED" not in str(error):  # as XLA says it
            raise
        return complain("out of memory: choose a smaller --train.batch-size or network")


def command(args: list[str]) -> int:
    """Dispatches to a command."""
    commands: dict[str, Callable[[list[str]], int]] = {
        "train": train, "eval": evaluate, "predict": predict, "encode": encode, "generate": generate,
        "list": list_zoo, "show": show,
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
    print(f"purezoo: {message}", file=sys.stderr)
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

    name = next(iter(words(args, TrainFlags)), None)
    if name is None:
        flags = parse(
            TrainFlags, args, "purezoo train", ["CONFIG"] if not any(a.startswith("--resume") for a in args) else []
        )
        if not flags.resume:
            raise UserError("train what? Name a config, `purezoo train lenet_digits`, or a run: --resume RUN")
        folder = Path(flags.resume)
        experiment, source = config.load(folder, flags.trust)
        options = Options(True, flags.quiet, not flags.no_pictures, BEGAN)
        if finished(folder, experiment):
            print(f"{folder} has finished already.")
            return report(folder, read_json(folder / "summary.json"))
    else:
        experiment, source = config.load_config(name)
        flags, experiment = parse_experiment(TrainFlags, experiment, args, name, "purezoo train")
        if flags.resume:
            raise UserError("--resume takes the settings of the run's folder: leave the config away")
        folder = Path(flags.out) if flags.out else free_folder(Path(name).stem)
        options = Options(False, flags.quiet, not flags.no_pictures, BEGAN)
    return report(folder, train_run(experiment, folder, source, options))


def finished(folder: Path, experiment) -> bool:
    """Whether a run has all that it should leave behind."""
    seeds = range(experiment.train.seed, experiment.train.seed + experiment.train.seeds)
    homes = [folder / f"seed-{seed}" for seed in seeds] if len(seeds) > 1 else [folder]
    files = [folder / "summary.json", *(home / "model.safetensors" for home in homes)]
    return all(file.is_file() for file in files)


def report(folder: Path, summary: dict) -> int:
    """The last lines of a run: the result, where it is, what to try next."""
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
        print(f"{summary['skipped']:,} pictures could not be read and were skipped")
    print(f"folder: {folder}")
    if tested.get("active_units") == 0:
        print("the posterior has collapsed: no unit of the code is active. Try --task.warmup, or a smaller --task.beta")
    use = "generate {0}" if any(name.startswith("bits_per") for name in tested) else "predict {0} FILE"
    use = "generate {0} --out samples.png" if {"elbo", "velocity_rmse"} & set(tested) else use
    print(f"next: purezoo {use.format(folder)}    purezoo eval {folder}    purezoo list")
    return 0


@dataclass(frozen=True)
class EvalFlags:
    """The metrics of a finished run on one of its splits: every example exactly once."""

    split: str = "test"
    """train, validation or test"""
    batch_size: int = 0
    """examples in a batch, which the metrics do not depend on; 0: as in the run"""
    json: bool = False
    """print one line of JSON"""
    data_dir: str = ""
    """folder of the data's files, where it has moved since the run"""
    views: Literal["", "one", "flip", "ten"] = ""
    """average over views of each image, as --augment.views says in training; empty: as in the run"""
    samples: int = 0
    """variational autoencoders: also the importance-weighted bound, of so many codes for each example; flows: also the
    likelihood, estimated with so many probes of each example"""
    steps: int = 50
    """flows: steps of the ODE that gives the likelihood"""
    trust: bool = False
    """run the config file that the run's folder brings along"""


def evaluate(args: list[str]) -> int:
    from .serve import evaluate_run

    found, flags = words_and_flags(EvalFlags, args, "purezoo eval", ["RUN"])
    if len(found) != 1:
        raise UserError("evaluate which run? purezoo eval RUN, with the folder of a finished run")
    if flags.batch_size < 0:
        raise UserError(f"--batch-size is at least 1, not {flags.batch_size}")
    if flags.samples < 0:
        raise UserError(f"--samples is a number of draws for each example, or 0, not {flags.samples}")
    if flags.steps < 1:
        raise UserError(f"--steps is at least 1, not {flags.steps}")
    folder, views, draws = Path(found[0]), flags.views or None, (flags.samples, flags.steps)
    result = evaluate_run(folder, flags.split, flags.batch_size, flags.data_dir, flags.trust, views, *draws)
    if flags.json:
        print(json.dumps(result))
        return 0
    spread = result.get("std", {})
    print(
        f"{folder}, {result['split']} split, {result['examples']:,} examples"
        + (f", {len(result['seeds'])} seeds" if spread else "")
        + (f", {flags.samples:,} {'probes' if 'steps' in result else 'codes'} for each" if flags.samples else "")
    )
    for name, value in result["metrics"].items():
        print(f"  {name:<16} {value:.6f}" + (f" ± {spread[name]:.6f}" if spread else ""))
    return 0


@dataclass(frozen=True)
class PredictFlags:
    """What a finished run makes of your files: images, a CSV with a header, or an NPZ with an array x."""

    format: Literal["table", "json", "csv"] = "table"
    """how to print: a table, a line of JSON for each example, or CSV"""
    top: int = 3
    """classes to show for each example in the table; JSON and CSV hold all"""
    false_alarms: float = 0.01
    """reconstruction: an example is an anomaly where its error exceeds the one that this share of the validation
    examples exceeds"""
    masks: str = ""
    """segmentation: a folder for the class of each pixel, written as NAME.png with a palette; no file is replaced"""
    trust: bool = False
    """run the config file that the run's folder brings along"""


def predict(args: list[str]) -> int:
    from .serve import predict_files, print_predictions

    found, flags = words_and_flags(PredictFlags, args, "purezoo predict", ["RUN", "FILE..."])
    if len(found) < 2:
        raise UserError("predict what? purezoo predict RUN FILE..., with images, a CSV or an NPZ")
    if flags.top < 1:
        raise UserError(f"--top is at least 1, not {flags.top}")
    folder, *files = map(Path, found)
    records = predict_files(folder, files, flags.trust, flags.masks, flags.false_alarms)
    print_predictions(records, flags.format, flags.top)
    return 0


@dataclass(frozen=True)
class EncodeFlags:
    """The codes that a finished run's encoder gives your files, as an NPZ with `codes` [N, latent] and `names` [N]."""

    out: str = ""
    """the NPZ file to write; it must not exist yet"""
    trust: bool = False
    """run the config file that the run's folder brings along"""


def encode(args: list[str]) -> int:
    from .encode import encode_files

    found, flags = words_and_flags(EncodeFlags, args, "purezoo encode", ["RUN", "FILE..."])
    if len(found) < 2 or not flags.out:
        raise UserError("encode what, and where to? purezoo encode RUN FILE... --out codes.npz")
    folder, *files = map(Path, found)
    shape = encode_files(folder, files, Path(flags.out), flags.trust)
    print(f"{flags.out}: codes {list(shape)} and names")
    return 0


@dataclass(frozen=True)
class GenerateFlags:
    """Text from a finished run that learned a language: the prompt, and what the network makes of it, as it comes. Or
    images from a run that learned their distribution, as a grid in the file --out."""

    prompt: str = "\n"
    """the text to go on with"""
    length: int = 500
    """characters (or bytes) to add"""
    temperature: float = 0.8
    """below 1 likely characters become likelier; 0: always the likeliest"""
    top_k: int = 0
    """draw from so many likeliest ones; 0: from all"""
    top_p: float = 1.0
    """draw from the fewest likeliest ones that have this probability in all"""
    seed: int = 0
    """of the draws: the same seed writes the same text and the same images"""
    out: str = ""
    """images: the PNG file to write; it must not exist yet"""
    count: int = 64
    """images: how many"""
    classes: tuple[str, ...] = field(default_factory=tuple)
    """images of a flow: the classes to draw, in turn; empty: all"""
    steps: int = 50
    """images of a flow: steps from noise to image"""
    guidance: float = 1.0
    """images of a flow: how much the class counts; 0: not at all, 1: as in the data, more exaggerates it"""
    sampler: Literal["heun", "euler", "stochastic"] = "heun"
    """images of a flow: heun and euler follow its ODE, by two evaluations a step and by one; stochastic adds noise"""
    trust: bool = False
    """run the config file that the run's folder brings along"""


def generate(args: list[str]) -> int:
    from .generate import Sampling
    from .generate import generate as generated

    found, flags = words_and_flags(GenerateFlags, args, "purezoo generate", ["RUN"])
    if len(found) != 1:
        raise UserError("generate with which run? purezoo generate RUN, with the folder of a finished run")
    if flags.length < 1:
        raise UserError(f"--length is at least 1, not {flags.length}")
    if flags.count < 1:
        raise UserError(f"--count is at least 1, not {flags.count}")
    if not 0 <= flags.seed < 2**31:
        raise UserError(f"--seed is at least 0 and lies below 2^31, not {flags.seed}")
    if flags.out:
        from .flow_samples import Drawing
        from .samples import write_samples

        drawing = Drawing(flags.classes, flags.steps, flags.guidance, flags.sampler)
        write_samples(Path(found[0]), Path(flags.out), flags.count, flags.seed, flags.trust, drawing)
        print(f"{flags.out}: {flags.count} images")
        return 0
    sampling = Sampling(flags.temperature, flags.top_k, flags.top_p)
    for piece in generated(Path(found[0]), flags.prompt, flags.length, sampling, flags.seed, flags.trust):
        print(piece, end="", flush=True)
    print()
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

    name = next(iter(words(args, ShowFlags)), None)
    if name is None:
        parse(ShowFlags, args, "purezoo show", ["CONFIG"])
        raise UserError("show what? Name a network, a config or a run: purezoo show lenet_mnist")
    folder = Path(name)
    entry = CATALOGUE.get(name)
    if entry is not None:
        experiment = config.Experiment(model=entry.network)
    elif (folder / "config.json").is_file():
        experiment, _ = config.load(folder, "--trust" in args)
    else:
        experiment, _ = config.load_config(name)
    flags, experiment = parse_experiment(ShowFlags, experiment, args, name, "purezoo show")
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
    if not folder.exists() or [path.name for path in folder.iterdir()] == [".lock"]:  # of a run killed at its start
        return folder
    return folder.with_name(f"{name}-{datetime.datetime.now():%Y%m%d-%H%M%S}")
