"""Flax NNX in the two forms of its performance guide: nnx.jit with cached_partial, and jax.jit of the split module.

The large networks, the convolutional VAE and the flow are left out: they would only repeat Flax Linen's. So is the GRU,
which is another network here: it has no bias in what its reset gate multiplies. Token by token it is jax.jit of the
split module alone.
"""

from functools import partial

import arrays
import decoding
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from workloads import EMBEDDING, HIDDEN, VOCABULARY, WORKLOADS


class MLP(nnx.Module):
    def __init__(self, rngs: nnx.Rngs):
        self.dense1, self.dense2 = nnx.Linear(784, 512, rngs=rngs), nnx.Linear(512, 256, rngs=rngs)
        self.dense3 = nnx.Linear(256, 10, rngs=rngs)

    def __call__(self, x):
        x = nnx.relu(self.dense1(x.reshape(len(x), -1)))
        return self.dense3(nnx.relu(self.dense2(x)))


class CNN(nnx.Module):
    def __init__(self, rngs: nnx.Rngs):
        self.conv1, self.conv2 = nnx.Conv(1, 32, (3, 3), rngs=rngs), nnx.Conv(32, 64, (3, 3), rngs=rngs)
        self.dense1, self.dense2 = nnx.Linear(3136, 128, rngs=rngs), nnx.Linear(128, 10, rngs=rngs)

    def __call__(self, x):
        x = nnx.max_pool(nnx.relu(self.conv1(x)), (2, 2), (2, 2))
        x = nnx.max_pool(nnx.relu(self.conv2(x)), (2, 2), (2, 2))
        return self.dense2(nnx.relu(self.dense1(x.reshape(len(x), -1))))


class LeNet(nnx.Module):
    def __init__(self, rngs: nnx.Rngs):
        self.conv1 = nnx.Conv(1, 6, (5, 5), rngs=rngs)
        self.conv2 = nnx.Conv(6, 16, (5, 5), padding="VALID", rngs=rngs)
        self.dense1, self.dense2 = nnx.Linear(400, 120, rngs=rngs), nnx.Linear(120, 84, rngs=rngs)
        self.dense3 = nnx.Linear(84, 10, rngs=rngs)

    def __call__(self, x):
        x = nnx.max_pool(nnx.relu(self.conv1(x)), (2, 2), (2, 2))
        x = nnx.max_pool(nnx.relu(self.conv2(x)), (2, 2), (2, 2))
        x = nnx.relu(self.dense1(x.reshape(len(x), -1)))
        return self.dense3(nnx.relu(self.dense2(x)))


class Autoencoder(nnx.Module):
    def __init__(self, rngs: nnx.Rngs):
        self.dense1, self.code = nnx.Linear(784, 128, rngs=rngs), nnx.Linear(128, 32, rngs=rngs)
        self.dense2, self.output = nnx.Linear(32, 128, rngs=rngs), nnx.Linear(128, 784, rngs=rngs)

    def __call__(self, x):
        x = x.reshape(len(x), -1)
        y = self.code(nnx.relu(self.dense1(x)))
        return jnp.square(self.output(nnx.relu(self.dense2(y))) - x).mean()


class PixelRNN(nnx.Module):
    def __init__(self, rngs: nnx.Rngs):
        self.rnn, self.head = nnx.RNN(nnx.OptimizedLSTMCell(1, 128, rngs=rngs)), nnx.Linear(128, 10, rngs=rngs)

    def __call__(self, x):
        return self.head(self.rnn(x.reshape(len(x), -1, 1))[:, -1])


class LanguageModel(nnx.Module):
    def __init__(self, rngs: nnx.Rngs):
        normal = nnx.initializers.normal(1.0)  # as purezoo's and PyTorch's
        self.embedding = nnx.Embed(VOCABULARY, EMBEDDING, embedding_init=normal, rngs=rngs)
        self.rnn = nnx.RNN(nnx.OptimizedLSTMCell(EMBEDDING, HIDDEN, rngs=rngs))
        self.head = nnx.Linear(HIDDEN, VOCABULARY, rngs=rngs)

    def __call__(self, x):
        return self.head(self.rnn(self.embedding(x)))

    def step(self, state, token):
        state, x = self.rnn.cell(state, self.embedding(token))
        return state, self.head(x)


NETWORKS = {
    "mlp": MLP,
    "cnn": CNN,
    "lenet": LeNet,
    "autoencoder": Autoencoder,
    "lstm": PixelRNN,
    "char_lstm": LanguageModel,
}
CACHED, FUNCTIONAL = "nnx.jit, cached_partial", "split, jax.jit, donated"
FORMS = {name: [CACHED, FUNCTIONAL] for name in NETWORKS} | {
    "stream": ["split, one jitted call"], "generate": [decoding.SCAN, decoding.CALLS],
}  # fmt: skip


def trainer(workload: str, form: str, file: str):
    data, what = arrays.read(file), WORKLOADS[workload]
    rows = arrays.shuffled(len(data.x), what.batch)
    with nnx.set_graph_mode(True), nnx.set_graph_updates(True):
        net = NETWORKS[what.network](nnx.Rngs(0))
        parameters = sum(leaf.size for leaf in jax.tree.leaves(nnx.state(net, nnx.Param)))
        if not what.training:
            return one_by_one(net, workload, form), parameters
        optimizer = nnx.Optimizer(net, optax.adam(what.learning_rate), wrt=nnx.Param)
        step = cached_step(net, optimizer, data) if form == CACHED else functional_step(net, optimizer, data)

    def train(steps: int) -> float:
        losses = []
        for i in range(steps):
            batch = next(rows)
            loss = step(data.x[batch], data.y[batch])
            if i % 10 == 0 or i == steps - 1:
                losses.append(loss)
        return float(np.mean(jax.device_get(losses)))

    return train, parameters


def update(net, optimizer, x, y, data):
    """One step of training, in place; the loss."""

    def loss_fn(net):
        output = net(x if x.ndim == 2 else (x.astype(jnp.float32) - data.mean) / data.std)  # tokens stay as they are
        if output.ndim == 0:  # the loss of an autoencoder
            return output
        return optax.softmax_cross_entropy_with_integer_labels(output, y).mean()

    loss, grads = nnx.value_and_grad(loss_fn)(net)
    optimizer.update(net, grads)
    return loss


def cached_step(net, optimizer, data):
    train_step = nnx.jit(partial(update, data=data), graph=True, graph_updates=True)
    return nnx.cached_partial(train_step, net, optimizer)


def functional_step(net, optimizer, data):
    graph, state = nnx.split((net, optimizer))

    @partial(jax.jit, donate_argnums=0)
    def train_step(state, x, y):
        net, optimizer = nnx.merge(graph, state)
        loss = update(net, optimizer, x, y, data)
        return nnx.state((net, optimizer)), loss

    def step(x, y):
        nonlocal state
        state, loss = train_step(state, x, y)
        return loss

    return step


def one_by_one(net: LanguageModel, workload: str, form: str):
    graph, weights = nnx.split(net)
    state = tuple(jnp.zeros(HIDDEN) for _ in range(2))

    def step(weights, state, token):
        return nnx.merge(graph, weights).step(state, token)

    if workload == "stream":
        return decoding.stream(step, weights, state)
    return decoding.generate(step, weights, state, form)
