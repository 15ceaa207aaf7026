"""What every pod of ours has to keep to: the restricted pod security standard, and what it leaves open."""
import re

from manifests import name, written_pods


def problems(documents, overlay):
    """What a pod may do that it does not need."""
    for pods in written_pods(documents):
        yield from (f"{pods.name}: {problem}" for problem in of_pod(pods.spec))
        for container in pods.containers():
            yield from (f"{pods.name}, container {container['name']}: {p}" for p in of_container(pods.spec, container))
            yield from (f"{pods.name}: image {p}" for p in of_image(container["image"], overlay))
    yield from of_namespace(documents)
    yield from of_network(documents)


def of_pod(spec):
    context = spec.get("securityContext") or {}
    if context.get("runAsNonRoot") is not True:
        yield "runAsNonRoot is not set"
    if (context.get("seccompProfile") or {}).get("type") != "RuntimeDefault":
        yield "the seccomp profile is not RuntimeDefault"
    if spec.get("automountServiceAccountToken") is not False:
        yield "a token of the service account is mounted"
    if spec.get("enableServiceLinks") is not False:
        yield "variables for every service of the namespace are set"
    for key in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(key):
            yield f"{key} is set"
    for volume in spec.get("volumes", []):
        kinds = set(volume) - {"name"}
        if not kinds <= {"configMap", "secret", "emptyDir", "persistentVolumeClaim", "projected"}:
            yield f"volume {volume['name']} is of kind {kinds}"


def of_container(spec, container):
    context = container.get("securityContext") or {}
    user = context.get("runAsUser", (spec.get("securityContext") or {}).get("runAsUser"))
    if not isinstance(user, int) or user == 0:
        yield f"runs as user {user}, not as one with a number other than 0"
    if context.get("allowPrivilegeEscalation") is not False:
        yield "privileges may be escalated"
    if context.get("readOnlyRootFilesystem") is not True:
        yield "the root file system can be written to"
    capabilities = context.get("capabilities") or {}
    if capabilities.get("drop") != ["ALL"] or capabilities.get("add"):
        yield "has capabilities"
    if context.get("privileged"):
        yield "is privileged"
    resources = container.get("resources") or {}
    for kind, what in (("requests", "cpu"), ("requests", "memory"), ("limits", "memory")):
        if what not in resources.get(kind, {}):
            yield f"no {what} under resources.{kind}"
    for port in container.get("ports", []):
        if "hostPort" in port:
            yield f"hostPort {port['hostPort']}"


def of_image(image, overlay):
    if overlay == "production" and not re.fullmatch(r"[^@:]+(:\d+)?[^@:]*@sha256:[0-9a-f]{64}", image):
        yield f"{image} is not named by its digest"
    if "/" not in image.split("@")[0]:
        yield f"{image} has no registry: the overlay does not name it"


def of_namespace(documents):
    spaces = [d for d in documents if d["kind"] == "Namespace"]
    labels = spaces[0]["metadata"].get("labels", {}) if spaces else {}
    if labels.get("pod-security.kubernetes.io/enforce") != "restricted":
        yield "the namespace does not enforce the restricted pod security standard"
    space = spaces[0]["metadata"]["name"] if spaces else None
    for document in documents:
        if document["kind"] != "Namespace" and document["metadata"].get("namespace") != space:
            yield f"{name(document)} is not in the namespace {space}"


def of_network(documents):
    policies = [d for d in documents if d["kind"] == "NetworkPolicy"]
    if not any(d["spec"]["podSelector"] == {} and set(d["spec"]["policyTypes"]) == {"Ingress", "Egress"}
               and not d["spec"].get("ingress") and not d["spec"].get("egress") for d in policies):
        yield "no network policy denies everything by default"
    for policy in policies:
        selector = policy["spec"]["podSelector"]
        about_deed = (selector.get("matchLabels") or {}).get("app.kubernetes.io/name") == "deed"
        for rule in policy["spec"].get("egress") or []:
            if about_deed and not (rule.get("to") and rule.get("ports")):
                yield f"{name(policy)} opens a way out to anybody, or on any port"
        for rule in policy["spec"].get("ingress") or []:
            if about_deed and not (rule.get("from") and rule.get("ports")):
                yield f"{name(policy)} opens a way in for anybody, or on any port"
