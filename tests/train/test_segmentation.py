"""Segmentation: metrics that are exact over a split, whatever the batch size; and a run from its data to its masks."""

import csv
import io
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from scipy.special import log_softmax
from sklearn import metrics as reference

from purezoo.errors import UserError
from purezoo.models import UNet
from purezoo.train.config import Experiment, Train
from purezoo.train.data.masks import palette
from purezoo.train.loop import is_higher_better
from purezoo.train.optimizers import Optimizer
from purezoo.train.predict import mask_name
from purezoo.train.steps import functions, hyper_parameters
from purezoo.train.tasks import Segmentation

from .conftest import train
from .test_tasks import evaluate

SIZE = (6, 5)
rng = np.random.default_rng(0)
LOGITS = rng.normal(size=(17, *SIZE, 4)).astype(np.float32)
LABELS = rng.choice([0, 1, 2, 3, 255], size=(17, *SIZE)).astype(np.uint8)


@pytest.mark.parametrize("size", [1, 5, 17, 40])
@pytest.mark.parametrize("ignore", [255, 2])
def test_metrics_against_scikit_learn(info, size, ignore):
    found, _ = evaluate(
        Segmentation(ignore), info("segmentation", (*SIZE, 4), 4), jnp.asarray(LOGITS), jnp.asarray(LABELS), size
    )
    counts = (LABELS != 255) & (ignore != LABELS)
    true, guess = LABELS[counts], LOGITS.argmax(-1)[counts]
    assert found["pixel_accuracy"] == reference.accuracy_score(true, guess)
    assert found["loss"] == pytest.approx(-log_softmax(LOGITS, -1)[counts, true].mean(), rel=1e-5)
    scored = [i for i in range(4) if i != ignore]  # also where the class to ignore is predicted
    per_class = reference.jaccard_score(true, guess, average=None, labels=scored)
    assert {name: value for name, value in found.items() if name.startswith("iou_")} == {
        f"iou_{'abcd'[i]}": value for i, value in zip(scored, per_class, strict=True)
    }
    assert found["mean_iou"] == pytest.approx(per_class.mean(), rel=1e-12)


def test_the_best_parameters_by_the_iou_of_one_class_are_those_of_the_highest():
    assert is_higher_better(Segmentation(), "iou_road")
    assert not is_higher_better(Segmentation(), "loss")


def test_iou_by_hand(info):
    """Two pictures of two pixels; of the classes a, b, c, d the last is in neither truth nor prediction."""
    true = np.array([[[0, 0]], [[1, 255]]], np.uint8)
    guess = np.array([[[0, 1]], [[2, 0]]])
    logits = np.eye(4, dtype=np.float32)[guess] * 9
    found, _ = evaluate(Segmentation(), info("segmentation", (1, 2, 4), 4), jnp.asarray(logits), jnp.asarray(true), 1)
    assert found["pixel_accuracy"] == 1 / 3
    assert (found["iou_a"], found["iou_b"]) == (1 / 2, 0)
    assert found["mean_iou"] == pytest.approx((1 / 2 + 0 + 0) / 3)  # c was predicted where b is; d does not count
    assert not {"iou_c", "iou_d"} & set(found)


def test_pictures_without_a_label_are_no_loss_and_no_gradient(info):
    loss = Segmentation().loss(info("segmentation", (1, 2, 3), 3))
    batch = {"x": np.ones((2, 1, 2, 3), np.float32), "y": np.full((2, 1, 2), 255, np.uint8), "weight": np.ones(2)}

    def value(scale):
        return loss(lambda params, state, x, **_: (x * params, state), scale, {}, batch, train=True)[0]

    assert jax.value_and_grad(value)(3.0) == (0.0, 0.0)


def test_a_class_to_ignore_is_an_index():
    with pytest.raises(UserError, match=r"--task\.ignore is the index of a class, or 255 for none, not 256"):
        Segmentation(256)


def test_a_unet_overfits_a_tiny_batch(info):
    record, task = info("segmentation", (8, 8, 1), 3), Segmentation()
    x, y = rng.normal(size=(2, 8, 8, 1)).astype(np.float32), rng.integers(0, 3, (2, 8, 8)).astype(np.uint8)
    batch = {"x": x, "y": y, "weight": np.ones(2, np.float32)}
    experiment = Experiment(
        UNet(3, width=8, depth=1), task=task, optimizer=Optimizer(learning_rate=0.02), train=Train(batch_size=2)
    )
    made = functions(experiment, record, steps=200)
    hyper = jax.tree.map(lambda a: a[0], hyper_parameters(experiment, [0]))
    run = jax.jit(lambda run: jax.lax.fori_loop(0, 200, lambda _, run: made.step(run, hyper, batch), run))(
        jax.jit(made.init)(hyper)
    )
    found = task.summarize(
        jax.tree.map(np.asarray, made.evaluate({"params": run.params, "state": run.state}, batch)[0])
    )
    assert found["mean_iou"] > 0.99


@pytest.fixture(scope="module")
def scenes_run(tmp_path_factory):
    """A tiny U-Net on the scenes of digits."""
    tiny = ("--model.width", "4", "--model.depth", "1", "--train.batch-size", "64", "--train.epochs", "1")
    return train(tmp_path_factory.mktemp("runs") / "scenes", "unet_digit_scenes", *tiny)


def test_evaluation_is_the_summary_whatever_the_batch_size(purezoo, scenes_run):
    summary = json.loads((scenes_run / "summary.json").read_text())["metrics"]["test"]
    assert {"loss", "pixel_accuracy", "mean_iou", "iou_background", "iou_9"} <= set(summary)
    found = json.loads(purezoo("eval", scenes_run, "--json", "--batch-size", 7)[1])
    assert found["metrics"] == pytest.approx(summary, rel=1e-6)


@pytest.fixture
def scene(tmp_path):
    """A scene as a picture, and two as NPZ."""
    from purezoo.train.data.scenes import read_scenes

    x = read_scenes().x[-2:]
    np.savez(tmp_path / "scenes.npz", x=x)
    Image.fromarray((x[0, ..., 0] / 16 * 255).round().astype(np.uint8)).save(tmp_path / "scene.png")
    return tmp_path / "scene.png", tmp_path / "scenes.npz"


def test_predictions_are_shares_and_masks(purezoo, scenes_run, scene):
    code, out, _ = purezoo("predict", scenes_run, *scene, "--format", "json", "--masks", "masks")
    records = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert [record["input"] for record in records] == [str(scene[0]), *(f"{scene[1]}[{i}]" for i in (0, 1))]
    for record, name in zip(records, ("scene", "scenes-0", "scenes-1"), strict=True):
        with Image.open(f"masks/{name}.png") as image:
            mask, colors = np.asarray(image), image.convert("RGB")
        assert mask.shape == (32, 32)
        np.testing.assert_array_equal(np.asarray(colors), palette()[mask])
        assert sum(record["shares"].values()) == pytest.approx(1)
        assert record["shares"]["background"] == np.mean(mask == 0)
        assert record["shares"]["3"] == np.mean(mask == 4)

    rows = list(csv.DictReader(io.StringIO(purezoo("predict", scenes_run, *scene, "--format", "csv")[1])))
    assert float(rows[2]["background"]) == records[2]["shares"]["background"]
    assert "background" in purezoo("predict", scenes_run, scene[0], "--top", 1)[1]


@pytest.mark.parametrize(
    ("name", "mask"),
    [("street.jpg", "street.png"), ("streets.npz[3]", "streets-3.png"), ("street[1].jpg", "street[1].png")],
)
def test_names_of_masks(name, mask):
    assert mask_name(name) == mask


def test_masks_replace_nothing(purezoo, scenes_run, digits_run, scene, tmp_path):
    scene[0].with_name("masks").mkdir()
    (tmp_path / "masks" / "scenes-1.png").write_text("mine")
    code, _, errors = purezoo("predict", scenes_run, *scene, "--masks", "masks")
    assert (code, errors) == (2, "purezoo: --masks: masks/scenes-1.png is there already, and is not replaced\n")
    assert [path.name for path in (tmp_path / "masks").iterdir()] == ["scenes-1.png"]
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "scene.png").write_bytes(scene[0].read_bytes())
    for args, message in (
        (
            (scenes_run, scene[0], tmp_path / "b" / "scene.png", "--masks", "new"),
            "two of the inputs would be written as new/scene.png",
        ),
        ((scenes_run, scene[0], "--masks", scene[1]), "is no folder"),
        ((digits_run, scene[0], "--masks", "new"), "learned a classification"),
    ):
        code, _, errors = purezoo("predict", *args)
        assert (code, errors.count("\n")) == (2, 1)
        assert message in errors


def test_pictures_of_a_run(purezoo, scenes_run, tmp_path):
    """Drawn for a set with labels of all kinds, and with fewer test images than the picture has rows."""
    y = rng.choice([0, 1, 255], (6, 4, 4))
    np.savez(tmp_path / "mine.npz", x=rng.integers(0, 256, (6, 4, 4, 3), np.uint8), y=y)
    args = ("--data.source", "mine.npz", "--model.classes", 2, "--model.width", 2, "--model.depth", 0)
    code, _, errors = purezoo(
        "train", "unet_digit_scenes", *args, "--train.batch-size", 2, "--train.epochs", 1, "--out", "run"
    )
    assert (code, errors) == (0, "")
    assert (tmp_path / "run" / "segmented.png").stat().st_size > 1000


def test_the_iou_of_a_class_that_validation_lacks_cannot_be_monitored(purezoo):
    x, y = rng.integers(0, 256, (4, 4, 4, 3), np.uint8), np.tile([0, 1], (4, 4, 2))
    splits = {"x_train": x, "y_train": y, "x_validation": x, "y_validation": 0 * y, "x_test": x, "y_test": y}
    np.savez("mine.npz", **splits)
    args = ("--data.source", "mine.npz", "--model.classes", 2, "--model.width", 2, "--model.depth", 0)
    code, _, errors = purezoo(
        "train", "unet_digit_scenes", *args, "--train.batch-size", 2, "--train.monitor", "iou_1", "--quiet"
    )
    assert (code, errors) == (
        2, "purezoo: --train.monitor iou_1: no validation example has what it is measured on\n"
    )  # fmt: skip


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("unet_digit_scenes", "--model.classes", "7"), "set --model.classes 11"),
        (("unet_digit_scenes", "--model.depth", "6"), "multiples of 64"),
        (("unet_digit_scenes", "--data.source", "digits"), "a class index for each pixel"),
        (("unet_digit_scenes", "--train.monitor", "mean_iuo"), "Did you mean 'mean_iou'?"),
        (("lenet_digits", "--data.source", "digit_scenes"), "one label for each example"),
    ],
)
def test_what_does_not_go_together_is_refused(purezoo, args, message):
    code, out, errors = purezoo("train", *args)
    assert (code, out, errors.count("\n")) == (2, "", 1)
    assert message in errors


def test_a_network_that_gives_no_pixels_is_refused(purezoo, tmp_path):
    (tmp_path / "mine.py").write_text(
        "from dataclasses import replace\n"
        "from purezoo.configs.unet_digit_scenes import EXPERIMENT as SCENES\n"
        "from purezoo.models import LeNet\n"
        "EXPERIMENT = replace(SCENES, model=LeNet(classes=11))\n"
    )
    code, _, errors = purezoo("train", "mine.py")
    assert code == 2
    assert "LeNet gives outputs of shape (11,), and one is needed for each of 32 x 32 pixels" in errors
