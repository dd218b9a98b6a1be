# SPDX-License-Identifier: Apache-2.0
"""What the uniqueness service does for a registrar: makes a tag, registers it, moves it to a new key, releases it.

Each call is paid for and stands in the audit chain before anything is answered; the number is kept nowhere. A registrar
acts for itself alone: whose seat a tag gives is decided by the key that the caller shows, and a tag that another
registrar registered is neither moved nor released. Calls may be repeated: what was done before is not done twice.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Protocol

from google.protobuf.message import Message
from starlette.concurrency import run_in_threadpool

from chain.codec import encode
from chain.errors import Refused
from chain.signing import TransactionSigner
from chain.transaction import Operation, SignedTransaction
from client.answers import ProvenState, ProvenTransaction
from identity.api.tagging.keys import TagKeys
from identity.api.tagging.problems import NO_KEY, NO_ROTATION, NOT_REGISTRAR, NOT_YOURS
from identity.api.tagging.registrars import Budget, Registrar, charge, check_budget
from identity.api.tagging.tags import Tag, content_of, normalised
from identity.documents import NumberKind
from identity.issuing import REGISTRAR_ROLE
from identity.officers import registrar_digest
from identity.pb import identity_pb2 as pb
from identity.uniqueness import TAG_KEY_KEY, load_tag, load_tag_key, tag_key
from membership.state import load_organisation, organisation_key
from service.errors import KeyFileError, TokenError
from service.problems import Problem
from service.store import Act, Store
from service.store.cipher import keyed_digest

ROTATED_MEANWHILE: Final = frozenset({"identity.wrong-tag-version", "identity.previous-tag"})
"""The key was rotated between reading and writing: once more, under the new one."""
TAKEN: Final = "identity.tag-taken"


class Ledger(Protocol):
    """What tagging needs of a client; `client.session.Session` is one."""

    def sign(self, operations: Sequence[Operation], signers: Sequence[TransactionSigner]) -> SignedTransaction:
        """Make and sign a transaction."""

    async def submit_one(self, transaction: SignedTransaction) -> ProvenTransaction:
        """Submit it and wait for its verified receipt."""

    async def read_many(self, keys: Sequence[bytes]) -> list[ProvenState]:
        """State keys under one checkpoint, with proof."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """A question that was paid for."""

    present: pb.TagKeyRecord
    tag: Tag
    request: str

    def record_of(self, values: dict[bytes, bytes | None]) -> tuple[pb.TagRecord | None, pb.TagRecord | None]:
        """What stands of the tag under the present version and the one before."""
        previous = self.tag.previous
        return (
            load_tag(values.get, self.tag.version, self.tag.value),
            None if previous is None else load_tag(values.get, self.tag.version - 1, previous),
        )

    @property
    def keys(self) -> list[bytes]:
        """Where both stand."""
        keys = [tag_key(self.tag.version, self.tag.value)]
        return keys if self.tag.previous is None else [*keys, tag_key(self.tag.version - 1, self.tag.previous)]


class Uniqueness:
    """The service.

    Args:
        store: Registrars, budgets, the audit chain.
        keys: Make the tags.
        ledger: Gives the session; asked for each call, for a session lives no longer than its event loop.
        signer: The uniqueness organisation's key, of purpose attest.
        questions: Each registrar's budget of questions about people.
        moves: Each registrar's budget of tags that move to a new key, which says nothing of anybody else's people.
        now: Unix time in ms.
    """

    def __init__(
        self,
        store: Store,
        keys: TagKeys,
        ledger: Callable[[], Ledger],
        signer: TransactionSigner,
        questions: Budget,
        moves: Budget,
        now: Callable[[], int],
    ) -> None:
        self.store = store
        self.now = now
        self._keys = keys
        self._ledger = ledger
        self._signer = signer
        self._questions = questions
        self._moves = moves

    async def tag(self, registrar: Registrar, number_kind: str, number: str, request: str = "-") -> Tag:
        """The tag of a number.

        Args:
            registrar: Who asks.
            number_kind: A value of `identity.documents.NumberKind`.
            number: As typed.
            request: Id of the request.

        Raises:
            Problem: No such number, the budget is used up, or there is no key.
            StorageError: The store failed.
            TransportError: The ledger does not answer.
        """
        asked = await self._ask(registrar, number_kind, number, "uniqueness.asked", request)
        return asked.tag

    async def register(
        self, registrar: Registrar, number_kind: str, number: str, holder: bytes, request: str = "-"
    ) -> None:
        """Register a number's tag, which gives the registrar a seat. Repeated, it changes nothing.

        Args:
            registrar: Who asks, and whose seat it is.
            number_kind: A value of `identity.documents.NumberKind`.
            number: As typed.
            holder: Salted commitment to the registration's id; 32 bytes.
            request: Id of the request.

        Raises:
            Problem: No such number, no registrar, the budget is used up, or there is no key.
            Refused: The person is known already, to whomever; or another rule says no.
            StorageError: The store failed.
            TransportError: The ledger does not answer: nothing is known, and the same call may be repeated.
        """
        asked = await self._ask(registrar, number_kind, number, "uniqueness.register-asked", request)
        owner = registrar_digest(registrar.organisation)
        for attempt in (0, 1):
            values = await self._read([*asked.keys, organisation_key(registrar.organisation)])
            organisation = load_organisation(values.get, registrar.organisation)
            if organisation is None or not organisation.is_active or REGISTRAR_ROLE not in organisation.roles:
                raise Problem(NOT_REGISTRAR)
            if _is_done(asked.record_of(values), owner, holder):
                return
            tag = asked.tag
            message = pb.RegisterTag(
                key_version=tag.version,
                tag=tag.value,
                previous_tag=tag.previous or b"",
                registrar=owner,
                holder=holder,
            )
            try:
                await self._submit(message)
            except Refused as refused:
                if attempt or refused.code not in ROTATED_MEANWHILE | {TAKEN}:
                    raise
                asked = await self._make(number_kind, number, asked.request)
            else:
                await self._note(registrar, "uniqueness.registered", asked)
                return

    async def retag(
        self, registrar: Registrar, number_kind: str, number: str, holder: bytes, request: str = "-"
    ) -> None:
        """Move a person's tag to the present version of the key. Repeated with the same commitment, it changes nothing.

        Args:
            registrar: Who asks; the tag has to be its own.
            number_kind: A value of `identity.documents.NumberKind`.
            number: As typed.
            holder: A new commitment; 32 bytes.
            request: Id of the request.

        Raises:
            Problem: No such number, not this registrar's, no rotation under way, the budget is used up, or no key.
            Refused: Another rule says no.
            StorageError: The store failed.
            TransportError: The ledger does not answer; the same call may be repeated.
        """
        asked = await self._ask(registrar, number_kind, number, "uniqueness.retag-asked", request, self._moves)
        owner = registrar_digest(registrar.organisation)
        now, before = asked.record_of(await self._read(asked.keys))
        if now is not None and (now.registrar, now.holder) == (owner, holder):
            return
        if asked.tag.previous is None or (now is not None and now.registrar == owner):
            raise Problem(NO_ROTATION)
        if before is None or before.registrar != owner:
            raise Problem(NOT_YOURS)
        await self._submit(
            pb.Retag(previous_tag=asked.tag.previous, key_version=asked.tag.version, tag=asked.tag.value, holder=holder)
        )
        await self._note(registrar, "uniqueness.retagged", asked)

    async def release(self, registrar: Registrar, number_kind: str, number: str, request: str = "-") -> None:
        """Take away the tag of somebody whose registration was revoked, so that they can be registered anew.

        Raises:
            Problem: No such number, not this registrar's, the budget is used up, or there is no key.
            Refused: The registrar has no revoked registration whose tag still stands.
            StorageError: The store failed.
            TransportError: The ledger does not answer.
        """
        asked = await self._ask(registrar, number_kind, number, "uniqueness.release-asked", request)
        owner = registrar_digest(registrar.organisation)
        now, before = asked.record_of(await self._read(asked.keys))
        tag = asked.tag
        if now is not None and now.registrar == owner:
            await self._submit(pb.ReleaseTag(key_version=tag.version, tag=tag.value))
        elif before is not None and before.registrar == owner and tag.previous is not None:
            await self._submit(pb.ReleaseTag(key_version=tag.version - 1, tag=tag.previous))
        else:
            raise Problem(NOT_YOURS)
        await self._note(registrar, "uniqueness.released", asked)

    async def rotate(self) -> int:
        """Begin the next version of the key: it is made first, then the ledger is told. Goes on where it broke off.

        Returns:
            The version, which is the present one from here on.

        Raises:
            KeyFileError: The key can't be made.
            Refused: Tags of the version before the present one are left, or another rule says no.
            TransportError: The ledger does not answer; the same call may be repeated.
        """
        version = (await self.present()).key_version + 1
        await run_in_threadpool(self._keys.make, version)
        await self._submit(pb.RotateTagKey(key_version=version))
        return version

    async def forget(self) -> int:
        """Destroy keys of versions that no tag is left under.

        Returns:
            The oldest version that is left.

        Raises:
            KeyFileError: A key can't be destroyed.
            TransportError: The ledger does not answer.
        """
        present = await self.present()
        oldest = present.key_version - 1 if present.previous_tags else present.key_version
        await run_in_threadpool(self._keys.drop_before, oldest)
        return oldest

    async def present(self) -> pb.TagKeyRecord:
        """The present version and how many tags stand, by the ledger.

        Raises:
            TransportError: The ledger does not answer.
        """
        return load_tag_key((await self._read([TAG_KEY_KEY])).get)

    @property
    def key_versions(self) -> list[int]:
        """Versions whose keys are at hand, oldest first."""
        return self._keys.versions

    async def is_ready(self) -> bool:
        """Whether the ledger answers and the keys that it names are there."""
        present = await self.present()
        wanted = {present.key_version} | ({present.key_version - 1} if present.previous_tags else set())
        if not wanted <= set(self._keys.versions):
            await run_in_threadpool(self._keys.reload)  # a command may have begun a version meanwhile
        return bool(present.key_version) and wanted <= set(self._keys.versions)

    async def _ask(
        self,
        registrar: Registrar,
        number_kind: str,
        number: str,
        act: str,
        request: str,
        budget: Budget | None = None,
    ) -> _Asked:
        """Make the tags of a number, and have the question paid for before anybody sees them."""
        budget = budget or self._questions
        await run_in_threadpool(check_budget, self.store, registrar, budget, self.now())
        asked = await self._make(number_kind, number, request)
        said = Act(registrar.id, act, self._trace(asked), request)
        await run_in_threadpool(charge, self.store, registrar, budget, self.now(), said)
        return asked

    async def _make(self, number_kind: str, number: str, request: str) -> _Asked:
        today = datetime.fromtimestamp(self.now() / 1000, UTC).date()
        kind, text = normalised(number_kind, number, today)
        present = await self.present()
        if not present.key_version:
            raise Problem(NO_KEY)
        try:
            tag = await run_in_threadpool(self._tag, present, kind, text)
        except TokenError:
            raise
        except KeyFileError:
            raise Problem(NO_KEY) from None
        return _Asked(present, tag, request)

    def _tag(self, present: pb.TagKeyRecord, kind: NumberKind, text: str) -> Tag:
        version = present.key_version
        value = self._keys.digest(version, content_of(version, kind, text))
        if not present.previous_tags:
            return Tag(version, value)
        return Tag(version, value, self._keys.digest(version - 1, content_of(version - 1, kind, text)))

    def _trace(self, asked: _Asked) -> str:
        """What stands in the audit chain for a number: whoever has it and both keys can find it, nobody else."""
        return keyed_digest(self.store.secret("uniqueness/asked"), asked.tag.value.hex()).hex()

    async def _note(self, registrar: Registrar, act: str, asked: _Asked) -> None:
        """Add to the audit chain what was done."""

        def note() -> None:
            with self.store.write() as session:
                self.store.record(session, Act(registrar.id, act, self._trace(asked), asked.request))

        await run_in_threadpool(note)

    async def _read(self, keys: Sequence[bytes]) -> dict[bytes, bytes | None]:
        return {state.key: state.value for state in await self._ledger().read_many(keys)}

    async def _submit(self, message: Message) -> None:
        ledger = self._ledger()
        operation = Operation.make(f"identity.{message.DESCRIPTOR.name}", encode(message))
        proven = await ledger.submit_one(ledger.sign([operation], [self._signer]))
        if proven.failed is not None:
            raise Refused("the ledger's rules refuse the tag", proven.failed.code)


def _is_done(found: tuple[pb.TagRecord | None, pb.TagRecord | None], owner: bytes, holder: bytes) -> bool:
    """Whether the same was registered before.

    Raises:
        Refused: Somebody else is, or the person under another registration.
    """
    for record in found:
        if record is not None:
            if record.registrar == owner and record.holder == holder:
                return True
            raise Refused("this tag is registered: the person is known already", TAKEN)
    return False
