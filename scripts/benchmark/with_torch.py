"""PyTorch: eager and compiled, contiguous and channels last, with the fused and the foreach Adam."""

import os

import arrays
import torch
from torch import nn
from torch.nn import functional as F

torch.set_num_threads(os.cpu_count() or 1)
torch.set_flush_denormal(True)

NETWORKS = {
    "mlp": lambda: nn.Sequential(
        nn.Flatten(), nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 256), nn.ReLU(), nn.Linear(256, 10),
    ),
    "cnn": lambda: nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(3136, 128), nn.ReLU(), nn.Linear(128, 10),
    ),
    "lenet": lambda: nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10),
    ),
}  # fmt: skip
IMAGES = [f"{how}, {layout}, {adam}" for adam in ("fused", "foreach")
          for layout in ("contiguous", "channels last") for how in ("eager", "compiled")]  # fmt: skip
FORMS = {"mlp": [form for form in IMAGES if "contiguous" in form], "cnn": IMAGES, "lenet": IMAGES}


class Training:
    """A network, its optimiser and its data as tensors."""

    def __init__(self, workload: str, form: str, data: arrays.Arrays):
        torch.manual_seed(0)
        self.format = torch.channels_last if "channels last" in form else torch.contiguous_format
        self.net = NETWORKS[workload]().to(memory_format=self.format)
        self.run = torch.compile(self.net) if "compiled" in form else self.net
        adam = {"fused": True} if "fused" in form else {"foreach": True}
        self.optimizer = torch.optim.Adam(self.net.parameters(), lr=1e-3, **adam)
        self.x, self.y = torch.from_numpy(data.x.reshape(-1, 1, 28, 28)), torch.from_numpy(data.y).long()
        self.mean, self.std = data.mean, data.std

    def prepare(self, x: torch.Tensor) -> torch.Tensor:
        return x.float().sub_(self.mean).div_(self.std).contiguous(memory_format=self.format)

    def step(self, rows) -> torch.Tensor:
        rows = torch.from_numpy(rows)
        loss = F.cross_entropy(self.run(self.prepare(self.x[rows])), self.y[rows])
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.detach()


def trainer(workload: str, form: str, file: str):
    data = arrays.read(file)
    training, rows = Training(workload, form, data), arrays.shuffled(len(data.x))

    def train(steps: int) -> float:
        losses = [training.step(next(rows)) for _ in range(steps)]
        return torch.stack(losses).mean().item()

    return train, sum(p.numel() for p in training.net.parameters())


def process(file: str, folder: str) -> float:
    data = arrays.read(file)
    training, rows = Training("mlp", "eager, contiguous, fused", data), arrays.shuffled(len(data.x))
    for _ in range(len(data.x) // arrays.BATCH):
        training.step(next(rows))
    x, y = torch.from_numpy(data.x_test.reshape(-1, 1, 28, 28)), torch.from_numpy(data.y_test)
    with torch.inference_mode():
        guess = torch.cat([training.net(training.prepare(part)).argmax(1) for part in x.split(1000)])
    torch.save(training.net.state_dict(), os.path.join(folder, "model.pt"))
    return (guess == y).float().mean().item()
