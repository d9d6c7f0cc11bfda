"""Published figures: rounded to the worse side of what was measured, and no further."""

import json

import pytest

from purezoo.train import results
from purezoo.train.results import measured, record_files, result_text


def record(**metrics):
    return {"summary": {"metrics": {"test": metrics}, "seed": 0}}


@pytest.mark.parametrize("accuracy", [0.9912, 0.9420, 0.9884, 0.9934])  # times 10,000 just below a whole number
def test_what_is_exact_is_not_rounded(accuracy):
    assert result_text(record(accuracy=accuracy)) == f"accuracy {accuracy:.2%} (seed 0)".replace("%", " %")


def test_the_rest_is_rounded_to_the_worse_side():
    assert result_text(record(accuracy=0.99129)) == "accuracy 99.12 % (seed 0)"
    assert result_text(record(rmse=0.57)) == "RMSE 0.5700 (seed 0)"
    assert result_text(record(rmse=0.57001)) == "RMSE 0.5701 (seed 0)"
    assert result_text(record(elbo=-91.06512)) == "ELBO -91.0652 nats (seed 0)"


def test_a_config_may_have_a_record_of_a_cpu_and_of_an_accelerator(monkeypatch, tmp_path):
    monkeypatch.setattr(results, "RESULTS", tmp_path)
    assert measured("mlp") == []
    on_cpu, on_accelerator = record_files("mlp")
    on_accelerator.write_text(json.dumps(record(accuracy=0.9)))
    assert measured("mlp") == [record(accuracy=0.9)]
    on_cpu.write_text(json.dumps(record(accuracy=0.8)))
    assert measured("mlp") == [record(accuracy=0.8), record(accuracy=0.9)]
