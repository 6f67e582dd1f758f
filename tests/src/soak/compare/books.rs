//! The compared fields of accounts in the books.

use driftshield_sdk::{Address, Aggregate, address};

use super::{Fields, Value, number, time};
use crate::soak::books::{
    Books, MarketEnd, Pot, ReceiptState, Stream, Waiting, WindowEnd, windows_of_page,
};

/// The address and the fields of every account.
pub fn fields(books: &Books) -> Vec<(Address, Fields)> {
    let mut all = Vec::new();
    if let Some(config) = &books.config {
        let fields = vec![
            ("admin", Value::Key(config.admin)),
            (
                "pending_admin",
                Value::Key(config.pending_admin.unwrap_or_default()),
            ),
            ("guardian", Value::Key(config.guardian)),
            ("arbiter", Value::Key(config.arbiter)),
            (
                "pending_arbiter",
                Value::Key(config.pending_arbiter.unwrap_or_default()),
            ),
            ("params", Value::Config(Box::new(config.params))),
            ("paused", number(config.paused)),
        ];
        all.push((config_address(), fields));
    }
    for (mint, collateral) in &books.collaterals {
        let fields = vec![
            ("mint", Value::Key(*mint)),
            ("terms", Value::Collateral(collateral.terms)),
            ("enabled", number(collateral.enabled)),
            ("accepts_freeze", number(collateral.accepts_freeze)),
        ];
        all.push((collateral.address, fields));
    }
    for address in books.models.keys() {
        all.push((*address, model_fields(books, address)));
    }
    for (address, seat) in &books.seats {
        let fields = vec![
            ("model", Value::Key(seat.model)),
            ("oracle", Value::Key(seat.oracle)),
            ("bonded", number(seat.bonded)),
            ("unbonding", number(seat.unbonding)),
            ("release_at", time(seat.release_at)),
            ("submissions", number(seat.submissions)),
            ("slashes", number(seat.slashes)),
        ];
        all.push((*address, fields));
    }
    for address in books.receipts.keys() {
        all.push((*address, receipt_fields(books, address)));
    }
    for address in books.series.keys() {
        all.push((*address, series_fields(books, address)));
    }
    for address in books.markets.keys() {
        all.push((*address, market_fields(books, address)));
    }
    for (address, position) in &books.positions {
        let mut fields = vec![
            ("market", Value::Key(position.market)),
            ("owner", Value::Key(position.owner)),
        ];
        let stakes = (0..8).map(|index| position.stakes.get(index).copied().unwrap_or(0));
        fields.extend(stakes.map(|stake| ("stake", number(stake))));
        for outcome in 0..8 {
            let ask = position.asks.get(&outcome).copied().unwrap_or_default();
            fields.push(("ask", number(ask.amount)));
            fields.push(("price", number(ask.price)));
            fields.push(("valid_until", time(ask.valid_until)));
            fields.push(("reports", number(ask.reports)));
        }
        all.push((*address, fields));
    }
    for address in books.vaults.keys() {
        all.push((*address, vault_fields(books, address)));
    }
    for (address, exposure) in &books.exposures {
        let policies: Vec<_> = books
            .policies_of(&exposure.vault, Some(&exposure.model))
            .collect();
        let cover: u128 = policies.iter().map(|policy| policy.open_cover()).sum();
        let fields = vec![
            ("vault", Value::Key(exposure.vault)),
            ("model", Value::Key(exposure.model)),
            ("cap", number(exposure.cap)),
            ("lowest_trigger", number(exposure.lowest_trigger)),
            ("max_persistence", number(exposure.max_persistence)),
            ("cover", number(cover)),
            ("policies", number(policies.len() as u64)),
            ("listed_at", time(exposure.listed_at)),
            ("active_at", time(exposure.active_at)),
            ("model_version", number(exposure.version)),
        ];
        all.push((*address, fields));
    }
    for (address, request) in &books.requests {
        let fields = vec![
            ("vault", Value::Key(request.vault)),
            ("owner", Value::Key(request.owner)),
            ("value", number(request.value)),
            ("index", number(request.index)),
            ("scale", number(request.scale)),
            ("shares", number(request.shares)),
            ("unlock_at", time(request.unlock_at)),
            ("lapses_at", time(request.lapses_at)),
            ("is_short", number(request.is_short)),
            (
                "reserved_until",
                time(request.reserved_until.unwrap_or_default()),
            ),
        ];
        all.push((*address, fields));
    }
    for address in books.policies.keys() {
        all.push((*address, policy_fields(books, address)));
    }
    all
}

/// The address of the config, cached: deriving it at each step would take longer than the comparison.
fn config_address() -> Address {
    static ADDRESS: std::sync::OnceLock<Address> = std::sync::OnceLock::new();
    *ADDRESS.get_or_init(address::config)
}

fn model_fields(books: &Books, address: &Address) -> Fields {
    let model = &books.models[address];
    let statistics = model.statistics();
    let (latest_window, latest) = model.latest.unwrap_or((0, 0));
    let mut fields = vec![
        ("owner", Value::Key(model.owner)),
        ("bond_mint", Value::Key(model.mint)),
        ("arbiter", Value::Key(model.arbiter)),
        ("chain", Value::Hash(model.chain)),
        ("genesis", time(model.genesis)),
        ("window_secs", time(model.window_secs)),
        ("max_spread", number(model.max_spread)),
        ("held", number(books.held(address))),
        ("security", number(model.security())),
        ("lasting_security", number(model.lasting_security())),
        ("replaced", number(model.replaced as u64)),
        ("market_risk", number(books.market_risk(address))),
        ("cover_risk", number(books.cover_risk(address))),
        ("security_rent_bps", number(model.rent_bps)),
        ("market_budget_bps", number(model.market_budget_bps)),
        ("cover_budget_bps", number(model.cover_budget_bps)),
        ("exposure", number(books.exposure_of(address) as u64)),
        ("open_receipts", number(books.open_receipts(address) as u64)),
        ("final_count", number(statistics.count as u64)),
        ("last_value", number(statistics.last)),
        ("last_window", number(statistics.last_window)),
        ("latest", number(latest)),
        ("latest_window", number(latest_window)),
        ("max_value", number(statistics.max)),
        ("ewma", number(statistics.ewma)),
        ("reports", number(model.reports)),
        ("version", number(model.version)),
        ("retired", number(model.is_retired)),
        ("quorum", number(model.quorum as u64)),
        ("challenge_bond", number(model.challenge_bond)),
        ("absence_penalty", number(model.absence_penalty)),
        ("exposed_since", time(model.episode.since)),
        ("observed_from", number(model.episode.first)),
        ("observed_until", number(model.episode.last)),
    ];
    for oracle in &model.oracles {
        fields.push(("oracle", Value::Key(*oracle)));
        fields.push(("bond", number(model.active_bonds[oracle])));
        let standing = &model.standings[oracle];
        let open = books.open_submissions(address, oracle);
        fields.push(("listed_at", time(standing.listed_at)));
        fields.push(("counts", number(standing.counts)));
        fields.push(("counts_since", time(standing.started_at.unwrap_or(0))));
        fields.push(("stopped_at", time(standing.stopped_at.unwrap_or(0))));
        let (counted_since, counted_until) = standing.before.unwrap_or_default();
        fields.push(("counted_since", time(counted_since)));
        fields.push(("counted_until", time(counted_until)));
        fields.push(("leave_at", time(standing.leaves_at.unwrap_or(0))));
        fields.push(("open_submissions", number(open as u64)));
        let reward = model.rewards.get(oracle).copied().unwrap_or(0);
        fields.push(("reward", number(reward)));
        let penalty = model.penalties.get(oracle).copied().unwrap_or(0);
        fields.push(("penalty", number(penalty)));
    }
    fields.extend(pot_fields(&model.pot));
    fields
}

fn pot_fields(pot: &Pot) -> Fields {
    let (next_rate, end_epoch) = pot.later();
    let rates = [pot.epoch.saturating_sub(1), pot.epoch].map(|epoch| pot.rate(epoch));
    vec![
        ("waiting", number(pot.waiting())),
        ("unearned", number(pot.unearned())),
        ("until", time(pot.until)),
        ("epoch", number(pot.epoch)),
        ("epoch_windows", number(pot.epoch_windows)),
        ("previous_rate", number(rates[0])),
        ("epoch rate", number(rates[1])),
        ("next_rate", number(next_rate)),
        ("end_epoch", number(end_epoch)),
    ]
}

fn receipt_fields(books: &Books, address: &Address) -> Fields {
    let receipt = &books.receipts[address];
    let state = match receipt.state {
        ReceiptState::Collecting => 0u8,
        ReceiptState::Proposed => 1,
        ReceiptState::Challenged => 2,
        ReceiptState::Final => 3,
        ReceiptState::Void => 4,
        ReceiptState::Thin => 5,
    };
    let earners = receipt.earners.iter();
    let earners = earners.fold(0u8, |bits, oracle| bits | 1 << oracle);
    let mut fields = vec![
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
        ("pay", number(receipt.pay)),
        ("earners", number(earners)),
        ("asserted", number(receipt.asserted.unwrap_or(0))),
        (
            "asserts_thin",
            number(receipt.challenger.is_some() && receipt.asserted.is_none()),
        ),
        ("reward", number(receipt.reward)),
        ("appeal_until", time(receipt.appeal_until.unwrap_or(0))),
    ];
    for (index, amount) in &receipt.held {
        fields.push(("slashed", number(*index as u64)));
        fields.push(("held", number(*amount)));
    }
    for (index, amount) in &receipt.penalties {
        fields.push(("silent", number(*index as u64)));
        fields.push(("penalty", number(*amount)));
    }
    for (index, submission) in &receipt.submissions {
        fields.push(("oracle", number(*index as u64)));
        fields.push(("submitted", number(submission.value.unwrap_or(0))));
        fields.push(("thin", number(submission.value.is_none())));
        fields.push(("samples", number(submission.samples)));
        fields.push(("evidence", Value::Hash(submission.evidence)));
    }
    fields
}

fn series_fields(books: &Books, address: &Address) -> Fields {
    let series = &books.series[address];
    let mut fields = vec![
        ("model", Value::Key(series.model)),
        ("payer", Value::Key(series.payer)),
        ("page", number(series.page)),
    ];
    for window in windows_of_page(256 * series.page) {
        let (state, value) = match series.ends.get(&window) {
            None if books.has_open_receipt(&series.model, window) => (1u8, 0),
            None => continue,
            Some(WindowEnd::Final(value)) => (2, *value),
            Some(WindowEnd::Void) => (3, 0),
            Some(WindowEnd::Thin) => (4, 0),
        };
        fields.push(("window", number(window)));
        fields.push(("state", number(state)));
        fields.push(("value", number(value)));
    }
    fields
}

fn market_fields(books: &Books, address: &Address) -> Fields {
    let market = &books.markets[address];
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
    let mut fields = vec![
        ("creator", Value::Key(market.creator)),
        ("model", Value::Key(market.model)),
        ("mint", Value::Key(market.mint)),
        ("total", number(market.total())),
        ("owed", number(market.owed())),
        ("close_ts", time(market.terms.close_ts)),
        ("first_window", number(market.terms.first_window)),
        ("last_window", number(market.terms.last_window)),
        ("min_observed", number(market.terms.min_observed)),
        ("next_window", number(market.next_window)),
        ("observed", number(market.observed.len() as u64)),
        ("accumulator", number(market.accumulator())),
        ("value", number(value)),
        ("winnings", number(market.winnings())),
        ("protocol_credit", number(market.protocol_credit)),
        ("creator_credit", number(market.creator_credit)),
        (
            "positions",
            number(books.positions_of(address).count() as u64),
        ),
        ("model_version", number(market.terms.model_version)),
        ("protocol_fee_bps", number(market.protocol_fee_bps)),
        ("creator_fee_bps", number(market.terms.creator_fee_bps)),
        ("aggregate", number(aggregate)),
        ("state", number(state)),
        ("outcome", number(outcome as u64)),
    ];
    for threshold in &market.terms.thresholds {
        fields.push(("threshold", number(*threshold)));
    }
    fields.extend(market.pools.iter().map(|pool| ("pool", number(*pool))));
    fields
}

fn vault_fields(books: &Books, address: &Address) -> Fields {
    let vault = &books.vaults[address];
    let count = |count: usize| number(count as u64);
    let exposures = books.exposures.values();
    vec![
        ("manager", Value::Key(vault.manager)),
        ("mint", Value::Key(vault.mint)),
        ("assets", number(vault.assets)),
        ("locked", number(books.locked(address))),
        ("pending_losses", number(vault.pending())),
        ("losses in the ring", number(vault.pending())),
        ("unearned", number(vault.unearned)),
        ("held", number(books.premiums_held(address))),
        ("set_aside", number(books.set_aside(address))),
        ("shares", number(vault.shares)),
        ("leaving", number(vault.leaving)),
        ("leaving_index", number(vault.index)),
        ("leaving_scale", number(vault.scale)),
        ("seasoned", number(vault.seasoned)),
        ("reserved_shares", number(books.reserved(address))),
        ("revision", number(vault.revision)),
        ("protocol_credit", number(vault.protocol_credit)),
        ("manager_credit", number(vault.manager_credit)),
        ("policies", count(books.policies_of(address, None).count())),
        (
            "exposures",
            count(
                exposures
                    .filter(|exposure| exposure.vault == *address)
                    .count(),
            ),
        ),
        ("requests", count(books.requests_of(address).count())),
        ("created_at", time(vault.created_at)),
        ("cooldown_secs", time(vault.cooldown_secs)),
        ("waiting_secs", time(vault.waiting_secs)),
        ("claim_grace_secs", time(vault.claim_grace_secs)),
        ("bucket_secs", time(vault.bucket_secs)),
        ("exit_secs", time(vault.exit_secs)),
        ("season_secs", time(vault.season_secs)),
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

fn policy_fields(books: &Books, address: &Address) -> Fields {
    let policy = &books.policies[address];
    let of_term = |value: fn(&Stream) -> u128| number(policy.term.as_ref().map_or(0, value));
    let drifts = &policy.drifts;
    let drift = |nth: usize| {
        let index = drifts.len().checked_sub(nth);
        index.and_then(|index| drifts[index]).unwrap_or(0)
    };
    let of_pending = |value: fn(&Waiting) -> u128| number(policy.waiting.as_ref().map_or(0, value));
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
        ("examined_until", number(policy.examined_until)),
        ("returned_until", number(policy.returned_until)),
        ("peak", number(policy.best.map_or(0, |(lowest, _)| lowest))),
        (
            "peak_window",
            number(policy.best.map_or(0, |(_, first)| first)),
        ),
        ("worth", number(policy.claimed())),
        ("last drift", number(drift(1))),
        ("drift before", number(drift(2))),
        ("drift before that", number(drift(3))),
        ("unmeasured", number(policy.unmeasured)),
        ("unmeasured_windows", number(policy.unmeasured_windows)),
        ("pending premium", of_pending(|term| term.premium)),
        ("pending start", of_pending(|term| term.start as u128)),
        ("pending end", of_pending(|term| term.end as u128)),
        (
            "pending from_window",
            of_pending(|term| term.from_window.into()),
        ),
        ("rate", of_term(|term| term.rate)),
        ("part", of_term(|term| term.part)),
        ("start", of_term(|term| term.start as u128)),
        ("end", of_term(|term| term.term_end as u128)),
        ("begins_at", of_term(|term| term.begins_at as u128)),
        ("ends_at", of_term(|term| term.end as u128)),
        ("model_version", number(policy.terms.model_version)),
        ("cancel_fee_bps", number(policy.cancel_fee_bps)),
        ("persistence", number(policy.terms.persistence)),
        ("auto_renew", number(policy.terms.auto_renew)),
    ]
}
