"""Time: a recurrent cell taken through sequences, in one direction or in both.

A sequence is an array [B, T, D], or `Padded` with lengths; what comes out is of the same kind. Where a cell begins is
told by `state`: without `carry` it is {} and each batch begins at zero; with it, {"h": [B, H], ...} is what the batch
begins with, and `apply` returns what it ends with. So one text can be read in windows, which is truncated
backpropagation through time where each window is a training step (Williams and Peng 1990,
doi:10.1162/neco.1990.2.4.490), and a stream is read in windows of one step: all give the outputs of the whole sequence.
To begin anew, take the state of `init`, which is zero, for a batch of any size.
"""

import jax
import jax.numpy as jnp

from ..core import Model, need_key, param_dtype
from .cells import Cell
from .sequences import Padded, real_steps, values, zero_padding
from .unroll import unroll


def recurrent(cell: Cell, *, reverse: bool = False, carry: bool = False, dropout: float = 0.0, chunk: int = 0) -> Model:
    """A cell over all steps: [B, T, D] -> [B, T, H], zero in the padding. params: the cell's.

    `reverse` begins at the last real step. `dropout` is variational: it zeroes units of h on their way to the next step
    with this probability in training, the same ones at all steps of a sequence (Gal and Ghahramani 2016,
    arXiv:1512.05287, eq. 7). With `chunk`, backpropagation keeps the state at every chunk-th step and computes the
    steps between again, for memory that hardly grows with T; the gradients are the same. In training (`train=True`)
    gradients are written by hand, and forward-mode differentiation needs train=False.

    Raises ValueError for what is no [B, T, D], for a state to carry that is missing, in reverse or of another number of
    sequences, for dropout outside [0, 1), in training without a key, or of a cell whose gate multiplies h before the
    product.
    """
    if not 0 <= dropout < 1:
        raise ValueError(f"a dropout rate lies in [0, 1), not {dropout}")
    if chunk < 0:
        raise ValueError(f"a chunk is a number of steps, or 0 for one chunk, not {chunk}")
    if carry and reverse:
        raise ValueError("no state can be carried in reverse: the next window comes before this one")

    def check(shape):
        if len(shape) != 3 or shape[1] < 1:
            raise ValueError(f"a recurrent layer takes [B, T, D] with at least one step, not {shape}")

    def init(key, spec):
        spec = values(spec)
        check(spec.shape)
        params = cell.init(key, spec.shape[-1], param_dtype(spec))
        if dropout and "candidate_kernel" in params:
            raise ValueError("variational dropout is for cells whose recurrent product is U h, not U (r * h)")
        return params, cell.start(len(spec), param_dtype(spec)) if carry else {}

    def apply(params, state, x, *, key=None, train=False):
        check(values(x).shape)
        x, real = zero_padding(x), real_steps(x)
        steps = values(x).swapaxes(0, 1)  # [T, B, D]
        dtype = jnp.promote_types(steps.dtype, params["kernel"].dtype)  # integers take the kernel's
        params = {name: p.astype(dtype) for name, p in params.items()}  # which gives gradients in the parameters' own
        begin = cell.start(steps.shape[1], dtype)
        if carry:
            if missing := begin.keys() - state.keys():
                raise ValueError(
                    f"the carried state lacks {', '.join(sorted(missing))}: begin with the state that `init` gives"
                )
            begin = {name: state[name].astype(dtype) for name in begin}
        if len(begin["h"]) != steps.shape[1]:
            raise ValueError(
                f"the carried state is of {len(begin['h'])} sequences, the batch has {steps.shape[1]}: begin such a "
                "batch with the state that `init` gives for it"
            )
        keep = None
        if dropout and train:
            keep = jax.random.bernoulli(need_key(key, "dropout"), 1 - dropout, begin["h"].shape)
            keep = keep.astype(dtype) / (1 - dropout)
        y, end = unroll(
            cell, params, begin, steps.astype(dtype), None if real is None else real.T, keep,
            reverse=reverse, train=train, chunk=chunk,
        )  # fmt: skip
        y = y.swapaxes(0, 1)
        after = {name: end[name].astype(state[name].dtype) for name in end} if carry else {}
        return (Padded(y, x.lengths) if isinstance(x, Padded) else y), after

    return Model(init, apply)


def bidirectional(cell: Cell, *, dropout: float = 0.0, chunk: int = 0) -> Model:
    """One cell forward and one in reverse, side by side: [B, T, D] -> [B, T, 2 H]. params: forward, backward.

    Schuster and Paliwal 1997, doi:10.1109/78.650093. Arguments and errors as in `recurrent`.
    """
    directions = {
        name: recurrent(cell, reverse=name == "backward", dropout=dropout, chunk=chunk)
        for name in ("forward", "backward")
    }

    def init(key, spec):
        keys = jax.random.split(key)
        return {n: d.init(k, spec)[0] for (n, d), k in zip(directions.items(), keys, strict=True)}, {}

    def apply(params, state, x, *, key=None, train=False):
        keys = (None, None) if key is None else jax.random.split(key)
        halves = []
        for (name, direction), k in zip(directions.items(), keys, strict=True):
            with jax.named_scope(name):
                halves.append(values(direction.apply(params[name], {}, x, key=k, train=train)[0]))
        y = jnp.concatenate(halves, -1)
        return (x._replace(x=y) if isinstance(x, Padded) else y), {}

    return Model(init, apply)
