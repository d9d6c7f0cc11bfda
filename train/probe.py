"""What features are worth: how well a linear classifier tells classes apart by them, from few labels and from many.

Three kinds of features stand beside each other: the codes of a run's encoder, the raw pixels (or columns), and as many
principal components as a code has numbers, which are fitted on the training split without its labels.
"""

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import UserError
from .data import Dataset
from .data.examples import Ragged, take
from .data.split import draw
from .encode import Encoder, has_classes, open_encoder
from .finetune import Score, tuner
from .folder import new_file, write_json
from .steps import preparation

SIZES = (10, 100, 1000)  # of labelled examples, where none are asked for
STRENGTHS = 10.0 ** np.arange(-4, 3)  # scikit-learn's C, the inverse of the regularisation's weight: what is tried
ITERATIONS = 200  # of the solver, at most, for each
TUNED = {"fine-tuned": True, "from scratch": False}  # ways to train the encoder -> whether it starts from the run
Split = tuple[np.ndarray, np.ndarray]  # features [N, D], class indices [N]


def probe(folder: Path, sizes: tuple[str, ...], seeds: int, fine_tune: bool, out: Path, data_dir: str, trust: bool
          ) -> list[dict[str, Any]]:  # fmt: skip
    """A record for each kind of features and number of labels: name, width, labels, and over `seeds` draws of the
    labelled examples the accuracy on the test split and what was chosen. Writes them as probe.json, and draws
    probe.png, in the folder `out`.

    Every draw holds each class. With all labels there is one draw, and one result of a linear classifier. With
    `fine_tune` also the encoder itself is trained, from the run's weights and from random ones (finetune.py).
    Raises UserError for a run without an encoder, for data without classes or without a validation split, for
    numbers of labels that do not fit, and for a file that is there already.
    """
    for name in ("probe.json", "probe.png"):
        new_file(out / name, "--out", Path(name).suffix)
    encoder = open_encoder(folder, trust)
    dataset = encoder.dataset(data_dir)
    check(dataset, folder)
    y = {split: take(dataset.y, rows) for split, rows in dataset.splits.items()}
    numbers = numbers_of_labels(sizes, y["train"])
    ways: dict[str, tuple[int, Callable[[np.ndarray, int], Score]]] = {}  # name -> width, (rows, seed) -> Score
    for name, x in features(encoder, dataset).items():
        ways[name] = x["train"].shape[1], linear(x, y)
    for name, start in TUNED.items() if fine_tune else ():
        ways[name] = ways["codes"][0], tuner(encoder, dataset, start)
    records = []
    for name, (width, score) in ways.items():
        for number in numbers:
            once = number == len(y["train"]) and name not in TUNED
            scores = [score(rows, seed) for seed, rows in enumerate(draws(y["train"], number, 1 if once else seeds))]
            accuracy, chosen = ([float(value) for value in values] for values in zip(*scores, strict=True))
            records.append({"features": name, "width": width, "labels": number, "accuracy": accuracy, "chosen": chosen})
    counts = {split: len(labels) for split, labels in y.items()}
    write_json(out / "probe.json", {"run": str(folder), "classes": dataset.info.classes, **counts, "results": records})
    picture(records, out / "probe.png")
    return records


def check(dataset: Dataset, folder: Path) -> None:
    info = dataset.info
    if not has_classes(dataset) or isinstance(dataset.x, Ragged):
        raise UserError(f"{folder} learned from {info.source}, whose examples have no classes to tell apart")
    if "validation" not in dataset.splits:
        raise UserError(f"{folder} has no validation split, by which the regularisation is chosen")


def numbers_of_labels(sizes: tuple[str, ...], y: np.ndarray) -> list[int]:
    """In growing order; 10, 100, 1000 and all, as far as they fit, where none are named. `y`: labels of the training
    split. UserError for a number that is more than all, or less than one for each class."""
    classes, whole = len(np.unique(y)), len(y)
    if not sizes:
        return [*(size for size in SIZES if classes <= size < whole), whole]
    for size in sizes:
        if size != "all" and not (size.isdecimal() and classes <= int(size) <= whole):
            raise UserError(f"--labels {size}: give numbers from {classes}, one for each class, to {whole}, or all")
    return sorted({whole if size == "all" else int(size) for size in sizes})


def draws(y: np.ndarray, number: int, seeds: int) -> Iterator[np.ndarray]:
    """For each seed the rows of `number` of the labels y [N], of each class in proportion and at least one."""
    for seed in range(seeds):
        yield np.flatnonzero(~draw(len(y) - number, y, len(y), np.random.default_rng(seed)))


def features(encoder: Encoder, dataset: Dataset) -> dict[str, dict[str, np.ndarray]]:
    """name -> split -> [N, D] float32. All are centred, and divided by one number so that a dimension has a variance of
    1 on average: a penalty on weights depends on the scale."""
    from sklearn.decomposition import PCA

    prepare, _ = preparation(dataset.info)
    raw = {split: take(dataset.x, rows) for split, rows in dataset.splits.items()}
    pixels = {split: np.asarray(prepare(x)).reshape(len(x), -1) for split, x in raw.items()}
    codes = {split: encoder.codes(x) for split, x in raw.items()}
    width = min(codes["train"].shape[1], *pixels["train"].shape)
    pca = PCA(width, random_state=0).fit(pixels["train"])
    components = {split: pca.transform(x) for split, x in pixels.items()}
    return {name: scaled(x) for name, x in (("pixels", pixels), ("PCA", components), ("codes", codes))}


def scaled(x: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    mean, deviation = x["train"].mean(0), np.sqrt(x["train"].var(0).mean()) or 1.0
    return {split: (values - mean) / deviation for split, values in x.items()}


def linear(x: dict[str, np.ndarray], y: dict[str, np.ndarray]) -> Callable[[np.ndarray, int], Score]:
    """A function that fits a linear classifier on rows of the training split."""
    return lambda rows, seed: logistic(
        (x["train"][rows], y["train"][rows]), (x["validation"], y["validation"]), (x["test"], y["test"])
    )


def logistic(train: Split, validation: Split, test: Split) -> Score:
    """Logistic regression by scikit-learn, with an L2 penalty whose weight, of seven, is best on the validation split,
    and of equally good ones the largest. The validation labels are all used, however few there are to train on: for
    all features alike, so that they can be compared."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(max_iter=ITERATIONS, warm_start=True)
    best, found = -1.0, Score(0.0, 0.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        for strength in STRENGTHS:
            accuracy = model.set_params(C=strength).fit(*train).score(*validation)
            if accuracy > best:
                best, found = accuracy, Score(model.score(*test), strength)
    return found


def as_table(records: list[dict[str, Any]], seeds: int) -> str:
    """Test accuracy of each kind of features (rows) by the number of labels (columns)."""
    numbers = sorted({record["labels"] for record in records})
    lines = [
        f"test accuracy by so many labels, mean ± standard deviation of {seeds} draws",
        f"{'':24}" + "".join(f"{number:>18,}" for number in numbers),
    ]
    for name in dict.fromkeys(record["features"] for record in records):
        own = [record for record in records if record["features"] == name]
        head = f"{name} ({own[0]['width']:,})"
        lines.append(f"{head:24}" + "".join(f"{cell(record['accuracy']):>18}" for record in own))
    return "\n".join(lines)


def cell(accuracy: list[float]) -> str:
    spread = f" ± {100 * np.std(accuracy, ddof=1):.2f}" if len(accuracy) > 1 else ""
    return f"{100 * np.mean(accuracy):.2f}{spread} %"


def picture(records: list[dict[str, Any]], path: Path) -> None:
    """Accuracy against the number of labels, a line for each kind of features."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for name in dict.fromkeys(record["features"] for record in records):
        own = [record for record in records if record["features"] == name]
        accuracy = [record["accuracy"] for record in own]
        spread = [np.std(values, ddof=1) if len(values) > 1 else 0.0 for values in accuracy]
        numbers = [record["labels"] for record in own]
        axes.errorbar(numbers, [np.mean(values) for values in accuracy], spread, label=name, marker=".", capsize=2)
    axes.set(xscale="log", xlabel="labels", ylabel="test accuracy")
    axes.legend()
    figure.savefig(path, dpi=120)
