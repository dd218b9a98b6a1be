# SPDX-License-Identifier: Apache-2.0
"""What can go wrong with a backup; a disk that fails is `node.errors.StorageError`, as everywhere."""

from dataclasses import dataclass

from node.audit_faults import Fault


class BackupError(Exception):
    """What was asked for can't be done with these files, this key or this home; the text says what can."""


@dataclass
class BackupDamaged(Exception):
    """A file of a backup is not what was written, or does not prove what it says.

    Attributes:
        file: Its name in the backup's folder.
        reason: One sentence.
        fault: The record in it, if it opens.
    """

    file: str
    reason: str
    fault: Fault | None = None

    def __str__(self) -> str:
        return f"{self.file}: {self.reason}"
