# SPDX-License-Identifier: Apache-2.0
"""Base45 as RFC 9285 says."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain import base45
from chain.errors import InvalidMessage


@pytest.mark.parametrize(
    ("data", "text"),
    [(b"", ""), (b"AB", "BB8"), (b"Hello!!", "%69 VD92EX0"), (b"base-45", "UJCLQE7W581"), (b"ietf!", "QED8WEX0")],
)
def test_examples_of_rfc_9285_sections_4_3_and_4_4(data, text):
    assert base45.encode(data) == text
    assert base45.decode(text) == data


@given(st.binary(max_size=300))
def test_bytes_come_back(data):
    assert base45.decode(base45.encode(data)) == data


@given(st.text(alphabet=base45.ALPHABET, max_size=60))
def test_text_that_decodes_is_what_its_bytes_encode_to(text):
    try:
        data = base45.decode(text)
    except InvalidMessage:
        return
    assert base45.encode(data) == text


@pytest.mark.parametrize("text", ["A", "AAAA", "GGW", ":::", "::", "V5", "ab0", "BB_", "BB8\n", "ＢＢ８"])
def test_text_of_no_bytes_is_refused(text):
    with pytest.raises(InvalidMessage):
        base45.decode(text)
