"""What the README tells a stranger to type works: its commands, its code, its files."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from purezoo.train.config import config_names

ROOT = Path(__file__).parent.parent
QUICK = ["--train.epochs", "1", "--no-pictures"]
TEXT = (ROOT / "README.md").read_text() + (ROOT / "CONTRIBUTING.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^ *```{language}\n(.*?)^ *```", TEXT, re.DOTALL | re.MULTILINE)


def commands() -> list[str]:
    """The command lines of all shell blocks and of inline code, without comments."""
    lines = [line.split(" #")[0].strip() for block in blocks("bash") for line in block.splitlines()]
    lines = [line.removeprefix(".venv/bin/") for line in lines]
    lines += re.findall(r"`((?:purezoo|scripts/)[^`\n]* [^`\n]*)`", TEXT)
    return [line for line in dict.fromkeys(lines) if line]


@pytest.fixture(scope="module")
def workplace(tmp_path_factory, text_file, recordings, ts_file):
    """A folder with the files that the README's commands name."""
    folder = tmp_path_factory.mktemp("readme")
    (folder / "mine.py").write_text(next(block for block in blocks("python") if "TinyNet" in block))
    Image.fromarray(np.eye(8, dtype=np.uint8) * 255).save(folder / "digit.png")
    random = np.random.default_rng(0)
    rows = [f"{a:.2f},{b:.2f},{'xyz'[i % 3]}" for i, (a, b) in enumerate(random.normal(size=(60, 2)))]
    for name in ("cat", "dog"):
        (folder / "photos" / name).mkdir(parents=True)
        for i in range(60):
            Image.fromarray(random.integers(0, 256, (40, 50, 3), np.uint8)).save(folder / "photos" / name / f"{i}.jpg")
    (folder / "flowers.csv").write_text("\n".join(["length,width,species", *rows]) + "\n")
    shutil.copytree(recordings, folder / "recordings")
    shutil.copy(recordings / "test" / "3" / "0.wav", folder / "three.wav")
    shutil.copy(ts_file, folder / "JapaneseVowels_TRAIN.ts")
    sales = [f"2020-{1 + i // 28:02}-{1 + i % 28:02},{i % 7},{i}" for i in range(28)]
    (folder / "sales.csv").write_text("\n".join(["day,umbrellas,hats", *sales]) + "\n")
    (folder / "input.txt").write_text(text_file.read_text())
    homes = [f"{area},{rooms},{1000 * area + 5000 * rooms}" for area in range(30, 50) for rooms in (1, 2, 3)]
    (folder / "houses.csv").write_text("\n".join(["area,rooms,price", *homes]) + "\n")
    return folder


def is_bare(line: str) -> bool:
    """Whether it trains a config as it is, which tests/configs does for each of them."""
    found = re.fullmatch(r"purezoo train (\w+)( --data\.dir FOLDER)?", line)
    return bool(found) and found[1] in config_names()


def test_what_is_left_to_the_tests_of_the_configs():
    assert is_bare("purezoo train lenet_mnist --data.dir FOLDER")
    assert not is_bare("purezoo train lenet_minst")
    assert not is_bare("purezoo train lenet_mnist --model.width 2")


@pytest.mark.parametrize("line", [line for line in commands() if line.startswith("purezoo ") and not is_bare(line)])
def test_command(line, purezoo, workplace, zoo_folder, tiny, monkeypatch):
    monkeypatch.chdir(workplace)
    for name in (
        "mlp_digits",
        "lenet_digits",
        "lstm_text",
        "spoken_digits",
        "denoising_digits",
        "vae_mnist",
        "flow_mnist",
    ):
        if not Path("runs", name).exists():
            folder = ("--data.dir", zoo_folder) if name.endswith("_mnist") else ()
            assert purezoo("train", name, *folder, *tiny.get(name, ()), *QUICK, "--out", f"runs/{name}")[0] == 0
    meant = {"FOLDER": zoo_folder, "COMMAND": "train", "CONFIG": "mlp_wine", "FILE": "digit.png"}
    meant |= {"RUN": "runs/mlp_digits", "NAME_DATA": "mlp_wine", "runs/NAME_DATA": "runs/new"}
    words = [str(meant.get(word, word)) for word in shlex.split(line)[1:]]
    if words[0] == "train" and not {"--resume", "--help"} & set(words):
        words += [*map(str, tiny.get(words[1], ())), *QUICK]
    if words[0] == "probe":
        words += ["--labels", "20", "--seeds", "1"]
    code, said, errors = purezoo(*words)
    assert (code, errors) == (0, ""), f"{line}: {errors}"
    assert said


@pytest.mark.parametrize("line", [line for line in commands() if line.startswith("scripts/")])
def test_script_exists(line):
    assert os.access(ROOT / line.split()[0], os.X_OK)


def test_every_python_block_runs(workplace, purezoo, monkeypatch):
    """In one process, one after another: later blocks use names of the first ones."""
    monkeypatch.chdir(workplace)
    if not Path("runs/lenet_digits").exists():
        assert purezoo("train", "lenet_digits", *QUICK, "--out", "runs/lenet_digits")[0] == 0
    code = "\n".join(blocks("python")) + "\nassert FlaxNet().build().init\n"
    done = subprocess.run([sys.executable, "-c", code], cwd=workplace, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "(3, 3, 1, 16)" in done.stdout


def test_every_path_named_exists():
    for path in re.findall(r"\]\((?!http)([^)#]+)\)", TEXT):
        assert (ROOT / path).exists(), path
