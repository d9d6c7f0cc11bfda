"""A batch shared by two devices trains as on one; what devices cannot do is refused, what is slow is not done."""

import os
import re
import subprocess
import sys
from dataclasses import replace

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file

from purezoo.models import RNN, ConvNeXt, ResNet
from purezoo.train.augment import Augment
from purezoo.train.check import in_one_program
from purezoo.train.config import Experiment, Train, load_config
from purezoo.train.folder import load_data
from purezoo.train.steps import example_batch, functions, hyper_parameters

CODE = """
from purezoo.train.cli import run
common = ["mlp_digits", "--model.widths", "16", "--model.batch-norm", "--train.epochs", "1", "--no-pictures"]
common += ["--optimizer.name", "sgd", "--optimizer.learning-rate", "0.05"]  # Adam makes much of the last bit of a float
assert run(["train", *common, "--out", "two"]) == 0
assert run(["train", *common, "--out", "one", "--train.devices", "1"]) == 0
assert run(["train", *common, "--out", "odd", "--train.batch-size", "33"]) == 0
assert run(["train", *common, "--out", "refused", "--train.batch-size", "33", "--train.devices", "2"]) == 2
assert run(["train", *common, "--out", "three", "--train.devices", "3"]) == 2
assert run(["eval", "two", "--batch-size", "7"]) == 0
"""
EXPLICIT = """
import jax
from purezoo.models import MLP

mesh = jax.make_mesh((2,), ("data",), axis_types=(jax.sharding.AxisType.Explicit,))
model, x = MLP(outputs=3, widths=(8,), batch_norm=True).build(), jax.random.normal(jax.random.key(0), (4, 5))
params, state = model.init(jax.random.key(1), x)
gradient = jax.jit(jax.grad(lambda params, x: (model.apply(params, state, x, train=True)[0] ** 2).sum()))
alone = gradient(params, x)
with jax.set_mesh(mesh):
    shared = gradient(params, jax.device_put(x, jax.P("data")))
assert all(abs(a - b).max() < 1e-4 for a, b in zip(*map(jax.tree.leaves, (alone, shared)), strict=True))
"""


def test_two_devices(tmp_path):
    """XLA makes them up, in a process of its own."""
    env = os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=2", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, "-c", CODE], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines() == [
        "purezoo: a batch of 33 does not divide over 2 devices: choose a multiple, or --train.devices 1",
        "purezoo: --train.devices 3: there are only 2 (cpu)",
    ]
    two, one = (load_file(tmp_path / name / "model.safetensors") for name in ("two", "one"))
    for name, array in one.items():
        np.testing.assert_allclose(two[name], array, rtol=1e-5, atol=1e-6, err_msg=name)
    assert (tmp_path / "odd").exists()
    assert not (tmp_path / "refused").exists()


def test_batch_norm_of_a_batch_that_is_sharded_explicitly():
    env = os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=2", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run([sys.executable, "-c", EXPLICIT], env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr


def test_a_job_of_several_processes_is_refused(purezoo, tmp_path, monkeypatch):
    """They would write into one folder, and wait for each other where one stops."""
    monkeypatch.setattr(jax, "process_count", lambda: 4)
    code, _, errors = purezoo("train", "mlp_wine", "--train.epochs", 1, "--out", "run")
    assert (code, errors.count("\n")) == (2, 1)
    assert "this is one of 4 processes of JAX" in errors
    assert not (tmp_path / "run").exists()


def test_examples_that_a_device_has_no_memory_for(purezoo, monkeypatch):
    def full(*args):
        raise RuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate 184320000 bytes.")

    monkeypatch.setattr(jax, "device_put", full)
    code, _, errors = purezoo("train", "mlp_wine", "--train.epochs", 1, "--out", "run")
    assert (code, errors.count("\n")) == (2, 1)
    assert "the 0.0 GB of examples do not fit the device's memory: --data.stream yes" in errors


@pytest.mark.parametrize(
    ("backend", "name", "together"),
    [
        ("cpu", "mlp_digits", True), ("cpu", "lenet_digits", False),
        ("gpu", "mlp_digits", True), ("gpu", "lenet_digits", False),
        ("tpu", "lenet_digits", True),
    ],
)  # fmt: skip
def test_several_seeds_are_one_program_where_that_is_fast(monkeypatch, backend, name, together):
    experiment, _ = load_config(name)
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    assert in_one_program(experiment, load_data(experiment, None)) is together


@pytest.mark.parametrize("platform", ["cuda", "tpu"])
@pytest.mark.parametrize(
    ("network", "shape", "augment"),
    [
        (ResNet(18, classes=3, stem="small"), (16, 16, 3), Augment(shift=1, flip=True, jitter=0.1, hue=0.1, cutout=4)),
        (ConvNeXt(3, (1, 1), (8, 16), "small"), (16, 16, 3), Augment(resized_crop=0.3, pca_noise=0.1, cutmix=1.0)),
        (RNN(outputs=3, hidden=8, cell="gru"), (5, 4), Augment()),
    ],
    ids=["resnet", "convnext", "gru"],
)
def test_a_step_is_a_program_of_other_platforms(info, network, shape, augment, platform):
    """JAX translates it without such a device: into XLA's operations alone, none of which waits for the host."""
    about = replace(info("classification", shape, 3), x_covariance=tuple(np.eye(3).ravel()))
    experiment = Experiment(model=network, augment=augment, train=Train(batch_size=4))
    made = functions(experiment, about, steps=10)
    hyper = jax.tree.map(lambda a: a[0], hyper_parameters(experiment, [0]))
    traced = jax.jit(made.step).trace(jax.eval_shape(made.init, hyper), hyper, example_batch(experiment, about))
    text = traced.lower(lowering_platforms=(platform,)).as_text()
    assert "stablehlo.convolution" in text or "stablehlo.while" in text
    assert re.findall(r"custom_call @(\w+)", text) == []
    assert "f64" not in text
