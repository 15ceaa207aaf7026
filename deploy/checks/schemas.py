"""Strict schemas: a misspelt key is an error, where a server that applies manifests leniently would drop it."""
import functools
import json
import warnings

import jsonschema
import kubernetes_validate

# The oldest Kubernetes that is supported, and the newest whose schema there is.
VERSIONS = ("1.30", "1.37")
# Kinds for which no package ships a schema; a cluster that has their operators checks them when they are applied.
UNCHECKED = {"postgresql.cnpg.io/v1/Cluster", "rabbitmq.com/v1beta1/RabbitmqCluster"}


def problems(documents):
    """What does not fit its schema."""
    for document in documents:
        yield from of(json.dumps(document))


@functools.cache
def of(text):
    """Of one object, as text; remembered, since the check of the checks changes one object at a time."""
    document, found = json.loads(text), []
    kind = f"{document['apiVersion']}/{document['kind']}"
    where = f"{document['kind']}/{document['metadata']['name']}"
    if kind in UNCHECKED:
        return found
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if kind in custom_schemas():
            for error in jsonschema.Draft202012Validator(custom_schemas()[kind]).iter_errors(document):
                found.append(f"{where}: {'.'.join(map(str, error.absolute_path))}: {error.message}")
            return found
        for version in VERSIONS:
            try:
                kubernetes_validate.validate(document, version, strict=True)
            except kubernetes_validate.ValidationError as error:
                found.append(f"{where}: Kubernetes {version}: {'.'.join(map(str, error.path))}: {error.message}")
            except kubernetes_validate.SchemaNotFoundError:
                found.append(f"{where}: there is no schema for {kind} in Kubernetes {version}")
    return found


@functools.cache
def custom_schemas():
    """The schemas of custom resources, from the models of their operators."""
    from cloudcoil.models.keda import v1alpha1 as keda
    from cloudcoil.models.prometheus_operator import v1 as prometheus

    return {
        "keda.sh/v1alpha1/ScaledObject": strict(keda.ScaledObject),
        "keda.sh/v1alpha1/TriggerAuthentication": strict(keda.TriggerAuthentication),
        "monitoring.coreos.com/v1/PodMonitor": strict(prometheus.PodMonitor),
        "monitoring.coreos.com/v1/PrometheusRule": strict(prometheus.PrometheusRule),
    }


def strict(model):
    """The schema of a model, with keys that it does not name refused."""
    schema = model.model_json_schema(by_alias=True)
    close(schema)
    return schema


def close(node):
    if isinstance(node, dict):
        if node.get("type") == "object" and "properties" in node:
            node.setdefault("additionalProperties", False)
        for inner in node.values():
            close(inner)
    elif isinstance(node, list):
        for inner in node:
            close(inner)
