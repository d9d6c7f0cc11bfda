"""Pictures of a latent space: what codes between two inputs, along single dimensions and all over a plane decode to."""

import re
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from ..errors import UserError
from .data import Dataset, read_inputs
from .data.examples import Examples, number_of, take
from .encode import Encoder, open_encoder
from .folder import new_file
from .reconstruction import Reconstruction, own_values
from .samples import write_grid
from .variational import Variational

NUMBER = re.compile(r"[-+]?\d*\.?\d+")
PRIOR = "prior"  # names the prior's mean where an input is asked for
REACH = 3.0  # standard deviations of the prior, each way
DIMENSIONS = 10  # rows of a picture of traversals, at most


def write_between(folder: Path, out: Path, ends: tuple[str, ...], steps: int, data_dir: str, trust: bool) -> None:
    """Writes a row of `steps` images as a PNG: from the reconstruction of one input to that of another, by the codes on
    the straight line between theirs. An end is a file of one example, or the number of a row of the test split.

    All three functions raise UserError for a run that decodes no pictures, for an input that does not fit and for a
    file that is there already.
    """
    encoder = decoding(folder, out, trust)
    if len(ends) != 2 or steps < 2:
        raise UserError("--between takes two inputs, files or numbers of test examples, and at least 2 steps (--count)")
    dataset = encoder.dataset(data_dir) if any(map(str.isdecimal, ends)) else None
    codes = [encoder.codes(one_example(end, encoder, dataset))[0] for end in ends]
    write_grid(out, images(encoder, between(codes[0], codes[1], steps)), columns=steps)


def write_traversals(folder: Path, out: Path, start: str, steps: int, data_dir: str, trust: bool) -> list[int]:
    """Writes a row of `steps` images for each of the ten most active dimensions of the code, the most active first, and
    returns their numbers: this one goes from -3 to 3 while the others stay as they are in the code of an input, or in
    the prior's mean. A dimension's activity is the variance of its posterior mean over the test split (Burda et al.
    2015, arXiv:1509.00519, section 5.2)."""
    encoder = decoding(folder, out, trust, prior=True)
    if steps < 2:
        raise UserError(f"--traverse takes at least 2 steps, not --count {steps}")
    dataset = encoder.dataset(data_dir)
    tested = encoder.codes(take(dataset.x, dataset.splits["test"]))
    code = np.zeros_like(tested[0]) if start == PRIOR else encoder.codes(one_example(start, encoder, dataset))[0]
    dimensions = np.argsort(-tested.var(0), kind="stable")[:DIMENSIONS]
    write_grid(out, images(encoder, traversals(code, dimensions, steps)), columns=steps)
    return dimensions.tolist()


def write_manifold(folder: Path, out: Path, side: int, trust: bool) -> None:
    """Writes `side` times `side` images, of codes spread evenly over the prior's probability: the first number grows
    to the right, the second upwards. UserError for codes that are not of two numbers."""
    encoder = decoding(folder, out, trust, prior=True)
    example = jax.ShapeDtypeStruct((1, *encoder.info.shape), jnp.float32)
    latent = jax.eval_shape(encoder.encode, encoder.weights, example).shape[1]
    if latent != 2:
        raise UserError(f"--manifold is for codes of 2 numbers, and {folder} has {latent}: train with --model.latent 2")
    write_grid(out, images(encoder, manifold(side)), columns=side)


def between(a: np.ndarray, b: np.ndarray, steps: int) -> np.ndarray:
    """Codes [steps, latent] on the line from a to b, both included."""
    share = np.linspace(0, 1, steps, dtype=np.float32)[:, None]
    return (1 - share) * a + share * b


def traversals(code: np.ndarray, dimensions: np.ndarray, steps: int) -> np.ndarray:
    """Codes [dimensions * steps, latent], dimension by dimension, whose own number goes from -3 to 3."""
    codes = np.tile(code, (len(dimensions), steps, 1))
    for row, dimension in zip(codes, dimensions, strict=True):
        row[:, dimension] = np.linspace(-REACH, REACH, steps)
    return codes.reshape(-1, len(code))


def manifold(side: int) -> np.ndarray:
    """Codes [side * side, 2], row by row from the top left: the normal distribution's quantiles of the middles of
    `side` equal parts of (0, 1). Kingma and Welling 2013, arXiv:1312.6114, figure 4."""
    quantiles = np.asarray(jax.scipy.special.ndtri((np.arange(side) + 0.5) / side), np.float32)
    second, first = np.meshgrid(quantiles[::-1], quantiles, indexing="ij")
    return np.stack([first, second], -1).reshape(-1, 2)


def decoding(folder: Path, out: Path, trust: bool, prior: bool = False) -> Encoder:
    """A run whose codes decode to pictures, and with `prior` one that knows how codes are distributed."""
    new_file(out, "--out", ".png")
    encoder = open_encoder(folder, trust)
    if not hasattr(encoder.model, "decode") or not isinstance(encoder.experiment.task, Reconstruction | Variational):
        raise UserError(f"{folder} has no decoder, as autoencoders have")
    if prior and not hasattr(encoder.model, "sample"):
        raise UserError(f"{folder} has no prior, as variational autoencoders have: of its codes --between is drawn")
    if not encoder.info.is_picture:
        raise UserError(f"{folder} learned examples of {encoder.info.shape}, which are no pictures")
    return encoder


def one_example(word: str, encoder: Encoder, dataset: Dataset | None) -> Examples:
    """The raw example [1, ...] that a word names: a row of the test split by its number, or the one in a file."""
    if word.isdecimal() and dataset is not None:
        rows = dataset.splits["test"]
        if int(word) >= len(rows):
            raise UserError(f"the test split has {len(rows):,} examples, numbered from 0: there is no {word}")
        return take(dataset.x, rows[[int(word)]])
    if NUMBER.fullmatch(word):
        raise UserError(f"examples of the test split are numbered 0, 1, 2, ...: there is no {word}")
    found = read_inputs(word, encoder.info)
    for note in found.notes:
        print(f"purezoo: {note}", file=sys.stderr)
    if number_of(found.x) != 1:
        raise UserError(f"{word} holds {number_of(found.x)} examples, and one is asked for")
    return found.x


def images(encoder: Encoder, codes: np.ndarray) -> np.ndarray:
    """What codes [N, latent] decode to, [N, H, W, C], where white is 1."""
    info, task = encoder.info, encoder.experiment.task

    @jax.jit
    def decode(weights, codes):
        output = encoder.model.decode(weights["params"], weights["state"], codes)
        output = task.parts(info).expected(output) if isinstance(task, Variational) else output
        return own_values(info, output)

    return np.asarray(decode(encoder.weights, codes))
