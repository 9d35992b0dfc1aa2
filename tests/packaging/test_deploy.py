"""What deploy/ and compose.yaml say is accepted by those who read it, and true of a server that runs."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner
from ruamel.yaml import YAML

from farebox.cli.main import cli
from farebox.config import Settings
from farebox.http.worker import STOP_SECONDS_MAX
from tests.docs.pages import blocks
from tests.support import plain_http
from tests.support.debian import find_program
from tests.support.server import Server, seeded
from tools.image_steps.dockerfile import stages
from tools.release.distributions import ROOT

BIN = Path(sys.executable).parent
DEPLOY = ROOT / "deploy"
COMPOSE = ROOT / "compose.yaml"
UNITS = sorted(path for path in (DEPLOY / "systemd").iterdir() if path.suffix in {".service", ".socket", ".timer"})
MANIFESTS = sorted((DEPLOY / "kubernetes").glob("*.yaml*"))
PLACEHOLDERS = {
    "DATABASE_PASSWORD": "c2f1a0d4",
    "MAIL_PASSWORD": "77ab90c1",
    "SECRET_KEY": "9f8c4be31d60a75287e1fb3c02d4956a8be0147cf36d29a5",
}
EXPOSURE_MAX = 1.5


def _documents(path: Path) -> list[Any]:
    return list(YAML(typ="safe").load_all(path))


def _filled(text: str) -> str:
    """Put secrets where an example has their names, as a value or in a URL."""
    for name, value in PLACEHOLDERS.items():
        text = re.sub(rf"(?<=[=: ]){name}(?=$|@)", value, text, flags=re.MULTILINE)
    return text


def _variables(path: Path) -> dict[str, str]:
    lines = [line for line in _filled(path.read_text()).splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def _accepted(arguments: list[str]) -> None:
    """Hold that the command line knows a command with these options."""
    told = CliRunner().invoke(cli, [*arguments, "--help"])
    assert 0 == told.exit_code, told.output


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    database = f"sqlite:///{tmp_path_factory.mktemp('ledger') / 'farebox.db'}"
    seeded(database)
    with Server(database) as server:
        yield server


def test_all_that_names_a_version_names_this_one() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    client = tomllib.loads((ROOT / "clients" / "python" / "pyproject.toml").read_text())["project"]
    assert project["version"] == client["version"]
    pages = [ROOT / "docs" / "how-to" / name for name in ("install.md", "deploy.md")]
    named = {
        (path.name, version)
        for path in [COMPOSE, *MANIFESTS, *pages]
        for version in re.findall(r"\bfarebox(?:_client)?[:-](\d+\.\d+\.\d+)\b", path.read_text())
    }
    assert {"compose.yaml", "deployment.yaml", "verify.yaml", "install.md", "deploy.md"} == {name for name, _ in named}
    assert {project["version"]} == {version for _, version in named}


def test_compose_files_have_the_shape_that_their_specification_asks_for() -> None:
    subprocess.run([BIN / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", COMPOSE], check=True)


def test_every_service_is_watched_waited_for_and_confined() -> None:
    (compose,) = _documents(COMPOSE)
    services = compose["services"]
    assert {"database", "migrate", "farebox", "proxy", "prometheus"} == services.keys()
    for name, service in services.items():
        assert service["read_only"], name
        assert ["no-new-privileges:true"] == service["security_opt"]
        assert "environment" not in service or not re.search(
            r"PASSWORD|SECRET|TOKEN", json.dumps(service["environment"])
        )
    # The image has the check of the server, which the proxy waits for.
    assert stages(ROOT / "Dockerfile")[-1].last("HEALTHCHECK").text
    assert all("healthcheck" in services[name] for name in ("database", "proxy", "prometheus"))
    assert "service_healthy" == services["proxy"]["depends_on"]["farebox"]["condition"]
    assert "service_completed_successfully" == services["farebox"]["depends_on"]["migrate"]["condition"]
    assert int(services["farebox"]["stop_grace_period"].removesuffix("s")) > STOP_SECONDS_MAX
    # Nothing but Farebox and the step before it reaches the database, which reaches nothing.
    assert {"database", "migrate", "farebox"} == {
        name for name, one in services.items() if "private" in one["networks"]
    }
    assert ["private"] == services["database"]["networks"]
    assert compose["networks"]["private"]["internal"]
    for name in ("migrate", "farebox"):
        _accepted(services[name]["command"])


def test_the_proxy_of_compose_is_on_the_network_that_is_trusted_and_on_no_other_with_the_server() -> None:
    (compose,) = _documents(COMPOSE)
    server, proxy = (compose["services"][name] for name in ("farebox", "proxy"))
    (shared,) = set(server["networks"]) & set(proxy["networks"])
    (network,) = compose["networks"][shared]["ipam"]["config"]
    assert network["subnet"] == server["environment"]["FAREBOX_TRUSTED_PROXIES"]
    assert "ports" not in server


@pytest.mark.parametrize("name", ["compose/farebox.env.example", "systemd/farebox.env.example"])
def test_examples_of_settings_are_settings_once_they_are_filled_in(name: str, tmp_path: Path) -> None:
    settings = Settings.load(_variables(DEPLOY / name), tmp_path)
    assert settings.secret_key
    with pytest.raises(Exception, match="FAREBOX_SECRET_KEY"):
        Settings.load({**_variables(DEPLOY / name), "FAREBOX_SECRET_KEY": "SECRET_KEY"}, tmp_path)


def test_the_database_of_compose_has_the_password_that_the_server_names() -> None:
    (password,) = _variables(DEPLOY / "compose" / "database.env.example").values()
    assert f":{password}@database/" in _variables(DEPLOY / "compose" / "farebox.env.example")["FAREBOX_DATABASE_URL"]


def test_secrets_of_compose_are_made_as_deploy_md_tells(tmp_path: Path) -> None:
    (block,) = (block for block in blocks(ROOT / "docs" / "how-to" / "deploy.md") if "run by" in block.marks)
    shutil.copytree(DEPLOY / "compose", tmp_path / "deploy" / "compose", ignore=shutil.ignore_patterns("*.env"))
    subprocess.run(["/bin/sh", "-ec", block.text], check=True, cwd=tmp_path)
    made = tmp_path / "deploy" / "compose"
    assert {0o600} == {path.stat().st_mode & 0o777 for path in made.glob("*.env")}
    (password,) = _variables(made / "database.env").values()
    settings = Settings.load(_variables(made / "farebox.env"), tmp_path)
    assert len(password) == 64
    assert f":{password}@database/" in settings.database_url
    assert settings.secret_key != password
    (compose,) = _documents(COMPOSE)
    named = {service["env_file"] for service in compose["services"].values() if "env_file" in service}
    assert {f"deploy/compose/{path.name}" for path in made.glob("*.env")} == named


def test_the_proxy_of_compose_hands_requests_on(server: Server, free_port: int, tmp_path: Path) -> None:
    text = (DEPLOY / "compose" / "Caddyfile").read_text().replace("farebox:8000", f"127.0.0.1:{server.port}")
    (tmp_path / "Caddyfile").write_text("{\n\tadmin off\n}\n" + text)
    variables = {**os.environ, "SITE_ADDRESS": f"http://127.0.0.1:{free_port}", "XDG_DATA_HOME": str(tmp_path)}
    caddy = subprocess.Popen([BIN / "caddy", "run", "--config", "Caddyfile"], cwd=tmp_path, env=variables)
    try:
        transport = httpx.HTTPTransport(retries=8)
        with httpx.Client(transport=transport, base_url=f"http://127.0.0.1:{free_port}") as client:
            assert {"isReady": True, "reason": None} == client.get("/readyz").json()
            assert 200 == client.get("/sign-in").status_code
    finally:
        caddy.terminate()
        caddy.wait()


def test_both_caddys_do_the_same_but_that_the_one_of_compose_looks_whether_a_server_is_ready() -> None:
    adapted = []
    for name, changed in (("proxy", "127.0.0.1:8000"), ("compose", "farebox:8000")):
        command: list[str | Path] = [
            BIN / "caddy",
            "adapt",
            "--config",
            DEPLOY / name / "Caddyfile",
            "--adapter",
            "caddyfile",
        ]
        variables = {**os.environ, "SITE_ADDRESS": "pay.example"}
        told = subprocess.run(command, check=True, capture_output=True, text=True, env=variables)
        config = json.loads(told.stdout.replace(changed, "FAREBOX"))
        (route,) = config["apps"]["http"]["servers"]["srv0"]["routes"]
        (inner,) = route["handle"][0]["routes"]
        adapted.append((config, inner["handle"][-1]))
    (config, _), (of_compose, proxy) = adapted
    assert {"active": {"uri": "/readyz", "interval": 2 * 10**9, "timeout": 5 * 10**9}} == proxy.pop("health_checks")
    assert config == of_compose


def _promtool(*arguments: str | Path) -> str:
    promtool = find_program(["promtool"], packages=["prometheus"], variable="FAREBOX_TEST_PROMTOOL")
    return subprocess.run([promtool, "check", *arguments], check=True, capture_output=True, text=True).stdout


def _scraped(name: str) -> Any:
    """Return how the Prometheus of a deployment reads Farebox."""
    (config,) = _documents(DEPLOY / "prometheus" / "scrape" / f"{name}.yml")
    (scrape,) = config["scrape_configs"]
    assert "farebox" == scrape["job_name"]
    return scrape


@pytest.mark.parametrize("name", ["compose", "systemd"])
def test_prometheus_takes_the_configurations_and_their_rules(name: str) -> None:
    assert "2 rule files found" in _promtool("config", DEPLOY / "prometheus" / "scrape" / f"{name}.yml")


def test_metrics_are_scraped_where_the_samples_have_them_told(server: Server, tmp_path: Path) -> None:
    (compose,) = _documents(COMPOSE)
    service, monitor = (compose["services"][name] for name in ("farebox", "prometheus"))
    assert "0.0.0.0:9464" == service["environment"]["FAREBOX_METRICS_ADDRESS"]
    assert [{"targets": ["farebox:9464"]}] == _scraped("compose")["static_configs"]
    assert {"monitoring"} == set(service["networks"]) & set(monitor["networks"])
    assert "--config.file=/etc/farebox/scrape/compose.yml" in monitor["command"]
    assert "./deploy/prometheus:/etc/farebox:ro" in monitor["volumes"]
    of_systemd = Settings.load(_variables(DEPLOY / "systemd" / "farebox.env.example"), tmp_path)
    assert [{"targets": [of_systemd.metrics_address]}] == _scraped("systemd")["static_configs"]


def test_pods_say_where_their_metrics_are_and_prometheus_goes_by_it(tmp_path: Path) -> None:
    (public,) = _documents(DEPLOY / "kubernetes" / "configmap.yaml")
    (deployment,) = _documents(DEPLOY / "kubernetes" / "deployment.yaml")
    template = deployment["spec"]["template"]
    _, port = template["spec"]["containers"][0]["ports"]
    assert ("metrics", f"0.0.0.0:{port['containerPort']}") == (
        port["name"],
        public["data"]["FAREBOX_METRICS_ADDRESS"],
    )
    told = template["metadata"]["annotations"]
    assert {
        "prometheus.io/scrape": "true",
        "prometheus.io/port": str(port["containerPort"]),
        "prometheus.io/path": "/metrics",
    } == told
    scrape = _scraped("kubernetes")
    found = [{"role": "pod", "namespaces": {"names": [deployment["metadata"]["namespace"]]}}]
    assert found == scrape.pop("kubernetes_sd_configs")
    # Debian's Prometheus knows no clusters: it is told what one would say of a pod, and of another that is not read.
    pods = [
        {"__address__": f"10.0.0.{number}:8000", "__meta_kubernetes_pod_ip": f"10.0.0.{number}"} for number in (1, 2)
    ]
    pods[0] |= {f"__meta_kubernetes_pod_annotation_{re.sub('[./]', '_', name)}": text for name, text in told.items()}
    pods[0]["__meta_kubernetes_pod_name"] = "farebox-1"
    scrape["static_configs"] = [{"targets": [pod["__address__"]], "labels": pod} for pod in pods]
    # Any JSON is YAML.
    (tmp_path / "prometheus.yml").write_text(json.dumps({"scrape_configs": [scrape]}))
    # It looks for as long as it may, though it has found all at once; half a minute by itself.
    found_pods = json.loads(_promtool("service-discovery", "--timeout=3s", tmp_path / "prometheus.yml", "farebox"))
    labels = {pod["discoveredLabels"]["__meta_kubernetes_pod_ip"]: pod["labels"] for pod in found_pods}
    assert ("10.0.0.1:9464", "/metrics", "farebox-1", "farebox") == tuple(
        labels["10.0.0.1"][name] for name in ("__address__", "__metrics_path__", "instance", "job")
    )
    assert not labels["10.0.0.2"]
    # No service of the manifests leads to the metrics.
    (service,) = _documents(DEPLOY / "kubernetes" / "service.yaml")
    assert ["http"] == [port["targetPort"] for port in service["spec"]["ports"]]


@pytest.fixture(scope="module")
def systemd_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with systemd's own units and ours, and something to run where they name programs."""
    analyze = Path(find_program(["systemd-analyze"], packages=["systemd"], variable="FAREBOX_TEST_SYSTEMD_ANALYZE"))
    root = tmp_path_factory.mktemp("root")
    own = next(path for name in ("usr/lib", "lib") if (path := analyze.parents[2] / name / "systemd/system").exists())
    shutil.copytree(own, root / "usr/lib/systemd/system", symlinks=True)
    (root / "lib").symlink_to("usr/lib")
    ours = root / "etc/systemd/system"
    ours.mkdir(parents=True)
    for unit in UNITS:
        shutil.copy(unit, ours)
        for program in re.findall(r"^Exec\w+=(\S+)", unit.read_text(), re.MULTILINE):
            (root / program.lstrip("/")).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy("/bin/true", root / program.lstrip("/"))
    return root


def _analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    analyze = find_program(["systemd-analyze"], packages=["systemd"], variable="FAREBOX_TEST_SYSTEMD_ANALYZE")
    return subprocess.run([analyze, *arguments], check=False, capture_output=True, text=True)


def test_systemd_has_nothing_to_say_of_the_units(systemd_root: Path) -> None:
    """It exits with 0 where it ignores what it does not know; what it prints tells."""
    verified = _analyze("verify", f"--root={systemd_root}", *(unit.name for unit in UNITS))
    assert (0, "", "") == (verified.returncode, verified.stdout, verified.stderr)


@pytest.mark.parametrize("unit", [unit.name for unit in UNITS if unit.suffix == ".service"])
def test_services_are_confined(systemd_root: Path, unit: str) -> None:
    told = _analyze("security", "--offline=yes", f"--root={systemd_root}", unit).stdout
    (exposure,) = re.findall(r"Overall exposure level for \S+ ([\d.]+)", told)
    assert float(exposure) <= EXPOSURE_MAX, told


@pytest.mark.parametrize("unit", [unit for unit in UNITS if unit.suffix == ".service"], ids=lambda unit: unit.name)
def test_units_run_commands_that_there_are_and_wait_for_their_end(unit: Path) -> None:
    text = unit.read_text()
    commands = re.findall(r"/opt/farebox/bin/farebox ([a-z]+(?: --[a-z-]+ \S+)*)", text)
    assert commands
    for command in commands:
        _accepted(command.split())
    if stop := re.search(r"^TimeoutStopSec=(\d+)$", text, re.MULTILINE):
        assert int(stop[1]) > STOP_SECONDS_MAX


def test_kubernetes_takes_the_manifests(tmp_path: Path) -> None:
    assert MANIFESTS
    copies = [shutil.copy(path, tmp_path / f"{path.name.removesuffix('.example')}") for path in MANIFESTS]
    subprocess.run([BIN / "kubernetes-validate", "--strict", "--quiet", *copies], check=True)


def _pods() -> Iterator[tuple[str, Any]]:
    for path in MANIFESTS:
        for manifest in _documents(path):
            match manifest["kind"]:
                case "Deployment":
                    yield manifest["metadata"]["name"], manifest["spec"]["template"]["spec"]
                case "CronJob":
                    yield manifest["metadata"]["name"], manifest["spec"]["jobTemplate"]["spec"]["template"]["spec"]


def test_pods_run_the_image_as_its_user_without_privilege() -> None:
    image = stages(ROOT / "Dockerfile")[-1]
    user = int(image.last("USER").text.partition(":")[0])
    for name, pod in _pods():
        assert (True, user) == (pod["securityContext"]["runAsNonRoot"], pod["securityContext"]["runAsUser"]), name
        assert "RuntimeDefault" == pod["securityContext"]["seccompProfile"]["type"]
        for container in [*pod["containers"], *pod.get("initContainers", [])]:
            expected = {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert expected == container["securityContext"]
            assert container["resources"]["limits"]["memory"]
            _accepted(container["args"])
            paths = {mount["mountPath"] for mount in container["volumeMounts"]}
            if "serve" in container["args"]:
                assert {"/tmp", image.last("VOLUME").text} == paths


def test_probes_ask_what_a_server_answers_and_pods_have_the_time_to_stop(server: Server) -> None:
    pods = dict(_pods())
    (container,) = pods["farebox"]["containers"]
    port, _ = container["ports"]
    assert container["args"][-1] == str(port["containerPort"])
    for name, path in (("startupProbe", "/healthz"), ("livenessProbe", "/healthz"), ("readinessProbe", "/readyz")):
        probe = container[name]["httpGet"]
        assert {"path": path, "port": port["name"]} == probe
        assert 200 == plain_http.get(server.url + probe["path"]).status_code
    pause = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pods["farebox"]["terminationGracePeriodSeconds"] > STOP_SECONDS_MAX + pause


def test_settings_of_kubernetes_are_settings(tmp_path: Path) -> None:
    (public,) = _documents(DEPLOY / "kubernetes" / "configmap.yaml")
    secret = YAML(typ="safe").load(_filled((DEPLOY / "kubernetes" / "secret.yaml.example").read_text()))
    assert Settings.load({**public["data"], **secret["stringData"]}, tmp_path).secret_key


def test_manifests_name_one_another_and_one_namespace() -> None:
    manifests = [document for path in MANIFESTS for document in _documents(path)]
    names = {(manifest["kind"], manifest["metadata"]["name"]) for manifest in manifests}
    (deployment,) = (manifest for manifest in manifests if manifest["kind"] == "Deployment")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    for manifest in manifests:
        assert manifest["kind"] == "Namespace" or "farebox" == manifest["metadata"]["namespace"]
        match manifest["kind"]:
            case "Service":
                assert labels.items() >= manifest["spec"]["selector"].items()
            case "PodDisruptionBudget":
                assert labels == manifest["spec"]["selector"]["matchLabels"]
                assert manifest["spec"]["minAvailable"] < deployment["spec"]["replicas"]
    for _, pod in _pods():
        for container in [*pod["containers"], *pod.get("initContainers", [])]:
            assert {("ConfigMap", "farebox"), ("Secret", "farebox")} <= names
            sources = {next(iter(source)) for source in container["envFrom"]}
            assert {"configMapRef", "secretRef"} == sources
