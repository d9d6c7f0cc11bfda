"""The script that measures how long cells remember, at a lag that all of them bridge."""

import importlib.util
import json
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

PATH = Path(__file__).parents[2] / "scripts" / "memory.py"


@pytest.fixture(scope="module")
def module():
    spec = importlib.util.spec_from_file_location("memory", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_adding_marks_one_number_in_each_half(module):
    x, y = module.adding(jax.random.key(0), 50, 11)
    numbers, marks = np.asarray(x[..., 0]), np.asarray(x[..., 1])
    assert (marks[:, :5].sum(1) == 1).all()
    assert (marks[:, 5:].sum(1) == 1).all()
    np.testing.assert_allclose(y[:, 0], [row[mark > 0].sum() for row, mark in zip(numbers, marks, strict=True)])


def test_copying_asks_after_a_silence(module):
    x, y = module.copying(jax.random.key(0), 4, 6)
    tokens = np.asarray(x.argmax(-1))
    np.testing.assert_array_equal(tokens[:, : module.COPIED], y)
    silence, sign = module.SYMBOLS, module.SYMBOLS + 1
    np.testing.assert_array_equal(tokens[0, module.COPIED :], [silence] * 5 + [sign] + [silence] * module.COPIED)


def test_table_picture_and_a_file_that_is_gone_on_with(module, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(module, "EVERY", 40)

    def call(*args):
        monkeypatch.setattr(sys, "argv", ["memory.py", *args, "--lags", "3", "--hidden", "8", "--json", "found.json"])
        return module.main(), capsys.readouterr().out

    few = ("--problems", "copying", "--seeds", "2", "--steps", "80", "--rate", "0.02")
    code, said = call(*few, "--cells", "gru", "tcn", "--out", "memory.png")
    assert code == 0
    found = json.loads(Path("found.json").read_text())
    assert [row["cell"] for row in found.values()] == ["gru", "tcn"]
    assert all(min(row["accuracy"]) > 0.2 for row in found.values())  # guessing gets one in eight
    assert Path("memory.png").stat().st_size > 5000
    monkeypatch.setattr(module, "learn", None)
    assert call(*few, "--cells", "gru", "tcn") == (0, said)
    with pytest.raises(SystemExit) as stop:
        call(*few, "--out", "memory.png")
    assert stop.value.code == 2
    assert "exists already" in capsys.readouterr().err
    for args, message in (
        (("--steps", "90"), "the steps are a multiple of 40"),
        (("--rate", "nan"), "the rate is above 0"),
        (("--lags", "1"), "a lag is at least 2"),
    ):
        monkeypatch.setattr(sys, "argv", ["memory.py", "--json", "found.json", *args])
        with pytest.raises(SystemExit) as stop:
            module.main()
        assert stop.value.code == 2
        assert message in capsys.readouterr().err
    Path("found.json").write_text("no JSON")
    with pytest.raises(SystemExit) as stop:
        call(*few)
    assert stop.value.code == 2
    assert "found.json holds no results" in capsys.readouterr().err
