//! Query plans: every query uses an index, unless it reads all rows.
use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnection;

use crate::given::{Given, run};

/// Beginnings of the queries that read all rows: the digest, the list of keys, a reset.
const FULL_TABLE: [&str; 7] = [
    "SELECT stream, version, body::text AS \"body!\" FROM ownerships ORDER",
    "SELECT claim_id, stream, version, workspace",
    "SELECT stream, claim_id, kind, attempt, due_at FROM due_work ORDER",
    "SELECT stream, version, app_id, workspace",
    "FROM api_keys ORDER",
    "DELETE FROM ",
    "TRUNCATE ",
];
/// Tables of more than a few rows.
const LARGE: [&str; 7] = ["events", "ownerships", "claims", "apps", "due_work", "api_keys", "requests"];

/// Enough rows to make a scan of a table the more expensive plan.
const FILL: &str = "
    INSERT INTO events SELECT n, 'apex:n' || n, 1, 'k', 1, '{}', '{}', now() FROM generate_series(1, 20000) AS n;
    INSERT INTO ownerships SELECT 'apex:n' || n, 1, '{}' FROM generate_series(1, 20000) AS n;
    INSERT INTO claims SELECT 'clm_' || n, 'apex:n' || n, 1, 'ws_' || n % 200, NULL, 'n', 'apex', 'verifying', now(),
        n % 2 = 0, '{}' FROM generate_series(1, 20000) AS n;
    INSERT INTO apps SELECT 'app:n' || n, 1, 'app_' || n, 'ws_' || n % 200, now(), n % 2 = 0, '{}'
        FROM generate_series(1, 20000) AS n;
    INSERT INTO due_work SELECT 'apex:n' || n, 'clm_' || n, 'check', 1, now() + make_interval(secs => n),
        now() + make_interval(secs => n) FROM generate_series(1, 20000) AS n;
    INSERT INTO api_keys SELECT 'key_' || n, sha256(n::text::bytea), 'n', NULL, '[]', now(), NULL
        FROM generate_series(1, 20000) AS n;
    INSERT INTO requests SELECT 'key_' || n % 20, 'k' || n, sha256(n::text::bytea), now(), now(), NULL, NULL
        FROM generate_series(1, 20000) AS n;
    ANALYZE;
    SET plan_cache_mode = force_generic_plan";

/// Each query with its number of parameters.
fn queries() -> Vec<(String, usize)> {
    let folder = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.sqlx")).unwrap();
    let texts = folder.map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap());
    let queries = texts.map(|text| serde_json::from_str::<serde_json::Value>(&text).unwrap());
    let query = |q: serde_json::Value| {
        let parameters = q["describe"]["parameters"]["Left"].as_array().map_or(0, Vec::len);
        (q["query"].as_str().unwrap().to_owned(), parameters)
    };
    queries.map(query).collect()
}

fn reads_all_rows(query: &str) -> bool {
    let begins = FULL_TABLE
        .iter()
        .any(|beginning| query.starts_with(beginning) || query.contains("FROM api_keys ORDER"));
    begins && !(query.starts_with("DELETE") && query.contains("WHERE"))
}

async fn plan(planner: &mut PgConnection, query: &str, parameters: usize) -> String {
    let nothing = vec!["NULL"; parameters].join(", ");
    let arguments = if parameters == 0 { String::new() } else { format!("({nothing})") };
    sqlx::raw_sql(AssertSqlSafe(format!("PREPARE asked AS {query}"))).execute(&mut *planner).await.unwrap();
    let explain = AssertSqlSafe(format!("EXPLAIN EXECUTE asked{arguments}"));
    let steps: Vec<String> =
        sqlx::query_scalar(explain).persistent(false).fetch_all(&mut *planner).await.unwrap();
    run(planner, "DEALLOCATE asked").await.unwrap();
    steps.join("\n")
}

#[tokio::test]
async fn no_query_scans_a_whole_table() {
    let given = Given::empty().await.migrated().await;
    let mut planner = given.raw().await;
    sqlx::raw_sql(FILL).execute(&mut planner).await.unwrap();
    let queries = queries();
    assert!(queries.len() > 30, "the offline query data was not found");
    for (query, parameters) in queries.iter().filter(|(query, _)| !reads_all_rows(query)) {
        let plan = plan(&mut planner, query, *parameters).await;
        let scans_table = |step: &str| {
            let table = step.split_once("Seq Scan on ").and_then(|(_, rest)| rest.split(' ').next());
            table.is_some_and(|table| LARGE.contains(&table))
        };
        assert!(!plan.lines().any(scans_table), "{query}\n{plan}");
    }
}
