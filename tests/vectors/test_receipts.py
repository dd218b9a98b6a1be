# SPDX-License-Identifier: Apache-2.0
"""The corpus of receipts: fresh, answered as it says, and no byte of a receipt can be changed unnoticed."""

import json
from pathlib import Path

import make_receipts
import pytest
from make_receipts import content_of, judge

from chain import genesis, receipt_text
from chain.errors import InvalidMessage, LedgerError
from chain.receipt import Verifier

FOLDER = Path(__file__).parent / "receipts"
CASES = json.loads((FOLDER / "cases.json").read_text())
TEXTS = json.loads((FOLDER / "texts.json").read_text())
GENESES = {name: genesis.load((FOLDER / name).read_bytes()) for name in ("genesis.json", "other-genesis.json")}


def name_of(case: dict) -> str:
    return case["name"]


def test_corpus_is_fresh():
    made = make_receipts.made()
    for name in ("genesis.json", "other-genesis.json", "cases.json"):
        assert (FOLDER / name).read_text() == made[name], "run python tests/vectors/make_receipts.py"
    texts = json.loads(
        made["texts.json"]
    )  # what deflate writes differs between versions of zlib; what it reads does not
    assert [(text["name"], text["receipt"]) for text in texts] == [(text["name"], text["receipt"]) for text in TEXTS]


def test_corpus_has_good_and_bad_receipts():
    assert sum(case["code"] is None for case in CASES) >= 20
    assert sum(case["code"] is not None for case in CASES) >= 80


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_case_is_answered_as_the_corpus_says(case):
    assert judge(case, GENESES[case["genesis"]]) == (case["code"], case["content"])


@pytest.mark.parametrize("case", [case for case in CASES if case["every_byte"]], ids=name_of)
def test_no_byte_can_be_changed_without_refusal_or_identical_content(case):
    verifier = Verifier(GENESES[case["genesis"]])
    raw = bytes.fromhex(case["receipt"])
    assert content_of(verifier.verify(raw)) == case["content"]
    accepted = 0
    for i in range(len(raw)):
        for flip in (0x01, 0x80, 0x10 << i % 3):
            try:
                verified = verifier.verify(raw[:i] + bytes([raw[i] ^ flip]) + raw[i + 1 :])
            except LedgerError:
                continue
            accepted += 1
            assert content_of(verified) == case["content"]
    assert accepted == 0


@pytest.mark.parametrize("text", TEXTS, ids=name_of)
def test_text_decodes_as_the_corpus_says(text):
    if text["receipt"] is None:
        with pytest.raises(InvalidMessage):
            receipt_text.decode_any(text["text"].encode())
    else:
        assert receipt_text.decode_any(text["text"].encode()).hex() == text["receipt"]
