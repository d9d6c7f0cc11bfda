"""Recurrent networks against PyTorch's on packed sequences of different lengths: outputs, last states, gradients.

The files of reference/sequences are made by scripts/reference_sequences.py. They hold PyTorch's results; its tensors
and the inputs are drawn from their names, here as there.
"""

import json
import zlib
from itertools import product
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purezoo.models import RNN, Padded, RNNLanguageModel
from purezoo.models.pytorch import from_pytorch, names

FOLDER = Path(__file__).parent / "reference" / "sequences"

NETWORKS = {
    f"{cell}_{depth}{'_both' * both}": RNN(2, cell, 4, depth, bidirectional=both, read="every", carry=not both)
    for cell, depth, both in (*product(("elman", "lstm", "gru"), (1, 2), (False, True)), ("elman_relu", 2, True))
}
NETWORKS["language_model"] = RNNLanguageModel(5, 3, "lstm", 4, 2, carry=True)


def test_every_reference_is_compared():
    assert {path.stem for path in FOLDER.glob("*.npz")} == set(NETWORKS)


@pytest.mark.parametrize("name", NETWORKS)
def test_outputs_states_and_gradients(name):
    network, record = NETWORKS[name], read(name)
    model, lengths, outputs = network.build(), record["lengths"], record["outputs"]
    shape = (len(lengths), max(lengths))
    x = random_tensor("x", (*shape, 3)) if "x" in record["gradients"] else np.arange(np.prod(shape)).reshape(shape) % 5
    real, cotangent = np.arange(shape[1]) < lengths[:, None], random_tensor("cotangent", outputs.shape)
    like = dict(zip(("params", "state"), jax.eval_shape(model.init, jax.random.key(0), x), strict=True))
    tensors = {key: random_tensor(key, g.shape) for key, g in record["gradients"].items() if key != "x"}
    weights = from_pytorch(network, tensors, like)
    assert weights["state"] == like["state"]
    params, zeros = weights["params"], jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), like["state"])

    @jax.jit
    def run(params, x):
        def loss(params, x):
            y, state = model.apply(params, zeros, Padded(x, jnp.asarray(lengths)), train=True)
            y = y * real[..., None]
            return jnp.sum(y * cotangent), (y, state)

        arguments = (0, 1) if jnp.issubdtype(x.dtype, jnp.floating) else 0
        return jax.grad(loss, arguments, has_aux=True)(params, x)

    gradients, (y, state) = run(params, x)
    if "x" in record["gradients"]:
        gradients, x_gradient = gradients
        assert_close(x_gradient, record["gradients"]["x"])
        np.testing.assert_array_equal(x_gradient[~real], 0)
    assert_close(y, outputs)
    if state:
        layers = [state[f"layer{n + 1}"] for n in range(network.depth)]
        states = [[layer[kind] for layer in layers] for kind in ("h", "c") if kind in layers[0]]
        assert_close(np.array(states), record["states"])
    for ours, theirs in names(network).items():
        gradient = record["gradients"][theirs]
        assert_close(leaf_of(gradients, ours), gradient.T if ours.endswith("kernel") else gradient)


def test_both_biases_are_needed():
    network = NETWORKS["lstm_1"]
    tensors = {key: random_tensor(key, g.shape) for key, g in read("lstm_1")["gradients"].items() if key != "x"}
    params, _ = jax.eval_shape(network.build().init, jax.random.key(0), jnp.ones((1, 2, 3)))
    del tensors["rnn.bias_hh_l0"]
    with pytest.raises(ValueError, match=r"1 missing: rnn.bias_hh_l0"):
        from_pytorch(network, tensors, {"params": params})


def test_a_cell_that_pytorch_lacks_is_named():
    with pytest.raises(ValueError, match="PyTorch has no 'mgu' cell: elman, elman_relu, lstm and gru"):
        names(RNN(cell="mgu"))


def read(name):
    """The arrays of a file; gradients by PyTorch's names."""
    with np.load(FOLDER / f"{name}.npz", allow_pickle=False) as arrays:
        record = dict(arrays)
    shapes = json.loads(str(record["shapes"]))
    parts = np.split(record["gradients"], np.cumsum([np.prod(shape) for shape in shapes.values()])[:-1])
    record["gradients"] = {key: part.reshape(shapes[key]) for key, part in zip(shapes, parts, strict=True)}
    return record


def leaf_of(tree, path):
    for part in path.split("."):
        tree = tree[part]
    return tree


def assert_close(ours, reference):
    np.testing.assert_allclose(ours, reference, rtol=1e-5, atol=1e-5 * np.abs(reference).max())


def random_tensor(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Uniform numbers between -1 and 1 drawn from a name, float32."""
    return np.random.Generator(np.random.SFC64(zlib.crc32(name.encode()))).random(shape, np.float32) * 2 - 1
