"""A flow of MNIST's digits in PyTorch: purezoo's U-Net, its loss and its sampler."""

import math

import torch
from torch import nn
from torch.nn import functional as F
from workloads import FLOW_STEPS, FLOW_WIDTH

CONDITION = 4 * FLOW_WIDTH
NO_CLASS = 10


class Block(nn.Module):
    """Two convolutions, told time and class by a scale and a shift."""

    def __init__(self, width: int):
        super().__init__()
        self.norm1, self.norm2 = nn.GroupNorm(8, width), nn.GroupNorm(8, width, affine=False)
        self.conv1, self.conv2 = (nn.Conv2d(width, width, 3, padding=1) for _ in range(2))
        self.modulation = nn.Linear(CONDITION, 2 * width)

    def forward(self, x, condition):
        scale, shift = self.modulation(F.silu(condition))[:, :, None, None].chunk(2, 1)
        y = self.norm2(self.conv1(F.silu(self.norm1(x)))) * (1 + scale) + shift
        return x + self.conv2(F.silu(y))


class Attention(nn.Module):
    """Two heads over all positions."""

    def __init__(self, width: int):
        super().__init__()
        self.norm = nn.GroupNorm(8, width)
        self.query_key_value, self.output = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x):
        flat = self.norm(x).flatten(2).transpose(1, 2)  # [B, T, C]
        query, key, value = self.query_key_value(flat).unflatten(2, (3, 2, -1)).permute(2, 0, 3, 1, 4)
        seen = F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
        return x + self.output(seen).transpose(1, 2).reshape(x.shape)


class Velocity(nn.Module):
    """Images [B, 1, 28, 28], time [B], class [B] to velocities of the images' shape."""

    def __init__(self):
        super().__init__()
        width = FLOW_WIDTH
        self.time = nn.Sequential(nn.Linear(CONDITION, CONDITION), nn.SiLU(), nn.Linear(CONDITION, CONDITION))
        self.label = nn.Embedding(NO_CLASS + 1, CONDITION)
        self.patches, self.down = nn.Conv2d(1, width, 2, 2), nn.Conv2d(width, 2 * width, 2, 2)
        self.before, self.after = Block(width), Block(width)
        self.inner_before, self.inner_after, self.attention = Block(2 * width), Block(2 * width), Attention(2 * width)
        self.up, self.output = nn.ConvTranspose2d(2 * width, width, 2, 2), nn.ConvTranspose2d(width, 1, 2, 2)
        self.norm = nn.GroupNorm(8, width)
        speed = torch.linspace(math.log(0.1), math.log(1000.0), CONDITION // 2).exp()
        self.register_buffer("speed", speed, persistent=False)

    def forward(self, x, time, label):
        angle = time[:, None] * self.speed
        condition = self.time(torch.cat([angle.cos(), angle.sin()], 1)) + self.label(label)
        x = self.before(self.patches(x), condition)
        inner = self.attention(self.inner_before(self.down(x), condition))
        x = x + self.up(self.inner_after(inner, condition))
        return self.output(F.silu(self.norm(self.after(x, condition))))


class Flow(nn.Module):
    """Standardised images and their classes to the mean squared error of the velocity."""

    def __init__(self, mean: float, std: float):
        super().__init__()
        self.velocity, self.std = Velocity(), std

    def forward(self, x, y):
        n = len(x)
        data, noise = x + torch.rand_like(x) / self.std, torch.randn_like(x)
        time = (torch.rand(()) + torch.arange(n) / n) % 1
        label = torch.where(torch.rand(n) < 0.1, NO_CLASS, y)
        share = time[:, None, None, None]
        return F.mse_loss(self.velocity((1 - share) * noise + share * data, time, label), data - noise)

    def sample(self, n: int):
        """Images [n, 1, 28, 28], standardised, of all classes in turn: by Heun's method from noise."""
        x, label, h = torch.randn(n, 1, 28, 28), torch.arange(n) % 10, 1 / FLOW_STEPS
        for i in range(FLOW_STEPS):
            first = self.velocity(x, torch.full((n,), i * h), label)
            second = self.velocity(x + h * first, torch.full((n,), (i + 1) * h), label)
            x = x + h / 2 * (first + second)
        return x
