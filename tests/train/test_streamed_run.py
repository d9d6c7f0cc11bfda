"""Runs on streamed pictures: as from memory, stopped and resumed, with pictures that cannot be read."""

import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file

from purezoo.train import loop
from purezoo.train.data.stream import init_worker
from purezoo.train.feed import AHEAD, ahead

from .conftest import QUICK
from .test_resume import results

STREAM = ("--data.stream", "yes", "--data.workers", "0")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Sixteen noisy pictures of each of two brightnesses."""
    home, random = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    for name, least in (("bright", 120), ("dark", 0)):
        (home / name).mkdir()
        for i in range(16):
            x = random.integers(least, least + 130, (12, 10 + i % 3), np.uint8)
            Image.fromarray(x).save(home / name / f"{i:02}.png")
    return home


def arguments(folder, *more):
    """A small network with batch norm and dropout on a folder of grey pictures."""
    return (
        "mlp_digits", "--data.source", folder, "--data.size", "8", "--data.channels", "1", "--model.outputs", "2",
        "--model.widths", "8", "--model.batch-norm", "--model.dropout", "0.2", "--train.batch-size", "4",
        "--train.epochs", "4", "--train.eval-batch-size", "3", *QUICK, *more,
    )  # fmt: skip


def summary(run):
    return json.loads((run / "summary.json").read_text())


def test_a_streamed_run_is_the_run_from_memory(purezoo, folder, tmp_path):
    given = ("--data.no-standardize",)  # a stream measures a sample of the pictures, which differs in the last bit
    for name, options in (("stream", STREAM), ("memory", ("--data.stream", "no"))):
        assert purezoo("train", *arguments(folder, *given, *options), "--out", tmp_path / name)[0] == 0
    assert results(tmp_path / "stream") == results(tmp_path / "memory")
    assert summary(tmp_path / "stream")["metrics"] == summary(tmp_path / "memory")["metrics"]
    code, out, _ = purezoo("eval", tmp_path / "stream", "--json", "--batch-size", "5")
    assert code == 0
    assert json.loads(out)["metrics"] == pytest.approx(summary(tmp_path / "stream")["metrics"]["test"])
    shutil.copytree(folder, tmp_path / "moved")
    code, again, _ = purezoo("eval", tmp_path / "stream", "--json", "--batch-size", "5", "--data-dir", "moved")
    assert (code, again) == (0, out)
    code, out, _ = purezoo("predict", tmp_path / "stream", folder / "dark" / "03.png", "--format", "json")
    assert (code, json.loads(out)["input"]) == (0, "03.png")


@pytest.mark.parametrize("stops", [2, 5])
def test_stopped_and_resumed_a_streamed_run_ends_the_same(purezoo, folder, tmp_path, monkeypatch, stops):
    """By a signal in the middle of an epoch, in either of two seeds, which train one after another."""
    args = arguments(folder, *STREAM, "--train.eval-every", "4", "--train.seeds", "2", "--train.together", "auto")
    straight, stopped, write, written = tmp_path / "straight", tmp_path / "stopped", loop.History.write, []
    assert purezoo("train", *args, "--out", straight)[0] == 0

    def write_and_stop(self, lines):
        write(self, lines)
        written.append(1)
        if len(written) == stops:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(loop.History, "write", write_and_stop)
    assert purezoo("train", *args, "--out", stopped)[0] == 143
    assert purezoo("train", "--resume", stopped, *QUICK)[0] == 0
    assert results(stopped) == results(straight)
    assert len(results(straight)) == 4


def test_killed_with_workers_it_goes_on_without(purezoo, folder, tmp_path):
    straight, killed = tmp_path / "straight", tmp_path / "killed"
    args = arguments(folder, "--train.checkpoint-every", "5")
    assert purezoo("train", *args, *STREAM, "--out", straight)[0] == 0
    code = (
        "import os, signal, sys\n"
        "from purezoo.train import checkpoints, loop\n"
        "from purezoo.train.data import stream\n"
        "from purezoo.train.cli import run\n"
        "def save(manager, *args):\n"
        "    write(manager, *args)\n"
        "    manager.wait()\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "write, checkpoints.save, stream.SHORT = checkpoints.save, save, 0\n"
        "run(sys.argv[1:])\n"
    )
    args = [*map(str, args), "--data.stream", "yes", "--data.workers", "1", "--out", str(killed)]
    done = subprocess.run([sys.executable, "-c", code, "train", *args], capture_output=True, text=True, timeout=300)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert purezoo("train", "--resume", killed, *QUICK)[0] == 0
    assert results(killed) == results(straight)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_to_a_group_of_processes_are_for_the_main_one(number):
    """Slurm, systemd and `timeout` send them to workers, too, for which the training may be waiting."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, spawn, init_worker, (0, 1)) as pool:
        assert pool.submit(signal.getsignal, number).result() == signal.SIG_IGN


def test_bad_pictures_stop_the_run_or_are_counted(purezoo, folder, tmp_path):
    for name in ("dark/16.png", "bright/16.png", "bright/17.png"):
        (folder / name).write_bytes(b"no picture")
    try:
        code, _, errors = purezoo("train", *arguments(folder, *STREAM), "--out", tmp_path / "stop")
        assert code == 2
        assert "cannot be read as a picture" in errors
        assert errors.splitlines()[-1].startswith(f"purezoo: {folder}/")
        for how in ("yes", "no"):
            options = ("--data.stream", how, "--data.workers", "0", "--data.on-error", "skip")
            assert purezoo("train", *arguments(folder, *options), "--out", tmp_path / how)[0] == 0
            assert summary(tmp_path / how)["skipped"] == 3
            assert sum(summary(tmp_path / how)["examples"].values()) == 32
        counts = json.loads((tmp_path / "yes" / "data.json").read_text())["counts"]
        assert sum(counts.values()) == 35
        code, out, _ = purezoo("eval", tmp_path / "yes", "--split", "train", "--json")
        assert (code, json.loads(out)["examples"]) == (0, summary(tmp_path / "yes")["examples"]["train"])
        assert np.isfinite(json.loads(out)["metrics"]["loss"])
        (folder / "dark" / "17.png").write_bytes(b"another")
        code, _, errors = purezoo("eval", tmp_path / "yes")
        assert code == 2
        assert "changed" in errors
    finally:
        for path in folder.rglob("1[67].png"):
            path.unlink()


def test_two_devices_share_streamed_batches(folder, tmp_path):
    args = [*map(str, arguments(folder, *STREAM)), "--optimizer.name", "sgd", "--optimizer.learning-rate", "0.05"]
    code = (
        f"from purezoo.train.cli import run\nassert run(['train', *{args!r}, '--out', 'two']) == 0\n"
        f"assert run(['train', *{args!r}, '--train.devices', '1', '--out', 'one']) == 0\n"
    )
    env = os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=2", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    two, one = (load_file(tmp_path / name / "model.safetensors") for name in ("two", "one"))
    for name, array in one.items():
        np.testing.assert_allclose(two[name], array, rtol=1e-5, atol=1e-6, err_msg=name)


def test_a_few_batches_wait_and_leaving_closes_the_source():
    made, closed = [], []

    def items():
        try:
            for i in range(1000):
                made.append(i)
                yield {"x": np.full(2, i)}
        finally:
            closed.append(True)

    with ahead(items(), lambda item: item["x"]) as parts:
        for i in range(50):
            assert next(parts)[0] == i
            assert len(made) <= i + 1 + AHEAD + 1
        assert not closed
    assert closed

    def fails():
        yield {"x": np.zeros(1)}
        raise ValueError("the disk is gone")

    with ahead(fails(), lambda item: item["x"]) as parts:
        next(parts)
        with pytest.raises(ValueError, match="the disk is gone"):
            next(parts)
