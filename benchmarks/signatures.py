# SPDX-License-Identifier: Apache-2.0
"""How fast signatures are made and checked here: `python -m benchmarks.signatures` prints one JSON object.

No message is verified twice, so that no cache of results helps. Figures are processor time, but for the one with two
threads, which is by the clock and wants an idle machine.
"""

import json
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from cryptography.hazmat.primitives.asymmetric import ec

from benchmarks.machine import hashes_per_s
from chain import bls, ed25519, p256, transaction, webauthn
from chain.codec import encode
from chain.ed25519 import Ed25519Signer
from chain.p256 import P256Signer
from chain.pb import ledger_pb2 as pb
from chain.transaction import Operation, SignedTransaction
from chain.types import Millis, Network, sha256

NETWORK = Network(bytes(32))
ROUNDS = 2_000
BLS_ROUNDS = 2 * bls.HASHES_CACHED_MAX
"""More messages than the cache of hashed ones holds, so that what was signed is hashed anew on verifying."""
MEMBERS = 21
"""A quorum of 31."""
BATCH = 64

T = TypeVar("T")


def run(rounds: int = ROUNDS, bls_rounds: int = BLS_ROUNDS) -> dict[str, float]:
    """Measure each scheme, and whole transactions of one operation.

    Args:
        rounds: Of Ed25519 and P-256; a multiple of 64.
        bls_rounds: Of BLS.
    """
    transactions = _transactions(rounds)
    raws = [one.raw for one in transactions]
    figures: dict[str, float] = {"hashes_per_s": hashes_per_s()}
    figures |= _ed25519(rounds) | _p256(rounds // 8) | _bls(bls_rounds)
    figures["transaction_decode_us"] = _each_us(transaction.decode, raws)
    figures["transaction_verify_us"] = _each_us(_verify_one, transactions)
    batches = [transactions[i : i + BATCH] for i in range(0, rounds, BATCH)]
    start = time.perf_counter()
    with ThreadPoolExecutor(2) as pool:
        outcomes = list(pool.map(_verify_batch, batches))
    figures["transactions_verified_per_s_2_threads"] = round(rounds / (time.perf_counter() - start))
    assert all(outcome is None for batch in outcomes for outcome in batch)
    figures["hashes_per_s_after"] = hashes_per_s()
    return figures


def _transactions(count: int) -> list[SignedTransaction]:
    """Distinct transactions of one operation under one key."""
    signer = Ed25519Signer(bytes(32))
    act = Operation.make("identity.Attest", bytes(150))
    return [transaction.build([act], [signer], Millis(10**12), i.to_bytes(16, "big"), NETWORK) for i in range(count)]


def _verify_one(one: SignedTransaction) -> None:
    transaction.verify_signatures(one, NETWORK)


def _verify_batch(batch: Sequence[SignedTransaction]) -> Sequence[object]:
    return transaction.verify_batch(batch, NETWORK)


def _ed25519(rounds: int) -> dict[str, float]:
    signer = Ed25519Signer(bytes(32))
    messages = [b"zhixin %d" % i + bytes(160) for i in range(rounds)]
    signatures = [signer.sign(message) for message in messages]
    key = signer.signer.public_key

    def verify(i: int) -> None:
        ed25519.verify(key, messages[i], signatures[i])

    verify_us = _each_us(verify, range(rounds))
    return {
        "ed25519_sign_us": _each_us(signer.sign, messages),
        "ed25519_verify_us": verify_us,
        "ed25519_verified_per_s": round(1e6 / verify_us),
    }


def _p256(rounds: int) -> dict[str, float]:
    signer = P256Signer(ec.derive_private_key(7, ec.SECP256R1()))
    key = signer.signer.public_key
    messages = [b"zhixin %d" % i for i in range(rounds)]
    signatures = [signer.sign(message) for message in messages]
    assertions = [_assertion(signer, message) for message in messages]

    def verify(i: int) -> None:
        p256.verify(key, messages[i], signatures[i])

    def verify_assertion(i: int) -> None:
        webauthn.verify(key, messages[i], assertions[i])

    return {
        "p256_sign_us": _each_us(signer.sign, messages),
        "p256_verify_us": _each_us(verify, range(rounds)),
        "webauthn_verify_us": _each_us(verify_assertion, range(rounds)),
    }


def _assertion(signer: P256Signer, message: bytes) -> bytes:
    challenge = urlsafe_b64encode(webauthn.challenge(message)).rstrip(b"=").decode()
    client = json.dumps({"type": "webauthn.get", "challenge": challenge, "origin": "https://desk.example"}).encode()
    data = sha256(b"desk.example") + b"\x05" + bytes(4)
    signature = signer.sign(data + sha256(client))
    return encode(pb.WebAuthnAssertion(authenticator_data=data, client_data_json=client, signature=signature))


def _bls(rounds: int) -> dict[str, float]:
    secrets = [bls.SecretKey.derive(i.to_bytes(32, "big")) for i in range(MEMBERS)]
    keys = [secret.public_key() for secret in secrets]
    messages = [b"zhixin %d" % i for i in range(rounds)]
    sign_us = _each_us(secrets[0].sign, messages)
    signatures = [secrets[0].sign(message) for message in messages]
    votes = [[secret.sign(message) for secret in secrets] for message in messages]
    aggregates = [bls.aggregate(signed) for signed in votes]

    def verify(i: int) -> None:
        bls.verify(keys[0], messages[i], signatures[i])

    def verify_aggregate(i: int) -> None:
        bls.fast_aggregate_verify(keys, messages[i], aggregates[i])

    return {
        "bls_sign_us": sign_us,
        "bls_verify_us": _each_us(verify, range(rounds)),
        "bls_verify_aggregate_of_21_us": _each_us(verify_aggregate, range(rounds)),
        "bls_aggregate_21_us": _each_us(bls.aggregate, votes),
    }


def _each_us(act: Callable[[T], object], arguments: Sequence[T]) -> float:
    """Microseconds of processor time for each call: what other processes do meanwhile does not count."""
    start = time.process_time()
    for argument in arguments:
        act(argument)
    return round((time.process_time() - start) / len(arguments) * 1e6, 1)


def main() -> None:
    """Measure and print."""
    print(json.dumps(run()))


if __name__ == "__main__":
    main()
