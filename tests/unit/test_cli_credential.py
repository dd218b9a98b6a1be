# SPDX-License-Identifier: Apache-2.0
"""`zhixin credential`: shown as claims, verified step by step without a network, in both languages; issuing keys."""

import io
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from token_rig import key

from cli import language, output
from cli.exits import Exit
from cli.main import run
from identity import offline_qr, sd_jwt, status_list
from identity.api.issuer.key_files import load_keys
from identity.credentials import legal_person
from identity.issuer_keys import IssuingKey
from identity.sd_jwt import Binding, StatusReference
from identity.status_list import Status, StatusList

NOW_S = int(time.time())
DAY_S = 86_400
URI = "https://issuer.example/status/1"
HOLDER = key(40)
ASKED = Binding("https://verifier.example", "n-1")


@pytest.fixture(autouse=True)
def _english() -> Iterator[None]:
    language.select("en")
    yield
    output.use_json(on=False)
    language.select("en")


@pytest.fixture(scope="module")
def registrar(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with keys, made by the command."""
    folder = tmp_path_factory.mktemp("registrar") / "issuing"
    assert run(["credential", "new-key", "--folder", str(folder), "--name", "Civil affairs", "--plain", "--json"]) == 0
    output.use_json(on=False)
    return folder


@pytest.fixture(scope="module")
def issuing(registrar: Path) -> IssuingKey:
    return load_keys(registrar, None, {}, allow_plain=True).keys.current(int(time.time()) + 1)


def credential(issuing: IssuingKey, index: int = 1) -> str:
    made = legal_person(
        legal_name="禅城某某有限公司", uscc="91110000600037341L", legal_representative="李某", assurance_level="high"
    )
    dated = made.dated(
        issuer="https://issuer.example",
        issued_s=NOW_S,
        expires_s=NOW_S + 90 * DAY_S,
        status_uri=URI,
        status_index=index,
    )
    assert issuing.signer is not None
    return sd_jwt.issue(dated, made.disclosable, issuing.signer, holder_key=HOLDER.public_key, header=issuing.header)


def status_file(folder: Path, issuing: IssuingKey, issued_s: int = NOW_S, uri: str = URI) -> Path:
    statuses = StatusList(16)
    statuses.set(2, Status.SUSPENDED)
    statuses.set(3, Status.INVALID)
    assert issuing.signer is not None
    token = status_list.sign(
        statuses, uri, issuing.signer, issued_s=issued_s, expires_s=issued_s + DAY_S, ttl_s=30, header=issuing.header
    )
    path = folder / "list.jwt"
    path.write_text(token + "\n")
    return path


@pytest.fixture
def ask(registrar: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Verifies a text and returns exit code and what was printed."""

    def verify(text: str, *options: str, words: bool = False):
        capsys.readouterr()
        path = tmp_path / "shown"
        path.write_text(text + "\n")
        argv = ["credential", "verify", str(path), "--issuer", str(registrar / "registrar.cer"), *options]
        code = run(argv if words else [*argv, "--json"])
        out = capsys.readouterr()
        return code, out.out + out.err if words else json.loads(out.out)

    return verify


def test_credential_with_its_status_list_counts(ask, issuing, tmp_path):
    code, report = ask(credential(issuing), "--status-list", str(status_file(tmp_path, issuing)))
    assert code == Exit.DONE
    assert report["counts"] is True
    assert [step["outcome"] for step in report["steps"]] == ["held", "not-asked", "held"]
    assert report["claims"]["legal_representative"] == "李某"
    assert report["status"] == {"uri": URI, "index": 1, "value": 0, "issued_s": NOW_S}


@pytest.mark.parametrize(("index", "expected"), [(2, "suspended"), (3, "revoked")])
def test_credential_that_was_stopped_does_not_count(ask, issuing, tmp_path, index, expected):
    code, report = ask(credential(issuing, index), "--status-list", str(status_file(tmp_path, issuing)))
    assert code == Exit.NOT_HELD
    assert report["steps"][-1]["code"] == f"identity.credential-{expected}"


def test_credential_without_a_list_at_hand_does_not_count_unless_the_policy_says_so(ask, issuing):
    code, report = ask(credential(issuing))
    assert (code, report["steps"][-1]["code"]) == (Exit.UNPROVEN, "identity.status-missing")
    code, report = ask(credential(issuing), "--status", "if-known")
    assert (code, report["steps"][-1]["outcome"]) == (Exit.DONE, "unknown")
    code, report = ask(credential(issuing), "--status", "ignored")
    assert (code, report["steps"][-1]["outcome"]) == (Exit.DONE, "not-asked")


def test_list_that_has_expired_says_nothing(ask, issuing, tmp_path):
    old = status_file(tmp_path, issuing, NOW_S - 2 * DAY_S)
    code, report = ask(credential(issuing), "--status-list", str(old))
    assert (code, report["steps"][-1]["code"]) == (Exit.UNPROVEN, "identity.token-expired")


def test_list_of_another_address_says_nothing(ask, issuing, tmp_path):
    other = status_file(tmp_path, issuing, uri="https://issuer.example/status/2")
    code, report = ask(credential(issuing), "--status-list", str(other))
    assert (code, report["steps"][-1]["code"]) == (Exit.UNPROVEN, "identity.status-missing")


def test_proof_of_the_holders_key_is_checked_when_it_is_asked_for(ask, issuing):
    presented = sd_jwt.present(credential(issuing), key=HOLDER, binding=ASKED, now_s=int(time.time()))
    options = ["--status", "ignored", "--audience", ASKED.audience]
    code, report = ask(presented, *options, "--nonce", ASKED.nonce)
    assert (code, report["steps"][1]["outcome"]) == (Exit.DONE, "held")
    code, report = ask(presented, *options, "--nonce", "n-2")
    assert (code, report["steps"][1]["code"]) == (Exit.UNPROVEN, "identity.binding-nonce")
    code, report = ask(credential(issuing), *options, "--nonce", ASKED.nonce)
    assert (code, report["steps"][1]["code"]) == (Exit.UNPROVEN, "identity.binding-missing")


def test_altered_credential_is_refused_at_the_first_step_and_shows_no_claims(ask, issuing):
    header, rest = credential(issuing).split(".", 1)
    code, report = ask(f"{header}.{'A' if rest[0] != 'A' else 'B'}{rest[1:]}")
    assert code == Exit.UNPROVEN
    assert [step["outcome"] for step in report["steps"]] == ["failed"]
    assert report["claims"] == {}


def test_credential_of_a_registrar_who_is_not_trusted_is_refused(ask, tmp_path, capsys):
    other = tmp_path / "other"
    assert run(["credential", "new-key", "--folder", str(other), "--name", "Another", "--plain"]) == Exit.DONE
    assert "Give verifiers the registrar's certificate" in capsys.readouterr().out
    theirs = load_keys(other, None, {}, allow_plain=True).keys.current(int(time.time()) + 1)
    code, report = ask(credential(theirs))
    assert (code, report["steps"][0]["code"]) == (Exit.UNPROVEN, "identity.issuer-untrusted")


def test_list_of_another_registrar_who_is_trusted_too_says_nothing_of_this_ones_credentials(ask, issuing, tmp_path):
    other = tmp_path / "other"
    assert run(["credential", "new-key", "--folder", str(other), "--name", "Another", "--plain", "--json"]) == Exit.DONE
    theirs = load_keys(other, None, {}, allow_plain=True).keys.current(int(time.time()) + 1)
    listed = status_file(tmp_path, theirs)
    ask_both = ["--issuer", str(other / "registrar.cer"), "--status-list", str(listed)]
    code, report = ask(credential(issuing, 3), *ask_both)
    assert (code, report["steps"][-1]["code"]) == (Exit.UNPROVEN, "identity.issuer-untrusted")
    assert ask(credential(theirs), *ask_both)[0] == Exit.DONE


def test_claims_cannot_steer_the_terminal(issuing, tmp_path, capsys):
    claims = {"vct": "urn:x:1", "exp": NOW_S + DAY_S, "name\x1b[2J": "\x1b]0;owned\x07", "times": [10**30]}
    path = tmp_path / "shown"
    assert issuing.signer is not None
    path.write_text(sd_jwt.issue(claims, [], issuing.signer))
    run(["credential", "show", str(path)])
    out = capsys.readouterr()
    assert "\x1b" not in out.out + out.err


def test_offline_code_is_verified_by_the_issuing_keys_certificate(ask, issuing, registrar):
    assert issuing.signer is not None
    token = offline_qr.issue(
        {"family_name": "李", "age_over_18": True},
        issuing.signer,
        issuing.key_id,
        HOLDER.public_key,
        token_id=bytes(16),
        issued_s=NOW_S,
        expires_s=NOW_S + DAY_S,
        status=StatusReference(URI, 1),
    )
    text = offline_qr.show(token, HOLDER, now_s=int(time.time()))
    certificate = str(registrar / f"issuing-{issuing.key_id.hex()}.cer")
    code, report = ask(text, "--key", certificate, "--status", "if-known")
    assert code == Exit.DONE
    assert report["claims"] == {"family_name": "李", "age_over_18": True}
    code, report = ask(text, "--status", "if-known")
    assert (code, report["steps"][0]["code"]) == (Exit.UNPROVEN, "identity.issuer-untrusted")


@pytest.mark.parametrize(("lang", "words"), [("en", "It does NOT count."), ("zh", "无效。")])
def test_people_are_told_in_their_language_which_step_failed_and_what_to_do(ask, issuing, tmp_path, lang, words):
    listed = str(status_file(tmp_path, issuing))
    _, said = ask(credential(issuing, 3), "--status-list", listed, "--lang", lang, words=True)
    assert words in said
    assert "identity.credential-revoked" in said
    assert ("已吊销" if lang == "zh" else "revoked") in said
    assert ("法定代表人" if lang == "zh" else "Legal representative") in said


def test_credential_is_shown_from_standard_input_with_what_may_be_kept_back(issuing, monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(credential(issuing).encode())))
    assert run(["credential", "show", "-"]) == Exit.DONE
    said = capsys.readouterr()
    assert "Legal representative: 李某 (may be kept back)" in said.out
    assert "Name: 禅城某某有限公司\n" in said.out
    assert "Not verified" in said.err


@pytest.mark.parametrize("text", ["", "x", "é", "a.b.c", "IMI1:00", "a" * 70_000])
def test_file_that_is_no_credential_is_called_that(text, tmp_path, capsys):
    path = tmp_path / "shown"
    path.write_text(text)
    assert run(["credential", "show", str(path), "--json"]) in {Exit.UNPROVEN, Exit.INPUT}
    assert json.loads(capsys.readouterr().out)["error"]["reason"]


def test_options_that_do_not_fit_together_are_refused(ask, issuing, registrar, tmp_path):
    assert ask(credential(issuing), "--audience", "x")[0] == Exit.USAGE
    no_certificate = tmp_path / "no.cer"
    no_certificate.write_bytes(b"x")
    assert ask(credential(issuing), "--issuer", str(no_certificate))[0] == Exit.INPUT
    leaf = next(registrar.glob("issuing-*.cer"))
    assert ask(credential(issuing), "--issuer", str(leaf))[0] == Exit.INPUT


def test_registrars_certificate_is_taken_as_pem_too(ask, issuing, registrar, tmp_path):
    pem = tmp_path / "registrar.pem"
    loaded = x509.load_der_x509_certificate((registrar / "registrar.cer").read_bytes())
    pem.write_bytes(loaded.public_bytes(Encoding.PEM))
    assert ask(credential(issuing), "--issuer", str(pem), "--status", "ignored")[0] == Exit.DONE


def test_keys_are_not_made_unencrypted_unless_it_is_said(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("ZHIXIN_PASSPHRASE", raising=False)
    argv = ["credential", "new-key", "--folder", str(tmp_path / "issuing"), "--name", "Civil affairs", "--json"]
    assert run(argv) == Exit.INPUT
    assert "passphrase" in json.loads(capsys.readouterr().out)["error"]["reason"]
