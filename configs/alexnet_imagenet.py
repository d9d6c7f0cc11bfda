"""AlexNet on ImageNet's 1.28 million photographs, by the paper's recipe: 90 epochs of SGD. Streamed from the disk.

`purezoo train alexnet_imagenet --data.dir FOLDER`, where TFDS has prepared imagenet2012 in FOLDER

Krizhevsky et al. 2012, doi:10.1145/3065386: pictures of 256 x 256 pixels, random 224 x 224 crops and mirror images, PCA
colour noise, momentum 0.9, batches of 128, a learning rate of 0.01 divided by ten three times, ten views at the test.
The paper divides when the validation error stalls, here it is after 30, 60 and 80 epochs; pictures are divided by the
deviation of each channel as well, and biases do not decay. ImageNet's own validation split is the test (its test has
no labels); 1 % of the training pictures validate. top_k_accuracy is one minus the paper's top-5 error.

Not measured here: it needs a GPU and days.
"""

from ..models import AlexNet
from ..train.augment import Augment
from ..train.config import Experiment, Train
from ..train.data import Data
from ..train.optimizers import Number, Optimizer, Schedule
from ..train.tasks import Classification

EPOCH = 9_909  # steps: 99 % of 1,281,167 pictures in batches of 128
DROPS: dict[str, Number] = {str(epoch * EPOCH): 0.1 for epoch in (30, 60, 80)}

EXPERIMENT = Experiment(
    model=AlexNet(classes=1000, dropout=0.5),
    data=Data(source="tfds:imagenet2012", size=256, test_split="validation", validation=0.01),
    task=Classification(top_k=5),
    augment=Augment(crop=224, flip=True, pca_noise=0.1, views="ten"),
    optimizer=Optimizer(
        "sgd", 0.01, args={"momentum": 0.9}, schedule=Schedule("piecewise_constant", DROPS), weight_decay=5e-4
    ),
    train=Train(batch_size=128, epochs=90, checkpoint_every=2_000),
)
