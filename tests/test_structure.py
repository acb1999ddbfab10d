"""The rules of the house, as tests: imports, allocation, threads, lengths of files."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src" / "nncore"
ENGINE = ROOT / "csrc"

# A module may import from its own floor's packages listed here and from every floor below.
FLOORS = [
    {"cli", "__main__"},
    {"training"},
    {"io", "data", "optim", "losses", "compiler"},
    {"nn"},
    {"_core"},
]
# These look down on the house; only the command line looks at them.
GALLERIES = {"checking", "inspection", "interop"}
# Beside the house: NumPy alone.
ALONE = {"reference"}
# Longer than the rule, each for a reason.
LONG_FILES: dict[str, str] = {}


def tracked(*patterns: str) -> list[Path]:
    """Files of the checkout that match, as git sees them (all files where there is no git)."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *patterns],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode == 0:
        names = [name for name in listed.stdout.split("\0") if name]
        return [ROOT / name for name in names if (ROOT / name).is_file()]
    found: list[Path] = []
    for pattern in patterns:
        found += [path for path in ROOT.rglob(pattern) if "build" not in path.parts]
    return found


def part_of(module: str) -> str:
    """The part of the house a dotted module name lives in: nncore.nn.module -> nn."""
    names = module.split(".")
    return names[1] if len(names) > 1 else ""


def imports_of(path: Path) -> set[str]:
    """Parts of nncore that a file imports, at any depth of the file."""
    module = ".".join(path.relative_to(SOURCE.parent).with_suffix("").parts)
    package = (
        module.removesuffix(".__init__")
        if path.name == "__init__.py"
        else module.rpartition(".")[0]
    )
    parts: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            parts |= {
                part_of(alias.name) for alias in node.names if alias.name.startswith("nncore.")
            }
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                stem = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*stem, base]) if base else ".".join(stem)
            if base == "nncore":
                parts |= {alias.name for alias in node.names}
            elif base.startswith("nncore."):
                parts.add(part_of(base))
    return parts


PYTHON_FILES = sorted(SOURCE.rglob("*.py"))


@pytest.mark.parametrize("path", PYTHON_FILES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_imports_run_one_way(path: Path) -> None:
    name = path.relative_to(SOURCE)
    part = name.parts[0].removesuffix(".py")
    if part == "__init__":
        return  # the public face gathers everything
    if name == Path("nn/__init__.py"):
        # The face of nn: losses live a floor above, and people look for them here.
        assert imports_of(path) <= {"nn", "_core", "losses"}
        return
    imported = imports_of(path) - {part}
    if part in ALONE:
        assert not imported, f"{path.name} stands alone but imports {sorted(imported)}"
        return
    known = set().union(*FLOORS) | GALLERIES | ALONE
    assert part in known, f"{part} has no floor: give it one in {Path(__file__).name}"
    if part in GALLERIES:
        forbidden = FLOORS[0] | GALLERIES
    else:
        floor = next(i for i, names in enumerate(FLOORS) if part in names)
        forbidden = set().union(*FLOORS[:floor]) | (GALLERIES if floor else set())
    assert not imported & forbidden, f"{path.name} imports upward: {sorted(imported & forbidden)}"


@pytest.mark.parametrize("path", PYTHON_FILES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_no_assert_no_pickle_in_the_package(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        assert not isinstance(node, ast.Assert), f"{path}:{node.lineno} validates with assert"
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        assert not {"pickle", "marshal", "shelve"} & set(names), f"{path} imports {names}"
        if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
            assert isinstance(node.value, ast.Constant), path
            assert node.value.value is False, f"{path}: allow_pickle"


def code_of(path: Path) -> str:
    """C source without its comments and strings."""
    text = re.sub(r"/\*.*?\*/", " ", path.read_text(), flags=re.S)
    text = re.sub(r"//[^\n]*", " ", text)
    return re.sub(r'"(\\.|[^"\\])*"', '""', text)


C_FILES = [path for path in sorted(ENGINE.rglob("*.[ch]")) if "tests" not in path.parts]


@pytest.mark.parametrize("path", C_FILES, ids=lambda p: str(p.relative_to(ENGINE)))
def test_who_may_allocate_and_start_threads(path: Path) -> None:
    code, raw = code_of(path), path.read_text()
    part = path.relative_to(ENGINE).parts[0]
    assert "Python.h" not in raw, "the engine knows no Python"
    assert not re.search(r"\bassert\s*\(", code), "validation is by status, never assert"
    if part != "runtime":
        assert not re.search(r"\b(malloc|calloc|realloc|aligned_alloc|free)\s*\(", code), path
        assert not re.search(r"pthread|threads\.h|stdatomic", raw), path
    if part not in {"runtime", "step"}:
        assert not re.search(r"\bnn_(alloc|free)\s*\(", code), (
            f"{path}: memory comes from the caller"
        )
    if part == "kernels":
        included = re.findall(r'#include\s+[<"]([^>"]+)[>"]', raw)
        allowed = {
            "immintrin.h",
            "arm_neon.h",
            "math.h",
            "float.h",
            "stdbool.h",
            "stddef.h",
            "stdint.h",
            "string.h",
        }
        outside = {name for name in included if "/" in name or name not in allowed} - {
            local.name for local in (ENGINE / "kernels").iterdir()
        }
        assert not outside, f"{path} includes {sorted(outside)}"
    floors = ["kernels", "runtime", "ops", "step"]
    if part in floors:
        above = floors[floors.index(part) + 1 :]
        # runtime and ops know each other: an operation runs kernels, the table reports errors.
        above = [name for name in above if not (part == "runtime" and name == "ops")]
        for name in above:
            assert f'"../{name}/' not in raw, f"{path} includes {name}"


def test_loops_are_unrolled_by_the_macro_that_both_compilers_know() -> None:
    for path in C_FILES:
        assert path.name == "vec.h" or not re.search(r"_Pragma|#\s*pragma", path.read_text()), (
            f"{path}: NN_UNROLL of vec.h"
        )


def test_every_kernel_on_the_list_has_its_template() -> None:
    listed = (ENGINE / "kernels" / "kernels.def").read_text()
    names = re.findall(r"^NN_(?:KERNEL|WIDE_KERNEL|WIDE_PRODUCT)\((\w+)\)$", listed, flags=re.M)
    assert len(names) > 100
    assert len(names) == len(set(names))
    templates = "\n".join(path.read_text() for path in (ENGINE / "kernels").glob("*.tmpl.c"))
    defined = set(re.findall(r"NN_DEFINE_KERNEL\((\w+)\)", templates))
    assert defined == set(names)


def test_files_are_short() -> None:
    for path in tracked("*.py", "*.pyx", "*.pxi", "*.pxd", "*.c", "*.h", "*.pyi"):
        lines = len(path.read_text().splitlines())
        name = str(path.relative_to(ROOT))
        assert lines <= 400 or name in LONG_FILES, f"{name} has {lines} lines: one purpose each?"


def test_no_large_file_and_nothing_generated() -> None:
    for path in tracked("*"):
        size = path.stat().st_size
        assert size <= 100_000, f"{path.relative_to(ROOT)} has {size} bytes"
        assert path.suffix not in {".so", ".o", ".a", ".pyc", ".pkl", ".whl"}, path


def test_no_fast_math_anywhere() -> None:
    flags = re.compile(
        r"-f(fast-math|unsafe-math|associative-math|reciprocal-math|finite-math)|-Ofast"
    )
    for path in tracked(
        "CMakeLists.txt", "*CMakeLists.txt", "*.cmake", "pyproject.toml", "tools/*"
    ):
        assert not flags.search(path.read_text()), path


def test_no_document_tells_people_to_install_the_other_project() -> None:
    for path in tracked("*.md", "*.py", "*.pyx", "*.pxi"):
        if path == Path(__file__).resolve():
            continue
        for match in re.finditer(r"pip install ([\"'\w.\[\],-]+)", path.read_text()):
            wanted = match.group(1).strip("\"'")
            assert wanted != "nncore", f"{path}: on the package index nncore is somebody else's"
            assert not wanted.startswith("nncore["), path
