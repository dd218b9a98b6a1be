# SPDX-License-Identifier: Apache-2.0
"""`python -m cli` is `zhixin`; child processes start that way, with the interpreter that runs already."""

from cli.main import main

main()
