"""The benchmark's data in one NPZ file for all workers: MNIST, or scikit-learn's digits made as many and as large, or,
of other sizes than 28 x 28, made-up colour images, or, of size 0, a made-up text.

    arrays.py FILE [--side PIXELS] [--dir DIR] [--examples N] [--least N]

x_train [N, side, side, C] and x_test uint8, y_train [N] and y_test int32. Of the text x_train [N, WINDOW] and y_train
[N, WINDOW], the characters that follow, are uint8: its windows in their order.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from workloads import TEXT, VOCABULARY, WINDOW

BATCH = 128
COLOUR_BYTES = 2**24  # of made-up images
WINDOWS = 2**13  # of made-up text, to train on


class Arrays(NamedTuple):
    """What a worker trains on."""

    x: np.ndarray  # [N, H, W, C] uint8, or [N, WINDOW]
    y: np.ndarray  # [N] int32, or [N, WINDOW] uint8
    x_test: np.ndarray
    y_test: np.ndarray
    mean: float  # of the pixels of x
    std: float


def read(path: str) -> Arrays:
    with np.load(path, allow_pickle=False) as file:
        names = ("x_train", "y_train", "x_test", "y_test")
        return Arrays(*(file[name] for name in names), float(file["mean"]), float(file["std"]))


def shuffled(n: int, batch: int = BATCH, seed: int = 0) -> Iterator[np.ndarray]:
    """The rows of each batch, without end: every epoch in a new order, partial batches left out."""
    random = np.random.default_rng(seed)
    while True:
        order = random.permutation(n)
        for start in range(0, n - batch + 1, batch):
            yield order[start : start + batch]


def mnist(folder: str) -> dict[str, np.ndarray]:
    """MNIST as purezoo reads it, from IDX files or prepared by TFDS."""
    from purezoo.train.data import Data, load

    data = load(Data(source="mnist", dir=folder, validation=0.0), "classification")
    train, test = data.splits["train"], data.splits["test"]
    return {"x_train": data.x[train], "y_train": data.y[train], "x_test": data.x[test], "y_test": data.y[test]}


def digits(examples: int) -> dict[str, np.ndarray]:
    """Scikit-learn's 8 x 8 digits, three times as large, each drawn many times with another shift and other noise.

    The test examples, a sixth as many, are of other originals.
    """
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    images = np.kron(images.reshape(-1, 8, 8), np.ones((1, 3, 3))) * (255 / 16)  # [1797, 24, 24]
    random = np.random.default_rng(0)
    held_out = random.permutation(len(images)) < len(images) // 6
    parts = {}
    for name, of, n in (("train", ~held_out, examples), ("test", held_out, examples // 6)):
        originals = random.choice(np.flatnonzero(of), n)
        x = np.zeros((n, 28, 28, 1), np.uint8)
        for place in range(25):
            rows, (down, right) = np.arange(place, n, 25), divmod(place, 5)
            noisy = images[originals[rows]] + random.normal(0, 20, (len(rows), 24, 24))
            x[rows, down : down + 24, right : right + 24, 0] = noisy.clip(0, 255).astype(np.uint8)
        parts |= {f"x_{name}": x, f"y_{name}": labels[originals].astype(np.int32)}
    return parts


def colour(side: int, least: int) -> dict[str, np.ndarray]:
    """Images of ten classes: of each class a pattern of 8 x 8 colours, under noise. At least so many of them to train,
    sixteen to test."""
    random, cell = np.random.default_rng(0), -(-side // 8)
    patterns = np.kron(random.uniform(32, 224, (10, 8, 8, 3)), np.ones((1, cell, cell, 1)))[:, :side, :side]
    parts = {}
    for name, n in (("train", max(COLOUR_BYTES // (3 * side**2), least)), ("test", 16)):
        labels = np.arange(n, dtype=np.int32) % 10
        noisy = patterns[labels] + random.normal(0, 20, (n, side, side, 3))
        parts |= {f"x_{name}": noisy.clip(0, 255).astype(np.uint8), f"y_{name}": labels}
    return parts


def text() -> dict[str, np.ndarray]:
    """Words of 1 to 8 letters and the spaces between them: word n of 2000 is n times as rare as the first, and so are
    the 64 letters in them. The last window is the test."""
    random, letters = np.random.default_rng(0), VOCABULARY - 2
    likely = {n: 1 / np.arange(1, n + 1) / (1 / np.arange(1, n + 1)).sum() for n in (letters, 2000)}
    lengths = random.integers(1, 9, 2000)
    lexicon = [np.append(1 + random.choice(letters, n, p=likely[letters]), 0).astype(np.uint8) for n in lengths]
    size = (WINDOWS + 1) * WINDOW
    drawn = random.choice(2000, size // 2 + 1, p=likely[2000])  # a word has at least 2 characters with its space
    tokens = np.concatenate([lexicon[word] for word in drawn])[: size + 1]
    x, y = tokens[:-1].reshape(-1, WINDOW), tokens[1:].reshape(-1, WINDOW)
    return {"x_train": x[:-1], "y_train": y[:-1], "x_test": x[-1:], "y_test": y[-1:]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--side", type=int, default=28)
    parser.add_argument("--dir", default="")
    parser.add_argument("--examples", type=int, default=60_000)
    parser.add_argument("--least", type=int, default=0, help="the least number of made-up images")
    args = parser.parse_args()
    if args.side == TEXT:
        parts = text()
    elif args.side != 28:
        parts = colour(args.side, args.least)
    else:
        parts = mnist(args.dir) if args.dir else digits(args.examples)
    x = parts["x_train"]
    np.savez(args.file, **parts, mean=x.mean(), std=x.std())


if __name__ == "__main__":
    main()
