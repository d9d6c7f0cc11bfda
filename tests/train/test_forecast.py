"""Forecasts: free-running feeds predictions back, baselines are what they say, and a sine is learned."""

import json
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purezoo.errors import UserError
from purezoo.train.data import Data, load
from purezoo.train.forecast import Forecast, free_run

WINDOW, HORIZON = 6, 4


@pytest.fixture(scope="module")
def waves(tmp_path_factory):
    """Two waves of twelve steps, one of them ten times as high."""
    path, t = tmp_path_factory.mktemp("series") / "waves.csv", np.arange(240)
    rows = [f"{i},{np.sin(i * np.pi / 6):.5f},{10 * np.cos(i * np.pi / 6):.5f}" for i in t]
    path.write_text("\n".join(["step,low,high", *rows]) + "\n")
    return path


def batch_of(path):
    info = load(Data(source=str(path), time="step", window=WINDOW, horizon=HORIZON), "forecast").info
    random = np.random.default_rng(0)
    x, y = random.normal(size=(5, WINDOW, 2)), random.normal(size=(5, HORIZON, 2))
    return info, {"x": jnp.asarray(x), "y": jnp.asarray(y), "weight": jnp.array([1, 1, 0, 1, 0.0])}


def test_free_run_reads_its_own_predictions():
    x = jnp.array([[[1.0], [2.0], [4.0]]])
    assert free_run(lambda state, x, h: (x[:, -1] + x[:, -2], state), {}, x, 4)[0].ravel().tolist() == [6, 10, 16, 26]
    every = free_run(lambda state, x, h: (x * 2, state), {}, x, 3)[0]  # of outputs at every step the last counts
    assert every.ravel().tolist() == [8, 16, 32]


def test_each_step_of_the_horizon_goes_on_with_the_state_and_has_a_key_of_its_own(waves):
    info, batch = batch_of(waves)

    def network(params, state, x, *, key=None, train=False):
        drawn = jax.random.uniform(key)
        return x[:, -1], {"reads": state["reads"] + 1, "drawn": jnp.roll(state["drawn"], 1).at[0].set(drawn)}

    before = {"reads": jnp.int32(0), "drawn": jnp.zeros(HORIZON)}
    task = Forecast(train_on="horizon")
    _, (state, _) = task.loss(info)(network, {}, before, batch, key=jax.random.key(0), train=True)
    assert int(state["reads"]) == HORIZON
    assert len(set(state["drawn"].tolist())) == HORIZON


def test_a_network_reads_and_answers_in_units_of_the_window(waves):
    """What it is given has mean 0 and deviation 1; what it answers goes back by the same numbers."""
    info, batch = batch_of(waves)
    batch["x"] = batch["x"] * 5 + 30
    x, seen = np.asarray(batch["x"]), []

    def network(params, state, x, *, key=None, train=False):
        seen.append(x)
        return jnp.full_like(x[:, 0], 2.0), state

    loss, _ = Forecast(by_window=True).loss(info)(network, {}, {}, batch, train=True)
    np.testing.assert_allclose(seen[0].mean(1), 0, atol=1e-5)
    np.testing.assert_allclose(seen[0].std(1), 1, atol=1e-2)
    real = np.asarray(batch["weight"]) > 0
    guess = x.mean(1) + 2 * x.std(1)
    expected = np.mean((guess - np.asarray(batch["y"])[:, 0])[real] ** 2)
    assert float(loss) == pytest.approx(expected, rel=1e-3)  # 1e-3 is added to a deviation


@pytest.mark.parametrize("factor", [1, 1e31])  # whose square float32 cannot hold
def test_metrics_are_in_own_units_beside_the_baselines(waves, factor):
    info, batch = batch_of(waves)
    info = replace(info, x_std=tuple(factor * std for std in info.x_std))
    task = Forecast(season=3)

    def last_but_one(params, state, x, *, key=None, train=False):
        return x[:, -2], state

    sums = task.loss(info)(last_but_one, {}, {}, batch)[1][1]
    found = task.summarize({k: (np.asarray(a), np.asarray(b)) for k, (a, b) in sums.items()})
    real, unit = np.asarray(batch["weight"]) > 0, np.array(info.x_std)
    x, y = np.asarray(batch["x"])[real], np.asarray(batch["y"])[real]
    guess = np.stack([x[:, -2], x[:, -1], x[:, -2], x[:, -1]], 1)
    for name, forecast in {
        "": guess,
        "naive_": np.repeat(x[:, -1:], HORIZON, 1),
        "seasonal_": x[:, [-3, -2, -1, -3]],
    }.items():
        error = (forecast - y) * unit
        assert found[f"{name}rmse"] == pytest.approx(np.sqrt(np.mean(error**2)), rel=1e-5)
        assert found[f"{name}mae"] == pytest.approx(np.mean(np.abs(error)), rel=1e-5)
        assert found[f"{name}rmse_next"] == pytest.approx(np.sqrt(np.mean(error[:, 0] ** 2)), rel=1e-5)


@pytest.mark.parametrize("every", [False, True])
def test_training_on_the_next_value(waves, every):
    info, batch = batch_of(waves)

    def network(params, state, x, *, key=None, train=False):
        return (x if every else x[:, -1]), state

    loss = Forecast().loss(info)(network, {}, {}, batch, train=True)[0]
    real = np.asarray(batch["weight"]) > 0
    x, y = np.asarray(batch["x"])[real], np.asarray(batch["y"])[real]
    error = np.concatenate([x[:, 1:], y[:, :1]], 1) - x if every else y[:, 0] - x[:, -1]
    assert float(loss) == pytest.approx(np.mean(error**2), rel=1e-5)


@pytest.fixture(scope="module")
def waves_run(waves, tmp_path_factory):
    """A network that has learned them from the horizon."""
    from purezoo.train.cli import run

    config = tmp_path_factory.mktemp("config") / "waves.py"
    config.write_text(f"""
from purezoo.models import RNN
from purezoo.train.config import Experiment, Train
from purezoo.train.data import Data
from purezoo.train.forecast import Forecast
from purezoo.train.optimizers import Optimizer

EXPERIMENT = Experiment(
    model=RNN(outputs=2, cell="gru", hidden=12),
    data=Data(source={str(waves)!r}, time="step", window=12, horizon=4),
    task=Forecast(season=12, train_on="horizon"),
    optimizer=Optimizer(name="adam", learning_rate=0.02),
    train=Train(batch_size=16, epochs=40, seeds=2),
)
""")
    folder = config.parent / "run"
    assert run(["train", str(config), "--out", str(folder), "--quiet"]) == 0
    return folder


def test_waves_are_learned(purezoo, waves_run):
    metrics = json.loads(purezoo("eval", waves_run, "--json")[1])["metrics"]
    assert metrics["rmse"] < 0.2 * metrics["naive_rmse"]
    assert metrics["seasonal_rmse"] == pytest.approx(0, abs=1e-3)
    again = json.loads(purezoo("eval", waves_run, "--batch-size", 3, "--json")[1])["metrics"]
    assert metrics == pytest.approx(again, rel=1e-4, abs=1e-6)
    assert (waves_run / "seed-0" / "forecast.png").is_file()


def test_predict_goes_on_after_the_end(purezoo, waves_run, waves):
    code, said, errors = purezoo("predict", waves_run, waves, "--format", "json")
    assert (code, errors) == (0, "")
    records = [json.loads(line) for line in said.splitlines()]
    assert [record["input"] for record in records] == ["240", "241", "242", "243"]
    truth = 10 * np.cos(np.arange(240, 244) * np.pi / 6)
    np.testing.assert_allclose([record["predicted"]["high"] for record in records], truth, atol=2.5)
    header = purezoo("predict", waves_run, waves, "--format", "csv")[1].splitlines()[0]
    assert header == "input,low,high", "as the file has them"


def test_of_several_files_each_line_names_its_own(purezoo, waves_run, waves, tmp_path):
    (tmp_path / waves.name).write_bytes(waves.read_bytes())
    said = purezoo("predict", waves_run, waves, waves.name, "--format", "json")[1]
    names = [json.loads(line)["input"] for line in said.splitlines()]
    assert names == [f"{path}: {time}" for path in (waves, waves.name) for time in range(240, 244)]


def test_predict_needs_the_columns_of_a_csv(purezoo, waves_run, waves, tmp_path):
    (tmp_path / "waves.npz").write_bytes(b"")
    code, _, errors = purezoo("predict", waves_run, "waves.npz")
    assert (code, "is no .csv file" in errors, "step (the time) and low, high" in errors) == (2, True, True)


def test_predict_holds_to_the_rule_for_missing_rows(purezoo, waves_run, waves, tmp_path):
    lines = waves.read_text().splitlines()
    (tmp_path / "gap.csv").write_text("\n".join([*lines[:-5], *lines[-4:]]))
    code, _, errors = purezoo("predict", waves_run, "gap.csv")
    assert (code, "no row for the time 235" in errors, "trained without a rule" in errors) == (2, True, True)


def test_a_run_on_the_sunspots_goes_on_after_the_file_that_is_given(purezoo, tmp_path):
    assert purezoo("train", "sunspots", "--train.epochs", 1, "--out", "run", "--no-pictures", "--quiet")[0] == 0
    rows = [f"{1950 + i},{i % 11}" for i in range(40)]
    (tmp_path / "mine.csv").write_text("\n".join(["YEAR,SUNACTIVITY", *rows]))
    said = purezoo("predict", "run", "mine.csv", "--format", "json")[1]
    assert [json.loads(line)["input"] for line in said.splitlines()] == [str(year) for year in range(1990, 2001)]
    code, _, errors = purezoo("predict", "run", "missing.csv")
    assert (code, "missing.csv" in errors) == (2, True)


def test_predict_needs_enough_history(purezoo, waves_run, tmp_path):
    (tmp_path / "short.csv").write_text("step,low,high\n1,2,3\n")
    code, _, errors = purezoo("predict", waves_run, tmp_path / "short.csv")
    assert (code, "has 1 steps, and the model reads 12" in errors) == (2, True)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--task.season", 34), "--task.season 34 is longer than the history"),
        (("--model.read", "every", "--model.bidirectional"), "would see at each step what it is to forecast"),
        (
            ("--model.read", "every", "--task.train-on", "next"),
            "would learn from the mean and deviation of what it is to forecast: --task.train-on horizon",
        ),
        (("--model.outputs", 3), "the data have 1 series: set --model.outputs 1"),
        (("--data.window", 400), "too few for a train split"),
    ],
)
def test_what_is_refused(purezoo, flags, said):
    code, _, errors = purezoo("train", "sunspots", *flags)
    assert (code, said in errors) == (2, True), errors


def test_season_is_no_negative_number():
    with pytest.raises(UserError, match=r"--task\.season"):
        Forecast(season=-1)
