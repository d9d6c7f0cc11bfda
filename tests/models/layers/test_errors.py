"""Sizes, padding, groups and rates that cannot be: refused when the layer is made, or when it meets its input."""

import re

import jax
import jax.numpy as jnp
import pytest

from purezoo.models import (
    MLP,
    RNN,
    TCN,
    ConvNeXt,
    LeNet,
    ViT,
    chain,
)
from purezoo.models.layers import (
    activation,
    avg_pool,
    batch_norm,
    conv,
    conv_transpose,
    dense,
    dropout,
    elman,
    embedding,
    group_norm,
    gru,
    lstm,
    max_pool,
    patch_embedding,
    position_embedding,
    recurrent,
    self_attention,
    stochastic_depth,
    weight_norm,
)

IMAGES, SEQUENCES = (2, 8, 7, 3), (2, 8, 3)

AT_ONCE = [
    (lambda: dense(0), "at least 1 feature, not 0"),
    (lambda: conv(0, 3), "conv needs at least 1 feature, not 0"),
    (lambda: conv(4, 3, groups=3), "3 groups must divide 4 features"),
    (lambda: conv(4, 3, groups=0), "0 groups must divide 4 features"),
    (lambda: conv_transpose(-1, 3), "at least 1 feature, not -1"),
    (lambda: dropout(1.0), "[0, 1), not 1.0"),
    (lambda: dropout(-0.1), "[0, 1), not -0.1"),
    (lambda: dropout(float("nan")), "[0, 1), not nan"),
    (lambda: stochastic_depth(1.0), "a stochastic depth rate lies in [0, 1), not 1.0"),
    (lambda: self_attention(0), "at least 1 head, not 0"),
    (lambda: self_attention(2, dropout=1.0), "[0, 1), not 1.0"),
    (lambda: patch_embedding(0, 2), "at least 1 feature, not 0"),
    (lambda: patch_embedding(4, 0), "0 is no size"),
    (lambda: lstm(0), "at least 1 unit, not 0"),
    (lambda: elman(4, "gelu"), "is tanh or relu, not 'gelu'"),
    (lambda: gru(4, reset="never"), "before or after the product, not 'never'"),
    (lambda: recurrent(lstm(4), dropout=1.0), "[0, 1), not 1.0"),
    (lambda: recurrent(lstm(4), chunk=-1), "a chunk is a number of steps, or 0 for one chunk, not -1"),
    (lambda: recurrent(lstm(4), carry=True, reverse=True), "no state can be carried in reverse"),
    (lambda: embedding(0, 4), "a vocabulary and features of at least 1, not 0 and 4"),
    (lambda: RNN(cell="gnu").build(), "a cell is elman, elman_relu, lstm, lstm_peepholes, lstm_norm, gru"),
    (lambda: RNN(depth=0).build(), "at least 1 layer, not 0"),
    (lambda: RNN(read="first").build(), "the read-out is last, mean, every, not 'first'"),
    (lambda: RNN(bidirectional=True, carry=True).build(), "no state can be carried in both directions"),
    (lambda: TCN(blocks=0).build(), "at least 1 block, not 0"),
    (lambda: activation("rellu"), "no activation 'rellu': choose relu, leaky_relu"),
    (lambda: activation("rellu"), "(relu?)"),
    (lambda: MLP(activation="swish").build(), "no activation 'swish'"),
    (lambda: MLP(widths=(16, 0)).build(), "at least 1 feature, not 0"),
    (lambda: MLP(dropout=1.5).build(), "[0, 1), not 1.5"),
    (lambda: LeNet(dropout=-1).build(), "[0, 1), not -1"),
    (lambda: ViT(stochastic_depth=1.0).build(), "[0, 1), not 1.0"),
    (lambda: ViT(stochastic_depth=2.0, depth=1).build(), "[0, 1), not 2.0"),
    (lambda: ViT(depth=0).build(), "at least 1 block, not 0"),
    (lambda: ConvNeXt(depths=(1,), widths=(8,), stochastic_depth=2.0).build(), "[0, 1), not 2.0"),
    (lambda: ConvNeXt(depths=(3, 3)).build(), "2 depths and 4 widths"),
    (lambda: ConvNeXt(stem="big").build(), "the stem is 'imagenet' or 'small', not 'big'"),
]

WITH_INPUT = [
    (conv(4, 3), (2, 8), "takes [B, H, W, C] or [B, T, C], not an array of shape (2, 8)"),
    (conv(4, 3), (2, 4, 4, 4, 3), "not an array of shape (2, 4, 4, 4, 3)"),
    (conv(4, 0), IMAGES, "0 is no size for 2 spatial axes"),
    (conv(4, 3.0), IMAGES, "3.0 is no size for 2 spatial axes"),
    (conv(4, (3, 3, 3)), IMAGES, "(3, 3, 3) is no size for 2 spatial axes"),
    (conv(4, (3, 3)), SEQUENCES, "(3, 3) is no size for 1 spatial axes"),
    (conv(4, 3, stride=0), IMAGES, "0 is no size"),
    (conv(4, 3, stride=(1, 0)), IMAGES, "(1, 0) is no size"),
    (conv(4, 3, dilation=0), IMAGES, "0 is no size"),
    (conv(4, 3, groups=2), IMAGES, "2 groups do not divide 3 channels"),
    (conv(4, 3, padding="same"), IMAGES, "padding is 'SAME', 'VALID' or numbers, not 'same'"),
    (conv(4, 3, padding=(1, 1, 1)), IMAGES, "padding (1, 1, 1) does not fit 2 spatial axes"),
    (conv(4, 3, padding=[(1, 1)]), IMAGES, "padding [(1, 1)] does not fit 2 spatial axes"),
    (conv(4, 3, padding=[(1, 2, 3), (1, 1)]), IMAGES, "padding [(1, 2, 3), (1, 1)] does not fit"),
    (conv(4, 9, padding="VALID"), IMAGES, "does not fit an axis of 8"),
    (conv(4, 3, dilation=4, padding="VALID"), IMAGES, "does not fit an axis of 8"),
    (conv_transpose(4, 3), (2, 8), "not an array of shape (2, 8)"),
    (conv_transpose(4, 3, stride=0), IMAGES, "0 is no size"),
    (conv_transpose(4, 3, padding="FULL"), IMAGES, "not 'FULL'"),
    (conv_transpose(4, 3, padding=9), IMAGES, "leaves nothing of the output"),
    (max_pool(0), IMAGES, "0 is no size"),
    (max_pool(2, stride=0), IMAGES, "0 is no size"),
    (max_pool(8), IMAGES, "does not fit an axis of 7"),
    (max_pool(2), (2, 8), "pooling takes [B, H, W, C] or [B, T, C], not an array of shape (2, 8)"),
    (avg_pool((2, 2)), SEQUENCES, "(2, 2) is no size for 1 spatial axes"),
    (avg_pool(3, padding="valid"), IMAGES, "not 'valid'"),
    (weight_norm(batch_norm()), IMAGES, "weight_norm is for a layer with a kernel of its own"),
    (weight_norm(jax.nn.relu), IMAGES, "weight_norm is for a layer with a kernel of its own"),
    (avg_pool(9), SEQUENCES, "does not fit an axis of 8"),
    (group_norm(2), IMAGES, "2 groups do not divide 3 channels"),
    (group_norm(0), IMAGES, "0 groups do not divide 3 channels"),
    (self_attention(3), (*SEQUENCES[:2], 8), "3 heads takes [B, T, D], D a multiple of them, not (2, 8, 8)"),
    (self_attention(2), IMAGES, "takes [B, T, D]"),
    (patch_embedding(4, 2), IMAGES, "patches of 2 x 2 pixels take images [B, H, W, C] they divide, not (2, 8, 7, 3)"),
    (dropout(0.5, shared=(3,)), SEQUENCES, "shared along the axes (3,), and its input has the shape (2, 8, 3)"),
    (dropout(0.5, shared=(-4,)), SEQUENCES, "shared along the axes (-4,)"),
    (patch_embedding(4, 2), SEQUENCES, "take images [B, H, W, C]"),
    (recurrent(lstm(4)), IMAGES, "takes [B, T, D] with at least one step, not (2, 8, 7, 3)"),
    (recurrent(lstm(4)), (2, 0, 3), "takes [B, T, D] with at least one step, not (2, 0, 3)"),
    (recurrent(gru(4, reset="before"), dropout=0.5), SEQUENCES, "whose recurrent product is U h"),
    (RNN().build(), (2,), "a sequence is [B, T, ...] with at least one step, not an array of shape (2,)"),
    (
        TCN(pixels=True).build(),
        SEQUENCES,
        "read images [B, H, W, C] with at least one pixel, not an array of shape (2, 8, 3)",
    ),
    (ViT().build(), (2, 100, 100, 3), "patches of 16 x 16 pixels"),
    (ViT(heads=5).build(), (2, 32, 32, 3), "5 heads"),
    (ConvNeXt().build(), (2, 16, 16, 3), "does not fit an axis of 1"),
    (LeNet().build(), (2, 8, 8, 1), "conv2, given (2, 4, 4, 6)"),
]


@pytest.mark.parametrize(("make", "message"), AT_ONCE)
def test_refused_at_once(make, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        make()


@pytest.mark.parametrize(("layer", "shape", "message"), WITH_INPUT)
def test_refused_with_the_input(layer, shape, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        jax.eval_shape(chain(layer).init, jax.random.key(0), jax.ShapeDtypeStruct(shape, jnp.float32))


def test_a_shape_is_no_spec():
    with pytest.raises(ValueError, match=r"takes images \[B, H, W, C\].*not \(2, 28, 28, 1\)"):
        LeNet().build().init(jax.random.key(0), (2, 28, 28, 1))


def test_a_carried_state_that_does_not_fit_is_refused():
    layer = recurrent(lstm(4), carry=True)
    params, state = jax.eval_shape(layer.init, jax.random.key(0), jnp.ones((2, 5, 4)))
    with pytest.raises(ValueError, match="the carried state is of 2 sequences, the batch has 3"):
        jax.eval_shape(layer.apply, params, state, jnp.ones((3, 5, 4)))
    with pytest.raises(ValueError, match="the carried state lacks c, h: begin with the state that `init` gives"):
        jax.eval_shape(layer.apply, params, {}, jnp.ones((2, 5, 4)))


@pytest.mark.parametrize("shape", [(1, 3), (1, 1, 1, 3)])
def test_batch_norm_refuses_to_train_on_one_value_a_channel(shape):
    x = jnp.ones(shape)
    params, state = batch_norm().init(jax.random.key(0), x)
    with pytest.raises(ValueError, match="at least two values a channel in training"):
        batch_norm().apply(params, state, x, train=True)
    assert batch_norm().apply(params, state, x)[0].shape == shape  # evaluation takes any batch


def test_another_number_of_positions_than_the_learned_is_refused():
    params, _ = position_embedding().init(jax.random.key(0), jnp.ones((2, 5, 4)))
    with pytest.raises(ValueError, match="5 positions are learned, the input has 4"):
        position_embedding().apply(params, {}, jnp.ones((2, 4, 4)))
