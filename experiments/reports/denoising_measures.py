"""What the report of `denoising_autoencoder` measures: several denoisers on the same digits."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import numpy as np

import lab
from experiments.reports.likeness import Likeness, likeness
from lab.data import Array
from lab.engine.inference import predict
from lab.settings import show
from lab.tasks.images import filters
from lab.tasks.images.baselines import LinearMap, Pca, nearest_neighbours
from lab.tasks.images.scores import mean_and_interval, psnr, squared_error

Denoiser = Callable[[Array], Array]
AddNoise = Callable[[Array, tuple[float, float], int], Array]
"""Adds noise of levels between two to images (n, height, width); each stream, a whole number, is other noise."""

NOTHING, BASIC, OWN = "nothing", "basic autoencoder", "denoising autoencoder"
LEVELS = tuple(round(0.1 * step, 1) for step in range(11))
TUNED_ON = 500  # validation digits on which the filters are tuned
CURVE_ON = 1_000  # test digits at each level of the curve
READ_FROM = 20_000  # training digits among which the nearest neighbours are searched
PCA_SIZES = (8, 16, 24, 32, 48, 64, 96, 128)


class Comparison:
    """Several denoisers on the same images.

    Args:
        truth: the clean images, in [0, 1], shape (n, height, width).
        given: the images to denoise, of the same shape.
        denoisers: by name, functions of such images.

    Attributes:
        denoised: by name, the denoised images.
    """

    def __init__(self, truth: Array, given: Array, denoisers: Mapping[str, Denoiser]) -> None:
        self.truth = truth
        self.given = given
        self.denoised = {name: denoise(given) for name, denoise in denoisers.items()}

    def __contains__(self, name: str) -> bool:
        return name in self.denoised

    def errors(self, name: str) -> Array:
        """Returns the squared error of each image; shape (n,)."""
        return squared_error(self.truth, self.denoised[name])

    def psnr(self, name: str) -> float:
        """Returns the mean of the images' PSNR, in dB."""
        return float(psnr(self.truth, self.denoised[name]).mean())

    def saved(self, name: str, against: str) -> tuple[float, float]:
        """Returns how much lower one denoiser's squared error is, and half its 95 % interval; paired by image."""
        return mean_and_interval(self.errors(against) - self.errors(name))

    def wins(self, name: str, against: str) -> float:
        """Returns the share of images on which one denoiser has a lower squared error than another."""
        return float((self.errors(name) < self.errors(against)).mean())

    def ink(self, name: str) -> tuple[float, float]:
        """Returns how much ink a denoiser adds and how much it removes, as shares of the clean images' ink."""
        more, ink = (self.denoised[name] - self.truth).astype(np.float64), max(float(self.truth.sum()), 1e-10)
        return float(more.clip(min=0).sum()) / ink, float(-more.clip(max=0).sum()) / ink


@dataclasses.dataclass(frozen=True)
class Robustness:
    """Denoisers at several levels of noise.

    Attributes:
        levels: of the noise, ascending.
        lines: by name, the mean PSNR in dB at each level.
    """

    levels: tuple[float, ...]
    lines: Mapping[str, Sequence[float]]

    def peak(self, name: str) -> tuple[float, float]:
        """Returns the level at which a denoiser has its highest PSNR, and that PSNR."""
        best = int(np.argmax(self.lines[name]))
        return self.levels[best], self.lines[name][best]

    def not_worse(self, name: str, than: str) -> list[float]:
        """Returns the levels at which one denoiser has at least the PSNR of another."""
        pairs = zip(self.levels, self.lines[name], self.lines[than], strict=True)
        return [level for level, own, other in pairs if own >= other]


def robustness(
    truth: Array, levels: Sequence[float], lines: Mapping[str, Callable[[float], Denoiser]], add_noise: AddNoise
) -> Robustness:
    """Measures denoisers at several levels of noise, on the same noisy images at each level.

    Args:
        truth: clean images, shape (n, height, width).
        levels: of the noise, ascending.
        lines: by name, functions that return the denoiser for a level.
        add_noise: adds the noise; its streams from 10 are used.
    """
    found: dict[str, list[float]] = {name: [] for name in lines}
    for place, level in enumerate(levels):
        noisy = add_noise(truth, (level, level), 10 + place)
        for name, denoiser in lines.items():
            found[name].append(float(psnr(truth, denoiser(level)(noisy)).mean()))
    return Robustness(tuple(levels), found)


@dataclasses.dataclass(frozen=True)
class Rivals:
    """Denoisers without a network.

    Attributes:
        by_name: the denoisers.
        best: the best of the filters, of those with levels and those without.
    """

    by_name: Mapping[str, Denoiser]
    best: filters.Tuned


def rivals(validation: Array, training: Array, level: float, add_noise: AddNoise) -> Rivals:
    """Tunes every filter that is installed and PCA on validation images, and fits a linear map on training images.

    Args:
        validation, training: clean images, shape (n, height, width).
        level: of the noise.
        add_noise: adds the noise; its streams 3 and 4 are used.
    """
    noisy = add_noise(validation, (level, level), 3)
    pairs = [filters.tune(each, noisy, validation) for each in filters.available()]
    best = max((each for pair in pairs for each in pair), key=lambda each: psnr(validation, each(noisy)).mean())
    pca = Pca(training, max(PCA_SIZES))
    projection = filters.Filter("PCA", "components", PCA_SIZES, lambda x, size: pca.reconstruct(x, int(size)))
    tuned = [*(plain for plain, _ in pairs), filters.tune(projection, noisy, validation)[0], best]
    linear = LinearMap(add_noise(training, (level, level), 4), training)
    return Rivals({**{str(each): each for each in tuned}, "best linear map": linear}, best)


@dataclasses.dataclass(frozen=True)
class Reading:
    """Which digit a classifier reads in each image, by who drew the images.

    Attributes:
        labels: the true digits, shape (n,).
        read: for clean images (`clean`) and by denoiser, the digits read, shape (n,).
    """

    labels: Array
    read: Mapping[str, Array]

    def accuracy(self, name: str) -> float:
        """Returns the share of images that are read correctly."""
        return float((self.read[name] == self.labels).mean())

    def changed(self, name: str) -> Array:
        """Returns the indices of images that are read correctly when clean, but not as a denoiser draws them."""
        return np.flatnonzero((self.read["clean"] == self.labels) & (self.read[name] != self.labels))


def read(images: Mapping[str, Array], labels: Array, known: Array, known_labels: Array) -> Reading:
    """Reads images (n, height, width), `clean` ones among them, by three nearest neighbours among `known` images."""
    reader = nearest_neighbours(known, known_labels)
    return Reading(labels, {name: reader(drawn) for name, drawn in images.items()})


@dataclasses.dataclass(frozen=True)
class Measures:
    """What the report states.

    Attributes:
        bce: binary cross-entropy per denoised test pixel, in nats.
        noisy, clean: every denoiser on the noisy and on the clean test digits.
        best: the best filter on validation digits.
        robustness: the networks and the best filter at other levels of noise.
        trained: names of the networks in `robustness` that were trained on noise, this run's first.
        reading: how well the denoised digits are read; None without labels.
        likeness: what the basic autoencoder's run has in common with this one; None without such a run.
    """

    bce: float
    noisy: Comparison
    clean: Comparison
    best: filters.Tuned
    robustness: Robustness
    trained: tuple[str, ...]
    reading: Reading | None
    likeness: Likeness | None

    @property
    def filter_line(self) -> str:
        """The name of the best filter in `robustness`."""
        return filter_line(self.best)


def filter_line(best: filters.Tuned) -> str:
    """Returns what the curve calls a filter that is tuned again at each level."""
    return f"{best.filter.name}, tuned at each level"


def measure(run: lab.Run, basic: lab.Run | None, other: lab.Run | None, add_noise: AddNoise) -> Measures:
    """Measures all denoisers on the run's data.

    Args:
        run: the denoising autoencoder's.
        basic: the basic autoencoder's, if there is one.
        other: the same network's, trained on other noise, if there is one.
        add_noise: adds noise of the run's kind.
    """
    data, noise = run.data, lab.Range.read(run.settings["noise"])
    undistorted = data.train.y[: len(data.train) // (1 + int(run.settings["distortions"]))]
    tuned_on = data.validation.y[:TUNED_ON]
    classical = rivals(tuned_on, undistorted, noise.middle, add_noise)
    networks = {BASIC: basic, OWN: run}
    if other is not None:
        networks[f"the same, trained on {show(other.settings['noise'])}"] = other
    nets: dict[str, Denoiser] = {name: _denoiser(net) for name, net in networks.items() if net is not None}
    denoisers: dict[str, Denoiser] = {NOTHING: lambda images: images, **classical.by_name, **nets}
    noisy, clean = (Comparison(data.test.y, given, denoisers) for given in (data.test.x, data.test.y))

    trained = {f"trained on {show(net.settings['noise'])}": _denoiser(net) for net in (run, other) if net is not None}
    fixed = trained | {name: denoisers[name] for name in (BASIC, NOTHING) if name in denoisers}
    lines: dict[str, Callable[[float], Denoiser]] = {name: _at_any_level(each) for name, each in fixed.items()}

    def tuned(level: float) -> Denoiser:
        few = tuned_on[: TUNED_ON // 4]
        pair = filters.tune(classical.best.filter, add_noise(few, (level, level), 30 + LEVELS.index(level)), few)
        return pair[classical.best.has_levels]

    lines[filter_line(classical.best)] = tuned
    some = data.test.y[:: max(1, len(data.test) // CURVE_ON)][:CURVE_ON]
    reading = None
    if data.test.labels is not None and data.train.labels is not None:
        names = [name for name in (NOTHING, str(classical.best), BASIC, OWN) if name in noisy]
        images = {"clean": noisy.truth} | {name: noisy.denoised[name] for name in names}
        reading = read(images, data.test.labels, data.train.y[:READ_FROM], data.train.labels[:READ_FROM])
    return Measures(
        bce=run.evaluate("test"),
        noisy=noisy,
        clean=clean,
        best=classical.best,
        robustness=robustness(some, LEVELS, lines, add_noise),
        trained=tuple(trained),
        reading=reading,
        likeness=None if basic is None else likeness(run, basic),
    )


def _denoiser(run: lab.Run) -> Denoiser:
    return lambda images: predict(run.model, images)


def _at_any_level(denoiser: Denoiser) -> Callable[[float], Denoiser]:
    return lambda level: denoiser
