"""Generate the Python stubs of the API, or check that the committed ones are current.

    generate.py DIRECTORY            write the stubs of proto/**/*.proto below DIRECTORY
    generate.py --check DIRECTORY    exit 1 and show the difference unless DIRECTORY holds exactly those stubs
    generate.py --requirements       print what to install for the two lines above (the proto group of pyproject.toml)

The first two need the generator, which lives in an environment of its own: it is older than the protobuf the daemon runs on.
"""

import argparse
import difflib
import sys
import tempfile
import tomllib
from pathlib import Path

PROTO = Path(__file__).resolve().parent
STUB_PATTERNS = ("*_pb2.py", "*_pb2.pyi", "*_pb2_grpc.py")


def requirements() -> list[str]:
    with (PROTO.parent / "pyproject.toml").open("rb") as file:
        return list(tomllib.load(file)["dependency-groups"]["proto"])


def generate(directory: Path) -> None:
    """Replace every stub below `directory`, so that the stubs of a deleted proto file go too."""
    import grpc_tools  # noqa: PLC0415 - installed only in the generator's environment
    from grpc_tools import protoc  # noqa: PLC0415

    for path in stubs(directory).values():
        path.unlink()
    well_known = Path(grpc_tools.__file__).parent / "_proto"
    code = protoc.main(
        [
            "protoc",
            f"--proto_path={PROTO}",
            f"--proto_path={well_known}",
            f"--python_out={directory}",
            f"--pyi_out={directory}",
            f"--grpc_python_out={directory}",
            *(str(path) for path in sorted(PROTO.rglob("*.proto"))),
        ]
    )
    if code:
        sys.exit(code)
    # A file without a service gets an empty _pb2_grpc.py; nothing imports those.
    for path in stubs(directory).values():
        if path.name.endswith("_pb2_grpc.py") and "class " not in path.read_text():
            path.unlink()


def stubs(directory: Path) -> dict[str, Path]:
    found = (path for pattern in STUB_PATTERNS for path in directory.rglob(pattern))
    return {str(path.relative_to(directory)): path for path in found}


def check(directory: Path) -> bool:
    """True when `directory` holds exactly the stubs that would be generated now; says what differs."""
    with tempfile.TemporaryDirectory() as name:
        generate(Path(name))
        fresh, committed = stubs(Path(name)), stubs(directory)
        current = True
        for stub in sorted(fresh.keys() | committed.keys()):
            want = fresh[stub].read_text().splitlines(keepends=True) if stub in fresh else []
            have = committed[stub].read_text().splitlines(keepends=True) if stub in committed else []
            if want != have:
                current = False
                diff = difflib.unified_diff(have, want, f"committed/{stub}", f"generated/{stub}", n=1)
                sys.stdout.writelines(list(diff)[:40])
    return current


def main() -> None:
    parser = argparse.ArgumentParser(description="Generate the Python stubs of the API.")
    parser.add_argument(
        "--check", action="store_true", help="change nothing; fail when the stubs are not current"
    )
    parser.add_argument("--requirements", action="store_true", help="print the generator's requirements")
    parser.add_argument("directory", type=Path, nargs="?", help="root of the stubs (holds fleet/v1)")
    options = parser.parse_args()
    if options.requirements:
        sys.stdout.write("\n".join(requirements()) + "\n")
    elif options.directory is None:
        parser.error("name the directory of the stubs")
    elif not options.check:
        generate(options.directory)
    elif not check(options.directory):
        sys.exit("The committed stubs differ from proto/: run `make proto` and commit the result.")


if __name__ == "__main__":
    main()
