"""What is measured, as the script and its workers both need to know it."""

from typing import NamedTuple


class Workload(NamedTuple):
    """A network in training or, where `training` is off, from uint8 images on the host to logits on the host."""

    network: str
    title: str
    side: int = 28  # of the images in pixels: at 28 they are MNIST's, else made-up colour images
    batch: int = 128
    training: bool = True
    learning_rate: float = 1e-3
    warm_up: tuple[int, ...] = (1, 3, 12, 16)  # steps, the compilation in one of them


def large(network: str, title: str, side: int, batch: int, training: bool = False, rate: float = 1e-3) -> Workload:
    return Workload(network, title, side, batch, training, rate, warm_up=(1, 3))


PROCESS = "process"
ALEXNET = "AlexNet, one tower, 227x227"
WORKLOADS = {
    "mlp": Workload("mlp", "MLP 784-512-256-10"),
    "cnn": Workload("cnn", "CNN 28x28: conv32, pool, conv64, pool, dense 128"),
    "lenet": Workload("lenet", "LeNet-5"),
    PROCESS: Workload("mlp", "one epoch of the MLP, from import to exit"),
    "alexnet": large("alexnet", f"{ALEXNET}, training, batch 8", 227, 8, training=True, rate=1e-4),
    "alexnet1": large("alexnet", f"{ALEXNET}, inference, batch 1", 227, 1),
    "alexnet16": large("alexnet", f"{ALEXNET}, inference, batch 16", 227, 16),
    "resnet18": large("resnet18", "ResNet-18, 32x32, training, batch 64", 32, 64, training=True),
    "vit": large("vit", "ViT-S/16, 224x224, inference, batch 1", 224, 1),
}
