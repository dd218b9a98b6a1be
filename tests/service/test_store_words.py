# SPDX-License-Identifier: Apache-2.0
"""What the store says when something is wrong goes into logs, which outlive erasures: no id of anybody is in it."""

import re
from collections.abc import Callable

import pytest
from fastapi import APIRouter
from http_rig import ADDRESS, caller
from sqlalchemy import text
from store_rig import Contact, Rig, add, name_of
from structlog.testing import capture_logs

from service.app import Part, create_app
from service.errors import PersonErased, StorageError
from service.settings import Settings
from service.store import Store
from service.store.models import new_id

_ID = re.compile(r"[0-9a-f]{16,}")


def broken_value(store: Store) -> Callable[[], object]:
    person, row = add(store, "张三", "13900001111")
    del person
    with store.write() as session:
        session.execute(text("UPDATE test_contact SET name = phone"))
    return lambda: name_of(store, row)


def broken_key(store: Store) -> Callable[[], object]:
    _, row = add(store, "张三", "13900001111")
    with store.write() as session:
        session.execute(text("UPDATE person SET key_version = 7"))
    return lambda: name_of(store, row)


def nobody(store: Store) -> Callable[[], object]:
    def seal() -> None:
        with store.write() as session:
            store.people.seal(session, Contact(person_id=new_id()), Contact.name, "张三")

    return seal


def row_twice(store: Store) -> Callable[[], object]:
    person, row = add(store, "张三", "13900001111")

    def insert() -> None:
        with store.write() as session:
            session.add(Contact(id=row, person_id=person))

    return insert


@pytest.mark.parametrize("fault", [broken_value, broken_key, nobody, row_twice])
async def test_failure_of_the_store_is_logged_without_any_id_of_a_row_or_person(
    rig: Rig, fault: Callable[[Store], Callable[[], object]]
) -> None:
    ask = fault(rig.open(rig.settings()))
    with pytest.raises((StorageError, PersonErased)) as failed:
        ask()
    assert not _ID.search(str(failed.value))
    router = APIRouter()

    @router.get("/ask", operation_id="ask", summary="Fails")
    def asked() -> None:
        ask()

    with capture_logs() as lines:
        async with caller(create_app([Part("asking", [router])], Settings(), ADDRESS)) as browser:
            answer = await browser.get("/ask")
    assert answer.status_code in {410, 503}
    for line in lines:
        said = {name: value for name, value in line.items() if name != "request"}
        assert not _ID.search(str(said)), said
