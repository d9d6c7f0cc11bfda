"""Autoencoders in PyTorch, and their losses."""

import torch
from torch import nn
from torch.nn import functional as F
from workloads import LATENT, WIDTH


class Autoencoder(nn.Sequential):
    """Standardised images [B, 1, 28, 28] to the mean squared error of what is restored of them."""

    def __init__(self):
        super().__init__(
            nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 32),
            nn.Linear(32, 128), nn.ReLU(), nn.Linear(128, 784),
        )  # fmt: skip

    def forward(self, x, y=None):
        x = x.flatten(1)
        return F.mse_loss(super().forward(x), x)


class ConvVAE(nn.Module):
    """Standardised images [B, 1, 28, 28], whose pixels it draws to be 0 or 1, to the negative ELBO in nats an image."""

    def __init__(self, mean: float, std: float):
        super().__init__()
        self.mean, self.std = mean / 255, std / 255
        self.encoder = nn.Sequential(
            nn.Conv2d(1, WIDTH, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(WIDTH, 2 * WIDTH, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(98 * WIDTH, 2 * LATENT),
        )  # fmt: skip
        self.decoder = nn.Sequential(
            nn.Linear(LATENT, 98 * WIDTH), nn.ReLU(), nn.Unflatten(1, (2 * WIDTH, 7, 7)),
            nn.ConvTranspose2d(2 * WIDTH, WIDTH, 2, 2), nn.ReLU(),
            nn.Conv2d(WIDTH, WIDTH, 3, padding=1), nn.ReLU(),
            nn.ConvTranspose2d(WIDTH, WIDTH, 2, 2), nn.ReLU(), nn.Conv2d(WIDTH, 1, 3, padding=1),
        )  # fmt: skip

    def forward(self, x, y=None):
        observed = torch.bernoulli((x * self.std + self.mean).clamp(0, 1))
        mean, log_variance = self.encoder((observed - self.mean) / self.std).chunk(2, 1)
        code = mean + torch.exp(log_variance / 2) * torch.randn_like(mean)
        fit = F.binary_cross_entropy_with_logits(self.decoder(code), observed, reduction="sum")
        kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum()
        return (fit + kl) / len(x)

    def sample(self, n: int):
        """Images [n, 1, 28, 28] from 0 to 1 of codes drawn from the prior."""
        return self.decoder(torch.randn(n, LATENT)).sigmoid()
