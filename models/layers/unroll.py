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

    wide = _widened(params)

    def window(state, steps):
        x, real = steps
        hidden = len(params["recurrent_kernel"])
        form = _scan_by_hand if train and hidden >= 8 * x.shape[1] else _scan
        return form(cell, reverse, _as(params, wide), keep, state, x, real)

    if not 0 < chunk < len(x):
        return window(state, (x, real))
    chunks, missing = -(-len(x) // chunk), -len(x) % chunk
    if missing and real is None:
        real = jnp.ones(x.shape[:2], bool)
    steps = jax.tree.map(lambda a: jnp.pad(a, [(0, missing)] + [(0, 0)] * (a.ndim - 1)), (x, real))  # not real
    steps = jax.tree.map(lambda a: a.reshape(chunks, chunk, *a.shape[1:]), steps)

    @partial(jax.checkpoint, prevent_cse=False)  # which scan does by itself
    def one(state, steps):
        y, state = window(state, steps)
        return state, y

    state, y = lax.scan(one, state, steps, reverse=reverse)
    return y.reshape(chunks * chunk, *y.shape[2:])[: len(x)], state


def _widened(params):
    """In float32 at least: what a loop adds up, such as the gradients of its steps, has the dtype that goes into it."""
    return jax.tree.map(lambda p: p.astype(jnp.promote_types(p.dtype, jnp.float32)), params)


def _as(like, params):
    return jax.tree.map(lambda a, p: p.astype(a.dtype), like, params)


def _scan(cell: Cell, reverse: bool, params, keep, state, x, real):
    wide = _widened(params)

    def body(state, step):
        (wx, real), own = step, _as(params, wide)
        return _step(cell, real, own, state, (wx, _kept(state["h"], keep) @ own["recurrent_kernel"]))

    steps = project(params, x), real
    if len(x) == 1:  # a stream: no loop around one step
        state, y = body(state, jax.tree.map(lambda a: a[0], steps))
        return y[None], state
    state, y = lax.scan(body, state, steps, reverse=reverse)
    return y, state


def _step(cell: Cell, real, params, state, products):
    after, y = cell.update(params, state, *products)
    if real is None:
        return after, y
    real = real[:, None]
    return jax.tree.map(lambda new, old: jnp.where(real, new, old), after, state), jnp.where(real, y, 0)


def _kept(h, keep):
    return h if keep is None else h * keep


@partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _scan_by_hand(cell: Cell, reverse: bool, params, keep, state, x, real):
    """The same numbers, with a gradient that is faster where units are many and sequences few.

    JAX adds to the gradient of the recurrent kernel at every step, a pass over all of that matrix. Here the way back
    collects the gradients of the products W x and U h, and one matrix product after it does all steps at once; in
    return, what a cell computes element by element is computed again.
    """
    return _scan(cell, reverse, params, keep, state, x, real)


def _scan_forward(cell: Cell, reverse: bool, params, keep, state, x, real):
    """Keeps what the way back needs of each step: the state before it and the two products, or their sum."""
    wx = project(params, x)

    def body(state, step):
        wx, real = step
        uh = _kept(state["h"], keep) @ params["recurrent_kernel"]
        after, y = _step(cell, real, params, state, (wx, uh))
        return after, (y, state, wx + uh if cell.adds else uh)

    last, (y, states, seen) = lax.scan(body, state, (wx, real), reverse=reverse)
    products = (seen,) if cell.adds else (wx, seen)
    return (y, last), (params, keep, states, products, x, real)


def _scan_backward(cell: Cell, reverse: bool, saved, gradients):
    params, keep, states, products, x, real = saved
    dy, dstate = gradients
    kernel, recurrent_kernel = params["kernel"], params["recurrent_kernel"]
    rest = {name: p for name, p in params.items() if name not in ("kernel", "bias", "recurrent_kernel")}
    transposed = lax.optimization_barrier(recurrent_kernel.T)  # copied once: XLA would read it crosswise at each step

    def body(sums, step):
        dstate, drest = sums
        state, products, real, dy = step
        _, pull = jax.vjp(partial(_step, cell, real), rest, state, products)
        more, dstate, dproducts = pull((dstate, dy))
        dstate = dstate | {"h": dstate["h"] + _kept(dproducts[-1] @ transposed, keep)}
        return (dstate, jax.tree.map(lambda total, one: total + one.astype(total.dtype), drest, more)), dproducts

    sums = (dstate, jax.tree.map(jnp.zeros_like, _widened(rest)))
    (dstate, drest), dproducts = lax.scan(body, sums, (states, products, real, dy), reverse=not reverse)
    h, dwx, duh = _kept(states["h"], keep), dproducts[0], dproducts[-1]
    if cell.adds:  # the sum's gradient is that of both products
        dkernels = _over_all_steps(jnp.concatenate([x, h], -1), dwx)
        dkernel, drecurrent = jnp.split(dkernels, [x.shape[-1]])
    else:
        dkernel, drecurrent = _over_all_steps(x, dwx), _over_all_steps(h, duh)
    dparams = _as(rest, drest) | {"kernel": dkernel, "recurrent_kernel": drecurrent}
    if "bias" in params:
        dparams["bias"] = dwx.sum((0, 1))
    return dparams, None, dstate, dwx @ kernel.T, None


def _over_all_steps(a: Array, b: Array) -> Array:
    """[T, B, I], [T, B, J] -> [I, J], the products of all steps summed."""
    return a.reshape(-1, a.shape[-1]).T @ b.reshape(-1, b.shape[-1])


_scan_by_hand.defvjp(_scan_forward, _scan_backward)
