# SPDX-License-Identifier: Apache-2.0
"""Settings of an organisation's seal for papers; see `service.settings` for how they are read."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class DocumentSettings:
    """The seal, and the time-stamp authority beside it; `zhixin document seal` and `stamps` make them."""

    seal: str = field(default="", metadata={"why": "folder of the seal, mode 0700; empty: papers carry no seal"})
    stamps: str = field(default="", metadata={"why": "folder of the time-stamp authority; needed beside a seal"})
    passphrase_file: str = field(default="", metadata={"why": "else ZHIXIN_PASSPHRASE; opens both folders"})
    allow_plain: bool = field(default=False, metadata={"why": "only a test network may keep keys unencrypted"})
    serve_stamps: bool = field(
        default=False, metadata={"why": "the verifier stamps digests at /time-stamps for whoever asks"}
    )
