"""Can an autoencoder remove noise from a handwritten digit?

    make denoising_autoencoder noise=0.5

The basic autoencoder's network learns another task: its input is a digit with noise, new for each
digit in each epoch, and its target is the clean digit (Vincent et al., 2008). The report compares it
with the basic autoencoder, with the same network trained on other noise, with doing nothing, and with
the filters that an image-processing user would pick. `make denoising_autoencoder` trains each of the
three networks for little more than a minute on two cores and reaches 20.5 dB on the test digits;
the noisy digits have 9.4 dB, a 3x3 median filter 14.2 dB. `preset=full`, a larger network of the
same kind, takes some twenty minutes and reaches 20.7 dB; `preset=unet`, a small convolutional U-Net
(Ronneberger, Fischer and Brox, 2015), takes 25 minutes and reaches 21.5 dB.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import lab  # first: the setting `backend` can then choose Keras's backend
import keras
import numpy as np

from experiments import autoencoder
from experiments.autoencoder import PIXELS, SIDE, Autoencoder
from experiments.reports import denoising_autoencoder as reports
from experiments.reports import pictures
from lab import layers
from lab.data import Array
from lab.data.datasets import mnist


class DenoisingSettings(autoencoder.Settings):
    """The denoising autoencoder's settings, in addition to the basic one's."""

    noise: lab.Range = lab.field(
        0.5,
        "Standard deviation of Gaussian noise, or share of pixels affected; in a range, each digit draws its own.",
        ge=0,
        le=1,
    )
    kind: Literal["gaussian", "salt_and_pepper", "masking"] = lab.field("gaussian", "The kind of noise.")
    network: Literal["dense", "unet"] = lab.field("dense", "Fully connected, or a convolutional U-Net.")
    channels: int = lab.field(48, "Channels at the U-Net's finer level.", ge=1, le=512)
    noise_seed: int = lab.field(0, "Seed of the noise on validation and test digits.", ge=0, lt=2**31)
    reference_runs: Literal["all", "basic", "none"] = lab.field(
        "all", "What to train for comparison if no earlier run matches; `basic` leaves out the one on other noise."
    )
    latent_dim: int = lab.field(256, "Numbers in one digit's code.", ge=1, le=PIXELS)
    hidden_units: tuple[lab.PositiveInt, ...] = lab.field(
        (1024,), "Widths of the encoder's hidden layers; the decoder mirrors them."
    )


class DenoisingAutoencoder(Autoencoder):
    """An autoencoder that removes noise from handwritten digits."""

    Settings = DenoisingSettings
    Predict = pictures.DenoisingOptions
    settings: DenoisingSettings
    key_metric = "test_psnr_db"
    key_metric_mode = "max"
    sweep = ("noise", (0.1, 0.3, 0.5, 0.7, 0.9))  # type: ignore[assignment]  # not the base class's setting
    trainer = {**Autoencoder.trainer, "epochs": 28}
    presets = {
        "quick": {"epochs": 3, "warmup_steps": 100, "reference_runs": "basic"},
        "full": {
            "hidden_units": (2048, 1024),
            "latent_dim": 512,
            "epochs": 40,
            "warmup_steps": 500,
            "reference_runs": "basic",
        },
        "unet": {
            "network": "unet",
            "latent_dim": 512,
            "epochs": 15,
            "batch_size": 64,
            "learning_rate": 2e-3,
            "reference_runs": "basic",
        },
    }

    def prepare(self) -> lab.Data:
        clean, noise = super().prepare(), self.settings.noise  # training digits get their noise in the model
        validation = self.add_noise(clean.validation.y, (noise.low, noise.high), stream=1)
        test = self.add_noise(clean.test.y, (noise.middle, noise.middle), stream=2)
        return dataclasses.replace(
            clean,
            validation=dataclasses.replace(clean.validation, x=validation),
            test=dataclasses.replace(clean.test, x=test),
        )

    def add_noise(self, images: Array, levels: tuple[float, float], stream: int) -> Array:
        """Returns images (n, 28, 28) with noise of levels between the two; each stream is other noise."""
        noisy = layers.corrupt(images, self.settings.kind, levels, (self.settings.noise_seed, stream))
        return np.asarray(keras.ops.convert_to_numpy(noisy))

    def network(self, image: keras.KerasTensor, data: lab.Data) -> keras.KerasTensor:
        noise = self.settings.noise
        noisy = layers.Noise(self.settings.kind, noise.low, noise.high)(image)  # in training only
        return self._unet(noisy) if self.settings.network == "unet" else super().network(noisy, data)

    def _unet(self, image: keras.KerasTensor) -> keras.KerasTensor:
        """A U-Net on 2 x 2 blocks of pixels: levels of 14 x 14 and 7 x 7 places, and a code of the complete image."""
        width = self.settings.channels
        x = keras.layers.Reshape((SIDE, SIDE, 1))(image)
        fine = _convolutions(keras.layers.Conv2D(width, 2, strides=2)(x), width)  # (batch, 14, 14, width)
        coarse = _convolutions(keras.layers.MaxPooling2D()(fine), 2 * width)  # (batch, 7, 7, 2 * width)
        code = _normalized(keras.layers.Dense(self.settings.latent_dim, use_bias=False)(keras.layers.Flatten()(coarse)))
        from_code = keras.layers.Reshape(coarse.shape[1:])(keras.layers.Dense(math.prod(coarse.shape[1:]))(code))
        x = keras.layers.Conv2DTranspose(width, 2, strides=2)(keras.layers.Add()([coarse, from_code]))
        x = _convolutions(keras.layers.Concatenate()([x, fine]), width)
        x = keras.layers.Reshape((SIDE, SIDE))(keras.layers.Conv2DTranspose(1, 2, strides=2)(x))
        denoised: keras.KerasTensor = keras.layers.Activation("sigmoid", dtype="float32")(x)
        return denoised

    def report(self, run: lab.Run, report: lab.Report) -> None:
        basic, other_noise = self._references(run)
        reports.write(run, basic, other_noise, self.add_noise, report)

    def _references(self, run: lab.Run) -> tuple[lab.Run | None, lab.Run | None]:
        """The basic autoencoder with the same settings, and this network trained on other levels of noise."""
        own, train = dict(self.settings), self.settings.reference_runs
        basic = Autoencoder(**{name: own[name] for name in autoencoder.Settings.model_fields})
        levels = lab.Range(0.1, 0.9) if self.settings.noise.is_one else lab.Range(0.5, 0.5)
        other = type(self)(**(own | {"noise": levels}))
        return (
            lab.reference_run(run, "basic_autoencoder", basic, train=train != "none"),
            lab.reference_run(run, "other_noise", other, train=train == "all", ignore=("reference_runs",)),
        )

    def report_sweep(self, setting: str, runs: Mapping[Any, lab.Run], report: lab.Report) -> None:
        reports.write_sweep(setting, runs, mnist.load(self.settings.data), self.add_noise, report)

    def predict(self, run: lab.Run, inputs: Sequence[str], options: pictures.Options) -> Iterable[str | lab.LabError]:
        def add_noise(images: Array, level: float) -> Array:
            return self.add_noise(images, (level, level), stream=50)

        return pictures.each(inputs, lambda path: pictures.denoise(run.model, path, options, add_noise))


def _convolutions(x: keras.KerasTensor, channels: int) -> keras.KerasTensor:
    for _ in range(2):
        x = _normalized(keras.layers.Conv2D(channels, 3, padding="same", use_bias=False)(x))
    return x


def _normalized(x: keras.KerasTensor) -> keras.KerasTensor:
    return keras.layers.Activation("relu")(keras.layers.BatchNormalization(momentum=0.98)(x))


if __name__ == "__main__":
    lab.main()
