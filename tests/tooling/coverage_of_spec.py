"""
Print which tests cover which id of the specification; exit 1 when an id has none.

A test covers an id that stands in its name (test_t5_...), in its docstring or in the docstring of its class. The docstring
of the module does not count: what a whole file is about says nothing of a single test.
"""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
IDS = TESTS / "spec_ids.txt"
ID = re.compile(r"(?<![A-Za-z0-9])([TRFDMGS])([0-9]{1,2})([a-z]?)(?![A-Za-z0-9])")
RANGE = re.compile(r"(?<![A-Za-z0-9])([TRFDMGS])([0-9]{1,2})\s*[-–]\s*\1?([0-9]{1,2})(?![A-Za-z0-9])")
IN_NAME = re.compile(r"(?:^|_)([trfdmgs])([0-9]{1,2})([a-z]?)(?=_|$)")

Definition = ast.FunctionDef | ast.AsyncFunctionDef


def titles() -> dict[str, str]:
    lines = (line.strip() for line in IDS.read_text().splitlines())
    return {
        name: title for name, _, title in (line.partition(" ") for line in lines if line and line[0] != "#")
    }


def ids_in_text(text: str) -> set[str]:
    """Return the ids of a text; "T1-T4" names all four."""
    found = {"".join(parts) for parts in ID.findall(text)}
    for letter, first, last in RANGE.findall(text):
        found |= {f"{letter}{number}" for number in range(int(first), int(last) + 1)}
    return found


def ids_in_name(name: str) -> set[str]:
    return {letter.upper() + number + suffix for letter, number, suffix in IN_NAME.findall(name)}


def tests_in(file: Path) -> Iterator[tuple[str, set[str]]]:
    """Yield (test, ids it covers) of a file."""
    module = ast.parse(file.read_text(), str(file))
    where = file.relative_to(TESTS.parent)
    for node in module.body:
        if isinstance(node, Definition):
            if node.name.startswith("test"):
                yield f"{where}::{node.name}", ids_of(node)
        elif isinstance(node, ast.ClassDef):
            of_class = ids_in_text(ast.get_docstring(node) or "")
            for inner in node.body:
                # A rule of a state machine is a test, too.
                if isinstance(inner, Definition) and (inner.name.startswith("test") or inner.decorator_list):
                    yield f"{where}::{node.name}::{inner.name}", of_class | ids_of(inner)


def ids_of(test: Definition) -> set[str]:
    return ids_in_name(test.name) | ids_in_text(ast.get_docstring(test) or "")


def main() -> None:
    covered: dict[str, list[str]] = {name: [] for name in titles()}
    for file in sorted(TESTS.rglob("test_*.py")):
        for test, ids in tests_in(file):
            for name in ids & covered.keys():
                covered[name].append(test)
    for name, title in titles().items():
        print(f"{name:<4} {title} ({len(covered[name])})")
        for test in covered[name]:
            print(f"       {test}")
    missing = [name for name, tests in covered.items() if not tests]
    if missing:
        sys.exit(f"No test covers {', '.join(missing)}.")


if __name__ == "__main__":
    main()
