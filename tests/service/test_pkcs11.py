# SPDX-License-Identifier: Apache-2.0
"""Keys in a real PKCS#11 token (SoftHSM2): they serve one purpose, never come out, and failures say what to do."""

import asyncio
import hashlib
import secrets
import threading
from dataclasses import replace
from pathlib import Path

import pkcs11
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, encode_dss_signature
from pkcs11 import Attribute, KeyType

from service.errors import KeyFileError, TokenError
from service.pkcs11 import MacKey, SigningKey, WrappingKey, make_key, open_key, parse_uri
from service.pkcs11_token import Token, open_token
from tests import softhsm

HERE = {"ZHIXIN_PKCS11_PIN": softhsm.PIN}


def label() -> str:
    return f"key-{secrets.token_hex(4)}"


def test_wrapping_key_opens_what_it_made_in_that_place_alone() -> None:
    address = softhsm.address(label())
    made = make_key(WrappingKey, address, HERE)
    wrapped = made.encrypt(b"k" * 32, b"here")
    assert b"kkkk" not in wrapped
    assert wrapped != made.encrypt(b"k" * 32, b"here")
    assert open_key(WrappingKey, address, HERE).decrypt(wrapped, b"here") == b"k" * 32
    for changed, where in [(wrapped, b"there"), (wrapped[:-1] + bytes([wrapped[-1] ^ 1]), b"here"), (b"", b"here")]:
        with pytest.raises(TokenError, match="does not decrypt"):
            made.decrypt(changed, where)
    other = make_key(WrappingKey, softhsm.address(label()), HERE)
    with pytest.raises(TokenError, match="does not decrypt"):
        other.decrypt(wrapped, b"here")


def test_mac_key_makes_the_same_digest_each_time_and_another_key_another() -> None:
    address = softhsm.address(label())
    made = make_key(MacKey, address, HERE)
    assert len(made.digest(b"number")) == 32
    assert made.digest(b"number") == open_key(MacKey, address, HERE).digest(b"number")
    assert made.digest(b"number") != made.digest(b"other")
    assert made.digest(b"number") != make_key(MacKey, softhsm.address(label()), HERE).digest(b"number")


def test_signing_key_signs_what_its_public_key_verifies() -> None:
    address = softhsm.address(label())
    made = make_key(SigningKey, address, HERE)
    digest = hashlib.sha256(b"credential").digest()
    signature = open_key(SigningKey, address, HERE).sign(digest)
    assert len(signature) == 64
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    point = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), made.public_key)
    point.verify(encode_dss_signature(r, s), digest, ec.ECDSA(Prehashed(hashes.SHA256())))
    assert len(made.public_key) == 65


@pytest.mark.parametrize("of", [WrappingKey, MacKey, SigningKey])
def test_key_that_was_made_cannot_be_read_or_changed_into_one_that_can(
    of: type[WrappingKey] | type[MacKey] | type[SigningKey],
) -> None:
    made = make_key(of, softhsm.address(label()), HERE)  # type: ignore[type-var]  # each of the three in turn
    token = open_token(made.address, HERE)
    secret = Attribute.VALUE
    with pytest.raises(TokenError, match="AttributeSensitive"):
        token.run(lambda opened: opened.key(made.address, made.kind)[secret], "reading")
    for attribute, value in [(Attribute.EXTRACTABLE, True), (Attribute.SENSITIVE, False)]:

        def change(attribute: Attribute = attribute, *, value: bool = value) -> None:
            token.run(lambda opened: opened.key(made.address, made.kind).__setitem__(attribute, value), "changing")

        with pytest.raises(TokenError, match="changing"):
            change()


def test_key_that_could_leave_its_token_is_refused() -> None:
    address = softhsm.address(label())
    template = {Attribute.EXTRACTABLE: True, Attribute.SENSITIVE: False}
    token = open_token(address, HERE)
    token.run(
        lambda opened: opened._session.generate_key(
            KeyType.AES, 256, label=address.label, store=True, template=template
        ),
        "making",
    )
    with pytest.raises(TokenError, match="can be taken out of its token"):
        open_key(WrappingKey, address, HERE)


def test_key_of_another_kind_is_refused() -> None:
    address = softhsm.address(label())
    make_key(MacKey, address, HERE)
    with pytest.raises(TokenError, match="of another type"):
        open_key(WrappingKey, address, HERE)
    with pytest.raises(TokenError, match="is not there as a private key"):
        open_key(SigningKey, address, HERE)


def test_key_that_is_absent_or_not_alone_is_named() -> None:
    address = softhsm.address(label())
    with pytest.raises(TokenError, match=rf"key '{address.label}' in token '{softhsm.token()}' is not there"):
        open_key(MacKey, address, HERE)
    first, second = make_key(MacKey, address, HERE), make_key(MacKey, address, HERE)
    with pytest.raises(TokenError, match=r"2 have that name; say which by id"):
        open_key(MacKey, address, HERE)
    for made in (first, second):
        chosen = open_key(MacKey, replace(address, id=made.address.id), HERE)
        assert chosen.digest(b"x") == made.digest(b"x")


def test_key_that_was_destroyed_opens_nothing_and_destroying_again_is_fine() -> None:
    made = make_key(WrappingKey, softhsm.address(label()), HERE)
    wrapped = made.encrypt(bytes(32), b"")
    made.destroy()
    with pytest.raises(TokenError, match="is not there"):
        made.decrypt(wrapped, b"")
    made.destroy()


def test_module_that_is_missing_or_is_none_is_named(tmp_path: Path) -> None:
    for place in ("/nowhere/module.so", str(tmp_path)):
        address = replace(softhsm.address("key"), module=place)
        with pytest.raises(TokenError, match=f"{place} cannot be loaded as a PKCS#11 module; install"):
            open_key(MacKey, address, HERE)


def test_token_that_is_absent_is_named() -> None:
    with pytest.raises(TokenError, match="has no token 'elsewhere'; plug it in"):
        open_key(MacKey, softhsm.address("key", "elsewhere"), HERE)


def test_wrong_pin_is_named_never_shown_and_never_tried_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    softhsm.token()
    token = Token(softhsm.module(), softhsm.token(), b"wrong-pin")
    logins = 0
    real = Token._find

    def counted(self: Token) -> pkcs11.Token:
        nonlocal logins
        logins += 1
        return real(self)

    monkeypatch.setattr(Token, "_find", counted)
    for _ in range(3):
        with pytest.raises(TokenError, match="PIN of token 'zhixin-tests' is wrong") as refused:
            token.run(lambda _: None, "opening")
        assert "wrong-pin" not in str(refused.value)
    assert logins == 1
    with pytest.raises(TokenError, match="opened with another PIN"):
        open_key(MacKey, opened_before(), {"ZHIXIN_PKCS11_PIN": "other"})


def opened_before():  # type: ignore[no-untyped-def]
    address = softhsm.address(label())
    make_key(MacKey, address, HERE)
    return address


@pytest.mark.parametrize(
    ("raised", "says"),
    [
        (pkcs11.PinLocked, "is locked; its security officer"),
        (pkcs11.PinExpired, "has expired"),
        (pkcs11.UserPinNotInitialized, "has no user PIN"),
        (pkcs11.UserAlreadyLoggedIn, "by other means"),
        (pkcs11.DeviceError, "the token says DeviceError"),
        (pkcs11.DeviceRemoved, "the token is gone"),
    ],
)
def test_token_that_does_not_open_says_why(monkeypatch: pytest.MonkeyPatch, raised: type[Exception], says: str) -> None:
    class Refusing:
        def open(self, **_: object) -> None:
            raise raised

    token = Token("module", "label", b"1234")
    monkeypatch.setattr(token, "_find", Refusing)
    with pytest.raises(TokenError, match=says) as refused:
        token.run(lambda _: None, "opening")
    assert "1234" not in str(refused.value)


def test_pin_is_read_from_a_private_file_and_there_must_be_one(tmp_path: Path) -> None:
    file = tmp_path / "pin"
    file.write_text(softhsm.PIN + "\n")
    file.chmod(0o600)
    name = label()
    address = parse_uri(softhsm.uri(name, file))
    make_key(MacKey, address, {})
    assert len(open_key(MacKey, address, {}).digest(b"")) == 32
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(TokenError, match="no text in UTF-8"):
        open_key(MacKey, address, {})
    file.chmod(0o644)
    with pytest.raises(KeyFileError, match="only its owner can read"):
        open_key(MacKey, address, {})
    with pytest.raises(TokenError, match="there is no PIN for token"):
        open_key(MacKey, softhsm.address(name), {})


def test_session_that_was_lost_is_opened_anew() -> None:
    address = softhsm.address(label())
    made = make_key(MacKey, address, HERE)
    before = made.digest(b"x")
    pkcs11.lib(softhsm.module()).reinitialize()  # as after a restart of the token: no session and no handle is left
    assert made.digest(b"x") == before


def test_token_that_was_made_after_the_module_started_is_found() -> None:
    open_token(softhsm.address("any"), HERE)
    softhsm.make_token("zhixin-later")
    made = make_key(MacKey, softhsm.address(label(), "zhixin-later"), HERE)
    assert len(made.digest(b"")) == 32


def test_calls_from_many_threads_take_turns() -> None:
    made = make_key(MacKey, softhsm.address(label()), HERE)
    wanted = made.digest(b"x")
    found: list[bytes] = []
    threads = [threading.Thread(target=lambda: found.extend(made.digest(b"x") for _ in range(25))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert found == [wanted] * 200


def test_token_is_never_called_on_an_event_loop() -> None:
    made = make_key(MacKey, softhsm.address(label()), HERE)

    async def blocking() -> bytes:
        return made.digest(b"x")

    async def in_a_thread() -> bytes:
        return await asyncio.to_thread(made.digest, b"x")

    with pytest.raises(AssertionError, match="never on an event loop"):
        asyncio.run(blocking())
    assert asyncio.run(in_a_thread()) == made.digest(b"x")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("file:/x", "no pkcs11: URI"),
        ("pkcs11:token=a?module-path=/m&pin-value=1234", "a PIN does not stand in"),
        ("pkcs11:token=a;pin-value=1234?module-path=/m", "a PIN does not stand in"),
        ("pkcs11:object=k?module-path=/m", "lacks token"),
        ("pkcs11:token=a", "lacks module-path"),
        ("pkcs11:token=a;token=b?module-path=/m", "there twice"),
        ("pkcs11:token=a;serial=1?module-path=/m", "unknown here"),
        ("pkcs11:token=?module-path=/m", "empty"),
        ("pkcs11:module-path=/m", "unknown here"),
        ("pkcs11:token=" + "a" * 3000, "no pkcs11: URI"),
    ],
)
def test_uri_that_is_no_key_s_is_refused_without_showing_it(text: str, says: str) -> None:
    with pytest.raises(TokenError, match=says) as refused:
        parse_uri(text)
    assert "1234" not in str(refused.value)


def test_uri_with_escapes_is_read() -> None:
    address = parse_uri("pkcs11:token=a%20b;object=%E5%BA%93;id=%01%ff?module-path=/m&pin-source=file:/p%20q")
    assert (address.token, address.label, address.id) == ("a b", "库", b"\x01\xff")
    assert (address.module, address.pin_file) == ("/m", "/p q")


def test_uri_without_a_key_s_name_opens_and_makes_none() -> None:
    address = softhsm.address("")
    with pytest.raises(TokenError, match="names no key"):
        open_key(MacKey, address, HERE)
    with pytest.raises(TokenError, match="names no key to make"):
        make_key(MacKey, address, HERE)
