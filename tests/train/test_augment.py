"""Augmentation: what it may change and what not, and that it depends on the key alone."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purezoo.errors import UserError
from purezoo.train.augment import Augment, augmentation, in_turn, seen
from purezoo.train.data.info import Info
from purezoo.train.data.masks import UNLABELLED
from purezoo.train.pixels import random_boxes, turn_hue

B, H, W = 64, 12, 10
INFO = Info(
    source="made", kind="classification", shape=(H, W, 3), classes=("a", "b", "c"), features=(), targets=(),
    x_mean=(0.0,) * 3, x_std=(1.0,) * 3, y_mean=(), y_std=(), pixel_max=255.0, fingerprint="", counts={},
    x_covariance=(900.0, 0.0, 0.0, 0.0, 400.0, 0.0, 0.0, 0.0, 100.0),
)  # fmt: skip
PIXEL = np.arange(1, H * W + 1, dtype=np.uint8).reshape(H, W)  # each pixel of an image is different


def batch(x=None, y=None):
    x = np.broadcast_to(PIXEL[None, :, :, None], (B, H, W, 3)) if x is None else x
    y = np.arange(B, dtype=np.int32) % 3 if y is None else y
    mirrored = jnp.arange(len(x)) % 3 == 0
    return {"x": jnp.asarray(x), "y": jnp.asarray(y), "weight": jnp.ones(len(x)), "mirrored": mirrored}


def changed(augment, data=None, key=0, half=0, info=INFO):
    return jax.jit(augmentation(augment, info)[half])(jax.random.key(key), batch() if data is None else data)


EVERYTHING = Augment(shift=2, flip=True, crop=8, jitter=0.4, hue=0.1, pca_noise=0.1, cutout=3, mixup=0.2, cutmix=1.0)


@pytest.mark.parametrize("half", [0, 1])
def test_the_same_key_gives_the_same_images_and_another_key_others(half):
    data = batch(np.random.default_rng(0).integers(0, 256, (B, H, W, 3)).astype(np.float32))
    first, again, other = (changed(EVERYTHING, data, key, half)["x"] for key in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_nothing_asked_for_nothing_changed():
    for half in (0, 1):
        after = changed(Augment(), half=half)
        jax.tree.map(np.testing.assert_array_equal, after, batch())


def test_shift_moves_each_image_by_itself_and_reaches_every_place():
    x = np.asarray(changed(Augment(shift=2, border="zero"))["x"])[..., 0]
    moves = set()
    for image in x:
        fits = [
            (i, j)
            for i in range(-2, 3)
            for j in range(-2, 3)
            if np.array_equal(image, np.pad(PIXEL, 2)[2 + i : 2 + i + H, 2 + j : 2 + j + W])
        ]
        assert len(fits) == 1
        moves.add(fits[0])
    assert len(moves) > 15  # of 25


@pytest.mark.parametrize(("border", "mode"), [("reflect", "reflect"), ("edge", "edge"), ("zero", "constant")])
def test_border_is_that_of_numpy_pad(border, mode):
    x = np.asarray(changed(Augment(shift=3, border=border))["x"])[..., 0]
    padded = np.pad(PIXEL, 3, mode=mode)
    for image in x[:8]:
        assert any(np.array_equal(image, padded[i : i + H, j : j + W]) for i in range(7) for j in range(7))


def test_flip_mirrors_the_images_whose_turn_it_is():
    x = np.asarray(changed(Augment(flip=True))["x"])[..., 0]
    for image, mirrored in zip(x, batch()["mirrored"], strict=True):
        np.testing.assert_array_equal(image, PIXEL[:, ::-1] if mirrored else PIXEL)


def test_a_random_half_is_mirrored_in_each_epoch_and_the_other_half_in_the_next():
    rows = jnp.arange(1000)
    first, second, third = (np.asarray(in_turn(jax.random.key(0), rows, epoch)) for epoch in range(3))
    np.testing.assert_array_equal(second, ~first)
    np.testing.assert_array_equal(third, first)
    assert 450 < first.sum() < 550
    turned = np.asarray(in_turn(jax.random.key(0), rows[::-1], jnp.int32(0)))
    np.testing.assert_array_equal(turned, first[::-1])  # by the row, wherever it stands in a batch
    assert (np.asarray(in_turn(jax.random.key(1), rows, jnp.int32(0))) != first).mean() > 0.4


def test_crop_cuts_a_part_out_and_evaluation_the_centre():
    x = np.asarray(changed(Augment(crop=8))["x"])
    assert x.shape == (B, 8, 8, 3)
    places = {
        (i, j)
        for i in range(5)
        for j in range(3)
        for image in x
        if np.array_equal(image[..., 0], PIXEL[i : i + 8, j : j + 8])
    }
    assert len(places) == 15
    apply = seen(Augment(crop=8), "classification", lambda params, state, x, key, train: (x, state))
    np.testing.assert_array_equal(apply({}, {}, batch()["x"])[0][0, :, :, 0], PIXEL[2:10, 1:9])
    assert Augment(crop=8).shape((H, W, 3)) == (8, 8, 3)


def test_resized_crop_of_the_whole_is_the_image_and_a_smaller_one_is_part_of_a_ramp():
    boxes = np.asarray(random_boxes(jax.random.key(0), 200, (H, W), 1.0))
    assert (boxes[:, 2:] <= (H, W)).all()
    assert (boxes[:, 2:].prod(1) >= 0.74 * H * W).all()  # 4:3 of a square, cut to it
    assert (abs(boxes[:, 2:] - (H, W)).min(1) < 1e-4).all()  # one side at least is whole
    ramp = np.broadcast_to(np.arange(W, dtype=np.float32)[None, None, :, None], (B, H, W, 3))
    x = np.asarray(changed(Augment(resized_crop=0.2), batch(ramp))["x"])[..., 0]
    assert x.shape == (B, H, W)
    steps = np.diff(x[:, 0], axis=1)[:, 2:-2]  # evenly spaced inside, by less than a pixel: magnified
    assert (steps > 0).all()
    assert (steps < 1.2).all()
    assert steps.mean(1).std() > 0.05  # by another factor in each image


@pytest.mark.parametrize(
    "augment",
    [Augment(shift=3, flip=True, border="zero"), Augment(crop=8, flip=True), Augment(resized_crop=0.3, flip=True)],
)
def test_masks_move_with_their_images(augment):
    y = np.broadcast_to((PIXEL > 60).astype(np.uint8)[None], (B, H, W))
    x = np.where(y[..., None] == 1, np.float32(1), np.float32(-1)) * np.ones(3, np.float32)
    after = changed(augment, batch(x, y), info=replace(INFO, kind="segmentation"))
    image, mask = np.asarray(after["x"])[..., 0], np.asarray(after["y"])
    assert mask.shape == image.shape
    if augment.border == "zero":
        np.testing.assert_array_equal(mask == UNLABELLED, image == 0)
    sure = abs(image) > 0.99
    assert sure.mean() > 0.5
    np.testing.assert_array_equal(mask[sure] == 1, image[sure] > 0)


def test_jitter_and_hue_stay_in_range_and_leave_grey_without_colour():
    grey = np.broadcast_to(PIXEL[None, :, :, None].astype(np.float32), (B, H, W, 3))
    x = np.asarray(changed(Augment(jitter=0.5, hue=0.5), batch(grey))["x"])
    assert x.min() >= 0
    assert x.max() <= 255
    np.testing.assert_allclose(x[..., 0], x[..., 1], atol=0.5)
    np.testing.assert_allclose(x[..., 0], x[..., 2], atol=0.5)
    assert x.mean((1, 2, 3)).std() > 5


def test_colours_of_images_in_units_of_their_own_are_not_cut_off():
    x = np.random.default_rng(0).uniform(-1, 1, (B, H, W, 3)).astype(np.float32)
    found = changed(Augment(jitter=1e-4), batch(x), info=replace(INFO, pixel_max=1.0))["x"]
    np.testing.assert_allclose(found, x, atol=1e-3)


def test_a_whole_turn_of_the_hue_is_none_and_half_a_turn_exchanges_the_colours():
    x = jnp.asarray(np.random.default_rng(0).uniform(size=(2, 4, 4, 3)), jnp.float32)
    np.testing.assert_allclose(turn_hue(x, jnp.ones(2)), x, atol=1e-5)
    half = turn_hue(x, jnp.full(2, 0.5))
    luma = x @ jnp.array([0.299, 0.587, 0.114])
    np.testing.assert_allclose(half, 2 * luma[..., None] - x, atol=1e-3)


def test_pca_noise_has_the_deviation_of_the_principal_components():
    """With an axis a colour, colour c moves by 0.1 * N(0, 1) * variance c, in units of white (section 4.1)."""
    data = batch(np.full((4000, 2, 2, 3), 100, np.uint8), np.zeros(4000, np.int32))
    x = np.asarray(changed(Augment(pca_noise=0.1), data)["x"]) - 100
    np.testing.assert_allclose(x, x[:, :1, :1] + 0 * x, atol=1e-4)
    np.testing.assert_allclose(x[:, 0, 0].std(0), np.array([90.0, 40.0, 10.0]) / 255, rtol=0.05)


def test_cutout_blots_out_one_square():
    x = np.asarray(changed(Augment(cutout=4), batch(np.ones((B, H, W, 3), np.float32)), half=1)["x"])
    assert set(np.unique(x)) == {0.0, 1.0}
    sizes = (x[..., 0] == 0).sum((1, 2))
    assert sizes.max() == 16
    assert sizes.min() >= 4


@pytest.mark.parametrize("augment", [Augment(mixup=1.0), Augment(cutmix=1.0), Augment(mixup=0.4, cutmix=1.0)])
def test_mixing_gives_labels_the_share_of_the_pixels(augment):
    y = np.arange(B, dtype=np.int32) % 3
    x = np.broadcast_to(np.eye(3, dtype=np.float32)[y][:, None, None, :], (B, H, W, 3))  # an image of its own class
    after = changed(augment, batch(x, y), half=1)
    assert after["y"].shape == (B, 3)
    np.testing.assert_allclose(after["y"], after["x"].mean((1, 2)), atol=1e-5)
    np.testing.assert_allclose(after["y"].sum(1), 1, atol=1e-5)
    own = np.take_along_axis(np.asarray(after["y"]), y[:, None], 1)
    assert own.min() < 0.3
    assert own.max() > 0.7


def test_an_example_that_could_not_be_read_is_not_mixed_into_another():
    data = batch(np.ones((B, H, W, 3), np.float32)) | {"weight": jnp.ones(B).at[0].set(0)}
    after = changed(Augment(mixup=1.0), data, half=1)
    np.testing.assert_array_equal(after["y"][1], jax.nn.one_hot(data["y"][1], 3))


def test_views_average_probabilities_over_mirror_images_and_corners():
    x = jnp.asarray(np.random.default_rng(0).normal(size=(4, 6, 6, 1)), jnp.float32)
    kernel = jnp.asarray(np.random.default_rng(1).normal(size=(36, 3)), jnp.float32)
    calls = []

    def apply(params, state, x, *, key, train):
        calls.append(x.shape)
        return x.reshape(len(x), -1) @ kernel, state

    views = lambda name: seen(Augment(views=name), "classification", apply)({}, {}, x)[0]  # noqa: E731
    flipped = jax.nn.softmax(jnp.stack([apply({}, {}, v, key=None, train=False)[0] for v in (x, x[:, :, ::-1])]))
    calls.clear()
    np.testing.assert_allclose(jax.nn.softmax(views("flip")), flipped.mean(0), rtol=1e-4)
    assert len(calls) == 2
    np.testing.assert_allclose(jax.nn.softmax(views("ten")).sum(-1), 1, rtol=1e-5)
    assert len(calls) == 12
    np.testing.assert_array_equal(views("one"), apply({}, {}, x, key=None, train=False)[0])
    training = seen(Augment(views="ten"), "classification", apply)({}, {}, x, train=True)[0]
    np.testing.assert_array_equal(training, views("one"))


@pytest.mark.parametrize(
    ("augment", "info", "said"),
    [
        (Augment(crop=13), INFO, "too much for images of 12 x 10"),
        (Augment(shift=10), INFO, "too much"),
        (Augment(hue=0.1), replace(INFO, shape=(H, W, 1)), "colour images"),
        (Augment(pca_noise=0.1), replace(INFO, shape=(H, W, 1)), "pca-noise is for colour images"),
        (Augment(flip=True), replace(INFO, shape=(5,)), "for images"),
        (Augment(mixup=0.2), replace(INFO, kind="segmentation"), "one label an image"),
        (Augment(crop=8), replace(INFO, kind="segmentation"), "one label an image"),
    ],
)
def test_what_does_not_fit_the_data_is_refused(augment, info, said):
    with pytest.raises(UserError, match=said):
        augment.check(info)


def test_shuffled_pixels_have_no_views_and_no_crop():
    for augment in (Augment(crop=8), Augment(views="flip")):
        augment.check(INFO)
        with pytest.raises(UserError, match="shuffle-pixels"):
            augment.check(replace(INFO, pixel_order=0))


@pytest.mark.parametrize(
    "wrong",
    [{"shift": -1}, {"resized_crop": 1.5}, {"hue": 0.6}, {"jitter": 2.0}, {"mixup": float("inf")}, {"crop": -3}],
)
def test_values_out_of_range_are_refused(wrong):
    with pytest.raises(UserError, match=f"--augment.{next(iter(wrong)).replace('_', '-')}"):
        Augment(**wrong)


def test_a_resized_crop_moves_images_by_itself():
    with pytest.raises(UserError, match=r"--augment\.shift has no part in --augment\.resized-crop"):
        Augment(shift=2, resized_crop=0.5)


def test_a_run_with_everything_trains_and_evaluates_whole_images(purezoo, tmp_path):
    rng = np.random.default_rng(0)
    y = np.arange(90) % 3
    x = (rng.normal(size=(90, 12, 12, 3)) * 20 + 100 + 40 * y[:, None, None, None]).clip(0, 255).astype(np.uint8)
    np.savez("images.npz", x=x, y=y)
    flags = partial(
        purezoo, "train", "lenet_digits", "--data.source", "images.npz", "--model.classes", "3", "--no-pictures"
    )
    code, _, errors = flags(
        "--train.epochs", "2", "--train.batch-size", "8", "--augment.shift", "1", "--augment.crop", "10",
        "--augment.flip", "--augment.jitter", "0.1", "--augment.hue", "0.05", "--augment.pca-noise", "0.1",
        "--augment.cutout", "2", "--augment.mixup", "0.2", "--augment.cutmix", "1", "--augment.views", "ten",
        "--out", "run",
    )  # fmt: skip
    assert (code, errors) == (0, "")
    assert purezoo("eval", "run", "--batch-size", "7")[0] == 0
    code, _, errors = flags("--augment.crop", "13", "--out", "other")
    assert code == 2
    assert "too much for images of 12 x 12" in errors
