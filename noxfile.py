"""The checks of the project. `python3 run.py test` runs them; so does a nox of your own."""

import os
import re
import shutil
import sys
from pathlib import Path

import nox
import nox.project

ROOT = Path(__file__).resolve().parent
BIN = ROOT / ".venv" / "bin"
WHEELS = ROOT / ".nox" / "wheels"
SBOM = ROOT / ".nox" / "bills"
CONSTRAINTS = ROOT / "constraints.txt"
STOCK_CONSTRAINTS = ROOT / "tests" / "compat" / "constraints.txt"
INFRA_CONSTRAINTS = ROOT / "tests" / "infra" / "constraints.txt"
ENGINE_CONSTRAINTS = ROOT / "tests" / "engines" / "constraints.txt"
CONSTRAINTS_HEAD = """\
# The version of every package that {what}, for Python 3.11 to 3.14.
# `nox -s constraints` adds what is missing; `nox -s constraints -- --upgrade` renews all of it.
"""
AVRO = ROOT / "examples" / "avro-format"
PIN = re.compile(r"(?P<name>[A-Za-z0-9._-]+)==")
PACKAGES = ("core", "local", "s3", "gcs")
GROUPS = ("test", "types", "lint", "imports", "audit", "sbom", "docs")
SOURCES = [f"packages/{name}/src" for name in PACKAGES]
READMES = ["README.md", *(f"packages/{name}/README.md" for name in PACKAGES)]
# What a version of a library can change: the tests at the oldest versions.
OF_LIBRARIES = (
    "conformance/test_formats",
    "conformance/test_io_managers",
    "conformance/test_local_store",
    "integration/test_cleanup",
    "integration/test_component",
    "integration/test_metadata",
    "integration/test_shown",
    "unit/test_arrays",
    "unit/test_asset_options",
    "unit/test_batches",
    "unit/test_compression",
    "unit/test_frames",
    "unit/test_json_models",
    "unit/test_large_values",
    "unit/test_parquet_encodings",
    "unit/test_parquet_parts",
    "unit/test_pickle_buffers",
    "unit/test_polars_scans",
    "unit/test_projection",
    "unit/test_schemas",
    "unit/test_sources",
    "unit/test_structures",
    "unit/test_text_tables",
    "unit/test_values",
)
# Dagster and the servers take memory: more than four workers gain little.
WORKERS = str(min(os.cpu_count() or 1, 4))

nox.options.sessions = ["lint", "types", "imports", "unit", "conformance", "integration", "faults"]
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.error_on_missing_interpreters = True


def tool(session: nox.Session, name: str, *args: str) -> None:
    """Runs a tool of `.venv`, the one environment that most sessions share."""
    session.run(sys.executable, "run.py", "install", external=True, log=False)
    session.run(str(BIN / name), *args, external=True)


def pytest(session: nox.Session, *args: str) -> None:
    tool(session, "pytest", "-n", WORKERS, "--dist", "worksteal", *args, *session.posargs)


@nox.session(venv_backend="none")
def lint(session: nox.Session) -> None:
    """Style and formatting, with ruff."""
    tool(session, "ruff", "check")
    tool(session, "ruff", "format", "--check")


@nox.session(venv_backend="none")
def types(session: nox.Session) -> None:
    """Types of the sources and the tests, with mypy in strict mode."""
    tool(session, "mypy")


@nox.session(venv_backend="none")
def imports(session: nox.Session) -> None:
    """Which module may import which: the contracts in pyproject.toml."""
    tool(session, "lint-imports")


@nox.session(venv_backend="none")
def unit(session: nox.Session) -> None:
    """Tests without a network, and the examples in docstrings and README files."""
    pytest(session, "--doctest-glob=*.md", "tests/unit", *SOURCES, *READMES)


@nox.session(venv_backend="none")
def conformance(session: nox.Session) -> None:
    """What each store, format and layout promises, and what earlier versions wrote."""
    pytest(session, "tests/conformance", "tests/compat/test_recorded.py")


@nox.session(venv_backend="none")
def long(session: nox.Session) -> None:
    """What other tests prove of one backend, of the next one (minutes; nightly)."""
    pytest(session, "-m", "long", "tests/conformance", "tests/integration", "tests/examples")


@nox.session(venv_backend="none")
def keys(session: nox.Session) -> None:
    """Fifty million pairs of addresses, none of which may share a key (minutes; nightly)."""
    os.environ.setdefault("DAGSTER_BUCKETS_PAIRS", "50000000")
    pytest(session, "-s", "tests/conformance/test_many_keys.py")


@nox.session(venv_backend="none")
def integration(session: nox.Session) -> None:
    """Real Dagster runs against servers that the tests start and stop."""
    pytest(session, "tests/integration")


@nox.session(venv_backend="none")
def faults(session: nox.Session) -> None:
    """What is broken on purpose, a part of it: networks, disks, writers, names, secrets."""
    pytest(session, "-n", "4", "tests/faults", "--rounds=0.05")  # most of the time they wait


@nox.session(venv_backend="none")
def chaos(session: nox.Session) -> None:
    """All of it, or so many times as much: `-- --rounds 10 --seed 7` (minutes; nightly)."""
    pytest(session, "-n", "4", "tests/faults")


@nox.session(venv_backend="none")
def demo(session: nox.Session) -> None:
    """The demo on all three stores, as a user runs it: whole, falsified and interrupted."""
    pytest(session, "tests/demo")


@nox.session
def bench(session: nox.Session) -> None:
    """Measures beside peers, and writes the report in docs/; `-- large frames` for some cases."""
    install_stock(session, "bench")
    peers = str(Path(session.bin, "python"))
    # Ours in `.venv`: the peers need an older Polars.
    tool(session, "python", "-m", "benchmarks", "--peers", peers, *session.posargs)
    session.run("python", "-m", "benchmarks.publish")
    session.run("python", "-m", "benchmarks.verification")


@nox.session
def scale(session: nox.Session) -> None:
    """Simulates many partitions, writes the page beside the model; `-- keys events` for some."""
    install_stock(session, "bench")
    tool(session, "python", "-m", "benchmarks.scale", *session.posargs)
    # Where Matplotlib is.
    session.run("python", "-m", "benchmarks.scale.publish")


@nox.session(venv_backend="none")
def wheels(session: nox.Session) -> None:
    """Builds every source distribution, and from each of them its wheel, into .nox/wheels."""
    shutil.rmtree(WHEELS, ignore_errors=True)
    tool(
        session,
        "uv",
        "build",
        "--quiet",
        "--all-packages",
        "--out-dir",
        str(WHEELS),
        "--build-constraints",
        str(CONSTRAINTS),
    )


@nox.session(requires=["wheels"])
@nox.parametrize("name", [*PACKAGES, "meta"], ids=[*PACKAGES, "meta"])
def packaging(session: nox.Session, name: str) -> None:
    """Each wheel alone in a fresh environment, its siblings from the wheels built here."""
    distribution = "dagster-buckets" if name == "meta" else f"dagster-buckets-{name}"
    wheel = next(WHEELS.glob(f"{distribution.replace('-', '_')}-[0-9]*.whl"))
    wanted = f"{distribution}[s3] @ {wheel.as_uri()}" if name == "meta" else str(wheel)
    tool(
        session,
        "uv",
        "pip",
        "install",
        "--quiet",
        "--python",
        session.virtualenv.location,
        "--find-links",
        str(WHEELS),
        # Wheels of one version that were built before may be in uv's cache.
        *(f"--refresh-package=dagster-buckets-{name}" for name in PACKAGES),
        "--constraint",
        str(CONSTRAINTS),
        wanted,
    )
    # Isolated: nothing in the checkout can stand in for what the wheel lacks.
    session.run("python", "-I", "tests/packaging/check_wheel.py", distribution, str(wheel))


@nox.session(requires=["wheels"])
def sbom(session: nox.Session) -> None:
    """A software bill of materials of each distribution, in .nox/bills, from its wheel alone."""
    pinned = ("uv", "pip", "install", "--quiet", "--constraint", str(CONSTRAINTS))
    tool(session, *pinned, "--python", session.virtualenv.location, "--group", "sbom")
    shutil.rmtree(SBOM, ignore_errors=True)
    SBOM.mkdir(parents=True)
    for name in (*PACKAGES, "meta"):
        distribution = "dagster-buckets" if name == "meta" else f"dagster-buckets-{name}"
        wheel = next(WHEELS.glob(f"{distribution.replace('-', '_')}-[0-9]*.whl"))
        alone = Path(session.create_tmp(), name)
        tool(session, "uv", "venv", "--quiet", "--clear", str(alone))
        # By name: an installation from a path would leave that path in the environment.
        extras = "[all]" if name == "meta" else ""
        wanted = f"{distribution}{extras}=={wheel.name.split('-')[1]}"
        fresh = [f"--refresh-package=dagster-buckets-{package}" for package in PACKAGES]
        source = ("--find-links", str(WHEELS), "--refresh-package=dagster-buckets", *fresh)
        tool(session, *pinned, "--python", str(alone), *source, wanted)
        folder = "." if name == "meta" else f"packages/{name}"
        raw = alone / "raw.json"
        session.run(
            *("cyclonedx-py", "environment", "--pyproject", f"{folder}/pyproject.toml"),
            *("--mc-type", "library", "--output-reproducible", "--no-validate"),
            *("-o", str(raw), str(alone / "bin" / "python")),
        )
        target = SBOM / f"{wheel.name.partition('-py3')[0]}.cdx.json"
        session.run("python", "tests/packaging/sbom.py", str(raw), str(wheel), str(target))


@nox.session
def docs(session: nox.Session) -> None:
    """The documentation as a site, in .nox/site; each warning is an error."""
    pinned = ("uv", "pip", "install", "--quiet", "--constraint", str(CONSTRAINTS))
    tool(session, *pinned, "--python", session.virtualenv.location, "--group", "docs")
    session.run("mkdocs", "build", "--strict", *session.posargs)


@nox.session
def screenshots(session: nox.Session) -> None:
    """Takes the pictures of Dagster's UI in the documentation; needs Chromium."""
    install_webserver(session, "screenshots")
    session.run("python", "docs/screenshots.py")


@nox.session
def webserver(session: nox.Session) -> None:
    """The examples in `dagster dev`, with runs that its webserver launches."""
    install_webserver(session, "webserver")
    session.run("pytest", "tests/webserver", *session.posargs)


def install_webserver(session: nox.Session, group: str) -> None:
    """Installs Dagster's webserver, the Dagster of its version, and ours beside them."""
    packages = [f"packages/{name}" for name in PACKAGES]
    pinned = ("uv", "pip", "install", "--quiet", "--build-constraints", str(CONSTRAINTS))
    python = ("--python", session.virtualenv.location)
    tool(session, *pinned, *python, *packages, ".", "--group", group)


@nox.session
def audit(session: nox.Session) -> None:
    """Known vulnerabilities of what constraints.txt pins; says so where it has no network."""
    pinned = ("uv", "pip", "install", "--quiet", "--constraint", str(CONSTRAINTS))
    tool(session, *pinned, "--python", session.virtualenv.location, "--group", "audit")
    session.run("python", "tests/packaging/audit.py", str(CONSTRAINTS))


@nox.session
def examples(session: nox.Session) -> None:
    """The examples: the projects as users run them, the plugin installed as a user does it."""
    pytest(session, "tests/examples")
    tool(
        session,
        "uv",
        "pip",
        "install",
        "--quiet",
        "--python",
        session.virtualenv.location,
        "--constraint",
        str(CONSTRAINTS),
        "--build-constraints",
        str(CONSTRAINTS),
        "packages/core[testing]",
        "packages/local",
        str(AVRO),
        "--group",
        f"{AVRO}/pyproject.toml:test",
    )
    with session.chdir(AVRO):
        session.run("pytest", *session.posargs)


@nox.session(python="3.11")
def lowest(session: nox.Session) -> None:
    """What libraries can change, at the oldest versions that the packages say they work with."""
    # Direct dependencies go down to their bounds; the test tools stay as constraints.txt has them.
    group = nox.project.dependency_groups(nox.project.load_toml("pyproject.toml"), "test")
    names = {re.split(r"[^A-Za-z0-9._-]", requirement)[0] for requirement in group}
    pins = CONSTRAINTS.read_text("utf-8").splitlines()
    kept = [pin for pin in pins if (match := PIN.match(pin)) and match["name"] in names]
    tools = Path(session.create_tmp(), "tools.txt")
    tools.write_text("\n".join([*kept, ""]), encoding="utf-8")
    tool(
        session,
        "uv",
        "pip",
        "install",
        "--quiet",
        "--python",
        session.virtualenv.location,
        "--resolution",
        "lowest-direct",
        "--constraint",
        str(tools),
        "--build-constraints",
        str(CONSTRAINTS),
        ".[all]",
        *(f"packages/{name}" for name in PACKAGES),
        "--group",
        "test",
    )
    tool(session, "uv", "pip", "list", "--python", session.virtualenv.location)
    modules = [f"tests/{name}.py" for name in OF_LIBRARIES]
    session.run("pytest", "-n", WORKERS, "--dist", "worksteal", *modules, *session.posargs)


@nox.session
def infra(session: nox.Session) -> None:
    """Terraform: modules tested, applied to a moto server, used under their policy (minutes)."""
    pinned = ("uv", "pip", "install", "--quiet", "--constraint", str(INFRA_CONSTRAINTS))
    tool(session, *pinned, "--python", session.virtualenv.location, "--group", "infra")
    scan = ("--framework", "terraform", "--skip-download", "--quiet", "--compact")
    session.run("checkov", "--directory", "infra", *scan)
    terraform_tests(session, "tests/infra")
    # Whatever else is left out by day: here it is the bucket that matters.
    s3 = ("tests/integration", "-k", "s3", "-m", "")
    terraform_tests(session, "-p", "tests.infra.under_policy", *s3)


@nox.session(venv_backend="none")
def infra_short(session: nox.Session) -> None:
    """What of Terraform needs no provider: formatting, README files, names, the policy."""
    terraform_tests(
        session, "tests/infra/test_documents.py", "tests/infra/test_policy_documents.py"
    )


def terraform_tests(session: nox.Session, *args: str) -> None:
    """Runs tests; if any of them could not run here, the session does not count as run."""
    told = Path(session.create_tmp(), "not-run.txt")
    told.unlink(missing_ok=True)
    os.environ["DAGSTER_BUCKETS_NOT_RUN"] = str(told)
    tool(session, "pytest", *args, *session.posargs)
    if told.exists():
        session.skip(f"{len(told.read_text('utf-8').splitlines())} tests did NOT run, see above")


@nox.session
def stock(session: nox.Session) -> None:
    """Dagster's own managers beside ours, both ways; in an environment of their versions."""
    install_stock(session)
    tests = sorted(str(path) for path in Path("tests/compat").glob("test_stock_*.py"))
    session.run("pytest", "-n", WORKERS, "--dist", "worksteal", *tests, *session.posargs)


@nox.session
def stock_short(session: nox.Session) -> None:
    """Of `stock` what a change can break for those who come from there: pages, and migrations."""
    install_stock(session)
    tests = [f"tests/compat/test_stock_{name}.py" for name in ("pages", "migrate", "example")]
    session.run("pytest", "-n", WORKERS, "--dist", "worksteal", *tests, *session.posargs)


@nox.session
def engines(session: nox.Session) -> None:
    """DuckDB, Polars, Daft, Ray and Spark read by themselves what is handed over; Spark by Java."""
    install_beside(session, "engines", ENGINE_CONSTRAINTS)
    told = Path(session.create_tmp(), "not-run.txt")
    told.unlink(missing_ok=True)
    os.environ["DAGSTER_BUCKETS_NOT_RUN"] = str(told)
    session.run("pytest", "tests/engines", *session.posargs)
    if told.exists():
        session.skip(f"some tests did NOT run:\n{told.read_text('utf-8')}")


def install_stock(session: nox.Session, group: str = "stock") -> None:
    """Installs Dagster's own managers, in versions that go together, and ours beside them."""
    install_beside(session, group, STOCK_CONSTRAINTS)


def install_beside(session: nox.Session, group: str, constraints: Path) -> None:
    """Installs a group in versions of its own, and ours beside it."""
    tool(
        session,
        "uv",
        "pip",
        "install",
        "--quiet",
        "--python",
        session.virtualenv.location,
        "--constraint",
        str(constraints),
        "--build-constraints",
        str(CONSTRAINTS),
        "--editable",
        ".[s3,gcs,polars]",
        *(word for name in PACKAGES for word in ("--editable", f"packages/{name}")),
        "--group",
        group,
    )


@nox.session(venv_backend="none")
def constraints(session: nox.Session) -> None:
    """Renews all constraints.txt; with `-- --upgrade` everything moves to its newest version."""
    tools = Path(session.create_tmp(), "tools.txt")
    tools.write_text("hatchling\nnox\nuv\n", encoding="utf-8")
    groups = [f"--group={name}" for name in GROUPS]
    compile_pins(
        session,
        CONSTRAINTS,
        CONSTRAINTS_HEAD.format(what="tests, demo and tools install"),
        *("--all-extras", *groups, str(tools)),
    )
    compile_pins(
        session,
        STOCK_CONSTRAINTS,
        CONSTRAINTS_HEAD.format(what="the tests beside Dagster's own managers install"),
        *("--extra=s3", "--extra=gcs", "--extra=polars", "--group=bench"),
    )
    compile_pins(
        session,
        ENGINE_CONSTRAINTS,
        CONSTRAINTS_HEAD.format(what="the tests of other engines install"),
        *("--extra=s3", "--extra=gcs", "--extra=polars", "--group=engines"),
    )
    compile_pins(
        session,
        INFRA_CONSTRAINTS,
        CONSTRAINTS_HEAD.format(what="the scan of infra/ installs"),
        "--group=infra",
        ours=False,
    )


def compile_pins(
    session: nox.Session, target: Path, head: str, *args: str, ours: bool = True
) -> None:
    """Writes the versions that uv resolves for all Pythons; what is pinned already stays."""
    packages = [f"packages/{name}/pyproject.toml" for name in PACKAGES]
    # uv keeps the versions that it finds in its output file.
    compiled = Path(session.create_tmp(), f"{target.parent.name}-pins.txt")
    compiled.write_bytes(target.read_bytes() if target.exists() else b"")
    tool(
        session,
        "uv",
        "pip",
        "compile",
        "--quiet",
        "--universal",
        "--python-version",
        "3.11",
        "--no-emit-index-url",
        "--no-annotate",
        "--no-header",
        "--output-file",
        str(compiled),
        *args,
        *session.posargs,
        *(["pyproject.toml", *packages] if ours else []),
    )
    # Our own distributions are in it as paths; only versions are kept.
    pins = [line for line in compiled.read_text("utf-8").splitlines() if PIN.match(line)]
    target.write_text(head + "\n".join([*pins, ""]), encoding="utf-8")
