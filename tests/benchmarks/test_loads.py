"""benchmarks/loads.py runs at its smallest sizes and writes the page."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="memory is read as Linux tells it")
def test_a_store_is_filled_and_read_and_the_page_written(tmp_path):
    page, results = tmp_path / "speed.md", tmp_path / "loads.json"
    page.write_text("<!-- benchmarks/loads.py loads -->\nold\n<!-- end of loads -->\n", "utf-8")
    command = [sys.executable, str(ROOT / "benchmarks" / "loads.py"), "store", "--quick"]
    subprocess.run([*command, "--json", str(results), "--page", str(page)], check=True)
    found = json.loads(results.read_text("utf-8"))["store"]
    assert found["count"] == 100
    assert found["get"][0] > 0
    assert found["open"] < 1
    text = page.read_text("utf-8")
    assert "| 100 slices in one store: ms to put each |" in text
    assert "old" not in text


def test_unknown_section_is_named():
    command = [sys.executable, str(ROOT / "benchmarks" / "loads.py"), "speling"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "speling" in done.stderr


def test_the_page_has_its_marks():
    text = (ROOT / "docs" / "speed.md").read_text("utf-8")
    assert "<!-- benchmarks/loads.py loads -->" in text
    assert "<!-- end of loads -->" in text
