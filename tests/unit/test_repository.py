# SPDX-License-Identifier: Apache-2.0
"""The repository keeps its own promises: layers, determinism, locks, licence lines, documents that point somewhere."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = (
    "chain",
    "membership",
    "identity",
    "credit",
    "traceability",
    "client",
    "service",
    "node",
    "cli",
    "sim",
    "benchmarks",
)
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])

DETERMINISTIC_LIBRARIES = {
    "google": "protobuf is the encoding",
    "nacl": "Ed25519",
    "cryptography": "P-256",
    "pyblst": "BLS12-381",
}
"""What consensus-critical code may import beside the standard library and the layers below it."""

STANDARD_LIBRARY = {
    "abc",
    "base64",
    "bisect",
    "collections",
    "contextlib",
    "dataclasses",
    "enum",
    "functools",
    "hashlib",
    "heapq",
    "hmac",
    "itertools",
    "json",
    "math",
    "operator",
    "re",
    "string",
    "struct",
    "types",
    "typing",
    "zlib",
}
"""What consensus-critical code may take from the standard library: no clock, chance, environment, thread or file."""


UNICODE_TABLES = {
    "isprintable",
    "isalpha",
    "isalnum",
    "isdecimal",
    "isdigit",
    "isnumeric",
    "isidentifier",
    "islower",
    "isupper",
    "istitle",
    "casefold",
    "swapcase",
    "capitalize",
    "title",
}
"""Methods of text whose outcome differs between CPython 3.11 and 3.12 for some characters."""


def _imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute here"
            yield node.module or ""


def _consensus_critical() -> list[Path]:
    """`chain/`, `membership/`, every `rules.py` and all that it imports, without generated code."""
    found = {*(ROOT / "chain").rglob("*.py"), *(ROOT / "membership").rglob("*.py")}
    pending = [path for package in PACKAGES for path in (ROOT / package).rglob("rules.py")]
    while pending:
        path = pending.pop()
        if path in found or "_pb2" in path.name:
            continue
        found.add(path)
        modules = [ROOT / Path(*name.split(".")) for name in _imports(ast.parse(path.read_text("utf-8")))]
        pending += [module.with_suffix(".py") for module in modules if module.with_suffix(".py").exists()]
    return sorted(path for path in found if "_pb2" not in path.name)


def test_rules_of_a_domain_bring_the_modules_that_they_import_under_the_same_checks() -> None:
    assert {ROOT / "identity" / name for name in ("rules.py", "registrations.py", "uscc.py")} <= {
        *_consensus_critical()
    }


def _is_set(node: ast.expr) -> bool:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        return node.func.id in {"set", "frozenset"}
    return isinstance(node, ast.Set | ast.SetComp)


def _iterated(node: ast.AST) -> list[ast.expr]:
    """What this node itself iterates over, in an order that its outcome may keep."""
    if isinstance(node, ast.For):
        return [node.iter]
    if isinstance(node, ast.ListComp | ast.GeneratorExp | ast.DictComp):
        return [part.iter for part in node.generators]
    return []


def _nondeterminism(tree: ast.AST) -> Iterator[str]:
    """Each construct whose outcome may differ from one replica to the next."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, float | complex):
            yield f"line {node.lineno}: a float"
        elif isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.Div):
            yield f"line {node.lineno}: true division yields a float"
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            if node.func.id in {"hash", "id", "float", "open", "print", "input", "eval", "exec"}:
                yield f"line {node.lineno}: {node.func.id}()"
        elif isinstance(node, ast.Attribute) and node.attr in UNICODE_TABLES:
            yield f"line {node.lineno}: {node.attr} follows the interpreter's edition of Unicode"
        elif any(_is_set(part) for part in _iterated(node)):
            yield f"line {getattr(node, 'lineno', 0)}: iterates over a set"


@pytest.mark.parametrize("path", _consensus_critical(), ids=lambda p: str(p.relative_to(ROOT)))
def test_consensus_critical_module_imports_only_what_is_deterministic(path: Path) -> None:
    layers = (
        {"chain"} if path.is_relative_to(ROOT / "chain") else {"chain", "membership", path.relative_to(ROOT).parts[0]}
    )
    layers |= (
        {"identity"} if path.is_relative_to(ROOT / "traceability") or path.is_relative_to(ROOT / "credit") else set()
    )
    allowed = layers | STANDARD_LIBRARY | DETERMINISTIC_LIBRARIES.keys()
    roots = {name.partition(".")[0] for name in _imports(ast.parse(path.read_text("utf-8")))}
    assert sorted(roots - allowed) == []


@pytest.mark.parametrize("path", _consensus_critical(), ids=lambda p: str(p.relative_to(ROOT)))
def test_consensus_critical_module_has_no_float_hash_or_set_order(path: Path) -> None:
    assert list(_nondeterminism(ast.parse(path.read_text("utf-8")))) == []


@pytest.mark.parametrize(
    "source",
    [
        "x = 0.5",
        "x = 1 / 2",
        "x /= 2",
        "x = hash(b'')",
        "for x in {1, 2}: pass",
        "y = [x for x in set(z)]",
        "id(x)",
        "x.isprintable()",
    ],
)
def test_nondeterminism_planted_is_found(source: str) -> None:
    assert len(list(_nondeterminism(ast.parse(source)))) == 1


SERVED = ("identity", "credit", "traceability", "service", "cli")
"""Packages whose code runs on an event loop that other requests share."""
TRANSACTIONS = {"read", "write", "reading", "connect", "begin"}
"""How a transaction of a store or of an index begins: it waits for the database, which another writer may hold."""


def _own_nodes(function: ast.AsyncFunctionDef) -> Iterator[ast.AST]:
    """What runs where a function itself does: functions inside it run where they are called, as in a worker thread."""
    waiting: list[ast.AST] = list(function.body)
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            waiting += ast.iter_child_nodes(node)


def _blocking(tree: ast.AST) -> Iterator[str]:
    """Each transaction that a coroutine begins itself: for so long, nothing else of the whole process goes on."""
    for function in ast.walk(tree):
        if not isinstance(function, ast.AsyncFunctionDef):
            continue
        begun = [
            item.context_expr for node in _own_nodes(function) if isinstance(node, ast.With) for item in node.items
        ]
        for one in begun:
            if isinstance(one, ast.Call) and isinstance(one.func, ast.Attribute) and one.func.attr in TRANSACTIONS:
                yield f"line {one.lineno}: {function.name} begins {ast.unparse(one)} on the event loop"


@pytest.mark.parametrize("package", SERVED)
def test_no_coroutine_begins_a_transaction_on_the_event_loop(package: str) -> None:
    modules = [path for path in sorted((ROOT / package).rglob("*.py")) if "_pb2" not in path.name]
    assert modules
    found = {str(p.relative_to(ROOT)): list(_blocking(ast.parse(p.read_text("utf-8")))) for p in modules}
    assert {name: lines for name, lines in found.items() if lines} == {}, "move it into a function for a worker thread"


@pytest.mark.parametrize(
    ("inside", "count"),
    [
        ("with store.read() as session: pass", 1),
        ("with desk.store.write() as session: pass", 1),
        ("with context.reading() as connection: pass", 1),
        ("if asked:\n  for one in many:\n   with locked(), store.write() as session: pass", 1),
        ("with store.read() as one: pass\n with store.write() as other: pass", 2),
        ("def ask():\n  with store.read() as session: pass\n await run_in_threadpool(ask)", 0),
        ("async def ask():\n  with store.read() as session: pass\n await ask()", 1),
        ("async with sessions.read() as session: pass", 0),
    ],
)
def test_transaction_planted_on_the_event_loop_is_found(inside: str, count: int) -> None:
    assert len(list(_blocking(ast.parse(f"async def page():\n {inside}")))) == count
    assert list(_blocking(ast.parse("def page():\n with store.read() as session: pass"))) == []


@pytest.mark.parametrize("name", ["runtime.txt", "dev.txt"])
def test_lock_pins_each_package_by_hash_and_names_no_registry(name: str) -> None:
    text = (ROOT / "requirements" / name).read_text("utf-8")
    assert not re.search(r"https?://|--(extra-)?index-url|--find-links|--trusted-host| @ ", text)
    entries = re.sub(r"\\\n\s*", "", text).splitlines()
    assert entries
    for entry in entries:
        assert re.fullmatch(
            r"[a-z0-9._-]+(\[[a-z,]+\])?==\S+( *;[^-]*)?( --hash=sha256:[0-9a-f]{64} ?)+", entry + " "
        ), entry


def test_runtime_lock_is_part_of_the_development_lock() -> None:
    pins = [
        dict(re.findall(r"^([a-z0-9._-]+)==([^ \\]+)", (ROOT / "requirements" / name).read_text("utf-8"), re.MULTILINE))
        for name in ("runtime.txt", "dev.txt")
    ]
    assert pins[0]
    assert pins[0].items() <= pins[1].items()


def test_each_source_file_names_its_licence() -> None:
    suffixes = {".py", ".proto", ".pyi"}
    folders = [ROOT / name for name in (*PACKAGES, "tests", "proto", "stubs")]
    sources = [p for f in folders for p in f.rglob("*") if p.suffix in suffixes and "_pb2" not in p.name]
    bare = [p for p in sources if "SPDX-License-Identifier: Apache-2.0" not in p.read_text("utf-8")[:200]]
    assert [str(p.relative_to(ROOT)) for p in bare if p.stat().st_size] == []


def test_each_module_says_what_it_is() -> None:
    modules = [p for name in PACKAGES for p in (ROOT / name).rglob("*.py") if "pb2" not in p.name]
    silent = [p for p in modules if p.stat().st_size and not ast.get_docstring(ast.parse(p.read_text("utf-8")))]
    assert [str(p.relative_to(ROOT)) for p in silent] == []


def _targets(document: Path) -> list[str]:
    text = re.sub(r"```.*?```", "", document.read_text("utf-8"), flags=re.DOTALL)
    links = re.findall(r"\]\(([^)\s]+)\)", text)
    return [link for link in links if not re.match(r"[a-z]+:", link) and not link.startswith("#")]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_document_links_point_to_files_that_exist(document: Path) -> None:
    missing = [t for t in _targets(document) if not (document.parent / t.partition("#")[0]).exists()]
    assert missing == []


def test_documents_that_the_code_names_exist() -> None:
    folders = [ROOT / name for name in (*PACKAGES, "tests", "proto")]
    sources = [p for f in folders for p in f.rglob("*") if p.suffix in {".py", ".proto", ".json"}]
    named = {(name, p) for p in sources for name in re.findall(r"\bdocs/[\w/-]+\.md", p.read_text("utf-8"))}
    assert named
    assert sorted(f"{p.relative_to(ROOT)}: {name}" for name, p in named if not (ROOT / name).exists()) == []


def test_tables_of_the_operators_page_are_what_the_program_says() -> None:
    done = subprocess.run(
        [sys.executable, "tests/check_docs_fresh.py"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_readme_in_chinese_has_the_same_sections_and_commands() -> None:
    english, chinese = ((ROOT / name).read_text("utf-8") for name in ("README.md", "README.zh-CN.md"))
    shape = re.compile(r"^#+", re.MULTILINE)
    code = re.compile(r"```.*?```", re.DOTALL)
    assert shape.findall(code.sub("", english)) == shape.findall(code.sub("", chinese))
    commands = [
        [re.sub(r"\s*#.*", "", line).strip() for block in code.findall(text) for line in block.splitlines()[1:-1]]
        for text in (english, chinese)
    ]
    assert commands[0]
    assert commands[0] == commands[1]


def _rule_table() -> list[tuple[str, str]]:
    """Rows of docs/protocol.md's last table: the rule's name, and its test as `path::name` or `path`."""
    text = (ROOT / "docs" / "protocol.md").read_text("utf-8")
    table = text.partition("## Where each rule is tested")[2]
    rows = re.findall(r"^\| (.+?) \| (.+?) \|$", table, re.MULTILINE)
    return [(rule, test) for rule, tests in rows for test in re.findall(r"`(tests/[^`]+)`", tests)]


def test_protocol_names_tests_that_exist() -> None:
    rows = _rule_table()
    assert rows
    wrong = []
    for rule, test in rows:
        path, _, name = test.partition("::")
        file = ROOT / path
        if not file.exists() or (
            name and not re.search(rf"^(async )?def {re.escape(name)}\b", file.read_text("utf-8"), re.MULTILINE)
        ):
            wrong.append(f"{rule}: {test}")
    assert wrong == []


def test_each_decision_record_says_context_options_outcome_and_cost() -> None:
    records = sorted((ROOT / "docs" / "adr").glob("[0-9]*.md"))
    assert [int(path.name[:4]) for path in records] == list(range(1, len(records) + 1))
    for path in records:
        text = path.read_text("utf-8")
        assert [h for h in ("## Context", "## Options", "## Outcome", "## What got worse") if h not in text] == [], (
            path.name
        )


def test_no_two_test_files_have_one_name() -> None:
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    twice = sorted({name for name in names if names.count(name) > 1})
    assert twice == [], "of two modules of one name the first that is imported stands for both"
