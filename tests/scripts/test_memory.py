"""The script that measures how long cells remember, at a lag that all of them bridge."""

import json
from pathlib import Path

import jax
import numpy as np


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


def test_table_picture_and_a_file_that_is_gone_on_with(module, script, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(module, "EVERY", 40)

    small = ("--lags", 3, "--hidden", 8, "--json", "found.json")
    few = ("--problems", "copying", "--seeds", 2, "--steps", 80, "--rate", 0.02, *small)
    code, said, _ = script(*few, "--cells", "gru", "tcn", "--out", "memory.png")
    assert code == 0
    found = json.loads(Path("found.json").read_text())
    assert [row["cell"] for row in found.values()] == ["gru", "tcn"]
    assert all(min(row["accuracy"]) > 0.2 for row in found.values())  # guessing gets one in eight
    assert Path("memory.png").stat().st_size > 5000
    monkeypatch.setattr(module, "learn", None)
    drawn, (row, *_) = [], found.values()
    more = {f"copying gru 9 hidden {h} steps 80 rate 0.02 x1": row | {"lag": 9, "hidden": h} for h in (8, 16)}
    Path("found.json").write_text(json.dumps(found | more))
    with monkeypatch.context() as patched:
        patched.setattr(module, "draw", lambda rows, path: drawn.extend(rows))
        assert script(*few, "--cells", "gru", "--out", "more.png")[0] == 0
    assert [(row["lag"], row.get("hidden")) for row in drawn] == [(3, None), (3, None), (9, 8)]
    Path("found.json").write_text(json.dumps(found))
    assert script(*few, "--cells", "gru", "tcn")[:2] == (0, said)

    def refused(*args):
        code, _, errors = script(*few, *args)
        assert code == 2
        return errors

    assert "is there already" in refused("--out", "memory.png")
    assert "is to be a file NAME.png in a folder that exists" in refused("--out", "nowhere/memory.png")
    assert "there is no folder nowhere" in refused("--json", "nowhere/found.json")
    assert "the steps are a multiple of 40" in refused("--steps", 90)
    assert "the rate is above 0" in refused("--rate", "nan")
    assert "a lag is at least 2" in refused("--lags", 1)
    Path("found.json").write_text("no JSON")
    assert "found.json holds no results" in refused()
