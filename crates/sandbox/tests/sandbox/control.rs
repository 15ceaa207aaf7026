//! The control interface over HTTP.

use std::net::SocketAddr;

use deed_sandbox::control::types::{ErrorBody, FaultView, Index, QueryView, RecordView, ZoneView};
use deed_sandbox::{FaultKind, FaultTransport, PutFault, PutRecords};
use hickory_proto::op::ResponseCode::{NXDomain, Refused, ServFail};
use hickory_proto::rr::RecordType;
use reqwest::{Client, Method, StatusCode};
use serde::de::DeserializeOwned;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::client::{DEADLINE, TestSandbox, answers};

struct Control {
    sandbox: TestSandbox,
    address: SocketAddr,
    http: Client,
}

impl Control {
    async fn start() -> Self {
        let sandbox = TestSandbox::automatic().await;
        let address = sandbox.server.control_addr().unwrap();
        Self { sandbox, address, http: Client::builder().timeout(DEADLINE).build().unwrap() }
    }

    async fn send(&self, method: &str, path: &str, body: &str) -> reqwest::Response {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let request = self.http.request(method, format!("http://{}{path}", self.address));
        request.body(body.to_owned()).send().await.unwrap()
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> T {
        self.ok("GET", path, "").await
    }

    async fn ok<T: DeserializeOwned>(&self, method: &str, path: &str, body: &str) -> T {
        let response = self.send(method, path, body).await;
        assert_eq!(response.status(), StatusCode::OK, "{method} {path}");
        assert_eq!(response.headers()["content-type"], "application/json");
        response.json().await.unwrap()
    }

    async fn empty(&self, method: &str, path: &str) {
        let response = self.send(method, path, "").await;
        assert_eq!(response.status(), StatusCode::NO_CONTENT, "{method} {path}");
        assert_eq!(response.text().await.unwrap(), "");
    }

    async fn refused(&self, status: StatusCode, method: &str, path: &str, body: &str) -> ErrorBody {
        let response = self.send(method, path, body).await;
        assert_eq!(response.status(), status, "{method} {path} {body}");
        response.json().await.unwrap()
    }
}

#[tokio::test]
async fn index_lists_endpoints() {
    let control = Control::start().await;
    let index: Index = control.get("/").await;
    assert_eq!(index.dns, control.sandbox.dns);
    for endpoint in &index.endpoints {
        let (method, path) = endpoint.request.split_once(' ').unwrap();
        let path = path.split('?').next().unwrap();
        let path = path.replace("{zone}", "a.com").replace("{name}", "a.com").replace("{type}", "TXT");
        let status = control.send(method, &path, "").await.status();
        assert_ne!(status, StatusCode::METHOD_NOT_ALLOWED, "{}", endpoint.request);
        let known_path = !matches!(status, StatusCode::NOT_FOUND) || method == "DELETE";
        assert!(known_path, "{}", endpoint.request);
    }
}

#[tokio::test]
async fn records_are_set_added_listed_and_removed() {
    let control = Control::start().await;
    let path = "/records/_deed.acme.com/txt";
    let set: RecordView = control.ok("PUT", path, r#"{"values": ["one"], "ttl": 9}"#).await;
    let wanted = RecordView {
        zone: "acme.com".into(),
        name: "_deed.acme.com".into(),
        kind: "TXT".into(),
        ttl: 9,
        values: vec!["one".into()],
        strings: Some(vec![vec!["one".into()]]),
    };
    assert_eq!(set, wanted);
    let added: RecordView = control.ok("POST", path, r#"{"strings": [["t", "wo"]]}"#).await;
    assert_eq!(added.values, ["one", "two"]);
    let reply = control.sandbox.query("_deed.acme.com", RecordType::TXT).await;
    assert_eq!(answers(&reply), ["_deed.acme.com. TXT one", "_deed.acme.com. TXT two"]);
    let all: Vec<RecordView> = control.get("/records").await;
    assert!(all.contains(&added), "{all:?}");
    control.ok::<RecordView>("PUT", path, r#"{"values": ["three"]}"#).await;
    assert_eq!(control.sandbox.query("_deed.acme.com", RecordType::TXT).await.answers.len(), 1);
    control.empty("DELETE", path).await;
    assert_eq!(control.sandbox.query("_deed.acme.com", RecordType::TXT).await.response_code, NXDomain);
    control.refused(StatusCode::NOT_FOUND, "DELETE", path, "").await;
}

#[tokio::test]
async fn the_request_types_fit_the_interface() {
    let control = Control::start().await;
    let records = serde_json::to_string(&PutRecords::values(["a"]).with_ttl(1)).unwrap();
    control.ok::<RecordView>("PUT", "/records/a.com/TXT", &records).await;
    let wanted = PutFault::new(FaultKind::TcpRefuse).over(FaultTransport::Tcp).for_type("TXT");
    let fault = serde_json::to_string(&wanted).unwrap();
    let set: FaultView = control.ok("PUT", "/faults/a.com", &fault).await;
    assert_eq!(set, FaultView { name: "a.com".into(), fault: wanted });
}

#[tokio::test]
async fn names_in_paths_are_decoded() {
    let control = Control::start().await;
    let set: RecordView = control.ok("PUT", "/records/%2A.a%5C.b.acme.com/TXT", r#"{"values": ["x"]}"#).await;
    assert_eq!(set.name, "*.a\\.b.acme.com");
    let root: RecordView = control.ok("PUT", "/records/@/TXT", r#"{"values": ["root"]}"#).await;
    assert_eq!((root.zone.as_str(), root.name.as_str()), (".", "."));
    assert_eq!(answers(&control.sandbox.query(".", RecordType::TXT).await), [". TXT root"]);
}

#[tokio::test]
async fn zones_are_made_changed_listed_and_removed() {
    let control = Control::start().await;
    let made: ZoneView =
        control.ok("PUT", "/zones/Dev.Acme.com", r#"{"soa_minimum": 60, "ns": ["ns1.dev.acme.com"]}"#).await;
    assert_eq!((made.zone.as_str(), made.soa_minimum), ("dev.acme.com", 60));
    assert_eq!(made.ns, ["ns1.dev.acme.com"]);
    let changed: ZoneView = control.ok("PUT", "/zones/dev.acme.com", r#"{"soa_minimum": 7}"#).await;
    assert_eq!((changed.soa_minimum, &changed.ns), (7, &made.ns));
    assert!(changed.serial > made.serial);
    let zones: Vec<ZoneView> = control.get("/zones").await;
    assert!(zones.contains(&changed));
    let denied = control.sandbox.query("x.dev.acme.com", RecordType::A).await;
    assert_eq!(denied.authorities[0].ttl, 7);
    control.empty("DELETE", "/zones/dev.acme.com").await;
    control.refused(StatusCode::NOT_FOUND, "DELETE", "/zones/dev.acme.com", "").await;
}

#[tokio::test]
async fn faults_are_set_listed_and_ended() {
    let control = Control::start().await;
    let set: FaultView =
        control.ok("PUT", "/faults/*.acme.com", r#"{"fault": "servfail", "transport": "udp"}"#).await;
    assert_eq!(set.name, "*.acme.com");
    assert_eq!(control.get::<Vec<FaultView>>("/faults").await, [set]);
    assert_eq!(control.sandbox.query("x.acme.com", RecordType::A).await.response_code, ServFail);
    control.empty("DELETE", "/faults/*.acme.com").await;
    control.refused(StatusCode::NOT_FOUND, "DELETE", "/faults/*.acme.com", "").await;
    control.ok::<FaultView>("PUT", "/faults/*.", r#"{"fault": "refused"}"#).await;
    assert_eq!(control.sandbox.query("x.acme.com", RecordType::A).await.response_code, Refused);
    control.empty("DELETE", "/faults").await;
    control.ok::<FaultView>("PUT", "/faults/x.acme.com", r#"{"fault": "delay", "ms": 1}"#).await;
    assert_eq!(control.sandbox.query("x.acme.com", RecordType::A).await.response_code, NXDomain);
}

#[tokio::test]
async fn questions_are_listed_and_reset_forgets_everything() {
    let control = Control::start().await;
    control.ok::<RecordView>("PUT", "/records/acme.com/TXT", r#"{"values": ["x"]}"#).await;
    control.ok::<FaultView>("PUT", "/faults/acme.com", r#"{"fault": "servfail"}"#).await;
    control.sandbox.query("acme.com", RecordType::TXT).await;
    control.sandbox.query("other.com", RecordType::TXT).await;
    let asked: Vec<QueryView> = control.get("/queries?name=acme.com").await;
    assert_eq!(asked.len(), 1);
    assert_eq!((asked[0].rcode.as_deref(), asked[0].fault), (Some("SERVFAIL"), Some(FaultKind::Servfail)));
    assert_eq!(control.get::<Vec<QueryView>>("/queries?after=1").await.len(), 1);
    assert_eq!(control.get::<Vec<QueryView>>("/queries").await.len(), 2);
    control.empty("POST", "/reset").await;
    assert_eq!(control.get::<Vec<QueryView>>("/queries").await, []);
    assert_eq!(control.get::<Vec<FaultView>>("/faults").await, []);
    assert_eq!(control.get::<Vec<ZoneView>>("/zones").await.len(), 1, "only the server's own zone is left");
    assert_eq!(control.sandbox.query("acme.com", RecordType::TXT).await.answers, []);
    assert_eq!(control.get::<Vec<QueryView>>("/queries").await[0].seq, 3);
}

#[tokio::test]
async fn names_invalid_field() {
    let control = Control::start().await;
    control.ok::<RecordView>("PUT", "/records/alias.a.com/CNAME", r#"{"values": ["b.com"]}"#).await;
    control.ok::<RecordView>("PUT", "/records/plain.a.com/TXT", r#"{"values": ["b"]}"#).await;
    let too_many = format!(r#"{{"strings": [["{}"]]}}"#, "x".repeat(256));
    for (method, path, body, field) in [
        ("PUT", "/records/a..com/TXT", r#"{"values": ["x"]}"#, "name"),
        ("PUT", "/records/a.com/SRV", r#"{"values": ["x"]}"#, "type"),
        ("PUT", "/records/a.com/A", r#"{"values": ["127.0.0.1", "x"]}"#, "values[1]"),
        ("PUT", "/records/a.com/TXT", r#"{"values": "x"}"#, "values"),
        ("PUT", "/records/a.com/TXT", r#"{"values": ["x", 1]}"#, "values[1]"),
        ("PUT", "/records/a.com/TXT", r#"{"values": []}"#, "values"),
        ("PUT", "/records/a.com/TXT", r"{}", "values"),
        ("PUT", "/records/a.com/TXT", r#"{"values": ["x"], "strings": [["x"]]}"#, "strings"),
        ("PUT", "/records/a.com/A", r#"{"strings": [["127.0.0.1"]]}"#, "strings"),
        ("PUT", "/records/a.com/TXT", &too_many, "strings[0][0]"),
        ("PUT", "/records/a.com/TXT", r#"{"values": ["x"], "ttl": -1}"#, "ttl"),
        ("PUT", "/records/a.com/TXT", r#"{"values": ["x"], "ttl": 4294967295}"#, "ttl"),
        ("PUT", "/records/a.com/TXT", r#"{"value": ["x"]}"#, "value"),
        ("PUT", "/records/a.com/TXT", "not json", "body"),
        ("PUT", "/records/a.com/TXT", "", "body"),
        ("PUT", "/records/a.com/TXT", r#"{"values": ["x"]} more"#, "body"),
        ("PUT", "/records/a.com/CNAME", r#"{"values": ["b.com"]}"#, "name"),
        ("PUT", "/records/plain.a.com/CNAME", r#"{"values": ["b.com"]}"#, "name"),
        ("POST", "/records/alias.a.com/CNAME", r#"{"values": ["c.com"]}"#, "values"),
        ("PUT", "/records/alias.a.com/TXT", r#"{"values": ["x"]}"#, "name"),
        ("PUT", "/records/*.a.com/NS", r#"{"values": ["b.com"]}"#, "name"),
        ("PUT", "/records/x.a.com/SOA", r#"{"values": ["a b 1 2 3 4 5"]}"#, "name"),
        ("DELETE", "/records/a.com/SOA", "", "type"),
        ("PUT", "/zones/*.com", "{}", "zone"),
        ("PUT", "/zones/a.com", r#"{"ns": ["ok.com", "a..b"]}"#, "ns[1]"),
        ("PUT", "/zones/a.com", r#"{"ns": []}"#, "ns"),
        ("PUT", "/zones/a.com", r#"{"soa_minimum": 4294967295}"#, "soa_minimum"),
        ("PUT", "/faults/a.com", r#"{"fault": "explode"}"#, "fault"),
        ("PUT", "/faults/a.com", r#"{"fault": "delay"}"#, "ms"),
        ("PUT", "/faults/a.com", r#"{"fault": "drop", "transport": "quic"}"#, "transport"),
        ("PUT", "/faults/*.a..com", r#"{"fault": "drop"}"#, "name"),
        ("GET", "/queries?after=x", "", "after"),
        ("GET", "/queries?nmae=x", "", "query"),
        ("PUT", "/records/%ff/TXT", "{}", "path"),
    ] {
        let error = control.refused(StatusCode::BAD_REQUEST, method, path, body).await;
        assert_eq!(error.field.as_deref(), Some(field), "{method} {path} {body}: {}", error.error);
        assert!(error.error.starts_with(field), "{}", error.error);
    }
    assert_eq!(control.sandbox.zones.faults(), []);
}

#[tokio::test]
async fn without_auto_zones_records_need_a_zone() {
    let sandbox = TestSandbox::with_acme().await;
    let records = PutRecords::values(["x"]);
    assert_eq!(sandbox.zones.put_records("other.com", "TXT", &records).unwrap_err().field, "name");
    sandbox.zones.put_records("a.acme.com", "TXT", &records).unwrap();
}

#[tokio::test]
async fn unknown_paths_and_methods_are_told_apart() {
    let control = Control::start().await;
    for path in ["/nothing", "/zones/a/b", "/records/a.com", "/records/a.com/TXT/more"] {
        control.refused(StatusCode::NOT_FOUND, "GET", path, "").await;
    }
    let response = control.send("PATCH", "/records/a.com/TXT", "").await;
    assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(response.headers()["allow"], "PUT, POST, DELETE");
    control.refused(StatusCode::METHOD_NOT_ALLOWED, "GET", "/reset", "").await;
}

#[tokio::test]
async fn bodies_over_64_kib_are_refused() {
    let control = Control::start().await;
    let body = |length: usize| format!(r#"{{"values": ["{}"]}}"#, "x".repeat(length));
    control.refused(StatusCode::PAYLOAD_TOO_LARGE, "PUT", "/records/a.com/TXT", &body(65_536)).await;
    control.ok::<RecordView>("PUT", "/records/a.com/TXT", &body(60_000)).await;
}

#[tokio::test]
async fn stops_despite_open_connection() {
    let control = Control::start().await;
    let mut open = TcpStream::connect(control.address).await.unwrap();
    open.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    open.read_u8().await.unwrap();
    tokio::time::timeout(DEADLINE, control.sandbox.server.stop()).await.unwrap().unwrap();
}
