"""`lab data`: the cache, by hand."""

from __future__ import annotations

from rich.console import Console
from rich.filesize import decimal

from lab.data import DataSet, cache_folder, data_sets
from lab.errors import DataError, UsageError, nearest, printable


def list_sets(names: list[str], console: Console) -> None:
    """Prints each data set: name, size, whether it is cached, licence."""
    for known in _chosen(names):
        state = f"cached in {known.folder}" if known.is_cached() else "not cached"
        _say(console, f"{known.name}  {known.title}, {decimal(known.size)}, {state}; {known.licence}")
    _say(console, f"cache: {cache_folder()}")


def fetch(names: list[str], console: Console) -> None:
    """Fetches data sets that the cache does not hold."""
    from lab._utils.logs import log_to

    with log_to(console):
        for known in _chosen(names):
            _, origin = known.get()
            _say(console, f"{known.name}: {origin.origin}, {origin.source}, sha256 {origin.sha256[:16]}...")


def verify(names: list[str], console: Console) -> None:
    """Checks hashes; a fault in one does not keep the others from being checked."""
    faults = []
    if not names and not any(known.is_cached() for known in _chosen(names)):
        _say(console, f"nothing is cached in {cache_folder()}")
    for known in _chosen(names):
        if not known.is_cached() and not names:
            continue
        try:
            known.verify()
            _say(console, f"{known.name}: {len(known.files)} files, every hash is right")
        except DataError as error:
            faults.append(f"{known.name}: {error}")
    if faults:
        raise DataError("; ".join(faults))


def remove(names: list[str], console: Console) -> None:
    """Deletes named data sets from the cache."""
    if not names:
        raise UsageError("lab data remove: expected the names of data sets, such as mnist")
    for known in _chosen(names):
        _say(console, f"{known.name}: {'removed' if known.remove() else 'was not cached'}")


def _chosen(names: list[str]) -> list[DataSet]:
    known = data_sets()
    for name in names:
        if name not in known:
            raise UsageError(f"{name}: no such data set{nearest(name, known) or '; there are ' + ', '.join(known)}")
    return [known[name] for name in names or known]


def _say(console: Console, line: str) -> None:
    console.print(printable(line), markup=False, highlight=False, soft_wrap=True)
