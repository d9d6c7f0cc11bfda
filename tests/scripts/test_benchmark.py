import json
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from purezoo.models import AlexNetOneTower, ResNet
from purezoo.train.show import multiply_adds, spec_of

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "benchmark.py"


def benchmark(*args, **how):
    return subprocess.run([sys.executable, SCRIPT, *map(str, args)], capture_output=True, text=True, **how)


def test_trains_the_same_network_in_purezoo_and_in_a_peer(tmp_path):
    done = benchmark("mlp", "--quick", "--peers", "linen", "--json", tmp_path / "results.json")
    assert done.returncode == 0, done.stderr
    assert "purezoo / best peer (Flax Linen)" in done.stdout
    found = json.loads((tmp_path / "results.json").read_text())["workloads"]["mlp"]
    assert set(found) == {"purezoo", "linen"}
    for result in found.values():
        assert result["parameters"] == 535_818
        assert result["loss"] < 1.5  # it learns: log 10 is 2.3
        assert len(result["rounds"]) == 1
        assert result["rounds"][0] > 0
        assert result["memory"] > 50


def test_reads_a_made_up_text_token_by_token(tmp_path):
    folder, file = SCRIPT.with_suffix(""), tmp_path / "text.npz"
    subprocess.run([sys.executable, folder / "arrays.py", file, "--side", "0"], check=True)
    with np.load(file) as text:
        x, y = text["x_train"].ravel(), text["y_train"].ravel()
    np.testing.assert_array_equal(x[1:], y[:-1])  # the characters that follow
    np.testing.assert_array_equal(np.unique(x), np.arange(65))  # all, so that every peer has the same vocabulary
    command = [sys.executable, folder / "worker.py", "purezoo", "serve", "stream", file, ""]
    done = subprocess.run(command, input="1\n3\n", capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    built, *answers = map(json.loads, done.stdout.splitlines())
    assert built["parameters"] == 1_219_778
    assert [answer["loss"] for answer in answers] == [None, None]


def test_names_an_unknown_workload():
    done = benchmark("mpl")
    assert done.returncode == 2
    assert "there is no workload 'mpl'" in done.stderr


@pytest.mark.parametrize(("workload", "network"), [("gpu_resnet50", ResNet(50)), ("gpu_alexnet", AlexNetOneTower())])
def test_the_share_of_a_gpus_peak_counts_the_networks_work(workload, network):
    what = runpy.run_path(str(SCRIPT.with_suffix("") / "workloads.py"))["WORKLOADS"][workload]
    assert 2 * what.multiply_adds == multiply_adds(network.build(), spec_of((what.side, what.side, 3)))  # two images


def test_names_a_workload_that_needs_a_gpu():
    done = benchmark("mlp", "gpu_alexnet", env={"PATH": ""})  # where there is no nvidia-smi
    assert done.returncode == 2
    assert "gpu_alexnet trains on an NVIDIA GPU" in done.stderr
