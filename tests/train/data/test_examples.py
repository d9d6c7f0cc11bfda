"""What examples are kept in: arrays, sequences of different lengths, and windows of one long array."""

import jax
import numpy as np
import pytest

import purezoo.train.feed  # noqa: F401  makes Windows known to jax
from purezoo.train.data.examples import Ragged, Windows, number_of, shape_of, take

LONG = np.arange(10)


@pytest.mark.parametrize(("length", "stride", "count"), [(3, 3, 3), (3, 1, 8), (10, 4, 1), (4, 3, 3)])
def test_windows(length, stride, count):
    windows = Windows(LONG, length, stride)
    rows = np.arange(count)
    cut = [LONG[i * stride : i * stride + length] for i in rows]
    assert (number_of(windows), shape_of(windows)) == (count, (length,))
    np.testing.assert_array_equal(take(windows, rows), cut)
    np.testing.assert_array_equal(jax.jit(take)(windows, rows), cut)


def test_padded_keep_their_lengths():
    padded = Ragged(np.arange(12).reshape(3, 2, 2), np.array([2, 1, 2]))
    for function in (take, jax.jit(take)):
        taken = function(padded, np.array([1, 0]))
        np.testing.assert_array_equal(taken.x, padded.x[[1, 0]])
        np.testing.assert_array_equal(taken.lengths, [1, 2])
    assert (number_of(padded), shape_of(padded)) == (3, (2, 2))


def test_an_array_is_taken_as_it_is():
    images = np.arange(24).reshape(2, 3, 4)
    np.testing.assert_array_equal(take(images, np.array([1])), images[1:])
    assert (number_of(images), shape_of(images)) == (2, (3, 4))
