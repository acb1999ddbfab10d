"""Print a wheel's bytes by part, compressed as shipped, and fail when it is larger than a limit."""

from __future__ import annotations

import argparse
import zipfile
from collections import Counter
from pathlib import Path


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("wheel", type=Path)
    parser.add_argument("--limit", type=int, default=1_000_000, help="bytes (default: %(default)s)")
    arguments = parser.parse_args()
    parts: Counter[str] = Counter()
    with zipfile.ZipFile(arguments.wheel) as wheel:
        for entry in wheel.infolist():
            folders = entry.filename.split("/")
            part = "/".join(folders[:2]) if entry.filename.endswith((".so", ".npz")) else folders[0]
            if entry.filename.endswith(".py"):
                part = "Python sources"
            parts[part] += entry.compress_size
    for part, size in parts.most_common():
        print(f"{size:>10,}  {part}")
    total = arguments.wheel.stat().st_size
    print(f"{total:>10,}  {arguments.wheel.name} (limit {arguments.limit:,})")
    return 0 if total < arguments.limit else 1


if __name__ == "__main__":
    raise SystemExit(main())
