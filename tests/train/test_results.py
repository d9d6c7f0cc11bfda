"""Published figures: rounded to the worse side of what was measured, and no further."""

import pytest

from purezoo.train.results import result_text


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
