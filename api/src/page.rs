//! Paged lists with keyset cursors: while items keep their place in the list, no page skips or
//! repeats an item.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{DeserializeOwned, Error as _},
};
use sha2::{Digest, Sha256};
use sqlx::{FromRow, PgConnection, Postgres, QueryBuilder, postgres::PgRow};
use utoipa::{
    IntoParams, ToSchema,
    openapi::path::{Parameter, ParameterIn},
};

use crate::{bytes::Key, event_id::EventId, problem::Problem, values::U64};

/// Query parameters of a list: filter and paging.
pub struct ListQuery<F = NoFilter> {
    pub filter: F,
    pub paging: Paging,
}

/// Filter of a list that returns all of its items.
#[derive(Deserialize, Serialize, IntoParams)]
pub struct NoFilter {}

/// Paging parameters: where the page starts, and its maximum size.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Paging {
    /// The `next_cursor` of the previous page; omit it for the first page.
    #[serde(default, deserialize_with = "cursor")]
    #[param(pattern = "^[A-Za-z0-9_-]+$")]
    pub cursor: Option<String>,
    #[serde(default)]
    #[param(inline, value_type = Option<Limit>)]
    limit: Limit,
}

/// Refuses a text that is no base64, which can't be a cursor.
fn cursor<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let cursor = String::deserialize(deserializer)?;
    let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    if cursor.is_empty() || !cursor.bytes().all(is_base64) {
        return Err(D::Error::custom(
            "it is none that the API returned; start again without `cursor`",
        ));
    }
    Ok(Some(cursor))
}

impl Paging {
    /// The first page of the maximum size.
    pub fn largest_page() -> Self {
        Self {
            cursor: None,
            limit: Limit::MAX,
        }
    }
}

/// Maximum number of items on a page: 1 to 500.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ToSchema)]
#[schema(value_type = u16, minimum = 1, maximum = 500, default = 50)]
pub struct Limit(u16);

impl Limit {
    const MAX: Self = Self(500);
}

impl Default for Limit {
    fn default() -> Self {
        Self(50)
    }
}

impl<'de> Deserialize<'de> for Limit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let limit = u16::deserialize(deserializer)?;
        if (1..=Self::MAX.0).contains(&limit) {
            Ok(Self(limit))
        } else {
            Err(D::Error::custom(format!(
                "`limit` is {limit}; give 1 to 500"
            )))
        }
    }
}

impl<F: IntoParams> IntoParams for ListQuery<F> {
    fn into_params(parameter_in: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let mut parameters = F::into_params(&parameter_in);
        parameters.extend(Paging::into_params(parameter_in));
        parameters
    }
}

impl<F: Serialize> ListQuery<F> {
    /// Pager of a list. `list` is the name of the list, with the key of its parent if the list has
    /// one. `epoch` is that of the mirror.
    pub fn pager(&self, list: impl Serialize, epoch: i64) -> Pager {
        Pager {
            fingerprint: fingerprint(&(list, &self.filter)),
            epoch,
            cursor: self.paging.cursor.clone(),
            limit: self.paging.limit,
        }
    }
}

/// Truncated SHA-256 of a list's name, parent and filter.
fn fingerprint(list: &impl Serialize) -> [u8; 8] {
    let list = serde_json::to_vec(list).expect("names and filters serialise to JSON");
    let hash = Sha256::digest(list);
    let mut fingerprint = [0; 8];
    fingerprint.copy_from_slice(&hash[..8]);
    fingerprint
}

/// One page of a list.
#[derive(Serialize, ToSchema)]
pub struct Page<T> {
    pub items: Vec<T>,
    /// Value of `cursor` that returns the next page, if the other parameters stay the same; null on
    /// the last page.
    pub next_cursor: Option<String>,
}

impl<T> Page<T> {
    pub fn map<U>(self, convert: impl Fn(T) -> U) -> Page<U> {
        Page {
            items: self.items.into_iter().map(convert).collect(),
            next_cursor: self.next_cursor,
        }
    }
}

/// Sort key of an item, including the tie-break. A cursor holds the sort key of the last item on
/// its page.
pub trait SortKey: Serialize + DeserializeOwned + Send {
    /// Appends the key's values, separated by commas.
    fn push(self, sql: &mut QueryBuilder<Postgres>);
}

/// An event's id.
impl SortKey for EventId {
    fn push(self, sql: &mut QueryBuilder<Postgres>) {
        sql.push_bind(self);
    }
}

/// A life, and the address as tie-break.
impl SortKey for (EventId, Key) {
    fn push(self, sql: &mut QueryBuilder<Postgres>) {
        let (life, address) = self;
        sql.push_bind(life).push(", ").push_bind(address);
    }
}

/// An address, and the life as tie-break.
impl SortKey for (Key, EventId) {
    fn push(self, sql: &mut QueryBuilder<Postgres>) {
        let (address, life) = self;
        sql.push_bind(address).push(", ").push_bind(life);
    }
}

/// A window's number, and the life as tie-break.
impl SortKey for (U64, EventId) {
    fn push(self, sql: &mut QueryBuilder<Postgres>) {
        let (window, life) = self;
        sql.push_bind(window).push(", ").push_bind(life);
    }
}

/// A time in unix seconds; address and life as tie-break.
impl SortKey for (i64, Key, EventId) {
    fn push(self, sql: &mut QueryBuilder<Postgres>) {
        let (time, address, life) = self;
        sql.push_bind(time).push(", ");
        sql.push_bind(address).push(", ").push_bind(life);
    }
}

/// Order of a list: the SQL expressions of its sort key, all in one direction.
#[derive(Clone, Copy)]
pub struct Order {
    columns: &'static [&'static str],
    comparison: &'static str,
    direction: &'static str,
}

impl Order {
    pub const fn ascending(columns: &'static [&'static str]) -> Self {
        Self {
            columns,
            comparison: ">",
            direction: "asc",
        }
    }

    pub const fn descending(columns: &'static [&'static str]) -> Self {
        Self {
            columns,
            comparison: "<",
            direction: "desc",
        }
    }

    /// Appends the condition that selects the items after `key`.
    fn push_after(self, sql: &mut QueryBuilder<Postgres>, key: impl SortKey) {
        let columns = self.columns.join(", ");
        sql.push(format!(" and ({columns}) {} (", self.comparison));
        key.push(sql);
        sql.push(")");
    }

    /// Appends the `order by` clause.
    fn push(self, sql: &mut QueryBuilder<Postgres>) {
        let columns = self.columns.iter();
        let columns: Vec<_> = columns
            .map(|column| format!("{column} {}", self.direction))
            .collect();
        sql.push(format!(" order by {}", columns.join(", ")));
    }
}

/// Reads one page of a list. Rejects cursors of other lists, of the same list with another filter,
/// and of another epoch of the mirror.
pub struct Pager {
    fingerprint: [u8; 8],
    epoch: i64,
    cursor: Option<String>,
    limit: Limit,
}

impl Pager {
    /// Maximum number of items on the page.
    pub fn limit(&self) -> usize {
        self.limit.0.into()
    }

    /// Sort key of the last item on the previous page; `None` on the first page.
    pub fn after<K: DeserializeOwned>(&self) -> Result<Option<K>, Problem> {
        let Some(cursor) = &self.cursor else {
            return Ok(None);
        };
        let bytes = URL_SAFE_NO_PAD
            .decode(cursor)
            .map_err(|_| Problem::BadCursor)?;
        let (fingerprint, key) = bytes.split_first_chunk::<8>().ok_or(Problem::BadCursor)?;
        if *fingerprint != self.fingerprint {
            return Err(Problem::CursorMismatch);
        }
        let (epoch, key): (i64, K) = serde_json::from_slice(key).map_err(|_| Problem::BadCursor)?;
        if epoch != self.epoch {
            return Err(Problem::CursorExpired("the mirror was rebuilt"));
        }
        Ok(Some(key))
    }

    /// Reads the page with `sql`, a query that ends in its `where` clause. `key` returns the sort
    /// key of an item, with the values of the columns in `order`.
    pub async fn fetch<T, K: SortKey>(
        &self,
        db: &mut PgConnection,
        mut sql: QueryBuilder<Postgres>,
        order: Order,
        key: impl Fn(&T) -> K + Send,
    ) -> Result<Page<T>, Problem>
    where
        T: for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        self.push_range::<K>(&mut sql, order)?;
        let rows = sql.build_query_as().fetch_all(db).await?;
        Ok(self.page(rows, key))
    }

    /// Reads the page of a list whose rows are in several parts. Each part is a range of an index in the
    /// list's order, and Postgres merges them. `conditions` select the parts. `select` appends a query of
    /// the items (alias `alias`) that ends in its `where` clause, with the condition of a part.
    ///
    /// The indexes of a list have the column of a filter with few values before the columns of its order. A
    /// list without that filter is merged from all values. Otherwise every combination of the other filters
    /// would need a second index, without the column.
    pub async fn fetch_merged<T, K: SortKey>(
        &self,
        db: &mut PgConnection,
        alias: &str,
        conditions: &[String],
        select: impl Fn(&mut QueryBuilder<Postgres>, &str),
        order: Order,
        key: impl Fn(&T) -> K + Send,
    ) -> Result<Page<T>, Problem>
    where
        T: for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        let mut sql = QueryBuilder::new(format!("select {alias}.* from ("));
        for (number, condition) in conditions.iter().enumerate() {
            sql.push(if number == 0 { "(" } else { ") union all (" });
            select(&mut sql, condition);
            self.push_range::<K>(&mut sql, order)?;
        }
        sql.push(format!(")) {alias} where true"));
        self.fetch(db, sql, order, key).await
    }

    /// Appends what selects the rows of the page to a query that ends in its `where` clause.
    pub fn push_range<K: SortKey>(
        &self,
        sql: &mut QueryBuilder<Postgres>,
        order: Order,
    ) -> Result<(), Problem> {
        if let Some(after) = self.after::<K>()? {
            order.push_after(sql, after);
        }
        order.push(sql);
        // One row more than the limit shows whether another page follows.
        sql.push(" limit ").push_bind(i64::from(self.limit.0) + 1);
        Ok(())
    }

    /// The page of `rows`, which are one more than the limit if another page follows. `key` returns the sort
    /// key of an item.
    pub fn page<T, K: Serialize>(&self, mut rows: Vec<T>, key: impl Fn(&T) -> K) -> Page<T> {
        let another_follows = self.limit() < rows.len();
        rows.truncate(self.limit());
        self.page_of(rows, another_follows, key)
    }

    /// The page with these items. `key` returns the sort key of an item.
    pub fn page_of<T, K: Serialize>(
        &self,
        items: Vec<T>,
        another_follows: bool,
        key: impl Fn(&T) -> K,
    ) -> Page<T> {
        let next_cursor = items
            .last()
            .filter(|_| another_follows)
            .map(|last| self.cursor(&key(last)));
        Page { items, next_cursor }
    }

    fn cursor(&self, key: &impl Serialize) -> String {
        let mut bytes = self.fingerprint.to_vec();
        let key = serde_json::to_vec(&(self.epoch, key));
        bytes.extend(key.expect("sort keys serialise to JSON"));
        URL_SAFE_NO_PAD.encode(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pager_in(epoch: i64, filter: &str, cursor: Option<String>) -> Pager {
        let query = ListQuery {
            filter: filter.to_owned(),
            paging: Paging {
                cursor,
                limit: Limit::default(),
            },
        };
        query.pager("models", epoch)
    }

    fn pager(filter: &str, cursor: Option<String>) -> Pager {
        pager_in(3, filter, cursor)
    }

    #[test]
    fn a_cursor_holds_the_sort_key_of_the_last_item() {
        let page = pager("a", None).page((0..=50).collect(), |&n| (n, "tie".to_owned()));
        assert_eq!(page.items.len(), 50);
        let key: Option<(i64, String)> = pager("a", page.next_cursor).after().unwrap();
        assert_eq!(key, Some((49, "tie".to_owned())));
    }

    #[test]
    fn the_last_page_has_no_cursor() {
        let page = pager("a", None).page((0..50).collect(), |&n: &i64| n);
        assert_eq!((page.items.len(), page.next_cursor), (50, None));
    }

    #[test]
    fn a_cursor_of_another_list_is_rejected() {
        let cursor = pager("a", None).cursor(&1);
        let other = pager("b", Some(cursor)).after::<i64>();
        assert!(matches!(other, Err(Problem::CursorMismatch)));
        for broken in ["", "!", "AAAA"] {
            let key = pager("a", Some(broken.to_owned())).after::<i64>();
            assert!(matches!(key, Err(Problem::BadCursor)), "{broken}");
        }
    }

    #[test]
    fn a_cursor_of_another_epoch_has_expired() {
        let cursor = pager_in(3, "a", None).cursor(&1);
        let same = pager_in(3, "a", Some(cursor.clone())).after::<i64>();
        assert_eq!(same.unwrap(), Some(1));
        let other = pager_in(4, "a", Some(cursor)).after::<i64>();
        assert!(matches!(other, Err(Problem::CursorExpired(_))));
    }

    #[test]
    fn a_page_starts_after_the_sort_key() {
        let order = Order::descending(&["m.life", "m.address"]);
        let mut sql = QueryBuilder::new("where true");
        order.push_after(&mut sql, (EventId(7), Key::default()));
        order.push(&mut sql);
        assert_eq!(
            sql.sql(),
            "where true and (m.life, m.address) < ($1, $2) \
             order by m.life desc, m.address desc"
        );
    }
}
