"""Scores of drawn images against true ones, one number an image."""

from __future__ import annotations

import numpy as np

from lab.data import Array

EPSILON = 1e-7  # keeps logarithms finite; Keras's own


def squared_error(images: Array, drawn: Array) -> Array:
    """Returns each image's mean squared error over its pixels; float64, shape (n,)."""
    return np.asarray(np.square(images - drawn).reshape(len(images), -1).mean(axis=1, dtype=np.float64))


def binary_crossentropy(images: Array, drawn: Array) -> Array:
    """Returns each image's mean binary cross-entropy over its pixels in nats; float64, shape (n,)."""
    p = np.clip(drawn.astype(np.float64), EPSILON, 1 - EPSILON)
    loss = -(images * np.log(p) + (1 - images) * np.log1p(-p))
    return np.asarray(loss.reshape(len(images), -1).mean(axis=1))


def psnr(images: Array, drawn: Array) -> Array:
    """Returns each image's peak signal-to-noise ratio in dB, for a peak of 1; float64, shape (n,).

    Its mean over images is not the ratio of their mean squared error: see `psnr_of_mean`. A perfect
    copy counts as 100 dB, not as infinitely many.
    """
    return np.asarray(-10 * np.log10(np.maximum(squared_error(images, drawn), 1e-10)))


def psnr_of_mean(images: Array, drawn: Array) -> float:
    """Returns the peak signal-to-noise ratio in dB of all images together, from their mean squared error."""
    return float(-10 * np.log10(max(float(squared_error(images, drawn).mean()), 1e-10)))


def ssim(images: Array, drawn: Array) -> Array:
    """Returns each image's structural similarity, at most 1; float32, shape (n,).

    Wang, Bovik, Sheikh and Simoncelli, 2004, as they set it: a Gaussian window of 1.5 pixels, 11 wide,
    K1 = 0.01, K2 = 0.03, a range of 1; averaged where the whole window lies inside the image.

    Args:
        images, drawn: values in [0, 1], shape (n, height, width), each side 11 or more.
    """
    from scipy import ndimage

    def blur(values: Array) -> Array:
        return np.asarray(ndimage.gaussian_filter(values, (0, 1.5, 1.5), truncate=3.5, mode="reflect"))

    x, y = images.astype(np.float32), drawn.astype(np.float32)
    mean_x, mean_y = blur(x), blur(y)
    variance_x, variance_y = blur(x * x) - mean_x**2, blur(y * y) - mean_y**2
    covariance = blur(x * y) - mean_x * mean_y
    c1, c2 = 0.01**2, 0.03**2
    similarity = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    similarity /= (mean_x**2 + mean_y**2 + c1) * (variance_x + variance_y + c2)
    inner = similarity[:, 5:-5, 5:-5]  # half of the window
    return np.asarray(inner.reshape(len(x), -1).mean(axis=1))


def mean_and_interval(values: Array) -> tuple[float, float]:
    """Returns the mean and half the width of its 95 % interval (Student's t), for independent values of shape (n,)."""
    from scipy import stats

    if len(values) < 2:
        return float(np.mean(values)), 0.0
    half = stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values))
    return float(np.mean(values)), float(half)


SCORES = ("MSE", "BCE", "PSNR, dB", "PSNR of mean, dB", "SSIM")


def score_row(images: Array, drawn: Array) -> tuple[str, ...]:
    """Returns a table's cells for `SCORES`: each the mean over images with its 95 % interval.

    PSNR is the mean of the images' own values; that of the mean is from the mean squared error of
    all, which the worst images weigh down. Its interval is that of the squared error.
    """
    cells = []
    for score, digits in ((squared_error, 5), (binary_crossentropy, 4), (psnr, 2)):
        mean, half = mean_and_interval(score(images, drawn))
        cells.append(f"{mean:.{digits}f} ± {half:.{digits}f}")
    mean, half = mean_and_interval(squared_error(images, drawn))
    decibel = 10 / np.log(10) * half / max(mean, 1e-10)
    cells.append(f"{psnr_of_mean(images, drawn):.2f} ± {decibel:.2f}")
    mean, half = mean_and_interval(ssim(images, drawn))
    return (*cells, f"{mean:.4f} ± {half:.4f}")


def extremes(errors: Array, count: int) -> dict[str, Array]:
    """Returns the indices of the `count` best, typical (from the median on) and worst examples by their errors."""
    order = np.argsort(errors, kind="stable")
    middle = len(order) // 2
    return {"best": order[:count], "typical": order[middle : middle + count], "worst": order[-count:]}
