"""Keras on JAX, jit-compiled: train_on_batch, and fit with several steps per execution."""

import os

os.environ["KERAS_BACKEND"] = "jax"

import arrays
import keras
import numpy as np
from keras import layers

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
}  # fmt: skip
FORMS = {name: ["train_on_batch", "fit", "fit, 16 steps per execution"] for name in NETWORKS}


def network(workload: str, data: arrays.Arrays, steps_per_execution: int) -> keras.Model:
    scale = layers.Rescaling(1 / data.std, offset=-data.mean / data.std)
    net = keras.Sequential([keras.Input((28, 28, 1), dtype="uint8"), scale, *NETWORKS[workload]()])
    net.compile(
        optimizer=keras.optimizers.Adam(1e-3),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=True,
        steps_per_execution=steps_per_execution,
    )
    return net


def trainer(workload: str, form: str, file: str):
    data = arrays.read(file)
    net, rows = network(workload, data, 16 if "16" in form else 1), arrays.shuffled(len(data.x))

    def train_on_batch(steps: int) -> float:
        batches = (next(rows) for _ in range(steps))
        return float(np.mean([net.train_on_batch(data.x[batch], data.y[batch]) for batch in batches]))

    def fit(steps: int) -> float:
        losses = []
        for start in range(0, steps, 400):  # a part of the data at a time: fit wants arrays
            batch = np.concatenate([next(rows) for _ in range(min(400, steps - start))])
            history = net.fit(data.x[batch], data.y[batch], batch_size=arrays.BATCH, shuffle=False, verbose=0)
            losses.append(history.history["loss"][0])
        return float(np.mean(losses))

    return (train_on_batch if form == "train_on_batch" else fit), net.count_params()


def process(file: str, folder: str) -> float:
    data = arrays.read(file)
    net = network("mlp", data, 16)
    net.fit(data.x, data.y, batch_size=arrays.BATCH, epochs=1, verbose=0)
    logits = net.predict(data.x_test, batch_size=1000, verbose=0)
    net.save_weights(os.path.join(folder, "model.weights.h5"))
    return float((logits.argmax(1) == data.y_test).mean())
