"""The commands that put a finished run to use, `purezoo eval | predict | encode | generate`; cli.py calls them."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..errors import UserError
from .flags import words_and_flags


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
    """variational autoencoders: also the importance-weighted bound, of so many codes for each example"""
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
        raise UserError(f"--samples is a number of codes, or 0, not {flags.samples}")
    folder, views = Path(found[0]), flags.views or None
    result = evaluate_run(folder, flags.split, flags.batch_size, flags.data_dir, flags.trust, views, flags.samples)
    if flags.json:
        print(json.dumps(result))
        return 0
    spread = result.get("std", {})
    print(
        f"{folder}, {result['split']} split, {result['examples']:,} examples"
        + (f", {len(result['seeds'])} seeds" if spread else "")
        + (f", {flags.samples:,} codes for each" if flags.samples else "")
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
        from .samples import write_samples

        write_samples(Path(found[0]), Path(flags.out), flags.count, flags.seed, flags.trust)
        print(f"{flags.out}: {flags.count} images")
        return 0
    sampling = Sampling(flags.temperature, flags.top_k, flags.top_p)
    for piece in generated(Path(found[0]), flags.prompt, flags.length, sampling, flags.seed, flags.trust):
        print(piece, end="", flush=True)
    print()
    return 0
