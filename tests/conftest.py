"""What all tests share: caches of their own, made before jax is imported, and the command line in this process."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest

OWNER = "PUREZOO_TESTS_OWNER"  # the process that made the caches, which the workers of pytest-xdist share
if OWNER not in os.environ:
    cache = tempfile.mkdtemp(prefix="purezoo-tests-")
    os.environ |= {
        OWNER: str(os.getpid()),
        "PUREZOO_CACHE": cache,
        "JAX_COMPILATION_CACHE_DIR": f"{cache}/xla",
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }


def pytest_unconfigure():
    if os.environ[OWNER] == str(os.getpid()):
        shutil.rmtree(os.environ["PUREZOO_CACHE"], ignore_errors=True)


@pytest.fixture
def purezoo(capsys, tmp_path, monkeypatch):
    """`purezoo("train", "mlp_digits", ...)` in this process, in a folder of its own: (exit code, output, errors)."""
    from purezoo.train.cli import run

    monkeypatch.chdir(tmp_path)

    def call(*args: str | int | float | Path) -> tuple[int, str, str]:
        capsys.readouterr()
        try:
            code = run([str(arg) for arg in args])
        except SystemExit as stop:  # tyro's, for --help and for flags that it cannot read
            code = int(stop.code or 0)
        return code, *capsys.readouterr()

    return call
