"""A full disk ends a run with one line and code 2, and what was saved before stays whole."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from purezoo.errors import UserError
from purezoo.train import check, weights
from purezoo.train import run as running

from .conftest import QUICK

ARGS = (
    "train",
    "mlp_digits",
    "--train.epochs",
    "2",
    "--train.eval-every",
    "10",
    "--train.checkpoint-every",
    "10",
    *QUICK,
)


def test_in_the_background_thread_of_orbax(tmp_path):
    """No file may grow beyond 100 kB, and the checkpoints have larger ones."""
    code = "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)); "
    code += "from purezoo.train.cli import run; sys.exit(run(sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-c", code, *ARGS, "--out", "run"],
        cwd=tmp_path, capture_output=True, text=True, timeout=120,
        env=os.environ | {"JAX_ENABLE_COMPILATION_CACHE": "false"},
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert "cannot write" in done.stderr.splitlines()[-1]
    assert json.loads((tmp_path / "run" / "config.json").read_text())


def full(*args, **kwargs):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "somewhere")


@pytest.mark.parametrize(("module", "function"), [(weights, "save"), (running, "write_json")])
def test_wherever_it_happens(purezoo, monkeypatch, module, function, tmp_path):
    with monkeypatch.context() as patch:
        patch.setattr(module, function, full)
        code, _, errors = purezoo(*ARGS, "--out", "run")
    assert (code, errors) == (
        2,
        "purezoo: cannot write somewhere: No space left on device. What was saved before is whole.\n",
    )
    if function == "save" and module is weights:  # the training is not lost
        assert purezoo("train", "--resume", "run", *QUICK)[0] == 0


def test_in_the_middle_of_the_config(purezoo, monkeypatch, tmp_path):
    """No half of it is left, which would be taken for a run."""

    def half(path, content):
        with open(path, "wb") as file:
            file.write(content[: len(content) // 2])
        full()

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", half)
        code, _, errors = purezoo(*ARGS, "--out", "run")
    assert (code, errors.count("\n")) == (2, 1)
    assert not (tmp_path / "run").exists()


def test_a_run_that_cannot_fit_is_refused_at_once(purezoo, monkeypatch, tmp_path):
    monkeypatch.setattr(check.shutil, "disk_usage", lambda folder: type("Usage", (), {"free": 1000}))
    code, _, errors = purezoo(*ARGS, "--out", "run")
    assert (code, errors.count("\n")) == (2, 1)
    assert "0.0 MB free, and this run needs" in errors
    assert not (tmp_path / "run").exists()


def test_room_that_a_runs_own_checkpoints_take_is_no_lack(monkeypatch, tmp_path):
    monkeypatch.setattr(check.shutil, "disk_usage", lambda folder: type("Usage", (), {"free": 1000}))
    for seed in ("seed-0", "seed-1"):
        (tmp_path / seed / "checkpoints" / "10").mkdir(parents=True)
        (tmp_path / seed / "checkpoints" / "10" / "state").write_bytes(bytes(500))
    check.check_disk(tmp_path, 2000)
    with pytest.raises(UserError, match=r"needs 0\.0 MB"):
        check.check_disk(tmp_path, 2001)
