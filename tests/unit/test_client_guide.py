# SPDX-License-Identifier: Apache-2.0
"""docs/client.md: its programs compile, and each name that they or the page use exists; tests/network runs them."""

import ast
import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest
from fake_network import FakeNetwork

import client
from chain.ed25519 import Ed25519Signer
from chain.transaction import Operation
from client.session import Session

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "client.md").read_text("utf-8")
PROGRAMS = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def test_page_has_a_program_for_each_task() -> None:
    assert len(PROGRAMS) == len(re.findall(r"^## (?!Errors)", PAGE, re.MULTILINE)) == 5


@pytest.mark.parametrize("program", PROGRAMS, ids=range(len(PROGRAMS)))
def test_program_imports_only_names_that_exist(program: str) -> None:
    imports = [node for node in ast.walk(ast.parse(program)) if isinstance(node, ast.ImportFrom)]
    assert imports
    for node in imports:
        module = importlib.import_module(node.module or "")
        for alias in node.names:
            assert hasattr(module, alias.name), (node.module, alias.name)


def test_names_of_the_page_are_those_of_the_package_and_each_loads() -> None:
    table = PAGE.split("## Read")[0]
    assert set(re.findall(r"`([A-Z]\w+)`", table)) == set(client.__all__)
    for name in client.__all__:
        assert getattr(client, name).__name__ == name
    with pytest.raises(AttributeError):
        _ = client.Invented


def test_package_alone_imports_nothing_heavy() -> None:
    program = "import sys, client; assert 'grpc' not in sys.modules; client.Endpoint; assert 'grpc' in sys.modules"
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)


async def test_facts_show_themselves_in_one_short_line() -> None:
    async with FakeNetwork() as fake, Session(fake.genesis, endpoints=fake.endpoints) as session:
        put = Operation.make("test.Put", b"test/long=" + bytes(300))
        proven = await session.submit_one(session.sign([put], [Ed25519Signer(bytes(32))]))
        present, absent = await session.read_many([b"test/long", b"test/none"])
    assert proven.id.hex() in repr(proven)
    assert "succeeded" in repr(proven)
    assert "300 bytes" in repr(present)
    assert "absent" in repr(absent)
    assert max(map(len, map(repr, (proven, present, absent)))) < 200
