"""A network of six convolutions that learns CIFAR-10 in minutes: airbench's, trained by Muon.

`purezoo train airbench_cifar10 --data.dir FOLDER`, where TFDS has prepared cifar10 in FOLDER

Not measured yet.
"""

from ..models import Airbench
from ..train.augment import Augment
from ..train.config import Experiment, Train
from ..train.data import Data
from ..train.optimizers import Optimizer, Schedule
from ..train.tasks import Classification

EXPERIMENT = Experiment(
    model=Airbench(widths=(64, 128, 256)),
    data=Data(source="tfds:cifar10", validation=0.02),
    task=Classification(label_smoothing=0.2),
    augment=Augment(shift=2, flip=True, views="ten"),
    optimizer=Optimizer(
        "muon", 0.2, args={"beta": 0.6, "adam_learning_rate": 0.01}, schedule=Schedule("linear"), weight_decay=0.05
    ),
    train=Train(batch_size=500, epochs=7, eval_batch_size=500),
)
