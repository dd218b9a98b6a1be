# SPDX-License-Identifier: Apache-2.0
"""Examines the machine under a node: clock, disk, limits, memory. Nothing here asks the node or the network."""

import contextlib
import ctypes
import os
import platform
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from node.doctor_findings import Finding, error, ok, unknown, warning

CLOCK_UNSYNCHRONISED = 5
"""TIME_ERROR, what adjtimex(2) returns while no time service disciplines the clock."""
_TIMEX_BYTES = 512
"""More than any `struct timex`; all zeros ask and change nothing."""
SPACE_ERROR_BYTES, SPACE_WARNING_BYTES = 1 << 30, 10 << 30
SPACE_WARNING_PERCENT = 10
INODES_WARNING = 100_000
"""LevelDB makes a file for each 8 MiB."""
SYNC_WARNING_MS, SYNC_ERROR_MS = 20, 200
"""A vote waits for two syncs; a view's delay bound is 500 ms."""
SYNCS = 20
FILES_ERROR, FILES_WARNING = 1_024, 4_096
"""Each LevelDB takes up to 512 descriptors, each connection one."""
MEMORY_ERROR_BYTES, MEMORY_WARNING_BYTES = 1 << 30, 3 << 30
_NETWORK_FILESYSTEMS = frozenset({"nfs", "nfs4", "cifs", "smb3", "9p", "ceph", "glusterfs", "fuse.sshfs"})
_VOLATILE_FILESYSTEMS = frozenset({"tmpfs", "ramfs"})
_LOCAL_FILESYSTEMS = frozenset({"ext4", "xfs", "btrfs", "zfs", "f2fs", "ext3"})


def examine_machine(data: Path) -> Iterator[Finding]:
    """Look at the machine.

    Args:
        data: Folder of the node's databases.
    """
    yield _program()
    yield _clock_service()
    yield _hardware_clock()
    yield _time_zone()
    place = _existing(data)
    yield _filesystem(place)
    yield _space(place)
    yield _inodes(place)
    yield _sync_speed(place)
    yield _open_files()
    yield _memory()


def _program() -> Finding:
    found = {"python": platform.python_version(), "system": platform.platform()}
    if sys.flags.optimize:
        return error("program.optimised", **found)
    return ok("program.ok", **found)


def _clock_service() -> Finding:
    """Whether the kernel says that something keeps its clock."""
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        state = libc.adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
    except (OSError, AttributeError):
        state = -1
    if state < 0:
        return unknown("clock-service.unknown")
    return warning("clock-service.none") if state == CLOCK_UNSYNCHRONISED else ok("clock-service.ok")


def _hardware_clock(adjtime: Path = Path("/etc/adjtime")) -> Finding:
    """A hardware clock in local time jumps with the season, and with it the clock of a machine that starts."""
    try:
        lines = adjtime.read_text().splitlines()
    except OSError:
        return unknown("hardware-clock.unknown")
    return warning("hardware-clock.local") if "LOCAL" in lines[2:3] else ok("hardware-clock.ok")


def _time_zone() -> Finding:
    """The node counts milliseconds since 1970 in UTC, which no zone may change."""
    zone = time.strftime("%Z")
    before = time.time_ns()
    by_calendar = int(time.mktime(time.localtime(before // 10**9)))  # through the zone and back
    if abs(by_calendar - before // 10**9) > 1:
        return warning("time-zone.broken", zone=zone)
    return ok("time-zone.ok", zone=zone)


def _existing(path: Path) -> Path:
    """The path, or the nearest folder above it that exists."""
    while not path.exists() and path != path.parent:
        path = path.parent
    return path


def _filesystem(place: Path) -> Finding:
    try:
        mounts = Path("/proc/self/mountinfo").read_text()
    except OSError:
        return unknown("filesystem.unknown")
    kind, options, best = "", "", -1
    real = os.path.realpath(place)
    for line in mounts.splitlines():
        fields, _, rest = line.partition(" - ")
        point = fields.split()[4].replace("\\040", " ")
        if len(point) > best and (real == point or real.startswith(point.rstrip("/") + "/")):
            kind, options, best = rest.split()[0], fields.split()[5], len(point)
    if "ro" in options.split(","):
        return error("filesystem.read-only", kind=kind)
    if kind in _VOLATILE_FILESYSTEMS:
        return error("filesystem.volatile", kind=kind)
    if kind in _NETWORK_FILESYSTEMS:
        return error("filesystem.network", kind=kind)
    return ok("filesystem.ok", kind=kind) if kind in _LOCAL_FILESYSTEMS else warning("filesystem.other", kind=kind)


def _space(place: Path) -> Finding:
    try:
        found = os.statvfs(place)
    except OSError as reason:
        return unknown("disk-space.unknown", reason=str(reason))
    free, total = found.f_bavail * found.f_frsize, max(1, found.f_blocks * found.f_frsize)
    values = {"free_mib": free >> 20, "percent": 100 * free // total}
    if free < SPACE_ERROR_BYTES:
        return error("disk-space.full", **values)
    if free < SPACE_WARNING_BYTES or values["percent"] < SPACE_WARNING_PERCENT:
        return warning("disk-space.low", **values)
    return ok("disk-space.ok", **values)


def _inodes(place: Path) -> Finding:
    try:
        found = os.statvfs(place)
    except OSError as reason:
        return unknown("disk-inodes.unknown", reason=str(reason))
    if not found.f_files:
        return ok("disk-inodes.unlimited")
    few = found.f_favail < INODES_WARNING
    return warning("disk-inodes.few", free=found.f_favail) if few else ok("disk-inodes.ok", free=found.f_favail)


def _sync_speed(place: Path) -> Finding:
    """How long a small write takes until it would survive a power cut."""
    took_ms: list[float] = []
    try:
        with tempfile.TemporaryFile(dir=place, buffering=0) as file:
            for _ in range(SYNCS):
                began = time.perf_counter()
                file.write(b"\x00" * 4096)
                os.fsync(file.fileno())
                took_ms.append((time.perf_counter() - began) * 1000)
    except OSError as reason:
        return unknown("disk-sync.unknown", reason=str(reason))
    median, worst = statistics.median(took_ms), max(took_ms)
    values = {"median_ms": f"{median:.1f}", "worst_ms": f"{worst:.1f}"}
    if median > SYNC_ERROR_MS:
        return error("disk-sync.very-slow", **values)
    return warning("disk-sync.slow", **values) if median > SYNC_WARNING_MS else ok("disk-sync.ok", **values)


def _open_files() -> Finding:
    """Of this command; a service manager may give the node another limit."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    count = soft if soft != resource.RLIM_INFINITY else 1 << 30
    if count < FILES_ERROR:
        return error("open-files.few", count=count)
    return warning("open-files.low", count=count) if count < FILES_WARNING else ok("open-files.ok", count=count)


def _memory(proc: Path = Path("/proc/meminfo"), group: Path = Path("/sys/fs/cgroup/memory.max")) -> Finding:
    """What the machine has, or what its container may have."""
    try:
        fields = dict(line.split(":", 1) for line in proc.read_text().splitlines() if ":" in line)
        total = int(fields["MemTotal"].split()[0]) << 10
        available = int(fields["MemAvailable"].split()[0]) << 10
    except (OSError, KeyError, ValueError):
        return unknown("memory.unknown")
    with contextlib.suppress(OSError, ValueError):  # no such limit: "max"
        total = min(total, int(group.read_text()))
    values = {"total_mib": total >> 20, "available_mib": min(available, total) >> 20}
    if total < MEMORY_ERROR_BYTES:
        return error("memory.little", **values)
    return warning("memory.low", **values) if total < MEMORY_WARNING_BYTES else ok("memory.ok", **values)
