"""What is compiled is made anew when a file changes whose functions it calls."""

import os
import subprocess
import sys


def test_another_file_counts(tmp_path):
    (tmp_path / "inner.py").write_text(
        "import numba as nb\n@nb.njit(cache=True)\ndef inner():\n    return 1\n")
    (tmp_path / "outer.py").write_text(
        "import inner\nfrom quant.integer.jit import kept\n"
        "@kept(inner)\ndef outer():\n    return inner.inner()\nprint(outer(), "
        "sum(outer.stats.cache_hits.values()))\n")

    def run():
        done = subprocess.run([sys.executable, "-B", "outer.py"], cwd=tmp_path, text=True,
                              capture_output=True, check=True, timeout=120,
                              env=os.environ | {"NUMBA_CACHE_DIR": str(tmp_path / "cache")})
        return done.stdout.split()

    assert run() == ["1", "0"] and run() == ["1", "1"]      # kept
    text = (tmp_path / "inner.py").read_text()
    (tmp_path / "inner.py").write_text(text.replace("return 1", "return 2"))
    assert run() == ["2", "0"]
