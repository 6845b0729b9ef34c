"""The computations of the layers, by backend."""
