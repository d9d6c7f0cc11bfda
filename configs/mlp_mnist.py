"""A multilayer perceptron on MNIST.

`purezoo train mlp_mnist --data.dir FOLDER`
"""

from ..models import MLP
from ..train.config import Experiment, Train
from ..train.data import Data
from ..train.optimizers import Optimizer, Schedule
from ..train.tasks import Classification

EXPERIMENT = Experiment(
    model=MLP(outputs=10, widths=(512, 256), dropout=0.4),
    data=Data(source="mnist", validation=0.1),
    task=Classification(label_smoothing=0.05),
    optimizer=Optimizer(name="adam", learning_rate=1e-3, ema=0.999, schedule=Schedule("cosine_decay")),
    train=Train(batch_size=128, epochs=30),
)
