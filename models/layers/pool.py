"""Pooling: each window of positions becomes one, channel by channel."""

from ..core import Model, lift
from .conv import Padding, Size, pads, per_axis
from .windows import max_of_windows, mean_of_windows


def max_pool(window: Size, stride: Size | None = None, *, padding: Padding = "VALID") -> Model:
    """The largest value of each window: [B, H, W, C] -> [B, H', W', C] or [B, T, C] -> [B, T', C].

    The stride is the window's size unless given; a smaller one makes the windows overlap. Padding counts as -inf.
    """
    return _pool("max_pool", max_of_windows, window, stride, padding)


def avg_pool(
    window: Size, stride: Size | None = None, *, padding: Padding = "VALID", count_padding: bool = False
) -> Model:
    """The mean of each window: [B, H, W, C] -> [B, H', W', C] or [B, T, C] -> [B, T', C].

    The stride is the window's size unless given. Padding is left out of the mean unless `count_padding`.
    """

    def mean(x, window, stride, padding):
        return mean_of_windows(x, window, stride, padding, count_padding=count_padding)

    return _pool("avg_pool", mean, window, stride, padding)


def global_avg_pool(x):
    """The mean over all positions: [B, H, W, C] -> [B, C]. Lin et al. 2013, arXiv:1312.4400."""
    return x.mean(tuple(range(1, x.ndim - 1)))


def global_max_pool(x):
    """The largest value of all positions: [B, H, W, C] -> [B, C]."""
    return x.max(tuple(range(1, x.ndim - 1)))


def _pool(name: str, form, window: Size, stride: Size | None, padding: Padding) -> Model:
    def pool(x):
        if x.ndim not in (3, 4):
            raise ValueError(f"pooling takes [B, H, W, C] or [B, T, C], not an array of shape {x.shape}")
        dims = x.ndim - 2
        sizes, strides = per_axis(window, dims), per_axis(window if stride is None else stride, dims)
        sides = pads(padding, x.shape[1:-1], sizes, strides)
        if dims == 1:
            return form(x[:, None], (1, *sizes), (1, *strides), [(0, 0), *sides])[:, 0]
        return form(x, sizes, strides, sides)

    pool.__name__ = name
    return lift(pool)
