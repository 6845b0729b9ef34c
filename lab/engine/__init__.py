"""The engine: how the steps of an epoch run, on every backend."""
