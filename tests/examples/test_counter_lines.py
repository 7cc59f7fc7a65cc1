"""How the lines of examples are counted."""

from __future__ import annotations

from pathlib import Path

from examples.count_lines import Count, added_lines, code_lines, count, table

PLAIN = '''"""Say hello.

Twice.
"""

# a comment

def hello():
    """Say it."""
    return """one
two"""  # and another


print(hello())
'''


def test_only_code_counts() -> None:
    assert code_lines(PLAIN) == [
        "def hello():",
        '    return """one',
        'two"""  # and another',
        "print(hello())",
    ]


def test_what_is_new_or_differs_is_added() -> None:
    assert added_lines(PLAIN, PLAIN) == 0
    assert added_lines(PLAIN, PLAIN + "# only a comment\n") == 0
    assert added_lines(PLAIN, PLAIN.replace("def", "import this\n\ndef") + "print(hello())\n") == 2
    assert added_lines(PLAIN, PLAIN.replace("def hello():", "def hello(name):")) == 1
    assert added_lines(PLAIN, "") == 0


def test_modules_count_with_the_program_that_needs_them(tmp_path: Path) -> None:
    folder = tmp_path / "examples" / "hello"
    folder.mkdir(parents=True)
    (folder / "words.py").write_text("WORD = 'hello'\n")
    (folder / "state.py").write_text("from examples.hello import words\nA = 1\nB = 2\n")
    (folder / "plain.py").write_text("from examples.hello.words import WORD\nprint(WORD)\n")
    (folder / "suspendable.py").write_text(
        "from examples.hello.state import A\nfrom examples.hello.words import WORD\nprint(WORD)\n"
    )
    assert list(count(folder)) == [Count(name="hello", plain=3, added=4)]


def test_the_papers_numbers_stand_beside_ours() -> None:
    lines = table([Count(name="hello", plain=1000, added=5)]).splitlines()
    assert [line.split() for line in lines] == [
        ["program", "lines", "added", "overhead"],
        ["hello", "1,000", "5", "0.50", "%"],
        ["OpenSSH,", "in", "the", "paper", "38,885", "459", "1.18", "%"],
        ["Icecast,", "in", "the", "paper", "18,676", "43", "0.23", "%"],
    ]
