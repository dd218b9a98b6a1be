# SPDX-License-Identifier: Apache-2.0
"""Events a second on a devnet of four: `python -m benchmarks.credit_events [--batches N] [--size N] [--service]`.

Each batch is one transaction of so many events, signed by a source and the registrar. Without `--service` events are
drawn and signed before the clock starts: what is measured is the ledger, from the first submission to the last
certified receipt. With it the clock covers all that a source's system waits for: slots drawn and sealed in the private
store, the header signed, the receipt, the store in step again. Validators and client share this machine's cores.
`processor_ms_per_event` is of the process that submits: the service with its index, or the client alone;
`validator_ms_per_event` is of one validator, all of it.
"""

import argparse
import asyncio
import json
import os
import secrets
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from google.protobuf.message import Message

from benchmarks.machine import hashes_per_s
from chain.codec import encode
from chain.p256 import P256Signer
from chain.pb import ledger_pb2
from chain.signing import TransactionSigner
from chain.transaction import Operation
from chain.types import sha256
from cli.devnet.network import Devnet, bring_up, remove
from cli.devnet.process import cpu_seconds
from cli.scenes.credit import HONOUR, _good
from client.session import Session
from credit.api.base import CreditContext, load_subject
from credit.api.batches import prepare, send
from credit.api.drawing import Wanted
from credit.api.ledger import FollowedLedger
from credit.api.notices import FetchedNotices
from credit.api.slot_index import SlotIndex
from credit.api.subjects import Kind, add_subject, secrets_of, send_open
from credit.keeper import Kept
from credit.pb import credit_pb2 as pb
from credit.slots import Content
from identity.commitments import SALT_BYTES, holder_commitment
from identity.officers import registrar_digest
from identity.pb import identity_pb2
from identity.registrations import load_person, person_key, proposal_digest
from membership.pb import membership_pb2
from node.collector import tune_collector
from service.settings import StoreSettings
from service.store import open_store
from service.store.engine import make_engine

REGISTRAR = "registrar"
ACTOR = "0" * 32
SIZE = 300
"""Events of one batch: as many as the interface takes under one signature."""
SYSTEMS = 24
"""Sources' systems at work at once, each with people of its own: their logs follow on from batch to batch."""
PEOPLE_EACH = 60
"""A batch's events are spread over so many logs: with 96 batches nobody comes to the limit of a day."""
PEOPLE = SYSTEMS * PEOPLE_EACH
"""Registrations, and so logs."""


async def run(batches: int, size: int, *, through_service: bool) -> dict[str, object]:
    """Bring a network up, measure, take it down.

    Args:
        batches: How many transactions.
        size: Events in each.
        through_service: Whether the private store takes part.
    """
    with tempfile.TemporaryDirectory() as folder:
        devnet = await bring_up(Path(folder) / "net", validators=4, base_port=None)
        try:
            genesis = devnet.home.genesis()
            async with Session(genesis, endpoints=devnet.home.endpoints(genesis)) as session:
                await _found(devnet, session)
                if through_service:
                    used = await _service(devnet, session, Path(folder), batches, size)
                else:
                    used = await _ledger(devnet, session, batches, size)
        finally:
            devnet.stop(devnet.names)
            remove(Path(folder) / "net")
    return {
        "through_service": through_service,
        "events": batches * size,
        "batch": size,
        "seconds": round(used.seconds, 2),
        "events_per_s": round(batches * size / used.seconds),
        "processor_ms_per_event": round(used.own_s * 1_000 / (batches * size), 3),
        "validator_ms_per_event": round(used.validator_s * 1_000 / (batches * size), 3),
        "load_1m": os.getloadavg()[0],
        "hashes_per_s": hashes_per_s(),
    }


class _Used:
    """What a measured run took so far.

    Args:
        devnet: The network that it runs on.

    Attributes:
        seconds: By the clock.
        own_s: Processor time of this process.
        validator_s: Processor time of one validator, on average.
    """

    def __init__(self, devnet: Devnet) -> None:
        self._nodes = [one for name in devnet.names if (one := devnet.identity(name)) is not None]
        self.seconds, self.own_s, self.validator_s = (-one for one in self._now())

    def end(self) -> "_Used":
        """From the beginning until now."""
        seconds, own_s, validator_s = self._now()
        self.seconds, self.own_s, self.validator_s = (
            self.seconds + seconds,
            self.own_s + own_s,
            self.validator_s + validator_s,
        )
        return self

    def _now(self) -> tuple[float, float, float]:
        nodes = [cpu_seconds(one) for one in self._nodes]
        return time.perf_counter(), time.process_time(), sum(one or 0.0 for one in nodes) / len(nodes)


PART = 240
"""Registrations that one transaction brings, and one question reads."""


async def _ledger(devnet: Devnet, session: Session, batches: int, size: int) -> _Used:
    """Only the ledger: everything is drawn and signed before."""
    registrar, day = devnet.home.signer(REGISTRAR), int(time.time()) // 86_400
    source = devnet.home.signer(_founders(devnet)[2])
    logs = [Kept.begin() for _ in range(PEOPLE)]
    for at in range(0, PEOPLE, PART):
        await _submit(session, [registrar], *(pb.OpenLog(log=log.log) for log in logs[at : at + PART]))
    transactions = []
    for _ in range(batches):
        operations = []
        for i in range(size):
            draft = logs[i % PEOPLE].draft(HONOUR, 1, Content("none", day, day))
            logs[i % PEOPLE] = logs[i % PEOPLE].took(draft)
            operations.append(_operation(draft.message))
        transactions.append(session.sign(operations, [source, registrar], lifetime_ms=240_000))
    used = _Used(devnet)
    async for outcome in session.submit(transactions):
        assert outcome.proven is not None, outcome.error
        assert outcome.proven.failed is None, outcome.proven.failed
    return used.end()


async def _service(devnet: Devnet, session: Session, folder: Path, batches: int, size: int) -> _Used:
    """What a source's system waits for, with the private store."""
    genesis = devnet.home.genesis()
    settings = StoreSettings(folder=str(folder / "data"), keys=str(folder / "keys"), allow_plain=True)
    store = open_store(settings, {})
    engine = make_engine(StoreSettings(url=f"sqlite:///{folder / 'index.sqlite'}"))
    ledger = FollowedLedger(genesis, devnet.home.endpoints(genesis), engine)
    await ledger.start()
    context = CreditContext(
        store,
        SlotIndex(engine),
        ledger,
        devnet.home.signer(REGISTRAR),
        None,
        "http://localhost",
        FetchedNotices(),
        lambda: int(time.time() * 1000),
    )
    organisation, day = _founders(devnet)[2], context.today
    source = devnet.home.signer(organisation)
    people = [add_subject(context, ACTOR, Kind.PERSON, f"44060119900101{i:04}", "somebody") for i in range(PEOPLE)]
    await _open(context, session, people)

    async def system(lane: int) -> None:
        own = people[lane::SYSTEMS]
        for batch in range(lane, batches, SYSTEMS):
            wanted = [Wanted(own[i % len(own)], HONOUR, Content("none", day, day), f"{batch}-{i}") for i in range(size)]
            made = await prepare(context, ACTOR, organisation, wanted, source.signer)
            done = await send(context, organisation, made.drawn.batch_id, source.sign(made.to_sign))
            assert done.state == "done", (done.state, done.code)

    tune_collector()  # as a service does
    used = _Used(devnet)
    await asyncio.gather(*(system(lane) for lane in range(SYSTEMS)))
    used.end()
    await ledger.stop()
    store.close()
    return used


async def _open(context: CreditContext, session: Session, people: Sequence[str]) -> None:
    """Open everybody's log, many in a transaction; the service finds each open and asks for none."""
    for at in range(0, len(people), PART):
        part = people[at : at + PART]
        with context.store.read() as reading:
            rows = [load_subject(reading, one) for one in part]
            logs = [secrets_of(context, reading, row).log for row in rows]
        await _submit(session, [context.own_key], *(pb.OpenLog(log=log) for log in logs))
    await context.ledger.follow((await session.checkpoint()).height)
    for one in people:
        assert await send_open(context, one) == ""


async def _found(devnet: Devnet, session: Session) -> None:
    """An authority, a class, a source, and living registrations."""
    home, founders = devnet.home, _founders(devnet)
    roles = [(founders[0], "uniqueness"), (founders[1], "credit-authority")]
    acts = [
        membership_pb2.Act(grant_role=membership_pb2.GrantRole(organisation=name, role=role)) for name, role in roles
    ]
    asked = membership_pb2.Propose(epoch=1, expires_at_ms=int(time.time() * 1000) + 3_600_000, acts=acts)
    proposal = await _submit(session, [home.signer(founders[0])], asked)
    for name in founders[1:3]:
        await _submit(session, [home.signer(name)], membership_pb2.Approve(proposal_id=proposal, epoch=1))
    await _submit(session, [home.signer(founders[0])], identity_pb2.RotateTagKey(key_version=1))
    grant = pb.GrantSource(organisation=founders[2], classes=[HONOUR])
    await _submit(session, [home.signer(founders[1])], _good(HONOUR, pb.KIND_RECORD, "志愿服务"), grant)
    clerk, approver = [P256Signer(ec.generate_private_key(ec.SECP256R1())) for _ in range(2)]
    for officer, duty in ((clerk, identity_pb2.DUTY_ENROL), (approver, identity_pb2.DUTY_CONFIRM)):
        key = ledger_pb2.Signer(scheme=ledger_pb2.SCHEME_P256, public_key=officer.signer.public_key)
        purposes = [membership_pb2.PURPOSE_SUBMIT, membership_pb2.PURPOSE_ATTEST]
        added = membership_pb2.AddKey(key=membership_pb2.KeyGrant(key=key, purposes=purposes))
        appointed = identity_pb2.AppointOfficer(key=key, officer=secrets.token_bytes(16), duties=[duty])
        await _submit(session, [home.signer(REGISTRAR), officer], added, appointed)
    await _enrol(session, home.signer(founders[0]), clerk, approver)


async def _enrol(
    session: Session, uniqueness: TransactionSigner, clerk: TransactionSigner, approver: TransactionSigner
) -> None:
    """Living registrations, for as many logs as there are people."""
    registrations = [secrets.token_bytes(16) for _ in range(PEOPLE)]
    tags, proposals = [], []
    for registration in registrations:
        holder = holder_commitment(registration, secrets.token_bytes(SALT_BYTES))
        tags.append(
            identity_pb2.RegisterTag(
                key_version=1, tag=secrets.token_bytes(32), registrar=registrar_digest(REGISTRAR), holder=holder
            )
        )
        change = identity_pb2.Change(
            commitment=sha256(secrets.token_bytes(32)),
            assurance_level=identity_pb2.ASSURANCE_LEVEL_HIGH,
            proofing_method=identity_pb2.PROOFING_METHOD_DOCUMENT_INSPECTED,
        )
        proposals.append(identity_pb2.Enrol(id=registration, change=change))
    for at in range(0, PEOPLE, PART):
        await _submit(session, [uniqueness], *tags[at : at + PART])
        await _submit(session, [clerk], *proposals[at : at + PART])
        keys = {person_key(one): one for one in registrations[at : at + PART]}
        states = await session.read_many(list(keys))
        read = {state.key: state.value for state in states}.get
        confirmed = []
        for registration in keys.values():
            record = load_person(read, registration)
            assert record is not None, "it was just proposed"
            confirmed.append(identity_pb2.Confirm(id=registration, digest=proposal_digest(record.proposal)))
        await _submit(session, [approver], *confirmed)


async def _submit(session: Session, signers: Sequence[TransactionSigner], *messages: Message) -> bytes:
    proven = await session.submit_one(session.sign([_operation(one) for one in messages], signers))
    assert proven.failed is None, proven.failed
    return proven.id


def _operation(message: Message) -> Operation:
    package = message.DESCRIPTOR.full_name.split(".")[1]
    return Operation.make(f"{package}.{message.DESCRIPTOR.name}", encode(message))


def _founders(devnet: Devnet) -> list[str]:
    return [founder.organisation for founder in devnet.home.genesis().founders]


def main() -> None:
    """Print the figures as one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batches", type=int, default=96)
    parser.add_argument("--size", type=int, default=SIZE)
    parser.add_argument("--service", action="store_true")
    arguments = parser.parse_args()
    print(json.dumps(asyncio.run(run(arguments.batches, arguments.size, through_service=arguments.service))))


if __name__ == "__main__":
    main()
