"""The zoo's networks in their usual form: what `purezoo list` shows, and what the contract test runs over.

A network enters with one line here. `tests/models/test_catalogue.py` fails for a network that has none.
"""

from typing import Any, NamedTuple

from .airbench import Airbench
from .alexnet import AlexNet, AlexNetOneTower, AlexNetSmall
from .autoencoder import Autoencoder, ConvAutoencoder
from .convnext import ConvNeXt
from .flow_unet import FlowUNet
from .lenet import LeNet
from .linear_regression import LinearRegression
from .logistic_regression import LogisticRegression
from .mlp import MLP
from .resnet import ResNet
from .rnn import RNN, RNNLanguageModel
from .tcn import TCN
from .unet import UNet
from .vae import VAE, ConvVAE
from .vgg import VGG
from .vit import ViT


class Entry(NamedTuple):
    """A network with the shape of one example and what they give."""

    network: Any  # an instance of the dataclass
    input: tuple[int, ...]  # shape of one example
    output: tuple[int, ...]  # where the network gives several things, of the first
    parameters: int
    tokens: int = 0  # how many different ones, where an example is made of tokens


CATALOGUE: dict[str, Entry] = {
    "linear_regression": Entry(LinearRegression(), (10,), (1,), 11),
    "logistic_regression": Entry(LogisticRegression(), (28, 28, 1), (10,), 7_850),
    "mlp": Entry(MLP(), (28, 28, 1), (10,), 535_818),
    "mlp_batch_norm": Entry(MLP(batch_norm=True, dropout=0.5), (28, 28, 1), (10,), 536_586),
    "lenet": Entry(LeNet(), (28, 28, 1), (10,), 61_706),
    "alexnet": Entry(AlexNet(), (227, 227, 3), (1000,), 60_965_224),
    "alexnet_one_tower": Entry(AlexNetOneTower(), (224, 224, 3), (1000,), 61_100_840),
    "alexnet_small": Entry(AlexNetSmall(), (32, 32, 3), (10,), 1_794_186),
    "airbench": Entry(Airbench(), (32, 32, 3), (10,), 1_971_640),
    "vgg11": Entry(VGG(11), (224, 224, 3), (1000,), 132_863_336),
    "vgg16": Entry(VGG(16), (224, 224, 3), (1000,), 138_357_544),
    "resnet18": Entry(ResNet(18), (224, 224, 3), (1000,), 11_689_512),
    "resnet34": Entry(ResNet(34), (224, 224, 3), (1000,), 21_797_672),
    "resnet50": Entry(ResNet(50), (224, 224, 3), (1000,), 25_557_032),
    "resnet101": Entry(ResNet(101), (224, 224, 3), (1000,), 44_549_160),
    "resnet18_small": Entry(ResNet(18, classes=10, stem="small"), (32, 32, 3), (10,), 11_173_962),
    "convnext": Entry(ConvNeXt(), (224, 224, 3), (1000,), 28_589_128),
    "convnext_small": Entry(ConvNeXt(classes=10, stem="small"), (32, 32, 3), (10,), 27_824_362),
    "vit_small": Entry(ViT(), (224, 224, 3), (1000,), 22_050_664),
    "vit_base": Entry(ViT(width=768, heads=12), (224, 224, 3), (1000,), 86_567_656),
    "unet": Entry(UNet(), (512, 512, 1), (512, 512, 2), 31_036_546),
    "flow_unet": Entry(FlowUNet(patch=2), (28, 28, 1), (28, 28, 1), 302_657),
    "autoencoder": Entry(Autoencoder(), (28, 28, 1), (28, 28, 1), 1_083_696),
    "conv_autoencoder": Entry(ConvAutoencoder(), (28, 28, 1), (28, 28, 1), 112_321),
    "vae": Entry(VAE(), (28, 28, 1), (28, 28, 1), 425_284),
    "conv_vae": Entry(ConvVAE(), (28, 28, 1), (28, 28, 1), 247_237),
    "elman": Entry(RNN(cell="elman"), (28, 28), (10,), 21_386),
    "lstm": Entry(RNN(), (28, 28), (10,), 81_674),
    "lstm_norm": Entry(RNN(cell="lstm_norm"), (28, 28), (10,), 82_954),
    "gru": Entry(RNN(cell="gru"), (28, 28), (10,), 61_962),
    "bidirectional_lstm": Entry(RNN(bidirectional=True, depth=2, dropout=0.2), (28, 28), (10,), 557_578),
    "tcn": Entry(TCN(), (28, 28), (10,), 72_310),
    "char_lstm": Entry(RNNLanguageModel(), (128,), (128, 256), 1_476_864, tokens=256),
}
