"""Cells that PyTorch lacks against their equations in NumPy, and how cells start; test_sequences.py has the others."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purezoo.models.layers import bidirectional, gru, lstm, minimal_gated_unit, recurrent
from purezoo.models.layers.cells import orthogonal

BATCH, STEPS, INPUTS, HIDDEN = 3, 5, 2, 4


def s(x):
    return 1 / (1 + np.exp(-x))


def layer_norm(x, scale, bias=0):
    deviation = np.sqrt(((x - x.mean(-1, keepdims=True)) ** 2).mean(-1, keepdims=True) + 1e-5)
    return (x - x.mean(-1, keepdims=True)) / deviation * scale + bias


def lstm_with_peepholes(p, x, h, c):
    W, U, b = p["kernel"], p["recurrent_kernel"], p["bias"]
    Wi, Wf, Wg, Wo = np.split(W, 4, 1)
    Ui, Uf, Ug, Uo = np.split(U, 4, 1)
    bi, bf, bg, bo = np.split(b, 4)
    pi, pf, po = p["peepholes"]
    i, f, g = s(x @ Wi + h @ Ui + pi * c + bi), s(x @ Wf + h @ Uf + pf * c + bf), np.tanh(x @ Wg + h @ Ug + bg)
    c = f * c + i * g
    o = s(x @ Wo + h @ Uo + po * c + bo)
    return o * np.tanh(c), c


def lstm_with_layer_norm(p, x, h, c):
    """Ba et al. 2016, equations 20 to 22."""
    wx = layer_norm(x @ p["kernel"], p["input_scale"], p["input_bias"])
    uh = layer_norm(h @ p["recurrent_kernel"], p["recurrent_scale"])
    i, f, g, o = np.split(wx + uh, 4, 1)
    c = s(f) * c + s(i) * np.tanh(g)
    return s(o) * np.tanh(layer_norm(c, p["cell_scale"], p["cell_bias"])), c


def gru_resetting_before(p, x, h, _):
    """Cho et al. 2014, equations 5 to 8."""
    (Wr, Wz, Wn), (Ur, Uz), (br, bz, bn) = (
        np.split(p["kernel"], 3, 1), np.split(p["recurrent_kernel"], 2, 1), np.split(p["bias"], 3)
    )  # fmt: skip
    r, z = s(x @ Wr + h @ Ur + br), s(x @ Wz + h @ Uz + bz)
    n = np.tanh(x @ Wn + (r * h) @ p["candidate_kernel"] + bn)
    return z * h + (1 - z) * n, _


def minimal_gate(p, x, h, _):
    """Zhou et al. 2016, table 1."""
    (Wf, Wn), (bf, bn) = np.split(p["kernel"], 2, 1), np.split(p["bias"], 2)
    f = s(x @ Wf + h @ p["recurrent_kernel"] + bf)
    n = np.tanh(x @ Wn + (f * h) @ p["candidate_kernel"] + bn)
    return (1 - f) * h + f * n, _


EQUATIONS = {
    "lstm with peepholes": (lstm(HIDDEN, peepholes=True), lstm_with_peepholes),
    "lstm with layer norm": (lstm(HIDDEN, norm=True), lstm_with_layer_norm),
    "gru, reset before": (gru(HIDDEN, reset="before"), gru_resetting_before),
    "minimal gated unit": (minimal_gated_unit(HIDDEN), minimal_gate),
}


@pytest.mark.parametrize("name", EQUATIONS)
def test_a_cell_computes_its_equations(name):
    cell, equations = EQUATIONS[name]
    random = np.random.default_rng(0)
    params = jax.eval_shape(lambda key: cell.init(key, INPUTS, jnp.float32), jax.random.key(0))
    params = jax.tree.map(lambda p: random.normal(size=p.shape), params)
    state, h, c = cell.start(BATCH, jnp.float32), np.zeros((BATCH, HIDDEN)), np.zeros((BATCH, HIDDEN))
    step, single = jax.jit(cell.step), jax.tree.map(jnp.float32, params)
    for _ in range(STEPS):
        x = random.normal(size=(BATCH, INPUTS))
        h, c = equations(params, x, h, c)
        state, output = step(single, state, jnp.float32(x))
        np.testing.assert_allclose(output, h, rtol=1e-5, atol=1e-5)
        np.testing.assert_array_equal(output, state["h"])


def test_the_forget_gate_starts_open():
    x = jax.ShapeDtypeStruct((1, 1, INPUTS), jnp.float32)
    plain, _ = recurrent(lstm(2, forget_bias=3.0)).init(jax.random.key(0), x)
    norm, _ = recurrent(lstm(2, forget_bias=3.0, norm=True)).init(jax.random.key(0), x)
    for bias in (plain["bias"], norm["input_bias"]):
        np.testing.assert_array_equal(bias, [0, 0, 3, 3, 0, 0, 0, 0])


def test_recurrent_kernels_start_orthogonal_in_each_gate():
    params, _ = recurrent(gru(3)).init(jax.random.key(0), jnp.ones((1, 1, INPUTS)))
    for gate in np.split(params["recurrent_kernel"], 3, 1):
        np.testing.assert_allclose(gate @ gate.T, np.eye(3), atol=1e-5)


@pytest.mark.parametrize("size", [1, 2, 200])
def test_orthogonal_matrices_are_orthogonal_and_of_either_sign(size):
    draws = jax.vmap(lambda key: orthogonal(key, size))(jax.random.split(jax.random.key(0), 9))
    np.testing.assert_allclose(draws @ draws.swapaxes(1, 2), np.broadcast_to(np.eye(size), draws.shape), atol=2e-6)
    assert {int(sign) for sign in np.sign(np.linalg.det(draws))} == {-1, 1}


def test_layers_are_made_without_calls_that_wait_for_threads():
    """Two of LAPACK's factorisations in one program can hang on two cores: each holds a thread and needs another."""
    x = jax.ShapeDtypeStruct((1, 4, INPUTS), jnp.float32)
    program = jax.jit(bidirectional(lstm(8)).init).lower(jax.random.key(0), x).as_text()
    assert "custom_call" not in program
