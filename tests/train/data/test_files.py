"""CSV, NPZ and IDX files: what is read from good ones, and what is said about bad ones."""

import gzip
import io
import re
import zipfile

import numpy as np
import pytest

from purezoo.errors import UserError
from purezoo.train.data import Data, load, peek

ROWS = [f"{i / 4},{i % 7},{'yes' if i % 3 else 'no'}" for i in range(30)]
CSV = "\n".join(["length,width,ripe", *ROWS])


def csv_file(tmp_path, text, name="fruit.csv"):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)


def npz_file(tmp_path, name="data.npz", **arrays):
    np.savez(tmp_path / name, **arrays)
    return str(tmp_path / name)


@pytest.mark.parametrize(
    "text",
    [CSV, CSV + "\n\n", CSV.replace("\n", "\r\n"), "\ufeff" + CSV, CSV.replace(",", ";"), CSV.replace(",", "\t"),
     "\n".join('"' + line.replace(",", '","') + '"' for line in CSV.split("\n"))],
    ids=["plain", "blank end", "crlf", "bom", "semicolons", "tabs", "quoted"],
)  # fmt: skip
def test_csv_in_its_many_spellings(tmp_path, text):
    data = Data(csv_file(tmp_path, text), target="ripe")
    dataset = load(data, "classification")
    assert dataset.info.features == ("length", "width")
    assert dataset.info.classes == ("no", "yes")
    np.testing.assert_array_equal(dataset.x, [[i / 4, i % 7] for i in range(30)])
    np.testing.assert_array_equal(dataset.y, [int(i % 3 > 0) for i in range(30)])
    assert dataset.info.counts == {"train": 21, "validation": 3, "test": 6}
    assert peek(data, "classification") == ((2,), 2)


def test_csv_targets_that_are_numbers(tmp_path):
    path = csv_file(tmp_path, "a,b\n" + "\n".join(f"{i},{(9, 10, 100)[i % 3]}" for i in range(30)))
    classes = load(Data(path, target="b"), "classification")
    assert classes.info.classes == ("9", "10", "100")  # in numerical order
    np.testing.assert_array_equal(classes.y, [i % 3 for i in range(30)])
    quantity = load(Data(path, target="b"), "regression")
    np.testing.assert_array_equal(quantity.y[:4], [[9], [10], [100], [9]])
    assert quantity.info.targets == ("b",)
    assert peek(Data(path, target="b"), "regression") == ((1,), 1)


def test_csv_classes_that_begin_with_a_zero_are_names(tmp_path):
    codes = ["01", "1", "10001", "02134"]
    path = csv_file(tmp_path, "size,code\n" + "".join(f"{i},{code}\n" for code in codes for i in range(4)))
    data = load(Data(path, target="code"), "classification")
    assert data.info.classes == tuple(sorted(codes))
    assert peek(Data(path, target="code")) == ((1,), 4)
    assert load(Data(path, target="code"), "regression").y.max() == 10001
    with pytest.raises(UserError, match="has a header and no rows"):
        peek(Data(csv_file(tmp_path, "size,code\n"), target="code"))


def test_npz_without_splits_grey_images_and_gaps_between_labels(tmp_path):
    x = np.random.default_rng(0).integers(0, 256, (20, 5, 4), dtype=np.uint8)
    data = Data(npz_file(tmp_path, x=x, y=np.arange(20) % 2 * 7), validation=0.0)
    dataset = load(data, "classification")
    assert dataset.x.dtype == np.uint8
    np.testing.assert_array_equal(dataset.x[..., 0], x)
    assert dataset.info.classes == ("0", "7")
    assert dataset.info.pixel_max == 255
    assert set(dataset.splits) == {"train", "test"}
    assert peek(data) == ((5, 4, 1), 2)


def test_npz_keeps_its_own_splits_and_several_targets(tmp_path):
    x, y = np.arange(24, dtype=np.float64).reshape(12, 2), np.arange(36).reshape(12, 3)
    parts = {"train": slice(0, 6), "validation": slice(6, 8), "test": slice(8, 12)}
    data = Data(npz_file(tmp_path, **{f"{k}_{s}": a[p] for s, p in parts.items() for k, a in (("x", x), ("y", y))}))
    dataset = load(data, "regression")
    assert {name: rows.tolist() for name, rows in dataset.splits.items()} == {
        name: list(range(12))[part] for name, part in parts.items()
    }
    np.testing.assert_array_equal(dataset.y, y)
    assert dataset.info.features == ("x0", "x1")
    assert dataset.info.targets == ("y0", "y1", "y2")
    assert peek(data, "regression") == ((2,), 3)


def test_npz_float_images_know_their_white(tmp_path):
    images = np.random.default_rng(0).random((10, 3, 3, 3))
    for white in (1, 255):
        path = npz_file(tmp_path, x=images * white, y=np.arange(10) % 2)
        assert load(Data(path), "classification").info.pixel_max == white


def idx_bytes(a, magic=None):
    return bytes(magic or (0, 0, 8, a.ndim)) + np.array(a.shape, ">u4").tobytes() + a.tobytes()


NAMES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


def idx_arrays():
    rng = np.random.default_rng(0)
    arrays = [rng.integers(0, 256, (n, 5, 4), dtype=np.uint8) for n in (20, 6)]
    return arrays[0], np.arange(20, dtype=np.uint8) % 3 + 1, arrays[1], np.arange(6, dtype=np.uint8) % 3 + 1


def idx_folder(tmp_path, rename=lambda name: name, zipped=False):
    for name, a in zip(NAMES, idx_arrays(), strict=True):
        content = idx_bytes(a)
        (tmp_path / (rename(name) + ".gz" * zipped)).write_bytes(gzip.compress(content) if zipped else content)
    return str(tmp_path)


@pytest.mark.parametrize("source", ["idx", "mnist"])
@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("rename", [str, lambda name: name.replace("-idx", ".idx")], ids=["hyphen", "dot"])
def test_idx_files_in_their_usual_spellings(tmp_path, source, zipped, rename):
    data = Data(source, dir=idx_folder(tmp_path, rename, zipped))
    dataset = load(data, "classification")
    train_x, _, test_x, test_y = idx_arrays()
    np.testing.assert_array_equal(dataset.x[..., 0], np.concatenate([train_x, test_x]))
    np.testing.assert_array_equal(dataset.y[dataset.splits["test"]], test_y - 1)  # classes are numbered anew
    assert dataset.info.classes == ("1", "2", "3")
    assert dataset.info.counts == {"train": 18, "validation": 2, "test": 6}
    assert peek(data) == (((5, 4, 1), 3) if source == "idx" else ((28, 28, 1), 10))


BAD_CSV = {
    "no target": (CSV, "", "classification", "--data.target: length, width, ripe"),
    "wrong target": (CSV, "rip", "classification", "no column 'rip'. Did you mean 'ripe'?"),
    "ragged": (
        CSV.replace("0.5,2,yes", "0.5,2"),
        "ripe",
        "classification",
        "Line 4 of .* has 2 cells, and the header has 3",
    ),
    "text feature": (CSV.replace("0.5,2", "soft,2"), "ripe", "classification", "Line 4 of .*, column 'length': 'soft'"),
    "empty cell": (CSV.replace("0.5,2", "0.5,"), "ripe", "classification", "Line 4 of .*, column 'width': .*empty"),
    "nan": (CSV.replace("0.5,2", "0.5,nan"), "ripe", "classification", "Line 4 of .*, column 'width'.*nan"),
    "inf": (CSV.replace("0.5,2", "inf,2"), "ripe", "classification", "Line 4 of .*, column 'length'.*inf"),
    "too large": (CSV.replace("0.5,2", "1e99,2"), "ripe", "classification", "Line 4 of .*, column 'length'.*too large"),
    "empty target": (CSV.replace("0.5,2,yes", "0.5,2,"), "ripe", "classification", "Line 4 of .* target column 'ripe'"),
    "twice": (CSV.replace("width", "length"), "ripe", "classification", "'length' twice"),
    "nameless": (CSV.replace("length", ""), "ripe", "classification", "Column 1 of"),
    "no header": ("\n".join(["1,2,3"] * 9), "2", "classification", "header"),
    "empty file": ("", "ripe", "classification", "empty"),
    "header only": ("length,width,ripe\n", "ripe", "classification", "no rows"),
    "target only": ("ripe\nyes\nno\n", "ripe", "classification", "no column beside"),
    "open quote": (CSV.replace("0.5,2", '"0.5,2'), "ripe", "classification", "not CSV"),
    "binary": (b"\xff\xfe\x00" + CSV.encode(), "ripe", "classification", "UTF-8"),
    "text for regression": (CSV, "ripe", "regression", "'ripe' of .* text.*'no' in row 0"),
    "real numbers for classes": ("a,b\n" + "1,0.5\n2,1.5\n" * 6, "b", "classification", "real numbers"),
    "underscores": (CSV.replace("0.5,2", "0.5,1_0"), "ripe", "classification", "column 'width': '1_0' is no number"),
    "one class": (CSV.replace("no", "yes"), "ripe", "classification", "1 class"),
    "one of a class": (CSV + "\n1,1,rotten", "ripe", "classification", "single example of the class 'rotten'"),
}


@pytest.mark.parametrize("case", BAD_CSV)
def test_bad_csv_names_the_culprit(tmp_path, case):
    text, target, kind, message = BAD_CSV[case]
    path = csv_file(tmp_path, text)
    with pytest.raises(UserError, match=message) as error:
        load(Data(path, target=target), kind)
    assert path in str(error.value)


X, Y = np.ones((12, 3), np.float32), np.arange(12) % 2
BAD_NPZ = {
    "objects": ({"x": X, "y": np.array([{}] * 12)}, "'y' of .* Python objects"),
    "missing y": ({"x": X}, "holds the arrays x; needed are x and y"),
    "half a split": ({"x_train": X, "y_train": Y, "x_test": X}, "x_train, y_train, x_test; needed"),
    "lengths": ({"x": X, "y": Y[:-1]}, r"'y' of .*\[11\], for 12 examples"),
    "nan in x": (
        {"x": np.where(np.arange(36).reshape(12, 3) == 7, np.nan, X), "y": Y},
        r"'x' of .*nan in row 2, at \[1\]",
    ),
    "inf from float64": ({"x": X.astype(float) * 1e300, "y": Y}, "'x' of .*inf in row 0"),
    "nan in y": ({"x": X, "y": np.where(Y == 1, np.nan, 0.5)}, "'y' of .*nan in row 1"),
    "empty": ({"x": X[:0], "y": Y[:0]}, "'x' of .*shape"),
    "scalar": ({"x": X, "y": np.array(3)}, "'y' of .*shape"),
    "x is a vector": ({"x": X[:, 0], "y": Y}, "'x' of .*shape"),
    "x is text": ({"x": X.astype(str), "y": Y}, "'x' of .*numbers"),
    "x is complex": ({"x": X + 1j, "y": Y}, "'x' of .*complex"),
    "real labels": ({"x": X, "y": Y + 0.5}, "real numbers as targets"),
    "negative labels": ({"x": X, "y": Y - 1}, "'y' of .*label -1"),
    "one-hot": ({"x": X, "y": np.eye(12)}, "argmax"),
    "unseen in training": ({"x_train": X, "y_train": Y, "x_test": X, "y_test": Y + 4}, "label 4 in row 12"),
    "shapes differ": ({"x_train": X, "y_train": Y, "x_test": X[:, :2], "y_test": Y}, r"x_test \[12, 2\]"),
}


@pytest.mark.parametrize("case", BAD_NPZ)
def test_bad_npz_names_the_culprit(tmp_path, case):
    arrays, message = BAD_NPZ[case]
    path = npz_file(tmp_path, **arrays)
    with pytest.raises(UserError, match=message) as error:
        load(Data(path), "classification")
    assert path in str(error.value)


def test_files_that_are_no_npz_or_damaged_or_absent(tmp_path):
    good = (tmp_path / "good.npz", tmp_path / "bad.npz")
    np.savez(good[0], x=X, y=Y)
    with zipfile.ZipFile(good[1], "w") as archive:  # its headers are not even Python
        for name in ("x.npy", "y.npy"):
            archive.writestr(name, b"\x93NUMPY\x01\x00\x10\x00{'descr': (((((\n")
    with pytest.raises(UserError, match=re.escape(str(good[1]))):
        load(Data(str(good[1])), "classification")
    content = good[0].read_bytes()
    place = content.index(X.tobytes()) + 5
    damaged = content[:place] + b"\xaa" + content[place + 1 :]
    for bad in (b"", b"text", content[:300], content[: len(content) // 2], damaged):
        good[1].write_bytes(bad)
        with pytest.raises(UserError, match=re.escape(str(good[1]))):
            load(Data(str(good[1])), "classification")
    for name in ("absent.npz", "absent.csv"):
        with pytest.raises(UserError, match=name):
            load(Data(str(tmp_path / name), target="y" * name.endswith("csv")), "classification")


def test_an_npz_that_promises_more_than_the_memory_is_refused_before_it_is_read(tmp_path):
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (2**40, 4096)})
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w") as archive:
        for name in ("x.npy", "y.npy"):
            archive.writestr(name, header.getvalue())
    with pytest.raises(UserError, match="GiB"):
        load(Data(str(tmp_path / "bomb.npz")), "classification")


def test_bad_idx_files_are_named(tmp_path):
    folder = idx_folder(tmp_path)
    images, labels = tmp_path / NAMES[0], tmp_path / NAMES[1]
    x, y, *_ = idx_arrays()
    for path, bad, message in (
        (images, idx_bytes(x)[:-1], "only 399"),
        (images, idx_bytes(x) + b"0", "there are more"),
        (images, idx_bytes(x, magic=(0, 0, 13, 3)), "begins with 00 00 0d 03"),
        (images, b"", "not an IDX file"),
        (images, idx_bytes(x[:-1]), "19 images.*20"),
        (images, idx_bytes(x[:, :4]), "test images of"),
        (images, bytes((0, 0, 8, 3)) + b"\xff" * 12, "GiB"),
        (labels, idx_bytes(np.zeros_like(y)), "1 class"),
    ):
        kept = path.read_bytes()
        path.write_bytes(bad)
        with pytest.raises(UserError, match=message) as error:
            load(Data("idx", dir=folder), "classification")
        assert str(tmp_path) in str(error.value) or path == labels
        path.write_bytes(kept)
    images.rename(tmp_path / "elsewhere")
    with pytest.raises(UserError, match=f"not {NAMES[0]}"):
        load(Data("idx", dir=folder), "classification")
    (tmp_path / f"{NAMES[0]}.gz").write_bytes(gzip.compress(idx_bytes(x))[:-30])
    with pytest.raises(UserError, match="cannot be read"):
        load(Data("idx", dir=folder), "classification")
    (tmp_path / f"{NAMES[0]}.gz").write_bytes(b"not zipped")
    for read in (load, peek):
        with pytest.raises(UserError, match="cannot be read"):
            read(Data("idx", dir=folder), "classification")
    with pytest.raises(UserError, match="no IDX files"):
        load(Data("idx", dir=str(tmp_path / "absent")), "classification")
    with pytest.raises(UserError, match="class labels"):
        load(Data("idx", dir=idx_folder(tmp_path)), "regression")
