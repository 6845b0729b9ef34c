"""The benchmark against other trainers: `make bench`, or a part of it: `make bench only=autoencoder`.

Each engine is a process of its own (`worker.py`) that loads, compiles, warms up and then waits. The
engines of a row take turns (`pairs.py`), so that what else the machine does meets them alike, and
each tells the loss that it reached. Files named `torch_*` run in `.venv-bench` and import nothing of
the lab; the others run where the lab is installed.
"""
