"""The class of each pixel: NPZ files, folders of images and masks, and the scenes of digits that need no file."""

import numpy as np
import pytest
from PIL import Image

from purezoo.errors import UserError
from purezoo.train.data import Data, load, peek
from purezoo.train.data.masks import palette, write_mask
from purezoo.train.data.scenes import SPLITS, make_scenes

KIND = "segmentation"
rng = np.random.default_rng(0)


def npz(path, **arrays):
    np.savez(path / "mine.npz", **arrays)
    return Data(str(path / "mine.npz"))


def images(n=10, size=(4, 6, 3)):
    return rng.integers(0, 256, (n, *size), np.uint8)


def masks(n=10, size=(4, 6), classes=3):
    return rng.permuted(np.resize(np.arange(classes), (n, *size)), axis=-1)


def folder(path, n=6, size=(4, 6), split=""):
    """Pictures and masks as files: the images, and the masks with the indices 0, 1, 2 and 255."""
    x, y = images(n, (*size, 3)), np.resize([0, 1, 2, 255, 1], (n, *size)).astype(np.uint8)
    for kind in ("images", "masks"):
        (path / split / kind).mkdir(parents=True)
    for i in range(n):
        Image.fromarray(x[i]).save(path / split / "images" / f"{i}.png")
        write_mask(path / split / "masks" / f"{i}.png", y[i])
    return x, y


def test_digit_scenes_are_the_same_each_time_and_splits_share_no_digit():
    dataset, again = load(Data("digit_scenes"), KIND), make_scenes()
    np.testing.assert_array_equal(dataset.x, again.x)
    np.testing.assert_array_equal(dataset.y, again.y)
    assert dataset.info.counts == {"train": 2000, "validation": 250, "test": 500}
    assert dataset.info.classes == ("background", *"0123456789")
    assert peek(Data("digit_scenes"), KIND) == (dataset.info.shape, 11) == ((32, 32, 1), 11)
    assert (dataset.x.max(), dataset.info.pixel_max) == (16, 16)
    digits = [set(range(first, end)) for _, first, end in SPLITS.values()]
    assert len(set.union(*digits)) == sum(map(len, digits)) == 1797
    for rows in dataset.splits.values():
        share = np.bincount(dataset.y[rows].ravel(), minlength=11) / dataset.y[rows].size
        assert 0.7 < share[0] < 0.9
        assert (share[1:] > 0.01).all()
    assert (dataset.x[..., 0][dataset.y > 0] >= 4).all()


def test_npz_of_images_and_masks(tmp_path):
    x, y = images(), masks()
    y[3, 0, 0] = 255
    data = npz(tmp_path, x=x, y=y)
    dataset = load(data, KIND)
    np.testing.assert_array_equal(dataset.y, y)
    assert (dataset.y.dtype, dataset.info.classes, dataset.info.targets) == (np.uint8, ("0", "1", "2"), ())
    assert dataset.info.counts == {"train": 7, "validation": 1, "test": 2}
    assert peek(data, KIND) == ((4, 6, 3), 3)
    train = x[dataset.splits["train"]].astype(float)
    np.testing.assert_allclose(dataset.info.x_mean, train.mean((0, 1, 2)), rtol=1e-6)
    assert (dataset.info.y_mean, dataset.info.y_std) == ((), ())


def test_npz_with_its_own_splits_and_masks_of_one_channel(tmp_path):
    parts = {f"{name}_{split}": make(n) for split, n in (("train", 5), ("test", 3))
             for name, make in (("x", images), ("y", lambda n: masks(n)[..., None]))}  # fmt: skip
    dataset = load(npz(tmp_path, **parts), KIND)
    assert dataset.info.counts == {"train": 4, "validation": 1, "test": 3}
    np.testing.assert_array_equal(dataset.y[dataset.splits["test"]], parts["y_test"][..., 0])


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (images(), masks(9), r"'y' of .* has the shape \[9, 4, 6\], for x of the shape \[10, 4, 6, 3\]"),
        (images(), masks(size=(6, 4)), "a class index for each of their pixels"),
        (images(), np.arange(10) % 2, r"has the shape \[10\]"),
        (rng.normal(size=(10, 4)), np.arange(10) % 2, "segmentation needs images"),
        (images(), masks() - 1, "holds the label -1: .* from 0 to 254, and 255 is a pixel without a label"),
        (images(), masks() + 300, "holds the label 302"),
        (images(), masks() / 2, "holds float64 values where class indices, integers, are needed"),
        (images(), masks(classes=1), "has training pixels of 1 class"),
        (images(), np.full((10, 4, 6), 255), "has training pixels of 1 class"),
    ],
)
def test_npz_that_does_not_fit(tmp_path, x, y, message):
    with pytest.raises(UserError, match=message):
        load(npz(tmp_path, x=x, y=y), KIND)


def test_a_class_that_training_lacks_is_refused(tmp_path):
    data = npz(tmp_path, x_train=images(), y_train=masks(classes=2), x_test=images(), y_test=masks(classes=3))
    with pytest.raises(UserError, match="has the label 2 in example 10, outside its 2 classes in training"):
        load(data, KIND)


@pytest.mark.parametrize(("source", "message"), [
    ("digits", r"digits has targets of the shape \[1797\]; segmentation needs"),
    ("wine", "a class index for each pixel"),
    ("diabetes", "a class index for each pixel"),
])  # fmt: skip
def test_data_without_masks_are_refused(source, message):
    with pytest.raises(UserError, match=message):
        load(Data(source), KIND)


def test_folder_of_images_and_masks(tmp_path):
    x, y = folder(tmp_path)
    (tmp_path / "classes.txt").write_text("road\nsky\ncar\n", encoding="utf-8-sig")  # as Windows writes it
    (tmp_path / "images" / "notes.txt").write_text("not a picture")
    data = Data(f"folder:{tmp_path}")
    dataset = load(data, KIND)
    np.testing.assert_array_equal(dataset.x, x)
    np.testing.assert_array_equal(dataset.y, y)
    assert dataset.info.classes == ("road", "sky", "car")
    assert dataset.info.counts == {"train": 3, "validation": 1, "test": 2}
    assert peek(data, KIND) == ((4, 6, 3), 3)
    (tmp_path / "classes.txt").unlink()
    assert load(data, KIND).info.classes == ("0", "1", "2")
    (tmp_path / "masks" / "0.png").unlink()
    write_mask(tmp_path / "masks" / "0.png", np.full((4, 6), 2, np.uint8))
    assert (load(data, KIND).y[0] == 2).all()  # not what the cache holds of the files before


def test_folder_with_its_own_splits_resized_and_grey(tmp_path):
    folder(tmp_path, n=4, size=(8, 12), split="train")
    _, y = folder(tmp_path, n=2, size=(16, 16), split="test")
    dataset = load(Data(f"folder:{tmp_path}", size=8, channels=1), KIND)
    assert dataset.x.shape == (6, 8, 8, 1)
    assert dataset.info.counts == {"train": 3, "validation": 1, "test": 2}
    assert set(np.unique(dataset.y)) == {0, 1, 2, 255}  # nearest: no index between two others
    np.testing.assert_array_equal(dataset.y[4], y[0, 1::2, 1::2])


def break_mask(path):
    Image.fromarray(images(1)[0]).save(path / "masks" / "2.png")


def shrink_mask(path):
    Image.fromarray(np.zeros((4, 5), np.uint8)).save(path / "masks" / "2.png")


def shrink_both(path):
    shrink_mask(path)
    Image.fromarray(images(1, (4, 5, 3))[0]).save(path / "images" / "2.png")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: (path / "masks" / "2.png").unlink(), r"images/2.png has no mask: .*masks/2.png is missing"),
        (lambda path: (path / "images" / "2.png").unlink(), r"The mask .*masks/2.png has no image named 2"),
        (lambda path: (path / "masks").rename(path / "labels"), "There is no folder .*masks"),
        (lambda path: (path / "images" / "2.jpg").write_bytes(b""), "have the same name"),
        (lambda path: (path / "images" / "2.png").write_bytes(b"no"), "images/2.png cannot be read as a picture"),
        (break_mask, "masks/2.png is a picture in RGB: a mask holds one class index a pixel"),
        (shrink_mask, "images/2.png has 6 x 4 pixels and its mask 5 x 4"),
        (shrink_both, "images/2.png has 5 x 4 pixels, 0.png 6 x 4: --data.size makes"),
        (lambda path: (path / "classes.txt").write_text("road\nsky\n"), "has the label 2 in example 0, outside its 2"),
        (lambda path: (path / "classes.txt").write_text("road\nroad\n"), "names 1 different classes on 2 lines"),
        (lambda path: (path / "classes.txt").write_bytes(b"\xff\xfe\x00"), "is not text in UTF-8"),
    ],
)
def test_folders_that_do_not_fit(tmp_path, damage, message):
    folder(tmp_path)
    damage(tmp_path)
    with pytest.raises(UserError, match=message):
        load(Data(f"folder:{tmp_path}"), KIND)


def test_folders_of_other_things_are_refused(tmp_path):
    (tmp_path / "cats").mkdir()
    with pytest.raises(UserError, match="needs the folders images and masks"):
        load(Data(f"folder:{tmp_path}"), KIND)
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    with pytest.raises(UserError, match="images holds no pictures"):
        load(Data(f"folder:{tmp_path}"), KIND)
    with pytest.raises(UserError, match="is a folder with masks"):
        load(Data(f"folder:{tmp_path}", stream="yes"), KIND)


def test_masks_are_written_with_the_colours_of_pascal_voc_and_replace_nothing(tmp_path):
    mask = np.array([[0, 1], [15, 255]], np.uint8)
    write_mask(tmp_path / "mask.png", mask)
    with Image.open(tmp_path / "mask.png") as image:
        np.testing.assert_array_equal(np.asarray(image), mask)
        colors = np.asarray(image.convert("RGB"))
    np.testing.assert_array_equal(colors, [[[0, 0, 0], [128, 0, 0]], [[192, 128, 128], [224, 224, 192]]])
    assert len(np.unique(palette(), axis=0)) == 256
    with pytest.raises(FileExistsError):
        write_mask(tmp_path / "mask.png", mask)
