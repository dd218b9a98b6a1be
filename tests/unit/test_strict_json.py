# SPDX-License-Identifier: Apache-2.0
"""Strict JSON refuses what readers disagree on, in bounded time."""

import contextlib
import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain import strict_json
from chain.errors import InvalidMessage

integers = st.integers(-(1 << 63), (1 << 63) - 1)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
values = st.recursive(
    st.none() | st.booleans() | integers | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)


def parse(data: bytes, *, size_max: int = 100_000, depth_max: int = 8) -> strict_json.Json:
    return strict_json.parse(data, size_max=size_max, depth_max=depth_max)


@given(values, st.booleans())
def test_values_come_back(value, escaped):
    assert parse(json.dumps(value, ensure_ascii=escaped).encode(), depth_max=64) == value


@given(st.dictionaries(texts, values, max_size=4))
def test_canonical_text_does_not_depend_on_order(value):
    raw = strict_json.canonical(value)
    assert strict_json.canonical(dict(reversed(value.items()))) == raw
    assert parse(raw, depth_max=64) == value


@given(st.binary(max_size=60))
def test_any_bytes_are_parsed_or_refused(data):
    with contextlib.suppress(InvalidMessage):  # any other error fails the test
        parse(data)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"{} {}",
        b'{"a":1,"a":1}',
        b'[{"a":{"b":1,"b":2}}]',
        b"0.5",
        b"1e3",
        b"NaN",
        b"Infinity",
        b"-Infinity",
        b"01",
        b"1" * 21,
        b'"\\ud800"',
        b'{"\\udfff":1}',
        b'"\x01"',
        b'"\xff"',
        b"\xef\xbb\xbf{}",
        "{}".encode("utf-16"),
        b"'a'",
        b"[1,]",
        b"// no\n1",
    ],
)
def test_what_readers_disagree_on_is_refused(raw):
    with pytest.raises(InvalidMessage):
        parse(raw)


def test_size_and_depth_are_bounded_exactly():
    assert parse(b"[]", size_max=2) == []
    with pytest.raises(InvalidMessage, match="at most 1"):
        parse(b"[]", size_max=1)
    deep = b"[" * 8 + b"]" * 8
    assert parse(deep) == [[[[[[[[]]]]]]]]
    for wrong in (b"[" + deep + b"]", b"[" * 50_000, b'{"a":' * 9 + b"1" + b"}" * 9, deep[:8] + b"{}" + deep[8:]):
        with pytest.raises(InvalidMessage, match="deeper"):
            parse(wrong)


def test_brackets_in_strings_open_nothing():
    text = '"' + "[{" * 20 + '\\"' + "[" * 20 + '\\\\"'
    assert parse(text.encode()) == json.loads(text)
    assert parse(b"[" + text.encode() + b",1]") == [json.loads(text), 1]


@pytest.mark.parametrize("unit", ['"\\"', "\\", '"', '\\"', '"\\\\', "[", '{"":'])
def test_hostile_text_costs_no_more_than_its_size(unit):
    data = (unit * 1_000_000)[:1_000_000].encode()
    start = time.perf_counter()
    with pytest.raises(InvalidMessage):
        parse(data, size_max=1_000_000)
    assert time.perf_counter() - start < 5
