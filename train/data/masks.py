"""Class indices of pixels: what a segmentation learns and what it predicts."""

from pathlib import Path

import numpy as np

from ...errors import UserError
from .raw import Raw

UNLABELLED = 255  # the index of a pixel whose class is not known, as in PASCAL VOC and Cityscapes


def as_masks(y: np.ndarray, x: np.ndarray, what: str) -> np.ndarray:
    """Integers [N, H, W] or [N, H, W, 1] for images x [N, H, W, C] as uint8 [N, H, W].

    Raises UserError, naming `what`, where the shape or a value does not fit.
    """
    masks = y[..., 0] if y.ndim == 4 and y.shape[-1] == 1 else y
    if x.ndim != 4 or masks.shape != x.shape[:3]:
        raise UserError(
            f"{what} has the shape {list(y.shape)}, for x of the shape {list(x.shape)}: segmentation needs images and "
            "a class index for each of their pixels, [N, H, W]."
        )
    if y.dtype.kind not in "bui":
        raise UserError(f"{what} holds {y.dtype} values where class indices, integers, are needed.")
    if y.min() < 0 or y.max() > UNLABELLED:
        bad = y.min() if y.min() < 0 else y.max()
        raise UserError(
            f"{what} holds the label {bad}: the classes of pixels are counted from 0 to {UNLABELLED - 1}, and "
            f"{UNLABELLED} is a pixel without a label."
        )
    return masks.astype(np.uint8)


def class_masks(raw: Raw, source: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """uint8 [N, H, W] and the names of the classes: the source's own, or 0, 1, ... up to the highest in training."""
    if raw.y.ndim != 3:
        raise UserError(
            f"{source} has targets of the shape {list(raw.y.shape)}; segmentation needs a class index for each pixel, "
            "[N, H, W]."
        )
    highest = np.where(raw.y == UNLABELLED, 0, raw.y).max((1, 2))
    classes = raw.classes or tuple(map(str, range(highest[: raw.sizes["train"]].max() + 1)))
    if len(classes) < 2:
        raise UserError(f"{source} has training pixels of {len(classes)} class; at least 2 are needed.")
    if (bad := np.flatnonzero(highest >= len(classes))).size:
        raise UserError(
            f"{source} has the label {highest[bad[0]]} in example {bad[0]}, outside its {len(classes)} classes"
            f"{'' if raw.classes else ' in training'}."
        )
    return raw.y, classes


def palette() -> np.ndarray:
    """The colour of each class index as in PASCAL VOC, uint8 [256, 3]: 0 is black, 1 dark red, 255 beige.

    Every third bit of the index, the lowest first, makes the bits of a channel, the highest first.
    """
    index = np.arange(256)
    channels = [sum(((index >> (3 * bit + c)) & 1) << (7 - bit) for bit in range(3)) for c in range(3)]
    return np.stack(channels, -1).astype(np.uint8)


def write_mask(path: Path, mask: np.ndarray) -> None:
    """Class indices uint8 [H, W] as a PNG that holds them as they are and shows them in colour.

    Raises FileExistsError where there is such a file.
    """
    from PIL import Image

    image = Image.fromarray(mask)
    image.putpalette(palette().tobytes())
    with path.open("xb") as file:
        image.save(file, "PNG")
