"""Reads a log as any client of c2sp.org/tlog-tiles would, from a plain web server, and checks that it is one.

Checks the checkpoint's signature (c2sp.org/signed-note), hashes every entry of every bundle, and compares all tiles of
all levels and the root (RFC 9162 section 2.1.1) with what follows from them.
"""

from __future__ import annotations

import argparse
import urllib.request

import wire


def fetch(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=30) as answer:
        return answer.read()


def path(kind: str, index: int, width: int) -> str:
    groups = [f"{index % 1000:03}"]
    while index >= 1000:
        index //= 1000
        groups.insert(0, f"x{index % 1000:03}")
    partial = "" if width == 256 else f".p/{width}"
    return f"tile/{kind}/{'/'.join(groups)}{partial}"


def entries(bundle: bytes) -> list[bytes]:
    found = []
    while bundle:
        length = int.from_bytes(bundle[:2], "big")
        assert len(bundle) >= 2 + length
        found.append(bundle[2 : 2 + length])
        bundle = bundle[2 + length :]
    return found


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("url", help="where the log's prefix is")
    arguments.add_argument("vkey", help="verifier key of the log")
    given = arguments.parse_args()
    key = wire.VerifierKey.parse(given.vkey)
    head = wire.open_checkpoint(fetch(f"{given.url}/checkpoint"), key, key.name)
    level: list[bytes] = []
    for first in range(0, head.size, 256):
        width = min(256, head.size - first)
        bundle = entries(fetch(f"{given.url}/{path('entries', first // 256, width)}"))
        assert len(bundle) == width, f"bundle {first // 256}"
        level += [wire.leaf_hash(entry) for entry in bundle]
    assert wire.merkle_root(level) == head.root, "the root"
    levels, tiles = 0, 0
    while level:
        for first in range(0, len(level), 256):
            hashes = level[first : first + 256]
            name = path(str(levels), first // 256, len(hashes))
            assert fetch(f"{given.url}/{name}") == b"".join(hashes), name
            tiles += 1
        full = len(level) // 256 * 256
        level = [wire.merkle_root(level[first : first + 256]) for first in range(0, full, 256)]
        levels += 1
    print(f"ok: {head.size} entries, {tiles} tiles on {levels} levels")


if __name__ == "__main__":
    main()
