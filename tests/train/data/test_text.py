"""Texts in windows: every token but the first is predicted once, in one split, and none is invented."""

import numpy as np
import pytest

from purezoo.errors import UserError
from purezoo.train.data import Data, load, peek
from purezoo.train.data.examples import take
from purezoo.train.data.text import NOTHING, UNKNOWN, encode

TEXT = "".join(f"{i} is {'odd' if i % 2 else 'even'}.\n" for i in range(40)) + "Ωmega, and zebras"


def written(folder, content: str | bytes, name: str = "a.txt"):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def language(path, **settings):
    return load(Data(source=str(path), **({"window": 16} | settings)), "language")


def decoded(dataset, tokens) -> str:
    return "".join(dataset.info.classes[i] for i in np.ravel(tokens) if i != NOTHING)


@pytest.mark.parametrize("window", [1, 7, 16])
def test_each_token_but_the_first_is_predicted_once(tmp_path, window):
    dataset = language(written(tmp_path, TEXT), window=window)
    rows = np.concatenate([dataset.splits[name] for name in ("train", "validation", "test")])
    known = set(dataset.info.classes)
    expected = "".join(c if c in known else UNKNOWN for c in TEXT)
    assert decoded(dataset, take(dataset.y, rows)) == expected[1:]
    x, y = take(dataset.x, rows), take(dataset.y, rows)
    assert decoded(dataset, x)[: len(TEXT) - 1] == expected[:-1]
    np.testing.assert_array_equal(x[:, 1:][y[:, 1:] != NOTHING], y[:, :-1][y[:, 1:] != NOTHING])
    assert sorted(rows) == list(range(len(dataset.x)))


def test_splits_follow_one_another(tmp_path):
    dataset = language(written(tmp_path, "ab" * 800), test=0.1, validation=0.05)
    assert dataset.info.counts == {"train": 85, "validation": 5, "test": 10}
    assert dataset.splits["train"].max() < dataset.splits["validation"].min()
    assert dataset.splits["validation"].max() < dataset.splits["test"].min()
    assert set(language(written(tmp_path, "ab" * 800), validation=0).splits) == {"train", "test"}


def test_characters_are_those_of_the_training_part(tmp_path):
    dataset = language(written(tmp_path, TEXT))
    assert "Ω" not in dataset.info.classes
    assert dataset.info.classes[-1] == UNKNOWN
    assert list(dataset.info.classes[:-1]) == sorted(dataset.info.classes[:-1])
    assert UNKNOWN in decoded(dataset, take(dataset.y, dataset.splits["test"]))


def test_bytes_read_any_file(tmp_path):
    content = bytes(range(256)) * 8
    dataset = language(f"text:{written(tmp_path, content, 'a.bin')}", tokens="bytes")
    y = take(dataset.y, np.arange(len(dataset.y))).ravel()
    assert bytes(y[y != NOTHING].astype(np.uint8)) == content[1:]
    assert len(dataset.info.classes) == 256


def test_the_unknown_character_of_a_text_is_the_unknown_one():
    names = ("a", "c", UNKNOWN)
    np.testing.assert_array_equal(encode(np.array([97, 98, 99, 0xFFFD, 0x1F600]), names, "characters"), [0, 2, 1, 2, 2])


def test_peek(tmp_path):
    path = written(tmp_path, "abcab" * 40)
    assert peek(Data(source=str(path), window=9), "language") == ((9,), 4)
    assert peek(Data(source=f"text:{path}", tokens="bytes"), "language") == ((128,), 256)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "has 0 characters, too few for .* a longer text"),
        ("a", "has 1 characters, too few for .* a longer text"),
        ("ab" * 10, "has 20 characters, which are too few for windows of 16"),
        ("a" * 400, "repeats a single token"),
        (b"\xff\xfeabc" * 99, "--data.tokens bytes reads any file"),
    ],
)
def test_texts_that_do_not_do(tmp_path, content, said):
    path = written(tmp_path, content)
    with pytest.raises(UserError, match=said):
        language(path, window=16)


def test_a_text_needs_a_language_task_and_the_other_way_round(tmp_path):
    with pytest.raises(UserError, match="use a language task"):
        load(Data(source=str(written(tmp_path, TEXT))), "classification")
    with pytest.raises(UserError, match="a language task needs one"):
        load(Data(source="digits"), "language")
    with pytest.raises(UserError, match="cannot be read: No such file"):
        language(tmp_path / "none.txt")
    with pytest.raises(UserError, match="not for texts"):
        Data(source="a.txt", examples=10)
