"""Logistic regression on scikit-learn's handwritten digits (8 x 8 pixels). No download.

`purezoo train logistic_digits --train.seeds 5`

Measured on the test split: accuracy 97.16 ± 0.23 % (5 seeds), 650 parameters,
6 s in all in one program, cpu (2 cores, x86_64), jax 0.10.2.
"""

from ..models import LogisticRegression
from ..train.config import Experiment, Train
from ..train.data import Data
from ..train.optimizers import Optimizer, Schedule

EXPERIMENT = Experiment(
    model=LogisticRegression(classes=10),
    data=Data(source="digits"),
    optimizer=Optimizer(name="adam", learning_rate=0.01, l2=1e-3, schedule=Schedule("cosine_decay")),
    train=Train(batch_size=64, epochs=60),
)
