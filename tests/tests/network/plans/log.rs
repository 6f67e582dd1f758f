//! Plans in the log of Postgres, written by its module `auto_explain`.

use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
    path::Path,
};

use serde_json::Value;
use sqlx::{AssertSqlSafe, PgPool};

use super::plan::Plan;

pub struct PlanLog {
    file: File,
    /// Number of bytes that were read.
    position: u64,
}

impl PlanLog {
    /// Logs the plans of all queries of later connections to the database.
    pub async fn begin(pool: &PgPool, log: &Path) -> Self {
        for setting in [
            "session_preload_libraries = 'auto_explain'",
            "auto_explain.log_min_duration = 0",
            "auto_explain.log_analyze = on",
            "auto_explain.log_timing = off",
            "auto_explain.log_format = json",
            "auto_explain.log_nested_statements = on",
        ] {
            let sql = format!("alter database driftshield set {setting}");
            sqlx::query(AssertSqlSafe(sql)).execute(pool).await.unwrap();
        }
        let mut file = File::open(log).unwrap();
        let position = file.seek(SeekFrom::End(0)).unwrap();
        Self { file, position }
    }

    /// The plans that were logged since the last call.
    pub fn new_plans(&mut self) -> Vec<Plan> {
        let mut bytes = vec![];
        self.file.seek(SeekFrom::Start(self.position)).unwrap();
        self.file.read_to_end(&mut bytes).unwrap();
        let mut plans = vec![];
        let mut lines = bytes.split_inclusive(|byte| *byte == b'\n').peekable();
        while let Some(line) = lines.next() {
            let mut length = line.len();
            let mut json = vec![];
            // The lines of a message after its first one begin with a tab.
            while let Some(line) = lines.next_if(|line| line.starts_with(b"\t")) {
                length += line.len();
                json.extend(line);
            }
            if line.ends_with(b"  plan:\n") {
                // The last one may be incomplete.
                let Ok(plan) = serde_json::from_slice::<Value>(&json) else {
                    break;
                };
                plans.push(Plan {
                    query: plan["Query Text"].as_str().unwrap_or_default().to_owned(),
                    root: plan["Plan"].clone(),
                });
            }
            self.position += length as u64;
        }
        plans
    }
}
