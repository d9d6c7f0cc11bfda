"""A multilayer perceptron on scikit-learn's wine data: 13 chemical measurements, three growers. No download.

`purezoo train mlp_wine --train.seeds 5`

Measured on the test split: accuracy 98.88 ± 1.52 % (5 seeds), 547 parameters,
6 s in all in one program, cpu (2 cores, x86_64), jax 0.10.2.
"""

from ..models import MLP
from ..train.config import Experiment, Train
from ..train.data import Data
from ..train.optimizers import Optimizer, Schedule

EXPERIMENT = Experiment(
    model=MLP(outputs=3, widths=(32,), dropout=0.2),
    data=Data(source="wine"),
    optimizer=Optimizer(name="adam", learning_rate=5e-3, l2=1e-3, schedule=Schedule("cosine_decay")),
    train=Train(batch_size=16, epochs=60),
)
