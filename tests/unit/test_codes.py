# SPDX-License-Identifier: Apache-2.0
"""Each code that an error can carry stands in docs/codes.md, once, and each that stands there is in use."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("chain", "membership", "identity", "credit", "traceability", "node", "client")
CODE = re.compile(r"[a-z]+[0-9]?(-[a-z]+)*\.[a-z][a-z0-9]*(-[a-z0-9]+)*")


def constant(node: ast.expr | None) -> str | None:
    is_code = isinstance(node, ast.Constant) and isinstance(node.value, str) and CODE.fullmatch(node.value)
    return node.value if is_code else None


TOKEN_ERROR = "InvalidToken"
"""Of the ledger's errors the one that services raise, too, with codes of their own."""


def codes_of(tree: ast.Module) -> set[str]:
    """Codes given to errors (second argument, `code=` or its default), defaults of error classes, named constants."""
    found: set[str | None] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
            if name[:1].isupper() and len(node.args) > 1:
                found.add(constant(node.args[1]))
            found.update(constant(keyword.value) for keyword in node.keywords if keyword.arg == "code")
        elif isinstance(node, ast.FunctionDef):
            defaults = zip(reversed(node.args.args), reversed(node.args.defaults), strict=False)
            found.update(constant(value) for argument, value in defaults if argument.arg == "code")
        elif isinstance(node, ast.Assign):
            names = [target.id for target in node.targets if isinstance(target, ast.Name)]
            if "default_code" in names or any(name in {"UNKNOWN_TYPE", "INVALID_BODY"} for name in names):
                found.add(constant(node.value))
    return {code for code in found if code is not None}


def codes_of_tokens(tree: ast.Module, package: str) -> set[str]:
    """Codes of its package that a service gives to the ledger's error about a token."""
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    named = [node for node in calls if isinstance(node.func, ast.Name) and node.func.id == TOKEN_ERROR]
    given = {constant(value) for node in named for value in node.args[1:2]}
    return {code for code in given if code is not None and code.startswith(f"{package}.")}


def used() -> dict[str, set[str]]:
    """Codes in use, by package; of services those of tokens alone, for docs/service-codes.md has their own."""
    found: dict[str, set[str]] = {}
    for package in PACKAGES:
        paths = [path for path in sorted((ROOT / package).rglob("*.py")) if "pb" not in path.parts]
        trees = [("api" in path.parts, ast.parse(path.read_text())) for path in paths]
        found[package] = set().union(
            *(codes_of_tokens(tree, package) if is_service else codes_of(tree) for is_service, tree in trees)
        )
    return found


def documented() -> list[str]:
    lines = (ROOT / "docs" / "codes.md").read_text().splitlines()
    return [found[1] for line in lines if (found := re.match(r"\| `([^`]+)` \| \S", line))]


def test_every_code_in_use_is_documented_and_every_documented_one_in_use() -> None:
    in_use = set().union(*used().values())
    assert sorted(in_use - set(documented())) == [], "write a line for each in docs/codes.md"
    assert sorted(set(documented()) - in_use) == [], "nothing raises these any more"


def test_codes_are_documented_once_and_in_order_within_their_table() -> None:
    listed = documented()
    assert len(listed) == len(set(listed))
    assert listed == sorted(listed)


@pytest.mark.parametrize("package", ["membership", "identity"])
def test_module_refuses_with_codes_of_its_own_name(package: str) -> None:
    assert used()[package]
    assert {code.split(".")[0] for code in used()[package]} == {package}


def test_scan_finds_each_way_to_give_a_code() -> None:
    source = """
raise Refused("x", "a.first")
raise Refused("x", code="a.second")
class E:
    default_code = "a.third"
    def __init__(self, reason, code="a.fourth"): ...
"""
    assert codes_of(ast.parse(source)) == {"a.first", "a.second", "a.third", "a.fourth"}


def test_scan_of_services_finds_codes_of_tokens_alone() -> None:
    source = """
raise InvalidToken("x", "a.token")
raise InvalidToken("x")
raise InvalidToken("x", "b.step")
raise Problem("x", "a.other")
"""
    assert codes_of_tokens(ast.parse(source), "a") == {"a.token"}
