"""The report of `autoencoder`: how well the test digits are reconstructed, compared with PCA."""

from __future__ import annotations

import bisect
import dataclasses
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

import lab
from lab.data import Array
from lab.engine.inference import predict
from lab.report import plots
from lab.tasks.images.baselines import Pca
from lab.tasks.images.codes import scatter_by_class, to_plane
from lab.tasks.images.scores import binary_crossentropy, extremes, squared_error

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWN = 4  # digits in each group of the picture
LARGEST_PCA = 512  # components
EMBEDDED = 2_000  # test digits in the map of codes

# --- measures -------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Measures:
    """What the report states, measured on the test digits.

    Attributes:
        size: numbers in a code.
        pixels: numbers in a digit.
        drawn, linear: the reconstructions by the autoencoder and by PCA with `size` components, shape (n, 28, 28).
        errors, linear_errors: their squared errors, means over the pixels, shape (n,).
        bce: the autoencoder's binary cross-entropy per pixel, in nats.
        bce_floor: that of a perfect copy, which is above 0 because pixels are grey.
        codes: of the first `EMBEDDED` test digits, shape (at most EMBEDDED, size).
        rounded_mse: the autoencoder's squared error with codes rounded to a byte a number.
        pca_curve: PCA's squared error by its number of components.
        equal_components: the fewest components with which PCA's squared error is at most the autoencoder's;
            None if the largest PCA's error is still higher.
        largest_pca: components of the largest PCA.
    """

    size: int
    pixels: int
    drawn: Array
    linear: Array
    errors: Array
    linear_errors: Array
    bce: float
    bce_floor: float
    codes: Array
    rounded_mse: float
    pca_curve: Mapping[int, float]
    equal_components: int | None
    largest_pca: int

    @property
    def mse(self) -> float:
        """The autoencoder's squared error per pixel, its mean over the test digits."""
        return float(self.errors.mean())

    @property
    def linear_mse(self) -> float:
        """The same for PCA."""
        return float(self.linear_errors.mean())


def measure(run: lab.Run) -> Measures:
    """Reconstructs the test digits with the run's model and with PCA, and scores both."""
    x, size = run.data.test.x, int(run.settings["latent_dim"])
    undistorted = len(run.data.train) // (1 + int(run.settings["distortions"]))  # distorted copies would harm PCA
    pca = Pca(run.data.train.x[:undistorted], LARGEST_PCA)
    drawn, linear = predict(run.model, x), pca.reconstruct(x, size)
    errors = squared_error(x, drawn)
    encoder, decoder = run.model.get_layer("encoder"), run.model.get_layer("decoder")
    codes = predict(encoder, x)
    low, high = np.percentile(predict(encoder, run.data.validation.x), [0.1, 99.9], axis=0)
    rounded = predict(decoder, round_to_byte(codes, low, high))
    sizes = sorted({2**power for power in range(1, 9)} | {size})
    return Measures(
        size=size,
        pixels=math.prod(x.shape[1:]),
        drawn=drawn,
        linear=linear,
        errors=errors,
        linear_errors=squared_error(x, linear),
        bce=run.evaluate("test"),
        bce_floor=float(binary_crossentropy(x, x).mean()),
        codes=codes[:EMBEDDED],
        rounded_mse=float(squared_error(x, rounded).mean()),
        pca_curve={size: pca.error(x, size) for size in sizes if size <= pca.rank},
        equal_components=components_for(pca, x, float(errors.mean())),
        largest_pca=pca.rank,
    )


def components_for(pca: Pca, x: Array, mse: float) -> int | None:
    """Returns the fewest components with which PCA reconstructs `x` with at most this squared error, or None."""
    # The error falls with every component, so bisection finds the first that is low enough.
    fewest = 1 + bisect.bisect_left(range(1, pca.rank + 1), True, key=lambda count: pca.error(x, count) <= mse)
    return fewest if fewest <= pca.rank else None


def round_to_byte(codes: Array, low: Array, high: Array) -> Array:
    """Returns codes rounded to 256 evenly spaced levels; float32.

    Args:
        codes: shape (n, size).
        low, high: the first and the last level of each number, shape (size,).
    """
    step = np.maximum(high - low, 1e-7) / 255
    return np.asarray(np.clip(np.rint((codes - low) / step), 0, 255) * step + low, np.float32)


def means_by_class(errors: Array, labels: Array) -> dict[int, float]:
    """Returns the mean error of each class."""
    return {int(label): float(errors[labels == label].mean()) for label in np.unique(labels)}


def gain_per_doubling(size: int, mse: float, smaller: int, smaller_mse: float) -> float:
    """Returns the share of the squared error that one doubling of the code removes, between two sizes."""
    return float(1 - (mse / smaller_mse) ** (1 / math.log2(size / smaller)))


# --- report ---------------------------------------------------------------------------------------


def write(run: lab.Run, report: lab.Report) -> None:
    """Measures a run and writes its report."""
    present(measure(run), run.data.test, report)


def present(found: Measures, test: lab.Split, report: lab.Report) -> None:
    """Writes the report of what was measured on the test digits."""
    _metrics(found, report)
    _reconstructions(found, test, report)
    if test.labels is not None:
        _by_class(found, test.labels, report)
        _codes(found.codes, test.labels[:EMBEDDED], report)
    _compression(found, report)
    _latent_size(found, report)


def _metrics(found: Measures, report: lab.Report) -> None:
    report.metric("test_bce", found.bce, "Binary cross-entropy per test pixel, in nats.")
    report.metric("test_mse", found.mse, "Squared error per test pixel; pixels lie in [0, 1].")
    report.metric("pca_mse", found.linear_mse, f"Squared error of PCA with {found.size} components.")
    report.metric("bce_floor", found.bce_floor, "Cross-entropy of a perfect copy; not 0, because pixels are grey.")
    report.metric("bce_above_floor", found.bce - found.bce_floor, "The part that a better model could remove.")
    report.metric("rounded_code_mse", found.rounded_mse, f"Squared error with codes of {found.size} bytes.")


def _reconstructions(found: Measures, test: lab.Split, report: lab.Report) -> None:
    groups = extremes(found.errors, SHOWN)
    chosen = np.concatenate(list(groups.values()))
    rows = {"original": test.x[chosen], "autoencoder": found.drawn[chosen], "PCA": found.linear[chosen]}
    report.section("Originals and reconstructions")
    report.figure(
        "reconstructions",
        plots.image_rows(
            rows,
            [f"{found.errors[place]:.4f}" for place in chosen],
            [(name, len(members)) for name, members in groups.items()],
        ),
        f"The {SHOWN} test digits with the lowest squared error of the autoencoder, {SHOWN} around the median and the "
        f"{SHOWN} with the highest; the error is below each. PCA has {found.size} components.",
    )


def _by_class(found: Measures, labels: Array, report: lab.Report) -> None:
    own, linear = (means_by_class(errors, labels) for errors in (found.errors, found.linear_errors))
    easy, hard = min(own, key=own.__getitem__), max(own, key=own.__getitem__)
    report.section("Which digits are hard")
    report.text(
        f"The digit {easy} has the lowest mean squared error, {own[easy]:.4f}, and {hard} the highest, "
        f"{own[hard]:.4f}: {own[hard] / max(own[easy], 1e-10):.1f} times as high."
    )
    report.figure(
        "error_by_digit",
        plots.bars(
            [str(label) for label in own],
            {"autoencoder": list(own.values()), "PCA": list(linear.values())},
            x="digit",
            y="squared error per pixel",
        ),
        "Mean squared error of the test digits, by class.",
    )


def _codes(codes: Array, labels: Array, report: lab.Report) -> None:
    if len(codes) < 10 or codes.shape[1] < 2:
        return
    panels = {f"{name} of the codes": (points, labels) for name, points in to_plane(codes).items()}
    report.section("The codes")
    report.figure(
        "codes",
        scatter_by_class(panels),
        f"The codes of {len(codes):,} test digits, coloured by class. The autoencoder was trained without labels.",
    )


def _compression(found: Measures, report: lab.Report) -> None:
    size, pixels = found.size, found.pixels
    report.section("Compression")
    report.table(
        ("one digit as", "bytes", "of the original", "test MSE"),
        [
            ("pixels", pixels, "100 %", 0.0),
            ("code, float32", 4 * size, f"{400 * size / pixels:.1f} %", found.mse),
            ("code, one byte a number", size, f"{100 * size / pixels:.1f} %", found.rounded_mse),
        ],
        "One byte a number: 256 levels between the 0.1th and the 99.9th percentile on validation data.",
    )


def _latent_size(found: Measures, report: lab.Report) -> None:
    report.section("The size of the code")
    report.figure(
        "latent_size",
        _error_by_size({"PCA": found.pca_curve, "this autoencoder": {found.size: found.mse}}),
        "Squared error of PCA at several sizes, and of this run's autoencoder at its size.",
    )
    equal, mse = found.equal_components, found.mse
    match = f"needs {equal} components for" if equal else f"with {found.largest_pca} components is still above"
    report.answer(
        "How do I change the latent size, and what does it do?",
        f"""Type `make autoencoder latent_dim=64`, or in Python `lab.Trainer().run(Autoencoder(latent_dim=64))`.
        It is the width of the layer `code`, the only path from encoder to decoder. In this run it is {found.size}:
        the decoder draws a digit from {found.size} numbers instead of {found.pixels} pixels, with a squared error of
        {mse:.5f} per pixel. PCA with {found.size} components has {found.linear_mse:.5f},
        {found.linear_mse / max(mse, 1e-10):.1f} times as much, and {match} the autoencoder's error.
        A smaller code keeps only what digits have in common and blurs the rest; a larger code also keeps the
        handwriting. `lab sweep autoencoder` trains and compares sizes from 2 to 128.""",
    )


def write_sweep(setting: str, runs: Mapping[Any, lab.Run], data: lab.Data, report: lab.Report) -> None:
    """Writes the report of a sweep.

    Args:
        setting: the setting that was swept.
        runs: the finished run for each of its values.
        data: the digits as inputs, with their classes as targets.
        report: the sweep's report.
    """
    if setting == "latent_dim":
        _sweep_of_sizes(runs, data, report)
    first = [int(np.flatnonzero(data.test.y == digit)[0]) for digit in np.unique(data.test.y)]
    digits = data.test.x[np.array(first)]
    rows = {"original": digits}
    rows |= {f"{setting}={value}": predict(run.model, digits) for value, run in runs.items()}
    report.section("The same digits by each run")
    report.figure("digits", plots.image_rows(rows), "The first test digit of each class, as each run reconstructs it.")


def _sweep_of_sizes(runs: Mapping[int, lab.Run], data: lab.Data, report: lab.Report) -> None:
    pca, sizes = Pca(data.train.x, max(runs)), sorted(runs)
    own = {size: runs[size].metrics["test_mse"] for size in sizes}
    linear = {size: pca.error(data.test.x, size) for size in sizes}
    report.section("Error against the size of the code")
    report.figure("error_by_size", _error_by_size({"autoencoder": own, "PCA": linear}), "Squared error on test digits.")
    rows = []
    for size, smaller in zip(sizes, [None, *sizes], strict=False):
        gain = gain_per_doubling(size, own[size], smaller, own[smaller]) if smaller else None
        seconds = runs[size].metrics.get("training_seconds", math.nan)
        cells = ("" if gain is None else f"{100 * gain:.0f} %", f"{seconds:.0f}")
        rows.append((size, own[size], linear[size], linear[size] / own[size], *cells))
    report.table(
        ("latent_dim", "autoencoder MSE", "PCA MSE", "PCA / autoencoder", "gained per doubling", "training s"),
        rows,
        "Gained per doubling: the share of the autoencoder's squared error that a code of twice the size removes.",
    )


def _error_by_size(lines: Mapping[str, Mapping[int, float]]) -> Figure:
    points = {name: (list(line), list(line.values())) for name, line in lines.items()}
    return plots.curves(
        points, x="numbers in the code", y="squared error per test pixel", log_x=True, log_y=True, markers=True
    )
