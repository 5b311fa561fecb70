"""Promises about the code itself: what it never does, what it never asks, and that every item of the list is tested."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import plain_server
import pytest
from packaging.requirements import Requirement

import scmkit
from scmkit.journal.journal import Journal

PACKAGE = Path(scmkit.__file__).parent
PROJECT = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
TESTS = Path(__file__).parents[1]
FORBIDDEN_MODULES = {
    "pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "yaml", "subprocess", "multiprocessing",
    "pty", "code", "codeop", "ctypes", "telnetlib", "ftplib", "smtplib", "xmlrpc", "runpy", "imp",
}  # fmt: skip
FORBIDDEN_NAMES = {"eval", "exec", "compile", "__import__", "breakpoint"}
FORBIDDEN_CALLS = {
    "system", "popen", "spawnl", "spawnv", "execv", "execve", "fork", "eval", "read_pickle", "to_pickle", "read_hdf",
    "executescript", "load_extension", "enable_load_extension", "mktemp", "literal_eval",
}  # fmt: skip
FORBIDDEN_OPTIONS = {"shell": "True", "allow_pickle": "True", "verify": "False"}


def sources() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        yield str(path.relative_to(PACKAGE)), ast.parse(path.read_text(encoding="utf-8"))


def dangers(tree: ast.Module) -> list[str]:
    """List what could run or load code that somebody else wrote."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [a.name for a in node.names if a.name.split(".")[0] in FORBIDDEN_MODULES]
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] in FORBIDDEN_MODULES:
            found.append(node.module)
        if isinstance(node, ast.Name) and node.id in FORBIDDEN_NAMES:
            found.append(node.id)
        if isinstance(node, ast.Attribute) and node.attr in FORBIDDEN_CALLS:
            found.append(node.attr)
        if isinstance(node, ast.keyword) and FORBIDDEN_OPTIONS.get(node.arg or "") == ast.unparse(node.value):
            found.append(ast.unparse(node))
    return found


def test_nothing_runs_code_that_came_from_elsewhere() -> None:
    """No pickle, no eval, no yaml, no shell, no process (S20)."""
    assert {name: found for name, tree in sources() if (found := dangers(tree))} == {}


@pytest.mark.parametrize("line", [
    "import pickle", "from yaml import load", "eval('1')", "df.eval('a')", "os.system('ls')", "import subprocess as s",
    "np.load(f, allow_pickle=True)", "run('ls', shell=True)", "__import__('os')", "db.executescript(x)",
])  # fmt: skip
def test_the_search_finds_what_it_looks_for(line: str) -> None:
    """Each way of running foreign code is noticed (S20)."""
    assert dangers(ast.parse(line))


SQL_METHODS = {"execute", "executemany", "executescript", "query", "each", "_all", "_one", "_change"}
# Statements that are put together, by the function that does it, from words of our own: the names of tables and
# pragmas, and the sandbox's columns, which are named c0, c1, ... by their position.
PUT_TOGETHER = {
    "journal/answers.py": {"remember"},
    "journal/journal.py": {"forget"},
    "journal/storage.py": {"_set_up", "_run_each"},
    "sandbox/world.py": {"products", "_load", "task", "rows", "_store", "_count"},
}
HANDED_ON = {"query", "each", "_change", "_all", "_one"}  # methods that take a statement themselves


def is_constant(sql: ast.AST | None, names: set[str]) -> bool:
    """Tell whether an expression holds nothing but constants and names of constants."""
    if isinstance(sql, ast.JoinedStr):
        return all(is_constant(part, names) for part in sql.values)
    if isinstance(sql, ast.FormattedValue):
        return is_constant(sql.value, names)
    return isinstance(sql, ast.Constant) or (isinstance(sql, ast.Name) and sql.id in names)


def put_together(function: ast.FunctionDef) -> bool:
    """Tell whether a function passes something else than a constant as SQL."""
    nodes = list(ast.walk(function))
    names: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Assign) and is_constant(node.value, names):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    calls = [
        node for node in nodes if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args
    ]
    return any(call.func.attr in SQL_METHODS and not is_constant(call.args[0], names) for call in calls)


def test_sql_is_constant_and_values_are_parameters() -> None:
    """Every statement is a constant, except those that are put together from words of our own (S21)."""
    found = {
        (name, function.name)
        for name, tree in sources()
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef) and function.name not in HANDED_ON and put_together(function)
    }
    assert found == {(name, function) for name, functions in PUT_TOGETHER.items() for function in functions}


INJECTIONS = [
    "'; drop table jobs; --",
    '"; drop table codes; --',
    "x' or '1'='1",
    "%",
    "_",
    "\\",
    "a\"b'c",
    "); --",
    "?",
]


@pytest.mark.parametrize("text", INJECTIONS)
def test_statements_in_a_table_are_text(
    text: str, client: scmkit.Client, server: plain_server.PlainServer, tmp_path: Path
) -> None:
    """A statement in a key, a field's name or a value goes through journal, sandbox and DuckDB as text (S21)."""
    frame = pd.DataFrame({"extended_id": ["Code-0001", "Code-0002"], text: [text, "plain"], "other": ["a", text]})
    with scmkit.Sandbox(codes=frame, speed=1000) as sandbox, sandbox.client() as held:
        values = pd.DataFrame({text: [text], "other": [text + "!"]})
        job = scmkit.upload(values, held, key=text, mode="async", verify=True, progress=False)
        assert job.ok, job.summary()
        assert sandbox.codes()["other"].tolist() == [text + "!", text]
    with Journal() as book:
        assert book.query("pragma integrity_check") == [("ok",)]
        assert book.parts(job.id)["texts 0"] == [text]
        assert book.parts("%") == {}
    assert scmkit.jobs()["key"].tolist() == [text]
    path = tmp_path / "it's; drop.csv"
    frame.to_csv(path, index=False)
    assert dict(scmkit.count_codes(path, text).to_numpy()) == {text: 1, "plain": 1}


QUIET = """
import sys
seen = []

def hear(event, args):
    if event in {events} and args[1:] != (("::1", 0),):
        seen.append((event, args))

sys.addaudithook(hear)
import pandas as pd
import scmkit
df = scmkit.read_table({lots!r})
codes = scmkit.read_table({codes!r})
df.scm.validate(key="lot_number", fields=codes)
scmkit.count_codes({codes!r}, "lot_number")
df.scm.estimate(key="lot_number", inventory=codes.sample(frac=0.1, random_state=1), sample_fraction=0.1)
plan = df.scm.plan(key="lot_number", inventory=codes)
risk = scmkit.simulate(plan, trials=50, seed=1)
repr(plan), plan._repr_html_(), risk._repr_html_(), scmkit.jobs(), scmkit.history()
plan.plot(); risk.plot(); scmkit.ServiceTime.documented().plot()
client = scmkit.Client(token="t0ken")
print("SEEN", seen)
"""


def test_nothing_is_sent_before_an_upload(data: Path) -> None:
    """Importing, reading, validating, planning, simulating and drawing open no socket and start no process (S23).

    urllib3 asks when it is imported whether this machine knows IPv6, by binding a socket to its loopback.
    """
    events = {
        "socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.bind", "socket.sendto",
        "socket.sendmsg", "subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork",
        "urllib.Request", "http.client.connect", "webbrowser.open",
    }  # fmt: skip
    code = QUIET.format(events=events, lots=str(data / "lots.csv"), codes=str(data / "inventory.csv"))
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-1] == "SEEN []"


def test_the_only_addresses_are_the_services() -> None:
    """No line of the package names a host but the two of the service, loopback and documentation (S23)."""
    hosts = set()
    for path in PACKAGE.rglob("*.py"):
        hosts |= set(re.findall(r"https?://([\w.-]+\w)", path.read_text(encoding="utf-8")))
    assert hosts <= {"api.scantrust.com", "api.staging.scantrust.io", "127.0.0.1", "localhost", "api.example.com"}


def test_every_dependency_has_a_lower_bound_and_comes_from_the_index() -> None:
    """No dependency is a URL or a path, and each says from which version on it is known to work (S24)."""
    groups = [PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()]
    named = [Requirement(line) for group in groups for line in group]
    others = [r for r in named if r.name != "scmkit"]
    assert len(others) > 20
    assert not [str(r) for r in named if r.url]
    development = {Requirement(line).name for line in PROJECT["optional-dependencies"]["dev"]}
    unbounded = [r.name for r in others if not {s.operator for s in r.specifier} & {">=", "~=", "=="}]
    assert set(unbounded) <= {name for name in development if name.startswith("types-")}
    assert not [str(r) for r in others if "==" in str(r.specifier)]


def test_every_import_is_a_dependency_that_is_declared() -> None:
    """Nothing is used that only happens to be installed, and so nothing escapes the audit (S24)."""
    groups = [PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()]
    declared = {Requirement(line).name for group in groups for line in group}
    used = set()
    for _, tree in sources():
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                used |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                used.add(node.module.split(".")[0])
    foreign = used - set(sys.stdlib_module_names) - {"scmkit"}
    assert foreign - {name.replace("-", "_") for name in declared} <= {"IPython", "traitlets"}  # ipywidgets brings them


def test_every_item_of_the_security_list_is_tested() -> None:
    """S01 to S24 each stand in the docstring of at least one test."""
    found = set()
    for path in TESTS.rglob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                found |= set(re.findall(r"\bS\d\d\b", ast.get_docstring(node) or ""))
    assert {f"S{n:02d}" for n in range(1, 25)} <= found
