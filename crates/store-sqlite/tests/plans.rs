//! Query plans: every query uses an index, unless it reads all rows.
#![expect(clippy::unwrap_used, reason = "a failed test panics")]
use deed_store_sqlite::{SqliteConfig, SqliteStore};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Row};

const TABLES: [&str; 9] =
    ["events", "leases", "checkpoints", "ownerships", "claims", "apps", "due_work", "api_keys", "requests"];
/// Beginnings of the queries that read all rows: the digest, the list of keys, a count of all due work, a reset.
const FULL_TABLE: [&str; 4] = [
    "SELECT json_array(",
    "SELECT id, name, workspace, scopes, created_at, revoked_at FROM api_keys ORDER",
    "SELECT (SELECT count(*) FROM due_work)",
    "DELETE FROM ",
];

fn queries() -> Vec<String> {
    let folder = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.sqlx")).unwrap();
    let texts = folder.map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap());
    let queries = texts.map(|text| serde_json::from_str::<serde_json::Value>(&text).unwrap());
    queries.map(|query| query["query"].as_str().unwrap().to_owned()).collect()
}

fn reads_all_rows(query: &str) -> bool {
    let begins = FULL_TABLE.iter().any(|beginning| query.starts_with(beginning));
    begins && !(query.starts_with("DELETE") && query.contains("WHERE"))
}

/// Whether a step of a plan scans a whole table; JSON arrays are always scanned.
fn scans_table(step: &str) -> bool {
    let table = step.strip_prefix("SCAN ").and_then(|rest| rest.split(' ').next());
    table.is_some_and(|table| TABLES.contains(&table))
}

#[tokio::test]
async fn no_query_scans_a_whole_table() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deed.db");
    let _store = SqliteStore::open(SqliteConfig::new(&path)).await.unwrap();
    let mut planner = SqliteConnectOptions::new().filename(&path).connect().await.unwrap();
    let queries = queries();
    assert!(queries.len() > 30, "the offline query data was not found");
    for query in queries.iter().filter(|query| !reads_all_rows(query)) {
        let plan = sqlx::query(AssertSqlSafe(format!("EXPLAIN QUERY PLAN {query}")));
        let plan = plan.fetch_all(&mut planner).await.unwrap();
        let steps: Vec<String> = plan.iter().map(|row| row.get("detail")).collect();
        assert!(!steps.iter().any(|step| scans_table(step)), "{query}\n{steps:#?}");
        assert!(!steps.iter().any(|step| step.contains("ORDER BY")), "sorts: {query}\n{steps:#?}");
    }
}
