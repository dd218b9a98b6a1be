# SPDX-License-Identifier: Apache-2.0
"""The scene `ledger`: a registrar attests a thousand residents; nobody need be believed, and a dead node is no matter.

Each claim that is printed was checked just before. Nothing about the residents reaches the chain but salted
commitments, which the scene checks too, over every block.
"""

import asyncio
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from chain.codec import encode
from chain.receipt import verify
from chain.transaction import Operation
from cli import acting
from cli.attestation.importer import IN_FLIGHT_MAX, Importer, Report
from cli.attestation.journal import Journal
from cli.attestation.table import load
from cli.exits import Exit
from cli.language import LANGUAGES, catalogue, t
from cli.output import progress
from cli.scenes import residents
from cli.scenes.stage import Stage
from client.connection import endpoints_of
from client.session import Session
from identity.pb import identity_pb2
from identity.status import status_key

RESIDENTS = 1_000
NEWCOMERS = 300
SEED = 440604
OFFLINE_SAMPLES = 3
VICTIM = "node1"
KILL_AFTER = 40
"""Newcomers attested before the validator is killed, so that it dies while it works."""
CATCH_UP_TIMEOUT_S = 20.0


async def play(stage: Stage) -> None:
    """Play it.

    Raises:
        NotHeldError: A claim does not hold.
    """
    home = stage.network.home
    async with home.session() as session:
        with stage.step(t("scene.ledger.people")):
            people = list(residents.residents(RESIDENTS + NEWCOMERS, SEED))
            stage.personal |= {word for one in people for word in (one.name, one.id_number)}
            table, newcomers = stage.folder / "residents.csv", stage.folder / "newcomers.csv"
            residents.write_table(table, people[:RESIDENTS])
            residents.write_table(newcomers, people[RESIDENTS:])
            stage.hold(
                t("scene.ledger.people-valid", count=RESIDENTS, path=table),
                len(load(table, datetime.now(UTC).date()).people) == RESIDENTS,
            )
        with stage.step(t("scene.ledger.import")):
            report, receipts = await attest_table(stage, session, table)
            stage.hold(t("scene.ledger.imported", count=report.attested), report.attested == RESIDENTS)
            files = sorted(receipts.glob("*.receipt"))
            stage.hold(t("scene.ledger.receipts", count=len(files), path=receipts), len(files) == RESIDENTS)
            again, _ = await attest_table(stage, session, table, watch=lambda _position: None)
            stage.hold(t("scene.ledger.rerun"), (again.attested, again.before) == (0, RESIDENTS))
        with stage.step(t("scene.ledger.offline")):
            await _verify_offline(stage, files[:OFFLINE_SAMPLES])
        with stage.step(t("scene.ledger.revoke")):
            await _revoke(stage, session, files[0].read_bytes())
        with stage.step(t("scene.ledger.kill")):
            await _kill_and_go_on(stage, session, newcomers)
        with stage.step(t("scene.ledger.restart")):
            await _restart(stage, session)
        with stage.step(t("scene.ledger.private")):
            await _nothing_personal(stage, session, people)
    stage.facts |= {"attested": RESIDENTS + NEWCOMERS, "receipts": str(receipts), "home": str(stage.network.root)}


def summary(stage: Stage) -> list[str]:
    """What happened and what to try next, in both languages."""
    lines = []
    for language in LANGUAGES:
        words = catalogue(language)
        root = stage.network.root
        if stage.is_kept:
            following = words.say("scene.ledger.try", home=root, sample=stage.facts["sample"])
        else:
            following = words.say("scene.ledger.removed", home=root)
        lines += ["", words.say("scene.ledger.summary", **stage.facts), following]
    return lines


async def attest_table(
    stage: Stage,
    session: Session,
    table: Path,
    *,
    watch: Callable[[int], None] | None = None,
    in_flight_max: int = IN_FLIGHT_MAX,
) -> tuple[Report, Path]:
    """Import a table, with a progress bar unless somebody else watches; the folder of its receipts."""
    receipts = table.with_name(f"{table.stem}.receipts")
    checked = load(table, datetime.now(UTC).date())
    signer = stage.network.home.signer("registrar")
    journal_path = table.with_name(f"{table.name}.journal")
    journal = Journal(journal_path, table=checked.digest, network=session.network, issuer=signer.signer.public_key)
    try:
        with progress(t("attest.progress"), len(checked.people) if watch is None else 0) as advance:
            importer = Importer(
                session,
                journal,
                checked,
                signer,
                receipts=receipts,
                operations_per_transaction=1,
                progress=watch or advance,
                in_flight_max=in_flight_max,
            )
            return await importer.run(), receipts
    finally:
        journal.close()


async def _verify_offline(stage: Stage, files: list[Path]) -> None:
    """Verify receipts in processes that cannot use a network, and see an altered one refused."""
    genesis = stage.network.home.genesis_path
    codes = await asyncio.gather(*(_offline(file, genesis) for file in files))
    stage.hold(t("scene.ledger.verified", count=len(files)), all(code == Exit.DONE for code in codes))
    raw = bytearray(files[0].read_bytes())
    raw[len(raw) // 2] ^= 1
    forged = stage.folder / "forged.receipt"
    forged.write_bytes(raw)
    stage.hold(t("scene.ledger.forged"), await _offline(forged, genesis) == Exit.UNPROVEN)
    stage.facts["sample"] = str(files[-1])


async def _offline(file: Path, genesis: Path) -> int:
    """The exit code of `zhixin receipt verify`, with sockets refused."""
    argv = ("-m", "cli.offline", "receipt", "verify", str(file), "--genesis", str(genesis), "--json")
    process = await asyncio.create_subprocess_exec(sys.executable, *argv, stdin=DEVNULL, stdout=PIPE, stderr=DEVNULL)
    await process.communicate()
    assert process.returncode is not None
    return process.returncode


async def _revoke(stage: Stage, session: Session, receipt: bytes) -> None:
    """Revoke one attestation: proven absent from the revocations before, proven present after."""
    genesis = stage.network.home.genesis()
    inclusion = verify(receipt, genesis).inclusions[0]
    identifier = identity_pb2.Attest.FromString(inclusion.operation.body).id
    key = status_key("registrar", identifier)
    before = await session.read(key)
    absent = verify(before.receipt(), genesis).states[0]
    stage.hold(t("scene.ledger.absent", height=before.checkpoint.height), (absent.key, absent.value) == (key, None))
    message = identity_pb2.SetStatus(
        id=identifier, status=identity_pb2.STATUS_REVOKED, reason=identity_pb2.REASON_NO_LONGER_TRUE
    )
    signer = stage.network.home.signer("registrar")
    operation = Operation.make("identity.SetStatus", encode(message))
    revocation = await session.submit_one(session.sign([operation], [signer]))
    stage.hold(t("scene.ledger.revoked", height=revocation.inclusion.height), revocation.failed is None)
    after = await session.read(key)
    present = verify(after.receipt(), genesis).states[0]
    record = identity_pb2.StatusRecord.FromString(present.value or b"")
    stage.hold(t("scene.ledger.present", height=after.checkpoint.height), record.status == identity_pb2.STATUS_REVOKED)
    for name, state in (("before", before), ("after", after)):
        acting.write_file(stage.folder / f"status-{name}.receipt", state.receipt())


async def _kill_and_go_on(stage: Stage, session: Session, table: Path) -> None:
    """Kill a validator while attestations flow, and lose none of them."""
    loop = asyncio.get_running_loop()
    started = loop.time()
    attested = 0

    def count(position: int) -> None:
        nonlocal attested
        attested = position
        if position >= KILL_AFTER:
            under_way.set()

    under_way = asyncio.Event()
    running = asyncio.create_task(attest_table(stage, session, table, watch=count, in_flight_max=KILL_AFTER))
    waiting = asyncio.create_task(under_way.wait())
    await asyncio.wait({running, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    pid = stage.network.kill(VICTIM)
    is_gone = stage.network.identity(VICTIM) is None
    claim = t("scene.ledger.killed", name=VICTIM, pid=pid, count=attested, total=NEWCOMERS)
    stage.hold(claim, is_gone and not running.done() and attested < NEWCOMERS)
    report, receipts = await running
    stage.hold(t("scene.ledger.went-on", count=report.attested), report.attested == NEWCOMERS)
    genesis = stage.network.home.genesis()
    proven = [verify(file.read_bytes(), genesis) for file in sorted(receipts.glob("*.receipt"))]
    stage.hold(t("scene.ledger.none-lost", count=len(proven)), len(proven) == NEWCOMERS)
    stage.facts["seconds_with_three"] = round(loop.time() - started, 1)


async def _restart(stage: Stage, session: Session) -> None:
    """Start the dead one again; it catches up and answers for itself, verified."""
    target = (await session.checkpoint()).height
    stage.network.start([VICTIM])
    await stage.network.wait_ready(session, [VICTIM], height=target)
    alone = endpoints_of(stage.network.home.genesis())[stage.network.names.index(VICTIM)]
    async with Session(stage.network.home.genesis(), endpoints=[alone]) as witness:
        caught_up = await witness.checkpoint()
        stage.hold(t("scene.ledger.caught-up", name=VICTIM, height=caught_up.height), caught_up.height >= target)
        known = await session.read_many([b"membership/validators"], height=caught_up.height)
        own = await witness.read_many([b"membership/validators"], height=caught_up.height)
        stage.hold(t("scene.ledger.same-state"), known[0].checkpoint.state_root == own[0].checkpoint.state_root)
    stage.facts["height"] = caught_up.height


async def _nothing_personal(stage: Stage, session: Session, people: list[residents.Resident]) -> None:
    """Read every block, verified, and find neither a name nor a number in it."""
    target = (await session.checkpoint()).height
    content = bytearray()
    count = 0
    async for block in session.blocks():
        for transaction in block.transactions:
            content += transaction.raw
            count += 1
        if block.block.height >= target:
            break
    whole = bytes(content)
    found = [p for p in people if p.id_number.encode() in whole or p.name.encode() in whole]
    stage.hold(t("scene.ledger.nothing-found", blocks=target, count=count), count >= len(people) and not found)
