"""Where models are found that nobody names a path of."""

import os
from pathlib import Path

from platformdirs import user_data_path

from unimri.core.errors import UnimriError
from unimri.deploy.archive import SUFFIX
from unimri.deploy.description import DESCRIPTION, ModelDescription

VARIABLE = "UNIMRI_MODELS"


def search_path() -> list[Path]:
    """Folders that models are looked for in, the first first.

    Those of the environment variable `UNIMRI_MODELS` (separated as in `PATH`); `models` of the user's own data folder,
    where `unimri models add` puts them; `results/models` of the working folder, where the workflow puts what it has
    trained; and the same of the checkout that this package is run from.
    """
    named = [Path(folder) for folder in os.environ.get(VARIABLE, "").split(os.pathsep) if folder]
    checkout = Path(__file__).parents[2]
    checkout = Path() if checkout.absolute() == Path.cwd() else checkout
    own = [Path("results/models"), *([checkout / "results/models"] if (checkout / "Snakefile").is_file() else [])]
    return list(dict.fromkeys([*named, user_models(), *own]))


def user_models() -> Path:
    """Where a user's own models lie."""
    return user_data_path("unimri", appauthor=False) / "models"


def list_models() -> list[Path]:
    """Folders of all models that are found, in the order of `search_path`; each once."""
    found: dict[Path, Path] = {}
    for folder in search_path():
        if folder.is_dir():
            for path in sorted(folder.iterdir()):
                if not path.name.startswith(".") and (path / DESCRIPTION).is_file():
                    found.setdefault(path.resolve(), path)
    return list(found.values())


def find_model(name: Path | str | None = None, acceleration: float | None = None) -> Path:
    """The folder, or the one file, of a model.

    Parameters
    ----------
    name : its path, or its name; None for the default: the one whose acceleration is nearest to `acceleration`, or the
        first.

    Raises
    ------
    UnimriError : when there is none.
    """
    if name is not None and (Path(name) / DESCRIPTION).is_file():
        return Path(name)
    if name is not None and Path(name).is_file():
        if Path(name).suffix != SUFFIX:
            raise UnimriError(f"{name}: is no model; give its folder, or its one file (*{SUFFIX})")
        return Path(name)
    models = list_models()
    if name is not None:
        for path in models:
            if path.name == str(name) or _says(path, str(name)):
                return path
        if Path(name).exists():
            raise UnimriError(
                f"{name}: is no model (it has no {DESCRIPTION}); `unimri models list` says which there are"
            )
    if not models or name is not None:
        places = ", ".join(map(str, search_path()))
        what = "no model is there" if name is None else f"{name}: no such model"
        raise UnimriError(
            f"{what}; looked in {places}: run `make reproduce` in a checkout, or name a model's folder with -m"
        )
    if acceleration is None:
        return models[0]
    return min(models, key=lambda path: abs(ModelDescription.load(path).acceleration - acceleration))


def _says(path: Path, name: str) -> bool:
    """Whether a model calls itself so; a damaged one must not stand in the way of others."""
    try:
        return ModelDescription.load(path).name == name
    except UnimriError:
        return False
