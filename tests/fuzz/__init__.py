# SPDX-License-Identifier: Apache-2.0
"""Every decoder that reads what others sent, as fuzz targets; shared by the fuzzer and by the property tests."""
