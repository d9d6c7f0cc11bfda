"""Images that a generative network makes up, in a grid."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from ..errors import UserError
from .data import Info
from .flow import FlowMatching
from .flow_samples import Drawing, drawer
from .folder import new_file
from .reconstruction import own_values
from .serve import open_run, seed_folders
from .variational import Variational

SIDE = 56  # pixels that an image of the grid has at least


def write_samples(folder: Path, out: Path, count: int, seed: int, trust: bool, drawing: Drawing) -> None:
    """Draws `count` images by `seed`, and writes them as a PNG of square form: a flow's as `drawing` says, else what
    codes from the prior decode to, the expected pixels. Of several seeds of training the first one's weights are used.

    Raises UserError for a run that makes no images, or not such ones, and for a file that is there already.
    """
    new_file(out, "--out", ".png")
    experiment, info, _, weights = open_run(seed_folders(folder)[0], trust)
    model, task = experiment.model.build(), experiment.task
    is_flow = isinstance(task, FlowMatching)
    if not is_flow and not (hasattr(model, "sample") and isinstance(task, Variational)):
        raise UserError(f"{folder} has no distribution to draw images from, as flows and variational autoencoders have")
    if not is_flow and drawing != Drawing():
        raise UserError(f"--classes, --steps, --guidance and --sampler are for flows, and {folder} is none")
    if not info.is_picture:
        raise UserError(f"{folder} learned examples of {info.shape}, which are no pictures")
    if is_flow:
        labels = drawing.labels(experiment, info, count)
        images = drawer(experiment, info, weights, drawing)(labels, seed) / info.pixel_max
    else:
        assert isinstance(task, Variational)
        images = np.asarray(sampler(model, task, info, count)(weights, jax.random.key(seed)))
    write_grid(out, images)


def sampler(model: Any, task: Variational, info: Info, count: int) -> Callable:
    """Jitted (weights, key) -> what codes drawn from the prior decode to: [count, H, W, C], in which white is 1."""

    @jax.jit
    def sample(weights, key):
        output = model.sample(weights["params"], weights["state"], key, count)
        return own_values(info, task.parts(info).expected(output))

    return sample


def write_grid(path: Path, images: np.ndarray, columns: int = 0) -> None:
    """Images [N, H, W, C] from 0 to 1, row by row, enlarged where they are small; with 0 columns in about as many rows
    as columns."""
    from PIL import Image

    n, height, width, channels = images.shape
    columns, times = columns or math.ceil(math.sqrt(n)), -(-SIDE // height)
    rows = -(-n // columns)
    cells = np.zeros((rows * columns, height, width, channels), np.uint8)
    cells[:n] = (images.clip(0, 1) * 255).round()
    grid = cells.reshape(rows, columns, height, width, channels).swapaxes(1, 2)
    grid = grid.reshape(rows * height, columns * width, channels).repeat(times, 0).repeat(times, 1)
    Image.fromarray(grid[..., 0] if channels == 1 else grid).save(path)
