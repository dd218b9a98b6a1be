# SPDX-License-Identifier: Apache-2.0
"""Which credentials and claims are asked for, and whether what was presented answers that: DCQL, for SD-JWT VC.

Pure functions. What this verifier can't judge is refused when the query is made, never ignored: other formats, other
members, several credentials for one query. A claim that nobody asked for is not passed on, whatever a wallet discloses.

Source: OpenID4VP 1.0, 6 (DCQL), 7 (claims path pointer), 8.1 (vp_token), B.3.5 (SD-JWT VC).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from chain.strict_json import Json
from identity.jose import JsonObject

FORMAT: Final = "dc+sd-jwt"
CREDENTIALS_MAX: Final = 4
"""A person, a company and a mandate, and one more."""
CLAIMS_MAX: Final = 32
"""Of one credential; ours have ten."""
SETS_MAX: Final = 8
PATH_STEPS_MAX: Final = 8
VALUES_MAX: Final = 16
FAULTS_MAX: Final = 32
"""Told of one query that asks for too much."""

Pointer: TypeAlias = tuple[str | int | None, ...]
"""Where a claim stands; None: each element of a list."""

_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


class InvalidQuery(Exception):
    """A query that this verifier can't put, or that asks for too much.

    Attributes:
        where: The place in the query.
        reason: What is wrong; English.
        claim: Which claim is meant, as `claim_name` writes it; "": none alone.
    """

    def __init__(self, where: str, reason: str, claim: str = "") -> None:
        super().__init__(f"{where}: {reason}")
        self.where = where
        self.reason = reason
        self.claim = claim


class BeyondPurpose(InvalidQuery):
    """A query that asks for more than its purpose allows.

    Attributes:
        faults: All of it, in its order; this one is the first.
    """

    def __init__(self, faults: Sequence[InvalidQuery]) -> None:
        first = faults[0]
        super().__init__(first.where, first.reason, first.claim)
        self.faults = tuple(faults)


class NotAnswered(Exception):
    """What was presented does not answer the query.

    Attributes:
        credential: Which query of a credential; "": the whole.
        reason: Why; English, without any value.
        claims: Which claims are meant, as `claim_name` writes them.
    """

    def __init__(self, credential: str, reason: str, claims: Sequence[str] = ()) -> None:
        super().__init__(reason)
        self.credential = credential
        self.reason = reason
        self.claims = tuple(claims)


@dataclass(frozen=True, slots=True)
class ClaimQuery:
    """One claim.

    Attributes:
        id: Its name in `claim_sets`; "" if it has none.
        path: Where it stands.
        values: One of these is wanted; empty: any.
    """

    id: str
    path: Pointer
    values: tuple[str | int | bool, ...]


@dataclass(frozen=True, slots=True)
class CredentialQuery:
    """One credential.

    Attributes:
        id: Its name in the answer.
        types: `vct` values that are accepted.
        claims: What it is to disclose.
        claim_sets: Each a choice of claims that is enough, by their ids; empty: all of them are wanted.
    """

    id: str
    types: tuple[str, ...]
    claims: tuple[ClaimQuery, ...]
    claim_sets: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class CredentialSet:
    """Of which credentials some are enough.

    Attributes:
        options: Each a choice of credentials that is enough, by their ids.
        is_required: Whether an answer without any of them is none.
    """

    options: tuple[tuple[str, ...], ...]
    is_required: bool


@dataclass(frozen=True, slots=True)
class Query:
    """A whole query.

    Attributes:
        credentials: In their order.
        sets: Empty: all credentials are wanted.
    """

    credentials: tuple[CredentialQuery, ...]
    sets: tuple[CredentialSet, ...]

    def credential(self, name: str) -> CredentialQuery | None:
        """The query of this id."""
        return next((one for one in self.credentials if one.id == name), None)

    def to_json(self, extra: Mapping[str, Sequence[str]] | None = None) -> JsonObject:
        """As wallets get it.

        Args:
            extra: By type of credential, claims at the top that the verifier asks for itself; a wallet that lacks one
                does not answer.
        """
        sets: list[Json] = [
            {"options": [list(option) for option in one.options], "required": one.is_required} for one in self.sets
        ]
        credentials: list[Json] = [_credential_json(one, extra or {}) for one in self.credentials]
        made: JsonObject = {"credentials": credentials}
        return made | {"credential_sets": sets} if sets else made


def parse_query(value: Json) -> Query:
    """Read a query.

    Raises:
        InvalidQuery: Malformed, or beyond what is judged here.
    """
    whole = _object(value, "query", {"credentials", "credential_sets"})
    listed = _list(whole.get("credentials"), "query.credentials", CREDENTIALS_MAX)
    credentials = tuple(_credential(one, f"query.credentials/{i}") for i, one in enumerate(listed))
    ids = {one.id for one in credentials}
    if len(ids) != len(credentials):
        raise InvalidQuery("query.credentials", "two have the same id")
    sets: tuple[CredentialSet, ...] = ()
    if "credential_sets" in whole:
        where = "query.credential_sets"
        items = _list(whole["credential_sets"], where, SETS_MAX)
        sets = tuple(_set(one, f"{where}/{i}", ids) for i, one in enumerate(items))
    return Query(credentials, sets)


def check_within(query: Query, allowed: Mapping[str, frozenset[str]]) -> None:
    """See that a query asks for no more than a purpose allows.

    Args:
        query: The query.
        allowed: By type of credential, claims at its top.

    Raises:
        BeyondPurpose: It asks for more.
    """
    faults = []
    for i, credential in enumerate(query.credentials):
        where = f"query.credentials/{i}"
        for vct in credential.types:
            if vct not in allowed:
                place = f"{where}/meta/vct_values"
                faults.append(InvalidQuery(place, "the purpose does not allow this type of credential"))
                continue
            for j, claim in enumerate(credential.claims):
                if claim.path[0] not in allowed[vct]:
                    name = claim_name(claim.path)
                    faults.append(InvalidQuery(f"{where}/claims/{j}", "the purpose does not allow this claim", name))
    if faults:
        raise BeyondPurpose(faults[:FAULTS_MAX])


def check_presented(query: Query, presented: Mapping[str, JsonObject]) -> None:
    """See that credentials answer a query.

    Args:
        query: What was asked.
        presented: By id of the credential query, the verified claims, `vct` included.

    Raises:
        NotAnswered: Something is missing, of another type or value, or was not asked for.
    """
    for name, claims in presented.items():
        credential = query.credential(name)
        if credential is None:
            raise NotAnswered("", "a credential was presented that nobody asked for")
        if claims.get("vct") not in credential.types:
            raise NotAnswered(name, "it is of another type than was asked for")
        _check_claims(credential, claims)
    _check_sets(query, set(presented))


def claim_name(path: Pointer) -> str:
    """A claim as people write it: the steps of its path with / between them, * for each element of a list."""
    return "/".join("*" if step is None else str(step) for step in path)


def asked_of(credential: CredentialQuery, claims: JsonObject) -> JsonObject:
    """Of a credential's claims those that were asked for; whole branches that were not asked for are left out."""
    found: JsonObject = {}
    for claim in credential.claims:
        kept = _narrowed(claims, claim.path)
        if kept is not None:
            found = _merged(found, kept)
    return found


# ---------------------------------------------------------------- reading a query


def _credential(value: Json, where: str) -> CredentialQuery:
    known = {"id", "format", "meta", "claims", "claim_sets", "multiple", "require_cryptographic_holder_binding"}
    item = _object(value, where, known)
    if item.get("format") != FORMAT:
        raise InvalidQuery(f"{where}/format", f"only {FORMAT} is judged here")
    if item.get("multiple", False) is not False:
        raise InvalidQuery(f"{where}/multiple", "one credential answers each query")
    if item.get("require_cryptographic_holder_binding", True) is not True:
        raise InvalidQuery(f"{where}/require_cryptographic_holder_binding", "the holder's key is always asked for")
    meta = _object(item.get("meta"), f"{where}/meta", {"vct_values"})
    types = _texts(meta.get("vct_values"), f"{where}/meta/vct_values", SETS_MAX)
    listed = _list(item["claims"], f"{where}/claims", CLAIMS_MAX) if "claims" in item else []
    claims = tuple(_claim(one, f"{where}/claims/{i}") for i, one in enumerate(listed))
    ids = [claim.id for claim in claims if claim.id]
    if len(set(ids)) != len(ids):
        raise InvalidQuery(f"{where}/claims", "two have the same id")
    sets: tuple[tuple[str, ...], ...] = ()
    if "claim_sets" in item:
        if len(ids) != len(claims):
            raise InvalidQuery(f"{where}/claims", "with claim_sets each claim has an id")
        place = f"{where}/claim_sets"
        sets = tuple(_choice(one, place, set(ids)) for one in _list(item["claim_sets"], place, SETS_MAX))
    return CredentialQuery(_id(item.get("id"), f"{where}/id"), types, claims, sets)


def _claim(value: Json, where: str) -> ClaimQuery:
    item = _object(value, where, {"id", "path", "values"})
    steps = _list(item.get("path"), f"{where}/path", PATH_STEPS_MAX)
    path: list[str | int | None] = []
    for step in steps:
        is_index = isinstance(step, int) and not isinstance(step, bool) and step >= 0
        if not (step is None or is_index or isinstance(step, str)):
            raise InvalidQuery(f"{where}/path", "a step is a name, a place from 0 on, or null")
        assert step is None or isinstance(step, str | int), "it was checked"
        path.append(step)
    if not isinstance(path[0], str):
        raise InvalidQuery(f"{where}/path", "the first step is a name")
    wanted: list[str | int | bool] = []
    for one in _list(item["values"], f"{where}/values", VALUES_MAX) if "values" in item else []:
        if not isinstance(one, str | int | bool):
            raise InvalidQuery(f"{where}/values", "a value is text, a whole number or a boolean")
        wanted.append(one)
    name = _id(item["id"], f"{where}/id") if "id" in item else ""
    return ClaimQuery(name, tuple(path), tuple(wanted))


def _set(value: Json, where: str, ids: set[str]) -> CredentialSet:
    item = _object(value, where, {"options", "required"})
    is_required = item.get("required", True)
    if not isinstance(is_required, bool):
        raise InvalidQuery(f"{where}/required", "it is true or false")
    options = _list(item.get("options"), f"{where}/options", SETS_MAX)
    return CredentialSet(tuple(_choice(one, f"{where}/options", ids) for one in options), is_required)


def _choice(value: Json, where: str, ids: set[str]) -> tuple[str, ...]:
    names = _texts(value, where, CLAIMS_MAX)
    if not set(names) <= ids:
        raise InvalidQuery(where, "it names an id that is not there")
    return names


def _object(value: Json, where: str, known: set[str]) -> JsonObject:
    if not isinstance(value, dict):
        raise InvalidQuery(where, "an object is wanted")
    if unknown := set(value) - known:
        raise InvalidQuery(f"{where}/{min(unknown)[:64]}", "this member is not known here")
    return value


def _list(value: Json, where: str, items_max: int) -> list[Json]:
    if not isinstance(value, list) or not 1 <= len(value) <= items_max:
        raise InvalidQuery(where, f"a list of 1 to {items_max} is wanted")
    return value


def _texts(value: Json, where: str, items_max: int) -> tuple[str, ...]:
    found = [one for one in _list(value, where, items_max) if isinstance(one, str)]
    if not isinstance(value, list) or len(found) != len(value):
        raise InvalidQuery(where, "a list of texts is wanted")
    return tuple(found)


def _id(value: Json, where: str) -> str:
    if not isinstance(value, str) or not _ID.fullmatch(value):
        raise InvalidQuery(where, "1 to 64 letters, figures, _ or - are wanted")
    return value


def _credential_json(credential: CredentialQuery, extra: Mapping[str, Sequence[str]]) -> JsonObject:
    own = sorted({name for vct in credential.types for name in extra.get(vct, ())})
    claims: list[Json] = [_claim_json(claim) for claim in credential.claims]
    sets: list[Json] = [list(choice) for choice in credential.claim_sets]
    if credential.claim_sets:
        sets = [[*choice, *(f"own-{name}" for name in own)] for choice in credential.claim_sets]
    claims += [_claim_json(ClaimQuery(f"own-{name}" if sets else "", (name,), ())) for name in own]
    made: JsonObject = {"id": credential.id, "format": FORMAT, "meta": {"vct_values": list(credential.types)}}
    return made | ({"claims": claims} if claims else {}) | ({"claim_sets": sets} if sets else {})


def _claim_json(claim: ClaimQuery) -> JsonObject:
    made: JsonObject = {"path": list(claim.path)}
    return made | ({"id": claim.id} if claim.id else {}) | ({"values": list(claim.values)} if claim.values else {})


# ---------------------------------------------------------------- judging an answer


def _check_claims(credential: CredentialQuery, claims: JsonObject) -> None:
    """See that one of the choices of claims is there whole.

    What fails is told without an entry in the holder's list of accesses.  So claims that are missing are named, which
    says what the holder showed; where a value differs, all claims of which values were wanted are named together, and
    not which of them differs, which would say something of the holder.

    Raises:
        NotAnswered: None is.
    """
    named = {claim.id or str(i): claim for i, claim in enumerate(credential.claims)}
    choices = credential.claim_sets or (tuple(named),)
    if any(all(_holds(named[one], claims) for one in choice) for choice in choices):
        return
    lacking = [[one for one in choice if not _select(claims, named[one].path)] for choice in choices]
    if all(lacking):
        fewest = min(lacking, key=len)
        names = [claim_name(named[one].path) for one in fewest]
        raise NotAnswered(credential.id, f"a claim that was asked for is missing: {', '.join(names)}", names)
    wanted = [one for choice, missing in zip(choices, lacking, strict=True) if not missing for one in choice]
    names = list(dict.fromkeys(claim_name(named[one].path) for one in wanted if named[one].values))
    reason = f"a claim has none of the values that were asked for; values were asked for of: {', '.join(names)}"
    raise NotAnswered(credential.id, reason, names)


def _check_sets(query: Query, presented: set[str]) -> None:
    if not query.sets:
        if missing := [one.id for one in query.credentials if one.id not in presented]:
            raise NotAnswered(missing[0], "this credential was not presented")
        return
    for one in query.sets:
        if one.is_required and not any(presented.issuperset(option) for option in one.options):
            raise NotAnswered("", "no choice of credentials that would be enough was presented")
    if not presented:
        raise NotAnswered("", "no credential was presented")


def _holds(claim: ClaimQuery, claims: JsonObject) -> bool:
    """Whether a claim is there, with one of the values that are wanted."""
    found = _select(claims, claim.path)
    if not claim.values:
        return bool(found)
    return any(type(one) is type(wanted) and one == wanted for one in found for wanted in claim.values)


def _select(value: Json, path: Pointer) -> list[Json]:
    """What a pointer selects; empty where it leads nowhere."""
    selected = [value]
    for step in path:
        following: list[Json] = []
        for one in selected:
            if isinstance(step, str) and isinstance(one, dict) and step in one:
                following.append(one[step])
            elif step is None and isinstance(one, list):
                following += one
            elif isinstance(step, int) and isinstance(one, list) and step < len(one):
                following.append(one[step])
        selected = following
    return selected


def _narrowed(claims: JsonObject, path: Pointer) -> JsonObject | None:
    """The branch of a tree that a pointer leads to; lists stay whole, since a place in part of one says nothing."""
    names: list[str] = []
    for step in path:
        if not isinstance(step, str):
            break
        names.append(step)
    found = _select(claims, tuple(names))
    if not found or not _select(claims, path):
        return None
    branch: Json = found[0]
    for name in reversed(names):
        branch = {name: branch}
    assert isinstance(branch, dict), "the first step is a name"
    return branch


def _merged(one: JsonObject, other: JsonObject) -> JsonObject:
    made = dict(one)
    for name, value in other.items():
        before = made.get(name)
        made[name] = _merged(before, value) if isinstance(before, dict) and isinstance(value, dict) else value
    return made
