# SPDX-License-Identifier: Apache-2.0
"""Who may do what: organisations, roles, keys, validators and parameters, as records on the chain."""
