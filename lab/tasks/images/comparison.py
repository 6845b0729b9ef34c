"""Several ways of restoring the same images, scored beside one another."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from lab.data import Array
from lab.report import Report, plots
from lab.tasks.images.scores import SCORES, mean_and_interval, psnr, score_row, squared_error

Denoiser = Callable[[Array], Array]

_PERFECT = 60.0  # dB; beyond that a curve would flatten all others


class Comparison:
    """What each of several denoisers makes of the same images.

    Args:
        truth: the images as they should come out, in [0, 1], shape (n, height, width).
        given: the images that go in, of the same shape.
        denoisers: by name, functions of such images.

    Attributes:
        drawn: by name, what came out.
    """

    def __init__(self, truth: Array, given: Array, denoisers: Mapping[str, Denoiser]) -> None:
        self.truth = truth
        self.given = given
        self.drawn = {name: denoise(given) for name, denoise in denoisers.items()}

    def __contains__(self, name: str) -> bool:
        return name in self.drawn

    def errors(self, name: str) -> Array:
        """Returns the squared error of each image; shape (n,)."""
        return squared_error(self.truth, self.drawn[name])

    def psnr(self, name: str) -> float:
        """Returns the mean of the images' PSNR, in dB."""
        return float(psnr(self.truth, self.drawn[name]).mean())

    def saved(self, name: str, against: str) -> tuple[float, float]:
        """Returns by how much less squared error one has than another, and half the 95 % interval; paired by image."""
        return mean_and_interval(self.errors(against) - self.errors(name))

    def wins(self, name: str, against: str) -> float:
        """Returns the share of images on which one has less squared error than another."""
        return float((self.errors(name) < self.errors(against)).mean())

    def ink(self, name: str) -> tuple[float, float]:
        """Returns how much ink a denoiser invented and how much it lost, as shares of all ink there is."""
        more, ink = (self.drawn[name] - self.truth).astype(np.float64), max(float(self.truth.sum()), 1e-10)
        return float(more.clip(min=0).sum()) / ink, float(-more.clip(max=0).sum()) / ink

    def table(self, report: Report, caption: str) -> None:
        """Adds a table of every score of every denoiser to a report."""
        rows = [(name, *score_row(self.truth, images)) for name, images in self.drawn.items()]
        report.table(("method", *SCORES), rows, caption)


class Robustness:
    """The PSNR of several denoisers against the level of noise.

    Args:
        levels: of the noise, in order.

    Attributes:
        lines: by name, one PSNR in dB for each level.
    """

    def __init__(self, levels: Sequence[float]) -> None:
        self.levels = tuple(levels)
        self.lines: dict[str, list[float]] = {}

    def add(self, name: str, decibel: float) -> None:
        """Adds a denoiser's PSNR at its next level."""
        self.lines.setdefault(name, []).append(decibel)

    def show(self, report: Report, level_is: str, caption: str) -> None:
        """Adds the curves and the table of their numbers to a report."""
        shown = {
            name: [(level, value) for level, value in zip(self.levels, line, strict=True) if value < _PERFECT]
            for name, line in self.lines.items()
        }
        points = {name: ([x for x, _ in line], [y for _, y in line]) for name, line in shown.items()}
        report.figure("robustness", plots.curves(points, x=level_is, y="PSNR, dB", markers=True), caption)
        rows = zip(self.levels, *self.lines.values(), strict=True)
        report.table(
            (level_is, *self.lines),
            [(f"{level:g}", *(f"{value:.2f}" for value in values)) for level, *values in rows],
            "The curves' numbers, in dB.",
        )

    def where_it_breaks(self, name: str, others: Sequence[str]) -> str:
        """Says at which levels each of others is no worse than a denoiser, and where that is at its best."""
        own, said = self.lines[name], []
        for other in others:
            at = [f"{level:g}" for level, a, b in zip(self.levels, own, self.lines[other], strict=True) if b >= a]
            said.append(f"`{other}` does as well or better at {', '.join(at)}" if at else f"at no level `{other}` does")
        peak = max(range(len(own)), key=own.__getitem__)
        return (
            f"Against `{name}`, of the levels on the curve: {'; '.join(said)}. It is at its best at "
            f"{self.levels[peak]:g}, with {own[peak]:.2f} dB, and has {own[-1]:.2f} dB at {self.levels[-1]:g}."
        )
