"""Logistic regression on MNIST.

`purezoo train logistic_mnist --data.dir FOLDER`
"""

from ..models import LogisticRegression
from ..train.config import Experiment, Train
from ..train.data import Data
from ..train.optimizers import Optimizer, Schedule

EXPERIMENT = Experiment(
    model=LogisticRegression(classes=10),
    data=Data(source="mnist", validation=0.1),
    optimizer=Optimizer(name="adam", learning_rate=1e-3, schedule=Schedule("cosine_decay")),
    train=Train(batch_size=128, epochs=20),
)
