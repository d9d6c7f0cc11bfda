"""The order of the examples, populations of seeds, and losses that are not finite."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file

from purezoo.errors import UserError
from purezoo.train import checkpoints
from purezoo.train.data.order import Order
from purezoo.train.steps import RunState

from .conftest import QUICK

WINE = ("mlp_wine", "--train.epochs", "4", "--model.batch-norm", "--optimizer.ema", "0.9", *QUICK)


def test_every_example_once_an_epoch_in_another_order():
    rows = np.arange(100, 164)
    order = Order([0, 1], rows, batch=8)
    epochs = [order.rows(step, block=10, n=8)[:8] for step in (0, 8, 16)]  # [8 steps, 2 seeds, 8 rows]
    for epoch in epochs:
        for seed in (0, 1):
            np.testing.assert_array_equal(np.sort(epoch[:, seed].ravel()), rows)
    assert not np.array_equal(epochs[0], epochs[1])
    assert not np.array_equal(epochs[0][:, 0], epochs[0][:, 1])


def test_the_order_is_a_function_of_seed_and_step_alone():
    rows = np.arange(50)
    straight = Order([3], rows, batch=8).rows(0, block=20, n=20)
    np.testing.assert_array_equal(Order([3], rows, batch=8).rows(13, block=20, n=7)[:7], straight[13:])
    np.testing.assert_array_equal(Order([2, 3], rows, batch=8).rows(0, block=20, n=20)[:, 1], straight)
    assert not Order([3], rows, batch=8).rows(0, block=20, n=2)[2:].any(), "unused places of a block are zero"


def test_partial_batches_wait_for_the_next_shuffle():
    order = Order([0], np.arange(20), batch=8)
    epoch = order.rows(0, block=2, n=2)
    assert len(np.unique(epoch)) == 16
    missed = set(range(20)) - set(epoch.ravel().tolist())
    later = {row for step in range(2, 20) for row in order.rows(step, block=1, n=1).ravel().tolist()}
    assert missed <= later


def summary(folder):
    return json.loads((folder / "summary.json").read_text())


def config_of(folder):
    """The run's config, but for how several seeds are trained."""
    config = json.loads((folder / "config.json").read_text())
    return config | {"train": config["train"] | {"together": ""}}


@pytest.mark.parametrize("together", ["yes", "no"])
def test_seeds_agree_with_each_seed_alone(purezoo, tmp_path, together):
    """In one program within 1e-4 (float32 sums in another order), one by one bit for bit."""
    args = (*WINE, "--train.seeds", 2, "--train.seed", 5, "--train.together", together)
    code, _, _ = purezoo("train", *args, "--out", tmp_path / "all")
    assert code == 0
    for seed in (5, 6):
        assert purezoo("train", *WINE, "--train.seed", seed, "--out", tmp_path / f"{seed}")[0] == 0
        alone, among = tmp_path / f"{seed}", tmp_path / "all" / f"seed-{seed}"
        if together == "no":
            assert (alone / "model.safetensors").read_bytes() == (among / "model.safetensors").read_bytes()
            assert (alone / "metrics.jsonl").read_bytes() == (among / "metrics.jsonl").read_bytes()
        arrays, others = load_file(alone / "model.safetensors"), load_file(among / "model.safetensors")
        for name, array in arrays.items():
            np.testing.assert_allclose(others[name], array, rtol=1e-4, atol=1e-5, err_msg=name)
        assert config_of(alone) == config_of(among)
        assert summary(alone)["metrics"]["test"] == pytest.approx(summary(among)["metrics"]["test"], rel=1e-4)
    both = summary(tmp_path / "all")
    losses = [one["metrics"]["test"]["loss"] for one in both["seeds"]]
    assert [one["seed"] for one in both["seeds"]] == [5, 6]
    assert losses[0] != losses[1]
    assert both["metrics"]["test"]["loss"] == pytest.approx(np.mean(losses))
    assert both["std"]["test"]["loss"] == pytest.approx(np.std(losses, ddof=1))
    assert both["together"] is (together == "yes")


def test_patience_is_each_seeds_own(purezoo, tmp_path):
    """Seeds in one program stop at steps of their own, and keep their own best parameters."""
    stop = ("--optimizer.learning-rate", 0.05, "--train.epochs", 40, "--train.patience", 4)
    args = ("mlp_wine", *stop, "--train.seeds", 4, "--train.together", "yes", *QUICK)
    assert purezoo("train", *args, "--out", tmp_path / "all")[0] == 0
    steps = [one["steps"] for one in summary(tmp_path / "all")["seeds"]]
    assert len(set(steps)) > 1
    for seed, stopped in enumerate(steps):
        home = tmp_path / "all" / f"seed-{seed}"
        history = [json.loads(line) for line in (home / "metrics.jsonl").read_text().splitlines()]
        losses = [line["validation"]["loss"] for line in history]
        assert history[-1]["step"] == stopped == summary(home)["steps"]
        assert len(history) - 1 - int(np.argmin(losses)) == 4
        assert summary(home)["best_step"] == history[int(np.argmin(losses))]["step"]
        assert summary(home)["metrics"]["validation"]["loss"] == pytest.approx(min(losses), rel=1e-6)


def test_the_two_latest_and_the_best_checkpoint_are_kept(purezoo, tmp_path):
    every = ("--train.eval-every", 7, "--train.checkpoint-every", 7, "--train.epochs", 10)
    explode = ("--optimizer.schedule.name", "piecewise_constant", "--optimizer.schedule.args", "60", "1e4")
    assert purezoo("train", "mlp_wine", *explode, *every, *QUICK, "--out", "run")[0] == 0
    history = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    best = min(history, key=lambda line: line["validation"]["loss"])["step"]
    assert best < 63, "the best is none of the two latest"
    assert {int(path.name) for path in (tmp_path / "run" / "checkpoints").iterdir()} == {best, 63, 70}


def test_what_a_run_leaves_behind(purezoo, digits_run):
    found = summary(digits_run)
    assert set(found["metrics"]) == {"train", "validation", "test"}
    assert set(found["metrics"]["test"]) == {"accuracy", "loss", "top_k_accuracy"}
    assert set(found["time"]) == {"compile_s", "before_s", "run_s", "total_s"}
    assert found["parameters"] == 64 * 16 + 16 + 16 * 10 + 10
    assert found["steps"] == 3 * (1293 // 32)
    assert found["examples_per_s"] > 0
    assert {"python", "jax", "optax", "purezoo"} <= set(found["versions"])
    names = {path.name for path in digits_run.iterdir()} - {".lock"}
    assert names == {
        "checkpoints", "config.json", "data.json", "metrics.jsonl", "model.safetensors", "splits.npz", "summary.json",
    }  # fmt: skip


def test_pictures(purezoo, tmp_path):
    assert purezoo("train", "mlp_digits", "--model.widths", 16, "--train.epochs", 3, "--quiet", "--out", "d")[0] == 0
    assert {path.stem for path in (tmp_path / "d").glob("*.png")} == {"learning_curves", "confusion", "most_wrong"}
    few = ("linear_diabetes", "--train.epochs", 20, "--train.eval-every", 10, "--quiet")
    assert purezoo("train", *few, "--out", "r")[0] == 0
    assert {path.stem for path in (tmp_path / "r").glob("*.png")} == {"learning_curves", "predicted_against_true"}


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_checkpoint(purezoo, tmp_path):
    """The rate explodes after step 60; the checkpoint of step 40 is whole, so that the run can be looked at."""
    jump = ("--optimizer.schedule.name", "piecewise_constant", "--optimizer.schedule.args", "60", "1e30")
    args = (
        "mlp_digits",
        "--model.widths",
        16,
        "--optimizer.name",
        "sgd",
        *jump,
        "--train.checkpoint-every",
        20,
        *QUICK,
    )
    code, _, errors = purezoo("train", *args, "--out", "run")
    assert (code, errors.count("\n")) == (2, 1)
    assert "not finite at step 6" in errors
    assert "The checkpoint of step 60 is kept" in errors
    assert {"40", "60"} <= {path.name for path in (tmp_path / "run" / "checkpoints").iterdir()}
    code, _, errors = purezoo("train", "--resume", "run", *QUICK)
    assert code == 2
    assert "not finite at step 6" in errors


def test_parameters_that_are_not_finite_are_never_saved():
    run = RunState(np.int32(7), {"w": np.array([1.0, np.nan])}, {}, {}, {}, {}, {}, np.int32(-1))
    with pytest.raises(UserError, match="the parameters are not finite after step 7"):
        checkpoints.save(None, run, {}, None)
