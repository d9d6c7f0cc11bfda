"""A variational autoencoder on dynamically binarised MNIST: the network of Burda et al. 2015, with 50 latents.

`purezoo train vae_mnist --data.dir FOLDER`
"""

from ..models import VAE
from ..train.config import Experiment, Train
from ..train.data import Data
from ..train.optimizers import Optimizer, Schedule
from ..train.variational import Variational

EXPERIMENT = Experiment(
    model=VAE(latent=50, widths=(200, 200)),
    data=Data(source="mnist", validation=0.1),
    task=Variational(warmup=10_000),
    optimizer=Optimizer(name="adam", learning_rate=3e-3, ema=0.999, schedule=Schedule("cosine_decay")),
    train=Train(batch_size=100, epochs=200),
)
