# SPDX-License-Identifier: Apache-2.0
"""The process of a validator or follower: where the ledger does input and output."""

import os

# gRPC reads this when it is first imported; without it each bad handshake of a stranger writes a line.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
