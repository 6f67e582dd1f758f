//! A wallet provides liquidity, another buys cover, claims it, and cancels other cover.

use std::time::Duration;

use driftshield_sdk::{
    Address, ListingTerms, Model, Policy, Vault, WithdrawRequest, address, instruction, rpc::Signer,
};
use driftshield_tests::{network::wait_for, world::TOKEN};
use rand::{Rng, SeedableRng, rngs::StdRng};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{
    oracle::{Oracle, model, wait_until},
    wallet::{Wallet, bound, created, event},
};
use crate::api_fixture::ApiFixture;

const CAPITAL: u64 = 1_000 * TOKEN;
const COVER: u64 = 10 * TOKEN;
const COOLDOWN_SECS: i64 = 20;
/// Number of final windows that a model needs before cover is sold on it.
const MIN_HISTORY: u64 = 8;
/// Covered windows of a policy.
const WINDOWS: u64 = 15;
/// Number of random offers.
const OFFERS: usize = 12;
/// Number of rules that limit the amount of cover.
const MAX_RULES: usize = 5;
const TIMEOUT: Duration = Duration::from_secs(60);
/// Covered windows before the one that drifts.
const CALM_WINDOWS: u64 = 8;

/// The vault of a test, and who takes part.
struct Scene<'a> {
    api: &'a ApiFixture,
    vault: Address,
    provider: Wallet<'a>,
    holder: Wallet<'a>,
}

impl<'a> Scene<'a> {
    /// A vault that its manager has created by the API, and that lists the fixture's model.
    async fn open(api: &'a ApiFixture) -> Self {
        let manager = Wallet::funded(api).await;
        let state = model(&api.fixture).await;
        let request = json!({
            "mint": state.bond_mint.to_string(),
            "cooldown_secs": COOLDOWN_SECS,
            "manager_fee_bps": 300,
            "min_cover": "1",
            "min_duration_secs": 1,
            "base_bps": 500,
        });
        let mut invalid = request.clone();
        invalid["kink_bps"] = json!(0);
        let refused = manager.post_refused("/insurance/vaults", invalid).await;
        assert_eq!(refused, "InvalidVaultTerms");
        let reply = manager.post("/insurance/vaults", request).await;
        let vault: Address = created(&reply, "vault").parse().unwrap();
        let listing = ListingTerms {
            model_version: state.version,
            cap: CAPITAL,
            lowest_trigger: state.noise_floor,
            max_persistence: 1,
        };
        let list = instruction::list_model(manager.key.pubkey(), vault, api.fixture.model, listing);
        let client = &api.fixture.network.client;
        client.send(&[list], &[&manager.key]).await.unwrap();
        Self {
            api,
            vault,
            provider: Wallet::funded(api).await,
            holder: Wallet::funded(api).await,
        }
    }

    async fn vault(&self) -> Vault {
        let client = &self.api.fixture.network.client;
        client.get(&self.vault).await.unwrap()
    }

    async fn policy(&self, key: &str) -> Policy {
        let client = &self.api.fixture.network.client;
        client.get(&key.parse().unwrap()).await.unwrap()
    }

    fn cover(&self) -> Value {
        json!({
            "vault": self.vault.to_string(),
            "model": self.api.fixture.model.to_string(),
            "cover": COVER.to_string(),
            "windows": WINDOWS.to_string(),
        })
    }

    /// A quote for this cover or, as often as it is refused, for what the refusal says would be allowed: with the
    /// `cover` that is quoted, and the number of refusals.
    async fn quote(&self, mut wanted: Value) -> (Value, usize) {
        // A mirror that lacks the last purchase would offer its cover again.
        let slot = self.api.current_slot().await;
        let url = format!("{}/api/v1/insurance/quote?min_slot={slot}", self.api.url);
        for refusals in 0..MAX_RULES {
            let request = reqwest::Client::new().post(&url).json(&wanted);
            let response = request.send().await.unwrap();
            let status = response.status();
            let mut body: Value = response.json().await.unwrap();
            if status == StatusCode::OK {
                body["cover"] = wanted["cover"].clone();
                return (body, refusals);
            }
            assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{wanted}: {body}");
            let limit = body["program_error"]["limit"].as_str();
            wanted["cover"] = json!(limit.unwrap_or_else(|| panic!("{wanted}: {body}")));
        }
        panic!("{wanted} is refused after {MAX_RULES} limits");
    }

    /// Waits until the model has the history that a sale of cover needs.
    async fn wait_for_history(&self) {
        wait_for("final windows", Duration::from_secs(120), async || {
            let final_count = model(&self.api.fixture).await.final_count;
            (MIN_HISTORY <= final_count).then_some(())
        })
        .await;
    }

    /// Deposits the capital by the API. The default bounds land.
    async fn deposit(&self) {
        let path = format!("/insurance/vaults/{}/deposit", self.vault);
        let request = json!({ "amount": CAPITAL.to_string() });
        let (status, proposed) = self
            .provider
            .request(Method::POST, &path, request.clone())
            .await;
        assert_eq!(status, StatusCode::OK, "{proposed}");
        let mut greedy = request.clone();
        greedy["min_shares"] = json!((2 * bound(&proposed, "min_shares")).to_string());
        let refused = self.provider.post_refused(&path, greedy).await;
        assert_eq!(refused, "TooFewShares");
        let before = self.provider.tokens().await;
        let reply = self.provider.post(&path, request).await;
        assert_eq!(before - self.provider.tokens().await, CAPITAL);
        let shares: u64 = event(&reply, "Deposited")["shares"]
            .as_str()
            .unwrap()
            .parse()
            .unwrap();
        assert!(bound(&reply, "min_shares") <= shares);
        assert_eq!(self.vault().await.shares, shares);
        created(&reply, "share_account");
    }

    /// Buys cover by the API, again if its first window begins meanwhile. Returns the policy.
    async fn buy(&self, trigger: u64) -> String {
        let mut request = self.cover();
        request["trigger"] = json!(trigger.to_string());
        let reply = wait_for("a purchase", Duration::from_secs(60), async || {
            let path = "/insurance/policies";
            let (status, reply) = self
                .holder
                .request(Method::POST, path, request.clone())
                .await;
            (status == StatusCode::OK).then_some(reply)
        })
        .await;
        let price = |name: &str| -> u64 {
            let text = event(&reply, "PolicyBought")[name].as_str().unwrap();
            text.parse().unwrap()
        };
        let price = price("premium") + price("rent");
        let highest = bound(&reply, "max_premium");
        assert!(price <= highest && highest <= price + price / 50 + 2);
        let mut cheap = request.clone();
        cheap["max_premium"] = json!("1");
        let refused = self.holder.post_refused("/insurance/policies", cheap).await;
        assert_eq!(refused, "PremiumTooHigh");
        self.holder.sign_and_send(&reply).await;
        created(&reply, "policy")
    }

    /// Anyone begins a policy's term once its probation is decided.
    async fn begin(&self, key: &str) {
        let client = &self.api.fixture.network.client;
        let payer = &self.api.fixture.network.payer;
        wait_for("the term", Duration::from_secs(60), async || {
            let (policy, vault) = (self.policy(key).await, self.vault().await);
            let begin = instruction::begin_policy(&policy, &vault);
            client.send(&[begin], &[payer]).await.ok()
        })
        .await;
        let policy = self.policy(key).await;
        assert!(!policy.is_pending());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wallets_provide_and_buy_cover_with_the_api_and_their_keys_alone() {
    let api = ApiFixture::start().await;
    let scene = Scene::open(&api).await;
    refuse_without_history(&scene).await;
    let oracle = Oracle::start(&api.fixture);
    scene.deposit().await;
    scene.wait_for_history().await;
    let state: Model = model(&api.fixture).await;
    let trigger = state
        .noise_floor
        .max(2 * state.max_spread + 1 + state.latest);

    // Given a policy whose term has begun
    let key = scene.buy(trigger).await;
    let policy = scene.policy(&key).await;
    oracle.let_drift(policy.first_window + CALM_WINDOWS);
    let path = |name: &str| format!("/insurance/policies/{key}{name}");
    let renewed = scene.holder.post_refused(&path("/renew"), json!({})).await;
    assert_eq!(renewed, "TermPending");
    scene.begin(&key).await;
    let (provider, holder) = (&scene.provider, &scene.holder);
    let nothing = provider.post_refused(&path("/claim"), json!({})).await;
    assert_eq!(nothing, "NothingDue");
    let other = provider.refused(Method::DELETE, &path(""), json!({})).await;
    assert_eq!(other, "NotHolder");

    // When a covered window has drifted, then anyone has it examined and the holder is paid
    let before = holder.tokens().await;
    let reply = wait_for("a claim", Duration::from_secs(90), async || {
        let (path, body) = (path("/claim"), json!({}));
        let (status, reply) = provider.request(Method::POST, &path, body).await;
        (status == StatusCode::OK).then_some(reply)
    })
    .await;
    provider.sign_and_send(&reply).await;
    let claimed = event(&reply, "PolicyClaimed");
    let paid: u64 = claimed["amount"].as_str().unwrap().parse().unwrap();
    assert!((1..=COVER).contains(&paid));
    assert_eq!(holder.tokens().await - before, paid);
    event(&reply, "PolicyExamined");

    // and cover on probation is cancelled for a refund
    let higher = 4 * model(&api.fixture).await.max_value;
    let second = scene.buy(higher).await;
    let before = scene.holder.tokens().await;
    let delete = format!("/insurance/policies/{second}");
    let reply = scene
        .holder
        .transact(Method::DELETE, &delete, json!({}))
        .await;
    let refund: u64 = event(&reply, "PolicyCancelled")["refund"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    assert_eq!(scene.holder.tokens().await - before, refund);
    offers_hold(&scene, higher).await;
    withdraw(&scene).await;
}

/// Random cover is sold at the price that the API quotes for it, and what a refused quote says that the rule would
/// allow is sold, too.
async fn offers_hold(scene: &Scene<'_>, trigger: u64) {
    let mut rng = StdRng::seed_from_u64(5);
    let mut limits = 0;
    for offer in 0..OFFERS {
        let mut wanted = scene.cover();
        wanted["trigger"] = json!(rng.random_range(trigger..2 * trigger).to_string());
        wanted["windows"] = json!(rng.random_range(10..25).to_string());
        let most = if offer % 2 == 0 { COVER } else { 3 * CAPITAL };
        wanted["cover"] = json!(rng.random_range(1..most).to_string());
        let sold = wait_for("a sale at the quoted price", TIMEOUT, async || {
            let (quote, followed) = scene.quote(wanted.clone()).await;
            let price = ["premium", "rent"].map(|part| quote[part]["raw"].as_str().unwrap());
            let price: u64 = price.map(|part| part.parse::<u64>().unwrap()).iter().sum();
            let mut request = wanted.clone();
            request["cover"] = quote["cover"].clone();
            request["max_premium"] = json!(price.to_string());
            let path = "/insurance/policies";
            let (status, reply) = scene.holder.request(Method::POST, path, request).await;
            // Drift that was measured meanwhile can change the price, and a window can begin.
            let name = &reply["program_error"]["name"];
            let is_outdated = ["PremiumTooHigh", "WindowsBegan"]
                .iter()
                .any(|it| name == it);
            assert!(status == StatusCode::OK || is_outdated, "{reply}");
            (status == StatusCode::OK).then_some((reply, followed))
        })
        .await;
        limits += sold.1;
        // Large cover would leave no capital for the withdrawal.
        if offer % 2 == 0 {
            scene.holder.sign_and_send(&sold.0).await;
        }
    }
    assert!(OFFERS / 4 < limits, "{limits} refusals");
}

/// What is refused before the model has a history.
async fn refuse_without_history(scene: &Scene<'_>) {
    let mut cover = scene.cover();
    cover["trigger"] = json!("5000000");
    let (path, holder) = ("/insurance/policies", &scene.holder);
    assert_eq!(
        holder.post_refused(path, cover.clone()).await,
        "TooLittleHistory"
    );
    cover["model"] = json!(scene.vault.to_string());
    let (status, problem) = holder.request(Method::POST, path, cover).await;
    assert_eq!(status, StatusCode::NOT_FOUND, "{problem}");
    let withdraw = format!("/insurance/vaults/{}/withdraw", scene.vault);
    let (status, problem) = holder.request(Method::POST, &withdraw, json!({})).await;
    assert_eq!(status, StatusCode::NOT_FOUND, "{problem}");
    assert!(problem["detail"].as_str().unwrap().contains("no shares"));
    let request = json!({ "shares": "5" });
    let detail = holder.fails(&withdraw, request).await;
    assert!(detail.contains("insufficient shares"), "{detail}");
}

/// The provider requests the withdrawal of half of its shares, and is paid after the cooldown.
async fn withdraw(scene: &Scene<'_>) {
    let (provider, client) = (&scene.provider, &scene.api.fixture.network.client);
    let path = format!("/insurance/vaults/{}/withdraw", scene.vault);
    let half = scene.vault().await.shares / 2;
    let reply = provider
        .post(&path, json!({ "shares": half.to_string() }))
        .await;
    let summary = reply["summary"].as_str().unwrap();
    assert!(
        summary.starts_with("Requests the withdrawal of "),
        "{summary}"
    );
    let cooling = provider.post_refused(&path, json!({})).await;
    assert_eq!(cooling, "StillCoolingDown");
    let request = address::withdraw_request(&scene.vault, &provider.key.pubkey());
    let request: WithdrawRequest = client.get(&request).await.unwrap();
    wait_until(&scene.api.fixture, request.unlock_at).await;
    let before = provider.tokens().await;
    let reply = provider.post(&path, json!({})).await;
    let paid: u64 = event(&reply, "Withdrawn")["amount"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!(0 < paid);
    assert_eq!(provider.tokens().await - before, paid);
    // Without a request, all shares that are left are requested.
    let reply = provider.post(&path, json!({})).await;
    assert_eq!(
        event(&reply, "WithdrawRequested")["shares"],
        half.to_string()
    );
}
