import math

import numpy as np
import pytest

from purezoo.errors import UserError
from purezoo.train.data.split import make_splits

LABELS = np.repeat(np.arange(4), (503, 200, 40, 7))
N = len(LABELS)


@pytest.mark.parametrize("labels", [LABELS, None], ids=["stratified", "plain"])
@pytest.mark.parametrize(("test", "validation"), [(0.2, 0.1), (0.333, 0.0), (0.02, 0.5), (0.9, 0.5)])
def test_splits_are_disjoint_complete_sorted_and_of_the_promised_size(labels, test, validation):
    splits = make_splits({"train": N}, labels, test, validation, seed=0)
    assert np.array_equal(np.sort(np.concatenate(list(splits.values()))), np.arange(N))
    assert len(splits["test"]) == math.ceil(test * N)
    assert len(splits.get("validation", [])) == math.ceil(validation * (N - len(splits["test"])))
    assert ("validation" in splits) == (validation > 0)
    assert all(rows.dtype == np.int32 and np.all(np.diff(rows) > 0) for rows in splits.values())


@pytest.mark.parametrize("seed", range(5))
def test_stratified_splits_keep_the_proportions_to_within_one_example(seed):
    splits = make_splits({"train": N}, LABELS, 0.2, 0.1, seed)
    counts = np.bincount(LABELS)
    for rows in splits.values():
        assert np.all(np.abs(np.bincount(LABELS[rows], minlength=4) - counts * len(rows) / N) <= 1.5)


def test_the_smallest_class_never_leaves_training():
    labels = np.repeat([0, 1, 2], (96, 2, 2))
    for seed in range(20):
        splits = make_splits({"train": 100}, labels, 0.5, 0.5, seed)
        assert set(labels[splits["train"]]) == {0, 1, 2}


def test_splits_follow_their_seed_and_every_row_is_drawn_sometimes():
    draw = lambda seed: make_splits({"train": N}, LABELS, 0.2, 0.1, seed)["test"]  # noqa: E731
    assert np.array_equal(draw(1), draw(1))
    assert not np.array_equal(draw(1), draw(2))
    often = np.bincount(np.concatenate([draw(seed) for seed in range(200)]), minlength=N)
    assert often.min() > 5  # of 40 expected
    assert often.max() < 90


def test_the_test_split_does_not_depend_on_the_validation_fraction():
    tests = [make_splits({"train": N}, LABELS, 0.2, validation, 3)["test"] for validation in (0.0, 0.1, 0.3)]
    assert np.array_equal(tests[0], tests[1])
    assert np.array_equal(tests[0], tests[2])


def test_the_sources_own_splits_are_kept():
    splits = make_splits({"train": 700, "test": N - 700}, LABELS, 0.2, 0.1, 0)
    assert np.array_equal(splits["test"], np.arange(700, N))
    assert len(splits["validation"]) == 70
    assert splits["train"].max() < 700
    own = make_splits({"train": 600, "validation": 100, "test": N - 700}, LABELS, 0.2, 0.1, 0)
    assert np.array_equal(own["train"], np.arange(600))
    assert np.array_equal(own["validation"], np.arange(600, 700))


def test_too_few_examples_are_refused():
    with pytest.raises(UserError, match="train split is empty: 2 examples"):
        make_splits({"train": 2}, None, 0.5, 0.5, 0)
    with pytest.raises(UserError, match="one of each class"):
        make_splits({"train": 4}, np.array([0, 0, 1, 1]), 0.7, 0.0, 0)
