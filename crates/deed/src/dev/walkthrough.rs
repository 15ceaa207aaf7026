//! The walk-through: shell commands that show both contracts and a transfer.
use super::running::{HOST, Running};

/// A command with its title.
struct WalkthroughStep {
    title: &'static str,
    command: String,
}

fn step(title: &'static str, command: impl Into<String>) -> WalkthroughStep {
    WalkthroughStep { title, command: command.into() }
}

/// The addresses, followed by the walk-through.
pub(crate) fn text(running: &Running) -> String {
    let urls = &running.urls;
    let kept = if running.temporary { "temporary, removed at the end" } else { "kept" };
    let head = format!(
        "Deed is running. Stop it with Ctrl-C.\n\n\
         \x20 HTTP interface   {}   (documentation: {}/docs)\n\
         \x20 operations       {}\n\
         \x20 sandbox DNS      {}   (control: {})\n\
         \x20 data folder      {}   ({kept})\n\
         \x20 configuration    {}\n\n\
         The sandbox is the whole DNS: what you set there is all that Deed sees. The schedule is shortened: a record is\n\
         seen about two seconds after it was published. Paste the following into another shell.\n\n",
        urls.api,
        urls.api,
        urls.ops,
        urls.dns,
        urls.control,
        running.data.display(),
        running.config.display(),
    );
    let steps = steps(running).into_iter().enumerate();
    let steps: Vec<String> =
        steps.map(|(n, step)| format!("# {n}. {}\n{}", step.title, step.command)).collect();
    head + &steps.join("\n\n")
}

fn steps(running: &Running) -> Vec<WalkthroughStep> {
    let mut steps = vec![step("Addresses and keys", variables(running))];
    steps.extend(workspace_claim());
    steps.extend(transfer());
    steps.extend(app_domain(running));
    steps
}

fn variables(running: &Running) -> String {
    let deed = std::env::current_exe().map_or_else(|_| "deed".to_owned(), |path| path.display().to_string());
    let deed = deed.replace('\'', r"'\''");
    let (urls, keys) = (&running.urls, &running.keys);
    format!(
        "URL={} ACME={} GLOBEX={}\nexport DEED_SANDBOX={}\ndeed() {{ '{deed}' \"$@\"; }}",
        urls.api, keys.ws_acme, keys.ws_globex, urls.control
    )
}

/// A `curl` command with the key of a workspace.
fn curl(key: &str, method: &str, path: &str, body: Option<&str>) -> String {
    let method = if method == "GET" { String::new() } else { format!("-X {method} ") };
    let body =
        body.map(|body| format!(" -H 'Content-Type: application/json' -d '{body}'")).unwrap_or_default();
    format!("curl -sS {method}\"$URL{path}\" -H \"Authorization: Bearer ${key}\"{body}")
}

/// A request whose response is printed and stored in a variable.
fn store_response(variable: &str, request: &str) -> String {
    format!("{variable}=$({request}); echo \"${variable}\"")
}

/// Extracts a field of a stored response into a variable.
fn field(variable: &str, answer: &str, field: &str) -> String {
    format!(r#"{variable}=$(echo "${answer}" | sed 's/.*"{field}":"\([^"]*\)".*/\1/')"#)
}

/// Repeats a request until the response matches.
fn repeat_until(request: &str, found: &str) -> String {
    format!("until {request} | grep '{found}'; do sleep 1; done")
}

fn record(answer: &str) -> String {
    format!("{}\n{}", field("NAME", answer, "name"), field("VALUE", answer, "value"))
}

fn workspace_claim() -> Vec<WalkthroughStep> {
    let body = r#"{"domain":"send.acme.com"}"#;
    let claim = store_response("CLAIM", &curl("ACME", "POST", "/v1/domains/claims", Some(body)));
    vec![
        step("A workspace claims a name; the answer holds the record for its registrable domain", claim),
        step(
            "It asks for verification before the record is there: 202, and the reason",
            curl("ACME", "POST", "/v1/domains/claims/send.acme.com/verify", None)
                + " -w '\\n%{http_code}\\n'",
        ),
        step(
            "It publishes the record",
            format!("{}\ndeed sandbox record set \"$NAME\" TXT \"$VALUE\"", record("CLAIM")),
        ),
        step(
            "Deed sees it by itself",
            repeat_until(&curl("ACME", "GET", "/v1/domains/acme.com", None), r#""isVerified":true"#),
        ),
        step(
            "What happened, from the log",
            curl("ACME", "GET", "/v1/domains/claims/acme.com/history", None) + "; echo",
        ),
    ]
}

fn transfer() -> Vec<WalkthroughStep> {
    let body = r#"{"domain":"acme.com"}"#;
    let claim = store_response("CLAIM", &curl("GLOBEX", "POST", "/v1/domains/claims", Some(body)));
    let status = " -w '\\n%{http_code}\\n'";
    vec![
        step(
            "Another workspace wants the same name: 409, and the way to claim it",
            curl("GLOBEX", "POST", "/v1/domains", Some(body)) + status,
        ),
        step("It claims the name", claim),
        step(
            "It controls the DNS, so it publishes its record in place of the other's",
            format!("{}\ndeed sandbox record set \"$NAME\" TXT \"$VALUE\"", record("CLAIM")),
        ),
        step(
            "Proven, and the holder's own record is gone: the name moves, 200",
            curl("GLOBEX", "POST", "/v1/domains/claims/acme.com/verify", None) + status,
        ),
        step(
            "What became of the first claim",
            curl("ACME", "GET", "/v1/domains/claims/acme.com", None) + "; echo",
        ),
    ]
}

fn app_domain(running: &Running) -> Vec<WalkthroughStep> {
    let app = store_response("APP", &curl("ACME", "POST", "/v1/apps", Some(r#"{"name":"Docs"}"#)));
    let body = format!(r#"{{"domain":"{HOST}","is_primary":true}}"#);
    let add = store_response("ADDED", &curl("ACME", "POST", "/v1/apps/$APP_ID/domains", Some(&body)));
    let record = &running.host_record;
    vec![
        step("A workspace makes an app", format!("{app}\n{}", field("APP_ID", "APP", "app_id"))),
        step(
            "It adds a hostname of its own",
            format!("{add}\n{}", field("TOKEN", "ADDED", "verification_token")),
        ),
        step(
            "It has the hostname verified: `verifying` at once",
            curl("ACME", "POST", &format!("/v1/apps/$APP_ID/domains/{HOST}/verify"), None) + "; echo",
        ),
        step(
            "It publishes the record",
            format!("deed sandbox record set {} TXT \"{}\"", record.name, record.value),
        ),
        step(
            "Deed sees it by itself",
            repeat_until(&curl("ACME", "GET", "/v1/apps/$APP_ID/domains", None), r#""status":"active""#),
        ),
    ]
}
