# SPDX-License-Identifier: Apache-2.0
"""What registrars attest about people and companies, as rules on the chain."""
