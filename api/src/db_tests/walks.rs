//! Lists are read to their ends while rows are written that move their items: each item of the first moment
//! comes exactly once.

use axum::http::StatusCode;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;
use sqlx::{
    ConnectOptions, PgConnection,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use super::{Api, key, lists::List};

/// Number of rows that have the same sort key.
const TIED: i32 = 600;
/// Rows that each write moves.
const MOVED: i64 = 20;

/// `TIED` copies of an open account of each type, at other addresses, and in the tables that lists are sorted by.
const COPIES: &str = "
    create function public.copy(n integer) returns jsonb language sql as
      $$ select jsonb_build_object('address', '\\x' || encode(key(60 + n / 250, n % 250), 'hex')) $$;
    insert into chain.model select (jsonb_populate_record(m, to_jsonb(m) || copy(n))).*
      from chain.model m, generate_series(1, 600) n where m.address = key(2, 1) and m.is_current;
    insert into chain.market select (jsonb_populate_record(m, to_jsonb(m) || copy(n))).*
      from chain.market m, generate_series(1, 600) n where m.address = key(4, 1) and m.is_current;
    insert into chain.market_volume select (jsonb_populate_record(m, to_jsonb(m) || copy(n))).*
      from chain.market_volume m, generate_series(1, 600) n where m.address = key(4, 1);
    insert into chain.vault select (jsonb_populate_record(m, to_jsonb(m) || copy(n))).*
      from chain.vault m, generate_series(1, 600) n where m.address = key(6, 1) and m.is_current;
    insert into chain.vault_assets select (jsonb_populate_record(m, to_jsonb(m) || copy(n))).*
      from chain.vault_assets m, generate_series(1, 600) n where m.address = key(6, 1);
    insert into chain.policy select (jsonb_populate_record(m, to_jsonb(m) || copy(n))).*
      from chain.policy m, generate_series(1, 600) n where m.address = key(10, 1) and m.is_current;
    insert into chain.position select (jsonb_populate_record(m, to_jsonb(m) || copy(n))).*
      from chain.position m, generate_series(1, 600) n where m.address = key(5, 1) and m.is_current;";

/// Moves random rows up or down as the indexer does, and creates a market: with the record `$1` of the feed.
const MOVE: [&str; 4] = [
    "with moved as (select address, life from chain.market_volume order by random() limit $2),
       past as (insert into chain.market_volume_past
         select v.*, $1 from chain.market_volume v join moved using (address, life) where v.valid_from < $1)
     update chain.market_volume v set rank = floor(random() * 9), valid_from = $1
     from moved where (v.address, v.life) = (moved.address, moved.life)",
    "with moved as (select address, life from chain.vault_assets order by random() limit $2),
       past as (insert into chain.vault_assets_past
         select v.*, $1 from chain.vault_assets v join moved using (address, life) where v.valid_from < $1)
     update chain.vault_assets v set rank = floor(random() * 9), valid_from = $1
     from moved where (v.address, v.life) = (moved.address, moved.life)",
    "with created as (insert into chain.market
         select (jsonb_populate_record(m, to_jsonb(m) || jsonb_build_object(
           'address', '\\x' || encode(sha256($1::text::bytea), 'hex'), 'life', id(3000 + $1, 0)))).*
         from chain.market m where m.address = key(4, 1) and m.is_current and $2 is not null
         returning *)
     insert into chain.market_volume
     select address, life, model, creator, status, close_ts, 4, $1 from created",
    "update chain.cursor set seq = $1 where $2 is not null",
];

#[sqlx::test(migrator = "crate::db_tests::SCHEMA", fixtures("mirror"))]
async fn each_item_of_a_list_comes_once_whatever_is_written(
    _: PgPoolOptions,
    options: PgConnectOptions,
) {
    // Given lists with 600 items that only their addresses tell apart
    let mut database = options.clone().connect().await.unwrap();
    sqlx::raw_sql(COPIES).execute(&mut database).await.unwrap();
    let api = Api::new(options);
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let owner = format!("/api/v1/positions?owner={}&", key(9, 6));
    let paths = [
        "/api/v1/models?",
        "/api/v1/markets?",
        "/api/v1/markets?sort=closing&",
        "/api/v1/markets?sort=volume&",
        "/api/v1/markets?sort=volume&state=open&",
        "/api/v1/insurance/vaults?",
        "/api/v1/insurance/vaults?sort=assets&",
        "/api/v1/insurance/policies?",
        owner.as_str(),
    ];
    for path in paths {
        for limit in [1, 7, 50] {
            let (before, _) = walk(&api, path, 500, async |_| {}).await;
            assert!(TIED as usize <= before.len(), "{path}: {}", before.len());

            // When the list is read while its items move, and others come
            let write = async |page: usize| {
                // A walk of many pages is long enough for a write after some of them.
                if limit == 1 && !page.is_multiple_of(20) && rng.random_ratio(9, 10) {
                    return;
                }
                move_items(&mut database).await;
            };
            let (items, pages) = walk(&api, path, limit, write).await;

            // Then each item that was there at first comes once, in the order of that moment
            let known = items.iter().filter(|item| before.contains(item));
            assert!(known.eq(&before), "{path} by {limit}: {pages} pages");
        }
    }
}

async fn move_items(database: &mut PgConnection) {
    let seq: i64 = sqlx::query_scalar("select seq + 1 from chain.cursor")
        .fetch_one(&mut *database)
        .await
        .unwrap();
    for sql in MOVE {
        sqlx::query(sql)
            .bind(seq)
            .bind(MOVED)
            .execute(&mut *database)
            .await
            .unwrap();
    }
}

/// Reads a list to its end. Returns address and life of its items, and the number of pages.
async fn walk(
    api: &Api,
    path: &str,
    limit: usize,
    mut after_page: impl AsyncFnMut(usize),
) -> (Vec<(String, String)>, usize) {
    let (mut items, mut pages) = (vec![], 0);
    let mut cursor = String::new();
    loop {
        let (status, body) = api.get(&format!("{path}limit={limit}{cursor}")).await;
        assert_eq!(
            status,
            StatusCode::OK,
            "{path} after {}: {body}",
            items.len()
        );
        let page = List::page(&body)["items"].as_array().unwrap();
        let text = |item: &Value, name: &str| item[name].as_str().unwrap().to_owned();
        items.extend(
            page.iter()
                .map(|item| (text(item, "key"), text(item, "life"))),
        );
        pages += 1;
        match List::next_cursor(&body) {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return (items, pages),
        }
        after_page(pages).await;
    }
}
