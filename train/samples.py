"""Images that a generative network makes up, in a grid."""

import math
from pathlib import Path
from typing import Any

import jax
import numpy as np

from ..errors import UserError
from .flow import FlowMatching
from .flow_samples import Drawing, drawer
from .reconstruction import own_unit
from .serve import open_run, seed_folders
from .variational import Variational

SIDE = 56  # pixels that an image of the grid has at least


def write_samples(folder: Path, out: Path, count: int, seed: int, trust: bool, drawing: Drawing) -> None:
    """Draws `count` images by `seed`, and writes them as a PNG of square form: a flow's as `drawing` says, else what
    codes from the prior decode to, the expected pixels. Of several seeds of training the first one's weights are used.

    Raises UserError for a run that makes no images, or not such ones, and for a file that is there already.
    """
    if out.suffix != ".png" or not out.parent.is_dir():
        raise UserError(f"--out {out} is to be a file NAME.png in a folder that exists")
    if out.exists():
        raise UserError(f"--out {out} is there already, and is not replaced")
    experiment, info, _, weights = open_run(seed_folders(folder)[0], trust)
    model: Any = experiment.model.build()
    task = experiment.task
    is_flow = isinstance(task, FlowMatching)
    if not is_flow and not (hasattr(model, "sample") and isinstance(task, Variational)):
        raise UserError(f"{folder} has no distribution to draw images from, as flows and variational autoencoders have")
    if not is_flow and drawing != Drawing():
        raise UserError(f"--classes, --steps, --guidance and --sampler are for flows, and {folder} is none")
    if len(info.shape) != 3 or info.shape[-1] not in (1, 3):
        raise UserError(f"{folder} learned examples of {info.shape}, which are no pictures")
    if is_flow:
        labels = drawing.labels(experiment, info, count)
        write_grid(out, drawer(experiment, info, weights, drawing)(labels, seed) / info.pixel_max)
        return
    assert isinstance(task, Variational)

    @jax.jit
    def sample(weights, key):
        output = model.sample(weights["params"], weights["state"], key, count)
        return task.parts(info).expected(output) * own_unit(info)

    mean = np.asarray(info.x_mean, np.float32) / (info.pixel_max or 1)
    write_grid(out, np.asarray(sample(weights, jax.random.key(seed))) + mean)


def write_grid(path: Path, images: np.ndarray) -> None:
    """Images [N, H, W, C] from 0 to 1 in about as many rows as columns, enlarged where they are small."""
    from PIL import Image

    n, height, width, channels = images.shape
    columns, times = math.ceil(math.sqrt(n)), max(1, SIDE // height)
    rows = -(-n // columns)
    cells = np.zeros((rows * columns, height, width, channels), np.uint8)
    cells[:n] = (images.clip(0, 1) * 255).round()
    grid = cells.reshape(rows, columns, height, width, channels).swapaxes(1, 2)
    grid = grid.reshape(rows * height, columns * width, channels).repeat(times, 0).repeat(times, 1)
    Image.fromarray(grid[..., 0] if channels == 1 else grid).save(path)
