"""What is said while work goes on."""

import sys

import numpy as np

from purezoo.train.progress import counted, duration


def test_examples_are_counted_on_a_terminal_only(capsys, monkeypatch):
    batches = [{"weight": np.array([1.0, 1.0])}, {"weight": np.array([1.0, 0.0])}]
    assert list(counted(batches, 3)) == batches
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert list(counted(batches, 3)) == batches
    shown = capsys.readouterr().err.split("\r\x1b[K")
    assert [line.split(" examples")[0] for line in shown[1:]] == ["2 of 3", "3 of 3", ""]


def test_durations_are_in_two_units_at_most():
    assert [duration(seconds) for seconds in (4.4, 125, 11_400)] == ["4 s", "2 min 5 s", "3 h 10 min"]
