from __future__ import annotations

from histfs.core.toml_lines import key_lines


def test_each_key_has_its_line_by_its_tables():
    text = """
a = 1   # a comment
"b-b" = 2
# c = 3
[t.'u']  # another
d-d = [
  1,
]
e.f = 2
a = 5
"""
    assert key_lines(text) == {
        ("a",): 2,
        ("b_b",): 3,
        ("t", "u"): 5,
        ("t", "u", "d_d"): 6,
        ("t", "u", "e", "f"): 9,
        ("t", "u", "a"): 10,
    }
