# SPDX-License-Identifier: Apache-2.0
"""Synthetic residents, their numbers, the table, the commitments, and the journal of an import."""

import csv
import hashlib
import io
import json
import stat
from datetime import date
from pathlib import Path

import pytest

from cli.attestation import claims, table
from cli.attestation.journal import Journal, Submission
from cli.errors import InputError
from cli.scenes import residents
from identity import resident_number

TODAY = date(2026, 11, 22)
VALID = "11010519491231002X"
"""The example of GB 11643-1999."""


# ---------------------------------------------------------------- residents


def test_residents_are_the_same_for_the_same_seed_and_all_distinct() -> None:
    first = list(residents.residents(1300, 1))
    assert first == list(residents.residents(1300, 1))
    assert first[:50] != list(residents.residents(50, 2))
    assert len({resident.id_number for resident in first}) == 1300


def test_residents_are_valid_of_one_district_and_born_before_it_existed() -> None:
    for resident in residents.residents(500, 3):
        assert resident_number.fault(resident.id_number, TODAY) is None
        assert resident.id_number.startswith("440604")
        assert 1940 <= int(resident.id_number[6:10]) <= 1999
        assert 2 <= len(resident.name) <= 3


def test_table_of_residents_reads_back_and_each_row_says_that_it_is_synthetic(tmp_path: Path) -> None:
    people = list(residents.residents(20, 4))
    residents.write_table(tmp_path / "t.csv", people)
    read = table.load(tmp_path / "t.csv", TODAY)
    assert [(p.claims["name"], p.claims["id_number"]) for p in read.people] == [(p.name, p.id_number) for p in people]
    assert all("synthetic" in p.claims["synthetic"] for p in read.people)


# ---------------------------------------------------------------- table


def made(*rows: list[str], header: tuple[str, ...] = ("name", "id_number")) -> bytes:
    out = io.StringIO()
    csv.writer(out).writerows([header, *rows])
    return out.getvalue().encode()


def faults(raw: bytes) -> tuple[str, ...]:
    with pytest.raises(InputError) as caught:
        table.parse(raw, "t.csv", TODAY)
    return caught.value.details


def test_every_fault_is_named_with_its_line() -> None:
    good = residents.Resident("陈伟", VALID)
    raw = made([good.name, VALID], ["", VALID[:-1] + "1"], ["王芳", "12"], ["a", VALID, "x"])
    found = faults(raw)
    assert [line.split(",")[0] for line in found] == ["line 3", "line 3", "line 4", "line 5"]


def test_line_numbers_count_lines_inside_quoted_cells() -> None:
    raw = b'name,id_number,note\n"a",' + VALID.encode() + b',"two\nlines"\nb,1,c\n'
    found = faults(raw)
    assert found[0].startswith("line 2, note")
    assert found[1].startswith("line 4, id_number")


def test_no_fault_shows_a_value_of_the_table() -> None:
    found = faults(made(["SECRET-NAME\x00", "440604198001010012"], ["王芳", "44060419800101001"]))
    assert not any("SECRET" in line or "44060419" in line for line in found)


def test_number_that_stands_twice_is_refused_with_the_first_line() -> None:
    (found,) = faults(made(["a", VALID], ["b", VALID.lower()]))
    assert found.startswith("line 3")
    assert "2" in found.split(":")[1]


def test_byte_order_mark_and_lower_case_x_are_accepted() -> None:
    read = table.parse(b"\xef\xbb\xbf" + made(["a", VALID.lower()]), "t.csv", TODAY)
    assert read.people[0].claims["id_number"] == VALID


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"name\na\n",
        b"name,id_number,name\n",
        b"Name,id_number\n",
        b"name,id_number\n",
        b"\xff\xfe",
        b'name,id_number\n"open,1\n',
    ],
)
def test_table_that_is_none_is_refused(raw: bytes) -> None:
    with pytest.raises(InputError):
        table.parse(raw, "t.csv", TODAY)


def test_validity_and_assurance_are_read_and_checked() -> None:
    header = ("name", "id_number", "valid_from", "valid_to", "assurance_level")
    read = table.parse(made(["a", VALID, "2026-01-01", "2027-01-01", "high"], header=header), "t.csv", TODAY)
    person = read.people[0]
    assert (person.assurance_level, person.valid_from_ms, person.valid_to_ms) == (3, 1767225600000, 1798761600000)
    assert set(person.claims) == {"name", "id_number"}
    found = faults(
        made(["a", VALID, "x", "2027-01-01", "huge"], ["b", VALID, "2027-01-01", "2026-01-01", ""], header=header)
    )
    assert len(found) == 3


# ---------------------------------------------------------------- commitment


def test_commitment_depends_on_each_claim_and_on_the_salt_and_not_on_order() -> None:
    salt = bytes(32)
    one = claims.commitment({"name": "陈伟", "id_number": VALID}, salt)
    assert one == claims.commitment({"id_number": VALID, "name": "陈伟"}, salt)
    assert one != claims.commitment({"name": "陈伟", "id_number": VALID}, b"\x01" + bytes(31))
    assert one != claims.commitment({"name": "陈玮", "id_number": VALID}, salt)
    encoded = '{"id_number":"' + VALID + '","name":"陈伟"}'
    assert one == hashlib.sha256(b"zhixin/1/claims\x00" + salt + encoded.encode()).digest()
    assert json.loads(claims.canonical({"name": "é"})) == {"name": "é"}


def test_composed_and_decomposed_text_is_one_claim() -> None:
    assert claims.canonical({"name": "\u00e9"}) == claims.canonical({"name": "e\u0301"})


# ---------------------------------------------------------------- journal


def journal(path: Path, issuer: bytes = b"i") -> Journal:
    return Journal(path, table=b"t", network=b"n", issuer=issuer)


def test_journal_is_readable_by_its_owner_alone_and_remembers(tmp_path: Path) -> None:
    path = tmp_path / "j"
    first = journal(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    first.begin([(0, b"a", b"s"), (1, b"b", b"s")])
    first.sending([Submission(b"done", b"raw", 4, (0,)), Submission(b"tx", b"raw", 5, (1,))])
    first.done([(0, b"receipt")])
    first.close()
    again = journal(path)
    again.begin([(0, b"other", b"other")])
    assert [(r.row, r.id, r.receipt) for r in again.records()] == [(0, b"a", b"receipt"), (1, b"b", None)]
    assert again.open_submissions() == [Submission(b"tx", b"raw", 5, (1,))]
    assert again.unsent() == []
    again.release(b"tx")
    assert [r.id for r in again.unsent()] == [b"b"]
    with pytest.raises(AssertionError):
        again.release(b"done")
    again.close()


def test_journal_refuses_another_import_a_second_process_and_other_files(tmp_path: Path) -> None:
    path = tmp_path / "j"
    first = journal(path)
    with pytest.raises(InputError) as caught:
        journal(path)
    assert caught.value.code == "journal.locked"
    first.close()
    with pytest.raises(InputError) as caught:
        journal(path, issuer=b"other")
    assert caught.value.code == "journal.other"
    (tmp_path / "k").write_bytes(b"not a database, and long enough to be read as one" * 40)
    with pytest.raises(InputError) as caught:
        journal(tmp_path / "k")
    assert caught.value.code == "journal.damaged"
