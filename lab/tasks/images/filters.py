"""Classical image denoisers, tuned as their users tune them: what a network has to beat.

The 3x3 median and Gaussian blur come with SciPy. Where scikit-image is installed (`pip install
'keras-lab[images]'`) there are also total variation (Chambolle, 2004), non-local means (Buades, Coll
and Morel, 2005) and wavelet shrinkage (BayesShrink: Chang, Yu and Vetterli, 2000).
"""

from __future__ import annotations

import dataclasses
import importlib.util
from collections.abc import Callable

import numpy as np

from lab.data import Array
from lab.tasks.images.scores import psnr

_ONE_PROCESS = 1000  # images that are done before processes have started


@dataclasses.dataclass(frozen=True)
class Filter:
    """One denoiser with one parameter.

    Args:
        name: what its users call it.
        parameter: what its parameter is called; empty if it has none.
        values: the values worth trying.
        apply: turns images in [0, 1], shape (n, height, width), and a value into images of that shape.
    """

    name: str
    parameter: str
    values: tuple[float, ...]
    apply: Callable[[Array, float], Array]


@dataclasses.dataclass(frozen=True)
class Tuned:
    """A filter with the value, and the levels, that suited some pairs of images best.

    Args:
        filter: the denoiser.
        value: of its parameter.
        gain, offset: after the filter, grey becomes `gain * grey + offset`, clipped to [0, 1]: noise that was
            clipped at black leaves the background grey, which any image editor's levels mend.
    """

    filter: Filter
    value: float
    gain: float = 1.0
    offset: float = 0.0

    @property
    def has_levels(self) -> bool:
        """Whether levels are set after the filter."""
        return (self.gain, self.offset) != (1.0, 0.0)

    def __call__(self, images: Array) -> Array:
        """Returns images as filter and levels leave them; float32, shape (n, height, width)."""
        return self.finish(self.filter.apply(images, self.value))

    def finish(self, drawn: Array) -> Array:
        """Sets the levels of images that have gone through the filter."""
        return np.clip(self.gain * drawn + self.offset, 0, 1).astype(np.float32)

    def __str__(self) -> str:
        value = f"{self.filter.parameter} {self.value:g}" if self.filter.parameter else ""
        return ", ".join(part for part in (self.filter.name, value, "with levels" * self.has_levels) if part)


def tune(filter: Filter, noisy: Array, clean: Array) -> tuple[Tuned, Tuned]:
    """Chooses the value with the highest mean PSNR on pairs of images: for the filter as it is, and with levels.

    Levels are the line from filtered to clean grey of least squared error.

    Args:
        filter: the denoiser.
        noisy, clean: the pairs, shape (n, height, width).
    """
    drawn = {value: filter.apply(noisy, value) for value in filter.values}
    plain = [Tuned(filter, value) for value in filter.values]
    leveled = [Tuned(filter, value, *_line(drawn[value], clean)) for value in filter.values]

    def score(tuned: Tuned) -> float:
        return float(psnr(clean, tuned.finish(drawn[tuned.value])).mean())

    return max(plain, key=score), max(leveled, key=score)


def _line(drawn: Array, clean: Array) -> tuple[float, float]:
    x, y = drawn.ravel().astype(np.float64), clean.ravel().astype(np.float64)
    variance = x.var()
    gain = float(((x - x.mean()) * (y - y.mean())).mean() / variance) if variance > 0 else 0.0
    return gain, float(y.mean() - gain * x.mean())


def available() -> list[Filter]:
    """Returns the filters that can be used here: two with SciPy, five with scikit-image."""
    from scipy import ndimage

    filters = [
        Filter("3x3 median", "", (0,), lambda images, _: ndimage.median_filter(images, (1, 3, 3))),
        Filter(
            "Gaussian blur",
            "sigma",
            (0.4, 0.6, 0.8, 1.0, 1.2, 1.5),
            lambda images, sigma: ndimage.gaussian_filter(images, (0, sigma, sigma)),
        ),
    ]
    if all(importlib.util.find_spec(name) for name in ("skimage", "pywt")):
        filters += _of_scikit_image()
    return filters


def _of_scikit_image() -> list[Filter]:
    from skimage import restoration

    def total_variation(image: Array, weight: float) -> Array:
        return np.asarray(restoration.denoise_tv_chambolle(image, weight=weight))

    def non_local_means(image: Array, h: float) -> Array:
        return np.asarray(restoration.denoise_nl_means(image, patch_size=5, patch_distance=6, h=h))

    def wavelet(image: Array, sigma: float) -> Array:
        return np.asarray(restoration.denoise_wavelet(image, sigma=sigma))

    return [
        Filter("total variation", "weight", (0.05, 0.1, 0.2, 0.3, 0.5), _each(total_variation)),
        Filter("non-local means", "h", (0.05, 0.1, 0.2, 0.3, 0.5), _each(non_local_means)),
        Filter("wavelet", "sigma", (0.05, 0.1, 0.2, 0.3, 0.5), _each(wavelet)),
    ]


def _each(function: Callable[[Array, float], Array]) -> Callable[[Array, float], Array]:
    """Makes a function of one image one of many; for a lot of them, in a process for each core."""

    def apply(images: Array, value: float) -> Array:
        if len(images) <= _ONE_PROCESS:
            return _all(function, images, value)
        from joblib import Parallel, delayed

        parts = np.array_split(images, max(2, len(images) // 500))
        return np.concatenate(Parallel(n_jobs=-1)(delayed(_all)(function, part, value) for part in parts))

    return apply


def _all(function: Callable[[Array, float], Array], images: Array, value: float) -> Array:
    return np.stack([function(image, value) for image in images])
