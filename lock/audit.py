"""``python lock/audit.py lock/*.txt``: the locked packages against the known vulnerabilities.

pip-audit asks PyPI. Exit code 1: a package has a known vulnerability. Where PyPI does not answer
for a package it counts as not checked, which is said, and is no failure: there may be no network.
Exit code 2: a lock file, or pip-audit, is not there.
"""

import json
import subprocess
import sys
from pathlib import Path


def audited(path: str) -> list[dict]:
    """What pip-audit says of each package of a lock file; [] if it reached nobody."""
    command = [str(Path(sys.executable).with_name("pip-audit")), "-r", path, "--require-hashes",
               "--disable-pip", "-f", "json", "--progress-spinner", "off"]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8")
    try:
        return json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        print(f"{path}: not checked: {(done.stderr.strip().splitlines() or ['no answer'])[-1]}")
        return []


def report(path: str, packages: list[dict]) -> int:
    """Print what was found; the number of vulnerabilities."""
    found = [(package, bad) for package in packages for bad in package.get("vulns", ())]
    for package, bad in found:
        print(f"{path}: {package['name']} {package['version']}: {bad['id']}, mended in "
              f"{', '.join(bad.get('fix_versions') or ['no version'])}")
    skipped = sorted(package["name"] for package in packages if "skip_reason" in package)
    if packages and len(skipped) == len(packages):
        print(f"{path}: not checked: PyPI does not answer for any of its {len(packages)} packages")
    elif packages:
        print(f"{path}: {len(packages) - len(skipped)} of {len(packages)} packages checked, "
              f"{len(found)} known vulnerabilities"
              + (f"; PyPI does not answer for {', '.join(skipped[:3])}" if skipped else "")
              + " ..." * (len(skipped) > 3))
    return len(found)


if __name__ == "__main__":
    needed = [*(sys.argv[1:] or ["lock/*.txt"]), str(Path(sys.executable).with_name("pip-audit"))]
    for path in needed:
        if not Path(path).is_file():
            print(f"audit: {path} does not exist", file=sys.stderr)
            sys.exit(2)
    sys.exit(1 if sum([report(path, audited(path)) for path in sys.argv[1:]]) else 0)
