//! `deed sandbox`: changes the answers of a running sandbox DNS through its control interface.
use clap::{Args, Subcommand};
use deed_sandbox::control::types::{
    FaultKind, FaultTransport, FaultView, PutFault, PutRecords, PutZone, QueryView, RecordView, ZoneView,
};
use reqwest::{Method, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::client::JsonClient;
use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::output::{Output, table};

#[derive(Debug, Args)]
pub(super) struct Sandbox {
    /// The control interface of the sandbox
    #[arg(
        long,
        global = true,
        env = "DEED_SANDBOX",
        default_value = "http://127.0.0.1:8082",
        value_name = "URL"
    )]
    control: String,
    #[command(subcommand)]
    what: SandboxCommand,
}

#[derive(Debug, Subcommand)]
enum SandboxCommand {
    /// Change or list records
    #[command(subcommand)]
    Record(RecordCommand),
    /// Change or list faults of answers
    #[command(subcommand)]
    Fault(FaultCommand),
    /// Change or list zones
    #[command(subcommand)]
    Zone(ZoneCommand),
    /// List the latest queries, oldest first
    Queries {
        /// Only queries for this name
        #[arg(long)]
        name: Option<String>,
        /// Only queries after this number
        #[arg(long, default_value_t = 0)]
        after: u64,
    },
    /// Delete all zones, records, faults and queries
    Reset,
}

#[derive(Debug, Subcommand)]
enum RecordCommand {
    /// Replace the records of this type at this name
    Set {
        /// The name
        name: String,
        /// TXT, A, CNAME, NS …
        #[arg(value_name = "TYPE")]
        kind: String,
        /// Values in zone-file format, for TXT the plain text without quotation marks; each value is one
        /// record
        #[arg(required = true)]
        values: Vec<String>,
        /// The TTL in seconds
        #[arg(long)]
        ttl: Option<u32>,
        /// Add to the existing records
        #[arg(long)]
        add: bool,
    },
    /// Remove the records of this type at this name
    Clear {
        /// The name
        name: String,
        /// TXT, A, CNAME, NS …
        #[arg(value_name = "TYPE")]
        kind: String,
    },
    /// List all records
    List,
}

#[derive(Debug, Subcommand)]
enum FaultCommand {
    /// Set a fault for a name; `*.name` matches everything below it, `*.` everything
    Set {
        /// The name or pattern
        name: String,
        /// `nxdomain`, `servfail`, `refused`, `formerr`, `drop`, `delay`, `truncate`, `truncate_always`, `wrong_id`,
        /// `not_authoritative` or `tcp_refuse`
        #[arg(value_parser = word::<FaultKind>)]
        fault: FaultKind,
        /// The delay in milliseconds, for the fault `delay`
        #[arg(long)]
        ms: Option<u64>,
        /// udp, tcp or both
        #[arg(long, default_value = "both", value_parser = word::<FaultTransport>)]
        transport: FaultTransport,
        /// Only queries for this record type
        #[arg(long = "type", value_name = "TYPE")]
        kind: Option<String>,
    },
    /// Clear the faults of a name or pattern; without one, all faults
    Clear {
        /// The name or pattern
        name: Option<String>,
    },
    /// List the faults
    List,
}

#[derive(Debug, Subcommand)]
enum ZoneCommand {
    /// Create or change a zone
    Set {
        /// The zone's name; `.` is the root
        zone: String,
        /// The negative TTL in seconds
        #[arg(long)]
        soa_minimum: Option<u32>,
        /// The names of its name servers
        #[arg(long, value_delimiter = ',')]
        ns: Option<Vec<String>>,
    },
    /// Remove a zone and its records
    Clear {
        /// The zone's name
        zone: String,
    },
    /// List the zones
    List,
}

/// Parses a word of the control interface.
fn word<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_json::from_value(Value::from(text)).map_err(|error| error.to_string())
}

impl Sandbox {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let control = Control { remote: JsonClient::new(&self.control, None)?, output: context.output };
        match self.what {
            SandboxCommand::Record(record) => control.record(record).await,
            SandboxCommand::Fault(fault) => control.fault(fault).await,
            SandboxCommand::Zone(zone) => control.zone(zone).await,
            SandboxCommand::Queries { name, after } => {
                let after = after.to_string();
                let mut query = vec![("after", after.as_str())];
                query.extend(name.as_deref().map(|name| ("name", name)));
                control.list(&["queries"], &query, |rows: &Vec<QueryView>| queries(rows)).await
            }
            SandboxCommand::Reset => control.remove(Method::POST, &["reset"], "everything forgotten").await,
        }
    }
}

struct Control {
    remote: JsonClient,
    output: Output,
}

impl Control {
    async fn record(&self, record: RecordCommand) -> Result<Exit, Failure> {
        match record {
            RecordCommand::Set { name, kind, values, ttl, add } => {
                let body = PutRecords { values: Some(values), strings: None, ttl };
                let method = if add { Method::POST } else { Method::PUT };
                self.put(method, &["records", root(&name), &kind], &body, |set: &RecordView| {
                    records(std::slice::from_ref(set))
                })
                .await
            }
            RecordCommand::Clear { name, kind } => {
                self.remove(Method::DELETE, &["records", root(&name), &kind], "removed").await
            }
            RecordCommand::List => self.list(&["records"], &[], |rows: &Vec<RecordView>| records(rows)).await,
        }
    }

    async fn fault(&self, fault: FaultCommand) -> Result<Exit, Failure> {
        match fault {
            FaultCommand::Set { name, fault, ms, transport, kind } => {
                let body = PutFault { fault, ms, transport, kind };
                let show = |view: &FaultView| faults(std::slice::from_ref(view));
                self.put(Method::PUT, &["faults", root(&name)], &body, show).await
            }
            FaultCommand::Clear { name: Some(name) } => {
                self.remove(Method::DELETE, &["faults", root(&name)], "ended").await
            }
            FaultCommand::Clear { name: None } => self.remove(Method::DELETE, &["faults"], "all ended").await,
            FaultCommand::List => self.list(&["faults"], &[], |rows: &Vec<FaultView>| faults(rows)).await,
        }
    }

    async fn zone(&self, zone: ZoneCommand) -> Result<Exit, Failure> {
        match zone {
            ZoneCommand::Set { zone, soa_minimum, ns } => {
                let body = PutZone { soa_minimum, ns };
                let show = |view: &ZoneView| zones(std::slice::from_ref(view));
                self.put(Method::PUT, &["zones", root(&zone)], &body, show).await
            }
            ZoneCommand::Clear { zone } => {
                self.remove(Method::DELETE, &["zones", root(&zone)], "removed").await
            }
            ZoneCommand::List => self.list(&["zones"], &[], |rows: &Vec<ZoneView>| zones(rows)).await,
        }
    }

    async fn put<B: Serialize, T: DeserializeOwned + Serialize>(
        &self,
        method: Method,
        path: &[&str],
        body: &B,
        words: impl FnOnce(&T) -> String,
    ) -> Result<Exit, Failure> {
        let answer = self.remote.send(method, path, &[], Some(body)).await?;
        if answer.status == StatusCode::BAD_REQUEST {
            let said = answer.body["error"].as_str().unwrap_or("the sandbox refuses it");
            return Err(Failure::Usage(said.to_owned()));
        }
        self.show(answer.success()?, words)
    }

    async fn list<T: DeserializeOwned + Serialize>(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
        words: impl FnOnce(&T) -> String,
    ) -> Result<Exit, Failure> {
        let answer = self.remote.send::<()>(Method::GET, path, query, None).await?;
        self.show(answer.success()?, words)
    }

    async fn remove(&self, method: Method, path: &[&str], done: &str) -> Result<Exit, Failure> {
        self.remote.send::<()>(method, path, &[], None).await?.success()?;
        self.output.print(&json!({ "ok": true }), |_| done.to_owned())?;
        Ok(Exit::Success)
    }

    fn show<T: DeserializeOwned + Serialize>(
        &self,
        body: Value,
        words: impl FnOnce(&T) -> String,
    ) -> Result<Exit, Failure> {
        let value = serde_json::from_value(body)
            .map_err(|error| Failure::with_source("that is no sandbox: its answer makes no sense", error))?;
        self.output.print(&value, words)?;
        Ok(Exit::Success)
    }
}

/// The root zone in a URL path, where a segment `.` would be dropped.
fn root(name: &str) -> &str {
    if name == "." { "@" } else { name }
}

fn head<const N: usize>(cells: [&str; N]) -> Vec<String> {
    cells.map(str::to_owned).to_vec()
}

fn records(sets: &[RecordView]) -> String {
    let row = |set: &RecordView, value: &String| {
        vec![set.name.clone(), set.ttl.to_string(), set.kind.clone(), value.clone()]
    };
    let rows = sets.iter().flat_map(|set| set.values.iter().map(move |value| row(set, value)));
    table(&std::iter::once(head(["NAME", "TTL", "TYPE", "VALUE"])).chain(rows).collect::<Vec<_>>())
}

fn faults(views: &[FaultView]) -> String {
    let row = |view: &FaultView| {
        let fault = &view.fault;
        let ms = fault.ms.map(|ms| format!("{ms} ms")).unwrap_or_default();
        let kind = fault.kind.clone().unwrap_or_else(|| "any".to_owned());
        vec![view.name.clone(), wire_word(&fault.fault), ms, wire_word(&fault.transport), kind]
    };
    let rows = views.iter().map(row);
    table(&std::iter::once(head(["NAME", "FAULT", "DELAY", "OVER", "TYPE"])).chain(rows).collect::<Vec<_>>())
}

fn zones(views: &[ZoneView]) -> String {
    let row = |zone: &ZoneView| {
        vec![zone.zone.clone(), zone.serial.to_string(), zone.soa_minimum.to_string(), zone.ns.join(", ")]
    };
    let rows = views.iter().map(row);
    table(
        &std::iter::once(head(["ZONE", "SERIAL", "NEGATIVE TTL", "SERVERS"])).chain(rows).collect::<Vec<_>>(),
    )
}

fn queries(views: &[QueryView]) -> String {
    let row = |query: &QueryView| {
        vec![
            query.seq.to_string(),
            wire_word(&query.transport),
            query.name.clone().unwrap_or_default(),
            query.kind.clone().unwrap_or_default(),
            query.rcode.clone().unwrap_or_else(|| "(nothing sent)".to_owned()),
        ]
    };
    let rows = views.iter().map(row);
    table(
        &std::iter::once(head(["NUMBER", "OVER", "NAME", "TYPE", "ANSWER"])).chain(rows).collect::<Vec<_>>(),
    )
}

/// A word as the control interface spells it.
fn wire_word(value: &impl Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
}
