"""ResNet-50 on ImageNet's 1.28 million photographs: 90 epochs of SGD with a cosine schedule. Streamed from the disk.

`purezoo train resnet50_imagenet --data.dir FOLDER`, where TFDS has prepared imagenet2012 in FOLDER

He et al. 2015, arXiv:1512.03385, with batches of 256, a learning rate of 0.1, momentum 0.9 and a weight decay of 1e-4;
the crops are those of Szegedy et al. 2014, arXiv:1409.4842, and the rate warms up and follows a cosine instead of being
divided by ten. ImageNet's own validation split is the test (its test has no labels); 1 % of the training pictures
validate. Top-1 and top-5 error are one minus accuracy and top_k_accuracy. On a GPU: --train.precision bfloat16.

Not measured here: it needs a GPU and a day.
"""

from ..models import ResNet
from ..train.augment import Augment
from ..train.config import Experiment, Train
from ..train.data import Data
from ..train.optimizers import Optimizer, Schedule
from ..train.tasks import Classification

EXPERIMENT = Experiment(
    model=ResNet(depth=50, classes=1000),
    data=Data(source="tfds:imagenet2012", size=256, test_split="validation", validation=0.01),
    task=Classification(top_k=5),
    augment=Augment(crop=224, flip=True, resized_crop=0.08),
    optimizer=Optimizer(
        "sgd", 0.1, args={"momentum": 0.9}, schedule=Schedule("warmup_cosine_decay"), weight_decay=1e-4
    ),
    train=Train(batch_size=256, epochs=90, checkpoint_every=2_000),
)
