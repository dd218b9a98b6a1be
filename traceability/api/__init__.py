# SPDX-License-Identifier: Apache-2.0
"""The services of traceability: the index of food events, the resolver, labels. Nothing here runs in a node."""
