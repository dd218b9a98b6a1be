# SPDX-License-Identifier: Apache-2.0
"""The validator set: joins, leaves, limits, evidence, and how it comes from genesis.

Source of the rules: docs/protocol.md, sections 3 and 5.
"""

import base64
from dataclasses import replace

import pytest
from google.protobuf.message import Message

from chain.bls import SecretKey
from chain.certificate import ballot_bytes, checkpoint_message, vote_message
from chain.checkpoint import Checkpoint
from chain.codec import encode
from chain.errors import InvalidGenesis
from chain.pb import ledger_pb2
from chain.types import BlockId, Epoch, Height, Millis, View, sha256
from membership.genesis import key_section, membership_section, organisation_section
from membership.pb import membership_pb2 as pb
from membership.rules import Membership
from membership.state import evidence_key, load_open_proposals, load_organisation, load_seat, load_validators
from membership.verification import BLS
from tests.rig import (
    NETWORK,
    Rig,
    bls_key,
    code_of,
    der,
    four,
    genesis,
    organisation,
    pem,
    possession,
    signer,
)

DAY_MS = 86_400_000
VOTING = ("org-a", "org-b", "org-c")


@pytest.fixture
def rig() -> Rig:
    return Rig(four())


def seats(count: int) -> Rig:
    """A rig of so many validators, all of org-a."""
    return Rig(genesis([organisation("org-a")], [(f"v{i}", "org-a") for i in range(count)]))


def join(name: str, organisation_id: str = "org-d", **changes: object) -> pb.Act:
    fields: dict[str, object] = {
        "bls_key": bls_key(name),
        "organisation": organisation_id,
        "possession": possession(organisation_id, bls_key(name)),
        "endpoint": pb.Endpoint(address=f"{name}.example:7000", tls_certificate=der(name)),
    }
    return pb.Act(add_validator=pb.AddValidator(**{**fields, **changes}))


def leave(name: str) -> pb.Act:
    return pb.Act(remove_validator=pb.RemoveValidator(bls_key=bls_key(name)))


def swap(old: str, new: str, organisation_id: str) -> pb.Act:
    return pb.Act(
        replace_validator=pb.ReplaceValidator(
            bls_key=bls_key(old),
            new_bls_key=bls_key(new),
            possession=possession(organisation_id, bls_key(new)),
            endpoint=pb.Endpoint(address=f"{new}.example:7000", tls_certificate=der(new)),
        )
    )


def carried(rig: Rig, *acts: pb.Act, by: tuple[str, ...] = VOTING) -> list:
    """The transactions that propose and approve these acts; to be executed in the next block."""
    proposal = rig.sign(f"{by[0]}:govern", pb.Propose(epoch=rig.epoch, expires_at_ms=rig.time_ms + DAY_MS, acts=acts))
    approve = pb.Approve(proposal_id=proposal.id, epoch=rig.epoch)
    return [proposal, *(rig.sign(f"{name}:govern", approve) for name in by[1:])]


def change(rig: Rig, *acts: pb.Act, by: tuple[str, ...] = VOTING) -> str:
    """Carry acts through in one block; the first failure code, or empty."""
    return next((code for code in rig.codes(*carried(rig, *acts, by=by)) if code), "")


def serving(rig: Rig) -> list[str]:
    names = {bls_key(f"v{i}"): f"v{i}" for i in range(80)}
    return [names[validator.bls_key] for validator in rig.validators.validators]


# ---------------------------------------------------------------- joins and leaves


def test_join_closes_the_epoch_and_serves_from_the_next(rig: Rig) -> None:
    outcome = rig.run(*carried(rig, join("v4")))
    assert outcome.next_set is not None
    assert outcome.next_set.epoch == 2
    assert serving(rig) == ["v0", "v1", "v2", "v3", "v4"]
    seat = load_seat(rig.state.get, bls_key("v4"))
    assert seat is not None
    assert (seat.since_epoch, seat.until_epoch, seat.status) == (2, 0, pb.VALIDATOR_STATUS_ACTIVE)


def test_leaver_serves_its_epoch_to_the_end_and_its_key_is_retired(rig: Rig) -> None:
    assert change(rig, leave("v1")) == ""
    assert serving(rig) == ["v0", "v2", "v3"]
    seat = load_seat(rig.state.get, bls_key("v1"))
    assert seat is not None
    assert (seat.since_epoch, seat.until_epoch, seat.status) == (1, 1, pb.VALIDATOR_STATUS_LEAVING)
    again = change(rig, join("v1", "org-a"), by=("org-a", "org-c", "org-d"))
    assert again == "membership.bls-key-used"


def test_replacement_is_a_leave_and_a_join_of_the_same_organisation(rig: Rig) -> None:
    assert change(rig, swap("v1", "v4", "org-b")) == ""
    assert serving(rig) == ["v0", "v2", "v3", "v4"]
    assert rig.validators.validators[-1].organisation == "org-b"
    assert change(rig, swap("v4", "v1", "org-b")) == "membership.bls-key-used"


def test_replacement_under_the_certificate_of_the_replaced_is_refused(rig: Rig) -> None:
    act = swap("v1", "v4", "org-b")
    act.replace_validator.endpoint.tls_certificate = der("v1")
    assert change(rig, act) == "membership.certificate-used"


def test_replacement_of_the_only_validator_succeeds_and_its_removal_does_not() -> None:
    rig = seats(1)
    assert change(rig, leave("v0"), by=("org-a",)) == "membership.set-size"
    assert change(rig, swap("v0", "v1", "org-a"), by=("org-a",)) == ""
    assert serving(rig) == ["v1"]


@pytest.mark.parametrize(
    ("circumstance", "act", "code"),
    [
        ("unknown organisation", join("v4", "nobody"), "membership.unknown-organisation"),
        ("key that serves", join("v0"), "membership.bls-key-used"),
        ("no possession", join("v4", possession=b""), "membership.no-possession"),
        ("another's possession", join("v4", possession=possession("org-a", bls_key("v4"))), "membership.no-possession"),
        ("no endpoint", join("v4", endpoint=None), "membership.invalid-endpoint"),
        (
            "no port",
            join("v4", endpoint=pb.Endpoint(address="h", tls_certificate=der("x"))),
            "membership.invalid-endpoint",
        ),
        ("no certificate", join("v4", endpoint=pb.Endpoint(address="h:1")), "membership.invalid-endpoint"),
        (
            "certificate that is no DER",
            join("v4", endpoint=pb.Endpoint(address="h:1", tls_certificate=b"x" * 300)),
            "membership.invalid-endpoint",
        ),
        (
            "certificate with a tail",
            join("v4", endpoint=pb.Endpoint(address="h:1", tls_certificate=der("x") + b"x")),
            "membership.invalid-endpoint",
        ),
        (
            "another validator's certificate",
            join("v4", endpoint=pb.Endpoint(address="h:1", tls_certificate=der("v0"))),
            "membership.certificate-used",
        ),
        ("removing who does not serve", leave("v9"), "membership.unknown-validator"),
        ("removing no key", pb.Act(remove_validator=pb.RemoveValidator()), "membership.unknown-validator"),
        ("replacing who does not serve", swap("v9", "v4", "org-a"), "membership.unknown-validator"),
        ("replacing by a key that serves", swap("v0", "v1", "org-a"), "membership.bls-key-used"),
        ("organisation that has no key to govern", join("v4", "org-x"), "membership.last-govern-key"),
    ],
)
def test_change_of_the_set_is_refused(circumstance: str, act: pb.Act, code: str) -> None:
    names = [*VOTING, "org-d"]
    without = organisation_section("org-x", name_en="X", keys=(key_section(signer("x"), "submit"),))
    rig = Rig(
        genesis([*(organisation(name) for name in names), without], [(f"v{i}", name) for i, name in enumerate(names)])
    )
    before = dict(rig.state)
    assert change(rig, act) == code, circumstance
    assert rig.state == before
    assert rig.epoch == 1


@pytest.mark.parametrize(
    ("count", "joins", "leaves", "code"),
    [
        (1, 1, 0, ""),
        (1, 2, 0, "membership.too-many-joins"),
        (4, 1, 1, ""),
        (4, 2, 0, "membership.too-many-joins"),
        (4, 0, 2, "membership.too-many-leaves"),
        (5, 2, 0, ""),  # f of the new 7 is 2
        (7, 2, 2, ""),
        (7, 3, 2, "membership.too-many-joins"),
        (7, 2, 3, "membership.too-many-joins"),  # 6 remain, whose f is 1
        (10, 0, 3, ""),
        (10, 0, 4, "membership.too-many-leaves"),
        (10, 3, 3, ""),
        (63, 1, 0, ""),
        (63, 2, 0, "membership.set-size"),
    ],
)
def test_limits_compare_the_whole_next_set_with_the_current(count: int, joins: int, leaves: int, code: str) -> None:
    rig = seats(count)
    acts = [join(f"v{count + i}", "org-a") for i in range(joins)] + [leave(f"v{i}") for i in range(leaves)]
    assert change(rig, *acts, by=("org-a",)) == code
    assert len(rig.validators.validators) == (count if code else count + joins - leaves)


def test_second_change_in_a_block_after_the_set_changed_fails_and_so_does_the_old_epoch(rig: Rig) -> None:
    first = carried(rig, join("v4"))
    other = carried(rig, pb.Act(grant_role=pb.GrantRole(organisation="org-a", role="x")))
    assert rig.codes(other[0], *first, other[1]) == ["", "", "", "", "membership.set-changed"]
    assert rig.epoch == 2
    assert rig.code("org-c:govern", pb.Approve(proposal_id=other[0].id, epoch=1)) == "membership.wrong-epoch"
    assert rig.code("org-c:govern", pb.Approve(proposal_id=other[0].id, epoch=2)) == "membership.wrong-epoch"
    assert rig.code("org-c:govern", pb.Withdraw(proposal_id=other[0].id, epoch=2)) == "membership.wrong-epoch"
    assert change(rig, pb.Act(grant_role=pb.GrantRole(organisation="org-a", role="x"))) == ""
    assert load_open_proposals(rig.state.get) == (), "a new proposal sweeps those of an earlier epoch away"


def test_proposal_after_the_set_changed_in_its_block_fails(rig: Rig) -> None:
    late = rig.sign(
        "org-d:govern",
        pb.Propose(
            epoch=1,
            expires_at_ms=rig.time_ms + DAY_MS,
            acts=[pb.Act(grant_role=pb.GrantRole(organisation="org-a", role="x"))],
        ),
    )
    assert rig.codes(*carried(rig, leave("v0")), late)[-1] == "membership.set-changed"


def test_organisation_is_suspended_together_with_the_removal_of_its_validator(rig: Rig) -> None:
    suspend = pb.Act(suspend_organisation=pb.SuspendOrganisation(id="org-d"))
    assert change(rig, suspend) == "membership.organisation-validates"
    assert change(rig, leave("v3"), suspend) == ""
    assert serving(rig) == ["v0", "v1", "v2"]
    assert change(rig, join("v4", "org-d")) == "membership.organisation-suspended"


# ---------------------------------------------------------------- endpoints


@pytest.mark.parametrize(
    ("circumstance", "name", "address", "certificate", "code"),
    [
        ("one's own", "v0", "new.example:7000", der("new"), ""),
        ("one's own, certificate kept", "v0", "new.example:7000", der("v0"), ""),
        ("another's", "v1", "new.example:7000", der("new"), "membership.not-own-validator"),
        ("nobody's", "v9", "new.example:7000", der("new"), "membership.unknown-validator"),
        ("to another's certificate", "v0", "new.example:7000", der("v1"), "membership.certificate-used"),
        ("without an address", "v0", "", der("new"), "membership.invalid-endpoint"),
    ],
)
def test_organisation_sets_its_own_validators_endpoint(
    rig: Rig, circumstance: str, name: str, address: str, certificate: bytes, code: str
) -> None:
    endpoint = pb.Endpoint(address=address, tls_certificate=certificate)
    assert rig.code("org-a:govern", pb.SetEndpoint(bls_key=bls_key(name), endpoint=endpoint)) == code, circumstance
    assert rig.epoch == 1
    seat = load_seat(rig.state.get, bls_key("v0"))
    assert seat is not None
    assert seat.address == ("new.example:7000" if not code else "v0.example:7000")


# ---------------------------------------------------------------- evidence


def vote(name: str, kind: int, block: str, epoch: int = 1, view: int = 5) -> ledger_pb2.Vote:
    block_id = BlockId(sha256(block.encode()) if block else b"")
    number = ledger_pb2.Kind.ValueType(kind)
    message = vote_message(number, NETWORK, Epoch(epoch), View(view), block_id)
    ballot = ballot_bytes(Epoch(epoch), View(view), block_id)
    return ledger_pb2.Vote(kind=number, ballot=ballot, signature=sha256(bls_key(name) + message))


def double_vote(name: str, epoch: int = 1) -> pb.ReportEvidence:
    votes = [vote(name, ledger_pb2.KIND_NOTARIZE, block, epoch) for block in ("a", "b")]
    return pb.ReportEvidence(evidence=encode(ledger_pb2.Evidence(bls_key=bls_key(name), votes=votes)))


def two_checkpoints(name: str) -> pb.ReportEvidence:
    votes = []
    for block in (b"a", b"b"):
        checkpoint = Checkpoint(
            NETWORK, Epoch(1), Height(3), Millis(9), BlockId(sha256(block)), 0, bytes(32), bytes(32), b""
        ).encode()
        signature = sha256(bls_key(name) + checkpoint_message(NETWORK, checkpoint))
        votes.append(ledger_pb2.CheckpointVote(checkpoint=checkpoint, signature=signature))
    return pb.ReportEvidence(evidence=encode(ledger_pb2.Evidence(bls_key=bls_key(name), checkpoint_votes=votes)))


@pytest.mark.parametrize("report", [double_vote("v2"), two_checkpoints("v2")], ids=["votes", "checkpoints"])
def test_evidence_suspends_the_validator_from_the_next_epoch(rig: Rig, report: pb.ReportEvidence) -> None:
    assert rig.code("org-r:submit", report) == "", "anyone known reports"
    assert serving(rig) == ["v0", "v1", "v3"]
    assert rig.epoch == 2
    seat = load_seat(rig.state.get, bls_key("v2"))
    assert seat is not None
    assert (seat.status, seat.until_epoch) == (pb.VALIDATOR_STATUS_SUSPENDED, 1)


def test_evidence_counts_once_per_validator_and_epoch(rig: Rig) -> None:
    assert rig.codes(rig.sign("org-r:submit", double_vote("v2")), rig.sign("org-a:submit", two_checkpoints("v2"))) == [
        "",
        "membership.evidence-known",
    ]
    assert rig.code("org-a:submit", double_vote("v2")) == "membership.evidence-known"


def test_evidence_beyond_the_limit_on_leaves_is_recorded_and_takes_effect_on_a_later_report(rig: Rig) -> None:
    both = [rig.sign("org-r:submit", double_vote(name)) for name in ("v1", "v2")]
    assert rig.codes(*both) == ["", ""]
    assert serving(rig) == ["v0", "v2", "v3"], "one leave an epoch of four"
    seat = load_seat(rig.state.get, bls_key("v2"))
    assert seat is not None
    assert (seat.status, seat.until_epoch) == (pb.VALIDATOR_STATUS_SUSPENDED, 0)
    assert rig.code("org-r:submit", double_vote("v2")) == ""
    assert serving(rig) == ["v0", "v3"]


def test_evidence_after_a_vote_changed_the_set_keeps_the_limits(rig: Rig) -> None:
    outcome = rig.run(*carried(rig, leave("v0")), rig.sign("org-r:submit", double_vote("v2")))
    assert [code_of(entry) for entry in outcome.entries] == [""] * 4
    assert serving(rig) == ["v1", "v2", "v3"]
    assert rig.state[evidence_key(bls_key("v2"), 1)]


def test_evidence_against_the_only_validator_is_recorded_and_it_stays() -> None:
    rig = seats(1)
    assert rig.code("org-a:submit", double_vote("v0")) == ""
    assert serving(rig) == ["v0"]
    assert rig.code("org-a:submit", double_vote("v0")) == "membership.evidence-known"
    assert change(rig, join("v1", "org-a"), by=("org-a",)) == ""
    assert rig.code("org-a:submit", double_vote("v0")) == ""
    assert serving(rig) == ["v1"]


def test_suspended_validators_organisation_returns_with_a_new_key(rig: Rig) -> None:
    assert rig.code("org-r:submit", double_vote("v2")) == ""
    back = change(rig, join("v2", "org-c"), by=("org-a", "org-b", "org-d"))
    assert back == "membership.bls-key-used"
    assert change(rig, join("v4", "org-c"), by=("org-a", "org-b", "org-d")) == ""
    assert serving(rig) == ["v0", "v1", "v3", "v4"]


@pytest.mark.parametrize(
    ("circumstance", "messages", "code"),
    [
        ("with another operation", [double_vote("v1"), double_vote("v1")], "membership.not-alone"),
        ("no bytes", [pb.ReportEvidence()], "membership.invalid-evidence"),
        ("any bytes", [pb.ReportEvidence(evidence=b"\xff" * 99)], "membership.invalid-evidence"),
        ("too many bytes", [pb.ReportEvidence(evidence=bytes(3000))], "membership.invalid-evidence"),
        ("no validator's", [double_vote("v9")], "membership.unknown-validator"),
        ("of an epoch to come", [double_vote("v1", epoch=2)], "membership.unknown-validator"),
        ("of an epoch before", [double_vote("v1", epoch=0)], "membership.unknown-validator"),
    ],
)
def test_report_is_refused(rig: Rig, circumstance: str, messages: list[Message], code: str) -> None:
    before = dict(rig.state)
    assert rig.code("org-r:submit", *messages) == code, circumstance
    assert rig.state == before


def test_statements_that_honest_validators_make_or_others_sign_are_no_evidence(rig: Rig) -> None:
    notarize, nullify, finalize = ledger_pb2.KIND_NOTARIZE, ledger_pb2.KIND_NULLIFY, ledger_pb2.KIND_FINALIZE
    for votes in (
        [vote("v1", notarize, "a"), vote("v1", notarize, "a")],
        [vote("v1", notarize, "a"), vote("v1", nullify, "")],
        [vote("v1", notarize, "a"), vote("v1", finalize, "b")],
        [vote("v1", notarize, "a", view=5), vote("v1", notarize, "b", view=6)],
        [vote("v1", notarize, "a"), vote("v2", notarize, "b")],
    ):
        report = pb.ReportEvidence(evidence=encode(ledger_pb2.Evidence(bls_key=bls_key("v1"), votes=votes)))
        assert rig.code("org-r:submit", report) == "membership.invalid-evidence"


# ---------------------------------------------------------------- genesis


def test_genesis_seats_the_validators_of_the_file_in_its_order() -> None:
    made = four()
    state = Rig(made).state
    assert load_validators(state.get) == made.validators.validators
    for founder in made.founders:
        seat = load_seat(state.get, founder.bls_key)
        assert seat is not None
        assert (seat.organisation, seat.address, seat.since_epoch) == (founder.organisation, founder.address, 1)
        body = "".join(founder.tls_certificate.split("-----")[2].split())
        assert seat.tls_certificate == base64.b64decode(body)
    assert load_organisation(state.get, "org-r") is not None


@pytest.mark.parametrize(
    ("circumstance", "section", "reason"),
    [
        ("none", None, "section is missing"),
        ("no organisations", {}, "organisations"),
        ("unknown field", {"organisations": [], "organizations": []}, "unknown field 'organizations'"),
        ("organisation that is no object", {"organisations": ["org-a"]}, r"organisations\[0\]: an object"),
        ("organisation without id", {"organisations": [{"name_en": "A"}]}, r"organisations\[0\]\.id"),
        (
            "organisation of bad form",
            {"organisations": [{"id": "A", "name_en": "A"}]},
            r"organisations\[0\]: .*lower-case",
        ),
        ("organisation twice", {"organisations": [{"id": "a", "name_en": "A"}] * 2}, r"organisations\[1\]: .*exists"),
        ("role that is no text", {"organisations": [{"id": "a", "name_en": "A", "roles": [1]}]}, "a role is a string"),
        (
            "quota that is true",
            {"organisations": [{"id": "a", "name_en": "A", "quota_operations_s": True}]},
            "whole number",
        ),
        (
            "quota below zero",
            {"organisations": [{"id": "a", "name_en": "A", "quota_operations_s": -1}]},
            "whole number",
        ),
        (
            "key of unknown scheme",
            {"organisations": [{"id": "a", "name_en": "A", "keys": [{"scheme": "rsa"}]}]},
            "scheme: one of",
        ),
        (
            "key in upper case",
            {
                "organisations": [
                    {"id": "a", "name_en": "A", "keys": [{"scheme": "ed25519", "public_key": "AA", "purposes": []}]}
                ]
            },
            "lower-case hex",
        ),
        (
            "key of unknown purpose",
            {
                "organisations": [
                    {
                        "id": "a",
                        "name_en": "A",
                        "keys": [{"scheme": "ed25519", "public_key": "aa", "purposes": ["all"]}],
                    }
                ]
            },
            "purposes: of",
        ),
        (
            "short key",
            {
                "organisations": [
                    {
                        "id": "a",
                        "name_en": "A",
                        "keys": [{"scheme": "ed25519", "public_key": "aa", "purposes": ["submit"]}],
                    }
                ]
            },
            "scheme's length",
        ),
        ("unknown parameter", {"organisations": [], "parameters": {"speed": 1}}, "no 'speed'"),
        ("parameter out of bounds", {"organisations": [], "parameters": {"quota-operations-s": 0}}, "lies between"),
        ("parameter that is text", {"organisations": [], "parameters": {"quota-operations-s": "1"}}, "whole number"),
        (
            "no organisation of a validator",
            membership_section((organisation("org-b"),)),
            r"validators\[0\]: there is no organisation",
        ),
        (
            "no key to govern",
            membership_section((organisation_section("org-a", name_en="A"),)),
            "governs and does not run out",
        ),
    ],
)
def test_genesis_section_with_a_fault_is_refused_and_says_where(
    circumstance: str, section: dict | None, reason: str
) -> None:
    made = genesis([organisation("org-a")], [("v0", "org-a")])
    sections = {} if section is None else {"membership": section}
    with pytest.raises(InvalidGenesis, match=reason):
        Rig(replace(made, sections=sections))


@pytest.mark.parametrize("certificate", ["", "x", pem("v0").replace("MI", "!!", 1), pem("v0").replace("END", "EN")])
def test_genesis_certificate_that_is_none_is_refused(certificate: str) -> None:
    made = genesis([organisation("org-a")], [("v0", "org-a")])
    founder = replace(made.founders[0], tls_certificate=certificate)
    with pytest.raises(InvalidGenesis, match=r"validators\[0\]: a TLS certificate"):
        Rig(replace(made, founders=(founder,)))


def test_genesis_section_of_no_module_is_refused() -> None:
    made = four()
    with pytest.raises(InvalidGenesis, match="no such module"):
        Rig(replace(made, sections={**made.sections, "weather": {}}))


def test_networks_by_default_take_real_possession_proofs_only() -> None:
    assert Membership()._verification is BLS
    secret = SecretKey.derive(sha256(b"a validator"))
    BLS.possession(secret.public_key(), NETWORK, "org-a", secret.prove_possession(NETWORK, "org-a"))
    with pytest.raises(Exception, match="does not verify"):
        BLS.possession(secret.public_key(), NETWORK, "org-b", secret.prove_possession(NETWORK, "org-a"))
