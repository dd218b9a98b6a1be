# SPDX-License-Identifier: Apache-2.0
"""The ledger's rules: order, execute, certify, prove. No input or output, clock, randomness or threads."""
