"""Every layer and network against what PyTorch computes: the files that scripts/reference_outputs.py makes."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from purezoo import models
from purezoo.models.catalogue import CATALOGUE
from purezoo.models.core import as_model, main_output
from purezoo.models.layers import (
    activation,
    avg_pool,
    batch_norm,
    class_token,
    conv,
    conv_transpose,
    dense,
    global_avg_pool,
    global_max_pool,
    group_norm,
    layer_norm,
    layer_scale,
    local_response_norm,
    max_pool,
    patch_embedding,
    position_embedding,
    self_attention,
)
from purezoo.models.layers.activations import ACTIVATIONS
from purezoo.models.pytorch import MAPS

FOLDER = Path(__file__).parent / "reference"

LAYERS = {
    "dense": dense(5),
    "dense_positions": dense(5),
    "conv": conv(4, 3, padding="VALID"),
    "conv_1x1": conv(4, 1, bias=False),
    "conv_stride": conv(4, (3, 2), stride=(2, 1), padding=(1, 0)),
    "conv_dilation": conv(3, 3, dilation=2),
    "conv_groups": conv(6, 3, groups=2),
    "conv_depthwise": conv(3, 3, groups=3, stride=2, padding=1),
    "conv_everything": conv(2, 3, groups=2, stride=2, dilation=2, padding=(2, 1)),
    "conv_1d": conv(4, 3, stride=2, padding=1),
    "conv_1d_dilation": conv(4, 3, dilation=3, groups=2, padding="VALID"),
    "conv_transpose": conv_transpose(4, 3),
    "conv_transpose_padding": conv_transpose(4, 4, stride=2, padding="SAME"),
    "conv_transpose_uneven": conv_transpose(2, 3, stride=2, padding=[(1, 0), (1, 0)]),
    "conv_transpose_gaps": conv_transpose(2, 2, stride=3, padding="VALID"),
    "conv_transpose_1d": conv_transpose(4, 4, stride=2, padding=1),
    "max_pool": max_pool(2),
    "max_pool_overlapping": max_pool(3, 2),
    "max_pool_padding": max_pool(2, padding=1),
    "max_pool_overlapping_padding": max_pool((3, 2), (2, 1), padding=1),
    "max_pool_1d": max_pool(3, 2, padding=1),
    "avg_pool": avg_pool(2),
    "avg_pool_overlapping": avg_pool(3, 2),
    "avg_pool_padding": avg_pool(3, 2, padding=1),
    "avg_pool_count_padding": avg_pool(3, 2, padding=1, count_padding=True),
    "avg_pool_1d": avg_pool(3, 2, padding=1),
    "global_avg_pool": as_model(global_avg_pool),
    "global_max_pool": as_model(global_max_pool),
    "batch_norm": batch_norm(),  # our momentum 0.9 is PyTorch's 0.1
    "batch_norm_features": batch_norm(),
    "batch_norm_eval": batch_norm(),
    "layer_norm": layer_norm(),
    "group_norm": group_norm(2),
    "group_norm_one_group": group_norm(1),
    "self_attention": self_attention(2),
    "self_attention_causal": self_attention(3, causal=True),
    "patch_embedding": patch_embedding(4, 2),
    "class_token": class_token(),
    "position_embedding": position_embedding(),
    "layer_scale": layer_scale(),
    "local_response_norm": local_response_norm(alpha=0.3),  # PyTorch divides alpha by the window
    "local_response_norm_power": local_response_norm(3, k=1.0, alpha=0.2, beta=0.5),
    **{name: as_model(activation(name)) for name in ACTIVATIONS},  # gelu is the tanh approximation
}

NETWORKS = {
    "linear_regression": models.LinearRegression(outputs=2),
    "logistic_regression": models.LogisticRegression(classes=3),
    "mlp": models.MLP(outputs=3, widths=(16, 8)),
    "mlp_batch_norm": models.MLP(outputs=3, widths=(16, 8), batch_norm=True),
    "lenet": models.LeNet(classes=3),
    "airbench": models.Airbench(classes=3, widths=(6, 8)),
    "airbench96": models.Airbench(classes=3, widths=(6, 8), depth=3),
    "tcn": models.TCN(outputs=3, width=4, blocks=2, kernel=3, dropout=0),
    "unet": models.UNet(classes=3, width=4, depth=2),
    "autoencoder": models.Autoencoder(latent=3, widths=(16, 8)),
    "conv_autoencoder": models.ConvAutoencoder(latent=5, width=4),
    "vae": models.VAE(latent=3, widths=(16, 8)),
    "conv_vae": models.ConvVAE(latent=5, width=4),
    "flow_unet": models.FlowUNet(classes=3, width=16, depth=1, patch=2),
}


def test_every_reference_is_compared_and_every_network_has_one():
    files, compared = {path.stem for path in FOLDER.glob("*.npz")}, {*LAYERS, *NETWORKS}
    assert sorted(files ^ compared) == [], "a file without a line here, or a line here without a file"
    without = {type(entry.network) for entry in CATALOGUE.values()} - {type(n) for n in NETWORKS.values()} - set(MAPS)
    assert without == set(), "no reference: a line in NETWORKS, or names in models/pytorch.py"


@pytest.mark.parametrize("name", LAYERS)
def test_layer(name):
    record, layer = read(name), LAYERS[name]
    train = not name.endswith("_eval")
    x, params, state = record["x"], record["params"], record["state"]
    assert_initialised_alike(layer, x, params, state)

    @jax.jit
    def run(params, x):
        y, pull, after = jax.vjp(lambda p, x: layer.apply(p, state, x, train=train), params, x, has_aux=True)
        return y, after, *pull(record["cotangent"])

    y, after, gradients, x_gradient = run(params, x)
    assert_close(y, record["y"])
    assert_close(gradients, record["gradients"])
    assert_close(x_gradient, record["x_gradient"])
    assert_close(after, record["state_after"] if train else state)


@pytest.mark.parametrize("name", NETWORKS)
def test_network(name):
    record, model = read(name), NETWORKS[name].build()
    x, y, params, state = record["x"], record["y"], record["params"], record["state"]
    assert_initialised_alike(model, x, params, state)
    optimizer = optax.sgd(0.1)

    @jax.jit
    def step(params, state):
        def loss(params):
            logits, after = model.apply(params, state, x, train="vae" not in name)  # which then draws no code
            logits = main_output(logits)
            if y.dtype == np.int32:
                return optax.softmax_cross_entropy_with_integer_labels(logits, y).mean(), (logits, after)
            return jnp.mean(jnp.square(logits - y)), (logits, after)

        (value, (logits, after)), gradients = jax.value_and_grad(loss, has_aux=True)(params)
        updates, _ = optimizer.update(gradients, optimizer.init(params))
        return optax.apply_updates(params, updates), after, (value, logits, gradients)

    start, losses = params, []
    for n in range(3):
        params, state, (value, logits, gradients) = step(params, state)
        losses.append(value)
        if n == 0:
            assert_close(logits, record["logits"])
            cancels = 1e-4 if name == "flow_unet" else 1e-5  # a normalisation nearly undoes the bias before it
            assert_close(jax.tree.map(np.linalg.norm, gradients), record["gradient_norms"], cancels)
    assert_close(np.array(losses), record["losses"])
    way = jax.tree.map(lambda a, b: np.linalg.norm(a - b), params, start)
    # a difference of float32 numbers that are much larger than it
    deep = 1e-4 if name in ("tcn", "unet", "conv_vae", "flow_unet") else 1e-5
    assert_close(way, record["way_norms"], deep)
    assert_close(state, record["state_after"])
    assert_close(main_output(model.apply(params, state, x)[0]), record["logits_after"])


def read(name):
    """The arrays of a file, {"params/dense1/kernel": ...} as {"params": {"dense1": {"kernel": ...}}}."""
    record = {"params": {}, "state": {}, "gradients": {}, "state_after": {}}
    with np.load(FOLDER / f"{name}.npz", allow_pickle=False) as arrays:
        for key in arrays.files:
            *path, last = key.split("/")
            node = record
            for part in path:
                node = node.setdefault(part, {})
            node[last] = arrays[key]
    return record


def assert_initialised_alike(model, x, params, state):
    """Our `init` gives the names, shapes and dtypes of the file."""
    ours, given = (
        {jax.tree_util.keystr(path): (a.shape, a.dtype) for path, a in jax.tree.leaves_with_path(tree)}
        for tree in (jax.eval_shape(model.init, jax.random.key(0), x), (params, state))
    )
    assert sorted(set(ours) - set(given)) == [], "these names are ours alone"
    assert sorted(set(given) - set(ours)) == [], "these names are the file's alone"
    assert ours == given


def assert_close(ours, reference, tolerance=1e-5):
    """Relative to each number, and for sums that nearly cancel to the largest number of its array."""
    assert jax.tree.structure(ours) == jax.tree.structure(reference)
    for (path, a), b in zip(jax.tree.leaves_with_path(ours), jax.tree.leaves(reference), strict=True):
        assert a.shape == b.shape, path
        scale = np.abs(b).max()
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * scale, err_msg=jax.tree_util.keystr(path))
