//! Vaults and policies as the API tells them, on a real chain.

use std::{collections::BTreeMap, time::Duration};

use driftshield_sdk::{
    Address, Collateral, Instruction, ListingTerms, Model, Policy, PolicyTerms, TokenProgram,
    Vault, VaultTerms, address, error, instruction,
    rpc::{Client, Error, Keypair, Signer},
};
use driftshield_tests::{
    network::{Service, wait_for},
    world::TOKEN,
};
use reqwest::StatusCode;
use serde_json::{Value, json};
use sqlx::types::chrono::{DateTime, Utc};

use crate::{api::Served, example::watch_socket};

const DAY: i64 = 24 * 60 * 60;
const CAPITAL: u64 = 10_000 * TOKEN;
const COVER: u64 = 100 * TOKEN;
/// Final windows that cover is sold on.
const MIN_HISTORY: u64 = 8;
/// How many seconds ahead are quoted.
const AHEAD: i64 = 8;

/// A vault that covers the scene's model, and who has to do with it.
struct Insurance<'a> {
    served: &'a Served,
    vault: Address,
    manager: &'a Keypair,
    provider: &'a Keypair,
    holder: &'a Keypair,
}

impl<'a> Insurance<'a> {
    async fn new(served: &'a Served) -> Self {
        let scene = &served.scene;
        let [manager, provider, holder, ..] = &scene.bettors[..] else {
            panic!("three bettors at least");
        };
        let insurance = Self {
            served,
            vault: address::vault(&manager.pubkey(), 1),
            manager,
            provider,
            holder,
        };
        let client = insurance.client();
        let model: Model = client.get(&scene.model).await.unwrap();
        let collateral = address::collateral(&model.bond_mint);
        let collateral: Collateral = client.get(&collateral).await.unwrap();
        let terms = VaultTerms {
            min_cover: 1,
            max_cover: CAPITAL,
            min_duration_secs: 1,
            max_duration_secs: 10 * DAY,
            base_bps: 500,
            slope1_bps: 400,
            slope2_bps: 6_000,
            kink_bps: 8_000,
            risk_slope_bps: 2_000,
            max_utilisation_bps: 9_000,
            cancel_fee_bps: 1_000,
            reserved: [0; 2],
        };
        let listing = ListingTerms {
            model_version: model.version,
            cap: CAPITAL / 2,
            lowest_trigger: model.noise_floor,
        };
        let (key, vault) = (manager.pubkey(), insurance.vault);
        let create = instruction::create_vault(key, 1, &collateral, 60, 300, terms);
        insurance.send(manager, create).await.unwrap();
        let list = instruction::list_model(key, vault, scene.model, listing);
        insurance.send(manager, list).await.unwrap();

        let (key, state) = (provider.pubkey(), insurance.state().await);
        let shares = instruction::create_share_account(&key, &key, &state);
        insurance.send(provider, shares).await.unwrap();
        let source = insurance.tokens_of(provider, &state);
        let deposit = instruction::deposit(key, vault, &state, source, CAPITAL, 0);
        insurance.send(provider, deposit).await.unwrap();
        insurance
    }

    fn client(&self) -> &Client {
        &self.served.scene.network.client
    }

    async fn state(&self) -> Vault {
        self.client().get(&self.vault).await.unwrap()
    }

    fn tokens_of(&self, owner: &Keypair, vault: &Vault) -> Address {
        address::token_account(&owner.pubkey(), &vault.mint, TokenProgram::SplToken)
    }

    async fn send(&self, signer: &Keypair, instruction: Instruction) -> Result<(), Error> {
        let sent = self.client().send(&[instruction], &[signer]).await;
        sent.map(drop)
    }

    /// The answer of the API once it has what the chain has now.
    async fn told(&self, path: &str) -> Value {
        let slot = self.served.slot().await;
        let and = if path.contains('?') { '&' } else { '?' };
        self.served
            .ok(&format!("/api/v1/insurance/{path}{and}min_slot={slot}"))
            .await
    }

    /// Asks for a quote of a policy on the scene's model, with what `terms` has beside that, from a
    /// mirror that has come to `slot`.
    async fn quote(&self, slot: u64, terms: Value) -> (StatusCode, Value) {
        let mut request = json!({
            "vault": self.vault.to_string(),
            "model": self.served.scene.model.to_string(),
            "cover": COVER.to_string(),
            "trigger": "10000000",
            "exhaustion": "20000000",
            "persistence": 1,
            "windows": "100",
        });
        for (name, value) in terms.as_object().unwrap() {
            request[name] = value.clone();
        }
        let url = format!("{}/api/v1/insurance/quote?min_slot={slot}", self.served.url);
        let asked = reqwest::Client::new().post(url).json(&request).send();
        let response = asked.await.unwrap();
        assert!(!response.headers().contains_key("etag"));
        (response.status(), response.json().await.unwrap())
    }

    /// Waits for as many final windows as cover is sold on, and a trigger beyond all drift so far.
    async fn history(&self, crank: &mut Service) -> u64 {
        let model = || self.client().get::<Model>(&self.served.scene.model);
        wait_for("the windows", Duration::from_secs(180), async || {
            let final_count = model().await.ok()?.final_count;
            (MIN_HISTORY <= final_count).then_some(())
        })
        .await;
        assert!(crank.end(), "{}", crank.output());
        // What it sent last lands within a slot: after that, nothing changes what a policy costs but
        // the time.
        let slot = self.served.slot().await + 2;
        let path = format!("/api/v1/models/{}?min_slot={slot}", self.served.scene.model);
        wait_for("the mirror", Duration::from_secs(10), async || {
            let (status, _) = self.served.get(&path).await;
            (status == StatusCode::OK).then_some(())
        })
        .await;
        let model = model().await.unwrap();
        2 * model.max_value.max(model.latest).max(model.noise_floor)
    }

    async fn refusal(&self, terms: Value) -> String {
        let slot = self.served.slot().await;
        let (status, problem) = self.quote(slot, terms).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{problem}");
        assert_eq!(problem["type"], "/problems/program-error");
        let told = &problem["program_error"];
        let number = told["number"].as_u64().unwrap();
        let known = error::by_code(number.try_into().unwrap()).unwrap();
        assert_eq!(told["message"], known.message);
        told["name"].as_str().unwrap().to_owned()
    }

    /// Quotes every second of a little while, buys in one of them, and returns the policy and the
    /// quote of that second.
    async fn buy(&self, trigger: u64) -> (Policy, Value) {
        let client = self.client();
        let (holder, vault) = (self.holder.pubkey(), self.state().await);
        let patience = tokio::time::Instant::now() + Duration::from_secs(10);
        loop {
            let slot = self.served.slot().await;
            let now = client.unix_timestamp().await.unwrap();
            let mut quotes = BTreeMap::new();
            for time in now..now + AHEAD {
                let rfc3339 = DateTime::from_timestamp(time, 0).unwrap().to_rfc3339();
                let terms = json!({
                    "trigger": trigger.to_string(),
                    "exhaustion": (2 * trigger).to_string(),
                    "time": rfc3339,
                });
                let (status, quote) = self.quote(slot, terms).await;
                // The mirror may be ahead of what the node said.
                if status == StatusCode::OK {
                    quotes.insert(time, quote);
                } else {
                    assert_eq!(status, StatusCode::BAD_REQUEST, "{quote}");
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
                persistence: 1,
                first_window: number("first_window"),
                windows: 100,
                max_premium: u64::MAX,
                auto_renew: false,
            };
            let source = self.tokens_of(self.holder, &vault);
            let model = self.served.scene.model;
            let buy = instruction::buy_policy(holder, 1, self.vault, &vault, model, source, terms);
            match self.send(self.holder, buy).await {
                Ok(()) => {
                    let policy = address::policy(&self.vault, &holder, 1);
                    let policy: Policy = client.get(&policy).await.unwrap();
                    let quote = quotes.remove(&policy.term.start).expect("a quote of then");
                    return (policy, quote);
                }
                // The next window is the first by now.
                Err(Error::TransactionFailed(refusal))
                    if tokio::time::Instant::now() < patience =>
                {
                    let known = refusal.code().and_then(error::by_code);
                    assert_eq!(known.unwrap().name, "WindowsBegan", "{refusal}");
                }
                Err(error) => panic!("{error}"),
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quote_is_what_a_purchase_costs() {
    // Given a vault that covers a model without history
    let served = Served::start().await;
    let mut crank = served.scene.start_crank("crank");
    let insurance = Insurance::new(&served).await;
    let vault = insurance.vault.to_string();
    let told = insurance.told(&format!("vaults/{vault}")).await;
    assert_eq!(told["manager"], insurance.manager.pubkey().to_string());
    assert_eq!(told["assets"]["raw"], CAPITAL.to_string());
    assert_eq!(told["shares"]["scaled"], "10000");
    assert_eq!(
        (&told["share_price"], &told["utilisation"]),
        (&json!("1"), &json!("0"))
    );
    assert_eq!(told["terms"]["kink_bps"], 8_000);
    assert_eq!(told["next_terms"], Value::Null);
    let exposures = insurance.told(&format!("vaults/{vault}/exposures")).await;
    let model = served.scene.model.to_string();
    assert_eq!(exposures["items"][0]["model"], model);
    assert_eq!(insurance.refusal(json!({})).await, "TooLittleHistory");
    let manager = insurance.manager.pubkey().to_string();
    assert_eq!(
        insurance.refusal(json!({ "holder": manager })).await,
        "Insider"
    );

    // When it has one, and somebody who watches buys cover
    let trigger = insurance.history(&mut crank).await;
    let too_much = json!({ "cover": CAPITAL.to_string(), "trigger": trigger.to_string() });
    assert_eq!(insurance.refusal(too_much).await, "ExposureFull");
    let key = address::policy(&insurance.vault, &insurance.holder.pubkey(), 1).to_string();
    let channel = format!("policy:{key}");
    let messages = watch_socket(&served.url, vec![channel, format!("vault:{vault}")]);
    wait_for("the snapshots", Duration::from_secs(10), async || {
        let messages = messages.borrow();
        let snapshots = messages.iter().filter(|told| told["type"] == "snapshot");
        (snapshots.count() == 2).then_some(())
    })
    .await;
    let (policy, quote) = insurance.buy(trigger).await;

    // Then it costs what the quote of that second said, to the unit
    let told = insurance.told(&format!("policies/{key}")).await;
    assert_eq!(told["premium"]["raw"], policy.premium.to_string());
    assert_eq!(quote["premium"], told["premium"]);
    assert_eq!(quote["streamed_part"], told["term"]["streamed"]);
    for name in [
        "first_window",
        "last_window",
        "covered_from",
        "covered_until",
    ] {
        assert_eq!(quote[name], told[name], "{name}");
    }
    assert_eq!(
        (&told["state"], &told["payouts"]),
        (&json!("open"), &json!([]))
    );
    let start: DateTime<Utc> = told["term"]["start"].as_str().unwrap().parse().unwrap();
    assert_eq!(start.timestamp(), policy.term.start);
    let told = insurance.told(&format!("vaults/{vault}")).await;
    assert_eq!(quote["utilisation_after"], told["utilisation"]);
    assert_eq!(quote["locked_after"], told["locked"]);
    let held = format!("policies?state=open&holder={}", insurance.holder.pubkey());
    let held = insurance.told(&held).await;
    assert_eq!(held["items"][0]["key"], key);

    what_ends_says_how(&insurance, &policy, &key).await;
    let names = wait_for("the news", Duration::from_secs(10), async || {
        let messages = messages.borrow();
        let names = news(&messages, &format!("policy:{key}"), "policy:updated");
        (names.len() == 2).then_some(names)
    })
    .await;
    assert_eq!(names, ["PolicyBought", "PolicyCancelled"]);
    let names = news(
        &messages.borrow(),
        &format!("vault:{vault}"),
        "vault:updated",
    );
    assert_eq!(names, ["WithdrawRequested", "WithdrawCancelled"]);

    // and the mirror is the chain, with all that is derived
    let network = &served.scene.network;
    let (code, output) = network.run("indexer", &["verify"]);
    assert_eq!(code, 0, "{output}");
    let mut damaged: Vec<String> = vec![];
    let pool = network.database().await;
    for statement in [
        "update chain.capital set assets = assets + 1
         where seq = (select min(seq) from chain.capital)
         returning seq || ': columns of chain.capital differ: assets'",
        "update chain.withdrawal set returned = 0
         returning seq || ': columns of chain.withdrawal differ: returned'",
        "delete from chain.policy_end returning seq || ': is not in chain.policy_end'",
    ] {
        let told = sqlx::query_scalar(statement).fetch_one(&pool).await;
        damaged.push(told.unwrap());
    }
    let (code, output) = network.run("indexer", &["verify"]);
    assert_eq!(code, 1, "{output}");
    for told in damaged {
        assert!(output.contains(&told), "{told} is not in {output}");
    }
}

/// The holder cancels the policy; the provider asks its shares back, and gives that up.
async fn what_ends_says_how(insurance: &Insurance<'_>, policy: &Policy, key: &str) {
    let (provider, vault) = (insurance.provider, insurance.vault);
    let state = insurance.state().await;
    let owner = provider.pubkey();
    let request = instruction::request_withdraw(owner, vault, &state, state.shares / 2);
    insurance.send(provider, request).await.unwrap();
    let path = format!("withdrawals?owner={owner}&vault={vault}");
    let told = insurance.told(&path).await;
    let shares = (state.shares / 2).to_string();
    assert_eq!(told["items"][0]["state"], "open");
    assert_eq!(told["items"][0]["shares"]["raw"], shares);
    let cancel = instruction::cancel_withdraw(owner, vault, &state);
    insurance.send(provider, cancel).await.unwrap();
    let told = insurance.told(&path).await;
    assert_eq!(told["items"][0]["state"], "cancelled");
    assert_eq!(told["items"][0]["shares"]["raw"], "0");

    let cancel = instruction::cancel_policy(policy, &state);
    insurance.send(insurance.holder, cancel).await.unwrap();
    let told = insurance.told(&format!("policies/{key}")).await;
    assert_eq!(told["state"], "cancelled");
    assert_eq!(told["closed"], true);
    let refund: u64 = told["refund"]["raw"].as_str().unwrap().parse().unwrap();
    assert!((1..policy.term.part).contains(&refund), "{refund}");

    // The newest first: each event but the vault's making and the listing moved its money.
    let history = insurance
        .told(&format!("vaults/{vault}/history?limit=4"))
        .await;
    let history = history["items"].as_array().unwrap();
    let locked: Vec<_> = history.iter().map(|past| &past["locked"]["raw"]).collect();
    let cover = COVER.to_string();
    assert_eq!(locked, ["0", &cover, &cover, &cover]);
    let price: f64 = history[0]["share_price"].as_str().unwrap().parse().unwrap();
    assert!(1.0 <= price, "{price}");
}

/// The events of a channel that came as messages of this type, each right after the one before.
fn news(messages: &[Value], channel: &str, kind: &str) -> Vec<String> {
    let mut of_channel = messages.iter().filter(|told| told["channel"] == channel);
    let mut last = of_channel.next().unwrap()["seq"].clone();
    let mut names = vec![];
    for told in of_channel {
        assert_eq!(told["prev"], last, "{told}");
        last = told["seq"].clone();
        if told["type"] == kind {
            names.push(told["event"]["name"].as_str().unwrap().to_owned());
        }
    }
    names
}
