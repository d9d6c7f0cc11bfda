"""Folders of pictures and TFDS sets, in memory and as streams: what is read, in which order, and what is refused."""

import dataclasses
import io
import itertools
import json
import os
import shutil

import numpy as np
import pytest
from PIL import Image

from purezoo.errors import UserError
from purezoo.train import evaluation
from purezoo.train.data import Data, load, peek, read_inputs, stream
from purezoo.train.data.order import Order
from purezoo.train.data.stream import Stream

COLOURS = {"blue": (0, 0, 255), "red": (255, 0, 0)}


def paint(path, colour, size=(20, 16), **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path, **options)


@pytest.fixture
def folder(tmp_path):
    """Twelve pictures of each of two colours, of several sizes."""
    for (name, colour), i in itertools.product(COLOURS.items(), range(12)):
        paint(tmp_path / "pictures" / name / f"{i:02}.png", colour, (16 + i, 20))
    return tmp_path / "pictures"


def source(folder, **options):
    return Data(f"folder:{folder}", **{"size": 16, "stream": "yes", "workers": 0} | options)


def colours(batch):
    """The class of each example of a batch, by its middle pixel."""
    return (batch["x"][:, 8, 8, 0] > batch["x"][:, 8, 8, 2]).astype(int)


def test_a_folder_is_the_same_in_memory_and_as_a_stream(folder):
    memory, streamed = load(source(folder, stream="no"), "classification"), load(source(folder), "classification")
    assert memory.stream is None
    assert memory.x.shape == (24, 16, 16, 3)
    assert memory.info.classes == streamed.info.classes == ("blue", "red")
    assert memory.info.size == 16
    assert memory.info.counts == streamed.info.counts == {"train": 17, "validation": 2, "test": 5}
    np.testing.assert_allclose(memory.info.x_mean, streamed.info.x_mean, rtol=1e-6)
    np.testing.assert_allclose(memory.info.x_std, streamed.info.x_std, rtol=1e-6)
    for name, rows in memory.splits.items():
        np.testing.assert_array_equal(rows, streamed.splits[name])
        (one,) = streamed.stream.once(rows, len(rows), set())
        np.testing.assert_array_equal(one["x"], memory.x[rows])
        np.testing.assert_array_equal(one["y"], memory.y[rows])
        np.testing.assert_array_equal(one["y"], colours(one))
    for row in (0, 5, 23):  # for prediction a picture is prepared in the same way
        (x,) = read_inputs(streamed.stream.pictures.open(row)[0], streamed.info).x
        np.testing.assert_array_equal(x, memory.x[row])
    assert peek(source(folder)) == ((16, 16, 3), 2)
    assert load(source(folder, channels=1), "classification").info.shape == (16, 16, 1)
    assert load(Data(str(folder), size=16), "classification").stream is None, "few pictures are kept in memory"


def test_large_folders_are_streamed(folder, monkeypatch):
    monkeypatch.setattr(stream, "MEMORY", 24 * 16 * 16 * 3 - 1)
    assert load(source(folder, stream="auto"), "classification").stream is not None
    monkeypatch.setattr(stream, "MEMORY", 24 * 16 * 16 * 3)
    assert load(source(folder, stream="auto"), "classification").stream is None


def test_batches_depend_on_seed_and_step_alone(folder):
    data = load(source(folder), "classification")
    order = lambda seed: Order([seed], data.splits["train"], 4)  # noqa: E731
    straight = list(data.stream.training(order(1), 0, 11, set()))
    resumed = list(data.stream.training(order(1), 6, 11, set()))
    assert len(straight) == 11
    for batch, again in zip(straight[6:], resumed, strict=True):
        for name in batch:
            np.testing.assert_array_equal(batch[name], again[name])
    labels = [batch["y"].tolist() for batch in straight]
    rows = load(source(folder, stream="no"), "classification").y[order(1).rows(0, 11, 11)]
    assert labels == rows.tolist()
    assert labels != [batch["y"].tolist() for batch in data.stream.training(order(2), 0, 11, set())]


@pytest.mark.parametrize("batch", [1, 3, 5, 24, 50])
def test_every_example_is_evaluated_once(folder, batch):
    data = load(source(folder), "classification")
    found = list(data.stream.once(np.arange(24, dtype=np.int32), batch, set()))
    assert all(len(one["x"]) == batch for one in found)
    assert sum(one["weight"].sum() for one in found) == 24
    labels = np.concatenate([one["y"][one["weight"] > 0] for one in found])
    assert labels.tolist() == [0] * 12 + [1] * 12


def test_few_batches_are_read_ahead(folder, monkeypatch):
    """However long the stream, at most a batch for each thread is made before one is taken."""
    made, read = [], Stream.read
    monkeypatch.setattr(Stream, "read", lambda self, rows, weight: made.append(1) or read(self, rows, weight))
    data = load(source(folder), "classification")
    made.clear()
    batches = data.stream.training(Order([0], data.splits["train"], 4), 0, 10_000, set())
    for taken in range(1, 20):
        next(batches)
        assert taken <= len(made) <= taken + stream.cores()
    batches.close()
    assert len(made) <= 19 + 2 * stream.cores()


def broken_pictures(folder):
    """Adds to the blue ones: two files that cannot be read and one with too many pixels."""
    content = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (30, 30, 3), np.uint8)).save(content, "JPEG")
    (folder / "blue" / "broken.jpg").write_bytes(content.getvalue()[:-600])
    (folder / "blue" / "empty.png").write_bytes(b"")
    Image.new("1", (10_000, 6_000)).save(folder / "blue" / "huge.png")


def test_what_is_shown_of_a_stream_is_of_all_classes(folder, monkeypatch):
    monkeypatch.setattr(evaluation, "FEW", 6)
    _, y = evaluation.examples(load(source(folder), "classification"), np.arange(24))
    assert y.tolist() == [0, 0, 0, 1, 1, 1]


def test_a_bad_picture_stops_the_stream_at_its_step_or_is_skipped(folder, caplog):
    broken_pictures(folder)
    rows = np.arange(27, dtype=np.int32)  # 12, 13 and 14 are the bad ones
    data = load(source(folder, on_error="skip"), "classification")
    batches = dataclasses.replace(data.stream, on_error="stop").once(rows, 4, set())
    for _ in range(3):
        assert next(batches)["weight"].all()
    with pytest.raises(UserError, match=r"blue/broken\.jpg cannot be read.*--data\.on-error skip"):
        next(batches)
    skipped = set()
    found = list(data.stream.once(rows, 4, skipped))
    assert skipped == {12, 13, 14}
    assert found[3]["weight"].tolist() == [0, 0, 0, 1]
    assert sum(one["weight"].sum() for one in found) == 24
    np.testing.assert_array_equal(found[3]["x"][0], found[3]["x"][3])  # a picture, not emptiness, in its place
    assert "10000 x 6000 pixels" in caplog.text


def test_in_memory_bad_pictures_stop_or_are_left_out(folder):
    broken_pictures(folder)
    with pytest.raises(UserError, match=r"blue/\w+\.\w+ (cannot be read|has 10000).*--data\.on-error skip"):
        load(source(folder, stream="no"), "classification")
    for _ in range(2):
        data = load(source(folder, stream="no", on_error="skip"), "classification")
        assert (len(data.x), data.skipped) == (24, {12, 13, 14})


def test_what_could_not_be_read_is_tried_again(folder):
    path = sorted((folder / "blue").iterdir())[0]
    good, time = path.read_bytes(), path.stat().st_mtime_ns
    for content, n in ((bytes(len(good)), 23), (good, 24)):  # of one length and time, as for a disk that was away
        path.write_bytes(content)
        os.utime(path, ns=(time, time))
        assert len(load(source(folder, stream="no", on_error="skip"), "classification").x) == n


def test_linked_folders_are_followed_but_not_in_circles(folder, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    paint(elsewhere / "more.png", COLOURS["blue"])
    (folder / "blue" / "linked").symlink_to(elsewhere)
    (folder / "blue" / "circle").symlink_to(folder / "blue")
    assert len(load(source(folder, stream="no"), "classification").x) == 25


def test_the_cache_follows_files_that_keep_their_length(tmp_path):
    """Uncompressed pictures do when they are edited."""
    for (name, colour), i in itertools.product(COLOURS.items(), range(4)):
        paint(tmp_path / name / f"{i}.bmp", colour)
    assert load(Data(str(tmp_path), stream="no"), "classification").x.max() == 255
    for path in tmp_path.rglob("*.bmp"):
        paint(path, (7, 7, 7))
        os.utime(path, ns=(0, 0))
    assert load(Data(str(tmp_path), stream="no"), "classification").x.max() == 7


def test_what_was_resized_is_not_taken_for_pictures_of_one_size(tmp_path):
    for (name, colour), i in itertools.product(COLOURS.items(), range(4)):
        paint(tmp_path / name / f"{i}.png", colour, (16, 16) if i else (16, 17))
    assert load(Data(str(tmp_path), size=16), "classification").info.size == 16
    with pytest.raises(UserError, match="give them one size"):
        load(Data(str(tmp_path)), "classification")


def test_every_kind_of_picture_becomes_rgb_of_one_size(tmp_path):
    red = Image.new("RGB", (30, 20), (255, 0, 0))
    half = Image.new("RGB", (40, 20), "red")
    half.paste((0, 0, 255), (0, 0, 20, 20))  # the left half is blue
    turned = Image.Exif()
    turned[0x0112] = 3  # held upside down
    for other in ("a", "b"):
        home = tmp_path / other
        home.mkdir()
        red.convert("CMYK").save(home / "cmyk.jpg", quality=95)
        half.save(home / "exif.jpg", exif=turned, quality=95)
        Image.new("L", (20, 30), 100).save(home / "grey.png")
        red.quantize(4).save(home / "palette.gif")
        Image.new("RGB", (1, 1), (255, 0, 0)).save(home / "tiny.png")
        Image.new("RGBA", (20, 20), (0, 0, 0, 0)).save(home / "transparent.png")
    data = load(Data(str(tmp_path), size=8, validation=0), "classification")
    x = dict(zip(("cmyk", "exif", "grey", "palette", "tiny", "transparent"), data.x, strict=False))
    for name in ("cmyk", "palette", "tiny"):
        np.testing.assert_allclose(x[name], np.broadcast_to([255, 0, 0], (8, 8, 3)), atol=5, err_msg=name)
    assert x["exif"][4, 0].argmax() == 0
    assert x["exif"][4, 7].argmax() == 2
    np.testing.assert_array_equal(x["grey"], 100)
    np.testing.assert_array_equal(x["transparent"], 255)


@pytest.mark.parametrize("form", ["jpg", "png", "tiff"])
def test_pictures_that_were_held_on_their_side_have_one_size(tmp_path, form):
    turned = Image.Exif()
    turned[0x0112] = 6
    for name, i in itertools.product(COLOURS, range(4)):
        paint(tmp_path / name / f"{i}.{form}", (0, 0, 0), (20, 10), exif=turned)
    assert load(Data(str(tmp_path)), "classification").info.shape == (20, 10, 3)


def test_the_middle_of_the_short_side_is_kept(tmp_path):
    stripes = np.zeros((10, 30, 3), np.uint8)
    stripes[:, 10:20] = 255
    for name in ("a/1.png", "a/2.png", "b/1.png", "b/2.png"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(stripes).save(path)
    data = load(Data(str(tmp_path), size=10, validation=0), "classification")
    np.testing.assert_array_equal(data.x, 255)


def test_given_splits_are_kept_and_strays_passed_over(tmp_path, caplog):
    for split, n in (("train", 4), ("val", 2), ("test", 3)):
        for (name, colour), i in itertools.product(COLOURS.items(), range(n)):
            paint(tmp_path / split / name / f"{i}.png", colour)
    (tmp_path / "train" / "red" / "README.txt").write_text("notes")
    (tmp_path / "train" / "red" / ".DS_Store").write_bytes(b"\0")
    (tmp_path / "train" / ".cache").mkdir()
    (tmp_path / "README.md").write_text("notes")
    paint(tmp_path / "train" / "loose.png", (0, 0, 0))
    data = load(Data(str(tmp_path)), "classification")
    assert data.info.counts == {"train": 8, "validation": 4, "test": 6}
    assert data.info.shape == (16, 20, 3)
    assert "1 file that is no picture is passed over" in caplog.text
    assert f"1 picture lies in no class's folder, such as {tmp_path / 'train' / 'loose.png'}" in caplog.text
    tested = load(Data(str(tmp_path), test_split="validation", validation=0), "classification")
    assert tested.info.counts == {"train": 8, "test": 4}
    with pytest.raises(UserError, match=r"test-split vall: .* holds .*train"):
        load(Data(str(tmp_path), test_split="vall"), "classification")
    paint(tmp_path / "test" / "rde" / "1.png", (0, 0, 0))
    with pytest.raises(UserError, match=r"rde is a class that .*train has not\. Did you mean 'red'"):
        load(Data(str(tmp_path)), "classification")


def test_splits_by_other_names(tmp_path):
    for name, i in itertools.product(COLOURS, range(4)):
        paint(tmp_path / "Training" / name / f"{i}.png", (0, 0, 0))
        paint(tmp_path / "Testing" / name / f"{i}.png", (0, 0, 0))
    assert load(Data(str(tmp_path), validation=0), "classification").info.counts == {"train": 8, "test": 8}


BAD = {
    "absent": ((), {}, "There is no folder"),
    "nothing": (("",), {}, "holds no folders of pictures"),
    "loose": (("1.png", "2.png"), {}, "pictures, but no folders of them"),
    "one class": (("a/1.png", "a/2.png"), {}, "one class, 'a'"),
    "no pictures": (("a/1.txt", "b/2.txt"), {}, "holds no picture .*only files such as"),
    "an empty class": (("a/1.png", "b/"), {}, "b holds no picture"),
    "several sizes": (("a/1.png", "a/2.png", "b/1.png", "b/big.png"), {"size": 0}, "9 x 9 pixels.*--data.size"),
    "several sizes streamed": (
        ("a/1.png", "a/2.png", "b/big1.png", "b/big2.png"),
        {"size": 0, "stream": "yes"},
        "9 x 9 pixels.*--data.size",
    ),
    "no split": (("train/a/1.png", "train/b/1.png", "more/a/1.png"), {}, "more, which is none: move it elsewhere"),
    "two of a split": (("train/a/1.png", "val/a/1.png", "valid/a/1.png"), {}, "val and valid, which are one split"),
    "too narrow": (("a/narrow.png", "a/2.png", "b/1.png", "b/2.png"), {"size": 500}, "would make 500000 x 500: it is"),
    "an empty split": (("train/a/1.png", "train/b/1.png", "test/a/1.txt"), {}, "test holds no pictures"),
}


@pytest.mark.parametrize("case", BAD)
def test_folders_that_are_refused(tmp_path, case):
    names, options, message = BAD[case]
    for name in names:
        path = tmp_path / "pictures" / name
        (path if name in ("", "b/") else path.parent).mkdir(parents=True, exist_ok=True)
        if path.suffix == ".png":
            sizes = {"big": (9, 9), "nar": (1000, 1)}
            paint(path, (0, 0, 0), sizes.get(path.name[:3], (8, 8)))
        elif path.suffix:
            path.write_text("")
    with pytest.raises(UserError, match=message):
        load(Data(f"folder:{tmp_path / 'pictures'}", **{"size": 8} | options), "classification")


def test_settings_that_do_not_fit(folder):
    for options, message in (
        ({"source": "digits", "size": 8}, "--data.size is for folders"),
        ({"source": "digits", "stream": "yes"}, "can be streamed"),
        ({"source": "digits", "test_split": "validation"}, "--data.test-split is for"),
        ({"source": str(folder), "size": -1}, "--data.size is a number"),
        ({"source": str(folder), "workers": -2}, "--data.workers is a number of processes up to 1024, or -1, not -2"),
        ({"source": str(folder), "workers": 2000}, "--data.workers is a number of processes up to 1024"),
    ):
        with pytest.raises(UserError, match=message):
            Data(**options)
    with pytest.raises(UserError, match="use a classification task"):
        load(source(folder), "regression")


@pytest.fixture(scope="session")
def photos(tmp_path_factory):
    """A prepared TFDS set of pictures of several sizes, one of them damaged, with an unlabelled test."""
    import tensorflow_datasets as tfds

    class Photos(tfds.core.GeneratorBasedBuilder):
        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            features = {
                "image": tfds.features.Image(shape=(None, None, 3), encoding_format="png"),
                "label": tfds.features.ClassLabel(names=["blue", "red"]),
            }
            features = tfds.features.FeaturesDict(features)
            return tfds.core.DatasetInfo(builder=self, features=features, supervised_keys=("image", "label"))

        def _split_generators(self, dl_manager):
            sizes = {"train": 20, "validation": 9, "test": 4}
            return {split: self._generate_examples(split, size) for split, size in sizes.items()}

        def _generate_examples(self, split="", size=0):
            for i in range(size):
                file = io.BytesIO()
                Image.new("RGB", (16 + i, 20), tuple(COLOURS.values())[i % 2]).save(file, "PNG")
                content = file.getvalue()[:40] if (split, i) == ("validation", 8) else file.getvalue()
                yield i, {"image": io.BytesIO(content), "label": -1 if split == "test" else i % 2}

    folder = tmp_path_factory.mktemp("tfds")
    Photos(data_dir=folder, file_format="array_record").download_and_prepare()
    return folder


def tfds_source(photos, **options):
    return Data("tfds:photos", dir=str(photos), **{"size": 16, "stream": "yes", "workers": 0} | options)


def test_tfds_pictures_are_streamed_and_decoded_here(photos):
    data = load(tfds_source(photos, test_split="validation", on_error="skip"), "classification")
    assert data.info.counts == {"train": 18, "validation": 2, "test": 9}
    assert data.info.shape == (16, 16, 3)
    assert peek(tfds_source(photos)) == ((16, 16, 3), 2)
    found = list(data.stream.once(data.splits["test"], 5, data.skipped))
    assert sum(one["weight"].sum() for one in found) == 8
    assert len(data.skipped) == 1
    for one in found:
        np.testing.assert_array_equal(one["y"], colours(one))
    memory = load(tfds_source(photos, test_split="validation", on_error="skip", stream="no"), "classification")
    assert memory.stream is None
    assert memory.info.counts["test"] == 8
    with pytest.raises(UserError, match=r"may have different sizes: choose one with --data\.size"):
        load(tfds_source(photos, stream="no", on_error="skip", size=0), "classification")


def test_a_tfds_stream_names_what_it_stops_at(photos, tmp_path):
    data = load(tfds_source(photos), "classification")  # with the unlabelled test
    with pytest.raises(UserError, match=r"record 0 of test in .*photos.*label -1, outside the 2 classes.*test-split"):
        list(data.stream.once(data.splits["test"], 4, set()))
    with pytest.raises(UserError, match=r"record \d of validation in .* cannot be read"):
        list(data.stream.once(data.splits["validation"], 4, set()))
    with pytest.raises(UserError, match=r"different sizes: choose one with --data\.size"):
        load(tfds_source(photos, size=0), "classification")
    with pytest.raises(UserError, match="has the splits train, validation, test"):
        load(tfds_source(photos, test_split="vall"), "classification")
    shutil.copytree(photos, tmp_path / "copy")
    path = tmp_path / "copy" / "photos" / "1.0.0" / "dataset_info.json"
    record = json.loads(path.read_text())
    record["supervisedKeys"]["tuple"]["items"].reverse()
    path.write_text(json.dumps(record))
    with pytest.raises(UserError, match="no pictures of bytes with class labels"):
        load(tfds_source(tmp_path / "copy"), "classification")


def test_workers_give_the_same_batches(photos, monkeypatch):
    """Two processes; they too stop at a bad picture."""
    monkeypatch.setattr(stream, "SHORT", 0)
    threads, processes = (load(tfds_source(photos, workers=n), "classification") for n in (0, 2))
    order = Order([3], threads.splits["train"], 4)
    pair = [list(data.stream.training(order, 2, 8, set())) for data in (threads, processes)]
    assert len(pair[0]) == 6
    for one, other in zip(*pair, strict=True):
        for name in one:
            np.testing.assert_array_equal(one[name], other[name])
    with pytest.raises(UserError, match=r"record \d of validation in .* cannot be read"):
        list(processes.stream.once(processes.splits["validation"], 4, set()))
