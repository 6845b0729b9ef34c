"""The report of `denoising_autoencoder`: how much noise is removed, at what cost, and compared with what."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

import lab
from experiments.reports.denoising_measures import (
    BASIC,
    NOTHING,
    OWN,
    AddNoise,
    Comparison,
    Measures,
    Reading,
    Robustness,
    measure,
)
from experiments.reports.likeness import describe, listed
from lab.data import Array
from lab.engine.inference import predict
from lab.report import plots
from lab.settings import show
from lab.tasks.images.scores import SCORES, extremes, psnr, psnr_of_mean, score_row, ssim

SHOWN = 4  # digits in each group of a picture
LEVEL_IS = {
    "gaussian": "standard deviation of the noise",
    "salt_and_pepper": "share of pixels that become black or white",
    "masking": "share of pixels that become black",
}
PERFECT = 60.0  # dB; higher values would flatten the other curves


def write(run: lab.Run, basic: lab.Run | None, other: lab.Run | None, add_noise: AddNoise, report: lab.Report) -> None:
    """Measures a run and writes its report; the arguments are those of `measure`."""
    present(measure(run, basic, other, add_noise), LEVEL_IS[run.settings["kind"]], report)


def present(found: Measures, level_is: str, report: lab.Report) -> None:
    """Writes the report of what was measured.

    Args:
        found: the numbers.
        level_is: what a level of noise means.
        report: gets the text, tables and figures.
    """
    _metrics(found, report)
    _images(found, report)
    _comparison(found, report)
    _robustness(found, level_is, report)
    _differences(found, report)
    if found.reading is not None:
        _reading(found, found.reading, report)
    _scenario(found, report)


def _metrics(found: Measures, report: lab.Report) -> None:
    noisy, own = found.noisy, found.noisy.denoised[OWN]
    report.metric("test_psnr_db", noisy.psnr(OWN), "PSNR of denoised test digits, mean of the images' values.")
    if BASIC in noisy:
        report.metric("basic_test_psnr_db", noisy.psnr(BASIC), "The same for the basic autoencoder.")
    report.metric("noisy_psnr_db", noisy.psnr(NOTHING), "The same for the noisy digits themselves.")
    report.metric("test_psnr_of_mean_db", psnr_of_mean(noisy.truth, own), "PSNR of the mean squared error.")
    report.metric("test_mse", noisy.errors(OWN).mean(), "Squared error per pixel of denoised test digits.")
    if BASIC in noisy:
        report.metric("basic_test_mse", noisy.errors(BASIC).mean(), "The same for the basic autoencoder.")
    report.metric("test_ssim", ssim(noisy.truth, own).mean(), "Structural similarity of denoised test digits.")
    report.metric("test_bce", found.bce, "Binary cross-entropy per denoised test pixel, in nats.")
    report.metric(
        "clean_test_psnr_db", found.clean.psnr(OWN), "PSNR if the input is clean: what the model itself loses."
    )


def _images(found: Measures, report: lab.Report) -> None:
    noisy, groups, chosen = found.noisy, *_extremes(found.noisy)
    rows = {"clean": noisy.truth, "noisy": noisy.given, found.best.filter.name: noisy.denoised[str(found.best)]}
    rows |= {name.partition(" ")[0]: noisy.denoised[name] for name in (BASIC, OWN) if name in noisy}
    report.section("Clean, noisy, denoised")
    report.figure(
        "denoised",
        plots.image_rows(
            {name: images[chosen] for name, images in rows.items()},
            [f"{value:.1f} dB" for value in psnr(noisy.truth[chosen], noisy.denoised[OWN][chosen])],
            groups,
        ),
        f"The {SHOWN} test digits with the lowest squared error of the denoising autoencoder, {SHOWN} around the "
        f"median and the {SHOWN} with the highest; its PSNR is below each. The filter is the best one on validation "
        f"digits: {found.best}.",
    )


def _comparison(found: Measures, report: lab.Report) -> None:
    noisy, clean = found.noisy, found.clean
    report.section("The comparison")
    for compared, caption in (
        (
            noisy,
            f"The input is noisy. Means over {len(noisy.truth):,} test digits with 95 % intervals. PSNR is the mean of "
            "the images' values; PSNR of mean is that of the mean squared error.",
        ),
        (clean, "The input is clean. A perfect image counts as 100 dB."),
    ):
        rows = [(name, *score_row(compared.truth, images)) for name, images in compared.denoised.items()]
        report.table(("method", *SCORES), rows, caption)
    report.text(
        "The filters and PCA are tuned on validation digits with the same noise; the linear map is fitted on training "
        "digits with that noise. Clipped noise makes the background grey, and filters keep it grey; `with levels` "
        "means that the black and the white point are set after the filter, as in any image editor."
    )
    if found.likeness is None:
        report.text(
            "No finished run of the basic autoencoder has these settings, and `reference_runs=none` trains none."
        )
        return
    (saved, half), own, basic = noisy.saved(OWN, BASIC), noisy.errors(OWN).mean(), noisy.errors(BASIC).mean()
    on_clean = clean.saved(OWN, BASIC)
    report.answer(
        "How do the basic and the denoising autoencoder compare?",
        f"""On noisy digits the denoising autoencoder's squared error is {_verdict(saved, half)}: {own:.5f} per pixel
        against {basic:.5f}, a difference of {abs(saved):.5f} ± {half:.5f} (95 %, paired over {len(noisy.truth):,}
        digits) and a factor of {basic / max(own, 1e-10):.2f}. In PSNR, it has {noisy.psnr(OWN):.2f} dB and the basic
        one {noisy.psnr(BASIC):.2f} dB; the noisy digits have {noisy.psnr(NOTHING):.2f} dB. Its error is the lower one
        for {100 * noisy.wins(OWN, BASIC):.1f} % of the digits. On clean digits its squared error is
        {_verdict(*on_clean)}, with a PSNR of {clean.psnr(OWN):.2f} dB against {clean.psnr(BASIC):.2f} dB.
        {describe(found.likeness, OWN, BASIC)}""",
    )


def _verdict(saved: float, half: float) -> str:
    return "lower" if saved > half else "higher" if saved < -half else "the same within the 95 % interval"


def _robustness(found: Measures, level_is: str, report: lab.Report) -> None:
    curve = found.robustness
    points = {
        name: [(level, value) for level, value in zip(curve.levels, line, strict=True) if value < PERFECT]
        for name, line in curve.lines.items()
    }
    report.section("Other levels of noise")
    report.figure(
        "robustness",
        plots.curves(
            {name: ([x for x, _ in line], [y for _, y in line]) for name, line in points.items()},
            x=level_is,
            y="PSNR, dB",
            markers=True,
        ),
        "Mean PSNR of test digits against the level of their noise. The filter is tuned for each level, the networks "
        f"are not. Values above {PERFECT:g} dB are not shown: without noise, doing nothing is perfect.",
    )
    report.table(
        (level_is, *curve.lines),
        [
            (f"{level:g}", *(f"{value:.2f}" for value in values))
            for level, *values in zip(curve.levels, *curve.lines.values(), strict=True)
        ],
        "The curves' values, in dB.",
    )
    report.text(where_it_breaks(curve, found.trained[0], (NOTHING, found.filter_line)))


def where_it_breaks(curve: Robustness, name: str, others: tuple[str, ...]) -> str:
    """Returns at which levels each of `others` is not worse than a denoiser, and where that has its peak."""
    rivals = []
    for other in others:
        levels = [f"{level:g}" for level in curve.not_worse(other, than=name)]
        rivals.append(f"`{other}` at {listed(levels)}" if levels else f"`{other}` at no level")
    level, best = curve.peak(name)
    return (
        f"`{name}` has its highest PSNR, {best:.2f} dB, at {level:g}; at {curve.levels[-1]:g} it has "
        f"{curve.lines[name][-1]:.2f} dB. Others reach its PSNR or exceed it: {'; '.join(rivals)}."
    )


def _differences(found: Measures, report: lab.Report) -> None:
    noisy, groups, chosen = found.noisy, *_extremes(found.noisy, ("typical", "worst"))
    given, truth, denoised = noisy.given[chosen], noisy.truth[chosen], noisy.denoised[OWN][chosen]
    rows = {
        "noisy": given,
        "removed": given - denoised,
        "denoised": denoised,
        "clean": truth,
        "error": denoised - truth,
    }
    report.section("What is removed, and what is invented")
    report.figure(
        "differences",
        plots.image_rows(rows, groups=groups, signed=("removed", "error")),
        "Removed: noisy minus denoised. Error: denoised minus clean; red is too much ink, blue too little. Clipped "
        "noise can only darken the background and lighten strokes, so a trace of the stroke in what was removed is "
        "correct. A complete piece of a stroke in the error, red or blue, is not.",
    )
    report.table(
        ("method", "ink added", "ink removed"),
        [(name, *(f"{100 * share:.1f} %" for share in noisy.ink(name))) for name in (BASIC, OWN) if name in noisy],
        "Compared with the clean test digits, in per cent of all their ink.",
    )


def _reading(found: Measures, reading: Reading, report: lab.Report) -> None:
    report.table(
        ("images", "read correctly"),
        [(name, f"{100 * reading.accuracy(name):.1f} %") for name in reading.read],
        "How often three nearest neighbours among clean training digits read the test digits correctly: clean, and as "
        "each method draws them.",
    )
    changed, noisy = reading.changed(OWN), found.noisy
    if not len(changed):
        return
    chosen = changed[np.argsort(-noisy.errors(OWN)[changed], kind="stable")][: 3 * SHOWN]
    rows = {"clean": noisy.truth, "noisy": noisy.given, "denoised": noisy.denoised[OWN]}
    report.figure(
        "invented",
        plots.image_rows(
            {name: images[chosen] for name, images in rows.items()},
            [f"{reading.labels[place]} → {reading.read[OWN][place]}" for place in chosen],
        ),
        f"Digits that became others: read correctly when clean, but not when denoised. There are {len(changed):,} of "
        f"{len(reading.labels):,}; these {len(chosen)} have the largest errors.",
    )


def _scenario(found: Measures, report: lab.Report) -> None:
    noisy, misread = found.noisy, ""
    if found.reading is not None:
        before, after = (len(found.reading.changed(name)) / len(found.reading.labels) for name in (NOTHING, OWN))
        misread = (
            f", but {100 * after:.1f} % of the digits, read correctly when clean, are read as another digit when "
            f"denoised ({100 * before:.1f} % when noisy)"
        )
    report.answer(
        "Where is such a denoiser useful, and what would have to change?",
        f"""One use is computed tomography at a lower dose: half the radiation makes the noise about 1.4 times as
        strong, and a denoiser may compensate for that. Four things change. Noise: photon counts are Poisson
        distributed, and the reconstruction turns their noise into correlated streaks; one therefore trains on pairs
        of images at two doses, or on pairs of noisy images alone (Noise2Noise, Lehtinen et al., 2018), instead of
        adding independent noise to pixels. Range: thousands of Hounsfield units instead of ink between 0 and 1, so
        the loss is squared error or L1 instead of cross-entropy. Size: slices of 512 x 512 pixels, in overlapping
        tiles or through a convolutional network. Cost of an error: here denoising changes the mean PSNR from
        {noisy.psnr(NOTHING):.1f} to {noisy.psnr(OWN):.1f} dB{misread}. The network draws what it has seen in
        training, and a lesion is what it has not seen. PSNR does not show this. A study with radiologists does:
        measure what they find and what they miss, show them what was removed, and keep the original.""",
    )


def write_sweep(
    setting: str, runs: Mapping[Any, lab.Run], clean: lab.Data, add_noise: AddNoise, report: lab.Report
) -> None:
    """Writes the report of a sweep.

    Args:
        setting: the setting that was swept.
        runs: the finished run for each of its values.
        clean: the digits as inputs, with their classes as targets.
        add_noise: adds noise of the experiment's kind.
        report: the sweep's report.
    """
    digits = clean.test.x[[int(np.flatnonzero(clean.test.y == digit)[0]) for digit in np.unique(clean.test.y)]]
    rows = {"clean": digits}
    for value, run in runs.items():
        level = lab.Range.read(run.settings["noise"]).middle
        noisy = add_noise(digits, (level, level), 60)
        rows["noisy" if setting != "noise" else f"noise {show(value)}"] = noisy
        rows[f"{setting}={show(value)}" if setting != "noise" else f"denoised {show(value)}"] = predict(
            run.model, noisy
        )
    report.section("The same digits by each run")
    report.figure(
        "digits", plots.image_rows(rows), "The first test digit of each class, with noise as in each run's test data."
    )


def _extremes(
    compared: Comparison, names: tuple[str, ...] = ("best", "typical", "worst")
) -> tuple[list[tuple[str, int]], Array]:
    """The denoising autoencoder's best, typical and worst digits: each group's name and size, and the indices."""
    groups = {name: members for name, members in extremes(compared.errors(OWN), SHOWN).items() if name in names}
    return [(name, len(members)) for name, members in groups.items()], np.concatenate(list(groups.values()))
