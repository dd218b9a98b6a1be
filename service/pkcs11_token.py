# SPDX-License-Identifier: Apache-2.0
"""A PKCS#11 token as this process sees it: one login, one call at a time, and keys that are looked at before use.

Source: PKCS #11 Specification Version 3.1 (OASIS), sections 3 (sessions, logins) and 4 (attributes).
"""

import asyncio
import contextlib
import hmac
import threading
from collections.abc import Callable, Mapping
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar

import pkcs11
from pkcs11 import Attribute, KeyType, Mechanism, MechanismFlag, ObjectClass
from pkcs11.util.ec import encode_named_curve_parameters

from service.errors import TokenError
from service.pkcs11_uri import PIN_VARIABLE, KeyAddress
from service.store.files import read_private

T = TypeVar("T")

PIN_BYTES_MAX = 256
"""Tokens take far shorter ones."""
KEY_BYTES = 32
_P256 = encode_named_curve_parameters("secp256r1")
_POINT_BYTES = 65

_turn = threading.RLock()
"""One call at a time in the process: modules are initialised without threads, and a login is the process's."""
_tokens: "dict[tuple[str, str], Token]" = {}

_LOST = (
    pkcs11.SessionHandleInvalid,
    pkcs11.SessionClosed,
    pkcs11.UserNotLoggedIn,
    pkcs11.KeyHandleInvalid,
    pkcs11.ObjectHandleInvalid,
    pkcs11.DeviceRemoved,
    pkcs11.TokenNotPresent,
)
"""The session is gone, not the token: it was restarted, or pulled out and put back."""


class Kind(Enum):
    """What a key in a token is for; a key is for one thing."""

    WRAPPING = "wrapping"
    """AES-256: encrypts other keys (AES-GCM)."""
    MAC = "mac"
    """Generic secret of 32 bytes: HMAC-SHA-256."""
    SIGNING = "signing"
    """P-256: ECDSA over a digest."""


_USES = {
    Kind.WRAPPING: MechanismFlag.ENCRYPT | MechanismFlag.DECRYPT,
    Kind.MAC: MechanismFlag.SIGN,
    Kind.SIGNING: MechanismFlag.SIGN | MechanismFlag.VERIFY,
}
_TYPES = {
    Kind.WRAPPING: {KeyType.AES},
    Kind.MAC: {KeyType.GENERIC_SECRET, KeyType.SHA256_HMAC},
    Kind.SIGNING: {KeyType.EC},
}
_NEEDED = {
    Kind.WRAPPING: (Attribute.ENCRYPT, Attribute.DECRYPT),
    Kind.MAC: (Attribute.SIGN,),
    Kind.SIGNING: (Attribute.SIGN,),
}


def open_token(address: KeyAddress, environment: Mapping[str, str]) -> "Token":
    """The token of a key, logged in; the same object for all keys in it.

    Raises:
        TokenError: It is not there, or does not take the PIN.
        KeyFileError: The PIN's file can't be read, or others can.
    """
    if address.pin_file:
        pin = read_private(Path(address.pin_file), PIN_BYTES_MAX).rstrip(b"\r\n")
    else:
        pin = environment.get(PIN_VARIABLE, "").encode(errors="surrogateescape")
    if not _is_text(pin):
        raise TokenError(f"the PIN for token {address.token!r} is no text in UTF-8")
    if not pin:
        raise TokenError(
            f"there is no PIN for token {address.token!r}: name a file by pin-source=file:…, or set {PIN_VARIABLE}"
        )
    with _turn:
        token = _tokens.get((address.module, address.token))
        if token is None:
            token = Token(address.module, address.token, pin)
            token.run(lambda _: None, f"token {address.token!r} cannot be opened")
            _tokens[(address.module, address.token)] = token
        elif not token.is_pin(pin):
            raise TokenError(f"token {address.token!r} was opened with another PIN; use one PIN in one process")
    return token


class Token:
    """One token, and the process's login to it; opened anew when it was lost.

    Args:
        module: Path of the PKCS#11 module.
        label: The token's.
        pin: The user's PIN.
    """

    def __init__(self, module: str, label: str, pin: bytes) -> None:
        self._module = module
        self._label = label
        self._pin = pin
        self._opened: Opened | None = None
        self._refused = ""

    def is_pin(self, pin: bytes) -> bool:
        """Whether it was opened with this PIN."""
        return hmac.compare_digest(self._pin, pin)

    def run(self, call: "Callable[[Opened], T]", failed: str) -> T:
        """Do something in a session, once more in a new one if the session was lost.

        Args:
            call: What; called with the lock held.
            failed: Says in an error what it was.

        Raises:
            TokenError: It failed.
        """
        _check_thread()
        with _turn:
            try:
                if self._opened is not None:
                    try:
                        return call(self._opened)
                    except _LOST:
                        self.end_session(self._module)
                self._opened = self._open()
                return call(self._opened)
            except _LOST as error:
                self._opened = None
                raise TokenError(f"{failed}: the token is gone ({type(error).__name__}); put it back") from None
            except pkcs11.PKCS11Error as error:
                raise TokenError(f"{failed}: the token says {type(error).__name__}") from None

    def end_session(self, module: str) -> None:
        """End the session if it is one of this module; the next call begins another."""
        if self._opened is not None and self._module == module:
            self._opened.close()
            self._opened = None

    def destroy(self, address: KeyAddress, kind: Kind) -> None:
        """Delete a key; one that is gone already is fine."""
        self.run(lambda opened: opened.destroy(address, kind), f"{address} cannot be deleted")

    def _open(self) -> "Opened":
        """Log in. A PIN that was refused is not tried again: a token locks itself after a few.

        Raises:
            TokenError: What is missing or wrong.
        """
        if self._refused:
            raise TokenError(self._refused)
        name = f"token {self._label!r}"
        token = self._find()
        try:
            return Opened(token.open(rw=True, user_pin=self._pin.decode()))
        except (pkcs11.PinIncorrect, pkcs11.PinInvalid, pkcs11.PinLenRange):
            self._refused = f"the PIN of {name} is wrong; correct it, for the token locks itself after a few attempts"
        except pkcs11.PinLocked:
            self._refused = f"the PIN of {name} is locked; its security officer sets a new one"
        except pkcs11.PinExpired:
            self._refused = f"the PIN of {name} has expired; set a new one"
        except pkcs11.UserPinNotInitialized:
            self._refused = f"{name} has no user PIN yet; its security officer sets one"
        except pkcs11.UserAlreadyLoggedIn:
            raise TokenError(f"{name} is in use by another part of this process, by other means than ours") from None
        raise TokenError(self._refused)

    def _find(self) -> pkcs11.Token:
        try:
            module = pkcs11.lib(self._module)
        except pkcs11.PKCS11Error:
            raise TokenError(
                f"{self._module} cannot be loaded as a PKCS#11 module; install the token's software, or correct "
                "module-path"
            ) from None
        try:
            return module.get_token(token_label=self._label)
        except pkcs11.NoSuchToken:
            pass
        except pkcs11.MultipleTokensReturned:
            raise TokenError(f"{self._module} has several tokens {self._label!r}; give each its own label") from None
        for other in _tokens.values():
            other.end_session(self._module)
        module.reinitialize()  # a token that was plugged in since shows only now
        try:
            return module.get_token(token_label=self._label)
        except pkcs11.NoSuchToken:
            raise TokenError(
                f"{self._module} has no token {self._label!r}; plug it in, initialise it, or correct the label"
            ) from None


class Opened:
    """A session, and the keys that were found in it."""

    def __init__(self, session: pkcs11.Session) -> None:
        self._session = session
        self._found: dict[tuple[str, bytes, Kind], pkcs11.Key] = {}

    def close(self) -> None:
        """End the session, which may have ended already."""
        with contextlib.suppress(pkcs11.PKCS11Error):
            self._session.close()

    def key(self, address: KeyAddress, kind: Kind) -> Any:
        """The secret or private key of an address, checked; its methods depend on its kind.

        Raises:
            TokenError: There is none, there are several, or it is not what it must be.
        """
        place = (address.label, address.id, kind)
        if place not in self._found:
            is_pair = kind is Kind.SIGNING
            found = self._one(address, ObjectClass.PRIVATE_KEY if is_pair else ObjectClass.SECRET_KEY)
            _check(found, address, kind)
            self._found[place] = found
        return self._found[place]

    def point(self, address: KeyAddress) -> bytes:
        """The public key of a pair as an uncompressed point; 65 bytes."""
        encoded: bytes = self._one(address, ObjectClass.PUBLIC_KEY)[Attribute.EC_POINT]
        point = encoded[-_POINT_BYTES:]  # an OCTET STRING around it, by the standard; some tokens leave it out
        if len(point) != _POINT_BYTES or point[0] != 0x04:
            raise TokenError(f"{address}: its public key is no uncompressed point of P-256")
        return point

    def make(self, address: KeyAddress, kind: Kind) -> None:
        """Make a key that stays where it is."""
        closed = {Attribute.SENSITIVE: True, Attribute.EXTRACTABLE: False}
        naming: dict[str, Any] = {"id": address.id, "label": address.label, "store": True, "capabilities": _USES[kind]}
        match kind:
            case Kind.WRAPPING:
                self._session.generate_key(KeyType.AES, KEY_BYTES * 8, template=closed, **naming)
            case Kind.MAC:
                self._session.generate_key(
                    KeyType.GENERIC_SECRET,
                    KEY_BYTES * 8,
                    mechanism=Mechanism.GENERIC_SECRET_KEY_GEN,
                    template=closed,
                    **naming,
                )
            case Kind.SIGNING:
                curve = self._session.create_domain_parameters(KeyType.EC, {Attribute.EC_PARAMS: _P256}, local=True)
                curve.generate_keypair(private_template=closed, **naming)

    def destroy(self, address: KeyAddress, kind: Kind) -> None:
        """Delete a key and, of a pair, its public half."""
        self._found.clear()
        kinds = [ObjectClass.PRIVATE_KEY, ObjectClass.PUBLIC_KEY] if kind is Kind.SIGNING else [ObjectClass.SECRET_KEY]
        for object_class in kinds:
            for found in list(self._session.get_objects(_template(address, object_class))):
                found.destroy()

    def _one(self, address: KeyAddress, object_class: ObjectClass) -> pkcs11.Key:
        found = list(self._session.get_objects(_template(address, object_class)))
        what = object_class.name.lower().replace("_", " ")
        if not found:
            raise TokenError(f"{address} is not there as a {what}; correct the URI, or make the key")
        if len(found) > 1:
            raise TokenError(f"{address} is not alone: {len(found)} have that name; say which by id=…")
        key = found[0]
        assert isinstance(key, pkcs11.Key), "that class was asked for"
        return key


def _is_text(pin: bytes) -> bool:
    try:
        pin.decode()
    except UnicodeDecodeError:
        return False
    return True


def _template(address: KeyAddress, object_class: ObjectClass) -> dict[Attribute, object]:
    wanted: dict[Attribute, object] = {Attribute.CLASS: object_class, Attribute.TOKEN: True}
    if address.label:
        wanted[Attribute.LABEL] = address.label
    if address.id:
        wanted[Attribute.ID] = address.id
    return wanted


def _check(key: pkcs11.Key, address: KeyAddress, kind: Kind) -> None:
    """A key of the right kind that its token never gives out.

    Raises:
        TokenError: It is another one.
    """
    if key[Attribute.KEY_TYPE] not in _TYPES[kind] or not all(key[use] for use in _NEEDED[kind]):
        raise TokenError(f"{address} is of another type, or for another use, than a {kind.value} key")
    if kind is Kind.SIGNING and key[Attribute.EC_PARAMS] != _P256:
        raise TokenError(f"{address} is on another curve than P-256")
    if kind is not Kind.SIGNING and key[Attribute.VALUE_LEN] < KEY_BYTES:
        raise TokenError(f"{address} is shorter than {KEY_BYTES} bytes")
    if key[Attribute.EXTRACTABLE] or not key[Attribute.SENSITIVE]:
        raise TokenError(f"{address} can be taken out of its token; make another that cannot")


def _check_thread() -> None:
    """A token may take seconds to answer: nobody else waits for it."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise AssertionError("a token is called from a thread of its own, never on an event loop")
