"""Keras on JAX, jit-compiled: train_on_batch, and fit with several steps per execution; predict of a batch or of many.

ViT is left out: Keras has no layers for its token and positions; so is the flow. Token by token the state of the LSTM
is an input and an output of the model: a stateful LSTM of Keras 3.15 on JAX forgets it in predict and predict_on_batch.
"""

import itertools
import math
import os

os.environ["KERAS_BACKEND"] = "jax"

import arrays
import decoding
import jax
import keras
import numpy as np
from keras import layers
from keras_images import autoencoder, conv_vae
from workloads import EMBEDDING, HIDDEN, LATENT, SECOND_BIASES, VOCABULARY, WORKLOADS


def convolution(x, width, kernel, stride=1):
    x = layers.Conv2D(width, kernel, stride, padding="same", use_bias=False)(x)
    return layers.BatchNormalization(momentum=0.9, epsilon=1e-5)(x)


def block(width, stride):
    """ResNet's block of two convolutions."""

    def apply(x):
        y = convolution(layers.ReLU()(convolution(x, width, 3, stride)), width, 3)
        return layers.ReLU()(layers.add([y, x if stride == 1 else convolution(x, width, 1, stride)]))

    return apply


def language_model(recurrent):
    return [
        layers.Embedding(
            VOCABULARY, EMBEDDING, keras.initializers.RandomNormal(stddev=1.0)
        ),  # as purezoo's and PyTorch's
        recurrent(HIDDEN, return_sequences=True),
        layers.Dense(VOCABULARY),
    ]


NETWORKS = {
    "mlp": lambda: [layers.Flatten(), layers.Dense(512, "relu"), layers.Dense(256, "relu"), layers.Dense(10)],
    "cnn": lambda: [
        layers.Conv2D(32, 3, padding="same", activation="relu"), layers.MaxPooling2D(),
        layers.Conv2D(64, 3, padding="same", activation="relu"), layers.MaxPooling2D(),
        layers.Flatten(), layers.Dense(128, "relu"), layers.Dense(10),
    ],
    "lenet": lambda: [
        layers.Conv2D(6, 5, padding="same", activation="relu"), layers.MaxPooling2D(),
        layers.Conv2D(16, 5, activation="relu"), layers.MaxPooling2D(),
        layers.Flatten(), layers.Dense(120, "relu"), layers.Dense(84, "relu"), layers.Dense(10),
    ],
    "alexnet": lambda: [
        layers.ZeroPadding2D(2), layers.Conv2D(64, 11, 4, activation="relu"), layers.MaxPooling2D(3, 2),
        layers.Conv2D(192, 5, padding="same", activation="relu"), layers.MaxPooling2D(3, 2),
        layers.Conv2D(384, 3, padding="same", activation="relu"),
        layers.Conv2D(256, 3, padding="same", activation="relu"),
        layers.Conv2D(256, 3, padding="same", activation="relu"), layers.MaxPooling2D(3, 2),
        layers.Flatten(), layers.Dropout(0.5), layers.Dense(4096, "relu"),
        layers.Dropout(0.5), layers.Dense(4096, "relu"), layers.Dense(1000),
    ],
    "resnet18": lambda: [
        lambda x: convolution(x, 64, 3), layers.ReLU(),
        *(block(64 * 2**i, min(i, 1) + 1 if first else 1) for i in range(4) for first in (True, False)),
        layers.GlobalAveragePooling2D(), layers.Dense(10),
    ],
    "lstm": lambda: [layers.Reshape((784, 1)), layers.LSTM(128), layers.Dense(10)],
    "char_lstm": lambda: language_model(layers.LSTM),
    "char_gru": lambda: language_model(layers.GRU),
}  # fmt: skip
SMALL, LARGE = ["train_on_batch", "fit", "fit, 16 steps per execution"], ["train_on_batch", "fit"]
UNLABELLED = {"autoencoder": autoencoder, "conv_vae": conv_vae}
CALL = "stateless_call, jitted"
FORMS = {
    "mlp": SMALL, "cnn": SMALL, "lenet": SMALL, "alexnet": LARGE, "resnet18": LARGE,
    "alexnet1": ["predict_on_batch", "predict"], "alexnet16": ["predict_on_batch", "predict"],
    "autoencoder": SMALL, "conv_vae": LARGE, "vae_samples": ["predict_on_batch", CALL],
    "lstm": LARGE, "char_lstm": LARGE, "char_gru": LARGE, "stream": [CALL, "predict_on_batch"],
    "generate": [f"{CALL}, {how}" for how in (decoding.SCAN, decoding.CALLS)],
}  # fmt: skip


def network(workload: str, data: arrays.Arrays, steps_per_execution: int) -> keras.Model:
    what = WORKLOADS[workload]
    if what.network in UNLABELLED:
        net, loss = UNLABELLED[what.network](data.mean, data.std), None
    else:
        net, loss = classifier(what.network, data), keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    net.compile(
        optimizer=keras.optimizers.Adam(what.learning_rate),
        loss=loss,
        jit_compile=True,
        steps_per_execution=steps_per_execution,
    )
    return net


def classifier(network: str, data: arrays.Arrays) -> keras.Model:
    scale = [layers.Rescaling(1 / data.std, offset=-data.mean / data.std)] if data.x.ndim > 2 else []  # no tokens
    inputs = outputs = keras.Input(data.x.shape[1:], dtype="uint8")
    for layer in (*scale, *NETWORKS[network]()):
        outputs = layer(outputs)
    return keras.Model(inputs, outputs)


def size_of(net: keras.Model) -> int:
    return sum(math.prod(weight.shape) for weight in net.trainable_weights)


def trainer(workload: str, form: str, file: str):
    if workload in ("stream", "generate"):
        return one_by_one(workload, form)
    if workload == "vae_samples":
        return samples(form)
    data, size = arrays.read(file), WORKLOADS[workload].batch
    net, rows = network(workload, data, 16 if "16" in form else 1), arrays.shuffled(len(data.x), size)

    def labels(batch):
        return None if WORKLOADS[workload].network in UNLABELLED else data.y[batch]

    def train_on_batch(steps: int) -> float:
        batches = (next(rows) for _ in range(steps))
        return float(np.mean([net.train_on_batch(data.x[batch], labels(batch)) for batch in batches]))

    def fit(steps: int) -> float:
        losses = []
        for start in range(0, steps, 400):  # a part of the data at a time: fit wants arrays
            batch = np.concatenate([next(rows) for _ in range(min(400, steps - start))])
            history = net.fit(data.x[batch], labels(batch), batch_size=size, shuffle=False, verbose=0)
            losses.append(history.history["loss"][0])
        return float(np.mean(losses))

    def predict_on_batch(steps: int) -> None:
        for _ in range(steps):
            net.predict_on_batch(data.x[next(rows)])

    def predict(steps: int) -> None:
        net.predict(data.x[np.concatenate([next(rows) for _ in range(steps)])], batch_size=size, verbose=0)

    ways = {"train_on_batch": train_on_batch, "predict_on_batch": predict_on_batch, "predict": predict}
    return ways.get(form, fit), size_of(net) - SECOND_BIASES.get(workload, 0)


def samples(form: str):
    whole, n, seeds = conv_vae(0.0, 1.0), WORKLOADS["vae_samples"].batch, itertools.count()
    decoder = next(layer for layer in whole.layers if isinstance(layer, keras.Sequential))
    net = keras.Sequential([decoder, layers.Activation("sigmoid")])
    net.compile(jit_compile=True)
    weights = [variable.value for variable in net.trainable_variables]
    draw = jax.jit(lambda weights, key: net.stateless_call(weights, [], jax.random.normal(key, (n, LATENT)))[0])

    def sample(steps: int) -> None:
        for _ in range(steps):
            if form == CALL:
                jax.device_get(draw(weights, jax.random.key(next(seeds))))
            else:
                net.predict_on_batch(keras.random.normal((n, LATENT), seed=next(seeds)))

    return sample, size_of(whole)


def one_by_one(workload: str, form: str):
    """The language model of one token [1, 1], h and c, which gives its logits [1, V] and the next h and c."""
    before = [keras.Input(batch_shape=(1, HIDDEN)) for _ in range(2)]
    token = keras.Input(batch_shape=(1, 1), dtype="int32")
    x = layers.Embedding(VOCABULARY, EMBEDDING)(token)
    x, *after = layers.LSTM(HIDDEN, return_state=True)(x, initial_state=before)
    net = keras.Model([token, *before], [layers.Dense(VOCABULARY)(x), *after])
    net.compile(jit_compile=True)
    rest = [variable.value for variable in net.non_trainable_variables]  # a random seed, which nothing here draws from

    def step(weights, state, token):
        (logits, *state), _ = net.stateless_call(weights, rest, [token[None, None], *state])
        return state, logits[0]

    def predict_on_batch(steps: int) -> None:
        nonlocal token, state
        for _ in range(steps):
            logits, *state = net.predict_on_batch([token, *state])
            token = logits.argmax(1).astype(np.int32)[:, None]

    token, state = np.zeros((1, 1), np.int32), [np.zeros((1, HIDDEN), np.float32) for _ in range(2)]
    weights, begin = [variable.value for variable in net.trainable_variables], jax.device_put(state)
    if workload == "generate":
        return decoding.generate(step, weights, begin, form), size_of(net)
    return decoding.stream(step, weights, begin) if form == CALL else predict_on_batch, size_of(net)


def process(file: str, folder: str) -> float:
    data = arrays.read(file)
    net = network("mlp", data, 16)
    net.fit(data.x, data.y, batch_size=arrays.BATCH, epochs=1, verbose=0)
    logits = net.predict(data.x_test, batch_size=1000, verbose=0)
    net.save_weights(os.path.join(folder, "model.weights.h5"))
    return float((logits.argmax(1) == data.y_test).mean())
