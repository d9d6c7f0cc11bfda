"""A flow that draws scikit-learn's handwritten digits (8 x 8 pixels) of the classes asked for. No download.

`purezoo train flow_digits`
"""

from ..models import FlowUNet
from ..train.config import Experiment, Train
from ..train.data import Data
from ..train.flow import FlowMatching
from ..train.optimizers import Optimizer, Schedule

EXPERIMENT = Experiment(
    model=FlowUNet(classes=10, width=32, depth=1),
    data=Data(source="digits"),
    task=FlowMatching(),
    optimizer=Optimizer(name="adam", learning_rate=2e-3, ema=0.995, schedule=Schedule("cosine_decay")),
    train=Train(batch_size=64, epochs=150, eval_every=200),
)
