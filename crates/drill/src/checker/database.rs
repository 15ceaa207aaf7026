//! Reads the PostgreSQL database in one snapshot, with its own SQL.
use std::collections::BTreeMap;

use anyhow::Context as _;
use serde_json::Value;
use tokio_postgres::{Client, IsolationLevel, NoTls, Row, Transaction};

use super::evidence::{ClaimRow, DueRow, LogRow, Micros, OwnershipRow, Views};

/// A connection to the database.
pub struct DatabaseConnection(Client);

/// The log and the read models at one moment.
#[derive(Debug)]
pub struct Snapshot {
    /// The log.
    pub log: Vec<LogRow>,
    /// The read models.
    pub views: Views,
    /// When it was taken.
    pub taken_at: Micros,
}

impl DatabaseConnection {
    /// Connects. The connection's task ends with the client.
    pub async fn connect(url: &str) -> anyhow::Result<Self> {
        let (client, connection) =
            tokio_postgres::connect(url, NoTls).await.context("connecting to PostgreSQL")?;
        tokio::spawn(connection);
        Ok(Self(client))
    }

    /// Takes a snapshot.
    pub async fn snapshot(&mut self) -> anyhow::Result<Snapshot> {
        let snapshot =
            self.0.build_transaction().isolation_level(IsolationLevel::RepeatableRead).read_only(true);
        let tx = snapshot.start().await?;
        let taken_at =
            tx.query_one("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint", &[]).await?;
        let log = log(&tx).await.context("reading events")?;
        let views = views(&tx).await?;
        tx.rollback().await?;
        Ok(Snapshot { log, views, taken_at: taken_at.try_get(0)? })
    }

    /// The client, for other queries.
    pub fn client(&self) -> &Client {
        &self.0
    }
}

fn json(row: &Row, column: usize) -> anyhow::Result<Value> {
    Ok(serde_json::from_str(row.try_get(column)?)?)
}

async fn log(tx: &Transaction<'_>) -> anyhow::Result<Vec<LogRow>> {
    let rows = tx
        .query(
            "SELECT position, stream, version::bigint, kind, payload::text,
                    (extract(epoch FROM recorded_at) * 1000000)::bigint
             FROM events ORDER BY position",
            &[],
        )
        .await?;
    let read = |row: &Row| {
        Ok(LogRow {
            position: row.try_get(0)?,
            stream: row.try_get(1)?,
            version: row.try_get(2)?,
            kind: row.try_get(3)?,
            payload: json(row, 4)?,
            recorded_at: row.try_get(5)?,
        })
    };
    rows.iter().map(read).collect()
}

async fn views(tx: &Transaction<'_>) -> anyhow::Result<Views> {
    Ok(Views {
        ownerships: ownerships(tx).await.context("reading ownerships")?,
        claims: claims(tx).await.context("reading claims")?,
        due: due(tx).await.context("reading due_work")?,
        apps: pairs(tx, "SELECT stream, apps::text FROM apps").await.context("reading apps")?,
        checkpoints: pairs(tx, "SELECT name, position FROM checkpoints")
            .await
            .context("reading checkpoints")?,
    })
}

async fn ownerships(tx: &Transaction<'_>) -> anyhow::Result<BTreeMap<String, OwnershipRow>> {
    let rows = tx.query("SELECT stream, version::bigint, body::text FROM ownerships", &[]).await?;
    let read =
        |row: &Row| Ok((row.try_get(0)?, OwnershipRow { version: row.try_get(1)?, body: json(row, 2)? }));
    rows.iter().map(read).collect()
}

async fn claims(tx: &Transaction<'_>) -> anyhow::Result<BTreeMap<String, ClaimRow>> {
    let rows = tx
        .query(
            "SELECT claim_id::text, stream, version::bigint, workspace, app, name, scope::text, status::text,
                    (extract(epoch FROM initiated_at) * 1000000)::bigint, open::text IN ('true', '1'), body::text
             FROM claims",
            &[],
        )
        .await?;
    let read = |row: &Row| {
        let columns = ClaimRow {
            stream: row.try_get(1)?,
            version: row.try_get(2)?,
            workspace: row.try_get(3)?,
            app: row.try_get(4)?,
            name: row.try_get(5)?,
            scope: row.try_get(6)?,
            status: row.try_get(7)?,
            initiated_at: row.try_get(8)?,
            open: row.try_get(9)?,
            body: json(row, 10)?,
        };
        Ok((row.try_get(0)?, columns))
    };
    rows.iter().map(read).collect()
}

async fn due(tx: &Transaction<'_>) -> anyhow::Result<BTreeMap<(String, String, String, i64), DueRow>> {
    let rows = tx
        .query(
            "SELECT stream, claim_id::text, kind::text, attempt::bigint,
                    (extract(epoch FROM due_at) * 1000000)::bigint,
                    (extract(epoch FROM visible_at) * 1000000)::bigint
             FROM due_work",
            &[],
        )
        .await?;
    let read = |row: &Row| {
        let key = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?, row.try_get(3)?);
        Ok((key, DueRow { due_at: row.try_get(4)?, visible_at: row.try_get(5)? }))
    };
    rows.iter().map(read).collect()
}

async fn pairs<T>(tx: &Transaction<'_>, sql: &str) -> anyhow::Result<BTreeMap<String, T>>
where
    T: for<'a> tokio_postgres::types::FromSql<'a>,
{
    let rows = tx.query(sql, &[]).await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}
