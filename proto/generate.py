"""Generate the Python stubs of the contracts, or check that the checked-in ones are current.

python proto/generate.py            writes proto/gen/waybill
python proto/generate.py --check    writes nothing; exits with 1 and names the files that differ
"""

import argparse
import filecmp
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

PROTO = Path(__file__).resolve().parent
STUBS = PROTO / "gen" / "waybill"


def sources() -> list[Path]:
    """Every .proto file of the contracts, relative to `proto/`."""
    return sorted(path.relative_to(PROTO) for path in (PROTO / "waybill").rglob("*.proto"))


def generate(target: Path) -> None:
    """Write the whole import package `waybill` into the empty folder `target`."""
    # the plugins that are installed beside this Python, whatever PATH says
    scripts = Path(sys.executable).parent
    services = [path for path in sources() if path.name == "service.proto"]
    with tempfile.TemporaryDirectory() as folder:
        common = [
            f"--proto_path={PROTO}",
            f"--plugin=protoc-gen-mypy={scripts / 'protoc-gen-mypy'}",
            f"--plugin=protoc-gen-mypy_grpc={scripts / 'protoc-gen-mypy_grpc'}",
        ]
        _run(
            [*common, f"--python_out={folder}", f"--mypy_out=quiet:{folder}", *map(str, sources())]
        )
        _run(
            [
                *common,
                f"--grpc_python_out={folder}",
                f"--mypy_grpc_out=quiet:{folder}",
                *map(str, services),
            ]
        )
        shutil.copytree(Path(folder) / "waybill", target, dirs_exist_ok=True)
    for package in [target, *(path for path in target.rglob("*") if path.is_dir())]:
        (package / "__init__.py").touch()
    (target / "py.typed").touch()


def differences(stubs: Path = STUBS) -> list[str]:
    """The files of `stubs` that are missing, stale or left over, each in a few words."""
    with tempfile.TemporaryDirectory() as folder:
        fresh = Path(folder)
        generate(fresh)
        wanted, present = _files(fresh), _files(stubs)
        return sorted(
            [f"{path} is missing" for path in wanted - present]
            + [f"{path} has no source any more" for path in present - wanted]
            + [
                f"{path} is stale"
                for path in wanted & present
                if not filecmp.cmp(fresh / path, stubs / path, shallow=False)
            ]
        )


def _files(folder: Path) -> set[Path]:
    return {
        path.relative_to(folder)
        for path in folder.rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }


def _run(arguments: list[str]) -> None:
    command = [sys.executable, "-m", "grpc_tools.protoc", *arguments]
    if subprocess.run(command, check=False).returncode != 0:
        raise SystemExit("generating the stubs failed: protoc's message is above")


def main() -> int:
    """Run the command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--check", action="store_true", help="write nothing, fail on a difference")
    if parser.parse_args().check:
        stale = differences()
        for line in stale:
            print(f"proto/gen/waybill/{line}", file=sys.stderr)
        if stale:
            print("the stubs differ from proto/: run `make proto`", file=sys.stderr)
        return 1 if stale else 0
    with tempfile.TemporaryDirectory() as folder:
        fresh = Path(folder) / "waybill"
        fresh.mkdir()
        generate(fresh)
        for path in _files(STUBS) - _files(fresh):
            (STUBS / path).unlink()
        shutil.copytree(fresh, STUBS, dirs_exist_ok=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
