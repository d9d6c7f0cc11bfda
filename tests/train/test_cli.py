"""The commands: their help, what they print, and that evaluation and prediction give the same numbers in every form."""

import csv
import io
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from purezoo import configs as purezoo_configs
from purezoo.models.catalogue import CATALOGUE

from .conftest import QUICK


def python(code: str, *args: str):
    return subprocess.run([sys.executable, "-c", code, *args], capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("args", [("--help",), ("-h",), ("help",), ()])
def test_help_names_every_command(purezoo, args):
    code, out, errors = purezoo(*args)
    assert (code, errors) == (0, "")
    assert all(
        f"purezoo {name}" in out for name in ("train CONFIG", "train --resume", "eval", "predict", "list", "show")
    )


FLAGS = {
    ("train",): ("CONFIG", "--out", "--resume", "--quiet", "--no-pictures", "--trust", "folder for the run"),
    ("train", "lenet_digits"): (
        "--out", "folder for the run", "--model.classes", "classes to tell apart", "--model.padding", "--data.source",
        "--data.validation", "--task.label-smoothing", "--optimizer.name", "--optimizer.learning-rate",
        "--optimizer.schedule.name", "--optimizer.ema", "--train.batch-size", "--train.seeds", "--train.patience",
    ),
    ("eval",): ("RUN", "--split", "--batch-size", "--json", "--data-dir", "--trust"),
    ("predict",): ("RUN", "FILE", "--format", "--top", "--trust"),
    ("encode",): ("RUN", "FILE", "--out", "--map", "--by", "--data-dir"),
    ("probe",): ("RUN", "--labels", "--seeds", "--fine-tune", "--out", "--data-dir"),
    ("generate",): ("RUN", "--prompt", "--count", "--between", "--traverse", "--manifold"),
    ("list",): ("--json",),
    ("show",): ("CONFIG", "--input"),
    ("show", "mlp_mnist"): ("--input", "shape of one example", "--model.widths"),
}  # fmt: skip


@pytest.mark.parametrize("command", FLAGS, ids=" ".join)
def test_help_of_every_command_names_its_flags(purezoo, command):
    code, out, errors = purezoo(*command, "--help")
    assert (code, errors) == (0, "")
    assert [flag for flag in FLAGS[command] if flag not in out] == []


def test_version(purezoo):
    assert purezoo("--version")[1].startswith("purezoo 0.")


def test_help_answers_without_importing_jax():
    code = (
        "import sys; from purezoo.train.cli import run; run(['--help']); print([m for m in sys.modules if 'jax' in m])"
    )
    assert python(code).stdout.rstrip().endswith("[]")


def test_a_reader_that_leaves_early_is_no_error():
    code = "import os, sys; from purezoo.train.cli import run; read, write = os.pipe(); os.close(read); "
    done = python(code + "os.dup2(write, 1); sys.exit(run(['show', 'lenet_mnist']))")
    assert (done.returncode, done.stderr) == (0, "")


def test_a_training_whose_reader_leaves_goes_on(tmp_path):
    code = "import os, sys; from purezoo.train.cli import run; read, write = os.pipe(); os.close(read); "
    args = ["train", "mlp_wine", "--train.epochs", "2", "--no-pictures", "--out", str(tmp_path / "run")]
    done = python(code + f"os.dup2(write, 1); sys.exit(run({args!r}))")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["steps"] == 14


def test_list_names_all_networks_and_configs(purezoo):
    code, out, _ = purezoo("list", "--json")
    zoo = json.loads(out)
    names = {file.stem for file in Path(purezoo_configs.__path__[0]).glob("*.py")} - {"__init__"}
    assert code == 0
    assert {network["name"] for network in zoo["networks"]} == set(CATALOGUE)
    assert {config["name"] for config in zoo["configs"]} == names
    assert [row["name"] for row in zoo["networks"] + zoo["configs"] if not row["what"]] == []
    # the first line of a module's docstring: Name: what it is. Authors 1998
    assert [row["name"] for row in zoo["networks"] if not re.search(r" \d{4}", row["source"])] == []
    text = purezoo("list")[1]
    assert all(name in text for name in names | set(CATALOGUE))


def test_quiet_prints_the_result_alone(purezoo, tmp_path):
    args = ("train", "mlp_wine", "--train.epochs", 3, "--no-pictures")
    _, loud, _ = purezoo(*args, "--out", "a")
    _, quiet, _ = purezoo("train", "--quiet", *args[1:], "--out", "b")  # flags of the command may come first
    assert quiet.splitlines()[0].startswith("test: accuracy")
    assert len(quiet.splitlines()) == 4
    assert "compiled" not in quiet.splitlines()[0]
    assert "compiled in" in loud
    assert "step 21/21" in loud


def evaluated(purezoo, *args):
    code, out, errors = purezoo("eval", *args, "--json")
    assert (code, errors, out.count("\n")) == (0, "", 1)
    return json.loads(out)


def test_eval_is_the_summary_whatever_the_batch_size(purezoo, digits_run):
    summary = json.loads((digits_run / "summary.json").read_text())["metrics"]
    for size in (1, 7, 1000):
        found = evaluated(purezoo, digits_run, "--batch-size", size)
        assert (found["split"], found["examples"]) == ("test", 360)
        assert found["metrics"]["accuracy"] == summary["test"]["accuracy"]
        assert found["metrics"]["loss"] == pytest.approx(summary["test"]["loss"], rel=1e-6)
    found = evaluated(purezoo, "--split", "validation", digits_run)
    assert found["metrics"] == pytest.approx(summary["validation"], rel=1e-6)
    code, out, _ = purezoo("eval", digits_run, "--split", "train")
    assert code == 0
    assert "1,293 examples" in out


def test_eval_of_several_seeds(purezoo, seeds_run):
    found = evaluated(purezoo, seeds_run)
    losses = [one["metrics"]["loss"] for one in found["seeds"]]
    assert len(losses) == 2
    assert found["metrics"]["loss"] == pytest.approx(np.mean(losses))
    assert found["std"]["loss"] == pytest.approx(np.std(losses, ddof=1))
    assert "±" in purezoo("eval", seeds_run)[1]


def test_eval_of_a_regression(purezoo, diabetes_run):
    assert set(evaluated(purezoo, diabetes_run)["metrics"]) == {"loss", "rmse", "mae", "r2"}


@pytest.fixture
def digits(tmp_path):
    """Three digits as NPZ, and the first as a picture."""
    from sklearn.datasets import load_digits

    images = load_digits().images[:3].astype(np.float32)
    np.savez(tmp_path / "digits.npz", x=images)
    Image.fromarray((images[0] / 16 * 255).round().astype(np.uint8)).save(tmp_path / "zero.png")
    return tmp_path / "digits.npz", tmp_path / "zero.png"


def test_predictions_in_every_format(purezoo, digits_run, digits):
    code, out, _ = purezoo("predict", digits_run, *digits, "--format", "json")
    records = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert [record["input"] for record in records] == [*(f"{digits[0]}[{i}]" for i in range(3)), str(digits[1])]
    for record in records:
        assert sum(record["probabilities"].values()) == pytest.approx(1)
        assert record["class"] == max(record["probabilities"], key=record["probabilities"].get)
        assert set(record["probabilities"]) == set("0123456789")
    same, again = records[0]["probabilities"], records[3]["probabilities"]  # the same digit as array and as picture
    assert [same[c] for c in sorted(same)] == pytest.approx([again[c] for c in sorted(same)], abs=0.05)

    rows = list(csv.DictReader(io.StringIO(purezoo("predict", "--format=csv", digits_run, *digits)[1])))
    assert [row["class"] for row in rows] == [record["class"] for record in records]
    assert float(rows[1]["7"]) == pytest.approx(records[1]["probabilities"]["7"])

    code, table, _ = purezoo("predict", digits_run, digits[0], "--top", 2)
    assert [len(line.split()) for line in table.splitlines()] == [5, 5, 5]


def test_predictions_of_several_seeds_are_their_mean(purezoo, seeds_run, tmp_path):
    np.savez(tmp_path / "wine.npz", x=np.random.default_rng(0).normal(5, 3, (4, 13)).astype(np.float32))

    def chances(folder):
        out = purezoo("predict", folder, "wine.npz", "--format", "json")[1]
        return np.array(
            [[p for _, p in sorted(json.loads(line)["probabilities"].items())] for line in out.splitlines()]
        )

    alone = [chances(seeds_run / f"seed-{seed}") for seed in (0, 1)]
    assert not np.allclose(*alone)
    np.testing.assert_allclose(chances(seeds_run), np.mean(alone, 0), rtol=1e-6)


def test_predictions_of_a_regression_are_in_the_targets_units(purezoo, diabetes_run, tmp_path):
    from sklearn.datasets import load_diabetes

    data = load_diabetes(scaled=False)
    with (tmp_path / "patients.csv").open("w") as file:
        writer = csv.writer(file)
        writer.writerow(data.feature_names)
        writer.writerows(data.data[:5])
    out = purezoo("predict", diabetes_run, "patients.csv", "--format", "json")[1]
    guesses = [json.loads(line)["predicted"]["disease_progression"] for line in out.splitlines()]
    assert len(guesses) == 5
    assert np.mean(np.abs(guesses - data.target[:5])) < 100
    assert "disease_progression" in purezoo("predict", diabetes_run, "patients.csv")[1]


def test_a_folder_is_chosen_where_none_is_named(purezoo, tmp_path):
    args = ("train", "mlp_wine", "--train.epochs", 1, *QUICK)
    assert "folder: runs/mlp_wine\n" in purezoo(*args)[1]
    assert "folder: runs/mlp_wine-2" in purezoo(*args)[1]
    assert len(list((tmp_path / "runs").iterdir())) == 2


def test_a_file_in_the_place_of_a_folder_is_left_alone(purezoo, tmp_path):
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "mlp_wine").write_text("mine")
    code, out, _ = purezoo("train", "mlp_wine", "--train.epochs", 1, "--no-pictures")
    assert code == 0
    assert re.search(r"folder: runs/mlp_wine-\d{8}-\d{6}\n", out)


def test_a_run_on_a_relative_path_is_evaluated_from_anywhere(purezoo, tmp_path, monkeypatch):
    x = np.arange(40, dtype=np.float32).reshape(20, 2)
    np.savez(tmp_path / "mine.npz", x=x, y=np.arange(20) % 2)
    code, *_ = purezoo(
        "train", "mlp_wine", "--data.source", "mine.npz", "--model.outputs", 2, "--train.batch-size", 4, "--no-pictures"
    )  # fmt: skip
    assert code == 0
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert purezoo("eval", tmp_path / "runs" / "mlp_wine", "--json")[0] == 0


def test_names_of_classes_cannot_hide_the_columns_of_predictions(purezoo, tmp_path):
    rows = [f"{i},{i % 7},{('input', 'class', 'z')[i % 3]}" for i in range(60)]
    (tmp_path / "odd.csv").write_text("\n".join(["a,b,kind", *rows]) + "\n")
    args = ("--data.source", "odd.csv", "--data.target", "kind", "--train.epochs", 1, *QUICK)
    assert purezoo("train", "mlp_wine", *args, "--out", "run")[0] == 0
    table = list(csv.reader(io.StringIO(purezoo("predict", "run", "odd.csv", "--format", "csv")[1])))
    assert table[0] == ["input", "class", "class", "input", "z"]
    assert "odd.csv" in table[1][0]
    assert table[1][1] in ("input", "class", "z")


def test_a_run_without_its_weights_is_not_finished(purezoo, digits_run, tmp_path):
    shutil.copytree(digits_run, tmp_path / "run")
    before = (tmp_path / "run" / "model.safetensors").read_bytes()
    (tmp_path / "run" / "model.safetensors").unlink()
    assert purezoo("eval", "run")[0] == 2
    assert purezoo("train", "--resume", "run", *QUICK)[0] == 0
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == before


def test_a_lost_seed_is_missed(purezoo, seeds_run, tmp_path):
    shutil.copytree(seeds_run, tmp_path / "run")
    (tmp_path / "run" / "seed-1").rename(tmp_path / "run" / "seed-1.bak")
    for command in (("eval", "run"), ("predict", "run", "x.csv")):
        code, _, errors = purezoo(*command)
        assert (code, errors.count("\n")) == (2, 1)
        assert "seed-1" in errors


def test_nothing_but_the_known_file_of_a_runs_folder_is_ever_run(purezoo, tmp_path):
    (tmp_path / "mine.py").write_text(
        "from purezoo.configs.mlp_wine import EXPERIMENT as WINE\nimport fractions\nEXPERIMENT = WINE\n"
    )
    assert purezoo("train", "mine.py", "--train.epochs", 1, *QUICK, "--out", "run")[0] == 0
    sys.modules.pop("fractions", None)
    (tmp_path / "run" / "fractions.py").write_text("raise SystemExit('ran')\n")
    assert purezoo("eval", "run")[0] == 0
