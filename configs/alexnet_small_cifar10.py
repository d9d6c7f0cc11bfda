"""AlexNet's plan for images of 32 x 32 pixels, on CIFAR-10, with dropout and shifted, mirrored images, by Muon.

TFDS has prepared cifar10 in FOLDER. The figures are of a copy whose images are JPEGs of quality 75, which costs
accuracy: do not put them beside figures of the original pixels.

`purezoo train alexnet_small_cifar10 --data.dir FOLDER`

Measured on the test split: accuracy 83.25 % (seed 0), 1,794,186 parameters,
17 min in all, cpu (2 cores, x86_64), jax 0.10.2.
"""

from ..models import AlexNetSmall
from ..train.augment import Augment
from ..train.config import Experiment, Train
from ..train.data import Data
from ..train.optimizers import Optimizer, Schedule
from ..train.tasks import Classification

EXPERIMENT = Experiment(
    model=AlexNetSmall(norm="batch", dropout=0.2),
    data=Data(source="tfds:cifar10", validation=0.02),
    task=Classification(label_smoothing=0.1),
    augment=Augment(shift=2, flip=True, views="flip"),
    optimizer=Optimizer("muon", 0.1, args={"beta": 0.6, "adam_learning_rate": 0.005}, schedule=Schedule("linear")),
    train=Train(batch_size=250, epochs=4, eval_batch_size=500),
)
