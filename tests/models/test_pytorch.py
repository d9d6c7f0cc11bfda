"""The large networks against what PyTorch computes with the same weights, and weights that do not fit.

The files of reference/networks are made by scripts/reference_networks.py. They hold names and shapes of PyTorch's
tensors and its results; the tensors themselves are drawn from their names, here as there.
"""

import json
import zlib
from functools import cache, reduce
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from purezoo.models import (
    RNN,
    VGG,
    AlexNet,
    AlexNetOneTower,
    AlexNetSmall,
    ConvNeXt,
    LeNet,
    ResNet,
    RNNLanguageModel,
    ViT,
)
from purezoo.models.pytorch import MAPS, from_pytorch, names

FOLDER = Path(__file__).parent / "reference" / "networks"

# fmt: off
NETWORKS = {
    # logits of one image at full size
    "alexnet": AlexNet(),
    "alexnet_one_tower": AlexNetOneTower(),
    "vgg11": VGG(11),
    "vgg16": VGG(16),
    "resnet18": ResNet(18),
    "resnet34": ResNet(34),
    "resnet50": ResNet(50),
    "resnet101": ResNet(101),
    "convnext": ConvNeXt(),
    "vit_small": ViT(),
    "vit_base": ViT(width=768, heads=12),
    "alexnet_small": AlexNetSmall(),
    "alexnet_small_response": AlexNetSmall(norm="response"),
    "resnet18_small": ResNet(18, classes=10, stem="small"),
    "convnext_small": ConvNeXt(classes=10, depths=(1, 2), widths=(16, 32), stem="small"),
    # five steps of SGD on small images, without dropout; ResNet-34 and -101 repeat the blocks of 18 and 50
    "alexnet_trains": AlexNet(classes=10, dropout=0),
    "alexnet_one_tower_trains": AlexNetOneTower(classes=10, dropout=0),
    "alexnet_small_trains": AlexNetSmall(dropout=0),
    "vgg11_trains": VGG(11, classes=10, dropout=0),
    "vgg11_batch_norm_trains": VGG(11, classes=10, dropout=0, batch_norm=True),
    "resnet18_trains": ResNet(18, classes=10),
    "resnet18_small_trains": ResNet(18, classes=10, stem="small"),
    "resnet50_trains": ResNet(50, classes=10),
    "convnext_trains": ConvNeXt(classes=10, depths=(1, 1), widths=(16, 32)),
    "vit_trains": ViT(patch=8, width=64, depth=2, heads=4, classes=10),
}
# fmt: on
TRAINED = [name for name in NETWORKS if name.endswith("_trains")]
FLOAT64 = {"resnet50_trains"}  # in float32 PyTorch's own gradient norms are 1e-3 to 5e-3 from its float64 ones


def test_every_reference_is_compared_and_every_map_has_one():
    assert {path.stem for path in FOLDER.glob("*.npz")} == set(NETWORKS)
    others = set(MAPS) - {RNN, RNNLanguageModel}  # which test_sequences.py compares
    assert {type(network) for network in NETWORKS.values()} == others
    assert {type(NETWORKS[name]) for name in TRAINED} == others


@pytest.mark.parametrize("name", [name for name in NETWORKS if name not in TRAINED])
def test_logits(name):
    record, x = read(name)
    weights = imported(name, record, x)
    apply = jax.jit(lambda w, x: NETWORKS[name].build().apply(w["params"], w["state"], x)[0])
    logits = record["logits"]
    np.testing.assert_allclose(apply(weights, x), logits, rtol=0, atol=1e-4 * np.abs(logits).max())


@pytest.mark.parametrize("name", TRAINED)
def test_five_steps_of_training(name):
    record, x = read(name)
    weights, losses, norms = imported(name, record, x), [], []
    with jax.enable_x64(name in FLOAT64):
        dtype = np.float64 if name in FLOAT64 else np.float32
        params, state, x = jax.tree.map(lambda a: a.astype(dtype), (weights["params"], weights["state"], x))
        for _ in range(5):
            y, rate = np.arange(len(x)) % 10, record["rate"]
            params, state, loss, gradients = step(NETWORKS[name])(params, state, x, y, rate)
            losses.append(loss)
            norms.append(gradients)
    np.testing.assert_allclose(losses, record["losses"], rtol=1e-3)
    ours = {their: by_name(norms)[our] for our, their in names(NETWORKS[name]).items() if our in by_name(norms)}
    theirs = dict(zip(record["parameters"].tolist(), record["gradient_norms"].T, strict=True))
    assert set(ours) == set(theirs)
    whole = np.linalg.norm(record["gradient_norms"], axis=1)  # of all parameters together
    np.testing.assert_allclose(np.linalg.norm(list(ours.values()), axis=0), whole, rtol=1e-3)
    for key, norm in theirs.items():  # PyTorch in float32 comes no closer to float64: some ReLUs stand on their edge
        np.testing.assert_allclose(ours[key], norm, rtol=1e-2, atol=1e-4 * whole.max(), err_msg=key)


TIMM = {
    "class_token": "cls_token", "encoder.pos_embedding": "pos_embed", "conv_proj": "patch_embed.proj",
    "encoder.layers.encoder_layer_": "blocks.", "encoder.ln": "norm", "ln_": "norm", "heads.head": "head",
    "self_attention.in_proj_": "attn.qkv.", "self_attention.out_proj": "attn.proj",
    "mlp.0": "mlp.fc1", "mlp.3": "mlp.fc2",
}  # fmt: skip


@pytest.mark.parametrize("other", [TIMM, {"mlp.0": "mlp.linear_1", "mlp.3": "mlp.linear_2"}])
def test_a_vision_transformer_comes_under_any_of_its_names(other):
    network, (record, x) = NETWORKS["vit_trains"], read("vit_trains")
    shapes = json.loads(str(record["shapes"]))
    tensors = {name: random_tensor(name, tuple(shape)) for name, shape in shapes.items()}
    renamed = {reduce(lambda name, pair: name.replace(*pair), other.items(), name): t for name, t in tensors.items()}
    assert set(renamed) != set(tensors)
    same = from_pytorch(network, renamed, like(network, x))
    jax.tree.map(np.testing.assert_array_equal, same, from_pytorch(network, tensors, like(network, x)))


def small(**changes):
    """AlexNetSmall, PyTorch's tensors for it with some changed (None: left out), and the shapes it needs."""
    record, x = read("alexnet_small")
    shapes = json.loads(str(record["shapes"]))
    tensors = {name: random_tensor(name, tuple(shape)) for name, shape in shapes.items()} | changes
    network = NETWORKS["alexnet_small"]
    return network, {name: tensor for name, tensor in tensors.items() if tensor is not None}, like(network, x)


def test_all_that_does_not_fit_is_named():
    wrong = {
        "bn1.bias": None, "bn2.bias": None, "bn3.bias": None, "bn4.bias": None, "conv6.weight": np.zeros(3, np.float32),
        "conv1.weight": np.zeros((3, 3, 3, 64), np.float32), "fc8.bias": np.zeros(10, np.int8),
        "bn1.num_batches_tracked": np.array(7),
    }  # fmt: skip
    with pytest.raises(ValueError, match="do not fit AlexNetSmall") as error:
        from_pytorch(*small(**wrong))
    assert str(error.value).splitlines()[1:] == [
        "  4 missing: bn1.bias, bn2.bias, bn3.bias and 1 more",
        "  1 unexpected: conv6.weight",
        "  1 of another shape: conv1.weight is (3, 3, 3, 64), needed is (64, 3, 3, 3) for conv1.kernel",
        "  1 not floating-point: fc8.bias is int8",
    ]


@pytest.mark.parametrize("old_head", [True, False])
def test_a_new_head_keeps_its_own_values(old_head):
    """The file may have a head of another size or none."""
    network, tensors, needed = small(**({} if old_head else {"fc8.weight": None, "fc8.bias": None}))
    kernel = np.ones((256, 7), np.float32)
    needed["params"]["dense3"] = {"kernel": kernel, "bias": np.ones(7, np.float32)}
    weights = from_pytorch(network, tensors, needed, except_for=["dense3"])
    assert weights["params"]["dense3"]["kernel"] is kernel
    np.testing.assert_array_equal(weights["params"]["dense2"]["kernel"], tensors["fc7.weight"].T)
    np.testing.assert_array_equal(weights["state"]["batch_norm2"]["mean"], tensors["bn2.running_mean"])


def test_half_precision_takes_the_dtype_of_the_network():
    half = random_tensor("fc7.weight", (256, 512)).astype(jnp.bfloat16)
    weights = from_pytorch(*small(**{"fc7.weight": half}))
    assert weights["params"]["dense2"]["kernel"].dtype == np.float32


def test_a_network_without_a_map_names_those_with_one():
    with pytest.raises(ValueError, match=r"LeNet has no map of PyTorch's names: AlexNet, .* have one"):
        names(LeNet())


@cache
def step(network):
    model = network.build()

    @jax.jit
    def run(params, state, x, y, rate):
        def loss(params):
            logits, after = model.apply(params, state, x, train=True)
            return optax.softmax_cross_entropy_with_integer_labels(logits, y).mean(), after

        (value, after), gradients = jax.value_and_grad(loss, has_aux=True)(params)
        params = jax.tree.map(lambda p, g: p - rate.astype(p.dtype) * g, params, gradients)
        return params, after, value, jax.tree.map(jnp.linalg.norm, gradients)

    return run


def read(name):
    """The record of a network and its images [B, H, W, 3]."""
    with np.load(FOLDER / f"{name}.npz", allow_pickle=False) as arrays:
        record = dict(arrays)
    examples, size = record["size"]
    return record, random_tensor("images", (examples, size, size, 3))


def imported(name, record, x):
    """{"params", "state"}: PyTorch's tensors in our network."""
    tensors = {key: random_tensor(key, tuple(shape)) for key, shape in json.loads(str(record["shapes"])).items()}
    return from_pytorch(NETWORKS[name], tensors, like(NETWORKS[name], x))


def like(network, x):
    params, state = jax.eval_shape(network.build().init, jax.random.key(0), x)
    return {"params": params, "state": state}


def by_name(norms):
    """A list of trees of numbers as {"conv1.kernel": numbers}."""
    leaves = jax.tree_util.tree_leaves_with_path(jax.tree.map(lambda *numbers: np.array(numbers), *norms))
    return {".".join(part.key for part in path): leaf for path, leaf in leaves}


def random_tensor(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Uniform numbers drawn from a name, float32: weights scaled by their fan-in, variances and scales around 1."""
    values = np.random.Generator(np.random.SFC64(zlib.crc32(name.encode()))).random(shape, np.float32) * 2 - 1
    if name == "images":
        return values * 2
    if name.endswith("running_var"):
        return 1 + values / 2
    if len(shape) == 1:
        return 0.5 + values / 4 if name.endswith("weight") else values / 4
    return values * np.float32((6 / np.prod(shape[1:])) ** 0.5)
