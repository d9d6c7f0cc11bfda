"""What the tests of scripts share: the script that a file of tests is named after, and its command line."""

import importlib.util
import sys
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def module(request):
    """For test_NAME.py the module scripts/NAME.py."""
    path = Path(__file__).parents[2] / "scripts" / request.path.name.removeprefix("test_")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def script(module, monkeypatch, capsys):
    """`script("run", "--json", ...)` in this process: (exit code, output, errors)."""

    def call(*args: str | int | float | Path) -> tuple[int, str, str]:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", [f"{module.__name__}.py", *map(str, args)])
        try:
            code = module.main()
        except SystemExit as stop:  # argparse's, for arguments that it refuses
            code = int(stop.code or 0)
        return code, *capsys.readouterr()

    return call
