"""What PyTorch computes for every layer and network of the zoo: writes tests/models/reference/NAME.npz.

    .venv/bin/python scripts/reference_outputs.py

needs PyTorch; `tests/models/test_reference.py`, which reads the files, does not. A new layer or network enters with one
line in LAYERS or NETWORKS here and one of the same name there. Inputs, weights and biases are random and not zero. The
numbers are computed in float64 and stored in float32, channels last, kernels [*window, in, out], under our names.
"""

import copy
import zlib
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

FOLDER = Path(__file__).parents[1] / "tests" / "models" / "reference"


class SelfAttention(nn.Module):
    """The function of nn.MultiheadAttention, with parameters under our names: [B, D, T] -> [B, D, T]."""

    def __init__(self, width: int, heads: int, causal: bool = False):
        super().__init__()
        self.query_key_value, self.output = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.heads, self.causal = heads, causal

    def forward(self, x):
        inward, outward, x = self.query_key_value, self.output, x.permute(2, 0, 1)
        mask = nn.Transformer.generate_square_subsequent_mask(len(x), dtype=x.dtype) if self.causal else None
        y, _ = F.multi_head_attention_forward(
            x, x, x, x.shape[-1], self.heads, inward.weight, inward.bias, None, None, False, 0.0, outward.weight,
            outward.bias, need_weights=False, attn_mask=mask, is_causal=self.causal,
        )  # fmt: skip
        return y.permute(1, 2, 0)


class PatchEmbedding(nn.Conv2d):
    def forward(self, x):
        return super().forward(x).flatten(2)


class ClassToken(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.token = nn.Parameter(torch.zeros(width))

    def forward(self, x):
        return torch.cat([self.token[:, None].expand(len(x), -1, 1), x], 2)


class PositionEmbedding(nn.Module):
    def __init__(self, positions: int, width: int):
        super().__init__()
        self.embedding = nn.Parameter(torch.zeros(positions, width))

    def forward(self, x):
        return x + self.embedding.T


class DenseOnto(nn.Module):
    """nn.Linear onto images [B, C, H, W]; its bias has the layout of ours, [H, W, C]."""

    def __init__(self, width: int, height: int, columns: int, channels: int):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(height * columns * channels, width))
        self.bias = nn.Parameter(torch.zeros(height, columns, channels))

    def forward(self, x):
        return (F.linear(x, self.weight).unflatten(1, self.bias.shape) + self.bias).permute(0, 3, 1, 2)


class FirstHalf(nn.Module):
    """The means of a posterior."""

    def forward(self, x):
        return x.chunk(2, 1)[0]


class LayerScale(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x):
        return x * self.weight[:, None, None]


# A module and the shape of its input, channels second.
LAYERS: dict[str, tuple[nn.Module, tuple[int, ...]]] = {
    "dense": (nn.Linear(4, 5), (3, 4)),
    "dense_positions": (nn.Linear(4, 5), (2, 3, 4)),
    "conv": (nn.Conv2d(3, 4, 3), (2, 3, 7, 6)),
    "conv_1x1": (nn.Conv2d(3, 4, 1, bias=False), (2, 3, 5, 4)),
    "conv_stride": (nn.Conv2d(3, 4, (3, 2), stride=(2, 1), padding=(1, 0)), (2, 3, 7, 6)),
    "conv_dilation": (nn.Conv2d(2, 3, 3, dilation=2, padding=2), (2, 2, 7, 6)),
    "conv_groups": (nn.Conv2d(4, 6, 3, groups=2, padding=1), (2, 4, 5, 6)),
    "conv_depthwise": (nn.Conv2d(3, 3, 3, groups=3, stride=2, padding=1), (2, 3, 7, 6)),
    "conv_everything": (nn.Conv2d(4, 2, 3, groups=2, stride=2, dilation=2, padding=(2, 1)), (2, 4, 8, 9)),
    "conv_1d": (nn.Conv1d(3, 4, 3, stride=2, padding=1), (2, 3, 9)),
    "conv_1d_dilation": (nn.Conv1d(4, 4, 3, dilation=3, groups=2), (2, 4, 9)),
    "conv_transpose": (nn.ConvTranspose2d(3, 4, 3), (2, 3, 4, 3)),
    "conv_transpose_padding": (nn.ConvTranspose2d(3, 4, 4, stride=2, padding=1), (2, 3, 4, 3)),
    "conv_transpose_uneven": (nn.ConvTranspose2d(3, 2, 3, stride=2, padding=1, output_padding=1), (2, 3, 4, 3)),
    "conv_transpose_gaps": (nn.ConvTranspose2d(3, 2, 2, stride=3), (2, 3, 4, 3)),
    "conv_transpose_1d": (nn.ConvTranspose1d(3, 4, 4, stride=2, padding=1), (2, 3, 5)),
    "max_pool": (nn.MaxPool2d(2), (2, 3, 6, 5)),
    "max_pool_overlapping": (nn.MaxPool2d(3, stride=2), (2, 3, 7, 6)),
    "max_pool_padding": (nn.MaxPool2d(2, padding=1), (2, 3, 5, 4)),
    "max_pool_overlapping_padding": (nn.MaxPool2d((3, 2), stride=(2, 1), padding=1), (2, 3, 7, 6)),
    "max_pool_1d": (nn.MaxPool1d(3, stride=2, padding=1), (2, 3, 8)),
    "avg_pool": (nn.AvgPool2d(2), (2, 3, 6, 5)),
    "avg_pool_overlapping": (nn.AvgPool2d(3, stride=2), (2, 3, 7, 6)),
    "avg_pool_padding": (nn.AvgPool2d(3, stride=2, padding=1, count_include_pad=False), (2, 3, 7, 6)),
    "avg_pool_count_padding": (nn.AvgPool2d(3, stride=2, padding=1), (2, 3, 7, 6)),
    "avg_pool_1d": (nn.AvgPool1d(3, stride=2, padding=1, count_include_pad=False), (2, 3, 8)),
    "global_avg_pool": (nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()), (2, 3, 5, 4)),
    "global_max_pool": (nn.Sequential(nn.AdaptiveMaxPool2d(1), nn.Flatten()), (2, 3, 5, 4)),
    "batch_norm": (nn.BatchNorm2d(3), (4, 3, 3, 2)),
    "batch_norm_features": (nn.BatchNorm1d(3), (6, 3)),
    "batch_norm_eval": (nn.BatchNorm2d(3).eval(), (4, 3, 3, 2)),
    "layer_norm": (nn.LayerNorm(6), (3, 2, 6)),
    "group_norm": (nn.GroupNorm(2, 6), (3, 6, 3, 2)),
    "group_norm_one_group": (nn.GroupNorm(1, 6), (3, 6, 4)),
    "self_attention": (SelfAttention(8, 2), (2, 8, 5)),
    "self_attention_causal": (SelfAttention(6, 3, causal=True), (2, 6, 5)),
    "patch_embedding": (PatchEmbedding(3, 4, 2, stride=2), (2, 3, 4, 6)),
    "class_token": (ClassToken(4), (2, 4, 3)),
    "position_embedding": (PositionEmbedding(3, 4), (2, 4, 3)),
    "layer_scale": (LayerScale(3), (2, 3, 4, 2)),
    "local_response_norm": (nn.LocalResponseNorm(5, alpha=5 * 0.3, beta=0.75, k=2.0), (2, 7, 3, 2)),
    "local_response_norm_power": (nn.LocalResponseNorm(3, alpha=3 * 0.2, beta=0.5, k=1.0), (2, 4, 3)),
    "relu": (nn.ReLU(), (4, 8)),
    "leaky_relu": (nn.LeakyReLU(), (4, 8)),
    "elu": (nn.ELU(), (4, 8)),
    "selu": (nn.SELU(), (4, 8)),
    "gelu": (nn.GELU(approximate="tanh"), (4, 8)),
    "exact_gelu": (nn.GELU(), (4, 8)),
    "silu": (nn.SiLU(), (4, 8)),
    "softplus": (nn.Softplus(), (4, 8)),
    "sigmoid": (nn.Sigmoid(), (4, 8)),
    "tanh": (nn.Tanh(), (4, 8)),
}


class Flatten(nn.Module):
    """Row by row with the channels last, as ours."""

    def forward(self, x):
        return x.movedim(1, -1).flatten(1)


def network(**layers: nn.Module) -> nn.Module:
    return nn.Sequential(OrderedDict(layers))


class Around(nn.Sequential):
    """The input and what the layers make of it, concatenated."""

    def forward(self, x):
        return torch.cat([x, super().forward(x)], 1)


def two_convolutions(channels: int, width: int) -> nn.Module:
    return network(
        conv1=nn.Conv2d(channels, width, 3, padding=1, bias=False), batch_norm1=nn.BatchNorm2d(width), relu1=nn.ReLU(),
        conv2=nn.Conv2d(width, width, 3, padding=1, bias=False), batch_norm2=nn.BatchNorm2d(width), relu2=nn.ReLU(),
    )  # fmt: skip


def unet_level(channels: int, width: int, depth: int) -> dict[str, nn.Module]:
    if depth == 0:
        return {"bottom": two_convolutions(channels, width)}
    inner = unet_level(width, 2 * width, depth - 1)
    up = nn.ConvTranspose2d(2 * width, width, 2, stride=2)
    return {
        "encode": two_convolutions(channels, width),
        "inner": Around(OrderedDict(pool=nn.MaxPool2d(2), **inner, up=up)),
        "decode": two_convolutions(2 * width, width),
    }


def airbench_block(channels: int, width: int) -> nn.Module:
    norms = [nn.BatchNorm2d(width, momentum=0.4) for _ in range(2)]
    for norm in norms:
        norm.register_parameter("weight", None)
    return network(
        conv1=nn.Conv2d(channels, width, 3, padding=1, bias=False), pool=nn.MaxPool2d(2),
        batch_norm1=norms[0], gelu1=nn.GELU("tanh"),
        conv2=nn.Conv2d(width, width, 3, padding=1, bias=False), batch_norm2=norms[1], gelu2=nn.GELU("tanh"),
    )  # fmt: skip


class CausalConv(nn.Conv1d):
    """With a normalised weight, and padding before the first step alone."""

    def __init__(self, channels: int, width: int, kernel: int, dilation: int):
        super().__init__(channels, width, kernel, dilation=dilation)
        self.scale, self.before = nn.Parameter(torch.ones(width)), (kernel - 1) * dilation

    def forward(self, x):
        weight = torch._weight_norm(self.weight, self.scale[:, None, None], 0)
        return F.conv1d(F.pad(x, (self.before, 0)), weight, self.bias, dilation=self.dilation)


class Residual(nn.Module):
    def __init__(self, body: nn.Module, shortcut: nn.Module | None):
        super().__init__()
        self.body, self.shortcut = body, shortcut

    def forward(self, x):
        return self.body(x) + (self.shortcut(x) if self.shortcut else x)


def temporal_block(channels: int, width: int, dilation: int) -> nn.Module:
    body = network(
        conv1=CausalConv(channels, width, 3, dilation), relu1=nn.ReLU(),
        conv2=CausalConv(width, width, 3, dilation), relu2=nn.ReLU(),
    )  # fmt: skip
    shortcut = nn.Conv1d(channels, width, 1) if channels != width else None
    return network(residual1=Residual(body, shortcut), relu=nn.ReLU())


class LastStep(nn.Module):
    def forward(self, x):
        return x[..., -1]


class Times(nn.Module):
    def __init__(self, factor: float):
        super().__init__()
        self.factor = factor

    def forward(self, x):
        return x * self.factor


# A module, the shape of its input, channels second, and its number of classes; 0 for regression.
NETWORKS: dict[str, tuple[nn.Module, tuple[int, ...], int]] = {
    "linear_regression": (network(dense1=nn.Linear(5, 2)), (8, 5), 0),
    "logistic_regression": (network(flatten=Flatten(), dense1=nn.Linear(24, 3)), (8, 2, 4, 3), 3),
    "mlp": (
        network(
            dense1=nn.Linear(6, 16), relu1=nn.ReLU(),
            dense2=nn.Linear(16, 8), relu2=nn.ReLU(),
            dense3=nn.Linear(8, 3),
        ), (8, 6), 3,
    ),
    "mlp_batch_norm": (
        network(
            dense1=nn.Linear(6, 16, bias=False), batch_norm1=nn.BatchNorm1d(16), relu1=nn.ReLU(),
            dense2=nn.Linear(16, 8, bias=False), batch_norm2=nn.BatchNorm1d(8), relu2=nn.ReLU(),
            dense3=nn.Linear(8, 3),
        ), (8, 6), 3,
    ),
    "lenet": (
        network(
            conv1=nn.Conv2d(1, 6, 5, padding=2), relu1=nn.ReLU(), pool1=nn.MaxPool2d(2),
            conv2=nn.Conv2d(6, 16, 5), relu2=nn.ReLU(), pool2=nn.MaxPool2d(2),
            flatten=Flatten(),
            dense1=nn.Linear(64, 120), relu3=nn.ReLU(),
            dense2=nn.Linear(120, 84), relu4=nn.ReLU(),
            dense3=nn.Linear(84, 3),
        ), (4, 1, 16, 16), 3,
    ),
    "airbench": (
        network(
            whitening=nn.Conv2d(1, 8, 2), gelu1=nn.GELU("tanh"),
            block1=airbench_block(8, 6), block2=airbench_block(6, 8),
            pool=nn.AdaptiveMaxPool2d(1), flatten=Flatten(),
            dense1=nn.Linear(8, 3, bias=False), scale=Times(1 / 9),
        ), (6, 1, 10, 10), 3,
    ),
    "tcn": (
        network(
            block1=temporal_block(2, 4, 1), block2=temporal_block(4, 4, 2),
            last=LastStep(), head=nn.Linear(4, 3),
        ), (6, 2, 12), 3,
    ),
    "unet": (network(**unet_level(2, 4, depth=2), logits=nn.Conv2d(4, 3, 1)), (4, 2, 8, 12), 3),
    "autoencoder": (
        network(
            encoder=network(
                dense1=nn.Linear(6, 16), relu1=nn.ReLU(),
                dense2=nn.Linear(16, 8), relu2=nn.ReLU(),
                code=nn.Linear(8, 3),
            ),
            decoder=network(
                dense1=nn.Linear(3, 8), relu1=nn.ReLU(),
                dense2=nn.Linear(8, 16), relu2=nn.ReLU(),
                output=nn.Linear(16, 6),
            ),
        ), (8, 6), 0,
    ),
    "conv_autoencoder": (
        network(
            encoder=network(
                conv1=nn.Conv2d(2, 4, 3, padding=1), relu1=nn.ReLU(), pool1=nn.MaxPool2d(2),
                conv2=nn.Conv2d(4, 8, 3, padding=1), relu2=nn.ReLU(), pool2=nn.MaxPool2d(2),
                flatten=Flatten(), code=nn.Linear(48, 5),
            ),
            decoder=network(
                start=DenseOnto(5, 2, 3, 8), relu1=nn.ReLU(),
                up1=nn.ConvTranspose2d(8, 4, 2, stride=2), relu2=nn.ReLU(),
                conv1=nn.Conv2d(4, 4, 3, padding=1), relu3=nn.ReLU(),
                up2=nn.ConvTranspose2d(4, 4, 2, stride=2), relu4=nn.ReLU(),
                output=nn.Conv2d(4, 2, 3, padding=1),
            ),
        ), (4, 2, 8, 12), 0,
    ),
    "vae": (
        network(
            encoder=network(
                dense1=nn.Linear(6, 16), tanh1=nn.Tanh(),
                dense2=nn.Linear(16, 8), tanh2=nn.Tanh(),
                posterior=nn.Linear(8, 6), mean=FirstHalf(),
            ),
            decoder=network(
                dense1=nn.Linear(3, 8), tanh1=nn.Tanh(),
                dense2=nn.Linear(8, 16), tanh2=nn.Tanh(),
                output=nn.Linear(16, 6),
            ),
        ), (8, 6), 0,
    ),
    "conv_vae": (
        network(
            encoder=network(
                conv1=nn.Conv2d(2, 4, 3, padding=1), relu1=nn.ReLU(), pool1=nn.MaxPool2d(2),
                conv2=nn.Conv2d(4, 8, 3, padding=1), relu2=nn.ReLU(), pool2=nn.MaxPool2d(2),
                flatten=Flatten(), posterior=nn.Linear(48, 10), mean=FirstHalf(),
            ),
            decoder=network(
                start=DenseOnto(5, 2, 3, 8), relu1=nn.ReLU(),
                up1=nn.ConvTranspose2d(8, 4, 2, stride=2), relu2=nn.ReLU(),
                conv1=nn.Conv2d(4, 4, 3, padding=1), relu3=nn.ReLU(),
                up2=nn.ConvTranspose2d(4, 4, 2, stride=2), relu4=nn.ReLU(),
                output=nn.Conv2d(4, 2, 3, padding=1),
            ),
        ), (4, 2, 8, 12), 0,
    ),
}  # fmt: skip


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for name, (module, shape) in LAYERS.items():
        write(name, layer_record(module, shape, generator(name)))
    for name, (module, shape, classes) in NETWORKS.items():
        write(name, network_record(module, shape, classes, generator(name)))
    print(f"{len(LAYERS) + len(NETWORKS)} files in {FOLDER}")


def layer_record(module: nn.Module, shape: tuple[int, ...], random: torch.Generator) -> dict:
    """The output, and the gradients of sum(output * cotangent) with respect to the input and the parameters."""
    randomize(module, random)
    x = torch.randn(shape, generator=random).double().requires_grad_()
    record = {"x": positions_last(module, x), "params": tree(module, "parameters"), "state": tree(module, "buffers")}
    y = module(x)
    cotangent = torch.randn(y.shape, generator=random).double()
    (y * cotangent).sum().backward()
    arrays = {"y": y, "cotangent": cotangent, "x_gradient": x.grad}
    record |= {name: positions_last(module, tensor) for name, tensor in arrays.items()}
    record["gradients"] = tree(module, "parameters", lambda p: p.grad)
    record["state_after"] = tree(module, "buffers") if module.training else {}
    return record


def network_record(module: nn.Module, shape: tuple[int, ...], classes: int, random: torch.Generator) -> dict:
    """Logits, loss and gradients in training, then three steps of SGD at rate 0.1.

    Of a gradient and of a parameter's way in three steps the norm is kept, which keeps the files small.
    """
    randomize(module, random)
    x = torch.randn(shape, generator=random).double()
    outputs = copy.deepcopy(module)(x).shape  # [B, classes], for each pixel [B, classes, H, W]
    if classes:
        y, criterion = torch.randint(classes, (outputs[0], *outputs[2:]), generator=random), nn.CrossEntropyLoss()
    else:
        y, criterion = torch.randn(outputs, generator=random).double(), nn.MSELoss()
    start = tree(module, "parameters")
    target = y.numpy() if classes else positions_last(module, y)
    record = {"x": positions_last(module, x), "y": target, "params": start, "state": tree(module, "buffers")}
    optimizer, losses = torch.optim.SGD(module.parameters(), lr=0.1), []
    for step in range(3):
        optimizer.zero_grad()
        logits = module(x)
        loss = criterion(logits, y)
        loss.backward()
        losses.append(loss.item())
        if step == 0:
            record["logits"] = positions_last(module, logits)
            record["gradient_norms"] = norms(tree(module, "parameters", lambda p: p.grad))
        optimizer.step()
    record["way_norms"] = norms({name: p - start[name] for name, p in tree(module, "parameters").items()})
    record |= {"losses": np.array(losses), "state_after": tree(module, "buffers")}
    return record | {"logits_after": positions_last(module, module.eval()(x))}


def norms(arrays: dict) -> dict:
    return {name: np.linalg.norm(array) for name, array in arrays.items()}


def generator(name: str) -> torch.Generator:
    """Random numbers of a case's own: adding a case leaves the others as they are."""
    return torch.Generator().manual_seed(zlib.crc32(name.encode()))


def randomize(module: nn.Module, random: torch.Generator) -> None:
    """Multiples of 1/128, so that the files compress."""
    for layer in module.modules():
        for name, p in [*layer.named_parameters(recurse=False), *layer.named_buffers(recurse=False)]:
            if not p.is_floating_point():
                continue
            value = torch.randn(p.shape, generator=random)
            if p.ndim > 1:
                value *= p[0].numel() ** -0.5
            elif name == "running_var":
                value = 1 + value.abs()
            elif name == "weight":  # the scale of a normalisation
                value = 1 + value / 4
            p.data = (torch.sign(value) * torch.clamp((value.abs() * 128).round(), min=1) / 128).to(p.dtype)
    module.double()


def tree(module: nn.Module, kind: str, of=lambda tensor: tensor) -> dict:
    """Parameters or buffers, or what `of` makes of them, as {"layer/name": array} in our names and layouts."""
    found = {}
    for path, layer in module.named_modules():
        for name, tensor in getattr(layer, f"named_{kind}")(recurse=False):
            if name != "num_batches_tracked":
                ours, order = name_and_axes(layer, name, tensor.ndim)
                array = of(tensor).detach().numpy().transpose(order)
                found["/".join([*path.split("."), ours]).lstrip("/")] = array.copy()
    return found


def name_and_axes(layer: nn.Module, name: str, ndim: int) -> tuple[str, tuple[int, ...]]:
    window = tuple(range(2, ndim))
    if name == "weight" and isinstance(layer, (nn.ConvTranspose1d, nn.ConvTranspose2d)):
        return "kernel", (*window, 0, 1)
    if name == "weight" and ndim > 1:
        return "kernel", (*window, 1, 0)
    return {"weight": "scale", "running_mean": "mean", "running_var": "var"}.get(name, name), tuple(range(ndim))


def positions_last(module: nn.Module, tensor: torch.Tensor) -> np.ndarray:
    """[B, C, ...] as [B, ..., C], but for the layers that have the channels last in PyTorch as well."""
    array = tensor.detach().numpy()
    return array if isinstance(module, (nn.Linear, nn.LayerNorm)) else np.moveaxis(array, 1, -1)


def write(file: str, record: dict) -> None:
    """Arrays as they are, {"params": {"kernel": ...}} as "params/kernel"; float64 becomes float32."""
    arrays: dict[str, Any] = {}
    for key, value in record.items():
        arrays |= {f"{key}/{name}": a for name, a in value.items()} if isinstance(value, dict) else {key: value}
    arrays = {key: a.astype(np.float32 if a.dtype == np.float64 else np.int32) for key, a in arrays.items()}
    np.savez_compressed(FOLDER / f"{file}.npz", **arrays)


if __name__ == "__main__":
    main()
