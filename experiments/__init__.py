"""The experiments, a file for each; `make` and `lab run` know an experiment by its file's name."""

import lab  # noqa: F401  (first: Keras then loads when an experiment first uses it)
