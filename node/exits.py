# SPDX-License-Identifier: Apache-2.0
"""How a node's process ends: one table for the program, its documentation and service managers."""

from enum import IntEnum


class NodeExit(IntEnum):
    """Exit codes of `zhixin node run`; those shared with the rest of the command have the same numbers there."""

    STOPPED = 0
    DEFECT = 1
    REFUSED = 3
    WORLD = 6
    HALTED = 10


MEANINGS: dict[NodeExit, str] = {
    NodeExit.STOPPED: "stopped on SIGTERM or SIGINT, everything flushed and closed",
    NodeExit.DEFECT: "a fault of the program; restart it with a pause, and report the log",
    NodeExit.REFUSED: "did not start: settings, keys, genesis, clock, or the wrong directory; the message says which",
    NodeExit.WORLD: "disk, database or network address failed; restart it once what the message names is mended",
    NodeExit.HALTED: "others certified what this node did not compute; do not restart it, keep data/dumps, report it",
}
