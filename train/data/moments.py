"""Mean and deviation of the training examples, which inputs and targets are standardised by."""

import numpy as np

from .examples import Ragged


def moments(x: np.ndarray, rows: np.ndarray | None) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation over `rows` of each index of x's last axis; 0 and 1 where `rows` is None.

    One pass over chunks that fit the processor's cache, merged in float64 as in Chan, Golub and LeVeque 1983 (equation
    2.1): no float copy of all the images is made. The standard deviation of a constant is given as 1.
    """
    channels = x.shape[-1]
    if rows is None:
        return (0.0,) * channels, (1.0,) * channels
    flat = x.reshape(len(x), -1)
    work: type = np.float32 if x.dtype == np.uint8 else np.float64  # sums of a chunk of bytes are exact in float32
    shift: np.ndarray = flat[rows[0], :channels].astype(work)  # makes the deviation of a constant exactly 0
    tiled = np.resize(shift, flat.shape[1])
    n, mean, squares = 0, np.zeros(channels), np.zeros(channels)
    step = max(1, 2**17 // flat.shape[1])
    for start in range(0, len(rows), step):
        d = flat[rows[start : start + step]].astype(work)
        d -= tiled
        m = d.size // channels
        chunk_mean = _fold(d, channels) / m
        d -= np.resize(chunk_mean, d.shape[1]).astype(work)
        d *= d
        delta = chunk_mean - mean
        squares += _fold(d, channels) + delta**2 * (n * m / (n + m))
        mean += delta * (m / (n + m))
        n += m
    std = np.sqrt(squares / n)
    return tuple((shift + mean).tolist()), tuple(np.where(std > 0, std, 1.0).tolist())


def colour_covariance(x: np.ndarray | Ragged, rows: np.ndarray) -> tuple[float, ...]:
    """The covariance of red, green and blue over the pixels of at most 1,000 of the rows, spread evenly: 3 x 3, row by
    row. () for what is no colour image."""
    if isinstance(x, Ragged) or x.ndim != 4 or x.shape[-1] != 3 or not len(rows):
        return ()
    some = x[rows[:: -(-len(rows) // 1000)]].reshape(-1, 3)
    return tuple(np.cov(some.T.astype(np.float64)).ravel().tolist())


def _fold(d: np.ndarray, channels: int) -> np.ndarray:
    """Sums [channels] of the flattened examples [n, H * W * channels]; down the rows first, which is quick."""
    return d.sum(axis=0).astype(np.float64).reshape(-1, channels).sum(axis=0)
