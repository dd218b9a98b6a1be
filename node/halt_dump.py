# SPDX-License-Identifier: Apache-2.0
"""What a node that halted left in `data/dumps`: read back, for comparing it with another node."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from chain.strict_json import check_depth
from node.diff import FIELDS, Facts
from node.errors import ConfigError

DUMP_BYTES_MAX = 16 * 1024 * 1024
"""64 blocks with a digest for each module take 64 KiB."""
DEPTH_MAX = 8
"""Digests by module, of blocks, in a list, in a document: four."""


@dataclass(frozen=True, slots=True)
class HaltDump:
    """A dump.

    Attributes:
        at_ms: When the node halted, by its clock.
        reason: Why.
        facts: What the newest blocks came to, by height.
    """

    at_ms: int
    reason: str
    facts: Mapping[int, Facts]


def load_dump(path: Path) -> HaltDump:
    """Read a dump.

    Raises:
        ConfigError: It can't be read, or is none.
    """
    try:
        raw = path.read_bytes()[: DUMP_BYTES_MAX + 1]
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
    try:
        text = raw.decode()
        check_depth(text, DEPTH_MAX)
        document = json.loads(text)
        facts = {block["height"]: _facts(block) for block in document["blocks"]}
        dump = HaltDump(int(document["at_ms"]), str(document["reason"]), facts)
    except (ValueError, KeyError, TypeError):
        raise ConfigError(f"{path} is not what a node that halted leaves in data/dumps") from None
    if len(raw) > DUMP_BYTES_MAX:
        raise ConfigError(f"{path} is too large")
    return dump


def _facts(block: Mapping[str, object]) -> Facts:
    """One block's results; older dumps have fewer fields."""
    height, modules = block["height"], block["writes_by_module"]
    if not isinstance(height, int) or not isinstance(modules, dict):
        raise TypeError
    checkpoint: dict[str, int | str] = {}
    for name in FIELDS:
        value = block.get(name)
        if isinstance(value, int | str):
            checkpoint[name] = value
    return Facts(height, checkpoint, {str(name): str(digest) for name, digest in modules.items()})
