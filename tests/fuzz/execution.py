# SPDX-License-Identifier: Apache-2.0
"""Targets that read what a network is made of and what its transactions ask for: genesis files and operations."""

from functools import cache

from google.protobuf.message import DecodeError, Message

from chain import bls, genesis
from chain.checkpoint import ValidatorSet
from chain.codec import decode, encode
from chain.consensus.block import Block
from chain.ed25519 import Ed25519Signer
from chain.errors import InvalidGenesis, LedgerError
from chain.executor import Executor
from chain.module import Registry
from chain.pb import ledger_pb2 as pb
from chain.transaction import Operation, SignedTransaction
from chain.types import BlockId, Digest, Epoch, Height, Millis, Network, TransactionId, View, sha256
from credit.rules import Credit
from identity.pb import identity_pb2
from identity.rules import Identity
from membership.genesis import key_section, membership_section, organisation_section
from membership.pb import membership_pb2
from membership.rules import Membership
from traceability.pb import traceability_pb2
from traceability.rules import Traceability

SECRET, OTHER_SECRET = (bls.SecretKey.derive(word * 6) for word in (b"genesis", b"another"))
OWNER, OTHER = Ed25519Signer(bytes(32)), Ed25519Signer(b"\x02" * 32)
ORGANISATIONS = (("city", SECRET, OWNER), ("farm", OTHER_SECRET, OTHER))
TIME_MS = Millis(1_000_000)
OPERATIONS_MAX = 16
"""Executed for one input: enough to propose, approve and meet the outcome."""
OPERATIONS_BYTES_MAX = 1024 * 1024
CERTIFICATES = (
    """-----BEGIN CERTIFICATE-----
MIIBCzCBsaADAgECAgEBMAoGCCqGSM49BAMCMA8xDTALBgNVBAMMBGNpdHkwHhcN
MjYwMTAxMDAwMDAwWhcNMzYwMTAxMDAwMDAwWjAPMQ0wCwYDVQQDDARjaXR5MFkw
EwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEjlM7b6C/e0YluzBmfAH7YH75+LioD+9b
MAYocDGHsqNz6x294DMYNm0Gn4Om9ZAAU8c2M8sEGyHFXhqGwfQAtDAKBggqhkjO
PQQDAgNJADBGAiEA+f70ga8A7Z5s7CF7phNnVawkado03yM+6RiwOieFtUwCIQCT
ZwEUz65OTci3Kqhs+7fp7E/GHWJ662bZS+Ij3uXE3g==
-----END CERTIFICATE-----
""",
    """-----BEGIN CERTIFICATE-----
MIIBCzCBsaADAgECAgECMAoGCCqGSM49BAMCMA8xDTALBgNVBAMMBGZhcm0wHhcN
MjYwMTAxMDAwMDAwWhcNMzYwMTAxMDAwMDAwWjAPMQ0wCwYDVQQDDARmYXJtMFkw
EwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEYtl3nb7psFNAQnQtOrVMrcHSOJgPzpfb
tN2dwdtvs5OtWsy9kenYJE/xXXcRZ87gou1R9rvnanjaVApqDwmVfjAKBggqhkjO
PQQDAgNJADBGAiEAk8NXhhGCituBFJoF9hjFgNMmvSHsMIAgHDvK/UqO25ACIQCd
E2nIFk5ceVFxsST6bdPdFqSFEveb9VvvXgC2i5t96A==
-----END CERTIFICATE-----
""",
)
"""Self-signed over P-256; their keys are the numbers 7 and 8."""


# ---------------------------------------------------------------- genesis


@cache
def genesis_file() -> bytes:
    """A network of two validators whose organisations may do everything, together."""
    organisations, founders = [], []
    for index, (name, secret, owner) in enumerate(ORGANISATIONS):
        key = key_section(owner.signer, "submit", "govern", "attest")
        organisations.append(organisation_section(name, name_en=name, roles=("registrar",), keys=(key,)))
        address = f"127.0.0.1:{index + 1}"
        founders.append(genesis.Founder(name, secret.public_key(), b"", CERTIFICATES[index], address))
    section = membership_section(tuple(organisations))
    draft = genesis.build(name="fuzz", time_ms=TIME_MS, founders=founders, sections={"membership": section})
    return repair_genesis(draft)


def repair_genesis(data: bytes) -> bytes:
    """With the validators' proofs made anew over the changed content."""
    try:
        digest = genesis.founding_digest(data)
        proofs = {secret.public_key(): secret.prove_possession(digest, name) for name, secret, _ in ORGANISATIONS}
        return genesis.with_possessions(data, proofs)
    except LedgerError:
        return data


def _executor(network: Network) -> Executor:
    membership = Membership()
    return Executor(network, Registry([membership, Identity(), Traceability(), Credit()]), membership)


def read_genesis(data: bytes) -> None:
    """Read the file and make the first state of it; whatever is wrong is an error of the file."""
    try:
        loaded = genesis.load(data)
        _executor(loaded.network).genesis(loaded)
    except InvalidGenesis:
        raise
    except LedgerError as error:
        raise AssertionError("a genesis file is refused by another kind of error") from error


# ---------------------------------------------------------------- operations


@cache
def _ledger() -> tuple[Executor, dict[bytes, bytes], ValidatorSet]:
    loaded = genesis.load(genesis_file())
    executor = _executor(loaded.network)
    state = {key: value for key, value in executor.genesis(loaded) if value is not None}
    return executor, state, loaded.validators


def _proposal_id(index: int) -> TransactionId:
    """Of the operation that stands at this place; chosen, so that a later operation can name it."""
    return TransactionId(sha256(b"id" + bytes([index])))


def execute_operations(data: bytes) -> None:
    """Each item of a `Bodies` as a transaction of one operation, all in one block; each ends in an entry.

    The two organisations sign in turn, so that one can approve what the other proposes.
    """
    container = decode(pb.Bodies, data, OPERATIONS_BYTES_MAX)
    operations = [Operation.decode(raw) for raw in container.transactions[:OPERATIONS_MAX]]
    executor, state, validators = _ledger()
    transactions = [
        SignedTransaction(
            raw=b"",
            digest=Digest(sha256(bytes([index]))),
            id=_proposal_id(index),
            header=b"",
            expires_at_ms=Millis(TIME_MS + 2),
            signers=((OWNER, OTHER)[index % 2].signer,),
            operations=(operation,),
            signatures=(bytes(64),),
        )
        for index, operation in enumerate(operations)
    ]
    digests = tuple(transaction.digest for transaction in transactions)
    block = Block.make(Epoch(1), View(1), Height(1), BlockId(bytes(32)), Millis(TIME_MS + 1), digests)
    try:
        outcome = executor.execute(block, transactions, validators, state.get, lambda _: False)
    except LedgerError as error:
        raise AssertionError("execution let an error out") from error
    assert len(outcome.entries) == len(transactions), "a transaction of a known signer has exactly one entry"
    for raw in outcome.entries:
        assert pb.Entry.FromString(raw).WhichOneof("result")
    if outcome.next_set is not None:
        assert ValidatorSet.decode(outcome.next_set.encode()) == outcome.next_set


def _bodies(*messages: Message) -> bytes:
    operations = [
        Operation.make(message.DESCRIPTOR.full_name.removeprefix("zhixin."), encode(message)) for message in messages
    ]
    return encode(pb.Bodies(transactions=[operation.raw for operation in operations]))


def operation_samples() -> list[bytes]:
    """At least one of each registered operation, and proposals with the acts that they can hold."""
    m, i = membership_pb2, identity_pb2
    other = pb.Signer(scheme=pb.SCHEME_ED25519, public_key=Ed25519Signer(b"\x01" * 32).signer.public_key)
    grant = m.KeyGrant(key=other, purposes=[m.PURPOSE_SUBMIT, m.PURPOSE_ATTEST])
    certificate = b"\x30\x81\x80" + bytes(128)
    endpoint = m.Endpoint(address="10.0.0.1:26600", tls_certificate=certificate)
    joiner = bls.SecretKey.derive(b"joiner" * 6)
    network = genesis.load(genesis_file()).network
    possession = joiner.prove_possession(network, "city")
    joins = m.AddValidator(bls_key=joiner.public_key(), organisation="city", possession=possession, endpoint=endpoint)
    replaces = m.ReplaceValidator(
        bls_key=SECRET.public_key(), new_bls_key=joiner.public_key(), possession=possession, endpoint=endpoint
    )
    acts = [
        m.Act(add_organisation=m.AddOrganisation(id="shop", name_en="Shop", roles=["registrar"], keys=[grant])),
        m.Act(alter_organisation=m.AlterOrganisation(id="shop", name_en="Shops", quota_operations_s=5)),
        m.Act(suspend_organisation=m.SuspendOrganisation(id="shop")),
        m.Act(reinstate_organisation=m.ReinstateOrganisation(id="shop")),
        m.Act(grant_role=m.GrantRole(organisation="shop", role="trader")),
        m.Act(revoke_role=m.RevokeRole(organisation="shop", role="trader")),
        m.Act(revoke_key=m.RevokeOrganisationKey(organisation="shop", key=other)),
        m.Act(set_parameter=m.SetParameter(parameter=m.PARAMETER_QUOTA_OPERATIONS_S, value=7)),
    ]
    later = TIME_MS + 100_000
    attest = i.Attest(
        id=bytes(16),
        schema=i.SCHEMA_RESIDENT,
        schema_version=1,
        commitment=bytes(32),
        assurance_level=i.ASSURANCE_LEVEL_HIGH,
        valid_from_ms=1,
        valid_to_ms=TIME_MS + 1_000_000,
    )
    statuses = [
        i.SetStatus(id=bytes(16), status=status, reason=reason)
        for status, reason in (
            (i.STATUS_SUSPENDED, i.REASON_UNDER_INVESTIGATION),
            (i.STATUS_REINSTATED, i.REASON_INVESTIGATION_CLOSED),
            (i.STATUS_REVOKED, i.REASON_ISSUED_IN_ERROR),
        )
    ]
    removes = m.RemoveValidator(bls_key=OTHER_SECRET.public_key())
    approves = m.Approve(proposal_id=_proposal_id(0), epoch=1)
    votes = [acts, [m.Act(add_validator=joins)], [m.Act(replace_validator=replaces)], [m.Act(remove_validator=removes)]]
    return [
        *[_bodies(m.Propose(epoch=1, expires_at_ms=later, acts=voted), approves) for voted in votes],
        _bodies(
            m.Propose(epoch=1, expires_at_ms=later, acts=acts[:1]),
            attest,
            m.Withdraw(proposal_id=_proposal_id(0), epoch=1),
        ),
        _bodies(m.AddKey(key=grant), attest, m.RevokeKey(key=other)),
        _bodies(m.SetEndpoint(bls_key=SECRET.public_key(), endpoint=endpoint)),
        _bodies(m.Anchor(kind=m.ANCHOR_KIND_AUDIT, stream=bytes(16), digest=bytes(32), size=1)),
        _bodies(m.ReportEvidence(evidence=encode(pb.Evidence(bls_key=SECRET.public_key())))),
        _bodies(attest, *[m for status in statuses for m in (status, status)]),
        *_identity_samples(other),
        *_traceability_samples(other),
    ]


def _identity_samples(key: pb.Signer) -> list[bytes]:
    """At least one of each operation of identity but for attestations and their status."""
    i = identity_pb2
    one, commitment, uscc = bytes(16), b"\x01" * 32, "91110000600037341L"
    binds = [i.NewKey(purpose=i.CONTROL_PURPOSE_SIGN, commitment=commitment)]
    chip = i.PROOFING_METHOD_DOCUMENT_CHIP
    change = i.Change(commitment=commitment, assurance_level=i.ASSURANCE_LEVEL_HIGH, proofing_method=chip, binds=binds)
    mandate = i.GrantMandate(
        id=one,
        kind=i.MANDATE_KIND_LEGAL_PERSON,
        commitment=commitment,
        legal_person=uscc.encode(),
        scopes=[i.SCOPE_TAX],
        powers=[i.POWER_VIEW],
        valid_from_ms=1,
        valid_to_ms=TIME_MS + 1_000_000,
        principal_anchor=commitment,
        agent_anchor=bytes(32),
    )
    purpose = i.RelyingPurpose(
        number=1, name_zh="开户", legal_basis="反洗钱法", attributes=["natural-person/birthdate"], per_second_max=1
    )
    messages: list[Message] = [
        i.AppointOfficer(key=key, officer=one, duties=[i.DUTY_ENROL]),
        i.DismissOfficer(key=key),
        i.RotateTagKey(key_version=1),
        i.RegisterTag(key_version=1, tag=commitment, registrar=commitment, holder=commitment),
        i.Retag(previous_tag=commitment, key_version=1, tag=commitment, holder=commitment),
        i.ReleaseTag(key_version=1, tag=commitment),
        i.Enrol(id=one, change=change),
        i.ProposeChange(id=one, change=change),
        i.Confirm(id=one, digest=commitment),
        i.Withdraw(id=one),
        i.SetPersonStatus(id=one, status=i.STATUS_SUSPENDED, reason=i.REASON_HOLDER_REQUEST),
        i.Recover(id=one, proofing_method=chip, binds=binds),
        i.ProposeLegalPerson(uscc=uscc, name_zh="某公司", commitment=commitment),
        i.ConfirmLegalPerson(uscc=uscc, digest=commitment),
        i.WithdrawLegalPerson(uscc=uscc),
        i.SetLegalPersonStatus(uscc=uscc, status=i.STATUS_REVOKED, reason=i.REASON_NO_LONGER_TRUE),
        mandate,
        i.AcceptMandate(id=one, side=i.SIDE_AGENT, proof=commitment),
        i.EndMandate(id=one, proof=commitment),
        i.RecordAccesses(
            entries=[i.AccessEntry(slot=bytes([n]) * 32, content=commitment, next=commitment) for n in range(4)]
        ),
        i.SealAccess(seal=commitment, due_day=20_000),
        i.JoinSealed(seal=commitment, slot=commitment, salt=commitment),
        i.ProposeRelyingParty(organisation="bank", terms=i.RelyingTerms(purposes=[purpose], valid_to_ms=TIME_MS + 1)),
        i.ConfirmRelyingParty(organisation="bank", digest=commitment),
        i.WithdrawRelyingParty(organisation="bank"),
        i.SetRelyingPartyStatus(organisation="bank", status=i.STATUS_SUSPENDED, reason=i.REASON_NO_LONGER_TRUE),
        i.GiveConsent(commitment=commitment, person_anchor=commitment, party_anchor=bytes(32), valid_to_day=20_000),
        i.EndConsent(commitment=commitment, proof=commitment),
        i.RegisterDevice(key=key, kind=i.DEVICE_KIND_KIOSK, place_zh="大厅", valid_to_ms=TIME_MS + 1_000),
        i.SetDeviceStatus(key=key, status=i.STATUS_SUSPENDED, reason=i.REASON_HOLDER_REQUEST),
    ]
    return [_bodies(message) for message in messages]


def _traceability_samples(key: pb.Signer) -> list[bytes]:
    """One of each operation of goods; most are refused, all decode."""
    t = traceability_pb2
    gln, gtin, lot = "6901234000009", "06901234000016", "01/06901234000016/10/L1"
    projection = t.Projection(
        id=bytes(32),
        actor=gln,
        type=t.EVENT_TYPE_OBJECT,
        action=t.ACTION_ADD,
        step=t.BUSINESS_STEP_COMMISSIONING,
        event_time_ms=TIME_MS,
        lines=[t.Line(item=lot, quantity=1_000_000)],
    )
    messages: list[Message] = [
        t.RecordParticipant(gln=gln, kind=t.PARTICIPANT_KIND_SMALLHOLDER, roles=[t.ROLE_FARM], commitment=bytes(32)),
        t.AddTraderKey(participant=gln, key=key),
        t.EndTraderKey(key=key),
        t.SetAgents(participant=gln),
        t.RecordPlace(gln=gln, owner=gln, kind=t.PLACE_KIND_FARM, district="440604"),
        t.RecordProduct(gtin=gtin, unit=t.UNIT_KILOGRAM, mass_mg=1_000_000, name_zh="菜心"),
        t.SetTolerance(unit=t.UNIT_KILOGRAM, parts_per_million=10_000),
        t.RecordEvent(projection=projection, event_commitment=bytes(32)),
        t.DeclareError(event=bytes(32), reason=t.ERROR_REASON_DID_NOT_OCCUR),
        t.Recall(items=[lot], kind=t.RECALL_KIND_RECALL, reason=t.RECALL_REASON_RESIDUES),
        t.LiftRecall(items=[lot]),
    ]
    return [_bodies(message) for message in messages]


_KINDS: dict[str, type[Message]] = {
    **Membership().operations,
    **Identity().operations,
    **Traceability().operations,
    **Credit().operations,
}


def repair_operations(data: bytes) -> bytes:
    """Canonical in the container, in each operation and in each operation's own message."""
    container = pb.Bodies()
    try:
        container.ParseFromString(data)
    except DecodeError:
        return data
    repaired = []
    for raw in container.transactions:
        operation = pb.Operation()
        try:
            operation.ParseFromString(raw)
            operation.DiscardUnknownFields()
            body = _KINDS[operation.type]()
            body.ParseFromString(operation.body)
        except (DecodeError, KeyError):
            repaired.append(raw)
            continue
        body.DiscardUnknownFields()
        operation.body = encode(body)
        repaired.append(encode(operation))
    return encode(pb.Bodies(transactions=repaired))
