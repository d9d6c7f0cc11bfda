"""A U-Net that tells the class of each pixel in scenes of handwritten digits (32 x 32 pixels). No download.

`purezoo train unet_digit_scenes --train.seeds 5`

Not measured yet.
"""

from ..models import UNet
from ..train.config import Experiment, Train
from ..train.data import Data
from ..train.optimizers import Optimizer, Schedule
from ..train.tasks import Segmentation

EXPERIMENT = Experiment(
    model=UNet(classes=11, width=16, depth=3),
    data=Data(source="digit_scenes"),
    task=Segmentation(),
    optimizer=Optimizer(name="adam", learning_rate=2e-3, schedule=Schedule("cosine_decay")),
    train=Train(batch_size=32, epochs=20),
)
