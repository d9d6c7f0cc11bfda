"""Training on part of a source: some of its classes, few of its examples."""

import numpy as np
import pytest

from purezoo.errors import UserError
from purezoo.train.data import Data, load, peek


def test_classes_are_kept_in_the_order_that_is_asked_for():
    whole = load(Data("digits"), "classification")
    part = load(Data("digits", classes=("7", "1", "4")), "classification")
    assert part.info.classes == ("7", "1", "4")
    chosen = np.isin(whole.y, (7, 1, 4))
    np.testing.assert_array_equal(part.x, whole.x[chosen])
    np.testing.assert_array_equal(np.array([7, 1, 4])[part.y], whole.y[chosen])
    assert peek(Data("digits", classes=("7", "1", "4"))) == ((8, 8, 1), 3)


def test_names_of_classes_are_checked_before_pictures_are_decoded(tmp_path):
    for name in ("cat", "dog", "emu"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "broken.png").write_bytes(b"no picture")
    with pytest.raises(UserError, match=r"has no class 'dgo'\. Did you mean 'dog'"):
        load(Data(f"folder:{tmp_path}", size=8, classes=("cat", "dgo")), "classification")


@pytest.mark.parametrize("own_test", [True, False])
def test_few_examples_keep_every_class_and_leave_the_other_splits_alone(own_test, tmp_path):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(300, 4)).astype(np.float32), np.repeat([0, 1, 2], (200, 90, 10))
    arrays = {"x_train": x, "y_train": y, "x_test": x[::3] + 1, "y_test": y[::3]} if own_test else {"x": x, "y": y}
    np.savez(tmp_path / "a.npz", **arrays)
    data = Data(str(tmp_path / "a.npz"), examples=30, validation=0.1, test=0.2)
    whole, part = load(Data(data.source), "classification"), load(data, "classification")
    for name in ("validation", "test"):
        np.testing.assert_array_equal(part.x[part.splits[name]], whole.x[whole.splits[name]])
        np.testing.assert_array_equal(part.y[part.splits[name]], whole.y[whole.splits[name]])
    rows = part.splits["train"]
    kept = np.bincount(part.y[rows])
    assert kept.sum() == 30
    np.testing.assert_allclose(kept, [20, 9, 1], atol=1)
    assert kept.min() >= 1
    first = whole.splits["train"]
    known = {(*x, y) for x, y in zip(whole.x[first].tolist(), whole.y[first].tolist(), strict=True)}
    assert known.issuperset((*x, y) for x, y in zip(part.x[rows].tolist(), part.y[rows].tolist(), strict=True))
    resumed = load(data, "classification", part.splits)
    np.testing.assert_array_equal(resumed.x, part.x)
    again, other = load(data, "classification"), load(Data(data.source, examples=30, split_seed=1), "classification")
    np.testing.assert_array_equal(part.x, again.x)
    assert not np.array_equal(part.x, other.x)


def test_quantities_can_be_few_too():
    assert load(Data("diabetes", examples=50), "regression").info.counts["train"] == 50


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"classes": ("1", "eleven")}, "no class 'eleven'"),
        ({"classes": ("1",)}, "at least 2 different classes"),
        ({"classes": ("1", "1")}, "at least 2 different classes"),
        ({"examples": 2000}, "1,293 examples to train on"),
        ({"examples": 9}, "one for each of 10 classes"),
        ({"examples": -1}, "a number of training examples"),
        ({"source": "tfds:made", "stream": "yes", "examples": 3}, "in memory"),
    ],
)
def test_what_there_is_not_is_refused(change, message):
    with pytest.raises(UserError, match=message):
        load(Data(**{"source": "digits", **change}), "classification")


def test_classes_need_classes():
    with pytest.raises(UserError, match="one class each"):
        load(Data("diabetes", classes=("a", "b")), "regression")
