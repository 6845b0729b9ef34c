"""Noise: its statistics, fresh at each step, reproducible, and identical on every backend."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from scipy import stats

from lab.errors import UsageError
from lab.layers import Dropout
from lab.layers.kernels.threefry import normal, threefry
from lab.layers.noise import KINDS, Noise, corrupt

ROOT = Path(__file__).parents[2]
GREY = np.full((400, 28, 28), 0.5, np.float32)


def noisy(
    images: np.ndarray, kind: str = "gaussian", levels: tuple[float, float] = (0.1, 0.1), key: int = 0
) -> np.ndarray:
    return np.asarray(keras.ops.convert_to_numpy(corrupt(images, kind, levels, (key, 0))))


# --- the generator --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "counter", "expected"),
    [
        ((0, 0), (0, 0), (0x6B200159, 0x99BA4EFE)),
        ((0xFFFFFFFF, 0xFFFFFFFF), (0xFFFFFFFF, 0xFFFFFFFF), (0x1CB996FC, 0xBB002BE7)),
        ((0x13198A2E, 0x03707344), (0x243F6A88, 0x85A308D3), (0xC4923A9C, 0x483DF7A0)),
    ],
)
def test_threefry_gives_the_known_answers(
    key: tuple[int, int], counter: tuple[int, int], expected: tuple[int, int]
) -> None:
    """The test vectors that the authors publish with Random123 (kat_vectors, threefry2x32 20)."""
    k0, k1, c0, c1 = (np.array(word, np.uint32).view(np.int32) for word in (*key, *counter))
    words = threefry((keras.ops.array(k0), keras.ops.array(k1)), keras.ops.array(c0), keras.ops.array(c1))
    assert tuple(int(np.asarray(keras.ops.convert_to_numpy(word)).view(np.uint32)) for word in words) == expected


def test_bits_become_normal_numbers_as_the_inverse_distribution_says() -> None:
    some = np.random.default_rng(0).integers(0, 2**23, 100_000)
    drawn = np.concatenate([np.arange(1_000), [2**22 - 1, 2**22], some, np.arange(2**23 - 1_000, 2**23)])
    actual = keras.ops.convert_to_numpy(
        normal(keras.ops.convert_to_tensor((drawn << 9).astype(np.uint32).view(np.int32)))
    )
    np.testing.assert_allclose(actual, stats.norm.ppf((drawn + 0.5) / 2**23), rtol=0, atol=1.5e-6)
    assert actual.dtype == np.float32


# --- statistics -----------------------------------------------------------------------------------


def test_gaussian_noise_has_its_mean_and_deviation() -> None:
    added = noisy(GREY) - 0.5  # five standard deviations fit on either side: almost nothing is clipped
    count = added.size
    assert abs(added.mean()) < 4 * 0.1 / np.sqrt(count)
    assert added.std() == pytest.approx(0.1, rel=4 / np.sqrt(2 * count))


def test_gaussian_noise_is_normal_to_its_tails() -> None:
    added = ((noisy(GREY) - 0.5) / 0.1).ravel()
    assert stats.kstest(added[::7], "norm").pvalue > 1e-3
    for bound in (1, 2, 3, 4):
        expected = 2 * stats.norm.sf(bound)
        assert (np.abs(added) > bound).mean() == pytest.approx(expected, abs=5 * np.sqrt(expected / added.size))


def test_the_noise_of_pixels_and_images_is_independent() -> None:
    added = (noisy(GREY) - 0.5).reshape(len(GREY), -1)
    limit = 5 / np.sqrt(added.size)
    assert abs(np.corrcoef(added[:, :-1].ravel(), added[:, 1:].ravel())[0, 1]) < limit
    assert abs(np.corrcoef(added[:-1].ravel(), added[1:].ravel())[0, 1]) < limit
    half = added.shape[1] // 2  # the two words of one call of the generator
    assert abs(np.corrcoef(added[:, :half].ravel(), added[:, half:].ravel())[0, 1]) < 2 * limit


def test_gaussian_noise_is_clipped() -> None:
    black = noisy(np.zeros_like(GREY), levels=(0.5, 0.5))
    assert black.min() == 0
    assert black.max() == 1
    assert (black == 0).mean() == pytest.approx(0.5, abs=0.01)
    assert (black == 1).mean() == pytest.approx(stats.norm.sf(2), abs=0.003)


def test_salt_and_pepper_hits_its_fraction_half_black_half_white() -> None:
    hit = noisy(GREY, "salt_and_pepper", (0.3, 0.3))
    assert (hit == 0).mean() == pytest.approx(0.15, abs=0.005)
    assert (hit == 1).mean() == pytest.approx(0.15, abs=0.005)
    assert set(np.unique(hit)) == {0, 0.5, 1}
    assert set(np.unique(noisy(GREY, "salt_and_pepper", (1, 1)))) == {0, 1}


def test_masking_hits_its_fraction() -> None:
    hit = noisy(GREY, "masking", (0.3, 0.3))
    assert (hit == 0).mean() == pytest.approx(0.3, abs=0.005)
    assert set(np.unique(hit)) == {0, 0.5}
    assert noisy(GREY, "masking", (1, 1)).max() == 0


@pytest.mark.parametrize("kind", KINDS)
def test_no_noise_changes_nothing(kind: str) -> None:
    assert np.array_equal(noisy(GREY, kind, (0, 0)), GREY)


def test_each_image_draws_its_level_uniformly_from_a_range() -> None:
    many = np.full((3000, 8, 8), 0.5, np.float32)
    levels = 1 - (noisy(many, "masking", (0.2, 0.6)) > 0).reshape(len(many), -1).mean(axis=1)
    assert levels.mean() == pytest.approx(0.4, abs=0.01)
    within = levels.var() - 0.4 * 0.6 / 64  # less the variance of counting 64 pixels
    assert within == pytest.approx(0.4**2 / 12, rel=0.2)


# --- reproducible and fresh -----------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_the_noise_follows_from_the_key(kind: str) -> None:
    assert np.array_equal(noisy(GREY, kind, key=1), noisy(GREY, kind, key=1))
    assert not np.array_equal(noisy(GREY, kind, key=1), noisy(GREY, kind, key=2))


def test_an_images_noise_does_not_depend_on_how_many_there_are() -> None:
    assert np.array_equal(noisy(GREY[:7]), noisy(GREY)[:7])


def test_an_odd_number_of_pixels_works() -> None:
    assert np.unique(noisy(GREY[:1, :3, :3])).size == 9


def test_the_layer_makes_fresh_noise_at_each_training_step_only() -> None:
    layer = Noise("gaussian", 0.1, seed=3)
    first, second = (np.asarray(keras.ops.convert_to_numpy(layer(GREY, training=True))) for _ in range(2))
    assert not np.array_equal(first, second)
    assert np.array_equal(keras.ops.convert_to_numpy(layer(GREY)), GREY)
    again = Noise("gaussian", 0.1, seed=3)
    assert np.array_equal(keras.ops.convert_to_numpy(again(GREY, training=True)), first)
    assert np.array_equal(keras.ops.convert_to_numpy(again(GREY, training=True)), second)


def test_the_noise_continues_from_a_restored_state() -> None:
    layer, other = Noise("gaussian", 0.1, seed=3), Noise("gaussian", 0.1, seed=3)
    layer(GREY, training=True)
    other.seed_generator.state.assign(layer.seed_generator.state)
    expected = keras.ops.convert_to_numpy(layer(GREY, training=True))
    assert np.array_equal(keras.ops.convert_to_numpy(other(GREY, training=True)), expected)


def test_without_a_seed_the_seed_of_the_run_decides() -> None:
    noisy = []
    for seed in (1, 1, 2):
        keras.utils.set_random_seed(seed)
        noisy.append(np.asarray(keras.ops.convert_to_numpy(Noise()(GREY, training=True))))
    assert np.array_equal(noisy[0], noisy[1])
    assert not np.array_equal(noisy[0], noisy[2])


def test_the_layer_is_saved_with_its_arguments(tmp_path: Path) -> None:
    image = keras.Input((4, 4))
    keras.Model(image, Noise("masking", 0.1, 0.4, seed=5)(image)).save(tmp_path / "m.keras")
    layer = keras.saving.load_model(tmp_path / "m.keras").layers[-1]
    assert (layer.kind, layer.levels, layer.seed_generator.get_config()["seed"]) == ("masking", (0.1, 0.4), 5)
    assert layer.compute_dtype == "float32"


def in_plain_numpy(images: np.ndarray, kind: str, levels: tuple[float, float], key: tuple[int, int]) -> np.ndarray:
    """The expected result of `corrupt`, from NumPy's unsigned integers and SciPy's normal distribution."""
    flat = images.reshape(len(images), -1)
    pairs = (flat.shape[1] + 1) // 2

    def bits(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        keys = [np.uint32(key[0]), np.uint32(key[1]), np.uint32(key[0] ^ key[1] ^ 0x1BD11BDA)]
        first, second = first + keys[0], second + keys[1]
        turns = [13, 15, 26, 6, 17, 29, 16, 24]
        for step in range(20):
            first, turn = first + second, np.uint32(turns[step % 8])
            second = (second << turn | second >> (np.uint32(32) - turn)) ^ first
            if step % 4 == 3:
                block = step // 4 + 1
                first, second = first + keys[block % 3], second + keys[(block + 1) % 3] + np.uint32(block)
        return first, second

    def uniform(words: np.ndarray) -> np.ndarray:
        return ((words >> np.uint32(9)) + 0.5) / 2**23

    row, pair = np.mgrid[: len(flat), :pairs].astype(np.uint32)
    drawn = uniform(np.concatenate(bits(row, pair), axis=1)[:, : flat.shape[1]])
    own, _ = bits(row[:, :1], np.full_like(row[:, :1], 0xFFFFFFFF))
    level = levels[0] + (levels[1] - levels[0]) * uniform(own)
    if kind == "gaussian":
        noisy = np.clip(flat + level * stats.norm.ppf(drawn), 0, 1)
    elif kind == "masking":
        noisy = np.where(drawn < level, 0, flat)
    else:
        noisy = np.where(drawn < level / 2, 0, np.where(drawn >= 1 - level / 2, 1, flat))
    return np.asarray(noisy.reshape(images.shape))


SMALL = np.linspace(0, 1, 50 * 9).reshape(50, 3, 3).astype(np.float32)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("levels", [(0.4, 0.4), (0.2, 0.7)])
@pytest.mark.parametrize("key", [(0, 0), (11, 3), (999_999_999, 100_000)])
def test_the_noise_is_that_of_plain_numpy(kind: str, levels: tuple[float, float], key: tuple[int, int]) -> None:
    noisy = keras.ops.convert_to_numpy(corrupt(SMALL, kind, levels, key))
    assert np.allclose(noisy, in_plain_numpy(SMALL, kind, levels, key), atol=2e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_a_compiled_graph_makes_the_same_noise(kind: str) -> None:
    tf = pytest.importorskip("tensorflow")
    for jit in (False, True):
        layer = Noise(kind, 0.2, 0.7, seed=11)
        layer.build(SMALL.shape)
        compiled = tf.function(lambda image, layer=layer: layer(image, training=True), jit_compile=jit)
        for count in range(2):
            expected = in_plain_numpy(SMALL, kind, (0.2, 0.7), (11, count))
            assert np.allclose(compiled(SMALL).numpy(), expected, atol=2e-6), (jit, count)


def test_a_run_reads_a_model_with_the_layer_in_a_fresh_process(tmp_path: Path) -> None:
    image = keras.Input((4, 4))
    keras.Model(image, Noise()(image)).save(tmp_path / "model.keras")
    (tmp_path / "settings.json").write_text('{"experiment": "x", "class": "nowhere:X"}')
    code = "import sys; from lab.runs.run import Run; print(Run.load(sys.argv[1]).model.layers[-1].kind)"
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.stdout.strip() == "gaussian", done.stderr


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_every_backend_makes_the_same_noise(backend: str, tmp_path: Path) -> None:
    pytest.importorskip(backend)
    code = (
        "import sys, numpy as np, keras\n"
        "from lab.layers.noise import KINDS, Noise\n"
        "image = np.load(sys.argv[1])\n"
        "for kind in KINDS:\n"
        "    layer = Noise(kind, 0.2, 0.7, seed=11)\n"
        "    noisy = [keras.ops.convert_to_numpy(layer(image, training=True)) for _ in range(2)]\n"
        "    np.save(f'{sys.argv[2]}/{kind}.npy', np.stack(noisy))\n"
        "from lab.layers import Dropout\n"
        "noisy = Dropout(0.5, noise_shape=(None, None, 1), seed=11)(image, training=True)\n"
        "np.save(f'{sys.argv[2]}/dropped.npy', keras.ops.convert_to_numpy(noisy))\n"
    )
    np.save(tmp_path / "image.npy", SMALL)
    environment = {**os.environ, "KERAS_BACKEND": backend, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    command = [sys.executable, "-c", code, str(tmp_path / "image.npy"), str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for kind in KINDS:
        expected = np.stack([in_plain_numpy(SMALL, kind, (0.2, 0.7), (11, count)) for count in range(2)])
        assert np.allclose(np.load(tmp_path / f"{kind}.npy"), expected, atol=2e-6), kind
    dropped = Dropout(0.5, noise_shape=(None, None, 1), seed=11)(SMALL, training=True)
    assert np.array_equal(np.load(tmp_path / "dropped.npy"), dropped)


# --- mistakes -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "levels", "message"),
    [
        ("pepper", (0.1, 0.1), "kind='pepper': expected one of gaussian, salt_and_pepper, masking"),
        ("gaussian", (-0.1, 0.1), "levels=-0.1:0.1"),
        ("gaussian", (0.5, 0.1), "0 <= low <= high"),
        ("gaussian", (0.5, float("inf")), "0 <= low <= high"),
        ("masking", (0.5, 1.5), "of at most 1"),
    ],
)
def test_impossible_arguments_are_refused(kind: str, levels: tuple[float, float], message: str) -> None:
    with pytest.raises(UsageError, match=message.replace("=", ".")):
        corrupt(GREY, kind, levels, (0, 0))
    with pytest.raises(UsageError):
        Noise(kind, *levels)
