# SPDX-License-Identifier: Apache-2.0
"""Entry of the `zhixin` command: chooses language and output, runs one command, and turns errors into exit codes."""

import os
import sys

from cli import language, output, program


def run(argv: list[str]) -> int:
    """Run one command line and return its exit code; errors are printed, never raised."""
    output.use_json(on="--json" in argv)
    language.select(language.choose(language.argument_in(argv), os.environ))
    # Help texts are looked up when a module is imported: the language must be known before.
    from cli.app import build  # noqa: PLC0415 - after the language is chosen
    from cli.exits import Exit  # noqa: PLC0415 - after the language is chosen
    from cli.failure import report  # noqa: PLC0415 - after the language is chosen
    from cli.usage import localise_help  # noqa: PLC0415 - after the language is chosen

    localise_help()
    try:
        result = build().main(args=argv, prog_name="zhixin", standalone_mode=False)
    except BaseException as error:  # noqa: BLE001 - the outermost frame: every error ends as words and a code
        return report(error)
    if result == Exit.INTERRUPTED:
        return report(KeyboardInterrupt())  # the parser took it for an exit without words
    return result if isinstance(result, int) else 0


def main() -> None:
    """The console script."""
    if sys.flags.optimize:
        sys.exit("zhixin: refuses to run under python -O; assertions are part of its safety")
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    program.called_as(sys.argv[0])
    sys.exit(run(sys.argv[1:]))
