"""The report of `text_generation`: what the network learned, what it writes, and the effect of temperature."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

import lab
from experiments.reports.text_generation_measures import (
    COPY,
    DISTINCT,
    ENTROPY,
    KNOWN,
    LOOP,
    SURPRISE,
    Measures,
    Texts,
    best_cells,
    features,
)
from lab.data.io.text import UNKNOWN
from lab.report import plots
from lab.tasks.text import plots as text_plots

SHOWN = (0.2, 0.5, 0.8, 1.0, 1.3)  # temperatures whose text is shown, if they are measured
DIGITS = {ENTROPY: 2, KNOWN: 3, DISTINCT: 3, LOOP: 0, SURPRISE: 2, COPY: 1}
DEFINITIONS = (
    "Entropy: of the distribution that a character was drawn from. Known words: the share that occurs in the training "
    "text. Distinct word pairs: the share of a text's pairs that differ. Loop: the longest stretch that repeats one "
    "piece. Surprise: the negative log-probability of a character at temperature 1. Copy: the longest passage that "
    "occurs in the training text."
)


def write(measures: Measures, history: Sequence[Mapping[str, Any]], report: lab.Report) -> None:
    """Writes the report of measures and of the training's history."""
    _learning(measures, history, report)
    _samples(measures, report)
    _temperature(measures, report)
    _copies(measures, report)
    _inside(measures, report)


def _learning(measures: Measures, history: Sequence[Mapping[str, Any]], report: lab.Report) -> None:
    order, bits = int(measures.ngrams.argmin()) + 1, 1 / math.log(2)
    ngram = float(measures.ngrams[order - 1])
    nats = "nats per held-out character"
    report.metric("validation_nats_per_char", measures.carried, f"Cross-entropy in {nats}, with the state carried.")
    report.metric("validation_bits_per_char", bits * measures.carried, "The same in bits.")
    report.metric(
        "windowed_nats_per_char", measures.windowed, f"In {nats}, each window of {measures.window} read separately."
    )
    report.metric("ngram_nats_per_char", ngram, f"In {nats}, for the best n-gram model (order {order}).")
    report.section("Learning, compared with counting")
    better = "lower" if measures.carried < ngram else "higher"
    report.text(
        f"The network needs {measures.carried:.3f} nats per held-out character. The best model that only counts "
        f"n-grams in the same training text, of order {order}, needs {ngram:.3f}; the network's number is "
        f"{abs(measures.carried - ngram):.3f} {better}. That order was chosen on the held-out text, which favours "
        "counting."
    )
    rows = [row for row in history if "val_loss" in row]
    lines = {
        label: ([row["epoch"] for row in rows], [bits * row[name] for row in rows])
        for name, label in (("loss", "training, with dropout"), ("val_loss", "held-out text"))
    }
    levels = {f"{n}-grams": bits * float(measures.ngrams[n - 1]) for n in sorted({2, 3, order})}
    report.figure(
        "learning",
        plots.curves(lines, x="epoch", y="bits per character", levels=levels),
        "Cross-entropy after each epoch, with n-gram models of the same text (interpolated; Witten and Bell, 1991). "
        "During training, held-out text is read in as many streams as a batch has, each from the initial state; "
        "validation_bits_per_char reads it as one text.",
    )
    report.table(
        ("n-grams up to", "nats per character", "bits per character"),
        [(str(n), f"{value:.3f}", f"{bits * value:.3f}") for n, value in enumerate(measures.ngrams, 1)],
    )


def _samples(measures: Measures, report: lab.Report) -> None:
    report.section("Samples")
    for temperature in [one for one in measures.written if one in SHOWN] or list(measures.written)[:3]:
        lines = measures.written[temperature].example.strip("\n")[:420].split("\n")
        report.sample(f"Temperature {temperature:g}", "\n".join(lines[:-1] if len(lines) > 1 else lines))


def _temperature(measures: Measures, report: lab.Report) -> None:
    written, real, balances = measures.written, measures.held_out, measures.balances
    best = max(balances, key=lambda temperature: balances[temperature])
    low, high = min(written), max(written)
    cold, hot, chosen = written[low], written[high], written[best]
    panels = {
        name: (list(written), *zip(*(texts.values[name] for texts in written.values()), strict=True)) for name in DIGITS
    }
    report.section("The effect of temperature")
    report.figure(
        "temperature",
        plots.panels(
            panels,  # type: ignore[arg-type]
            x="temperature",
            levels={name: real.mean(name) for name in DIGITS},
            mark=best,
        ),
        f"{cold.count} texts of {measures.length:,} characters at each temperature, means with 95 % intervals. Dashed: "
        f"held-out text. Dotted: the temperature with the best balance, {best:g}. {DEFINITIONS}",
    )
    rows = [_row(f"{temperature:g}", texts, balances[temperature]) for temperature, texts in written.items()]
    report.table(
        ("temperature", *DIGITS, "balance"),
        [*rows, _row("held-out text", real, 1.0)],
        "Means with 95 % intervals. Balance: the harmonic mean of known words and distinct word pairs, each relative "
        "to held-out text and at most 1.",
    )
    report.metric("best_temperature", best, "The measured temperature with the best balance.")
    trend = ""
    if high > low:
        repeats = "repeats itself more" if hot.exceeds(cold, DISTINCT) else "does not clearly repeat itself more"
        invents = "has more unknown words" if cold.exceeds(hot, KNOWN) else "does not clearly have more unknown words"
        trend = f"""From temperature {low:g} to {high:g}, the mean entropy changes from {cold.mean(ENTROPY):.2f} to
            {hot.mean(ENTROPY):.2f} nats, known words from {cold.mean(KNOWN):.0%} to {hot.mean(KNOWN):.0%}, distinct
            word pairs from {cold.mean(DISTINCT):.0%} to {hot.mean(DISTINCT):.0%}, and the longest loop from
            {cold.mean(LOOP):.0f} to {hot.mean(LOOP):.0f} characters. Cold text {repeats} than hot text; hot text
            {invents} than cold text."""
    report.answer(
        "What does temperature do, and which is best?",
        f"""The logits are divided by the temperature before a character is drawn: below 1, likely characters become
        likelier; above 1, unlikely ones do. {trend} The best balance is at {best:g}: {chosen.mean(KNOWN):.0%} of the
        words are known ({real.mean(KNOWN):.0%} in held-out text) and {chosen.mean(DISTINCT):.0%} of the word pairs are
        distinct ({real.mean(DISTINCT):.0%}).""",
    )


def _row(name: str, texts: Texts, score: float) -> tuple[str, ...]:
    cells = []
    for key, digits in DIGITS.items():
        mean, half = texts.values[key]
        cells.append(f"{mean:.{digits}f} ± {half:.{digits}f}" if texts.count > 1 else f"{mean:.{digits}f}")
    return (name, *cells, f"{score:.3f}")


def _copies(measures: Measures, report: lab.Report) -> None:
    written, real = measures.written, measures.held_out
    longer = [f"{temperature:g}" for temperature, texts in written.items() if texts.exceeds(real, COPY)]
    longest = max((texts.copy for texts in written.values()), key=len)
    report.section("Does it copy?")
    report.text(
        f"The longest passage that a text of {measures.length:,} characters shares with the training text has, on "
        f"average, {real.mean(COPY):.0f} characters in held-out text, {written[min(written)].mean(COPY):.0f} in the "
        f"network's text at temperature {min(written):g}, and {written[max(written)].mean(COPY):.0f} at "
        f"{max(written):g}. The network's passages are clearly longer than those of held-out text at "
        f"{'no temperature' if not longer else 'temperature ' + ', '.join(longer)}. The longest of all has "
        f"{len(longest)} characters:"
    )
    report.sample("The longest copy", longest.strip("\n"))


def _inside(measures: Measures, report: lab.Report) -> None:
    inside = measures.inside
    report.section("Inside the network")
    _next_characters(measures, report)
    start, end = _lines(inside.text, 4)
    lines = ["".join(map(_printable, line)) for line in inside.text[start:end].split("\n")]
    cuts = np.cumsum([len(line) + 1 for line in lines])[:-1]
    panels = {}
    for name, (place, correlation) in best_cells(inside.cells, features(inside.text)).items():
        cell = inside.cells[:, place]
        values = np.split((cell[start:end] - cell.mean()) / (2 * cell.std() + 1e-9), cuts)
        shades = [part[: len(line)] for part, line in zip(values, lines, strict=True)]
        panels[f"cell {place}: {name} (correlation {correlation:+.2f})"] = (lines, shades)
    report.figure(
        "cells",
        text_plots.coloured_texts(panels),
        f"Cells of the last layer while the network reads held-out text: red above the cell's mean, blue below. Each "
        f"is the one of {inside.cells.shape[1]:,} cells that correlates most with the feature, over "
        f"{len(inside.text):,} characters.",
    )


def _next_characters(measures: Measures, report: lab.Report) -> None:
    inside, vocabulary = measures.inside, measures.vocabulary
    true = inside.probabilities[np.arange(len(inside.text)), vocabulary.encode(inside.text)]
    surprise = -np.log(np.maximum(true, 1e-9))
    letters = np.array([character.isalpha() for character in inside.text])
    begins = letters[1:] & ~letters[:-1]
    within = letters[1:] & letters[:-1]
    start, end = _lines(inside.text, 1)
    line, probabilities, surprises = inside.text[start:end], inside.probabilities[start:end], surprise[start:end]
    likely = np.argsort(-probabilities.max(axis=0), kind="stable")[:16]
    shown = sorted(likely.tolist(), key=lambda symbol: -probabilities[:, symbol].sum())
    hardest = int(surprises.argmax())
    averages = ""
    if begins.any() and within.any():
        averages = (
            f" Over {len(inside.text):,} characters, the mean surprise is {surprise[1:][begins].mean():.2f} nats at "
            f"the first letter of a word and {surprise[1:][within].mean():.2f} nats at the later letters."
        )
    report.figure(
        "next_character",
        text_plots.heat(
            probabilities[:, shown].T,
            [_visible(vocabulary.decode(np.array([symbol]))) for symbol in shown],
            [_visible(character) for character in line],
            x="line of held-out text; each column is the prediction for its character",
            y="next character",
            what="probability",
            marks=[shown.index(symbol) if symbol in shown else None for symbol in vocabulary.encode(line)],
        ),
        "The predicted distribution of each character in a line of held-out text, for the 16 characters with the "
        "highest probabilities; dots mark the text's own characters among them."
        f"{averages} In this line, the greatest surprise is {_visible(line[hardest])} at place {hardest + 1}, "
        f"{surprises[hardest]:.1f} nats.",
    )


def _lines(text: str, count: int) -> tuple[int, int]:
    """Returns where `count` complete lines in the middle of a text start and end; if none, its first 60 characters."""
    breaks = [place for place, character in enumerate(text) if character == "\n"]
    complete = [
        (first + 1, last)
        for first, last in zip(breaks, breaks[count:], strict=False)
        if last - first > count * 8 and "\n\n" not in text[first:last] and last - first < count * 100
    ]
    return complete[len(complete) // 2] if complete else (0, min(len(text), 60))


def _visible(character: str) -> str:
    return {"\n": "↵", " ": "␣", "\t": "⇥"}.get(character) or _printable(character)


def _printable(character: str) -> str:
    return character if character.isprintable() else UNKNOWN
