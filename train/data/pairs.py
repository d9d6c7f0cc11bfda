"""A folder of pictures and, for each, the class of every pixel: images/NAME.jpg and masks/NAME.png."""

from pathlib import Path

import numpy as np

from ...errors import UserError
from .cache import cached
from .images import SUFFIXES, picture_size, pixels, read_picture, square
from .masks import UNLABELLED
from .raw import Raw, check_memory
from .split import NAMES

Pair = tuple[Path, Path]  # an image and its mask


def read_pairs(folder: Path, size: int, channels: int) -> Raw:
    """The pictures of a folder with `images/` and `masks/`, or with such folders in train/, validation/ and test/.

    A mask is a PNG of its image's height and width that holds class indices (a palette or 8 bits of grey; 255: no
    label). `classes.txt` names the classes, one a line. All images have one size, or `size` makes them squares of it;
    `channels` is 1 for grey, else they are RGB. UserError, naming the file, for whatever does not fit.
    """
    parts = find_pairs(folder)
    classes = class_names(folder)
    paths = [path for pairs in parts.values() for pair in pairs for path in pair]
    stamps = [(str(path.relative_to(folder)), path.stat().st_size, path.stat().st_mtime_ns) for path in paths]
    key = [stamps, classes, size, channels]
    return cached(f"{folder.resolve().name}-pairs", key, lambda: _decode(parts, classes, size, channels or 3))


def peek_pairs(folder: Path, size: int, channels: int) -> tuple[tuple[int, ...], int]:
    """The shape of one example, from the first image's header, and the number of named classes (0: not named)."""
    first, _ = find_pairs(folder)["train"][0]
    height, width = (size, size) if size else picture_size(first, first)
    return (height, width, channels or 3), len(class_names(folder))


def find_pairs(folder: Path) -> dict[str, list[Pair]]:
    """The pairs of each split, in the order of their names."""
    if (folder / "images").is_dir() or (folder / "masks").is_dir():
        return {"train": _matched(folder)}
    parts = {name: _matched(folder / name) for name in NAMES if (folder / name).is_dir()}
    if "train" not in parts:
        raise UserError(
            f"{folder} is no folder for segmentation: it needs the folders images and masks, or train/images, "
            "train/masks and, as you have them, validation/ and test/."
        )
    return parts


def class_names(folder: Path) -> tuple[str, ...]:
    """The lines of classes.txt; () where there is none."""
    path = folder / "classes.txt"
    if not path.is_file():
        return ()
    try:
        names = tuple(line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip())
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not text in UTF-8.") from error
    if not 2 <= len(names) <= UNLABELLED or len(set(names)) < len(names):
        raise UserError(f"{path} names {len(set(names))} different classes on {len(names)} lines: 2 to 255 are needed.")
    return names


def _matched(folder: Path) -> list[Pair]:
    for path in (folder / "images", folder / "masks"):
        if not path.is_dir():
            raise UserError(f"There is no folder {path}: segmentation needs images/NAME.jpg and masks/NAME.png.")
    images = _by_stem(folder / "images", SUFFIXES)
    masks = _by_stem(folder / "masks", frozenset([".png"]))
    if not images:
        raise UserError(f"{folder / 'images'} holds no pictures.")
    for name in sorted(images.keys() ^ masks.keys()):
        if name in images:
            raise UserError(f"The image {images[name]} has no mask: {folder / 'masks' / name}.png is missing.")
        raise UserError(f"The mask {masks[name]} has no image named {name} in {folder / 'images'}.")
    return [(images[name], masks[name]) for name in sorted(images)]


def _by_stem(folder: Path, suffixes: frozenset[str]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in suffixes and not path.name.startswith("."):
            if path.stem in found:
                raise UserError(f"{found[path.stem]} and {path.name} have the same name: which belongs to the mask?")
            found[path.stem] = path
    return found


def _decode(parts: dict[str, list[Pair]], classes: tuple[str, ...], size: int, channels: int) -> Raw:
    pairs = [pair for part in parts.values() for pair in part]
    height, width = (size, size) if size else picture_size(pairs[0][0], pairs[0][0])
    check_memory(len(pairs) * height * width * (channels + 1), f"The folder {pairs[0][0].parent}")
    x = np.empty((len(pairs), height, width, channels), np.uint8)
    y = np.empty((len(pairs), height, width), np.uint8)
    for i, (image, mask) in enumerate(pairs):
        x_i, y_i = read_pair(image, mask, size, channels)
        if x_i.shape != x.shape[1:]:
            raise UserError(
                f"{image} has {x_i.shape[1]} x {x_i.shape[0]} pixels, {pairs[0][0].name} {width} x {height}: "
                "--data.size makes all of them squares of one size."
            )
        x[i], y[i] = x_i, y_i
    return Raw(x, y, {name: len(part) for name, part in parts.items()}, classes, pixel_max=255)


def read_pair(image: Path, mask: Path, size: int, channels: int) -> tuple[np.ndarray, np.ndarray]:
    """uint8 [H, W, channels] and uint8 [H, W]."""
    from PIL.Image import Resampling

    picture, indices = read_picture(image, image, channels), read_picture(mask, mask, None)
    if indices.mode not in ("P", "L", "1"):
        raise UserError(
            f"The mask {mask} is a picture in {indices.mode}: a mask holds one class index a pixel, as a PNG with a "
            "palette or with 8 bits of grey."
        )
    if picture.size != indices.size:
        raise UserError(
            f"{image} has {picture.width} x {picture.height} pixels and its mask {indices.width} x {indices.height}."
        )
    if size:
        picture, indices = square(picture, size, image), square(indices, size, mask, Resampling.NEAREST)
    return pixels(picture), np.asarray(indices).astype(np.uint8)
