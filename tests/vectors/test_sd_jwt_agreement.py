# SPDX-License-Identifier: Apache-2.0
"""Our credentials and status lists verify with npm's @sd-jwt/sd-jwt-vc, which is not ours, and its ones with us."""

import json
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from identity import sd_jwt, status_list
from identity.credentials import LEGAL_PERSON, legal_person
from identity.jose import InvalidToken, JsonObject, MemorySigner, encode_base64url, jwk_of
from identity.sd_jwt import Binding
from identity.status_list import Status, StatusList

ROOT = Path(__file__).resolve().parents[2]
JUDGE = Path(__file__).parent / "sd_jwt_judge.mjs"
NODE_S_MAX = 60
NOW_S = 1_790_000_000
YEAR_S = 31_536_000
URI = "https://issuer.example/status/1"
ASKED = Binding("https://verifier.example", "n-1")
SECRETS = (101, 102)
ISSUER, HOLDER = (MemorySigner(ec.derive_private_key(secret, ec.SECP256R1())) for secret in SECRETS)


@pytest.fixture(autouse=True, scope="module")
def _installed() -> None:
    """A missing judge is a failure, not a pass."""
    judge = ROOT / "web" / "node_modules" / "@sd-jwt" / "sd-jwt-vc"
    assert judge.is_dir(), "`make setup-web` installs the judge"


def private_jwk(number: int) -> JsonObject:
    signer = (ISSUER, HOLDER)[number]
    return {**jwk_of(signer.public_key), "d": encode_base64url(SECRETS[number].to_bytes(32, "big"))}


def ask(act: str, **request) -> dict:
    """What the other implementation answers, or its error."""
    whole = {"act": act, "now": NOW_S, "issuer": private_jwk(0), "holder": private_jwk(1)} | request
    run = subprocess.run(
        ["node", str(JUDGE), str(ROOT / "web" / "package.json")],
        input=json.dumps(whole),
        capture_output=True,
        text=True,
        timeout=NODE_S_MAX,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def ours(index: int = 3) -> str:
    made = legal_person(
        legal_name="禅城某某有限公司", uscc="91110000600037341L", legal_representative="李某", assurance_level="high"
    )
    dated = made.dated(
        issuer="https://issuer.example",
        issued_s=NOW_S,
        expires_s=NOW_S + YEAR_S,
        status_uri=URI,
        status_index=index,
    )
    return sd_jwt.issue(dated, made.disclosable, ISSUER, holder_key=HOLDER.public_key, decoys=3)


def lists() -> dict[str, str]:
    statuses = StatusList(16)
    statuses.set(4, Status.INVALID)
    return {URI: status_list.sign(statuses, URI, ISSUER, issued_s=NOW_S, expires_s=NOW_S + 600, ttl_s=60)}


def test_our_presentation_verifies_with_the_other_implementation():
    token = sd_jwt.present(ours(), [("legal_representative",)], key=HOLDER, binding=ASKED, now_s=NOW_S)
    answer = ask("verify", token=token, nonce=ASKED.nonce, lists=lists())["answer"]
    assert answer["payload"]["vct"] == LEGAL_PERSON
    assert answer["payload"]["legal_representative"] == "李某"
    assert answer["kb"]["aud"] == ASKED.audience


def test_other_implementation_sees_no_claim_that_our_holder_kept_back():
    token = sd_jwt.present(ours(), [], key=HOLDER, binding=ASKED, now_s=NOW_S)
    answer = ask("verify", token=token, nonce=ASKED.nonce, lists=lists())["answer"]
    assert "legal_representative" not in answer["payload"]


def test_other_implementation_reads_in_our_status_list_that_a_credential_is_revoked():
    assert "Status is not valid" in ask("verify", token=ours(4), lists=lists())["error"]


def test_other_implementation_presents_what_we_issued_and_we_verify_it():
    binding = {"iat": NOW_S, "aud": ASKED.audience, "nonce": ASKED.nonce}
    token = ask("present", token=ours(), shown={"legal_representative": True}, binding=binding)["answer"]
    verified = sd_jwt.verify(token, ISSUER.public_key, NOW_S, binding=ASKED)
    assert verified.claims["legal_representative"] == "李某"
    assert verified.status == sd_jwt.StatusReference(URI, 3)


def test_credential_that_the_other_implementation_issues_verifies_with_us():
    claims = {
        "vct": "urn:example:1",
        "iss": "https://issuer.example",
        "iat": NOW_S,
        "exp": NOW_S + YEAR_S,
        "family_name": "李",
        "address": {"region": "广东省", "locality": "佛山市禅城区"},
        "powers": ["view", "sign"],
        "cnf": {"jwk": jwk_of(HOLDER.public_key)},
    }
    frame = {
        "_sd": ["family_name", "address"],
        "address": {"_sd": ["locality"]},
        "powers": {"_sd": [1]},
        "_sd_decoy": 2,
    }
    token = ask("issue", claims=claims, frame=frame)["answer"]
    assert sd_jwt.verify(token, ISSUER.public_key, NOW_S).claims == claims
    shown = sd_jwt.present(token, [("powers", 1)], key=HOLDER, binding=ASKED, now_s=NOW_S)
    assert sd_jwt.verify(shown, ISSUER.public_key, NOW_S, binding=ASKED).claims["powers"] == ["view", "sign"]
    with pytest.raises(InvalidToken):
        sd_jwt.verify(token, HOLDER.public_key, NOW_S)
