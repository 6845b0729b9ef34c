"""How few numbers can hold a handwritten digit?

    make autoencoder latent_dim=32

A fully connected autoencoder squeezes MNIST's 784 pixels through a code of `latent_dim` numbers and
draws the digit again from the code alone (Hinton and Salakhutdinov, 2006, with the parts that made
such nets easy since: GELU, batch normalisation, Adam). The default takes under a minute of
training on two cores and reaches a test binary cross-entropy of 0.072, where the grey pixels
themselves set a floor of 0.058; PCA with as many numbers has four times the squared error.
`preset=full` takes under twenty minutes and reaches 0.0687.
"""

from __future__ import annotations

import bisect
import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import lab  # first: the setting `backend` can then choose Keras's backend
import keras
import numpy as np

from lab.data import Array
from lab.data.datasets import mnist
from lab.data.io.images import distort, read_grey, resize, write_grey
from lab.engine.inference import predict
from lab.report import plots
from lab.tasks.classification import plots as class_plots
from lab.tasks.images.baselines import Pca, in_the_plane
from lab.tasks.images.scores import binary_crossentropy, extremes, squared_error

SIDE = mnist.SIDE
PIXELS = SIDE * SIDE
SHOWN = 4  # digits in each group of the picture
LARGEST_PCA = 512  # components
EMBEDDED = 2_000  # test digits that the map of codes shows


class Settings(lab.Settings):
    """The autoencoder's knobs."""

    latent_dim: int = lab.field(32, "Numbers in one digit's code.", ge=1, le=PIXELS)
    hidden_units: tuple[lab.PositiveInt, ...] = lab.field(
        (512, 256), "Widths of the encoder's hidden layers; the decoder mirrors them."
    )
    activation: Literal["gelu", "relu", "elu", "silu", "tanh"] = lab.field("gelu", "The hidden layers' activation.")
    batch_normalization: bool = lab.field(True, "Normalise each hidden layer over the batch.")
    distortions: int = lab.field(
        0, "Slightly turned, slanted and shifted copies of each training digit to learn from, too.", ge=0, le=50
    )
    data: Path | None = lab.field(None, "Your own digits: an .npz as Keras has it, or a folder of IDX files.")


class Options(lab.Settings):
    """What `lab predict` can be told."""

    invert: bool = lab.field(False, "The pictures are dark on light; MNIST is light on dark.")
    output: Path | None = lab.field(None, "Folder for the results; none writes them beside each picture.")


class Autoencoder(lab.Experiment[Settings]):
    """Trains, shows and measures a fully connected autoencoder."""

    Predict = Options
    key_metric = "test_bce"
    sweep = ("latent_dim", (2, 4, 8, 16, 32, 64, 128))
    trainer = {
        "epochs": 32,
        "batch_size": 256,
        "learning_rate_schedule": "cosine",
        "warmup_steps": 200,
    }
    presets = {
        "quick": {"epochs": 5, "warmup_steps": 100},
        "full": {"hidden_units": (1024, 512), "distortions": 9, "epochs": 16, "warmup_steps": 500},
    }

    def prepare(self) -> lab.Data:
        data = mnist.load(self.settings.data).as_inputs_and_targets()
        return dataclasses.replace(data, train=self._with_distortions(data.train))

    def _with_distortions(self, split: lab.Split) -> lab.Split:
        if not self.settings.distortions or split.labels is None:
            return split
        copies = [distort(split.x, seed) for seed in range(self.settings.distortions)]
        x, labels = np.concatenate([split.x, *copies]), np.tile(split.labels, 1 + len(copies))
        return dataclasses.replace(split, x=x, y=x, labels=labels)

    def build(self, data: lab.Data) -> keras.Model:
        image = keras.Input((SIDE, SIDE), name="image")
        model = keras.Model(image, self.network(image, data), name=self.name())
        model.compile(keras.optimizers.Adam(3e-3), keras.losses.BinaryCrossentropy())
        return model

    def network(self, image: keras.KerasTensor, data: lab.Data) -> keras.KerasTensor:
        """Returns the image that is drawn, as a tensor (batch, 28, 28), for the one that comes in."""
        encoder, decoder = self.build_encoder(), self.build_decoder(data.train.x)
        drawn: keras.KerasTensor = decoder(encoder(image))
        return drawn

    def build_encoder(self) -> keras.Model:
        """Returns the half that turns images (batch, 28, 28) into codes (batch, latent_dim)."""
        layers = [keras.Input((SIDE, SIDE), name="image"), keras.layers.Flatten()]
        layers += self._hidden(self.settings.hidden_units)
        return keras.Sequential([*layers, lab.layers.Dense(self.settings.latent_dim, name="code")], name="encoder")

    def build_decoder(self, images: Array) -> keras.Model:
        """Returns the half that turns codes into images; at first it draws the mean of `images`."""
        layers = [keras.Input((self.settings.latent_dim,), name="code")]
        layers += self._hidden(self.settings.hidden_units[::-1])
        pixels = lab.layers.Dense(PIXELS, name="pixels")
        # Sigmoid comes last, so that the loss is computed from its input, which stays finite.
        layers += [pixels, keras.layers.Reshape((SIDE, SIDE)), keras.layers.Activation("sigmoid", dtype="float32")]
        decoder = keras.Sequential(layers, name="decoder")
        ink = np.clip(images.mean(axis=0, dtype=np.float64).ravel(), 1e-3, 1 - 1e-3)
        pixels.bias.assign(np.log(ink / (1 - ink)))
        return decoder

    def _hidden(self, widths: Iterable[int]) -> list[keras.layers.Layer]:
        layers: list[keras.layers.Layer] = []
        for width in widths:
            layers.append(lab.layers.Dense(width, use_bias=not self.settings.batch_normalization))
            if self.settings.batch_normalization:
                layers.append(keras.layers.BatchNormalization(momentum=0.98))
            layers.append(keras.layers.Activation(self.settings.activation))
        return layers

    # --- report -------------------------------------------------------------------------------

    def report(self, run: lab.Run, report: lab.Report) -> None:
        test, size = run.data.test, self.settings.latent_dim
        drawn = predict(run.model, test.x)
        errors = squared_error(test.x, drawn)
        originals = len(run.data.train) // (1 + self.settings.distortions)  # distorted copies would only hurt it
        pca = Pca(run.data.train.x[:originals], LARGEST_PCA)
        linear = pca.reconstruct(test.x, size)
        floor = float(binary_crossentropy(test.x, test.x).mean())

        report.metric("test_bce", run.evaluate("test"), "Binary cross-entropy per test pixel, in nats.")
        report.metric("test_mse", errors.mean(), "Squared error per test pixel; pixels lie in [0, 1].")
        report.metric("pca_mse", squared_error(test.x, linear).mean(), f"The same for PCA with {size} components.")
        report.metric("bce_floor", floor, "What a perfect copy would score: the pixels are grey, not 0 or 1.")
        report.metric("bce_above_floor", report.metrics["test_bce"] - floor, "The part that a better model could win.")
        self._pictures(test, drawn, linear, errors, report)
        self._by_digit(test, errors, squared_error(test.x, linear), report)
        self._codes(run, report)
        self._compression(run, report)
        self._latent_size(pca, run, report)

    def _pictures(self, test: lab.Split, drawn: Array, linear: Array, errors: Array, report: lab.Report) -> None:
        groups = extremes(errors, SHOWN)
        shown = np.concatenate(list(groups.values()))
        rows = {"original": test.x[shown], "autoencoder": drawn[shown], "PCA": linear[shown]}
        figure = plots.image_rows(
            rows,
            [f"{errors[place]:.4f}" for place in shown],
            [(name, len(members)) for name, members in groups.items()],
        )
        report.section("Originals and reconstructions")
        report.figure(
            "reconstructions",
            figure,
            "Test digits, chosen by the autoencoder's squared error (below each): the best, those around the median, "
            f"the worst. PCA has as many numbers, {self.settings.latent_dim}.",
        )

    def _by_digit(self, test: lab.Split, errors: Array, linear: Array, report: lab.Report) -> None:
        if test.labels is None:
            return
        digits = np.unique(test.labels)
        means = [[float(error[test.labels == digit].mean()) for digit in digits] for error in (errors, linear)]
        figure = plots.bars(
            [str(digit) for digit in digits],
            {"autoencoder": means[0], "PCA": means[1]},
            x="digit",
            y="squared error per pixel",
        )
        easy, hard = digits[int(np.argmin(means[0]))], digits[int(np.argmax(means[0]))]
        report.section("Which digits are hard")
        report.text(
            f"A {easy} is drawn best, with a squared error of {min(means[0]):.4f}, a {hard} worst, with "
            f"{max(means[0]):.4f}: {max(means[0]) / min(means[0]):.1f} times as much."
        )
        report.figure("error_by_digit", figure, "Mean squared error of the test digits, by class.")

    def _codes(self, run: lab.Run, report: lab.Report) -> None:
        """The map of codes: as they are where there are two numbers, else the best flat view and t-SNE's."""
        some = run.data.test.head(EMBEDDED)
        codes = predict(run.model.get_layer("encoder"), some.x)
        if some.labels is None or len(some) < 10 or codes.shape[1] < 2:
            return
        views = in_the_plane(codes)
        panels = {f"{name} of the codes": (points, some.labels) for name, points in views.items()}
        report.section("The codes")
        report.figure(
            "codes",
            class_plots.classes(panels),
            f"The codes of {len(some):,} test digits in the plane, coloured by class. The network never saw a label.",
        )

    def _compression(self, run: lab.Run, report: lab.Report) -> None:
        """What the code costs in bytes, as float32 and rounded to a byte a number."""
        encoder, decoder = run.model.get_layer("encoder"), run.model.get_layer("decoder")
        low, high = _range(predict(encoder, run.data.validation.x))
        codes = predict(encoder, run.data.test.x)
        step = np.maximum(high - low, 1e-7) / 255
        rounded = (np.clip(np.rint((codes - low) / step), 0, 255) * step + low).astype(np.float32)
        drawn = predict(decoder, rounded)
        size = self.settings.latent_dim
        rounded_mse = float(squared_error(run.data.test.x, drawn).mean())
        report.section("Compression")
        report.table(
            ("one digit as", "bytes", "of the original", "test MSE"),
            [
                ("pixels", PIXELS, "100 %", 0.0),
                ("code, float32", 4 * size, f"{400 * size / PIXELS:.1f} %", report.metrics["test_mse"]),
                ("code, a byte a number", size, f"{100 * size / PIXELS:.1f} %", rounded_mse),
            ],
            "Each number of the code is rounded to 256 levels between its 0.1 and 99.9 percentiles on validation data.",
        )
        report.metric("rounded_code_mse", rounded_mse, f"Squared error with codes of {size} bytes.")

    def _latent_size(self, pca: Pca, run: lab.Run, report: lab.Report) -> None:
        size, mse = self.settings.latent_dim, report.metrics["test_mse"]
        sizes = sorted({2**power for power in range(1, 9)} | {size})
        sizes = [one for one in sizes if one <= pca.rank]
        linear = [pca.error(run.data.test.x, one) for one in sizes]
        report.section("The size of the code")
        report.figure(
            "latent_size",
            plots.curves(
                {"PCA": (sizes, linear), "this autoencoder": ([size], [mse])},
                x="numbers in the code",
                y="squared error per test pixel",
                log_x=True,
                log_y=True,
                markers=True,
            ),
            "PCA at several sizes, and this run's autoencoder at its own.",
        )
        # The error falls with every component, so that halving finds the first that is low enough.
        equal = 1 + bisect.bisect_left(range(1, pca.rank + 1), True, key=lambda n: pca.error(run.data.test.x, n) <= mse)
        ratio = report.metrics["pca_mse"] / mse
        match = f"{equal} numbers" if equal <= pca.rank else f"more than {pca.rank} numbers"
        report.answer(
            "How does one change the latent size, and what does it do?",
            f"""Type `make autoencoder latent_dim=64`, or in Python
            `lab.Trainer().run(Autoencoder(latent_dim=64))`. It is the width of the layer `code`, the only way from
            encoder to decoder. Here it is {size}: one digit is {size} numbers instead of {PIXELS}, drawn again with
            a squared error of {mse:.5f} per pixel. PCA with {size} numbers has {report.metrics["pca_mse"]:.5f},
            {ratio:.1f} times as much, and needs {match} for the same error. A smaller code keeps only what digits share
            and blurs the rest; a larger one keeps the hand that wrote them. `lab sweep autoencoder` trains sizes
            from 2 to 128 and measures each.""",
        )

    def report_sweep(self, knob: str, runs: Mapping[int, lab.Run], report: lab.Report) -> None:
        data = mnist.load(self.settings.data)
        if knob == "latent_dim":
            self._sweep_curve(runs, data, report)
        first = [int(np.flatnonzero(data.test.y == digit)[0]) for digit in np.unique(data.test.y)]
        digits = data.test.x[np.array(first)]
        rows = {"original": digits}
        rows |= {f"{knob}={value}": predict(run.model, digits) for value, run in runs.items()}
        report.section("The same digits through every one")
        report.figure("digits", plots.image_rows(rows), "The first test digit of each class, drawn by each run.")

    def _sweep_curve(self, runs: Mapping[int, lab.Run], data: lab.Data, report: lab.Report) -> None:
        pca = Pca(data.train.x, max(runs))
        sizes = sorted(runs)
        deep = [runs[size].metrics["test_mse"] for size in sizes]
        linear = [pca.error(data.test.x, size) for size in sizes]
        report.section("Error against the size of the code")
        report.figure(
            "error_by_size",
            plots.curves(
                {"autoencoder": (sizes, deep), "PCA": (sizes, linear)},
                x="numbers in the code",
                y="squared error per test pixel",
                log_x=True,
                log_y=True,
                markers=True,
            ),
            "Squared error on the test digits.",
        )
        rows = []
        for size, error, pca_error, smaller in zip(sizes, deep, linear, [None, *sizes], strict=False):
            kept = error / runs[smaller].metrics["test_mse"] if smaller else 1.0
            gain = f"{100 * (1 - kept ** (1 / math.log2(size / smaller))):.0f} %" if smaller else ""
            seconds = runs[size].metrics.get("training_seconds", math.nan)
            rows.append((size, error, pca_error, pca_error / error, gain, f"{seconds:.0f}"))
        report.table(
            ("latent_dim", "autoencoder MSE", "PCA MSE", "PCA / autoencoder", "gained per doubling", "training s"),
            rows,
            "What one doubling of the code takes off the autoencoder's squared error.",
        )

    # --- predict ------------------------------------------------------------------------------

    def predict(self, run: lab.Run, inputs: Sequence[str], options: Options) -> Iterable[str | lab.LabError]:
        """Draws the user's own pictures again; each result stands to the right of what the model saw."""
        if not inputs:
            raise lab.UsageError("predict: expected pictures, such as digit.png")
        for name in inputs:
            try:
                yield self._predict_file(run, Path(name), options)
            except lab.LabError as error:
                yield error

    def _predict_file(self, run: lab.Run, path: Path, options: Options) -> str:
        picture = self.read_picture(path, options)
        image = resize(picture, SIDE, SIDE)
        drawn = predict(run.model, image[None])[0]
        target = (options.output or path.parent) / f"{path.stem}.reconstruction.png"
        write_grey(target, np.hstack([image, np.ones((SIDE, 1)), drawn]), scale=8)
        notes = []
        if picture.shape != (SIDE, SIDE):
            notes.append(f"resized from {picture.shape[1]} x {picture.shape[0]} pixels")
        said = f"{path} -> {target}, squared error {squared_error(image[None], drawn[None])[0]:.4f}"
        return self.with_notes(said, notes, picture)

    @staticmethod
    def read_picture(path: Path, options: Options) -> Array:
        """Returns a user's picture, light on dark as MNIST is; shape (height, width)."""
        picture = read_grey(path)
        return 1 - picture if options.invert else picture

    @staticmethod
    def with_notes(said: str, notes: Sequence[str], picture: Array) -> str:
        """Returns a line of output with notes in brackets, and what the picture itself suggests."""
        light = ["it is mostly light; for a dark digit on light paper add --invert"] if picture.mean() > 0.5 else []
        together = "; ".join([*notes, *light])
        return f"{said} ({together})\n" if together else f"{said}\n"


def _range(codes: Array) -> tuple[Array, Array]:
    low, high = np.percentile(codes, [0.1, 99.9], axis=0)
    return low, high


if __name__ == "__main__":
    lab.main()
