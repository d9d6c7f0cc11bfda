"""Random changes to training images, inside the compiled step; and what of an image the network sees at evaluation.

Everything is a pure function of a key and the batch, so that an image of a step depends on (seed, step) alone.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from ..errors import UserError
from . import pixels
from .data import Info
from .data.masks import UNLABELLED

Views = Literal["one", "flip", "ten"]


@dataclass(frozen=True)
class Augment:
    """How training images are changed at random, each one by itself; evaluation changes nothing at random."""

    shift: int = 0
    """move by up to this many pixels in each direction"""
    border: Literal["reflect", "edge", "zero"] = "reflect"
    """what comes in from outside where an image is moved"""
    flip: bool = False
    """mirror images left to right: a random half of them in the first epoch, the other half in the next, and so on in
    turn, so that two epochs show each image both ways (Jordan 2024, arXiv:2404.00498, section 3.6)"""
    crop: int = 0
    """the network sees squares of this many pixels: in training at a random place, at evaluation the centre"""
    resized_crop: float = 0.0
    """above 0: a random part of at least this share of the area, 3:4 to 4:3, where it is longer than the image cut to
    it, resized to the network's input (Szegedy et al. 2014, arXiv:1409.4842)"""
    jitter: float = 0.0
    """change brightness, contrast and saturation by factors between 1 - jitter and 1 + jitter"""
    hue: float = 0.0
    """turn the hue by up to this share of the whole circle, at most 0.5"""
    pca_noise: float = 0.0
    """deviation of random shifts along the principal components of the training images' colours; 0.1 in AlexNet
    (Krizhevsky et al. 2012, section 4.1)"""
    cutout: int = 0
    """replace a random square of this many pixels by the mean colour, without --data.standardize by black (DeVries and
    Taylor 2017, arXiv:1708.04552)"""
    mixup: float = 0.0
    """above 0: mix each image and its label with another's; the share is drawn from Beta(mixup, mixup) (Zhang et al.
    2017, arXiv:1710.09412)"""
    cutmix: float = 0.0
    """above 0: paste a rectangle of another image, its area drawn from Beta(cutmix, cutmix), and mix the labels (Yun et
    al. 2019, arXiv:1905.04899). With mixup too, each image gets the one or the other"""
    views: Views = "one"
    """at evaluation, average the predicted probabilities over: the image alone; also its mirror image; or also its four
    corners and their mirror images (without crop: the image moved by a pixel), as AlexNet did"""

    def __post_init__(self):
        for name in ("shift", "crop", "cutout", "jitter", "pca_noise", "mixup", "cutmix"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise UserError(f"--augment.{name.replace('_', '-')} is at least 0, not {getattr(self, name)}")
        if not 0 <= self.resized_crop <= 1:
            raise UserError(f"--augment.resized-crop is a share of the area, 0 to 1, not {self.resized_crop}")
        if not 0 <= self.hue <= 0.5:
            raise UserError(f"--augment.hue lies in [0, 0.5], not {self.hue}")
        if self.shift and self.resized_crop:
            raise UserError("--augment.shift has no part in --augment.resized-crop, which moves images by itself")
        if self.jitter > 1:
            raise UserError(f"--augment.jitter lies in [0, 1], not {self.jitter}")

    def shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """What the network sees of examples of this shape."""
        return (self.crop, self.crop, *shape[2:]) if self.crop else shape

    def check(self, info: Info) -> None:
        """Raises UserError for what cannot be done to these examples, before any work."""
        if self == Augment():
            return
        if len(info.shape) != 3:
            raise UserError(f"--augment is for images [H, W, C], and the examples have the shape {list(info.shape)}")
        height, width, channels = info.shape
        for name, most in (
            ("crop", min(height, width)),
            ("shift", min(height, width) - 1),
            ("cutout", max(height, width)),
        ):
            if getattr(self, name) > most:
                raise UserError(f"--augment.{name} {getattr(self, name)} is too much for images of {height} x {width}")
        colour = next((name for name in ("hue", "pca_noise") if getattr(self, name)), None)
        if colour and channels != 3:
            raise UserError(
                f"--augment.{colour.replace('_', '-')} is for colour images, and these have {channels} channel(s)"
            )
        if info.pixel_order is not None and (self.crop or self.views != "one"):
            raise UserError("--augment.crop and views are not for images whose pixels --data.shuffle-pixels exchanged")
        if info.kind == "segmentation" and (self.crop or self.mixup or self.cutmix or self.views != "one"):
            raise UserError("--augment.crop, mixup, cutmix and views are for one label an image, not for one a pixel")
        if info.kind == "reconstruction" and (self.crop or self.mixup or self.cutmix or self.views != "one"):
            raise UserError("--augment.crop, mixup, cutmix and views are not for images that are to be restored")


def augmentation(augment: Augment, info: Info) -> tuple[Callable, Callable]:
    """The two halves of augmentation, each `(key, batch) -> batch`: before images are standardised, and after.

    The first moves and colours images "x" [B, H, W, C] of any dtype, and masks "y" [B, H, W] with them, and mirrors
    those that are "mirrored" [B]; the second blots images out and mixes them, which makes labels [B] probabilities
    [B, classes].
    """

    def before(key, batch):
        place, colours = jax.random.split(key)
        batch = _moved(augment, place, batch)
        return batch | {"x": _coloured(augment, colours, batch["x"], info)}

    def after(key, batch):
        blot, mix = jax.random.split(key)
        x = batch["x"]
        if augment.cutout:
            x = jnp.where(pixels.random_squares(blot, x.shape, augment.cutout), 0, x)
        return _mixed(augment, mix, batch | {"x": x}, len(info.classes))

    return before, after


def in_turn(key: jax.Array, rows: jax.Array, epoch: jax.Array) -> jax.Array:
    """Which examples are mirrored in an epoch, bool [B]: by row a random half, and in the next epoch the rest."""
    first = jax.vmap(lambda row: jax.random.bernoulli(jax.random.fold_in(key, row)))(rows)
    return first ^ (epoch % 2 == 1)


def seen(augment: Augment, kind: str, apply: Callable) -> Callable:
    """`apply` at evaluation, on whole images: of their centre, or the average over several views of each."""

    def apply_views(params, state, x, *, key=None, train=False):
        if train or (augment.views == "one" and not augment.crop):
            return apply(params, state, x, key=key, train=train)
        outputs = []
        for view in _views(augment, x):
            output, state = apply(params, state, view, key=key, train=train)
            outputs.append(output)
        return average(jnp.stack(outputs), kind) if len(outputs) > 1 else outputs[0], state

    return apply_views


def average(outputs: jax.Array, kind: str) -> jax.Array:
    """The mean of several predictions [n, ...], float32 [...]; of logits the logarithm of the mean probability."""
    outputs = outputs.astype(jnp.float32)
    if kind == "regression":
        return outputs.mean(0)
    return jax.nn.logsumexp(jax.nn.log_softmax(outputs), axis=0) - np.log(len(outputs))


def _views(augment: Augment, x: jax.Array) -> list[jax.Array]:
    """[B, H, W, C] each, in the size that the network takes."""
    (height, width), size = x.shape[1:3], augment.shape(x.shape[1:])[:2]
    top, left = (height - size[0]) // 2, (width - size[1]) // 2
    corners = [(0, 0), (0, width - size[1]), (height - size[0], 0), (height - size[0], width - size[1])]
    if size == (height, width):
        corners = [(-1, -1), (-1, 1), (1, -1), (1, 1)]
    places = [(top, left), *(corners if augment.views == "ten" else [])]
    cut = [
        jnp.take(
            jnp.take(x, pixels.bring_inside(np.arange(size[0]) + i, height, "edge"), 1),
            pixels.bring_inside(np.arange(size[1]) + j, width, "edge"),
            2,
        )
        for i, j in places
    ]
    return cut if augment.views == "one" else [*cut, *(view[:, :, ::-1] for view in cut)]


# Places


def _moved(augment: Augment, key: jax.Array, batch: dict) -> dict:
    """Shift, crop, resized crop and flip of images, and of masks with them."""
    if not (augment.shift or augment.flip or augment.crop or augment.resized_crop):
        return batch
    x, y, has_masks = batch["x"], batch["y"], batch["y"].ndim > 2
    n, height, width = x.shape[:3]
    out = augment.shape(x.shape[1:])[:2]
    keys = jax.random.split(key, 3)
    mirrored = batch["mirrored"][:, None] if augment.flip else jnp.zeros((n, 1), bool)
    if augment.resized_crop:
        boxes = pixels.random_boxes(
            keys[0], n, (height, width), augment.resized_crop
        )  # [B, 4]: top, left, height, width
        x = jax.vmap(lambda image, box: pixels.resize_box(image, box, out))(x, boxes)
        rows, columns = (
            pixels.nearest_in_box(boxes[:, i], boxes[:, i + 2], out[i], size) for i, size in enumerate((height, width))
        )
        y = pixels.take(y, rows, pixels.mirror_where(columns, mirrored), "edge") if has_masks else y
        return batch | {"x": jnp.where(mirrored[:, :, None, None], x[:, :, ::-1], x), "y": y}
    starts = [
        jax.random.randint(k, (n, 1), 0, size - o + 1) + jax.random.randint(jax.random.fold_in(k, 1), (n, 1), -s, s + 1)
        for k, size, o, s in zip(keys[1:], (height, width), out, (augment.shift,) * 2, strict=True)
    ]
    rows, columns = (start + jnp.arange(o) for start, o in zip(starts, out, strict=True))
    columns = pixels.mirror_where(columns, mirrored)
    y = pixels.take(y, rows, columns, augment.border, UNLABELLED) if has_masks else y
    return batch | {"x": pixels.take(x, rows, columns, augment.border), "y": y}


# Colours


def _coloured(augment: Augment, key: jax.Array, x: jax.Array, info: Info) -> jax.Array:
    if not (augment.jitter or augment.hue or augment.pca_noise):
        return x
    white, keys = info.pixel_max or 1.0, jax.random.split(key, 5)
    x = x.astype(jnp.float32) / white
    least, most = jnp.minimum(x.min((1, 2, 3), keepdims=True), 0), jnp.maximum(x.max((1, 2, 3), keepdims=True), 1)
    shape = (len(x), 1, 1, 1)
    if augment.jitter:
        brightness, contrast, saturation = (
            jax.random.uniform(k, shape, minval=1 - augment.jitter, maxval=1 + augment.jitter) for k in keys[:3]
        )
        x = x * brightness
        x = pixels.between(pixels.grey(x).mean((1, 2, 3), keepdims=True), x, contrast)
        x = pixels.between(pixels.grey(x), x, saturation)
    if augment.hue:
        x = pixels.turn_hue(x, jax.random.uniform(keys[3], shape[:1], minval=-augment.hue, maxval=augment.hue))
    if augment.jitter or augment.hue:
        x = x.clip(least, most)  # 0 and 1, but for images in units of their own
    if augment.pca_noise:
        spread, axes = np.linalg.eigh(np.reshape(info.x_covariance, (3, 3)))  # axes[:, i] goes with spread[i]
        noise = augment.pca_noise * jax.random.normal(keys[4], (len(x), 3))
        x = x + jnp.dot(noise * spread / white**2, axes.T, precision="highest")[:, None, None, :]
    return x * white


# Mixing


def _mixed(augment: Augment, key: jax.Array, batch: dict, classes: int) -> dict:
    """Each example mixed with the one before it in the batch, whose order is random anyway."""
    if not (augment.mixup or augment.cutmix):
        return batch
    x, y, weight = batch["x"], batch["y"], batch["weight"]
    keep = _kept(augment, key, x.shape)  # [B, H, W, 1]
    keep = jnp.where(
        (jnp.roll(weight, 1) > 0)[:, None, None, None], keep, 1.0
    )  # what could not be read is not mixed in
    share = keep.mean((1, 2, 3))[:, None]  # [B, 1]
    y = jax.nn.one_hot(y, classes) if y.ndim == 1 else y
    return batch | {"x": pixels.between(jnp.roll(x, 1, 0), x, keep), "y": pixels.between(jnp.roll(y, 1, 0), y, share)}


def _kept(augment: Augment, key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """How much of each pixel stays its own, [B, H or 1, W or 1, 1]: one share everywhere, or nothing in a rectangle."""
    n, height, width = shape[:3]
    keys = jax.random.split(key, 4)
    share = jax.random.beta(keys[0], augment.mixup or 1.0, augment.mixup or 1.0, (n, 1, 1, 1))
    if not augment.cutmix:
        return share
    side = jnp.sqrt(1 - jax.random.beta(keys[1], augment.cutmix, augment.cutmix, (n, 1)))  # of the rectangle
    centre = jax.random.uniform(keys[2], (2, n, 1))
    rows, columns = (
        abs(jnp.arange(size) + 0.5 - c * size) < side * size / 2
        for c, size in zip(centre, (height, width), strict=True)
    )
    outside = 1.0 - (rows[:, :, None] & columns[:, None, :])[..., None]
    if not augment.mixup:
        return outside
    return jnp.where(jax.random.bernoulli(keys[3], 0.5, (n, 1, 1, 1)), share, outside)
