"""What others made and we ship."""

import hashlib
import re

from otel_llm.report import page


def test_the_charting_library_is_the_release_that_its_note_names():
    note = (page._ASSETS / "licenses" / "README.md").read_text()
    library = (page._ASSETS / page.LIBRARY).read_bytes()
    assert hashlib.sha256(library).hexdigest() == re.search(r"sha256 ([0-9a-f]{64})", note)[1]
    assert b"Licensed to the Apache Software Foundation" in library[:200]


def test_its_licences_are_shipped_with_it():
    there = {path.name for path in (page._ASSETS / "licenses").iterdir()}
    assert there >= {
        "echarts-LICENSE.txt", "echarts-NOTICE.txt", "echarts-LICENSE-d3.txt", "zrender-LICENSE.txt", "tslib-LICENSE.txt"
    }  # fmt: skip
    assert "Apache License" in (page._ASSETS / "licenses" / "echarts-LICENSE.txt").read_text()
