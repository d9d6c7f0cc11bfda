"""purezoo as its command trains: many steps in one compiled loop, each batch gathered from the data on the device.

Inference is one jitted call of the function that prediction and evaluation are made of.
"""

import time
from dataclasses import dataclass, replace

from purezoo.__main__ import keep_freed_memory

keep_freed_memory()  # as the command does, before jax is imported

import arrays  # noqa: E402
import jax  # noqa: E402
import numpy as np  # noqa: E402
from jax.nn import relu  # noqa: E402
from workloads import WORKLOADS  # noqa: E402

from purezoo.models import MLP, AlexNetOneTower, LeNet, Model, ResNet, ViT, chain  # noqa: E402
from purezoo.models.core import count  # noqa: E402
from purezoo.models.layers import conv, dense, flatten, max_pool  # noqa: E402
from purezoo.train.config import Experiment, Train  # noqa: E402
from purezoo.train.data import Data, Dataset, load  # noqa: E402
from purezoo.train.data.order import Order  # noqa: E402
from purezoo.train.loop import DISPATCH_SECONDS, total_steps  # noqa: E402
from purezoo.train.optimizers import Optimizer  # noqa: E402
from purezoo.train.programs import compile_programs, make_mesh, present  # noqa: E402
from purezoo.train.steps import functions, hyper_parameters  # noqa: E402


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
    "mlp": MLP(widths=(512, 256)), "cnn": CNN(), "lenet": LeNet(),
    "alexnet": AlexNetOneTower(), "resnet18": ResNet(18, classes=10, stem="small"), "vit": ViT(),
}  # fmt: skip
FORMS = {
    name: ["compiled loop over the steps" if w.training else "one jitted call"] for name, w in WORKLOADS.items()
}  # fmt: skip


def trainer(workload: str, form: str, file: str):
    what = WORKLOADS[workload]
    experiment = Experiment(
        model=NETWORKS[what.network],
        data=Data(source=file, validation=0.0),
        optimizer=Optimizer("adam", what.learning_rate),
        train=Train(batch_size=what.batch, epochs=1000),
    )
    data = load(experiment.data, "classification")
    outputs = getattr(experiment.model, "classes", 10)  # AlexNet tells 1000 classes apart, and the images are of 10
    info = replace(data.info, classes=tuple(map(str, range(outputs))))
    data = data._replace(splits={name: data.splits[name] for name in ("train", "test")}, info=info)
    return (training if what.training else inference)(experiment, data)


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
    pure, rows = (
        functions(experiment, data.info, 1),
        arrays.shuffled(len(data.splits["train"]), experiment.train.batch_size),
    )
    hyper = jax.tree.map(lambda a: a[0], hyper_parameters(experiment, [0]))
    weights = jax.jit(lambda: present(pure.init(hyper)))()
    predict, train = jax.jit(pure.predict), data.splits["train"]

    def infer(steps: int) -> None:
        for _ in range(steps):
            jax.device_get(predict(weights, data.x[train[next(rows)]]))

    return infer, count(weights["params"])
