"""What is measured, as the script and its workers both need to know it."""

from typing import NamedTuple


class Workload(NamedTuple):
    """A network in training or, where `training` is off, from uint8 images or tokens on the host to logits, or the
    tokens that they give, on the host."""

    network: str
    title: str
    side: int = 28  # of the images in pixels: at 28 they are MNIST's, else made-up colour images; TEXT: a made-up text
    batch: int = 128
    training: bool = True
    learning_rate: float = 1e-3
    warm_up: tuple[int, ...] = (1, 3, 12, 16)  # steps, the compilation in one of them
    unit: str = "steps/s"
    units: int = 1  # of these in a step
    gpu: bool = False  # it is trained on one, in bfloat16 with float32 weights
    multiply_adds: int = 0  # of a GPU's: of an image, forward, as `purezoo show NETWORK` counts them


def large(network: str, title: str, side: int, batch: int, training: bool = False, rate: float = 1e-3) -> Workload:
    unit, units = ("steps/s", 1) if training else ("images/s", batch)
    return Workload(network, title, side, batch, training, rate, (1, 3), unit, units)


def on_gpu(network: str, title: str, batch: int, multiply_adds: int) -> Workload:
    title = f"{title}, 224x224, training, batch {batch}, bfloat16"
    return Workload(network, title, 224, batch, True, 1e-4, (3, 12, 48), "images/s", batch, True, multiply_adds)


def text(network: str, title: str) -> Workload:
    return Workload(network, title, TEXT, batch=32, warm_up=(1, 3, 8))


def samples(network: str, title: str, batch: int = 64) -> Workload:
    return Workload(network, title, batch=batch, training=False, warm_up=(1, 3, 8), unit="images/s", units=batch)


def token_by_token(title: str, tokens: int) -> Workload:
    return Workload("char_lstm", title, TEXT, batch=1, training=False, unit="tokens/s", units=tokens)


PROCESS = "process"
LOSSES = ("autoencoder", "conv_vae", "flow")  # networks that peers write as functions from images to the loss
TEXT = 0
VOCABULARY = 66  # the made-up text's 65 characters, and one for all others
EMBEDDING, HIDDEN, WINDOW = 64, 512, 128  # of the language models; characters in an example
CHUNK = 32  # tokens that are generated in a step
LATENT, WIDTH = 32, 32  # numbers in the convolutional VAE's code, channels of its outer level
FLOW_WIDTH, FLOW_STEPS = 32, 10  # channels of its outer level, steps from noise to image
# Biases are counted once where a network has two of which only the sum matters. The gates r and z of a GRU have two in
# purezoo, Keras and PyTorch, as in cuDNN, and one in Flax Linen.
SECOND_BIASES = {"char_gru": 2 * HIDDEN}
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
    "autoencoder": Workload("autoencoder", "autoencoder 784-128-32-128-784"),
    "conv_vae": Workload("conv_vae", "convolutional VAE, 28x28", warm_up=(1, 3, 8)),
    "vae_samples": samples("conv_vae", "convolutional VAE, images that it samples"),
    "flow": Workload("flow", "flow, 28x28", warm_up=(1, 3, 8)),
    "flow_samples": samples("flow", f"flow, images that it samples in {FLOW_STEPS} steps"),
    "lstm": Workload("lstm", "LSTM 128 over 784 pixels, training, batch 64", batch=64, warm_up=(1, 3, 8)),
    "char_lstm": text("char_lstm", "language model: LSTM 512, 128 characters, training, batch 32"),
    "char_gru": text("char_gru", "language model: GRU 512, 128 characters, training, batch 32"),
    "stream": token_by_token("language model: LSTM 512, a token in, its logits out", 1),
    "generate": token_by_token("language model: LSTM 512, text that it samples", CHUNK),
    "gpu_resnet50": on_gpu("resnet50", "ResNet-50", 256, 4_089_184_256),
    "gpu_alexnet": on_gpu("alexnet", "AlexNet, one tower", 512, 714_188_480),
}
