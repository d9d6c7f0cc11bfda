"""config.json and the user's own config files: they train, evaluate, predict and move; nothing else is ever called."""

import json
import shutil
import subprocess
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from purezoo.errors import UserError
from purezoo.models import MLP, LeNet
from purezoo.train import config
from purezoo.train import run as running
from purezoo.train.config import Experiment, Train, from_json, to_json
from purezoo.train.data import Data
from purezoo.train.optimizers import Optimizer, Schedule
from purezoo.train.tasks import Regression

from .conftest import QUICK

OWN = """
from dataclasses import dataclass

import flax.linen as nn
from purezoo.models import Model, chain
from purezoo.models.adapters import from_linen
from purezoo.models.layers import dense, flatten
from purezoo.train.config import Experiment, Train
from purezoo.train.data import Data
{beside}

class Module(nn.Module):
    width: int

    @nn.compact
    def __call__(self, x, train: bool):
        x = nn.BatchNorm(use_running_average=not train)(nn.Dense(self.width)(x.reshape(len(x), -1)))
        return nn.Dense(3)(nn.Dropout(0.2, deterministic=not train)(nn.relu(x)))


@dataclass(frozen=True)
class Flax:
    width: int = 8

    def build(self) -> Model:
        return from_linen(Module(self.width))


@dataclass(frozen=True)
class Own:
    width: int = 8

    def build(self) -> Model:
        return chain(flatten, dense(self.width), dense(3))


EXPERIMENT = Experiment(model={model}, data=Data("wine"), train=Train(batch_size=16, epochs=3))
"""


def test_json_there_and_back():
    experiment = Experiment(
        LeNet(classes=7, padding="SAME"),
        Data("some.csv", target="y", validation=0.0),
        Regression(huber=0.5),
        Optimizer("sgd", args={"momentum": 0.9, "nesterov": True}, schedule=Schedule("piecewise_constant", {"5": 0.1})),
        Train(seeds=3, precision="bfloat16"),
    )
    assert from_json(Experiment, json.loads(json.dumps(to_json(experiment)))) == experiment
    wide = replace(experiment, model=MLP(widths=(3, 4, 5)))
    assert from_json(Experiment, json.loads(json.dumps(to_json(wide)))).model.widths == (3, 4, 5)


def test_every_config_loads_and_survives_json():
    assert len(config.config_names()) >= 8
    for name in config.config_names():
        experiment, source = config.load_config(name)
        assert source is None
        assert from_json(Experiment, to_json(experiment)) == experiment


@dataclass(frozen=True)
class Block:
    width: int = 3


@dataclass(frozen=True)
class Blocks:
    """Fields of all kinds that come back from JSON."""

    head: Block | None = Block()
    none: Block | None = None
    widths: dict[int, int] = field(default_factory=lambda: {1: 2})
    named: dict[str, Block] = field(default_factory=lambda: {"a": Block(5)})
    pair: tuple[int, Block] = (1, Block(4))
    blocks: tuple[Block, ...] = (Block(6), Block(7))
    listed: list[tuple[int, float]] = field(default_factory=lambda: [(1, 0.5)])


def test_fields_come_back_by_their_annotations():
    assert from_json(Blocks, json.loads(json.dumps(to_json(Blocks())))) == Blocks()


def test_what_is_no_json_is_refused():
    with pytest.raises(UserError, match="saved as JSON"):
        to_json(Experiment(MLP(widths=(np.float32(3),))))


@pytest.mark.parametrize("model", ["Own()", "Flax()"])
def test_a_config_file_of_ones_own(purezoo, tmp_path, model):
    """It trains with flags of its own, and its run evaluates, predicts, resumes and moves."""
    (tmp_path / "mine.py").write_text(OWN.format(model=model, beside=""))
    code, out, _ = purezoo("train", "mine.py", "--model.width", 12, *QUICK)
    assert code == 0
    assert "folder: runs/mine\n" in out
    assert json.loads((tmp_path / "runs/mine/config.json").read_text())["model"]["width"] == 12
    before = purezoo("eval", "runs/mine", "--json")
    (tmp_path / "mine.py").unlink()
    shutil.move(tmp_path / "runs", tmp_path / "elsewhere")
    after = purezoo("eval", "elsewhere/mine", "--json")
    assert after[0] == 0
    assert json.loads(after[1])["metrics"] == json.loads(before[1])["metrics"]
    np.savez(tmp_path / "x.npz", x=np.ones((2, 13), np.float32))
    code, out, _ = purezoo("predict", "elsewhere/mine", "x.npz", "--format", "json")
    assert code == 0
    assert sum(json.loads(out.splitlines()[0])["probabilities"].values()) == pytest.approx(1)
    assert "12" in purezoo("show", "elsewhere/mine")[1]


def test_the_config_that_was_run_is_kept_whatever_becomes_of_its_file(purezoo, tmp_path, monkeypatch):
    """Also by the second of two seeds, which begins later."""
    text = OWN.format(model="Own()", beside="")
    (tmp_path / "mine.py").write_text(text)
    train_one = running.train_one

    def train_and_edit(*args):
        (tmp_path / "mine.py").unlink(missing_ok=True)
        return train_one(*args)

    monkeypatch.setattr(running, "train_one", train_and_edit)
    assert purezoo("train", "mine.py", "--train.seeds", 2, "--train.together", "no", *QUICK)[0] == 0
    for seed in (0, 1):
        assert (tmp_path / "runs" / "mine" / f"seed-{seed}" / "experiment.py").read_text() == text


def test_a_foreign_folder_asks_for_trust(purezoo, tmp_path, monkeypatch):
    """What a folder brings along is run only when the user says so, or has run the very same file before."""
    text = OWN.format(model="Own()", beside="open('ran', 'w').close()")
    (tmp_path / "mine.py").write_text(text)
    assert purezoo("train", "mine.py", *QUICK)[0] == 0
    (tmp_path / "ran").unlink()
    monkeypatch.setenv("PUREZOO_CACHE", str(tmp_path / "another user"))
    for command in (
        ("eval", "runs/mine"),
        ("predict", "runs/mine", "mine.py"),
        ("show", "runs/mine"),
        ("train", "--resume", "runs/mine"),
    ):
        code, _, errors = purezoo(*command)
        assert (code, errors.count("\n")) == (2, 1)
        assert "--trust" in errors
    assert not (tmp_path / "ran").exists()
    for command in (("eval", "runs/mine"), ("show", "runs/mine"), ("train", "--resume", "runs/mine")):
        assert purezoo(*command, "--trust")[0] == 0
    assert (tmp_path / "ran").exists()


def test_a_changed_copy_is_not_trusted(purezoo, tmp_path):
    (tmp_path / "mine.py").write_text(OWN.format(model="Own()", beside=""))
    assert purezoo("train", "mine.py", *QUICK)[0] == 0
    with (tmp_path / "runs/mine/experiment.py").open("a") as file:
        file.write("\nopen('ran', 'w').close()\n")
    code, _, errors = purezoo("eval", "runs/mine")
    assert code == 2
    assert "--trust" in errors
    assert not (tmp_path / "ran").exists()


def test_runs_that_note_their_files_at_the_same_time_lose_none(tmp_path, monkeypatch):
    monkeypatch.setenv("PUREZOO_CACHE", str(tmp_path / "cache"))
    with monkeypatch.context() as before:
        before.setattr(config, "trusted", set)  # each has read the list before the others wrote theirs
        for code in (b"one", b"two", b"three"):
            config.remember(code)
    assert config.trusted() == {config.fingerprint(code) for code in (b"one", b"two", b"three")}


@pytest.mark.parametrize(
    "name",
    [
        "subprocess:Popen", "os:system", "builtins:eval", "evil:Net", "purezoo.models.mlp:dense",
        "purezoo.train.config:Train", "purezoo.train.config:Network", "purezoo.nothing:X",
        "purezoo.models:Nothing", "", ":", "x", 3, None,
    ],
)  # fmt: skip
def test_config_json_can_name_networks_and_tasks_alone(purezoo, digits_run, tmp_path, monkeypatch, name):
    """Not even the import of another module happens."""
    (tmp_path / "evil.py").write_text("open('ran', 'w').close()\nclass Net: build = None\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(subprocess, "Popen", None)
    shutil.copytree(digits_run, tmp_path / "run")
    record = json.loads((tmp_path / "run/config.json").read_text())
    (tmp_path / "run/config.json").write_text(json.dumps(record | {"model": record["model"] | {"type": name}}))
    code, _, errors = purezoo("eval", "run")
    assert (code, errors.count("\n")) == (2, 1)
    assert f"the run names {name}" in errors
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import surely_not_installed", "must be installed"),
        ("from dataclasses import dataclass\n@dataclass\nclass Net:\n    def build(self): ...\n", "must be frozen"),
        (
            "from dataclasses import dataclass\n@dataclass(frozen=True)\nclass Net:\n    act: object = print\n"
            "    def build(self): ...\n",
            "a config holds numbers",
        ),
        (
            "from dataclasses import dataclass\n@dataclass(frozen=True)\nclass Block:\n    width: int = 3\n"
            "@dataclass(frozen=True)\nclass Net:\n    head: object = Block()\n    def build(self): ...\n",
            "config.json cannot hold the model Net(head=Block(width=3))",
        ),
        (
            "from dataclasses import dataclass\n@dataclass(frozen=True)\nclass Net:\n    type: str = 'relu'\n"
            "    def build(self): ...\n",
            "a field of a config cannot be named 'type'",
        ),
        (
            "from dataclasses import dataclass\n@dataclass(frozen=True)\nclass Net:\n    def build(self): ...\n",
            "a layer is",
        ),
    ],
    ids=[
        "missing import",
        "not frozen",
        "a function as a field",
        "a field of no type",
        "a name that is taken",
        "nothing built",
    ],
)
def test_a_beginners_mistakes(purezoo, tmp_path, text, said):
    (tmp_path / "mine.py").write_text(
        f"{text}\nfrom purezoo.train.config import Experiment\nEXPERIMENT = Experiment(model=Net())\n"
    )
    code, _, errors = purezoo("train", "mine.py")
    assert (code, errors.count("\n")) == (2, 1), errors
    assert said in errors
