# SPDX-License-Identifier: Apache-2.0
"""Organisations, keys and votes: what each operation does, and each refusal."""

from collections.abc import Sequence

import pytest
from google.protobuf.message import Message

from chain.pb import ledger_pb2
from chain.signing import Scheme
from identity.pb import identity_pb2
from membership.authority import approvals_needed, is_known, resolve_key
from membership.names import check_address, check_display_names, check_organisation_id, check_role
from membership.parameters import PARAMETERS, load_parameter
from membership.pb import membership_pb2 as pb
from membership.state import load_key, load_keyring, load_open_proposals, load_organisation
from tests.rig import START_MS, Rig, code_of, four, genesis, organisation, signer, signer_pb

DAY_MS = 86_400_000


@pytest.fixture
def rig() -> Rig:
    return Rig(four())


def grant(name: str, *purposes: int, valid_from_ms: int = 0, valid_to_ms: int = 0) -> pb.KeyGrant:
    return pb.KeyGrant(
        key=signer_pb(name),
        purposes=[pb.Purpose.ValueType(purpose) for purpose in purposes],
        valid_from_ms=valid_from_ms,
        valid_to_ms=valid_to_ms,
    )


def propose(rig: Rig, *acts: Message, **changes: int) -> pb.Propose:
    """A proposal of these acts, each put into its field."""
    wrapped = []
    for act in acts:
        field = next(f for f in pb.Act.DESCRIPTOR.fields if f.message_type.name == act.DESCRIPTOR.name)
        wrapped.append(pb.Act(**{field.name: act}))
    fields = {"epoch": rig.epoch, "expires_at_ms": rig.time_ms + DAY_MS, **changes}
    return pb.Propose(acts=wrapped, **fields)


def vote(rig: Rig, *acts: Message, by: Sequence[str] = ("org-a", "org-b", "org-c")) -> str:
    """Propose and approve; the first failure code, or empty if the acts executed."""
    proposal = rig.sign(f"{by[0]}:govern", propose(rig, *acts))
    code = rig.codes(proposal)[0]
    for name in by[1:]:
        if code:
            return code
        code = rig.code(f"{name}:govern", pb.Approve(proposal_id=proposal.id, epoch=rig.epoch))
    return code


# ---------------------------------------------------------------- acts on organisations and roles


def test_organisation_admitted_by_vote_is_known_and_can_act(rig: Rig) -> None:
    new = pb.AddOrganisation(
        id="org-n", name_zh="新机构", roles=["registrar"], keys=[grant("n", pb.PURPOSE_SUBMIT, pb.PURPOSE_ATTEST)]
    )
    assert not is_known(rig.state.get, signer("n"), rig.time_ms)
    assert vote(rig, new) == ""
    assert is_known(rig.state.get, signer("n"), rig.time_ms)
    found = load_organisation(rig.state.get, "org-n")
    assert found is not None
    assert (found.name_zh, found.roles, found.is_active) == ("新机构", ("registrar",), True)
    attest = identity_pb2.Attest(
        id=bytes(16),
        schema=identity_pb2.SCHEMA_RESIDENT,
        schema_version=1,
        commitment=bytes(32),
        assurance_level=identity_pb2.ASSURANCE_LEVEL_LOW,
        valid_from_ms=START_MS,
        valid_to_ms=rig.time_ms + DAY_MS,
    )
    assert rig.code("n", attest) == ""


ROLE = pb.GrantRole(organisation="org-d", role="inspector")


@pytest.mark.parametrize(
    ("circumstance", "acts", "code"),
    [
        ("no act at all", [], "membership.proposal-size"),
        ("more acts than a proposal holds", [ROLE] * 17, "membership.proposal-size"),
        ("organisation that exists", [pb.AddOrganisation(id="org-a", name_en="A")], "membership.organisation-exists"),
        (
            "organisation twice in one proposal",
            [pb.AddOrganisation(id="x", name_en="X")] * 2,
            "membership.organisation-exists",
        ),
        ("id in upper case", [pb.AddOrganisation(id="Org", name_en="A")], "membership.invalid-organisation-id"),
        ("no display name", [pb.AddOrganisation(id="org-n")], "membership.invalid-name"),
        (
            "display name that turns around",
            [pb.AddOrganisation(id="org-n", name_en="a\u202eb")],
            "membership.invalid-name",
        ),
        ("roles out of order", [pb.AddOrganisation(id="n", name_en="N", roles=["b", "a"])], "membership.invalid-role"),
        ("a role twice", [pb.AddOrganisation(id="n", name_en="N", roles=["a", "a"])], "membership.invalid-role"),
        ("role with a blank", [pb.AddOrganisation(id="n", name_en="N", roles=["a b"])], "membership.invalid-role"),
        (
            "quota beyond any network",
            [pb.AddOrganisation(id="n", name_en="N", quota_operations_s=1_000_001)],
            "membership.invalid-quota",
        ),
        (
            "new organisation with a taken key",
            [pb.AddOrganisation(id="n", name_en="N", keys=[grant("org-a:submit", 1)])],
            "membership.key-exists",
        ),
        ("altering nobody", [pb.AlterOrganisation(id="nobody", name_en="N")], "membership.unknown-organisation"),
        ("altering to no name", [pb.AlterOrganisation(id="org-a")], "membership.invalid-name"),
        ("altering", [pb.AlterOrganisation(id="org-r", name_en="Registry", quota_operations_s=7)], ""),
        ("role of nobody", [pb.GrantRole(organisation="nobody", role="x")], "membership.unknown-organisation"),
        ("role that it has", [pb.GrantRole(organisation="org-r", role="registrar")], "membership.role-held"),
        ("role of no form", [pb.GrantRole(organisation="org-r", role="-")], "membership.invalid-role"),
        ("role granted", [ROLE], ""),
        ("role revoked", [pb.RevokeRole(organisation="org-r", role="registrar")], ""),
        ("role that it has not", [pb.RevokeRole(organisation="org-a", role="registrar")], "membership.role-not-held"),
        ("suspending nobody", [pb.SuspendOrganisation(id="nobody")], "membership.unknown-organisation"),
        ("suspending", [pb.SuspendOrganisation(id="org-r")], ""),
        ("suspending twice", [pb.SuspendOrganisation(id="org-r")] * 2, "membership.organisation-suspended"),
        ("suspending who validates", [pb.SuspendOrganisation(id="org-a")], "membership.organisation-validates"),
        ("reinstating who is active", [pb.ReinstateOrganisation(id="org-r")], "membership.not-suspended"),
        ("suspending and reinstating", [pb.SuspendOrganisation(id="org-r"), pb.ReinstateOrganisation(id="org-r")], ""),
        (
            "key of nobody",
            [pb.AddOrganisationKey(organisation="nobody", key=grant("k", 1))],
            "membership.unknown-organisation",
        ),
        ("key by vote", [pb.AddOrganisationKey(organisation="org-r", key=grant("k", 1))], ""),
        ("revoking a key by vote", [pb.RevokeOrganisationKey(organisation="org-r", key=signer_pb("org-r:govern"))], ""),
        (
            "revoking another's key",
            [pb.RevokeOrganisationKey(organisation="org-r", key=signer_pb("org-a:govern"))],
            "membership.unknown-key",
        ),
        (
            "revoking the last key that governs of who validates",
            [pb.RevokeOrganisationKey(organisation="org-b", key=signer_pb("org-b:govern"))],
            "membership.last-govern-key",
        ),
        (
            "replacing that key",
            [
                pb.RevokeOrganisationKey(organisation="org-b", key=signer_pb("org-b:govern")),
                pb.AddOrganisationKey(organisation="org-b", key=grant("k", 2)),
            ],
            "",
        ),
        (
            "replacing it by one that runs out",
            [
                pb.RevokeOrganisationKey(organisation="org-b", key=signer_pb("org-b:govern")),
                pb.AddOrganisationKey(organisation="org-b", key=grant("k", 2, valid_to_ms=START_MS + DAY_MS)),
            ],
            "membership.last-govern-key",
        ),
        (
            "unknown parameter",
            [pb.SetParameter(parameter=pb.Parameter.ValueType(99), value=1)],
            "membership.unknown-parameter",
        ),
        ("no parameter", [pb.SetParameter(value=1)], "membership.unknown-parameter"),
        (
            "parameter below its bounds",
            [pb.SetParameter(parameter=pb.PARAMETER_QUOTA_OPERATIONS_S, value=0)],
            "membership.parameter-out-of-bounds",
        ),
        (
            "parameter above its bounds",
            [pb.SetParameter(parameter=pb.PARAMETER_ORGANISATION_KEYS_MAX, value=513)],
            "membership.parameter-out-of-bounds",
        ),
    ],
)
def test_act_executes_or_is_refused_when_proposed(rig: Rig, circumstance: str, acts: list[Message], code: str) -> None:
    before = dict(rig.state)
    assert vote(rig, *acts) == code, circumstance
    if code:
        assert rig.state == before, "a refused proposal leaves no trace"


def test_empty_act_is_refused(rig: Rig) -> None:
    message = pb.Propose(epoch=1, expires_at_ms=rig.time_ms + DAY_MS, acts=[pb.Act()])
    assert rig.code("org-a:govern", message) == "membership.empty-act"


@pytest.mark.parametrize("parameter", sorted(PARAMETERS))
def test_parameter_holds_its_default_until_a_vote_sets_it(rig: Rig, parameter: pb.Parameter.ValueType) -> None:
    bounds = PARAMETERS[parameter]
    assert bounds.minimum <= bounds.default <= bounds.maximum
    assert load_parameter(rig.state.get, parameter) == bounds.default
    assert vote(rig, pb.SetParameter(parameter=parameter, value=bounds.maximum)) == ""
    assert load_parameter(rig.state.get, parameter) == bounds.maximum
    for other in set(PARAMETERS) - {parameter}:
        assert load_parameter(rig.state.get, other) == PARAMETERS[other].default


def test_suspended_organisation_is_unknown_and_known_again_when_reinstated(rig: Rig) -> None:
    assert vote(rig, pb.SuspendOrganisation(id="org-r")) == ""
    assert not is_known(rig.state.get, signer("org-r:submit"), rig.time_ms)
    assert (
        rig.code(("org-r:govern", "org-a:submit", "k"), pb.AddKey(key=grant("k", 1)))
        == "membership.organisation-suspended"
    )
    assert vote(rig, pb.ReinstateOrganisation(id="org-r")) == ""
    assert is_known(rig.state.get, signer("org-r:submit"), rig.time_ms)


# ---------------------------------------------------------------- one's own keys


@pytest.mark.parametrize(
    ("circumstance", "key", "code"),
    [
        ("another key", grant("k", 1, 2, 3), ""),
        ("without purpose", grant("k"), "membership.invalid-key"),
        ("purposes out of order", grant("k", 2, 1), "membership.invalid-key"),
        ("a purpose twice", grant("k", 1, 1), "membership.invalid-key"),
        ("unknown purpose", grant("k", 9), "membership.invalid-key"),
        (
            "unknown scheme",
            pb.KeyGrant(
                key=ledger_pb2.Signer(scheme=ledger_pb2.Scheme.ValueType(9), public_key=bytes(32)), purposes=[1]
            ),
            "membership.invalid-key",
        ),
        ("no key", pb.KeyGrant(purposes=[1]), "membership.invalid-key"),
        (
            "short key",
            pb.KeyGrant(key=ledger_pb2.Signer(scheme=ledger_pb2.SCHEME_ED25519, public_key=bytes(31)), purposes=[1]),
            "membership.invalid-key",
        ),
        (
            "P-256 key that is no compressed point",
            pb.KeyGrant(key=ledger_pb2.Signer(scheme=ledger_pb2.SCHEME_P256, public_key=bytes(33)), purposes=[1]),
            "membership.invalid-key",
        ),
        (
            "validity that ends before it begins",
            grant("k", 1, valid_from_ms=START_MS * 2, valid_to_ms=START_MS * 2),
            "membership.invalid-key",
        ),
        ("validity that is over", grant("k", 1, valid_to_ms=START_MS), "membership.invalid-key"),
        ("another organisation's key", grant("org-b:submit", 1), "membership.key-exists"),
        ("a key that it has", grant("org-r:submit", 2), "membership.key-exists"),
    ],
)
def test_adding_own_key_succeeds_or_is_refused(rig: Rig, circumstance: str, key: pb.KeyGrant, code: str) -> None:
    assert rig.code(("org-r:govern", "k"), pb.AddKey(key=key)) == code, circumstance


def test_own_key_that_does_not_sign_is_refused_and_may_still_be_voted_in(rig: Rig) -> None:
    """Or else one organisation could take the key that the others are about to admit."""
    assert rig.code("org-b:govern", pb.AddKey(key=grant("k", 1))) == "membership.key-unproven"
    assert load_key(rig.state.get, signer("k")) is None
    assert vote(rig, pb.AddOrganisationKey(organisation="org-r", key=grant("k", 1))) == ""
    key = load_key(rig.state.get, signer("k"))
    assert key is not None
    assert key.organisation == "org-r"


def test_own_key_added_counts_within_its_validity_only(rig: Rig) -> None:
    start, stop = rig.time_ms + 5_000, rig.time_ms + 9_000
    assert rig.code(("org-r:govern", "k"), pb.AddKey(key=grant("k", 1, valid_from_ms=start, valid_to_ms=stop))) == ""
    for time_ms, known in ((start - 1, False), (start, True), (stop - 1, True), (stop, False)):
        assert is_known(rig.state.get, signer("k"), time_ms) is known


def test_keys_of_an_organisation_are_bounded() -> None:
    rig = Rig(genesis([organisation("org-a")], [("v0", "org-a")], {"organisation-keys-max": 4}))
    assert rig.code(("org-a:govern", "k1"), pb.AddKey(key=grant("k1", 1))) == ""
    assert rig.code(("org-a:govern", "k2"), pb.AddKey(key=grant("k2", 1))) == "membership.too-many-keys"
    assert rig.code("org-a:govern", pb.RevokeKey(key=signer_pb("k1"))) == ""
    assert rig.code(("org-a:govern", "k2"), pb.AddKey(key=grant("k2", 1))) == ""


def test_revoked_key_counts_no_more_and_never_again(rig: Rig) -> None:
    time_ms = rig.time_ms
    assert rig.code("org-r:govern", pb.RevokeKey(key=signer_pb("org-r:submit"))) == ""
    key = load_key(rig.state.get, signer("org-r:submit"))
    assert key is not None
    assert key.revoked_at_ms == time_ms
    assert signer("org-r:submit") not in load_keyring(rig.state.get, "org-r")
    assert rig.run(rig.sign("org-r:submit", ROLE_LESS)).entries == ()
    assert rig.code("org-r:govern", pb.RevokeKey(key=signer_pb("org-r:submit"))) == "membership.key-revoked"
    assert rig.code("org-r:govern", pb.AddKey(key=grant("org-r:submit", 1))) == "membership.key-exists"


ROLE_LESS = pb.AddKey()


@pytest.mark.parametrize(
    ("circumstance", "name", "code"),
    [
        ("another organisation's", "org-a:submit", "membership.unknown-key"),
        ("nobody's", "nobody", "membership.unknown-key"),
        ("its last that governs", "org-r:govern", "membership.last-govern-key"),
        ("one that attests", "org-r:attest", ""),
    ],
)
def test_revoking_own_key_succeeds_or_is_refused(rig: Rig, circumstance: str, name: str, code: str) -> None:
    assert rig.code("org-r:govern", pb.RevokeKey(key=signer_pb(name))) == code, circumstance


def test_last_standing_govern_key_is_not_revoked_beside_one_that_runs_out_or_has_not_begun(rig: Rig) -> None:
    ends = grant("ends", 2, valid_to_ms=rig.time_ms + DAY_MS)
    later = grant("later", 2, valid_from_ms=rig.time_ms + DAY_MS)
    assert rig.code(("org-r:govern", "ends", "later"), pb.AddKey(key=ends), pb.AddKey(key=later)) == ""
    assert rig.code("org-r:govern", pb.RevokeKey(key=signer_pb("org-r:govern"))) == "membership.last-govern-key"
    assert rig.code("ends", pb.RevokeKey(key=signer_pb("org-r:govern"))) == "membership.last-govern-key"
    assert rig.code(("org-r:govern", "stands"), pb.AddKey(key=grant("stands", 2))) == ""
    assert rig.code("org-r:govern", pb.RevokeKey(key=signer_pb("org-r:govern"))) == ""
    assert rig.code("stands", pb.RevokeKey(key=signer_pb("ends"))) == ""


@pytest.mark.parametrize(
    ("circumstance", "signers", "code"),
    [
        ("key that only submits", "org-a:submit", "membership.not-governing"),
        ("key that only attests", "org-a:attest", "membership.not-governing"),
        ("keys of two organisations", ("org-a:govern", "org-b:govern"), "membership.ambiguous-organisation"),
    ],
)
def test_governing_takes_a_govern_key_of_one_organisation(
    rig: Rig, circumstance: str, signers: str | tuple[str, ...], code: str
) -> None:
    for message in (
        propose(rig, ROLE),
        pb.Approve(proposal_id=bytes(32), epoch=1),
        pb.Withdraw(proposal_id=bytes(32), epoch=1),
        pb.AddKey(key=grant("k", 1)),
        pb.RevokeKey(key=signer_pb("org-a:attest")),
        pb.SetEndpoint(),
    ):
        assert rig.code(signers, message) == code, circumstance


# ---------------------------------------------------------------- votes


@pytest.mark.parametrize(("organisations", "needed"), [(1, 1), (2, 2), (3, 3), (4, 3), (5, 4), (6, 5), (7, 5), (10, 7)])
def test_approvals_needed_are_more_than_two_thirds(organisations: int, needed: int) -> None:
    assert approvals_needed(organisations) == needed
    assert 3 * needed > 2 * organisations >= 3 * (needed - 1)


def test_proposal_executes_with_the_approval_that_completes_the_quorum_and_is_gone(rig: Rig) -> None:
    proposal = rig.sign("org-a:govern", propose(rig, ROLE))
    assert rig.codes(proposal) == [""]
    (opened,) = load_open_proposals(rig.state.get)
    assert (opened.id, opened.organisation) == (proposal.id, "org-a")
    approve = pb.Approve(proposal_id=proposal.id, epoch=1)
    assert rig.code("org-b:govern", approve) == ""
    assert "inspector" not in _roles(rig)
    assert rig.code("org-d:govern", approve) == ""
    assert "inspector" in _roles(rig)
    assert load_open_proposals(rig.state.get) == ()
    assert rig.code("org-c:govern", approve) == "membership.unknown-proposal"
    assert not [key for key in rig.state if b"proposal" in key]


def test_sole_organisation_carries_its_proposal_alone() -> None:
    rig = Rig(genesis([organisation("org-d")], [("v0", "org-d")]))
    assert rig.code("org-d:govern", propose(rig, ROLE)) == ""
    assert "inspector" in _roles(rig)


def test_organisation_with_many_validators_counts_once() -> None:
    rig = Rig(
        genesis([organisation("org-a"), organisation("org-d")], [("v0", "org-a"), ("v1", "org-a"), ("v2", "org-d")])
    )
    proposal = rig.sign("org-a:govern", propose(rig, ROLE))
    assert rig.codes(proposal) == [""]
    assert "inspector" not in _roles(rig)
    assert rig.code("org-d:govern", pb.Approve(proposal_id=proposal.id, epoch=1)) == ""
    assert "inspector" in _roles(rig)


@pytest.mark.parametrize(
    ("circumstance", "name", "changes", "code"),
    [
        ("organisation without a validator", "org-r:govern", {}, "membership.not-voting"),
        ("epoch before", "org-a:govern", {"epoch": 0}, "membership.wrong-epoch"),
        ("epoch after", "org-a:govern", {"epoch": 2}, "membership.wrong-epoch"),
        ("expired with its block", "org-a:govern", {"expires_at_ms": START_MS + 1000}, "membership.invalid-expiry"),
        ("living too long", "org-a:govern", {"expires_at_ms": START_MS + 8 * DAY_MS}, "membership.invalid-expiry"),
        ("living as long as allowed", "org-a:govern", {"expires_at_ms": START_MS + 1000 + 7 * DAY_MS}, ""),
    ],
)
def test_proposing_succeeds_or_is_refused(
    rig: Rig, circumstance: str, name: str, changes: dict[str, int], code: str
) -> None:
    assert rig.code(name, propose(rig, ROLE, **changes)) == code, circumstance


def test_transaction_makes_one_proposal(rig: Rig) -> None:
    two = propose(rig, ROLE), propose(rig, pb.GrantRole(organisation="org-r", role="inspector"))
    assert rig.code("org-a:govern", *two) == "membership.proposal-exists"
    assert load_open_proposals(rig.state.get) == ()


def test_open_proposals_of_an_organisation_are_bounded_until_they_expire(rig: Rig) -> None:
    for _ in range(4):
        assert rig.code("org-a:govern", propose(rig, ROLE, expires_at_ms=rig.time_ms + 10_000)) == ""
    assert rig.code("org-a:govern", propose(rig, ROLE)) == "membership.too-many-proposals"
    assert rig.code("org-b:govern", propose(rig, ROLE)) == ""
    rig.height += 20
    assert rig.code("org-a:govern", propose(rig, ROLE)) == ""
    assert len(load_open_proposals(rig.state.get)) == 2, "the expired ones are gone"


@pytest.mark.parametrize(
    ("circumstance", "name", "kind", "changes", "code"),
    [
        ("approving twice", "org-a", pb.Approve, {}, "membership.already-approved"),
        ("approving without a validator", "org-r", pb.Approve, {}, "membership.not-voting"),
        ("approving in another epoch", "org-b", pb.Approve, {"epoch": 2}, "membership.wrong-epoch"),
        ("approving nothing", "org-b", pb.Approve, {"proposal_id": bytes(32)}, "membership.unknown-proposal"),
        ("approving no id", "org-b", pb.Approve, {"proposal_id": b""}, "membership.unknown-proposal"),
        ("withdrawing without approval", "org-b", pb.Withdraw, {}, "membership.not-approved"),
        ("withdrawing in another epoch", "org-a", pb.Withdraw, {"epoch": 2}, "membership.wrong-epoch"),
        ("withdrawing nothing", "org-a", pb.Withdraw, {"proposal_id": bytes(32)}, "membership.unknown-proposal"),
    ],
)
def test_vote_is_refused(
    rig: Rig, circumstance: str, name: str, kind: type[Message], changes: dict[str, object], code: str
) -> None:
    proposal = rig.sign("org-a:govern", propose(rig, ROLE))
    assert rig.codes(proposal) == [""]
    message = kind(**{"proposal_id": proposal.id, "epoch": 1, **changes})
    before = dict(rig.state)
    assert rig.code(f"{name}:govern", message) == code, circumstance
    assert rig.state == before


def test_approval_withdrawn_no_longer_counts(rig: Rig) -> None:
    proposal = rig.sign("org-a:govern", propose(rig, ROLE))
    approve, withdraw = (kind(proposal_id=proposal.id, epoch=1) for kind in (pb.Approve, pb.Withdraw))
    assert rig.codes(proposal, rig.sign("org-b:govern", approve), rig.sign("org-b:govern", withdraw)) == ["", "", ""]
    assert rig.code("org-c:govern", approve) == ""
    assert "inspector" not in _roles(rig)
    assert rig.code("org-b:govern", approve) == ""
    assert "inspector" in _roles(rig)


def test_proposer_who_withdraws_ends_the_proposal(rig: Rig) -> None:
    proposal = rig.sign("org-a:govern", propose(rig, ROLE))
    assert rig.codes(proposal) == [""]
    assert rig.code("org-a:govern", pb.Withdraw(proposal_id=proposal.id, epoch=1)) == ""
    assert not [key for key in rig.state if b"proposal" in key]


def test_proposal_is_approved_at_its_last_moment_and_not_after(rig: Rig) -> None:
    proposal = rig.sign("org-a:govern", propose(rig, ROLE, expires_at_ms=rig.time_ms + 2_000))
    approve = pb.Approve(proposal_id=proposal.id, epoch=1)
    assert rig.codes(proposal) == [""]
    rig.height += 1
    assert rig.code("org-b:govern", approve) == ""
    assert rig.code("org-c:govern", approve) == "membership.proposal-expired"


def test_approval_whose_acts_have_become_impossible_fails_and_the_proposal_stays(rig: Rig) -> None:
    first, second = (rig.sign(f"{name}:govern", propose(rig, ROLE)) for name in ("org-a", "org-b"))
    assert rig.codes(first, second) == ["", ""]
    for proposal, name, code in (
        (second, "org-a", ""),
        (first, "org-b", ""),
        (first, "org-c", ""),
        (second, "org-c", "membership.role-held"),
        (second, "org-c", "membership.role-held"),
    ):
        assert rig.code(f"{name}:govern", pb.Approve(proposal_id=proposal.id, epoch=1)) == code
    assert [one.id for one in load_open_proposals(rig.state.get)] == [second.id]


def _roles(rig: Rig) -> tuple[str, ...]:
    found = load_organisation(rig.state.get, "org-d")
    assert found is not None
    return found.roles


# ---------------------------------------------------------------- keys and forms


def test_resolving_a_key_names_its_organisation_also_a_suspended_one(rig: Rig) -> None:
    one = signer("org-r:attest")
    member = resolve_key(rig.state.get, one.scheme, one.public_key, START_MS)
    assert member is not None
    assert (member.organisation.id, member.key.purposes) == ("org-r", (pb.PURPOSE_ATTEST,))
    assert resolve_key(rig.state.get, Scheme.P256, one.public_key, START_MS) is None, "a scheme is part of the key"
    assert vote(rig, pb.SuspendOrganisation(id="org-r")) == ""
    member = resolve_key(rig.state.get, one.scheme, one.public_key, START_MS)
    assert member is not None
    assert not member.organisation.is_active


@pytest.mark.parametrize("organisation_id", ["a", "city-registry", "a1-2b", "x" * 64])
def test_organisation_id_of_right_form_is_accepted(organisation_id: str) -> None:
    check_organisation_id(organisation_id)


@pytest.mark.parametrize("bad", ["", "-a", "a-", "a--b", "A", "1a", "a_b", "a/b", "机构", "a\n", "x" * 65])
def test_organisation_id_and_role_of_wrong_form_are_refused(bad: str) -> None:
    for check, code in ((check_organisation_id, "invalid-organisation-id"), (check_role, "invalid-role")):
        with pytest.raises(Exception, match="lower-case") as caught:
            check(bad)
        assert caught.value.code == f"membership.{code}"


@pytest.mark.parametrize("address", ["node1.example:7000", "10.0.0.1:1", "[::1]:65535", "localhost:7000"])
def test_address_of_right_form_is_accepted(address: str) -> None:
    check_address(address)


@pytest.mark.parametrize(
    "address",
    [
        "",
        "host",
        "host:",
        ":1",
        "host:0",
        "host:65536",
        "host:07",
        "ho st:1",
        "-a:1",
        "a:1\n",
        "http://a:1",
        "机:1",
        f"{'a' * 127}:1",
    ],
)
def test_address_of_wrong_form_is_refused(address: str) -> None:
    with pytest.raises(Exception, match="host:port"):
        check_address(address)


@pytest.mark.parametrize("name", ["市登记局", "City Registry (North)", "Büro für Karten", "机" * 64])
def test_display_name_is_accepted(name: str) -> None:
    check_display_names(name, "")
    check_display_names("", name)


@pytest.mark.parametrize("name", [" a", "a ", "a\tb", "a\x7f", "a\u200bb", "a\u2066b", "机" * 65])
def test_deceptive_display_name_is_refused(name: str) -> None:
    with pytest.raises(Exception, match="display name"):
        check_display_names("机构", name)


def test_failed_vote_leaves_the_transactions_other_operations_undone(rig: Rig) -> None:
    before = dict(rig.state)
    outcome = rig.run(
        rig.sign(("org-a:govern", "k"), pb.AddKey(key=grant("k", 1)), pb.Approve(proposal_id=bytes(32), epoch=1))
    )
    (entry,) = outcome.entries
    assert code_of(entry) == "membership.unknown-proposal"
    assert ledger_pb2.Entry.FromString(entry).failure.operation == 1
    assert rig.state == before
