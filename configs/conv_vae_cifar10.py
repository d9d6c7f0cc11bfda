"""A convolutional variational autoencoder on CIFAR-10, whose bound is in bits per dimension of the bytes.

TFDS has prepared cifar10 in FOLDER. The figures are of a copy whose images are JPEGs of quality 75: do not put them
beside figures of the original pixels. Of the other settings that were tried one has a test figure: batches of 128 at
twice the learning rate, 6.41 bits.

`purezoo train conv_vae_cifar10 --data.dir FOLDER`

Measured on the test split: ELBO -13171.2209 nats (seed 0), 3,192,195 parameters,
35 min in all, cpu (2 cores, x86_64), jax 0.10.2.
"""

from ..models import ConvVAE
from ..train.config import Experiment, Train
from ..train.data import Data
from ..train.optimizers import Optimizer, Schedule
from ..train.variational import Variational

EXPERIMENT = Experiment(
    model=ConvVAE(latent=256, width=32),
    data=Data(source="tfds:cifar10", validation=0.1),
    task=Variational(likelihood="gaussian", deviation=0.06),
    optimizer=Optimizer(name="adam", learning_rate=1e-3, ema=0.999, schedule=Schedule("cosine_decay")),
    train=Train(batch_size=32, epochs=15),
)
