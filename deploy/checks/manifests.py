"""The manifests as kustomize renders them, and what in them runs pods."""
import os
import pathlib
import subprocess
import sys

import yaml

DEPLOY = pathlib.Path(__file__).resolve().parent.parent
ROOT = DEPLOY.parent
TOOLS = pathlib.Path(sys.executable).parent
OVERLAYS = ("demo", "production")


def render(overlay):
    """Every object of an overlay."""
    folder = DEPLOY / "kubernetes" / "overlays" / overlay
    done = subprocess.run([TOOLS / "kubectl", "kustomize", folder], capture_output=True, text=True, env=environment())
    if done.returncode != 0:
        raise SystemExit(f"overlay {overlay} does not render: {done.stderr.strip()}")
    return [document for document in yaml.safe_load_all(done.stdout) if document]


def environment(**more):
    """A bare environment: nothing of whoever runs the check may leak into what is checked."""
    return {"PATH": os.environ["PATH"], "HOME": "/nonexistent", **more}


def name(document):
    """As people write it."""
    return f"{document['kind']}/{document['metadata']['name']}"


class Pods:
    """Pods of one kind: what runs them, their labels and their specification."""

    def __init__(self, owner, labels, spec):
        self.owner, self.labels, self.spec = owner, labels, spec
        self.name = name(owner)

    def containers(self):
        """Every container; those that start before the others first."""
        return self.spec.get("initContainers", []) + self.spec.get("containers", [])

    def port_names(self):
        """The names of all ports."""
        return {port["name"] for c in self.containers() for port in c.get("ports", []) if "name" in port}


def written_pods(documents):
    """Pods whose specification is in the manifests."""
    for document in documents:
        if document["kind"] in ("Deployment", "StatefulSet", "Job"):
            template = document["spec"]["template"]
            yield Pods(document, template["metadata"]["labels"], template["spec"])


def operators_pods(documents):
    """Pods that operators make, by the labels that they give them."""
    for document in documents:
        if document["kind"] == "Cluster":
            yield Pods(document, {"cnpg.io/cluster": document["metadata"]["name"]}, {})
        if document["kind"] == "RabbitmqCluster":
            yield Pods(document, {"app.kubernetes.io/name": document["metadata"]["name"]}, {})


def ours(documents):
    """Pods that run the executable, and the container that does."""
    for pods in written_pods(documents):
        for container in pods.containers():
            if container["name"] == "deed":
                yield pods, container


def selects(selector, labels):
    """Whether a selector of labels takes these."""
    for key, value in (selector.get("matchLabels") or {}).items():
        if labels.get(key) != value:
            return False
    for rule in selector.get("matchExpressions") or []:
        value, among = labels.get(rule["key"]), rule.get("values", [])
        holds = {
            "In": value in among,
            "NotIn": value not in among,
            "Exists": value is not None,
            "DoesNotExist": value is None,
        }[rule["operator"]]
        if not holds:
            return False
    return True
