"""Flow matching: the loss by hand and whatever the batch, likelihoods that are known, and a run of a flow."""

import json
from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from scipy import stats

from purezoo.errors import UserError
from purezoo.models import FlowUNet, Model
from purezoo.models.flows import NO_CLASS
from purezoo.train.cli import run
from purezoo.train.config import Experiment
from purezoo.train.data import Dataset
from purezoo.train.evaluation import add_up, masked_batches, of_seed
from purezoo.train.flow import FlowMatching, continuous, raw_values
from purezoo.train.flow_likelihood import flow_likelihood
from purezoo.train.flow_samples import Drawing
from purezoo.train.tasks import keys_of

N, SHAPE = 40, (2, 2, 1)
random = np.random.default_rng(0)
BYTES = random.integers(0, 256, (N, *SHAPE)).astype(np.uint8)
LABELS = (np.arange(N) % 3).astype(np.int32)
MEAN, STD = 100.0, 60.0


@pytest.fixture
def record(info):
    made = replace(info("reconstruction", SHAPE, 3), x_mean=(MEAN,), x_std=(STD,), pixel_max=255.0)
    return replace(made, counts={"test": N})


def to_normal(params, state, noisy, *, key=None, train=False):
    """The velocity from noise to the normal distribution around the class with deviation 0.5."""
    t = noisy.time[:, None, None, None]
    mean = jnp.where(noisy.label == NO_CLASS, 0, noisy.label)[:, None, None, None]
    along = (0.25 * t - (1 - t)) / ((1 - t) ** 2 + 0.25 * t**2)
    return mean + along * (noisy.x - t * mean), state


@dataclass(frozen=True)
class Normal:
    """A network whose likelihood is known."""

    def build(self):
        return Model(lambda key, spec: ({}, {}), to_normal)


def standardised(x):
    return jnp.asarray((x - MEAN) / STD, jnp.float32)


def metrics_of(record, size):
    task, x = FlowMatching(), standardised(BYTES)
    loss = jax.jit(lambda batch: task.loss(record)(to_normal, {}, {}, batch, train=False)[1][1])

    def batch(rows, weight):
        return loss({"x": x[rows], "y": LABELS[rows], "row": rows, "weight": weight})

    return task.summarize(of_seed(add_up(batch(*one) for one in masked_batches(np.arange(N), size)), 0))


def test_metrics_do_not_depend_on_the_batch(record):
    found = metrics_of(record, 7)
    assert found == pytest.approx(metrics_of(record, N), rel=1e-5)
    assert found["velocity_rmse"] == pytest.approx(np.sqrt(found["loss"]))


def test_the_loss_of_an_example_by_hand(record):
    spread, start, order = (keys[0] for keys in keys_of(jnp.array([3]), 3))
    data = standardised(BYTES[3]) + jax.random.uniform(spread, SHAPE) / STD
    noise, t = jax.random.normal(start, SHAPE), jax.random.uniform(order, ())
    mean = LABELS[3]
    along = (0.25 * t - (1 - t)) / ((1 - t) ** 2 + 0.25 * t**2)
    error = mean + along * ((1 - t) * noise + t * data - t * mean) - (data - noise)
    batch = {"x": standardised(BYTES[3:4]), "y": LABELS[3:4], "row": jnp.array([3]), "weight": jnp.ones(1)}
    found, _ = FlowMatching().loss(record)(to_normal, {}, {}, batch, train=False)
    assert float(found) == pytest.approx(float(np.square(error).mean()), rel=1e-4)


def test_training_hides_a_share_of_the_classes_and_spreads_times_evenly(record):
    n, seen = 10_000, []

    def apply(params, state, noisy, *, key=None, train=False):
        seen.append(noisy)
        return jnp.zeros_like(noisy.x), state

    x = jnp.zeros((n, *SHAPE))
    batch = {"x": x, "y": jnp.full(n, 2), "weight": jnp.ones(n)}
    for share in (0.0, 0.2):
        FlowMatching(unlabelled=share).loss(record)(apply, {}, {}, batch, key=jax.random.key(0), train=True)
        hidden = np.asarray(seen[-1].label) == NO_CLASS
        assert hidden.mean() == pytest.approx(share, abs=0.02)
        assert (np.asarray(seen[-1].label)[~hidden] == 2).all()
    counts, _ = np.histogram(seen[-1].time, bins=10, range=(0, 1))
    assert np.abs(counts - n / 10).max() <= 1


def test_bytes_are_spread_over_their_bins_and_come_back(record):
    x = standardised(BYTES)
    spread = continuous(record, jax.random.key(0), x)
    inside = np.asarray(spread - x) * STD
    assert inside.min() > -1e-3
    assert inside.max() < 1 + 1e-3
    assert inside.std() == pytest.approx(np.sqrt(1 / 12), rel=0.1)
    middle = x + 0.5 / STD
    np.testing.assert_array_equal(raw_values(record, np.asarray(middle)), BYTES)
    assert raw_values(record, np.array([-5.0, 9.0])).tolist() == [0, 255]
    np.testing.assert_array_equal(continuous(replace(record, pixel_max=1.0), jax.random.key(0), x), x)


def likelihood(record, rows=4, samples=1, steps=60):
    dataset = Dataset(BYTES, LABELS, {"test": np.arange(rows, dtype=np.int32)}, record, set())
    experiment = Experiment(Normal(), task=FlowMatching())
    return flow_likelihood(experiment, {"params": {}, "state": {}}, dataset, "test", samples, steps)


def test_the_likelihood_is_that_of_the_normal_distribution_in_bytes(record):
    spread = keys_of(jnp.arange(4), 3)[0]
    values = np.asarray(continuous(record, spread, standardised(BYTES[:4]))).reshape(4, -1)
    density = stats.norm.logpdf(values, LABELS[:4, None], 0.5) - np.log(STD)  # in the units of bytes
    found = likelihood(record)
    assert found["log_likelihood"] == pytest.approx(density.sum(1).mean(), rel=1e-3)
    assert found["bits_per_dimension"] == pytest.approx(-found["log_likelihood"] / (4 * np.log(2)))


def test_the_likelihood_is_one_of_each_example(record, monkeypatch):
    whole = likelihood(record, rows=5)
    monkeypatch.setattr("purezoo.train.flow_likelihood.EXAMPLES", 2)
    assert likelihood(record, rows=5) == pytest.approx(whole, rel=1e-5)


def test_what_a_flow_cannot_learn_is_refused(record):
    with pytest.raises(UserError, match=r"--task.unlabelled is a share in \[0, 1\), not 1"):
        FlowMatching(unlabelled=1)
    half = Dataset(BYTES + np.float32(0.5), LABELS, {}, record, set())
    with pytest.raises(UserError, match="pixels up to 255 that are no whole numbers"):
        FlowMatching().check_data(half)


SMALL = ("--model.width", 8, "--model.depth", 0, "--model.heads", 0, "--train.eval-every", 0)


@pytest.fixture(scope="module")
def flow_run(tmp_path_factory):
    """A small flow on the digits, and its pictures."""
    folder = tmp_path_factory.mktemp("runs") / "flow"
    flags = (*SMALL, "--train.epochs", 2, "--augment.shift", 1, "--quiet", "--out", folder)
    assert run(["train", "flow_digits", *map(str, flags)]) == 0
    return folder


def test_a_run_leaves_samples_and_is_evaluated_again(purezoo, flow_run):
    assert Image.open(flow_run / "samples.png").size == (560, 560)
    assert not (flow_run / "reconstructions.png").exists()
    summary = json.loads((flow_run / "summary.json").read_text())["metrics"]["test"]
    found = json.loads(purezoo("eval", flow_run, "--json", "--batch-size", 7, "--samples", 1, "--steps", 3)[1])
    assert {name: found["metrics"][name] for name in summary} == pytest.approx(summary, rel=1e-5)
    assert (found["samples"], found["steps"]) == (1, 3)
    assert np.isfinite(found["metrics"]["bits_per_dimension"])


def test_images_are_drawn_by_seed_and_class(purezoo, flow_run):
    def drawn(name, *flags):
        code, out, errors = purezoo("generate", flow_run, "--out", f"{name}.png", "--count", 4, "--steps", 3, *flags)
        assert (code, out, errors) == (0, f"{name}.png: 4 images\n", "")
        return np.asarray(Image.open(f"{name}.png"))

    one = drawn("a", "--seed", 1, "--classes", 3, 5)
    assert one.shape == (2 * 56, 2 * 56)
    np.testing.assert_array_equal(drawn("b", "--seed", 1, "--classes", 3, 5, 3, 5, "--guidance", 1), one)
    for i, flags in enumerate((("--seed", 2), ("--classes", 5, 3), ("--guidance", 3), ("--sampler", "stochastic"))):
        other = drawn(
            f"other{i}", *(("--seed", 1, "--classes", 3, 5) if "--classes" not in flags else ("--seed", 1)), *flags
        )
        assert not np.array_equal(other, one), flags


def test_strange_examples_are_told(purezoo, flow_run, tmp_path):
    np.savez("x.npz", x=random.choice([0, 16], (3, 8, 8, 1)).astype(np.float32))
    records = [json.loads(line) for line in purezoo("predict", flow_run, "x.npz", "--format", "json")[1].splitlines()]
    assert all(record["restored"]["anomaly"] for record in records)


def test_classes_are_drawn_in_turn_where_they_were_told(record):
    told, free = Experiment(FlowUNet(classes=3), task=FlowMatching()), Experiment(FlowUNet(classes=0))
    assert Drawing().labels(told, record, 5).tolist() == [0, 1, 2, 0, 1]
    assert Drawing(classes=("c", "a")).labels(told, record, 3).tolist() == [2, 0, 2]
    assert Drawing().labels(free, record, 2).tolist() == [NO_CLASS, NO_CLASS]
    for drawing in (Drawing(classes=("a",)), Drawing(guidance=2)):
        with pytest.raises(UserError, match="this one was told none"):
            drawing.labels(free, record, 2)
    always = replace(told, task=FlowMatching(unlabelled=0))
    assert always.task.errors(record) is None, "it has learned nothing of what has no class"
    with pytest.raises(UserError, match="is for a network trained with"):
        Drawing(guidance=2).labels(always, record, 2)


def test_what_does_not_go_together_is_refused(purezoo, flow_run, digits_run):
    draw = ("generate", flow_run, "--out", "new.png")
    for args, message in (
        (
            ("train", "flow_digits", "--model.classes", 3),
            "told 3 classes, and the data have 10: set --model.classes 10",
        ),
        (("train", "flow_digits", "--model.patch", 3), "height and width are multiples of 6"),
        (("train", "flow_digits", "--model.width", 9), "width is a multiple of 8"),
        ((*draw, "--classes", 3, 11), "the run knows no class '11'"),
        ((*draw, "--steps", 0), "--steps is at least 1"),
        ((*draw, "--guidance", -1), "--guidance is at least 0"),
        (("generate", digits_run, "--out", "new.png", "--steps", 5), "has no distribution to draw images from"),
        (("generate", flow_run), "--out samples.png draws images"),
        (("eval", flow_run, "--samples", 1, "--steps", 0), "--steps is at least 1"),
        (("encode", flow_run, "x.npz", "--out", "codes.npz"), "has no encoder"),
    ):
        code, out, errors = purezoo(*args)
        assert (code, out, errors.count("\n")) == (2, "", 1), args
        assert message in errors
