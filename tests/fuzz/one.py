# SPDX-License-Identifier: Apache-2.0
"""Fuzz one target in this process: `python -m tests.fuzz.one NAME [libFuzzer's options and folders]`.

The ledger's Python code is instrumented, so that inputs which reach new lines are kept and mutated further. Half of the
mutations are made well-formed again, or nearly all would end at the check for the canonical encoding.
"""

import sys

import atheris

with atheris.instrument_imports(include=["chain", "membership", "identity"]):
    from tests.fuzz.target import accepts
    from tests.fuzz.targets import TARGETS


def main() -> None:
    target = TARGETS[sys.argv[1]]

    def mutate(data: bytes, size_max: int, seed: int) -> bytes:
        changed = bytes(atheris.Mutate(data, size_max))
        return target.repair(changed)[:size_max] if seed & 1 else changed

    atheris.Setup([sys.argv[0], *sys.argv[2:]], lambda data: accepts(target, data), custom_mutator=mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
