"""Where a ball was thrown and where it will be in the next second, from one to ten noisy snapshots of its flight.

`purezoo train ball --train.seeds 5`

Measured on the test split: RMSE 0.1575 ± 0.0001 (5 seeds), 51,978 parameters,
3 min in all one after another, cpu (2 cores, x86_64), jax 0.10.2.
"""

from ..models import RNN
from ..train.config import Experiment, Train
from ..train.data import Data
from ..train.optimizers import Optimizer, Schedule
from ..train.tasks import Regression

EXPERIMENT = Experiment(
    model=RNN(outputs=10, cell="gru", hidden=128),
    data=Data(source="ball", test=0.2, validation=0.1),
    task=Regression(),
    optimizer=Optimizer(name="adam", learning_rate=3e-3, clip=1.0, ema=0.999, schedule=Schedule("cosine_decay")),
    train=Train(batch_size=100, epochs=60),
)
