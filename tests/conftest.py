"""What all tests share: caches of their own, made before jax is imported, and the command line in this process."""

import io
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from purezoo.__main__ import convolve_on_all_cores

OWNER = "PUREZOO_TESTS_OWNER"  # the process that made the caches, which the workers of pytest-xdist share
if OWNER not in os.environ:
    cache = tempfile.mkdtemp(prefix="purezoo-tests-")
    os.environ |= {
        OWNER: str(os.getpid()),
        "PUREZOO_CACHE": cache,
        "JAX_COMPILATION_CACHE_DIR": f"{cache}/xla",
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        # nearly all of the suite's time is compiling: LLVM optimises less
        "XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} --xla_backend_optimization_level=1".strip(),
    }
    convolve_on_all_cores()  # as the processes that tests start do: what they compute is compared bit for bit


def pytest_unconfigure():
    if os.environ[OWNER] == str(os.getpid()):
        shutil.rmtree(os.environ["PUREZOO_CACHE"], ignore_errors=True)


@pytest.fixture
def purezoo(capsys, tmp_path, monkeypatch):
    """`purezoo("train", "mlp_digits", ...)` in this process, in a folder of its own: (exit code, output, errors)."""
    from purezoo.train.cli import run

    monkeypatch.chdir(tmp_path)  # a test may go elsewhere afterwards

    def call(*args: str | int | float | Path) -> tuple[int, str, str]:
        capsys.readouterr()
        try:
            code = run([str(arg) for arg in args])
        except SystemExit as stop:  # tyro's, for --help
            code = int(stop.code or 0)
        return code, *capsys.readouterr()

    return call


@pytest.fixture(scope="session")
def mnist_folder(tmp_path_factory):
    """A folder with MNIST's four IDX files, holding 320 made-up training images and 40 test images."""
    folder, random = tmp_path_factory.mktemp("mnist"), np.random.default_rng(0)
    for prefix, n in (("train", 320), ("t10k", 40)):
        labels = np.arange(n, dtype=np.uint8) % 10
        images = random.integers(0, 50, (n, 28, 28), np.uint8) + 20 * labels[:, None, None]
        for kind, array in (("images-idx3", images), ("labels-idx1", labels)):
            magic = np.array([0x0800 + array.ndim, *array.shape], ">i4")
            (folder / f"{prefix}-{kind}-ubyte").write_bytes(magic.tobytes() + array.astype(np.uint8).tobytes())
    return folder


@pytest.fixture(scope="session")
def zoo_folder(mnist_folder):
    """The same folder, in which TFDS has also prepared sets like cifar10, imagenet2012 and mnist, of a few images."""
    import tensorflow_datasets as tfds

    class Pictures(tfds.core.GeneratorBasedBuilder):
        VERSION = tfds.core.Version("5.1.0")
        classes = tuple(f"n{i:08}" for i in range(1000))
        sizes, form, shape = {"train": 6, "validation": 3, "test": 2}, "jpeg", (None, None, 3)

        def _info(self):
            image = tfds.features.Image(shape=self.shape, encoding_format=self.form)
            features = {"image": image, "label": tfds.features.ClassLabel(names=list(self.classes))}
            features = tfds.features.FeaturesDict(features)
            return tfds.core.DatasetInfo(builder=self, features=features, supervised_keys=("image", "label"))

        def _split_generators(self, dl_manager):
            return {split: self._generate_examples(split, size) for split, size in self.sizes.items()}

        def _generate_examples(self, split="", size=0):
            random = np.random.default_rng(size)
            for i in range(size):
                file, shape = io.BytesIO(), self.shape if self.shape[0] else (70 + i, 90, 3)
                shape = shape if shape[-1] == 3 else shape[:2]  # as Pillow has grey pictures
                Image.fromarray(random.integers(0, 256, shape, np.uint8)).save(file, self.form)
                file.seek(0)
                unlabelled = len(self.classes) == 1000 and split == "test"
                yield i, {"image": file, "label": -1 if unlabelled else i % len(self.classes)}

    class Imagenet2012(Pictures):
        pass

    class Cifar10(Pictures):
        classes = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
        sizes, form, shape = {"train": 520, "test": 20}, "png", (32, 32, 3)

    class Mnist(Pictures):
        classes = tuple("0123456789")
        sizes, form, shape = {"train": 320, "test": 40}, "png", (28, 28, 1)

    for builder in (Imagenet2012, Cifar10, Mnist):
        builder(data_dir=mnist_folder, file_format="array_record").download_and_prepare()
    return mnist_folder


VOCABULARY = ("--model.vocabulary", 21)


@pytest.fixture(scope="session")
def text_file(tmp_path_factory):
    """A text of 20 different characters: with the unknown one the vocabulary is 21."""
    path = tmp_path_factory.mktemp("texts") / "rhyme.txt"
    path.write_text("ROMEO:" + "to be or not to be, that is the question. " * 60)
    return path


@pytest.fixture(scope="session")
def recordings(tmp_path_factory):
    """A folder of tones of ten heights as recordings, for training and test."""
    folder = tmp_path_factory.mktemp("recordings")
    for part, count in (("train", 6), ("test", 2)):
        for digit in range(10):
            (folder / part / str(digit)).mkdir(parents=True)
            for i in range(count):
                tone = np.sin(2 * np.pi * (200 + 300 * digit) * np.arange(600 + 80 * i) / 8000)
                soundfile.write(folder / part / str(digit) / f"{i}.wav", 0.4 * tone, 8000)
    return folder


@pytest.fixture(scope="session")
def ts_file(tmp_path_factory):
    """Series of 2 to 5 steps and 2 dimensions in nine classes."""
    path, random = tmp_path_factory.mktemp("series") / "Toy_TRAIN.ts", np.random.default_rng(0)
    rows = [(random.normal(i % 9, 0.1, (2, 2 + i % 4)), i % 9 + 1) for i in range(72)]
    lines = [":".join(",".join(f"{v:.3f}" for v in series) for series in both) + f":{name}" for both, name in rows]
    path.write_text("@classLabel true 1 2 3 4 5 6 7 8 9\n@data\n" + "\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="session")
def tiny():
    """Flags that make the larger configs small: networks of the same kind on few and tiny pictures."""
    few = ("--train.batch-size", 2, "--train.eval-batch-size", 2)
    stream = ("--data.size", 72, "--data.stream", "yes", "--data.workers", 0, *few)
    return {
        "alexnet_imagenet": (*stream, "--augment.crop", 64),
        "resnet50_imagenet": (*stream, "--augment.crop", 32, "--model.depth", 18),
        "conv_vae_cifar10": ("--model.width", 4, "--model.latent", 4, "--train.batch-size", 3),
        "airbench96_cifar10": ("--model.widths", 8, 8, 8, "--train.batch-size", 30),
        "airbench_cifar10": ("--model.widths", 8, 8, 8, "--train.batch-size", 30),
        "airbench_mnist": ("--model.widths", 8, 8, 8, "--train.batch-size", 30),
        "alexnet_small_cifar10": ("--train.batch-size", 40, "--data.examples", 100),
        "autoencoder_mnist": ("--model.widths", 16),
        "ball": ("--model.hidden", 8, "--data.examples", 2000),
        "spoken_digits": ("--model.hidden", 8, "--train.batch-size", 16),
        "japanese_vowels": ("--model.hidden", 8, "--train.batch-size", 16),
        "vae_mnist": ("--model.widths", 16),
        "flow_mnist": ("--model.width", 8, "--model.depth", 0, "--model.heads", 0),
        "flow_digits": ("--model.width", 8, "--model.depth", 0, "--model.heads", 0),
        "lstm_text": (*VOCABULARY, "--model.hidden", 16, "--data.window", 32, "--train.batch-size", 4),
        "tcn_mnist_pixels": ("--model.width", 4, "--model.blocks", 2),
        "unet_digit_scenes": ("--model.width", 4, "--model.depth", 1),
    }
