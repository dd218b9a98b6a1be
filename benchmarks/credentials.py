# SPDX-License-Identifier: Apache-2.0
"""How fast credentials are signed and checked: `python -m benchmarks.credentials` prints one JSON object.

Each figure is processor time. "Beyond" is what stands around the signatures that the act must make or check: the raw
ones are measured in the same run and taken off. No credential is verified twice.
"""

import json
import random
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from cryptography.hazmat.primitives.asymmetric import ec

from benchmarks.machine import hashes_per_s
from benchmarks.person import person
from chain import p256
from chain.types import sha256
from identity import offline_qr, sd_jwt, status_list
from identity.credentials import DECOYS
from identity.jose import MemorySigner
from identity.sd_jwt import Binding, StatusReference
from identity.status_list import Status, StatusList

ROUNDS = 300
PLACES = 1_000_000
REVOKED = PLACES // 100
NOW_S = 1_790_000_000
URI = "https://issuer.example.org/status/1"

T = TypeVar("T")


def run(rounds: int = ROUNDS, places: int = PLACES) -> dict[str, float]:
    """Measure credentials, offline codes and a status list.

    Args:
        rounds: Of each act.
        places: Of the status list; one in a hundred is revoked.
    """
    issuer, holder = (MemorySigner(ec.derive_private_key(n, ec.SECP256R1())) for n in (11, 12))
    figures: dict[str, float] = {"hashes_per_s": hashes_per_s()}
    figures |= _credentials(issuer, holder, rounds)
    figures |= _codes(issuer, holder, rounds)
    figures |= _list(issuer, places)
    figures["hashes_per_s_after"] = hashes_per_s()
    return figures


def _credentials(issuer: MemorySigner, holder: MemorySigner, rounds: int) -> dict[str, float]:
    digests = [sha256(b"%d" % i) for i in range(rounds)]
    sign_ms = _each_ms(issuer.sign, digests)
    messages = [b"zhixin %d" % i for i in range(rounds)]
    signatures = [issuer.sign(sha256(message)) for message in messages]

    def verify_raw(i: int) -> None:
        p256.verify(issuer.public_key, messages[i], signatures[i])

    verify_ms = _each_ms(verify_raw, range(rounds))
    made = person()
    issued: list[str] = []
    asked = Binding("https://verifier.example.org", "n-1")

    def issue(i: int) -> None:
        claims = made.dated(
            issuer="https://issuer.example.org",
            issued_s=NOW_S,
            expires_s=NOW_S + 10**7,
            status_uri=URI,
            status_index=i,
        )
        issued.append(sd_jwt.issue(claims, made.disclosable, issuer, holder_key=holder.public_key, decoys=DECOYS))

    issue_ms = _each_ms(issue, range(rounds))
    check_ms = _each_ms(lambda token: sd_jwt.verify(token, issuer.public_key, NOW_S), issued)
    presented: list[str] = []
    shown = [("age_over_18",), ("address", "locality")]
    present_ms = _each_ms(
        lambda token: presented.append(sd_jwt.present(token, shown, key=holder, binding=asked, now_s=NOW_S)), issued
    )
    bound_ms = _each_ms(lambda token: sd_jwt.verify(token, issuer.public_key, NOW_S, binding=asked), presented)
    return {
        "raw_sign_ms": round(sign_ms, 3),
        "raw_verify_ms": round(verify_ms, 3),
        "issue_beyond_ms": round(issue_ms - sign_ms, 3),
        "verify_beyond_ms": round(check_ms - verify_ms, 3),
        "present_beyond_ms": round(present_ms - sign_ms, 3),
        "verify_bound_beyond_ms": round(bound_ms - 2 * verify_ms, 3),
        "issued_characters": len(issued[0]),
        "presented_characters": len(presented[0]),
    }


def _codes(issuer: MemorySigner, holder: MemorySigner, rounds: int) -> dict[str, float]:
    said: dict[str, offline_qr.Claim] = {"family_name": "李", "given_name": "小明", "age_over_18": True}

    def code(i: int) -> str:
        token = offline_qr.issue(
            said,
            issuer,
            bytes(8),
            holder.public_key,
            token_id=i.to_bytes(16, "big"),
            issued_s=NOW_S,
            expires_s=NOW_S + 86_400,
            status=StatusReference(URI, i),
        )
        return offline_qr.show(token, holder, now_s=NOW_S)

    texts = [code(i) for i in range(rounds)]
    check_ms = _each_ms(lambda text: offline_qr.verify(text, lambda _: issuer.public_key, NOW_S), texts)
    return {"offline_code_check_ms": round(check_ms, 3), "offline_code_characters": len(texts[0])}


def _list(issuer: MemorySigner, places: int) -> dict[str, float]:
    chosen = random.Random(7).sample(range(places), places // 100)
    start = time.process_time()
    statuses = StatusList(places)
    for place in chosen:
        statuses.set(place, Status.INVALID)
    claim = statuses.encode()
    build_s = time.process_time() - start
    token = status_list.sign(statuses, URI, issuer, issued_s=NOW_S, expires_s=NOW_S + 86_400, ttl_s=30)
    start = time.process_time()
    status_list.verify(token, issuer.public_key, NOW_S, URI)
    verify_s = time.process_time() - start
    text = claim["lst"]
    assert isinstance(text, str)
    return {
        "list_places": places,
        "list_build_s": round(build_s, 3),
        "list_verify_s": round(verify_s, 4),
        "list_deflated_bytes": len(text) * 3 // 4,
        "list_characters": len(text),
        "list_token_characters": len(token),
    }


def _each_ms(act: Callable[[T], object], arguments: Sequence[T]) -> float:
    """Milliseconds of processor time for each call."""
    start = time.process_time()
    for argument in arguments:
        act(argument)
    return (time.process_time() - start) / len(arguments) * 1e3


def main() -> None:
    """Measure and print."""
    print(json.dumps(run()))


if __name__ == "__main__":
    main()
