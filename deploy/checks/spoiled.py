"""Checks the checks: each of these slips, made on purpose, has to be noticed."""
import copy

from manifests import name


def at(documents, called):
    return next(d for d in documents if name(d) == called)


def pod(documents, called):
    return at(documents, called)["spec"]["template"]["spec"]


def deed(documents, called):
    return next(c for c in pod(documents, called)["containers"] if c["name"] == "deed")


def variable(documents, called, named):
    return next(v for v in deed(documents, called)["env"] if v["name"] == named)


API, VERIFIER, JOB = "Deployment/deed-api", "Deployment/deed-verifier", "Job/deed-migrate"
SCALED = "ScaledObject/deed-verifier"


def trigger(documents, index):
    return at(documents, SCALED)["spec"]["triggers"][index]["metadata"]


def config(documents):
    return next(d for d in documents if d["kind"] == "ConfigMap" and "deed.toml" in d["data"])["data"]


# What is done, and a word that the complaint has to have.
SLIPS = {
    "a misspelt key": (lambda d: pod(d, API).update(terminationGracePeriodSecond=1), "terminationGracePeriodSecond"),
    "a misspelt key of KEDA": (lambda d: at(d, SCALED)["spec"].update(maxReplicas=3), "maxReplicas"),
    "a misspelt key of a monitor": (lambda d: at(d, "PodMonitor/deed")["spec"].update(endpoints=[]), "endpoints"),
    "a wrong type": (lambda d: at(d, "Deployment/deed-projector")["spec"].update(replicas="two"), "replicas"),
    "a service without pods": (lambda d: at(d, "Service/deed-api")["spec"]["selector"].update({"app.kubernetes.io/component": "web"}), "Service/deed-api"),
    "a service's port": (lambda d: at(d, "Service/deed-api")["spec"]["ports"][0].update(targetPort="web"), "port web"),
    "a policy for nobody": (lambda d: at(d, "NetworkPolicy/deed-verifier-to-dns")["spec"]["podSelector"]["matchLabels"].update({"app.kubernetes.io/component": "checker"}), "checker"),
    "a policy's peer": (lambda d: at(d, "NetworkPolicy/deed-to-postgres")["spec"]["egress"][0]["to"][0]["podSelector"]["matchLabels"].update({"cnpg.io/cluster": "db"}), "deed-to-postgres"),
    "a policy's port": (lambda d: at(d, "NetworkPolicy/deed-ops-from-monitoring")["spec"]["ingress"][0]["ports"][0].update(port="metrics"), "port metrics"),
    "a budget for nobody": (lambda d: at(d, "PodDisruptionBudget/deed-api")["spec"]["selector"]["matchLabels"].update({"app.kubernetes.io/component": "web"}), "PodDisruptionBudget/deed-api"),
    "a monitor's port": (lambda d: at(d, "PodMonitor/deed")["spec"]["podMetricsEndpoints"][0].update(port="metrics"), "port metrics"),
    "a monitor's path": (lambda d: at(d, "PodMonitor/deed")["spec"]["podMetricsEndpoints"][0].update(path="/metric"), "/metric"),
    "a probe's port": (lambda d: deed(d, API)["livenessProbe"]["httpGet"].update(port="health"), "health"),
    "a probe's path": (lambda d: deed(d, API)["readinessProbe"]["httpGet"].update(path="/healthz"), "/healthz"),
    "no probe": (lambda d: deed(d, VERIFIER).pop("startupProbe"), "startupProbe"),
    "a secret that nobody makes": (lambda d: variable(d, API, "POSTGRES_URI")["valueFrom"]["secretKeyRef"].update(name="postgres"), "no Secret postgres"),
    "a key that a secret has not": (lambda d: variable(d, JOB, "POSTGRES_URI")["valueFrom"]["secretKeyRef"].update(key="address"), "key address"),
    "a secret of KEDA": (lambda d: at(d, "TriggerAuthentication/deed-rabbitmq")["spec"]["secretTargetRef"][0].update(key="user"), "key user"),
    "a volume that is not there": (lambda d: deed(d, API)["volumeMounts"][0].update(name="files"), "volume files"),
    "a variable set too late": (lambda d: deed(d, API)["env"].reverse(), "not set before"),
    "a variable of no key": (lambda d: deed(d, VERIFIER)["env"].append({"name": "DEED__VERIFIER__THREADS", "value": "4"}), "threads"),
    "a variable that nobody reads": (lambda d: deed(d, VERIFIER)["env"].append({"name": "DEED_ROLES", "value": "api"}), "DEED_ROLES"),
    "a key of no section": (lambda d: config(d).update({"deed.toml": config(d)["deed.toml"] + "\ncolour = 'red'\n"}), "colour"),
    "a file that is not mounted": (lambda d: variable(d, API, "DEED_CONFIG").update(value="/etc/deed.toml"), "DEED_CONFIG"),
    "a role that there is not": (lambda d: deed(d, API).update(args=["serve", "--roles", "web"]), "web"),
    "another port than it listens on": (lambda d: deed(d, API)["ports"][0].update(containerPort=80), "listens on"),
    "too little time to stop": (lambda d: pod(d, API).update(terminationGracePeriodSeconds=30), "may take"),
    "a metric that there is not": (lambda d: trigger(d, 1).update(query="max(deed_due_work_late)"), "deed_due_work_late"),
    "a queue that there is not": (lambda d: trigger(d, 0).update(queueName="deed.checks"), "deed.checks"),
    "a scaled number": (lambda d: at(d, VERIFIER)["spec"].update(replicas=2), "replicas"),
    "nothing to scale": (lambda d: at(d, SCALED)["spec"]["scaleTargetRef"].update(name="verifier"), "no verifier"),
    "more pods than connections": (lambda d: at(d, SCALED)["spec"].update(maxReplicaCount=40), "connections"),
    "a private network opened": (lambda d: at(d, "NetworkPolicy/deed-verifier-to-dns")["spec"]["egress"][0]["to"][0]["ipBlock"]["except"].remove("10.0.0.0/8"), "egress.rs"),
    "another port opened": (lambda d: at(d, "NetworkPolicy/deed-verifier-to-dns")["spec"]["egress"][0]["ports"].append({"protocol": "TCP", "port": 443}), "443"),
    "a way in for everybody": (lambda d: at(d, "NetworkPolicy/deed-api-from-ingress")["spec"]["ingress"][0].pop("from"), "way in"),
    "nothing denied": (lambda d: d.remove(at(d, "NetworkPolicy/default-deny")), "by default"),
    "an image by its tag": (lambda d: deed(d, API).update(image="registry.example.com/deed:1"), "digest"),
    "root": (lambda d: pod(d, API)["securityContext"].update(runAsUser=0), "user 0"),
    "a root that can be written to": (lambda d: deed(d, API)["securityContext"].pop("readOnlyRootFilesystem"), "written to"),
    "a capability": (lambda d: deed(d, API)["securityContext"]["capabilities"].update(add=["NET_RAW"]), "capabilities"),
    "privileges": (lambda d: deed(d, JOB)["securityContext"].update(allowPrivilegeEscalation=True), "escalated"),
    "no seccomp": (lambda d: pod(d, JOB)["securityContext"].pop("seccompProfile"), "seccomp"),
    "a token": (lambda d: pod(d, API).update(automountServiceAccountToken=True), "token"),
    "the node's network": (lambda d: pod(d, API).update(hostNetwork=True), "hostNetwork"),
    "a folder of the node": (lambda d: pod(d, API)["volumes"][0].update(hostPath={"path": "/"}), "volume"),
    "no limit of memory": (lambda d: deed(d, API)["resources"]["limits"].pop("memory"), "memory"),
    "a lax namespace": (lambda d: at(d, "Namespace/deed")["metadata"]["labels"].update({"pod-security.kubernetes.io/enforce": "baseline"}), "restricted"),
}


def unnoticed(documents, check):
    """Slips that nobody complained of, and how many were made."""
    missed = []
    for slip, (make, word) in SLIPS.items():
        spoilt = copy.deepcopy(documents)
        make(spoilt)
        if not any(word in problem for problem in check(spoilt)):
            missed.append(f"the check does not notice {slip}")
    return missed, len(SLIPS)
