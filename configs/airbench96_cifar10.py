"""Ten convolutions with residuals, airbench's for 96 % of the original CIFAR-10, trained by Muon.

TFDS has prepared cifar10 in FOLDER. The figures are of a copy whose images are JPEGs of quality 75, which costs
accuracy: do not put them beside figures of the original pixels. The CPU's time is of cores that other jobs shared; left
alone they took 4.4 s for a step, which would make 3.4 h. The GPU's is without compiling: the cache had the programs. Of
its two seeds `purezoo eval` gives 93.56 % for both together.

`purezoo train airbench96_cifar10 --data.dir FOLDER`

Measured on the test split: accuracy 92.88 % (seed 0), 9,915,704 parameters,
297 min in all, cpu (2 cores, x86_64), jax 0.10.2.
By `purezoo train airbench96_cifar10 --data.dir FOLDER --train.seeds 2`
accuracy 93.02 ± 0.04 % (2 seeds), 91 s in all one after another, NVIDIA H100 80GB HBM3, jax 0.11.2.
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
