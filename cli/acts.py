# SPDX-License-Identifier: Apache-2.0
"""Files of acts: what one member asks for and others vote on, as JSON that people can read before they do.

A file is a list of objects such as {"grant_role": {"organisation": "trade-office", "role": "registrar"}}; bytes are in
hex.
"""

import json
from collections.abc import Sequence
from pathlib import Path

from cli.acting import write_file
from cli.errors import InputError
from cli.home import read_file
from cli.language import t
from cli.output import Json
from cli.records import message_of, show
from membership.pb.membership_pb2 import Act

FILE_BYTES_MAX = 256 * 1024


def load_acts(paths: Sequence[Path]) -> list[Act]:
    """The acts of all these files, in order.

    Raises:
        InputError: One cannot be read, or does not hold acts.
    """
    acts = []
    for path in paths:
        try:
            items = json.loads(read_file(path, FILE_BYTES_MAX))
        except (ValueError, RecursionError) as error:
            raise InputError("acts.file", t("acts.file", path=path, text=error)) from None
        for item in items if isinstance(items, list) else [items]:
            if not isinstance(item, dict):
                raise InputError("acts.file", t("acts.file", path=path, text=t("acts.file-form")))
            act = message_of(Act, item, "Act")
            assert isinstance(act, Act)
            acts.append(act)
    return acts


def save_act(path: Path, act: Act) -> dict[str, Json]:
    """Write one act as a file that `load_acts` reads; its fields."""
    fields = show(act)
    write_file(path, json.dumps([fields], ensure_ascii=False, indent=2).encode() + b"\n")
    path.chmod(0o644)  # public halves alone: it is made to be handed out
    return fields
