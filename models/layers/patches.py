"""Images as sequences of patches. Dosovitskiy et al. 2021, arXiv:2010.11929, equation 1."""

import jax
import jax.numpy as jnp

from ..core import Model, as_float, param_dtype
from .conv import Size, per_axis
from .dense import add, lecun_normal, product

normal = jax.nn.initializers.normal(0.02)


def patch_embedding(features: int, size: Size, *, kernel_init=lecun_normal) -> Model:
    """A convolution with stride = window, its positions row by row as tokens: [B, H, W, C] -> [B, T, features].

    T = (H / size) (W / size). params: kernel [size, size, C, features], bias [features]. As no two windows overlap, it
    is one matrix product. Raises ValueError for images that are not a whole number of patches.
    """
    if features < 1:
        raise ValueError(f"patch_embedding needs at least 1 feature, not {features}")
    h, w = per_axis(size, 2)

    def init(key, spec):
        if len(spec.shape) != 4 or spec.shape[1] % h or spec.shape[2] % w:
            raise ValueError(f"patches of {h} x {w} pixels take images [B, H, W, C] they divide, not {spec.shape}")
        dtype = param_dtype(spec)
        return {
            "kernel": kernel_init(key, (h, w, spec.shape[-1], features), dtype),
            "bias": jnp.zeros(features, dtype),
        }, {}

    def apply(params, state, x, *, key=None, train=False):
        kernel = params["kernel"]
        x = x.astype(jnp.promote_types(x.dtype, kernel.dtype))  # integer images take the kernel's dtype
        batch, rows, columns, channels = x.shape[0], x.shape[1] // h, x.shape[2] // w, x.shape[3]
        patches = x.reshape(batch, rows, h, columns, w, channels).transpose(0, 1, 3, 2, 4, 5)
        patches = patches.reshape(batch, rows * columns, h * w * channels)
        return add(product(patches, kernel.reshape(-1, features)), params["bias"]), {}

    return Model(init, apply)


def class_token() -> Model:
    """A learned token before the others, whose last state stands for the whole: [B, T, D] -> [B, 1 + T, D].

    params: token [D], zero at first.
    """

    def init(key, spec):
        return {"token": jnp.zeros(spec.shape[-1], param_dtype(spec))}, {}

    def apply(params, state, x, *, key=None, train=False):
        x = as_float(x)
        token = add(jnp.zeros((x.shape[0], 1, x.shape[-1]), x.dtype), params["token"].astype(x.dtype))
        return jnp.concatenate([token, x], 1), {}

    return Model(init, apply)


def position_embedding(*, kernel_init=normal) -> Model:
    """Adds a learned vector to each position: [B, T, D] -> [B, T, D]. params: embedding [T, D].

    Raises ValueError for a sequence of another length than the parameters'.
    """

    def init(key, spec):
        return {"embedding": kernel_init(key, spec.shape[1:], param_dtype(spec))}, {}

    def apply(params, state, x, *, key=None, train=False):
        if x.shape[1] != params["embedding"].shape[0]:
            raise ValueError(f"{params['embedding'].shape[0]} positions are learned, the input has {x.shape[1]}")
        return add(x, params["embedding"]), {}

    return Model(init, apply)
