//! What the chain says, beside what the books say: account by account, field by field.

use driftshield_sdk::{
    Account, Address, Aggregate, CollateralTerms, ConfigParams, MarketState, ModelStatus,
    ReceiptState, VaultTerms, address,
};

use super::books::{Books, MarketEnd, State};

#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Number(u128),
    Key(Address),
    Hash([u8; 32]),
    Config(Box<ConfigParams>),
    Collateral(CollateralTerms),
    Vault(VaultTerms),
}

pub type Lines = Vec<(&'static str, Value)>;

fn number(number: impl Into<u128>) -> Value {
    Value::Number(number.into())
}

fn time(secs: i64) -> Value {
    Value::Number(secs as u128)
}

/// Everything that is tracked of an account, as the chain tells it.
pub fn told(account: &Account) -> Lines {
    match account {
        Account::Config(config) => vec![
            ("admin", Value::Key(config.admin)),
            ("pending_admin", Value::Key(config.pending_admin)),
            ("guardian", Value::Key(config.guardian)),
            ("arbiter", Value::Key(config.arbiter)),
            ("params", Value::Config(Box::new(config.params))),
            ("paused", number(config.paused)),
        ],
        Account::Collateral(collateral) => vec![
            ("mint", Value::Key(collateral.mint)),
            ("terms", Value::Collateral(collateral.terms)),
            ("enabled", number(collateral.enabled.get())),
            ("accepts_freeze", number(collateral.accepts_freeze.get())),
        ],
        Account::Model(model) => told_of_model(model),
        Account::Seat(seat) => vec![
            ("model", Value::Key(seat.model)),
            ("oracle", Value::Key(seat.oracle)),
            ("bonded", number(seat.bonded)),
            ("unbonding", number(seat.unbonding)),
            ("release_at", time(seat.release_at)),
            ("submissions", number(seat.submissions)),
            ("slashes", number(seat.slashes)),
        ],
        Account::Receipt(receipt) => told_of_receipt(receipt),
        Account::Market(market) => told_of_market(market),
        Account::Position(position) => {
            let mut lines = vec![
                ("market", Value::Key(position.market)),
                ("owner", Value::Key(position.owner)),
            ];
            lines.extend(position.stakes.map(|stake| ("stake", number(stake))));
            lines
        }
        Account::Vault(vault) => told_of_vault(vault),
        Account::Exposure(exposure) => vec![
            ("vault", Value::Key(exposure.vault)),
            ("model", Value::Key(exposure.model)),
            ("cap", number(exposure.cap)),
            ("lowest_trigger", number(exposure.lowest_trigger)),
            ("cover", number(exposure.cover)),
            ("policies", number(exposure.policies)),
            ("listed_at", time(exposure.listed_at)),
            ("active_at", time(exposure.active_at)),
            ("model_version", number(exposure.model_version)),
        ],
        Account::WithdrawRequest(request) => vec![
            ("vault", Value::Key(request.vault)),
            ("owner", Value::Key(request.owner)),
            ("shares", number(request.shares)),
            ("value", number(request.value)),
            ("unlock_at", time(request.unlock_at)),
        ],
        Account::Policy(policy) => told_of_policy(policy),
    }
}

fn told_of_model(model: &driftshield_sdk::Model) -> Lines {
    let mut lines = vec![
        ("owner", Value::Key(model.owner)),
        ("bond_mint", Value::Key(model.bond_mint)),
        ("arbiter", Value::Key(model.arbiter)),
        ("chain", Value::Hash(model.chain)),
        ("genesis", time(model.genesis)),
        ("window_secs", time(model.window_secs)),
        ("max_spread", number(model.max_spread)),
        ("held", number(model.held)),
        ("security", number(model.security)),
        ("at_risk", number(model.at_risk)),
        ("exposure", number(model.exposure)),
        ("open_receipts", number(model.open_receipts)),
        ("final_count", number(model.final_count)),
        ("last_value", number(model.last_value)),
        ("last_window", number(model.last_window)),
        ("latest", number(model.latest)),
        ("latest_window", number(model.latest_window)),
        ("max_value", number(model.max_value)),
        ("ewma", number(model.ewma)),
        ("version", number(model.version)),
        ("retired", number(model.status == ModelStatus::Retired)),
        ("quorum", number(model.quorum)),
        ("challenge_bond", number(model.challenge_bond)),
    ];
    for place in 0..usize::from(model.oracle_count) {
        lines.push(("oracle", Value::Key(model.oracles[place])));
        lines.push(("bond", number(model.bonds[place])));
    }
    lines
}

fn told_of_receipt(receipt: &driftshield_sdk::Receipt) -> Lines {
    let state = match receipt.state.into() {
        ReceiptState::Collecting => 0u8,
        ReceiptState::Proposed => 1,
        ReceiptState::Challenged => 2,
        ReceiptState::Final => 3,
        ReceiptState::Void => 4,
    };
    let mut lines = vec![
        ("model", Value::Key(receipt.model)),
        ("payer", Value::Key(receipt.payer)),
        ("challenger", Value::Key(receipt.challenger)),
        ("window", number(receipt.window)),
        ("version", number(receipt.version)),
        ("state", number(state)),
        ("since", time(receipt.since)),
        ("value", number(receipt.value)),
        ("challenger_credit", number(receipt.challenger_credit)),
        ("treasury_credit", number(receipt.treasury_credit)),
    ];
    for place in 0..receipt.values.len() {
        if receipt.submitted & (1 << place) != 0 {
            lines.push(("oracle", number(place as u64)));
            lines.push(("submitted", number(receipt.values[place])));
            lines.push(("samples", number(receipt.samples[place])));
            lines.push(("evidence", Value::Hash(receipt.evidence[place])));
        }
    }
    lines
}

fn told_of_market(market: &driftshield_sdk::Market) -> Lines {
    let state = match market.state.into() {
        MarketState::Open => 0u8,
        MarketState::Resolved => 1,
        MarketState::Void => 2,
    };
    let aggregate = match market.aggregate.into() {
        Aggregate::Max => 0u8,
        Aggregate::Last => 1,
        Aggregate::Mean => 2,
    };
    let mut lines = vec![
        ("creator", Value::Key(market.creator)),
        ("model", Value::Key(market.model)),
        ("mint", Value::Key(market.mint)),
        ("total", number(market.total)),
        ("owed", number(market.owed)),
        ("close_ts", time(market.close_ts)),
        ("first_window", number(market.first_window)),
        ("last_window", number(market.last_window)),
        ("next_window", number(market.next_window)),
        ("observed", number(market.observed)),
        ("accumulator", number(market.accumulator)),
        ("value", number(market.value)),
        ("winnings", number(market.winnings)),
        ("protocol_credit", number(market.protocol_credit)),
        ("creator_credit", number(market.creator_credit)),
        ("positions", number(market.positions)),
        ("model_version", number(market.model_version)),
        ("protocol_fee_bps", number(market.protocol_fee_bps)),
        ("creator_fee_bps", number(market.creator_fee_bps)),
        ("aggregate", number(aggregate)),
        ("state", number(state)),
        ("outcome", number(market.outcome)),
    ];
    for place in 0..usize::from(market.threshold_count) {
        lines.push(("threshold", number(market.thresholds[place])));
    }
    for place in 0..=usize::from(market.threshold_count) {
        lines.push(("pool", number(market.pools[place])));
    }
    lines
}

fn told_of_vault(vault: &driftshield_sdk::Vault) -> Lines {
    let ends = vault.ends.iter().map(|end| end.get()).sum::<u128>();
    vec![
        ("manager", Value::Key(vault.manager)),
        ("mint", Value::Key(vault.mint)),
        ("assets", number(vault.assets)),
        ("locked", number(vault.locked)),
        ("unearned", number(vault.unearned)),
        ("shares", number(vault.shares)),
        ("escrowed", number(vault.escrowed)),
        ("protocol_credit", number(vault.protocol_credit)),
        ("manager_credit", number(vault.manager_credit)),
        ("policies", number(vault.policies)),
        ("exposures", number(vault.exposures)),
        ("requests", number(vault.requests)),
        ("created_at", time(vault.created_at)),
        ("cooldown_secs", time(vault.cooldown_secs)),
        ("waiting_secs", time(vault.waiting_secs)),
        ("claim_grace_secs", time(vault.claim_grace_secs)),
        ("bucket_secs", time(vault.bucket_secs)),
        ("accrued_at", time(vault.accrued_at)),
        ("terms", Value::Vault(vault.terms)),
        ("terms_at", time(vault.terms_at)),
        ("rate", number(vault.rate.get())),
        ("rate that ends", number(ends)),
        ("fraction", number(vault.fraction)),
        ("protocol_fee_bps", number(vault.protocol_fee_bps)),
        ("manager_fee_bps", number(vault.manager_fee_bps)),
    ]
}

fn told_of_policy(policy: &driftshield_sdk::Policy) -> Lines {
    vec![
        ("vault", Value::Key(policy.vault)),
        ("model", Value::Key(policy.model)),
        ("holder", Value::Key(policy.holder)),
        ("cover", number(policy.cover)),
        ("paid", number(policy.paid)),
        ("trigger", number(policy.trigger)),
        ("exhaustion", number(policy.exhaustion)),
        ("premium", number(policy.premium)),
        ("max_premium", number(policy.max_premium)),
        ("first_window", number(policy.first_window)),
        ("last_window", number(policy.last_window)),
        ("windows", number(policy.windows)),
        ("claim_grace_secs", time(policy.claim_grace_secs)),
        ("rate", number(policy.term.rate.get())),
        ("part", number(policy.term.part)),
        ("start", time(policy.term.start)),
        ("end", time(policy.term.end)),
        ("previous rate", number(policy.previous_term.rate.get())),
        ("previous part", number(policy.previous_term.part)),
        ("previous start", time(policy.previous_term.start)),
        ("previous end", time(policy.previous_term.end)),
        ("model_version", number(policy.model_version)),
        ("cancel_fee_bps", number(policy.cancel_fee_bps)),
        ("persistence", number(policy.persistence)),
        ("auto_renew", number(policy.auto_renew.get())),
    ]
}

/// The same of every account that should be there, as the books tell it.
pub fn expected(books: &Books) -> Vec<(Address, Lines)> {
    let mut all = Vec::new();
    if let Some(config) = &books.config {
        let lines = vec![
            ("admin", Value::Key(config.admin)),
            (
                "pending_admin",
                Value::Key(config.pending_admin.unwrap_or_default()),
            ),
            ("guardian", Value::Key(config.guardian)),
            ("arbiter", Value::Key(config.arbiter)),
            ("params", Value::Config(Box::new(config.params))),
            ("paused", number(config.paused)),
        ];
        all.push((config_address(), lines));
    }
    for (mint, collateral) in &books.collaterals {
        let lines = vec![
            ("mint", Value::Key(*mint)),
            ("terms", Value::Collateral(collateral.terms)),
            ("enabled", number(collateral.enabled)),
            ("accepts_freeze", number(collateral.accepts_freeze)),
        ];
        all.push((collateral.address, lines));
    }
    for at in books.models.keys() {
        all.push((*at, expected_of_model(books, at)));
    }
    for (at, seat) in &books.seats {
        let lines = vec![
            ("model", Value::Key(seat.model)),
            ("oracle", Value::Key(seat.oracle)),
            ("bonded", number(seat.bonded)),
            ("unbonding", number(seat.unbonding)),
            ("release_at", time(seat.release_at)),
            ("submissions", number(seat.submissions)),
            ("slashes", number(seat.slashes)),
        ];
        all.push((*at, lines));
    }
    for at in books.receipts.keys() {
        all.push((*at, expected_of_receipt(books, at)));
    }
    for at in books.markets.keys() {
        all.push((*at, expected_of_market(books, at)));
    }
    for (at, position) in &books.positions {
        let mut lines = vec![
            ("market", Value::Key(position.market)),
            ("owner", Value::Key(position.owner)),
        ];
        let stakes = (0..8).map(|place| position.stakes.get(place).copied().unwrap_or(0));
        lines.extend(stakes.map(|stake| ("stake", number(stake))));
        all.push((*at, lines));
    }
    for at in books.vaults.keys() {
        all.push((*at, expected_of_vault(books, at)));
    }
    for (at, exposure) in &books.exposures {
        let policies: Vec<_> = books
            .policies_of(&exposure.vault, Some(&exposure.model))
            .collect();
        let cover: u128 = policies.iter().map(|policy| policy.open_cover()).sum();
        let lines = vec![
            ("vault", Value::Key(exposure.vault)),
            ("model", Value::Key(exposure.model)),
            ("cap", number(exposure.cap)),
            ("lowest_trigger", number(exposure.lowest_trigger)),
            ("cover", number(cover)),
            ("policies", number(policies.len() as u64)),
            ("listed_at", time(exposure.listed_at)),
            ("active_at", time(exposure.active_at)),
            ("model_version", number(exposure.version)),
        ];
        all.push((*at, lines));
    }
    for (at, request) in &books.requests {
        let lines = vec![
            ("vault", Value::Key(request.vault)),
            ("owner", Value::Key(request.owner)),
            ("shares", number(request.shares)),
            ("value", number(request.value)),
            ("unlock_at", time(request.unlock_at)),
        ];
        all.push((*at, lines));
    }
    for at in books.policies.keys() {
        all.push((*at, expected_of_policy(books, at)));
    }
    all
}

/// Of the only one; looking for a bump at each step would take longer than all else here.
fn config_address() -> Address {
    static ADDRESS: std::sync::OnceLock<Address> = std::sync::OnceLock::new();
    *ADDRESS.get_or_init(address::config)
}

fn expected_of_model(books: &Books, at: &Address) -> Lines {
    let model = &books.models[at];
    let told = model.statistics();
    let (latest_window, latest) = model.latest.unwrap_or((0, 0));
    let mut lines = vec![
        ("owner", Value::Key(model.owner)),
        ("bond_mint", Value::Key(model.mint)),
        ("arbiter", Value::Key(model.arbiter)),
        ("chain", Value::Hash(model.chain)),
        ("genesis", time(model.genesis)),
        ("window_secs", time(model.window_secs)),
        ("max_spread", number(model.max_spread)),
        ("held", number(books.held(at))),
        ("security", number(model.security())),
        ("at_risk", number(books.at_risk(at))),
        ("exposure", number(books.exposure_of(at) as u64)),
        ("open_receipts", number(books.open_receipts(at) as u64)),
        ("final_count", number(told.count as u64)),
        ("last_value", number(told.last)),
        ("last_window", number(told.last_window)),
        ("latest", number(latest)),
        ("latest_window", number(latest_window)),
        ("max_value", number(told.max)),
        ("ewma", number(told.ewma)),
        ("version", number(model.version)),
        ("retired", number(model.is_retired)),
        ("quorum", number(model.quorum as u64)),
        ("challenge_bond", number(model.challenge_bond)),
    ];
    for oracle in &model.oracles {
        lines.push(("oracle", Value::Key(*oracle)));
        lines.push(("bond", number(model.standing[oracle])));
    }
    lines
}

fn expected_of_receipt(books: &Books, at: &Address) -> Lines {
    let receipt = &books.receipts[at];
    let state = match receipt.state {
        State::Collecting => 0u8,
        State::Proposed => 1,
        State::Challenged => 2,
        State::Final => 3,
        State::Void => 4,
    };
    let mut lines = vec![
        ("model", Value::Key(receipt.model)),
        ("payer", Value::Key(receipt.payer)),
        (
            "challenger",
            Value::Key(receipt.challenger.unwrap_or_default()),
        ),
        ("window", number(receipt.window)),
        ("version", number(receipt.version)),
        ("state", number(state)),
        ("since", time(receipt.since)),
        ("value", number(receipt.value)),
        ("challenger_credit", number(receipt.challenger_credit)),
        ("treasury_credit", number(receipt.treasury_credit)),
    ];
    for (place, submission) in &receipt.submissions {
        lines.push(("oracle", number(*place as u64)));
        lines.push(("submitted", number(submission.value)));
        lines.push(("samples", number(submission.samples)));
        lines.push(("evidence", Value::Hash(submission.evidence)));
    }
    lines
}

fn expected_of_market(books: &Books, at: &Address) -> Lines {
    let market = &books.markets[at];
    let (state, outcome, value) = match market.end {
        None => (0u8, 0, 0),
        Some(MarketEnd::Resolved { outcome, value }) => (1, outcome, value),
        Some(MarketEnd::Void { value }) => (2, 0, value),
    };
    let aggregate = match market.terms.aggregate {
        Aggregate::Max => 0u8,
        Aggregate::Last => 1,
        Aggregate::Mean => 2,
    };
    let mut lines = vec![
        ("creator", Value::Key(market.creator)),
        ("model", Value::Key(market.model)),
        ("mint", Value::Key(market.mint)),
        ("total", number(market.total())),
        ("owed", number(market.owed())),
        ("close_ts", time(market.terms.close_ts)),
        ("first_window", number(market.terms.first_window)),
        ("last_window", number(market.terms.last_window)),
        ("next_window", number(market.next_window)),
        ("observed", number(market.observed.len() as u64)),
        ("accumulator", number(market.accumulator())),
        ("value", number(value)),
        ("winnings", number(market.winnings())),
        ("protocol_credit", number(market.protocol_credit)),
        ("creator_credit", number(market.creator_credit)),
        ("positions", number(books.positions_of(at).count() as u64)),
        ("model_version", number(market.terms.model_version)),
        ("protocol_fee_bps", number(market.protocol_fee_bps)),
        ("creator_fee_bps", number(market.terms.creator_fee_bps)),
        ("aggregate", number(aggregate)),
        ("state", number(state)),
        ("outcome", number(outcome as u64)),
    ];
    for threshold in &market.terms.thresholds {
        lines.push(("threshold", number(*threshold)));
    }
    lines.extend(market.pools.iter().map(|pool| ("pool", number(*pool))));
    lines
}

fn expected_of_vault(books: &Books, at: &Address) -> Lines {
    let vault = &books.vaults[at];
    let count = |of: usize| number(of as u64);
    let exposures = books.exposures.values();
    vec![
        ("manager", Value::Key(vault.manager)),
        ("mint", Value::Key(vault.mint)),
        ("assets", number(vault.assets)),
        ("locked", number(books.locked(at))),
        ("unearned", number(vault.unearned)),
        ("shares", number(vault.shares)),
        ("escrowed", number(books.escrowed(at))),
        ("protocol_credit", number(vault.protocol_credit)),
        ("manager_credit", number(vault.manager_credit)),
        ("policies", count(books.policies_of(at, None).count())),
        (
            "exposures",
            count(exposures.filter(|exposure| exposure.vault == *at).count()),
        ),
        ("requests", count(books.requests_of(at).count())),
        ("created_at", time(vault.created_at)),
        ("cooldown_secs", time(vault.cooldown_secs)),
        ("waiting_secs", time(vault.waiting_secs)),
        ("claim_grace_secs", time(vault.claim_grace_secs)),
        ("bucket_secs", time(vault.bucket_secs)),
        ("accrued_at", time(vault.accrued_at)),
        ("terms", Value::Vault(vault.terms)),
        ("terms_at", time(vault.next_terms.map_or(0, |(_, at)| at))),
        ("rate", number(vault.rate())),
        ("rate that ends", number(vault.rate())),
        ("fraction", number(vault.fraction)),
        ("protocol_fee_bps", number(vault.protocol_fee_bps)),
        ("manager_fee_bps", number(vault.manager_fee_bps)),
    ]
}

fn expected_of_policy(books: &Books, at: &Address) -> Lines {
    let policy = &books.policies[at];
    let term = &policy.term;
    let previous = policy.previous_term.as_ref();
    let of_previous = |of: fn(&super::books::Stream) -> u128| number(previous.map_or(0, of));
    vec![
        ("vault", Value::Key(policy.vault)),
        ("model", Value::Key(policy.model)),
        ("holder", Value::Key(policy.holder)),
        ("cover", number(policy.cover)),
        ("paid", number(policy.paid)),
        ("trigger", number(policy.terms.trigger)),
        ("exhaustion", number(policy.terms.exhaustion)),
        ("premium", number(policy.premium)),
        ("max_premium", number(policy.terms.max_premium)),
        ("first_window", number(policy.first_window)),
        ("last_window", number(policy.last_window)),
        ("windows", number(policy.terms.windows)),
        ("claim_grace_secs", time(policy.claim_grace_secs)),
        ("rate", number(term.rate)),
        ("part", number(term.part)),
        ("start", time(term.start)),
        ("end", time(term.term_end)),
        ("previous rate", of_previous(|term| term.rate)),
        ("previous part", of_previous(|term| term.part)),
        ("previous start", of_previous(|term| term.start as u128)),
        ("previous end", of_previous(|term| term.term_end as u128)),
        ("model_version", number(policy.terms.model_version)),
        ("cancel_fee_bps", number(policy.cancel_fee_bps)),
        ("persistence", number(policy.terms.persistence)),
        ("auto_renew", number(policy.terms.auto_renew)),
    ]
}
