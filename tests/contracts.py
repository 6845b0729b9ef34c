"""A contract for import-linter (`lint-imports`), beside those that it has."""

from __future__ import annotations

from graphlib import CycleError, TopologicalSorter

import grimp
from importlinter import Contract, ContractCheck, output


class NoCircles(Contract):
    """No module imports itself by way of others, its package's `__init__` included."""

    type_name = "no_circles"

    def check(self, graph: grimp.ImportGraph, verbose: bool) -> ContractCheck:
        """Looks for a circle over all imports."""
        imports = {module: graph.find_modules_directly_imported_by(module) for module in sorted(graph.modules)}
        try:
            TopologicalSorter(imports).prepare()
        except CycleError as error:
            return ContractCheck(kept=False, metadata={"circle": error.args[1][::-1]})
        return ContractCheck(kept=True)

    def render_broken_contract(self, check: ContractCheck) -> None:
        """Prints the circle, from the importing module to the imported one."""
        output.print_error(" -> ".join(check.metadata["circle"]), bold=True)
        output.new_line()
