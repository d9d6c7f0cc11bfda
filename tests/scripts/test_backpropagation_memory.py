"""The script that measures the memory of backpropagation, on few steps."""

import importlib.util
import re
import sys
from pathlib import Path

import numpy as np
import pytest

PATH = Path(__file__).parents[2] / "scripts" / "backpropagation_memory.py"


@pytest.fixture
def call(monkeypatch, capsys):
    spec = importlib.util.spec_from_file_location("backpropagation_memory", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def call(*args):
        monkeypatch.setattr(sys, "argv", ["backpropagation_memory.py", *args])
        return module.main(), capsys.readouterr().out

    call.module = module
    return call


def test_a_line_for_each_chunk_and_equal_gradients(call):
    code, said = call("--steps", "40", "--hidden", "4", "--batch", "2", "--chunks", "0", "7")
    peaks = [float(peak.replace(",", "")) for peak in re.findall(r"([\d,]+) MB", said)]
    assert code == 0
    assert len(peaks) == 2
    assert min(peaks) > 50
    assert "gradients differ by at most" in said


@pytest.mark.parametrize("other", [1.001, np.nan])
def test_gradients_that_differ_are_a_failure(call, monkeypatch, other):
    found = iter([(100.0, {"a": np.ones(2)}), (90.0, {"a": np.array([1, other])})])
    monkeypatch.setattr(call.module, "measure", lambda chunk, args: next(found))
    assert call("--chunks", "0", "5")[0] == 1
