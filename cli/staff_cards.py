# SPDX-License-Identifier: Apache-2.0
"""Staff cards of officers, from the settings: whose certificates count, and where the card's agent answers."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from cryptography import x509

from chain.errors import LedgerError
from identity.cards.authority import InvalidCardCertificate, compressed_key
from identity.cards.objects import Slot
from identity.cards.verifying import CHAIN_BYTES_MAX, Chain, is_emulated, load_chain, verify_certificates
from service.errors import ConfigError
from service.settings import StaffSettings
from service.sign_in.staff_cards import CardKeys, CardUnfit, StaffCards

_AGENT = re.compile(r"http://(127\.0\.0\.1|localhost):[1-9][0-9]{0,4}")


def staff_cards(settings: StaffSettings) -> StaffCards | None:
    """Staff cards as the settings have them; None: no authority of cards is named.

    Raises:
        ConfigError: An authority's chain can't be read, or the agent's address is none of this machine's.
    """
    if not settings.card_chains:
        return None
    if not _AGENT.fullmatch(settings.card_agent):
        raise ConfigError("staff.card_agent must read http://127.0.0.1:port: the agent runs on officers' machines")
    chains = [_chain(Path(path)) for path in settings.card_chains]
    return StaffCards(settings.card_agent, lambda *given: check(chains, *given, emulated=settings.emulated_cards))


def check(chains: Sequence[Chain], authenticate: bytes, sign: bytes, now_ms: int, *, emulated: bool) -> CardKeys:
    """Read the certificates in slots 9A and 9C of a card.

    Args:
        chains: Authorities whose cards count; at least one.
        authenticate: DER.
        sign: DER.
        now_ms: Unix time.
        emulated: Whether an emulated card counts, too: for tests alone.

    Raises:
        CardUnfit: They are not of one of these authorities, not for their slots, do not hold now, or are of an
            emulated card.
    """
    found = _verified(chains, {Slot.AUTHENTICATE: authenticate, Slot.SIGN: sign}, now_ms // 1000)
    if not emulated and any(is_emulated(one) for one in found.values()):
        raise CardUnfit("the card is emulated: staff.emulated_cards is for tests alone")
    keys = {slot: compressed_key(one) for slot, one in found.items()}
    return CardKeys(keys[Slot.AUTHENTICATE], keys[Slot.SIGN], min(_end_ms(one) for one in found.values()))


def _verified(chains: Sequence[Chain], read: Mapping[Slot, bytes], now_s: int) -> dict[Slot, x509.Certificate]:
    reasons = []
    for chain in chains:
        try:
            return verify_certificates(read, chain, now_s)
        except InvalidCardCertificate as error:
            reasons.append(error.reason)
    raise CardUnfit("; ".join(reasons))


def _chain(path: Path) -> Chain:
    try:
        with path.open("rb") as file:
            return load_chain(file.read(CHAIN_BYTES_MAX + 1))
    except OSError as error:
        raise ConfigError(f"staff.card_chains: {path} can't be read: {error.strerror or error}") from None
    except LedgerError as error:
        raise ConfigError(f"staff.card_chains: {path}: {error.reason}") from None


def _end_ms(certificate: x509.Certificate) -> int:
    return int(certificate.not_valid_after_utc.timestamp()) * 1000
