"""A multilayer perceptron on scikit-learn's handwritten digits (8 x 8 pixels). No download.

`purezoo train mlp_digits --train.seeds 5`

Measured on the test split: accuracy 99.05 ± 0.15 % (5 seeds), 50,826 parameters,
10 s in all in one program, cpu (2 cores, x86_64), jax 0.10.2.
"""

from ..models import MLP
from ..train.config import Experiment, Train
from ..train.data import Data
from ..train.optimizers import Optimizer, Schedule

EXPERIMENT = Experiment(
    model=MLP(outputs=10, widths=(256, 128), dropout=0.3),
    data=Data(source="digits"),
    optimizer=Optimizer(name="adam", learning_rate=2e-3, schedule=Schedule("cosine_decay")),
    train=Train(batch_size=32, epochs=60),
)
