//! TXT values in presentation format, served from zone files by real servers, and the bytes that the prober reads.
use crate::internet::{Daemon, InternetPlan, question, values};

/// Names, the text in the zone file, and the value it means (RFC 1035 §5.1, RFC 7208 §3.3).
fn cases() -> Vec<(&'static str, String, Vec<u8>)> {
    let long = "a".repeat(255);
    vec![
        ("plain", "\"value\"".to_owned(), b"value".to_vec()),
        ("bare", "value".to_owned(), b"value".to_vec()),
        ("joined", "\"one\" \"two\"".to_owned(), b"onetwo".to_vec()),
        ("inner-space", "\"one \" \" two\"".to_owned(), b"one  two".to_vec()),
        ("empty", "\"\"".to_owned(), b"".to_vec()),
        ("empties", "\"\" \"x\" \"\"".to_owned(), b"x".to_vec()),
        ("quote", "\"a\\\"b\"".to_owned(), b"a\"b".to_vec()),
        ("backslash", "\"a\\\\b\"".to_owned(), b"a\\b".to_vec()),
        ("decimal", "\"a\\059b\"".to_owned(), b"a;b".to_vec()),
        ("semicolon", "\"a;b\"".to_owned(), b"a;b".to_vec()),
        ("escaped-semicolon", "\"a\\;b\"".to_owned(), b"a;b".to_vec()),
        ("nought", "\"a\\000b\"".to_owned(), b"a\0b".to_vec()),
        ("no-utf8", "\"\\255\\254\\128\"".to_owned(), vec![255, 254, 128]),
        ("line-end", "\"a\\010b\"".to_owned(), b"a\nb".to_vec()),
        ("longest", format!("\"{long}\""), long.clone().into_bytes()),
        ("over", format!("\"{long}\" \"b\""), format!("{long}b").into_bytes()),
        ("three", format!("\"{long}\" \"{long}\" \"{long}\""), long.repeat(3).into_bytes()),
        ("lines", "( \"one\"\n\t\"two\" ) ; said".to_owned(), b"onetwo".to_vec()),
    ]
}

#[tokio::test]
async fn reads_values_as_zone_files_define_them() {
    let mut plan = InternetPlan::in_block(3);
    let servers = [Daemon::Nsd, Daemon::Bind, Daemon::Knot];
    for (name, written, _) in cases() {
        plan = plan.domain(&format!("{name}.com"), &servers, &format!("_deed TXT {written}"));
    }
    let internet = plan.start();
    let prober = internet.prober();
    for (name, written, meant) in cases() {
        let seen = prober.probe(question(&format!("{name}.com"))).await;
        assert_eq!(seen.servers.len(), servers.len(), "{name}: {seen:#?}");
        for server in &seen.servers {
            assert_eq!(
                values(server),
                std::slice::from_ref(&meant),
                "{name}: {written} at {}",
                server.server
            );
        }
    }
}
