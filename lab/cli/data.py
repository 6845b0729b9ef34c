"""`lab data`: the data sets in the cache."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.filesize import decimal

from lab.data import DataSet, cache_folder, data_sets
from lab.errors import DataError, UsageError, nearest, printable


def list_sets(names: Sequence[str], console: Console) -> None:
    """Prints each data set: name, size, whether it is cached, licence."""
    for known in _chosen(names):
        state = f"cached in {known.folder}" if known.is_cached() else "not cached"
        _print(console, f"{known.name}  {known.title}, {decimal(known.size)}, {state}; {known.licence}")
    _print(console, f"cache: {cache_folder()}")


def fetch(names: Sequence[str], console: Console) -> None:
    """Fetches data sets that the cache does not hold."""
    from lab._utils.logs import log_to

    with log_to(console):
        for data_set in _chosen(names):
            _, provenance = data_set.get()
            text = f"{provenance.origin}, {provenance.source}, sha256 {provenance.sha256[:16]}..."
            _print(console, f"{data_set.name}: {text}")


def verify(names: Sequence[str], console: Console) -> None:
    """Checks the hashes of all named data sets, or of all that are cached, and reports every fault."""
    faults = []
    if not names and not any(data_set.is_cached() for data_set in _chosen(names)):
        _print(console, f"nothing is cached in {cache_folder()}")
    for data_set in _chosen(names):
        if not data_set.is_cached() and not names:
            continue
        try:
            data_set.verify()
            _print(console, f"{data_set.name}: {len(data_set.files)} files, all hashes are correct")
        except DataError as error:
            faults.append(f"{data_set.name}: {error}")
    if faults:
        raise DataError("; ".join(faults))


def remove(names: Sequence[str], console: Console) -> None:
    """Deletes named data sets from the cache."""
    if not names:
        raise UsageError("lab data remove: expected the names of data sets, such as mnist")
    for data_set in _chosen(names):
        _print(console, f"{data_set.name}: {'removed' if data_set.remove() else 'was not cached'}")


def _chosen(names: Sequence[str]) -> list[DataSet]:
    known = data_sets()
    for name in names:
        if name not in known:
            raise UsageError(f"{name}: no such data set{nearest(name, known) or '; known are ' + ', '.join(known)}")
    return [known[name] for name in names or known]


def _print(console: Console, line: str) -> None:
    console.print(printable(line), markup=False, highlight=False, soft_wrap=True)
