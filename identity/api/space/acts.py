# SPDX-License-Identifier: Apache-2.0
"""What somebody does in their data space, signed by a key that a credential of ours is bound to.

An act is a text in JSON. The presentation that comes with it is bound, under a fresh nonce, to the act's digest
(`act_hash` of the key binding): so the signature covers what is done, nobody takes it for something else, and act and
presentation together are what is kept as evidence. Acts that change something are counted, so that a phone in wrong
hands does not do it a thousand times.
"""

from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import delete, func, select

from chain.errors import InvalidMessage
from chain.strict_json import Json, parse
from chain.types import sha256
from identity.api.desk.base import DAY_MS, DeskContext
from identity.api.issuer.codes import copy_of, verify_presented
from identity.api.issuer.denied import Denied, Error
from identity.api.issuer.issuing import Issuer, check_counts, use_up
from identity.api.issuer.lists import subjects_from
from identity.api.issuer.own_accesses import Prove
from identity.api.issuer.proofs import nonce_alone
from identity.api.issuer.publishing import Source
from identity.api.issuer.tables import IssuerCopy
from identity.api.space.tables import SpaceAct
from identity.credentials import NATURAL_PERSON
from identity.jose import JsonObject, encode_base64url
from service.store import Act

ACT_BYTES_MAX: Final = 64 * 1024
"""A compartment of 48 KB, or a request of some pages."""
DEPTH_MAX: Final = 4
ACTS_DAY_MAX: Final = 60
"""Acts of one person in a day that change something: more than anybody makes, and each is a transaction at most."""


@dataclass(frozen=True, slots=True)
class SpaceContext:
    """What the data space stands on.

    Attributes:
        issuer: Whose credentials people act with.
        desk: The registrar's store, ledger and own key, which submits what people signed.
        source: Reads the ledger.
        prove: Makes receipts of states.
    """

    issuer: Issuer
    desk: DeskContext
    source: Source
    prove: Prove


@dataclass(frozen=True, slots=True)
class Signed:
    """An act with whose it is.

    Attributes:
        person_id: Whose, in the store.
        copy_id: The credential that was presented; "": the card itself signed.
        subjects: State keys of the records of which it speaks.
        act: What is done.
        text: The same, as it was signed.
        presentation: By which it was signed; of a card: what it signed, and the signature, in hex.
    """

    person_id: str
    copy_id: str
    subjects: tuple[bytes, ...]
    act: JsonObject = field(repr=False)
    text: str = field(repr=False)
    presentation: str = field(repr=False)

    def word(self, name: str, characters_max: int = 256) -> str:
        """A field of the act that is text.

        Raises:
            Denied: It is not there, no text, or longer.
        """
        value = self.act.get(name)
        if not isinstance(value, str) or len(value) > characters_max:
            raise Denied(Error.INVALID_REQUEST, f"{name} of the act is a text of at most {characters_max} characters")
        return value

    def raw(self, name: str, size: int) -> bytes:
        """A field of the act that is bytes in hex.

        Raises:
            Denied: It is not there, or something else.
        """
        try:
            value = bytes.fromhex(self.word(name, 2 * size))
        except ValueError:
            value = b""
        if len(value) != size:
            raise Denied(Error.INVALID_REQUEST, f"{name} of the act is {size} bytes in hex")
        return value


def act_hash(text: str) -> str:
    """How a key binding names an act."""
    return encode_base64url(sha256(text.encode()))


def check(space: SpaceContext, presentation: Json, nonce: Json, text: Json) -> Signed:
    """Check who acts, and use the nonce up.

    Args:
        space: Whose.
        presentation: A credential of this registrar with key binding over nonce and act.
        nonce: One of the nonce endpoint.
        text: The act.

    Raises:
        Denied: The presentation is refused, covers another act, or its credential counts no longer; or the act can't be
            read.
    """
    issuer = space.issuer
    if not isinstance(text, str) or len(text.encode()) > ACT_BYTES_MAX:
        raise Denied(Error.INVALID_REQUEST, f"act is a text of at most {ACT_BYTES_MAX} bytes")
    proven = nonce_alone(nonce, issuer.store.secret("issuer/nonce"), issuer.now_ms())
    credential = verify_presented(issuer, presentation, proven.nonce)
    assert credential.binding is not None, "it was presented bound to its key"
    if credential.claims.get("vct") != NATURAL_PERSON:  # a company's or a mandate's may be in somebody else's hands
        raise Denied(Error.INVALID_CREDENTIAL_REQUEST, "a person acts with the credential of themselves")
    if credential.binding.get("act_hash") != act_hash(text):
        raise Denied(Error.INVALID_CREDENTIAL_REQUEST, "the presentation was made for another act")
    try:
        act = parse(text.encode(), size_max=ACT_BYTES_MAX, depth_max=DEPTH_MAX)
    except InvalidMessage:
        act = None
    if not isinstance(act, dict):
        raise Denied(Error.INVALID_REQUEST, "the act is no JSON object")
    with issuer.store.write() as session:
        use_up(issuer, session, proven)
        copy: IssuerCopy = copy_of(issuer, session, credential)
        if copy.is_code:
            raise Denied(Error.INVALID_CREDENTIAL_REQUEST, "a code is no credential to act with")
        subjects = subjects_from(issuer.store.people.open(session, copy, IssuerCopy.subjects) or "[]")
        return Signed(copy.person_id, copy.id, subjects, act, text, str(presentation))


async def check_standing(space: SpaceContext, signed: Signed) -> None:
    """See that the records of which the credential speaks count now: who was locked, by whomever, sees nothing here.

    Raises:
        Denied: One does not.
        TransportError: Nobody answers for the ledger.
    """
    check_counts(signed.subjects, await space.source.read(signed.subjects))


def count(space: SpaceContext, signed: Signed, kind: str) -> None:
    """Count an act that changes something, and write it into the audit chain, before it is done.

    Raises:
        Denied: There were too many today.
    """
    desk = space.desk
    with desk.store.write() as session:
        session.execute(delete(SpaceAct).where(SpaceAct.at_ms <= desk.now() - DAY_MS))
        own = select(func.count()).select_from(SpaceAct).where(SpaceAct.person_id == signed.person_id)
        if (session.scalar(own) or 0) >= ACTS_DAY_MAX:
            raise Denied(Error.CREDENTIAL_REQUEST_DENIED, f"at most {ACTS_DAY_MAX} changes in a day")
        session.add(SpaceAct(person_id=signed.person_id, kind=kind, at_ms=desk.now()))
        desk.store.record(session, Act("system", f"space.{kind}", signed.person_id))
