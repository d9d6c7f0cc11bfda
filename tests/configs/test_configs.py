"""Every config trains, and says what a newcomer needs to know."""

import importlib

import pytest

from purezoo.train.config import config_names, load_config


@pytest.mark.parametrize("name", config_names())
def test_config_trains_and_evaluates(purezoo, zoo_folder, text_file, recordings, ts_file, tiny, name):
    experiment, _ = load_config(name)
    own = {"ball": "ball", "lstm_text": text_file, "spoken_digits": recordings, "japanese_vowels": ts_file}
    prepared = experiment.data.source.startswith(("mnist", "tfds:"))
    folder = ("--data.dir", zoo_folder) if prepared else ()
    folder = ("--data.source", own[name]) if name in own else folder
    flags = (*folder, *tiny.get(name, ()), "--train.epochs", 1, "--no-pictures", "--out", "run")
    code, said, errors = purezoo("train", name, *flags)
    assert (code, errors) == (0, "")
    assert f"test: {experiment.task.headline}" in said or f" {experiment.task.headline} " in said
    if "imagenet" not in name:  # compiling them again takes long
        assert purezoo("eval", "run", "--json")[0] == 0


@pytest.mark.parametrize("name", config_names())
def test_docstring_opens_with_what_it_is_and_the_command(name):
    lines = importlib.import_module(f"purezoo.configs.{name}").__doc__.splitlines()
    assert lines[0].endswith(".")
    commands = [line for line in lines if line.startswith("`purezoo train ")]
    assert [command.split()[2].strip("`") for command in commands] == [name], "scripts/results.py add writes it"
