"""`import lab` puts off Keras, and Keras then comes as if nobody had touched it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import lab

ROOT = Path(__file__).parents[2]
ABOUT = "import sys; from lab._utils.lazy import is_loaded; "


def python(code: str, *path: Path) -> subprocess.CompletedProcess[str]:
    """Runs code in a process of its own, with folders in front of the installed packages."""
    before = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, [*path, ROOT])), "TF_CPP_MIN_LOG_LEVEL": "3"}
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=before, check=False)


def said(code: str, *path: Path) -> str:
    done = python(code, *path)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture
def fake(tmp_path: Path) -> Path:
    """A small package called `keras` that says when its code runs."""
    package = tmp_path / "fake" / "keras"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("print('loaded')\n__version__ = '0'\nfrom keras import layers\nvalue = 3\n")
    (package / "layers.py").write_text("Dense = 'dense'\n")
    return package.parent


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """A `keras` that cannot be imported."""
    package = tmp_path / "broken" / "keras"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise ImportError('no backend here')\n")
    (package / "layers.py").write_text("")
    return package.parent


def test_importing_lab_and_then_keras_loads_nothing_heavy() -> None:
    heavy = "[m for m in ('tensorflow', 'jax', 'torch', 'matplotlib', 'sklearn', 'keras.src') if m in sys.modules]"
    assert said(f"{ABOUT}import lab; import keras; print({heavy}, is_loaded('keras'))") == "[] False"


def test_the_real_keras_works_afterwards() -> None:
    use = "import keras.layers; from keras import layers; keras.layers.Dense(1); layers.Dense(1)"
    after = "print(keras.__version__[:2], is_loaded('keras'), type(sys.modules['keras']))"
    assert said(f"{ABOUT}import lab; {use}; {after}").splitlines()[-1] == "3. True <class 'module'>"


@pytest.mark.parametrize(
    "use",
    [
        "import keras; assert keras.__version__ == '0'",
        "import keras; assert keras.value == 3; assert keras.value == 3",
        "import keras.layers; assert keras.layers.Dense == 'dense'",
        "import keras.layers as layers; assert layers.Dense == 'dense'",
        "from keras import layers; assert layers.Dense == 'dense'",
        "from keras.layers import Dense; assert Dense == 'dense'",
        "from keras import *; assert value == 3",
        "import importlib; assert importlib.import_module('keras.layers').Dense == 'dense'",
    ],
)
def test_every_way_of_asking_loads_the_module_once(use: str, fake: Path) -> None:
    assert said(f"import lab; {use}", fake) == "loaded"


@pytest.mark.parametrize(
    "look",
    [
        "import keras",
        "import inspect; [inspect.getmodule(f) for f in (print, len)]; inspect.stack()",
        "[hasattr(m, '__wrapped__') or getattr(m, '__file__', '') for m in list(sys.modules.values())]",
        "import keras; repr(keras); keras.__name__; keras.__spec__; keras.__file__",
    ],
)
def test_looking_at_the_module_does_not_wake_it(look: str, fake: Path) -> None:
    assert said(f"{ABOUT}import lab; {look}; print(is_loaded('keras'))", fake) == "False"


def test_a_name_that_keras_does_not_have_is_an_attribute_error(fake: Path) -> None:
    code = "import lab, keras\ntry:\n    keras.nothing\nexcept AttributeError as error:\n    print(error)"
    assert said(code, fake).splitlines() == ["loaded", "module 'keras' has no attribute 'nothing'"]


def test_keras_imported_before_lab_is_left_alone(fake: Path) -> None:
    code = (
        "import keras; before = keras\n"
        "import lab, sys; from lab._utils.lazy import is_loaded\n"
        "print(sys.modules['keras'] is before, type(keras).__name__, is_loaded('keras'))"
    )
    assert said(code, fake).splitlines() == ["loaded", "True module True"]


def test_a_module_that_is_not_deferred_is_not_run_again(fake: Path) -> None:
    assert said("import keras; from lab._utils.lazy import load; load(keras)", fake) == "loaded"


def test_a_module_that_does_not_exist_is_not_deferred() -> None:
    assert (
        said(f"{ABOUT}from lab._utils.lazy import defer; defer('no_such'); print('no_such' in sys.modules)") == "False"
    )


@pytest.mark.parametrize("use", ["import keras; keras.layers", "import keras.layers", "from keras import layers"])
def test_a_keras_that_fails_to_import_says_why_each_time(use: str, broken: Path) -> None:
    code = (
        "import lab\n"
        "for _ in range(3):\n"
        "    try:\n"
        f"        exec({use!r})\n"
        "    except ImportError as error:\n"
        "        print(error)"
    )
    assert said(code, broken).splitlines() == ["no backend here"] * 3


def test_a_module_in_hand_says_why_it_failed_each_time_that_it_is_used(broken: Path) -> None:
    code = (
        "import lab, keras\n"
        "for _ in range(2):\n"
        "    try:\n"
        "        keras.layers\n"
        "    except Exception as error:\n"
        "        print(type(error).__name__, error)"
    )
    assert said(code, broken).splitlines() == ["ImportError no backend here"] * 2


def test_every_public_name_of_lab_can_be_had_and_others_cannot() -> None:
    assert all(getattr(lab, name) is not None for name in dir(lab))
    with pytest.raises(AttributeError, match="module 'lab' has no attribute 'nothing'"):
        lab.nothing  # noqa: B018
