"""Sequences of different lengths: NPZ with lengths, gaps, cutting, and the mean over real steps alone."""

import numpy as np
import pytest

from purezoo.errors import UserError
from purezoo.train.data import Data, load, peek, read_inputs
from purezoo.train.data.examples import Ragged
from purezoo.train.data.ragged import cut, filled, joined

NAN = np.nan
LENGTHS = np.array([3, 1, 2, 4] * 6)
X = np.random.default_rng(0).normal(5, 2, (LENGTHS.sum(), 2)).astype(np.float32)
Y = np.arange(24) % 2


def written(folder, **arrays):
    path = folder / "ragged.npz"
    np.savez(path, **({"x": X, "lengths": LENGTHS, "y": Y} | arrays))
    return path


def test_sequences_come_back_as_they_were(tmp_path):
    data = Data(source=str(written(tmp_path)))
    dataset = load(data, "classification")
    assert dataset.info.ragged
    assert (dataset.info.shape, peek(data)) == ((4, 2), ((4, 2), 2))
    for row, own in enumerate(np.split(X, np.cumsum(LENGTHS)[:-1])):
        np.testing.assert_array_equal(dataset.x.x[row, : len(own)], own)
        assert not dataset.x.x[row, len(own) :].any()
    np.testing.assert_array_equal(dataset.x.lengths, LENGTHS)


def test_mean_and_deviation_are_of_the_real_steps_of_training_examples(tmp_path):
    dataset = load(Data(source=str(written(tmp_path))), "classification")
    parts = np.split(X, np.cumsum(LENGTHS)[:-1])
    steps = np.concatenate([parts[row] for row in dataset.splits["train"]])
    np.testing.assert_allclose(dataset.info.x_mean, steps.mean(0), rtol=1e-5)
    np.testing.assert_allclose(dataset.info.x_std, steps.std(0), rtol=1e-5)


def test_splits_of_their_own_and_one_dimension(tmp_path):
    parts = {
        f"{a}_{split}": v for split in ("train", "test") for a, v in (("x", X[:, 0]), ("lengths", LENGTHS), ("y", Y))
    }
    np.savez(tmp_path / "a.npz", **parts)
    dataset = load(Data(source=str(tmp_path / "a.npz"), validation=0), "classification")
    assert (dataset.info.counts, dataset.info.shape) == ({"train": 24, "test": 24}, (4, 1))


def test_sequences_of_one_length_are_an_array(tmp_path):
    path = written(tmp_path, lengths=np.full(30, 2), y=np.arange(30) % 2)
    dataset = load(Data(source=str(path)), "classification")
    assert (dataset.x.shape, dataset.info.ragged) == ((30, 2, 2), False)


def test_cut():
    x = joined([np.ones((n, 1)) for n in (1, 3, 4)], "x")
    shorter = cut(x, 2)
    assert (shorter.x.shape, shorter.lengths.tolist()) == ((3, 2, 1), [1, 2, 2])
    assert cut(x, 1).shape == (3, 1, 1)
    assert cut(x, 0) is x


def test_another_length_changes_the_record(tmp_path):
    whole, shorter = (load(Data(source=str(written(tmp_path)), steps=n), "classification") for n in (0, 3))
    assert whole.info.fingerprint != shorter.info.fingerprint
    assert (shorter.info.shape, shorter.info.steps) == ((3, 2), 3)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("previous", [[1, 10], [1, 10], [1, 30], [4, 30]]),
        ("linear", [[1, 10], [2, 20], [3, 30], [4, 30]]),
        ("zero", [[1, 0], [0, 0], [0, 30], [4, 0]]),
    ],
)
def test_gaps_are_filled_by_a_rule(rule, expected):
    series = np.array([[1, NAN], [NAN, NAN], [NAN, 30], [4, NAN]])
    if rule != "zero":
        series[0, 1] = 10
    np.testing.assert_allclose(filled(series, rule, "x"), expected)


def test_a_gap_at_the_start_holds_the_first_value():
    np.testing.assert_array_equal(filled(np.array([[NAN], [NAN], [2.0]]), "previous", "x"), [[2], [2], [2]])


@pytest.mark.parametrize(
    ("rule", "said"), [("", "step 0 .* is missing in column 1"), ("linear", "column 1 holds no value")]
)
def test_gaps_that_stay(rule, said):
    with pytest.raises(UserError, match=said):
        filled(np.array([[1, NAN], [2, NAN]]), rule, "x")


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"lengths": LENGTHS + 1}, "add up to 84, and it holds 60 steps"),
        ({"lengths": LENGTHS - 1}, "whole numbers of at least 1"),
        ({"lengths": LENGTHS * 1.0}, "are float64: they must be integers"),
        ({"x": X[:, None]}, r"has the shape \[60, 1, 2\]; with lengths it is"),
        ({"x": np.where(X > 8, NAN, X)}, "holds nan in row"),
        ({"y": Y[:-1]}, "for 24 examples"),
    ],
)
def test_files_that_do_not_do(tmp_path, arrays, said):
    with pytest.raises(UserError, match=said):
        load(Data(source=str(written(tmp_path, **arrays))), "classification")


@pytest.mark.parametrize(("steps", "said"), [(3, "shortest has 3 steps"), (7, "longest has 7 steps")])
def test_a_run_of_one_length_takes_no_other(tmp_path, steps, said):
    path = written(tmp_path, lengths=np.full(12, 5), y=np.arange(12) % 2)
    info = load(Data(source=str(path)), "classification").info
    np.savez(tmp_path / "other.npz", x=np.ones((2, steps, 2)))
    with pytest.raises(UserError, match=f"{said}, and the model was trained on sequences of 5 steps alone"):
        read_inputs(tmp_path / "other.npz", info)


def test_steps_are_for_sequences():
    with pytest.raises(UserError, match=r"--data\.steps is for sequences"):
        load(Data(source="iris", steps=2), "classification")


def test_inputs_for_prediction(tmp_path):
    info = load(Data(source=str(written(tmp_path))), "classification").info
    inputs = read_inputs(tmp_path / "ragged.npz", info)
    assert isinstance(inputs.x, Ragged)
    assert (len(inputs.names), inputs.x.lengths.tolist()) == (24, LENGTHS.tolist())
    np.savez(tmp_path / "one.npz", x=np.ones((3, 9, 2)))
    assert read_inputs(tmp_path / "one.npz", info).x.lengths.tolist() == [9, 9, 9]
    np.savez(tmp_path / "other.npz", x=np.ones((3, 9, 5)))
    with pytest.raises(UserError, match="has 5 numbers a step, and the model takes 2"):
        read_inputs(tmp_path / "other.npz", info)
