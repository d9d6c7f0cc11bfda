"""The pictures in a run's folder: learning curves, and what the task calls for. matplotlib is imported when drawn."""

from pathlib import Path

import numpy as np

from .config import Experiment
from .data import Dataset
from .data.masks import palette
from .evaluation import Totals, examples, predict_rows
from .flow import FlowMatching
from .flow_samples import Drawing, drawer
from .reconstruction import noise_of_rows, own_values
from .steps import Functions, preparation

SAMPLES = 100  # images that a flow leaves behind, of all its classes in turn


def draw(folder: Path, experiment: Experiment, dataset: Dataset, functions: Functions, weights: dict,
         sums: dict[str, Totals], lines: list[dict]) -> None:  # fmt: skip
    """Draws all pictures of a finished run. `sums`: the totals of each split; `lines`: those of metrics.jsonl."""
    from matplotlib.figure import Figure

    learning_curves(Figure(figsize=(9, 3.5), layout="constrained"), lines, experiment.task.headline, folder)
    rows, info = dataset.splits["test"], dataset.info
    if info.kind == "classification" and len(info.classes) <= 100:
        confusion(Figure(figsize=(6, 5.2), layout="constrained"), sums["test"]["confusion"][0], info.classes, folder)
    if info.kind == "segmentation" and info.shape[-1] in (1, 3):
        x, y = examples(dataset, rows[:6])
        guess = predict_rows(functions, weights, x, len(x)).argmax(-1)
        segmented(Figure(figsize=(6, 2 * len(x)), layout="constrained"), x, y, guess, dataset, folder)
    is_shown = info.kind == "reconstruction" and info.is_picture
    if is_shown and isinstance(experiment.task, FlowMatching):
        labels = Drawing().labels(experiment, info, SAMPLES)
        made = drawer(experiment, info, weights, Drawing())(labels, experiment.train.seed)
        from .samples import write_grid  # which imports this module

        write_grid(folder / "samples.png", made / info.pixel_max)
    elif is_shown:
        shown = restored_images(experiment, dataset, functions, weights, rows[:12])
        figure = Figure(figsize=(len(shown["clean"]), 0.2 + 1.1 * len(shown)), layout="constrained")
        reconstructions(figure, shown, folder)
    if info.kind == "forecast":
        x, y = examples(dataset, rows)
        guess = predict_rows(functions, weights, x, experiment.train.eval_batch_size)
        forecast(Figure(figsize=(9, 2 + 2 * len(info.targets)), layout="constrained"), x, y, guess, dataset, folder)
    is_picture = info.kind == "classification" and len(info.shape) == 3 and info.shape[-1] in (1, 3)
    if is_picture or (info.kind == "regression" and len(info.targets) <= 4):
        x, y = examples(dataset, rows)
        outputs = predict_rows(functions, weights, x, experiment.train.eval_batch_size)
        figure = Figure(figsize=(8, 5) if is_picture else (5, 5), layout="constrained")
        if is_picture:
            most_wrong(figure, x, y, outputs, dataset, folder)
        else:
            predicted_against_true(figure, y, outputs, dataset, folder)


def learning_curves(figure, lines: list[dict], headline: str, folder: Path) -> None:
    """Loss and the task's main metric over the steps, for training and validation."""
    names = ["loss"] + ([headline] if any(headline in line.get("validation", line["train"]) for line in lines) else [])
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        for split in ("train", "validation"):
            points = [(line["step"], line[split][name]) for line in lines if name in line.get(split, {})]
            if points:
                axes.plot(*zip(*points, strict=True), label=split, marker="." if len(points) < 30 else None)
        axes.set(xlabel="step", title=name)
        axes.legend()
    figure.savefig(folder / "learning_curves.png", dpi=120)


def confusion(figure, pairs: np.ndarray, classes: tuple[str, ...], folder: Path) -> None:
    """How often each class (row) was taken for each class (column), in the test split."""
    axes = figure.subplots()
    shares = pairs / np.maximum(pairs.sum(1, keepdims=True), 1)
    figure.colorbar(axes.imshow(shares, cmap="Blues", vmin=0, vmax=1), ax=axes, label="share of the class")
    if len(classes) <= 20:
        ticks = range(len(classes))
        axes.set_xticks(ticks, classes, rotation=90 if max(map(len, classes)) > 3 else 0)
        axes.set_yticks(ticks, classes)
        for i, j in np.argwhere(pairs > 0):
            color = "white" if shares[i, j] > 0.5 else "black"
            axes.text(j, i, f"{pairs[i, j]:.0f}", ha="center", va="center", fontsize=7, color=color)
    axes.set(xlabel="predicted", ylabel="true", title="test split")
    figure.savefig(folder / "confusion.png", dpi=120)


def most_wrong(figure, x: np.ndarray, y: np.ndarray, logits: np.ndarray, dataset: Dataset, folder: Path) -> None:
    """The wrong test images with the highest probability of their wrong class."""
    chance = probabilities(logits)
    guess, sure = chance.argmax(1), chance.max(1)
    wrong = np.flatnonzero(guess != y)
    worst = wrong[np.argsort(-sure[wrong])][:24]
    classes, white = dataset.info.classes, dataset.info.pixel_max or 1
    cells = figure.subplots(4, 6).ravel()
    for axes in cells:
        axes.axis("off")
    for axes, i in zip(cells, worst, strict=False):
        axes.imshow(np.clip(x[i] / white, 0, 1), cmap="gray", vmin=0, vmax=1)
        axes.set_title(f"{classes[y[i]]}, not {classes[guess[i]]} ({sure[i]:.0%})", fontsize=7)
    of = f"{len(y)}" if len(y) == dataset.seen("test") else f"{len(y)} of {dataset.seen('test')}"
    figure.suptitle(f"{len(wrong)} of {of} test images are wrong; the most confident of them, with their true class")
    figure.savefig(folder / "most_wrong.png", dpi=120)


def segmented(figure, x: np.ndarray, y: np.ndarray, guess: np.ndarray, dataset: Dataset, folder: Path) -> None:
    """Test images, the true class of each pixel, and the predicted one."""
    from matplotlib.patches import Patch

    colors, white, classes = palette(), dataset.info.pixel_max or 1, dataset.info.classes
    cells = figure.subplots(len(x), 3, squeeze=False)
    for row, image, true, found in zip(cells, x, y, guess, strict=True):
        row[0].imshow(np.clip(image / white, 0, 1), cmap="gray", vmin=0, vmax=1)
        row[1].imshow(colors[true])
        row[2].imshow(colors[found])
    for axes, title in zip(cells[0], ("image", "truth", "prediction"), strict=True):
        axes.set_title(title)
    for axes in cells.ravel():
        axes.axis("off")
    shown = np.union1d(y, guess).tolist()
    names = {i: classes[i] if i < len(classes) else "no label" for i in shown}
    boxes = [Patch(facecolor=colors[i] / 255, edgecolor="gray", label=name) for i, name in names.items()]
    figure.legend(handles=boxes[:24], loc="outside lower center", ncols=6, fontsize=8)
    figure.savefig(folder / "segmented.png", dpi=120)


def restored_images(experiment, dataset: Dataset, functions: Functions, weights: dict, rows) -> dict[str, np.ndarray]:
    """Images [N, H, W, C] by what they are, white being 1: clean, noisy (of a denoising task), restored."""
    info, noise, white = dataset.info, getattr(experiment.task, "noise", 0.0), dataset.info.pixel_max or 1

    def own(standardised) -> np.ndarray:
        return np.asarray(own_values(info, standardised))

    prepare, raw = preparation(info)[0], examples(dataset, rows)[0].astype(np.float32)
    seen = raw + noise * white * np.asarray(noise_of_rows(rows[: len(raw)], info.shape))
    noisy = {"noisy": own(prepare(seen))} if noise else {}
    return {"clean": own(prepare(raw)), **noisy, "restored": own(predict_rows(functions, weights, seen, len(raw)))}


def reconstructions(figure, shown: dict[str, np.ndarray], folder: Path) -> None:
    """Test images in columns: as they are, noisy where the network removes noise, and restored from their codes."""
    cells = figure.subplots(len(shown), len(shown["clean"]), squeeze=False)
    for row, (name, images) in zip(cells, shown.items(), strict=True):
        for axes, image in zip(row, images, strict=True):
            axes.imshow(np.clip(image, 0, 1), cmap="gray", vmin=0, vmax=1)
            axes.set(xticks=[], yticks=[])
        row[0].set_ylabel(name)
    figure.savefig(folder / "reconstructions.png", dpi=120)


def forecast(figure, x: np.ndarray, y: np.ndarray, outputs: np.ndarray, dataset: Dataset, folder: Path) -> None:
    """The series over the test split, with free-running forecasts one after another, in the series' own units."""
    info = dataset.info
    guess = outputs * np.asarray(info.x_std) + np.asarray(info.x_mean)  # [N, H, K]
    history = np.concatenate([x[0], y[:, 0], y[-1, 1:]])  # windows follow one another step by step
    for k, axes in enumerate(figure.subplots(len(info.targets), 1, squeeze=False)[:, 0]):
        axes.plot(history[:, k], color="black", linewidth=1, label="truth")
        for i in range(0, len(guess), info.horizon):
            steps = info.shape[0] + i + np.arange(info.horizon)
            axes.plot(steps, guess[i, :, k], color="tab:orange", marker=".", label="forecast" if not i else None)
        axes.set(xlabel="step", ylabel=info.targets[k], title=f"forecasts of {info.horizon} steps, test split")
        axes.legend()
    figure.savefig(folder / "forecast.png", dpi=120)


def predicted_against_true(figure, y: np.ndarray, outputs: np.ndarray, dataset: Dataset, folder: Path) -> None:
    """Each test example as a point, in the targets' own units; on the line the prediction is exact."""
    info = dataset.info
    guess = outputs * np.asarray(info.y_std) + np.asarray(info.y_mean)
    all_axes = figure.subplots(1, len(info.targets), squeeze=False)[0]
    for k, (axes, name) in enumerate(zip(all_axes, info.targets, strict=True)):
        ends = [min(y[:, k].min(), guess[:, k].min()), max(y[:, k].max(), guess[:, k].max())]
        axes.plot(ends, ends, color="gray", linewidth=1)
        axes.scatter(y[:, k], guess[:, k], s=12, alpha=0.7)
        axes.set(xlabel=f"true {name}", ylabel=f"predicted {name}", title="test split", aspect="equal")
    figure.savefig(folder / "predicted_against_true.png", dpi=120)


def probabilities(logits: np.ndarray) -> np.ndarray:
    """The softmax of logits [..., C], in float64."""
    e = np.exp(logits.astype(np.float64) - logits.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)
