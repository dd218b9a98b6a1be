# SPDX-License-Identifier: Apache-2.0
"""The process of a validator or follower: where the ledger does input and output."""
