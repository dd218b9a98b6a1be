# SPDX-License-Identifier: Apache-2.0
"""Keys that never leave a PKCS#11 token: to wrap other keys, to make tags, to sign credentials.

A key is named by a URI, `pkcs11:token=LABEL;object=KEY?module-path=/path/to/module.so&pin-source=file:/path/to/pin`.
The PIN comes from that file, else from the environment; it stands in no URI, no error and no log. Each call blocks
and takes its turn: call from a thread, never on an event loop, which is checked.

Source: PKCS #11 Specification Version 3.1 (OASIS); RFC 7512 (URI).
"""

import secrets
from collections.abc import Mapping
from dataclasses import replace
from typing import TypeVar

from pkcs11 import GCMParams, Mechanism

from service.errors import TokenError
from service.pkcs11_token import Kind, Opened, Token, open_token
from service.pkcs11_uri import SCHEME, KeyAddress, parse_uri

__all__ = [
    "SCHEME",
    "KeyAddress",
    "Kind",
    "MacKey",
    "SigningKey",
    "WrappingKey",
    "make_key",
    "open_key",
    "parse_uri",
]

NONCE_BYTES = 12
_TAG_BITS = 128
_ID_BYTES = 8


class WrappingKey:
    """An AES-256 key in a token."""

    kind = Kind.WRAPPING

    def __init__(self, token: "Token", address: KeyAddress) -> None:
        self.address = address
        self._token = token

    def encrypt(self, content: bytes, where: bytes) -> bytes:
        """Encrypt for one place: a random nonce, then AES-GCM's ciphertext with `where` as associated data.

        Raises:
            TokenError: The token failed.
        """
        nonce = secrets.token_bytes(NONCE_BYTES)
        return nonce + self._run("encrypt", content, GCMParams(nonce, where, _TAG_BITS))

    def decrypt(self, encrypted: bytes, where: bytes) -> bytes:
        """Open what `encrypt` made.

        Raises:
            TokenError: Another key, another place, changed bytes, or the token failed; tokens don't tell which.
        """
        nonce, rest = encrypted[:NONCE_BYTES], encrypted[NONCE_BYTES:]
        return self._run("decrypt", rest, GCMParams(nonce, where, _TAG_BITS))

    def destroy(self) -> None:
        """Delete the key from its token, for good; one that is gone already is fine.

        Raises:
            TokenError: The token does not delete it.
        """
        self._token.destroy(self.address, self.kind)

    def _run(self, act: str, content: bytes, parameters: GCMParams) -> bytes:
        def run(opened: Opened) -> bytes:
            method = getattr(opened.key(self.address, self.kind), act)
            done: bytes = method(content, mechanism=Mechanism.AES_GCM, mechanism_param=parameters)
            return done

        return self._token.run(run, f"{self.address} does not {act}")


class MacKey:
    """A secret in a token that makes HMACs."""

    kind = Kind.MAC

    def __init__(self, token: "Token", address: KeyAddress) -> None:
        self.address = address
        self._token = token

    def digest(self, content: bytes) -> bytes:
        """HMAC-SHA-256; 32 bytes.

        Raises:
            TokenError: The token failed.
        """

        def run(opened: Opened) -> bytes:
            made: bytes = opened.key(self.address, self.kind).sign(content, mechanism=Mechanism.SHA256_HMAC)
            return made

        return self._token.run(run, f"{self.address} makes no HMAC")


class SigningKey:
    """A P-256 key in a token.

    Attributes:
        public_key: The uncompressed point, 65 bytes.
    """

    kind = Kind.SIGNING

    def __init__(self, token: "Token", address: KeyAddress) -> None:
        self.address = address
        self._token = token
        self.public_key = token.run(lambda opened: opened.point(address), f"{address} has no public key beside it")

    def sign(self, digest: bytes) -> bytes:
        """ECDSA over a SHA-256 digest: r and s, 32 bytes each.

        Raises:
            TokenError: The token failed.
        """
        assert len(digest) == 32, "a SHA-256 digest is signed"

        def run(opened: Opened) -> bytes:
            made: bytes = opened.key(self.address, self.kind).sign(digest, mechanism=Mechanism.ECDSA)
            return made

        return self._token.run(run, f"{self.address} does not sign")


AnyKey = TypeVar("AnyKey", WrappingKey, MacKey, SigningKey)


def open_key(of: type[AnyKey], address: KeyAddress, environment: Mapping[str, str]) -> AnyKey:
    """Find a key in its token and see that it is what it must be.

    Args:
        of: WrappingKey, MacKey or SigningKey.
        address: Names the key by label, id or both.
        environment: May hold ZHIXIN_PKCS11_PIN.

    Raises:
        TokenError: The module, token or key is not there, the PIN is wrong, or the key could leave its token.
        KeyFileError: The PIN's file can't be read, or others can.
    """
    if not address.label and not address.id:
        raise TokenError("the pkcs11: URI names no key: add object=LABEL or id=…")
    token = open_token(address, environment)
    token.run(lambda opened: opened.key(address, of.kind), f"{address} cannot be used")
    return of(token, address)


def make_key(of: type[AnyKey], address: KeyAddress, environment: Mapping[str, str]) -> AnyKey:
    """Make a key in a token: it can't be read or copied out, and serves one purpose.

    Args:
        of: WrappingKey, MacKey or SigningKey.
        address: Names the token and the key's label; its id becomes a random one.
        environment: May hold ZHIXIN_PKCS11_PIN.

    Returns:
        The key; `address.id` tells it from others of the same label.

    Raises:
        TokenError: The module or token is not there, the PIN is wrong, or the token makes no such key.
        KeyFileError: The PIN's file can't be read, or others can.
    """
    if not address.label:
        raise TokenError("the pkcs11: URI names no key to make: add object=LABEL")
    made = replace(address, id=secrets.token_bytes(_ID_BYTES))
    token = open_token(address, environment)
    token.run(lambda opened: opened.make(made, of.kind), f"token {address.token!r} makes no {of.kind.value} key")
    return of(token, made)
