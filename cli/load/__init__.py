# SPDX-License-Identifier: Apache-2.0
"""Load on a real network, and what it could carry."""
