"""The script that measures what pooling is worth, on a run of a few steps."""

from pathlib import Path

import numpy as np


def test_moved_brings_black_in(module):
    x = np.arange(12, dtype=np.uint8).reshape(1, 3, 4, 1) + 1
    np.testing.assert_array_equal(module.moved(x, 0, 0), x)
    np.testing.assert_array_equal(module.moved(x, 1, 0)[0, :, :, 0], [[0, 0, 0, 0], [1, 2, 3, 4], [5, 6, 7, 8]])
    np.testing.assert_array_equal(module.moved(x, 0, -3)[0, :, :, 0], [[4, 0, 0, 0], [8, 0, 0, 0], [12, 0, 0, 0]])


def test_table_and_picture_of_runs(purezoo, script):
    flags = ("--train.epochs", 2, "--no-pictures", "--quiet")
    assert purezoo("train", "lenet_digits", *flags, "--train.seeds", 2, "--out", "pooled")[0] == 0
    assert purezoo("train", "lenet_digits", *flags, "--model.pooling", "none", "--out", "plain")[0] == 0
    code, said, _ = script("pooled", "plain", "--most", 2, "--out", "shifts.png")
    assert code == 0
    lines = said.splitlines()
    assert lines[0].split() == ["pixels", "pooled", "plain"]
    table = np.array([[float(word.strip("%")) for word in line.split() if word != "±"] for line in lines[1:]])
    assert table.shape == (3, 5)  # pixels, then accuracy and deviation of each run
    assert (table[0, [1, 3]] > table[2, [1, 3]]).all()
    assert Path("shifts.png").stat().st_size > 5000
    code, _, errors = script("pooled", "--out", "shifts.png")
    assert code == 2
    assert "is there already" in errors
