# SPDX-License-Identifier: Apache-2.0
"""Generated protobuf code equals what `proto/` generates; with --write, make it so.

Service definitions live in files named `*service.proto`; only those get gRPC stubs, so that `chain` never imports gRPC.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def generate(target: Path) -> None:
    protos = sorted(str(p.relative_to(ROOT / "proto")) for p in (ROOT / "proto").rglob("*.proto"))
    services = [p for p in protos if p.endswith("service.proto")]
    base = [sys.executable, "-m", "grpc_tools.protoc", "-Iproto"]
    env_path = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"}
    subprocess.run(
        [*base, f"--python_out={target}", f"--mypy_out=quiet:{target}", *protos], cwd=ROOT, check=True, env=env_path
    )
    if services:
        subprocess.run(
            [*base, f"--grpc_python_out={target}", f"--mypy_grpc_out=quiet:{target}", *services],
            cwd=ROOT,
            check=True,
            env=env_path,
        )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="write the generated files into the tree")
    if parser.parse_args().write:
        generate(ROOT)
        return 0
    with tempfile.TemporaryDirectory() as room:
        generate(Path(room))
        fresh = {p.relative_to(room): p.read_bytes() for p in Path(room).rglob("*.py*")}
    committed = {p.relative_to(ROOT): p.read_bytes() for p in ROOT.glob("*/pb/*_pb2*") if p.suffix in {".py", ".pyi"}}
    stale = sorted(str(p) for p in fresh.keys() | committed.keys() if fresh.get(p) != committed.get(p))
    for path in stale:
        print(f"{path}: not what proto/ generates; run `make proto`", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
