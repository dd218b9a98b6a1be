# SPDX-License-Identifier: Apache-2.0
"""Where food came from: EPCIS events, GS1 codes, and what they prove."""
