"""The U-Net of flows, as PyTorch has it: for scripts/reference_outputs.py, and for the benchmark."""

import math

import torch
from torch import nn
from torch.nn import functional as F


class Condition(nn.Module):
    """Time [B] and class [B], of which the last is none, -> [B, features]."""

    def __init__(self, classes: int, features: int):
        super().__init__()
        self.time1, self.time2 = (nn.Linear(features, features) for _ in range(2))
        self.label = nn.Embedding(classes + 1, features)
        self.speed = torch.linspace(math.log(0.1), math.log(1000), features // 2).exp()

    def forward(self, time, label):
        angle = time[:, None] * self.speed
        waves = torch.cat([angle.cos(), angle.sin()], 1).to(self.time1.weight.dtype)
        return self.time2(F.silu(self.time1(waves))) + self.label(label)


class Block(nn.Module):
    def __init__(self, width: int, condition: int):
        super().__init__()
        self.group_norm1, self.conv1 = nn.GroupNorm(8, width), nn.Conv2d(width, width, 3, padding=1)
        self.modulated1, self.conv2 = nn.Linear(condition, 2 * width), nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x, condition):
        scale, shift = self.modulated1(F.silu(condition))[:, :, None, None].chunk(2, 1)
        y = self.conv1(F.silu(self.group_norm1(x)))
        return x + self.conv2(F.silu(F.group_norm(y, 8) * (1 + scale) + shift))


class Attention(nn.Module):
    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads, self.group_norm1, self.over_positions1 = heads, nn.GroupNorm(8, width), nn.Module()
        self.over_positions1.query_key_value = nn.Linear(width, 3 * width)
        self.over_positions1.output = nn.Linear(width, width)

    def forward(self, x):
        layers, flat = self.over_positions1, self.group_norm1(x).flatten(2).transpose(1, 2)  # [B, T, C]
        parts = layers.query_key_value(flat).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        seen = F.scaled_dot_product_attention(*parts).transpose(1, 2).flatten(2)
        return x + layers.output(seen).transpose(1, 2).reshape(x.shape)


class Inner(nn.Module):
    def __init__(self, width: int, condition: int, depth: int):
        super().__init__()
        self.down, self.up = nn.Conv2d(width, 2 * width, 2, 2), nn.ConvTranspose2d(2 * width, width, 2, 2)
        self.level = Level(2 * width, condition, depth - 1)

    def forward(self, x, condition):
        return x + self.up(self.level(self.down(x), condition))


class Level(nn.Module):
    def __init__(self, width: int, condition: int, depth: int):
        super().__init__()
        self.before, self.after = (nn.ModuleDict({"block1": Block(width, condition)}) for _ in range(2))
        if depth:
            self.inner = Inner(width, condition, depth)
        else:
            self.attention = Attention(width, 2)

    def forward(self, x, condition):
        x = self.before["block1"](x, condition)
        x = self.inner(x, condition) if hasattr(self, "inner") else self.attention(x)
        return self.after["block1"](x, condition)


class FlowUNet(nn.Module):
    """Images [B, C, H, W], time [B], class [B] to velocities of the images' shape; else time is 1, and no class."""

    def __init__(self, channels: int, classes: int, width: int, depth: int, patch: int):
        super().__init__()
        self.condition, self.level = Condition(classes, 4 * width), Level(width, 4 * width, depth)
        self.patches = nn.Conv2d(channels, width, patch, patch)
        self.norm, self.output = nn.GroupNorm(8, width), nn.ConvTranspose2d(width, channels, patch, patch)

    def forward(self, x, time=None, label=None):
        if time is None:
            time, label = torch.ones(len(x)), torch.full((len(x),), self.condition.label.num_embeddings - 1)
        return self.output(F.silu(self.norm(self.level(self.patches(x), self.condition(time, label)))))
