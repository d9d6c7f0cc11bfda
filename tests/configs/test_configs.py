"""Every config trains, and says what a newcomer needs to know."""

import importlib
import io

import numpy as np
import pytest
from PIL import Image

from purezoo.train.config import Experiment, config_names, from_json, load_config, to_json

TINY = {  # networks of the right kind on tiny pictures, streamed
    "alexnet_imagenet": ("--augment.crop", 64),
    "resnet50_imagenet": ("--augment.crop", 32, "--model.depth", 18),
}


@pytest.fixture(scope="session")
def imagenet_folder(tmp_path_factory):
    """A folder in which TFDS has prepared a set like imagenet2012, of a few made-up pictures."""
    import tensorflow_datasets as tfds

    class Imagenet2012(tfds.core.GeneratorBasedBuilder):
        VERSION = tfds.core.Version("5.1.0")

        def _info(self):
            features = {
                "image": tfds.features.Image(encoding_format="jpeg"),
                "label": tfds.features.ClassLabel(num_classes=1000),
                "file_name": tfds.features.Text(),
            }
            features = tfds.features.FeaturesDict(features)
            return tfds.core.DatasetInfo(builder=self, features=features, supervised_keys=("image", "label"))

        def _split_generators(self, dl_manager):
            sizes = {"train": 6, "validation": 3, "test": 2}
            return {split: self._generate_examples(split, size) for split, size in sizes.items()}

        def _generate_examples(self, split="", size=0):
            random = np.random.default_rng(size)
            for i in range(size):
                file = io.BytesIO()
                Image.fromarray(random.integers(0, 256, (70 + i, 90, 3), np.uint8)).save(file, "JPEG")
                file.seek(0)
                yield i, {"image": file, "label": -1 if split == "test" else i, "file_name": f"{i}.JPEG"}

    folder = tmp_path_factory.mktemp("tfds")
    Imagenet2012(data_dir=folder, file_format="array_record").download_and_prepare()
    return folder


@pytest.mark.parametrize("name", config_names())
def test_config_trains_and_evaluates(purezoo, mnist_folder, imagenet_folder, name):
    experiment, _ = load_config(name)
    folder = ("--data.dir", mnist_folder) if experiment.data.source == "mnist" else ()
    if name in TINY:
        folder = ("--data.dir", imagenet_folder, "--data.size", 72, "--data.stream", "yes", "--data.workers", 0,
                  "--train.batch-size", 2, "--train.eval-batch-size", 2, *TINY[name])  # fmt: skip
    code, said, errors = purezoo("train", name, *folder, "--train.epochs", 1, "--no-pictures", "--out", "run")
    assert (code, errors) == (0, "")
    assert f"test: {experiment.task.headline}" in said or f" {experiment.task.headline} " in said
    if name not in TINY:  # compiling them again takes long
        assert purezoo("eval", "run", "--json")[0] == 0


@pytest.mark.parametrize("name", config_names())
def test_docstring_opens_with_what_it_is_and_the_command(name):
    lines = importlib.import_module(f"purezoo.configs.{name}").__doc__.splitlines()
    assert lines[0].endswith(".")
    assert any(line.startswith(f"`purezoo train {name}") for line in lines)


@pytest.mark.parametrize("name", config_names())
def test_config_survives_json(name):
    experiment, _ = load_config(name)
    assert from_json(Experiment, to_json(experiment)) == experiment
