import jax
import jax.numpy as jnp
import numpy as np

from purezoo.models.layers import conv, layer_scale, patch_embedding

KEY = jax.random.key(0)


def test_patches_are_a_strided_convolution_read_row_by_row():
    x = jnp.asarray(np.random.default_rng(0).normal(size=(2, 6, 12, 3)), jnp.float32)
    layer, same = patch_embedding(5, (2, 3)), conv(5, (2, 3), stride=(2, 3), padding="VALID")
    params, _ = layer.init(KEY, x)
    assert jax.tree.map(jnp.shape, params) == jax.tree.map(jnp.shape, same.init(KEY, x)[0])
    y = same.apply(params, {}, x)[0]
    np.testing.assert_allclose(layer.apply(params, {}, x)[0], y.reshape(2, 12, 5), rtol=1e-5, atol=1e-6)


def test_bytes_are_images_too():
    x = np.arange(2 * 4 * 4 * 3, dtype=np.uint8).reshape(2, 4, 4, 3)
    layer = patch_embedding(5, 2)
    params, _ = layer.init(KEY, x)
    y, _ = layer.apply(params, {}, x)
    np.testing.assert_array_equal(y, layer.apply(params, {}, x.astype(np.float32))[0])


def test_layer_scale_starts_small():
    params, _ = layer_scale(1e-6).init(KEY, jnp.ones((2, 3)))
    np.testing.assert_array_equal(params["scale"], np.full(3, 1e-6, np.float32))
