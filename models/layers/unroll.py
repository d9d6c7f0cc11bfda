"""A cell taken through time by `lax.scan`, with a gradient that is fast, and one whose memory is bounded."""

from functools import partial

import jax
import jax.numpy as jnp
from jax import Array, lax

from .cells import Cell, project


def unroll(
    cell: Cell, params: dict, state: dict, x: Array, real: Array | None = None, keep: Array | None = None,
    *, reverse: bool = False, train: bool = False, chunk: int = 0,
) -> tuple[Array, dict]:  # fmt: skip
    """x [T, B, D] from `state` on -> (outputs [T, B, H], the last state).

    Where `real` [T, B] is false, the state stays as it is and the output is zero. `keep` [B, H] multiplies h before the
    recurrent product. With `chunk`, backpropagation keeps the state before each chunk of steps and computes the rest
    again. Without `train` forward-mode differentiation works as well.
    """

    def window(params, state, steps):
        x, real = steps
        rest = {name: p for name, p in params.items() if name not in ("kernel", "bias", "recurrent_kernel")}
        hidden = len(params["recurrent_kernel"])
        form = _scan_by_hand if train and hidden >= 8 * x.shape[1] else _scan
        return form(cell, reverse, rest, params["recurrent_kernel"], keep, state, project(params, x), real)

    if not 0 < chunk < len(x):
        return window(params, state, (x, real))
    chunks, missing = -(-len(x) // chunk), -len(x) % chunk
    if missing and real is None:
        real = jnp.ones(x.shape[:2], bool)
    steps = jax.tree.map(lambda a: jnp.pad(a, [(0, missing)] + [(0, 0)] * (a.ndim - 1)), (x, real))  # not real
    steps = jax.tree.map(lambda a: a.reshape(chunks, chunk, *a.shape[1:]), steps)

    @partial(jax.checkpoint, prevent_cse=False)  # which scan does by itself
    def one(state, steps):
        y, state = window(params, state, steps)
        return state, y

    state, y = lax.scan(one, state, steps, reverse=reverse)
    return y.reshape(-1, *y.shape[2:])[: len(x)], state


def _scan(cell: Cell, reverse: bool, rest, kernel, keep, state, wx, real):
    def body(state, step):
        wx, real = step
        return _step(cell, real, rest, state, wx, _kept(state["h"], keep) @ kernel)

    state, y = lax.scan(body, state, (wx, real), reverse=reverse)
    return y, state


def _step(cell: Cell, real, rest, state, wx, uh):
    after, y = cell.update(rest, state, wx, uh)
    if real is None:
        return after, y
    real = real[:, None]
    return jax.tree.map(lambda new, old: jnp.where(real, new, old), after, state), jnp.where(real, y, 0)


def _kept(h, keep):
    return h if keep is None else h * keep


@partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _scan_by_hand(cell: Cell, reverse: bool, rest, kernel, keep, state, wx, real):
    """The same numbers, with a gradient that is faster where units are many and sequences few.

    JAX adds to the gradient of the recurrent kernel at every step, a pass over all of that matrix. Here the way back
    collects the gradients of the recurrent products, and one matrix product after it does all steps at once; in
    return, what a cell computes element by element is computed again.
    """
    return _scan(cell, reverse, rest, kernel, keep, state, wx, real)


def _scan_forward(cell: Cell, reverse: bool, rest, kernel, keep, state, wx, real):
    """Keeps what the way back needs of each step: the state before it and its recurrent product."""

    def body(state, step):
        wx, real = step
        uh = _kept(state["h"], keep) @ kernel
        after, y = _step(cell, real, rest, state, wx, uh)
        return after, (y, state, uh)

    last, (y, states, uh) = lax.scan(body, state, (wx, real), reverse=reverse)
    return (y, last), (rest, kernel, keep, states, wx, uh, real)


def _scan_backward(cell: Cell, reverse: bool, saved, gradients):
    rest, kernel, keep, states, wx, uh, real = saved
    dy, dstate = gradients

    def body(sums, step):
        dstate, drest = sums
        state, wx, uh, real, dy = step
        _, pull = jax.vjp(partial(_step, cell, real), rest, state, wx, uh)
        more, dstate, dwx, duh = pull((dstate, dy))
        dstate = dstate | {"h": dstate["h"] + _kept(duh @ kernel.T, keep)}
        # A cell that adds the two products has one array for both gradients, and it is kept once.
        return (dstate, jax.tree.map(jnp.add, drest, more)), (dwx, None if duh is dwx else duh)

    sums = (dstate, jax.tree.map(jnp.zeros_like, rest))
    (dstate, drest), (dwx, duh) = lax.scan(body, sums, (states, wx, uh, real, dy), reverse=not reverse)
    dkernel = jnp.einsum("tbh,tbg->hg", _kept(states["h"], keep), dwx if duh is None else duh)
    return drest, dkernel, None, dstate, dwx, None


_scan_by_hand.defvjp(_scan_forward, _scan_backward)
