# SPDX-License-Identifier: Apache-2.0
"""Sign-in of people who work with a service: passkeys, sessions, roles, invitations, and acts that they sign.

docs/services.md, "People and roles", explains it. Citizens do not sign in here.
"""
