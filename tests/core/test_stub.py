"""The stub of the bindings says what the bindings are: names, arguments, which have defaults."""

import ast
import inspect
from pathlib import Path

import pytest

import nncore
from nncore._core import engine

STUB = Path(nncore.__file__).parent / "_core" / "engine.pyi"
TREE = ast.parse(STUB.read_text())
FUNCTIONS = {node.name: node for node in TREE.body if isinstance(node, ast.FunctionDef)}
CLASSES = {node.name: node for node in TREE.body if isinstance(node, ast.ClassDef)}


def public(owner):
    """Names of a module, or of a class with its private bases."""
    owners = [owner, *(b for b in getattr(owner, "__bases__", ()) if b.__name__.startswith("_"))]
    return {
        name
        for each in owners
        for name, value in vars(each).items()
        if not name.startswith("_") and not inspect.ismodule(value)
    }


def arguments(node):
    """(name, whether it has a default) of each, `self` left out."""
    given = [arg.arg for arg in (*node.args.posonlyargs, *node.args.args)]
    optional = len(given) - len(node.args.defaults)
    listed = [(name, i >= optional) for i, name in enumerate(given) if name != "self"]
    keywords = zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)
    return listed + [(arg.arg, default is not None) for arg, default in keywords]


def test_every_binding_has_its_stub():
    constants = {node.target.id for node in TREE.body if isinstance(node, ast.AnnAssign)}
    assert public(engine) == set(FUNCTIONS) | set(CLASSES) | constants


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_arguments(name):
    parameters = inspect.signature(getattr(engine, name)).parameters.values()
    kinds = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    own = [(p.name, p.default is not p.empty) for p in parameters if p.kind not in kinds]
    assert own == arguments(FUNCTIONS[name])


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_members(name):
    members = {
        node.name if isinstance(node, ast.FunctionDef) else node.target.id
        for node in CLASSES[name].body
        if isinstance(node, (ast.FunctionDef, ast.AnnAssign))
    }
    public_members = {member for member in members if not member.startswith("_")}
    assert public(getattr(engine, name)) == public_members
