"""References within the manifests, and from them to the executable: everything named is there."""
import re

from manifests import DEPLOY, name, operators_pods, selects, written_pods

# What operators make, by the kind of the object that makes them do it.
MADE = {
    "Cluster": {"-app": {"uri", "username", "password"}, "-ca": {"ca.crt"}},
    "RabbitmqCluster": {"-default-user": {"username", "password"}},
}
# Variables that something else than the executable reads.
OTHERS = {"TOKIO_WORKER_THREADS", "DEED_CONFIG"}


def problems(documents, documentation):
    """Every name that leads nowhere."""
    everybody = list(written_pods(documents)) + list(operators_pods(documents))
    yield from labels(documents, everybody)
    yield from targets(documents)
    held = holders(documents)
    for pods in written_pods(documents):
        claims = {c["metadata"]["name"] for c in pods.owner["spec"].get("volumeClaimTemplates", [])}
        yield from (f"{pods.name}: {p}" for p in volumes(pods.spec, claims, held, documentation))
        yield from (f"{pods.name}: {p}" for p in accounts(pods.spec, documents))
        for container in pods.containers():
            where = f"{pods.name}, container {container['name']}"
            yield from (f"{where}: {p}" for p in variables(container, held, documentation))
            yield from (f"{where}: {p}" for p in probes(pods, container))


def labels(documents, everybody):
    """Selectors match, and ports that are named exist in all that they match."""
    for document in documents:
        where, kind, spec = name(document), document["kind"], document.get("spec", {})
        if kind in ("Deployment", "StatefulSet"):
            if not selects(spec["selector"], spec["template"]["metadata"]["labels"]):
                yield f"{where}: the selector does not match its own pods"
            for spread in spec["template"]["spec"].get("topologySpreadConstraints", []):
                if not selects(spread["labelSelector"], spec["template"]["metadata"]["labels"]):
                    yield f"{where}: the spread does not count its own pods"
        elif kind == "Service":
            yield from matched(where, {"matchLabels": spec["selector"]}, [p["targetPort"] for p in spec["ports"]], everybody)
        elif kind == "PodDisruptionBudget":
            yield from matched(where, spec["selector"], [], everybody)
        elif kind == "PodMonitor":
            yield from matched(where, spec["selector"], [e["port"] for e in spec["podMetricsEndpoints"]], everybody)
        elif kind == "NetworkPolicy" and spec["podSelector"]:
            ports = [p["port"] for rule in spec.get("ingress") or [] for p in rule.get("ports", [])]
            yield from matched(where, spec["podSelector"], ports, everybody)
            for rule in (spec.get("ingress") or []) + (spec.get("egress") or []):
                for peer in rule.get("from", []) + rule.get("to", []):
                    if "podSelector" in peer and "namespaceSelector" not in peer:
                        ports = [p["port"] for p in rule.get("ports", [])] if "to" in rule else []
                        yield from matched(where, peer["podSelector"], ports, everybody)


def matched(where, selector, ports, everybody):
    taken = [pods for pods in everybody if selects(selector, pods.labels)]
    if not taken:
        yield f"{where}: nothing has the labels {selector}"
    # Ports have to be in some of the pods: the roles share a label, and not all of them serve requests.
    for port in ports:
        known = [pods for pods in taken if not pods.spec or port in pods.port_names() | numbers(pods)]
        if taken and not known:
            yield f"{where}: no pod that it selects has the port {port}"


def numbers(pods):
    return {port["containerPort"] for c in pods.containers() for port in c.get("ports", [])}


def targets(documents):
    """What is scaled exists, and does not say its own number as well."""
    there = {name(d): d for d in documents}
    for document in documents:
        if document["kind"] in ("HorizontalPodAutoscaler", "ScaledObject"):
            target = document["spec"]["scaleTargetRef"]
            scaled = there.get(f"{target.get('kind', 'Deployment')}/{target['name']}")
            if scaled is None:
                yield f"{name(document)}: there is no {target['name']}"
            elif "replicas" in scaled["spec"]:
                yield f"{name(document)}: {target['name']} says how many replicas it has as well"
        if document["kind"] == "ScaledObject":
            for trigger in document["spec"]["triggers"]:
                used = trigger.get("authenticationRef", {}).get("name")
                if used and f"TriggerAuthentication/{used}" not in there:
                    yield f"{name(document)}: there is no TriggerAuthentication {used}"
        if document["kind"] == "TriggerAuthentication":
            held = holders(documents)
            for reference in document["spec"]["secretTargetRef"]:
                yield from (f"{name(document)}: {p}" for p in held_by(held, "Secret", reference["name"], [reference["key"]], ""))


def holders(documents):
    """Config maps and secrets by kind and name, with their keys; those of operators as well."""
    held = {}
    for document in documents:
        if document["kind"] in ("ConfigMap", "Secret"):
            held[document["kind"], document["metadata"]["name"]] = set(document.get("data", {}))
        for suffix, keys in MADE.get(document["kind"], {}).items():
            held["Secret", document["metadata"]["name"] + suffix] = keys
    return held


def held_by(held, kind, holder, keys, documentation):
    """A secret that is not made here has to be provided, and the documentation has to say so."""
    if (kind, holder) not in held:
        if kind != "Secret" or f"`{holder}`" not in documentation:
            yield f"there is no {kind} {holder}, and the documentation does not ask for it"
        else:
            for key in keys:
                if f"`{key}`" not in documentation:
                    yield f"the documentation does not ask for the key {key} of {kind} {holder}"
        return
    for key in keys:
        if key not in held[kind, holder]:
            yield f"{kind} {holder} has no key {key}"


def volumes(spec, claims, held, documentation):
    there = {}
    for volume in spec.get("volumes", []):
        there[volume["name"]] = volume
        for kind, field, called in (("ConfigMap", "configMap", "name"), ("Secret", "secret", "secretName")):
            if field in volume:
                keys = [item["key"] for item in volume[field].get("items", [])]
                yield from held_by(held, kind, volume[field][called], keys, documentation)
    mounted = {m["name"] for c in spec.get("initContainers", []) + spec["containers"] for m in c.get("volumeMounts", [])}
    for volume in mounted - set(there) - claims:
        yield f"there is no volume {volume}"
    for volume in set(there) - mounted:
        yield f"nothing mounts the volume {volume}"


def accounts(spec, documents):
    account = spec.get("serviceAccountName")
    if account and not any(name(d) == f"ServiceAccount/{account}" for d in documents):
        yield f"there is no service account {account}"


def variables(container, held, documentation):
    """Variables refer to what is there, and to variables before them; ours are keys that the executable has."""
    before = set()
    for variable in container.get("env", []):
        for used in re.findall(r"\$\(([^)]+)\)", variable.get("value", "")):
            if used not in before:
                yield f"{variable['name']} uses {used}, which is not set before it"
        reference = variable.get("valueFrom", {})
        for kind, field in (("ConfigMap", "configMapKeyRef"), ("Secret", "secretKeyRef")):
            if field in reference:
                yield from held_by(held, kind, reference[field]["name"], [reference[field]["key"]], documentation)
        if "value" in variable and reference:
            yield f"{variable['name']} has two values"
        if container["name"] == "deed" and variable["name"].startswith("DEED_"):
            if not variable["name"].startswith("DEED__") and variable["name"] not in OTHERS:
                yield f"nothing reads {variable['name']}"
        before.add(variable["name"])


def probes(pods, container):
    for kind in ("startupProbe", "livenessProbe", "readinessProbe"):
        probe = container.get(kind, {})
        for way in ("httpGet", "tcpSocket"):
            port = probe.get(way, {}).get("port")
            if isinstance(port, str) and port not in {p.get("name") for p in container.get("ports", [])}:
                yield f"the {kind} asks the port {port}, which it does not have"
    if container["name"] == "deed" and pods.owner["kind"] == "Deployment":
        for kind in ("startupProbe", "livenessProbe", "readinessProbe"):
            if kind not in container:
                yield f"has no {kind}"


def documentation():
    """Where those who deploy look."""
    return (DEPLOY.parent / "docs" / "OPERATIONS.md").read_text()
