"""The names of all experiments, read from the files of the experiments folder without running them."""

from __future__ import annotations

import ast
from pathlib import Path

from lab._utils.project import PACKAGE, experiments_folder, snake_case


def names() -> dict[str, str]:
    """Returns each experiment's name and the first line of its docstring.

    An experiment has its file's name. Where a file defines several, those whose class does not have
    the file's name as well are `file:Class`.
    """
    found = {}
    for path in sorted(experiments_folder().glob("*.py")):
        if path.name.startswith("_"):
            continue
        try:
            module = ast.parse(path.read_text("utf-8"))
        except (SyntaxError, UnicodeDecodeError, ValueError) as error:
            found[path.stem] = f"(cannot be read: {error})"
            continue
        text, classes = _first_line(module), [kind for kind in _classes(path, module) if not _is_abstract(kind)]
        if len(classes) < 2:
            found[path.stem] = text
            continue
        for kind in classes:
            if snake_case(kind.name) == path.stem:
                found[path.stem] = text
            else:
                found[f"{path.stem}:{kind.name}"] = _first_line(kind) or text
    return found


def _first_line(node: ast.Module | ast.ClassDef) -> str:
    return (ast.get_docstring(node) or "").partition("\n")[0].strip()


def _classes(path: Path, module: ast.Module, importing: frozenset[Path] = frozenset()) -> list[ast.ClassDef]:
    """The classes of a file that derive from `Experiment`, as far as its text and that of its neighbours show."""
    known, found = {"Experiment"}, []
    for node in module.body:
        if isinstance(node, ast.ImportFrom):
            known |= _imported(node, path, importing | {path})
        elif isinstance(node, ast.ClassDef) and any(_last_name(base) in known for base in node.bases):
            known.add(node.name)
            found.append(node)
    return found


def _imported(node: ast.ImportFrom, path: Path, importing: frozenset[Path]) -> set[str]:
    """The names of experiment classes that a statement imports, from `lab` or from another file of the folder."""
    wanted = {"Experiment"}
    neighbour = path.with_name(f"{(node.module or '').rpartition('.')[2]}.py")
    is_near = node.level == 1 or (node.module or "").partition(".")[0] == PACKAGE
    if is_near and neighbour not in importing and neighbour.is_file():
        try:
            module = ast.parse(neighbour.read_text("utf-8"))
        except (SyntaxError, UnicodeDecodeError, ValueError):  # its own row reports it
            return set()
        wanted |= {kind.name for kind in _classes(neighbour, module, importing)}
    return {alias.asname or alias.name for alias in node.names if alias.name in wanted}


def _last_name(base: ast.expr) -> str:
    """`Experiment` for `lab.Experiment[Settings]`."""
    base = base.value if isinstance(base, ast.Subscript) else base
    return base.attr if isinstance(base, ast.Attribute) else base.id if isinstance(base, ast.Name) else ""


def _is_abstract(kind: ast.ClassDef) -> bool:
    return any(
        word.arg == "abstract" and isinstance(word.value, ast.Constant) and word.value.value for word in kind.keywords
    )
