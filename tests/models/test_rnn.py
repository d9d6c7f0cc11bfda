from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purezoo.models import RNN, TCN, RNNLanguageModel
from purezoo.models.layers import Padded

X = jnp.asarray(np.random.default_rng(0).normal(size=(3, 9, 2)), jnp.float32)
TOKENS = jnp.asarray(np.random.default_rng(0).integers(11, size=(2, 6)))
LANGUAGE = RNNLanguageModel(vocabulary=11, embedding=3, cell="gru", hidden=4, depth=2)


def parameters(model, x):
    """Random, without compiling `init`."""
    params, _ = jax.eval_shape(model.init, jax.random.key(0), x)
    random = np.random.default_rng(2)
    return jax.tree.map(lambda p: jnp.float32(random.normal(size=p.shape) / 2), params)


@pytest.mark.parametrize(
    "network", [RNN(3, "lstm", 4, depth=2, bidirectional=True), TCN(3, 4, 2, 3, "mean", dropout=0)], ids=["rnn", "tcn"]
)
def test_padding_changes_no_output_and_no_gradient(network):
    model = network.build()
    params = parameters(model, X)

    @jax.jit
    def run(params, x):
        y, pull = jax.vjp(lambda params: model.apply(params, {}, x, train=True)[0], params)
        return y, pull(jnp.arange(9.0).reshape(3, 3))[0]

    alone = run(params, X[:, :5])
    for padding in (100.0, np.nan):
        padded = run(params, Padded(X.at[:, 5:].set(padding), jnp.full(3, 5)))
        for a, b in zip(jax.tree.leaves(padded), jax.tree.leaves(alone), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5 * np.abs(b).max())


def test_both_directions_of_the_last_read_out_see_the_whole_sequence():
    model = RNN(1, hidden=4, bidirectional=True).build()
    params = parameters(model, X)
    gradient = jax.jit(jax.grad(lambda x, params: model.apply(params, {}, x)[0].sum()))
    for half in (slice(4), slice(4, 8)):
        kernel = jnp.zeros((8, 1)).at[half].set(1)
        seen = gradient(X, params | {"head": {"kernel": kernel, "bias": jnp.zeros(1)}})
        assert (jnp.abs(seen).sum(-1) > 0).all()


@pytest.mark.parametrize("read", ["last", "every"])
def test_images_are_read_by_rows_or_by_pixels(read):
    images = jnp.ones((2, 5, 4, 3))
    for pixels, inputs, steps in ((False, 12, 5), (True, 3, 20)):
        for network in (RNN(hidden=4, read=read, pixels=pixels), TCN(width=4, blocks=1, read=read, pixels=pixels)):
            model = network.build()
            params, _ = jax.eval_shape(model.init, jax.random.key(0), images)
            y, _ = jax.eval_shape(model.apply, params, {}, images)
            assert y.shape == ((2, 10) if read == "last" else (2, steps, 10))
            if isinstance(network, RNN):
                assert params["layer1"]["kernel"].shape == (inputs, 16)


@pytest.mark.parametrize(
    ("network", "x"), [(RNN(hidden=4), X), (TCN(width=4, blocks=1), X), (LANGUAGE, TOKENS)], ids=["rnn", "tcn", "text"]
)
def test_no_steps_are_refused(network, x):
    model = network.build()
    params, state = jax.eval_shape(model.init, jax.random.key(0), x)
    with pytest.raises(ValueError, match="at least one step"):
        jax.eval_shape(model.apply, params, state, x[:, :0])


def test_a_language_model_reads_a_text_token_by_token():
    """As in generation: the same network, built to carry its state."""
    model, stepping = LANGUAGE.build(), replace(LANGUAGE, carry=True).build()
    params = parameters(model, TOKENS)
    logits, _ = jax.jit(model.apply)(params, {}, TOKENS)
    state = jax.jit(lambda key: stepping.init(key, TOKENS)[1])(jax.random.key(0))

    @jax.jit
    def read(state):
        def step(state, token):
            y, state = stepping.apply(params, state, token[:, None])
            return state, y[:, 0]

        return jax.lax.scan(step, state, TOKENS.T)[1]

    np.testing.assert_allclose(read(state).swapaxes(0, 1), logits, rtol=1e-5, atol=1e-6)


def test_no_logit_sees_a_later_token():
    model = LANGUAGE.build()
    params = parameters(model, TOKENS)
    apply = jax.jit(model.apply)
    logits, others = (apply(params, {}, tokens)[0] for tokens in (TOKENS, TOKENS.at[:, 4].set(0)))
    np.testing.assert_array_equal(logits[:, :4], others[:, :4])
    assert not np.allclose(logits[:, 4:], others[:, 4:])


def test_a_tcn_sees_as_far_back_as_it_says_and_no_later_step():
    model = TCN(1, width=8, blocks=2, kernel=3, read="every", dropout=0).build()
    x = jnp.ones((1, 30, 1))
    params = jax.tree.map(jnp.abs, parameters(model, x))  # no unit is off
    seen = jax.jit(jax.grad(lambda x: model.apply(params, {}, x)[0][0, 20, 0]))(x)[0, :, 0]
    steps = np.flatnonzero(seen)
    assert steps.max() == 20
    assert steps.min() == 20 - 2 * (3 - 1) * (2**2 - 1)


@pytest.mark.parametrize("variational", [False, True])
def test_dropout_is_random_in_training_alone(variational):
    model = RNN(hidden=8, dropout=0.5, variational=variational).build()
    params = parameters(model, X)
    train = jax.jit(partial(model.apply, train=True))
    one, same, other = (train(params, {}, X, key=jax.random.key(seed))[0] for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, same)
    assert not np.allclose(one, other)
    jax.eval_shape(model.apply, params, {}, X)  # evaluation needs no key
