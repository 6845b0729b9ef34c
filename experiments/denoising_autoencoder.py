"""Can an autoencoder take noise off a handwritten digit?

    make denoising_autoencoder noise=0.5

The same network as the basic autoencoder learns something else: noise goes in, fresh for each digit
in each epoch, and the clean digit must come out (Vincent et al., 2008). The report compares it with
the basic autoencoder, with doing nothing, and with the filters that an image-processing user would
pick. At a standard deviation of 0.5 the default takes little more than a minute of training on
two cores, as long for each of the two models beside it, and reaches 20.5 dB on the test digits, where the
noisy digits have 9.4 and a 3x3 median filter 14.2. `preset=full`, larger and as fully connected, takes
some twenty minutes and reaches 20.7 dB; `preset=unet`, a small convolutional U-Net
(Ronneberger, Fischer and Brox, 2015), takes 25 minutes and reaches 21.5 dB.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import lab  # first: the setting `backend` can then choose Keras's backend
import keras
import numpy as np

from experiments.autoencoder import PIXELS, SHOWN, SIDE, Autoencoder
from experiments.autoencoder import Options as AutoencoderOptions
from experiments.autoencoder import Settings as AutoencoderSettings
from lab import layers
from lab.data import Array
from lab.data.datasets import mnist
from lab.data.io.images import by_tiles, write_grey
from lab.engine.inference import predict
from lab.report import plots
from lab.settings import show
from lab.tasks.images import filters
from lab.tasks.images.baselines import LinearMap, Pca, nearest_neighbours
from lab.tasks.images.comparison import Comparison, Denoiser, Robustness
from lab.tasks.images.scores import extremes, psnr, psnr_of_mean, ssim

NOTHING, BASIC, OWN = "nothing", "basic autoencoder", "denoising autoencoder"
LEVELS = tuple(round(0.1 * step, 1) for step in range(11))
LEVEL_IS = {
    "gaussian": "standard deviation of the noise",
    "salt_and_pepper": "share of pixels that become black or white",
    "masking": "share of pixels that are lost",
}
TUNED_ON = 500  # validation digits that choose a filter's value
CURVE_ON = 1_000  # test digits at each level of the curve
PCA_SIZES = (8, 16, 24, 32, 48, 64, 96, 128)
READ_FROM = 20_000  # training digits that the nearest-neighbour reader knows


class DenoisingSettings(AutoencoderSettings):
    """The denoising autoencoder's knobs, beside the basic one's."""

    noise: lab.Range = lab.field(
        0.5,
        "Standard deviation of Gaussian noise, or the share of pixels hit; of a range, each digit draws its own.",
        ge=0,
        le=1,
    )
    kind: Literal["gaussian", "salt_and_pepper", "masking"] = lab.field("gaussian", "The kind of noise.")
    network: Literal["dense", "unet"] = lab.field("dense", "Fully connected, or a convolutional U-Net.")
    channels: int = lab.field(48, "Channels of the U-Net's finer level.", ge=1, le=512)
    noise_seed: int = lab.field(0, "Seed of the noise on validation and test digits.", ge=0, lt=2**31)
    companions: Literal["all", "basic", "none"] = lab.field(
        "all", "What is trained to compare with, where no earlier run matches: `basic` leaves out other noise."
    )
    latent_dim: int = lab.field(256, "Numbers in one digit's code.", ge=1, le=PIXELS)
    hidden_units: tuple[lab.PositiveInt, ...] = lab.field(
        (1024,), "Widths of the encoder's hidden layers; the decoder mirrors them."
    )


class DenoisingOptions(AutoencoderOptions):
    """What `lab predict` can be told."""

    noise: float = lab.field(0.0, "Noise of the run's kind to put on the picture first, to try it out.", ge=0, le=1)


class DenoisingAutoencoder(Autoencoder):
    """Trains, shows and measures an autoencoder that takes noise off."""

    Settings = DenoisingSettings
    Predict = DenoisingOptions
    settings: DenoisingSettings
    key_metric = "test_psnr_db"
    key_metric_mode = "max"
    sweep = ("noise", (0.1, 0.3, 0.5, 0.7, 0.9))  # type: ignore[assignment]  # another knob than the base's
    trainer = {**Autoencoder.trainer, "epochs": 28}
    presets = {
        "quick": {"epochs": 3, "warmup_steps": 100, "companions": "basic"},
        "full": {
            "hidden_units": (2048, 1024),
            "latent_dim": 512,
            "epochs": 40,
            "warmup_steps": 500,
            "companions": "basic",
        },
        "unet": {
            "network": "unet",
            "latent_dim": 512,
            "epochs": 15,
            "batch_size": 64,
            "learning_rate": 2e-3,
            "companions": "basic",
        },
    }

    def prepare(self) -> lab.Data:
        clean, noise = super().prepare(), self.settings.noise
        validation = self._noisy(clean.validation, (noise.low, noise.high), 1)
        return dataclasses.replace(clean, validation=validation, test=self._noisy(clean.test, self._test_levels, 2))

    @property
    def _test_levels(self) -> tuple[float, float]:
        return self.settings.noise.middle, self.settings.noise.middle

    def _noisy(self, split: lab.Split, levels: tuple[float, float], stream: int) -> lab.Split:
        return dataclasses.replace(split, x=self._with_noise(split.y, levels, stream))

    def _with_noise(self, images: Array, levels: tuple[float, float], stream: int) -> Array:
        noisy = layers.corrupt(images, self.settings.kind, levels, (self.settings.noise_seed, stream))
        return np.asarray(keras.ops.convert_to_numpy(noisy))

    def network(self, image: keras.KerasTensor, data: lab.Data) -> keras.KerasTensor:
        noise = self.settings.noise
        noisy = layers.Noise(self.settings.kind, noise.low, noise.high)(image)
        return self._unet(noisy) if self.settings.network == "unet" else super().network(noisy, data)

    def _unet(self, image: keras.KerasTensor) -> keras.KerasTensor:
        """A U-Net on 2 x 2 blocks of pixels: two levels, 14 and 7 places wide, and a code of the whole picture."""
        width = self.settings.channels
        x = keras.layers.Reshape((SIDE, SIDE, 1))(image)
        fine = _convolutions(keras.layers.Conv2D(width, 2, strides=2)(x), width)
        coarse = _convolutions(keras.layers.MaxPooling2D()(fine), 2 * width)
        code = _normalized(keras.layers.Dense(self.settings.latent_dim, use_bias=False)(keras.layers.Flatten()(coarse)))
        whole = keras.layers.Reshape(coarse.shape[1:])(keras.layers.Dense(math.prod(coarse.shape[1:]))(code))
        x = keras.layers.Conv2DTranspose(width, 2, strides=2)(keras.layers.Add()([coarse, whole]))
        x = _convolutions(keras.layers.Concatenate()([x, fine]), width)
        x = keras.layers.Reshape((SIDE, SIDE))(keras.layers.Conv2DTranspose(1, 2, strides=2)(x))
        drawn: keras.KerasTensor = keras.layers.Activation("sigmoid", dtype="float32")(x)
        return drawn

    # --- report -------------------------------------------------------------------------------

    def report(self, run: lab.Run, report: lab.Report) -> None:
        rivals, best = self._rivals(run.data)
        denoisers: dict[str, Denoiser] = {NOTHING: lambda images: images, **rivals}
        basic, other = self._companions(run)
        if basic is not None:
            denoisers[BASIC] = _drawn_by(basic)
        denoisers[OWN] = _drawn_by(run)
        if other is not None:
            denoisers[f"the same, trained on {self._other_noise}"] = _drawn_by(other)
        test = run.data.test
        noisy, clean = (Comparison(test.y, given, denoisers) for given in (test.x, test.y))
        self._metrics(run, noisy, clean, report)
        self._rows(noisy, best, report)
        self._tables(noisy, clean, report)
        self._robustness(run, denoisers, best, report)
        self._invented(noisy, report)
        misread = self._reading(run.data, noisy, best, report)
        self._scenario(noisy, misread, report)

    @property
    def _other_noise(self) -> lab.Range:
        """What the model beside this one learnt from: mixed levels, or a single one where this has many."""
        return lab.Range(0.1, 0.9) if self.settings.noise.is_one else lab.Range(0.5, 0.5)

    def _companions(self, run: lab.Run) -> tuple[lab.Run | None, lab.Run | None]:
        """The basic autoencoder of the same shape, and this one trained on other levels of noise."""
        own = {name: getattr(self.settings, name) for name in DenoisingSettings.model_fields}
        shared = {name: own[name] for name in AutoencoderSettings.model_fields}
        other = type(self)(**(own | {"noise": self._other_noise}))
        train = self.settings.companions
        basic = lab.companion(run, "basic_autoencoder", Autoencoder(**shared), train=train != "none")
        return basic, lab.companion(run, "other_noise", other, train=train == "all", ignore=("companions",))

    def _rivals(self, data: lab.Data) -> tuple[dict[str, Denoiser], str]:
        """What needs no network, tuned on validation digits with the test's noise; and the best filter's name."""
        clean = data.validation.y[:TUNED_ON]
        noisy = self._with_noise(clean, self._test_levels, 3)
        tuned = [filters.tune(one, noisy, clean) for one in filters.available()]
        plain = [as_it_is for as_it_is, _ in tuned]
        best = max((one for pair in tuned for one in pair), key=lambda one: float(psnr(clean, one(noisy)).mean()))
        originals = data.train.y[: len(data.train) // (1 + self.settings.distortions)]
        pca = Pca(originals, max(PCA_SIZES))
        projection = filters.Filter("PCA", "components", PCA_SIZES, lambda x, size: pca.reconstruct(x, int(size)))
        plain.append(filters.tune(projection, noisy, clean)[0])
        rivals: dict[str, Denoiser] = {str(one): one for one in (*plain, best)}
        rivals["best linear map"] = LinearMap(self._with_noise(originals, self._test_levels, 4), originals)
        return rivals, str(best)

    def _metrics(self, run: lab.Run, noisy: Comparison, clean: Comparison, report: lab.Report) -> None:
        drawn = noisy.drawn[OWN]
        report.metric("test_psnr_db", noisy.psnr(OWN), "PSNR of denoised test digits, mean of the images' own values.")
        if BASIC in noisy:
            report.metric("basic_test_psnr_db", noisy.psnr(BASIC), "The same for the basic autoencoder.")
        report.metric("noisy_psnr_db", noisy.psnr(NOTHING), "The same for the noisy digits as they are.")
        report.metric("test_psnr_of_mean_db", psnr_of_mean(noisy.truth, drawn), "PSNR from the mean squared error.")
        report.metric("test_mse", noisy.errors(OWN).mean(), "Squared error per pixel of denoised test digits.")
        if BASIC in noisy:
            report.metric("basic_test_mse", noisy.errors(BASIC).mean(), "The same for the basic autoencoder.")
        report.metric("test_ssim", ssim(noisy.truth, drawn).mean(), "Structural similarity of denoised test digits.")
        report.metric("test_bce", run.evaluate("test"), "Binary cross-entropy per denoised test pixel, in nats.")
        report.metric("clean_test_psnr_db", clean.psnr(OWN), "PSNR where clean digits go in: what is lost of them.")

    def _rows(self, noisy: Comparison, best: str, report: lab.Report) -> None:
        groups = extremes(noisy.errors(OWN), SHOWN)
        shown = np.concatenate(list(groups.values()))
        rows = {"clean": noisy.truth[shown], "noisy": noisy.given[shown], _short(best): noisy.drawn[best][shown]}
        rows |= {name.partition(" ")[0]: noisy.drawn[name][shown] for name in (BASIC, OWN) if name in noisy}
        report.section("Clean, noisy, denoised")
        report.figure(
            "denoised",
            plots.image_rows(
                rows,
                [f"{value:.1f} dB" for value in psnr(noisy.truth[shown], noisy.drawn[OWN][shown])],
                [(name, len(members)) for name, members in groups.items()],
            ),
            "Test digits, chosen by the denoising autoencoder's squared error: the best, those around the median, the "
            f"worst; its PSNR stands below each. The filter is the best of those in the table: {best}.",
        )

    def _tables(self, noisy: Comparison, clean: Comparison, report: lab.Report) -> None:
        count = len(noisy.truth)
        report.section("The comparison")
        noisy.table(
            report,
            f"Noisy digits go in: means over {count:,} test digits with 95 % intervals. PSNR is the mean of the "
            "images' own values; PSNR of mean comes from the mean squared error.",
        )
        clean.table(report, "The same where clean digits go in; 100 dB stands for no error at all.")
        report.text(
            "Filters and PCA were tuned on validation digits with the same noise, the linear map is fitted on noisy "
            "training digits. Clipping leaves the paper grey and filters keep it so; "
            "`with levels` sets black and white points after the filter, as any "
            f"image editor does. The basic autoencoder never saw noise. {self._alike}"
        )
        if BASIC not in noisy:
            report.text("No basic autoencoder of this shape has run yet, and `companions=none` trains none.")
            return
        saved, half = noisy.saved(OWN, BASIC)
        lower = "lower" if saved > half else "higher" if saved < -half else "the same within the interval"
        own, basic = float(noisy.errors(OWN).mean()), float(noisy.errors(BASIC).mean())
        pays = clean.psnr(BASIC) > clean.psnr(OWN)
        on_clean = "it pays for that, for who expects noise takes fine strokes for it" if pays else "it is ahead, too"
        report.answer(
            "How do the basic and the denoising autoencoder compare?",
            f"""On noisy digits the denoising one's squared error is {lower}: {own:.5f} a pixel against {basic:.5f}, a
            difference of {abs(saved):.5f} ± {half:.5f} (95 %, paired over {count:,} digits) and a factor of
            {basic / max(own, 1e-10):.2f}; or {noisy.psnr(OWN):.2f} dB against {noisy.psnr(BASIC):.2f} dB, where the
            noisy digits have {noisy.psnr(NOTHING):.2f} dB. For {100 * noisy.wins(OWN, BASIC):.1f} % of the digits it is
            nearer to the truth. The basic one never saw noise: it draws what it can of it. On clean digits
            {on_clean}: {clean.psnr(BASIC):.2f} dB for the basic one, {clean.psnr(OWN):.2f} dB for the denoising one.
            {self._alike}""",
        )

    @property
    def _alike(self) -> str:
        """What the basic autoencoder has in common with this one."""
        if self.settings.network == "dense":
            return "The layers are the same, its epochs at least as many; only what goes in while training differs."
        return "It is trained for as many epochs, but fully connected: a U-Net's skips would let it copy."

    def _robustness(self, run: lab.Run, denoisers: Mapping[str, Denoiser], best: str, report: lab.Report) -> None:
        test, validation = run.data.test, run.data.validation
        some, held_out = test.y[:: max(1, len(test) // CURVE_ON)][:CURVE_ON], validation.y[: TUNED_ON // 4]
        names = {
            name: f"trained on {self.settings.noise if name == OWN else self._other_noise}"
            for name in denoisers
            if name == OWN or name.startswith("the same")
        }
        names |= {name: name for name in (BASIC, NOTHING) if name in denoisers}
        classical = f"{_short(best)}, tuned at each level"
        curve = Robustness(LEVELS)
        for place, level in enumerate(LEVELS):
            noisy = self._with_noise(some, (level, level), 10 + place)
            for name, line in names.items():
                curve.add(line, float(psnr(some, denoisers[name](noisy)).mean()))
            filtered = _retuned(denoisers[best], self._with_noise(held_out, (level, level), 30 + place), held_out)
            curve.add(classical, float(psnr(some, filtered(noisy)).mean()))
        report.section("Other levels of noise")
        curve.show(
            report,
            LEVEL_IS[self.settings.kind],
            f"Mean PSNR of {len(some):,} test digits against their noise. The filter is told the level, the networks "
            "are not. Without noise, doing nothing is perfect and beyond the scale.",
        )
        report.text(curve.where_it_breaks(names[OWN], (NOTHING, classical)))

    def _invented(self, noisy: Comparison, report: lab.Report) -> None:
        """What goes, what comes: pictures of differences, and how much ink is lost and made up."""
        groups = extremes(noisy.errors(OWN), SHOWN)
        del groups["best"]
        shown = np.concatenate(list(groups.values()))
        drawn, truth, given = noisy.drawn[OWN][shown], noisy.truth[shown], noisy.given[shown]
        rows = {"noisy": given, "taken off": given - drawn, "denoised": drawn, "clean": truth, "error": drawn - truth}
        spans = [(name, len(members)) for name, members in groups.items()]
        report.section("What it takes off, and what it invents")
        report.figure(
            "differences",
            plots.image_rows(rows, groups=spans, signed=("taken off", "error")),
            "Taken off: noisy less denoised. Error: denoised less clean: red is ink too much, blue ink too "
            "little. Clipped noise can only darken paper and only lighten ink, so that a trace of the stroke in what "
            "was taken off is right; whole pieces of one, red or blue, in the error are not.",
        )
        rows_of_ink = [
            (name, *(f"{100 * share:.1f} %" for share in noisy.ink(name))) for name in (BASIC, OWN) if name in noisy
        ]
        report.table(("method", "ink invented", "ink lost"), rows_of_ink, "In per cent of all ink of the test digits.")

    def _reading(self, data: lab.Data, noisy: Comparison, best: str, report: lab.Report) -> float | None:
        """Has a reader name the digits; returns the share that denoising turned into another digit."""
        labels = data.test.labels
        if labels is None or data.train.labels is None:
            return None
        reader = nearest_neighbours(data.train.y[:READ_FROM], data.train.labels[:READ_FROM])
        read = {"clean": reader(noisy.truth)} | {name: reader(noisy.drawn[name]) for name in (NOTHING, best)}
        read |= {name: reader(noisy.drawn[name]) for name in (BASIC, OWN) if name in noisy}
        changed = np.flatnonzero((read["clean"] == labels) & (read[OWN] != labels))
        report.table(
            ("digits as drawn by", "read right"),
            [(name, f"{100 * (found == labels).mean():.1f} %") for name, found in read.items()],
            f"A reader of its own, three nearest neighbours among {min(READ_FROM, len(data.train)):,} clean training "
            "digits, names the test digits.",
        )
        if len(changed):
            shown = changed[np.argsort(-noisy.errors(OWN)[changed], kind="stable")][: 3 * SHOWN]
            rows = {"clean": noisy.truth[shown], "noisy": noisy.given[shown], "denoised": noisy.drawn[OWN][shown]}
            report.figure(
                "invented",
                plots.image_rows(rows, [f"{labels[place]} → {read[OWN][place]}" for place in shown]),
                f"Digits that became another: read right when clean, wrong when denoised; there are {len(changed):,} "
                f"of {len(labels):,}, these have the largest errors.",
            )
        return len(changed) / len(labels)

    def _scenario(self, noisy: Comparison, misread: float | None, report: lab.Report) -> None:
        turned = (
            f"{100 * misread:.1f} % of the digits into a stroke pattern that reads as another" if misread else "none"
        )
        report.answer(
            "Where is such a thing useful, and what would have to change?",
            f"""Computed tomography at a lower dose: half the radiation makes the noise about 1.4 times as strong, and a
            denoiser may give the picture back. Four things change. The noise: photon counts are Poisson distributed,
            and the reconstruction makes them correlated streaks, so one trains on pairs at two doses, or on pairs of
            noisy pictures alone (Noise2Noise, Lehtinen et al., 2018), not on independent pixels. The range: thousands
            of Hounsfield units, not ink between 0 and 1; squared error or L1 instead of cross-entropy. The size: 512 x
            512 slices, in overlapping tiles or with a convolutional net. And the price of an error: this network
            turned {turned}, while its mean PSNR rose from {noisy.psnr(NOTHING):.1f} to {noisy.psnr(OWN):.1f} dB; it
            draws what it has seen in training, and a lesion is what it has not seen. PSNR does not show that, readers
            do: one measures what they find and miss, shows them what was taken off, and keeps the original.""",
        )

    def report_sweep(self, knob: str, runs: Mapping[Any, lab.Run], report: lab.Report) -> None:
        clean = mnist.load(self.settings.data).test
        digits = clean.x[[int(np.flatnonzero(clean.y == digit)[0]) for digit in np.unique(clean.y)]]
        rows = {"clean": digits}
        for value, run in runs.items():
            level = lab.Range.read(run.settings["noise"]).middle
            noisy = self._with_noise(digits, (level, level), 60)
            rows["noisy" if knob != "noise" else f"noise {show(value)}"] = noisy
            rows[f"{knob}={show(value)}" if knob != "noise" else f"less noise {show(value)}"] = _drawn_by(run)(noisy)
        report.section("The same digits through every one")
        report.figure(
            "digits", plots.image_rows(rows), "The first test digit of each class, with the noise of each run."
        )

    # --- predict ------------------------------------------------------------------------------

    def _predict_file(self, run: lab.Run, path: Path, options: AutoencoderOptions) -> str:
        """Denoises a picture of any size; the result has the picture's size and name, with `.denoised`."""
        picture = self.read_picture(path, options)
        level = options.noise if isinstance(options, DenoisingOptions) else 0.0
        seen = self._with_noise(picture[None], (level, level), 50)[0] if level else picture
        drawn = by_tiles(seen, SIDE, _drawn_by(run))
        target = (options.output or path.parent) / f"{path.stem}.denoised.png"
        notes = []
        if level:
            write_grey(target.with_name(f"{path.stem}.noisy.png"), 1 - seen if options.invert else seen)
            before, after = (psnr(picture[None], image[None])[0] for image in (seen, drawn))
            notes.append(f"{before:.1f} dB with the noise, {after:.1f} dB denoised")
        write_grey(target, 1 - drawn if options.invert else drawn)
        if picture.shape != (SIDE, SIDE):
            notes.append(f"in overlapping tiles; it knows handwritten digits {SIDE} pixels high and nothing else")
        return self.with_notes(f"{path} -> {target}", notes, seen)


def _convolutions(x: keras.KerasTensor, channels: int) -> keras.KerasTensor:
    for _ in range(2):
        x = _normalized(keras.layers.Conv2D(channels, 3, padding="same", use_bias=False)(x))
    return x


def _normalized(x: keras.KerasTensor) -> keras.KerasTensor:
    return keras.layers.Activation("relu")(keras.layers.BatchNormalization(momentum=0.98)(x))


def _drawn_by(run: lab.Run) -> Denoiser:
    return lambda images: predict(run.model, images)


def _retuned(denoiser: Denoiser, noisy: Array, clean: Array) -> filters.Tuned:
    assert isinstance(denoiser, filters.Tuned)
    return filters.tune(denoiser.filter, noisy, clean)[denoiser.has_levels]


def _short(name: str) -> str:
    return name.partition(",")[0]


if __name__ == "__main__":
    lab.main()
