# SPDX-License-Identifier: Apache-2.0
"""How a trader's passkey becomes a participant's key: the regulator's officer and the trader sign one transaction.

The ledger wants both: the key itself, so that nobody is given a key that they do not have, and a regulator. The service
has neither. The officer signs first, which fixes the header; the trader signs the same within minutes, while both stand
at the counter and have compared the fingerprint on their screens. Submitting it needs no further key.
"""

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from chain.codec import encode
from chain.errors import InvalidSignature
from chain.signing import Signer
from chain.transaction import Operation, SignedTransaction, build, verify_signatures
from chain.types import SALT_BYTES, Millis, Network
from membership.state import signer_pb
from service.problems import Problem
from service.sign_in import challenges, kinds
from service.sign_in.acts import EXPIRY_MS
from service.sign_in.challenges import Purpose
from service.sign_in.office import Office
from service.sign_in.passkeys import Answer
from service.sign_in.sessions import Officer
from service.sign_in.signing import challenge_answered, challenge_of, options_for, signature_in, verify_answer
from service.sign_in.tables import ACTIVE, Passkey
from service.store import Act
from traceability.api.trader.problems import UNKNOWN
from traceability.api.trader.tables import TraderKeyRequest
from traceability.items import is_gln
from traceability.pb import traceability_pb2 as pb

ASKED_MS: Final = 3_600_000
"""Somebody who stands in line at the food office; later they ask again."""
LISTED_MAX: Final = 100
_SPARE_MS: Final = 10_000
"""To send it before it expires."""


@dataclass(frozen=True, slots=True)
class _Made:
    """A signer whose signature was made on a device; the blank one stands in while the header is made."""

    signer: Signer
    signature: bytes = b"\0"

    def sign(self, _message: bytes) -> bytes:
        return self.signature


@dataclass(frozen=True, slots=True)
class Grant:
    """A request as pages show it.

    Attributes:
        gln: Of whom the key is to be; as the invitation says.
        fingerprint: Of the passkey, to be compared by eye; groups of four.
        shown: Digest of what the page showed, which it hands back; 64 hex digits.
        is_signed: An officer signed; the trader has until `expires_ms`.
        code: Which rule refused it the last time; "" otherwise.
    """

    id: str
    gln: str
    fingerprint: str
    shown: str
    asked_ms: int
    expires_ms: int
    is_signed: bool
    code: str


def ask(office: Office, trader: Officer) -> None:
    """Ask that the passkey somebody signed in with becomes a key of the participant that they were invited for.

    Raises:
        Problem: The invitation names no participant.
    """
    if not is_gln(trader.organisation):
        raise Problem(UNKNOWN)
    with office.store.write() as session:
        session.execute(delete(TraderKeyRequest).where(TraderKeyRequest.staff_id == trader.staff_id))
        row = TraderKeyRequest(
            person_id=trader.person_id,
            staff_id=trader.staff_id,
            passkey_id=trader.passkey_id,
            gln=trader.organisation,
            asked_ms=office.now(),
            officer_passkey="",
            salt=bytes(SALT_BYTES),
            expires_ms=0,
            signature=b"",
            code="",
        )
        session.add(row)
        session.flush()
        office.store.record(session, Act(trader.person_id, "trade.key-asked", row.id))


def mine(office: Office, trader: Officer) -> Grant | None:
    """Somebody's own request; None: there is none, or it is over."""
    with office.store.read() as session:
        row = session.scalar(select(TraderKeyRequest).where(TraderKeyRequest.staff_id == trader.staff_id))
        return None if row is None or row.asked_ms <= office.now() - ASKED_MS else _grant(session, row, office.now())


def waiting(office: Office) -> Sequence[Grant]:
    """Requests that wait for an officer, the newest first; those that are over are forgotten."""
    with office.store.write() as session:
        over = TraderKeyRequest.asked_ms <= office.now() - ASKED_MS
        session.execute(delete(TraderKeyRequest).where(over))
        rows = session.scalars(select(TraderKeyRequest).order_by(TraderKeyRequest.asked_ms.desc()).limit(LISTED_MAX))
        found = [_grant(session, row, office.now()) for row in rows.all()]
    return [one for one in found if one is not None]


def find(office: Office, request_id: str) -> Grant:
    """A request by its id.

    Raises:
        Problem: There is none any more.
    """
    with office.store.read() as session:
        found = _grant(session, _row(session, office, request_id), office.now())
        if found is None:
            raise Problem(UNKNOWN)
        return found


# ---------------------------------------------------------------- the officer's signature


def countersign_options(
    office: Office, officer: Officer, network: Network, request_id: str, shown: str
) -> dict[str, Any]:
    """Fix the header, and ask for the officer's signature of it.

    Raises:
        Problem: The request is not what was shown, or there is none any more.
    """
    with office.store.write() as session:
        row = _row(session, office, request_id)
        passkey = _passkey(session, officer.passkey_id)
        _check_shown(session, row, office, shown)
        row.officer_passkey, row.signature, row.code = passkey.id, b"", ""
        row.salt, row.expires_ms = secrets.token_bytes(SALT_BYTES), office.now() + EXPIRY_MS
        return _options(office, session, officer, row, passkey, network)


def countersign(office: Office, officer: Officer, network: Network, request_id: str, answer: Answer) -> None:
    """Take the officer's signature; the trader's turn comes.

    Raises:
        Problem: The answer does not hold, or signs something else.
    """
    passkey_id = _taken(office, officer, request_id, answer)
    with office.store.write() as session:
        row = _row(session, office, request_id)
        if passkey_id != row.officer_passkey:
            raise Problem(kinds.ACT_SIGNATURE)
        _check_signed(session, row, network, answer)
        row.signature = signature_in(answer)
        office.store.record(session, Act(officer.person_id, "food.key-given", row.id))


# ---------------------------------------------------------------- the trader's signature


def sign_options(office: Office, trader: Officer, network: Network, shown: str) -> dict[str, Any]:
    """Ask for the trader's signature of the header that the officer signed.

    Raises:
        Problem: No officer has signed, it is too late, or another passkey is meant.
    """
    with office.store.write() as session:
        row = _signed_row(session, office, trader)
        _check_shown(session, row, office, shown)
        return _options(office, session, trader, row, _passkey(session, row.passkey_id), network)


def sign(office: Office, trader: Officer, network: Network, answer: Answer) -> SignedTransaction:
    """Take the trader's signature: the transaction is whole.

    Raises:
        Problem: The answer does not hold, signs something else, or came too late.
    """
    with office.store.read() as session:
        request_id = _signed_row(session, office, trader).id
    passkey_id = _taken(office, trader, request_id, answer)
    with office.store.read() as session:
        row = _signed_row(session, office, trader)
        if passkey_id != row.passkey_id:
            raise Problem(kinds.OTHER_PASSKEY)
        _check_signed(session, row, network, answer)
        made = _transaction(session, row, network, row.signature, signature_in(answer))
    try:
        verify_signatures(made, network)
    except InvalidSignature:
        raise Problem(kinds.ACT_SIGNATURE) from None
    return made


def settle(office: Office, trader: Officer, code: str) -> None:
    """Write down what became of it; a request that the ledger took is over."""
    with office.store.write() as session:
        row = session.scalar(select(TraderKeyRequest).where(TraderKeyRequest.staff_id == trader.staff_id))
        if row is None:
            return
        office.store.record(session, Act(trader.person_id, "trade.key-refused" if code else "trade.key-added", row.id))
        if code:
            row.code, row.signature = code[:64], b""
        else:
            session.delete(row)


# ---------------------------------------------------------------- pieces


def _transaction(
    session: Session, row: TraderKeyRequest, network: Network, officer: bytes = b"\0", trader: bytes = b"\0"
) -> SignedTransaction:
    """The transaction with what signatures there are."""
    key = _passkey(session, row.passkey_id).signer
    message = pb.AddTraderKey(participant=row.gln, key=signer_pb(key))
    signers = [_Made(_passkey(session, row.officer_passkey).signer, officer), _Made(key, trader)]
    operation = Operation.make("traceability.AddTraderKey", encode(message))
    return build([operation], signers, Millis(row.expires_ms), row.salt, network)


def _options(
    office: Office, session: Session, signer: Officer, row: TraderKeyRequest, passkey: Passkey, network: Network
) -> dict[str, Any]:
    """Options for one of the two, whose challenge is the header's digest."""
    session.flush()
    blank = _transaction(session, row, network)
    options = options_for(office, session, passkey, blank, network)
    challenges.issue(
        session,
        office.service,
        Purpose.ACT,
        signer.binding,
        office.now(),
        challenge=challenge_of(blank, network),
        subject=row.id,
    )
    return options


def _taken(office: Office, signer: Officer, request_id: str, answer: Answer) -> str:
    """Use the challenge up and check the answer to it; the id of the passkey that signed."""
    challenge = challenge_answered(answer)
    with office.store.write() as session:
        asked = challenges.take(
            session, office.service, Purpose.ACT, signer.binding, challenge, office.now(), request_id
        )
    return verify_answer(office, asked.challenge, answer, signer.staff_id)


def _check_signed(session: Session, row: TraderKeyRequest, network: Network, answer: Answer) -> None:
    """Check that an answer is to this header, not to one that another officer began meanwhile."""
    if challenge_answered(answer) != challenge_of(_transaction(session, row, network), network):
        raise Problem(kinds.ALTERED)


def _check_shown(session: Session, row: TraderKeyRequest, office: Office, shown: str) -> None:
    found = _grant(session, row, office.now())
    if found is None or not secrets.compare_digest(found.shown.encode(), shown.encode()):
        raise Problem(kinds.ALTERED)


def _grant(session: Session, row: TraderKeyRequest, now_ms: int) -> Grant | None:
    passkey = session.get(Passkey, row.passkey_id)
    if passkey is None or passkey.state != ACTIVE:
        return None
    key = passkey.signer.public_key.hex()
    digest = hashlib.sha256(passkey.signer.public_key).hexdigest()[:16]
    return Grant(
        id=row.id,
        gln=row.gln,
        fingerprint=" ".join(digest[place : place + 4] for place in range(0, len(digest), 4)),
        shown=hashlib.sha256(f"zhixin/trader-key/1|{row.id}|{row.gln}|{key}".encode()).hexdigest(),
        asked_ms=row.asked_ms,
        expires_ms=row.expires_ms,
        is_signed=bool(row.signature) and row.expires_ms > now_ms + _SPARE_MS,
        code=row.code,
    )


def _row(session: Session, office: Office, request_id: str) -> TraderKeyRequest:
    row = session.scalar(select(TraderKeyRequest).where(TraderKeyRequest.id == request_id).with_for_update())
    if row is None or row.asked_ms <= office.now() - ASKED_MS:
        raise Problem(UNKNOWN)
    return row


def _signed_row(session: Session, office: Office, trader: Officer) -> TraderKeyRequest:
    """Somebody's own request that an officer signed, for the passkey that they are signed in with.

    Raises:
        Problem: No officer has signed, it is too late, or another passkey is meant.
    """
    row = session.scalar(select(TraderKeyRequest).where(TraderKeyRequest.staff_id == trader.staff_id))
    if row is None or not row.signature or row.expires_ms <= office.now() + _SPARE_MS:
        raise Problem(kinds.ACT_EXPIRED)
    if row.passkey_id != trader.passkey_id:
        raise Problem(kinds.OTHER_PASSKEY)
    return row


def _passkey(session: Session, passkey_id: str) -> Passkey:
    found = session.get(Passkey, passkey_id)
    if found is None or found.state != ACTIVE:
        raise Problem(kinds.OTHER_PASSKEY)
    return found
