"""A user's own function over each text, `module:function`: what a hospital's pseudonymiser is called through."""

from __future__ import annotations

import ast
import importlib
import inspect
import sys
import sysconfig
from collections.abc import Callable
from importlib import machinery
from pathlib import Path

from camembert_bio import files
from camembert_bio.errors import UserError, nearest

Hook = Callable[[str], str]


def load_hook(name: str) -> Hook:
    """The function that `module:function` names; the module is on the path or in the working directory.

    Raises `UserError` when there is no such module, it cannot be imported, or it has no such function.
    """
    module_name, _, function_name = name.partition(":")
    if str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))  # last, so that a file there never replaces an installed module
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:
        if isinstance(error, ModuleNotFoundError) and error.name and f"{module_name}.".startswith(f"{error.name}."):
            raise UserError(
                f"hook {name!r}: there is no module {error.name!r} in {Path.cwd()} or on the path; "
                "set PYTHONPATH or start from its folder"
            ) from None
        raise UserError(f"hook {name!r}: importing {module_name} failed ({type(error).__name__}: {error})") from error
    function = getattr(module, function_name, None)
    if not callable(function):
        there = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        hint = f" ({nearest(function_name, there)})" if there else ""
        raise UserError(f"hook {name!r}: {module_name} has no function {function_name!r}{hint}")
    return function  # type: ignore[no-any-return]


def hook_fingerprint(name: str) -> str:
    """Hexadecimal sha256 over the hook's function and the code that it is made of: part of what a corpus is built from.

    The code is the named module, the file in which the function is written, and every module that they import from
    their own folder, directly or not, by import statements; of an installed module, those of its package. Where they
    stand does not count. Data files that they read do not either. Raises as `load_hook`, and `UserError` for a
    function without a file.
    """
    function = inspect.unwrap(load_hook(name))
    module_name, _, function_name = name.partition(":")
    try:
        written = inspect.getsourcefile(function)
    except TypeError:
        written = None
    if written is None or not Path(written).is_file():
        raise UserError(f"hook {name!r} is written in no file, so the corpus could not name it; write it in a module")
    code = {"": files.sha256_file(Path(written))}
    for module in {module_name, function.__module__} & sys.modules.keys():
        code |= _code(module)
    return files.sha256_json({"function": function_name, "code": code})


def _code(module_name: str) -> dict[str, str]:
    """The sha256 of a module and of what it imports from its own folder, by module name."""
    file = getattr(sys.modules[module_name], "__file__", None)
    if file is None:
        return {}
    depth = module_name.count(".") + (Path(file).stem == "__init__")
    root = Path(file).absolute().parents[depth]
    is_installed = root.name in _INSTALLED or str(root.resolve()) == sysconfig.get_path("stdlib")
    package = module_name.partition(".")[0] if is_installed else None
    code: dict[str, str] = {}
    left = [module_name]
    while left:
        one = left.pop()
        found = _file(root, one)
        if one in code or found is None or (package and one.partition(".")[0] != package):
            continue
        code[one] = files.sha256_file(found)
        left += _imported(found, one) if found.suffix == ".py" else []
    return code


_INSTALLED = ("site-packages", "dist-packages")


def _file(root: Path, module_name: str) -> Path | None:
    """The file of a module below a folder, or of a package its `__init__`."""
    stem = root.joinpath(*module_name.split("."))
    places = (Path(f"{base}{suffix}") for base in (stem / "__init__", stem) for suffix in machinery.all_suffixes())
    return next((place for place in places if place.is_file()), None)


def _imported(file: Path, module_name: str) -> list[str]:
    """The names that a file's import statements may mean, wherever they stand in it: modules and their packages."""
    package = module_name.split(".") if file.stem == "__init__" else module_name.split(".")[:-1]
    names: list[str] = []
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError):  # it is not imported where the hook works
        return names
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            base += node.module.split(".") if node.module else []
            names += [".".join([*base, alias.name]) for alias in node.names]
    return [".".join(name.split(".")[: n + 1]) for name in names for n in range(name.count(".") + 1)]
