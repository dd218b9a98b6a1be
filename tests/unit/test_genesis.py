# SPDX-License-Identifier: Apache-2.0
"""A genesis file is read strictly; each refusal says where it is wrong and what to do."""

import json

import pytest

from chain import genesis
from chain.bls import SecretKey
from chain.errors import InvalidGenesis
from chain.types import Millis, sha256
from sim.instant_ledger import make_genesis, secret_of

NAMES = ("water", "roads", "health", "archive")
RAW = make_genesis(NAMES, Millis(1_800_000_000_000))


def changed(change) -> bytes:
    document = json.loads(RAW)
    change(document)
    return json.dumps(document).encode()


def test_genesis_reads_back_what_was_built():
    loaded = genesis.load(RAW)
    assert loaded.network == sha256(RAW)
    assert loaded.time_ms == 1_800_000_000_000
    assert loaded.validators.epoch == 1
    assert [v.organisation for v in loaded.validators.validators] == list(NAMES)
    assert loaded.validators.keys == tuple(secret_of(name).public_key() for name in NAMES)
    assert [founder.address for founder in loaded.founders] == [f"127.0.0.1:{7000 + i}" for i in range(4)]
    assert loaded.sections == {}


def test_formatting_changes_the_network_and_not_the_founding_digest():
    again = json.dumps(json.loads(RAW)).encode()
    assert genesis.load(again).network != genesis.load(RAW).network
    assert genesis.founding_digest(again) == genesis.founding_digest(RAW)


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.update(name="another"),
        lambda d: d.update(time_ms=d["time_ms"] + 1),
        lambda d: d.update(sections={"membership": {"threshold": 1}}),
        lambda d: d["validators"].pop(),
        lambda d: d["validators"].reverse(),
        lambda d: d["validators"][0].update(organisation="intruder"),
        lambda d: d["validators"][2].update(address="10.0.0.1:1"),
        lambda d: d["validators"][0].update(possession=d["validators"][1]["possession"]),
        lambda d: d["validators"][0].update(possession=""),
    ],
)
def test_possession_proofs_cover_the_whole_content(change):
    with pytest.raises(InvalidGenesis, match=r"validators\[\d\]\.possession.*must prove its key again"):
        genesis.load(changed(change))


def test_possession_proof_over_another_key_is_refused():
    other = SecretKey.derive(b"\x09" * 32).public_key().hex()
    with pytest.raises(InvalidGenesis, match=r"validators\[1\]\.possession|validators\[0\]\.possession"):
        genesis.load(changed(lambda d: d["validators"][1].update(bls_key=other)))


@pytest.mark.parametrize(
    ("change", "where"),
    [
        (lambda d: d.update(format="zhixin-genesis/2"), "format"),
        (lambda d: d.pop("format"), "format"),
        (lambda d: d.pop("name"), "lacks name"),
        (lambda d: d.update(extra=1), "unknown field 'extra'"),
        (lambda d: d.update(name=""), "name"),
        (lambda d: d.update(name="x" * 129), "name"),
        (lambda d: d.update(name="a\nb"), "name"),
        (lambda d: d.update(name=5), "name"),
        (lambda d: d.update(time_ms=0), "time_ms"),
        (lambda d: d.update(time_ms=True), "time_ms"),
        (lambda d: d.update(time_ms="1"), "time_ms"),
        (lambda d: d.update(time_ms=1 << 53), "time_ms"),
        (lambda d: d.update(validators=[]), "validators"),
        (lambda d: d.update(validators={}), "validators"),
        (lambda d: d.update(validators=d["validators"] * 20), "validators"),
        (lambda d: d["validators"].append(d["validators"][0]), r"validators\[4\].bls_key is that of validators\[0\]"),
        (lambda d: d["validators"].append(7), r"validators\[4\]"),
        (lambda d: d["validators"][1].pop("address"), r"validators\[1\] lacks address"),
        (lambda d: d["validators"][1].update(note=""), r"validators\[1\] has the unknown field 'note'"),
        (lambda d: d["validators"][0].update(bls_key="c0" + "00" * 47), r"validators\[0\].bls_key"),
        (
            lambda d: d["validators"][0].update(bls_key=d["validators"][0]["bls_key"].upper()),
            r"validators\[0\].bls_key",
        ),
        (lambda d: d["validators"][0].update(bls_key=d["validators"][0]["bls_key"][:-2]), r"validators\[0\].bls_key"),
        (lambda d: d["validators"][0].update(possession="00"), r"validators\[0\].possession"),
        (lambda d: d["validators"][0].update(organisation=""), r"validators\[0\].organisation"),
        (lambda d: d["validators"][0].update(organisation="x" * 65), r"validators\[0\].organisation"),
        (lambda d: d["validators"][0].update(address="nowhere"), r"validators\[0\].address"),
        (lambda d: d["validators"][0].update(address="host:65536"), r"validators\[0\].address"),
        (lambda d: d["validators"][0].update(address="host:07"), r"validators\[0\].address"),
        (
            lambda d: d["validators"][1].update(address=d["validators"][0]["address"]),
            r"validators\[1\].address is that",
        ),
        (lambda d: d["validators"][0].update(tls_certificate="none"), r"validators\[0\].tls_certificate"),
        (
            lambda d: d["validators"][0].update(tls_certificate=d["validators"][0]["tls_certificate"] * 2),
            "tls_certificate",
        ),
        (lambda d: d["validators"][0].update(tls_certificate="é" * 9000), "tls_certificate"),
        (lambda d: d.update(sections=[]), "sections"),
        (lambda d: d.update(sections={"membership": 1}), "sections.membership"),
        (lambda d: d.update(sections={"membership": {"share": 0.5}}), "integer"),
    ],
)
def test_genesis_with_a_wrong_field_is_refused_by_its_place(change, where):
    with pytest.raises(InvalidGenesis, match=where):
        genesis.load(changed(change))


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[]",
        b"\xff",
        RAW[:-3],
        RAW + b"{}",
        RAW.replace(b'"name"', b'"name": "again", "name"', 1),
        b"[" * 100_000,
        b" " * (genesis.GENESIS_BYTES_MAX + 1),
    ],
    ids=["empty", "list", "not utf-8", "cut", "trailing", "name twice", "deep", "large"],
)
def test_genesis_that_is_no_strict_json_is_refused(raw):
    with pytest.raises(InvalidGenesis, match="genesis file"):
        genesis.load(raw)


def test_proof_of_a_key_that_the_draft_does_not_list_is_refused():
    secret = SecretKey.derive(b"\x09" * 32)
    proof = secret.prove_possession(genesis.founding_digest(RAW), "water")
    with pytest.raises(InvalidGenesis, match="no validator of the draft"):
        genesis.with_possessions(RAW, {secret.public_key(): proof})
