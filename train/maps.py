"""Codes as points in a plane. matplotlib and scikit-learn are imported when drawn."""

from pathlib import Path
from typing import Literal

import numpy as np

from ..errors import UserError

MOST = 5000  # points that are drawn
SEED = 0  # of which ones, and of t-SNE
NAMES = {"tsne": "t-SNE", "pca": "PCA"}


def draw_map(path: Path, codes: np.ndarray, labels: np.ndarray | None, by: Literal["tsne", "pca"]) -> None:
    """Draws codes [N, latent] as a PNG, coloured by their labels [N] where there are any; of more than 5,000 so many,
    the same ones each time. UserError for fewer than three codes, and for codes of one number."""
    from matplotlib.figure import Figure

    rows = np.sort(np.random.default_rng(SEED).permutation(len(codes))[:MOST])
    places = coordinates(codes[rows], by)
    figure = Figure(figsize=(7, 6), layout="constrained")
    axes = figure.subplots()
    across, up = places.T
    if labels is None:
        axes.scatter(across, up, s=6)
    else:
        classes, index = np.unique(labels[rows], return_inverse=True)
        points = axes.scatter(across, up, s=6, c=index, cmap="tab10" if len(classes) <= 10 else "turbo")
        if len(classes) <= 20:
            handles, _ = points.legend_elements(num=list(range(len(classes))))
            figure.legend(handles, classes, loc="outside right upper")
    axes.set(xticks=[], yticks=[], title=f"{len(rows):,} codes of {codes.shape[1]} numbers, {NAMES[by]}")
    figure.savefig(path, dpi=120)


def coordinates(codes: np.ndarray, by: Literal["tsne", "pca"]) -> np.ndarray:
    """Codes [N, latent] as [N, 2]: the first two principal components, or t-SNE from there (van der Maaten and Hinton
    2008, jmlr.org/papers/v9/vandermaaten08a.html), which keeps neighbours together and lets distances go."""
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    n, width = codes.shape
    if n < 3 or width < 2:
        raise UserError(f"--map needs at least 3 codes of at least 2 numbers, and there are {n} of {width}")
    if by == "pca":
        return PCA(2, random_state=SEED).fit_transform(codes)
    return TSNE(2, init="pca", perplexity=min(30, (n - 1) / 3), random_state=SEED).fit_transform(codes)
