//! `deed sandbox`: changes what a running sandbox DNS answers, through its control interface.
use clap::{Args, Subcommand};
use deed_sandbox::control::types::{
    FaultKind, FaultTransport, FaultView, PutFault, PutRecords, PutZone, QueryView, RecordView, ZoneView,
};
use reqwest::{Method, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::Context;
use crate::client::Remote;
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
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Records that are served
    #[command(subcommand)]
    Record(Record),
    /// Faults that spoil answers
    #[command(subcommand)]
    Fault(Fault),
    /// Zones
    #[command(subcommand)]
    Zone(Zone),
    /// The latest questions, oldest first
    Queries {
        /// Only questions for this name
        #[arg(long)]
        name: Option<String>,
        /// Only questions after this number
        #[arg(long, default_value_t = 0)]
        after: u64,
    },
    /// Forget zones, records, faults and questions
    Reset,
}

#[derive(Debug, Subcommand)]
enum Record {
    /// Make the records of this type at this name these values
    Set {
        /// The name
        name: String,
        /// TXT, A, CNAME, NS …
        #[arg(value_name = "TYPE")]
        kind: String,
        /// In zone-file form, for TXT the text itself without quotation marks; several make several records
        #[arg(required = true)]
        values: Vec<String>,
        /// Seconds that answers may be kept
        #[arg(long)]
        ttl: Option<u32>,
        /// Keep the records that are there
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
    /// Every record that is served
    List,
}

#[derive(Debug, Subcommand)]
enum Fault {
    /// Spoil the answers for a name; `*.name` is everything below it, `*.` everything
    Set {
        /// The name or pattern
        name: String,
        /// `nxdomain`, `servfail`, `refused`, `formerr`, `drop`, `delay`, `truncate`, `truncate_always`, `wrong_id`,
        /// `not_authoritative` or `tcp_refuse`
        #[arg(value_parser = word::<FaultKind>)]
        fault: FaultKind,
        /// How late, for delay
        #[arg(long)]
        ms: Option<u64>,
        /// udp, tcp or both
        #[arg(long, default_value = "both", value_parser = word::<FaultTransport>)]
        transport: FaultTransport,
        /// Only questions for this type of records
        #[arg(long = "type", value_name = "TYPE")]
        kind: Option<String>,
    },
    /// End the faults of a name or pattern; without one, all faults
    Clear {
        /// The name or pattern
        name: Option<String>,
    },
    /// The faults that are set
    List,
}

#[derive(Debug, Subcommand)]
enum Zone {
    /// Make a zone, or change one
    Set {
        /// The zone's name; `.` is the root
        zone: String,
        /// Seconds a negative answer may be kept
        #[arg(long)]
        soa_minimum: Option<u32>,
        /// Names of the zone's servers
        #[arg(long, value_delimiter = ',')]
        ns: Option<Vec<String>>,
    },
    /// Remove a zone and its records
    Clear {
        /// The zone's name
        zone: String,
    },
    /// The zones that are stored
    List,
}

/// A word as the control interface spells it.
fn word<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_json::from_value(Value::from(text)).map_err(|error| error.to_string())
}

impl Sandbox {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let control = Control { remote: Remote::new(&self.control, None)?, output: context.output };
        match self.what {
            What::Record(record) => control.record(record).await,
            What::Fault(fault) => control.fault(fault).await,
            What::Zone(zone) => control.zone(zone).await,
            What::Queries { name, after } => {
                let after = after.to_string();
                let mut query = vec![("after", after.as_str())];
                query.extend(name.as_deref().map(|name| ("name", name)));
                control.list(&["queries"], &query, |rows: &Vec<QueryView>| queries(rows)).await
            }
            What::Reset => control.remove(Method::POST, &["reset"], "everything forgotten").await,
        }
    }
}

struct Control {
    remote: Remote,
    output: Output,
}

impl Control {
    async fn record(&self, record: Record) -> Result<Exit, Failure> {
        match record {
            Record::Set { name, kind, values, ttl, add } => {
                let body = PutRecords { values: Some(values), strings: None, ttl };
                let method = if add { Method::POST } else { Method::PUT };
                self.put(method, &["records", root(&name), &kind], &body, |set: &RecordView| {
                    records(std::slice::from_ref(set))
                })
                .await
            }
            Record::Clear { name, kind } => {
                self.remove(Method::DELETE, &["records", root(&name), &kind], "removed").await
            }
            Record::List => self.list(&["records"], &[], |rows: &Vec<RecordView>| records(rows)).await,
        }
    }

    async fn fault(&self, fault: Fault) -> Result<Exit, Failure> {
        match fault {
            Fault::Set { name, fault, ms, transport, kind } => {
                let body = PutFault { fault, ms, transport, kind };
                let show = |view: &FaultView| faults(std::slice::from_ref(view));
                self.put(Method::PUT, &["faults", root(&name)], &body, show).await
            }
            Fault::Clear { name: Some(name) } => {
                self.remove(Method::DELETE, &["faults", root(&name)], "ended").await
            }
            Fault::Clear { name: None } => self.remove(Method::DELETE, &["faults"], "all ended").await,
            Fault::List => self.list(&["faults"], &[], |rows: &Vec<FaultView>| faults(rows)).await,
        }
    }

    async fn zone(&self, zone: Zone) -> Result<Exit, Failure> {
        match zone {
            Zone::Set { zone, soa_minimum, ns } => {
                let body = PutZone { soa_minimum, ns };
                let show = |view: &ZoneView| zones(std::slice::from_ref(view));
                self.put(Method::PUT, &["zones", root(&zone)], &body, show).await
            }
            Zone::Clear { zone } => self.remove(Method::DELETE, &["zones", root(&zone)], "removed").await,
            Zone::List => self.list(&["zones"], &[], |rows: &Vec<ZoneView>| zones(rows)).await,
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
        self.output.answer(&json!({ "ok": true }), |_| done.to_owned())?;
        Ok(Exit::Success)
    }

    fn show<T: DeserializeOwned + Serialize>(
        &self,
        body: Value,
        words: impl FnOnce(&T) -> String,
    ) -> Result<Exit, Failure> {
        let value = serde_json::from_value(body)
            .map_err(|error| Failure::because("that is no sandbox: its answer makes no sense", error))?;
        self.output.answer(&value, words)?;
        Ok(Exit::Success)
    }
}

/// The root's name in a path: a segment `.` would be dropped.
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
        vec![view.name.clone(), spell(&fault.fault), ms, spell(&fault.transport), kind]
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
            spell(&query.transport),
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
fn spell(value: &impl Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
}
