"""The script that measures the memory of backpropagation, on few steps."""

import re

import numpy as np
import pytest


def test_a_line_for_each_chunk_and_equal_gradients(script):
    code, said, _ = script("--steps", 40, "--hidden", 4, "--batch", 2, "--chunks", 0, 7)
    peaks = [float(peak.replace(",", "")) for peak in re.findall(r"([\d,]+) MB", said)]
    assert code == 0
    assert len(peaks) == 2
    assert min(peaks) > 50
    assert "gradients differ by at most" in said


@pytest.mark.parametrize("other", [1.001, np.nan])
def test_gradients_that_differ_are_a_failure(module, script, monkeypatch, other):
    found = iter([(100.0, {"a": np.ones(2)}), (90.0, {"a": np.array([1, other])})])
    monkeypatch.setattr(module, "measure", lambda chunk, args: next(found))
    assert script("--chunks", 0, 5)[0] == 1
