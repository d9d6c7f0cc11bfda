"""Flax Linen as its documentation trains: a jitted, donated step, with batches that NumPy gathers."""

from functools import partial

import arrays
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from flax.training.train_state import TrainState


class MLP(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = x.reshape(len(x), -1)
        x = nn.relu(nn.Dense(512)(x))
        x = nn.relu(nn.Dense(256)(x))
        return nn.Dense(10)(x)


class CNN(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = nn.max_pool(nn.relu(nn.Conv(32, (3, 3))(x)), (2, 2), (2, 2))
        x = nn.max_pool(nn.relu(nn.Conv(64, (3, 3))(x)), (2, 2), (2, 2))
        x = nn.relu(nn.Dense(128)(x.reshape(len(x), -1)))
        return nn.Dense(10)(x)


class LeNet(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = nn.max_pool(nn.relu(nn.Conv(6, (5, 5))(x)), (2, 2), (2, 2))
        x = nn.max_pool(nn.relu(nn.Conv(16, (5, 5), padding="VALID")(x)), (2, 2), (2, 2))
        x = nn.relu(nn.Dense(120)(x.reshape(len(x), -1)))
        x = nn.relu(nn.Dense(84)(x))
        return nn.Dense(10)(x)


NETWORKS = {"mlp": MLP, "cnn": CNN, "lenet": LeNet}
FORMS = {name: ["jitted step, donated"] for name in NETWORKS}


def trainer(workload: str, form: str, file: str):
    data = arrays.read(file)
    net, rows = NETWORKS[workload](), arrays.shuffled(len(data.x))
    params = jax.jit(net.init)(jax.random.key(0), jnp.ones((1, 28, 28, 1)))["params"]
    state = TrainState.create(apply_fn=net.apply, params=params, tx=optax.adam(1e-3))

    @partial(jax.jit, donate_argnums=0)
    def train_step(state, x, y):
        def loss_fn(params):
            logits = state.apply_fn({"params": params}, (x.astype(jnp.float32) - data.mean) / data.std)
            return optax.softmax_cross_entropy_with_integer_labels(logits, y).mean()

        loss, grads = jax.value_and_grad(loss_fn)(state.params)
        return state.apply_gradients(grads=grads), loss

    def train(steps: int) -> float:
        nonlocal state
        losses = []
        for step in range(steps):
            batch = next(rows)
            state, loss = train_step(state, data.x[batch], data.y[batch])
            if step % 10 == 0 or step == steps - 1:
                losses.append(loss)
        return float(np.mean(jax.device_get(losses)))

    return train, sum(leaf.size for leaf in jax.tree.leaves(params))
