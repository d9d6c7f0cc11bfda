import io

import numpy as np
import pytest
from PIL import Image

from purezoo.errors import UserError
from purezoo.train.data import Data, Info, load, read_inputs


def info(shape, pixel_max=255.0, features=()):
    return Info(
        source="test", kind="classification", shape=shape, classes=("a", "b"), features=features, targets=(),
        x_mean=(0.0,), x_std=(1.0,), y_mean=(), y_std=(), pixel_max=pixel_max, fingerprint="", counts={},
    )  # fmt: skip


TABLE = info((2,), 0.0, ("length", "width"))
GREY = info((6, 4, 1))


def picture(path, image, **options):
    image.save(path, **options)
    return path


def test_a_png_is_read_back_exactly_and_in_the_units_of_the_training(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (6, 4), dtype=np.uint8)
    path = picture(tmp_path / "a.png", Image.fromarray(pixels))
    x, names, notes = read_inputs(path, GREY)
    assert (x.shape, x.dtype, names, notes) == ((1, 6, 4, 1), np.float32, ["a.png"], [])
    np.testing.assert_array_equal(x[0, ..., 0], pixels)
    scaled = read_inputs(path, info((6, 4, 1), 16.0)).x
    np.testing.assert_allclose(scaled[0, ..., 0], pixels * (16 / 255), rtol=1e-6)


def test_a_digit_saved_as_a_picture_comes_back_as_the_digit(tmp_path):
    digits = load(Data("digits"), "classification")
    pixels = (digits.x[0, ..., 0] * (255 / 16)).round().astype(np.uint8)
    x = read_inputs(picture(tmp_path / "zero.png", Image.fromarray(pixels)), digits.info).x
    np.testing.assert_allclose(x[0], digits.x[0], atol=16 / 255)


def test_modes_are_converted_to_what_the_model_takes(tmp_path):
    red = Image.new("RGB", (4, 6), (255, 0, 0))
    grey = read_inputs(picture(tmp_path / "red.png", red), GREY).x
    np.testing.assert_allclose(grey, 76)  # ITU-R 601: 0.299 * 255
    assert read_inputs(tmp_path / "red.png", GREY).notes == ["red.png: its colours made grey"]
    pale = picture(tmp_path / "pale.png", Image.new("RGB", (4, 6), (90, 100, 95)))
    assert read_inputs(pale, GREY).notes == []
    colour = info((6, 4, 3))
    np.testing.assert_array_equal(read_inputs(tmp_path / "red.png", colour).x[0, 0, 0], [255, 0, 0])
    palette = picture(tmp_path / "palette.gif", red.quantize(4))
    np.testing.assert_array_equal(read_inputs(palette, colour).x[0, 5, 3], [255, 0, 0])
    np.testing.assert_allclose(read_inputs(picture(tmp_path / "red.jpg", red), colour).x[0, 3, 2], [255, 0, 0], atol=3)
    deep = picture(tmp_path / "deep.png", Image.fromarray(np.full((6, 4), 257 * 100, np.uint16)))
    np.testing.assert_array_equal(read_inputs(deep, GREY).x, 100)
    np.testing.assert_array_equal(read_inputs(picture(tmp_path / "bit.png", Image.new("1", (4, 6), 1)), GREY).x, 255)


def test_transparency_is_laid_on_white(tmp_path):
    image = Image.new("RGBA", (4, 6), (0, 0, 0, 0))
    image.putpixel((1, 2), (0, 0, 0, 255))
    x = read_inputs(picture(tmp_path / "clear.png", image), GREY).x[0, ..., 0]
    assert x[2, 1] == 0
    assert x.sum() == 23 * 255


def test_other_sizes_are_resized_with_a_note_and_cameras_turned(tmp_path):
    wide = picture(tmp_path / "wide.png", Image.new("L", (40, 30), 77))
    x, _, notes = read_inputs(wide, GREY)
    np.testing.assert_array_equal(x, np.full((1, 6, 4, 1), 77))
    assert notes == ["wide.png: resized from 40 x 30 to 4 x 6 pixels"]
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned by a quarter
    turned = picture(tmp_path / "turned.jpg", Image.new("L", (6, 4), 77), exif=exif)
    assert read_inputs(turned, GREY).notes == []


def test_csv_columns_are_matched_by_name(tmp_path):
    (tmp_path / "a.csv").write_text("id,width,comment,length\n7,2,x,1\n8,4,y,3\n")
    x, names, notes = read_inputs(tmp_path / "a.csv", TABLE)
    np.testing.assert_array_equal(x, [[1, 2], [3, 4]])
    assert (x.dtype, names, notes) == (np.float32, ["a.csv[0]", "a.csv[1]"], [])


def test_npz_holds_many_examples_or_one(tmp_path):
    many = np.arange(48, dtype=np.uint8).reshape(2, 6, 4)
    for key, array in (("x", many), ("anything", many[..., None]), ("x", many[0]), ("x", many[0][..., None])):
        np.savez(tmp_path / "a.npz", **{key: array})
        x = read_inputs(tmp_path / "a.npz", GREY).x
        np.testing.assert_array_equal(x, many[: len(x), ..., None])
        assert len(x) == (2 if array is many or array.ndim == 4 else 1)
        assert x.dtype == np.float32
    np.savez(tmp_path / "a.npz", x=np.ones((5, 2)))
    assert read_inputs(tmp_path / "a.npz", info((5, 2))).x.shape == (1, 5, 2)
    np.savez(tmp_path / "a.npz", x=np.ones((3, 2)), y=np.ones(3))
    assert read_inputs(tmp_path / "a.npz", TABLE).x.shape == (3, 2)


def encoded(image, form="PNG"):
    file = io.BytesIO()
    image.save(file, form)
    return file.getvalue()


def archive(**arrays):
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


PNG = encoded(Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 40), dtype=np.uint8)))
BAD = {
    "empty": ("a.png", b"", GREY, "empty"),
    "no picture": ("a.png", b"text, not pixels", GREY, "cannot be read as a picture"),
    "truncated": ("a.png", PNG[: len(PNG) // 2], GREY, "cannot be read as a picture"),
    "postscript": ("a.eps", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 4 6\n", GREY, "cannot be read as a picture"),
    "bomb": ("a.png", encoded(Image.new("1", (10_000, 6_000))), GREY, "10000 x 6000 pixels; at most"),
    "large bomb": ("a.png", encoded(Image.new("1", (20_000, 10_000))), GREY, "cannot be read|at most"),
    "floats": ("a.tiff", encoded(Image.new("F", (4, 6)), "TIFF"), GREY, "real numbers"),
    "picture for a table": ("a.png", PNG, TABLE, "trained on 2 columns"),
    "seven channels": ("a.png", PNG, info((6, 4, 7)), "7 channels"),
    "table for images": ("a.csv", b"a,b\n1,2\n", GREY, r"images of \[6, 4, 1\]"),
    "table for sequences": ("a.csv", b"a,b\n1,2\n", info((5, 2)), r"sequences of \[5, 2\]: give NPZ"),
    "texts for sequences": ("a.npz", archive(x=np.full((3, 5, 2), "1")), info((5, 2)), "'x' of .*numbers"),
    "no sequences": ("a.npz", archive(x=np.ones((0, 5, 2))), info((5, 2)), "'x' of .*shape"),
    "missing column": ("a.csv", b"length,widht\n1,2\n", TABLE, "no column 'width'. Did you mean 'widht'"),
    "bad cell": ("a.csv", b"length,width\n1,2\n1,wide\n", TABLE, "Line 3 of .*, column 'width': 'wide'"),
    "missing value": ("a.csv", b"length,width\n1,nan\n", TABLE, "Line 2 of .*, column 'width'"),
    "no rows": ("a.csv", b"length,width\n", TABLE, "no rows"),
    "no archive": ("a.npz", b"PK", TABLE, "cannot be read as an NPZ"),
    "objects": ("a.npz", archive(x=np.array([{}])), TABLE, "Python objects"),
    "wrong width": ("a.npz", archive(x=np.ones((3, 5))), TABLE, r"\[5\]; the model takes \[2\]"),
    "wrong size": ("a.npz", archive(x=np.ones((3, 4, 6))), GREY, r"\[4, 6\]; the model takes \[6, 4, 1\]"),
    "nan": ("a.npz", archive(x=np.full((3, 2), np.nan)), TABLE, "nan in row 0"),
    "which array": ("a.npz", archive(a=np.ones((3, 2)), b=np.ones(3)), TABLE, "holds the arrays a, b"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_inputs_name_the_file(tmp_path, case):
    name, content, about, message = BAD[case]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=message) as error:
        read_inputs(tmp_path / name, about)
    assert str(tmp_path / name) in str(error.value)


def test_absent_files_and_folders_are_named(tmp_path):
    for path in (tmp_path, tmp_path / "absent.png", tmp_path / "absent.csv"):
        with pytest.raises(UserError, match=path.name):
            read_inputs(path, GREY)
