# SPDX-License-Identifier: Apache-2.0
"""The command knows each table of the store: a store that it makes, migrates, backs up or erases from has all of them.

A module whose tables nothing imports is found by no test of its own, which imports it.
"""

import ast
import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = tuple(ROOT / name for name in ("cli", "credit", "identity", "service", "traceability"))
"""Those that may have tables of the store; the others import none of it."""


def defined(folders: Iterable[Path]) -> dict[str, Path]:
    """Tables by name, with the files whose classes define them; nothing is imported to see it."""
    found: dict[str, Path] = {}
    for path in (path for folder in folders for path in sorted(folder.rglob("*.py"))):
        for node in ast.walk(ast.parse(path.read_bytes())):
            if not isinstance(node, ast.ClassDef):
                continue
            for line in node.body:
                targets = line.targets if isinstance(line, ast.Assign) else [getattr(line, "target", None)]
                if any(isinstance(one, ast.Name) and one.id == "__tablename__" for one in targets):
                    name = ast.literal_eval(line.value)  # type: ignore[attr-defined]  # an assignment has one
                    assert name not in found, f"{path} and {found[name]} have the table {name}"
                    found[name] = path
    return found


def known(*without: str) -> set[str]:
    """Tables of the store in a process that imports `cli.services` and nothing else.

    Args:
        without: Modules that stand empty there, as if nobody had imported them.
    """
    program = (
        "import json, sys, types\n"
        "for name in sys.argv[1:]: sys.modules[name] = types.ModuleType(name)\n"
        "import cli.services\n"
        "from service.store.models import Base\n"
        "print(json.dumps(sorted(Base.metadata.tables)))\n"
    )
    ran = subprocess.run([sys.executable, "-c", program, *without], cwd=ROOT, check=True, capture_output=True)
    return set(json.loads(ran.stdout))


def test_command_that_imports_the_services_knows_each_table_of_the_store() -> None:
    tables, here = defined(PACKAGES), known()
    missing = {name: str(path.relative_to(ROOT)) for name, path in tables.items() if name not in here}
    assert missing == {}, "import their modules in cli/services.py"
    assert here == set(tables), "each table is a class with a __tablename__"


def test_table_whose_module_nobody_imports_is_missed() -> None:
    module = "traceability.api.regulator.tables"
    own = {name for name, path in defined(PACKAGES).items() if path == ROOT / f"{module.replace('.', '/')}.py"}
    assert own
    assert set(defined(PACKAGES)) - known(module) == own


def test_table_is_found_wherever_its_class_stands(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    planted = tmp_path / "deep" / "pages.py"
    inside = "def make():\n    class Row(Other):\n        __tablename__: str = 'b'\n"
    planted.write_text(inside + "class Row(Base):\n    __tablename__ = 'a'\n")
    assert defined([tmp_path]) == {"a": planted, "b": planted}
