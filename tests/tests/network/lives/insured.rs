//! A vault that sells cover on a model whose windows are measured all the time.

use std::{fs, time::Duration};

use driftshield_sdk::{
    Account, AccountKind, Address, Collateral, DepositLimits, Instruction, ListingTerms, Model,
    ModelTerms, Policy, PolicyTerms, Receipt, TokenProgram, Vault, address, first_window,
    instruction,
    rpc::{Client, Keypair, Signer},
    spec::SpecDocument,
};
use driftshield_tests::{insurance::brief_vault_terms, network::wait_for, world::TOKEN};
use tokio::{sync::watch, task::JoinHandle, time::sleep};

use super::stage::{Sent, Stage};

const WINDOW_SECS: i64 = 2;
/// Number of final windows that a model needs before cover is sold on it.
const MIN_HISTORY: u64 = 8;
/// Counts of a window that drifts no more than the reference data, and of one that does.
const CALM: [u32; 4] = [100; 4];
const DRIFTING: [u32; 4] = [250, 50, 50, 50];
/// Drift, in micro-units, that no window has.
const UNREACHED: u64 = 5_000_000;
/// Cover of each policy: what a window with drift pays.
pub const COVER: u64 = TOKEN;
const CAPITAL: u64 = 1_000 * TOKEN;
/// Bettors of the fixture.
const HOLDER: usize = 2;
const MANAGER: usize = 3;

/// What policies pay for.
#[derive(Clone, Copy)]
pub enum Cover {
    /// One window, which never drifts as much.
    Nothing,
    /// Any drift over the noise, for some windows.
    Drift,
}

pub struct Insured<'a> {
    pub stage: &'a Stage,
    pub vault: Address,
    /// Accounts of the vault and the model as they were opened: their addresses and times never change.
    pub state: Vault,
    pub model: Model,
    key: Address,
    oracle: Oracle,
}

impl<'a> Insured<'a> {
    /// Opens the vault, and waits until the model has the history that a sale needs.
    pub async fn open(stage: &'a Stage) -> Self {
        let client = &stage.fixture.network.client;
        let manager = &stage.fixture.bettors[MANAGER];
        let key = register(stage, manager).await;
        let model: Model = client.get(&key).await.unwrap();
        let oracle = Oracle::start(stage, key);
        let vault = open_vault(stage, manager, key, &model).await;
        wait_for("final windows", Duration::from_secs(60), async || {
            let model = client.get::<Model>(&key).await.ok()?;
            (MIN_HISTORY <= model.final_count).then_some(())
        })
        .await;
        Self {
            stage,
            vault,
            state: client.get(&vault).await.unwrap(),
            model,
            key,
            oracle,
        }
    }

    /// Stops to measure: the chain comes to rest.
    pub async fn close(self) {
        self.oracle.stop.send_replace(true);
        self.oracle.task.await.unwrap();
    }

    /// From now on, this window drifts if it is measured.
    pub fn let_drift(&self, window: u64) {
        self.oracle.drifting.send_replace(Some(window));
    }

    fn holder(&self) -> Address {
        self.stage.fixture.bettors[HOLDER].pubkey()
    }

    pub fn policy(&self, id: u64) -> Address {
        address::policy(&self.vault, &self.holder(), id)
    }

    pub async fn read(&self, id: u64) -> Policy {
        let client = &self.stage.fixture.network.client;
        client.get(&self.policy(id)).await.unwrap()
    }

    /// The first window that a purchase covers for at least one more second.
    pub async fn next_sale(&self) -> u64 {
        let client = &self.stage.fixture.network.client;
        wait_for("a sale", Duration::from_secs(20), async || {
            let now = client.unix_timestamp().await.ok()?;
            let first = |now| first_window(&self.state, &self.model, now);
            (first(now) == first(now + 1)).then(|| first(now))
        })
        .await
    }

    /// Buys a policy from its first covered window on.
    pub fn buy(&self, id: u64, cover: Cover, first_window: u64) -> Instruction {
        let (trigger, windows) = match cover {
            Cover::Nothing => (UNREACHED, 1),
            Cover::Drift => (self.model.noise_floor, 20),
        };
        let terms = PolicyTerms {
            model_version: self.model.version,
            cover: COVER,
            trigger,
            exhaustion: trigger + 8 * self.model.max_spread,
            persistence: 1,
            first_window,
            windows,
            max_premium: u64::MAX,
            max_cancel_fee_bps: u16::MAX,
            auto_renew: false,
        };
        let holder = self.holder();
        let source = address::token_account(&holder, &self.state.mint, TokenProgram::SplToken);
        instruction::buy_policy(holder, id, self.vault, &self.state, self.key, source, terms)
    }

    pub fn cancel(&self, id: u64) -> Instruction {
        let Account::Policy(mut policy) = Account::zeroed(AccountKind::Policy) else {
            unreachable!("an account of another kind");
        };
        (policy.vault, policy.model) = (self.vault, self.key);
        (policy.holder, policy.id) = (self.holder(), id);
        instruction::cancel_policy(&policy, &self.state)
    }

    /// Sends a transaction with purchases, made of their first covered window. Sends another one if that
    /// window has changed meanwhile.
    pub async fn send(&self, build: impl Fn(u64) -> Vec<Instruction>) -> Sent {
        let mut errors = vec![];
        for _ in 0..10 {
            let first_window = self.next_sale().await;
            match self.stage.try_to_send(&build(first_window)).await {
                Ok(sent) => return sent,
                Err(error) => errors.push(error),
            }
        }
        panic!("no purchase in ten attempts: {errors:?}");
    }
}

async fn register(stage: &Stage, owner: &Keypair) -> Address {
    let network = &stage.fixture.network;
    let (client, oracle) = (&network.client, &stage.fixture.oracle);
    let collateral = address::collateral(&stage.model.bond_mint);
    let bonds: Collateral = client.get(&collateral).await.unwrap();
    let spec = fs::read(network.directory.path().join("spec.json")).unwrap();
    let genesis = client.unix_timestamp().await.unwrap() + 3;
    let document = SpecDocument::parse(&spec).unwrap();
    let spec = document.metric_spec(&spec, genesis, WINDOW_SECS);
    let terms = ModelTerms {
        oracles: vec![oracle.pubkey()],
        quorum: 1,
        max_spread: 1_000,
        security_rent_bps: 200,
        market_budget_bps: 0,
        cover_budget_bps: 10_000,
        name: "insured".into(),
        uri: String::new(),
        metadata_hash: [0; 32],
        artifact_hash: [0; 32],
    };
    let id = stage.new_market();
    let model = address::model(&owner.pubkey(), id);
    let register = instruction::register_model(owner.pubkey(), id, &bonds, spec, terms);
    stage.send(&[register]).await;
    let state: Model = client.get(&model).await.unwrap();
    let source = address::token_account(&oracle.pubkey(), &bonds.mint, TokenProgram::SplToken);
    let bond = instruction::bond(oracle.pubkey(), model, &state, source, 5_000 * TOKEN);
    stage.send_signed(&[bond], &[oracle]).await;
    model
}

async fn open_vault(stage: &Stage, manager: &Keypair, key: Address, model: &Model) -> Address {
    let client = &stage.fixture.network.client;
    let (owner, id) = (manager.pubkey(), stage.new_market());
    let collateral = address::collateral(&model.bond_mint);
    let collateral: Collateral = client.get(&collateral).await.unwrap();
    let vault = address::vault(&owner, id);
    let listing = ListingTerms {
        model_version: model.version,
        cap: CAPITAL,
        lowest_trigger: model.noise_floor,
        max_persistence: 1,
    };
    let opening = [
        instruction::create_vault(owner, id, &collateral, 60, 0, brief_vault_terms(CAPITAL)),
        instruction::list_model(owner, vault, key, listing),
    ];
    stage.send(&opening).await;
    let state: Vault = client.get(&vault).await.unwrap();
    let source = address::token_account(&owner, &state.mint, TokenProgram::SplToken);
    let limits = DepositLimits::as_read(&state, 0);
    let deposit = [
        instruction::create_share_account(&owner, &owner, &state),
        instruction::deposit(owner, vault, &state, source, CAPITAL, limits),
    ];
    stage.send(&deposit).await;
    vault
}

/// A task that measures the windows of a model until it is stopped.
struct Oracle {
    task: JoinHandle<()>,
    stop: watch::Sender<bool>,
    drifting: watch::Sender<Option<u64>>,
}

impl Oracle {
    fn start(stage: &Stage, model: Address) -> Self {
        let (stop, drifting) = (watch::Sender::new(false), watch::Sender::new(None));
        let measuring = Measuring {
            client: Client::new(stage.fixture.network.addresses.rpc_url.clone()),
            oracle: stage.fixture.oracle.insecure_clone(),
            model,
            drifting: drifting.subscribe(),
            open: vec![],
        };
        Self {
            task: tokio::spawn(measuring.run(stop.subscribe())),
            stop,
            drifting,
        }
    }
}

struct Measuring {
    client: Client,
    oracle: Keypair,
    model: Address,
    drifting: watch::Receiver<Option<u64>>,
    /// Windows whose receipts aren't final.
    open: Vec<u64>,
}

impl Measuring {
    async fn run(mut self, stopped: watch::Receiver<bool>) {
        let model: Model = self.client.get(&self.model).await.unwrap();
        let mut next = 0;
        while !*stopped.borrow() {
            let now = self.client.unix_timestamp().await.unwrap();
            let over = model.windows_over(now);
            for window in next..over {
                self.submit(window).await;
            }
            next = over;
            self.finalize().await;
            sleep(Duration::from_millis(300)).await;
        }
    }

    /// A window whose time for submissions is over stays without a value.
    async fn submit(&mut self, window: u64) {
        let drifts = *self.drifting.borrow() == Some(window);
        let counts = if drifts { DRIFTING } else { CALM };
        let oracle = self.oracle.pubkey();
        let (counts, uri) = (counts.to_vec(), String::new());
        let submit = instruction::submit_receipt(oracle, self.model, window, counts, [0; 32], uri);
        let sent = self.client.send(&[submit], &[&self.oracle]).await;
        if sent.is_ok() {
            self.open.push(window);
        }
    }

    /// Makes the receipts final that nobody can challenge any more.
    async fn finalize(&mut self) {
        for window in std::mem::take(&mut self.open) {
            let receipt = address::receipt(&self.model, window);
            let found = self.client.find::<Receipt>(&receipt).await.unwrap();
            let Some(receipt) = found else { continue };
            let finalize = instruction::finalize_receipt(&receipt);
            let sent = self.client.send(&[finalize], &[&self.oracle]).await;
            if sent.is_err() {
                self.open.push(window);
            }
        }
    }
}
