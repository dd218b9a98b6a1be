# SPDX-License-Identifier: Apache-2.0
"""The services of identity: the desk, the issuer, the tagging of persons. Nothing here runs in a node."""
