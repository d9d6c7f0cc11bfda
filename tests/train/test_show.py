"""`show`: what each layer gives, learns and computes, from shapes alone."""

import re
from dataclasses import dataclass

import flax.linen as nn
import jax
import pytest
from flax import nnx

from purezoo.models import MLP, LeNet, count
from purezoo.models.adapters import from_linen, from_nnx
from purezoo.models.catalogue import CATALOGUE
from purezoo.models.core import chain, residual
from purezoo.models.layers import conv, dense, flatten
from purezoo.train.show import layers, multiply_adds, spec_of, table


def by_name(model, shape):
    return {layer.name: layer for layer in layers(model, spec_of(shape))}


@pytest.mark.parametrize("name", CATALOGUE)
def test_totals_are_those_of_the_network(name):
    entry = CATALOGUE[name]
    model, spec = entry.network.build(), spec_of(entry.input)
    found = layers(model, spec)
    params, _ = jax.eval_shape(model.init, jax.random.key(0), spec)
    rows = sum(layer.parameters for layer in found)
    assert rows == count(params), "a layer is not called under jax.named_scope of its key in params"
    assert count(params) == entry.parameters
    assert sum(layer.multiply_adds for layer in found) == multiply_adds(model, spec) // 2
    assert found[-1].output == entry.output


def test_multiply_adds_of_known_layers():
    found = by_name(LeNet().build(), (28, 28, 1))
    assert found["conv1"].multiply_adds == 28 * 28 * 6 * 5 * 5 * 1
    assert found["conv2"].multiply_adds == 10 * 10 * 16 * 5 * 5 * 6
    assert found["dense1"].multiply_adds == 400 * 120
    assert found["conv1"].output == (28, 28, 6)
    assert found["conv1"].output_bytes == 28 * 28 * 6 * 4
    strided = by_name(chain(conv(8, 3, stride=2, padding="SAME", groups=2), flatten, dense(3)), (8, 8, 4))
    assert strided["conv1"].multiply_adds == 4 * 4 * 8 * 3 * 3 * (4 // 2)


def test_nested_layers_have_rows_of_their_own():
    found = by_name(chain(residual(chain(dense(6), jax.nn.relu)), dense(2)), (6,))
    assert found["residual1/body/dense1"].parameters == 6 * 6 + 6
    assert found["dense1"].parameters == 6 * 2 + 2


def test_flax_modules_show_their_layers():
    class Linen(nn.Module):
        @nn.compact
        def __call__(self, x):
            return nn.Dense(3)(nn.relu(nn.Dense(16)(x)))

    class Nnx(nnx.Module):
        def __init__(self, rngs):
            self.first, self.last = nnx.Linear(4, 16, rngs=rngs), nnx.Linear(16, 3, rngs=rngs)

        def __call__(self, x):
            return self.last(nnx.relu(self.first(x)))

    for model in (from_linen(Linen()), from_nnx(lambda rngs: Nnx(rngs))):
        assert sum(layer.parameters for layer in layers(model, spec_of((4,)))) == 4 * 16 + 16 + 16 * 3 + 3
        assert sum(layer.multiply_adds for layer in layers(model, spec_of((4,)))) == 4 * 16 + 16 * 3
    assert any("Dense_0" in name for name in by_name(from_linen(Linen()), (4,)))


def test_nine_trillion_weights():
    """A one-megapixel RGB image fully connected to a hidden layer of its own size."""
    pixels = 1000 * 1000 * 3
    text = table(MLP(widths=(pixels,)).build(), spec_of((1000, 1000, 3)), "huge")
    assert f"{pixels * pixels + pixels:,}" in text
    assert f"{pixels * pixels:,}" in text
    assert "32.7 TiB" in text


@dataclass(frozen=True)
class Total:
    parameters: int
    multiply_adds: int


def total(text: str) -> Total:
    line = next(line for line in text.splitlines() if line.startswith("total"))
    return Total(*(int(number.replace(",", "")) for number in re.findall(r"[\d,]+", line)[:2]))


def test_the_command(purezoo):
    code, out, _ = purezoo("show", "lenet_mnist", "--model.width", 1)
    assert code == 0
    assert total(out) == Total(61_706, 416_520)
    assert [row.split()[0] for row in out.splitlines() if row.startswith(("conv", "dense"))] == [
        "conv1", "conv2", "dense1", "dense2", "dense3",
    ]  # fmt: skip
    _, wide, _ = purezoo("show", "lenet_mnist", "--model.width", 2)
    assert total(wide).parameters > 61_706
    _, huge, _ = purezoo("show", "mlp_mnist", "--input", 1000, 1000, 3, "--model.widths", 3_000_000)
    assert total(huge).parameters == 3_000_000 * 3_000_000 + 3_000_000 + 3_000_000 * 10 + 10


def test_a_run_can_be_shown(purezoo, digits_run):
    code, out, _ = purezoo("show", digits_run)
    assert code == 0
    assert total(out).parameters == 64 * 16 + 16 + 16 * 10 + 10


def test_show_takes_a_networks_name_and_a_config_whose_pictures_are_not_here(purezoo, tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    expected = {
        "resnet50": "25,557,032",
        "resnet50_imagenet": "25,557,032",
        "vgg16 --input 64 64 3": "43,985,704",
        "vit_small": "22,050,664",
    }
    for line, parameters in expected.items():
        code, said, errors = purezoo("show", *line.split())
        assert (code, errors) == (0, ""), line
        assert parameters in said, line
