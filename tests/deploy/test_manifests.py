"""The deployment files name only what exists, allow only the needed access, and match their schemas."""

import copy
import importlib
import json
import re
from fnmatch import fnmatchcase
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any, get_args
from urllib.parse import parse_qs, urlsplit

import kubernetes_validate
import pytest
import ray
import yaml
from ray._private.label_utils import validate_label_selector
from ray.autoscaler._private.kuberay.autoscaling_config import _derive_autoscaling_config_from_ray_cr
from ray.autoscaler._private.util import prepare_config, validate_config

from cluster.serving.deployment.settings import EngineSettings
from cluster.storage.keys import (
    FOLDERS,
    dataset_key,
    export_manifest_key,
    file_key,
    import_manifest_key,
    manifest_key,
    part_key,
    spec_key,
)
from service.api.readiness import PART_SECONDS, Part
from service.api.routes.upload_parts import MAX_PART_BYTES
from service.api.uploads.turns import FILES_AT_ONCE
from service.scheduling.sweeping.sweep import PROBES
from service.settings import Settings
from tests.deploy.manifests import (
    BASE,
    DEPLOY,
    GPU,
    ROOT,
    SMALL,
    Document,
    apply,
    compose,
    documents,
    pod_labels,
    pod_specs,
    rendered,
    resources,
)

ALL = [*resources(BASE), *resources(SMALL)]
PODS = [(resource["metadata"]["name"], pod) for resource in ALL for pod in pod_specs(resource)]
SERVICES = compose()["services"]
OUR_IMAGES = {"tunery-service:0.1.0", "tunery-cluster:0.1.0"}
COMPONENT = "app.kubernetes.io/component"
VARIABLE = re.compile(r"TUNERY_[A-Z_]+")


def variables_read_by(package: str) -> set[str]:
    """Variables of the settings' fields, and those that the package's sources name."""
    fields = {f"TUNERY_{name.upper()}" for name in Settings.model_fields} if package == "service" else set()
    return fields.union(*(VARIABLE.findall(path.read_text()) for path in (ROOT / package).rglob("*.py")))


def assert_variables_exist(image: str, names: set[str]) -> None:
    package = "service" if image.startswith("tunery-service") else "cluster"
    assert {name for name in names if name.startswith("TUNERY_")} <= variables_read_by(package)


def assert_module_exists(command: list[str]) -> None:
    if command[:2] == ["python", "-m"]:
        path = ROOT.joinpath(*command[2].split("."))
        assert path.with_suffix(".py").is_file() or (path / "__main__.py").is_file(), command


def assert_application_exists(application: Document) -> None:
    from ray.serve import Application

    module, _, name = application["import_path"].partition(":")
    assert isinstance(getattr(importlib.import_module(module), name), Application)
    assert application["route_prefix"] == f"/{application['name']}"


# Compose


def test_compose_publishes_only_the_api() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert published == {"api": ["8000:8000"]}
    assert not [name for name, service in SERVICES.items() if service.get("network_mode") == "host"]


@pytest.mark.parametrize("name", SERVICES)
def test_compose_service_is_pinned_and_depends_on_existing_services(name: str) -> None:
    service = SERVICES[name]
    tag = service["image"].rpartition(":")[2]
    assert re.search(r"\d", tag)
    for needed, condition in service.get("depends_on", {}).items():
        if condition["condition"] == "service_healthy":
            assert "healthcheck" in SERVICES[needed]
        else:
            assert SERVICES[needed]["restart"] == "no"
    for volume in service.get("volumes", []):
        source = volume.partition(":")[0]
        assert (
            (DEPLOY / "compose" / source).is_file()
            if source.startswith(".")
            else source in compose()["volumes"]
        )


@pytest.mark.parametrize("name", [name for name in SERVICES if SERVICES[name]["image"] in OUR_IMAGES])
def test_our_compose_service_runs_an_existing_module_with_variables_that_are_read(name: str) -> None:
    service = SERVICES[name]
    assert_module_exists(service["command"])
    assert_variables_exist(service["image"], set(service["environment"]))
    assert service["environment"]["RAY_AUTH_MODE"] == "token"
    assert (DEPLOY / "compose" / service["build"]["context"]).resolve() == ROOT
    assert (ROOT / service["build"]["dockerfile"]).is_file()


def test_only_the_scheduler_and_ray_have_the_token_of_rays_jobs_api() -> None:
    """Whoever has it can run any command on the cluster."""
    with_token = {name for name, one in SERVICES.items() if "RAY_AUTH_TOKEN" in one.get("environment", {})}
    assert with_token == {"scheduler", "ray-head", "ray-worker", "serve"}
    named = {
        name
        for name, pod in PODS
        for container in pod["containers"]
        if any(one["name"] == "RAY_AUTH_TOKEN" for one in container.get("env", []))
    }
    assert named == {"tunery-scheduler"}


def test_only_the_migration_is_the_owner_of_the_database() -> None:
    urls = {name: one.get("environment", {}).get("TUNERY_DATABASE_URL", "") for name, one in SERVICES.items()}
    assert {name for name, url in urls.items() if url.startswith("postgresql://tunery:")} == {"migrate"}
    assert {name for name, url in urls.items() if "//tunery_service:" in url} == {"api", "scheduler"}
    keys = {
        name: variable["valueFrom"]["secretKeyRef"]["key"]
        for name, pod in PODS
        for variable in pod["containers"][0].get("env", [])
        if variable["name"] == "TUNERY_DATABASE_URL"
    }
    assert keys == {"tunery-api": "url", "tunery-scheduler": "url", "tunery-migrate": "owner_url"}
    (migrate,) = (pod["containers"][0]["command"] for name, pod in PODS if name == "tunery-migrate")
    script = (DEPLOY / "postgres" / "service-role.sh").read_text()
    for command in (migrate, SERVICES["migrate"]["command"]):
        assert f"CREATE ROLE {command[command.index('--grant-to') + 1]} LOGIN" in script
    (mounted,) = (one["data"] for one in ALL if one["metadata"]["name"] == "postgres-service-role")
    assert mounted == {"service-role.sh": script}


@pytest.mark.parametrize("name", SERVICES)
def test_compose_service_has_limits_and_its_logs_do_not_fill_the_disk(name: str) -> None:
    service = SERVICES[name]
    assert service["logging"]["options"] == {"max-size": "50m", "max-file": "5"}
    assert service["pids_limit"] > 0
    assert ("mem_limit" in service) == (not name.startswith(("ray", "serve")))


def test_the_gpu_file_of_compose_changes_what_exists() -> None:
    (changes,) = documents(DEPLOY / "compose" / "compose.gpu.yaml")
    for name, change in changes["services"].items():
        assert set(change) <= {"environment", "shm_size", "deploy"}
        assert_variables_exist(SERVICES[name]["image"], set(change.get("environment", {})))
    (device,) = changes["services"]["ray-worker"]["deploy"]["resources"]["reservations"]["devices"]
    assert device["capabilities"] == ["gpu"]
    assert changes["services"]["api"] == changes["services"]["scheduler"]


def test_the_metrics_file_of_compose_scrapes_what_is_there_and_no_other_machine_reaches_it() -> None:
    (changes,) = documents(DEPLOY / "compose" / "compose.metrics.yaml")
    added = changes["services"].pop("prometheus")
    assert re.search(r"\d", added["image"].rpartition(":")[2])
    assert added["logging"] == SERVICES["api"]["logging"]
    assert [port.rpartition(":")[0] for port in added["ports"]] == ["127.0.0.1:9090"]
    for name, change in changes["services"].items():
        assert set(change) == {"environment"}
        assert_variables_exist(SERVICES[name]["image"], set(change["environment"]))
    (configuration,) = documents(DEPLOY / "compose" / "prometheus.yaml")
    ports = {
        f"tunery-{name}": [f"{name}:{port}"]
        for name, change in changes["services"].items()
        for variable, port in change["environment"].items()
        if variable.endswith("_PORT")
    }
    scraped = {
        one["job_name"]: one["static_configs"][0]["targets"] for one in configuration["scrape_configs"]
    }
    assert scraped == ports
    mounted = dict(one.split(":")[:2] for one in added["volumes"])
    sources = {target: source for source, target in mounted.items()}
    for path in (*configuration["rule_files"], "/etc/prometheus/prometheus.yaml"):
        assert (DEPLOY / "compose" / sources[path]).is_file()
    assert f"--config.file={mounted['./prometheus.yaml']}" in added["command"]
    assert mounted["metrics"] in added["command"][1]


def test_backups_of_compose_run_as_the_owner_of_the_database_with_the_storage() -> None:
    text = (ROOT / "docs" / "backup.md").read_text().replace("\\\n", " ")
    commands = re.findall(r"docker compose run (.*)", text)
    run = {command.partition("tunery ")[2].split()[0]: command for command in commands}
    assert set(run) == {"backup", "restore", "reconcile"}
    for name, service in (("backup", "migrate"), ("restore", "migrate"), ("reconcile", "scheduler")):
        assert run[name].split(" tunery ")[0].split()[-1] == service
        assert {"TUNERY_DATABASE_URL", "TUNERY_STORAGE_URL"} <= SERVICES[service]["environment"].keys()
    stopped = re.search(r"docker compose stop ([\w -]+?) +#", text)
    assert stopped is not None
    assert set(stopped[1].split()) == SERVICES.keys() - {"postgres", "s3", "migrate"}


def test_compose_takes_every_secret_from_the_environment_file_and_requires_each() -> None:
    text = (DEPLOY / "compose" / "compose.yaml").read_text()
    example = (DEPLOY / "compose" / ".env.example").read_text()
    named = set(re.findall(r"^(\w+)=$", example, re.MULTILINE))
    references = re.findall(r"\$\{(\w+)(:\?)?", text)
    assert {name for name, _ in references} == named
    assert all(required for _, required in references)
    for service in SERVICES.values():
        for variable, value in service.get("environment", {}).items():
            if re.search("TOKEN|SECRET|PASSWORD|ACCESS_KEY|API_KEY", variable):
                assert re.fullmatch(r"\$\{\w+:\?[^}]*\}", value), variable


def test_compose_services_reach_each_other_by_existing_names_and_ports() -> None:
    environment = SERVICES["api"]["environment"]
    assert environment["TUNERY_SERVICE_URL"] == "http://api:8001"
    command = SERVICES["api"]["command"]
    assert command[command.index("--port") + 1] == "8000"
    assert command[command.index("--internal-port") + 1] == "8001"
    assert environment["TUNERY_STORAGE_ENDPOINT"] == f"http://s3{SERVICES['s3']['environment']['VGW_PORT']}"
    assert environment["TUNERY_STORAGE_URL"] == "s3://tunery"
    assert "objects:/data/tunery" in SERVICES["s3"]["volumes"]
    assert environment["TUNERY_RAY_URL"] == "http://ray-head:8265"
    (serve,) = documents(DEPLOY / "compose" / "serve.yaml")
    assert environment["TUNERY_SERVING_URL"] == f"http://ray-head:{serve['http_options']['port']}"


def test_ray_accepts_the_serve_configuration_of_compose() -> None:
    from ray.serve.schema import ServeDeploySchema

    (serve,) = documents(DEPLOY / "compose" / "serve.yaml")
    ServeDeploySchema.model_validate(serve)
    assert [application["name"] for application in serve["applications"]] == ["engine", "datasets"]
    for application in serve["applications"]:
        assert_application_exists(application)


# Images


@pytest.mark.parametrize("image", ["service", "cluster", "vllm"])
def test_image_copies_existing_files_and_does_not_run_as_root(image: str) -> None:
    lines = (DEPLOY / "docker" / f"Dockerfile.{image}").read_text().splitlines()
    copied = [word for line in lines if re.match(r"COPY (?!--)", line) for word in line.split()[1:-1]]
    assert set(copied) >= {"pyproject.toml", "cluster", "service"}
    assert all((ROOT / name).exists() for name in copied)
    sent = (DEPLOY / "docker" / f"Dockerfile.{image}.dockerignore").read_text().splitlines()
    assert {f"!{name}" for name in copied} <= set(sent)
    assert [line for line in lines if line.startswith("USER")] == ["USER 1000"]
    assert all(re.search(r":\d", line) for line in lines if line.startswith("FROM"))


@pytest.mark.parametrize("image", ["cluster", "vllm"])
def test_an_image_whose_kernels_are_compiled_when_they_are_first_used_has_a_compiler(image: str) -> None:
    text = (DEPLOY / "docker" / f"Dockerfile.{image}").read_text()
    (installed,) = re.findall(r"apt-get install --yes --no-install-recommends ((?:[\w+-]+ )+)", text)
    assert "g++" in installed.split()


# Kubernetes


def name_of(resource: Document) -> str:
    return f"{resource['kind']}-{resource['metadata']['name']}"


@pytest.mark.parametrize("resource", [one for one in ALL if one["kind"] != "RayService"], ids=name_of)
def test_resource_matches_the_schema_of_its_kind(resource: Document) -> None:
    kubernetes_validate.validate(resource, "1.34", strict=True)


def test_pods_of_ray_match_the_schema_of_pods() -> None:
    """There is no schema of KubeRay's own kind here, but most of it is pods."""
    for pod in pod_specs(next(one for one in ALL if one["kind"] == "RayService")):
        template = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "ray"}, "spec": pod}
        kubernetes_validate.validate(template, "1.34", strict=True)


@pytest.mark.parametrize(("name", "pod"), PODS, ids=[name for name, _ in PODS])
def test_pod_is_confined(name: str, pod: Document) -> None:
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    for container in pod["containers"]:
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert {"cpu", "memory"} <= set(container["resources"]["requests"])
        assert "memory" in container["resources"]["limits"]
        assert re.search(r":v?\d", container["image"])


@pytest.mark.parametrize(("name", "pod"), PODS, ids=[name for name, _ in PODS])
def test_our_pod_runs_an_existing_module_with_variables_that_are_read(name: str, pod: Document) -> None:
    maps = {
        resource["metadata"]["name"]: resource["data"] for resource in ALL if resource["kind"] == "ConfigMap"
    }
    for container in pod["containers"]:
        given = {variable["name"] for variable in container.get("env", [])}
        for source in container.get("envFrom", []):
            if "configMapRef" in source:
                given |= set(maps[source["configMapRef"]["name"]])
        if container["image"] in OUR_IMAGES:
            assert_module_exists(container.get("command", []))
            assert_variables_exist(container["image"], given)
            assert "TUNERY_DATABASE_URL" not in given or container["image"] == "tunery-service:0.1.0"


def test_no_secret_is_in_the_files_and_the_readme_creates_each() -> None:
    assert not [resource for resource in ALL if resource["kind"] == "Secret"]
    named: dict[str, set[str]] = {"tunery-ray": {"auth_token"}}
    for _, pod in PODS:
        for container in pod["containers"]:
            for source in container.get("envFrom", []):
                if "secretRef" in source:
                    named.setdefault(source["secretRef"]["name"], set())
            for variable in container.get("env", []):
                if "valueFrom" in variable:
                    reference = variable["valueFrom"]["secretKeyRef"]
                    named.setdefault(reference["name"], set()).add(reference["key"])
                else:
                    assert not re.search("TOKEN|SECRET|PASSWORD|API_KEY", variable["name"])
    readme = (DEPLOY / "README.md").read_text()
    for secret, keys in named.items():
        (command,) = re.findall(rf"create secret generic {secret} ((?:\\\n|.)*?)\n(?!\s)", readme)
        assert keys <= set(re.findall(r"--from-literal=(\w+)=", command)), secret


def ray_service() -> Document:
    return next(resource for resource in ALL if resource["kind"] == "RayService")["spec"]


def test_ray_requires_a_token_and_is_never_replaced_under_running_jobs() -> None:
    cluster = ray_service()["rayClusterConfig"]
    assert cluster["authOptions"] == {"mode": "token", "secretName": "tunery-ray"}
    assert f"ray=={cluster['rayVersion']}" in (ROOT / "constraints.txt").read_text().splitlines()
    assert ray_service()["upgradeStrategy"] == {"type": "None"}


def test_serve_configuration_is_the_same_for_kubernetes_and_compose() -> None:
    serve = yaml.safe_load(ray_service()["serveConfigV2"])
    (of_compose,) = documents(DEPLOY / "compose" / "serve.yaml")
    assert serve["applications"] == of_compose["applications"]
    assert serve["http_options"] == of_compose["http_options"]


def test_urls_name_existing_services() -> None:
    services = {
        resource["metadata"]["name"]: {port["port"] for port in resource["spec"]["ports"]}
        for resource in ALL
        if resource["kind"] == "Service"
    }
    # KubeRay creates these two for a RayService.
    services |= {"tunery-ray-head-svc": {8265}, "tunery-ray-serve-svc": {8000}}
    urls = [
        value
        for resource in ALL
        if resource["kind"] == "ConfigMap"
        for value in resource["data"].values()
        if value.startswith("http")
    ]
    assert len(urls) == 4
    for url in urls:
        host, port = re.fullmatch(r"http://([\w-]+):(\d+)", url).groups()
        assert int(port) in services[host]


def matches(selector: Document, labels: dict[str, str]) -> bool:
    if any(labels.get(key) != value for key, value in selector.get("matchLabels", {}).items()):
        return False
    return all(labels.get(rule["key"]) in rule["values"] for rule in selector.get("matchExpressions", []))


def allowed(direction: str, of: str, with_: str, port: int) -> bool:
    """Whether a policy allows this traffic between pods of two components."""
    mine, theirs = {COMPONENT: of}, {COMPONENT: with_}
    peers = {"egress": "to", "ingress": "from"}[direction]
    for policy in (resource["spec"] for resource in ALL if resource["kind"] == "NetworkPolicy"):
        for rule in policy.get(direction, []) if matches(policy["podSelector"], mine) else []:
            ports = [entry["port"] for entry in rule.get("ports", [])]
            if (not ports or port in ports) and (
                peers not in rule
                or any(
                    "namespaceSelector" not in peer
                    and "ipBlock" not in peer
                    and matches(peer["podSelector"], theirs)
                    for peer in rule[peers]
                )
            ):
                return True
    return False


PORTS = (5432, 6379, 7070, 8000, 8001, 8265)
OPEN = {
    ("api", "postgres", 5432),
    ("scheduler", "postgres", 5432),
    ("migrate", "postgres", 5432),
    ("api", "s3", 7070),
    ("scheduler", "s3", 7070),
    ("ray", "s3", 7070),
    ("api", "ray", 8000),
    ("scheduler", "ray", 8000),
    ("scheduler", "ray", 8265),
    ("ray", "api", 8001),
    # Ray's nodes may connect to each other on any port.
    *(("ray", "ray", port) for port in PORTS),
}


def test_only_rays_pods_reach_the_port_for_runners_and_no_service_for_clients_has_it() -> None:
    internal = ray_config("TUNERY_SERVICE_URL")
    assert internal == "http://tunery-internal:8001"
    ports = {
        resource["metadata"]["name"]: [port["port"] for port in resource["spec"]["ports"]]
        for resource in ALL
        if resource["kind"] == "Service"
    }
    assert [name for name, found in ports.items() if 8001 in found] == ["tunery-internal"]
    assert ports["tunery-api"] == [8000]
    assert not [
        one for one in ALL if one["kind"] == "Service" and one["spec"].get("type", "ClusterIP") != "ClusterIP"
    ]
    (rules,) = (
        policy["spec"]["ingress"]
        for policy in ALL
        if policy["kind"] == "NetworkPolicy" and policy["metadata"]["name"] == "api"
    )
    for rule in rules:
        if 8001 in [entry["port"] for entry in rule["ports"]]:
            assert [matches(peer["podSelector"], {COMPONENT: "ray"}) for peer in rule["from"]] == [True]


def ray_config(name: str) -> str:
    return next(
        str(resource["data"][name])
        for resource in ALL
        if resource["kind"] == "ConfigMap" and name in resource["data"]
    )


def test_network_policies_name_the_namespaces_of_others() -> None:
    """Anybody who may create pods in some namespace can give them any labels."""
    files = sorted((DEPLOY / "k8s").rglob("*.yaml"))
    # A list is a JSON patch.
    found = [one for file in files for one in documents(file) if isinstance(one, dict)]
    policies = [one for one in found if one.get("kind") == "NetworkPolicy"]
    rules = [rule for one in policies for way in ("ingress", "egress") for rule in one["spec"].get(way, [])]
    peers = [peer for rule in rules for peer in [*rule.get("from", []), *rule.get("to", [])]]
    selectors = [peer["namespaceSelector"] for peer in peers if "namespaceSelector" in peer]
    names = [selector.get("matchLabels", {}).get("kubernetes.io/metadata.name") for selector in selectors]
    assert names
    assert all(names)
    readme = (DEPLOY / "README.md").read_text()
    assert "namespace `kuberay-system`" in readme
    assert "kuberay-system" in names


def test_network_allows_only_the_listed_connections() -> None:
    labels = [label[COMPONENT] for resource in ALL for label in pod_labels(resource)]
    components = set(labels)
    assert components == {"api", "scheduler", "migrate", "ray", "postgres", "s3"}
    found = {
        (source, target, port)
        for source in components
        for target in components
        for port in PORTS
        if allowed("egress", source, target, port) and allowed("ingress", target, source, port)
    }
    assert found == OPEN
    deny = next(resource for resource in ALL if resource["metadata"]["name"] == "deny-by-default")["spec"]
    assert deny == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


def test_prometheus_finds_and_reaches_the_metrics_and_no_service_offers_them() -> None:
    port = int(ray_config("TUNERY_METRICS_PORT"))
    assert int(ray_config("TUNERY_SCHEDULER_METRICS_PORT")) == port
    (policy,) = (one["spec"] for one in ALL if one["metadata"]["name"] == "prometheus-scrapes")
    assert [entry["port"] for entry in policy["ingress"][0]["ports"]] == [port]
    for name in ("api", "scheduler"):
        (pod,) = (
            one["spec"]["template"]
            for one in resources(BASE)
            if (one["kind"], one["metadata"]["name"]) == ("Deployment", f"tunery-{name}")
        )
        assert matches(policy["podSelector"], pod["metadata"]["labels"])
        scraped = {"prometheus.io/scrape": "true", "prometheus.io/port": str(port)}
        assert pod["metadata"]["annotations"] == scraped
        (container,) = pod["spec"]["containers"]
        assert {"name": "metrics", "containerPort": port} in container["ports"]
    services = [one["spec"]["ports"] for one in ALL if one["kind"] == "Service"]
    assert not [one for ports in services for one in ports if one["port"] == port]


def test_webhooks_may_leave_the_cluster_for_public_hosts_only() -> None:
    (spec,) = (one["spec"] for one in ALL if one["metadata"]["name"] == "to-webhook-receivers")
    assert [matches(spec["podSelector"], {COMPONENT: name}) for name in ("api", "scheduler", "ray")] == [
        True,
        True,
        False,
    ]
    (rule,) = spec["egress"]
    assert [entry["port"] for entry in rule["ports"]] == [443, 8443]
    four, six = (ip_network(peer["ipBlock"]["cidr"]) for peer in rule["to"])
    denied = [ip_network(network) for network in rule["to"][0]["ipBlock"]["except"]]
    for address in ("10.96.0.1", "172.20.0.1", "192.168.0.1", "169.254.169.254", "100.64.0.1", "127.0.0.1"):
        assert any(ip_address(address) in network for network in denied)
    assert ip_address("93.184.215.14") in four
    assert ip_address("fd00::1") not in six


def test_a_new_pod_of_the_api_waits_for_the_database_and_storage_and_not_for_ray() -> None:
    (api,) = (pod["containers"][0] for name, pod in PODS if name == "tunery-api")
    url = urlsplit(api["startupProbe"]["httpGet"]["path"])
    assert url.path == "/readyz"
    asked = parse_qs(url.query)["part"]
    assert asked == ["database", "storage"]
    assert set(asked) <= set(get_args(Part))
    assert api["startupProbe"]["timeoutSeconds"] > PART_SECONDS
    for probe in ("readinessProbe", "livenessProbe"):
        assert api[probe]["httpGet"]["path"] == "/healthz"


def test_the_api_has_room_on_its_node_for_all_uploads_that_it_receives_at_once() -> None:
    settings = Settings()
    files = FILES_AT_ONCE * settings.max_file_bytes
    parts = settings.max_parts_at_once * MAX_PART_BYTES
    (pod,) = (pod for name, pod in PODS if name == "tunery-api")
    resources = pod["containers"][0]["resources"]
    (spool,) = pod["volumes"]
    for given in (
        resources["requests"]["ephemeral-storage"],
        resources["limits"]["ephemeral-storage"],
        spool["emptyDir"]["sizeLimit"],
    ):
        assert files + parts < int(given.removesuffix("Gi")) * 2**30


def test_overlay_changes_only_what_the_base_has() -> None:
    (kustomization,) = documents(SMALL / "kustomization.yaml")
    base = {(resource["kind"], resource["metadata"]["name"]): resource for resource in resources(BASE)}
    for patch in kustomization["patches"]:
        if "target" in patch:
            target = base[(patch["target"]["kind"], patch["target"]["name"])]
            (operations,) = documents(SMALL / patch["path"])
            for operation in operations:
                found = target
                for part in operation["path"].strip("/").split("/"):
                    found = found[int(part) if part.isdecimal() else part]
                assert type(found) is type(operation["value"])
        else:
            for change in documents(SMALL / patch["path"]):
                assert (change["kind"], change["metadata"]["name"]) in base


def test_the_api_grows_with_its_load_and_its_pods_are_spread() -> None:
    (scaler,) = (one["spec"] for one in resources(BASE) if one["kind"] == "HorizontalPodAutoscaler")
    deployments = {
        one["metadata"]["name"]: one["spec"] for one in resources(BASE) if one["kind"] == "Deployment"
    }
    assert scaler["minReplicas"] == 2
    assert "replicas" not in deployments[scaler["scaleTargetRef"]["name"]], "applying would undo the scaling"
    budgets = [one["spec"] for one in resources(BASE) if one["kind"] == "PodDisruptionBudget"]
    for deployment in deployments.values():
        template = deployment["template"]
        (spread,) = template["spec"]["topologySpreadConstraints"]
        assert spread["labelSelector"] == deployment["selector"]
        assert {"selector": deployment["selector"], "maxUnavailable": 1} in budgets
        assert "cpu" in template["spec"]["containers"][0]["resources"]["requests"]
    (small,) = (one["spec"] for one in rendered(SMALL) if one["kind"] == "HorizontalPodAutoscaler")
    assert (small["minReplicas"], small["maxReplicas"]) == (1, 1)


EXAMPLES = DEPLOY / "k8s" / "examples"


def test_examples_name_services_and_ports_that_exist() -> None:
    (ingress,) = documents(EXAMPLES / "ingress.yaml")
    kubernetes_validate.validate(ingress, "1.34", strict=True)
    (rule,) = ingress["spec"]["rules"]
    (path,) = rule["http"]["paths"]
    (service,) = (one for one in ALL if (one["kind"], one["metadata"]["name"]) == ("Service", "tunery-api"))
    ports = {port["name"]: port["port"] for port in service["spec"]["ports"]}
    assert path["backend"]["service"] == {"name": "tunery-api", "port": {"name": "http"}}
    assert ingress["spec"]["tls"] == [{"hosts": [rule["host"]], "secretName": "tunery-tls"}]
    gateway, route = documents(EXAMPLES / "gateway.yaml")
    (listener,) = gateway["spec"]["listeners"]
    assert (listener["protocol"], listener["tls"]["mode"]) == ("HTTPS", "Terminate")
    assert route["spec"]["parentRefs"] == [{"name": gateway["metadata"]["name"]}]
    assert route["spec"]["hostnames"] == [listener["hostname"]]
    (backend,) = route["spec"]["rules"][0]["backendRefs"]
    assert backend == {"name": "tunery-api", "port": ports["http"]}
    # Longer than the API itself lets a request wait, and than its body may be.
    annotations = ingress["metadata"]["annotations"]
    settings = Settings()
    waits = 2 * settings.queue_timeout_seconds + settings.load_timeout_seconds
    assert int(annotations["nginx.ingress.kubernetes.io/proxy-read-timeout"]) > waits
    most = int(annotations["nginx.ingress.kubernetes.io/proxy-body-size"].removesuffix("m")) * 2**20
    assert most > settings.max_file_bytes


def test_training_pods_get_the_nodes_network_cards_by_the_example_for_rdma() -> None:
    (ray,) = (one for one in rendered(GPU) if one["kind"] == "RayService")
    before = copy.deepcopy(pod_specs(ray))
    operations: Any
    (operations,) = documents(EXAMPLES / "rdma.yaml")
    for operation in operations:
        apply(ray, operation)
    head, training, serving = pod_specs(ray)
    assert [head, serving] == [before[0], before[2]]
    template = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod"}, "spec": training}
    kubernetes_validate.validate(template, "1.34", strict=True)
    (container,) = training["containers"]
    assert container["resources"]["requests"] == container["resources"]["limits"]
    assert {name for name in container["resources"]["limits"] if "/" in name} == {
        "nvidia.com/gpu",
        "rdma/hca_shared_devices_a",
    }
    assert {"NCCL_IB_HCA", "TUNERY_CLUSTER_TOKEN"} <= {one["name"] for one in container["env"]}


def test_pod_monitors_select_pods_that_have_metrics() -> None:
    tunery, ray = documents(EXAMPLES / "pod-monitors.yaml")
    labels = {label[COMPONENT]: label for one in ALL for label in pod_labels(one)}
    selected = {name for name, own in labels.items() if matches(tunery["spec"]["selector"], own)}
    assert selected == {"api", "scheduler"}
    assert tunery["spec"]["podMetricsEndpoints"][0]["port"] == "metrics"
    assert matches(ray["spec"]["selector"], labels["ray"])
    (policy,) = (one["spec"] for one in ALL if one["metadata"]["name"] == "prometheus-scrapes-ray")
    (port,) = policy["ingress"][0]["ports"]
    assert ray["spec"]["podMetricsEndpoints"][0]["portNumber"] == port["port"]


def test_pod_monitors_name_the_jobs_as_the_alert_rules_expect() -> None:
    tunery, ray = documents(EXAMPLES / "pod-monitors.yaml")
    (of_tunery,) = tunery["spec"]["podMetricsEndpoints"][0]["relabelings"]
    assert of_tunery == {
        "sourceLabels": ["__meta_kubernetes_pod_label_" + re.sub(r"\W", "_", COMPONENT)],
        "targetLabel": "job",
        "replacement": "tunery-$1",
    }
    (of_ray,) = ray["spec"]["podMetricsEndpoints"][0]["relabelings"]
    assert of_ray == {"targetLabel": "job", "replacement": "tunery-ray"}


@pytest.mark.parametrize("name", ["backup", "restore"])
def test_backups_and_restores_run_with_what_the_base_has(name: str) -> None:
    made = documents(EXAMPLES / f"{name}.yaml")
    for one in made:
        kubernetes_validate.validate(one, "1.34", strict=True)
    (pod,) = (pod for one in made for pod in pod_specs(one))
    (container,) = pod["containers"]
    assert container["image"] in OUR_IMAGES
    arguments = re.split(r"\s+", container["command"][-1]) if name == "backup" else container["command"]
    assert arguments[:2] == ["tunery", name]
    assert [one["configMapRef"]["name"] for one in container["envFrom"] if "configMapRef" in one] == [
        "tunery-storage"
    ]
    assert_variables_exist(container["image"], {variable["name"] for variable in container["env"]})


def test_backups_reach_the_database_and_storage_and_are_taken_for_no_other_part() -> None:
    made = documents(EXAMPLES / "backup.yaml")
    (nightly,) = (one["spec"]["jobTemplate"] for one in made if one["kind"] == "CronJob")
    labels = nightly["spec"]["template"]["metadata"]["labels"]
    (restore,) = documents(EXAMPLES / "restore.yaml")
    assert pod_labels(restore) == [labels]
    services = [{"matchLabels": one["spec"]["selector"]} for one in ALL if one["kind"] == "Service"]
    budgets = [one["spec"]["selector"] for one in ALL if one["kind"] == "PodDisruptionBudget"]
    assert not [one for one in [*services, *budgets] if matches(one, labels)]
    out, into = (one["spec"] for one in made if one["kind"] == "NetworkPolicy")
    assert matches(out["podSelector"], labels)
    for rule in out["egress"]:
        (target,) = rule["to"]
        assert matches(into["podSelector"], target["podSelector"]["matchLabels"])
        assert rule["ports"][0] in into["ingress"][0]["ports"]


# Storage


@pytest.mark.parametrize("folder", [SMALL, GPU], ids=["small", "gpu"])
def test_storage_may_know_pods_by_their_accounts_instead_of_keys(folder: Path) -> None:
    made = rendered(folder)
    accounts = {one["metadata"]["name"]: one for one in made if one["kind"] == "ServiceAccount"}
    named = set()
    for pod in (pod for one in made for pod in pod_specs(one)):
        for container in pod["containers"]:
            for source in container.get("envFrom", []):
                if source.get("secretRef", {}).get("name", "").startswith("tunery-s3"):
                    assert source["secretRef"]["optional"] is True
                    named.add(pod["serviceAccountName"])
        assert pod["automountServiceAccountToken"] is False
    assert named == set(accounts)
    assert not any(one["automountServiceAccountToken"] for one in accounts.values())


def may(policy: str, action: str, key: str) -> bool:
    """Whether a policy of AWS allows an action on an object, by its statements without conditions."""
    document = json.loads((DEPLOY / "storage" / f"{policy}-policy.json").read_text())
    assert document["Version"] == "2012-10-17"
    return any(
        action in _listed(one["Action"])
        and any(fnmatchcase(f"arn:aws:s3:::tunery/{key}", pattern) for pattern in _listed(one["Resource"]))
        for one in document["Statement"]
        if one["Effect"] == "Allow" and "Condition" not in one
    )


def _listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def test_storage_policies_allow_each_side_what_it_does_and_no_more() -> None:
    export = export_manifest_key("e")
    made = [dataset_key("a", "b"), manifest_key("j", 1, 2), import_manifest_key("i"), export]
    given = [file_key("f"), spec_key("j", 1)]
    parts = part_key("u", "p")
    assert {key.split("/")[0] + "/" for key in [*made, *given, parts]} == set(FOLDERS)
    for key in [*made, *given, parts]:
        for action in ("s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"):
            assert may("service", action, key)
    assert all(may("cluster", "s3:GetObject", key) for key in [*made, *given])
    assert all(may("cluster", "s3:PutObject", key) for key in made)
    assert may("cluster", "s3:DeleteObject", export)
    for action, key in (
        ("s3:PutObject", file_key("f")),
        ("s3:DeleteObject", file_key("f")),
        ("s3:DeleteObject", manifest_key("j", 1, 2)),
        ("s3:GetObject", parts),
        ("s3:PutObject", parts),
    ):
        assert not may("cluster", action, key)
    # What the API writes to see whether it is ready.
    assert all(may("service", f"s3:{verb}Object", f"{PROBES}x") for verb in ("Put", "Get", "Delete"))
    assert not may("cluster", "s3:PutObject", f"{PROBES}x")
    for policy in ("service", "cluster"):
        assert not may(policy, "s3:GetObject", "else/x")
        assert not may(policy, "s3:DeleteBucket", "")


# Ray on machines of a cloud


def test_ray_accepts_the_cluster_of_aws_and_its_commands_have_the_token() -> None:
    (cluster,) = documents(DEPLOY / "ray" / "aws.yaml")
    prepared = prepare_config(copy.deepcopy(cluster))
    validate_config(prepared)
    with pytest.raises(Exception, match="Additional properties"):
        validate_config({**prepared, "nodes": 1})
    # Only the second version of the autoscaler sees labels that jobs ask for, and it is not the default here.
    assert not ray._config.enable_autoscaler_v2()
    assert "RAY_enable_autoscaler_v2=1" in " ".join(cluster["head_start_ray_commands"])
    for commands in ("head_start_ray_commands", "worker_start_ray_commands"):
        (start,) = (one for one in cluster[commands] if "ray start" in one)
        assert "RAY_AUTH_MODE=token" in start
        assert ". /tmp/tunery.env" in start
    (serve,) = (source for target, source in cluster["file_mounts"].items() if target == "/tmp/serve.yaml")
    assert (ROOT / serve).is_file()
    workers = cluster["available_node_types"]["workers"]
    assert validate_label_selector(workers["labels"]) is None
    assert cluster["max_workers"] == workers["max_workers"]


def test_every_file_of_a_kustomization_is_used() -> None:
    for folder in (BASE, SMALL, GPU):
        (kustomization,) = documents(folder / "kustomization.yaml")
        used = {*kustomization["resources"], *(patch["path"] for patch in kustomization.get("patches", []))}
        present = {path.name for path in folder.glob("*.yaml")} - {"kustomization.yaml"}
        assert present == {name for name in used if Path(name).suffix}


# GPUs


GPU_RESOURCES = rendered(GPU)
GPU_RAY = next(one for one in GPU_RESOURCES if one["kind"] == "RayService")["spec"]["rayClusterConfig"]
AUTOSCALED = {
    "kind": "RayCluster",
    "metadata": {"name": "tunery-ray", "namespace": "tunery"},
    "spec": GPU_RAY,
}
KUBERNETES_TOKEN = "/var/run/secrets/kubernetes.io/serviceaccount"


def test_what_the_gpu_overlay_renders_matches_the_schemas_and_confines_its_pods() -> None:
    for resource in GPU_RESOURCES:
        if resource["kind"] != "RayService":
            kubernetes_validate.validate(resource, "1.34", strict=True)
    groups = [GPU_RAY["headGroupSpec"], *GPU_RAY["workerGroupSpecs"]]
    for pod in (group["template"]["spec"] for group in groups):
        template = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "ray"}, "spec": pod}
        kubernetes_validate.validate(template, "1.34", strict=True)
        test_pod_is_confined("ray", pod)
        volumes = {volume["name"] for volume in pod["volumes"]}
        assert {mount["name"] for mount in pod["containers"][0]["volumeMounts"]} <= volumes


def test_nodes_have_scratch_space_of_their_own_where_temporary_files_are() -> None:
    for pod in (group["template"]["spec"] for group in GPU_RAY["workerGroupSpecs"]):
        (container,) = pod["containers"]
        assert "TMPDIR" not in {one["name"] for one in container["env"]}
        (mount,) = (mount for mount in container["volumeMounts"] if mount["mountPath"] == "/tmp")
        (volume,) = (volume for volume in pod["volumes"] if volume["name"] == mount["name"])
        claim = volume["ephemeral"]["volumeClaimTemplate"]["spec"]
        size = claim["resources"]["requests"]["storage"]
        # A quarter of 70B's weights in fp32, with AdamW's moments, and in bf16.
        assert int(size.removesuffix("Gi")) * 2**30 > 70.6e9 * (12 + 2) / 4


def test_pods_that_serve_have_time_to_end_running_answers() -> None:
    for group in GPU_RAY["workerGroupSpecs"]:
        pod = group["template"]["spec"]
        variables = {one["name"]: one.get("value") for one in pod["containers"][0]["env"]}
        seconds = float(variables["RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S"])
        assert EngineSettings().drain_seconds <= seconds < pod["terminationGracePeriodSeconds"]


def ray_pods(folder: Path) -> list[tuple[int, Document]]:
    """For the head and each group of workers how many pods there always are, and their template with the
    labels that KubeRay adds."""
    (ray,) = (one["spec"]["rayClusterConfig"] for one in rendered(folder) if one["kind"] == "RayService")
    found = [(1, ray["headGroupSpec"]["template"], {"ray.io/node-type": "head", "ray.io/group": "headgroup"})]
    for group in ray["workerGroupSpecs"]:
        labels = {"ray.io/node-type": "worker", "ray.io/group": group["groupName"]}
        found.append((group["minReplicas"], group["template"], labels))
    for _, template, labels in found:
        template["metadata"]["labels"] |= labels
    return [(number, template) for number, template, _ in found]


@pytest.mark.parametrize("folder", [SMALL, GPU], ids=["small", "gpu"])
def test_neither_the_head_nor_the_last_pod_that_serves_is_evicted(folder: Path) -> None:
    budgets = [one["spec"] for one in rendered(folder) if one["kind"] == "PodDisruptionBudget"]
    head, *workers = ray_pods(folder)
    for number, template in (head, workers[-1]):
        (budget,) = (one for one in budgets if matches(one["selector"], template["metadata"]["labels"]))
        # Kubernetes cannot say how many pods KubeRay wants, and then accepts nothing but a whole number here.
        assert "maxUnavailable" not in budget
        assert budget["minAvailable"] == number
    training = [template for _, template in workers[:-1]]
    assert not [
        one
        for one in budgets
        for template in training
        if matches(one["selector"], template["metadata"]["labels"])
    ]


@pytest.mark.parametrize("folder", [SMALL, GPU], ids=["small", "gpu"])
def test_autoscalers_of_kubernetes_leave_rays_pods_where_they_are(folder: Path) -> None:
    for _, template in ray_pods(folder):
        assert template["metadata"]["annotations"] == {
            "cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
            "karpenter.sh/do-not-disrupt": "true",
        }


def test_a_head_that_is_told_to_end_leaves_jobs_time_to_save_their_states() -> None:
    _, head = ray_pods(GPU)[0]
    variables = {one["name"]: one.get("value") for one in head["spec"]["containers"][0]["env"]}
    seconds = float(variables["RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S"])
    assert 120 <= seconds < head["spec"]["terminationGracePeriodSeconds"]


def test_the_head_of_the_gpu_overlay_has_room_for_the_drivers_of_many_jobs() -> None:
    (container,) = GPU_RAY["headGroupSpec"]["template"]["spec"]["containers"]
    limits, requests = container["resources"]["limits"], container["resources"]["requests"]
    assert limits["memory"] == requests["memory"]
    readme = (DEPLOY / "README.md").read_text()
    base, each, memory, jobs = re.search(
        r"(\d+) GiB, plus ([\d.]+) GB for each job .*?`gpu` gives it (\d+)\s+GiB for (\d+) jobs",
        readme,
        re.DOTALL,
    ).groups()
    assert limits["memory"] == f"{memory}Gi"
    assert int(base) * 2**30 + float(each) * 1e9 * int(jobs) <= int(memory) * 2**30


def test_rays_head_of_the_gpu_overlay_keeps_its_state_in_redis() -> None:
    options = GPU_RAY["gcsFaultToleranceOptions"]
    named = {(one["kind"], one["metadata"]["name"]): one for one in GPU_RESOURCES}
    host, port = re.fullmatch(r"redis://([\w-]+):(\d+)", options["redisAddress"]).groups()
    service, store = named["Service", host]["spec"], named["StatefulSet", "tunery-redis"]
    (labels,) = pod_labels(store)
    assert matches({"matchLabels": service["selector"]}, labels)
    assert [one["port"] for one in service["ports"]] == [int(port)]
    (pod,) = pod_specs(store)
    test_pod_is_confined("redis", pod)
    (password,) = pod["containers"][0]["env"]
    assert options["redisPassword"]["valueFrom"] == password["valueFrom"]
    secret = password["valueFrom"]["secretKeyRef"]["name"]
    assert f"create secret generic {secret}" in (DEPLOY / "README.md").read_text()
    (leaves,) = named["NetworkPolicy", "to-redis"]["spec"]["egress"]
    (enters,) = named["NetworkPolicy", "redis"]["spec"]["ingress"]
    assert matches(leaves["to"][0]["podSelector"], labels)
    assert matches(enters["from"][0]["podSelector"], {COMPONENT: "ray"})
    assert leaves["ports"] == enters["ports"] == [{"protocol": "TCP", "port": int(port)}]


HERE_DOCUMENT = re.compile(r"<<(\w+)\n.*?^\1$", re.DOTALL | re.MULTILINE)
"""Text that a shell gives to a command as its standard input."""


def test_no_command_line_has_a_secret() -> None:
    secret = re.compile(r"\$[({]?\w*(PASSWORD|SECRET|TOKEN|KEY)")
    pods = [pod for resource in [*ALL, *GPU_RESOURCES] for pod in pod_specs(resource)]
    containers = [one for pod in pods for one in [*pod["containers"], *pod.get("initContainers", [])]]
    assert "redis" in {one["name"] for one in containers}
    for container in [*containers, *SERVICES.values()]:
        for words in (container.get("command", []), container.get("args", [])):
            for word in [words] if isinstance(words, str) else words:
                assert not secret.search(HERE_DOCUMENT.sub("", str(word))), word


def test_only_the_autoscaler_has_a_token_for_kubernetes_and_reaches_it() -> None:
    options = GPU_RAY["autoscalerOptions"]
    assert (GPU_RAY["enableInTreeAutoscaling"], options["version"]) == (True, "v2")
    # As a container of the head's pod, which KubeRay makes of it.
    head = GPU_RAY["headGroupSpec"]["template"]["spec"]
    own = {name: options[name] for name in ("resources", "securityContext", "volumeMounts")}
    container = {"name": "autoscaler", "image": head["containers"][0]["image"], **own}
    pod = {**head, "containers": [*head["containers"], container]}
    template = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "ray"}, "spec": pod}
    kubernetes_validate.validate(template, "1.34", strict=True)
    test_pod_is_confined("ray", pod)
    (mount,) = options["volumeMounts"]
    assert (mount["mountPath"], mount["readOnly"]) == (KUBERNETES_TOKEN, True)
    (volume,) = (volume for volume in head["volumes"] if volume["name"] == mount["name"])
    files = [source.get("serviceAccountToken", {}).get("path") for source in volume["projected"]["sources"]]
    assert "token" in files
    groups = [GPU_RAY["headGroupSpec"], *GPU_RAY["workerGroupSpecs"]]
    for each in (group["template"]["spec"]["containers"][0] for group in groups):
        assert mount["name"] not in {mounted["name"] for mounted in each["volumeMounts"]}
    (policy,) = (
        one["spec"] for one in GPU_RESOURCES if one["metadata"]["name"] == "autoscaler-to-kubernetes"
    )
    # KubeRay's own label of the head's pod.
    labels = {COMPONENT: "ray", "ray.io/node-type": "head"}
    assert matches(policy["podSelector"], labels)
    assert not matches(policy["podSelector"], labels | {"ray.io/node-type": "worker"})


def test_the_pools_of_the_gpu_overlay_are_the_groups_that_rays_autoscaler_sees(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (ray,) = (one["data"] for one in documents(GPU / "settings.yaml"))
    (service,) = (one["data"] for one in documents(GPU / "service.yaml"))
    assert_variables_exist("tunery-cluster", set(ray))
    assert_variables_exist("tunery-service", set(service))
    for name, value in {**ray, **service}.items():
        monkeypatch.setenv(name, value)
    (serving,) = EngineSettings.read().gpu_pools
    assert EngineSettings.read().cpu_selector == serving.labels
    (training,) = Settings().training_pools

    # Ray's own reading of the RayCluster, which finds no labels in rayStartParams.
    seen = _derive_autoscaling_config_from_ray_cr(AUTOSCALED)["available_node_types"]
    for pool, name in ((training, "workers"), (serving, "serving")):
        group = seen[name]
        assert group["resources"]["GPU"] == pool.devices
        assert group["labels"] == pool.labels
        assert validate_label_selector(pool.labels) is None
        assert group["max_workers"] == pool.nodes
        assert group["min_workers"] == (pool.nodes if pool.min_nodes is None else pool.min_nodes)
    (container,) = GPU_RAY["workerGroupSpecs"][1]["template"]["spec"]["containers"]
    assert container["image"] == "tunery-vllm:0.1.0"
    for group in GPU_RAY["workerGroupSpecs"]:
        resources = group["template"]["spec"]["containers"][0]["resources"]
        assert resources["limits"] == resources["requests"]
