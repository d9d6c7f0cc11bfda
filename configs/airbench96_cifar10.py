"""Ten convolutions with residuals, airbench's for 96 % of the original CIFAR-10, trained by Muon.

TFDS has prepared cifar10 in FOLDER. It takes hours on a CPU, and has not been trained to its end yet.

`purezoo train airbench96_cifar10 --data.dir FOLDER`
"""

from ..models import Airbench
from ..train.augment import Augment
from ..train.config import Experiment, Train
from ..train.data import Data
from ..train.optimizers import Optimizer, Schedule
from ..train.tasks import Classification

EXPERIMENT = Experiment(
    model=Airbench(widths=(128, 384, 512), depth=3),
    data=Data(source="tfds:cifar10", validation=0.02),
    task=Classification(label_smoothing=0.2),
    augment=Augment(shift=4, flip=True, cutout=12, views="ten"),
    optimizer=Optimizer(
        "muon", 0.2, args={"beta": 0.6, "adam_learning_rate": 0.01}, schedule=Schedule("linear"), weight_decay=0.05
    ),
    train=Train(batch_size=500, epochs=28, eval_every=392, eval_batch_size=500, checkpoint_every=98),
)
