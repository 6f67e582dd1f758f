//! The compared fields of accounts on chain.

use driftshield_sdk::{Account, Aggregate, MarketState, ModelStatus, ReceiptState};

use super::{Fields, Value, number, time};

/// The fields of an account.
pub fn fields(account: &Account) -> Fields {
    match account {
        Account::Config(config) => vec![
            ("admin", Value::Key(config.admin)),
            ("pending_admin", Value::Key(config.pending_admin)),
            ("guardian", Value::Key(config.guardian)),
            ("arbiter", Value::Key(config.arbiter)),
            ("pending_arbiter", Value::Key(config.pending_arbiter)),
            ("params", Value::Config(Box::new(config.params))),
            ("paused", number(config.paused)),
        ],
        Account::Collateral(collateral) => vec![
            ("mint", Value::Key(collateral.mint)),
            ("terms", Value::Collateral(collateral.terms)),
            ("enabled", number(collateral.enabled.get())),
            ("accepts_freeze", number(collateral.accepts_freeze.get())),
        ],
        Account::Model(model) => model_fields(model),
        Account::Seat(seat) => vec![
            ("model", Value::Key(seat.model)),
            ("oracle", Value::Key(seat.oracle)),
            ("bonded", number(seat.bonded)),
            ("unbonding", number(seat.unbonding)),
            ("release_at", time(seat.release_at)),
            ("submissions", number(seat.submissions)),
            ("slashes", number(seat.slashes)),
        ],
        Account::Receipt(receipt) => receipt_fields(receipt),
        Account::Series(series) => series_fields(series),
        Account::Market(market) => market_fields(market),
        Account::Position(position) => {
            let mut fields = vec![
                ("market", Value::Key(position.market)),
                ("owner", Value::Key(position.owner)),
            ];
            fields.extend(position.stakes.map(|stake| ("stake", number(stake))));
            for ask in position.asks {
                fields.push(("ask", number(ask.amount)));
                fields.push(("price", number(ask.price)));
                fields.push(("valid_until", time(ask.valid_until)));
                fields.push(("reports", number(ask.reports)));
            }
            fields
        }
        Account::Vault(vault) => vault_fields(vault),
        Account::Exposure(exposure) => vec![
            ("vault", Value::Key(exposure.vault)),
            ("model", Value::Key(exposure.model)),
            ("cap", number(exposure.cap)),
            ("lowest_trigger", number(exposure.lowest_trigger)),
            ("max_persistence", number(exposure.max_persistence)),
            ("cover", number(exposure.cover)),
            ("policies", number(exposure.policies)),
            ("listed_at", time(exposure.listed_at)),
            ("active_at", time(exposure.active_at)),
            ("model_version", number(exposure.model_version)),
        ],
        Account::WithdrawRequest(request) => vec![
            ("vault", Value::Key(request.vault)),
            ("owner", Value::Key(request.owner)),
            ("value", number(request.value)),
            ("index", number(request.index)),
            ("scale", number(request.scale)),
            ("shares", number(request.shares)),
            ("unlock_at", time(request.unlock_at)),
            ("lapses_at", time(request.lapses_at)),
            ("is_short", number(request.is_short.get())),
            ("reserved_until", time(request.reserved_until)),
        ],
        Account::Policy(policy) => policy_fields(policy),
    }
}

fn model_fields(model: &driftshield_sdk::Model) -> Fields {
    let mut fields = vec![
        ("owner", Value::Key(model.owner)),
        ("bond_mint", Value::Key(model.bond_mint)),
        ("arbiter", Value::Key(model.arbiter)),
        ("chain", Value::Hash(model.chain)),
        ("genesis", time(model.genesis)),
        ("window_secs", time(model.window_secs)),
        ("max_spread", number(model.max_spread)),
        ("held", number(model.held)),
        ("security", number(model.security)),
        ("lasting_security", number(model.lasting_security)),
        ("replaced", number(model.replaced)),
        ("market_risk", number(model.market_risk)),
        ("cover_risk", number(model.cover_risk)),
        ("security_rent_bps", number(model.security_rent_bps)),
        ("market_budget_bps", number(model.market_budget_bps)),
        ("cover_budget_bps", number(model.cover_budget_bps)),
        ("exposure", number(model.exposure)),
        ("open_receipts", number(model.open_receipts)),
        ("final_count", number(model.final_count)),
        ("last_value", number(model.last_value)),
        ("last_window", number(model.last_window)),
        ("latest", number(model.latest)),
        ("latest_window", number(model.latest_window)),
        ("max_value", number(model.max_value)),
        ("ewma", number(model.ewma)),
        ("reports", number(model.reports)),
        ("version", number(model.version)),
        ("retired", number(model.status == ModelStatus::Retired)),
        ("quorum", number(model.quorum)),
        ("challenge_bond", number(model.challenge_bond)),
        ("absence_penalty", number(model.absence_penalty)),
        ("exposed_since", time(model.exposed_since)),
        ("observed_from", number(model.observed_from)),
        ("observed_until", number(model.observed_until)),
    ];
    for index in 0..usize::from(model.oracle_count) {
        fields.push(("oracle", Value::Key(model.oracles[index])));
        fields.push(("bond", number(model.bonds[index])));
        let tenure = &model.tenures[index];
        fields.push(("listed_at", time(tenure.listed_at)));
        fields.push(("counts", number(tenure.counts)));
        fields.push(("counts_since", time(tenure.counts_since)));
        fields.push(("stopped_at", time(tenure.stopped_at)));
        fields.push(("counted_since", time(tenure.counted_since)));
        fields.push(("counted_until", time(tenure.counted_until)));
        fields.push(("leave_at", time(tenure.leave_at)));
        fields.push(("open_submissions", number(tenure.open_submissions)));
        fields.push(("reward", number(model.rewards[index])));
        fields.push(("penalty", number(model.penalties[index])));
    }
    let pot = &model.pot;
    fields.extend([
        ("waiting", number(pot.waiting)),
        ("unearned", number(pot.unearned)),
        ("until", time(pot.until)),
        ("epoch", number(pot.epoch)),
        ("epoch_windows", number(pot.epoch_windows)),
        ("previous_rate", number(pot.previous_rate)),
        ("epoch rate", number(pot.rate)),
        ("next_rate", number(pot.next_rate)),
        ("end_epoch", number(pot.end_epoch)),
    ]);
    fields
}

fn receipt_fields(receipt: &driftshield_sdk::Receipt) -> Fields {
    let state = match receipt.state.into() {
        ReceiptState::Collecting => 0u8,
        ReceiptState::Proposed => 1,
        ReceiptState::Challenged => 2,
        ReceiptState::Final => 3,
        ReceiptState::Void => 4,
        ReceiptState::Thin => 5,
    };
    let mut fields = vec![
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
        ("pay", number(receipt.pay)),
        ("earners", number(receipt.earners)),
        ("asserted", number(receipt.asserted)),
        ("asserts_thin", number(receipt.asserts_thin.get())),
        ("reward", number(receipt.reward)),
        ("appeal_until", time(receipt.appeal_until)),
    ];
    for index in receipt.slashed() {
        fields.push(("slashed", number(index as u64)));
        fields.push(("held", number(receipt.held[index])));
    }
    for index in 0..receipt.penalties.len() {
        if receipt.silent & (1 << index) != 0 {
            fields.push(("silent", number(index as u64)));
            fields.push(("penalty", number(receipt.penalties[index])));
        }
    }
    for index in 0..receipt.values.len() {
        if receipt.submitted & (1 << index) != 0 {
            fields.push(("oracle", number(index as u64)));
            fields.push(("submitted", number(receipt.values[index])));
            fields.push(("thin", number(receipt.thin >> index & 1)));
            fields.push(("samples", number(receipt.samples[index])));
            fields.push(("evidence", Value::Hash(receipt.evidence[index])));
        }
    }
    fields
}

fn series_fields(series: &driftshield_sdk::Series) -> Fields {
    let mut fields = vec![
        ("model", Value::Key(series.model)),
        ("payer", Value::Key(series.payer)),
        ("page", number(series.page)),
    ];
    for (index, word) in series.entries.iter().enumerate() {
        if *word != 0 {
            fields.push(("window", number(256 * series.page + index as u64)));
            fields.push(("state", number(word >> 56)));
            fields.push(("value", number(word & 0xff_ffff_ffff_ffff)));
        }
    }
    fields
}

fn market_fields(market: &driftshield_sdk::Market) -> Fields {
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
    let mut fields = vec![
        ("creator", Value::Key(market.creator)),
        ("model", Value::Key(market.model)),
        ("mint", Value::Key(market.mint)),
        ("total", number(market.total)),
        ("owed", number(market.owed)),
        ("close_ts", time(market.close_ts)),
        ("first_window", number(market.first_window)),
        ("last_window", number(market.last_window)),
        ("min_observed", number(market.min_observed)),
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
    for index in 0..usize::from(market.threshold_count) {
        fields.push(("threshold", number(market.thresholds[index])));
    }
    for index in 0..=usize::from(market.threshold_count) {
        fields.push(("pool", number(market.pools[index])));
    }
    fields
}

fn vault_fields(vault: &driftshield_sdk::Vault) -> Fields {
    // What has begun ends, and what begins later ends too.
    let changes = vault.rate_changes.iter().map(|change| change.get());
    let ends = changes.sum::<i128>().unsigned_abs();
    vec![
        ("manager", Value::Key(vault.manager)),
        ("mint", Value::Key(vault.mint)),
        ("assets", number(vault.assets)),
        ("locked", number(vault.locked)),
        ("pending_losses", number(vault.pending_losses)),
        (
            "losses in the ring",
            number(vault.losses.iter().sum::<u64>()),
        ),
        ("unearned", number(vault.unearned)),
        ("held", number(vault.held)),
        ("set_aside", number(vault.set_aside)),
        ("shares", number(vault.shares)),
        ("leaving", number(vault.leaving)),
        ("leaving_index", number(vault.leaving_index)),
        ("leaving_scale", number(vault.leaving_scale)),
        ("seasoned", number(vault.seasoned)),
        ("reserved_shares", number(vault.reserved_shares)),
        ("revision", number(vault.revision)),
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
        ("exit_secs", time(vault.exit_secs)),
        ("season_secs", time(vault.season_secs)),
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

fn policy_fields(policy: &driftshield_sdk::Policy) -> Fields {
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
        ("examined_until", number(policy.examined_until)),
        ("returned_until", number(policy.returned_until)),
        ("peak", number(policy.peak)),
        ("peak_window", number(policy.peak_window)),
        ("worth", number(policy.worth)),
        ("last drift", number(policy.recent[0])),
        ("drift before", number(policy.recent[1])),
        ("drift before that", number(policy.recent[2])),
        ("unmeasured", number(policy.unmeasured)),
        ("unmeasured_windows", number(policy.unmeasured_windows)),
        ("pending premium", number(policy.pending.premium)),
        ("pending start", time(policy.pending.start)),
        ("pending end", time(policy.pending.end)),
        ("pending from_window", number(policy.pending.from_window)),
        ("rate", number(policy.term.rate.get())),
        ("part", number(policy.term.part)),
        ("start", time(policy.term.start)),
        ("end", time(policy.term.end)),
        ("begins_at", time(policy.term.begins_at)),
        ("ends_at", time(policy.term.ends_at)),
        ("model_version", number(policy.model_version)),
        ("cancel_fee_bps", number(policy.cancel_fee_bps)),
        ("persistence", number(policy.persistence)),
        ("auto_renew", number(policy.auto_renew.get())),
    ]
}
