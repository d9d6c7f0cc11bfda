"""The script that tells how an error falls with the length of what is seen, on a run of a few steps."""

import json

import numpy as np
import pytest

from purezoo.train.folder import load_data
from purezoo.train.serve import open_run


def test_errors_of_all_lengths_and_targets_are_that_of_the_run(purezoo, module, script, tiny, tmp_path):
    flags = (*tiny["ball"], "--train.epochs", 1, "--no-pictures", "--quiet", "--out", "run")
    assert purezoo("train", "ball", *flags)[0] == 0
    experiment, info, _, _ = open_run(tmp_path / "run", trust=False)
    dataset = load_data(experiment, tmp_path / "run")
    seen = dataset.x.lengths[dataset.splits["test"]]
    lengths, found = module.by_length(tmp_path / "run")
    assert lengths == list(range(1, 11))
    assert len(found) < len(info.targets), "x and y of a place are one distance"
    shares = np.array([np.mean(seen == n) for n in lengths])
    squares = sum(float(shares @ np.square(values[0])) for values in found.values())
    rmse = json.loads((tmp_path / "run" / "summary.json").read_text())["metrics"]["test"]["rmse"]
    assert squares == pytest.approx(len(info.targets) * rmse**2, rel=1e-4)
    code, said, _ = script("run", "--out", "error.png")
    assert code == 0
    assert len(said.splitlines()) == 11
    assert (tmp_path / "error.png").stat().st_size > 5000


def test_other_runs_are_refused(purezoo, script):
    assert purezoo("train", "mlp_wine", "--train.epochs", 1, "--no-pictures", "--quiet", "--out", "wine")[0] == 0
    code, _, errors = script("wine")
    assert code == 2
    assert "predicts no numbers from sequences" in errors
