"""What PyTorch computes for the large networks: writes tests/models/reference/networks/NAME.npz, a few KB each.

    .venv/bin/python scripts/reference_networks.py [NAME ...]

needs PyTorch and torchvision; `tests/models/test_pytorch.py`, which reads the files, does not. A network enters with a
line in NETWORKS here and one of the same name there. Weights and images are too large to keep: both sides draw them
from a tensor's name (`random_tensor`, the same few lines in both files), and a file holds names, shapes and results.
Everything is computed in float64.
"""

import json
import sys
import zlib
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

FOLDER = Path(__file__).parents[1] / "tests" / "models" / "reference" / "networks"

with_operators = torch.library.Library("torchvision", "DEF")  # which torchvision without its compiled half wants to see
for operator in ("nms", "qnms"):
    with_operators.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
from torchvision import models as tv  # noqa: E402


def network(**layers: nn.Module) -> nn.Module:
    return nn.Sequential(OrderedDict(layers))


def alexnet_2012(side: int = 6, classes: int = 1000) -> nn.Module:
    """As published, the last map being side x side; PyTorch divides alpha by the window of 5."""
    norm = partial(nn.LocalResponseNorm, 5, alpha=5 * 1e-4, beta=0.75, k=2.0)
    return network(
        conv1=nn.Conv2d(3, 96, 11, stride=4), relu1=nn.ReLU(), norm1=norm(), pool1=nn.MaxPool2d(3, 2),
        conv2=nn.Conv2d(96, 256, 5, padding=2, groups=2), relu2=nn.ReLU(), norm2=norm(), pool2=nn.MaxPool2d(3, 2),
        conv3=nn.Conv2d(256, 384, 3, padding=1), relu3=nn.ReLU(),
        conv4=nn.Conv2d(384, 384, 3, padding=1, groups=2), relu4=nn.ReLU(),
        conv5=nn.Conv2d(384, 256, 3, padding=1, groups=2), relu5=nn.ReLU(), pool5=nn.MaxPool2d(3, 2),
        flatten=nn.Flatten(),
        fc6=nn.Linear(256 * side * side, 4096), relu6=nn.ReLU(),
        fc7=nn.Linear(4096, 4096), relu7=nn.ReLU(),
        fc8=nn.Linear(4096, classes),
    )  # fmt: skip


def alexnet_small(batch_norm: bool) -> nn.Module:
    layers: dict[str, nn.Module] = {}
    channels = (3, 64, 96, 160, 160, 128)
    for i in range(1, 6):
        layers[f"conv{i}"] = nn.Conv2d(channels[i - 1], channels[i], 3, padding=1, bias=not batch_norm)
        layers |= {f"bn{i}": nn.BatchNorm2d(channels[i])} if batch_norm else {}
        layers[f"relu{i}"] = nn.ReLU()
        if i < 3 and not batch_norm:
            layers[f"norm{i}"] = nn.LocalResponseNorm(5, alpha=5 * 1e-4, beta=0.75, k=2.0)
        if i in (1, 2, 5):
            layers |= {f"pad{i}": nn.ZeroPad2d((0, 1, 0, 1)), f"pool{i}": nn.MaxPool2d(3, 2)}  # zero: after a ReLU
    return network(
        **layers, flatten=nn.Flatten(),
        fc6=nn.Linear(128 * 4 * 4, 512), relu6=nn.ReLU(),
        fc7=nn.Linear(512, 256), relu7=nn.ReLU(),
        fc8=nn.Linear(256, 10),
    )  # fmt: skip


def small_stem(module: nn.Module) -> nn.Module:
    module.conv1, module.maxpool = nn.Conv2d(3, 64, 3, padding=1, bias=False), nn.Identity()
    return module


def for_small_images(module: nn.Module, inputs: int, place: int) -> nn.Module:
    """torchvision's AlexNet and VGG with a first dense layer for the map that small images leave, and no dropout."""
    module.avgpool = nn.Identity()
    module.classifier[place] = nn.Linear(inputs, module.classifier[place].out_features)
    for layer in module.classifier:
        if isinstance(layer, nn.Dropout):
            layer.p = 0.0
    return module


def convnext(depths: tuple[int, ...], widths: tuple[int, ...], classes: int, stem: int = 4) -> nn.Module:
    settings = zip(widths, (*widths[1:], None), depths, strict=True)
    module = tv.convnext.ConvNeXt([tv.convnext.CNBlockConfig(*setting) for setting in settings], num_classes=classes)
    module.features[0][0] = nn.Conv2d(3, widths[0], stem, stride=stem)
    return module


def vit(width: int, heads: int, depth: int = 12, size: int = 224, patch: int = 16, classes: int = 1000) -> nn.Module:
    return tv.VisionTransformer(size, patch, depth, heads, width, 4 * width, num_classes=classes)


class Case(NamedTuple):
    make: Callable[[], nn.Module]
    size: int  # of the image
    classes: int = 1000
    examples: int = 1
    rate: float = 0.0  # of five steps of SGD; without one, logits in evaluation


# fmt: off
NETWORKS = {
    # logits of one image at full size
    "alexnet": Case(alexnet_2012, 227),
    "alexnet_one_tower": Case(tv.alexnet, 224),
    "vgg11": Case(tv.vgg11, 224),
    "vgg16": Case(tv.vgg16, 224),
    "resnet18": Case(tv.resnet18, 224),
    "resnet34": Case(tv.resnet34, 224),
    "resnet50": Case(tv.resnet50, 224),
    "resnet101": Case(tv.resnet101, 224),
    "convnext": Case(tv.convnext_tiny, 224),
    "vit_small": Case(partial(vit, 384, 6), 224),
    "vit_base": Case(partial(vit, 768, 12), 224),
    "alexnet_small": Case(partial(alexnet_small, True), 32, 10),
    "alexnet_small_response": Case(partial(alexnet_small, False), 32, 10),
    "resnet18_small": Case(lambda: small_stem(tv.resnet18(num_classes=10)), 32, 10),
    "convnext_small": Case(partial(convnext, (1, 2), (16, 32), 10, 2), 32, 10),
    # five steps of SGD on small images, at a rate that float32 can follow for so long
    "alexnet_trains": Case(partial(alexnet_2012, 2, 10), 99, 10, 4, 1e-4),
    "alexnet_one_tower_trains": Case(lambda: for_small_images(tv.alexnet(num_classes=10), 256 * 4, 1), 95, 10, 4, 1e-4),
    "alexnet_small_trains": Case(partial(alexnet_small, True), 32, 10, 8, 1e-3),
    "vgg11_trains": Case(lambda: for_small_images(tv.vgg11(num_classes=10), 512 * 4, 0), 64, 10, 4, 1e-4),
    "vgg11_batch_norm_trains": Case(lambda: for_small_images(tv.vgg11_bn(num_classes=10), 512, 0), 32, 10, 8, 1e-4),
    "resnet18_trains": Case(lambda: tv.resnet18(num_classes=10), 64, 10, 4, 1e-4),
    "resnet18_small_trains": Case(lambda: small_stem(tv.resnet18(num_classes=10)), 16, 10, 8, 1e-4),
    "resnet50_trains": Case(lambda: tv.resnet50(num_classes=10), 64, 10, 8, 2e-7),
    "convnext_trains": Case(partial(convnext, (1, 1), (16, 32), 10), 32, 10, 4, 1e-3),
    "vit_trains": Case(partial(vit, 64, 4, 2, 32, 8, 10), 32, 10, 4, 1e-3),
}
# fmt: on


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for name in sys.argv[1:] or NETWORKS:
        record = record_of(NETWORKS[name])
        np.savez_compressed(FOLDER / f"{name}.npz", **record)
        shown = record["losses"] if "losses" in record else np.std(record["logits"])
        print(f"{name:26} {(FOLDER / f'{name}.npz').stat().st_size / 1024:5.1f} KiB  {shown}", flush=True)


def record_of(case: Case) -> dict[str, np.ndarray]:
    """Names and shapes of the tensors, and logits, or losses and norms of gradients."""
    module = case.make().double().train(case.rate > 0)
    tensors = {name: t for name, t in module.state_dict().items() if not name.endswith("num_batches_tracked")}
    for name, tensor in tensors.items():
        tensor.copy_(torch.from_numpy(random_tensor(name, tuple(tensor.shape))))
    shapes = {name: list(tensor.shape) for name, tensor in tensors.items()}
    x = torch.from_numpy(random_tensor("images", (case.examples, case.size, case.size, 3))).double().permute(0, 3, 1, 2)
    record = {"shapes": np.array(json.dumps(shapes)), "size": np.array([case.examples, case.size])}
    return record | (trained(module, x, case) if case.rate else {"logits": evaluated(module, x)})


def evaluated(module: nn.Module, x: torch.Tensor) -> np.ndarray:
    with torch.no_grad():
        return module(x).numpy().astype(np.float32)


def trained(module: nn.Module, x: torch.Tensor, case: Case) -> dict[str, np.ndarray]:
    """Five steps of SGD on one batch: losses, and in each step the norm of each parameter's gradient."""
    y = torch.arange(len(x)) % case.classes
    optimizer = torch.optim.SGD(module.parameters(), lr=case.rate)
    losses, norms = [], []
    for _ in range(5):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(module(x), y)
        loss.backward()
        losses.append(loss.item())
        norms.append([p.grad.norm().item() for p in module.parameters()])
        optimizer.step()
    names = np.array([name for name, _ in module.named_parameters()])
    record = {"rate": np.array(case.rate), "losses": np.array(losses), "parameters": names}
    return record | {"gradient_norms": np.array(norms, np.float32)}


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


if __name__ == "__main__":
    main()
