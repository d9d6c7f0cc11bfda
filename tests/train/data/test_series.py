"""Series for forecasting: windows that keep the future apart, times in order, gaps by a rule."""

import numpy as np
import pytest

from purezoo.errors import UserError
from purezoo.train.data import Data, load, peek
from purezoo.train.data.ball import AHEAD, BEFORE, BETWEEN, GRAVITY, NOISE, at, flight, read_ball
from purezoo.train.data.examples import take
from purezoo.train.data.series import read_series, times_after

SETTINGS = {"time": "day", "window": 5, "horizon": 3, "test": 0.2, "validation": 0.2}


def written(folder, rows, header="day,a,b"):
    path = folder / "series.csv"
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def ascending(n=60):
    return [f"{i},{i / 10},{100 - i}" for i in range(n)]


def forecast(path, **settings):
    return load(Data(source=str(path), **(SETTINGS | settings)), "forecast")


def test_every_window_has_its_own_future(tmp_path):
    dataset = forecast(written(tmp_path, ascending()))
    rows = np.arange(len(dataset.x) - 3)
    x, y = take(dataset.x, rows), take(dataset.y, rows)
    assert (x.shape[1:], y.shape[1:]) == ((5, 2), (3, 2))
    np.testing.assert_allclose(y[:, :, 0], x[:, -1:, 0] + np.array([0.1, 0.2, 0.3]), atol=1e-5)
    assert (dataset.info.shape, dataset.info.targets, dataset.info.horizon) == ((5, 2), ("a", "b"), 3)
    assert peek(Data(source=str(tmp_path / "series.csv"), **SETTINGS), "forecast") == ((5, 2), 2)


def test_no_future_lies_in_two_splits(tmp_path):
    dataset = forecast(written(tmp_path, ascending()))
    future = {name: {*np.ravel(rows[:, None] + 5 + np.arange(3))} for name, rows in dataset.splits.items()}
    assert max(future["train"]) < min(future["validation"]) <= max(future["validation"]) < min(future["test"])
    assert max(future["test"]) == 59
    assert min(future["test"]) == 48  # the last fifth of 60
    steps = np.array([float(row.split(",")[1]) for row in ascending()])[: max(future["train"]) + 1]
    np.testing.assert_allclose((dataset.info.x_mean[0], dataset.info.x_std[0]), (steps.mean(), steps.std()), rtol=1e-5)


def test_gaps(tmp_path):
    rows = ascending()
    rows[4] = "4,,96"
    with pytest.raises(UserError, match=r"Line 6 of .*series\.csv, column 'a': the value is missing\. --data\.fill"):
        forecast(written(tmp_path, rows))
    with pytest.raises(UserError, match=r"Line 6 .* trained without a rule"):
        read_series(tmp_path / "series.csv", "day", "", ("b", "a"))
    assert take(forecast(tmp_path / "series.csv", fill="previous").x, np.array([0]))[0, 4, 0] == pytest.approx(0.3)


@pytest.mark.parametrize(
    ("rows", "settings", "said"),
    [
        (ascending(12), {}, "has 12 steps, too few for a validation split"),
        (["1,2,3", "1,3,4"], {}, "Line 3 of .*: the time 1 does not come after 1"),
        (["2,2,3", "1,3,4"], {}, "the time 1 does not come after 2"),
        (["02.01.2024,2,3"], {}, "Line 2 of .*: the time '02.01.2024' is neither a number nor a date such as"),
        (["1,2,3", "today,3,4"], {}, "Line 3 of .*: the time 'today' is neither"),
        (["1.5,2,3", "2024-01-31,3,4"], {}, "the times 1.5 and 2024-01-31 one is a number and one a date"),
        (["2020,1,2", "2020-02,2,4", "2020-01,3,6"], {}, "the time 2020-01 does not come after 2020-02"),
        (["2024-01-01T00:00+01:00,1,2", "2024-01-01T01:00+02:00,2,4"], {}, "has another time zone than"),
        (["1,1e9,3", "2,1000000008,4"], {}, "'a' varies by 8 around 1e.09, too little for float32"),
        (["1,2,3", "2,x,4"], {}, "Line 3 of .*column 'a': 'x' is no number"),
        (["1,2,3", "2,inf,4"], {}, "infinite"),
        (["1,2,3", "2,4"], {}, "has 2 cells"),
        (["soon,2,3"] * 2, {}, "'soon' is neither a number nor a date"),
        ([], {}, "no rows"),
        (ascending(), {"time": "dya"}, "no column 'dya'. Did you mean 'day'"),
        (ascending(), {"horizon": 0}, "at least 1"),
        (ascending(), {"target": "a"}, "no --data.target"),
    ],
)
def test_series_that_do_not_do(tmp_path, rows, settings, said):
    with pytest.raises(UserError, match=said):
        forecast(written(tmp_path, rows), **settings)


def test_a_series_needs_the_task_and_the_task_a_series(tmp_path):
    with pytest.raises(UserError, match="use a forecasting task"):
        load(Data(source=str(written(tmp_path, ascending())), time="day"), "regression")
    with pytest.raises(UserError, match=r"no series: name the column of its time, --data\.time"):
        load(Data(source="iris"), "forecast")


def test_a_series_that_is_constant_in_training_is_refused(tmp_path):
    rows = [f"{i},{i},{7 if i < 40 else i}" for i in range(60)]
    with pytest.raises(UserError, match="the column 'b' holds 7 in all 38 steps to train on"):
        forecast(written(tmp_path, rows))


@pytest.mark.parametrize(
    ("times", "absent", "lacking"),
    [
        (range(10), (3, 4, 8), "3"),
        ([f"{i / 10:g}" for i in range(10)], (5,), "0.5"),
        ([f"2024-02-{i + 24}" if i < 6 else f"2024-03-0{i - 5}" for i in range(10)], (6,), "2024-03-01"),
        ([f"2024-{i + 1:02}" for i in range(10)], (1, 7), "2024-02"),
        (
            [f"2024-02-28 {h}:00" if h > 21 else f"2024-02-29 0{h}:00" for h in (22, 23, *range(8))],
            (2, 3),
            "2024-02-29 00:00",
        ),
        ([f"2024-02-28T05:{i * 5:02}:00.500Z" for i in range(10)], (4,), "2024-02-28T05:20:00.500Z"),
        ([1700000000000 + 60000 * i for i in range(10)], (2,), "1700000120000"),
    ],
)
def test_missing_rows(tmp_path, times, absent, lacking):
    path = written(tmp_path, [f"{t},{i}" for i, t in enumerate(times) if i not in absent], "day,a")
    with pytest.raises(UserError, match=rf"no row for the time {lacking}, .*\({len(absent)} missing .*fill skip takes"):
        read_series(path, "day", "")
    with pytest.raises(UserError, match=r"trained without a rule for it \(--data\.fill\): [^-]*$"):
        read_series(path, "day", "", ("a",))
    whole = read_series(path, "day", "previous")
    assert whole.times == list(map(str, times))
    known = [i for i in range(10) if i not in absent]
    assert whole.values.ravel().tolist() == [max(k for k in known if k <= i) for i in range(10)]
    zero = read_series(path, "day", "zero", ("a",)).values.ravel()
    assert np.flatnonzero(zero == 0).tolist() == sorted({0, *absent})
    kept = read_series(path, "day", "skip")
    assert kept.values.ravel().tolist() == [i for i in range(10) if i not in absent]
    assert times_after(kept.times, 1) == ["+1"]


def test_times_without_even_steps_are_neighbours(tmp_path):
    ends = ("2024-01-31", "2024-02-29", "2024-03-31", "2024-04-30", "2024-05-31")
    for times in (ends, (1, 2, 4, 9, 11), (0, 0.33, 0.67, 1), (1, 2, 3, 1e300)):
        path = written(tmp_path, [f"{t},{i}" for i, t in enumerate(times)], "day,a")
        assert read_series(path, "day", "").times == read_series(path, "day", "zero").times == list(map(str, times))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            {"source": "a.csv", "horizon": 3},
            r"--data\.horizon is for series, and the source is 'a\.csv': .*--data\.time",
        ),
        ({"source": "a.txt", "steps": 3}, r"\.steps are not for texts"),
        ({"source": "a.npz", "time": "day"}, r"--data\.time is for CSV files, and the source is 'a\.npz'"),
        ({"source": "sunspots", "fill": "linear"}, r"--data\.fill linear is for \.ts .*tells what is to be forecast"),
        ({"source": "sunspots", "window": 0}, r"--data\.window is at least 1, not 0\.$"),
        ({"steps": -1}, r"--data\.steps is .* not -1\.$"),
        ({"source": "folder:a", "rate": 1999}, r"--data\.rate is .* not 1999\.$"),
        ({"dir": "a"}, r"--data\.dir is for mnist, idx and TFDS, and the source is 'digits'"),
        ({"source": "a.csv", "tokens": "bytes"}, r"--data\.tokens is for texts"),
        ({"source": "wine", "window": 5}, r"--data\.window is for texts and series"),
        ({"source": "a.npz", "features": "mfcc"}, r"--data\.features is for folders of recordings"),
        ({"source": "a.txt", "on_error": "skip"}, r"--data\.on-error is for folders of pictures and TFDS"),
        ({"source": "mnist", "workers": 2}, r"--data\.workers is for"),
    ],
)
def test_each_setting_has_its_own_message(settings, said):
    with pytest.raises(UserError, match=said):
        Data(**settings)


def test_skip_is_for_rows_of_a_series(tmp_path):
    with pytest.raises(UserError, match=r"--data\.fill skip is for rows that a series lacks"):
        Data(source="a.ts", fill="skip")
    with pytest.raises(UserError, match="column 'b': the value is missing"):
        read_series(written(tmp_path, ["1,2,3", "2,3,"]), "day", "skip")
    with pytest.raises(UserError, match=r"is missing\. The run was trained without"):
        read_series(tmp_path / "series.csv", "day", "skip", ("a", "b"))


@pytest.mark.parametrize(
    ("times", "after"),
    [
        (["1700", "1701", "1702"], ["1703", "1704"]),
        (["0.5", "1", "1.5"], ["2", "2.5"]),
        (["2024-11-01", "2024-12-01"], ["2025-01-01", "2025-02-01"]),
        (["20240228", "20240229"], ["20240301", "20240302"]),
        (["20241301", "20241302"], ["20241303", "20241304"]),
        (["202410", "202411"], ["202412", "202501"]),
        (["202412", "202413"], ["202414", "202415"]),
        (["100011", "100012"], ["100013", "100014"]),
        (["2024022822", "2024022823"], ["2024022900", "2024022901"]),
        (["202402282358", "202402282359"], ["202402290000", "202402290001"]),
        (["2024-02-28T23:00+02:00", "2024-02-29T00:00+02:00"], ["2024-02-29T01:00+02:00", "2024-02-29T02:00+02:00"]),
        (["2024-02", "2024-03"], ["2024-04", "2024-05"]),
        (["2024-02-27", "2024-02-28"], ["2024-02-29", "2024-03-01"]),
        (["2024-02-28T23", "2024-02-29T00"], ["2024-02-29T01", "2024-02-29T02"]),
        (["2024-02-28 00:00Z", "2024-02-28 12:00Z"], ["2024-02-29 00:00Z", "2024-02-29 12:00Z"]),
        (["1", "2", "4"], ["+1", "+2"]),
    ],
)
def test_times_go_on(times, after):
    assert times_after(times, 2) == after


def test_dates_are_compared_as_dates(tmp_path):
    rows = [f"{date},1,2" for date in ("2024-09-30", "2024-10-01", "2024-10-02")]
    assert read_series(written(tmp_path, rows), "day", "").times[-1] == "2024-10-02"


def test_sunspots_are_those_of_the_observatory():
    dataset = load(Data(source="sunspots", window=22, horizon=11), "forecast")
    first = take(dataset.x, np.array([0]))[0, :, 0]
    assert first[:3].tolist() == [5, 11, 16]
    assert len(dataset.x.values) == 309


def test_a_ball_falls_and_bounces():
    path = flight(np.array([[0.0, 2.0]]), np.array([[1.0, 0.0]]), 2.0)[0]
    fall = np.sqrt(2 * 2.0 / GRAVITY)  # s until the floor
    t = 0.005 * np.arange(len(path))
    before = t < fall
    np.testing.assert_allclose(path[before, 1], 2 - GRAVITY * t[before] ** 2 / 2, atol=1e-9)
    np.testing.assert_allclose(path[:, 0], t, atol=1e-9)
    assert path[:, 1].min() > -0.001
    assert path[~before, 1].max() == pytest.approx(2 * 0.8**2, rel=0.03)  # height goes with the speed's square


def test_ball_examples_are_snapshots_with_noise():
    raw = read_ball()
    whole = raw.x.lengths == 10
    x, y = raw.x.x[whole], raw.y[whole].reshape(-1, 1 + len(AHEAD), 2)
    speed = (x[:, 1:, 0] - x[:, :-1, 0]) / BETWEEN  # constant but for noise
    assert (speed - speed.mean(1, keepdims=True)).std() == pytest.approx(NOISE * np.sqrt(2) / BETWEEN, rel=0.1)
    np.testing.assert_allclose(x[:, 0, 0] - BEFORE * speed.mean(1), y[:, 0, 0], atol=0.1)
    np.testing.assert_allclose(x[:, -1, 0] + AHEAD[-1] * speed.mean(1), y[:, -1, 0], atol=0.15)
    assert at(np.arange(10.0).reshape(1, 5, 2), np.array([[0.0, 0.01]])).tolist() == [[[0, 1], [4, 5]]]
