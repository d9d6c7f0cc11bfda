"""The commands that put a finished run to use, `purezoo eval | predict | encode | ...`; cli.py calls them."""

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ..errors import UserError
from .flags import words_and_flags

LARGEST_GRID = 10_000  # images in a picture


@dataclass(frozen=True)
class EvalFlags:
    """The metrics of a finished run on one of its splits: every example exactly once. Of several seeds the mean and the
    deviation; of classes and numbers also, as `together`, those of their average prediction, which `predict` gives."""

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
        raise UserError(f"--batch-size is a number of examples, or 0 for that of the run, not {flags.batch_size}")
    if flags.samples < 0:
        raise UserError(f"--samples is a number of draws for each example, or 0, not {flags.samples}")
    if flags.steps < 1:
        raise UserError(f"--steps is at least 1, not {flags.steps}")
    if not flags.samples:
        refuse(flags, ["steps"], "metrics without --samples")
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
    together = result.get("together", {})  # what the seeds predict on average
    for name, value in result["metrics"].items():
        print(
            f"  {name:<16} {value:.6f}"
            + (f" ± {spread[name]:.6f}" if spread else "")
            + (f"  together {together[name]:.6f}" if together else "")
        )
    return 0


@dataclass(frozen=True)
class PredictFlags:
    """What a finished run makes of your files: images, recordings, a CSV with a header, a .ts file, or an NPZ with an
    array x (and lengths, of sequences one after another)."""

    format: Literal["table", "json", "csv"] = "table"
    """how to print: a table, a line of JSON for each example, or CSV"""
    top: int = 3
    """classes to show for each example in the table; JSON and CSV hold all"""
    false_alarms: float = 0.01
    """reconstruction: an example is an anomaly where its error exceeds the one that this share of the validation
    examples exceeds"""
    masks: str = ""
    """segmentation: a folder for the class of each pixel that the network sees, written as NAME.png with a palette, in
    the size of the run's pictures; no file is replaced"""
    trust: bool = False
    """run the config file that the run's folder brings along"""


def predict(args: list[str]) -> int:
    from .predict import predict_files, print_predictions

    found, flags = words_and_flags(PredictFlags, args, "purezoo predict", ["RUN", "FILE..."])
    if len(found) < 2:
        raise UserError(
            "predict what? purezoo predict RUN FILE..., with images, recordings, a CSV, a .ts file or an NPZ"
        )
    if flags.top < 1:
        raise UserError(f"--top is at least 1, not {flags.top}")
    folder, *files = map(Path, found)
    records = predict_files(folder, files, flags.trust, flags.masks, flags.false_alarms)
    print_predictions(records, flags.format, flags.top)
    return 0


@dataclass(frozen=True)
class EncodeFlags:
    """The codes that a finished run's encoder gives your files, or without files those of its test split: as an NPZ
    with `codes` [N, latent] and `names` [N] (and of a test split with classes `labels` [N]), as a map, or both."""

    out: str = ""
    """the NPZ file to write; it must not exist yet"""
    map: str = ""
    """a PNG file to draw the codes in, as points in a plane, coloured by class where the test split has classes; it
    must not exist yet"""
    by: Literal["tsne", "pca"] = "tsne"
    """how the map is made: t-SNE, or the first two principal components; of at most 5,000 codes"""
    data_dir: str = ""
    """folder of the data's files, where it has moved since the run"""
    trust: bool = False
    """run the config file that the run's folder brings along"""


def encode(args: list[str]) -> int:
    from .encode import encode_examples

    found, flags = words_and_flags(EncodeFlags, args, "purezoo encode", ["RUN", "[FILE...]"])
    if not found or not (flags.out or flags.map):
        raise UserError("encode what, and where to? purezoo encode RUN [FILE...] --out codes.npz, or --map map.png")
    if not flags.map:
        refuse(flags, ["by"], "codes without a --map")
    folder, *files = map(Path, found)
    out, picture = (Path(name) if name else None for name in (flags.out, flags.map))
    arrays = encode_examples(folder, files, out, picture, flags.by, flags.data_dir, flags.trust)
    codes = f"codes {list(arrays['codes'].shape)}"
    if flags.out:
        print(f"{flags.out}: {codes}" + (", names and labels" if "labels" in arrays else " and names"))
    if flags.map:
        print(f"{flags.map}: a map of {codes}")
    return 0


@dataclass(frozen=True)
class ProbeFlags:
    """What the codes of a finished run are worth: the test accuracy of a linear classifier on them, beside one on the
    pixels and one on as many principal components, by the number of labels. The table is also saved as probe.json, and
    drawn as probe.png."""

    labels: tuple[str, ...] = field(default_factory=tuple)
    """numbers of labelled examples, or all; empty: 10, 100, 1000 and all, as far as they fit"""
    seeds: int = 5
    """draws of the labelled examples"""
    fine_tune: bool = False
    """also train the encoder itself, with a linear layer on its code: from the run's weights, and from scratch"""
    out: str = ""
    """folder for the two files, which must not be there yet; empty: the run's own"""
    data_dir: str = ""
    """folder of the data's files, where it has moved since the run"""
    trust: bool = False
    """run the config file that the run's folder brings along"""


def probe(args: list[str]) -> int:
    from .probe import as_table
    from .probe import probe as probed

    found, flags = words_and_flags(ProbeFlags, args, "purezoo probe", ["RUN"])
    if len(found) != 1:
        raise UserError("probe which run? purezoo probe RUN, with the folder of a finished run")
    if flags.seeds < 1:
        raise UserError(f"--seeds is at least 1, not {flags.seeds}")
    folder, out = Path(found[0]), Path(flags.out or found[0])
    records = probed(folder, flags.labels, flags.seeds, flags.fine_tune, out, flags.data_dir, flags.trust)
    print(as_table(records, flags.seeds))
    print(f"saved as {out / 'probe.json'} and {out / 'probe.png'}")
    return 0


@dataclass(frozen=True)
class GenerateFlags:
    """Text from a finished run that learned a language: the prompt, and what the network makes of it, as it comes. Or
    images from a run that learned their distribution, as a grid in the file --out; or what the codes of an autoencoder
    decode to: --between, --traverse or --manifold."""

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
    count: int = 0
    """images: how many; 0: 64, or 10 in a row of --between and --traverse, or 20 each way of --manifold"""
    classes: tuple[str, ...] = field(default_factory=tuple)
    """images of a flow: the classes to draw, in turn; empty: all"""
    steps: int = 50
    """images of a flow: steps from noise to image"""
    guidance: float = 1.0
    """images of a flow: how much the class counts; 0: not at all, 1: as in the data, more exaggerates it"""
    sampler: Literal["heun", "euler", "stochastic"] = "heun"
    """images of a flow: heun and euler follow its ODE, by two evaluations a step and by one; stochastic adds noise"""
    between: tuple[str, ...] = field(default_factory=tuple)
    """images: from one input to another, by the codes on the straight line between theirs. Two files, or numbers of
    examples of the test split, from 0 on"""
    traverse: str = ""
    """images of a variational autoencoder: the ten most active dimensions of the code, a row each, from -3 to 3, while
    the others stay as in the code of a file or of an example of the test split, or at the prior's mean (`prior`)"""
    manifold: bool = False
    """images of a variational autoencoder with 2 numbers in its code: all over the plane, evenly in the prior's
    probability"""
    data_dir: str = ""
    """images: folder of the data's files, where it has moved since the run"""
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
    if flags.count < 0:
        raise UserError(f"--count is a number of images, or 0, not {flags.count}")
    most, each = LARGEST_GRID, ""
    if flags.manifold:
        most, each = math.isqrt(LARGEST_GRID), " a side"
    elif flags.traverse:
        from .latent import DIMENSIONS

        most, each = LARGEST_GRID // DIMENSIONS, " a row"
    if flags.count > most:
        raise UserError(f"--count {flags.count}: a picture holds at most {most:,} images{each}")
    if not 0 <= flags.seed < 2**31:
        raise UserError(f"--seed is at least 0 and lies below 2^31, not {flags.seed}")
    refuse_others(flags)
    if flags.between or flags.traverse or flags.manifold:
        return generate_latent(Path(found[0]), flags)
    if flags.out:
        from .flow_samples import Drawing
        from .samples import write_samples

        count, drawing = flags.count or 64, Drawing(flags.classes, flags.steps, flags.guidance, flags.sampler)
        write_samples(Path(found[0]), Path(flags.out), count, flags.seed, flags.trust, drawing)
        print(f"{flags.out}: {count} images")
        return 0
    sampling = Sampling(flags.temperature, flags.top_k, flags.top_p)
    for piece in generated(Path(found[0]), flags.prompt, flags.length, sampling, flags.seed, flags.trust):
        print(piece, end="", flush=True)
    print()
    return 0


def refuse_others(flags: GenerateFlags) -> None:
    """UserError for the first flag that is for something else than what is to be generated."""
    texts, flows = ["prompt", "length", "temperature", "top_k", "top_p"], ["classes", "steps", "guidance", "sampler"]
    if flags.between or flags.traverse or flags.manifold:
        others, what = [*texts, *flows, "seed"], "what codes decode to"
    elif flags.out:
        others, what = [*texts, "data_dir"], "images that a run draws"
    else:
        others, what = [*flows, "count", "data_dir"], "a text, and images need --out NAME.png"
    refuse(flags, others, what)


def refuse(flags: Any, names: list[str], what: str) -> None:
    """UserError for the first of these flags that is given, and has no part in what is done."""
    defaults = type(flags)()
    for name in names:
        if getattr(flags, name) != getattr(defaults, name):
            raise UserError(f"--{name.replace('_', '-')} has no part in {what}")


def generate_latent(folder: Path, flags: GenerateFlags) -> int:
    """One of the pictures of a latent space."""
    from .latent import write_between, write_manifold, write_traversals

    if bool(flags.between) + bool(flags.traverse) + flags.manifold > 1 or not flags.out:
        raise UserError("--between, --traverse and --manifold each draw a picture: give one, and --out NAME.png")
    out = Path(flags.out)
    if flags.manifold:
        side = flags.count or 20
        write_manifold(folder, out, side, flags.trust)
        print(f"{out}: {side} x {side} images")
    elif flags.between:
        steps = flags.count or 10
        write_between(folder, out, flags.between, steps, flags.data_dir, flags.trust)
        print(f"{out}: {steps} images")
    else:
        steps = flags.count or 10
        dimensions = write_traversals(folder, out, flags.traverse, steps, flags.data_dir, flags.trust)
        print(f"{out}: dimensions {', '.join(map(str, dimensions))}, from the top")
    return 0
