# SPDX-License-Identifier: Apache-2.0
"""What a registrar writes down about a relying party: read as meant, or refused with the field that is wrong."""

import json
from pathlib import Path

import pytest

from chain.errors import Refused
from cli.errors import InputError
from cli.exits import Exit
from cli.main import run
from cli.relying_terms import load_terms
from identity.pb import identity_pb2 as pb

KEYS = ["03" + "00" * 32, "02" + "00" * 32]
TERMS = """
valid_from = 2027-01-01T00:00:00+08:00
valid_to = 2028-01-01T00:00:00+08:00
keys = {keys}

[[purposes]]
number = 7
name_en = "Delivering a parcel"
legal_basis = "Contract"
attributes = ["natural-person/given_name", "natural-person/address"]
per_second_max = 5
needs_consent = true

[[purposes]]
number = 1
name_zh = "开立账户"
legal_basis = "反洗钱法第二十九条"
attributes = ["natural-person/birthdate"]
status_age_s_max = 3600
per_second_max = 10
"""


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "terms.toml"
    path.write_text(text, "utf-8")
    return path


def test_terms_are_read_and_put_in_order(tmp_path: Path) -> None:
    terms = load_terms(written(tmp_path, TERMS.format(keys=json.dumps(KEYS))))
    assert (terms.valid_from_ms, terms.valid_to_ms) == (1_798_732_800_000, 1_830_268_800_000)
    assert [key.hex() for key in terms.keys] == KEYS[::-1]
    assert terms.purposes[1].number == 7
    assert terms.purposes[1].needs_consent
    assert list(terms.purposes[1].attributes) == ["natural-person/address", "natural-person/given_name"]
    assert terms.purposes[0] == pb.RelyingPurpose(
        number=1,
        name_zh="开立账户",
        legal_basis="反洗钱法第二十九条",
        attributes=["natural-person/birthdate"],
        status_age_s_max=3_600,
        per_second_max=10,
    )


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("valid_from = 2027-01-01T00:00:00+08:00", "", "registered for at most 1098 days"),
        ("2027-01-01T00:00:00+08:00", "2027-01-01T00:00:00", "valid_from is a moment with its zone"),
        ("2027-01-01T00:00:00+08:00", '"2027-01-01"', "valid_from is a moment with its zone"),
        ("2027-01-01T00:00:00+08:00", "1969-01-01T00:00:00+08:00", "valid_from is a moment with its zone"),
        ("2028-01-01T00:00:00+08:00", "2038-01-01T00:00:00+08:00", "registered for at most"),
        ("keys = []", 'keys = ["zz"]', "terms.toml"),
        ("keys = []", 'keys = ["00"]', "P-256 keys"),
        ("keys = []", "key = []", "'key'; valid_from, valid_to, keys, purposes"),
        ("number = 7", 'number = "7"', "terms.toml"),
        ("number = 7", "number = 1", "ascending"),
        ("per_second_max = 5", "", "quota"),
        ("per_second_max = 5", "per_hour_max = 5", "per_hour_max"),
        ('legal_basis = "Contract"', "", "legal basis"),
        ("natural-person/address", "address", "attributes such as"),
        ("[[purposes]]\nnumber = 7", "[[purposes]\nnumber = 7", "terms.toml"),
    ],
)
def test_terms_that_are_wrong_are_refused_with_what_is_wrong(
    tmp_path: Path, before: str, after: str, said: str
) -> None:
    text = TERMS.format(keys="[]")
    assert before in text
    with pytest.raises((InputError, Refused)) as caught:
        load_terms(written(tmp_path, text.replace(before, after)))
    assert said in str(caught.value)


def test_file_that_is_missing_no_text_or_too_large_is_refused(tmp_path: Path) -> None:
    binary, large = tmp_path / "binary", written(tmp_path, "#" * 300_000)
    binary.write_bytes(b"\xff\xfe")
    for path in (tmp_path / "none", binary, large):
        with pytest.raises(InputError):
            load_terms(path)


def test_command_names_file_and_field_in_both_languages(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path, TERMS.format(keys="[]").replace("keys = []", "cles = []"))
    for language, words in (("en", "cannot be read as terms"), ("zh", "读作登记条件")):
        argv = ["registrar", "party", "propose", "bank", str(path), "--home", str(tmp_path), "--lang", language]
        assert run([*argv, "--json"]) == Exit.INPUT
        error = json.loads(capsys.readouterr().out)["error"]
        assert error["code"] == "party.terms"
        assert words in json.dumps(error, ensure_ascii=False)
        assert "cles" in json.dumps(error)
