# SPDX-License-Identifier: Apache-2.0
"""Staff cards of officers, from the settings: whose certificates count, and where the card's agent answers."""

import re
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
        ConfigError: The authority's chain can't be read, or the agent's address is none of this machine's.
    """
    if not settings.card_chain:
        return None
    if not _AGENT.fullmatch(settings.card_agent):
        raise ConfigError("staff.card_agent must read http://127.0.0.1:port: the agent runs on officers' machines")
    path = Path(settings.card_chain)
    try:
        with path.open("rb") as file:
            chain = load_chain(file.read(CHAIN_BYTES_MAX + 1))
    except OSError as error:
        raise ConfigError(f"staff.card_chain: {path} can't be read: {error.strerror or error}") from None
    except LedgerError as error:
        raise ConfigError(f"staff.card_chain: {path}: {error.reason}") from None
    return StaffCards(settings.card_agent, lambda *given: check(chain, *given, emulated=settings.emulated_cards))


def check(chain: Chain, authenticate: bytes, sign: bytes, now_ms: int, *, emulated: bool) -> CardKeys:
    """Read the certificates in slots 9A and 9C of a card that is to be enrolled.

    Args:
        chain: The authority whose cards count.
        authenticate: DER.
        sign: DER.
        now_ms: Unix time.
        emulated: Whether an emulated card counts, too: for tests alone.

    Raises:
        CardUnfit: One is not the authority's, not for its slot, does not hold now, or is of an emulated card.
    """
    try:
        found = verify_certificates({Slot.AUTHENTICATE: authenticate, Slot.SIGN: sign}, chain, now_ms // 1000)
    except InvalidCardCertificate as error:
        raise CardUnfit(error.reason) from None
    if not emulated and any(is_emulated(one) for one in found.values()):
        raise CardUnfit("the card is emulated: staff.emulated_cards is for tests alone")
    keys = {slot: compressed_key(one) for slot, one in found.items()}
    return CardKeys(keys[Slot.AUTHENTICATE], keys[Slot.SIGN], min(_end_ms(one) for one in found.values()))


def _end_ms(certificate: x509.Certificate) -> int:
    return int(certificate.not_valid_after_utc.timestamp()) * 1000
