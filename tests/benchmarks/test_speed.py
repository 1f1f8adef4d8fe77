"""benchmarks/speed.py runs at its smallest sizes and writes the page."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_sections_are_measured_and_written(tmp_path):
    page, results = tmp_path / "speed.md", tmp_path / "speed.json"
    shutil.copy(ROOT / "docs" / "speed.md", page)
    command = [sys.executable, str(ROOT / "benchmarks" / "speed.py"), "stages", "--quick"]
    subprocess.run([*command, "--json", str(results), "--page", str(page)], check=True)
    found = json.loads(results.read_text("utf-8"))["stages"]
    assert found["seconds"]["train"] > 0
    assert set(found["dice"]) == {"1", "6", "9"}
    text = page.read_text("utf-8")
    part = text.partition("<!-- benchmarks/speed.py stages -->")[2].partition("<!-- end")[0]
    assert "| predict all |" in part
    assert "Not measured yet." not in part
    assert "Not measured yet." in text  # other sections stay


def test_unknown_section_is_named():
    command = [sys.executable, str(ROOT / "benchmarks" / "speed.py"), "speling"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "speling" in done.stderr
