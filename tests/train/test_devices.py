"""A batch shared by two devices trains as on one. XLA makes the devices up, in a process of its own."""

import os
import subprocess
import sys

import numpy as np
from safetensors.numpy import load_file

CODE = """
from purezoo.train.cli import run
common = ["mlp_digits", "--model.widths", "16", "--model.batch-norm", "--train.epochs", "1", "--no-pictures"]
common += ["--optimizer.name", "sgd", "--optimizer.learning-rate", "0.05"]  # Adam makes much of the last bit of a float
assert run(["train", *common, "--out", "two"]) == 0
assert run(["train", *common, "--out", "one", "--train.devices", "1"]) == 0
assert run(["train", *common, "--out", "odd", "--train.batch-size", "33"]) == 2
assert run(["train", *common, "--out", "three", "--train.devices", "3"]) == 2
assert run(["eval", "two", "--batch-size", "7"]) == 0
"""


def test_two_devices(tmp_path):
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
    assert not (tmp_path / "odd").exists()
