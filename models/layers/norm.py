"""Batch, layer, group and local response normalisation. Statistics are float32; the output has the input's dtype,
or float32 where that holds integers."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from ..core import Model, as_float, lift, param_dtype


def batch_norm(
    *,
    momentum: float = 0.9,
    epsilon: float = 1e-5,
    scale: bool = True,
    bias: bool = True,
    scale_init=jax.nn.initializers.ones,
) -> Model:
    """(x - mean) / sqrt(var + epsilon) * scale + bias, each channel over the batch and all positions.

    [B, ..., C] -> [B, ..., C]. params: scale [C], bias [C]; state: mean [C], var [C], moving averages of the batches',
    the variance unbiased, used where train=False. Ioffe and Szegedy 2015, arXiv:1502.03167, algorithms 1 and 2.
    Raises ValueError when a channel has a single value in training: its variance is no estimate.
    """

    def init(key, spec):
        c, dtype = spec.shape[-1], param_dtype(spec)
        state = {"mean": jnp.zeros(c, dtype), "var": jnp.ones(c, dtype)}
        params = _scale_bias(spec, scale, bias)
        return params | ({"scale": scale_init(key, (c,), dtype)} if scale else {}), state

    def apply(params, state, x, *, key=None, train=False):
        x = as_float(x)
        if not train or "frozen" in state:  # as the training step marks a layer whose averages are frozen
            return _normalize(x, state["mean"], state["var"], epsilon, params), state
        axes, n = tuple(range(x.ndim - 1)), x.size // x.shape[-1]
        if n < 2:
            raise ValueError("batch_norm needs at least two values a channel in training: use a larger batch")
        mean, var = (a.reshape(-1) for a in _moments(x, axes, one_pass=True))
        state = {
            "mean": momentum * state["mean"] + (1 - momentum) * mean,
            "var": momentum * state["var"] + (1 - momentum) * var * (n / (n - 1)),
        }
        return _normalize(x, mean, var, epsilon, params), state

    return Model(init, apply)


def layer_norm(*, epsilon: float = 1e-5, scale: bool = True, bias: bool = True) -> Model:
    """(x - mean) / sqrt(var + epsilon) * scale + bias, each position over its channels.

    [..., C] -> [..., C]. params: scale [C], bias [C]. Ba et al. 2016, arXiv:1607.06450, eq. 4.
    """

    def init(key, spec):
        return _scale_bias(spec, scale, bias), {}

    def apply(params, state, x, *, key=None, train=False):
        x = as_float(x)
        mean, var = _moments(x, (-1,))
        return _normalize(x, mean, var, epsilon, params), {}

    return Model(init, apply)


def group_norm(groups: int = 32, *, epsilon: float = 1e-5, scale: bool = True, bias: bool = True) -> Model:
    """(x - mean) / sqrt(var + epsilon) * scale + bias, each example over all positions of a group of channels.

    [B, ..., C] -> [B, ..., C]. params: scale [C], bias [C]. Wu and He 2018, arXiv:1803.08494, eq. 7.
    Raises ValueError when the groups do not divide the channels.
    """

    def init(key, spec):
        if groups < 1 or spec.shape[-1] % groups:
            raise ValueError(f"{groups} groups do not divide {spec.shape[-1]} channels")
        return _scale_bias(spec, scale, bias), {}

    def apply(params, state, x, *, key=None, train=False):
        x = as_float(x)
        grouped = x.reshape(*x.shape[:-1], groups, x.shape[-1] // groups)  # [B, ..., G, C/G]
        mean, var = _moments(grouped, (*range(1, x.ndim - 1), x.ndim))
        y = _standardize(grouped, mean, var, epsilon).reshape(x.shape)
        return _affine(y, params).astype(x.dtype), {}

    return Model(init, apply)


def local_response_norm(window: int = 5, *, k: float = 2.0, alpha: float = 1e-4, beta: float = 0.75) -> Model:
    """x / (k + alpha * sum of x^2 over the `window` channels around each)^beta, position by position.

    [..., C] -> [..., C], no parameters. At the first and last channels the window is cut off. Krizhevsky et al. 2012,
    section 3.3, with its constants; alpha multiplies the sum, where PyTorch and Caffe take the mean over the window.
    Raises ValueError for a window that is not odd: it has no middle.
    """
    if window < 1 or window % 2 == 0:
        raise ValueError(f"the window of local_response_norm is odd, not {window}")

    def normalize(x):
        x = as_float(x)
        square = jnp.square(_wide(x))
        sizes, strides = (1,) * (x.ndim - 1) + (window,), (1,) * x.ndim
        total = jax.lax.reduce_window(square, np.zeros((), square.dtype), jax.lax.add, sizes, strides, "SAME")
        return (x * _power(k + alpha * total, -beta)).astype(x.dtype)

    normalize.__name__ = "local_response_norm"
    return lift(normalize)


def _power(x, exponent: float):
    if exponent != -0.75:
        return x**exponent
    root = jax.lax.rsqrt(x)  # two roots in place of a power, which takes several times as long
    return root * jnp.sqrt(root)


def _scale_bias(spec, scale: bool, bias: bool):
    c, dtype = spec.shape[-1], param_dtype(spec)
    return ({"scale": jnp.ones(c, dtype)} if scale else {}) | ({"bias": jnp.zeros(c, dtype)} if bias else {})


@partial(jax.custom_jvp, nondiff_argnums=(1, 2))
def _moments(x, axes, one_pass=False):
    """Mean and variance over the axes, which keep a length of 1. In one pass the memory is read once, but on CPU."""
    x = _wide(x)
    two = partial(_in_two_passes, axes=axes)
    if not one_pass or any(jax.typeof(x).sharding.spec):  # no slice can be taken of what lies on several devices
        return two(x)
    return jax.lax.platform_dependent(x, cpu=two, default=partial(_in_one_pass, axes=axes))


@_moments.defjvp
def _moments_jvp(axes, one_pass, primals, tangents):
    """The variance does not change with the mean it is taken around, which differentiating it would not notice."""
    mean, var = _moments(*primals, axes, one_pass)
    dx = _wide(*tangents)
    product = (_wide(*primals) - mean) * dx
    return (mean, var), (jnp.mean(dx, axes, keepdims=True), 2 * jnp.mean(product, axes, keepdims=True))


def _in_two_passes(x, axes):
    mean = jnp.mean(x, axes, keepdims=True)
    return mean, jnp.mean(jnp.square(x - mean), axes, keepdims=True)


def _in_one_pass(x, axes):
    """Around one of the values, so that little cancels. Chan et al. 1983, The American Statistician 37, section 3."""
    value = x[tuple(slice(1) if axis in axes else slice(None) for axis in range(x.ndim))]
    offset = jnp.mean(x - value, axes, keepdims=True)
    square = jnp.mean(jnp.square(x - value), axes, keepdims=True)
    return value + offset, jnp.maximum(square - jnp.square(offset), 0)


def _wide(x):
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def _normalize(x, mean, var, epsilon, params):
    return _affine(_standardize(x, mean, var, epsilon), params).astype(x.dtype)


def _standardize(x, mean, var, epsilon):
    """In float32, as the moments are, or wider: in it the gradients of scale and bias are then summed as well."""
    return (x - mean) * jax.lax.rsqrt(var + epsilon)


def _affine(x, params):
    x = x * params["scale"] if "scale" in params else x
    return x + params["bias"] if "bias" in params else x
