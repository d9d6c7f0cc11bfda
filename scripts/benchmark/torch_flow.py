"""A flow of MNIST's digits in PyTorch: purezoo's U-Net, its loss and its sampler."""

import sys
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F
from workloads import FLOW_STEPS, FLOW_WIDTH

sys.path.append(str(Path(__file__).parents[1]))
from reference_flow import FlowUNet

NO_CLASS = 10


class Flow(nn.Module):
    """Standardised images and their classes to the mean squared error of the velocity."""

    def __init__(self, mean: float, std: float):
        super().__init__()
        self.velocity = FlowUNet(channels=1, classes=NO_CLASS, width=FLOW_WIDTH, depth=1, patch=2)
        self.std = std

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
