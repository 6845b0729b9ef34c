"""CSV tables from users: every row has as many cells as the header, or an error names the line."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator

from lab.errors import DataError, nearest

MAX_CELL = 1 << 22  # characters
MAX_COLUMNS = 1000


def csv_rows(text: str, name: str, columns: Iterable[str]) -> Iterator[list[str]]:
    """Yields the header of a CSV table, then its rows without empty lines.

    Args:
        text: content of the file.
        name: name of the file, for messages.
        columns: columns that the table must have.

    Raises:
        DataError: it is not such a table; the rows above the fault have been yielded.
    """
    limit = csv.field_size_limit(MAX_CELL)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = next(reader)
        if len(header) > MAX_COLUMNS:
            raise DataError(f"{name}: expected a table of at most {MAX_COLUMNS} columns, got {len(header):,}")
        for column in columns:
            if column not in header:
                known = ", ".join(map(repr, header[:8]))
                raise DataError(f"{name}: expected a column {column!r}, got {known}{nearest(column, header)}")
        yield header
        for row in reader:
            if row and len(row) != len(header):
                raise DataError(f"{name}: line {reader.line_num}: expected {len(header)} cells, got {len(row)}")
            if row:
                yield row
    except (csv.Error, StopIteration) as error:
        reason = str(error) or "it is empty"
        raise DataError(f"{name}: expected a CSV table, line {reader.line_num}: {reason}") from None
    finally:
        csv.field_size_limit(limit)
