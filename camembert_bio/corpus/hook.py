"""A user's own function over each text, `module:function`: what a hospital's pseudonymiser is called through."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable
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
    except Exception as error:
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
    """Hexadecimal sha256 of the file in which the hook's function is written: part of what a corpus is built from.

    What that file imports does not count. Raises as `load_hook`, and `UserError` for a function without a file.
    """
    function = load_hook(name)
    try:
        source = inspect.getsourcefile(inspect.unwrap(function))
    except TypeError:
        source = None
    if source is None or not Path(source).is_file():
        raise UserError(f"hook {name!r} is written in no file, so the corpus could not name it; write it in a module")
    return files.sha256_file(Path(source))
