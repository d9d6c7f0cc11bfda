"""The zoo: networks as pairs of pure functions."""

from .airbench import Airbench
from .alexnet import AlexNet, AlexNetOneTower, AlexNetSmall
from .autoencoder import Autoencoder, ConvAutoencoder
from .convnext import ConvNeXt
from .core import Model, chain, count, lift, named, residual, skip
from .flow_unet import FlowUNet
from .flows import Noisy
from .layers.sequences import Padded
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

__all__ = [
    "MLP",
    "RNN",
    "TCN",
    "VAE",
    "VGG",
    "Airbench",
    "AlexNet",
    "AlexNetOneTower",
    "AlexNetSmall",
    "Autoencoder",
    "ConvAutoencoder",
    "ConvNeXt",
    "ConvVAE",
    "FlowUNet",
    "LeNet",
    "LinearRegression",
    "LogisticRegression",
    "Model",
    "Noisy",
    "Padded",
    "RNNLanguageModel",
    "ResNet",
    "UNet",
    "ViT",
    "chain",
    "count",
    "lift",
    "named",
    "residual",
    "skip",
]
