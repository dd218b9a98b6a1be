# SPDX-License-Identifier: Apache-2.0
"""Scripts, styles and images that pages load: built from `web/`, named by their content, kept by browsers for good.

`web/build.mjs` writes `static/<hash>/<name>` and a manifest from plain names to those places. Everything is read into
memory once, so no request ever turns a path of its own into one of the disk.
"""

import gzip
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

FOLDER = Path(__file__).parent / "static"
PREFIX = "/static/"
KEEP = "public, max-age=31536000, immutable"
"""A file never changes under its name, so a year (RFC 9111 knows no longer one) and no questions."""

STATIC_SIZE_MAX = 8 * 2**20
"""Bytes of all files together: they are kept in memory, and the whole of the pages' code is far below."""

_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".json": "application/json",
    ".webmanifest": "application/manifest+json",
}


class PagesNotBuilt(RuntimeError):
    """The built scripts and styles are missing or unreadable; the message says what to run."""


@dataclass(frozen=True, slots=True)
class StaticFile:
    """One built file."""

    content: bytes
    packed: bytes
    media_type: str


@dataclass(frozen=True, slots=True)
class StaticFiles:
    """All built files of one build."""

    names: Mapping[str, str]
    files: Mapping[str, StaticFile]
    imports: Mapping[str, Sequence[str]]
    """What each name loads, itself first."""

    def url(self, name: str) -> str:
        """The address of a built file, with its content's hash.

        Args:
            name: What `web/build.mjs` calls it, such as `shell.css`.

        Raises:
            KeyError: The build made no such file.
        """
        return PREFIX + self.names[name]

    def needed(self, names: Iterable[str]) -> list[str]:
        """Paths below `PREFIX` of some files and of all that they import, each once.

        Raises:
            KeyError: The build made no such file.
        """
        return sorted({path for name in names for path in self.imports[name]})

    async def serve(self, request: Request) -> Response:
        """Answer a request for `/static/{path}`."""
        found = self.files.get(request.path_params["path"])
        if found is None:
            return PlainTextResponse("Not found\n", 404, {"cache-control": "no-store"})
        headers = {"cache-control": KEEP, "vary": "Accept-Encoding", "x-content-type-options": "nosniff"}
        content = found.content
        if len(found.packed) < len(content) and "gzip" in request.headers.get("accept-encoding", ""):
            headers["content-encoding"] = "gzip"
            content = found.packed
        return Response(content, headers=headers, media_type=found.media_type)


def load_static_files(folder: Path) -> StaticFiles:
    """Read what `web/build.mjs` has built.

    Args:
        folder: Holds `manifest.json` and the files that it names.

    Raises:
        PagesNotBuilt: There is no build, or it is damaged.
    """
    remedy = "run `make setup-web` (it needs Node.js 20 or newer)"
    try:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        imports: dict[str, list[str]] = manifest["imports"]
        names = {name: paths[0] for name, paths in imports.items()}
        contents = {path: (folder / path).read_bytes() for path in manifest["files"]}
    except FileNotFoundError as error:
        raise PagesNotBuilt(
            f"the pages' scripts and styles are not built, {error.filename} is missing: {remedy}"
        ) from None
    except (ValueError, LookupError, TypeError, AttributeError, OSError) as error:
        raise PagesNotBuilt(f"{folder / 'manifest.json'} can't be read ({error}): {remedy}") from error
    total = sum(map(len, contents.values()))
    if total > STATIC_SIZE_MAX:
        raise PagesNotBuilt(f"{folder} holds {total} bytes, more than {STATIC_SIZE_MAX}: remove it and {remedy}")
    files = {
        path: StaticFile(content, gzip.compress(content, 9, mtime=0), _TYPES.get(Path(path).suffix, "text/plain"))
        for path, content in contents.items()
    }
    return StaticFiles(names, files, imports)


@cache
def static_files() -> StaticFiles:
    """The files of this installation, read once.

    Raises:
        PagesNotBuilt: There is no build.
    """
    return load_static_files(FOLDER)
