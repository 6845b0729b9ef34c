"""`import lab` puts off Keras; once Keras loads, it behaves as if it had been imported at once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import lab

ROOT = Path(__file__).parents[2]
ABOUT = "import sys; from lab._utils.lazy import defer, is_loaded; "
SLOW = f"{ABOUT}defer('slow', lambda: print('ready')); "


def python(code: str, *path: Path) -> subprocess.CompletedProcess[str]:
    """Runs code in a new process, with folders before the installed packages."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(map(str, [*path, ROOT])),
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "KERAS_BACKEND": "numpy",  # the quickest to load
    }
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)


def output(code: str, *path: Path) -> str:
    done = python(code, *path)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture
def slow(tmp_path: Path) -> Path:
    """The folder of a small package `slow`, which prints when its code runs and takes a moment."""
    package = tmp_path / "packages" / "slow"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(
        "import time\nprint('loaded')\n__version__ = '0'\nfrom slow import layers\ntime.sleep(0.1)\nvalue = 3\n"
    )
    (package / "layers.py").write_text("Dense = 'dense'\n")
    return package.parent


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """The folder of a package `slow` that cannot be imported."""
    package = tmp_path / "broken" / "slow"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise ImportError('no backend here')\n")
    (package / "layers.py").write_text("")
    return package.parent


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved model that has layers of the lab's."""
    import keras

    path = tmp_path_factory.mktemp("model") / "model.keras"
    keras.Sequential([keras.Input((3, 2)), lab.layers.LSTM(2), lab.layers.Dropout(0.1)]).save(path)
    return path


def test_importing_lab_and_then_keras_loads_nothing_heavy() -> None:
    heavy = "[m for m in ('tensorflow', 'jax', 'torch', 'matplotlib', 'sklearn', 'keras.src') if m in sys.modules]"
    code = f"{ABOUT}import lab; import keras; from lab import layers; print({heavy}, is_loaded('keras'))"
    assert output(code) == "[] False"


def test_the_real_keras_works_afterwards() -> None:
    use = "import keras; before = keras; import keras.layers; from keras import layers; layers.Dense(1)"
    after = "print(keras.__version__[:2], is_loaded('keras'), type(sys.modules['keras']), before.Model is keras.Model)"
    assert output(f"{ABOUT}import lab; {use}; {after}").splitlines()[-1] == "3. True <class 'module'> True"


@pytest.mark.parametrize(
    "imports",
    [
        "import keras, lab",
        "from lab.layers.lstm import LSTM; import keras",
        "from lab import layers; layers.LSTM; import keras",
    ],
)
def test_keras_opens_a_model_with_layers_of_the_lab(imports: str, model: Path) -> None:
    assert output(f"{imports}; print(len(keras.models.load_model({str(model)!r}).layers))").endswith("2")


def test_threads_that_load_a_model_first_all_get_it(model: Path) -> None:
    code = (
        "import sys, threading, lab, keras as early\n"
        "sys.setswitchinterval(1e-5)\n"
        "together = threading.Barrier(8)\n"
        "def late(path):\n"
        "    import keras\n"
        "    return keras.models.load_model(path)\n"
        "def work(place):\n"
        "    together.wait()\n"
        f"    path = {str(model)!r}\n"
        "    if place % 4 == 3:\n"
        "        lab.layers.LSTM, early.ops\n"
        "    loaded = late(path) if place % 2 else early.models.load_model(path)\n"
        "    sys.stdout.write(f'{len(loaded.layers)}\\n')\n"
        "threads = [threading.Thread(target=work, args=(place,)) for place in range(8)]\n"
        "[thread.start() for thread in threads]\n"
        "[thread.join(60) for thread in threads]\n"
    )
    done = python(code)
    assert done.stderr == ""
    assert done.stdout.split() == ["2"] * 8


@pytest.mark.parametrize("use", ["module.value", '__import__("slow").value'], ids=["in hand", "imported"])
def test_threads_get_the_complete_module_and_load_it_once(use: str, slow: Path) -> None:
    code = (
        f"{SLOW}import slow as module, threading\n"
        "together = threading.Barrier(8)\n"
        f"def work():\n    together.wait()\n    sys.stdout.write(f'{{{use}}}\\n')\n"
        "threads = [threading.Thread(target=work) for _ in range(8)]\n"
        "[thread.start() for thread in threads]\n"
        "[thread.join() for thread in threads]\n"
    )
    done = python(code, slow)
    assert done.stderr == ""
    assert done.stdout.split() == ["loaded", "ready"] + ["3"] * 8


@pytest.mark.parametrize(
    "use",
    [
        "import slow; assert slow.__version__ == '0'",
        "import slow; assert slow.value == 3; assert slow.value == 3",
        "import slow.layers; assert slow.layers.Dense == 'dense'",
        "import slow.layers as layers; assert layers.Dense == 'dense'",
        "from slow import layers; assert layers.Dense == 'dense'",
        "from slow.layers import Dense; assert Dense == 'dense'",
        "from slow import *; assert value == 3",
        "import slow; assert 'value' in dir(slow)",
        "import slow as early; early.value = 4; import slow; assert slow.value == 4",
        "import slow as early; early.value; import slow; del early.value; assert not hasattr(slow, 'value')",
        "import importlib; assert importlib.import_module('slow.layers').Dense == 'dense'",
    ],
)
def test_every_use_loads_the_module_once(use: str, slow: Path) -> None:
    assert output(f"{SLOW}{use}", slow).split() == ["loaded", "ready"]


@pytest.mark.parametrize(
    "look",
    [
        "import slow",
        "import inspect; [inspect.getmodule(f) for f in (print, len)]; inspect.stack()",
        "[hasattr(m, '__wrapped__') or getattr(m, '__file__', '') for m in list(sys.modules.values())]",
        "import slow; repr(slow); slow.__name__; slow.__spec__; slow.__file__",
        "import importlib.util; assert importlib.util.find_spec('slow').origin.endswith('__init__.py')",
    ],
)
def test_a_look_at_the_module_does_not_load_it(look: str, slow: Path) -> None:
    assert output(f"{SLOW}{look}; print(is_loaded('slow'))", slow) == "False"


def test_a_name_that_the_module_does_not_have_is_an_attribute_error(slow: Path) -> None:
    code = f"{SLOW}import slow\ntry:\n    slow.nothing\nexcept AttributeError as error:\n    print(error)"
    assert output(code, slow).splitlines() == ["loaded", "ready", "module 'slow' has no attribute 'nothing'"]


def test_a_module_imported_before_is_left_alone(slow: Path) -> None:
    code = f"import slow; before = slow\n{SLOW}print(sys.modules['slow'] is before, is_loaded('slow'))"
    assert output(code, slow).splitlines() == ["loaded", "ready", "True True"]


def test_a_module_that_does_not_exist_is_not_deferred() -> None:
    assert output(f"{SLOW}print('slow' in sys.modules)") == "False"


@pytest.mark.parametrize("use", ["import slow; slow.layers", "import slow.layers", "from slow import layers"])
def test_a_module_that_fails_to_import_raises_the_reason_each_time(use: str, broken: Path) -> None:
    code = (
        f"{SLOW}\n"
        "for _ in range(3):\n"
        "    try:\n"
        f"        exec({use!r})\n"
        "    except ImportError as error:\n"
        "        print(error)"
    )
    assert output(code, broken).splitlines() == ["no backend here"] * 3


def test_a_failed_module_in_hand_raises_the_reason_each_time(broken: Path) -> None:
    code = (
        f"{SLOW}import slow\n"
        "for _ in range(2):\n"
        "    try:\n"
        "        slow.layers\n"
        "    except Exception as error:\n"
        "        print(type(error).__name__, error)"
    )
    assert output(code, broken).splitlines() == ["ImportError no backend here"] * 2


def test_lab_has_every_public_name_and_no_other() -> None:
    assert all(getattr(lab, name) is not None for name in dir(lab))
    with pytest.raises(AttributeError, match="module 'lab' has no attribute 'nothing'"):
        lab.nothing  # noqa: B018
