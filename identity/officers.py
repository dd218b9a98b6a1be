# SPDX-License-Identifier: Apache-2.0
"""Officers: people who act for a registrar, each with a signature of their own.

An officer's key is a staff card (P-256) or a passkey (WebAuthn) that is three things at once: a key of the organisation
in `membership` with the purpose `attest`, valid now; appointed here by the organisation's `govern` key; and a signer of
the transaction. An Ed25519 key, as services hold, is never an officer's, and no service's `submit` key is one.

Two keys of one person carry the same officer's number, so that a second key is no second pair of eyes. Under
`identity/officer/<scheme>/<public key in hex>`; a key keeps its number for good.
"""

from dataclasses import dataclass
from typing import Final

from chain.codec import encode
from chain.errors import Refused
from chain.module import Context
from chain.overlay import ReadState
from chain.signing import Scheme, Signer
from chain.types import sha256
from identity.issuing import REGISTRAR_ROLE
from identity.pb import identity_pb2 as pb
from membership.authority import resolve_key, signing_organisations
from membership.keys import read_signer
from membership.pb import membership_pb2
from membership.state import Organisation

OFFICER_BYTES: Final = 16
OFFICER_SCHEMES: Final = (Scheme.P256, Scheme.WEBAUTHN_ES256)

_DUTIES = (pb.DUTY_ENROL, pb.DUTY_CONFIRM)
_PURPOSES = (membership_pb2.PURPOSE_SUBMIT, membership_pb2.PURPOSE_GOVERN, membership_pb2.PURPOSE_ATTEST)


@dataclass(frozen=True, slots=True)
class Officer:
    """Somebody who signs this transaction for a registrar.

    Attributes:
        organisation: The registrar's id.
        number: 16 bytes, one person's whatever key they sign with.
        duties: What their signing keys allow, ascending.
    """

    organisation: str
    number: bytes
    duties: tuple[pb.Duty.ValueType, ...]

    @property
    def registrar(self) -> bytes:
        """How records about people name the organisation."""
        return registrar_digest(self.organisation)


def registrar_digest(organisation: str) -> bytes:
    """SHA-256 of an organisation's id: operations about people carry bytes of fixed length only."""
    return sha256(organisation.encode())


def officer_key(signer: Signer) -> bytes:
    """State key of an officer's key."""
    return b"identity/officer/%d/%s" % (signer.scheme, signer.public_key.hex().encode())


def load_officer(read: ReadState, signer: Signer) -> pb.OfficerRecord | None:
    """What is recorded of an officer's key, also of a dismissed one; None if it never was one."""
    raw = read(officer_key(signer))
    return None if raw is None else pb.OfficerRecord.FromString(raw)


# ---------------------------------------------------------------- appointing


def appoint_officer(context: Context, message: pb.AppointOfficer) -> None:
    """Make a key of the organisation's own an officer's. One write.

    Raises:
        Refused: The organisation's `govern` key did not sign, or the key cannot be an officer's.
    """
    organisation = governing_registrar(context)
    signer = read_signer(message.key)
    duties = tuple(message.duties)
    if len(message.officer) != OFFICER_BYTES or not duties or duties != tuple(d for d in _DUTIES if d in duties):
        raise Refused("an officer has a number of 16 bytes and duties in ascending order", "identity.invalid-officer")
    member = resolve_key(context.read, signer.scheme, signer.public_key, context.block.time_ms)
    if (
        signer.scheme not in OFFICER_SCHEMES
        or member is None
        or member.organisation.id != organisation
        or membership_pb2.PURPOSE_ATTEST not in member.key.purposes
    ):
        raise Refused(
            "an officer's key is a P-256 or WebAuthn key of the organisation that attests", "identity.not-officer-key"
        )
    for scheme in OFFICER_SCHEMES:  # one key pair can sign as a card and as a passkey: it is one person's
        record = load_officer(context.read, Signer(scheme, signer.public_key))
        if record is not None and (record.organisation != organisation or record.officer != message.officer):
            raise Refused("this key was another officer's; it never changes hands", "identity.officer-key-used")
    new = pb.OfficerRecord(organisation=organisation, officer=message.officer, duties=duties)
    context.write(officer_key(signer), encode(new))


def dismiss_officer(context: Context, message: pb.DismissOfficer) -> None:
    """End what an officer's key may do, from this operation on. One write.

    Raises:
        Refused: The organisation's `govern` key did not sign, or it has no such officer's key.
    """
    organisation = governing_registrar(context)
    signer = read_signer(message.key)
    record = load_officer(context.read, signer)
    if record is None or record.organisation != organisation or not record.duties:
        raise Refused("this is no officer's key of the organisation", "identity.unknown-officer")
    new = pb.OfficerRecord(organisation=organisation, officer=record.officer)
    context.write(officer_key(signer), encode(new))


# ---------------------------------------------------------------- acting


def acting_officer(context: Context, duty: pb.Duty.ValueType | None = None) -> Officer:
    """The one officer who signs this transaction.

    Args:
        context: Of the operation.
        duty: Which duty the act takes; None: any.

    Raises:
        Refused: None signs, or several do, or the one does not have the duty, or their organisation may not act.
    """
    officers = _signing_officers(context)
    if len(officers) > 1:
        raise Refused("several officers sign; this act is one officer's", "identity.one-officer")
    if duty is not None and duty not in officers[0].duties:
        raise Refused("this act is not among the officer's duties", "identity.not-on-duty")
    return officers[0]


def acting_pair(context: Context) -> tuple[Officer, Officer]:
    """The two officers of one registrar who sign this transaction together, one to enrol and the other to confirm.

    Raises:
        Refused: There are not two, or they do not have the two duties between them.
    """
    officers = _signing_officers(context)
    if len(officers) != 2 or officers[0].organisation != officers[1].organisation:
        raise Refused("this act takes two officers of one registrar", "identity.two-officers")
    for first, second in (officers, officers[::-1]):
        if pb.DUTY_ENROL in first.duties and pb.DUTY_CONFIRM in second.duties:
            return first, second
    raise Refused("one of the two officers enrols and the other confirms", "identity.not-on-duty")


def acting_registrar(context: Context) -> str:
    """The id of the one active registrar that signs, with an officer's or a service's key: for what must be easy.

    Raises:
        Refused: None signs, several do, or it is suspended or no registrar.
    """
    found: dict[str, Organisation] = {}
    for purpose in _PURPOSES:
        found.update((one.id, one) for one in signing_organisations(context, purpose))
    registrars = [found[name] for name in sorted(found) if REGISTRAR_ROLE in found[name].roles]
    if not registrars:
        raise Refused("no signing organisation has the role registrar", "identity.not-registrar")
    if len(registrars) > 1:
        raise Refused("keys of several registrars sign; one acts at a time", "identity.ambiguous-issuer")
    if not registrars[0].is_active:
        raise Refused("the registrar is suspended", "identity.issuer-suspended")
    return registrars[0].id


def _signing_officers(context: Context) -> list[Officer]:
    """The officers who sign, by organisation and number, each once; at least one.

    Raises:
        Refused: None signs, or one's organisation is suspended or no registrar.
    """
    found: dict[tuple[str, bytes], tuple[pb.Duty.ValueType, ...]] = {}
    for signer in context.signers:
        member = resolve_key(context.read, signer.scheme, signer.public_key, context.block.time_ms)
        record = None if member is None else load_officer(context.read, signer)
        if member is None or record is None or not record.duties:
            continue
        assert record.organisation == member.organisation.id, "an officer's key belongs to its organisation for good"
        if not member.organisation.is_active:
            raise Refused("the officer's organisation is suspended", "identity.issuer-suspended")
        if REGISTRAR_ROLE not in member.organisation.roles:
            raise Refused("the officer's organisation does not have the role registrar", "identity.not-registrar")
        who = (record.organisation, record.officer)
        found[who] = tuple(sorted({*found.get(who, ()), *record.duties}))
    if not found:
        raise Refused("no officer signs with a key that is valid now", "identity.no-officer")
    return [Officer(organisation, number, found[organisation, number]) for organisation, number in sorted(found)]


def governing_registrar(context: Context) -> str:
    """The id of the one active registrar whose `govern` key signs.

    Raises:
        Refused: There is none, or several.
    """
    organisations = signing_organisations(context, membership_pb2.PURPOSE_GOVERN)
    if len(organisations) != 1:
        raise Refused("this takes the govern key of exactly one organisation", "identity.not-governing")
    if not organisations[0].is_active:
        raise Refused("the organisation is suspended", "identity.issuer-suspended")
    if REGISTRAR_ROLE not in organisations[0].roles:
        raise Refused("the organisation does not have the role registrar", "identity.not-registrar")
    return organisations[0].id
