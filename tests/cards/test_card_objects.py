# SPDX-License-Identifier: Apache-2.0
"""BER-TLV and the contents of a PIV card's containers."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain.errors import InvalidMessage
from identity.cards import tlv
from identity.cards.objects import Chuid, capabilities, certificate_object, certificate_of, fasc_n

GUID = bytes(range(16))


@given(st.lists(st.tuples(st.sampled_from([0x30, 0x5C, 0x5F2F, 0x7F49, 0x5FC102, 0xFE]), st.binary(max_size=300))))
def test_items_encoded_are_decoded_to_the_same(items: list[tuple[int, bytes]]) -> None:
    items = items[: tlv.ITEMS_MAX]
    assert tlv.decode(b"".join(tlv.encode(tag, value) for tag, value in items)) == items


@pytest.mark.parametrize("size", [0, 0x7F, 0x80, 0xFF, 0x100, 0xFFFF])
def test_length_at_each_boundary_is_decoded_to_the_same(size: int) -> None:
    assert tlv.decode(tlv.encode(0x53, bytes(size))) == [(0x53, bytes(size))]


@given(st.binary(max_size=64))
def test_any_bytes_are_items_or_invalid(raw: bytes) -> None:
    try:
        items = tlv.decode(raw)
    except InvalidMessage:
        return
    assert sum(len(value) for _, value in items) <= len(raw)


@pytest.mark.parametrize("raw", ["53", "5302FF", "5380", "538100"[:4], "5383000001", "5FC1", "5F", "1F8080800100"])
def test_item_cut_off_or_of_another_form_is_invalid(raw: str) -> None:
    with pytest.raises(InvalidMessage):
        tlv.decode(bytes.fromhex(raw))


def test_items_beyond_the_bound_are_invalid() -> None:
    with pytest.raises(InvalidMessage, match="more than 64"):
        tlv.decode(tlv.encode(0xFE, b"") * 65)


def test_missing_item_is_named() -> None:
    with pytest.raises(InvalidMessage, match="item 34 is missing"):
        tlv.get(b"", 0x34)


def test_fasc_n_is_that_of_the_fields_test_cards() -> None:
    """9999-9999-999999-0-1, person 0000000000, category 3: on the wire in the samples of NIST and of card makers."""
    assert fasc_n("999999").hex() == "d4e739da739ced39ce739d836858210842108421c84210c3eb"


@pytest.mark.parametrize("emulated", [True, False])
def test_chuid_is_decoded_to_the_same(emulated: bool) -> None:
    chuid = Chuid(GUID, date(2036, 11, 22), emulated)
    assert Chuid.decode(chuid.encode()) == chuid


def test_chuid_of_another_cards_maker_is_read() -> None:
    raw = "3019d4e739da739ced39ce739d836858210842108421c84210c3eb3410" + GUID.hex() + "350832303330303130313e00fe00"
    assert Chuid.decode(bytes.fromhex(raw)) == Chuid(GUID, date(2030, 1, 1), emulated=False)


@pytest.mark.parametrize("day", [b"20301399", b"2030", b"abcdefgh", b""])
def test_chuid_with_an_impossible_day_is_invalid(day: bytes) -> None:
    with pytest.raises(InvalidMessage, match="no day of the calendar"):
        Chuid.decode(tlv.encode(0x34, GUID) + tlv.encode(0x35, day))


def test_chuid_with_a_short_guid_is_invalid() -> None:
    with pytest.raises(InvalidMessage, match="15 bytes, not 16"):
        Chuid.decode(tlv.encode(0x34, GUID[:15]) + tlv.encode(0x35, b"20300101"))


def test_capabilities_are_whole_and_tell_no_more_than_the_guid() -> None:
    items = dict(tlv.decode(capabilities(GUID)))
    assert len(items) == 13
    assert items[0xF0].endswith(GUID[:14])


def test_certificate_container_gives_the_certificate_back() -> None:
    assert certificate_of(certificate_object(b"der")) == b"der"


def test_certificate_container_that_is_empty_has_none() -> None:
    assert certificate_of(b"") is None


def test_certificate_that_is_compressed_is_invalid() -> None:
    with pytest.raises(InvalidMessage, match="compressed"):
        certificate_of(tlv.encode(0x70, b"der") + tlv.encode(0x71, b"\x01"))
