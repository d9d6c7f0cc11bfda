"""Cells of recurrent networks: what they compute at one step of time, written like their equations.

x is the input of a step, h its output, which comes back at the next step; s is the logistic function, and * multiplies
element by element. `recurrent` takes a cell through time.
"""

import functools
from collections.abc import Callable
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.nn import relu, sigmoid

from .dense import add, lecun_normal, product
from .norm import layer_norm


class Cell(NamedTuple):
    """A recurrent cell of H units, G of whose numbers are gates before their nonlinearity.

    init(key, inputs, dtype) -> params
        kernel W [D, G], recurrent_kernel U [H, G], bias b [G], and what else the cell has. Of a cell whose last gate
        multiplies h before the product, U is [H, G - H], and the rest is candidate_kernel [H, H].
    start(batch, dtype) -> state
        {"h": [B, H], ...}, zeros.
    update(params, state, wx, uh) -> (state, output)
        One step, given wx = x W + b [B, G] and uh = h U, as wide as U. All cells have these two products, so
        `recurrent` makes them, the first for all steps at once.
    adds
        Whether they enter as their sum alone, so that update(params, state, wx + uh) is the same.
    """

    init: Callable[..., dict]
    start: Callable[..., dict]
    update: Callable[..., tuple[dict, Array]]
    adds: bool = False

    def step(self, params: dict, state: dict, x: Array) -> tuple[dict, Array]:
        """x [B, D] -> (state, output [B, H])."""
        return self.update(params, state, project(params, x), state["h"] @ params["recurrent_kernel"])


def project(params: dict, x: Array) -> Array:
    """x W + b: [..., D] -> [..., G]."""
    wx = product(x, params["kernel"])
    return add(wx, params["bias"]) if "bias" in params else wx


def elman(hidden: int, activation: Literal["tanh", "relu"] = "tanh") -> Cell:
    """h' = tanh(W x + U h + b). Elman 1990, doi:10.1207/s15516709cog1402_1."""
    nonlinearity = {"tanh": jnp.tanh, "relu": relu}.get(activation)
    if nonlinearity is None:
        raise ValueError(f"the activation of an Elman cell is tanh or relu, not '{activation}'")

    def init(key, inputs, dtype):
        return _weights(key, inputs, hidden, 1, dtype) | {"bias": jnp.zeros(hidden, dtype)}

    def update(params, state, wx, uh=0):
        h = nonlinearity(wx + uh)
        return {"h": h}, h

    return Cell(init, _zeros(hidden, "h"), update, adds=True)


def lstm(hidden: int, *, forget_bias: float = 1.0, peepholes: bool = False, norm: bool = False) -> Cell:
    """Long short-term memory, with the forget gate of Gers et al. 2000, doi:10.1162/089976600300015015.

    i, f, g, o = W x + U h + b, c' = s(f) * c + s(i) * tanh(g), h' = s(o) * tanh(c').

    The gates lie in this order. b starts at `forget_bias` for f (Jozefowicz et al. 2015) and 0 elsewhere. `peepholes`
    let the gates see the memory: i + p_i * c, f + p_f * c, o + p_o * c' (Gers et al. 2002,
    jmlr.org/papers/v3/gers02a.html); params: peepholes [3, H], 0 at first. With `norm`, LN(W x) + LN(U h) + b takes
    the place of the sum, and tanh(LN(c')) that of tanh(c') (Ba et al. 2016, arXiv:1607.06450, eq. 20 to 22); params:
    input_scale, input_bias, which is b, recurrent_scale, cell_scale, cell_bias.
    """
    normalize = layer_norm().apply

    def init(key, inputs, dtype):
        params = _weights(key, inputs, hidden, 4, dtype)
        bias = jnp.zeros(4 * hidden, dtype).at[hidden : 2 * hidden].set(forget_bias)
        if norm:
            params |= {"input_scale": jnp.ones(4 * hidden, dtype), "input_bias": bias}
            params |= {"recurrent_scale": jnp.ones(4 * hidden, dtype)}
            params |= {"cell_scale": jnp.ones(hidden, dtype), "cell_bias": jnp.zeros(hidden, dtype)}
        else:
            params["bias"] = bias
        return params | ({"peepholes": jnp.zeros((3, hidden), dtype)} if peepholes else {})

    def update(params, state, wx, uh=0):
        c = state["c"]
        if norm:
            wx, _ = normalize({"scale": params["input_scale"], "bias": params["input_bias"]}, {}, wx)
            uh, _ = normalize({"scale": params["recurrent_scale"]}, {}, uh)
        i, f, g, o = jnp.split(wx + uh, 4, -1)
        if peepholes:
            i, f = i + params["peepholes"][0] * c, f + params["peepholes"][1] * c
        c = sigmoid(f) * c + sigmoid(i) * jnp.tanh(g)
        if peepholes:
            o = o + params["peepholes"][2] * c
        seen = normalize({"scale": params["cell_scale"], "bias": params["cell_bias"]}, {}, c)[0] if norm else c
        h = sigmoid(o) * jnp.tanh(seen)
        return {"h": h, "c": c}, h

    return Cell(init, _zeros(hidden, "h", "c"), update, adds=not norm)


def gru(hidden: int, *, reset: Literal["before", "after"] = "after") -> Cell:
    """Gated recurrent unit. Cho et al. 2014, arXiv:1406.1078, eq. 5 to 8.

    r = s(W_r x + U_r h + b_r), z = s(W_z x + U_z h + b_z), h' = z * h + (1 - z) * n, where the gate r resets h

    - before the product, as in the paper: n = tanh(W_n x + U_n (r * h) + b_n), with U_n as candidate_kernel [H, H];
    - after it, as in cuDNN and PyTorch: n = tanh(W_n x + b_n + r * (U_n h + d_n)). d is recurrent_bias [3 H], of which
      r and z have a part as well, as there.

    The gates lie in the order r, z, n.
    """
    if reset not in ("before", "after"):
        raise ValueError(f"a GRU resets its state before or after the product, not '{reset}'")

    def init(key, inputs, dtype):
        params, bias = _weights(key, inputs, hidden, 3, dtype), jnp.zeros(3 * hidden, dtype)
        if reset == "before":
            return _candidate_apart(params) | {"bias": bias}
        return params | {"bias": bias, "recurrent_bias": jnp.zeros(3 * hidden, dtype)}

    def before(params, state, wx, uh):
        h, (wr, wz, wn), (ur, uz) = state["h"], jnp.split(wx, 3, -1), jnp.split(uh, 2, -1)
        r, z = sigmoid(wr + ur), sigmoid(wz + uz)
        n = jnp.tanh(wn + (r * h) @ params["candidate_kernel"])
        h = z * h + (1 - z) * n
        return {"h": h}, h

    def after(params, state, wx, uh):
        (wr, wz, wn), (ur, uz, un) = jnp.split(wx, 3, -1), jnp.split(uh + params["recurrent_bias"], 3, -1)
        r, z = sigmoid(wr + ur), sigmoid(wz + uz)
        n = jnp.tanh(wn + r * un)
        h = z * state["h"] + (1 - z) * n
        return {"h": h}, h

    return Cell(init, _zeros(hidden, "h"), before if reset == "before" else after)


def minimal_gated_unit(hidden: int) -> Cell:
    """f = s(W_f x + U_f h + b_f), n = tanh(W_n x + U_n (f * h) + b_n), h' = (1 - f) * h + f * n.

    A GRU with one gate. params: U_n as candidate_kernel [H, H]. Zhou et al. 2016, arXiv:1603.09420, table 1.
    """

    def init(key, inputs, dtype):
        return _candidate_apart(_weights(key, inputs, hidden, 2, dtype)) | {"bias": jnp.zeros(2 * hidden, dtype)}

    def update(params, state, wx, uh):
        h, (wf, wn) = state["h"], jnp.split(wx, 2, -1)
        f = sigmoid(wf + uh)
        n = jnp.tanh(wn + (f * h) @ params["candidate_kernel"])
        h = (1 - f) * h + f * n
        return {"h": h}, h

    return Cell(init, _zeros(hidden, "h"), update)


def _weights(key, inputs: int, hidden: int, gates: int, dtype) -> dict:
    """Each gate's recurrent matrix starts orthogonal (Saxe et al. 2014, arXiv:1312.6120)."""
    first, second = jax.random.split(key)
    recurrent = jax.vmap(lambda k: orthogonal(k, hidden).astype(dtype))(jax.random.split(second, gates))
    return {
        "kernel": lecun_normal(first, (inputs, gates * hidden), dtype),
        "recurrent_kernel": jnp.concatenate(recurrent, 1),
    }


def orthogonal(key, size: int) -> Array:
    """A random orthogonal matrix [size, size], every rotation and reflection as likely as any other.

    Gram-Schmidt, each row made orthogonal twice (Giraud et al. 2005, doi:10.1007/s00211-005-0615-4), of normal numbers.
    JAX's own initialiser calls LAPACK's QR, which in jaxlib 0.10 waits on CPU for threads of the pool that it runs in:
    two at once, as two layers have, can hang for ever on two cores.
    """
    normal, dot = jax.random.normal(key, (size, size)), functools.partial(jnp.dot, precision="highest")

    def step(i, rows):  # those from i on are still zero
        row = normal[i]
        for _ in range(2):
            row -= dot(dot(rows, row), rows)
        return rows.at[i].set(row / jnp.linalg.norm(row))

    return jax.lax.fori_loop(0, size, step, jnp.zeros_like(normal))


def _candidate_apart(params: dict) -> dict:
    """The last gate's recurrent matrix under a name of its own."""
    recurrent = params["recurrent_kernel"]
    hidden = len(recurrent)
    return params | {"recurrent_kernel": recurrent[:, :-hidden], "candidate_kernel": recurrent[:, -hidden:]}


def _zeros(hidden: int, *names: str) -> Callable[..., dict]:
    if hidden < 1:
        raise ValueError(f"a recurrent cell needs at least 1 unit, not {hidden}")
    return lambda batch, dtype: {name: jnp.zeros((batch, hidden), dtype) for name in names}
