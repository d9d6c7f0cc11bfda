"""Bad input: exit code 2, one line that names the culprit and the nearest right name, nothing left behind."""

import json
import shutil

import numpy as np
import pytest

from .conftest import QUICK

TRAIN = ("train", "mlp_digits")
OPTIMIZER, SCHEDULE = "--optimizer.name", "--optimizer.schedule.name"

# What is called, and what its one line of complaint must say.
SETTINGS = [
    (("tran",), "no command 'tran'. Did you mean 'train'?"),
    (("train",), "train what?"),
    (("train", "--quiet"), "train what?"),
    (("train", "--train.seeds", "5", "mlp_digits"), "train what? Name a config first"),
    (("show", "--input", "28", "28", "1", "lenet_mnist"), "show what? Name a network, a config or a run first"),
    (("train", "--resume", "runs/x", "--out", "runs/y"), "leave --out away"),
    (("train", "mlp_digit"), "no config is named 'mlp_digit'. Did you mean 'mlp_digits'?"),
    (("show", "MLP"), "no network or config is named 'MLP'. Did you mean 'mlp'?"),
    (("show", "mlp_digit"), "no network or config is named 'mlp_digit'. Did you mean 'mlp_digits'?"),
    (("train", "mlp_digits", "--resume", "runs/x"), "leave the config away"),
    ((*TRAIN, OPTIMIZER, "adm"), "no optimizer 'adm'. Did you mean 'adam'?"),
    ((*TRAIN, OPTIMIZER, "sophia"), "needs an estimate of the Hessian"),
    ((*TRAIN, OPTIMIZER, "sgd", "--optimizer.args", "momentun", "0.9"), "'momentun'"),
    ((*TRAIN, OPTIMIZER, "sgd", "--optimizer.args", "learning_rate", "0.9"), "'learning_rate'"),
    ((*TRAIN, OPTIMIZER, "adamw", "--optimizer.args", "weight_decay", "0.9"), "--optimizer.weight-decay sets it"),
    ((*TRAIN, OPTIMIZER, "adamw", "--optimizer.args", "mask", "3"), "'mask' is no argument here"),
    ((*TRAIN, OPTIMIZER, "sgd", "--optimizer.args", "momentum", "much"), "sgd: 'momentum' is a number, not 'much'"),
    ((*TRAIN, OPTIMIZER, "sgd", "--optimizer.args", "nesterov", "false"), "'nesterov' is True or False, not 'false'"),
    ((*TRAIN, SCHEDULE, "cosin_decay"), "no schedule 'cosin_decay'. Did you mean 'cosine_decay'?"),
    ((*TRAIN, "--optimizer.schedule.args", "alfa", "0.1"), "no argument 'alfa': it takes"),
    (
        (*TRAIN, SCHEDULE, "constant", "--optimizer.schedule.args", "100", "0.1"),
        "the schedule constant has no argument '100'",
    ),
    ((*TRAIN, SCHEDULE, "sgdr", "--optimizer.schedule.args", "peak_value", "1"), "sgdr has four cycles"),
    (
        (*TRAIN, SCHEDULE, "linear", "--optimizer.schedule.args", "end_value", "low"),
        "the schedule linear: 'end_value' is a number",
    ),
    ((*TRAIN, "--optimizer.learning-rate", "-1"), "--optimizer.learning-rate"),
    ((*TRAIN, "--optimizer.learning-rate", "nan"), "--optimizer.learning-rate"),
    ((*TRAIN, "--optimizer.ema", "1"), "--optimizer.ema"),
    ((*TRAIN, "--optimizer.l2", "-0.1"), "--optimizer.l2"),
    ((*TRAIN, "--optimizer.weight-decay", "inf"), "--optimizer.weight-decay"),
    ((*TRAIN, "--data.source", "digit"), "'digit'. Did you mean 'digits'?"),
    ((*TRAIN, "--data.source", "nothing.csv"), "nothing.csv"),
    ((*TRAIN, "--data.source", "diabetes"), "diabetes"),
    ((*TRAIN, "--data.test", "1.5"), "--data.test is 1.5"),
    ((*TRAIN, "--data.validation", "0", "--train.patience", "3"), "needs a validation split"),
    ((*TRAIN, "--task.label-smoothing", "1"), "--task.label-smoothing"),
    ((*TRAIN, "--task.top-k", "0"), "--task.top-k"),
    ((*TRAIN, "--train.monitor", "acuracy"), "Did you mean 'accuracy'?"),
    ((*TRAIN, "--train.batch-size", "0"), "--train.batch-size"),
    ((*TRAIN, "--train.batch-size", "5000"), "--train.batch-size 5000 is more than the 1293 training examples"),
    ((*TRAIN, "--train.accumulate", "5"), "--train.accumulate 5"),
    ((*TRAIN, "--train.epochs", "0"), "--train.epochs"),
    ((*TRAIN, "--train.epochs", "inf"), "--train.epochs"),
    ((*TRAIN, "--train.seed", "-1"), "--train.seed"),
    ((*TRAIN, "--train.seed", str(2**31)), "--train.seed"),
    ((*TRAIN, "--train.seeds", "0"), "--train.seeds"),
    ((*TRAIN, "--train.patience", "-1"), "--train.patience"),
    ((*TRAIN, "--train.devices", "64"), "--train.devices 64"),
    ((*TRAIN, "--model.outputs", "7"), "set --model.outputs 10"),
    (("train", "lenet_digits", "--model.classes", "7"), "set --model.classes 10"),
    ((*TRAIN, "--init.from", "missing"), "missing: there is no such file or folder"),
    ((*TRAIN, "--init.from", "empt"), "Did you mean 'empty'?"),
    ((*TRAIN, "--init.from", "empty"), "empty is no finished run"),
    ((*TRAIN, "--init.fresh", "dense3"), "--init.fresh names what is not taken from --init.from"),
    ((*TRAIN, "--init.sha256", "abc"), "--init.sha256 is that of the file --init.from, which is not given"),
    ((*TRAIN, "--init.freeze", "dens1"), "--init.freeze dens1 matches no parameter. Did you mean 'dense1'?"),
    ((*TRAIN, "--init.freeze", "*"), "--init.freeze * leaves nothing to train"),
    ((*TRAIN, "--init.rates", "dense1", "0"), "to keep it as it is, --init.freeze dense1"),
    ((*TRAIN, "--init.rates", "dense1", "-1"), "--init.rates dense1 is a positive number, not -1.0"),
    ((*TRAIN, "--init.freeze", "dense1", "--init.rates", "dense1", "2"), "dense1 matches no trained parameter"),
    ((*TRAIN, OPTIMIZER, "lbfgs", "--init.rates", "dense1", "2"), "'lbfgs' searches for the size of its steps"),
    ((*TRAIN, "--model.activation", "rely"), "'rely'"),
    ((*TRAIN, "--model.dropout", "1.5"), "1.5"),
    ((*TRAIN, "--model.widths", "0"), "MLP"),
    (("train", "lenet_digits", "--data.source", "wine"), "LeNet does not fit examples of shape (13,)"),
    (("train", "lenet_digits", "--model.padding", "VALID"), "LeNet does not fit examples of shape (8, 8, 1)"),
    (("train", "./missing.py"), "missing.py"),
    (("train", "--resume", "missing"), "missing"),
    (("train", "--resume", "empty"), "empty holds no run: it has no config.json"),
    (("eval",), "which run?"),
    (("eval", "missing"), "there is no folder missing"),
    (("eval", "empty"), "config.json is missing"),
    (("predict",), "predict what?"),
    (("predict", "empty"), "predict what?"),
    (("predict", "empty", "x.csv"), "config.json is missing"),
    (("show",), "show what?"),
    (("show", "lenet_mnst"), "Did you mean 'lenet_mnist'?"),
    (("show", "lenet_mnist", "--input", "28"), "LeNet does not fit examples of shape (28,)"),
    (("show", "lenet_mnist", "--input", "28", "0", "1"), "positive"),
    (("show", "lenet_mnist", "--model.padding", "VALID", "--input", "4", "4", "1"), "LeNet"),
    (("show", "mlp_digits", "--data.source", "missing.npz"), "missing.npz"),
]


@pytest.mark.parametrize(
    ("args", "said"), SETTINGS, ids=lambda value: " ".join(value) if isinstance(value, tuple) else ""
)
def test_one_line_that_helps(purezoo, tmp_path, args, said):
    (tmp_path / "empty").mkdir()
    if args[0] == "train" and len(args) > 1 and not args[1].startswith("--"):
        args = (*args, "--out", "run")
    code, _, errors = purezoo(*args)
    assert (code, errors.count("\n")) == (2, 1), errors
    assert errors.startswith("purezoo: ")
    assert said in errors
    assert [path.name for path in tmp_path.iterdir()] == ["empty"], "what was refused leaves nothing behind"


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ((*TRAIN, "--train.batchsize", "3"), "--train.batch-size"),
        ((*TRAIN, "--train.batch-size", "many"), "many"),
        ((*TRAIN, "--train.precision", "float16"), "float16"),
        ((*TRAIN, "--model.depth", "3"), "--model.depth"),
        ((*TRAIN, "--init.form", "run"), "--init.from"),
        ((*TRAIN, "more"), "more"),
        (("eval", "run", "--bath-size", "3"), "--batch-size"),
        (("predict", "run", "file", "--format", "xml"), "xml"),
        (("list", "--jason"), "--json"),
    ],
)
def test_flags_that_cannot_be_read(purezoo, tmp_path, args, said):
    """tyro says these, and its box is taken off."""
    code, _, errors = purezoo(*args)
    assert code == 2
    assert errors.startswith("purezoo: ")
    assert said in errors
    assert not {*"╭│─"} & {*errors}
    assert "Traceback" not in errors
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x = 1\nEXPERIMENT = (\n", "line 2: SyntaxError"),
        ("x = 1\n\nraise RuntimeError('no')\n", "line 3: RuntimeError: no"),
        ("import nothing_of_the_kind\n", "line 1: ModuleNotFoundError"),
        ("x = 1\n", "does not define EXPERIMENT"),
        ("EXPERIMENT = 3\n", "does not define EXPERIMENT"),
        ("from purezoo.train.config import Experiment\nEXPERIMENT = Experiment(model=3)\n", "must be a dataclass"),
        ("from purezoo.train.config import Train\nTrain(batch_size=-3)\n", "--train.batch-size is at least 1, not -3"),
        ("\0", "line"),
    ],
)
def test_config_files(purezoo, tmp_path, text, said):
    (tmp_path / "mine.py").write_text(text)
    code, _, errors = purezoo("train", "mine.py")
    assert (code, errors.count("\n")) == (2, 1)
    assert said in errors
    assert not (tmp_path / "runs").exists()


def test_what_is_no_python_file(purezoo, tmp_path):
    (tmp_path / "mine.json").write_text("{}")
    assert "a config is a Python file" in purezoo("train", "./mine.json")[2]
    assert "there is no config file" in purezoo("train", "./")[2]


def test_out_that_cannot_be(purezoo, tmp_path, digits_run):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter").write_text("mine")
    for out, said in (
        ("file", "File exists"),
        ("file/run", "Not a directory"),
        ("full", "not empty"),
        ("n" * 300, "File name too long"),
        (digits_run, "already holds"),
    ):
        code, _, errors = purezoo(*TRAIN, "--out", out, *QUICK)
        assert (code, errors.count("\n")) == (2, 1)
        assert said in errors
    assert (tmp_path / "full" / "letter").read_text() == "mine"


def test_a_folder_can_be_used_after_a_refusal(purezoo, tmp_path):
    assert purezoo("train", "mlp_wine", "--train.monitor", "x", "--out", "run", *QUICK)[0] == 2
    assert purezoo("train", "mlp_wine", "--train.epochs", 3, "--out", "run", *QUICK)[0] == 0


def cut(path, share=0.5):
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])


def rewrite(path, change):
    record = json.loads(path.read_text())
    change(record)
    path.write_text(json.dumps(record))


def train_field(**changes):
    return lambda run: rewrite(run / "config.json", lambda record: record["train"].update(changes))


def model_field(**changes):
    return lambda run: rewrite(run / "config.json", lambda record: record["model"].update(changes))


DAMAGES = {
    "no config": (lambda run: (run / "config.json").unlink(), "config.json is missing"),
    "half a config": (lambda run: cut(run / "config.json"), "config.json is damaged"),
    "a list as config": (lambda run: (run / "config.json").write_text("[]"), "config.json is damaged"),
    "bytes as config": (lambda run: (run / "config.json").write_bytes(b"\xff\xfe\x00"), "config.json is damaged"),
    "a config without a model": (lambda run: rewrite(run / "config.json", lambda r: r.pop("model")), "config.json"),
    "an unknown field": (train_field(bach=3), "no field 'bach'"),
    "a bad value": (train_field(batch_size=0), "--train.batch-size"),
    "a wrong type": (train_field(batch_size="many"), "config.json"),
    "train as a number": (lambda run: rewrite(run / "config.json", lambda r: r.update(train=3)), "config.json"),
    "no record of the data": (lambda run: (run / "data.json").unlink(), "data.json is missing"),
    "half a record of the data": (lambda run: cut(run / "data.json"), "data.json is damaged"),
    "another record of the data": (lambda run: (run / "data.json").write_text("{}"), "data.json"),
    "half of the splits": (lambda run: cut(run / "splits.npz"), "splits.npz are missing or damaged"),
    "no splits": (lambda run: (run / "splits.npz").unlink(), "splits.npz is missing"),
    "other data": (lambda run: rewrite(run / "data.json", lambda r: r.update(fingerprint="x")), "have changed since"),
    "no weights": (lambda run: (run / "model.safetensors").unlink(), "did the run finish?"),
    "half of the weights": (lambda run: cut(run / "model.safetensors"), "model.safetensors is damaged"),
    "no bytes of weights": (lambda run: cut(run / "model.safetensors", 0), "model.safetensors is damaged"),
    "weights of another network": (model_field(widths=[8]), "'dense1.bias' has shape (16,)"),
    "weights of a deeper network": (model_field(widths=[16, 8]), "model.safetensors"),
    "a network for other data": (model_field(outputs=3), "the data have 10 classes"),
}


@pytest.mark.parametrize("what", DAMAGES)
def test_damaged_runs(purezoo, digits_run, tmp_path, what):
    damage, said = DAMAGES[what]
    shutil.copytree(digits_run, tmp_path / "run")
    damage(tmp_path / "run")
    code, _, errors = purezoo("eval", "run")
    assert (code, errors.count("\n")) == (2, 1), errors
    assert said in errors


def test_finished_runs_used_wrongly(purezoo, digits_run, diabetes_run, tmp_path):
    np.savez(tmp_path / "table.npz", x=np.zeros((2, 13), np.float32))
    np.savez(tmp_path / "objects.npz", x=np.array([{}], object))
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"\0" * 40)
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    table = [
        (
            ("eval", digits_run, "--split", "tset"),
            "no split 'tset': it has train, validation, test. Did you mean 'test'?",
        ),
        (("eval", diabetes_run, "--split", "validation"), "no split 'validation': it has train, test"),
        (("eval", digits_run, "--batch-size", "-1"), "--batch-size"),
        (("eval", digits_run, digits_run), "which run?"),
        (("eval", digits_run, "--steps", 9), "--steps has no part in metrics without --samples"),
        (
            ("predict", digits_run, "table.npz", "--false-alarms", 0.1),
            "--false-alarms is for runs that restore examples",
        ),
        (("predict", digits_run, "missing.png"), "missing.png"),
        (("predict", digits_run, "table.npz"), "[13]"),
        (("predict", digits_run, "objects.npz"), "objects.npz"),
        (("predict", digits_run, "broken.png"), "broken.png"),
        (("predict", digits_run, "other.csv"), "other.csv"),
        (("predict", diabetes_run, "other.csv"), "'age'"),
        (("predict", digits_run, "table.npz", "--top", "-1"), "--top"),
        (("predict", digits_run, "table.npz", "--top", "0"), "--top"),
    ]
    for args, said in table:
        code, _, errors = purezoo(*args)
        assert (code, errors.count("\n")) == (2, 1), (args, errors)
        assert said in errors
