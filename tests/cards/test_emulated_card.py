# SPDX-License-Identifier: Apache-2.0
"""The emulated card, by raw commands: framing, refusals, rights, counters, persistence."""

import json

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import ECB
from hypothesis import given
from hypothesis import strategies as st

from chain.errors import InvalidMessage
from identity.cards import tlv
from identity.cards.card import CardRemoved
from identity.cards.emulator import EMULATED_ATR, EmulatedCard
from identity.cards.objects import FACTORY_MANAGEMENT_KEY

PIN = b"123456\xff\xff"
PUK = b"12345678"
VERIFY = bytes.fromhex("0020008008")
KEY = AES(FACTORY_MANAGEMENT_KEY)


def send(card: EmulatedCard, command: str | bytes) -> tuple[bytes, int]:
    raw = card.transmit(bytes.fromhex(command) if isinstance(command, str) else command)
    return raw[:-2], int.from_bytes(raw[-2:], "big")


def status(card: EmulatedCard, command: str | bytes) -> int:
    return send(card, command)[1]


def managed() -> EmulatedCard:
    """A card that has accepted external authentication."""
    card = EmulatedCard()
    answer, _ = send(card, "00870A9B047C02810000")
    challenge = tlv.get(tlv.get(answer, 0x7C), 0x81)
    response = tlv.encode(0x7C, tlv.encode(0x82, Cipher(KEY, ECB()).encryptor().update(challenge)))
    assert send(card, bytes.fromhex("00870A9B") + bytes([len(response)]) + response) == (b"", 0x9000)
    return card


def test_answer_to_reset_offers_both_protocols_checks_and_says_emulated() -> None:
    check = 0
    for byte in EMULATED_ATR[1:]:
        check ^= byte
    assert check == 0
    assert EMULATED_ATR[:4] == bytes([0x3B, 0x89, 0x80, 0x01])
    assert b"EMUL" in EMULATED_ATR


@pytest.mark.parametrize(
    ("command", "word"),
    [
        ("", 0x6700),
        ("00A404", 0x6700),
        ("00A4040000000BA000000308000010000100", 0x6700),
        ("00A4040009A00000030800", 0x6700),
        ("80A4040005A000000308", 0x6E00),
        ("0CA4040005A000000308", 0x6E00),
        ("00A4000005A000000308", 0x6A86),
        ("00A4040005A000000527", 0x6A82),
        ("00A4040004A0000003", 0x6A82),
        ("00FD000000", 0x6D00),
        ("00F7009A00", 0x6D00),
        ("00C0000000", 0x6A86),
        ("00CB3F00055C035FC10200", 0x6A86),
        ("00CB3FFF055C035FC10200", 0x6A82),
        ("00CB3FFF035C035F00", 0x6A80),
        ("00CB3FFF055C035FC10900", 0x6982),
        ("00DB3FFF095C035FC1025302AABB", 0x6982),
        ("0047009A05AC0380011100", 0x6982),
        ("00FFFFFF030A9B00", 0x6982),
        ("0087119A087C068200810400000000", 0x6700),
        ("0087119A047C02820000", 0x6A88),
        ("0087079A047C02820000", 0x6A86),
        ("008711F9047C02820000", 0x6A86),
        ("0087039B047C02810000", 0x6A86),
        ("00870A9B047C02820000", 0x6A80),
        ("0020010000", 0x6A88),
        ("0020018008313233343536FFFF", 0x6A86),
        ("0020008103", 0x6A88),
        ("00200080083132333435FFFFFF", 0x6A80),
        ("0020008008313233FF3536FFFF", 0x6A80),
        ("00240082" + "10" + "31" * 16, 0x6A88),
        ("00240080" + "0F" + "31" * 15, 0x6A80),
        ("002C0081" + "10" + "31" * 16, 0x6A88),
        ("1020008004313233340000", 0x6700),
        ("102000800431323334", 0x6884),
    ],
)
def test_command_that_is_wrong_is_refused_with_the_standards_status(command: str, word: int) -> None:
    assert send(EmulatedCard(), command) == (b"", word)


def test_application_is_chosen_by_whole_or_short_name() -> None:
    card = EmulatedCard()
    whole = send(card, "00A404000BA00000030800001000010000")
    assert whole[1] == 0x9000
    assert send(card, "00A4040005A00000030800") == whole


def test_choice_of_another_application_leaves_the_pin_verified() -> None:
    card = EmulatedCard()
    assert status(card, VERIFY + PIN) == 0x9000
    assert status(card, "00A4040007D276000085010100") == 0x6A82
    assert status(card, "00200080") == 0x9000


def test_pin_wrong_three_times_blocks_and_the_puk_unblocks() -> None:
    card = EmulatedCard()
    assert [status(card, VERIFY + b"654321\xff\xff") for _ in range(4)] == [0x63C2, 0x63C1, 0x63C0, 0x6983]
    assert status(card, VERIFY + PIN) == 0x6983
    assert status(card, "00200080") == 0x6983
    assert status(card, bytes.fromhex("002C008010") + PUK + b"111222\xff\xff") == 0x9000
    assert status(card, VERIFY + b"111222\xff\xff") == 0x9000


def test_pin_right_once_starts_the_count_anew() -> None:
    card = EmulatedCard()
    assert status(card, VERIFY + b"654321\xff\xff") == 0x63C2
    assert status(card, VERIFY + PIN) == 0x9000
    assert status(card, VERIFY + b"654321\xff\xff") == 0x63C2
    assert status(card, "00200080") == 0x63C2, "a wrong PIN ends what a right one began"


def test_puk_wrong_three_times_blocks_for_good() -> None:
    card = EmulatedCard()
    change = bytes.fromhex("0024008110")
    assert [status(card, change + b"0" * 8 + b"11112222") for _ in range(4)] == [0x63C2, 0x63C1, 0x63C0, 0x6983]
    assert status(card, bytes.fromhex("002C008010") + PUK + PIN) == 0x6983


def test_pin_is_forgotten_on_request_and_on_reset() -> None:
    card = EmulatedCard()
    for forget in (lambda: status(card, "0020FF80"), card.reset, card.close):
        assert status(card, VERIFY + PIN) == 0x9000
        forget()
        assert status(card, "00200080") == 0x63C3


def test_management_by_external_authentication_opens_the_objects_for_writing() -> None:
    card = managed()
    assert status(card, "00DB3FFF095C035FC1025302AABB") == 0x9000
    assert send(card, "00CB3FFF055C035FC10200") == (bytes.fromhex("5302AABB"), 0x9000)


def test_management_challenge_serves_once() -> None:
    card = EmulatedCard()
    answer, _ = send(card, "00870A9B047C02810000")
    challenge = tlv.get(tlv.get(answer, 0x7C), 0x81)
    right = tlv.encode(0x7C, tlv.encode(0x82, Cipher(KEY, ECB()).encryptor().update(challenge)))
    wrong = tlv.encode(0x7C, tlv.encode(0x82, bytes(16)))
    head = bytes.fromhex("00870A9B") + bytes([len(right)])
    assert status(card, head + wrong) == 0x6982
    assert status(card, head + right) == 0x6A80, "the challenge is spent"


def test_management_key_encrypts_nothing_before_the_witness_came_back() -> None:
    """Else a stranger would have the card encrypt its own challenge."""
    card = EmulatedCard()
    send(card, "00870A9B047C02800000")
    body = tlv.encode(0x7C, tlv.encode(0x80, bytes(16)) + tlv.encode(0x81, bytes(16)))
    assert send(card, bytes.fromhex("00870A9B") + bytes([len(body)]) + body + b"\0") == (b"", 0x6982)


def test_container_outside_the_standard_is_refused() -> None:
    assert status(managed(), "00DB3FFF095C035FFF025302AABB") == 0x6A82


def test_object_beyond_the_bound_is_refused_and_the_chain_forgotten() -> None:
    card = managed()
    part = bytes.fromhex("10DB3FFFFF") + bytes(255)
    answers = [status(card, part) for _ in range(13)]
    assert answers == [0x9000] * 12 + [0x6700]
    assert status(card, "00DB3FFF095C035FC1025302AABB") == 0x9000


def test_chain_broken_by_another_command_is_refused_and_forgotten() -> None:
    card = managed()
    assert status(card, "10DB3FFF055C035FC102") == 0x9000
    assert status(card, "00200080") == 0x6883
    assert status(card, "00DB3FFF045302AABB") == 0x6A80


def test_object_longer_than_a_response_comes_in_parts() -> None:
    card = managed()
    content = bytes(range(256)) * 2
    item = bytes.fromhex("5C035FC102") + tlv.encode(0x53, content)
    for at in range(0, len(item), 255):
        part = item[at : at + 255]
        last = at + 255 >= len(item)
        assert status(card, bytes([0 if last else 0x10, 0xDB, 0x3F, 0xFF, len(part)]) + part) == 0x9000
    collected, word = send(card, "00CB3FFF055C035FC10200")
    assert (len(collected), word) == (256, 0x6100)
    more, word = send(card, "00C0000000")
    collected += more
    assert (len(more), word) == (256, 0x6104)
    more, word = send(card, "00C0000004")
    assert word == 0x9000
    assert collected + more == tlv.encode(0x53, content)
    assert status(card, "00C0000000") == 0x6A86


def test_response_asked_for_in_fewer_bytes_leaves_the_rest_waiting() -> None:
    card = managed()
    status(card, "00DB3FFF095C035FC1025302AABB")
    assert send(card, "00CB3FFF055C035FC10203") == (bytes.fromhex("5302AA"), 0x6101)
    assert send(card, "00C0000001") == (bytes.fromhex("BB"), 0x9000)


def test_object_behind_the_pin_opens_with_it() -> None:
    card = managed()
    assert status(card, "00DB3FFF095C035FC1095302AABB") == 0x9000
    assert status(card, "00CB3FFF055C035FC10900") == 0x6982
    assert status(card, VERIFY + PIN) == 0x9000
    assert send(card, "00CB3FFF055C035FC10900") == (bytes.fromhex("5302AABB"), 0x9000)


def test_card_pulled_out_fails_each_command_and_forgets_what_was_verified() -> None:
    card = managed()
    card.remove()
    with pytest.raises(CardRemoved):
        card.transmit(b"")
    card.insert()
    assert status(card, "00DB3FFF095C035FC1025302AABB") == 0x6982


def test_card_saved_and_loaded_is_the_same_card() -> None:
    card = managed()
    status(card, "0047009A05AC0380011100")
    status(card, "00DB3FFF095C035FC1025302AABB")
    status(card, VERIFY + b"000000\xff\xff")
    again = EmulatedCard.load(card.save())
    assert again.save() == card.save()
    assert status(again, "00200080") == 0x63C2
    assert send(again, "00CB3FFF055C035FC10200") == (bytes.fromhex("5302AABB"), 0x9000)


def test_change_is_handed_over_before_its_response_and_nothing_else_is() -> None:
    seen: list[bytes] = []
    card = EmulatedCard(changed=seen.append)
    status(card, "00A4040005A00000030800")
    assert seen == []
    status(card, VERIFY + b"000000\xff\xff")
    assert [json.loads(raw)["pin_tries"] for raw in seen] == [2]


@pytest.mark.parametrize(
    "damage",
    [
        {"format": "zhixin-emulated-card/2"},
        {"pin": "zz"},
        {"pin": "31"},
        {"pin_tries": 9},
        {"puk_tries": -1},
        {"management_key": "00"},
        {"keys": {"9A": "0" * 64}},
        {"keys": {"99": "1" * 64}},
        {"keys": []},
        {"objects": {"000001": "00"}},
        {"objects": {"5FC102": "00" * 3073}},
    ],
)
def test_saved_card_that_was_damaged_is_refused(damage: dict[str, object]) -> None:
    document = json.loads(EmulatedCard().save()) | damage
    with pytest.raises(InvalidMessage):
        EmulatedCard.load(json.dumps(document).encode())


@given(st.binary(max_size=80))
def test_any_bytes_as_a_saved_card_are_refused(raw: bytes) -> None:
    with pytest.raises(InvalidMessage):
        EmulatedCard.load(raw)


def test_saved_card_beyond_the_bound_is_refused() -> None:
    with pytest.raises(InvalidMessage, match="at most"):
        EmulatedCard.load(EmulatedCard().save() + b" " * 262_144)


@given(st.lists(st.binary(max_size=40), max_size=8))
def test_any_commands_get_a_status_and_make_no_manager(commands: list[bytes]) -> None:
    card = EmulatedCard()
    for command in commands:
        answer = card.transmit(command)
        assert 2 <= len(answer) <= 258
    assert card.state.keys == {}
    assert card.state.objects == {}
