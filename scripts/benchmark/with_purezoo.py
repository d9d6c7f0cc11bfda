"""purezoo as its command trains: many steps in one compiled loop, each batch gathered from the data on the device.

Inference is one jitted call of the function that prediction and evaluation are made of; a stream of tokens one of the
function that `purezoo generate` is made of, whose compiled loop over tokens generates.
"""

import time
from dataclasses import dataclass, replace
from itertools import chain as joined
from itertools import count as count_from
from itertools import islice
from pathlib import Path

from purezoo.__main__ import convolve_on_all_cores, keep_freed_memory

keep_freed_memory()  # as the command does, before jax is imported
convolve_on_all_cores()

import arrays  # noqa: E402
import decoding  # noqa: E402
import jax  # noqa: E402
import numpy as np  # noqa: E402
import workloads  # noqa: E402
from jax.nn import relu  # noqa: E402
from workloads import TEXT, VOCABULARY, WINDOW, WORKLOADS  # noqa: E402

from purezoo import models  # noqa: E402
from purezoo.models import Model, RNNLanguageModel, chain  # noqa: E402
from purezoo.models.core import count  # noqa: E402
from purezoo.models.layers import conv, dense, flatten, max_pool  # noqa: E402
from purezoo.train.config import Experiment, Train  # noqa: E402
from purezoo.train.data import Data, Dataset, load  # noqa: E402
from purezoo.train.data.order import Order  # noqa: E402
from purezoo.train.flow import FlowMatching  # noqa: E402
from purezoo.train.flow_samples import Drawing, drawer  # noqa: E402
from purezoo.train.generate import Sampling, reader_of, sampled  # noqa: E402
from purezoo.train.loop import DISPATCH_SECONDS, total_steps  # noqa: E402
from purezoo.train.optimizers import Optimizer  # noqa: E402
from purezoo.train.programs import compile_programs, make_mesh  # noqa: E402
from purezoo.train.reconstruction import Reconstruction  # noqa: E402
from purezoo.train.samples import sampler  # noqa: E402
from purezoo.train.steps import functions, hyper_parameters  # noqa: E402
from purezoo.train.tasks import Classification, Language  # noqa: E402
from purezoo.train.variational import Variational  # noqa: E402


@dataclass(frozen=True)
class CNN:
    """images [B, 28, 28, 1] -> logits [B, 10]."""

    def build(self) -> Model:
        return chain(
            conv(32, 3), relu, max_pool(2),
            conv(64, 3), relu, max_pool(2),
            flatten, dense(128), relu, dense(10),
        )  # fmt: skip


NETWORKS = {
    "mlp": models.MLP(widths=(512, 256)), "cnn": CNN(), "lenet": models.LeNet(),
    "alexnet": models.AlexNetOneTower(), "resnet18": models.ResNet(18, classes=10, stem="small"), "vit": models.ViT(),
    "resnet50": models.ResNet(50),
    "autoencoder": models.Autoencoder(latent=32, widths=(128,)),
    "conv_vae": models.ConvVAE(workloads.LATENT, workloads.WIDTH),
    "flow": models.FlowUNet(classes=10, width=workloads.FLOW_WIDTH, depth=1, patch=2),
    "lstm": models.RNN(outputs=10, cell="lstm", hidden=128, pixels=True),
    "char_lstm": RNNLanguageModel(VOCABULARY, workloads.EMBEDDING, "lstm", workloads.HIDDEN),
    "char_gru": RNNLanguageModel(VOCABULARY, workloads.EMBEDDING, "gru", workloads.HIDDEN),
}  # fmt: skip
TASKS = {"autoencoder": Reconstruction(), "conv_vae": Variational(), "flow": FlowMatching()}
FORMS = {
    name: ["compiled loop over the steps" if w.training else "one jitted call"] for name, w in WORKLOADS.items()
} | {"generate": ["compiled loop over the tokens"]}  # fmt: skip


def trainer(workload: str, form: str, file: str):
    what = WORKLOADS[workload]
    written = what.side == TEXT
    experiment = Experiment(
        model=NETWORKS[what.network],
        data=as_text(file) if written else Data(source=file, validation=0.0),
        task=Language() if written else TASKS.get(what.network, Classification()),
        optimizer=Optimizer("adam", what.learning_rate),
        train=Train(batch_size=what.batch, epochs=1000, precision="bfloat16" if what.gpu else "float32"),
    )
    data = load(experiment.data, experiment.task.kind)
    if experiment.task.kind == "classification":
        outputs = getattr(experiment.model, "classes", 10)  # AlexNet tells 1000 classes apart, and the images are of 10
        info = replace(data.info, classes=tuple(map(str, range(outputs))))
        data = data._replace(splits={name: data.splits[name] for name in ("train", "test")}, info=info)
    others = {"stream": stream, "generate": generate, "vae_samples": samples, "flow_samples": flow_samples}
    work = others.get(workload, training if what.training else inference)
    train, parameters = work(experiment, data)
    return train, parameters - workloads.SECOND_BIASES.get(workload, 0)


def as_text(file: str) -> Data:
    """The made-up text in a file that has the same windows and tokens."""
    data, written = arrays.read(file), Path(file).with_suffix(".txt")
    tokens = np.concatenate([data.x.ravel(), data.x_test.ravel(), data.y_test[-1, -1:]])
    written.write_bytes((tokens + ord(" ")).astype(np.uint8).tobytes())
    return Data(source=str(written), window=WINDOW, validation=0.0, test=1e-9)  # a split has at least a window


def training(experiment: Experiment, data: Dataset):
    batch = experiment.train.batch_size
    pure = functions(experiment, data.info, total_steps(experiment, data))
    programs = compile_programs(experiment, pure, data, 1, make_mesh(1, batch))
    order, hyper = Order([0], data.splits["train"], batch), programs.hyper([0])
    run, step, size = programs.init(hyper, {}), 0, 1

    def train(steps: int) -> float:
        nonlocal run, step, size
        run = run._replace(sums=programs.place(jax.tree.map(np.zeros_like, jax.device_get(run.sums))))
        end = step + steps
        while step < end:  # as in train/loop.py
            begun, n = time.perf_counter(), min(size, end - step, programs.block)
            run = programs.advance(run, hyper, order.rows(step, programs.block, n), n)
            failed, loss = jax.device_get((run.failed, run.sums["loss"]))
            if failed >= 0:
                raise FloatingPointError(f"the loss is not finite at step {failed}")
            took = time.perf_counter() - begun
            step, size = step + n, int(np.clip(n * DISPATCH_SECONDS / max(took, 1e-4), 1, 4 * size))
        return float(loss[0] / loss[1])

    return train, count(run.params)


def inference(experiment: Experiment, data: Dataset):
    rows = arrays.shuffled(len(data.splits["train"]), experiment.train.batch_size)
    pure, weights = with_weights(experiment, data)
    predict, train = jax.jit(pure.predict), data.splits["train"]

    def infer(steps: int) -> None:
        for _ in range(steps):
            jax.device_get(predict(weights, data.x[train[next(rows)]]))

    return infer, count(weights["params"])


def with_weights(experiment: Experiment, data: Dataset):
    pure, hyper = functions(experiment, data.info, 1), jax.tree.map(lambda a: a[0], hyper_parameters(experiment, [0]))
    run = jax.jit(pure.init)(hyper)
    return pure, {"params": run.params, "state": run.state}


def samples(experiment: Experiment, data: Dataset):
    _, weights = with_weights(experiment, data)
    draw, seeds = (
        sampler(experiment.model.build(), experiment.task, data.info, WORKLOADS["vae_samples"].batch),
        count_from(0),
    )

    def sample(steps: int) -> None:
        for _ in range(steps):
            jax.device_get(draw(weights, jax.random.key(next(seeds))))

    return sample, count(weights["params"])


def flow_samples(experiment: Experiment, data: Dataset):
    _, weights = with_weights(experiment, data)
    draw = drawer(experiment, data.info, weights, Drawing(steps=workloads.FLOW_STEPS))
    labels, seeds = np.arange(WORKLOADS["flow_samples"].batch, dtype=np.int32) % 10, count_from(0)

    def sample(steps: int) -> None:
        for _ in range(steps):
            draw(labels, next(seeds))

    return sample, count(weights["params"])


def stream(experiment: Experiment, data: Dataset):
    params, reader = language_model(experiment, data)
    memory, _ = jax.jit(reader.begin)(params, np.zeros(1, np.int32))
    return decoding.stream(reader.step, params, memory), count(params)


def generate(experiment: Experiment, data: Dataset):
    params, reader = language_model(experiment, data)
    pieces = sampled(reader, params, np.zeros(1, np.int32), 2**31, Sampling(temperature=1.0), data.info, seed=0)
    tokens = joined.from_iterable(pieces)

    def go_on(steps: int) -> None:
        for _ in range(steps):
            list(islice(tokens, workloads.CHUNK))

    return go_on, count(params)


def language_model(experiment: Experiment, data: Dataset):
    _, weights = with_weights(experiment, data)
    return weights["params"], reader_of(experiment.model, weights["state"], WINDOW)
