# SPDX-License-Identifier: Apache-2.0
"""One node, put together: disk, core, transport, admission, API. It decides nothing itself.

`run` returns when `stop` is called, and raises what ended the node otherwise. Several nodes can run in one process.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine, Mapping
from importlib.metadata import version

import structlog

from chain import bls, genesis
from chain.application import Execution
from chain.certificate import BlsScheme
from chain.checkpoint import CertifiedCheckpoint, Checkpoint, ValidatorSet
from chain.consensus.signer import LocalSigner
from chain.consensus.validator import Config as CoreConfig
from chain.consensus.validator import Validator
from chain.errors import LedgerError
from chain.ledger import Ledger
from chain.types import FIRST_EPOCH, BlsKey, Epoch, Millis
from client.pb import node_service_pb2 as pb
from membership.state import load_seat
from node.admission import Admission
from node.answers import Answers, Newest, newest_of
from node.bodies import BodyStore
from node.clock import ClockWatch, check_clock
from node.config import Config, Home
from node.disk import Disk, open_disk, size_on_disk
from node.driver import Driver
from node.evidence import evidence_transaction
from node.gather import Gatherer
from node.inbox import Inbox
from node.keyring import NodeKeys, read_file
from node.ledger_service import LedgerService
from node.local import LocalServer
from node.logs import Limiter
from node.mempool import Mempool
from node.metrics import Metrics, MetricsServer
from node.modules import ledger_modules
from node.newcomer import Own
from node.peers import Followers, peers_of
from node.rpc import ClientServer, ClientService
from node.syncing import Syncing
from node.transport import Peer, Transport
from node.waiters import Waiters

UPKEEP_SECONDS = 1.0
DISK_LOOKS = 15
"""The ledger's files are counted at each so many looks: some hundreds of calls of the system."""
MEMBERSHIP_PREFIX = b"membership/validator/"
CLOCK_WARNING_MS = 60_000

log = structlog.get_logger(__name__)


class _Stopped(Exception):
    """Ends the node's tasks when it is to stop."""


def wall_clock_ms() -> Millis:
    """The system's clock; the core gets its time from here alone."""
    return Millis(time.time_ns() // 1_000_000)


class Node:
    """A validator or follower over one home."""

    def __init__(
        self,
        home: Home,
        config: Config,
        environment: Mapping[str, str],
        *,
        now: Callable[[], Millis] = wall_clock_ms,
    ) -> None:
        """Read keys and genesis, open the databases, build the core. Nothing listens yet.

        Raises:
            ConfigError: A file, key, or the clock is not what it should be.
            LedgerError: No network starts from this genesis, or another one's ledger lies here.
            StorageError: A database is damaged or can't be opened.
        """
        self._home = home
        self._config = config
        self._now = now
        self._began_ms = now()
        self._keys = NodeKeys(home, config, environment)
        self._genesis = genesis.load(read_file(home.genesis))
        storage = config.storage
        self._disk = open_disk(
            home, self._genesis.network, self._keys.bls_key, archive=storage.archive, blocks_kept=storage.blocks_kept
        )
        try:
            self._build()
        except BaseException:
            self._disk.close()
            raise

    def _build(self) -> None:
        config, disk, now = self._config, self._disk, self._now
        registry, authority = ledger_modules()
        self._ledger = Ledger(disk.store, self._genesis, registry, authority)
        tip = self._ledger.tip()
        check_clock(tip.time_ms, now(), config.clock.tip_ahead_ms_max)
        self.metrics = Metrics()
        self.mempool = Mempool(config.mempool)
        self._bodies = BodyStore()
        for transaction in disk.bodies:
            self._bodies.load(transaction)
        for block in disk.durable.blocks.values():
            self._bodies.adopt(block)
        self._failure: asyncio.Future[None] | None = None
        self._service = LedgerService(self._ledger, disk.store, self._fail, disk.database.compact)
        self._syncing = Syncing(
            self,
            home=self._home,
            config=config,
            keys=self._keys,
            genesis=self._genesis,
            disk=disk,
            metrics=self.metrics,
            fatal=self._fail,
            now=now,
        )
        self._service.keep(self._syncing.snapshots.heights)
        self.transport = Transport(self._keys.identity, config.peer, self._receive, self._syncing.add_to)
        self.admission = Admission(
            self._genesis.network,
            self._service,
            self.mempool,
            gossip=self.transport.gossip,
            changed=self._mempool_changed,
            now=now,
            config=config.admission,
        )
        gatherer = Gatherer(
            mempool=self.mempool,
            bodies=self._bodies,
            admission=self.admission,
            transport=self.transport,
            metrics=self.metrics,
            retry_ms=config.consensus.pull_retry_ms,
        )
        self.driver = Driver(
            validator=self._make_validator(disk),
            journal=disk.journal,
            ledger=self._service,
            gate=self._service,
            mempool=self.mempool,
            bodies=self._bodies,
            gatherer=gatherer,
            transport=self.transport,
            listener=self,
            metrics=self.metrics,
            limiter=Limiter(config.logging.reject_interval_ms, now),
            tip_time_ms=tip.time_ms,
            now=now,
        )
        self._inbox = Inbox(
            driver=self.driver,
            gatherer=gatherer,
            admission=self.admission,
            ledger=self._service,
            transport=self.transport,
            clock=ClockWatch(config.clock.peers_off_ms_max, self._clock_is_off),
            now=now,
            spawn=self._spawn,
            peer=config.peer,
            consensus=config.consensus,
        )
        self._waiters = Waiters()
        answers = Answers(self._ledger, disk.store)
        self._api = ClientService(
            admission=self.admission,
            ledger=self._service,
            answers=answers,
            waiters=self._waiters,
            describe=self.status,
            config=config.client,
        )
        newest = newest_of(disk.store)
        if newest is not None:
            self._api.set_newest(newest)
            self._syncing.certified(newest.checkpoint.height)
        self._server = ClientServer(self._api, self._keys.identity, config.client)
        self._local = LocalServer(disk.database, self._home.socket)
        self._warnings = Limiter(CLOCK_WARNING_MS, now)
        self._tasks: asyncio.TaskGroup | None = None
        self._stop = asyncio.Event()
        self._followers = Followers(self._home.trusted)
        key, durable = self._keys.bls_key, disk.durable
        self._is_muted = key is not None and (durable.lost or durable.muted == key)
        self._is_voted_out = False
        self._is_dispensable = False
        self._tip = tip
        self._log_size = disk.store.log_size
        self._peers_wanted = asyncio.Event()
        self._counted = {"verified": 0, "refused": 0, "frames": 0, "dropped": 0}

    def _make_validator(self, disk: Disk) -> Validator:
        key = self._keys.validator
        signer = None
        if key is not None:
            signer = LocalSigner(self._genesis.network, bls.SecretKey(key.secret))
        core = CoreConfig(
            network=self._genesis.network,
            key=self._keys.bls_key,
            genesis_validators=self._genesis.validators,
            genesis_time_ms=self._genesis.time_ms,
        )
        tip_block = disk.store.block(disk.store.height) if disk.store.height else None
        return Validator(core, disk.durable, disk.store.executed(), tip_block, signer, BlsScheme())

    # ------------------------------------------------------------ running

    async def run(self, ready: Callable[[], None] = lambda: None) -> None:
        """Run until `stop`; `ready` is called once the node listens.

        Raises:
            ExceptionGroup: Of what ended it: `Halted`, `StorageError`, `TransportError`, or a fault of ours.
        """
        self._failure = asyncio.get_running_loop().create_future()
        metrics = None
        try:
            if self._config.metrics.listen:
                metrics = MetricsServer(self.metrics, self._config.metrics.listen)
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                tasks.create_task(self._until_stopped())
                tasks.create_task(self._until_failed(self._failure))
                await self._start(tasks)
                ready()
        except* _Stopped:
            pass
        finally:
            await self._shut_down()
            if metrics is not None:
                metrics.stop()

    async def _start(self, tasks: asyncio.TaskGroup) -> None:
        validator = self.driver.validator
        log.info(
            "node.starting",
            network=self._genesis.network.hex(),
            role="validator" if validator.is_member else "follower",
            epoch=validator.epoch,
            height=self._tip.height,
            version=version("zhixin"),
        )
        if self._keys.bls_key is not None and not validator.is_member:
            log.warning("node.not-a-member", key=self._keys.bls_key.hex(), epoch=validator.epoch)
        if self._is_muted and validator.is_member:
            log.error(
                "node.muted",
                reason="the vote journal of this key was lost, so it never votes again: have the validator leave, and "
                "join with a new key",
            )
        self.admission.start()
        for closing in self._disk.durable.closings.values():
            await self._service.close_epoch(closing)
        await self._set_peers()
        self.driver.start(tasks)
        tasks.create_task(self._follow_peers(), name="peers")
        tasks.create_task(self.transport.keep_listening(), name="listener")
        tasks.create_task(self._upkeep(), name="upkeep")
        tasks.create_task(self._syncing.watch(), name="newcomer")
        await self._server.start()
        self._local.start()

    def stop(self) -> None:
        """End `run` cleanly; from the event loop."""
        self._stop.set()

    @property
    def is_stopping(self) -> bool:
        """Whether `stop` was called."""
        return self._stop.is_set()

    async def _until_stopped(self) -> None:
        await self._stop.wait()
        raise _Stopped

    async def _until_failed(self, failure: asyncio.Future[None]) -> None:
        await failure

    async def _shut_down(self) -> None:
        """Close everything, whatever state it is in."""
        self._tasks = None
        await self._server.stop()
        await self.transport.stop()
        await asyncio.to_thread(self._syncing.stop)
        await self.admission.stop()
        self.driver.stop()
        self._service.stop()
        await asyncio.to_thread(self._local.stop)
        self._disk.close()
        log.info("node.stopped", height=self._tip.height)

    def close(self) -> None:
        """Give the disk back without having run."""
        self._syncing.stop()
        self._service.stop()
        self._disk.close()

    def _fail(self, error: BaseException) -> None:
        """The ledger's thread met an error after which the node must stop."""
        if self._failure is not None and not self._failure.done():
            self._failure.set_exception(error)

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        """Do this beside everything else; a fault in it ends the node."""
        if self._tasks is None:
            work.close()
            return
        with contextlib.suppress(RuntimeError):  # the group is ending
            self._tasks.create_task(work)
            return
        work.close()

    async def _receive(self, sender: BlsKey, frame: object) -> None:
        await self._inbox.receive(sender, frame)  # type: ignore[arg-type]  # the transport decoded it

    def _mempool_changed(self) -> None:
        self.driver.mempool_changed()

    # ------------------------------------------------------------ what the driver tells

    def executed(self, execution: Execution) -> None:
        """A block is executed and stored."""
        self._tip = self._ledger.tip()
        self._log_size = execution.checkpoint.log_size
        self._waiters.executed(execution)
        if any(key.startswith(MEMBERSHIP_PREFIX) for key, _ in execution.writes):
            self._peers_wanted.set()

    def certified(self, certified: CertifiedCheckpoint, checkpoint: Checkpoint) -> None:
        """Receipts up to this checkpoint can be given."""
        self._api.set_newest(Newest(certified, checkpoint))
        self._syncing.certified(checkpoint.height)
        self._waiters.certified(checkpoint)

    def epoch_entered(self, _validators: ValidatorSet) -> None:
        """The set has changed."""
        self._peers_wanted.set()

    def evidence_found(self, author: BlsKey, evidence: bytes) -> None:
        """Put it on the chain, or at least keep it."""
        key = self._keys.organisation
        if key is None:
            self._home.dumps.mkdir(mode=0o700, parents=True, exist_ok=True)
            (self._home.dumps / f"evidence-{author.hex()[:16]}-{self._now()}.bin").write_bytes(evidence)
            return
        transaction = evidence_transaction(evidence, key, self._genesis.network, self._now())
        self._spawn(self._submit_evidence(transaction.raw))

    async def _submit_evidence(self, raw: bytes) -> None:
        (outcome,) = await self.admission.submit([raw], from_client=True)
        if isinstance(outcome, LedgerError):
            log.warning("evidence.refused", code=outcome.code, reason=outcome.reason)

    # ------------------------------------------------------------ peers

    async def _follow_peers(self) -> None:
        """Whenever the set or an endpoint changes, so do the connections."""
        while True:
            await self._peers_wanted.wait()
            self._peers_wanted.clear()
            await self._set_peers()

    async def _set_peers(self) -> None:
        """Connect to the epoch's members and the next one's; keep the former ones, who may still need answers."""
        keys = (*self.driver.validator.validators.keys, *await self._service.run(self._former_keys))
        members = await self._service.run(peers_of, keys, self._ledger.read)
        wanted = {peer.bls_key: peer for peer in members}
        named = {peer.certificate for peer in wanted.values()}
        # One that followed before it joined still lies in the folder: its frames must count as the validator's.
        wanted |= {peer.bls_key: peer for peer in self._followers.peers if peer.certificate not in named}
        if self._keys.bls_key is not None:
            seat = await self._service.run(load_seat, self._ledger.read, self._keys.bls_key)
            self._is_voted_out = seat is not None and seat.until_epoch != 0
        own = self._keys
        await self.transport.set_peers(
            peer for key, peer in wanted.items() if key != own.bls_key and peer.certificate != own.certificate
        )

    def _former_keys(self) -> tuple[BlsKey, ...]:
        """The members of the epoch before; from disk, since they need answers after a restart as much as before it."""
        before = self.driver.validator.epoch - 1
        if before <= FIRST_EPOCH:
            return self._genesis.validators.keys if before == FIRST_EPOCH else ()
        closings = self._disk.store.proofs.closings(Epoch(before - 1), 1)
        return ValidatorSet.decode(closings[0].next).keys if closings else ()

    def _clock_is_off(self, off_ms: int) -> None:
        if self._warnings.allows("clock") is not None:
            log.warning("clock.off", most_leaders_ahead_ms=off_ms)

    # ------------------------------------------------------------ what its part in snapshots asks for

    def reach(self) -> Own:
        """How far the ledger reaches now."""
        return Own(self._tip.height, self._log_size)

    def peers(self) -> tuple[Peer, ...]:
        """Whom this node talks to."""
        return self.transport.peers

    def members(self) -> tuple[Peer, ...]:
        """The validators among them."""
        keys = frozenset(self.driver.validator.validators.keys)
        return tuple(peer for peer in self.transport.peers if peer.bls_key in keys)

    def sender_of(self, pem: bytes) -> BlsKey | None:
        """Whose certificate this is; None for one that is not pinned."""
        return self.transport.sender_of(pem)

    def pause_ranges(self, *, paused: bool) -> None:
        """Stop asking for blocks, or go on."""
        self.driver.ranges_paused = paused

    # ------------------------------------------------------------ what it says of itself

    async def _upkeep(self) -> None:
        """Figures for metrics, waiters whose transactions have expired, and what the operator has changed."""
        looks = 0
        while True:
            await asyncio.sleep(UPKEEP_SECONDS)
            self._waiters.expire(self._tip.time_ms)
            if self._followers.have_changed():
                self._peers_wanted.set()
            if self._role() == pb.ROLE_LEFT and not self._is_dispensable:
                self._is_dispensable = True
                log.info("node.may-be-stopped", epoch=self.driver.validator.epoch)
            self._syncing.upkeep()
            metrics = self.metrics
            metrics.oldest_block.set(self._disk.store.oldest_block)
            if (looks := looks + 1) % DISK_LOOKS == 1:
                metrics.ledger_bytes.set(await asyncio.to_thread(size_on_disk, self._home.ledger))
            metrics.waiters.set(self._waiters.count)
            metrics.verifying.set(self.admission.waiting)
            for name, counter, value in (
                ("verified", metrics.verified, self.admission.verified),
                ("refused", metrics.refused, self.admission.refused),
                ("frames", metrics.frames, self.transport.frames_received),
                ("dropped", metrics.dropped, self.transport.dropped),
            ):
                counter.inc(max(0, value - self._counted[name]))
                self._counted[name] = value

    def _role(self) -> pb.Role.ValueType:
        """What this node is to the others now."""
        validator = self.driver.validator
        if validator.is_member:
            return pb.ROLE_MUTED if self._is_muted else pb.ROLE_VALIDATOR
        if self._is_voted_out:
            return pb.ROLE_LEFT if validator.may_leave else pb.ROLE_LEAVING
        return pb.ROLE_FOLLOWER

    def status(self) -> pb.StatusResponse:
        """What the node says of itself to anyone who asks."""
        validator = self.driver.validator
        newest = self._api.newest
        connected = self.transport.connected
        return pb.StatusResponse(
            network=self._genesis.network,
            network_name=self._genesis.name,
            version=version("zhixin"),
            bls_key=self._keys.bls_key or b"",
            organisation=next(
                (v.organisation for v in validator.validators.validators if v.bls_key == self._keys.bls_key), ""
            ),
            epoch=validator.epoch,
            view=validator.view,
            executed_height=self._tip.height,
            certified_height=0 if newest is None else newest.checkpoint.height,
            time_ms=self._tip.time_ms,
            log_size=self._log_size,
            pending=self.mempool.count,
            uptime_ms=max(0, self._now() - self._began_ms),
            peers=[
                pb.PeerStatus(
                    bls_key=peer.bls_key,
                    organisation=peer.organisation,
                    address=peer.address,
                    connected=peer.bls_key in connected,
                )
                for peer in self.transport.peers
            ],
            role=self._role(),
            joining=self._syncing.status(),
            oldest_block=self._disk.store.oldest_block,
            first_leaf=self._disk.store.first_leaf,
        )
