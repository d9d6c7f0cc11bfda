"""One epoch of the MLP with a constant learning rate: what the benchmark gives to `purezoo train`."""

from purezoo.models import MLP
from purezoo.train.config import Experiment, Train
from purezoo.train.data import Data
from purezoo.train.optimizers import Optimizer

EXPERIMENT = Experiment(
    model=MLP(outputs=10, widths=(512, 256)),
    data=Data(source="mnist", validation=0.0),
    optimizer=Optimizer(name="adam", learning_rate=1e-3),
    train=Train(batch_size=128, epochs=1),
)
