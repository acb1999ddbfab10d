"""What nncore.reference may import, and what it offers."""

import ast
import inspect
import sys
from pathlib import Path

from nncore import reference


def test_imports_numpy_and_its_own_files_alone():
    files = sorted(Path(reference.__file__).parent.glob("*.py"))
    assert len(files) > 5
    for file in files:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                assert node.level <= 1, f"{file.name} looks outside the package"
                names = [] if node.level else [node.module]
            else:
                continue
            for name in names:
                top = name.partition(".")[0]
                assert top == "numpy" or top in sys.stdlib_module_names, f"{file.name}: {name}"


def test_every_public_function_is_listed_and_documented():
    functions = [name for name, _ in inspect.getmembers(reference, inspect.isfunction)]
    assert functions == sorted(reference.__all__) == reference.__all__
    assert all(inspect.getdoc(getattr(reference, name)) for name in functions)
