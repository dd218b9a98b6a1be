# SPDX-License-Identifier: Apache-2.0
"""The browser's verifier and the Python one agree on whatever they are given: verdict, code and content.

The Python side makes the cases from good receipts: each byte changed, each field dropped, doubled, moved or replaced at
any depth, entries that only a faulty ledger writes under a checkpoint that a quorum did sign, texts, genesis files.
"""

import json
import random
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from chain import base45, genesis, receipt_text
from chain.bls import aggregate
from chain.certificate import checkpoint_message
from chain.checkpoint import CertifiedCheckpoint
from chain.codec import encode
from chain.errors import LedgerError
from chain.genesis import Founder
from chain.log import root_of
from chain.log_tiles import Log
from chain.memory import MemoryDatabase
from chain.pb import ledger_pb2 as pb
from chain.receipt import Verifier
from chain.transaction import Operation, operation_path
from chain.types import Millis, sha256
from chain.wire import fields
from sim.instant_ledger import START_MS, InstantLedger, secret_of, tls_certificate_of
from tests.browser import verify_package
from tests.vectors.make_receipts import content_of, transaction

ROOT = Path(__file__).resolve().parents[2]
CORPUS = ROOT / "tests" / "vectors" / "receipts"
CASES = json.loads((CORPUS / "cases.json").read_text())
TEXTS = json.loads((CORPUS / "texts.json").read_text())
GENESIS = (CORPUS / "genesis.json").read_text()
NODE_S_MAX = 200
STRUCTURAL_CASES = 3_000
TEXT_CASES = 4_000
FAULTY_ENTRIES = 400


@pytest.fixture(scope="module")
def built() -> Path:
    """The verifier as the package ships it."""
    return verify_package.built() / "test" / "judge.mjs"


def answers(judge: Path, questions: Sequence[dict]) -> list[dict]:
    """What the browser's verifier says."""
    lines = "".join(json.dumps(question) + "\n" for question in questions)
    run = subprocess.run(
        ["node", str(judge)], input=lines, capture_output=True, text=True, timeout=NODE_S_MAX, check=False
    )
    assert run.returncode == 0, run.stderr
    said = [json.loads(line) for line in run.stdout.splitlines()]
    assert len(said) == len(questions)
    return said


def compare_receipts(judge: Path, genesis_text: str, receipts: Sequence[bytes]) -> list[str | None]:
    """Ask both about each receipt; returns the codes, once they agree."""
    trusted = genesis.load(genesis_text.encode())
    said = answers(judge, [{"genesis": genesis_text, "receipt": raw.hex()} for raw in receipts])
    codes: list[str | None] = []
    for raw, theirs in zip(receipts, said, strict=True):
        try:
            ours: dict = {"code": None, "content": content_of(Verifier(trusted).verify(raw))}
        except LedgerError as error:
            ours = {"code": error.code}
        assert theirs == ours, raw.hex()
        codes.append(ours["code"])
    return codes


def good(name: str) -> bytes:
    return next(bytes.fromhex(case["receipt"]) for case in CASES if case["name"] == name)


# ---------------------------------------------------------------- single bytes


def test_every_byte_of_a_receipt_changed_is_judged_alike(built):
    chance = random.Random(1)
    raw = good("one operation")
    receipts = [raw[:i] + bytes([raw[i] ^ chance.randrange(1, 256)]) + raw[i + 1 :] for i in range(len(raw))]
    codes = compare_receipts(built, GENESIS, [raw, *receipts])
    assert codes[0] is None
    assert None not in codes[1:]


def test_every_byte_outside_of_the_certificate_changed_dropped_or_added_is_judged_alike(built):
    chance = random.Random(2)
    receipts = []
    for name in (
        "one of three operations, two signers",
        "an operation of a failed transaction",
        "a state key that is absent",
    ):
        raw = good(name)
        end = raw.index(encode(pb.Receipt.FromString(raw).checkpoint))
        for i in range(end):
            receipts.append(raw[:i] + bytes([raw[i] ^ 1 << chance.randrange(8)]) + raw[i + 1 :])
            receipts.append(raw[:i] + raw[i + 1 :])
            receipts.append(raw[:i] + bytes([chance.choice((0, 1, 8, 10, 0x7F, 0x80, 0xFF))]) + raw[i:])
    compare_receipts(built, GENESIS, receipts)


# ---------------------------------------------------------------- structure


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def parts_of(raw: bytes) -> list[bytes] | None:
    """The fields of a message, each with its tag; None for bytes that are no message."""
    try:
        found = fields(raw, 0, len(raw), 1000)
    except LedgerError:
        return None
    parts, begin = [], 0
    for i, field in enumerate(found):
        end = field.stop
        if field.start == field.stop:  # a number, or empty content: it ends where the next field begins
            end = _end_of_number(raw, field.start) if raw[begin] & 7 == 0 else field.stop
        parts.append(raw[begin:end])
        begin = end
        assert i < len(found)
    return parts


def _end_of_number(raw: bytes, at: int) -> int:
    while raw[at] >= 0x80:
        at += 1
    return at + 1


def mutate(raw: bytes, chance: random.Random, depth: int = 0) -> bytes:
    """Change one element somewhere in a message, and mend the lengths around it."""
    parts = parts_of(raw)
    if not parts:
        return raw + chance.choice((b"", b"\x08\x01", b"\x0a\x00", bytes(32)))
    at = chance.randrange(len(parts))
    part = parts[at]
    if part[0] & 7 == 2 and chance.random() < 0.7 and depth < 6:
        size = fields(part, 0, len(part), 1)[0]
        inner = mutate(part[size.start : size.stop], chance, depth + 1)
        parts[at] = part[:1] + varint(len(inner)) + inner
        return b"".join(parts)
    match chance.randrange(7):
        case 0:
            del parts[at]
        case 1:
            parts.insert(at, part)
        case 2:
            other = chance.randrange(len(parts))
            parts[at], parts[other] = parts[other], part
        case 3:
            parts.insert(
                at, chance.choice((b"\xf8\x01\x01", b"\x08\x00", b"\x12\x00", b"\x0d\x01\x02\x03\x04", b"\x2a\x00"))
            )
        case 4:
            parts[at] = part[:-1] + bytes([part[-1] ^ 1 << chance.randrange(8)])
        case 5 if part[0] & 7 == 0:
            number = chance.choice((0, 1, 2**31, 2**32 - 1, 2**32, 2**48, 2**53, 2**63, 2**64 - 1, 2**64))
            parts[at] = part[:1] + varint(number)
        case _:
            parts[at] = bytes([chance.randrange(8) << 3 | part[0] & 7]) + part[1:]
    return b"".join(parts)


def test_fields_dropped_doubled_moved_or_replaced_at_any_depth_are_judged_alike(built):
    chance = random.Random(3)
    names = (
        "operations, a failure, presence and absence in one bundle",
        "an operation and its revocation",
        "one of three operations, two signers",
        "a state key that is present",
        "a state key that is absent",
    )
    receipts = []
    while len(receipts) < STRUCTURAL_CASES:
        message = pb.Receipt.FromString(good(chance.choice(names)))
        certified = message.checkpoint
        message.ClearField("checkpoint")
        # Most cases leave the certificate alone: what is wrong with one costs a pairing to find.
        raw = mutate(encode(message), chance) + encode(pb.Receipt(checkpoint=certified))
        receipts.append(raw)
    codes = compare_receipts(built, GENESIS, receipts)
    assert {"message.invalid", "proof.invalid", "receipt.invalid"} <= set(codes)


def test_certificates_and_closing_checkpoints_changed_at_any_depth_are_judged_alike(built):
    chance = random.Random(4)
    raw = good("epoch 3 with a single validator, from genesis")
    receipts = []
    while len(receipts) < 150:
        message = pb.Receipt.FromString(raw)
        closings = [encode(closing) for closing in message.epochs]
        which = chance.randrange(len(closings) + 1)
        if which < len(closings):
            closings[which] = mutate(closings[which], chance)
        certified = encode(message.checkpoint)
        if which == len(closings):
            certified = mutate(certified, chance)
        message.ClearField("checkpoint")
        message.ClearField("epochs")
        parts = [encode(message), b"\x1a" + varint(len(certified)) + certified]
        parts += [b"\x22" + varint(len(closing)) + closing for closing in closings]
        receipts.append(b"".join(parts))
    codes = compare_receipts(built, GENESIS, receipts)
    assert {"message.invalid", "certificate.invalid"} <= set(codes)


# ---------------------------------------------------------------- a faulty ledger


def faulty_entries(ledger: InstantLedger, chance: random.Random) -> Iterator[tuple[pb.Inclusion, bytes]]:
    """Operations with entries that an honest ledger would not write, or just would."""
    for number in range(FAULTY_ENTRIES):
        made = transaction(ledger, number, operations=1 + number % 3)
        header = pb.Header.FromString(made.header)
        operations = list(made.operations)
        if chance.random() < 0.3:
            body = chance.choice((b"", b"x"))
            name = chance.choice(("", "identity.Attest", "a" * 128, "a" * 129, "identität"))
            operations[0] = Operation("", b"", encode(pb.Operation(type=name, body=body)))
            header.operations_root = _root(operations)
        entry = pb.Entry(height=1, position=number, time_ms=ledger.checkpoint.time_ms, header=encode(header))
        entry.success.SetInParent()
        for _ in range(chance.randrange(3)):
            _spoil(entry, header, chance)
        raw = encode(entry)
        if chance.random() < 0.2:
            raw = mutate(raw, chance)
        yield (
            pb.Inclusion(
                operation=operations[0].raw, operation_index=0, operation_path=operation_path(operations, 0), entry=raw
            ),
            raw,
        )


def _root(operations: Sequence[Operation]) -> bytes:

    return root_of([operation.raw for operation in operations])


def _spoil(entry: pb.Entry, header: pb.Header, chance: random.Random) -> None:
    """Change something that the checks of an entry or a header look at, to a value at some edge."""
    time_ms = entry.time_ms
    match chance.randrange(9):
        case 0:
            entry.height = chance.choice((0, 1, 2, 3, 2**53, 2**64 - 1))
        case 1:
            entry.position = chance.choice((0, 19_999, 20_000, 2**32 - 1))
        case 2:
            entry.time_ms = chance.choice((0, time_ms - 1, time_ms + 1, time_ms + 1000, 2**64 - 1))
        case 3:
            header.expires_at_ms = chance.choice((0, time_ms - 1, time_ms, time_ms + 300_000, time_ms + 300_001))
        case 4:
            header.salt = bytes(chance.choice((0, 15, 16, 17)))
        case 5:
            signer = pb.Signer(scheme=chance.choice((-1, 0, 1, 2, 3, 4)), public_key=bytes(chance.choice((0, 32, 33))))
            header.signers.insert(chance.randrange(2), signer)
        case 6:
            header.operation_count = chance.choice((0, 1, 2, 3, 1024, 1025))
        case 7:
            entry.failure.code = chance.choice(("", "a.b", "x" * 128, "x" * 129, "字" * 42, "字" * 43))
            entry.failure.operation = chance.choice((0, 1, 2, 3))
        case _:
            entry.ClearField("success")
    entry.header = encode(header)


def test_entries_of_a_faulty_ledger_under_a_true_certificate_are_judged_alike(built):
    ledger = InstantLedger(("water", "roads", "health", "archive"))
    ledger.append()
    made = list(faulty_entries(ledger, random.Random(5)))
    database = MemoryDatabase()
    log = Log(database, b"L", 0)
    appended = log.append([raw for _, raw in made])
    database.write(appended.puts)
    log.applied(appended)
    checkpoint = pb.Checkpoint.FromString(ledger.checkpoint.encode())
    checkpoint.log_size, checkpoint.log_root, checkpoint.height = len(made), log.root(), 2
    checkpoint.time_ms += 1000
    signed = encode(checkpoint)
    signatures = [secret_of(name).sign(checkpoint_message(ledger.genesis.network, signed)) for name in ledger.names[1]]
    certified = CertifiedCheckpoint(signed, b"\x0f", aggregate(signatures)).to_pb()
    receipts = []
    for index, (inclusion, _) in enumerate(made):
        inclusion.leaf_index = index
        inclusion.path.extend(log.prove_inclusion(index, len(made)))
        receipts.append(encode(pb.Receipt(inclusions=[inclusion], checkpoint=certified)))
    codes = compare_receipts(built, ledger.genesis_bytes.decode(), receipts)
    assert codes.count(None) >= FAULTY_ENTRIES // 10
    assert codes.count("message.invalid") >= FAULTY_ENTRIES // 10


# ---------------------------------------------------------------- texts


def spoiled_text(data: bytes, chance: random.Random) -> bytes:
    """A text with one thing changed."""
    at = chance.randrange(len(data))
    match chance.randrange(5):
        case 0:
            return data[:at] + data[at + 1 :]
        case 1:
            return data[:at] + data[at : at + 1] + data[at:]
        case 2:
            odd = (
                b'"',
                b",",
                b"{",
                b"]",
                b"0",
                b"-",
                b".5",
                b"e1",
                b" ",
                b"\\u0041",
                b"\\ud800",
                b"\xff",
                b"\x00",
                b"null",
            )
            return data[:at] + chance.choice(odd) + data[at:]
        case 3:
            return data[:at] + bytes([chance.choice(b"0123456789ABCDEF:/ $abcf")]) + data[at + 1 :]
        case _:
            return data[:at]


def test_texts_with_one_thing_changed_are_read_alike(built):
    chance = random.Random(6)
    whole = [text["text"].encode() for text in TEXTS if text["receipt"] is not None]
    short = [text for text in whole if len(text) < 4000]
    texts = [*whole, *(spoiled_text(chance.choice(short), chance) for _ in range(TEXT_CASES))]
    said = answers(built, [{"text": text.hex()} for text in texts])
    accepted = 0
    for text, theirs in zip(texts, said, strict=True):
        try:
            ours: dict = {"code": None, "receipt": receipt_text.decode_any(text).hex()}
            accepted += 1
        except LedgerError as error:
            ours = {"code": error.code}
        assert theirs == ours, text
    assert accepted > len(whole)


def test_deflate_streams_with_bits_changed_are_inflated_alike(built):

    chance = random.Random(7)
    texts = []
    for text in TEXTS:
        if text["receipt"] is None or not text["text"].startswith("ZX1:"):
            continue
        stream = base45.decode(text["text"].strip()[4:])
        for _ in range(TEXT_CASES // 8):
            at = chance.randrange(min(len(stream), 120))  # where the codes of a block stand
            changed = stream[:at] + bytes([stream[at] ^ 1 << chance.randrange(8)]) + stream[at + 1 :]
            texts.append(("ZX1:" + base45.encode(changed)).encode())
    streams = [chance.randbytes(chance.randrange(1, 40)) for _ in range(TEXT_CASES // 8)]
    texts += [("ZX1:" + base45.encode(stream)).encode() for stream in streams]
    said = answers(built, [{"text": text.hex()} for text in texts])
    for text, theirs in zip(texts, said, strict=True):
        try:
            ours: dict = {"code": None, "receipt": receipt_text.decode_any(text).hex()}
        except LedgerError as error:
            ours = {"code": error.code}
        assert theirs == ours, text


# ---------------------------------------------------------------- genesis files


def founded(name: str = "instant", sections: dict | None = None, names: Sequence[str] = ("water",)) -> bytes:
    """A genesis file with true proofs."""
    founders = [
        Founder(one, secret_of(one).public_key(), b"", tls_certificate_of(one), f"127.0.0.1:{7000 + i}")
        for i, one in enumerate(names)
    ]
    draft = genesis.build(name=name, time_ms=Millis(START_MS), founders=founders, sections=sections or {})
    digest = genesis.founding_digest(draft)
    proofs = {secret_of(one).public_key(): secret_of(one).prove_possession(digest, one) for one in names}
    return genesis.with_possessions(draft, proofs)


def genesis_files() -> Iterator[str]:
    """Good ones in many shapes, and bad ones."""
    one = founded().decode()
    document = json.loads(one)
    yield one
    yield founded(names=("water", "roads", "health")).decode()
    yield founded(name='智信 𠮷 \ue000 \\ "').decode()
    yield founded(
        sections={"𠮷": {"b": 1, "a": [True, None, -5]}, "\ue000": {"n": 10**19, "é": "\u2028/\x7f\\u0041"}}
    ).decode()
    yield json.dumps(document)
    yield json.dumps(document, sort_keys=True)
    yield one.replace("1800000000000", "1800000000000.0")
    yield one.replace("1800000000000", "-0")
    yield one.replace('"sections": {}', '"sections": {"a": {"b": 123456789012345678901}}')
    yield one.replace('"sections": {}', '"sections": {"a": {"b": NaN}}')
    yield one.replace('"sections": {}', '"sections": {"a": {"b": "\\ud800"}}')
    yield one.replace('"sections": {}', '"sections": ' + '{"a": ' * 17 + "1" + "}" * 17)
    yield one.replace('"sections": {}', '"sections": {"a": 1}')
    yield one.replace('"name": "instant"', '"name": "other"')
    yield one.replace('"name": "instant"', '"name": "instant", "name": "instant"')
    yield one.replace('"name": "instant"', '"name": "a\\u200bb"')
    yield one.replace('"name": "instant"', '"name": ""')
    yield "\ufeff" + one
    yield one + "x"
    yield one[:-3]
    yield "[]"
    for field in ("organisation", "bls_key", "possession", "tls_certificate", "address"):
        for value in ("", "x", 5, None):
            changed = json.loads(one)
            changed["validators"][0][field] = value
            yield json.dumps(changed)
    for change in ({"address": "127.0.0.1:0"}, {"address": "a b:1"}, {"address": "x:65536"}, {"address": "智:65535"}):
        changed = json.loads(one)
        changed["validators"][0].update(change)
        yield json.dumps(changed)
    two = json.loads(founded(names=("water", "roads")))
    for field in ("bls_key", "tls_certificate", "address", "possession"):
        changed = json.loads(json.dumps(two))
        changed["validators"][1][field] = changed["validators"][0][field]
        yield json.dumps(changed)
    two["validators"].reverse()
    yield json.dumps(two)
    key = document["validators"][0]["bls_key"]
    for wrong in ("c0" + "00" * 47, "00" * 48, key[:-2] + "00", "a0" + key[2:], "9a" + "ff" * 47):
        yield one.replace(key, wrong)


def test_genesis_files_are_judged_alike(built):
    files = list(genesis_files())
    said = answers(built, [{"genesis": text} for text in files])
    accepted = 0
    for text, theirs in zip(files, said, strict=True):
        try:
            ours: dict = {"code": None, "network": genesis.load(text.encode()).network.hex()}
            accepted += 1
        except LedgerError as error:
            ours = {"code": error.code}
        assert theirs == ours, text
    assert accepted >= 4


def test_network_id_is_the_digest_of_the_file_as_it_stands(built):
    text = founded().decode()
    said = answers(built, [{"genesis": text}])
    assert said[0]["network"] == sha256(text.encode()).hex()
