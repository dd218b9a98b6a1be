# SPDX-License-Identifier: Apache-2.0
"""Whose key counts for credit: by the ledger's own rules, key and organisation as they become."""

import pytest
from test_membership import grant, vote

from credit.api.ledger import holder_of, is_member
from membership.pb import membership_pb2 as pb
from tests.rig import Rig, four, signer, signer_pb

KEY = signer("org-r:submit")


@pytest.fixture
def rig() -> Rig:
    return Rig(four())


def test_key_that_counts_is_its_organisations_and_one_that_was_revoked_nobodys(rig: Rig) -> None:
    assert holder_of(rig.state.get, KEY, rig.time_ms) == "org-r"
    assert rig.code("org-r:govern", pb.RevokeKey(key=signer_pb("org-r:submit"))) == ""
    assert holder_of(rig.state.get, KEY, rig.time_ms) == ""


def test_key_counts_between_its_first_and_its_last_moment_alone(rig: Rig) -> None:
    begins, ends = rig.time_ms + 10_000, rig.time_ms + 20_000
    lasting = grant("k", 1, valid_from_ms=begins, valid_to_ms=ends)
    assert rig.code(("org-r:govern", "org-r:submit", "k"), pb.AddKey(key=lasting)) == ""
    found = [holder_of(rig.state.get, signer("k"), at) for at in (begins - 1, begins, ends - 1, ends)]
    assert found == ["", "org-r", "org-r", ""]


def test_key_that_nobody_registered_is_nobodys(rig: Rig) -> None:
    assert holder_of(rig.state.get, signer("stranger"), rig.time_ms) == ""


def test_suspended_organisation_is_no_member_whatever_its_roles_and_is_one_again_once_reinstated(rig: Rig) -> None:
    assert [is_member(rig.state.get, "org-r", role) for role in ("", "registrar", "credit-authority")] == [
        True,
        True,
        False,
    ]
    assert vote(rig, pb.SuspendOrganisation(id="org-r")) == ""
    assert [is_member(rig.state.get, "org-r", role) for role in ("", "registrar")] == [False, False]
    assert vote(rig, pb.ReinstateOrganisation(id="org-r")) == ""
    assert is_member(rig.state.get, "org-r", "registrar")
    assert not is_member(rig.state.get, "nobody")
