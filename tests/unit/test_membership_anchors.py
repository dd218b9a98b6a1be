# SPDX-License-Identifier: Apache-2.0
"""Digests that organisations anchor: who may, what is refused, and that an audit chain never shrinks."""

import pytest

from membership.anchors import SIZE_MAX, anchor_key, load_anchor
from membership.pb import membership_pb2 as pb
from tests.rig import Rig, four

STREAM, DIGEST = b"s" * 16, b"d" * 32


@pytest.fixture
def rig() -> Rig:
    return Rig(four())


def anchor(
    size: int = 5,
    kind: int = pb.ANCHOR_KIND_AUDIT,
    stream: bytes = STREAM,
    digest: bytes = DIGEST,
) -> pb.Anchor:
    return pb.Anchor(kind=pb.AnchorKind.ValueType(kind), stream=stream, digest=digest, size=size)


def test_anchor_by_a_submit_key_stands_in_state_with_its_time(rig: Rig) -> None:
    time_ms = rig.time_ms
    assert rig.code("org-r:submit", anchor()) == ""
    record = load_anchor(rig.state.get, "org-r", pb.ANCHOR_KIND_AUDIT, STREAM)
    assert record == pb.AnchorRecord(digest=DIGEST, size=5, since_ms=time_ms)
    assert rig.state[b"membership/anchor/org-r/1/" + STREAM.hex().encode()] == record.SerializeToString()


def test_newer_anchor_replaces_the_one_before_and_touches_no_other_kind_stream_or_organisation(rig: Rig) -> None:
    others = [
        ("org-r", anchor(kind=pb.ANCHOR_KIND_STATUS_LIST)),
        ("org-r", anchor(kind=pb.ANCHOR_KIND_WEB_BUNDLE)),
        ("org-r", anchor(stream=b"t" * 16)),
        ("org-a", anchor()),
    ]
    for name, message in [("org-r", anchor()), *others]:
        assert rig.code(f"{name}:submit", message) == ""
    before = {name: dict(rig.state).get(anchor_key(name, m.kind, m.stream)) for name, m in others}
    assert rig.code("org-r:submit", anchor(6, digest=b"e" * 32)) == ""
    record = load_anchor(rig.state.get, "org-r", pb.ANCHOR_KIND_AUDIT, STREAM)
    assert record is not None
    assert (record.digest, record.size) == (b"e" * 32, 6)
    assert before == {name: dict(rig.state).get(anchor_key(name, m.kind, m.stream)) for name, m in others}


@pytest.mark.parametrize("size", [1, 4, 5])
def test_audit_chain_rolled_back_is_not_anchored(rig: Rig, size: int) -> None:
    assert rig.code("org-r:submit", anchor(5)) == ""
    assert rig.code("org-r:submit", anchor(size, digest=b"e" * 32)) == "membership.anchor-not-newer"
    record = load_anchor(rig.state.get, "org-r", pb.ANCHOR_KIND_AUDIT, STREAM)
    assert record is not None
    assert (record.digest, record.size) == (DIGEST, 5)


@pytest.mark.parametrize("kind", [pb.ANCHOR_KIND_STATUS_LIST, pb.ANCHOR_KIND_WEB_BUNDLE])
def test_list_or_bundle_keeps_or_loses_size(rig: Rig, kind: int) -> None:
    for size in (5, 5, 2):
        assert rig.code("org-r:submit", anchor(size, kind)) == ""


@pytest.mark.parametrize(
    ("circumstance", "message"),
    [
        ("no kind", anchor(kind=0)),
        ("unknown kind", anchor(kind=99)),
        ("no stream", anchor(stream=b"")),
        ("long stream", anchor(stream=bytes(17))),
        ("short digest", anchor(digest=bytes(31))),
        ("long digest", anchor(digest=bytes(64))),
        ("nothing covered", anchor(0)),
        ("size beyond a database's integers", anchor(SIZE_MAX + 1)),
    ],
)
def test_anchor_with_a_field_out_of_bounds_is_refused(rig: Rig, circumstance: str, message: pb.Anchor) -> None:
    assert rig.code("org-r:submit", message) == "membership.invalid-anchor", circumstance


@pytest.mark.parametrize(
    ("circumstance", "signers", "code"),
    [
        ("key that only governs", "org-r:govern", "membership.not-submitting"),
        ("key that only attests", "org-r:attest", "membership.not-submitting"),
        ("keys of two organisations", ("org-r:submit", "org-a:submit"), "membership.ambiguous-organisation"),
    ],
)
def test_anchor_by_the_wrong_signer_is_refused(
    rig: Rig, circumstance: str, signers: str | tuple[str, ...], code: str
) -> None:
    assert rig.code(signers, anchor()) == code, circumstance


def test_suspended_organisation_anchors_nothing(rig: Rig) -> None:
    acts = [pb.Act(suspend_organisation=pb.SuspendOrganisation(id="org-r"))]
    proposal = rig.sign("org-a:govern", pb.Propose(epoch=rig.epoch, expires_at_ms=rig.time_ms + 60_000, acts=acts))
    assert rig.codes(proposal) == [""]
    for name in ("org-b", "org-c"):
        assert rig.code(f"{name}:govern", pb.Approve(proposal_id=proposal.id, epoch=rig.epoch)) == ""
    # its own key makes no transaction known any more; another's beside it does
    assert rig.code(("org-r:submit", "org-a:govern"), anchor()) == "membership.organisation-suspended"


def test_largest_size_is_anchored(rig: Rig) -> None:
    assert rig.code("org-r:submit", anchor(SIZE_MAX)) == ""
