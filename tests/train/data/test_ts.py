"""Files in the .ts format of the time series archives."""

import numpy as np
import pytest

from purezoo.errors import UserError
from purezoo.train.data import Data, load, peek, read_inputs
from purezoo.train.data.examples import Ragged

HEADER = "#about\n@problemName Toy\n@timeStamps false\n@univariate false\n@classLabel true a b\n@data\n"
LINES = ["1,2,3:4,5,6:a", "7,8:9,10:b"] * 6


def written(folder, lines=LINES, header=HEADER, name="Toy_TRAIN.ts"):
    path = folder / name
    path.write_text(header + "\n".join(lines) + "\n")
    return path


def test_dimensions_steps_and_labels(tmp_path):
    path = written(tmp_path)
    dataset = load(Data(source=str(path)), "classification")
    assert isinstance(dataset.x, Ragged)
    np.testing.assert_array_equal(dataset.x.x[0], [[1, 4], [2, 5], [3, 6]])
    np.testing.assert_array_equal(dataset.x.x[1], [[7, 9], [8, 10], [0, 0]])
    assert dataset.x.lengths.tolist() == [3, 2] * 6
    assert (dataset.y.tolist(), dataset.info.classes) == ([0, 1] * 6, ("a", "b"))
    assert peek(Data(source=str(path))) == ((3, 2), 2)


@pytest.mark.parametrize("named", ["Toy_TRAIN.ts", "Toy_TEST.ts", "toy_train.ts", "toy_test.ts"])
def test_the_archives_pair_gives_the_test(tmp_path, named):
    train, test = ("Toy_TRAIN.ts", "Toy_TEST.ts") if named[0] == "T" else ("toy_train.ts", "toy_test.ts")
    written(tmp_path, name=train)
    written(tmp_path, LINES[:2], name=test)
    dataset = load(Data(source=str(tmp_path / named), validation=0), "classification")
    assert dataset.info.counts == {"train": 12, "test": 2}
    assert dataset.splits["test"].tolist() == [12, 13]


def test_the_test_may_name_the_classes_in_another_order(tmp_path):
    written(tmp_path, name="Toy_TRAIN.ts")
    written(tmp_path, LINES[:2], HEADER.replace("true a b", "true b a"), name="Toy_TEST.ts")
    dataset = load(Data(source=str(tmp_path / "Toy_TRAIN.ts"), validation=0), "classification")
    assert (dataset.info.classes, dataset.y[12:].tolist()) == (("a", "b"), dataset.y[:2].tolist())


def test_gaps(tmp_path):
    path = written(tmp_path, ["1,?,3:a", "4,5,6:b"] * 6)
    with pytest.raises(UserError, match=r"Line 7 of .*: the value of step 1 .* is missing"):
        load(Data(source=str(path)), "classification")
    info = load(Data(source=str(written(tmp_path))), "classification").info
    with pytest.raises(UserError, match=r"step 1 .* is missing .* trained without a rule"):
        read_inputs(written(tmp_path, ["1,?,3:4,5,6:a"], name="gap.ts"), info)
    path = written(tmp_path, ["1,?,3:a", "4,5,6:b"] * 6)
    assert load(Data(source=str(path), fill="linear"), "classification").x[0].tolist() == [[1], [2], [3]]


@pytest.mark.parametrize(
    ("lines", "header", "said"),
    [
        ([*LINES, "1,2:3:a"], HEADER, "Line 19 of .* has dimensions of 2, 1 steps"),
        ([*LINES, "1,2:a"], HEADER, "Line 19 of .* has 1 dimensions, and the first example 2"),
        ([*LINES, "1,x:2,3:a"], HEADER, "Line 19 of .*could not convert"),
        ([*LINES, "1:2:c"], HEADER, "the class 'c', which @classLabel lacks"),
        ([*LINES, "a"], HEADER, "Line 19 of .* has a class and no values"),
        ([*LINES, "1,2:3,1e39:a"], HEADER, "Line 19 of .*: 1e.39 is infinite, or too large for float32"),
        (LINES, HEADER.replace("@classLabel true a b", "@classLabel"), "@classLabel that says neither true nor false"),
        (LINES, HEADER.replace("@classLabel true a b", "@targetLabel"), "@targetLabel that says neither"),
        ([], HEADER, "holds no example"),
        (LINES[:1] * 12, HEADER, "has training examples of 1 class; at least 2 are needed"),
        (LINES, "", "no line @data"),
        (LINES, HEADER.replace("timeStamps false", "timeStamps true"), "time stamps"),
        (LINES, HEADER.replace("@classLabel true a b", "@targetLabel true"), "numbers to predict"),
        (["1,2:3,4"], HEADER.replace("@classLabel true a b", "@classLabel false"), "have no class labels"),
    ],
)
def test_files_that_do_not_do(tmp_path, lines, header, said):
    with pytest.raises(UserError, match=said):
        load(Data(source=str(written(tmp_path, lines, header))), "classification")


def test_fill_is_for_series():
    with pytest.raises(UserError, match=r"--data\.fill is for"):
        Data(source="digits", fill="zero")
