"""Promises about layout: imports go down only, the two sides do not know each other, and importing is cheap."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import scmkit

PACKAGE = Path(scmkit.__file__).parent
# From the ground up. A module may import what stands on a line below its own, or on the same line.
FLOORS = [
    {"errors", "contract"},
    {"paths"},
    {"models", "display", "fitting", "shell"},
    {"arguments"},
    {"latency", "texts", "lines", "events", "pacing", "sharing", "storage"},
    {
        "fanout",
        "exports",
        "tables",
        "policy",
        "tracking",
        "dates",
        "payloads",
        "journal",
        "memory",
        "client",
        "evidence",
    },
    {"clusters"},
    {"validation", "matching", "estimation", "playing"},
    {"layout", "population"},
    {"planning"},
    {"simulation", "ledger", "readback", "capacity", "records", "progress"},
    {"adapting", "fences", "figures"},
    {"engine", "plots"},
    {"uploading"},
    {"resuming"},
    {"widgets"},
    {"accessor", "sandbox"},
    {"demo"},
    {"cli", "__init__"},
    {"__main__"},
]
TABLE_SIDE = {
    "adapting",
    "fanout",
    "fitting",
    "playing",
    "layout",
    "population",
    "capacity",
    "clusters",
    "texts",
    "lines",
    "tables",
    "exports",
    "dates",
    "validation",
    "matching",
    "estimation",
    "planning",
    "simulation",
    "payloads",
    "readback",
    "ledger",
    "arguments",
    "display",
    "events",
    "figures",
    "latency",
    "paths",
    "plots",
    "progress",
    "records",
    "shell",
}
WIRE_SIDE = {
    "client", "tracking", "pacing", "policy", "contract", "errors", "models", "journal", "memory", "sharing", "storage",
    "evidence", "fences",
}  # fmt: skip
NETWORK = {"requests", "urllib3", "http", "socket", "starlette", "uvicorn"}
HEAVY = [
    "matplotlib",
    "ipywidgets",
    "scipy",
    "duckdb",
    "starlette",
    "uvicorn",
    "pyarrow.parquet",
    "openpyxl",
    "tqdm",
    "keyring",
]


def imports(module: str) -> set[str]:
    """Everything that a module imports when it is loaded; a signpost inside a function may point anywhere."""
    tree = ast.parse((PACKAGE / f"{module}.py").read_text(encoding="utf-8"))
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    lazy = {
        name
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.If) and not is_top_level_code(function)
        for name in names_in(function)
    }
    return found - lazy


def is_top_level_code(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" not in ast.dump(node.test)


def names_in(node: ast.AST) -> set[str]:
    return {
        name
        for inner in ast.walk(node)
        if isinstance(inner, ast.ImportFrom) and inner.module
        for name in [inner.module, *(f"{inner.module}.{alias.name}" for alias in inner.names)]
    }


def rooms() -> list[str]:
    return sorted(path.stem for path in PACKAGE.glob("*.py"))


def floor(room: str) -> int:
    return next(i for i, names in enumerate(FLOORS) if room in names)


def test_the_lists_of_rooms_are_complete() -> None:
    """Every room has one floor, and one side, but for the few that bring both together; no list is out of date."""
    listed = [room for names in FLOORS for room in names]
    assert sorted(listed) == sorted([*rooms(), "sandbox", "widgets"])
    both = {"__init__", "__main__", "accessor", "cli", "demo", "engine", "resuming", "uploading"}
    assert sorted([*TABLE_SIDE, *WIRE_SIDE, *both]) == rooms()


@pytest.mark.parametrize("room", rooms())
def test_imports_go_down_only(room: str) -> None:
    """No room knows what stands above it."""
    for name in imports(room):
        parts = name.split(".")
        if parts[0] == "scmkit" and len(parts) > 1 and (PACKAGE / f"{parts[1]}.py").exists():
            assert floor(parts[1]) <= floor(room), f"{room} imports {parts[1]}, which stands above it"


@pytest.mark.parametrize("room", sorted((TABLE_SIDE | WIRE_SIDE) & set(rooms())))
def test_the_two_sides_do_not_know_each_other(room: str) -> None:
    """The table side knows no network, the wire side no pandas."""
    forbidden = NETWORK | {"scmkit.client"} if room in TABLE_SIDE else {"pandas"}
    assert not {name.split(".")[0] for name in imports(room)} & forbidden
    assert not imports(room) & forbidden


def test_importing_is_cheap() -> None:
    """`import scmkit` loads nothing heavy, and registers df.scm."""
    code = (
        f"import sys, scmkit, pandas; print([m for m in {HEAVY} if m in sys.modules], hasattr(pandas.DataFrame, 'scm'))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.split("\n")[0] == "[] True"


def test_public_names_are_there() -> None:
    """Everything in __all__ exists and has a docstring."""
    for name in scmkit.__all__:
        assert getattr(scmkit, name).__doc__, name


def test_the_accessor_never_raises() -> None:
    """An accessor whose __init__ raises breaks completion for every frame."""
    import pandas as pd

    assert "scm" in dir(pd.DataFrame())
    assert "upload" in dir(pd.DataFrame({"scm": [1]}).rename(columns=str).drop(columns="scm").scm)
