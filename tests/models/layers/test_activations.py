import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purezoo.models.layers.activations import ACTIVATIONS, activation


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_keep_shape_and_dtype_and_stay_finite(name):
    function = activation(name)
    x = jnp.array([-100.0, -3.0, -0.5, 0.0, 0.5, 3.0, 100.0], jnp.bfloat16)
    y, gradient = jax.jit(lambda x: (function(x), jax.vmap(jax.grad(function))(x)))(x)
    assert y.dtype == jnp.bfloat16
    assert y.shape == x.shape
    assert np.isfinite(y.astype(jnp.float32)).all()
    assert np.isfinite(gradient.astype(jnp.float32)).all()
