"""The script that measures what pooling is worth, on a run of a few steps."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

PATH = Path(__file__).parents[2] / "scripts" / "shift_tolerance.py"


@pytest.fixture
def script(monkeypatch):
    def call(*args):
        monkeypatch.setattr(sys, "argv", ["shift_tolerance.py", *map(str, args)])
        return module.main()

    spec = importlib.util.spec_from_file_location("shift_tolerance", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    call.moved = module.moved
    return call


def test_moved_brings_black_in(script):
    x = np.arange(12, dtype=np.uint8).reshape(1, 3, 4, 1) + 1
    np.testing.assert_array_equal(script.moved(x, 0, 0), x)
    np.testing.assert_array_equal(script.moved(x, 1, 0)[0, :, :, 0], [[0, 0, 0, 0], [1, 2, 3, 4], [5, 6, 7, 8]])
    np.testing.assert_array_equal(script.moved(x, 0, -3)[0, :, :, 0], [[4, 0, 0, 0], [8, 0, 0, 0], [12, 0, 0, 0]])


def test_table_and_picture_of_runs(purezoo, script, capsys):
    flags = ("--train.epochs", 2, "--no-pictures", "--quiet")
    assert purezoo("train", "lenet_digits", *flags, "--train.seeds", 2, "--out", "pooled")[0] == 0
    assert purezoo("train", "lenet_digits", *flags, "--model.pooling", "none", "--out", "plain")[0] == 0
    capsys.readouterr()
    assert script("pooled", "plain", "--most", 2, "--out", "shifts.png") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["pixels", "pooled", "plain"]
    table = np.array([[float(word.strip("%")) for word in line.split() if word != "±"] for line in lines[1:]])
    assert table.shape == (3, 5)  # pixels, then accuracy and deviation of each run
    assert (table[0, [1, 3]] > table[2, [1, 3]]).all()
    assert Path("shifts.png").stat().st_size > 5000
    with pytest.raises(SystemExit) as stop:
        script("pooled", "--out", "shifts.png")
    assert stop.value.code == 2
    assert "exists already" in capsys.readouterr().err
