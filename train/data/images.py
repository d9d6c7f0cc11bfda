"""Opening pictures: a limit before anything is decoded, every colour mode as grey or RGB, one size for all."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from ...errors import UserError

if TYPE_CHECKING:  # a quarter of a second, where no picture is read
    from PIL.Image import Image, Resampling

PIXEL_LIMIT = 50_000_000  # a larger picture is refused before it is decoded
FORMATS = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM")  # only those that Pillow decodes by itself
SUFFIXES = frozenset([".png", ".jpg", ".jpeg", ".gif", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm"])
MODES = {1: "L", 3: "RGB", 4: "RGBA"}  # Pillow's mode for a number of channels


def read_picture(file: Path | BinaryIO, name: object, channels: int | None = 3, at_least: int = 0) -> "Image":
    """A decoded picture, turned as its camera was held: grey (1 channel), RGB (3), RGBA (4), or as it is (None).

    `at_least`: where no more pixels are needed than twice this on the short side, a larger JPEG may be decoded smaller,
    which is much faster. UserError beginning with `name` where it has more than PIXEL_LIMIT pixels or is damaged.
    """
    from PIL import ImageOps

    with opened(file, name) as image:
        if at_least:
            image.draft(None, (2 * at_least, 2 * at_least))
        image = ImageOps.exif_transpose(image)
        return convert(image, MODES[channels]) if channels else image


def picture_size(file: Path | BinaryIO, name: object) -> tuple[int, int]:
    """Height and width of a picture, turned as its camera was held, from its header alone. UserError as above."""
    with opened(file, name) as image:
        width, height = image.size
        turned = image.getexif().get(0x0112, 1) >= 5  # the EXIF orientation: by a quarter
        sideways = turned and image.format != "TIFF"  # whose size Pillow gives as it will be
    return (width, height) if sideways else (height, width)


@contextmanager
def opened(file: Path | BinaryIO, name: object) -> Iterator["Image"]:
    """The picture with its header read and its size checked. Whatever goes wrong until it is closed is a UserError."""
    from PIL import Image

    try:
        warnings.filterwarnings("ignore", module=r"PIL\b")  # of Pillow's own, higher limit, and of odd metadata
        with Image.open(file, formats=FORMATS) as image:
            if image.width * image.height > PIXEL_LIMIT:
                raise UserError(f"{name} has {image.width} x {image.height} pixels; at most {PIXEL_LIMIT:,} are read.")
            yield image
    except (UserError, MemoryError):
        raise
    except Exception as error:  # Pillow has no error in common for what it finds in a damaged file
        raise UserError(
            f"{name} cannot be read as a picture: {str(error).rstrip('.') or type(error).__name__}."
        ) from error


def convert(image: "Image", mode: str) -> "Image":
    """A Pillow image in another mode: 16-bit greys scaled to 8 bits, transparency laid on white."""
    from PIL import Image

    if image.mode.startswith("I"):
        image = Image.fromarray((np.asarray(image, np.float32) / 257).clip(0, 255).round().astype(np.uint8))
    if image.mode == "F":
        raise ValueError("its pixels are real numbers, for which no white is agreed; give the array as NPZ")
    if image.has_transparency_data and mode != "RGBA":
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert(mode)


def square(image: "Image", size: int, name: object, resample: "Resampling | None" = None) -> "Image":
    """The picture with its short side resized to `size` pixels and the middle [size, size] cropped out.

    Bilinear with antialiasing unless `resample` says otherwise (nearest, for a map of classes). UserError beginning
    with `name` where the resized picture would have more than four times PIXEL_LIMIT pixels.
    """
    from PIL.Image import Resampling

    scale = size / min(image.size)
    width, height = (max(size, round(side * scale)) for side in image.size)
    if width * height > 4 * PIXEL_LIMIT:
        raise UserError(
            f"{name} has {image.width} x {image.height} pixels; --data.size {size} would make {width} x {height}: "
            "it is too narrow."
        )
    left, top = (width - size) // 2, (height - size) // 2
    image = image.resize((width, height), Resampling.BILINEAR if resample is None else resample)
    return image.crop((left, top, left + size, top + size))


def pixels(image: "Image") -> np.ndarray:
    """uint8 [H, W, C] of a grey, RGB or RGBA picture."""
    x = np.asarray(image, np.uint8)
    return x[..., None] if x.ndim == 2 else x


def read_pixels(file: Path | BinaryIO, name: object, channels: int, size: int) -> np.ndarray:
    """uint8 [size, size, channels] of a picture, or [H, W, channels] with size 0. UserError as for `read_picture`."""
    image = read_picture(file, name, channels, size)
    return pixels(square(image, size, name) if size else image)
