"""Prepared TFDS data sets, and the cache. One tiny set is prepared by TFDS itself; its description is then edited."""

import io
import json
import logging
import os
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from purezoo.errors import UserError
from purezoo.train.data import Data, load, peek
from purezoo.train.data.tfds_pictures import TfdsPictures

SIZES = {"train": 10, "test": 4}


def png(value, shape=(4, 5)):
    file = io.BytesIO()
    Image.fromarray(np.full(shape, value, np.uint8)).save(file, "PNG")
    file.seek(0)
    return file


@pytest.fixture(scope="session")
def prepared(tmp_path_factory):
    import tensorflow_datasets as tfds

    class Pets(tfds.core.GeneratorBasedBuilder):
        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            features = {
                "image": tfds.features.Image(shape=(4, 5, 1)),
                "photo": tfds.features.Image(shape=(None, None, 1)),
                "label": tfds.features.ClassLabel(names=["cat", "dog"]),
                "weight": tfds.features.Scalar(np.float32),
                "body": tfds.features.FeaturesDict({"legs": np.int64, "tail": np.float32}),
                "track": tfds.features.Tensor(shape=(3,), dtype=np.float32),
                "name": tfds.features.Text(),
            }
            features = tfds.features.FeaturesDict(features)
            return tfds.core.DatasetInfo(builder=self, features=features, supervised_keys=("image", "label"))

        def _split_generators(self, dl_manager):
            return {split: self._generate_examples(size) for split, size in SIZES.items()}

        def _generate_examples(self, size=0):
            for i in range(size):
                yield i, {
                    "image": png(i), "photo": png(i, (2 + i, 3)), "label": i % 2, "weight": i / 2, "name": "Rex",
                    "body": {"legs": 4, "tail": i}, "track": np.arange(3, dtype=np.float32) * i,
                }  # fmt: skip

    folder = tmp_path_factory.mktemp("tfds")
    Pets(data_dir=folder, file_format="array_record").download_and_prepare()
    return folder


@pytest.fixture
def pets(prepared, tmp_path):
    """A copy of the prepared folder, to edit."""
    shutil.copytree(prepared, tmp_path / "tfds")
    return tmp_path / "tfds"


def describe(folder, edit, version="1.0.0"):
    path = folder / "pets" / version / "dataset_info.json"
    record = json.loads(path.read_text())
    edit(record)
    path.write_text(json.dumps(record))


def supervise(folder, x, y):
    items = {"tuple": {"items": [{"featureKey": x}, {"featureKey": y}]}}
    describe(folder, lambda record: record.update(supervisedKeys=items))


def test_images_with_class_labels(prepared):
    data = Data("tfds:pets", dir=str(prepared))
    dataset = load(data, "classification")
    assert dataset.x.dtype == np.uint8
    value = dataset.x[:, 0, 0, 0]  # the number of the example, in the order that TFDS shuffled it to
    assert sorted(value[:10]) == list(range(10))
    assert sorted(value[dataset.splits["test"]]) == list(range(4))
    np.testing.assert_array_equal(dataset.y, value % 2)
    assert dataset.info.classes == ("cat", "dog")
    assert dataset.info.counts == {"train": 9, "validation": 1, "test": 4}
    assert dataset.info.pixel_max == 255
    assert peek(data) == ((4, 5, 1), 2)
    with pytest.raises(UserError, match="class labels"):
        load(data, "regression")


def test_tables_and_tensors_with_numbers_to_predict(pets):
    data = Data("tfds:pets:1.0.0", dir=str(pets))
    supervise(pets, "body", "weight")
    table = load(data, "regression")
    assert table.info.features == ("legs", "tail")
    np.testing.assert_array_equal(table.x[:, 0], 4)
    np.testing.assert_array_equal(table.y[:, 0], table.x[:, 1] / 2)
    assert table.info.targets == ("weight",)
    assert peek(data, "regression") == ((2,), 1)
    supervise(pets, "track", "label")
    tensor = load(data, "classification")
    np.testing.assert_array_equal(tensor.x[:, 2], 2 * tensor.x[:, 1])
    assert tensor.info.features == ("track0", "track1", "track2")


def test_mnist_in_a_tfds_folder_and_its_newest_version(pets):
    shutil.copytree(pets / "pets" / "1.0.0", pets / "pets" / "1.10.0")
    shutil.copytree(pets / "pets" / "1.0.0", pets / "pets" / "1.9.0")
    supervise(pets, "track", "label")  # of the oldest alone
    assert peek(Data("tfds:pets:1.0.0", dir=str(pets))) == ((3,), 2)
    describe(pets, lambda record: record["splits"].pop(), "1.10.0")
    with pytest.raises(UserError, match=r"versions 1\.0\.0, 1\.9\.0, 1\.10\.0, not 2\.0\.0"):
        load(Data("tfds:pets:2.0.0", dir=str(pets)), "classification")
    assert load(Data("tfds:pets", dir=str(pets)), "classification").info.counts["test"] == 2  # 0.2 of 10: drawn
    for file in (pets / "pets" / "1.9.0").iterdir():
        target = pets / "mnist" / "3.0.1" / file.name.replace("pets", "mnist")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.read_bytes().replace(b'"pets"', b'"mnist"'))
    assert load(Data("mnist", dir=str(pets)), "classification").info.shape == (4, 5, 1)


def test_the_default_folder_is_that_of_tfds(prepared, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(prepared))
    assert peek(Data("tfds:pets")) == ((4, 5, 1), 2)


def test_what_is_not_prepared_or_not_readable_is_explained(pets):
    data = Data("tfds:pets", dir=str(pets))

    def fails(message, source=data):
        with pytest.raises(UserError, match=message):
            load(source, "classification")

    fails(
        r"'pet' is not prepared in .*tfds: it holds pets\. Did you mean 'pets'\?(.|\n)*tfds build pet --data_dir",
        Data("tfds:pet", dir=str(pets)),
    )
    fails(r"IDX files in --data\.dir", Data("mnist", dir=str(pets)))
    fails("no data set is there", Data("tfds:pets", dir=str(pets / "absent")))
    fails("not prepared", Data("tfds:../tfds/pets", dir=str(pets)))
    fails("not prepared", Data("tfds:", dir=str(pets)))
    supervise(pets, "photo", "label")
    assert peek(data) is None
    fails("different sizes.*one size")
    supervise(pets, "name", "label")
    fails("neither an image")
    supervise(pets, "image", "name")
    fails("target 'name'")
    supervise(pets, "image", "fur")
    fails("which of its features is input")
    supervise(pets, "image", "label")
    describe(pets, lambda record: record["splits"][0].update(name="small"))
    fails("no split named train: it has")
    describe(pets, lambda record: record.update(fileFormat="tfrecord"))
    fails("tfrecord.*--file_format array_record")
    (pets / "pets" / "1.0.0" / "features.json").write_text("{")
    fails("1.0.0 is damaged")


def test_damaged_records_are_an_error(pets):
    file = next((pets / "pets" / "1.0.0").glob("*-train.array_record*"))
    content = bytearray(file.read_bytes())
    content[: len(content) // 2] = bytes(len(content) // 2)
    file.write_bytes(content)
    with pytest.raises(UserError, match="cannot be read"):
        load(Data("tfds:pets", dir=str(pets)), "classification")


def test_pictures_of_one_size_that_cannot_be_read_are_skipped(prepared, tmp_path, monkeypatch):
    monkeypatch.setenv("PUREZOO_CACHE", str(tmp_path))
    whole = TfdsPictures.open
    bad = (io.BytesIO(b"no picture"), "record 3", 1)
    monkeypatch.setattr(TfdsPictures, "open", lambda self, row: bad if row == 3 else whole(self, row))
    data = load(Data("tfds:pets", dir=str(prepared), on_error="skip"), "classification")
    assert data.skipped == {3}
    assert (len(data.x), data.info.shape) == (13, (4, 5, 1))


def test_several_configurations_must_be_chosen_from(pets):
    for config in ("big", "small"):
        shutil.copytree(pets / "pets" / "1.0.0", pets / "zoo" / config / "1.0.0")
    with pytest.raises(UserError, match=r"configurations of zoo: big, small.*tfds:zoo/big"):
        load(Data("tfds:zoo", dir=str(pets)), "classification")
    assert peek(Data("tfds:zoo/small", dir=str(pets))) == ((4, 5, 1), 2)


def cached_files(folder):
    return sorted((folder / "data").glob("pets-*.npz"))


def test_a_cached_set_is_read_without_tensorflow_datasets(prepared, tmp_path, monkeypatch):
    monkeypatch.setenv("PUREZOO_CACHE", str(tmp_path))
    first = load(Data("tfds:pets", dir=str(prepared)), "classification")
    assert len(cached_files(tmp_path)) == 1
    code = (
        "import sys; from purezoo.train.data import *; "
        f"print(load(Data('tfds:pets', dir={str(prepared)!r}), 'classification').info.fingerprint); "
        "assert 'tensorflow_datasets' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.stdout.strip(), done.stderr) == (first.info.fingerprint, "")


def test_a_damaged_cache_is_rebuilt_with_a_note(prepared, tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("PUREZOO_CACHE", str(tmp_path))
    data = Data("tfds:pets", dir=str(prepared))
    first = load(data, "classification")
    (file,) = cached_files(tmp_path)
    good = file.read_bytes()
    place = good.index(first.x.tobytes())
    for bad in (b"", good[: len(good) // 2], good[:place] + b"\xff" + good[place + 1 :]):
        file.write_bytes(bad)
        caplog.clear()
        again = load(data, "classification")
        assert again.info == first.info
        assert "made anew" in caplog.text
        assert cached_files(tmp_path) == [file]
        caplog.clear()
        load(data, "classification")
        assert not caplog.records


def test_what_nobody_used_for_a_month_leaves_the_cache(prepared, tmp_path, monkeypatch):
    monkeypatch.setenv("PUREZOO_CACHE", str(tmp_path))
    data = Data("tfds:pets", dir=str(prepared))
    load(data, "classification")
    (file,) = cached_files(tmp_path)
    old, new = file.with_name("pets-old.npz"), file.with_name("pets-new.npz.1.tmp")
    for path, days in ((old, 31), (new, 29), (file, 31)):
        path.touch()
        os.utime(path, (time.time() - days * 86400,) * 2)
    load(data, "classification")  # which is a use
    load(Data("wine"), "classification")  # which writes to it
    assert (file.exists(), new.exists(), old.exists()) == (True, True, False)


def test_the_cache_follows_the_prepared_files(pets, tmp_path, monkeypatch):
    monkeypatch.setenv("PUREZOO_CACHE", str(tmp_path / "cache"))
    load(Data("tfds:pets", dir=str(pets)), "classification")
    supervise(pets, "track", "label")
    assert load(Data("tfds:pets", dir=str(pets)), "classification").info.shape == (3,)


def test_without_a_writable_cache_the_data_are_read_all_the_same(prepared, tmp_path, monkeypatch, caplog):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PUREZOO_CACHE", str(tmp_path / "file" / "cache"))
    caplog.set_level(logging.WARNING)
    assert load(Data("tfds:pets", dir=str(prepared)), "classification").info.counts["test"] == 4
    assert "not cached" in caplog.text
