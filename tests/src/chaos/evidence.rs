//! What is kept of a schedule after which the mirror was wrong.

use std::{
    fs,
    path::{Path, PathBuf},
};

use futures::TryStreamExt;
use sqlx::PgConnection;

use crate::paths::target_dir;

/// The tables that show what the indexer did last.
const TABLES: [&str; 6] = [
    "account",
    "account_version",
    "slot",
    "gap",
    "dead_letter",
    "feed",
];

/// Stores the logs in `logs` and the rows of the mirror in a folder of the target folder.
pub async fn keep(seed: u64, logs: &Path, mirror: &mut PgConnection) -> PathBuf {
    let folder = target_dir().join("faults").join(seed.to_string());
    fs::create_dir_all(&folder).unwrap();
    for entry in fs::read_dir(logs).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "log") {
            fs::copy(&path, folder.join(path.file_name().unwrap())).unwrap();
        }
    }
    for table in TABLES {
        let statement =
            format!("copy (select * from readable.{table}) to stdout (format csv, header)");
        let copied = mirror.copy_out_raw(&statement).await.unwrap();
        let rows: Vec<_> = copied.try_collect().await.unwrap();
        fs::write(folder.join(format!("{table}.csv")), rows.concat()).unwrap();
    }
    folder
}
