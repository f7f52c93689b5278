"""The arrows between the parts point down only, and each part needs no more than it says."""

import ast
import subprocess
import sys
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parent.parent
RAY_FILES = (
    "cluster.training.gang",
    "cluster.training.ray_run",
    "cluster.serving.deployment",
    "cluster.runner",
)

SERVING_BACKENDS = ("cluster.serving.embedded", "cluster.serving.encoders", "cluster.serving.vllm_backend")

ALLOWED = {
    "cluster.contracts": (),
    "cluster.garbage": (),
    "cluster.logs": (),
    "cluster.niceness": (),
    "cluster.nvidia_driver": (),
    "cluster.requirements": (),
    "cluster.scratch": ("cluster.contracts",),
    "cluster.tracing": (),
    "cluster.worker_resources": ("cluster.contracts",),
    "cluster.storage": ("cluster.contracts",),
    "cluster.wire": ("cluster.contracts",),
    "cluster.egress": ("cluster.contracts",),
    "cluster.grading": ("cluster.contracts",),
    "cluster.bases": ("cluster.contracts",),
    "cluster.planning": ("cluster.contracts",),
    "cluster.data_checks": ("cluster.contracts",),
    # How the built-in model was made. Nothing that runs needs it, and the wheel leaves it out.
    "cluster.bases.tiny.recipe": ("cluster.bases.general",),
    "cluster.training": (
        "cluster.contracts",
        "cluster.storage",
        "cluster.bases",
        "cluster.data_checks",
        "cluster.garbage",
        "cluster.logs",
        "cluster.niceness",
        "cluster.nvidia_driver",
        "cluster.planning",
        "cluster.scratch",
        "cluster.tracing",
        "cluster.worker_resources",
    ),
    "cluster.serving": (
        "cluster.contracts",
        "cluster.requirements",
        "cluster.scratch",
        "cluster.storage",
        "cluster.tracing",
        "cluster.wire",
        "cluster.bases",
    ),
    # Tuned weights in other programs' formats: what training stored, read as serving reads it.
    "cluster.exporting": (
        "cluster.contracts",
        "cluster.storage",
        "cluster.bases",
        "cluster.serving.weights",
        "cluster.training.checkpoints.checkpoint",
        "cluster.scratch",
    ),
    # The composition of the two Serve applications.
    "cluster.serving.deployment": (
        "cluster.contracts",
        "cluster.storage",
        "cluster.wire",
        "cluster.bases",
        "cluster.logs",
        "cluster.niceness",
        "cluster.planning",
        "cluster.serving",
        "cluster.tracing",
        "cluster.worker_resources",
        "cluster.training.data.compiled",
        "cluster.training.data.preview",
        "cluster.training.data.reported",
        "cluster.training.importing.adapter",
        "cluster.exporting.export",
    ),
    "cluster.tracking": ("cluster.contracts",),
    "cluster.runner": (
        "cluster.contracts",
        "cluster.logs",
        "cluster.niceness",
        "cluster.storage",
        "cluster.tracing",
        "cluster.tracking",
        "cluster.training",
        "cluster.worker_resources",
    ),
    "service.settings": ("cluster", "service"),
    "service.audit_chain": (),
    "service.audit_types": (),
    "service.db": ("cluster.contracts", "cluster.storage.keys", "service.audit_chain", "service.audit_types"),
    "service.webhooks": ("cluster.contracts", "cluster.egress", "service.db"),
    "service.metrics": ("cluster.contracts", "service.db"),
    "service.scheduling": (
        "cluster.contracts",
        "cluster.storage",
        "cluster.tracing",
        "cluster.wire",
        "cluster.bases.catalogue",
        "service.db",
        "service.job_checks",
        "service.run_times",
        "service.metrics",
        "service.webhooks",
    ),
    "service.backup": (
        "cluster.contracts",
        "cluster.storage",
        "service.data_folder",
        "service.db",
        "service.permissions",
        "service.settings",
    ),
    "service.reconcile": (
        "cluster.contracts",
        "cluster.storage",
        "service.backup.installation",
        "service.backup.manifests",
        "service.db",
        "service.scheduling.interfaces",
        "service.scheduling.cluster.ray_jobs",
        "service.scheduling.sweeping.sweep",
        "service.settings",
        "service.storage_check",
    ),
    "service.storage_check": ("cluster.contracts", "cluster.storage"),
    "service.reencryption": (
        "cluster.contracts",
        "cluster.storage",
        "service.backup",
        "service.db",
        "service.storage_check",
    ),
    "service.listed_settings": ("cluster.contracts",),
    "service.oidc": (
        "cluster.contracts",
        "cluster.egress",
        "service.db.organization.identity",
        "service.db.organization.scopes",
    ),
    "service.job_checks": ("cluster.contracts", "cluster.planning", "service.db"),
    "service.run_times": (
        "cluster.contracts",
        "cluster.planning.accelerators",
        "service.db",
        "service.job_checks",
    ),
    "service.api": (
        "cluster.contracts",
        "cluster.storage",
        "cluster.tracing",
        "cluster.bases.catalogue",
        "cluster.bases.layers",
        "cluster.bases.text.text_size",
        "cluster.egress",
        "cluster.grading",
        "cluster.planning",
        "cluster.wire",
        "service.dashboard",
        "service.db",
        "service.job_checks",
        "service.run_times",
        "service.metrics",
        "service.oidc",
        "service.scheduling.interfaces",
        # The policy, which is pure, and what it decides about: the pools as the settings name them.
        "service.scheduling.cluster.cluster_pools",
        "service.scheduling.cluster.pool_states",
        "service.scheduling.policy",
        "service.scheduling.snapshots",
        "service.storage_check",
        "service.webhooks.sending",
    ),
    "service.dashboard": (),
    # The public HTTP API, the commands that work on an installation itself, and checks of local files.
    "service.cli": (
        "cluster.contracts",
        "cluster.bases",
        "cluster.data_checks",
        "cluster.grading.templates",
        "cluster.planning",
        "service.audit_chain",
        "service.audit_types",
        "service.backup",
        "service.data_folder",
        "service.local_devices",
        "service.server_url",
        "service.settings",
        "service.ports",
        "service.reconcile",
        "service.reencryption",
        "service.sweep",
        "service.up",
        "service.vllm_environment",
    ),
    # It installs the package, and imports it for its path and its requirements.
    "service.vllm_environment": ("cluster",),
    "service.data_folder": ("cluster.bases.catalogue", "service.permissions"),
    "service.local_devices": ("cluster.contracts",),
    "service.migrate": ("cluster.contracts", "service.db", "service.settings"),
    "service.local_ray": ("service.log_rotation",),
    "service.log_rotation": (),
    "service.ports": (),
    "service.permissions": (),
    "service.server_url": ("service.permissions",),
    "service.log_rate_limit": (),
    "service.logs": ("cluster.logs", "service.log_rate_limit"),
    "service.supervisor": ("service.log_rotation",),
    "service.sweep": ("cluster", "service"),
    # The composition of the whole on one machine.
    "service.up": ("cluster", "service"),
}
"""What a part may import of ours beside itself. The longest name that a module begins with is its part;
settings, and what keeps logs short, are for every part of the service but its database."""


@cache
def modules(package: str) -> list[str]:
    """Every module of the package but the database migrations, which are alembic's."""
    names = []
    for path in sorted((ROOT / package.replace(".", "/")).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        if "migrations" not in parts:
            names.append(".".join(parts).removesuffix(".__init__"))
    return names


@cache
def imported(module: str) -> tuple[str, ...]:
    """The absolute names that a module's source imports, `from a import b` as `a.b`."""
    path = ROOT.joinpath(*module.split("."))
    source = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    names: list[str] = []
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} has a relative import"
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return tuple(names)


def is_in(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


def part_of(module: str) -> str | None:
    return max((part for part in ALLOWED if is_in(module, part)), key=len, default=None)


def imports_of(package: str) -> list[tuple[str, str]]:
    """(module, name that it imports) of every module of the package."""
    return [(module, name) for module in modules(package) for name in imported(module)]


def test_every_module_belongs_to_a_part_of_the_architecture() -> None:
    names = {*modules("cluster"), *modules("service")}
    assert {name for name in names if part_of(name) is None} == {"cluster", "service"}


def test_every_module_imports_only_what_is_below_it() -> None:
    assert [
        f"{module} imports {name}"
        for module, name in [*imports_of("cluster"), *imports_of("service")]
        if name.startswith(("cluster.", "service.")) and not may_import(part_of(module), name)
    ] == []


def may_import(part: str | None, name: str) -> bool:
    allowed = [part, *ALLOWED[part]] if part else []
    if part in {"service.api", "service.scheduling"}:
        allowed += ["service.settings", "service.logs"]
    return any(is_in(name, package) for package in allowed)


def test_no_module_reaches_itself_through_its_imports() -> None:
    names = {*modules("cluster"), *modules("service")}
    # `from a import b` names the module a.b, or something in the module a.
    graph = {
        name: {part for part in imported(name) if part in names}
        | {part.rpartition(".")[0] for part in imported(name) if part not in names}
        for name in names
    }
    TopologicalSorter(graph).prepare()


def test_a_serving_backend_is_imported_by_the_deployment_only() -> None:
    assert [
        f"{module} imports {name}"
        for module, name in imports_of("cluster.serving")
        if not is_in(module, "cluster.serving.deployment")
        for backend in SERVING_BACKENDS
        if is_in(name, backend) and not is_in(module, backend)
    ] == []


def test_no_route_imports_another_route() -> None:
    routes = "service.api.routes"
    assert [each for each in imports_of(routes) if is_in(each[1], routes)] == []


def test_cluster_names_neither_fastapi_nor_sqlalchemy() -> None:
    unwanted = {"fastapi", "sqlalchemy"}
    assert [each for each in imports_of("cluster") if each[1].split(".")[0] in unwanted] == []


def test_ray_is_named_in_its_own_files_only() -> None:
    naming = {module for module, name in imports_of("cluster") if is_in(name, "ray")}
    assert {module for module in naming if not any(is_in(module, file) for file in RAY_FILES)} == set()


def loaded_after_importing(names: list[str]) -> set[str]:
    """The modules in a fresh interpreter that has imported these; commands, which run, are left out."""
    names = [name for name in names if not name.endswith(".__main__")]
    code = (
        "import importlib, sys\nfor name in sys.argv[1:]: importlib.import_module(name)\nprint(*sys.modules)"
    )
    command = [sys.executable, "-W", "ignore", "-c", code, *names]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_service_runs_without_torch_and_ray() -> None:
    loaded = loaded_after_importing(modules("service"))
    unwanted = {"torch", "ray", "transformers", "cluster.training", "cluster.serving", "cluster.runner"}
    assert loaded & unwanted == set()


def test_cluster_runs_without_a_web_framework_a_database_and_outside_its_ray_files_without_ray() -> None:
    names = [name for name in modules("cluster") if not any(is_in(name, ray_file) for ray_file in RAY_FILES)]
    loaded = loaded_after_importing(names)
    assert loaded & {"fastapi", "sqlalchemy", "ray"} == set()


def test_serve_builds_the_applications_without_torch() -> None:
    """At each start, in a process for each application."""
    loaded = loaded_after_importing(
        ["cluster.serving.deployment.engines", "cluster.serving.deployment.datasets"]
    )
    assert loaded & {"torch", "transformers"} == set()
