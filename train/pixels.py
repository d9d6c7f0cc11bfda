"""Pure functions that change images [B, H, W, C], each image of a batch by itself."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

LUMA = (0.299, 0.587, 0.114)  # of red, green and blue in grey, ITU-R BT.601
CHROMA = ((0.5959, -0.2746, -0.3213), (0.2115, -0.5227, 0.3112))  # the two colour axes of YIQ, which a hue turns


def mirror_where(columns: jax.Array, mirrored: jax.Array) -> jax.Array:
    return jnp.where(mirrored, columns[:, ::-1], columns)


def take(x: jax.Array, rows: jax.Array, columns: jax.Array, border: str, zero: int = 0) -> jax.Array:
    """x[b, rows[b, i], columns[b, j]]: [B, H', W', ...]; what `border` brings in from outside, or `zero`."""
    height, width = x.shape[1:3]
    places = bring_inside(rows, height, border), bring_inside(columns, width, border)
    # image by image, so that devices which share the batch need nothing of each other
    found = jax.vmap(lambda image, i, j: image[i[:, None], j])(x, *places)
    if border != "zero":
        return found
    inside = ((rows >= 0) & (rows < height))[:, :, None] & ((columns >= 0) & (columns < width))[:, None, :]
    return jnp.where(inside.reshape(inside.shape + (1,) * (x.ndim - 3)), found, zero)


def bring_inside(place: Any, size: int, border: str) -> Any:
    """Places on an axis, those outside brought in by reflection (without repeating the edge) or to the edge."""
    if border == "reflect" and size > 1:
        place = (size - 1) - abs((size - 1) - abs(place))
    return place.clip(0, size - 1)


def random_boxes(key: jax.Array, n: int, size: tuple[int, int], smallest: float) -> jax.Array:
    """[n, 4] float32, top, left, height and width in pixels: a share of the area in [smallest, 1], 3:4 to 4:3."""
    keys = jax.random.split(key, 4)
    area = jax.random.uniform(keys[0], (n,), minval=smallest, maxval=1.0) * size[0] * size[1]
    ratio = jnp.exp(jax.random.uniform(keys[1], (n,), minval=np.log(3 / 4), maxval=np.log(4 / 3)))
    height = jnp.minimum(jnp.sqrt(area / ratio), size[0])
    width = jnp.minimum(jnp.sqrt(area * ratio), size[1])
    top = jax.random.uniform(keys[2], (n,)) * (size[0] - height)
    left = jax.random.uniform(keys[3], (n,)) * (size[1] - width)
    return jnp.stack([top, left, height, width], 1)


def resize_box(image: jax.Array, box: jax.Array, out: tuple[int, ...]) -> jax.Array:
    """The part of an image [H, W, C] in a box, bilinear and antialiased: [*out, C] float32."""
    scale = jnp.array(out) / box[2:]
    image = image.astype(jnp.float32)
    return jax.image.scale_and_translate(image, (*out, image.shape[-1]), (0, 1), scale, -box[:2] * scale, "linear")


def nearest_in_box(start: jax.Array, length: jax.Array, out: int, size: int) -> jax.Array:
    """Of each of `out` places spread over boxes on an axis the nearest pixel: [B, out] int32."""
    place = start[:, None] + (jnp.arange(out) + 0.5) * (length[:, None] / out)
    return jnp.floor(place).astype(jnp.int32).clip(0, size - 1)


def between(a, b, share):
    """a where share is 0, b where it is 1, and beyond b above 1."""
    return a + share * (b - a)


def grey(x: jax.Array) -> jax.Array:
    return jnp.dot(x, jnp.array(LUMA), precision="highest")[..., None] if x.shape[-1] == 3 else x


def turn_hue(x: jax.Array, turn: jax.Array) -> jax.Array:
    """Colours turned by a share of the circle [B] in the plane of YIQ's two colour axes."""
    to = np.array([LUMA, *CHROMA])  # [YIQ, RGB]
    back = np.linalg.inv(to).astype(np.float32)
    c, s, one, zero = jnp.cos(2 * jnp.pi * turn), jnp.sin(2 * jnp.pi * turn), jnp.ones_like(turn), jnp.zeros_like(turn)
    rotation = jnp.stack([one, zero, zero, zero, c, -s, zero, s, c], -1).reshape(-1, 3, 3)
    with jax.default_matmul_precision("highest"):  # a TPU would leave colours 8 bits
        return jnp.einsum("bhwr,bsr->bhws", x, back @ rotation @ to.astype(np.float32))


def random_squares(key: jax.Array, shape: tuple[int, ...], size: int) -> jax.Array:
    """[B, H, W, 1] bool: a square of this size at a random centre, which may lie partly outside."""
    places = [
        jax.random.randint(k, (shape[0], 1), 0, n) for k, n in zip(jax.random.split(key), shape[1:3], strict=True)
    ]
    rows, columns = (
        (jnp.arange(n) >= place - size // 2) & (jnp.arange(n) < place - size // 2 + size)
        for place, n in zip(places, shape[1:3], strict=True)
    )
    return (rows[:, :, None] & columns[:, None, :])[..., None]
