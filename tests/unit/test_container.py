"""The image and the manifests agree with the application; the image's own command runs behind walls, from the wheel."""

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import mmcourse
from mmcourse.serve import container
from mmcourse.serve.container import sbom
from mmcourse.serve.page import vendor

ROOT = Path(__file__).resolve().parents[2]
FOLDER = Path(container.__file__).parent
CONTAINERFILE = (FOLDER / "Containerfile").read_text(encoding="utf-8")
LINES = re.sub(r"\\\n", " ", re.sub(r"^#.*\n", "", CONTAINERFILE, flags=re.MULTILINE)).splitlines()
FINAL = LINES[max(i for i, line in enumerate(LINES) if line.startswith("FROM")) :]
MANIFESTS = {
    each["kind"]: each for each in yaml.safe_load_all((FOLDER / "kubernetes.yaml").read_text(encoding="utf-8"))
}
POD = MANIFESTS["Deployment"]["spec"]["template"]["spec"]
SERVICE = POD["containers"][0]


def final(word: str) -> list[str]:
    """What follows an instruction of the last stage, each time it is there."""
    return [line.strip()[len(word) :].strip() for line in FINAL if line.strip().startswith(word + " ")]


def command() -> list[str]:
    """The image's CMD."""
    return json.loads(final("CMD")[-1])


def environment() -> dict[str, str]:
    """The image's ENV."""
    return dict(pair.split("=", 1) for pair in final("ENV")[0].split())


# ---------------------------------------------------------------- the container file
def test_bases_are_of_a_named_version_and_say_why_without_a_digest():
    bases = [line.split()[1] for line in LINES if line.startswith("FROM")]
    assert bases == ["${PYTHON}", "${PYTHON}"]
    default = next(line for line in LINES if line.startswith("ARG PYTHON=")).split("=", 1)[1]
    assert re.fullmatch(r"python:3\.11-slim-bookworm(@sha256:[0-9a-f]{64})?", default) and "latest" not in default
    assert "@sha256:" in CONTAINERFILE and "not by digest" in CONTAINERFILE, "how to pin it, and why it is not"


def test_the_last_stage_has_no_rights_no_shell_no_tools_and_no_secret():
    user = final("USER")
    assert user == ["10001:10001"] and "--uid 10001" in CONTAINERFILE
    instructions = [line.split()[0] for line in FINAL if line.strip() and not line.startswith(" ")]
    assert instructions[-4:] == ["USER", "EXPOSE", "HEALTHCHECK", "CMD"], "nothing runs as root after USER"
    copied = final("COPY")
    assert copied and all(each.startswith("--from=build /opt/") for each in copied), "no checkout, no notes, no .git"
    assert json.loads(final("RUN")[-1])[0] == "rm" and "/bin/sh" in final("RUN")[-1]
    assert not re.search(r"\bADD\b|curl|wget|sudo|--privileged|chmod 777", CONTAINERFILE)
    assert not re.search(r"(?i)password|secret|token|api_?key", CONTAINERFILE)
    assert not [line for line in LINES if "apt-get install" in line and "--no-install-recommends" not in line]
    assert not [line for line in LINES if "pip install" in line and "--no-cache-dir" not in line]


def test_health_is_asked_without_a_shell_at_a_path_that_exists():
    check = next(line for line in FINAL if line.startswith("HEALTHCHECK"))
    program = json.loads(check.split("CMD", 1)[1])
    assert program[:2] == ["python", "-c"] and f":{port()}/live" in program[2]
    compile(program[2], "health", "exec")
    assert "/live" in routes()


def test_the_command_is_the_documented_one_and_its_options_exist():
    assert command()[:2] == ["mmcourse", "serve"] and f"--port={port()}" in command() and "--host=0.0.0.0" in command()
    assert final("EXPOSE") == [port()]
    assert f"mmcourse-serve:{mmcourse.__version__}" in CONTAINERFILE
    told = subprocess.run([sys.executable, "-m", "mmcourse", "serve", "--help"], capture_output=True, text=True)
    for option in command()[2:]:
        assert option.split("=")[0] in told.stdout


def test_packages_are_pinned_and_need_neither_framework_nor_notebooks():
    names = [line for line in (FOLDER / "requirements.txt").read_text().splitlines() if not line.startswith("#")]
    assert names == sorted(names)
    pins = {canonicalize_name(line.split("==")[0]) for line in (ROOT / "constraints.txt").read_text().splitlines()}
    assert {canonicalize_name(name) for name in names} <= pins
    found = set(packages())
    assert not found & {"torch", "tensorflow", "keras", "matplotlib", "ipython", "scikit-learn", "transformers"}


def packages() -> dict[str, metadata.Distribution]:
    """What pip would install for requirements.txt, by canonical name."""
    waiting = [line for line in (FOLDER / "requirements.txt").read_text().splitlines() if not line.startswith("#")]
    found: dict[str, metadata.Distribution] = {}
    while waiting:
        needed = Requirement(waiting.pop())
        name = canonicalize_name(needed.name)
        if name in found or (needed.marker and not needed.marker.evaluate({"extra": ""})):
            continue
        found[name] = metadata.distribution(needed.name)
        waiting += found[name].requires or []
    return found


def test_what_is_built_leaves_out_what_only_this_machine_has():
    ignored = (FOLDER / "Containerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    assert {".git", ".venv*", "build", "dist"} <= set(ignored) and not {"mmcourse", "data", "notebooks"} & set(ignored)


def port() -> str:
    return next(option for option in command() if option.startswith("--port=")).split("=")[1]


def routes() -> set[str]:
    """Paths of the application."""
    from mmcourse.serve.app import Service, create_app

    return {getattr(route, "path", "") for route in create_app(Service(lambda: None)).routes}


# ---------------------------------------------------------------- Kubernetes
def test_manifests_are_of_current_versions_and_speak_of_one_another():
    versions = {kind: each["apiVersion"] for kind, each in MANIFESTS.items()}
    assert versions == {
        "Deployment": "apps/v1",
        "Service": "v1",
        "PodDisruptionBudget": "policy/v1",
        "HorizontalPodAutoscaler": "autoscaling/v2",
        "NetworkPolicy": "networking.k8s.io/v1",
    }
    labels = MANIFESTS["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert MANIFESTS["Deployment"]["spec"]["selector"]["matchLabels"] == labels
    assert MANIFESTS["Service"]["spec"]["selector"] == labels
    assert MANIFESTS["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == labels
    assert MANIFESTS["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"] == labels
    target = MANIFESTS["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]
    assert (target["kind"], target["name"]) == ("Deployment", MANIFESTS["Deployment"]["metadata"]["name"])


def test_ports_agree_from_the_outside_to_the_command():
    assert SERVICE["ports"] == [{"name": "http", "containerPort": int(port())}]
    assert MANIFESTS["Service"]["spec"]["ports"][0]["targetPort"] == "http"
    rules = MANIFESTS["NetworkPolicy"]["spec"]
    assert rules["ingress"][0]["ports"] == [{"protocol": "TCP", "port": int(port())}]
    assert rules["egress"] == [] and set(rules["policyTypes"]) == {"Ingress", "Egress"}
    assert SERVICE["image"].split()[0] == f"mmcourse-serve:{mmcourse.__version__}"
    assert "command" not in SERVICE and "args" not in SERVICE, "the image's own command runs"


def test_probes_ask_paths_that_exist_and_a_full_queue_restarts_nothing():
    probes = {kind: SERVICE[f"{kind}Probe"] for kind in ("startup", "readiness", "liveness")}
    paths = {kind: probe["httpGet"]["path"] for kind, probe in probes.items()}
    assert paths == {"startup": "/ready", "readiness": "/ready", "liveness": "/live"}
    assert set(paths.values()) <= routes() and all(probe["httpGet"]["port"] == "http" for probe in probes.values())
    assert all(probe["timeoutSeconds"] > 1 for probe in probes.values()), "a second is too short under load"
    assert probes["startup"]["periodSeconds"] * probes["startup"]["failureThreshold"] >= 30
    notes = MANIFESTS["Deployment"]["spec"]["template"]["metadata"]["annotations"]
    assert notes["prometheus.io/path"] in routes() and notes["prometheus.io/port"] == port()


def test_there_is_time_to_leave():
    from mmcourse.serve.limits import LIMITS

    settle = float(next(option for option in command() if option.startswith("--settle=")).split("=")[1])
    probe = SERVICE["readinessProbe"]
    assert settle >= probe["periodSeconds"] * probe["failureThreshold"], "unready is seen before the port closes"
    assert POD["terminationGracePeriodSeconds"] > settle + LIMITS.drain_seconds
    assert MANIFESTS["PodDisruptionBudget"]["spec"]["minAvailable"] < MANIFESTS["Deployment"]["spec"]["replicas"]
    scale = MANIFESTS["HorizontalPodAutoscaler"]["spec"]
    assert MANIFESTS["Deployment"]["spec"]["replicas"] == scale["minReplicas"] < scale["maxReplicas"]
    assert MANIFESTS["Deployment"]["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0


def test_a_pod_has_no_rights_and_says_what_it_needs():
    uid = int(final("USER")[0].split(":")[0])
    assert POD["securityContext"]["runAsNonRoot"] is True and POD["securityContext"]["runAsUser"] == uid
    assert POD["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert POD["automountServiceAccountToken"] is False
    assert SERVICE["securityContext"] == {
        "readOnlyRootFilesystem": True,
        "allowPrivilegeEscalation": False,
        "privileged": False,
        "capabilities": {"drop": ["ALL"]},
    }
    resources = SERVICE["resources"]
    assert {"cpu", "memory"} == set(resources["requests"]) == set(resources["limits"])
    assert "volumes" not in POD and "hostNetwork" not in POD and "hostPID" not in POD


# ---------------------------------------------------------------- what it is made of
def test_the_bill_of_materials_names_packages_models_and_what_the_page_loads(tmp_path, monkeypatch):
    for name in vendor.names():
        (tmp_path / name).write_bytes(b"x")
    monkeypatch.setenv("MMCOURSE_WEB", str(tmp_path))
    bill = sbom.bill()
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.5")
    parts = {part["name"]: part for part in bill["components"]}
    assert parts["numpy"]["purl"] == f"pkg:pypi/numpy@{metadata.version('numpy')}"
    models = [part for part in bill["components"] if part["type"] == "machine-learning-model"]
    assert models and all(re.fullmatch(r"[0-9a-f]{64}", part["hashes"][0]["content"]) for part in models)
    assert {part["name"] for part in bill["components"] if part["type"] == "file"} == set(vendor.names())
    assert json.dumps(sbom.bill()) == json.dumps(bill), "the same every time"


# ---------------------------------------------------------------- the command, behind walls
# Runs inside: starts the image's command, asks as a client does, ends it as a cluster does. Prints what it saw.
CLIENT = r"""
import json, os, signal, subprocess, sys, time, urllib.request
base, seen = "http://127.0.0.1:" + sys.argv[1], {}
started = time.monotonic()
service = subprocess.Popen(sys.argv[2:])
def ask(path, data=None, kind="application/json"):
    request = urllib.request.Request(base + path, data, {"Content-Type": kind})
    with urllib.request.urlopen(request, timeout=20) as reply:
        return reply.read(), dict(reply.headers)
while time.monotonic() - started < 60 and service.poll() is None:
    try:
        ask("/ready")
        break
    except OSError:
        time.sleep(0.05)
seen["seconds"] = time.monotonic() - started
seen["answer"] = json.loads(ask("/v1/predict", json.dumps({"words": "What a lovely evening!"}).encode())[0])
page, headers = ask("/")
seen["page"], seen["policy"] = page.decode(), {k.lower(): v for k, v in headers.items()}.get("content-security-policy")
seen["wasm"] = len(ask("/static/ort-wasm-simd-threaded.wasm")[0])
seen["uid"] = os.getuid()
try:
    open("/opt/venv/x", "w")
    seen["wrote"] = True
except OSError:
    seen["wrote"] = False
status = open(f"/proc/{service.pid}/status").read()
seen["memory"] = int(status.split("VmRSS:")[1].split()[0]) / 1024
service.send_signal(signal.SIGTERM)
seen["rc"] = service.wait(20)
print(json.dumps(seen))
"""


def site_packages(folder: Path, wheel: Path) -> None:
    """The wheel unpacked, and links to what requirements.txt brings: as pip would install them, nothing beside them."""
    with zipfile.ZipFile(wheel) as opened:
        opened.extractall(folder)
    shutil.rmtree(folder / "mmcourse" / "_notebooks")  # as the container file does
    for each in packages().values():
        for path in each.files or []:
            top = path.parts[0]
            link = folder / top
            if top not in ("..", "__pycache__") and not link.exists() and not link.is_symlink():
                link.symlink_to(Path("/deps") / top)


@pytest.mark.xdist_group("wheel")  # which one worker builds once
def test_the_command_runs_read_only_without_rights_or_network(tmp_path, wheel):
    bwrap = shutil.which("bwrap")
    if not bwrap:
        message = "bubblewrap is needed for this test: apt install bubblewrap"
        pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    venv, web = tmp_path / "venv", tmp_path / "web"
    (venv / "bin").mkdir(parents=True)
    (venv / "pyvenv.cfg").write_text(f"home = {sys.base_prefix}/bin\ninclude-system-site-packages = false\n")
    (venv / "bin" / "python").symlink_to(f"{sys.base_prefix}/bin/{version}")
    script = "#!/opt/venv/bin/python\nimport sys\nfrom mmcourse.cli import main\nsys.exit(main())\n"
    (venv / "bin" / "mmcourse").write_text(script)
    (venv / "bin" / "mmcourse").chmod(0o755)
    site_packages(venv / "lib" / version / "site-packages", wheel)
    web.mkdir()
    for name in vendor.names():
        (web / name).write_bytes(b"wasm")
    dependencies = Path(metadata.distribution("numpy").locate_file(""))
    uid, gid = final("USER")[0].split(":")
    walls = [bwrap, "--unshare-all", "--die-with-parent", "--clearenv", "--uid", uid, "--gid", gid, "--cap-drop", "ALL"]
    for name in ("/usr", "/lib", "/lib64", "/etc/ld.so.cache"):
        walls += ["--ro-bind-try", name, name]
    if sys.base_prefix != "/usr":
        walls += ["--ro-bind", sys.base_prefix, sys.base_prefix]
    walls += ["--ro-bind", str(venv), "/opt/venv", "--ro-bind", str(web), "/opt/web"]
    walls += ["--ro-bind", str(dependencies), "/deps", "--proc", "/proc", "--dev", "/dev"]
    walls += ["--remount-ro", "/dev", "--remount-ro", "/", "--chdir", "/"]
    for name, value in environment().items():
        walls += ["--setenv", name, value]
    client = ["/opt/venv/bin/python", "-c", CLIENT, port(), *command()]
    run = subprocess.run([*walls, *client], capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr[-3000:]
    assert "elemetry" not in run.stderr, "ONNX Runtime does not even try to report"
    seen = json.loads(run.stdout.splitlines()[-1])
    assert seen["uid"] == int(uid) and seen["wrote"] is False
    assert seen["rc"] == 0, "it ends by itself, without an error"
    assert seen["answer"]["present"] == {"words": True, "face": False, "voice": False}
    assert seen["page"].startswith("<!doctype html>") and "default-src 'self'" in seen["policy"] and seen["wasm"] == 4
    assert seen["memory"] < 250, f"{seen['memory']:.0f} MB"
