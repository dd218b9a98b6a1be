# SPDX-License-Identifier: Apache-2.0
"""The explorer: what stands on the ledger, for anybody to look at and to check on their own device."""
