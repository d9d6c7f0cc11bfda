"""Learning to restore: exact metrics in the pixels' own units, denoising and sparse codes; a run from its data to its
codes and its threshold for anomalies."""

import csv
import io
import json
import shutil
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from purezoo.errors import UserError
from purezoo.models import Autoencoder
from purezoo.train.config import Experiment, Train, load
from purezoo.train.data import Data
from purezoo.train.data import load as load_data
from purezoo.train.evaluation import add_up, masked_batches, of_seed
from purezoo.train.optimizers import Optimizer
from purezoo.train.reconstruction import Reconstruction
from purezoo.train.serve import open_run
from purezoo.train.steps import functions, hyper_parameters

N, SHAPE = 131, (3, 2, 2)
X = np.random.default_rng(0).normal(size=(N, *SHAPE)).astype(np.float32)
WHITE, DEVIATION = 255.0, (50.0, 20.0)
UNIT = np.array(DEVIATION) / WHITE


@pytest.fixture
def record(info):
    return replace(info("reconstruction", SHAPE, 0), x_std=DEVIATION, pixel_max=WHITE)


def halves(params, state, x, *, key=None, train=False):
    """A network that gives half of its input, and twice it as a code."""
    return (x / 2, 2 * x.reshape(len(x), -1)), state


def metrics_of(task, record, size, apply=halves):
    loss = jax.jit(lambda batch: task.loss(record)(apply, {}, {}, batch, train=False)[1][1])

    def batch(rows, weight):
        return loss({"x": X[rows], "row": rows, "weight": weight})

    return task.summarize(of_seed(add_up(batch(*one) for one in masked_batches(np.arange(N), size)), 0))


@pytest.mark.parametrize("size", [1, 7, 131, 1000])
def test_errors_are_in_the_pixels_own_units(record, size):
    found = metrics_of(Reconstruction(), record, size)
    assert found["loss"] == pytest.approx(np.mean((X / 2) ** 2), rel=1e-5)
    assert found["mse"] == pytest.approx(np.mean((X / 2 * UNIT) ** 2), rel=1e-5)
    assert found["rmse"] == pytest.approx(found["mse"] ** 0.5)
    assert set(found) == {"loss", "mse", "rmse"}


def test_errors_of_tables_stay_standardised(record):
    found = metrics_of(Reconstruction(), replace(record, pixel_max=0.0), 131)
    assert found["mse"] == pytest.approx(found["loss"])


@pytest.mark.parametrize("size", [1, 7, 131])
def test_noise_of_evaluation_belongs_to_the_example(record, size):
    """Whatever the batch: the network gives half of what it sees, and so half of the noise."""
    task = Reconstruction(noise=0.2)
    found, whole = metrics_of(task, record, size), metrics_of(task, record, N)
    assert found == pytest.approx(whole, rel=1e-5)
    assert found["noisy_rmse"] == pytest.approx(0.2, rel=0.05)
    assert found["mse"] == pytest.approx(np.mean((X / 2 * UNIT) ** 2), rel=1e-5)
    assert found["denoising_rmse"] == pytest.approx(np.hypot(found["rmse"], 0.1), rel=0.05)


def test_training_sees_noise_of_its_own_at_each_step(record):
    loss = Reconstruction(noise=0.2).loss(record)
    batch = {"x": jnp.asarray(X), "weight": jnp.ones(N)}
    seen = []

    def watch(params, state, x, *, key, train):
        seen.append(x)
        return x, state

    for seed in (0, 1):
        loss(watch, {}, {}, batch, key=jax.random.key(seed), train=True)
    noise = [np.asarray(x - X) * UNIT for x in seen]
    assert len(seen) == 2
    assert np.std(noise[0]) == pytest.approx(0.2, rel=0.05)
    assert abs(np.corrcoef(noise[0].ravel(), noise[1].ravel())[0, 1]) < 0.1


def test_sparsity_is_paid_for_in_the_loss(record):
    found = metrics_of(Reconstruction(sparsity=0.5), record, 7)
    assert found["code_magnitude"] == pytest.approx(np.mean(np.abs(2 * X)), rel=1e-5)
    assert found["loss"] == pytest.approx(np.mean((X / 2) ** 2) + 0.5 * found["code_magnitude"], rel=1e-5)
    assert found["code_active"] == pytest.approx(np.mean(np.abs(2 * X) > 1e-3), rel=1e-5)
    with pytest.raises(UserError, match="the network gives none"):
        metrics_of(Reconstruction(sparsity=0.5), record, 7, lambda params, state, x, **_: (x, state))


@pytest.mark.parametrize("wrong", [{"noise": -0.1}, {"sparsity": float("inf")}])
def test_noise_and_sparsity_are_no_less_than_nothing(wrong):
    with pytest.raises(UserError, match=r"--task\.\w+ is 0 or a positive number"):
        Reconstruction(**wrong)


def trained(record, x, steps, task, network):
    """Metrics and codes of a network after so many steps on one batch."""
    experiment = Experiment(network, task=task, optimizer=Optimizer(learning_rate=0.01), train=Train(batch_size=len(x)))
    made = functions(experiment, record, steps=steps)
    hyper = jax.tree.map(lambda a: a[0], hyper_parameters(experiment, [0]))
    batch = {"x": x, "y": np.zeros(len(x), np.int32), "weight": np.ones(len(x), np.float32)}
    run = jax.jit(lambda run: jax.lax.fori_loop(0, steps, lambda _, run: made.step(run, hyper, batch), run))(
        jax.jit(made.init)(hyper)
    )
    sums, _ = made.evaluate({"params": run.params, "state": run.state}, batch)
    return task.summarize(jax.tree.map(np.asarray, sums))


def test_an_autoencoder_overfits_a_tiny_batch_and_sparsity_silences_its_code(info):
    record, x = info("reconstruction", (6,), 0), np.random.default_rng(1).normal(size=(8, 6)).astype(np.float32)
    network = Autoencoder(latent=12, widths=(32,), nonnegative=True)
    plain, sparse = (trained(record, x, 400, Reconstruction(sparsity=s), network) for s in (1e-6, 0.02))
    assert plain["rmse"] < 0.02
    assert sparse["code_active"] < 0.7 * plain["code_active"]
    assert sparse["rmse"] < 0.4


TINY = ("--model.widths", "16", "--model.latent", "6", "--train.epochs", "3")


@pytest.fixture
def digits(tmp_path):
    """Three digits as NPZ, and one of them as a picture."""
    x = load_data(Data("digits"), "reconstruction").x[:3]
    np.savez(tmp_path / "digits.npz", x=x)
    Image.fromarray((x[0, ..., 0] / 16 * 255).round().astype(np.uint8)).save(tmp_path / "digit.png")
    return tmp_path / "digits.npz", tmp_path / "digit.png"


def test_evaluation_is_the_summary_whatever_the_batch_size(purezoo, denoising_run):
    summary = json.loads((denoising_run / "summary.json").read_text())["metrics"]["test"]
    assert set(summary) == {"loss", "mse", "rmse", "denoising_rmse", "noisy_rmse"}
    assert summary["denoising_rmse"] < summary["noisy_rmse"]
    found = json.loads(purezoo("eval", denoising_run, "--json", "--batch-size", 7)[1])
    assert found["metrics"] == pytest.approx(summary, rel=1e-5)


def test_a_prediction_is_an_error_and_a_verdict(purezoo, denoising_run, digits, tmp_path):
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (8, 8), np.uint8)).save(tmp_path / "noise.png")
    files = (*digits, "noise.png", "--false-alarms", 0.05)
    code, out, errors = purezoo("predict", denoising_run, *files, "--format", "json")
    records = [json.loads(line) for line in out.splitlines()]
    assert (code, errors) == (0, "")
    names = [*(f"{digits[0]}[{i}]" for i in range(3)), str(digits[1]), "noise.png"]
    assert [record["input"] for record in records] == names
    assert [record["restored"]["anomaly"] for record in records] == [False] * 4 + [True]
    assert records[0]["restored"]["error"] == pytest.approx(records[3]["restored"]["error"], rel=0.05)  # rounded pixels

    with_seeds = [np.load(denoising_run / f"seed-{seed}" / "errors.npz")["validation"] for seed in (0, 1)]
    validation, limit = np.mean(with_seeds, 0), records[0]["restored"]["threshold"]
    assert validation.shape == (144,)
    assert np.mean(validation > limit) <= 0.05 < np.mean(validation >= limit)

    rows = list(csv.DictReader(io.StringIO(purezoo("predict", denoising_run, *files, "--format", "csv")[1])))
    assert float(rows[4]["error"]) == pytest.approx(records[4]["restored"]["error"])
    table = purezoo("predict", denoising_run, *files)[1].splitlines()
    assert "anomaly (threshold" in table[4]
    assert "usual (threshold" in table[0]


def test_an_error_is_the_mean_square_of_what_is_missing(purezoo, denoising_run, digits):
    _, info, made, weights = open_run(denoising_run / "seed-0", trust=False)
    x = np.load(digits[0])["x"]
    restored = np.asarray(made.predict(weights, x)) * info.x_std + info.x_mean
    np.testing.assert_allclose(made.errors(weights, x), np.mean(((restored - x) / 16) ** 2, (1, 2, 3)), rtol=1e-4)


def test_codes_of_files(purezoo, denoising_run, digits):
    code, out, errors = purezoo("encode", denoising_run, *digits, "--out", "codes.npz")
    assert (code, out, errors) == (0, "codes.npz: codes [4, 6] and names\n", "")
    with np.load("codes.npz") as file:
        codes, names = file["codes"], file["names"]
    assert names.tolist() == [*(f"{digits[0]}[{i}]" for i in range(3)), str(digits[1])]
    experiment, info, _, weights = open_run(denoising_run / "seed-0", trust=False)
    x = (np.load(digits[0])["x"] - np.float32(info.x_mean)) / np.float32(info.x_std)
    np.testing.assert_allclose(
        codes[:3], experiment.model.build().encode(weights["params"], weights["state"], x), rtol=1e-4, atol=1e-5
    )


def test_codes_of_one_file_have_its_bare_name(purezoo, denoising_run, digits):
    assert purezoo("encode", denoising_run, digits[1], "--out", "codes.npz")[0] == 0
    with np.load("codes.npz") as file:
        assert file["names"].tolist() == ["digit.png"]


def test_what_encode_and_predict_refuse(purezoo, denoising_run, digits_run, digits, tmp_path):
    Image.new("L", (10, 9)).save(tmp_path / "large.png")
    (tmp_path / "mine.npz").write_text("mine")
    for args, message in (
        (("encode", digits_run, digits[1], "--out", "codes.npz"), "has no encoder: MLP makes no code"),
        (("encode", denoising_run, digits[1], "--out", "mine.npz"), "is there already, and is not replaced"),
        (("encode", denoising_run, digits[1], "--out", "none/codes.npz"), "in a folder that exists"),
        (("encode", denoising_run, digits[1]), "--out codes.npz"),
        (("encode", denoising_run, "large.png", "--out", "codes.npz"), "has 10 x 9 pixels, and the run was trained on"),
        (("predict", denoising_run, "large.png"), "has 10 x 9 pixels, and the run was trained on 8 x 8"),
        (("encode", denoising_run, "--by", "pca", "--out", "codes.npz"), "--by has no part in codes without a --map"),
        (("predict", denoising_run, digits[1], "--false-alarms", 1), "--false-alarms is a share between 0 and 1"),
    ):
        code, out, errors = purezoo(*args)
        assert (code, out, errors.count("\n")) == (2, "", 1)
        assert message in errors
    assert (tmp_path / "mine.npz").read_text() == "mine"
    assert not (tmp_path / "codes.npz").exists()


def test_without_a_validation_split_there_is_no_threshold(purezoo, digits):
    run = ("--data.validation", 0, *TINY, "--no-pictures", "--quiet", "--out", "run")
    assert purezoo("train", "denoising_digits", *run)[0] == 0
    code, out, errors = purezoo("predict", "run", digits[1], "--format", "json")
    assert (code, errors) == (0, "purezoo: run has no validation split, so no threshold tells anomalies\n")
    assert set(json.loads(out)["restored"]) == {"error"}


def test_a_damaged_record_of_errors_is_told(purezoo, denoising_run, digits):
    shutil.copytree(denoising_run / "seed-0", "run")
    for data in (b"", b"PK", (denoising_run / "seed-0" / "errors.npz").read_bytes()[:100]):
        Path("run/errors.npz").write_bytes(data)
        code, out, errors = purezoo("predict", "run", digits[1])
        assert (code, out, errors.count("\n")) == (2, "", 1)
        assert "run/errors.npz is damaged" in errors


def test_labels_stay_beside_the_examples_and_the_splits_are_those_of_classes():
    without, labelled = (load_data(Data("digits"), kind) for kind in ("reconstruction", "classification"))
    np.testing.assert_array_equal(without.y, labelled.y)
    assert without.info.classes == labelled.info.classes
    for split, rows in labelled.splits.items():
        np.testing.assert_array_equal(without.splits[split], rows)
    some = load_data(Data("digits", classes=("3", "5")), "reconstruction")
    assert set(some.y) == {0, 1}
    assert load_data(Data("diabetes"), "reconstruction").y.shape == (442, 1)


def test_a_source_needs_no_labels(purezoo, tmp_path):
    random = np.random.default_rng(0)
    np.savez("images.npz", x=random.integers(0, 256, (40, 8, 12, 3), np.uint8))
    np.savez("split.npz", x_train=random.normal(size=(40, 5)), x_test=random.normal(size=(9, 5)))
    rows = "\n".join(f"{a:.3f},{b:.3f}" for a, b in random.normal(size=(40, 2)))
    (tmp_path / "table.csv").write_text(f"width,height\n{rows}\n")
    for source, examples in (("images.npz", 8), ("split.npz", 9), ("table.csv", 8)):
        run = source.partition(".")[0]
        flags = (*TINY, "--train.batch-size", 4, "--data.source", source, "--out", run)
        code, said, errors = purezoo("train", "denoising_digits", *flags)
        assert (code, errors) == (0, "")
        assert f"{examples} test)" in said
        assert (tmp_path / run / "reconstructions.png").exists() == (source == "images.npz")
        if source == "images.npz":
            assert purezoo("predict", run, source)[0] == 0
            assert purezoo("show", run)[0] == 0


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--model.latent", "0"), "a code has at least 1 number, not 0"),
        (("--augment.crop", "4"), "not for images that are to be restored"),
        (("--data.source", "sunspots"), "a series: use a forecasting task"),
        (("--data.classes", "3", "11"), "has no class '11'"),
    ],
)
def test_what_does_not_go_together_is_refused(purezoo, flags, message):
    code, out, errors = purezoo("train", "denoising_digits", *flags)
    assert (code, out, errors.count("\n")) == (2, "", 1)
    assert message in errors


def test_a_network_that_restores_nothing_and_sequences_of_all_lengths_are_refused(purezoo, ts_file, tmp_path):
    (tmp_path / "mine.py").write_text(
        "from dataclasses import replace\n"
        "from purezoo.configs.denoising_digits import EXPERIMENT as DENOISING\n"
        "from purezoo.models import MLP\n"
        "EXPERIMENT = replace(DENOISING, model=MLP())\n"
    )
    code, _, errors = purezoo("train", "mine.py")
    assert (code, errors.count("\n")) == (2, 1)
    assert "MLP gives outputs of shape (10,), and is to restore examples of (8, 8, 1)" in errors
    code, _, errors = purezoo("train", "denoising_digits", "--data.source", ts_file)
    assert (code, errors.count("\n")) == (2, 1)
    assert "sequences of different lengths" in errors


def test_a_network_of_ones_own_may_give_the_reconstruction_alone(purezoo, tmp_path):
    (tmp_path / "mine.py").write_text(
        "from dataclasses import dataclass, replace\n"
        "from purezoo.configs.denoising_digits import EXPERIMENT as DENOISING\n"
        "from purezoo.models import Model, chain\n"
        "from purezoo.models.layers import conv\n"
        "@dataclass(frozen=True)\n"
        "class Smooth:\n"
        "    def build(self) -> Model:\n"
        "        return chain(conv(1, 3))\n"
        "EXPERIMENT = replace(DENOISING, model=Smooth())\n"
    )
    assert purezoo("train", "mine.py", "--train.epochs", 1, "--out", "run")[0] == 0
    assert (tmp_path / "run" / "reconstructions.png").stat().st_size > 1000
    experiment, _ = load(tmp_path / "run")
    assert experiment.task == Reconstruction(noise=0.3)
