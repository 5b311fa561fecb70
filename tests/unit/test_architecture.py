"""Promises about layout: rooms import what lies below them, the two sides are apart, importing is cheap.

Every import counts, those inside functions and under TYPE_CHECKING too.
"""

import ast
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import pytest

import scmkit
from scmkit import capacity
from scmkit.core import results
from scmkit.core.values import Products, RowCounts

PACKAGE = Path(scmkit.__file__).parent
TESTS = Path(__file__).parents[1]
# From the ground up. A room may import from rooms on the lines below its own, and never from its own line.
FLOORS = [
    {"core"},
    {"tables", "wire"},
    {"estimation", "validation"},
    {"planning", "sandbox"},
    {"engine", "journal", "simulation", "steps"},
    {"capacity", "plots", "uploading"},
    {"widgets"},
    {"panels"},
    {"accessor", "api", "cli"},
    {"__init__", "__main__"},
]
TABLE_SIDE = {"estimation", "planning", "plots", "simulation", "tables", "validation"}
WIRE_SIDE = {"wire"}
NETWORK = {"requests", "urllib3", "http", "socket", "starlette", "uvicorn"}
LARGEST_SHARE = 0.12  # of all lines, in one room
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
    "requests",
    "urllib3",
    "ssl",
    "http.client",
    "msgspec",
]


# What tests read or replace of others' underscored names, and why: a public door would be there for tests alone.
PROTOCOLS = {"_repr_html_", "_repr_mimebundle_", "_ipython_display_", "_exit", "_getframe"}  # notebooks' and Python's
EXCEPTIONS = {
    "test_planted_bugs.py": {"_can_wait", "_on_failure", "_read_items", "_split", "_write"},  # rules that are broken
    "test_files.py": {"_CELLS", "_ROWS", "_UNPACKED_BYTES", "_lock_path"},  # limits, made small; a lock's place
    "test_paths.py": {"_UNPACKED_BYTES"},
    "test_token.py": {"_service"},  # where a token might show
    "test_sandbox.py": {"_all", "_selected", "_service", "_world"},  # its token; how SQLite finds a key's codes
    "test_client.py": {"_path"},  # of a turnstile: whether two clients share one
    "test_resume.py": {"_locked", "_packed"},  # what an operating system or an earlier version does
    "test_journal.py": {"_locked"},
    "test_sharing.py": {"_file", "_locked", "_try"},
    "walkers.py": {"_try"},  # the moment at which a process holds the lock
    "test_shell.py": {"_from_prompt"},  # nobody types
    "test_app.py": {"_arguments", "_free", "_notebook"},  # what would start a server and a browser
    "test_worker.py": {"_ran"},  # when a worker last did something
    "test_panel.py": {"_handle_msg", "_send"},  # of ipywidgets: what a browser sends and gets
}


@cache
def sources() -> Mapping[str, str]:
    """Return the text of every module, by its name with dots."""
    return {dotted(path): path.read_text(encoding="utf-8") for path in sorted(PACKAGE.rglob("*.py"))}


def dotted(path: Path) -> str:
    return ".".join(["scmkit", *path.relative_to(PACKAGE).with_suffix("").parts]).removesuffix(".__init__")


def room_of(module: str) -> str:
    return module.split(".")[1] if "." in module else "__init__"


def rooms() -> list[str]:
    return sorted({room_of(module) for module in sources()})


def imports(source: str) -> Iterator[str]:
    """Name all that a text imports, wherever it stands; of ours, the modules."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (name if name in sources() else node.module for name in names)


def upward(module: str, source: str) -> list[str]:
    """Name what a module imports from rooms that do not lie below its own; the names of the package are no room."""
    floor = {room: at for at, names in enumerate(FLOORS) for room in names}
    own = room_of(module)
    ours = {name for name in imports(source) if name.startswith("scmkit.") and room_of(name) != own}
    return sorted(name for name in ours if floor[room_of(name)] >= floor[own])


def private(source: str) -> list[str]:
    """Name what a text takes of another module's underscored names."""
    tree = ast.parse(source)
    froms = [n for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and (n.module or "").startswith("scmkit")]
    modules = {
        alias.asname or alias.name
        for node in froms
        for alias in node.names
        if f"{node.module}.{alias.name}" in sources()
    }
    reached = [
        f"{node.value.id}.{node.attr}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in modules
    ]
    imported = [alias.name for node in froms for alias in node.names]
    return [name for name in [*imported, *reached] if is_private(name.split(".")[-1])]


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def foreign(source: str) -> set[str]:
    """Name the underscored names that a test reads, or replaces by their text, and does not define itself."""
    nodes = list(ast.walk(ast.parse(source)))
    own = {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    read = {(ast.unparse(node.value), node.attr) for node in nodes if isinstance(node, ast.Attribute)}
    own |= {name for owner, name in read if owner in ("self", "cls")}
    calls = [node for node in nodes if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)]
    replaced = {
        arg.value
        for call in calls
        if call.func.attr in ("setattr", "object", "put", "wrap")
        for arg in call.args[1:2]
        if isinstance(arg, ast.Constant) and isinstance(arg.value, str)
    }
    imported = {alias.name for node in nodes if isinstance(node, ast.ImportFrom) for alias in node.names}
    return {name for name in {name for _, name in read} | replaced | imported if is_private(name)} - own


def test_every_room_has_a_floor() -> None:
    """The list of floors is complete and up to date."""
    assert sorted(room for names in FLOORS for room in names) == rooms()
    assert len(FLOORS) <= 10


@pytest.mark.parametrize("module", sources())
def test_imports_go_down_only(module: str) -> None:
    """No room knows what stands above it or beside it."""
    assert not upward(module, sources()[module])


@pytest.mark.parametrize(
    "line",
    [
        "def f():\n    from scmkit.uploading.ledger import Ledger",
        "if TYPE_CHECKING:\n    from scmkit.plots import drawings as plots",
        "def f():\n    import scmkit.cli.commands",
    ],
)
def test_a_planted_upward_import_is_found(line: str) -> None:
    """Neither a function nor a type check hides an import that goes up."""
    assert upward("scmkit.planning.layout", line)


def test_no_room_is_too_large() -> None:
    """What grows beyond a share of the whole is several kinds of knowledge."""
    lines: Counter[str] = Counter()
    for module, source in sources().items():
        lines[room_of(module)] += len(source.splitlines())
    room, most = lines.most_common(1)[0]
    assert most <= LARGEST_SHARE * lines.total(), room


@pytest.mark.parametrize("module", sources())
def test_no_module_reads_anothers_underscored_names(module: str) -> None:
    """What another module needs is public."""
    assert not private(sources()[module])


def test_tests_read_public_names() -> None:
    """What a test needs of the product is public; the exceptions are listed, and none of them is out of date."""
    found = {path.name: foreign(path.read_text(encoding="utf-8")) - PROTOCOLS for path in TESTS.rglob("*.py")}
    assert {name: names for name, names in found.items() if names} == EXCEPTIONS


@pytest.mark.parametrize("module", [m for m in sources() if room_of(m) in TABLE_SIDE | WIRE_SIDE])
def test_the_two_sides_do_not_know_each_other(module: str) -> None:
    """The table side knows no network, the wire side no pandas."""
    found = {name.split(".")[0] for name in imports(sources()[module])}
    found |= {room_of(name) for name in imports(sources()[module]) if name.startswith("scmkit.")}
    assert not found & (NETWORK | {"wire"} if room_of(module) in TABLE_SIDE else {"pandas"})


@pytest.mark.parametrize("module", [m for m in sources() if room_of(m) != "plots"])
def test_only_the_pictures_know_matplotlib(module: str) -> None:
    """Who draws otherwise, or anew, changes one room; a type is no knowledge of how to draw."""
    imported = {name for name in imports(sources()[module]) if name.startswith("matplotlib")}
    assert imported <= {"matplotlib.axes", "matplotlib.figure"}
    assert not imported or "if TYPE_CHECKING:\n    from matplotlib" in sources()[module]


def test_what_a_result_can_do_is_registered() -> None:
    """What only a room above knows how to do is known once scmkit is imported."""
    done = {
        results.draw: {scmkit.Plan, scmkit.Estimate, scmkit.ServiceTime, scmkit.Risk, capacity.Curve, RowCounts},
        results.simulate: {scmkit.Plan},
        results.upload: {scmkit.Plan},
        results.show: {scmkit.UploadJob},
        results.tabulate: {Products},
    }
    for function, kinds in done.items():
        assert set(function.registry) - {object} == kinds
        with pytest.raises((TypeError, NotImplementedError)):
            function(object())


def loaded_by(code: str) -> list[str]:
    """Name the modules that are there after some lines of Python."""
    lines = f"import sys\n{code}\nprint(*sys.modules)"
    return subprocess.run([sys.executable, "-c", lines], capture_output=True, text=True, check=True).stdout.split()


@pytest.mark.parametrize(
    "code", ["import scmkit", "from scmkit.cli.commands import main", "import scmkit\nscmkit.plan"]
)
def test_importing_is_cheap(code: str) -> None:
    """Nothing heavy is loaded before it is used; what a plan is made with waits until something public is used."""
    loaded = loaded_by(code)
    assert not {name for name in HEAVY if name in loaded} - ({"msgspec"} if "plan" in code else set())
    assert ("scmkit.planning.plan" in loaded) == ("plan" in code)


def test_a_result_finds_the_rooms_that_are_not_loaded_yet() -> None:
    """Whoever takes a result out of its own room can draw it, too."""
    code = "from scmkit.core import results\ntry:\n    results.draw(0)\nexcept TypeError:\n    pass"
    assert "scmkit.plots.drawings" in loaded_by(code)


def test_public_names_are_there() -> None:
    """Everything in __all__ exists and has a docstring."""
    for name in scmkit.__all__:
        assert getattr(scmkit, name).__doc__, name


def test_the_accessor_never_raises() -> None:
    """An accessor whose __init__ raises breaks completion for every frame."""
    import pandas as pd

    assert "scm" in dir(pd.DataFrame())
    assert "upload" in dir(pd.DataFrame({"scm": [1]}).rename(columns=str).drop(columns="scm").scm)
