"""Sequences of different lengths through whole runs: several networks, several seeds, evaluation, prediction."""

import json

import pytest

QUICK = ("--train.epochs", 1, "--train.batch-size", 16, "--model.hidden", 8, "--no-pictures", "--quiet", "--out", "run")

CONFIG = """
from purezoo.models import MLP, TCN
from purezoo.train.config import Experiment
from purezoo.train.data import Data

EXPERIMENT = Experiment(model=TCN(width=8, blocks=2), data=Data(source="{source}"))
"""


@pytest.fixture
def ragged(purezoo, ts_file):
    def run(*flags):
        return purezoo("train", "japanese_vowels", "--data.source", ts_file, *QUICK, *flags)

    return run


def test_several_seeds_eval_and_predict(purezoo, ragged, ts_file):
    code, said, errors = ragged("--train.seeds", 2, "--train.together", "yes")
    assert (code, errors) == (0, "")
    assert "mean ± standard deviation of 2 seeds" in said
    metrics = [json.loads(purezoo("eval", "run", "--batch-size", n, "--json")[1])["metrics"] for n in (1, 5, 100)]
    assert metrics[0] == pytest.approx(metrics[1])
    assert metrics[0] == pytest.approx(metrics[2])
    code, said, errors = purezoo("predict", "run", ts_file, "--format", "json")
    assert (code, errors, len(said.splitlines())) == (0, "", 72)


def test_a_series_is_learned(ragged, purezoo):
    flags = ("--train.epochs", 40, "--optimizer.learning-rate", "0.02", "--optimizer.ema", 0, "--model.dropout", 0)
    assert ragged(*flags)[0] == 0
    assert json.loads(purezoo("eval", "run", "--json")[1])["metrics"]["accuracy"] > 0.9


def test_recordings_and_other_networks(purezoo, recordings, tmp_path):
    config = tmp_path / "tcn.py"
    config.write_text(CONFIG.format(source=str(recordings)))
    flags = ("--train.epochs", 1, "--train.batch-size", 16, "--no-pictures", "--out", "tcn")
    code, said, errors = purezoo("train", config, *flags)
    assert (code, errors) == (0, "")
    code, said, _ = purezoo("predict", "tcn", recordings / "test" / "3" / "0.wav")
    assert (code, said[:5]) == (0, "0.wav")
    config.write_text(config.read_text().replace("TCN(width=8, blocks=2)", "MLP()"))
    code, _, errors = purezoo("train", config, "--train.batch-size", 16, "--out", "mlp")
    assert (code, "takes no sequences of different lengths" in errors) == (2, True), errors
    assert "Traceback" not in errors


def test_predicting_another_kind_of_file_is_refused(purezoo, ragged, recordings, text_file):
    assert ragged()[0] == 0
    for path in (recordings / "test" / "3" / "0.wav", text_file):
        code, _, errors = purezoo("predict", "run", path)
        assert (code, f"{path} is no .ts or NPZ file" in errors) == (2, True)
