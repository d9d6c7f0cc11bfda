"""Stopped by a signal at any moment and resumed, a run ends bit for bit where the uninterrupted one ends."""

import gc
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from purezoo.errors import Interrupted
from purezoo.train import evaluation, loop, pictures
from purezoo.train import run as runs
from purezoo.train.config import load_config
from purezoo.train.folder import locked
from purezoo.train.loop import read_history

from .conftest import QUICK

EVERYTHING = (
    "mlp_digits", "--model.widths", "32", "16", "--model.batch-norm", "--model.dropout", "0.3",
    "--optimizer.ema", "0.9",
    "--optimizer.learning-rate", "0.02", "--optimizer.schedule.name", "warmup_cosine_decay", "--train.epochs", "30",
    "--train.patience", "12", "--train.eval-every", "20", "--train.checkpoint-every", "30", *QUICK,
)  # fmt: skip
SHORT = ("--train.epochs", "2", "--train.eval-every", "8", "--train.checkpoint-every", "12", *QUICK)
WINE = ("mlp_wine", "--train.epochs", "6", "--train.eval-every", "8", "--train.checkpoint-every", "12", *QUICK)
OTHERS = {
    "LeNet": ("lenet_digits", "--model.width", "1", *SHORT),
    "several seeds together": (*WINE, "--train.seeds", "3", "--train.together", "yes", "--train.patience", "3"),
    "several seeds one by one": (*WINE, "--train.seeds", "3", "--train.together", "no", "--train.patience", "3"),
}


def results(folder: Path) -> dict[str, bytes]:
    """The weights and the history of a finished run, and of each of its seeds, by their place in its folder."""
    found = [path for pattern in ("model.safetensors", "metrics.jsonl") for path in folder.rglob(pattern)]
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def checkpoint_steps(folder: Path) -> list[int]:
    return sorted(int(path.name) for path in (folder / "checkpoints").iterdir())


@pytest.fixture
def interrupt(monkeypatch):
    """`interrupt(number, n)`: this process sends itself a signal when it has written n more evaluations."""
    write = loop.History.write

    def at(number: int, n: int):
        left = [n]

        def write_and_stop(self, new):
            write(self, new)
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), number)

        monkeypatch.setattr(loop.History, "write", write_and_stop)

    return at


def stopped_by(number: int, written: int, *args) -> tuple[int, str]:
    """Runs the command in a process of its own, which sends itself a signal when its history has so many lines."""
    code = (
        "import os\n"
        "from purezoo.__main__ import main\n"
        "from purezoo.train import loop\n"
        "def write_and_stop(self, new):\n"
        "    write(self, new)\n"
        f"    if len(self.path.read_text().splitlines()) == {written}:\n"
        f"        os.kill(os.getpid(), {number})\n"
        "write, loop.History.write = loop.History.write, write_and_stop\n"
        "main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "train", *map(str, args)], capture_output=True, text=True, timeout=300
    )
    late = r"\n.*: heard\. The run stops after its .*\n"  # on a busy machine
    return done.returncode, re.sub(late, "", done.stderr)


def test_three_signals_and_the_same_end(purezoo, tmp_path):
    """Batch norm, dropout, schedule, moving average and early stopping; one run stopped three times."""
    straight, stopped = tmp_path / "straight", tmp_path / "stopped"
    assert purezoo("train", *EVERYTHING, "--out", straight)[0] == 0
    summary = json.loads((straight / "summary.json").read_text())
    assert 600 < summary["steps"] < 1200, "patience ends the run early, after the last signal"
    assert summary["best_step"] == summary["steps"] - 12 * 20

    code, errors = stopped_by(signal.SIGTERM, 5, *EVERYTHING, "--out", stopped)
    assert (code, errors.count("\n")) == (143, 2)
    assert "SIGTERM: saved at step" in errors
    assert f"purezoo train --resume {stopped}" in errors
    code, errors = stopped_by(signal.SIGINT, 12, "--resume", stopped, *QUICK)
    assert code == 130
    assert "SIGINT: saved at step" in errors
    code, errors = stopped_by(signal.SIGKILL, 20, "--resume", stopped, *QUICK)
    assert (code, errors) == (-signal.SIGKILL, "")

    assert not (stopped / "summary.json").exists()
    code, out, errors = purezoo("eval", stopped)
    assert (code, errors.count("\n")) == (2, 1)
    assert "has not finished" in errors
    assert purezoo("train", "--resume", stopped, *QUICK)[0] == 0
    time_of = json.loads((stopped / "summary.json").read_text())["time"]
    assert 0 < time_of["before_s"] < time_of["run_s"] < time_of["total_s"], "what was before counts"
    assert results(stopped) == results(straight)

    code, out, _ = purezoo("train", "--resume", stopped)
    assert code == 0
    assert "has finished already" in out
    code, _, errors = purezoo("train", *EVERYTHING, "--out", stopped)
    assert code == 2
    assert f"purezoo train --resume {stopped}" in errors


@pytest.mark.parametrize("what", [what for what in OTHERS if what != "LeNet"])  # which is stopped below
def test_other_runs_stopped_twice(purezoo, interrupt, tmp_path, what):
    args, straight, stopped = OTHERS[what], tmp_path / "straight", tmp_path / "stopped"
    assert purezoo("train", *args, "--out", straight)[0] == 0
    interrupt(signal.SIGTERM, 2)
    assert purezoo("train", *args, "--out", stopped)[0] == 143
    if "one by one" in what:
        with locked(stopped / "seed-0", resume=True):  # somebody goes on with it by itself
            code, _, errors = purezoo("train", "--resume", stopped, *QUICK)
            assert (code, "another process trains in" in errors) == (2, True)
    interrupt(signal.SIGINT, 7 if "one by one" in what else 2)
    assert purezoo("train", "--resume", stopped, *QUICK)[0] == 130
    assert purezoo("train", "--resume", stopped, *QUICK)[0] == 0
    times = [json.loads((folder / "summary.json").read_text())["time"] for folder in (straight, stopped)]
    assert times[0]["before_s"] == 0 < times[1]["before_s"] < times[1]["run_s"] < times[1]["total_s"]
    assert results(stopped) == results(straight)
    assert len(results(straight)) == (7 if "together" in what else 6)


def test_a_signal_ends_an_evaluation_which_is_made_up_for(purezoo, monkeypatch, tmp_path):
    """Of 5 batches of validation and 12 of the test; the second signal comes in the test, after the last step."""
    args, straight, stopped = (*OTHERS["LeNet"], "--train.eval-batch-size", "32"), tmp_path / "one", tmp_path / "two"
    assert purezoo("train", *args, "--out", straight)[0] == 0
    seen, total = [], evaluation.with_seed_axis
    lines = len((straight / "metrics.jsonl").read_text().splitlines())

    def one_batch(*args):
        seen.append(len(read_history(stopped)))
        if len(seen) in (7, 7 + 5 * (lines - 1) + 3):
            os.kill(os.getpid(), signal.SIGTERM)
        return total(*args)

    monkeypatch.setattr(evaluation, "with_seed_axis", one_batch)
    code, _, errors = purezoo("train", *args, "--out", stopped)
    assert (code, len(seen)) == (143, 7)
    assert "SIGTERM: saved at step 16" in errors
    assert purezoo("train", "--resume", stopped, *QUICK)[0] == 143
    assert len(seen) == 7 + 5 * (lines - 1) + 3
    assert seen[-1] == lines
    assert not (stopped / "summary.json").exists()
    assert purezoo("train", "--resume", stopped, *QUICK)[0] == 0
    assert results(stopped) == results(straight)


def test_a_later_signal_stops_at_once_and_a_quick_one_does_not(tmp_path):
    code = (
        "import os, signal, time\n"
        "from purezoo.__main__ import main\n"
        "from purezoo.train import loop\n"
        "def write_and_stop(self, new):\n"
        "    for _ in range(2):\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
        "    if late:\n"
        "        loop.LATE_SECONDS = 0\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
        "loop.History.write = write_and_stop\n"
        "main()\n"
    )
    for late, said in ((False, "SIGTERM: saved at step 8"), (True, "stopped at once: what was saved before is whole")):
        args = [sys.executable, "-c", f"late = {late}\n{code}", "train", *OTHERS["LeNet"], "--out", f"run{late}"]
        done = subprocess.run(args, capture_output=True, text=True, timeout=300, cwd=tmp_path)
        assert (done.returncode, said in done.stderr) == (143, True), done.stderr
        assert "Traceback" not in done.stderr


def test_a_run_that_was_killed_while_it_drew_its_pictures_draws_them(purezoo, monkeypatch, tmp_path):
    args, draw = ("mlp_wine", "--train.epochs", "1", "--quiet"), pictures.draw

    def killed(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(pictures, "draw", killed)
    assert purezoo("train", *args, "--out", "run")[0] == 130
    assert (tmp_path / "run" / "summary.json").is_file()
    monkeypatch.setattr(pictures, "draw", draw)
    assert purezoo("train", "--resume", "run", "--quiet")[0] == 0
    assert (tmp_path / "run" / "confusion.png").is_file()
    assert "has finished already" in purezoo("train", "--resume", "run")[1]
    assert not (tmp_path / "run" / ".drawing").exists()


def damage(checkpoint: Path, how: str) -> None:
    files = sorted((path for path in checkpoint.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
    largest = files[-1]
    data = bytearray(largest.read_bytes())
    if how == "flipped":
        for i in range(len(data) // 3, len(data), 7):
            data[i] ^= 0xFF
        largest.write_bytes(data)
    elif how == "truncated":
        for path in files:
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    else:
        shutil.rmtree(checkpoint / "state")


def test_damaged_checkpoints(purezoo, interrupt, tmp_path, caplog):
    """A damaged newest one is reported and the one before it is used; all damaged: the run cannot go on."""
    args, straight, stopped = OTHERS["LeNet"], tmp_path / "straight", tmp_path / "stopped"
    assert purezoo("train", *args, "--out", straight)[0] == 0
    interrupt(signal.SIGTERM, 6)
    assert purezoo("train", *args, "--out", stopped)[0] == 143
    kept = checkpoint_steps(stopped)
    assert kept[-1] == 48
    assert len(kept) in (2, 3), "the two latest, and the best"
    for how in ("flipped", "truncated", "missing"):
        folder = tmp_path / how
        shutil.copytree(stopped, folder)
        damage(folder / "checkpoints" / "48", how)
        code, out, _ = purezoo("train", "--resume", folder, "--no-pictures")
        assert code == 0
        assert "the checkpoint of step 48 is damaged" in out
        assert f"going on after step {kept[-2]}" in out
        assert results(folder) == results(straight)
    for step in kept:
        damage(stopped / "checkpoints" / str(step), "flipped")
    code, _, errors = purezoo("train", "--resume", stopped, *QUICK)
    assert code == 2
    assert "are damaged" in errors
    gc.collect()
    assert not [record for record in caplog.records if record.name == "asyncio"], "reported by the main thread alone"


def test_without_a_checkpoint_it_starts_over(purezoo, interrupt, tmp_path):
    """Killed before the first checkpoint: its half-written history is replaced."""
    args, straight, stopped = OTHERS["LeNet"], tmp_path / "straight", tmp_path / "stopped"
    assert purezoo("train", *args, "--out", straight)[0] == 0
    interrupt(signal.SIGTERM, 2)
    assert purezoo("train", *args, "--out", stopped)[0] == 143
    shutil.rmtree(stopped / "checkpoints")
    (stopped / "splits.npz").unlink()
    with (stopped / "metrics.jsonl").open("a") as file:
        file.write('{"step": 24, "epo')
    assert purezoo("train", "--resume", stopped, *QUICK)[0] == 0
    assert results(stopped) == results(straight)


def test_two_processes_cannot_train_in_one_folder(purezoo, tmp_path):
    folder = tmp_path / "run"
    args = [
        sys.executable,
        "-m",
        "purezoo",
        "train",
        *EVERYTHING,
        "--train.patience",
        "0",
        "--train.epochs",
        "1000",
        "--out",
    ]
    process = subprocess.Popen([*args, str(folder)])
    try:
        while not (folder / "metrics.jsonl").is_file() and process.poll() is None:
            time.sleep(0.01)
        code, _, errors = purezoo("train", "--resume", folder, *QUICK)
        assert (code, errors.count("\n")) == (2, 1)
        assert "another process trains in" in errors
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=120) == 143, "a signal from outside, wherever the run is"
    finally:
        process.kill()
        process.wait()


def test_a_signal_before_the_first_step_is_answered_after_it(tmp_path, monkeypatch):
    def compile_and_be_stopped(*args):
        os.kill(os.getpid(), signal.SIGTERM)
        return compile_programs(*args)

    compile_programs = runs.compile_programs
    monkeypatch.setattr(runs, "compile_programs", compile_and_be_stopped)
    with pytest.raises(Interrupted) as stopped:
        runs.train(load_config("mlp_wine")[0], tmp_path / "run")
    assert (stopped.value.code, stopped.value.step) == (143, 1)
    assert (tmp_path / "run" / "checkpoints" / "1").is_dir()


def test_a_signal_while_xla_compiles_is_noted_at_once(tmp_path, monkeypatch, capfd):
    def compile_long(*args):
        threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGTERM)).start()
        hashlib.pbkdf2_hmac("sha256", b"", b"", 3_000_000)  # which Python waits for, as for a compilation
        return compile_programs(*args)

    compile_programs = runs.compile_programs
    monkeypatch.setattr(runs, "compile_programs", compile_long)
    monkeypatch.setattr(loop, "LATE_SECONDS", 0.05)
    with pytest.raises(Interrupted):
        runs.train(load_config("mlp_wine")[0], tmp_path / "run")
    assert capfd.readouterr().err.count("SIGTERM: heard. The run stops after its compilation") == 1
