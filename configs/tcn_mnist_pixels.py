"""A temporal convolutional network that reads MNIST's digits pixel by pixel, 196 steps, as gru_mnist_pixels does.

A step sees the 253 steps up to it, so the last one sees all of a digit. The pictures are made 14 x 14 first. The folder
holds MNIST as TFDS prepares it.

`purezoo train tcn_mnist_pixels --data.dir FOLDER --train.seeds 5`

Measured on the test split: accuracy 98.40 ± 0.02 % (5 seeds), 19,954 parameters,
41 min in all one after another, cpu (2 cores, x86_64), jax 0.10.2.
"""

from ..models import TCN
from ..train.config import Experiment, Train
from ..train.data import Data
from ..train.optimizers import Optimizer, Schedule
from ..train.tasks import Classification

EXPERIMENT = Experiment(
    model=TCN(outputs=10, width=24, blocks=6, kernel=3, pixels=True),
    data=Data(source="tfds:mnist", size=14, validation=0.1),
    task=Classification(),
    optimizer=Optimizer(name="adam", learning_rate=4e-3, ema=0.999, clip=1.0, schedule=Schedule("cosine_decay")),
    train=Train(batch_size=64, epochs=10),
)
