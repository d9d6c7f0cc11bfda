"""Pictures of a latent space: which codes are decoded, in which order, and what is refused."""

import json

import numpy as np
import pytest
from PIL import Image
from scipy import stats

from purezoo.train.encode import open_encoder
from purezoo.train.latent import between, images, manifold, traversals
from purezoo.train.samples import write_grid
from purezoo.train.serve import open_run

from .conftest import QUICK, VAE, train

SIDE = 56  # pixels of an enlarged digit


@pytest.fixture(scope="module")
def plane(tmp_path_factory):
    """A small VAE on the digits, whose code is a point in a plane."""
    return train(tmp_path_factory.mktemp("runs") / "plane", *VAE, "--model.latent", "2", "--train.epochs", "20")


@pytest.fixture
def autoencoder(denoising_run):
    return denoising_run / "seed-0"


def cells(path, columns):
    """The images [N, 8, 8] of a picture, 0 to 1."""
    picture = np.asarray(Image.open(path))[:: SIDE // 8, :: SIDE // 8] / 255
    rows = picture.shape[0] // 8
    assert picture.shape == (8 * rows, 8 * columns)
    return picture.reshape(rows, 8, columns, 8).swapaxes(1, 2).reshape(-1, 8, 8)


def restored(folder, x):
    """What `apply` makes of raw x: pixels, where white is 1."""
    _, info, functions, weights = open_run(folder, trust=False)
    y = np.asarray(functions.predict(weights, x)) * info.x_std + info.x_mean
    return (y[..., 0] / info.pixel_max).clip(0, 1)


@pytest.mark.parametrize("which", ["plane", "autoencoder"])
def test_between_two_examples_lie_images_and_the_ends_are_their_reconstructions(purezoo, which, request):
    run = request.getfixturevalue(which)
    dataset = open_encoder(run, trust=False).dataset()
    x = dataset.x[dataset.splits["test"][[3, 7]]].astype(np.float32)
    np.savez("seven.npz", x=x[1:])
    for name, ends in (("rows", (3, 7)), ("file", (3, "seven.npz"))):
        said = purezoo("generate", run, "--between", *ends, "--count", 5, "--out", f"{name}.png")
        assert said == (0, f"{name}.png: 5 images\n", "")
    row = cells("rows.png", 5)
    np.testing.assert_allclose(row[[0, 4]], restored(run, x), atol=0.003)
    np.testing.assert_array_equal(row, cells("file.png", 5))
    steps = np.abs(np.diff(row, axis=0)).sum((1, 2))
    assert (steps < np.abs(row[4] - row[0]).sum()).all()


def test_codes_between_lie_evenly_on_a_line():
    codes = between(np.array([0.0, 4.0], np.float32), np.array([2.0, 0.0], np.float32), 5)
    np.testing.assert_allclose(codes, [[0, 4], [0.5, 3], [1, 2], [1.5, 1], [2, 0]])


def test_a_traversal_changes_one_dimension():
    codes = traversals(np.array([1.0, 2.0, 5.0], np.float32), np.array([2, 0]), 3)
    np.testing.assert_allclose(codes, [[1, 2, -3], [1, 2, 0], [1, 2, 3], [-3, 2, 5], [0, 2, 5], [3, 2, 5]])


def test_dimensions_are_traversed_from_the_most_active_on(purezoo, vae_run):
    code, said, errors = purezoo("generate", vae_run, "--traverse", "prior", "--count", 7, "--out", "prior.png")
    assert (code, errors) == (0, "")
    encoder = open_encoder(vae_run, trust=False)
    dataset = encoder.dataset()
    activity = encoder.codes(dataset.x[dataset.splits["test"]]).var(0)
    order = np.argsort(-activity)[:10].tolist()
    assert said == f"prior.png: dimensions {', '.join(map(str, order))}, from the top\n"
    rows = cells("prior.png", 7)
    assert len(rows) == 70
    mean = images(encoder, np.zeros((1, 12), np.float32))[0, ..., 0]
    for row in range(10):
        np.testing.assert_allclose(rows[7 * row + 3], mean, atol=0.003)
    assert purezoo("generate", vae_run, "--traverse", 4, "--count", 7, "--out", "four.png")[0] == 0
    assert not np.array_equal(cells("four.png", 7), rows)
    code, _, errors = purezoo("generate", vae_run, "--manifold", "--out", "new.png")
    assert (code, errors.count("\n")) == (2, 1)
    assert "has 12: train with --model.latent 2" in errors


def test_small_images_are_enlarged(tmp_path):
    for height, shown in ((8, 56), (28, 56), (32, 64), (55, 110), (60, 60)):
        write_grid(tmp_path / "grid.png", np.zeros((2, height, 9, 1)), columns=2)
        assert Image.open(tmp_path / "grid.png").size == (18 * shown // height, shown)


def test_the_manifold_is_a_map_in_even_probability(purezoo, plane):
    codes = manifold(4).reshape(4, 4, 2)
    quantiles = stats.norm.ppf([0.125, 0.375, 0.625, 0.875])
    for i in range(4):
        np.testing.assert_allclose(codes[i, :, 0], quantiles, rtol=1e-5)  # grows to the right
        np.testing.assert_allclose(codes[:, i, 1], quantiles[::-1], rtol=1e-5)  # and upwards
    assert purezoo("generate", plane, "--manifold", "--count", 4, "--out", "m.png")[:2] == (0, "m.png: 4 x 4 images\n")
    expected = images(open_encoder(plane, trust=False), codes.reshape(-1, 2))[..., 0].clip(0, 1)
    np.testing.assert_allclose(cells("m.png", 4), expected, atol=0.003)


def test_what_does_not_go_together_is_refused(purezoo, plane, autoencoder, digits_run, tmp_path):
    Image.new("L", (10, 9)).save(tmp_path / "large.png")
    np.savez("two.npz", x=np.zeros((2, 8, 8, 1), np.float32))
    out = ("--out", "new.png")
    for run, args, message in (
        (autoencoder, ("--manifold", *out), "has no prior, as variational autoencoders have"),
        (autoencoder, ("--traverse", "prior", *out), "has no prior"),
        (digits_run, ("--between", 0, 1, *out), "has no encoder: MLP makes no code"),
        (plane, ("--between", 0, *out), "--between takes two inputs"),
        (plane, ("--between", 0, 1, "--count", 1, *out), "at least 2 steps"),
        (plane, ("--traverse", 0, "--count", 1, *out), "at least 2 steps"),
        (plane, ("--between", 0, "-1", *out), "numbered 0, 1, 2, ...: there is no -1"),
        (plane, ("--between", 0, 360, *out), "the test split has 360 examples, numbered from 0: there is no 360"),
        (plane, ("--between", 0, "large.png", *out), "has 10 x 9 pixels, and the run was trained on 8 x 8"),
        (plane, ("--between", 0, "two.npz", *out), "two.npz holds 2 examples, and one is asked for"),
        (plane, ("--between", 0, "none.png", *out), "There is no file none.png"),
        (plane, ("--manifold", "--out", "large.png"), "--out large.png is there already, and is not replaced"),
        (plane, ("--manifold", "--between", 0, 1, *out), "each draw a picture: give one"),
        (plane, ("--manifold",), "and --out NAME.png"),
        (plane, ("--manifold", "--count", -1, *out), "--count is a number of images, or 0"),
        (plane, ("--manifold", "--seed", 1, *out), "--seed has no part in what codes decode to"),
        (plane, ("--top-k", 3, *out), "--top-k has no part in images that a run draws"),
        (plane, ("--classes", "a"), "--classes has no part in a text, and images need --out NAME.png"),
    ):
        code, said, errors = purezoo("generate", run, *args)
        assert (code, said, errors.count("\n")) == (2, "", 1), args
        assert message in errors
    assert not (tmp_path / "new.png").exists()


def test_a_table_has_no_pictures_and_none_are_offered(purezoo, plane, tmp_path):
    rows = "\n".join(f"{a:.3f},{b:.3f},{c:.3f}" for a, b, c in np.random.default_rng(0).normal(size=(60, 3)))
    (tmp_path / "table.csv").write_text(f"a,b,c\n{rows}\n")
    table = ("--data.source", "table.csv", "--task.likelihood", "gaussian", "--train.batch-size", 8)
    small = (*table, "--model.widths", 8, "--model.latent", 3, "--train.epochs", 1, *QUICK)
    code, said, _ = purezoo("train", "vae_mnist", *small, "--out", "run")
    assert code == 0
    assert "next: purezoo predict run FILE " in said
    assert "elbo" in json.loads((tmp_path / "run" / "summary.json").read_text())["metrics"]["test"]
    for args, message in (
        (("--traverse", "prior"), "(3,), which are no pictures"),
        (("--between", 0, 1), "no pictures"),
        ((), "no pictures"),
    ):
        code, _, errors = purezoo("generate", "run", *args, "--out", "new.png")
        assert (code, errors.count("\n")) == (2, 1)
        assert message in errors
    assert "next: purezoo generate" in purezoo("train", "--resume", plane)[1]
