"""Imports a module with a mutant's line in it; the file on the disk stays as it is."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import CodeType, ModuleType

from tests.mutants.catalogue import Mutant


def install(mutant: Mutant) -> None:
    """Let *mutant*'s module be imported changed; nothing may have imported it yet."""
    assert mutant.module not in sys.modules, f"{mutant.module} is loaded already"
    sys.meta_path.insert(0, _Finder(mutant))


class _Finder(MetaPathFinder):
    def __init__(self, mutant: Mutant) -> None:
        self._mutant = mutant

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name != self._mutant.module:
            return None
        spec = PathFinder.find_spec(name, path, target)
        assert spec is not None
        assert spec.origin is not None
        spec.loader = _Loader(name, spec.origin, self._mutant)
        return spec


class _Loader(SourceFileLoader):
    def __init__(self, name: str, path: str, mutant: Mutant) -> None:
        super().__init__(name, path)
        self._mutant = mutant

    def get_code(self, fullname: str) -> CodeType:
        source = self.get_data(self.path).decode()
        found = source.count(self._mutant.old)
        assert found == 1, f"{self._mutant.name}: its line is {found} times in {self.path}; mend the catalogue"
        code = compile(source.replace(self._mutant.old, self._mutant.new), self.path, "exec")
        assert isinstance(code, CodeType)
        return code
