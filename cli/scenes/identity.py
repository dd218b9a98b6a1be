# SPDX-License-Identifier: Apache-2.0
"""The scene `identity`: a resident is enrolled by two officers and gets a card; it is used, stopped, and revoked.

Officers sign with staff cards of their own. The holder's card is an emulated one in this process: it proves that the
parts speak the same protocol, and nothing about chips. After each step the scene looks as a verifier does, with nothing
but what the holder shows, the ledger's proofs and the genesis file.
"""

from dataclasses import dataclass
from secrets import randbelow

from starlette.concurrency import run_in_threadpool

from chain.p256 import verify
from chain.receipt import verify as verify_receipt
from chain.types import sha256
from cli.language import LANGUAGES, catalogue, t
from cli.scenes import residents
from cli.scenes.identity_desk import PHONE, SceneDesk, open_desk
from cli.scenes.sealing import look_that_waits
from cli.scenes.stage import Stage
from client.session import Session
from identity.api.desk import cards, cards_binding, cards_handover, cards_making, cards_phone
from identity.api.desk.cards import Opened, Reason
from identity.api.desk.cards_life import CardState
from identity.api.desk.persons import Secrets
from identity.cards.emulator import EmulatedCard
from identity.cards.objects import Slot
from identity.cards.piv import Piv
from identity.commitments import holder_commitment
from identity.officers import registrar_digest
from identity.pb import identity_pb2 as pb
from identity.registrations import Counting, counting_key, load_person, person_key, proposal_digest

SEED = 20260401
BLANKS = 5
OWN_PIN = "864209"
TAG_KEY = b"the uniqueness service's own key"
"""The scene plays the uniqueness service too; in production its key never leaves a token."""


@dataclass(frozen=True, slots=True)
class Presented:
    """What a holder shows a verifier: the registration's id, and the card's key with the salt that opens it."""

    registration: bytes
    commitment: bytes
    public_key: bytes


async def play(stage: Stage) -> None:
    """Play it.

    Raises:
        NotHeldError: A claim does not hold.
    """
    home = stage.network.home
    async with home.session() as session:
        with stage.step(t("scene.identity.offices")):
            desk = await open_desk(stage, session)
            stage.hold(t("scene.identity.officers"), await desk.are_appointed())
        try:
            person = next(residents.residents(1, randbelow(2**32)))
            stage.personal |= {person.name, person.id_number, PHONE}
            with stage.step(t("scene.identity.enrol")):
                person_id, secrets = await _enrol(stage, desk, person)
            with stage.step(t("scene.identity.make")):
                card_id, chip = await _make(stage, desk, person_id, secrets)
            with stage.step(t("scene.identity.hand-over")):
                shown = _hand_over(stage, desk, card_id, chip, secrets)
            with stage.step(t("scene.identity.verify")):
                await _verify(stage, session, shown, chip, person)
            with stage.step(t("scene.identity.suspend")):
                await _suspend(stage, session, desk, card_id, shown, person)
            with stage.step(t("scene.identity.reinstate")):
                await _reinstate(stage, session, desk, card_id, shown)
            with stage.step(t("scene.identity.revoke")):
                await _revoke(stage, session, desk, card_id, shown)
            with stage.step(t("scene.identity.sealing")):
                await look_that_waits(stage, session, desk, person_id)
            with stage.step(t("scene.identity.private")):
                await _nothing_personal(stage, session, person)
        finally:
            desk.close()
    if stage.is_kept:
        stage.facts["root"] = str(stage.network.root)


def summary(stage: Stage) -> list[str]:
    """What happened and what to try next, in both languages."""
    lines = []
    for language in LANGUAGES:
        words = catalogue(language)
        lines += ["", words.say("scene.identity.summary", **stage.facts)]
        if stage.is_kept:
            lines.append(words.say("scene.identity.try", **stage.facts))
    return lines


async def _enrol(stage: Stage, desk: SceneDesk, person: residents.Resident) -> tuple[str, Secrets]:
    """One officer enrols, another confirms; neither can do both, and the service's key can do neither."""
    secrets = Secrets.new()
    tag = pb.RegisterTag(
        key_version=1,
        tag=sha256(TAG_KEY + person.id_number.encode()),
        registrar=registrar_digest(desk.organisation),
        holder=holder_commitment(secrets.registration_id, bytes.fromhex(secrets.holder_salt)),
    )
    stage.hold(t("scene.identity.tagged"), await desk.code(desk.uniqueness, tag) == "")
    stage.hold(t("scene.identity.once"), await desk.code(desk.uniqueness, tag) == "identity.tag-taken")
    change = pb.Change(
        commitment=desk.commitment(person, secrets),
        assurance_level=pb.ASSURANCE_LEVEL_HIGH,
        proofing_method=pb.PROOFING_METHOD_DOCUMENT_INSPECTED,
    )
    enrol = pb.Enrol(id=secrets.registration_id, change=change)
    stage.hold(t("scene.identity.service-cannot"), await desk.code(desk.service, enrol) != "")
    stage.hold(t("scene.identity.proposed"), await desk.code(desk.clerk.signer, enrol) == "")
    record = await desk.record(secrets.registration_id)
    confirm = pb.Confirm(id=secrets.registration_id, digest=proposal_digest(record.proposal))
    refused = await desk.code(desk.clerk.signer, confirm)
    stage.hold(t("scene.identity.not-alone", code=refused), refused == "identity.not-on-duty")
    stage.hold(t("scene.identity.confirmed"), await desk.code(desk.approver.signer, confirm) == "")
    return desk.keep_person(person, secrets), secrets


async def _make(stage: Stage, desk: SceneDesk, person_id: str, secrets: Secrets) -> tuple[str, EmulatedCard]:
    """A blank is counted and taken; keys are made on it; two officers bind them."""
    context = desk.context
    await run_in_threadpool(desk.receive_blanks, "LS-1", "CC26-000001", BLANKS)
    card_id, chip = cards.request(context, desk.clerk.officer, person_id, Reason.FIRST), EmulatedCard()
    serial = cards_making.make(
        context, desk.clerk.officer, card_id, lambda journal, _: desk.shop.personalise(context, chip, journal)
    )
    card = desk.card(card_id)
    stage.hold(t("scene.identity.made", serial=serial), card.state is CardState.PERSONALISED and len(card.keys) == 2)
    stage.hold(t("scene.identity.keys-on-card"), _holds_its_keys(card, chip, desk.pin(card_id)))
    registration = secrets.registration_id
    proposal, _ = cards_binding.proposal(card, None, registration, await desk.record(registration))
    stage.hold(t("scene.identity.bind-proposed"), await desk.code(desk.clerk.signer, *proposal) == "")
    confirmation, _ = cards_binding.confirmation(card, None, registration, await desk.record(registration))
    stage.hold(t("scene.identity.bind-alone"), await desk.code(desk.clerk.signer, *confirmation) != "")
    stage.hold(t("scene.identity.bound"), await desk.code(desk.approver.signer, *confirmation) == "")
    record = await desk.record(registration)
    stage.hold(t("scene.identity.followed"), desk.observe(card_id, record) is CardState.BOUND)
    await run_in_threadpool(desk.print_card, card_id)
    return card_id, chip


def _holds_its_keys(card: Opened, chip: EmulatedCard, pin: str) -> bool:
    """Whether the card uses the keys that its record names."""
    piv, challenge = Piv(chip), b"whose keys are these?"
    piv.select()
    for key in card.keys:
        piv.verify_pin(pin)
        verify(bytes.fromhex(key.public_key), challenge, piv.sign(Slot(key.slot), sha256(challenge)))
    chip.reset()
    return True


def _hand_over(stage: Stage, desk: SceneDesk, card_id: str, chip: EmulatedCard, secrets: Secrets) -> Presented:
    """The holder sets a PIN that nobody else knows, and signs for the card with the card."""
    letter = desk.pin(card_id)
    cards_handover.hand_over(desk.context, desk.clerk.officer, card_id, Piv(chip), letter, OWN_PIN)
    receipt = cards_handover.receipt_of(desk.context, desk.organisation, card_id)
    stage.hold(t("scene.identity.signed-for"), receipt is not None and receipt.is_valid())
    stage.hold(t("scene.identity.letter-over"), not desk.takes(chip, letter))
    card = desk.card(card_id)
    stage.hold(t("scene.identity.active"), card.state is CardState.ACTIVE)
    key = next(key for key in card.keys if key.slot == Slot.AUTHENTICATE)
    return Presented(secrets.registration_id, key.commitment, bytes.fromhex(key.public_key))


async def _verify(
    stage: Stage, session: Session, shown: Presented, chip: EmulatedCard, person: residents.Resident
) -> None:
    """A verifier's view: the card answers a challenge, and the ledger says that its key counts."""
    challenge = b"a relying party's challenge, new each time"
    piv = Piv(chip)
    piv.select()
    piv.verify_pin(OWN_PIN)
    verify(shown.public_key, challenge, piv.sign(Slot.AUTHENTICATE, sha256(challenge)))
    chip.reset()
    stage.hold(t("scene.identity.answers"), held=True)
    counting, raw = await _counting(stage, session, shown)
    stage.hold(t("scene.identity.counts"), counting is not None and counting.purpose == pb.CONTROL_PURPOSE_AUTHENTICATE)
    written = [person.name.encode(), person.id_number.encode(), sha256(person.id_number.encode())]
    stage.hold(t("scene.identity.sees-nothing", count=len(raw)), not any(one in raw for one in written))
    stranger = Presented(shown.registration, sha256(b"a stranger's key"), shown.public_key)
    unknown, _ = await _counting(stage, session, stranger)
    stage.hold(t("scene.identity.stranger"), unknown is None)


async def _counting(stage: Stage, session: Session, shown: Presented) -> tuple[Counting | None, bytes]:
    """What a key counts for, by a receipt that is verified against the genesis file alone; and all that it shows."""
    state = await session.read(person_key(shown.registration))
    proven = verify_receipt(state.receipt(), stage.network.home.genesis()).states[0]
    record = load_person({proven.key: proven.value}.get, shown.registration)
    return counting_key(record, shown.commitment, state.checkpoint.time_ms), proven.value or b""


async def _suspend(
    stage: Stage, session: Session, desk: SceneDesk, card_id: str, shown: Presented, person: residents.Resident
) -> None:
    """A call stops the card at once; who does not know name and number learns nothing."""
    call = cards_phone.answer(desk.context, desk.clerk.officer, person.name, person.id_number)
    stage.hold(t("scene.identity.caller"), call.cards == (card_id,))
    await cards_phone.suspend(desk.context, desk.clerk.officer, card_id)
    stage.hold(t("scene.identity.stopped"), desk.card(card_id).state is CardState.SUSPENDED)
    counting, _ = await _counting(stage, session, shown)
    stage.hold(t("scene.identity.counts-no-more"), counting is None)
    stage.hold(t("scene.identity.told"), desk.notices() == ["card-handed-over", "card-suspended", "looked-at"])


async def _reinstate(stage: Stage, session: Session, desk: SceneDesk, card_id: str, shown: Presented) -> None:
    """The way back is an officer's who sees the holder; the service's key, which stopped it, cannot."""
    record = await desk.record(shown.registration)
    present, _ = cards_binding.reinstatement(
        desk.card(card_id), shown.registration, record, pb.PROOFING_METHOD_DOCUMENT_INSPECTED
    )
    refused = await desk.code(desk.service, *present)
    stage.hold(t("scene.identity.service-cannot-reinstate", code=refused), refused == "identity.no-officer")
    stage.hold(t("scene.identity.reinstated"), await desk.code(desk.clerk.signer, *present) == "")
    counting, _ = await _counting(stage, session, shown)
    stage.hold(t("scene.identity.counts-again"), counting is not None)
    desk.observe(card_id, await desk.record(shown.registration))


async def _revoke(stage: Stage, session: Session, desk: SceneDesk, card_id: str, shown: Presented) -> None:
    """An officer who confirms ends the keys; they never count again, whoever proposes them."""
    record = await desk.record(shown.registration)
    operations, _ = cards_binding.revocation(desk.card(card_id), shown.registration, record, Reason.LOST)
    stage.hold(t("scene.identity.clerk-cannot"), await desk.code(desk.clerk.signer, *operations) != "")
    stage.hold(t("scene.identity.revoked"), await desk.code(desk.approver.signer, *operations) == "")
    counting, _ = await _counting(stage, session, shown)
    stage.hold(t("scene.identity.ended"), counting is None)
    again = pb.NewKey(purpose=pb.CONTROL_PURPOSE_AUTHENTICATE, commitment=shown.commitment)
    change = pb.ProposeChange(id=shown.registration, change=pb.Change(binds=[again]))
    refused = await desk.code(desk.clerk.signer, change)
    stage.hold(t("scene.identity.never-again", code=refused), refused == "identity.key-used")
    state = desk.observe(card_id, await desk.record(shown.registration))
    stage.hold(t("scene.identity.desk-knows"), state is CardState.REVOKED)
    stage.facts |= {"steps": desk.steps(card_id)}


async def _nothing_personal(stage: Stage, session: Session, person: residents.Resident) -> None:
    """Read every block, verified, and find nothing of the person in it, not even a plain hash of the number."""
    target = (await session.checkpoint()).height
    content = bytearray()
    async for block in session.blocks():
        for transaction in block.transactions:
            content += transaction.raw
        if block.block.height >= target:
            break
    number, name = person.id_number.encode(), person.name.encode()
    forbidden = (number, name, sha256(number), sha256(name))
    stage.hold(t("scene.identity.nothing-found", blocks=target), not any(one in bytes(content) for one in forbidden))
