# SPDX-License-Identifier: Apache-2.0
"""From a table of people to attestations on the chain, without anything about the people going there."""
