//! Vaults, policies and quotes of the API on a running chain.

use std::{collections::BTreeMap, time::Duration};

use driftshield_sdk::{
    Address, Collateral, DepositLimits, Instruction, ListingTerms, Model, Policy, PolicyTerms,
    TokenProgram, Vault, address, error, instruction,
    rpc::{Client, Error, Keypair, Signer},
};
use driftshield_tests::{
    insurance::brief_vault_terms,
    network::{Service, fixture::Fixture, problem_kind, wait_for},
    world::TOKEN,
};
use reqwest::StatusCode;
use serde_json::{Value, json};
use sqlx::types::chrono::{DateTime, Utc};

use crate::{api_fixture::ApiFixture, mirror, socket::record_messages, tampering};

const CAPITAL: u64 = 10_000 * TOKEN;
const COVER: u64 = 100 * TOKEN;
/// Number of final windows that a model needs before cover is sold on it.
const MIN_HISTORY: u64 = 8;
/// A window that begins ten minutes after the first one, and the index of the market on it.
const LATE_WINDOW: u64 = 300;
const LATE_MARKET: usize = 2;
/// Number of seconds for which quotes are fetched before a purchase.
const QUOTED_SECS: i64 = 8;

/// A vault that lists the fixture's model, with capital of one liquidity provider.
struct Insurance<'a> {
    api: &'a ApiFixture,
    vault: Address,
    manager: &'a Keypair,
    provider: &'a Keypair,
    holder: &'a Keypair,
}

impl<'a> Insurance<'a> {
    async fn open(api: &'a ApiFixture) -> Self {
        let fixture = &api.fixture;
        let [manager, provider, holder, ..] = &fixture.bettors[..] else {
            panic!("the fixture has fewer than three bettors");
        };
        let insurance = Self {
            api,
            vault: address::vault(&manager.pubkey(), 1),
            manager,
            provider,
            holder,
        };
        let client = insurance.client();
        let model: Model = client.get(&fixture.model).await.unwrap();
        let collateral = address::collateral(&model.bond_mint);
        let collateral: Collateral = client.get(&collateral).await.unwrap();
        let terms = brief_vault_terms(CAPITAL);
        let listing = ListingTerms {
            model_version: model.version,
            cap: CAPITAL / 2,
            lowest_trigger: model.noise_floor,
            max_persistence: 1,
        };
        let (key, vault) = (manager.pubkey(), insurance.vault);
        let create = instruction::create_vault(key, 1, &collateral, 60, 300, terms);
        insurance.send(manager, create).await.unwrap();
        let list = instruction::list_model(key, vault, fixture.model, listing);
        insurance.send(manager, list).await.unwrap();

        let (key, state) = (provider.pubkey(), insurance.vault_state().await);
        let shares = instruction::create_share_account(&key, &key, &state);
        insurance.send(provider, shares).await.unwrap();
        let source = insurance.tokens_of(provider, &state);
        let deposit = instruction::deposit(
            key,
            vault,
            &state,
            source,
            CAPITAL,
            DepositLimits::as_read(&state, 0),
        );
        insurance.send(provider, deposit).await.unwrap();
        insurance
    }

    fn client(&self) -> &Client {
        &self.api.fixture.network.client
    }

    /// The vault on chain.
    async fn vault_state(&self) -> Vault {
        self.client().get(&self.vault).await.unwrap()
    }

    fn tokens_of(&self, owner: &Keypair, vault: &Vault) -> Address {
        address::token_account(&owner.pubkey(), &vault.mint, TokenProgram::SplToken)
    }

    async fn send(&self, signer: &Keypair, instruction: Instruction) -> Result<(), Error> {
        let sent = self.client().send(&[instruction], &[signer]).await;
        sent.map(drop)
    }

    /// Requests a path of the insurance routes from a mirror that has reached the current slot.
    async fn get(&self, path: &str) -> Value {
        let slot = self.api.current_slot().await;
        let separator = if path.contains('?') { '&' } else { '?' };
        self.api
            .get_ok(&format!(
                "/api/v1/insurance/{path}{separator}min_slot={slot}"
            ))
            .await
    }

    /// Requests a quote for a policy on the fixture's model from a mirror that has reached `slot`.
    /// `terms` overrides or adds fields of the request.
    async fn quote(&self, slot: u64, terms: Value) -> (StatusCode, Value) {
        let mut request = json!({
            "vault": self.vault.to_string(),
            "model": self.api.fixture.model.to_string(),
            "cover": COVER.to_string(),
            "trigger": "10000000",
            "windows": "100",
        });
        for (name, value) in terms.as_object().unwrap() {
            request[name] = value.clone();
        }
        let url = format!("{}/api/v1/insurance/quote?min_slot={slot}", self.api.url);
        let request = reqwest::Client::new().post(url).json(&request);
        let response = request.send().await.unwrap();
        assert!(!response.headers().contains_key("etag"));
        (response.status(), response.json().await.unwrap())
    }

    /// Waits until the model has enough history for cover, then stops the crank. Returns a trigger
    /// above all drift so far.
    async fn wait_for_history(&self, crank: &mut Service) -> u64 {
        let model = || self.client().get::<Model>(&self.api.fixture.model);
        wait_for("final windows", Duration::from_secs(180), async || {
            let final_count = model().await.ok()?.final_count;
            (MIN_HISTORY <= final_count).then_some(())
        })
        .await;
        assert!(crank.stop(), "{}", crank.output());
        // The crank's last transactions land within a slot. After that, only time changes the price
        // of a policy.
        let slot = self.api.current_slot().await + 2;
        let path = format!("/api/v1/models/{}?min_slot={slot}", self.api.fixture.model);
        wait_for("the mirror", Duration::from_secs(10), async || {
            let (status, _) = self.api.get(&path).await;
            (status == StatusCode::OK).then_some(())
        })
        .await;
        let model = model().await.unwrap();
        2 * model.max_value.max(model.latest).max(model.noise_floor)
    }

    /// Requests a quote that the program would refuse. Returns the name of the program's error.
    async fn quote_error(&self, terms: Value) -> String {
        let slot = self.api.current_slot().await;
        let (status, problem) = self.quote(slot, terms).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{problem}");
        assert_eq!(problem_kind(&problem), "program-error");
        let reported = &problem["program_error"];
        let number = reported["number"].as_u64().unwrap();
        let known = error::by_code(number.try_into().unwrap()).unwrap();
        assert_eq!(reported["message"], known.message);
        reported["name"].as_str().unwrap().to_owned()
    }

    /// Fetches quotes for the next [`QUOTED_SECS`] seconds and buys the policy in one of them.
    /// Returns the policy and the quote for the second of its purchase.
    async fn buy(&self, trigger: u64) -> (Policy, Value) {
        let client = self.client();
        let (holder, vault) = (self.holder.pubkey(), self.vault_state().await);
        let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
        loop {
            let slot = self.api.current_slot().await;
            let now = client.unix_timestamp().await.unwrap();
            let mut quotes = BTreeMap::new();
            for time in now..now + QUOTED_SECS {
                let rfc3339 = DateTime::from_timestamp(time, 0).unwrap().to_rfc3339();
                let terms = json!({
                    "trigger": trigger.to_string(),
                    "exhaustion": (2 * trigger).to_string(),
                    "time": rfc3339,
                });
                let (status, quote) = self.quote(slot, terms).await;
                // The API refuses a time before its mirror's, which may be ahead of the node's.
                if status == StatusCode::OK {
                    quotes.insert(time, quote);
                } else {
                    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{quote}");
                }
            }
            let now = client.unix_timestamp().await.unwrap();
            let Some(quote) = quotes.get(&now) else {
                continue;
            };
            let number = |name: &str| quote[name].as_str().unwrap().parse().unwrap();
            let terms = PolicyTerms {
                model_version: quote["model_version"].as_u64().unwrap().try_into().unwrap(),
                cover: COVER,
                trigger,
                exhaustion: 2 * trigger,
                persistence: quote["persistence"].as_u64().unwrap().try_into().unwrap(),
                first_window: number("first_window"),
                windows: 100,
                max_premium: u64::MAX,
                max_cancel_fee_bps: quote["cancel_fee_bps"]
                    .as_u64()
                    .unwrap()
                    .try_into()
                    .unwrap(),
                auto_renew: false,
            };
            let source = self.tokens_of(self.holder, &vault);
            let model = self.api.fixture.model;
            let buy = instruction::buy_policy(holder, 1, self.vault, &vault, model, source, terms);
            match self.send(self.holder, buy).await {
                Ok(()) => {
                    let policy = address::policy(&self.vault, &holder, 1);
                    let policy: Policy = client.get(&policy).await.unwrap();
                    let quote = quotes
                        .remove(&policy.pending.start)
                        .expect("a quote for the second of the purchase");
                    return (policy, quote);
                }
                // The quoted first window has begun in the meantime: retry.
                Err(Error::TransactionFailed(failure))
                    if tokio::time::Instant::now() < deadline =>
                {
                    let known = failure.code().and_then(error::by_code);
                    assert_eq!(known.unwrap().name, "WindowsBegan", "{failure}");
                }
                Err(error) => panic!("{error}"),
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purchase_costs_what_its_quote_says() {
    // Given a vault that lists a model without history
    let mut api = ApiFixture::start().await;
    offer_a_stake(&mut api.fixture).await;
    let mut crank = api.fixture.start_crank("crank");
    let insurance = Insurance::open(&api).await;
    check_new_vault(&insurance).await;

    // When the model has history and somebody buys cover
    let trigger = insurance.wait_for_history(&mut crank).await;
    let too_much = json!({ "cover": CAPITAL.to_string(), "trigger": trigger.to_string() });
    assert_eq!(insurance.quote_error(too_much).await, "ExposureFull");
    let key = address::policy(&insurance.vault, &insurance.holder.pubkey(), 1).to_string();
    let policy_channel = format!("policy:{key}");
    let vault_channel = format!("vault:{}", insurance.vault);
    let channels = vec![policy_channel.clone(), vault_channel.clone()];
    let messages = record_messages(&api.url, channels);
    wait_for("the snapshots", Duration::from_secs(10), async || {
        let messages = messages.borrow();
        let snapshots = messages
            .iter()
            .filter(|message| message["type"] == "snapshot");
        (snapshots.count() == 2).then_some(())
    })
    .await;
    let (policy, quote) = insurance.buy(trigger).await;

    // Then the policy costs exactly what the quote for that second says
    check_policy(&insurance, &policy, &quote, &key).await;

    // and the API and the socket report how the policy and a withdrawal request end
    end_withdrawal_and_policy(&insurance, &policy, &key).await;
    let names = wait_for("the policy's events", Duration::from_secs(10), async || {
        let messages = messages.borrow();
        let names = event_names(&messages, &policy_channel, "policy:updated");
        (names.len() == 2).then_some(names)
    })
    .await;
    assert_eq!(names, ["PolicyBought", "PolicyCancelled"]);
    let names = event_names(&messages.borrow(), &vault_channel, "vault:updated");
    assert_eq!(names, ["WithdrawRequested", "WithdrawCancelled"]);

    // and the mirror matches the chain, in every column
    mirror::assert_matches_chain(&api.fixture.network);
    let fixture = stop_after_bets(api).await;
    let pool = fixture.network.database().await;
    tampering::every_column_is_compared(&fixture.network, &pool).await;
}

/// Opens a market on a late window in which a half of an ask is taken: the rest stays for sale.
async fn offer_a_stake(fixture: &mut Fixture) {
    fixture.create_market(LATE_WINDOW).await;
    fixture.place_bet(LATE_MARKET, 0, 0).await;
    fixture.sell(LATE_MARKET, [0, 3], 0, TOKEN / 2).await;
}

/// Checks the vault in the API before any purchase, and the quotes that it refuses.
async fn check_new_vault(insurance: &Insurance<'_>) {
    let key = insurance.vault.to_string();
    let vault = insurance.get(&format!("vaults/{key}")).await;
    assert_eq!(vault["manager"], insurance.manager.pubkey().to_string());
    assert_eq!(vault["assets"]["raw"], CAPITAL.to_string());
    assert_eq!(vault["shares"]["scaled"], "10000");
    assert_eq!(
        (&vault["share_price"], &vault["utilisation"]),
        (&json!("1"), &json!("0"))
    );
    assert_eq!(vault["terms"]["kink_bps"], 8_000);
    assert_eq!(vault["next_terms"], Value::Null);
    let exposures = insurance.get(&format!("vaults/{key}/exposures")).await;
    let model = insurance.api.fixture.model.to_string();
    assert_eq!(exposures["items"][0]["model"], model);
    assert_eq!(insurance.quote_error(json!({})).await, "TooLittleHistory");
    let manager = insurance.manager.pubkey().to_string();
    assert_eq!(
        insurance.quote_error(json!({ "holder": manager })).await,
        "Insider"
    );
}

/// Checks the policy and the vault in the API against the quote and the policy on chain.
async fn check_policy(insurance: &Insurance<'_>, policy: &Policy, quote: &Value, key: &str) {
    let bought = insurance.get(&format!("policies/{key}")).await;
    let pending = &bought["pending"];
    assert_eq!(
        (policy.premium, &bought["premium"]["raw"]),
        (0, &json!("0"))
    );
    assert_eq!(quote["premium"], pending["premium"]);
    for name in ["first_window", "covered_from", "covered_until"] {
        assert_eq!(quote[name], bought[name], "{name}");
    }
    assert_eq!(
        (&bought["state"], &bought["payouts"]),
        (&json!("pending"), &json!([]))
    );
    let start: DateTime<Utc> = pending["start"].as_str().unwrap().parse().unwrap();
    assert_eq!(start.timestamp(), policy.pending.start);
    let from_window = policy.pending.from_window.to_string();
    assert_eq!(
        (&bought["term"], &pending["from_window"]),
        (&Value::Null, &json!(from_window))
    );
    let vault = insurance.get(&format!("vaults/{}", insurance.vault)).await;
    assert_eq!(quote["utilisation_after"], vault["utilisation"]);
    assert_eq!(quote["locked_after"], vault["locked"]);
    assert_eq!(vault["held"], pending["premium"]);
    let of_holder = format!(
        "policies?state=pending&holder={}",
        insurance.holder.pubkey()
    );
    let policies = insurance.get(&of_holder).await;
    assert_eq!(policies["items"][0]["key"], key);
}

/// The provider requests a withdrawal and cancels it, and the holder cancels the policy. The API
/// reports each state.
async fn end_withdrawal_and_policy(insurance: &Insurance<'_>, policy: &Policy, key: &str) {
    let (provider, vault) = (insurance.provider, insurance.vault);
    let state = insurance.vault_state().await;
    let owner = provider.pubkey();
    let request = instruction::request_withdraw(owner, vault, &state, state.shares / 2);
    insurance.send(provider, request).await.unwrap();
    let path = format!("withdrawals?owner={owner}&vault={vault}");
    let withdrawals = insurance.get(&path).await;
    assert_eq!(withdrawals["items"][0]["state"], "open");
    assert_eq!(withdrawals["items"][0]["shares"]["raw"], "0");
    let value = withdrawals["items"][0]["value"]["raw"].as_str().unwrap();
    assert_eq!(value, (CAPITAL / 2).to_string());
    let cancel = instruction::cancel_withdraw(owner, vault, &state);
    insurance.send(provider, cancel).await.unwrap();
    let withdrawals = insurance.get(&path).await;
    assert_eq!(withdrawals["items"][0]["state"], "cancelled");
    assert_eq!(withdrawals["items"][0]["value"]["raw"], "0");

    let cancel = instruction::cancel_policy(policy, &state);
    insurance.send(insurance.holder, cancel).await.unwrap();
    let cancelled = insurance.get(&format!("policies/{key}")).await;
    assert_eq!(cancelled["state"], "cancelled");
    assert_eq!(cancelled["closed"], true);
    let refund: u64 = cancelled["refund"]["raw"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!((1..policy.pending.premium).contains(&refund), "{refund}");

    // The newest entry comes first. Creating the vault and listing the model added no entries.
    let history = insurance
        .get(&format!("vaults/{vault}/history?limit=4"))
        .await;
    let history = history["items"].as_array().unwrap();
    let locked: Vec<_> = history
        .iter()
        .map(|entry| &entry["locked"]["raw"])
        .collect();
    let cover = COVER.to_string();
    assert_eq!(locked, ["0", &cover, &cover, &cover]);
    let price: f64 = history[0]["share_price"].as_str().unwrap().parse().unwrap();
    assert!(1.0 <= price, "{price}");
}

/// Places bets, so that the mirror has slots that can be undone, and stops the indexer before they can't.
async fn stop_after_bets(mut api: ApiFixture) -> Fixture {
    let pool = api.fixture.network.database().await;
    for _ in 0..3 {
        api.fixture.place_bet(LATE_MARKET, 1, 0).await;
    }
    let slot = api.current_slot().await;
    mirror::wait_until_settled(&pool, slot as i64, "the bets").await;
    assert!(api.indexer.stop(), "{}", api.indexer.output());
    api.fixture
}

/// Names of the events in a channel's messages of one type. Asserts that no message of the channel
/// is missing.
fn event_names(messages: &[Value], channel: &str, kind: &str) -> Vec<String> {
    let mut of_channel = messages
        .iter()
        .filter(|message| message["channel"] == channel);
    let mut last = of_channel.next().unwrap()["seq"].as_i64();
    let mut names = vec![];
    for message in of_channel {
        assert!(message["prev"].as_i64() <= last, "{message}");
        last = message["seq"].as_i64();
        if message["type"] == kind {
            names.push(message["event"]["name"].as_str().unwrap().to_owned());
        }
    }
    names
}
