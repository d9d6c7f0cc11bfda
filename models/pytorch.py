"""Weights of PyTorch's networks in ours: which tensor is which, by a declared map, and how the axes lie.

The PyTorch names are torchvision's; where it has no such network, those that the map's docstring gives. Tensors come as
a mapping from name to NumPy array: how they are read from a file is not this module's business.
"""

from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from .alexnet import AlexNet, AlexNetOneTower, AlexNetSmall
from .convnext import ConvNeXt
from .resnet import STAGES, ResNet
from .rnn import RNN, RNNLanguageModel
from .vgg import CONVOLUTIONS, VGG
from .vit import ViT

# The leaves of a layer, in our name and in PyTorch's.
WEIGHTS = {"kernel": "weight"}
BIASED = WEIGHTS | {"bias": "bias"}
NORM = {"scale": "weight", "bias": "bias"}
BATCH_NORM = NORM | {"mean": "running_mean", "var": "running_var"}


class Names(NamedTuple):
    """What is called what in one network."""

    leaves: dict[str, str]  # our dotted name -> PyTorch's
    flattened: Mapping[str, str] = MappingProxyType({})  # a dense kernel that reads a flattened map -> the map's kernel
    # a leaf that is a sum of two tensors -> PyTorch's name of the second
    added: Mapping[str, str] = MappingProxyType({})


def names(network: Any, tensors: Collection[str] = ()) -> dict[str, str]:
    """Our dotted name of each leaf of params and state -> PyTorch's: {"head.kernel": "fc.weight", ...}.

    Of several maps it is the one for `tensors`. Raises ValueError for a network without a map.
    """
    return _names(network, tensors).leaves


def from_pytorch(
    network: Any, tensors: Mapping[str, Any], like: dict[str, Any], except_for: Collection[str] = ()
) -> dict[str, Any]:
    """`tensors` as {"params", "state"} of NumPy arrays, in the structure, shapes and dtypes of `like`.

    Convolutions turn from [O, I, H, W] to [H, W, I, O], dense layers from [O, I] to [I, O], and the first dense layer
    after a flattened map from the order C, H, W to H, W, C. PyTorch's two biases of a recurrent layer, which are added
    wherever they are used, become one. `except_for` holds our names or their first parts ("head",
    "stage4.block1"): those leaves stay what they are in `like`, and `tensors` may have others. So do states that
    recurrent layers carry, which PyTorch keeps outside of its networks. Raises ValueError with the difference where
    names, shapes or dtypes do not fit.
    """
    tensors = {name: np.asarray(tensor) for name, tensor in tensors.items()}  # PyTorch's own will do
    map_, kind = _names(network, tensors), type(network).__name__
    paths, structure = jax.tree_util.tree_flatten_with_path(like)
    needed = {".".join(part.key for part in path[1:]): leaf for path, leaf in paths}
    states = {name for (path, _), name in zip(paths, needed, strict=True) if path[0].key == "state"}
    carried = states - set(map_.leaves)
    if lacking := set(needed) - set(map_.leaves) - carried:
        raise ValueError(f"the map of {kind} lacks {_few(sorted(lacking))}")
    kept = {name for name in needed if any(f"{name}.".startswith(f"{prefix}.") for prefix in except_for)} | carried
    taken = {name: map_.leaves[name] for name in needed if name not in kept}
    read = [*taken.items(), *((name, map_.added[name]) for name in taken if name in map_.added)]
    known = {*map_.leaves.values(), *map_.added.values()}
    _compare(kind, tensors, {theirs: (name, needed[name]) for name, theirs in read}, known)

    def ours(name, leaf):
        if name in kept:
            return leaf
        tensor = tensors[taken[name]]
        if name in map_.added:
            tensor = tensor + tensors[map_.added[name]]
        if name in map_.flattened:
            tensor = tensor.reshape(len(tensor), needed[map_.flattened[name]].shape[-1], -1)  # [O, C, H W]
        if _is_kernel(name):
            tensor = tensor.transpose(*range(2, tensor.ndim), 1, 0)
        return np.array(tensor.reshape(leaf.shape), leaf.dtype, order="C")

    return jax.tree.unflatten(structure, [ours(name, leaf) for name, leaf in needed.items()])


def _is_kernel(name: str) -> bool:
    return name.endswith("kernel")


def _their_shape(name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Of a kernel [..., I, O] the shape [O, I, ...]; all other leaves have one shape, up to axes of length 1."""
    return (*shape[:-3:-1], *shape[:-2]) if _is_kernel(name) else shape


def fits(found: tuple[int, ...], name: str, shape: tuple[int, ...]) -> bool:
    """Whether a tensor of shape `found` can become our leaf of that name and shape."""
    if _is_kernel(name):
        return found == _their_shape(name, shape)
    return [n for n in found if n != 1] == [n for n in shape if n != 1]


def _compare(kind: str, tensors: Mapping, needed: dict[str, tuple[str, Any]], known: Collection[str]) -> None:
    """Raises ValueError with all that does not fit. `needed`: PyTorch's name -> our name and leaf."""
    missing = [name for name in needed if name not in tensors]
    extra = [name for name in tensors if name not in known and not name.endswith("num_batches_tracked")]
    shapes, dtypes = [], []
    for name, (ours, leaf) in needed.items():
        if name in tensors:
            found = tensors[name]
            if not fits(found.shape, ours, leaf.shape):
                shapes.append(f"{name} is {found.shape}, needed is {_their_shape(ours, leaf.shape)} for {ours}")
            elif not jnp.issubdtype(found.dtype, jnp.floating):
                dtypes.append(f"{name} is {found.dtype}")
    parts = {"missing": missing, "unexpected": extra, "of another shape": shapes, "not floating-point": dtypes}
    if any(parts.values()):
        lines = [f"  {len(found)} {what}: {_few(found)}" for what, found in parts.items() if found]
        raise ValueError("\n".join([f"these weights do not fit {kind}:", *lines]))


def _few(found: list[str], most: int = 3) -> str:
    return ", ".join(found[:most]) + (f" and {len(found) - most} more" if len(found) > most else "")


# The maps, one a network: layers as (our name, PyTorch's, leaves).

Layers = list[tuple[str, str, dict[str, str]]]


def leaves(layers: Layers) -> dict[str, str]:
    """Our dotted name of each leaf of these layers -> PyTorch's."""
    return {f"{ours}.{leaf}": f"{theirs}.{other}" for ours, theirs, kind in layers for leaf, other in kind.items()}


def _alexnet(network: AlexNet) -> Names:
    """conv1 to conv5, fc6 to fc8: what Caffe calls them."""
    layers = [(f"conv{i}", f"conv{i}", BIASED) for i in range(1, 6)]
    layers += [(f"dense{i}", f"fc{i + 5}", BIASED) for i in range(1, 4)]
    return Names(leaves(layers), {"dense1.kernel": "conv5.kernel"})


def _alexnet_one_tower(network: AlexNetOneTower) -> Names:
    layers = [(f"conv{i + 1}", f"features.{n}", BIASED) for i, n in enumerate((0, 3, 6, 8, 10))]
    layers += [(f"dense{i + 1}", f"classifier.{n}", BIASED) for i, n in enumerate((1, 4, 6))]
    return Names(leaves(layers), {"dense1.kernel": "conv5.kernel"})


def _alexnet_small(network: AlexNetSmall) -> Names:
    """conv1 to conv5, bn1 to bn5 and fc6 to fc8."""
    batch = network.norm == "batch"
    layers = [(f"conv{i}", f"conv{i}", WEIGHTS if batch else BIASED) for i in range(1, 6)]
    layers += [(f"batch_norm{i}", f"bn{i}", BATCH_NORM) for i in range(1, 6) if batch]
    layers += [(f"dense{i}", f"fc{i + 5}", BIASED) for i in range(1, 4)]
    return Names(leaves(layers), {"dense1.kernel": "conv5.kernel"})


def _vgg(network: VGG) -> Names:
    layers: Layers = []
    place, number = 0, 0
    for times in CONVOLUTIONS[network.depth]:
        for _ in range(times):
            number += 1
            layers.append((f"conv{number}", f"features.{place}", BIASED))
            if network.batch_norm:
                layers.append((f"batch_norm{number}", f"features.{place + 1}", BATCH_NORM))
            place += 3 if network.batch_norm else 2  # with its activation
        place += 1  # the pool
    layers += [(f"dense{i + 1}", f"classifier.{n}", BIASED) for i, n in enumerate((0, 3, 6))]
    return Names(leaves(layers), {"dense1.kernel": f"conv{number}.kernel"})


def _resnet(network: ResNet) -> Names:
    blocks, bottleneck = STAGES[network.depth]
    layers = [("stem.conv1", "conv1", WEIGHTS), ("stem.batch_norm1", "bn1", BATCH_NORM)]
    for s, times in enumerate(blocks, 1):
        for b in range(1, times + 1):
            ours, theirs = f"stage{s}.block{b}", f"layer{s}.{b - 1}"
            for i in range(1, 4 if bottleneck else 3):
                layers.append((f"{ours}.conv{i}", f"{theirs}.conv{i}", WEIGHTS))
                layers.append((f"{ours}.batch_norm{i}", f"{theirs}.bn{i}", BATCH_NORM))
            if b == 1 and (bottleneck or s > 1):
                layers.append((f"{ours}.shortcut.conv1", f"{theirs}.downsample.0", WEIGHTS))
                layers.append((f"{ours}.shortcut.batch_norm1", f"{theirs}.downsample.1", BATCH_NORM))
    return Names(leaves([*layers, ("head", "fc", BIASED)]))


def _convnext(network: ConvNeXt) -> Names:
    layers: Layers = []
    for s, times in enumerate(network.depths):
        # the stem is convolution and norm, a downsampling norm and convolution
        entry, conv, norm = (f"downsample{s}", 1, 0) if s else ("stem", 0, 1)
        layers.append((f"{entry}.conv1", f"features.{2 * s}.{conv}", BIASED))
        layers.append((f"{entry}.layer_norm1", f"features.{2 * s}.{norm}", NORM))
        for b in range(times):
            ours, theirs = f"stage{s + 1}.block{b + 1}", f"features.{2 * s + 1}.{b}"
            layers.append((f"{ours}.conv1", f"{theirs}.block.0", BIASED))
            layers.append((f"{ours}.layer_norm1", f"{theirs}.block.2", NORM))
            layers.append((f"{ours}.dense1", f"{theirs}.block.3", BIASED))
            layers.append((f"{ours}.dense2", f"{theirs}.block.5", BIASED))
            layers.append((f"{ours}.layer_scale1", theirs, {"scale": "layer_scale"}))
    return Names(leaves([*layers, ("layer_norm1", "classifier.0", NORM), ("head", "classifier.2", BIASED)]))


def _vit(network: ViT, mlp: tuple[str, str] = ("0", "3")) -> Names:
    layers = [("patch_embedding1", "conv_proj", BIASED)]
    for n in range(network.depth):
        ours, theirs = f"block{n + 1}", f"encoder.layers.encoder_layer_{n}"
        in_proj = {"kernel": "in_proj_weight", "bias": "in_proj_bias"}
        layers.append((f"{ours}.norm1", f"{theirs}.ln_1", NORM))
        layers.append((f"{ours}.attention.query_key_value", f"{theirs}.self_attention", in_proj))
        layers.append((f"{ours}.attention.output", f"{theirs}.self_attention.out_proj", BIASED))
        layers.append((f"{ours}.norm2", f"{theirs}.ln_2", NORM))
        layers += [(f"{ours}.mlp.dense{i}", f"{theirs}.mlp.{name}", BIASED) for i, name in enumerate(mlp, 1)]
    layers += [("layer_norm1", "encoder.ln", NORM), ("head", "heads.head", BIASED)]
    tokens = {"class_token1.token": "class_token", "position_embedding1.embedding": "encoder.pos_embedding"}
    return Names(leaves(layers) | tokens)


def _vit_of_timm(network: ViT) -> Names:
    layers = [("patch_embedding1", "patch_embed.proj", BIASED)]
    for n in range(network.depth):
        ours, theirs = f"block{n + 1}", f"blocks.{n}"
        layers += [(f"{ours}.norm{i}", f"{theirs}.norm{i}", NORM) for i in (1, 2)]
        layers.append((f"{ours}.attention.query_key_value", f"{theirs}.attn.qkv", BIASED))
        layers.append((f"{ours}.attention.output", f"{theirs}.attn.proj", BIASED))
        layers += [(f"{ours}.mlp.dense{i}", f"{theirs}.mlp.fc{i}", BIASED) for i in (1, 2)]
    layers += [("layer_norm1", "norm", NORM), ("head", "head", BIASED)]
    tokens = {"class_token1.token": "cls_token", "position_embedding1.embedding": "pos_embed"}
    return Names(leaves(layers) | tokens)


def _rnn(network: RNN | RNNLanguageModel) -> Names:
    """rnn (nn.RNN, nn.LSTM or nn.GRU with batch_first), head (nn.Linear) and, of a language model, embedding."""
    if network.cell not in ("elman", "elman_relu", "lstm", "gru"):
        raise ValueError(f"PyTorch has no '{network.cell}' cell: elman, elman_relu, lstm and gru are in both")
    both, gru = getattr(network, "bidirectional", False), network.cell == "gru"
    found = leaves([("head", "head", BIASED)])
    added: dict[str, str] = {}  # of LSTM and Elman cells, whose two biases are one
    if isinstance(network, RNNLanguageModel):
        found |= leaves([("embedding", "embedding", {"embedding": "weight"})])
    for n in range(network.depth):
        for ours, end in ((".forward", ""), (".backward", "_reverse")) if both else (("", ""),):
            layer, place = f"layer{n + 1}{ours}", f"l{n}{end}"
            found |= {f"{layer}.kernel": f"rnn.weight_ih_{place}", f"{layer}.bias": f"rnn.bias_ih_{place}"}
            found[f"{layer}.recurrent_kernel"] = f"rnn.weight_hh_{place}"
            (found if gru else added)[f"{layer}.recurrent_bias" if gru else f"{layer}.bias"] = f"rnn.bias_hh_{place}"
    return Names(found, added=added)


MAPS: dict[type, Callable[[Any], Names]] = {
    AlexNet: _alexnet,
    AlexNetOneTower: _alexnet_one_tower,
    AlexNetSmall: _alexnet_small,
    VGG: _vgg,
    ResNet: _resnet,
    ConvNeXt: _convnext,
    ViT: _vit,
    RNN: _rnn,
    RNNLanguageModel: _rnn,
}


def _names(network: Any, tensors: Collection[str] = ()) -> Names:
    """The map for `tensors`: a Vision Transformer comes from timm, from torchvision, or from its first version."""
    if type(network) not in MAPS:
        have = ", ".join(kind.__name__ for kind in MAPS)
        raise ValueError(f"{type(network).__name__} has no map of PyTorch's names: {have} have one")
    if type(network) is ViT and "cls_token" in tensors:
        return _vit_of_timm(network)
    if type(network) is ViT and any(".mlp.linear_1." in name for name in tensors):
        return _vit(network, ("linear_1", "linear_2"))
    return MAPS[type(network)](network)
