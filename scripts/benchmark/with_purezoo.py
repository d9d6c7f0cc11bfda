"""purezoo as its command trains: many steps in one compiled loop, each batch gathered from the data on the device."""

import time
from dataclasses import dataclass

from purezoo.__main__ import keep_freed_memory

keep_freed_memory()  # as the command does, before jax is imported

import jax  # noqa: E402
import numpy as np  # noqa: E402
from jax.nn import relu  # noqa: E402

from purezoo.models import MLP, LeNet, Model, chain  # noqa: E402
from purezoo.models.core import count  # noqa: E402
from purezoo.models.layers import conv, dense, flatten, max_pool  # noqa: E402
from purezoo.train.config import Experiment, Train  # noqa: E402
from purezoo.train.data import Data, load  # noqa: E402
from purezoo.train.data.order import Order  # noqa: E402
from purezoo.train.loop import DISPATCH_SECONDS, total_steps  # noqa: E402
from purezoo.train.optimizers import Optimizer  # noqa: E402
from purezoo.train.programs import compile_programs, make_mesh  # noqa: E402
from purezoo.train.steps import functions  # noqa: E402


@dataclass(frozen=True)
class CNN:
    """images [B, 28, 28, 1] -> logits [B, 10]."""

    def build(self) -> Model:
        return chain(
            conv(32, 3), relu, max_pool(2),
            conv(64, 3), relu, max_pool(2),
            flatten, dense(128), relu, dense(10),
        )  # fmt: skip


NETWORKS = {"mlp": MLP(widths=(512, 256)), "cnn": CNN(), "lenet": LeNet()}
FORMS = {name: ["compiled loop over the steps"] for name in NETWORKS}


def trainer(workload: str, form: str, file: str):
    experiment = Experiment(
        model=NETWORKS[workload],
        data=Data(source=file, validation=0.0),
        optimizer=Optimizer("adam", 1e-3),
        train=Train(batch_size=128, epochs=1000),
    )
    data = load(experiment.data, "classification")
    data = data._replace(splits={name: data.splits[name] for name in ("train", "test")})
    pure = functions(experiment, data.info, total_steps(experiment, data))
    programs = compile_programs(experiment, pure, data, 1, make_mesh(1, 128))
    order, hyper = Order([0], data.splits["train"], 128), programs.hyper([0])
    run, step, size = programs.init(hyper, {}), 0, 1

    def train(steps: int) -> float:
        nonlocal run, step, size
        run = run._replace(sums=programs.place(jax.tree.map(np.zeros_like, jax.device_get(run.sums))))
        end = step + steps
        while step < end:  # as in train/loop.py
            begun, n = time.perf_counter(), min(size, end - step, programs.block)
            run = programs.advance(run, hyper, order.rows(step, programs.block, n), n)
            _, loss = jax.device_get((run.failed, run.sums["loss"]))
            took = time.perf_counter() - begun
            step, size = step + n, int(np.clip(n * DISPATCH_SECONDS / max(took, 1e-4), 1, 4 * size))
        return float(loss[0] / loss[1])

    return train, count(run.params)
