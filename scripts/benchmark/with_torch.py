"""PyTorch: eager and compiled, contiguous and channels last, with the fused and, of small networks, the foreach Adam.

Inference is also compiled with frozen weights, and ViT's encoder tried with and without its own fast path. On a GPU all
from the images to the loss is compiled, with and without CUDA graphs.
"""

import os

import arrays
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch_flow import Flow
from torch_images import Autoencoder, ConvVAE
from torch_sequences import FORMS as SEQUENCE_FORMS
from torch_sequences import NETWORKS as SEQUENCES
from torch_sequences import one_by_one
from workloads import LOSSES, SECOND_BIASES, WORKLOADS

torch.set_num_threads(len(os.sched_getaffinity(0)))  # those that the other libraries use
torch.set_flush_denormal(True)


class Block(nn.Module):
    """ResNet's block of two convolutions."""

    def __init__(self, inputs: int, width: int, stride: int):
        super().__init__()
        self.body = nn.Sequential(*convolution(inputs, width, 3, stride), nn.ReLU(), *convolution(width, width, 3))
        self.shortcut = nn.Sequential(*(convolution(inputs, width, 1, stride) if stride > 1 else []))

    def forward(self, x):
        return F.relu(self.shortcut(x) + self.body(x))


class Bottleneck(nn.Module):
    """ResNet's block of three convolutions."""

    def __init__(self, inputs: int, width: int, stride: int):
        super().__init__()
        self.body = nn.Sequential(
            *convolution(inputs, width, 1), nn.ReLU(), *convolution(width, width, 3, stride), nn.ReLU(),
            *convolution(width, 4 * width, 1),
        )  # fmt: skip
        self.shortcut = nn.Sequential(*(convolution(inputs, 4 * width, 1, stride) if inputs != 4 * width else []))

    def forward(self, x):
        return F.relu(self.shortcut(x) + self.body(x))


def convolution(inputs: int, width: int, kernel: int, stride: int = 1) -> list[nn.Module]:
    return [nn.Conv2d(inputs, width, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(width)]


def stage(width: int) -> list[nn.Module]:
    return [Block(width // 2, width, 2), Block(width, width, 1)]


def bottlenecks(inputs: int, width: int, blocks: int, stride: int = 2) -> list[nn.Module]:
    return [Bottleneck(inputs, width, stride), *(Bottleneck(4 * width, width, 1) for _ in range(blocks - 1))]


class ViT(nn.Module):
    """ViT-S/16."""

    def __init__(self):
        super().__init__()
        self.patches = nn.Conv2d(3, 384, 16, 16)
        self.token = nn.Parameter(torch.zeros(1, 1, 384))
        self.positions = nn.Parameter(0.02 * torch.randn(1, 197, 384))
        block = nn.TransformerEncoderLayer(384, 6, 1536, 0.0, "gelu", 1e-6, batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(block, 12, enable_nested_tensor=False)
        self.norm, self.head = nn.LayerNorm(384, 1e-6), nn.Linear(384, 1000)

    def forward(self, x):
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(len(x), -1, -1), x], 1) + self.positions
        return self.head(self.norm(self.encoder(x)[:, 0]))


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
    "alexnet": lambda: nn.Sequential(
        nn.Conv2d(3, 64, 11, 4, 2), nn.ReLU(), nn.MaxPool2d(3, 2),
        nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2),
        nn.Conv2d(192, 384, 3, padding=1), nn.ReLU(), nn.Conv2d(384, 256, 3, padding=1), nn.ReLU(),
        nn.Conv2d(256, 256, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2),
        nn.Flatten(), nn.Dropout(), nn.Linear(9216, 4096), nn.ReLU(),
        nn.Dropout(), nn.Linear(4096, 4096), nn.ReLU(), nn.Linear(4096, 1000),
    ),
    "resnet18": lambda: nn.Sequential(
        *convolution(3, 64, 3), nn.ReLU(), Block(64, 64, 1), Block(64, 64, 1),
        *stage(128), *stage(256), *stage(512),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 10),
    ),
    "resnet50": lambda: nn.Sequential(
        *convolution(3, 64, 7, 2), nn.ReLU(), nn.MaxPool2d(3, 2, 1),
        *bottlenecks(64, 64, 3, 1), *bottlenecks(256, 128, 4), *bottlenecks(512, 256, 6), *bottlenecks(1024, 512, 3),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2048, 1000),
    ),
    "vit": ViT, "autoencoder": Autoencoder, **SEQUENCES,
}  # fmt: skip
IMAGES = [f"{how}, {layout}, {adam}" for adam in ("fused", "foreach")
          for layout in ("contiguous", "channels last") for how in ("eager", "compiled")]  # fmt: skip
FUSED = [form for form in IMAGES if "fused" in form]
INFERENCE = [*(form.removesuffix(", fused") for form in FUSED), "compiled and frozen, contiguous"]
GPU = [f"compiled{graphs}, channels last, fused" for graphs in ("", " in CUDA graphs")]
FORMS = {
    "mlp": [form for form in IMAGES if "contiguous" in form], "cnn": IMAGES, "lenet": IMAGES,
    "alexnet": FUSED, "alexnet1": INFERENCE, "alexnet16": INFERENCE, "resnet18": FUSED,
    "vit": ["eager, fast path", "eager", "compiled", "compiled and frozen"], **SEQUENCE_FORMS,
    "autoencoder": [form for form in IMAGES if "contiguous" in form], "conv_vae": IMAGES, "vae_samples": INFERENCE,
    "flow": FUSED, "flow_samples": INFERENCE, "gpu_resnet50": GPU, "gpu_alexnet": GPU,
}  # fmt: skip


class Network:
    """A network and its data as tensors."""

    def __init__(self, workload: str, form: str, data: arrays.Arrays):
        torch.manual_seed(0)
        torch.backends.mha.set_fastpath_enabled("fast path" in form)
        self.format = torch.channels_last if "channels last" in form else torch.contiguous_format
        network, of_data = WORKLOADS[workload].network, {"conv_vae": ConvVAE, "flow": Flow}
        net = of_data[network](data.mean, data.std) if network in of_data else NETWORKS[network]()
        self.net = net.to(memory_format=self.format)
        self.gives_loss = network in LOSSES
        self.run = torch.compile(self.net) if "compiled" in form else self.net
        self.tokens = data.x.ndim == 2
        self.x = torch.from_numpy(data.x) if self.tokens else self.images(data.x)
        self.y = torch.from_numpy(data.y).long()
        self.mean, self.std = data.mean, data.std

    def images(self, x: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(x).permute(0, 3, 1, 2).contiguous(memory_format=self.format)

    def prepare(self, x: torch.Tensor) -> torch.Tensor:
        if self.tokens:
            return x.int()
        return x.float().sub_(self.mean).div_(self.std).contiguous(memory_format=self.format)


class Training(Network):
    """With its optimiser."""

    def __init__(self, workload: str, form: str, data: arrays.Arrays):
        super().__init__(workload, form, data)
        adam = {"fused": True} if "fused" in form else {"foreach": True}
        self.optimizer = torch.optim.Adam(self.net.parameters(), lr=WORKLOADS[workload].learning_rate, **adam)

    def step(self, rows) -> torch.Tensor:
        rows = torch.from_numpy(rows)
        x, y = self.prepare(self.x[rows]), self.y[rows]
        loss = self.run(x, y) if self.gives_loss else F.cross_entropy(self.run(x).flatten(0, -2), y.flatten())
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.detach()


class TrainingOnGPU(Training):
    """With the data there as well. What is compiled reads uint8 images; it computes in bfloat16."""

    def __init__(self, workload: str, form: str, data: arrays.Arrays):
        torch.set_default_device("cuda")
        torch.set_float32_matmul_precision("high")
        super().__init__(workload, form, data)
        self.x, self.y = self.x.cuda(), self.y.cuda()
        self.loss = torch.compile(self.loss, mode="reduce-overhead" if "graphs" in form else "default")

    def loss(self, x, y):
        with torch.autocast("cuda", torch.bfloat16):
            return F.cross_entropy(self.net(self.prepare(x)), y)

    def step(self, rows) -> torch.Tensor:
        rows = torch.from_numpy(rows).cuda(non_blocking=True)
        self.optimizer.zero_grad()  # the next replay of a graph writes over these gradients
        torch.compiler.cudagraph_mark_step_begin()
        loss = self.loss(self.x[rows], self.y[rows])
        loss.backward()
        self.optimizer.step()
        return loss.detach().clone()


def trained(net: nn.Module) -> int:
    return sum(parameter.numel() for parameter in net.parameters() if parameter.requires_grad)


def trainer(workload: str, form: str, file: str):
    if workload in ("stream", "generate"):
        read_on, net = one_by_one(workload, form)
        return read_on, trained(net)
    data, what = arrays.read(file), WORKLOADS[workload]
    rows = arrays.shuffled(len(data.x), what.batch)
    network = (TrainingOnGPU if what.gpu else Training if what.training else Network)(workload, form, data)

    def train(steps: int) -> float:
        losses = [network.step(next(rows)) for _ in range(steps)]
        return torch.stack(losses).mean().item()

    @torch.inference_mode()
    def infer(steps: int) -> None:
        for _ in range(steps):
            network.run(network.prepare(network.x[torch.from_numpy(next(rows))])).numpy()

    @torch.inference_mode()
    def sample(steps: int) -> None:
        for _ in range(steps):
            images(what.batch).numpy()

    if "samples" in workload:
        images = torch.compile(network.net.sample) if "compiled" in form else network.net.sample
    if not what.training:
        network.net.eval()
    if "frozen" in form:
        torch._inductor.config.freezing = True
    work = train if what.training else sample if "samples" in workload else infer
    return work, trained(network.net) - SECOND_BIASES.get(workload, 0)


def process(file: str, folder: str) -> float:
    data = arrays.read(file)
    training, rows = Training("mlp", "eager, contiguous, fused", data), arrays.shuffled(len(data.x))
    for _ in range(len(data.x) // arrays.BATCH):
        training.step(next(rows))
    x, y = training.images(data.x_test), torch.from_numpy(data.y_test)
    with torch.inference_mode():
        guess = torch.cat([training.net(training.prepare(part)).argmax(1) for part in x.split(1000)])
    torch.save(training.net.state_dict(), os.path.join(folder, "model.pt"))
    return (guess == y).float().mean().item()
