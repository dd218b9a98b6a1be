# SPDX-License-Identifier: Apache-2.0
"""Settings of a kiosk: its key, its reader, its office; see `service.settings` for how they are read."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class KioskSettings:
    """One kiosk; it stands on a machine of its own."""

    device_key: str = field(
        default="", metadata={"why": "key file (P-256) that `zhixin registrar device register` registered; empty: none"}
    )
    passphrase_file: str = field(default="", metadata={"why": "else ZHIXIN_PASSPHRASE; opens the device's key"})
    allow_plain: bool = field(default=False, metadata={"why": "only a test network may keep keys unencrypted"})
    office: str = field(default="", metadata={"why": "origin of the registrar's desk, https://…"})
    ca_file: str = field(
        default="", metadata={"why": "certificates that the office's is signed by; empty: the system's"}
    )
    card_chains: tuple[str, ...] = field(
        default=(), metadata={"why": "chain.pem of each authority whose cards count here"}
    )
    reader: str = field(default="", metadata={"why": "name of the reader, or part of it; empty: the only one"})
    emulated: str = field(
        default="", metadata={"why": "folder in which inserted.json is a card put in, for tests alone; empty: a reader"}
    )
    emulated_cards: bool = field(default=False, metadata={"why": "emulated cards in a reader count: for tests alone"})
    folder: str = field(
        default="data/kiosk", metadata={"why": "statements on their way, sealed for the office; mode 0700"}
    )
    check_url: str = field(default="", metadata={"why": "of the page that checks receipts, printed on paper"})
    phone_fen_min: int = field(
        default=200_000, metadata={"why": "from this amount on the holder's phone confirms; 2 000 yuan"}
    )
    print_command: tuple[str, ...] = field(
        default=(), metadata={"why": "program that prints a PDF from its input, as a list; empty: the browser opens it"}
    )
    liveness_method: str = field(
        default="", metadata={"why": "name of the liveness method with its version; empty: nobody looks"}
    )
    liveness_command: tuple[str, ...] = field(
        default=(), metadata={"why": "its program, as a list; is given a challenge, prints its evidence"}
    )
    verifier: str = field(default="", metadata={"why": "origin of the verifier that asks phones; empty: no phones"})
    verifier_key_file: str = field(default="", metadata={"why": "holds the key zxv_… that it gave; mode 0600"})
    verifier_purpose: int = field(default=1, metadata={"why": "purpose on the ledger that allows assurance_level"})
    office_verifier: str = field(
        default="", metadata={"why": "at the desk: registrar.cer of that verifier; empty: no phones, no large payments"}
    )
    office_party: str = field(default="", metadata={"why": "at the desk: relying party as which kiosks ask"})
    office_check_url: str = field(
        default="", metadata={"why": "at the desk, beside documents.seal: page that checks receipts, on sealed papers"}
    )
    office_liveness: tuple[str, ...] = field(
        default=(), metadata={"why": "at the desk: names of liveness methods that raise the level; empty: none does"}
    )
    office_bills: str = field(
        default="", metadata={"why": "at the desk, for development: JSON list of bills that everybody has"}
    )
