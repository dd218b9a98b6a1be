# SPDX-License-Identifier: Apache-2.0
"""What a node counts, under stable names, for Prometheus on a loopback address.

Each node has a registry of its own, so that several can run in one process.
"""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server

from node.config import split_address
from node.errors import TransportError

BLOCK_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
TRANSACTIONS = (0, 1, 10, 100, 1_000, 5_000, 20_000)


class Metrics:
    """All metrics of one node.

    Attributes:
        registry: Holds them.
    """

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()

        def gauge(name: str, text: str) -> Gauge:
            return Gauge(f"zhixin_{name}", text, registry=registry)

        def counter(name: str, text: str) -> Counter:
            return Counter(f"zhixin_{name}", text, registry=registry)

        self.epoch = gauge("epoch", "Epoch that this node is in")
        self.view = gauge("view", "View that this node is in")
        self.executed_height = gauge("executed_height", "Height of the newest executed block")
        self.certified_height = gauge("certified_height", "Height of the newest certified checkpoint")
        self.block_time = gauge("block_time_seconds", "Time of the newest executed block, seconds since 1970")
        self.log_size = gauge("log_size", "Entries in the log")
        self.pending = gauge("mempool_transactions", "Transactions in the mempool")
        self.pending_bytes = gauge("mempool_bytes", "What they weigh, overhead included")
        self.verifying = gauge("admission_waiting", "Transactions that wait for their signature check")
        self.peers_connected = gauge("peers_connected", "Peers that a stream leads to")
        self.waiters = gauge("receipt_waiters", "Transactions whose receipts are waited for")
        self.transactions = counter("transactions", "Transactions that got an entry")
        self.skipped = counter("transactions_skipped", "Transactions in blocks that yielded no entry")
        self.verified = counter("transactions_verified", "Transactions whose signatures were checked")
        self.refused = counter("transactions_refused", "Transactions that admission refused")
        self.blocks = counter("blocks", "Executed blocks")
        self.void_blocks = counter("void_blocks", "Final blocks above their epoch's closing block")
        self.rejected = counter("messages_rejected", "Peer messages that the core or the decoder refused")
        self.frames = counter("frames_received", "Frames from peers")
        self.dropped = counter("messages_dropped", "Items dropped from full outgoing queues")
        self.pulls = counter("body_pulls", "Requests for transaction bodies sent to peers")
        self.oldest_block = gauge("oldest_block", "Lowest height whose block is held")
        self.ledger_bytes = gauge("ledger_bytes", "What the ledger's database takes on disk")
        self.sync_share = gauge("sync_share", "Part of a snapshot's state that is taken, 0 to 1; 1 when none is taken")
        self.sync_refused = gauge("sync_parts_refused", "Parts of that snapshot that did not verify")
        self.sync_served = counter("sync_parts_served", "Parts of snapshots given to peers")
        self.snapshots = gauge("snapshots", "States that stay on disk for peers to take")
        self.execute_seconds = Histogram(
            "zhixin_execute_seconds", "Executing and storing a block", buckets=BLOCK_SECONDS, registry=registry
        )
        self.persist_seconds = Histogram(
            "zhixin_persist_seconds", "Synced writes of the vote journal", buckets=BLOCK_SECONDS, registry=registry
        )
        self.block_transactions = Histogram(
            "zhixin_block_transactions", "Transactions in an executed block", buckets=TRANSACTIONS, registry=registry
        )


class MetricsServer:
    """Serves a registry over HTTP in a thread of its own."""

    def __init__(self, metrics: Metrics, listen: str) -> None:
        """Start serving.

        Raises:
            TransportError: The address is taken or not ours.
        """
        host, port = split_address(listen)
        try:
            self._server, self._thread = start_http_server(port, host, metrics.registry)
        except OSError as error:
            raise TransportError(f"metrics.listen: {listen} cannot be used: {error.strerror}") from None

    def stop(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
