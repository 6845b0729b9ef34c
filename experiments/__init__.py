"""The experiments: one file each; the file's name is what `make` and `lab run` call it."""

import lab  # noqa: F401  (first, so that `import keras` in an experiment waits until it is used)
