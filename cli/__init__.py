# SPDX-License-Identifier: Apache-2.0
"""The `zhixin` command: composes the other packages and decides nothing itself."""
