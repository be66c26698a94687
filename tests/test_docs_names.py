"""What tests say of the gateway's modules is there: a name that was changed is found before the tests are run."""

import ast
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

TESTS = Path(__file__).parent


@pytest.mark.parametrize("folder", sorted({str(path.parent.relative_to(TESTS)) for path in TESTS.rglob("*.py")}))
def test_modules_have_the_names_that_tests_use(folder):
    missing = [
        f"{path}:{line}: {module.__name__}.{name}"
        for path in (TESTS / folder).glob("*.py")
        for module, name, line in _used(ast.parse(path.read_text()))
        if not (hasattr(module, name) or _is_module(f"{module.__name__}.{name}"))
    ]
    assert missing == []


def _used(tree: ast.AST) -> Iterator[tuple[ModuleType, str, int]]:
    """Yield each name that is imported from a module of the gateway, or used of one: module, name, line."""
    modules: dict[str, ModuleType] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "gateway":
            module = import_module(node.module)
            for alias in node.names:
                yield module, alias.name, node.lineno
                if _is_module(f"{node.module}.{alias.name}"):
                    modules[alias.asname or alias.name] = import_module(f"{node.module}.{alias.name}")
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in modules:
            yield modules[node.value.id], node.attr, node.lineno


def _is_module(name: str) -> bool:
    try:
        import_module(name)
    except ModuleNotFoundError:
        return False
    return True
