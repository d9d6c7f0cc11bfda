"""What all tests share: caches of their own, made before jax is imported, and the command line in this process."""

import os
import shutil
import tempfile
from pathlib import Path

import numpy as np
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

    monkeypatch.chdir(tmp_path)  # a test may go elsewhere afterwards

    def call(*args: str | int | float | Path) -> tuple[int, str, str]:
        capsys.readouterr()
        try:
            code = run([str(arg) for arg in args])
        except SystemExit as stop:  # tyro's, for --help and for flags that it cannot read
            code = int(stop.code or 0)
        return code, *capsys.readouterr()

    return call


@pytest.fixture(scope="session")
def mnist_folder(tmp_path_factory):
    """A folder with MNIST's four IDX files, holding 320 made-up training images and 40 test images."""
    folder, random = tmp_path_factory.mktemp("mnist"), np.random.default_rng(0)
    for prefix, n in (("train", 320), ("t10k", 40)):
        labels = np.arange(n, dtype=np.uint8) % 10
        images = random.integers(0, 50, (n, 28, 28), np.uint8) + 20 * labels[:, None, None]
        for kind, array in (("images-idx3", images), ("labels-idx1", labels)):
            magic = np.array([0x0800 + array.ndim, *array.shape], ">i4")
            (folder / f"{prefix}-{kind}-ubyte").write_bytes(magic.tobytes() + array.astype(np.uint8).tobytes())
    return folder
