"""The deployment files name only what exists, allow only the needed access, and match their schemas."""

import importlib
import re
from ipaddress import ip_address, ip_network
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from service.settings import Settings
from tests.deploy.manifests import (
    BASE,
    DEPLOY,
    ROOT,
    SMALL,
    Document,
    compose,
    documents,
    pod_labels,
    pod_specs,
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
    assert set(copied) >= {"pyproject.toml", "constraints.txt", "cluster", "service"}
    assert all((ROOT / name).exists() for name in copied)
    sent = (DEPLOY / "docker" / f"Dockerfile.{image}.dockerignore").read_text().splitlines()
    assert {f"!{name}" for name in copied} <= set(sent)
    assert [line for line in lines if line.startswith("USER")] == ["USER 1000"]
    assert all(re.search(r":\d", line) for line in lines if line.startswith("FROM"))


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


def test_every_file_of_a_kustomization_is_used() -> None:
    for folder in (BASE, SMALL):
        (kustomization,) = documents(folder / "kustomization.yaml")
        used = {*kustomization["resources"], *(patch["path"] for patch in kustomization.get("patches", []))}
        present = {path.name for path in folder.glob("*.yaml")} - {"kustomization.yaml"}
        assert present == {name for name in used if Path(name).suffix}
