"""Flax Linen as its documentation trains: a jitted, donated step, with batches that NumPy gathers."""

import itertools
from functools import partial
from typing import Any

import arrays
import decoding
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from flax.training import train_state
from linen_flow import Flow
from linen_images import Autoencoder, ConvVAE
from linen_sequences import APART, FUSED, LanguageModel, PixelRNN
from workloads import LOSSES, WORKLOADS, Workload


class MLP(nn.Module):
    @nn.compact
    def __call__(self, x, train=False):
        x = x.reshape(len(x), -1)
        x = nn.relu(nn.Dense(512)(x))
        x = nn.relu(nn.Dense(256)(x))
        return nn.Dense(10)(x)


class CNN(nn.Module):
    @nn.compact
    def __call__(self, x, train=False):
        x = nn.max_pool(nn.relu(nn.Conv(32, (3, 3))(x)), (2, 2), (2, 2))
        x = nn.max_pool(nn.relu(nn.Conv(64, (3, 3))(x)), (2, 2), (2, 2))
        x = nn.relu(nn.Dense(128)(x.reshape(len(x), -1)))
        return nn.Dense(10)(x)


class LeNet(nn.Module):
    @nn.compact
    def __call__(self, x, train=False):
        x = nn.max_pool(nn.relu(nn.Conv(6, (5, 5))(x)), (2, 2), (2, 2))
        x = nn.max_pool(nn.relu(nn.Conv(16, (5, 5), padding="VALID")(x)), (2, 2), (2, 2))
        x = nn.relu(nn.Dense(120)(x.reshape(len(x), -1)))
        x = nn.relu(nn.Dense(84)(x))
        return nn.Dense(10)(x)


class AlexNet(nn.Module):
    @nn.compact
    def __call__(self, x, train=False):
        def pool(x):
            return nn.max_pool(x, (3, 3), (2, 2))

        def drop(x):
            return nn.Dropout(0.5, deterministic=not train)(x)

        x = pool(nn.relu(nn.Conv(64, (11, 11), (4, 4), padding=2)(x)))
        x = pool(nn.relu(nn.Conv(192, (5, 5))(x)))
        x = nn.relu(nn.Conv(384, (3, 3))(x))
        x = nn.relu(nn.Conv(256, (3, 3))(x))
        x = pool(nn.relu(nn.Conv(256, (3, 3))(x)))
        x = nn.relu(nn.Dense(4096)(drop(x.reshape(len(x), -1))))
        x = nn.relu(nn.Dense(4096)(drop(x)))
        return nn.Dense(1000)(x)


class ResNet18(nn.Module):
    @nn.compact
    def __call__(self, x, train=False):
        def convolution(x, width, kernel, stride=1):
            x = nn.Conv(width, (kernel, kernel), (stride, stride), padding=kernel // 2, use_bias=False)(x)
            return nn.BatchNorm(use_running_average=not train, momentum=0.9)(x)

        def block(x, width, stride):
            y = convolution(nn.relu(convolution(x, width, 3, stride)), width, 3)
            return nn.relu(y + (x if stride == 1 else convolution(x, width, 1, stride)))

        x = nn.relu(convolution(x, 64, 3))
        for i in range(4):
            x = block(block(x, 64 * 2**i, min(i, 1) + 1), 64 * 2**i, 1)
        return nn.Dense(10)(x.mean((1, 2)))


class ViT(nn.Module):
    @nn.compact
    def __call__(self, x, train=False):
        x = nn.Conv(384, (16, 16), (16, 16))(x).reshape(len(x), -1, 384)
        token = self.param("token", nn.initializers.zeros, (384,))
        x = jnp.concatenate([jnp.broadcast_to(token, (len(x), 1, 384)), x], 1)
        x = x + self.param("positions", nn.initializers.normal(0.02), x.shape[1:])
        for _ in range(12):
            x = x + nn.MultiHeadDotProductAttention(6)(nn.LayerNorm()(x))
            x = x + nn.Dense(384)(nn.gelu(nn.Dense(1536)(nn.LayerNorm()(x)), approximate=False))
        return nn.Dense(1000)(nn.LayerNorm()(x[:, 0]))


NETWORKS = {"mlp": MLP, "cnn": CNN, "lenet": LeNet, "alexnet": AlexNet, "resnet18": ResNet18, "vit": ViT}
NETWORKS["autoencoder"] = Autoencoder
SEQUENCES = {"lstm": PixelRNN, "char_lstm": LanguageModel, "char_gru": LanguageModel}  # of the cell that a form names
LSTMS = [FUSED, APART]
FORMS = {name: ["jitted step, donated" if w.training else "one jitted call"] for name, w in WORKLOADS.items()} | {
    "lstm": LSTMS, "char_lstm": LSTMS, "char_gru": ["GRUCell"], "stream": LSTMS,
    "generate": [f"{cell}, {how}" for cell in LSTMS for how in (decoding.SCAN, decoding.CALLS)],
}  # fmt: skip


class TrainState(train_state.TrainState):
    batch_stats: Any


def trainer(workload: str, form: str, file: str):
    data, what = arrays.read(file), WORKLOADS[workload]
    rows = arrays.shuffled(len(data.x), what.batch)
    net = network(what.network, form, data)
    first = (prepared(data.x[:1], data), *((data.y[:1],) if what.network in LOSSES else ()))
    variables = jax.jit(net.init)(dict.fromkeys(("params", "dropout"), jax.random.key(0)), *first)
    parameters = sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))
    if workload in ("stream", "generate"):
        return one_by_one(net, variables, workload, form), parameters
    if "samples" in workload:
        return samples(net, variables, what.batch), parameters
    if what.training:
        return training(net, variables, data, rows, what), parameters
    return inference(net, variables, data, rows), parameters


def network(name: str, form: str, data: arrays.Arrays) -> nn.Module:
    if name in SEQUENCES:
        return SEQUENCES[name](form.split(",")[0])
    of_data = {"conv_vae": ConvVAE, "flow": Flow}
    return of_data[name](data.mean, data.std) if name in of_data else NETWORKS[name]()


def prepared(x, data: arrays.Arrays):
    """Images standardised; tokens as they are."""
    return x if x.ndim == 2 else (x.astype(jnp.float32) - data.mean) / data.std


def training(net, variables, data, rows, what: Workload):
    key, stats = jax.random.key(1), variables.get("batch_stats", {})
    state = TrainState.create(
        apply_fn=net.apply, params=variables["params"], batch_stats=stats, tx=optax.adam(what.learning_rate)
    )
    variables.clear()  # the first step donates them

    @partial(jax.jit, donate_argnums=0)
    def train_step(state, x, y):
        def loss_fn(params):
            given = (prepared(x, data), *((y,) if what.network in LOSSES else ()))
            output, after = state.apply_fn(
                {"params": params, "batch_stats": state.batch_stats}, *given,
                train=True, rngs={"dropout": jax.random.fold_in(key, state.step)}, mutable=["batch_stats"],
            )  # fmt: skip
            if what.network in LOSSES:
                return output, {}
            loss = optax.softmax_cross_entropy_with_integer_labels(output, y).mean()
            return loss, after.get("batch_stats", {})

        (loss, stats), grads = jax.value_and_grad(loss_fn, has_aux=True)(state.params)
        return state.apply_gradients(grads=grads, batch_stats=stats), loss

    def train(steps: int) -> float:
        nonlocal state
        losses = []
        for step in range(steps):
            batch = next(rows)
            state, loss = train_step(state, data.x[batch], data.y[batch])
            if step % 10 == 0 or step == steps - 1:
                losses.append(loss)
        return float(np.mean(jax.device_get(losses)))

    return train


def inference(net, variables, data, rows):
    @jax.jit
    def predict(variables, x):
        return net.apply(variables, prepared(x, data))

    def infer(steps: int) -> None:
        for _ in range(steps):
            jax.device_get(predict(variables, data.x[next(rows)]))

    return infer


def samples(net: ConvVAE | Flow, variables, n: int):
    draw = jax.jit(lambda variables, key: net.apply(variables, key, n, method="sample"))
    seeds = itertools.count()

    def sample(steps: int) -> None:
        for _ in range(steps):
            jax.device_get(draw(variables, jax.random.key(next(seeds))))

    return sample


def one_by_one(net: LanguageModel, variables, workload: str, form: str):
    step = partial(net.apply, method="step")
    if workload == "stream":
        return decoding.stream(step, variables, net.start())
    return decoding.generate(step, variables, net.start(), form)
