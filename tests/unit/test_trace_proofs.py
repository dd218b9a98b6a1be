# SPDX-License-Identifier: Apache-2.0
"""What a shopper's phone checks alone, with real signatures, log, tree and certificate: from label to genesis.

Each event of a journey is in the log, its hash and the lot's whole history stand in state, and no recall does. What
is left out, changed or withheld shows.
"""

import pytest

from chain import receipt
from chain.codec import decode, encode
from chain.errors import LedgerError
from chain.memory import MemoryDatabase
from chain.pb import ledger_pb2
from chain.receipt import Verified
from chain.transaction import Operation, SignedTransaction, build, verify_signatures
from chain.types import TRANSACTION_BYTES_MAX, Millis
from membership.pb import membership_pb2
from tests.certified_ledger import BODIES, REGISTRAR, CertifiedLedger, key_of
from tests.trace_rig import CABBAGE, gln, kg, lot, product, smallholder
from traceability.events import event_key, projection_hash
from traceability.goods import FIRST_HISTORY, lot_key, next_history
from traceability.openings import open_field, verify_field
from traceability.pb import traceability_pb2 as pb
from traceability.projection import project
from traceability.recalls import recall_keys

FARM, SHOP = gln(1), gln(2)
STEM = "https://id.gs1.org/"
CONTEXT = "https://ref.gs1.org/standards/epcis/epcis-context.jsonld"
MEMORY_SECRET = bytes(range(32))


class Market:
    """A ledger on which a farm sold a lot to a shop."""

    def __init__(self) -> None:
        self.ledger = CertifiedLedger(MemoryDatabase())
        self.leaves: list[tuple[SignedTransaction, bytes]] = []
        ledger = self.ledger
        grant = membership_pb2.Act(grant_role=membership_pb2.GrantRole(organisation=REGISTRAR, role="food-regulator"))
        proposal = ledger.sign(
            BODIES[0], membership_pb2.Propose(epoch=1, expires_at_ms=ledger.time_ms + 86_400_000, acts=[grant])
        )
        votes = [ledger.sign(name, membership_pb2.Approve(proposal_id=proposal.id, epoch=1)) for name in BODIES[1:3]]
        self.run(proposal, *votes)
        farm, shop = (smallholder(FARM), smallholder(SHOP, roles=[pb.ROLE_MARKET]))
        goods = product(CABBAGE, pb.UNIT_KILOGRAM, 1_000_000, "菜心")
        self.run(self.signed(["farm", "shop"], farm, shop, goods, *map(self.key, (FARM, SHOP), ("farm", "shop"))))

    def key(self, number: str, name: str) -> pb.AddTraderKey:
        signer = key_of(name).signer
        shown = ledger_pb2.Signer(scheme=ledger_pb2.SCHEME_ED25519, public_key=signer.public_key)
        return pb.AddTraderKey(participant=number, key=shown)

    def signed(self, names: list[str], *messages: object) -> SignedTransaction:
        """A transaction that the regulator submits, signed by these traders."""
        self.ledger.salt += 1
        operations = [
            one if isinstance(one, Operation) else Operation.make(f"traceability.{type(one).__name__}", encode(one))
            for one in messages
        ]
        expires = Millis(self.ledger.time_ms + 60_000)
        signers = [key_of(REGISTRAR), *[key_of(name) for name in names]]
        made = build(operations, signers, expires, self.ledger.salt.to_bytes(16), self.ledger.genesis.network)
        verify_signatures(made, self.ledger.genesis.network)
        return made

    def run(self, *transactions: SignedTransaction) -> None:
        """A block in which all of these take effect."""
        execution = self.ledger.append(*transactions)
        for transaction, entry in zip(transactions, execution.entries, strict=True):
            assert ledger_pb2.Entry.FromString(entry).WhichOneof("result") == "success"
            self.leaves.append((transaction, entry))

    def event(self, who: str, actor: str, **fields: object) -> pb.RecordEvent:
        """Capture and record one event."""
        event = {
            "type": "ObjectEvent",
            "eventTime": "2023-11-14T22:13:20Z",
            "eventTimeZoneOffset": "+08:00",
            "quantityList": [{"epcClass": STEM + lot(), "quantity": 10, "uom": "KGM"}],
            "sourceList": [{"type": "possessing_party", "source": f"{STEM}417/{FARM}"}],
            "destinationList": [{"type": "possessing_party", "destination": f"{STEM}417/{SHOP}"}],
            **fields,
        }
        found = project(event, context=CONTEXT, actor=actor, secret=MEMORY_SECRET, unit_of=lambda _: pb.UNIT_KILOGRAM)
        self.run(self.signed([who], *found.operations))
        assert found.message is not None
        verify_field(open_field(event, MEMORY_SECRET, "/eventTime"), found.message.fields_root)
        return found.message

    def journey(self) -> list[pb.RecordEvent]:
        return [
            self.event("farm", FARM, action="ADD", bizStep="commissioning", sourceList=[], destinationList=[]),
            self.event("farm", FARM, action="OBSERVE", bizStep="shipping"),
            self.event("shop", SHOP, action="OBSERVE", bizStep="receiving"),
        ]

    def show(self, events: list[pb.RecordEvent], keys: list[bytes]) -> bytes:
        """One receipt: the events' operations, and these keys of state, present or not."""
        store, height = self.ledger.store, self.ledger.checkpoint.height
        wanted = {event.projection.id for event in events}
        inclusions = []
        for leaf, (transaction, entry) in enumerate(self.leaves):
            for index, operation in enumerate(transaction.operations):
                if operation.type != "traceability.RecordEvent":
                    continue
                if pb.RecordEvent.FromString(operation.body).projection.id in wanted:
                    path = store.prove_inclusion(leaf, self.ledger.checkpoint.log_size)
                    inclusions.append(receipt.make_inclusion(transaction, index, entry, leaf, path))
        states = [receipt.make_state_proof(key, *store.prove_state(key, height)) for key in sorted(keys)]
        return receipt.make(inclusions, states, self.ledger.certificates[height], [])


def check(verified: Verified) -> list[str]:
    """What the phone concludes for the lot, from a verified receipt alone; what is wrong, in words."""
    wrong: list[str] = []
    states = {state.key: state.value for state in verified.states}
    record = pb.LotRecord.FromString(states[lot_key(lot())] or b"")
    history = FIRST_HISTORY
    for inclusion in verified.inclusions:
        message = decode(pb.RecordEvent, inclusion.operation.body, TRANSACTION_BYTES_MAX)
        kept = pb.EventRecord.FromString(states[event_key(message.projection.id)] or b"")
        if kept.projection != projection_hash(message.projection):
            wrong.append("another projection")
        if kept.declared_ms:
            wrong.append("declared in error")
        history = next_history(history, message.projection.id)
    if (history, len(verified.inclusions)) != (record.history, record.events):
        wrong.append("an event is left out")
    wrong += ["recalled" for key in recall_keys(lot()) if states[key] is not None]
    return wrong


@pytest.fixture(scope="module")
def market() -> Market:
    return Market()


@pytest.fixture(scope="module")
def journey(market: Market) -> list[pb.RecordEvent]:
    return market.journey()


def keys_of(journey: list[pb.RecordEvent]) -> list[bytes]:
    return [lot_key(lot()), *recall_keys(lot()), *(event_key(event.projection.id) for event in journey)]


def test_phone_verifies_a_whole_journey_down_to_genesis(market: Market, journey: list[pb.RecordEvent]) -> None:
    verified = receipt.verify(market.show(journey, keys_of(journey)), market.ledger.genesis_bytes)
    assert len(verified.inclusions) == 3
    assert check(verified) == []


def test_event_that_a_page_leaves_out_is_missed(market: Market, journey: list[pb.RecordEvent]) -> None:
    shown = market.show([journey[0], journey[2]], keys_of(journey))
    assert check(receipt.verify(shown, market.ledger.genesis_bytes)) == ["an event is left out"]


def test_changed_quantity_or_forged_state_verifies_nowhere(market: Market, journey: list[pb.RecordEvent]) -> None:
    raw = market.show(journey, keys_of(journey))
    for change in (_more_kilograms, _no_lot):
        message = ledger_pb2.Receipt.FromString(raw)
        change(message)
        with pytest.raises(LedgerError):
            receipt.verify(encode(message), market.ledger.genesis_bytes)


def _more_kilograms(message: ledger_pb2.Receipt) -> None:
    operation = ledger_pb2.Operation.FromString(message.inclusions[0].operation)
    event = pb.RecordEvent.FromString(operation.body)
    event.projection.lines[0].quantity = kg(99)
    operation.body = encode(event)
    message.inclusions[0].operation = encode(operation)


def _no_lot(message: ledger_pb2.Receipt) -> None:
    (state,) = [one for one in message.states if one.key == lot_key(lot())]
    state.value = b""


def test_recall_and_declared_error_show_until_they_are_lifted(market: Market, journey: list[pb.RecordEvent]) -> None:
    def shown() -> list[str]:
        return check(receipt.verify(market.show(journey, keys_of(journey)), market.ledger.genesis_bytes))

    market.run(
        market.signed([], pb.Recall(items=[lot()], kind=pb.RECALL_KIND_RECALL, reason=pb.RECALL_REASON_RESIDUES))
    )
    assert shown() == ["recalled"]
    market.run(market.signed([], pb.LiftRecall(items=[lot()])))
    assert shown() == []
    wrong = pb.DeclareError(event=journey[1].projection.id, reason=pb.ERROR_REASON_INCORRECT_DATA)
    market.run(market.signed(["farm"], wrong))
    assert shown() == ["declared in error"]
