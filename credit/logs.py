# SPDX-License-Identifier: Apache-2.0
"""A person's log of one-time slots: how it begins, and that nobody has two.

A log stands on the chain as a salted commitment to its first slot, which a credential of the registrar tells the
person. A registrar has at most as many open logs as living registrations, so a second log for one person means that
another person has none: auditors see which. Under `credit/log/…` and `credit/logs/…`.
"""

from typing import Final

from chain.codec import encode
from chain.errors import Refused
from chain.module import Context
from chain.overlay import ReadState
from credit.pb import credit_pb2 as pb
from identity.issuing import REGISTRAR_ROLE
from identity.officers import registrar_digest
from identity.uniqueness import load_seats
from membership.authority import signing_organisations
from membership.pb import membership_pb2

HASH_BYTES: Final = 32


def log_key(log: bytes) -> bytes:
    """State key of a log; `log` is its commitment."""
    return b"credit/log/" + log.hex().encode()


def logs_key(registrar: str) -> bytes:
    """State key of how many logs a registrar keeps open."""
    return b"credit/logs/" + registrar.encode()


def load_log(read: ReadState, log: bytes) -> pb.LogRecord | None:
    """A log by its commitment, also one that is closed; None: it was never opened."""
    raw = read(log_key(log))
    return None if raw is None else pb.LogRecord.FromString(raw)


def open_log(context: Context, message: pb.OpenLog) -> None:
    """Begin a log. Two writes.

    Raises:
        Refused: No registrar signs, the commitment has another form or was used, or each registration has its log.
    """
    registrar = keeping_registrar(context)
    check_hash(message.log)
    if load_log(context.read, message.log) is not None:
        raise Refused("this log was opened before", "credit.log-used")
    logs = _load_logs(context.read, registrar)
    if logs.open >= load_seats(context.read, registrar_digest(registrar)).live:
        raise Refused("each of the registrar's living registrations has its log", "credit.second-log")
    logs.open += 1
    _save_logs(context, registrar, logs)
    context.write(log_key(message.log), encode(pb.LogRecord(registrar=registrar)))


def close_log(context: Context, message: pb.CloseLog) -> None:
    """End a log, with the registration that it belongs to. Two writes.

    Raises:
        Refused: No registrar signs, or it keeps no such open log.
    """
    registrar = keeping_registrar(context)
    check_hash(message.log)
    record = load_log(context.read, message.log)
    if record is None or record.registrar != registrar or record.closed:
        raise Refused("the registrar keeps no such open log", "credit.unknown-log")
    logs = _load_logs(context.read, registrar)
    logs.open -= 1
    _save_logs(context, registrar, logs)
    context.write(log_key(message.log), encode(pb.LogRecord(registrar=registrar, closed=True)))


def keeping_registrar(context: Context) -> str:
    """The id of the one active registrar whose service signs, with a key that submits.

    Raises:
        Refused: None signs, several do, or it is suspended.
    """
    found = [
        organisation
        for organisation in signing_organisations(context, membership_pb2.PURPOSE_SUBMIT)
        if REGISTRAR_ROLE in organisation.roles
    ]
    if len(found) != 1:
        raise Refused("one registrar keeps the log and signs with a key that submits", "credit.no-keeper")
    if not found[0].is_active:
        raise Refused("the registrar is suspended", "credit.suspended")
    return found[0].id


def check_hash(value: bytes) -> None:
    """Check the form of a slot or a commitment.

    Raises:
        Refused: It does not have 32 bytes.
    """
    if len(value) != HASH_BYTES:
        raise Refused(f"slots and commitments have {HASH_BYTES} bytes", "credit.invalid-hash")


def _load_logs(read: ReadState, registrar: str) -> pb.LogsRecord:
    return pb.LogsRecord.FromString(read(logs_key(registrar)) or b"")


def _save_logs(context: Context, registrar: str, logs: pb.LogsRecord) -> None:
    if logs.open:
        context.write(logs_key(registrar), encode(logs))
    else:
        context.delete(logs_key(registrar))
