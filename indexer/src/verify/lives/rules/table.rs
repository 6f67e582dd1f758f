//! What an event says about the fields of the accounts that it changes.

/// An event, with the value that a field of its body must have, if one is given; the field of its body with the
/// account's address; and what it says: fields of the account, each with its value.
///
/// - `field` is a field of the event's body, `a.b` one of a struct. `null` counts as 0.
/// - `=x` is the value x. A list consists of it.
/// - `field-1` and `field/256` are computed.
/// - A field of the account can be one of a struct (`a.b`), the element of a list whose index the event's body has
///   (`list[index]`), or the first elements of a list (`list*`).
pub type Rule = (
    &'static str,
    &'static str,
    &'static str,
    &'static [(&'static str, &'static str)],
);

/// Fields whose name and value are the event's field of the same name.
macro_rules! same {
    ($($field:literal)*) => { &[$(($field, $field)),*] };
}

pub const RULES: &[Rule] = &[
    // Markets
    (
        "MarketCreated",
        "",
        "market",
        same!("creator" "id" "model" "mint" "terms_hash" "protocol_fee_bps"),
    ),
    ("MarketCreated", "", "market", TERMS_OF_MARKET),
    (
        "BetPlaced",
        "",
        "market",
        &[
            ("pools[outcome]", "pool"),
            ("total", "total"),
            ("owed", "total"),
        ],
    ),
    ("PositionBought", "", "market", same!("positions")),
    (
        "MarketSettled",
        "",
        "market",
        same!("next_window" "observed" "accumulator" "state" "outcome" "value" "winnings"),
    ),
    (
        "MarketSettled",
        "",
        "market",
        &[
            ("protocol_credit", "protocol_fee"),
            ("creator_credit", "creator_fee"),
        ],
    ),
    ("Claimed", "", "market", same!("owed" "positions")),
    ("FeesCollected", "", "market", same!("owed")),
    (
        "FeesCollected",
        "payee=treasury",
        "market",
        &[("protocol_credit", "=0")],
    ),
    (
        "FeesCollected",
        "payee=creator",
        "market",
        &[("creator_credit", "=0")],
    ),
    // Positions
    (
        "BetPlaced",
        "",
        "position",
        &[
            ("stakes[outcome]", "stake"),
            ("market", "market"),
            ("owner", "owner"),
        ],
    ),
    (
        "AskSet",
        "",
        "position",
        &[
            ("stakes[outcome]", "stake"),
            ("asks[outcome]", "ask"),
            ("market", "market"),
            ("owner", "owner"),
        ],
    ),
    (
        "PositionBought",
        "",
        "seller_position",
        &[
            ("stakes[outcome]", "seller_stake"),
            ("asks[outcome]", "seller_ask"),
            ("market", "market"),
            ("owner", "seller"),
        ],
    ),
    (
        "PositionBought",
        "",
        "position",
        &[
            ("stakes[outcome]", "stake"),
            ("market", "market"),
            ("owner", "buyer"),
        ],
    ),
    ("Claimed", "", "position", same!("market" "owner")),
    // Policies
    (
        "PolicyBought",
        "",
        "policy",
        same!("vault" "model" "holder" "id"),
    ),
    ("PolicyBought", "", "policy", TERMS_OF_POLICY),
    ("PolicyBought", "", "policy", PENDING),
    ("PolicyRenewed", "", "policy", PENDING),
    (
        "PolicyBegun",
        "",
        "policy",
        same!("last_window" "worth" "unmeasured"),
    ),
    (
        "PolicyBegun",
        "",
        "policy",
        &[
            ("pending.premium", "=0"),
            ("pending.start", "=0"),
            ("pending.end", "=0"),
            ("pending.from_window", "=0"),
        ],
    ),
    (
        "PolicyExamined",
        "",
        "policy",
        same!("examined_until" "peak" "peak_window" "worth" "unmeasured"),
    ),
    (
        "PolicyClaimed",
        "",
        "policy",
        same!("vault" "model" "holder" "paid" "cover"),
    ),
    (
        "PolicyCancelled",
        "",
        "policy",
        same!("vault" "model" "holder" "paid"),
    ),
    (
        "PolicyExpired",
        "",
        "policy",
        same!("vault" "model" "holder" "paid"),
    ),
    // Receipts
    (
        "ReceiptSubmitted",
        "",
        "receipt",
        same!("model" "window" "version" "state" "value" "pay" "submitted" "thin"),
    ),
    (
        "ReceiptChallenged",
        "",
        "receipt",
        same!("model" "window" "version" "challenger" "asserted" "asserts_thin" "value"),
    ),
    (
        "ReceiptChallenged",
        "",
        "receipt",
        &[("state", "=challenged")],
    ),
    (
        "ReceiptFinalized",
        "",
        "receipt",
        same!("model" "window" "state" "value" "pay" "earners" "challenger_credit"),
    ),
    (
        "ReceiptRuled",
        "",
        "receipt",
        same!("model" "window" "state" "value" "pay" "earners" "challenger_credit" "treasury_credit"),
    ),
    (
        "ReceiptRuled",
        "",
        "receipt",
        same!("reward" "appeal_until"),
    ),
    ("SlashesReturned", "", "receipt", same!("model" "window")),
    (
        "SlashesReturned",
        "",
        "receipt",
        &[("reward", "=0"), ("appeal_until", "=0"), ("held", "=0")],
    ),
    ("ChallengeCollected", "", "receipt", same!("model" "window")),
    (
        "ChallengeCollected",
        "payee=treasury",
        "receipt",
        &[("treasury_credit", "=0")],
    ),
    (
        "ChallengeCollected",
        "payee=challenger",
        "receipt",
        &[("challenger_credit", "=0")],
    ),
    (
        "ReceiptSubmitted",
        "",
        "series",
        &[("model", "model"), ("page", "window/256")],
    ),
    ("SeriesClosed", "", "series", same!("model" "page" "payer")),
    // Withdrawal requests
    (
        "WithdrawRequested",
        "",
        "request",
        same!("vault" "owner" "value" "unlock_at" "lapses_at"),
    ),
    (
        "WithdrawCancelled",
        "",
        "request",
        same!("vault" "owner" "shares"),
    ),
    (
        "Withdrawn",
        "",
        "request",
        same!("vault" "owner" "value" "shares" "is_short" "reserved_until"),
    ),
    // Vaults, whose totals are all fields of `totals`
    (
        "VaultCreated",
        "",
        "vault",
        same!("manager" "id" "mint" "share_mint" "cooldown_secs" "waiting_secs" "claim_grace_secs"
              "bucket_secs" "exit_secs" "season_secs" "protocol_fee_bps" "manager_fee_bps" "terms"),
    ),
    ("VaultCreated", "", "vault", &[("next_terms", "terms")]),
    (
        "VaultUpdated",
        "",
        "vault",
        &[("next_terms", "terms"), ("terms_at", "terms_at")],
    ),
    // Listings
    (
        "ModelListed",
        "",
        "exposure",
        &[
            ("vault", "vault"),
            ("model", "model"),
            ("cap", "terms.cap"),
            ("lowest_trigger", "terms.lowest_trigger"),
            ("max_persistence", "terms.max_persistence"),
            ("model_version", "terms.model_version"),
            ("active_at", "active_at"),
        ],
    ),
    ("ExposureClosed", "", "exposure", same!("vault" "model")),
    (
        "PolicyBought",
        "",
        "exposure",
        &[("cover", "exposure_cover")],
    ),
    (
        "PolicyBegun",
        "",
        "exposure",
        &[("cover", "exposure_cover")],
    ),
    (
        "PolicyClaimed",
        "",
        "exposure",
        &[("cover", "exposure_cover")],
    ),
    (
        "PolicyCancelled",
        "",
        "exposure",
        &[("cover", "exposure_cover")],
    ),
    (
        "PolicyExpired",
        "",
        "exposure",
        &[("cover", "exposure_cover")],
    ),
    // Seats, which `seats` also lists
    (
        "Bonded",
        "",
        "seat",
        same!("model" "oracle" "bonded" "unbonding"),
    ),
    (
        "UnbondRequested",
        "",
        "seat",
        same!("bonded" "unbonding" "release_at"),
    ),
    (
        "BondWithdrawn",
        "",
        "seat",
        &[("bonded", "bonded"), ("unbonding", "=0")],
    ),
    ("SeatSynced", "", "seat", same!("bonded" "unbonding")),
    ("SeatClosed", "", "seat", same!("model" "oracle")),
];

const TERMS_OF_MARKET: &[(&str, &str)] = &[
    ("model_version", "terms.model_version"),
    ("thresholds*", "terms.thresholds"),
    ("aggregate", "terms.aggregate"),
    ("first_window", "terms.first_window"),
    ("last_window", "terms.last_window"),
    ("next_window", "terms.first_window"),
    ("min_observed", "terms.min_observed"),
    ("close_ts", "terms.close_ts"),
    ("creator_fee_bps", "terms.creator_fee_bps"),
    ("question", "terms.question"),
];

const TERMS_OF_POLICY: &[(&str, &str)] = &[
    ("cover", "terms.cover"),
    ("trigger", "terms.trigger"),
    ("exhaustion", "terms.exhaustion"),
    ("persistence", "terms.persistence"),
    ("windows", "terms.windows"),
    ("max_premium", "terms.max_premium"),
    ("auto_renew", "terms.auto_renew"),
    ("model_version", "terms.model_version"),
    ("first_window", "terms.first_window"),
    ("last_window", "terms.first_window-1"),
    ("examined_until", "terms.first_window"),
    ("returned_until", "terms.first_window"),
];

const PENDING: &[(&str, &str)] = &[
    ("pending.premium", "premium"),
    ("pending.from_window", "from_window"),
    ("pending.end", "end"),
];
