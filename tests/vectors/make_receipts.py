# SPDX-License-Identifier: Apache-2.0
"""Makes the corpus of receipts that all implementations agree on; receipts/README.md says how to read it.

`python tests/vectors/make_receipts.py` writes the files anew; `made()` returns them, for the test that they are fresh.
"""

import json
import zlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from chain import base45, receipt, receipt_text
from chain.bls import aggregate
from chain.certificate import BlsScheme, checkpoint_message, combine, vote_message
from chain.checkpoint import CertifiedCheckpoint, Checkpoint, ClosingCheckpoint
from chain.codec import encode
from chain.ed25519 import Ed25519Signer
from chain.errors import LedgerError
from chain.p256 import P256Signer
from chain.pb import ics23_pb2 as ics23
from chain.pb import ledger_pb2 as pb
from chain.receipt import FailedInclusion, Verified, VerifiedInclusion, Verifier
from chain.transaction import Operation, SignedTransaction, build
from chain.types import BlockId, Epoch, Height, Millis, Network, View, sha256
from sim.instant_ledger import InstantLedger, secret_of

FOLDER = Path(__file__).parent / "receipts"
REGISTRAR = Ed25519Signer(sha256(b"registrar"))
OFFICER = P256Signer(ec.derive_private_key(1234567, ec.SECP256R1()))
FIRST, SECOND, THIRD = ("water", "roads", "health", "archive"), ("roads", "health", "archive", "parks"), ("parks",)
STATUS = b"status/water/00000001"
KEYS = [b"membership/organisation/" + name.encode() for name in (*FIRST, "parks")]


class Corpus:
    """Cases as they are added, each tried against the reference when it is."""

    def __init__(self) -> None:
        self.ledger = InstantLedger(FIRST)
        self.cases: list[dict[str, object]] = []
        self.texts: list[dict[str, object]] = []

    def add(
        self,
        name: str,
        raw: bytes,
        *,
        good: bool,
        genesis: str = "genesis.json",
        kept: Sequence[bytes] = (),
        state_age_ms_max: int | None = None,
        now_ms: int | None = None,
        older_epochs: bool = False,
        every_byte: bool = False,
    ) -> None:
        case: dict[str, object] = {
            "name": name,
            "genesis": genesis,
            "kept": [one.hex() for one in kept],
            "receipt": raw.hex(),
            "state_age_ms_max": state_age_ms_max,
            "now_ms": now_ms,
            "older_epochs": older_epochs,
            "every_byte": every_byte,
        }
        assert name not in [other["name"] for other in self.cases], name
        assert not kept or genesis == "genesis.json"
        case["code"], case["content"] = judge(case, self.genesis_of(genesis))
        assert (case["code"] is None) == good, (name, case["code"])
        self.cases.append(case)

    def good(self, name: str, raw: bytes, **options: object) -> None:
        self.add(name, raw, good=True, **options)

    def bad(self, name: str, raw: bytes, **options: object) -> None:
        self.add(name, raw, good=False, **options)

    def altered(self, name: str, raw: bytes, change: Callable[[pb.Receipt], object], **options: object) -> None:
        """A good receipt with one change, and encoded again: it must be refused."""
        message = pb.Receipt.FromString(raw)
        change(message)
        changed = encode(message)
        assert changed != raw, name
        self.bad(name, changed, **options)

    def genesis_of(self, name: str):
        return self.ledger.genesis if name == "genesis.json" else OTHER.genesis


OTHER = InstantLedger(FIRST, Millis(1_799_999_999_000))


def judge(case: dict[str, object], genesis) -> tuple[str | None, dict[str, object] | None]:
    """What the reference says of a case: a code and no content, or no code and the content."""
    verifier = Verifier(genesis)
    for kept in case["kept"]:
        verifier.verify(bytes.fromhex(kept), older_epochs=True)
    try:
        verified = verifier.verify(
            bytes.fromhex(case["receipt"]),
            state_age_ms_max=case["state_age_ms_max"],
            now_ms=case["now_ms"],
            older_epochs=case["older_epochs"],
        )
    except LedgerError as error:
        return error.code, None
    return None, content_of(verified)


def content_of(verified: Verified) -> dict[str, object]:
    """What a receipt proves, as JSON."""
    return {
        "epoch": verified.epoch,
        "height": verified.checkpoint.height,
        "time_ms": verified.time_ms,
        "inclusions": [_inclusion(inclusion) for inclusion in verified.inclusions],
        "failures": [
            {**_inclusion(failed), "code": failed.code, "failed_operation": failed.failed_operation}
            for failed in verified.failures
        ],
        "states": [
            {"key": state.key.hex(), "value": None if state.value is None else state.value.hex()}
            for state in verified.states
        ],
    }


def _inclusion(inclusion: VerifiedInclusion | FailedInclusion) -> dict[str, object]:
    return {
        "type": inclusion.operation.type,
        "body": inclusion.operation.body.hex(),
        "operation_index": inclusion.operation_index,
        "operation_count": inclusion.header.operation_count,
        "transaction_id": inclusion.transaction_id.hex(),
        "expires_at_ms": inclusion.header.expires_at_ms,
        "signers": [
            {"scheme": int(signer.scheme), "public_key": signer.public_key.hex()} for signer in inclusion.header.signers
        ],
        "height": inclusion.height,
        "position": inclusion.position,
        "time_ms": inclusion.time_ms,
        "leaf_index": inclusion.leaf_index,
    }


def transaction(ledger: InstantLedger, number: int, operations: int = 1, signers=(REGISTRAR,)) -> SignedTransaction:
    acts = [Operation.make("identity.Attest", sha256(b"%d %d" % (number, i))) for i in range(operations)]
    expires = Millis(ledger.checkpoint.time_ms + 60_000)
    return build(acts, signers, expires, sha256(b"salt %d" % number)[:16], ledger.genesis.network)


def certified_pb(certified: CertifiedCheckpoint) -> Callable[[pb.Receipt], None]:
    return lambda message: message.checkpoint.CopyFrom(certified.to_pb())


def add_first_epoch(corpus: Corpus) -> dict[str, bytes]:
    """Blocks 1 to 4 in epoch 1: good receipts, and most ways to spoil one."""
    ledger = corpus.ledger
    ledger.append(
        [(transaction(ledger, 0), None), (transaction(ledger, 1, 3, (REGISTRAR, OFFICER)), None)],
        {key: b"record of " + key for key in KEYS},
    )
    single = ledger.receipt([(0, 0)])
    corpus.good("one operation, first block", single)
    failure = pb.Failure(code="identity.not-registrar", operation=1)
    ledger.append([(transaction(ledger, 2, 2), failure), *[(transaction(ledger, 3 + i), None) for i in range(4)]])
    before = ledger.receipt([(0, 0)], [STATUS])
    raws = {
        "one": ledger.receipt([(4, 0)]),
        "co-signed": ledger.receipt([(1, 1)]),
        "failed": ledger.receipt([(2, 0)]),
        "bundle": ledger.receipt([(0, 0), (1, 0), (1, 2), (2, 1), (6, 0)], [KEYS[0], STATUS, b"zz"]),
        "present": ledger.receipt([], [KEYS[1]]),
        "absent": ledger.receipt([], [STATUS]),
        "before revocation": before,
    }
    corpus.good("one operation", raws["one"], every_byte=True)
    corpus.good("one of three operations, two signers", raws["co-signed"], every_byte=True)
    corpus.good("an operation of a failed transaction", raws["failed"], every_byte=True)
    corpus.good("operations, a failure, presence and absence in one bundle", raws["bundle"])
    corpus.good("a state key that is present", raws["present"], every_byte=True)
    corpus.good("a state key that is absent", raws["absent"], every_byte=True)
    corpus.good("an operation and the absence of its revocation", before)
    ledger.append(writes={STATUS: b"\x01revoked"})
    raws["after revocation"] = ledger.receipt([(0, 0)], [STATUS])
    corpus.good("an operation and its revocation", raws["after revocation"])
    newest_ms = ledger.checkpoint.time_ms
    fresh = {"state_age_ms_max": 500, "now_ms": newest_ms + 100}
    corpus.good("the revocation, fresh enough", raws["after revocation"], **fresh)
    corpus.bad("from before the revocation, too old", before, **fresh)
    corpus.good("an operation without states has no age", raws["one"], **fresh)
    corpus.bad("the checkpoint is ahead of the clock", before, state_age_ms_max=500, now_ms=newest_ms - 120_000)
    return raws


def add_elements(corpus: Corpus, raws: dict[str, bytes]) -> None:
    """Each element dropped, swapped, duplicated or replaced."""
    one, co_signed, failed, bundle = raws["one"], raws["co-signed"], raws["failed"], raws["bundle"]
    alter = corpus.altered
    alter("no inclusion and no state", one, lambda m: m.ClearField("inclusions"))
    alter("no checkpoint", one, lambda m: m.ClearField("checkpoint"))
    alter("empty checkpoint", one, lambda m: m.checkpoint.ClearField("checkpoint"))
    alter("no bitmap", one, lambda m: m.checkpoint.ClearField("bitmap"))
    alter("no aggregate", one, lambda m: m.checkpoint.ClearField("aggregate"))
    for field in ("operation", "entry", "leaf_index", "path"):
        alter(f"no {field}", one, lambda m, field=field: m.inclusions[0].ClearField(field))
    for field in ("operation_index", "operation_path"):
        alter(f"no {field}", co_signed, lambda m, field=field: m.inclusions[0].ClearField(field))
    alter("path one shorter", one, lambda m: m.inclusions[0].path.pop())
    alter("path one longer", one, lambda m: m.inclusions[0].path.append(bytes(32)))
    alter("path swapped", one, lambda m: m.inclusions[0].path.reverse())
    alter("path hash of 31 bytes", one, lambda m: m.inclusions[0].path.__setitem__(0, m.inclusions[0].path[0][:31]))
    alter("leaf index one more", one, lambda m: setattr(m.inclusions[0], "leaf_index", 5))
    alter("leaf index beyond the log", one, lambda m: setattr(m.inclusions[0], "leaf_index", 4 + 8))
    alter("operation index one less", co_signed, lambda m: setattr(m.inclusions[0], "operation_index", 0))
    alter("operation path swapped", co_signed, lambda m: m.inclusions[0].operation_path.reverse())
    alter("operation path one longer", one, lambda m: m.inclusions[0].operation_path.append(bytes(32)))
    alter("inclusion twice", one, lambda m: m.inclusions.append(m.inclusions[0]))
    alter("inclusions swapped", bundle, lambda m: m.inclusions.reverse())
    alter("states swapped", bundle, lambda m: m.states.reverse())
    alter("state twice", raws["present"], lambda m: m.states.append(m.states[0]))
    alter("entries of two inclusions exchanged", bundle, _exchange_entries)
    alter("operation of another transaction", one, _operation_of(bundle, 0))
    alter("operation's type replaced", one, _replace_operation)
    alter("failed result shown as success", failed, _as_success)
    alter("successful result shown as failure", one, _as_failure)
    alter("entry without a result", one, _without_result)
    alter("entry's height replaced", one, _entry_change("height", 1))
    alter("entry's time replaced", one, _entry_change("time_ms", 1_800_000_001_000))
    alter("inner node offered as an entry", one, _shorten_by_an_inner_node)
    alter("closing checkpoint that nothing asks for", one, lambda m: m.epochs.add())
    for name, raw in raws.items():
        corpus.bad(f"{name}, with an unknown field at its end", raw + b"\xf8\x01\x01")
    corpus.bad("empty", b"")
    corpus.bad("cut short", one[:-1])
    corpus.bad("a receipt after itself", one + one)
    corpus.bad("fields out of order", _last_field_first(one))


def add_states(corpus: Corpus, raws: dict[str, bytes]) -> None:
    """Presence and absence claimed wrongly."""
    present, absent = raws["present"], raws["absent"]
    alter = corpus.altered
    alter("present key shown with another value", present, lambda m: setattr(m.states[0], "value", b"another"))
    alter("present key shown as absent by its own proof", present, lambda m: m.states[0].ClearField("value"))
    alter("absent key shown with a value", absent, lambda m: setattr(m.states[0], "value", b"x"))
    alter("state without proof", absent, lambda m: m.states[0].ClearField("proof"))
    alter("state without key", absent, lambda m: m.states[0].ClearField("key"))
    alter("proof of another key", absent, lambda m: setattr(m.states[0], "key", b"another"))
    proofs = sorted(_presences(corpus.ledger), key=lambda proof: sha256(proof.key))
    middle = proofs[2]
    for name, left, right in (
        ("the neighbours of a present key", proofs[1], proofs[3]),
        ("a left neighbour alone", proofs[1], None),
        ("a right neighbour alone", None, proofs[3]),
        ("neighbours in the order of raw keys", *_raw_neighbours(proofs, middle.key)),
        ("swapped neighbours", proofs[3], proofs[1]),
        ("the key itself as its left neighbour", middle, proofs[3]),
    ):
        absence = ics23.NonExistenceProof(key=sha256(middle.key), left=left, right=right)
        proof = encode(ics23.CommitmentProof(nonexist=absence))
        claim = pb.StateProof(key=middle.key, proof=proof)
        certified = corpus.ledger.certify()
        corpus.bad(f"present key shown as absent by {name}", receipt.make([], [claim], certified, []))


def add_certificates(corpus: Corpus, raws: dict[str, bytes]) -> None:
    """Checkpoints that no quorum of the right set certified."""
    ledger, one = corpus.ledger, raws["one"]
    checkpoint = Checkpoint.decode(pb.Receipt.FromString(one).checkpoint.checkpoint)
    alter = corpus.altered
    message = checkpoint_message(checkpoint.network, checkpoint.encode())
    signatures = [secret_of(name).sign(message) for name in FIRST]

    def by(members: Sequence[int], bitmap: bytes) -> Callable[[pb.Receipt], None]:
        combined = aggregate([signatures[i] for i in members])
        return certified_pb(CertifiedCheckpoint(checkpoint.encode(), bitmap, combined))

    def of_kind(payload: bytes) -> Callable[[pb.Receipt], None]:
        votes = {i: secret_of(FIRST[i]).sign(payload) for i in range(4)}
        return certified_pb(CertifiedCheckpoint(checkpoint.encode(), *combine(votes, 4, BlsScheme())))

    corpus.good("signed by all", _changed(one, by([0, 1, 2, 3], b"\x0f")))
    corpus.good("signed by another quorum", _changed(one, by([0, 1, 3], b"\x0b")))
    alter("quorum minus one", one, by([0, 1], b"\x03"))
    alter("quorum minus one, with the bit of one who did not sign", one, by([0, 1], b"\x07"))
    alter("a signer more than the bitmap says", one, by([0, 1, 2, 3], b"\x07"))
    alter("one signature counted three times", one, by([0, 0, 0], b"\x07"))
    alter("one signature counted twice", one, by([0, 1, 1, 2], b"\x07"))
    alter("padding bit set", one, by([0, 1, 2], b"\x17"))
    alter("unknown signer in the place of a known one", one, by([0, 1, 2], b"\x13"))
    alter("bitmap one byte longer", one, by([0, 1, 2], b"\x07\x00"))
    alter("bitmap empty", one, by([0, 1, 2], b""))
    alter("bitmap most significant bit first", one, by([0, 1, 2], b"\xe0"))
    alter("identity as aggregate", one, lambda m: setattr(m.checkpoint, "aggregate", b"\xc0" + bytes(95)))
    alter("signed as a notarization", one, of_kind(_as_vote(checkpoint, pb.KIND_NOTARIZE)))
    alter("signed as a finalization", one, of_kind(_as_vote(checkpoint, pb.KIND_FINALIZE)))
    alter("signed for another network", one, of_kind(checkpoint_message(OTHER.genesis.network, checkpoint.encode())))
    alter("signed without purpose", one, of_kind(checkpoint.encode()))
    foreign = replace(checkpoint, network=OTHER.genesis.network)
    alter("checkpoint of another network", one, certified_pb(ledger.certify(foreign)))
    corpus.bad("verified against another genesis", one, genesis="other-genesis.json")
    later = replace(checkpoint, epoch=Epoch(2))
    votes = {i: secret_of(FIRST[i]).sign(checkpoint_message(later.network, later.encode())) for i in range(4)}
    alter(
        "of an unknown epoch", one, certified_pb(CertifiedCheckpoint(later.encode(), *combine(votes, 4, BlsScheme())))
    )
    early = replace(checkpoint, time_ms=Millis(ledger.genesis.time_ms - 1))
    alter("from before genesis", one, certified_pb(ledger.certify(early)))
    newer_time = replace(checkpoint, time_ms=Millis(checkpoint.time_ms + 1))
    alter("entry of the checkpoint's height with another time", one, certified_pb(ledger.certify(newer_time)))
    below = replace(checkpoint, height=Height(1))
    alter("entry above the checkpoint's height", one, certified_pb(ledger.certify(below)))
    kept = raws["after revocation"]
    newest = Checkpoint.decode(pb.Receipt.FromString(kept).checkpoint.checkpoint)
    corpus.good("older than the newest checkpoint seen, and in agreement with it", one, kept=[kept])
    fork = replace(newest, block_id=BlockId(b"f" * 32))
    contradiction = _changed(kept, certified_pb(ledger.certify(fork)))
    corpus.good("signed a second time at one height, for who has not seen the first", contradiction)
    corpus.bad("another checkpoint at a height already seen", contradiction, kept=[kept])
    shrunk = replace(newest, height=Height(newest.height + 1), log_size=5)
    corpus.bad("a log that shrank", _changed(one, certified_pb(ledger.certify(shrunk))), kept=[kept])


def add_epochs(corpus: Corpus, raws: dict[str, bytes]) -> None:
    """Hand-overs to a second and a third set."""
    ledger, one = corpus.ledger, raws["one"]
    ledger.append([(transaction(ledger, 10), None)], next_names=SECOND)
    closing_receipt = ledger.receipt([(7, 0)])
    corpus.good("under the checkpoint that closes epoch 1", closing_receipt)
    ledger.append([(transaction(ledger, 11), None)])
    second = ledger.receipt([(0, 0), (8, 0)], [STATUS])
    second_alone = ledger.receipt([(8, 0)], from_epoch=2)
    corpus.good("epoch 2, from genesis", second, every_byte=True)
    corpus.good("epoch 2 without closing checkpoints, for who is there", second_alone, kept=[second])
    corpus.bad("epoch 2 without closing checkpoints, for who is not", second_alone)
    corpus.bad("of an epoch known to be over", one, kept=[second])
    corpus.good("of an epoch known to be over, where that is accepted", one, kept=[second], older_epochs=True)
    as_first = replace(ledger.checkpoint, height=Height(4), epoch=Epoch(1))
    for name, checkpoint, members in (
        ("of epoch 2 signed by the set of epoch 1", ledger.checkpoint, FIRST),
        ("of epoch 1 signed by the set of epoch 2", as_first, SECOND),
    ):
        message = checkpoint_message(checkpoint.network, checkpoint.encode())
        votes = {i: secret_of(members[i]).sign(message) for i in range(4)}
        certified = CertifiedCheckpoint(checkpoint.encode(), *combine(votes, 4, BlsScheme()))
        corpus.altered(name, closing_receipt if checkpoint is as_first else second, certified_pb(certified))
    ledger.append(next_names=THIRD)
    ledger.append([(transaction(ledger, 12), None)])
    third = ledger.receipt([(0, 0)])
    corpus.good("epoch 3 with a single validator, from genesis", third)
    corpus.good("epoch 3 from genesis, for who is in epoch 2", third, kept=[second])
    corpus.good("epoch 3 from epoch 2, for who is there", ledger.receipt([(0, 0)], from_epoch=2), kept=[second])
    corpus.bad("of epoch 2 from genesis, for who is in epoch 3", second, kept=[third])
    alter = corpus.altered
    alter("first closing checkpoint dropped", third, lambda m: m.epochs.pop(0))
    alter("second closing checkpoint dropped", third, lambda m: m.epochs.pop())
    alter("closing checkpoints swapped", third, lambda m: m.epochs.reverse())
    alter("closing checkpoint twice", third, lambda m: m.epochs.append(m.epochs[1]))
    alter("closing checkpoint beyond the receipt's epoch", second, _append_closing(ledger.closings[1]))
    alter("closing checkpoint with the set of another", third, _exchange_sets)
    alter("closing checkpoint without its set", third, lambda m: m.epochs[0].ClearField("next"))
    alter("closing checkpoint without certificate", third, lambda m: m.epochs[0].ClearField("certified"))
    first = Checkpoint.decode(ledger.closings[0].certified.checkpoint)
    unclosed = ledger.certify(replace(first, next_validators=b""))
    alter("checkpoint that closes nothing as a step", third, lambda m: m.epochs[0].certified.CopyFrom(unclosed.to_pb()))
    few = ledger.certify(first, [0, 1])
    alter("closing checkpoint short of a quorum", third, lambda m: m.epochs[0].certified.CopyFrom(few.to_pb()))
    above = replace(first, height=Height(first.height + 1), time_ms=Millis(first.time_ms + 1), next_validators=b"")
    above_raw = _changed(closing_receipt, certified_pb(ledger.certify(above)))
    corpus.good("of epoch 1 above its closing height, for who does not know that it closed", above_raw)
    corpus.bad("of epoch 1 above its closing height", above_raw, kept=[second], older_epochs=True)
    other_close = ledger.certify(replace(first, state_root=b"x" * 32))
    forked = _changed(third, lambda m: m.epochs[0].certified.CopyFrom(other_close.to_pb()))
    corpus.bad("another closing checkpoint than the one seen", forked, kept=[second])
    low = replace(ledger.checkpoint, height=first.height)
    alter("of epoch 3 at the height where epoch 1 closed", third, certified_pb(ledger.certify(low)))


def add_texts(corpus: Corpus, raws: dict[str, bytes]) -> None:
    """The same receipts as texts, and texts that stand for none."""

    def text(name: str, written: str, raw: bytes | None) -> None:
        try:
            decoded = receipt_text.decode_any(written.encode())
        except LedgerError:
            decoded = None
        assert decoded == raw, name
        corpus.texts.append({"name": name, "text": written, "receipt": None if raw is None else raw.hex()})

    for name in ("one", "bundle", "absent"):
        text(f"{name}, JSON", receipt_text.to_json(raws[name]), raws[name])
        text(f"{name}, compact", receipt_text.to_compact(raws[name]), raws[name])
    raw = raws["one"]
    compact, document = receipt_text.to_compact(raw), json.loads(receipt_text.to_json(raw))
    text("JSON without white space", json.dumps(document, separators=(",", ":")), raw)
    text("JSON with its members in another order", json.dumps(dict(sorted(document.items()))), raw)
    text("JSON with a line end", json.dumps(document) + "\n", raw)
    text("compact with a line end", compact + "\r\n", raw)
    written = json.dumps(document)
    text("JSON with a member twice", written.replace("{", '{"format": "zhixin-receipt/1", ', 1), None)
    text("JSON with an unknown member", json.dumps({**document, "note": 1}), None)
    for member in document:
        text(f"JSON without {member}", json.dumps({k: v for k, v in document.items() if k != member}), None)
    text("JSON of another format", json.dumps({**document, "format": "zhixin-receipt/2"}), None)
    text(
        "JSON with upper-case digits",
        written.replace(document["checkpoint"]["aggregate"], document["checkpoint"]["aggregate"].upper()),
        None,
    )
    text(
        "JSON with half a byte",
        written.replace(document["checkpoint"]["aggregate"], document["checkpoint"]["aggregate"][1:]),
        None,
    )
    text("JSON with a float for an index", written.replace('"leaf_index": 4', '"leaf_index": 4.0'), None)
    text("JSON with a text for an index", written.replace('"leaf_index": 4', '"leaf_index": "4"'), None)
    text("JSON with a negative index", written.replace('"leaf_index": 4', '"leaf_index": -4'), None)
    text("JSON with an index beyond 2^53", written.replace('"leaf_index": 4', f'"leaf_index": {1 << 53}'), None)
    text("JSON cut short", written[:-1], None)
    text("JSON followed by another", written + written, None)
    text("compact in lower case", compact[:4] + compact[4:].lower(), None)
    text("compact cut by a character", compact[:-1], None)
    text("compact cut by a group", compact[:-3], None)
    text("compact followed by a group", compact + "000", None)
    text("compact with a group out of range", compact[:4] + ":::" + compact[7:], None)
    text("compact with a character outside of the alphabet", compact[:4] + "_" + compact[5:], None)
    text("compact and empty", "ZX1:", None)
    text(
        "compact that inflates beyond the limit",
        "ZX1:" + base45.encode(_deflated(bytes(receipt_text.COMPACT_BYTES_MAX + 1))),
        None,
    )
    text("compact with a zlib header", "ZX1:" + base45.encode(zlib.compress(raw)), None)


def made() -> dict[str, str]:
    """The corpus: each file's name and text."""
    corpus = Corpus()
    raws = add_first_epoch(corpus)
    add_elements(corpus, raws)
    add_states(corpus, raws)
    add_certificates(corpus, raws)
    add_epochs(corpus, raws)
    add_texts(corpus, raws)
    return {
        "genesis.json": corpus.ledger.genesis_bytes.decode(),
        "other-genesis.json": OTHER.genesis_bytes.decode(),
        "cases.json": json.dumps(corpus.cases, indent=1) + "\n",
        "texts.json": json.dumps(corpus.texts, indent=1) + "\n",
    }


# ---------------------------------------------------------------- single changes


def _changed(raw: bytes, change: Callable[[pb.Receipt], object]) -> bytes:
    message = pb.Receipt.FromString(raw)
    change(message)
    return encode(message)


def _entry_of(message: pb.Receipt) -> pb.Entry:
    return pb.Entry.FromString(message.inclusions[0].entry)


def _entry_change(field: str, value: int) -> Callable[[pb.Receipt], None]:
    def change(message: pb.Receipt) -> None:
        entry = _entry_of(message)
        setattr(entry, field, value)
        message.inclusions[0].entry = encode(entry)

    return change


def _as_success(message: pb.Receipt) -> None:
    entry = _entry_of(message)
    entry.success.SetInParent()
    message.inclusions[0].entry = encode(entry)


def _as_failure(message: pb.Receipt) -> None:
    entry = _entry_of(message)
    entry.failure.code = "identity.not-registrar"
    message.inclusions[0].entry = encode(entry)


def _without_result(message: pb.Receipt) -> None:
    entry = _entry_of(message)
    entry.ClearField("success")
    message.inclusions[0].entry = encode(entry)


def _replace_operation(message: pb.Receipt) -> None:
    operation = pb.Operation.FromString(message.inclusions[0].operation)
    operation.type = "identity.Revoke"
    message.inclusions[0].operation = encode(operation)


def _operation_of(raw: bytes, index: int) -> Callable[[pb.Receipt], None]:
    other = pb.Receipt.FromString(raw).inclusions[index].operation
    return lambda message: setattr(message.inclusions[0], "operation", other)


def _exchange_entries(message: pb.Receipt) -> None:
    first, last = message.inclusions[0], message.inclusions[-1]
    first.entry, last.entry = last.entry, first.entry


def _exchange_sets(message: pb.Receipt) -> None:
    first, second = message.epochs
    first.next, second.next = second.next, first.next


def _append_closing(closing: ClosingCheckpoint) -> Callable[[pb.Receipt], None]:
    return lambda message: message.epochs.append(closing.to_pb())


def _shorten_by_an_inner_node(message: pb.Receipt) -> None:
    """Claim that the parent of a leaf is a leaf of a tree half as large."""
    inclusion = message.inclusions[0]
    leaf = sha256(b"\x00" + inclusion.entry)
    inclusion.entry = leaf + inclusion.path[0]
    inclusion.leaf_index //= 2
    del inclusion.path[0]


def _last_field_first(raw: bytes) -> bytes:
    message = pb.Receipt.FromString(raw)
    checkpoint = encode(pb.Receipt(checkpoint=message.checkpoint))
    return checkpoint + raw[: -len(checkpoint)]


def _as_vote(checkpoint: Checkpoint, kind: pb.Kind.ValueType) -> bytes:
    network = Network(checkpoint.network)
    return vote_message(kind, network, checkpoint.epoch, View(1), BlockId(sha256(checkpoint.encode())))


def _presences(ledger: InstantLedger) -> list[ics23.ExistenceProof]:
    return [ics23.CommitmentProof.FromString(ledger.tree.prove(key)[1]).exist for key in KEYS]


def _raw_neighbours(proofs: Sequence[ics23.ExistenceProof], key: bytes):
    ordered = sorted(proofs, key=lambda proof: proof.key)
    index = [proof.key for proof in ordered].index(key)
    return (ordered[index - 1] if index else None), (ordered[index + 1] if index + 1 < len(ordered) else None)


def _deflated(data: bytes) -> bytes:
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    return deflate.compress(data) + deflate.flush()


def main() -> None:
    for name, text in made().items():
        (FOLDER / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
