"""A narrow airbench, six convolutions, on MNIST with shifted images, trained by Muon.

`purezoo train airbench_mnist --data.dir FOLDER --train.seeds 5`

Measured on the test split: accuracy 99.68 ± 0.03 % (5 seeds), 289,768 parameters,
19 min in all one after another, cpu (2 cores, x86_64), jax 0.10.2.
"""

from ..models import Airbench
from ..train.augment import Augment
from ..train.config import Experiment, Train
from ..train.data import Data
from ..train.optimizers import Optimizer, Schedule
from ..train.tasks import Classification

EXPERIMENT = Experiment(
    model=Airbench(widths=(32, 64, 128)),
    data=Data(source="mnist", validation=0.02),
    task=Classification(label_smoothing=0.1),
    augment=Augment(shift=2, border="zero"),
    optimizer=Optimizer("muon", 0.05, args={"beta": 0.6, "adam_learning_rate": 0.005}, schedule=Schedule("linear")),
    train=Train(batch_size=500, epochs=10, eval_batch_size=500),
)
