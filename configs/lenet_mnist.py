"""LeNet on MNIST.

purezoo train lenet_mnist --data.dir FOLDER
"""

from ..models import LeNet
from ..train.config import Experiment, Train
from ..train.data import Data
from ..train.optimizers import Optimizer, Schedule

EXPERIMENT = Experiment(
    model=LeNet(classes=10, dropout=0.3),
    data=Data(source="mnist", validation=0.1),
    optimizer=Optimizer(name="adam", learning_rate=2e-3, ema=0.999, schedule=Schedule("cosine_decay")),
    train=Train(batch_size=128, epochs=20),
)
