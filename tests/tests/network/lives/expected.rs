//! What the mirror must show after the scenes, and the checks that Postgres and the API show it.

use driftshield_sdk::Address;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, FromRow, PgPool};

use super::stage::{Api, Sent, Stage};

/// Name of an event, and its number among the events of one life of an account.
pub type Numbered = (&'static str, i64);

pub const CREATED: Numbered = ("MarketCreated", 1);
pub const CANCELLED: Numbered = ("MarketCancelled", 2);

/// A life of a market.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct Life {
    question: String,
    status: String,
    began_slot: Option<i64>,
    ended_slot: Option<i64>,
}

impl Life {
    /// A market that goes on.
    pub fn open(question: &str, created: &Sent) -> Self {
        Self {
            question: question.to_owned(),
            status: "open".to_owned(),
            began_slot: Some(created.slot as i64),
            ended_slot: None,
        }
    }

    /// The same market after its end.
    pub fn ended(self, status: &str, by: &Sent) -> Self {
        Self {
            status: status.to_owned(),
            ended_slot: Some(by.slot as i64),
            ..self
        }
    }

    pub fn cancelled(question: &str, created: &Sent, cancelled: &Sent) -> Self {
        Self::open(question, created).ended("cancelled", cancelled)
    }
}

/// A life of an account that can be paid out: a position in a market with three outcomes, a withdrawal
/// request or a policy.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct PaidLife {
    status: String,
    /// Stakes of a position, in base units; none for other accounts.
    stakes: Vec<String>,
    /// In base units.
    payout: Option<String>,
    began_slot: i64,
    ended_slot: Option<i64>,
}

impl PaidLife {
    pub fn position(stakes: [u64; 3], began: &Sent) -> Self {
        Self {
            status: "open".to_owned(),
            stakes: stakes.map(|stake| stake.to_string()).to_vec(),
            payout: None,
            began_slot: began.slot as i64,
            ended_slot: None,
        }
    }

    pub fn request(began: &Sent) -> Self {
        Self {
            status: "open".to_owned(),
            stakes: vec![],
            payout: Some("0".to_owned()),
            began_slot: began.slot as i64,
            ended_slot: None,
        }
    }

    pub fn policy(bought: &Sent) -> Self {
        Self {
            status: "pending".to_owned(),
            ..Self::request(bought)
        }
    }

    /// The same account after its end.
    pub fn ended(self, status: &str, by: &Sent) -> Self {
        Self {
            status: status.to_owned(),
            ended_slot: Some(by.slot as i64),
            ..self
        }
    }

    /// The same account after it was paid.
    pub fn paid(self, amount: u64) -> Self {
        Self {
            payout: Some(amount.to_string()),
            ..self
        }
    }
}

/// Where the API lists an account that can be paid out.
#[derive(Clone, Copy)]
pub enum Listed {
    /// A position, under its market.
    Market(Address),
    /// A withdrawal request, under its vault.
    Vault(Address),
    /// A policy, under its vault.
    Cover(Address),
}

/// An address at which accounts were created and closed.
struct Account<L> {
    scene: &'static str,
    address: Address,
    /// Oldest first.
    lives: Vec<L>,
    /// Oldest first.
    events: Vec<Numbered>,
}

/// Everything that the mirror must show.
#[derive(Default)]
pub struct Expected {
    markets: Vec<Account<Life>>,
    paid: Vec<(Listed, Account<PaidLife>)>,
    transactions: Vec<(&'static str, Sent, Vec<&'static str>)>,
}

impl Expected {
    pub fn market(
        &mut self,
        scene: &'static str,
        address: Address,
        lives: &[Life],
        events: &[Numbered],
    ) {
        self.markets.push(Account {
            scene,
            address,
            lives: lives.to_vec(),
            events: events.to_vec(),
        });
    }

    pub fn paid(
        &mut self,
        scene: &'static str,
        address: Address,
        listed: Listed,
        lives: &[PaidLife],
        events: &[Numbered],
    ) {
        let account = Account {
            scene,
            address,
            lives: lives.to_vec(),
            events: events.to_vec(),
        };
        self.paid.push((listed, account));
    }

    /// The transaction has exactly these events of the program, in this order.
    pub fn transaction(&mut self, scene: &'static str, sent: Sent, events: &[&'static str]) {
        self.transactions.push((scene, sent, events.to_vec()));
    }

    /// Asserts that Postgres and the API show what is expected. The mirror has caught up.
    pub async fn check(&self, stage: &Stage, api: &Api) {
        let pool = &stage.pool;
        for market in &self.markets {
            market.check_events(pool).await;
            let lives = market.check_lives(pool).await;
            market.check_api(api, &lives).await;
        }
        for (listed, account) in &self.paid {
            account.check_events(pool).await;
            let lives = account.check_lives(pool, *listed).await;
            account.check_api(api, *listed, &lives).await;
        }
        for (scene, sent, events) in &self.transactions {
            let found: Vec<String> =
                sqlx::query_scalar("select name from chain.event where signature = $1 order by id")
                    .bind(sent.signature.as_ref())
                    .fetch_all(pool)
                    .await
                    .unwrap();
            assert_eq!(found, *events, "{scene}");
        }
    }
}

impl<L> Account<L> {
    /// Checks the account's events, and that the feed has each of them once.
    async fn check_events(&self, pool: &PgPool) {
        let found: Vec<(String, i64, i64)> = sqlx::query_as(
            "select e.name, a.number::bigint,
                    (select count(*) from chain.feed f where f.event_id = e.id)
             from chain.event_account a join chain.event e on e.id = a.event_id
             where a.account = $1 order by e.id",
        )
        .bind(self.address.as_ref())
        .fetch_all(pool)
        .await
        .unwrap();
        let expected: Vec<_> = self
            .events
            .iter()
            .map(|(name, number)| ((*name).to_owned(), *number, 1))
            .collect();
        assert_eq!(found, expected, "{}", self.scene);
    }

    /// Checks which of the lives are current and closed. Returns their ids.
    async fn check_accounts(
        &self,
        pool: &PgPool,
        slots: &[(Option<i64>, Option<i64>)],
    ) -> Vec<i64> {
        let found: Vec<(i64, bool, Option<i64>)> = sqlx::query_as(
            "select life, is_current, closed_slot from chain.account
             where address = $1 order by life",
        )
        .bind(self.address.as_ref())
        .fetch_all(pool)
        .await
        .unwrap();
        let scene = self.scene;
        assert_eq!(found.len(), slots.len(), "{scene}: {found:?}");
        for (index, ((life, is_current, closed), (began, ended))) in
            found.iter().zip(slots).enumerate()
        {
            assert_eq!(life >> 31, began.unwrap_or(0), "{scene}");
            assert_eq!(closed, ended, "{scene}");
            assert_eq!(*is_current, index + 1 == slots.len(), "{scene}: {found:?}");
        }
        found.into_iter().map(|(life, ..)| life).collect()
    }
}

impl Account<Life> {
    /// Checks the rows, and returns the lives and their ids.
    async fn check_lives(&self, pool: &PgPool) -> Vec<(i64, Life)> {
        let found: Vec<Life> = sqlx::query_as(
            "select question, status, began_slot, ended_slot from chain.market
             where address = $1 order by life",
        )
        .bind(self.address.as_ref())
        .fetch_all(pool)
        .await
        .unwrap();
        assert_eq!(found, self.lives, "{}", self.scene);
        let slots = found.iter().map(|life| (life.began_slot, life.ended_slot));
        let ids = self.check_accounts(pool, &slots.collect::<Vec<_>>()).await;
        ids.into_iter().zip(found).collect()
    }

    /// Checks the current market, every earlier one, and the history.
    async fn check_api(&self, api: &Api, lives: &[(i64, Life)]) {
        let (scene, path) = (self.scene, format!("markets/{}", self.address));
        let current = api.get(&path).await;
        assert_eq!(current.is_some(), !lives.is_empty(), "{scene}: {current:?}");
        let Some(current) = current else { return };
        let fields = |market: &Value| {
            json!([
                market["life"],
                market["question"],
                market["state"],
                market["created_slot"],
                market["closed_slot"],
                market["closed"]
            ])
        };
        for (index, (id, life)) in lives.iter().enumerate() {
            let by_life = api.get(&format!("{path}?life={id}")).await.unwrap();
            let expected = json!([
                id.to_string(),
                life.question,
                life.status,
                life.began_slot,
                life.ended_slot,
                life.ended_slot.is_some()
            ]);
            assert_eq!(fields(&by_life), expected, "{scene}");
            if index + 1 == lives.len() {
                assert_eq!(fields(&current), expected, "{scene}");
            }
        }
        let history = api.get(&format!("{path}/history")).await.unwrap();
        let items = history["items"].as_array().unwrap().iter();
        let names: Vec<_> = items.rev().map(|item| &item["name"]).collect();
        let expected: Vec<_> = self.events.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, expected, "{scene}");
    }
}

impl Account<PaidLife> {
    /// Checks the rows, and returns the ids of the lives.
    async fn check_lives(&self, pool: &PgPool, listed: Listed) -> Vec<i64> {
        let (table, stakes, payout) = match listed {
            Listed::Market(_) => ("position", "stakes[1:3]::text[]", "payout"),
            Listed::Vault(_) => ("withdraw_request", "'{}'::text[]", "payout"),
            Listed::Cover(_) => ("policy", "'{}'::text[]", "paid"),
        };
        let found: Vec<PaidLife> = sqlx::query_as(AssertSqlSafe(format!(
            "select status, {stakes} as stakes, {payout}::text as payout, began_slot, ended_slot
             from chain.{table} where address = $1 order by life"
        )))
        .bind(self.address.as_ref())
        .fetch_all(pool)
        .await
        .unwrap();
        assert_eq!(found, self.lives, "{}", self.scene);
        let slots = self
            .lives
            .iter()
            .map(|life| (Some(life.began_slot), life.ended_slot));
        self.check_accounts(pool, &slots.collect::<Vec<_>>()).await
    }

    /// Checks every life in the API's list.
    async fn check_api(&self, api: &Api, listed: Listed, ids: &[i64]) {
        let scene = self.scene;
        let path = match listed {
            Listed::Market(market) => positions_path(api, market, self.lives[0].began_slot).await,
            Listed::Vault(vault) => format!("insurance/withdrawals?vault={vault}"),
            Listed::Cover(vault) => format!("insurance/policies?vault={vault}&limit=500"),
        };
        let page = api.get(&path).await.unwrap();
        let key = self.address.to_string();
        for (id, life) in ids.iter().zip(&self.lives) {
            let id = id.to_string();
            let mut items = page["items"].as_array().unwrap().iter();
            let item = items.find(|item| item["key"] == key && item["life"] == id);
            let item = item.unwrap_or_else(|| panic!("{scene}: {id} is not in {page}"));
            assert_eq!(item["closed_slot"], json!(life.ended_slot), "{scene}");
            assert_eq!(item["closed"], life.ended_slot.is_some(), "{scene}");
            let paid = item["paid"]["raw"].as_str();
            assert_eq!(paid, life.payout.as_deref(), "{scene}");
            match listed {
                Listed::Market(_) => {
                    let stakes = item["stakes"].as_array().unwrap().iter();
                    let stakes: Vec<_> = stakes.map(|stake| &stake["raw"]).collect();
                    assert_eq!(stakes, life.stakes.iter().collect::<Vec<_>>(), "{scene}");
                    assert_eq!(item["sold_out"], life.status == "sold", "{scene}");
                }
                Listed::Vault(_) | Listed::Cover(_) => {
                    assert_eq!(item["state"], life.status, "{scene}");
                }
            }
        }
        let of_account = |item: &&Value| item["key"] == key;
        let items = page["items"].as_array().unwrap().iter();
        assert_eq!(items.filter(of_account).count(), ids.len(), "{scene}");
    }
}

/// The positions of that life of a market in which a slot is.
async fn positions_path(api: &Api, market: Address, slot: i64) -> String {
    let history = api.get(&format!("markets/{market}/history")).await;
    let history = history.unwrap();
    let mut events = history["items"].as_array().unwrap().iter();
    let created = events
        .find(|event| event["name"] == "MarketCreated" && event["slot"].as_i64().unwrap() <= slot);
    let life = created.unwrap()["id"].as_str().unwrap();
    format!("markets/{market}/positions?life={life}")
}
