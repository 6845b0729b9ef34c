"""Models in Keras's format."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.hostile import inputs as made
from tests.hostile.inputs import ESCAPE, World
from tests.hostile.making import trained
from tests.hostile.table import Case, Make


def models() -> Iterator[Case]:
    def case(
        name: str,
        what: Callable[[Path], object],
        said: str = "model.keras: expected a model that Keras can read",
        **rest: Any,
    ) -> Case:
        return Case(
            name,
            "model.keras",
            "show autoencoder --weights-hash",
            said,
            1,
            trained("autoencoder", lambda path: what(path / "model.keras")),
            **rest,
        )

    def config(edit: Callable[[dict[str, Any]], object]) -> Callable[[Path], object]:
        def what(path: Path) -> None:
            def change_config(found: dict[str, bytes]) -> None:
                record = json.loads(found["config.json"])
                edit(record)
                found["config.json"] = json.dumps(record).encode()

            made.repack(path, change_config)

        return what

    def first(record: dict[str, Any], kind: str) -> dict[str, Any]:
        """The first layer of a kind, however deep."""
        stack: list[Any] = [record]
        while stack:
            one = stack.pop(0)
            if isinstance(one, dict):
                if one.get("class_name") == kind:
                    return one
                stack += one.values()
            elif isinstance(one, list):
                stack += one
        raise KeyError(kind)

    def lambda_layer(path: Path) -> None:
        import keras

        model = keras.Sequential([keras.Input((2,)), keras.layers.Lambda(lambda x: x + 1)])
        model.save(path)

    def replaced(**values: Any) -> Callable[[dict[str, Any]], object]:
        return lambda record: first(record, "Flatten").update(values)

    def without(name: str) -> Callable[[Path], object]:
        return lambda path: made.repack(path, lambda found: found.pop(name))

    def more(name: str, content: bytes = b"evil") -> Callable[[Path], object]:
        return lambda path: made.repack(path, lambda found: found.update({name: content}))

    def bomb(path: Path) -> None:
        made.repack(path, lambda found: found.update({"assets/zeros": bytes(200 << 20)}), stored=False)

    def swapped(path: Path) -> None:
        made.repack(path, lambda found: found.update({"model.weights.h5": b"\x89HDF\r\n\x1a\n" + bytes(2000)}))

    yield case("cut in half", lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]))
    yield case("empty", lambda path: path.write_bytes(b""))
    yield case("text", lambda path: path.write_text("a model"))
    yield case("an archive of nothing", lambda path: made.pack(path, {}))
    yield case("without weights", without("model.weights.h5"))
    yield case("without a configuration", without("config.json"))
    yield case("with weights that are none", swapped)
    yield case("with a configuration that is not JSON", more("config.json", b"{"))
    yield case("with a configuration nested a million deep", more("config.json", b"[" * 1_000_000))
    yield case("with a configuration that is a list", more("config.json", b"[]"))
    yield case("with a Lambda layer", lambda_layer)
    yield case(
        "with a class of the system's", config(replaced(module="os", class_name="system", config={"command": "x"}))
    )
    yield case(
        "with a function in a layer's place",
        config(replaced(module="builtins", class_name="eval", config={"source": "1"})),
    )
    yield case("with a class of a module that does not exist", config(replaced(module="no.such", class_name="Layer")))
    yield case("with a class with escapes", config(replaced(module=None, class_name=ESCAPE, registered_name=ESCAPE)))
    yield case(
        "with a layer of terabytes", config(lambda record: first(record, "Dense")["config"].update(units=10**12))
    )
    yield case(
        "with a layer of gigabytes", config(lambda record: first(record, "Dense")["config"].update(units=2 * 10**7))
    )
    yield case(
        "with a layer of a negative size", config(lambda record: first(record, "Dense")["config"].update(units=-5))
    )
    yield case(
        "with another layer than its weights", config(lambda record: first(record, "Dense")["config"].update(units=3))
    )
    yield case(
        "with an input of terabytes",
        config(lambda record: first(record, "InputLayer")["config"].update(batch_shape=[None, 10**7, 10**7])),
    )
    yield case("with a member that leads outside", more("../../../../../../evil"))
    yield case("with an absolute member", more("/evil"))
    yield case("that unpacks to two hundred megabytes", bomb)
    yield case("that is a folder", lambda path: made.instead(path, Path.mkdir), "expected a trained model")
    yield case("that is a pipe", lambda path: made.instead(path, os.mkfifo), "expected a trained model")

    def swap(experiment: str) -> Make:
        def make(world: World) -> None:
            path = world.run(experiment)
            (path / "model.keras").write_bytes((world.trained / "autoencoder" / "model.keras").read_bytes())

        return make

    yield Case(
        "another experiment's, asked for text",
        "model.keras",
        "predict text_generation hello",
        "expected a model with a CharacterEmbedding",
        1,
        swap("text_generation"),
    )
    yield Case(
        "another experiment's, asked for labels",
        "model.keras",
        "predict sentiment_analysis --text hello",
        "expected a model with a WordEmbedding",
        1,
        swap("sentiment_analysis"),
    )
