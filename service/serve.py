# SPDX-License-Identifier: Apache-2.0
"""Services as a process: sockets, signals, and a stop that lets requests under way end.

Several services share a process in the demo, each with its own port; in production each has a process of its own.
"""

import asyncio
import contextlib
import signal
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from typing import TypeAlias

import structlog
import uvicorn
import uvloop
from fastapi import FastAPI

from service.app import Part, create_app
from service.connections import Admission, connections
from service.errors import ConfigError, ListenError
from service.settings import Address, Settings, split_address
from service.sockets import MESSAGE_BYTES_MAX, PING_SECONDS, sockets
from service.store import Store
from service.store.anchoring import Anchoring

log = structlog.get_logger(__name__)

HEAD_BYTES_MAX = 32 * 1024
"""Request line and headers: far more than browsers send."""
CONNECTIONS_PER_REQUEST = 4
"""A browser keeps several connections open for each request that it has under way."""
CONNECTIONS_TURNED_AWAY = 2
"""So many times the connections that are served: those beyond are told that it is busy, further ones are not let in."""
IDLE_SECONDS = 15
"""A connection on which nothing comes is closed, and so is one on which a request's head is not whole by then."""
_BACKLOG = 512


@dataclass(frozen=True, slots=True)
class Ground:
    """What the services of one process share.

    Attributes:
        settings: The process's.
        store: The private store; None where no service of the process needs it.
        anchoring: Anchors the store's audit chain; None where no network or no key for it is set.
    """

    settings: Settings
    store: Store | None
    anchoring: Anchoring | None = None


Build: TypeAlias = Callable[[Ground, Address], Sequence[Part]]


@dataclass(frozen=True, slots=True)
class Service:
    """One service that can be run.

    Attributes:
        name: As in `zhixin serve NAME` and `[addresses.NAME]`.
        port: Where it listens if nothing is configured.
        needs_store: Whether it keeps personal data.
        build: Makes its parts; called once, before anything listens.
        own_setting: `section.setting` without which a process of all services leaves this one out; "": never.
    """

    name: str
    port: int
    needs_store: bool
    build: Build
    own_setting: str = ""

    def is_set_up(self, settings: Settings) -> bool:
        """Whether a process of all services runs this one, too."""
        section, _, name = self.own_setting.partition(".")
        return not section or bool(getattr(getattr(settings, section), name))


def make_app(service: Service, ground: Ground) -> FastAPI:
    """One service's application, ready to be served."""
    address = ground.settings.address(service.name, service.port)
    parts = service.build(ground, address)
    if not service.needs_store:
        return create_app(parts, ground.settings, address)
    store = ground.store
    assert store is not None, "a process with such a service has a store"
    kept = Part("store", checks={"answers": store.answers})
    if (anchoring := ground.anchoring) is not None:
        checks = {"answers": store.answers, "anchored": anchoring.holds}
        kept = Part("store", start=anchoring.start, stop=anchoring.stop, checks=checks)
    secret = store.secret(f"http/{service.name}")
    return create_app([kept, *parts], ground.settings, address, secret=secret, replays=store.replays())


def run(services: Sequence[Service], ground: Ground, ready: Callable[[Sequence[Address]], None]) -> None:
    """Serve until SIGTERM or SIGINT; a second one cuts short what is under way.

    Args:
        services: At least one.
        ground: What they share; its store is closed by whoever opened it.
        ready: Called once everything listens.

    Raises:
        ConfigError: Two services would listen on the same address.
        ListenError: A port is taken or not ours to take.
    """
    addresses = [ground.settings.address(service.name, service.port) for service in services]
    if len({address.listen for address in addresses}) != len(addresses):
        raise ConfigError("two services have the same listen address; give each its own under [addresses.<service>]")
    apps = [make_app(service, ground) for service in services]
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(_listening(address.listen)) for address in addresses]
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(apps, sockets, ground.settings, lambda: ready(addresses)))


class _Server(uvicorn.Server):
    """One of several in a process, so signals are the process's affair."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave them alone."""
        yield


async def _serve(
    apps: Sequence[FastAPI], sockets: Sequence[socket.socket], settings: Settings, ready: Callable[[], None]
) -> None:
    """Start parts, serve, stop: not ready first, then closed, then without what is still under way."""
    servers = [_Server(_config(app, settings)) for app in apps]
    stopped = asyncio.Event()

    def stop() -> None:
        if stopped.is_set():
            for server in servers:
                server.force_exit = True
        stopped.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    async with AsyncExitStack() as stack:
        for app in apps:
            await stack.enter_async_context(app.router.lifespan_context(app))
        tasks = [
            asyncio.create_task(server.serve(sockets=[bound])) for server, bound in zip(servers, sockets, strict=True)
        ]
        ending = asyncio.create_task(stopped.wait())
        ready()
        await asyncio.wait([*tasks, ending], return_when=asyncio.FIRST_COMPLETED)
        for app in apps:
            app.state.stopping = True
        await asyncio.sleep(settings.http.drain_ms / 1000)
        for server in servers:
            server.should_exit = True
        await asyncio.gather(*tasks)
        ending.cancel()


def _config(app: FastAPI, settings: Settings) -> uvicorn.Config:
    served_max = settings.http.requests_max * CONNECTIONS_PER_REQUEST
    admission = Admission(
        settings.http.address_connections_max, served_max * CONNECTIONS_TURNED_AWAY, settings.http.proxies
    )
    return uvicorn.Config(
        app,
        http=connections(admission),
        ws=sockets(admission) if app.state.socket_paths else "none",
        ws_max_size=MESSAGE_BYTES_MAX,
        ws_ping_interval=PING_SECONDS,
        ws_ping_timeout=PING_SECONDS,
        ws_per_message_deflate=False,
        lifespan="off",  # run by us, so that what a part's start raises reaches the command
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=True,
        proxy_headers=bool(settings.http.proxies),
        forwarded_allow_ips=list(settings.http.proxies),
        limit_concurrency=served_max,
        timeout_keep_alive=IDLE_SECONDS,
        timeout_graceful_shutdown=-(-settings.http.stop_ms_max // 1000),
        h11_max_incomplete_event_size=HEAD_BYTES_MAX,
    )


@contextmanager
def _listening(listen: str) -> Iterator[socket.socket]:
    """A socket that listens.

    Raises:
        ListenError: The port is taken, or not ours to take.
    """
    host, port = split_address(listen)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as bound:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            bound.bind((host, port))
            bound.listen(_BACKLOG)
        except OSError as error:
            reason = error.strerror or str(error)
            raise ListenError(f"cannot listen on {listen}: {reason}; end what does, or set another address") from None
        bound.setblocking(False)
        yield bound
