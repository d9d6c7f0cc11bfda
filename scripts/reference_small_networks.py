"""The networks of the zoo, in small, as PyTorch has them, for scripts/reference_outputs.py: a line each in NETWORKS."""

from collections import OrderedDict

import torch
from reference_flow import FlowUNet
from torch import nn
from torch.nn import functional as F


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


class Plus(nn.Sequential):
    """The input plus what the layers make of it."""

    def forward(self, x):
        return x + super().forward(x)


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


def airbench_block(channels: int, width: int, depth: int = 2) -> nn.Module:
    first, second, third = (
        airbench_layers(channels, width),
        airbench_layers(width, width),
        airbench_layers(width, width),
    )
    halved = {"conv1": first[0], "pool": nn.MaxPool2d(2), "batch_norm1": first[1], "gelu1": nn.GELU("tanh")}
    if depth == 2:
        return network(**halved, conv2=second[0], batch_norm2=second[1], gelu2=nn.GELU("tanh"))
    added = {"conv1": second[0], "batch_norm1": second[1], "gelu1": nn.GELU("tanh")}
    added |= {"conv2": third[0], "batch_norm2": third[1]}
    return network(**halved, residual=Plus(OrderedDict(added)), gelu2=nn.GELU("tanh"))


def airbench_layers(channels: int, width: int) -> tuple[nn.Module, nn.Module]:
    norm = nn.BatchNorm2d(width, momentum=0.4)
    norm.register_parameter("weight", None)
    return nn.Conv2d(channels, width, 3, padding=1, bias=False), norm


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


def image_decoder() -> nn.Module:
    """Codes [B, 5] to images [B, 2, 8, 12]."""
    return network(
        start=DenseOnto(5, 2, 3, 8), relu1=nn.ReLU(),
        up1=nn.ConvTranspose2d(8, 4, 2, stride=2), relu2=nn.ReLU(),
        conv1=nn.Conv2d(4, 4, 3, padding=1), relu3=nn.ReLU(),
        up2=nn.ConvTranspose2d(4, 4, 2, stride=2), relu4=nn.ReLU(),
        output=nn.Conv2d(4, 2, 3, padding=1),
    )  # fmt: skip


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
    **{
        name: (
            network(
                whitening=nn.Conv2d(1, 8, 2), gelu1=nn.GELU("tanh"),
                block1=airbench_block(8, 6, depth), block2=airbench_block(6, 8, depth),
                pool=nn.AdaptiveMaxPool2d(1), flatten=Flatten(),
                dense1=nn.Linear(8, 3, bias=False), scale=Times(1 / 9),
            ), (6, 1, 10, 10), 3,
        ) for name, depth in (("airbench", 2), ("airbench96", 3))
    },
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
            decoder=image_decoder(),
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
    "flow_unet": (FlowUNet(2, classes=3, width=16, depth=1, patch=2), (2, 2, 4, 8), 0),
    "conv_vae": (
        network(
            encoder=network(
                conv1=nn.Conv2d(2, 4, 3, padding=1), relu1=nn.ReLU(), pool1=nn.MaxPool2d(2),
                conv2=nn.Conv2d(4, 8, 3, padding=1), relu2=nn.ReLU(), pool2=nn.MaxPool2d(2),
                flatten=Flatten(), posterior=nn.Linear(48, 10), mean=FirstHalf(),
            ),
            decoder=image_decoder(),
        ), (4, 2, 8, 12), 0,
    ),
}  # fmt: skip
