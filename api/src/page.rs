//! Lists by pages: keyset cursors, so that a page neither misses nor repeats what stays in place.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{DeserializeOwned, Error as _},
};
use sha2::{Digest, Sha256};
use sqlx::{Postgres, QueryBuilder};
use utoipa::ToSchema;

use crate::problem::Problem;

/// How many items a page has at most: 1 to 500.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ToSchema)]
#[schema(value_type = u16, minimum = 1, maximum = 500, default = 50)]
pub struct Limit(u16);

impl Limit {
    pub const MAX: Self = Self(500);

    /// One row more than the page tells whether another page follows.
    pub fn rows(self) -> i64 {
        i64::from(self.0) + 1
    }
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
            Err(D::Error::custom("`limit` is 1 to 500"))
        }
    }
}

/// A part of a list.
#[derive(Serialize, ToSchema)]
pub struct Page<T> {
    pub items: Vec<T>,
    /// Give it as `cursor`, beside the same parameters, for the next page; null at the end.
    pub next_cursor: Option<String>,
}

impl<T> Page<T> {
    /// Of the [`Limit::rows`] that were read. `key` is what the list is sorted by, to the tie-break.
    pub fn new<K: Serialize>(
        mut items: Vec<T>,
        limit: Limit,
        list: &List,
        key: impl Fn(&T) -> K,
    ) -> Self {
        let full = usize::from(limit.0) < items.len();
        items.truncate(usize::from(limit.0));
        let next_cursor = items
            .last()
            .filter(|_| full)
            .map(|last| list.cursor(&key(last)));
        Self { items, next_cursor }
    }
}

/// Which list it is, by its name and parameters: a cursor belongs to one.
pub struct List([u8; 8]);

impl List {
    /// `parameters` with `cursor` and `limit` [`unnamed`].
    pub fn new(name: &str, parameters: &impl Serialize) -> Self {
        let parameters = serde_json::to_vec(parameters).unwrap_or_default();
        let hash = Sha256::new()
            .chain_update(name)
            .chain_update([0])
            .chain_update(parameters)
            .finalize();
        let mut tag = [0; 8];
        tag.copy_from_slice(&hash[..8]);
        Self(tag)
    }

    fn cursor(&self, key: &impl Serialize) -> String {
        let mut bytes = self.0.to_vec();
        bytes.extend(serde_json::to_vec(key).unwrap_or_default());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// What the last page ended with.
    pub fn key<K: DeserializeOwned>(&self, cursor: Option<&str>) -> Result<Option<K>, Problem> {
        let Some(cursor) = cursor else {
            return Ok(None);
        };
        let bytes = URL_SAFE_NO_PAD
            .decode(cursor)
            .map_err(|_| Problem::BadCursor)?;
        let (tag, key) = bytes.split_first_chunk::<8>().ok_or(Problem::BadCursor)?;
        if *tag != self.0 {
            return Err(Problem::CursorMismatch);
        }
        serde_json::from_slice(key)
            .map(Some)
            .map_err(|_| Problem::BadCursor)
    }
}

/// Where a page of a list that is sorted by a number ended: the number and the address.
pub type End = (String, String);

#[derive(Clone, Copy)]
pub enum Order {
    Ascending,
    Descending,
}

/// Has a statement give a page of rows `m` after `end`, sorted by `sort_key`, a number, and the
/// address.
pub fn push_after(
    sql: &mut QueryBuilder<'_, Postgres>,
    end: Option<End>,
    order: Order,
    limit: Limit,
) {
    let (after, order) = match order {
        Order::Ascending => (">", "asc"),
        Order::Descending => ("<", "desc"),
    };
    if let Some((key, address)) = end {
        sql.push(format!(" and (m.sort_key, m.address) {after} ("))
            .push_bind(key)
            .push("::numeric, ")
            .push_bind(address)
            .push(")");
    }
    sql.push(format!(
        " order by m.sort_key {order}, m.address {order} limit "
    ))
    .push_bind(limit.rows());
}

/// Keeps a parameter out of what names a list.
pub fn unnamed<T, S: Serializer>(_: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_unit()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_leads_to_where_its_page_ended() {
        let list = List::new("models", &[("owner", "a")]);
        let page = Page::new((0..=50).collect(), Limit::default(), &list, |&n| (n, "tie"));
        assert_eq!(page.items.len(), 50);
        let key: Option<(i32, String)> = list.key(page.next_cursor.as_deref()).unwrap();
        assert_eq!(key, Some((49, "tie".to_owned())));
    }

    #[test]
    fn the_last_page_has_no_cursor() {
        let list = List::new("models", &());
        let page = Page::new((0..50).collect(), Limit::default(), &list, |&n: &i32| n);
        assert_eq!((page.items.len(), page.next_cursor), (50, None));
    }

    #[test]
    fn a_cursor_of_another_list_is_refused() {
        let cursor = List::new("models", &"a").cursor(&1);
        let other = List::new("models", &"b").key::<i32>(Some(&cursor));
        assert!(matches!(other, Err(Problem::CursorMismatch)));
        for broken in ["", "!", "AAAA"] {
            let key = List::new("models", &"a").key::<i32>(Some(broken));
            assert!(matches!(key, Err(Problem::BadCursor)), "{broken}");
        }
    }
}
