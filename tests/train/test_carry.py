"""A network that carries its state trains on windows in their order, and is evaluated over a split in one piece."""

import json
import os
import signal
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from purezoo.models import RNNLanguageModel
from purezoo.train.config import Experiment, Train
from purezoo.train.data import Data, load
from purezoo.train.data.examples import take
from purezoo.train.data.order import Order
from purezoo.train.loop import History
from purezoo.train.optimizers import Optimizer
from purezoo.train.steps import functions, hyper_parameters
from purezoo.train.tasks import Language

from .conftest import QUICK, train

SMALL = ("--model.vocabulary", "21", "--model.hidden", "8", "--model.embedding", "4", "--data.window", "16")
CARRIED = (*SMALL, "--train.batch-size", "4")  # of lstm_text, which carries its state


@pytest.fixture(scope="module")
def carried_run(tmp_path_factory, text_file):
    """Two seeds in one program, with early stopping and a moving average."""
    several = ("--train.seeds", "2", "--train.together", "yes", "--train.patience", "9", "--optimizer.ema", "0.5")
    flags = ("--data.source", str(text_file), *CARRIED, *several, "--train.epochs", "2")
    return train(tmp_path_factory.mktemp("runs") / "carried", "lstm_text", *flags)


def test_windows_come_in_turn():
    order = Order([0], np.arange(100, 122), 4, in_turn=True)  # 22 windows: 4 parts of 5, and 2 over
    first = order.rows(0, 10, 10)
    np.testing.assert_array_equal(first[1:5], first[:4] + 1)
    np.testing.assert_array_equal(np.diff(first[0]), 5)
    np.testing.assert_array_equal(first[2:4], order.rows(2, 2, 2))
    begins = {int(order.rows(5 * epoch, 1, 1)[0, 0]) for epoch in range(40)}
    assert begins == {100, 101, 102}
    assert first.min() >= 100
    assert first.max() <= 121


def test_seeds_begin_where_they_like_but_not_apart_from_their_own_runs():
    rows = np.arange(30)
    together = Order([3, 4], rows, 4, in_turn=True).rows(6, 3, 2)
    for place, seed in enumerate((3, 4)):
        np.testing.assert_array_equal(together[:, place], Order([seed], rows, 4, in_turn=True).rows(6, 3, 2))


def test_each_step_begins_where_the_last_one_ended_and_each_epoch_anew(text_file):
    model = RNNLanguageModel(vocabulary=21, embedding=4, hidden=8, carry=True)
    experiment = Experiment(
        model=model,
        data=Data(source=str(text_file), window=16),
        task=Language(),
        optimizer=Optimizer("sgd", learning_rate=0.0),  # the weights stay: the losses tell the states apart
        train=Train(batch_size=4),
    )
    data = load(experiment.data, "language")
    made = functions(experiment, data.info, steps=10)
    hyper = jax.tree.map(lambda a: a[0], hyper_parameters(experiment, [0]))
    run, order, step = made.init(hyper), Order([0], data.splits["train"], 4, in_turn=True), jax.jit(made.step)
    assert made.present(run)["state"] == {}
    rows = order.rows(0, order.per_epoch + 1, order.per_epoch + 1)
    losses = []
    for part in rows:
        before = run.sums["loss"][0]
        run = step(run, hyper, {"x": take(data.x, part), "y": take(data.y, part)})
        losses.append(float(run.sums["loss"][0] - before))
    plain = replace(model, carry=False).build()

    def loss(parts):  # of each window, of texts that are read from the first window on
        x, y = (take(examples, parts.T.ravel()).reshape(4, -1) for examples in (data.x, data.y))
        logits = plain.apply(run.params, {}, jnp.asarray(x))[0]
        return optax.softmax_cross_entropy_with_integer_labels(logits, y.astype(int)).reshape(4, -1, 16).sum((0, 2))

    np.testing.assert_allclose(losses[:-1], loss(rows[:-1]), rtol=1e-4)
    np.testing.assert_allclose(losses[-1:], loss(rows[-1:]), rtol=1e-4)


def test_a_split_is_evaluated_in_one_piece_whatever_the_batch(purezoo, carried_run):
    found = [
        json.loads(purezoo("eval", carried_run, "--batch-size", n, "--json")[1])["metrics"]["loss"] for n in (1, 4, 99)
    ]
    assert found[1:] == pytest.approx(found[:1] * 2, rel=1e-5)
    recorded = json.loads((carried_run / "summary.json").read_text())["metrics"]["test"]["loss"]
    assert recorded == pytest.approx(found[0], rel=1e-5)


def test_no_batch_is_remembered_in_the_weights(purezoo, carried_run, text_file):
    flags = ("--data.source", text_file, *CARRIED, "--train.batch-size", 8, "--train.epochs", 1, *QUICK)
    code, _, errors = purezoo("train", "lstm_text", *flags, "--init.from", carried_run, "--out", "on")
    assert (code, errors) == (0, "")
    assert purezoo("generate", "on", "--length", 5)[0] == 0


def test_resumed_it_ends_where_it_would_have(purezoo, text_file, monkeypatch):
    flags = ("--data.source", text_file, *CARRIED, "--train.epochs", 2, "--train.eval-every", 3, *QUICK)
    assert purezoo("train", "lstm_text", *flags, "--out", "whole")[0] == 0
    write = History.write

    def write_and_stop(self, lines):
        write(self, lines)
        if lines[0]["step"] == 9:  # in the middle of an epoch
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(History, "write", write_and_stop)
    assert purezoo("train", "lstm_text", *flags, "--out", "part")[0] == 130
    monkeypatch.setattr(History, "write", write)
    assert purezoo("train", "--resume", "part", *QUICK)[0] == 0
    for name in ("model.safetensors", "metrics.jsonl"):
        assert Path("part", name).read_bytes() == Path("whole", name).read_bytes()


@pytest.mark.parametrize(
    ("config", "flags", "said"),
    [
        ("lstm_text", ("--train.accumulate", 2), "without --train.accumulate"),
        ("sunspots", ("--model.carry",), "--model.carry is for windows of a text"),
    ],
)
def test_what_is_refused(purezoo, text_file, config, flags, said):
    source = ("--data.source", text_file, *SMALL, "--train.batch-size", 4) if config == "lstm_text" else ()
    code, _, errors = purezoo("train", config, *source, *flags)
    assert (code, said in errors) == (2, True), errors
