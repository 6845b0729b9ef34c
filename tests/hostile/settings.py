"""Settings of the experiments, of the trainer and of predict."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.hostile.inputs import ESCAPE, MARKUP
from tests.hostile.making import trained
from tests.hostile.table import Case


def settings() -> Iterator[Case]:
    wrong: dict[str, list[tuple[str, Any, str]]] = {
        "trainer": [
            ("no epochs", "epochs=0", "epochs=0: expected whole number >= 1"),
            ("a negative number", "seed=-1", "seed=-1: expected whole number >= 0"),
            ("a fraction of an epoch", "epochs=1.5", "epochs=1.5: expected whole number"),
            ("a word for a number", "epochs=ten", "epochs=ten: expected whole number"),
            ("an empty number", "epochs=", "epochs=: expected whole number"),
            ("a number with letters", "batch_size=64x", "batch_size=64x: expected whole number"),
            ("a hexadecimal number", "batch_size=0x40", "batch_size=0x40: expected whole number"),
            ("a whole number that is none", "epochs=nan", "epochs=nan: expected whole number"),
            ("an infinite whole number", "epochs=inf", "epochs=inf: expected whole number"),
            ("Roman digits", "epochs=\u2167", "expected whole number"),
            ("a number of ten thousand digits", "seed=" + "9" * 10_000, "expected whole number"),
            ("more epochs than anyone can count", "epochs=1000000000000", "expected whole number >= 1 and <= "),
            ("batches larger than any data", "batch_size=1000000000000000000000", "expected whole number >= 1 and <= "),
            ("a seed just too large", "seed=4294967296", "and < 4294967296"),
            ("a dtype that does not exist", "precision=float8", "expected one of float32"),
            ("a backend that does not exist", "backend=numpy", "backend=numpy: expected one of tensorflow"),
            ("neither true nor false", "jit=maybe", "jit=maybe: expected true or false"),
            ("a flag of 2", "fast_dev_run=2", "fast_dev_run=2: expected true or false"),
            ("a mode that does not exist", "monitor_mode=up", "expected one of auto, min, max"),
            ("no patience", "patience=0", "patience=0: expected whole number >= 1"),
            ("a time in words", "max_time='5 minutes'", "a time such as 90s, 20m or 1h30m"),
            ("no time", "max_time=0s", "max_time=0"),
            ("a time before now", "max_time=-5m", "a time such as 90s"),
            ("a time without end", "max_time=inf", "a time such as 90s"),
            ("a time beyond every number", "max_time=" + "9" * 400 + "d", "max_time="),
            ("no batches", "limit_batches=0", "limit_batches=0: expected"),
            ("batches that are no number", "limit_batches=nan", "limit_batches=nan: expected"),
            ("no steps", "max_steps=0", "max_steps=0: expected whole number >= 1"),
            ("executions of no steps", "steps_per_execution=0", "steps_per_execution=0"),
            ("a checkpoint all the time", "checkpoint_every=0", "checkpoint_every=0"),
            ("no checkpoint kept", "keep_last=0", "keep_last=0: expected whole number >= 1"),
            ("a learning rate that is none", "learning_rate=nan", "learning_rate=nan: expected number"),
            ("a learning rate below zero", "learning_rate=-0.1", "learning_rate=-0.1: expected number > 0"),
            ("a schedule that does not exist", "learning_rate_schedule=sine", "learning_rate_schedule=sine"),
            ("a value with escapes", ("run", "autoencoder", f"epochs={ESCAPE}"), "\\x1b[31mred"),
            ("a value with markup", ("run", "autoencoder", f"precision={MARKUP}"), "precision=[bold red]b[/]"),
            ("a value of a million letters", ("run", "autoencoder", "epochs=" + "x" * 1_000_000), "epochs=xxx"),
        ],
        "autoencoder": [
            ("a code of nothing", "latent_dim=0", "latent_dim=0: expected whole number >= 1 and <= 784"),
            ("a code larger than the picture", "latent_dim=785", "latent_dim=785"),
            ("a list with a word", "hidden_units=64,many", "(item 2): expected a list of numbers"),
            ("a list with a negative number", "hidden_units=64,-5", "(item 2): expected a list of numbers"),
            ("a list with another separator", "hidden_units='64;32'", "expected a list of numbers"),
            ("a layer larger than any memory", "hidden_units=1000000000000", "(item 1): expected a list of numbers"),
            ("an activation that does not exist", "activation=sigmoid", "expected one of gelu"),
            ("too many copies", "distortions=51", "distortions=51: expected whole number >= 0 and <= 50"),
        ],
        "denoising_autoencoder": [
            ("a range the wrong way round", "noise=0.9:0.1", "a range with its lower end first"),
            ("a range of words", "noise=low:high", "or a range such as 0.1:0.9"),
            ("a range of three", "noise=0.1:0.2:0.3", "or a range such as 0.1:0.9"),
            ("a range beyond its bounds", "noise=0.5:2", "noise=0.5:2: expected"),
            ("a range to nowhere", "noise=0:", "noise=0:"),
            ("noise that is no number", "noise=nan", "noise=nan"),
            ("a kind of noise that does not exist", "kind=pink", "kind=pink: expected one of gaussian"),
            ("a network that does not exist", "network=cnn", "network=cnn: expected one of dense, unet"),
        ],
        "text_generation": [
            ("a text that is misspelt", "corpus=sonets", "did you mean 'sonnets'?"),
            ("a text that is nowhere", "corpus=/no/such/text", "or the path of a text file"),
            ("a text of an unknown user's", "corpus=~nobody-of-this-name/x", "or the path of a text file"),
            ("a text whose name is too long", "corpus=" + "y" * 5000, "or the path of a text file"),
            ("an empty name of a text", "corpus=", "corpus="),
            ("a temperature below zero", "temperatures=0.5,-1", "(item 2)"),
            ("a temperature without end", "temperatures=inf", "temperatures=inf (item 1)"),
            ("no layers", "units=", "units="),
            ("one sample", "samples=1", "samples=1: expected whole number >= 2"),
            ("all is left out", "dropout=1", "dropout=1: expected number >= 0 and < 1 or none"),
            ("a window of nothing", "window=0", "window=0: expected whole number >= 1"),
        ],
        "sentiment_analysis": [
            ("an end that does not exist", "cut=front", "cut=front: expected one of start, middle, end"),
            ("a precision of nothing", "min_precision=0", "min_precision=0: expected number > 0 and <= 1"),
            ("a cost below zero", "false_positive_cost=-1", "false_positive_cost=-1: expected number >= 0"),
            ("a cost without end", "false_negative_cost=inf", "false_negative_cost=inf"),
            ("words moved too far", "adversarial=2", "adversarial=2: expected number >= 0 and <= 1"),
            ("no words", "max_words=0", "max_words=0: expected whole number >= 1"),
        ],
    }
    for group, rows in wrong.items():
        experiment = "autoencoder" if group == "trainer" else group
        for name, given, said in rows:
            words = given if isinstance(given, tuple) else f"run {experiment} {given}"
            yield Case(name, f"settings: {group}", words, said, 2)
    for name, given, said in (
        ("a prompt at no temperature that exists", "temperature=-1", "temperature=-1: expected number >= 0"),
        ("a choice among nothing", "top_p=0", "top_p=0: expected number > 0"),
        ("a choice among no characters", "top_k=0", "top_k=0"),
        ("a text of a negative length", "length=-1", "length=-1"),
        ("a seed beyond 64 bits", "seed=18446744073709551616", "seed=18446744073709551616"),
    ):
        yield Case(name, "settings: predict", f"predict text_generation {given}", said, 2, trained("text_generation"))
