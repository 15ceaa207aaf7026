"""Whether what is deployed fits the executable: its keys, paths, ports, deadlines, metrics, queues and networks."""
import re

import yaml

import catalogue
import executable
from manifests import ROOT, name, ours

# In place of what secrets hold.
STAND_INS = {"uri": "postgresql://deed:x@db:5432/deed"}
# What PostgreSQL keeps for superusers, and we for people and backups.
RESERVE = 20


def problems(documents, running):
    """What the executable would not understand, or would not have. `running` tells the status of a path."""
    configs = {d["metadata"]["name"]: d["data"] for d in documents if d["kind"] == "ConfigMap"}
    for pods, container in ours(documents):
        where = pods.name
        variables, text = told(pods, container, configs)
        if text is None:
            yield f"{where}: nothing is mounted where DEED_CONFIG points to"
            continue
        fault = executable.faults(variables, text)
        if fault:
            yield f"{where}: {fault}"
            continue
        settings = executable.settings(variables, text)
        yield from (f"{where}: {p}" for p in of_arguments(container))
        if pods.owner["kind"] == "Deployment":
            yield from (f"{where}: {p}" for p in of_ports(container, settings))
            yield from (f"{where}: {p}" for p in of_grace(pods.spec, container, settings))
            yield from (f"{where}: {p}" for p in of_paths(container, running))
    for monitor in (d for d in documents if d["kind"] == "PodMonitor"):
        for endpoint in monitor["spec"]["podMetricsEndpoints"]:
            if running(endpoint["path"]) != 200:
                yield f"{name(monitor)}: the operations port has no {endpoint['path']}"
    yield from of_words(documents)
    yield from of_pages()
    yield from of_networks(documents)
    yield from of_connections(documents, configs)


def told(pods, container, configs):
    """The variables that the executable would see, and the text of its file; none when the file is not there."""
    seen = {}
    for variable in container.get("env", []):
        reference = variable.get("valueFrom", {}).get("secretKeyRef", {})
        stand_in = STAND_INS.get(reference.get("key"), "x")
        if variable["name"] == "DEED__STORE__URL":
            stand_in = STAND_INS["uri"]
        if variable["name"] == "DEED__BUS__URL":
            stand_in = "amqp://deed:x@mq:5672"
        value = variable.get("value", stand_in)
        seen[variable["name"]] = re.sub(r"\$\(([^)]+)\)", lambda used: seen.get(used[1], used[0]), value)
    file = seen.pop("DEED_CONFIG", None)
    if "--roles" in container["args"]:
        seen["DEED__SERVER__ROLES"] = container["args"][container["args"].index("--roles") + 1]
    if file is None:
        return seen, ""
    for mount in container.get("volumeMounts", []):
        if file.startswith(mount["mountPath"] + "/"):
            volume = next(v for v in pods.spec["volumes"] if v["name"] == mount["name"])
            return seen, configs[volume["configMap"]["name"]].get(file.removeprefix(mount["mountPath"] + "/"))
    return seen, None


def of_arguments(container):
    if container["args"][0] not in ("serve", "migrate"):
        yield f"runs `deed {container['args'][0]}`"


def of_ports(container, settings):
    """The ports that are announced are those that it listens on, on every address."""
    listens = {"http": settings["server"]["listen"], "ops": settings["server"]["ops_listen"]}
    for port in container["ports"]:
        if listens[port["name"]] != f"0.0.0.0:{port['containerPort']}":
            yield f"port {port['name']} is {port['containerPort']}, but it listens on {listens[port['name']]}"


def of_grace(spec, container, settings):
    """The pod is given longer than the executable takes to stop in good order."""
    before = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
    needed = before + executable.stopping(settings["server"])
    if spec.get("terminationGracePeriodSeconds", 30) <= needed:
        yield f"is killed after {spec.get('terminationGracePeriodSeconds', 30)} s, but may take {needed} s to stop"


def of_paths(container, running):
    for kind in ("startupProbe", "livenessProbe", "readinessProbe"):
        path = container[kind]["httpGet"]["path"]
        if container[kind]["httpGet"]["port"] != "ops" or running(path) != 200:
            yield f"the operations port has no {path}, which the {kind} asks for"


def of_words(documents):
    """Every metric and queue that is named exists. What rules name, alerts.py looks at."""
    known, queues = catalogue.read(), executable.queues()
    for document in (d for d in documents if d["kind"] != "PrometheusRule"):
        text = yaml.safe_dump(document.get("spec", {}))
        for metric in sorted(set(re.findall(r"\bdeed_\w+", text)) - known.keys()):
            yield f"{name(document)}: no process has a metric {metric}"
        for queue in re.findall(r"queueName: (\S+)", text):
            if queue not in queues:
                yield f"{name(document)}: the code has no queue {queue}"


def of_pages():
    """What the page for operators calls a metric is one. Functions of the database have brackets."""
    text = (ROOT / "docs/OPERATIONS.md").read_text()
    for metric in sorted(set(re.findall(r"`(deed_\w+\b)(?!\()", text)) - catalogue.families().keys()):
        yield f"docs/OPERATIONS.md: no process has a metric {metric}"


def of_networks(documents):
    """The verifier may reach what the prober may ask, and nothing else."""
    four, global_six, six, kept = executable.refused_networks()
    wanted = {("0.0.0.0/0", frozenset(four)), (global_six.copy().pop(), frozenset(six))} | {(k, frozenset()) for k in kept}
    found = set()
    for policy in (d for d in documents if d["kind"] == "NetworkPolicy"):
        for rule in policy["spec"].get("egress") or []:
            blocks = [peer["ipBlock"] for peer in rule.get("to", []) if "ipBlock" in peer]
            found |= {(block["cidr"], frozenset(block.get("except", []))) for block in blocks}
            ports = {(p["protocol"], p["port"]) for p in rule.get("ports", [])}
            if blocks and ports != {("UDP", 53), ("TCP", 53)}:
                yield f"{name(policy)}: opens {ports} to the Internet"
    if found != wanted:
        yield f"the network policies and crates/probe/src/egress.rs differ in {wanted ^ found}"


def of_connections(documents, configs):
    """All pods at their most have connections to PostgreSQL."""
    most = {d["spec"]["scaleTargetRef"]["name"]: d["spec"].get("maxReplicaCount", d["spec"].get("maxReplicas"))
            for d in documents if d["kind"] in ("ScaledObject", "HorizontalPodAutoscaler")}
    wanted = RESERVE
    for pods, container in ours(documents):
        if pods.owner["kind"] == "Deployment":
            variables, text = told(pods, container, configs)
            each = executable.settings(variables, text)["store"]["max_connections"]
            # One more while a new version is rolled out.
            wanted += each * (most.get(pods.owner["metadata"]["name"], pods.owner["spec"].get("replicas", 1)) + 1)
    for document in documents:
        has = None
        if document["kind"] == "Cluster":
            has = int(document["spec"]["postgresql"]["parameters"]["max_connections"])
        if name(document) == "StatefulSet/deed-postgres":
            has = int(re.search(r"max_connections=(\d+)", str(document["spec"]["template"]["spec"]))[1])
        if has is not None and has < wanted:
            yield f"{name(document)}: allows {has} connections, but the pods may take {wanted}"
