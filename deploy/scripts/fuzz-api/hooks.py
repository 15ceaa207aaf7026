"""Hooks of Schemathesis: names and cursors that are worth a try, each once with every operation that takes one, and in the
place of most made-up texts.

Which text takes whose place follows from the made-up one, so that a seed gives the same requests again.
"""

import os
import zlib

import schemathesis

APPS = os.environ.get("DEED_FUZZ_APPS", "").split()
NAMES = [
    "acme.com",
    "send.acme.com",
    "search.acme.com",
    "acme.org",
    "acme.com.",
    " ACME.com ",
    "\u00a0acme.com\u3000",
    "\ufeffacme.com\u200b",
    "ac\u200bme.com",
    "b\u00fccher.de",
    "xn--bcher-kva.de",
    "is-a.dev",
    "me.is-a.dev",
    "co.uk",
    "example.com",
    "192.0.2.1",
    "https://acme.com/x",
    "*.acme.com",
    "\x00.com",
    ".".join(["a" * 60] * 3 + ["a" * 54, "com"]),
    ".".join(["a" * 60] * 3 + ["a" * 55, "com"]),
    ".".join(["a" * 60] * 4 + ["a" * 5, "com"]),
    ".".join(["a" * 60] * 5 + ["com"]),
]
CURSORS = ["0" * 32, "A" * 32, "_" * 32, "-" * 32, "z" * 32, "7" * 18, "9" * 18, "0"]


def place(text, among):
    """A number that follows from a text; texts beyond `among` leave themselves in place."""
    return zlib.crc32(repr(text).encode("utf-8", "surrogatepass")) % among


def instead(text, pool):
    """One of the pool for three texts of four."""
    if not isinstance(text, str) or not pool:
        return text
    at = place(text, len(pool) * 4)
    return text if at % 4 == 0 else pool[at // 4]


@schemathesis.hook
def before_add_examples(context, examples):
    """Each name and each cursor once."""
    operation = context.operation
    path = {"app_id": (APPS or ["app_aaaaaaaaaaaaaaaa"])[0], "domain": "acme.com"}
    path = {name: value for name, value in path.items() if name in operation.path_parameters}
    cases = []
    if "cursor" in operation.query:
        cases += [{"query": {"cursor": cursor}} for cursor in CURSORS]
    if "domain" in path:
        cases += [{"path_parameters": path | {"domain": name}} for name in NAMES]
    if operation.label.startswith("POST /v1/") and operation.path.rsplit("/", 1)[1] in ("domains", "claims"):
        cases += [{"body": {"domain": name}} for name in NAMES]
    if operation.path == "/v1/domains/claims/verify":
        cases += [{"body": {"domains": NAMES}}]
    for case in cases:
        case = {"path_parameters": path, "headers": {"Prefer": "wait=0"}} | case
        if "body" in case:
            case["media_type"] = "application/json"
        examples.append(operation.Case(**case))


@schemathesis.hook
def map_path_parameters(context, path_parameters):
    if path_parameters:
        if "domain" in path_parameters:
            path_parameters["domain"] = instead(path_parameters["domain"], NAMES)
        # An app that is deleted is of no use to the others.
        if "app_id" in path_parameters and context.operation.label != "DELETE /v1/apps/{app_id}":
            path_parameters["app_id"] = instead(path_parameters["app_id"], APPS)
    return path_parameters


@schemathesis.hook
def map_query(context, query):
    if query and "cursor" in query:
        query["cursor"] = instead(query["cursor"], CURSORS)
    return query


@schemathesis.hook
def map_headers(context, headers):
    # The key acts for one workspace.
    if headers and "Deed-Workspace" in headers:
        headers["Deed-Workspace"] = instead(headers["Deed-Workspace"], ["ws_acme"])
    return headers


@schemathesis.hook
def map_body(context, body):
    if isinstance(body, dict):
        if "domain" in body:
            body["domain"] = instead(body["domain"], NAMES)
        if isinstance(body.get("domains"), list):
            body["domains"] = [instead(name, NAMES) for name in body["domains"]]
    return body
