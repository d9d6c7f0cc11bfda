"""Fine-tuning: weights from a run or a file, a new head, frozen parameters and rates of their own."""

import json
import shutil
from dataclasses import replace

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from purezoo.models import MLP, RNNLanguageModel, ViT, pytorch
from purezoo.models.resnet import ResNet
from purezoo.train import weights
from purezoo.train.config import Experiment, Train, from_json, to_json
from purezoo.train.data import Data
from purezoo.train.init import Init
from purezoo.train.optimizers import Optimizer
from purezoo.train.start import Start, fitted, remedy
from purezoo.train.steps import functions, hyper_parameters

from .conftest import QUICK
from .test_resume import interrupt  # noqa: F401  a fixture

RATE = 0.1
BASE = Experiment(
    model=MLP(outputs=3, widths=(5, 4), batch_norm=True),
    data=Data("iris"),
    optimizer=Optimizer("sgd", learning_rate=RATE),
    train=Train(batch_size=12),
)
FIRST = ("dense1", "batch_norm1")
DIGITS = ("train", "mlp_digits", "--model.widths", "16", "--train.epochs", "1", *QUICK)


@pytest.fixture
def batch():
    random = np.random.default_rng(0)
    return {
        "x": random.normal(size=(12, 4)).astype(np.float32),
        "y": random.integers(0, 3, 12),
        "weight": np.ones(12, np.float32),
    }


@pytest.fixture
def steps_of(info, batch):
    """`steps_of(experiment, n, start)`: the run's state before the first and after each of n steps."""

    def take(experiment: Experiment, n: int = 3, start=None):
        made = functions(experiment, info("classification", (4,), 3), steps=10)
        hyper = jax.tree.map(lambda a: a[0], hyper_parameters(experiment, [0]))
        step, runs = jax.jit(made.step), [jax.jit(made.init)(hyper, start or {})]
        for _ in range(n):
            runs.append(step(runs[-1], hyper, batch))
        return runs

    return take


def changed(init=BASE.init, train=BASE.train, **optimizer) -> Experiment:
    return replace(BASE, init=init, train=train, optimizer=replace(BASE.optimizer, **optimizer))


def leaves(run) -> dict[str, np.ndarray]:
    return {name: np.asarray(leaf) for name, leaf in weights.named({"p": run.params, "s": run.state}).items()}


OPTIMIZERS = {
    "sgd with all that is around it": {"weight_decay": 0.1, "clip": 0.1, "l1": 0.01, "l2": 0.01, "ema": 0.9},
    "adamw": {"name": "adamw", "weight_decay": 0.1},
    "lion": {"name": "lion", "weight_decay": 0.1},
    "lamb": {"name": "lamb", "weight_decay": 0.1},
    "muon": {"name": "muon"},
    "prodigy": {"name": "prodigy", "weight_decay": 0.1},
    "lbfgs": {"name": "lbfgs", "learning_rate": 1.0},
}


@pytest.mark.parametrize("what", OPTIMIZERS)
def test_frozen_is_bit_identical(steps_of, what):
    """Parameters, their moving average and the statistics of batch norm; all others change."""
    runs = steps_of(changed(Init(freeze=FIRST), **OPTIMIZERS[what]))
    before, after = leaves(runs[0]), leaves(runs[-1])
    still = {name for name in before if name.split(".")[0] in FIRST}
    assert len(still) == 5
    assert {name for name in before if np.array_equal(before[name], after[name])} == still
    if runs[-1].ema:
        np.testing.assert_array_equal(runs[-1].ema["dense1"]["kernel"], runs[0].params["dense1"]["kernel"])
    assert jax.tree.structure(runs[0]) == jax.tree.structure(runs[-1])


def test_frozen_parameters_cost_nothing(steps_of, info, batch):
    """The optimiser has no state for them, and the gradient with respect to them is not computed."""
    run = steps_of(changed(Init(freeze=FIRST), name="adam"), 0)[0]
    sizes = sorted(leaf.size for leaf in jax.tree.leaves(run.opt) if leaf.ndim)
    trained = sorted(
        leaf.size for name, leaf in leaves(run._replace(state={})).items() if name.split(".")[0] not in FIRST
    )
    assert sizes == sorted(trained * 2)

    def flops(init):
        wide = replace(changed(init), model=MLP(outputs=3, widths=(256, 256)))
        made = functions(wide, info("classification", (4,), 3), steps=10)
        hyper = jax.tree.map(lambda a: a[0], hyper_parameters(wide, [0]))
        return jax.jit(made.step).lower(made.init(hyper), hyper, batch).compile().cost_analysis()["flops"]

    assert flops(Init(freeze=("dense1", "dense2"))) < 0.5 * flops(Init())


def test_frozen_parameters_do_not_count_in_the_norm_that_is_clipped(steps_of):
    before, after = steps_of(changed(Init(freeze=("dense1", "dense2", "batch_norm*")), clip=1e-3), 1)
    way = [after.params["dense3"][name] - before.params["dense3"][name] for name in ("kernel", "bias")]
    np.testing.assert_allclose(np.sqrt(sum(np.sum(np.square(leaf)) for leaf in way)), RATE * 1e-3, rtol=1e-3)


def test_frozen_batch_norm_uses_its_averages_in_training(steps_of, info, batch):
    """With all averages frozen the loss of a step is that of an evaluation."""
    start = {"batch_norm1.mean": np.full(5, 0.3, np.float32), "batch_norm2.var": np.full(4, 2, np.float32)}
    for init, same in (
        (Init(freeze=("batch_norm*",)), True),
        (Init(freeze=("*.mean", "*.var")), True),
        (Init(), False),
    ):
        before, after = steps_of(changed(init), 1, start)
        made = functions(changed(init), info("classification", (4,), 3), steps=10)
        evaluated = made.evaluate({"params": before.params, "state": before.state}, batch)[0]["loss"]
        assert np.allclose(after.sums["loss"][0], evaluated[0], rtol=1e-5) == same
        np.testing.assert_array_equal(before.state["batch_norm1"]["mean"], start["batch_norm1.mean"])


def test_accumulated_and_mapped_over_seeds(info, batch, steps_of):
    init = Init(freeze=FIRST, rates={"dense3": 0.5})
    plain = replace(changed(init), model=MLP(outputs=3, widths=(5, 4)), init=replace(init, freeze=("dense1",)))
    whole = steps_of(plain)[-1]
    parts = steps_of(replace(plain, train=Train(batch_size=12, accumulate=4)))[-1]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7), parts.params, whole.params)
    made = functions(plain, info("classification", (4,), 3), steps=10)
    hyper = hyper_parameters(plain, [0, 1])
    start = {"dense1.kernel": jnp.stack([jnp.zeros((4, 5)), jnp.ones((4, 5))])}
    both = jax.vmap(made.init)(hyper, start)
    for _ in range(2):
        both = jax.vmap(made.step, in_axes=(0, 0, None))(both, hyper, batch)
    np.testing.assert_array_equal(both.params["dense1"]["kernel"], start["dense1.kernel"])
    assert not np.array_equal(both.params["dense2"]["kernel"][0], both.params["dense2"]["kernel"][1])


def test_rates_multiply_the_update_and_the_last_that_matches_counts(steps_of):
    rates = {"*": 0.5, "dense2": 2.0, "dense3": 3.0, "dense3.bias": 0.1}
    before, plain = steps_of(changed(weight_decay=0.1), 1)
    _, scaled = steps_of(changed(Init(rates=rates), weight_decay=0.1), 1)
    first, plain, scaled = leaves(before), leaves(plain), leaves(scaled)
    for name, factor in {"dense1.kernel": 0.5, "dense2.kernel": 2.0, "dense3.bias": 0.1}.items():
        np.testing.assert_allclose(
            scaled[name] - first[name], factor * (plain[name] - first[name]), rtol=1e-4, atol=1e-7
        )


def test_the_optimizer_starts_at_the_weights_of_the_file(steps_of):
    """Some keep the first parameters in their state, and so do the moving average and the best so far."""
    start = {"dense1.kernel": np.full((4, 5), 0.25, np.float32)}
    run = steps_of(changed(name="prodigy", ema=0.9, train=Train(batch_size=12, patience=1)), 0, start)[0]
    for tree in (run.params, run.ema, run.best["params"], run.opt):
        assert any(np.array_equal(leaf, start["dense1.kernel"]) for leaf in jax.tree.leaves(tree))


def test_json_there_and_back():
    init = Init("runs/a", fresh=("dense3",), freeze=("conv*",), rates={"dense1": 0.1}, sha256=("0",))
    assert from_json(Experiment, json.loads(json.dumps(to_json(replace(BASE, init=init))))).init == init
    assert from_json(Init, {}) == Init()


# From files


def test_fresh_layers_are_not_those_that_the_source_began_with(steps_of):
    """Its other layers have learned around these."""
    source = steps_of(changed(), n=0)[0]
    start = {name: leaf for name, leaf in weights.named({"p": source.params}).items() if not name.startswith("dense3")}
    fresh = steps_of(changed(Init("runs/a", fresh=("dense3",))), n=0, start=start)[0]
    assert np.array_equal(fresh.params["dense2"]["kernel"], source.params["dense2"]["kernel"])
    assert not np.isin(fresh.params["dense3"]["kernel"], source.params["dense3"]["kernel"]).any()


def test_from_a_run(purezoo, digits_run, tmp_path):
    """All but the head; config.json says from what; evaluation and prediction need the folder alone."""
    shutil.copytree(digits_run, "first")
    args = ("--init.from", "first", "--init.fresh", "dense2", "--init.freeze", "dense1", "--optimizer.ema", "0.9")
    code, out, _ = purezoo("train", "mlp_digits", "--model.widths", "16", "--train.epochs", "1", *args, "--no-pictures")
    assert code == 0
    assert f"weights of {tmp_path}/first, new dense2, 1,040 of 1,210 parameters frozen" in out
    first, second = (load_file(f"{folder}/model.safetensors") for folder in ("first", "runs/mlp_digits"))
    for name, array in first.items():
        assert np.array_equal(second[name], array) == name.startswith("dense1"), name
    record = json.loads((tmp_path / "runs/mlp_digits/config.json").read_text())["init"]
    assert record["source"] == str(tmp_path / "first")
    assert [len(digest) for digest in record["sha256"]] == [64]
    shutil.rmtree("first")
    np.savez(tmp_path / "x.npz", x=np.zeros((2, 8, 8, 1), np.float32))
    assert purezoo("eval", "runs/mlp_digits")[0] == 0
    assert purezoo("predict", "runs/mlp_digits", "x.npz")[0] == 0


@pytest.mark.parametrize("together", ["yes", "no"])
def test_each_seed_from_its_own(purezoo, seeds_run, tmp_path, together):
    several = (
        "--train.seeds",
        "2",
        "--train.together",
        together,
        "--train.epochs",
        "1",
        "--optimizer.learning-rate",
        "0",
    )
    assert purezoo("train", "mlp_wine", *several, "--init.from", seeds_run, "--out", "run", *QUICK)[0] == 0
    for seed in ("seed-0", "seed-1"):
        first, second = (load_file(f"{folder}/{seed}/model.safetensors") for folder in (seeds_run, tmp_path / "run"))
        for name in first:
            np.testing.assert_array_equal(second[name], first[name])
    code, _, errors = purezoo(
        "train", "mlp_wine", "--train.seed", 7, "--init.from", seeds_run, "--out", "other", *QUICK
    )
    assert code == 2
    assert f"has seed-0, seed-1, and this is seed 7: start from one of them, --init.from {seeds_run}/seed-0" in errors
    args = ("--train.seed", 7, "--init.from", seeds_run / "seed-0", "--out", "other", "--train.epochs", 1)
    assert purezoo("train", "mlp_wine", *args, *QUICK)[0] == 0


def test_resume_does_not_read_the_file_again(purezoo, digits_run, tmp_path, interrupt):  # noqa: F811
    often = ("--train.eval-every", "10", "--train.checkpoint-every", "10", "--train.patience", "9")
    args = (*DIGITS, *often, "--init.from", "first", "--init.freeze", "dense1")
    shutil.copytree(digits_run, tmp_path / "first")
    assert purezoo(*args, "--out", "straight")[0] == 0
    interrupt(2, 2)
    assert purezoo(*args, "--out", "stopped")[0] == 130
    shutil.rmtree("first")
    assert purezoo("train", "--resume", "stopped", *QUICK)[0] == 0
    for file in ("model.safetensors", "metrics.jsonl"):
        assert (tmp_path / "straight" / file).read_bytes() == (tmp_path / "stopped" / file).read_bytes()


def test_without_a_checkpoint_it_is_read_again_if_it_is_the_same(purezoo, digits_run, tmp_path, interrupt):  # noqa: F811
    shutil.copytree(digits_run, tmp_path / "first")
    interrupt(2, 1)
    assert purezoo(*DIGITS, "--train.eval-every", "10", "--init.from", "first", "--out", "run")[0] == 130
    shutil.rmtree("run/checkpoints")
    whole = (tmp_path / "first/model.safetensors").read_bytes()
    save_file({n: a + 1 for n, a in load_file("first/model.safetensors").items()}, "first/model.safetensors")
    code, _, errors = purezoo("train", "--resume", "run", *QUICK)
    assert code == 2
    assert "is not the file that --init.sha256 asks for" in errors
    (tmp_path / "first/model.safetensors").write_bytes(whole)
    assert purezoo("train", "--resume", "run", *QUICK)[0] == 0


# PyTorch's names


@pytest.fixture(scope="module")
def resnet():
    """A small network with a map, shapes of its weights, and weights as PyTorch has them."""
    network = ResNet(depth=18, classes=5)
    params, state = jax.eval_shape(
        network.build().init, jax.random.key(0), jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32)
    )
    like, random = {"params": params, "state": state}, np.random.default_rng(0)
    named, theirs = weights.named(like), {}
    for ours, name in pytorch.names(network).items():
        array = np.abs(random.normal(size=named[ours].shape)).astype(np.float32)
        axes = (3, 2, 0, 1) if array.ndim == 4 else tuple(range(array.ndim))[::-1]
        theirs[name] = np.ascontiguousarray(array.transpose(axes))
    return network, like, theirs


def test_weights_in_pytorchs_names(resnet, tmp_path):
    network, like, theirs = resnet
    save_file(theirs, tmp_path / "resnet18.safetensors")
    experiment = Experiment(network, init=Init(str(tmp_path / "resnet18.safetensors"), fresh=("stem",)))
    started = Start(experiment, like)([0])
    assert set(started) == {name for name in pytorch.names(network) if not name.startswith("stem.")}
    arrays = fitted(network, theirs, like, ())
    names = pytorch.names(network)
    assert set(arrays) == set(names)
    np.testing.assert_array_equal(arrays["head.kernel"], theirs[names["head.kernel"]].T)
    half = {name: array.astype(np.float16) for name, array in theirs.items()}
    assert {array.dtype for array in fitted(network, half, like, ()).values()} == {np.dtype("float32")}
    assert set(fitted(network, theirs, like, ("head",))) == {name for name in names if not name.startswith("head.")}


@pytest.mark.parametrize(
    ("network", "shape", "also"),
    [
        (RNNLanguageModel(5, 3, "lstm", 4, carry=True), (1, 2), {"rnn.bias_hh_l0": np.ones(16, np.float32)}),
        (ViT(patch=8, width=8, depth=1, heads=2), (1, 16, 16, 3), {"cls_token": np.ones(8, np.float32)}),
    ],
    ids=["a carried state is no weight", "a Vision Transformer from timm"],
)
def test_what_a_file_in_pytorchs_names_holds(network, shape, also):
    x = jax.ShapeDtypeStruct(shape, jnp.int32)
    like = dict(zip(("params", "state"), jax.eval_shape(network.build().init, jax.random.key(0), x), strict=True))
    needed = weights.named({"params": like["params"]})
    theirs = {
        name: np.ones(needed[ours].shape[:: -1 if ours.endswith("kernel") else 1], np.float32)
        for ours, name in pytorch.names(network, also).items()
    }
    assert set(fitted(network, theirs | also, like, ())) == set(needed)


def test_a_pytorch_file_that_does_not_fit(resnet):
    network, like, theirs = resnet
    head = pytorch.names(network)["head.kernel"]
    cases = [
        (theirs | {head: theirs[head][:3]}, f"{head} is"),
        ({name: array for name, array in theirs.items() if name != head}, f"missing: {head}"),
        (theirs | {"extra.weight": np.ones(1)}, "unexpected: extra.weight"),
        (theirs | {head: theirs[head].astype(np.int64)}, f"{head} is int64"),
    ]
    for tensors, said in cases:
        with pytest.raises(ValueError, match=said):
            fitted(network, tensors, like, ())
    assert remedy(network, cases[0][0], like, ()) == ". For a new head: --init.fresh head"
    assert remedy(network, cases[2][0], like, ()) == ""
    half = {name: array.astype(ml_dtypes.bfloat16) for name, array in cases[0][0].items()}
    assert remedy(network, half, like, ()) == ". For a new head: --init.fresh head"
    stem = pytorch.names(network)["stem.conv1.kernel"]
    both = {head: theirs[head][:3], stem: theirs[stem][:, :1]}
    said = ". For a new head and stem.conv1: --init.fresh head stem.conv1"
    assert remedy(network, theirs | both, like, ()) == said


# What is refused


def small(**changes) -> dict[str, np.ndarray]:
    """The weights of DIGITS' network, some changed or, with None, left out."""
    arrays = {
        "dense1.kernel": np.ones((64, 16), np.float32),
        "dense1.bias": np.ones(16, np.float32),
        "dense2.kernel": np.ones((16, 10), np.float32),
        "dense2.bias": np.ones(10, np.float32),
    }
    arrays |= {name.replace("_", "."): array for name, array in changes.items()}
    return {name: array for name, array in arrays.items() if array is not None}


HEAD = {"dense2_kernel": np.ones((16, 7), np.float32), "dense2_bias": np.ones(7, np.float32)}
FILES = {
    "other classes": (
        small(**HEAD),
        (),
        "'dense2.bias' has shape (7,), the network needs (10,) (1 more such differences). "
        "For a new dense2: --init.fresh dense2",
    ),
    "two layers": (
        small(**HEAD, dense1_kernel=np.ones((49, 16), np.float32), dense3_bias=np.ones(3, np.float32)),
        ("--model.widths", "16", "16", "--init.fresh", "dense3"),
        "For a new dense1 and dense2: --init.fresh dense3 dense1 dense2",
    ),
    "no head": (small(dense2_kernel=None, dense2_bias=None), (), "it has no 'dense2.bias'"),
    "another network": (
        {"a.kernel": np.ones((3, 3), np.float32)},
        (),
        "it has no 'dense1.bias'. (4 more such differences)",
    ),
    "something more": (
        small(dense3_bias=np.ones(10, np.float32)),
        (),
        "it has 'dense3.bias', which the network has not",
    ),
    "integers": (
        small(dense1_bias=np.ones(16, np.int32)),
        (),
        "'dense1.bias' has dtype int32, the network needs float32",
    ),
    "not finite": (small(dense1_bias=np.full(16, np.nan, np.float32)), (), "'dense1.bias' holds numbers that are not"),
    "all fresh": (small(**HEAD), ("--init.fresh", "*"), "--init.fresh * leaves nothing to take from it"),
    "nothing fresh": (
        small(),
        ("--init.fresh", "dens2"),
        "--init.fresh dens2 matches no parameter. Did you mean 'dense2'",
    ),
    "another file": (small(), ("--init.sha256", "abc"), "is not the file that --init.sha256 asks for: its SHA-256 is"),
    "wrong elsewhere": (small(**HEAD, dense1_bias=None), ("--init.fresh", "dense2"), "it has no 'dense1.bias'"),
}


@pytest.mark.parametrize("what", FILES)
def test_files_that_do_not_fit(purezoo, tmp_path, what):
    arrays, more, said = FILES[what]
    save_file(arrays, tmp_path / "file.safetensors")
    code, _, errors = purezoo(*DIGITS, "--init.from", "file.safetensors", *more, "--out", "run")
    assert (code, errors.count("\n")) == (2, 1), errors
    assert said in errors
    assert f"--init.from {tmp_path}/file.safetensors" in errors or "--init.fresh dens2" in errors
    assert not (tmp_path / "run").exists()


def test_what_is_left_out_of_the_file(purezoo, tmp_path):
    """A fresh pattern may also name what only the file has."""
    save_file(small(head_bias=np.ones(3, np.int32)), tmp_path / "file.safetensors")
    args = ("--init.from", "file.safetensors", "--init.fresh", "dense2", "head", "--out", "run")
    assert purezoo(*DIGITS, *args)[0] == 0


FLOAT8 = b'{"a":{"dtype":"F8_E4M3","shape":[2],"data_offsets":[0,2]}}'


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("file.safetensors", b"", "is damaged"),
        ("file.safetensors", len(FLOAT8).to_bytes(8, "little") + FLOAT8 + b"11", "has a dtype that is not read"),
        ("file.safetensors", b"\xff" * 40, "is damaged"),
        ("file.pth", b"", "is damaged"),
        ("file.pth", b"\x80\x02}.", "before PyTorch 1.6"),
        ("file.npz", b"", "weights come as a run's folder, .safetensors, .pth or .pt"),
    ],
)
def test_files_that_cannot_be_read(purezoo, tmp_path, name, data, said):
    (tmp_path / name).write_bytes(data)
    code, _, errors = purezoo(*DIGITS, "--init.from", name, "--out", "run")
    assert (code, errors.count("\n")) == (2, 1), errors
    assert said in errors
    assert not (tmp_path / "run").exists()
