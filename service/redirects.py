# SPDX-License-Identifier: Apache-2.0
"""Where a page may send a browser next: to a path of this site, and nowhere else."""

import re

PATH_CHARACTERS_MAX = 2048

_LOCAL = re.compile(r"/(?![/\\])[A-Za-z0-9._~!$&'()*+,;=:@%/?-]*")


def local_path(wanted: str | None, otherwise: str = "/") -> str:
    """The path to go to, if it surely stays on this site.

    Args:
        wanted: What a caller asks for, such as `?next=`; anything at all.
        otherwise: Where to go if that leads elsewhere or can be read in two ways.

    Returns:
        A path with its query, without scheme, host, backslash, control character or fragment.
    """
    if wanted is None or len(wanted) > PATH_CHARACTERS_MAX or not _LOCAL.fullmatch(wanted):
        return otherwise
    return otherwise if "//" in wanted.partition("?")[0] else wanted


class Elsewhere(Exception):
    """Ends the request for a page by sending the browser to another one of this site.

    Args:
        path: Where to.
    """

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = local_path(path)
