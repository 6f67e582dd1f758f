//! What the events count in the totals by hour, one line for each event.

/// What an event counts: its name, and the state that it must have if one is given; the subjects, each by its
/// kind and the field with its address; and the measures, each with the field of the amount. Without a field,
/// it is the platform, and the number of the events; with `?` before the field, the number of the events
/// whose amount isn't 0. The address [`OF_MARKET`] and the amount [`STAKES`] aren't fields.
///
/// All measures that add up are listed, but for those of [`super::shares`]. What isn't listed must be 0.
pub const RULES: &[(&str, &str, &str, &str)] = &[
    (
        "MarketCreated",
        "",
        "platform model=model wallet=creator",
        "markets",
    ),
    (
        "BetPlaced",
        "",
        "platform model=model market=market wallet=owner",
        "bets staked=amount rents=rent",
    ),
    (
        "PositionBought",
        "",
        "platform model=<model> market=market wallet=seller",
        "sales sold=amount sold_for=paid",
    ),
    (
        "PositionBought",
        "",
        "wallet=buyer",
        "purchases bought=amount bought_for=paid",
    ),
    (
        "Claimed",
        "",
        "platform model=<model> market=market wallet=owner",
        "claims settled=<stakes> payouts=paid",
    ),
    ("MarketSettled", "resolved", SETTLED, "settlements"),
    ("MarketSettled", "void", SETTLED, "settlements"),
    (
        "MarketSettled",
        "",
        SETTLED,
        "fees=protocol_fee fees=creator_fee",
    ),
    (
        "Deposited",
        "",
        "platform vault=vault wallet=owner",
        "deposits deposited=amount",
    ),
    (
        "Withdrawn",
        "",
        "platform vault=vault wallet=owner",
        "withdrawals=?amount withdrawn=amount",
    ),
    (
        "PolicyBought",
        "",
        COVERED,
        "policies premiums=premium rents=rent",
    ),
    (
        "PolicyRenewed",
        "",
        COVERED,
        "renewals premiums=premium rents=rent",
    ),
    (
        "PolicyClaimed",
        "",
        COVERED,
        "cover_claims cover_paid=amount refunds=refund",
    ),
    ("PolicyBegun", "", COVERED, "refunds=refund"),
    ("PolicyCancelled", "", COVERED, "refunds=refund"),
    ("PolicyExpired", "", COVERED, "refunds=refund"),
    ("ModelRegistered", "", "platform wallet=owner", "models"),
    (
        "ReceiptSubmitted",
        "",
        "platform model=model wallet=oracle",
        "submissions",
    ),
    (
        "ReceiptChallenged",
        "",
        "platform model=model wallet=challenger",
        "challenges",
    ),
    (
        "ReceiptRuled",
        "",
        "platform model=model wallet=arbiter",
        "rulings slashed=slashed",
    ),
    ("ReceiptRuled", "final", MEASURED, "finals"),
    ("ReceiptFinalized", "final", MEASURED, "finals"),
    ("ReceiptRuled", "final", "model=model", "drift_sum=value"),
    (
        "ReceiptFinalized",
        "final",
        "model=model",
        "drift_sum=value",
    ),
    ("ReceiptRuled", "void", MEASURED, "voids"),
    ("ReceiptFinalized", "void", MEASURED, "voids"),
    ("ReceiptRuled", "thin", MEASURED, "thins"),
    ("ReceiptFinalized", "thin", MEASURED, "thins"),
];

const SETTLED: &str = "platform model=model market=market";
const COVERED: &str = "platform model=model vault=vault wallet=holder";
const MEASURED: &str = "platform model=model";

/// Model of the event's market.
pub const OF_MARKET: &str = "<model>";
/// Stakes of the position that the event claims.
pub const STAKES: &str = "<stakes>";

/// The rules as columns: name, state, kind, address, measure and amount, one row for each measure of each
/// subject.
pub fn columns() -> [Vec<&'static str>; 6] {
    let mut columns: [Vec<&str>; 6] = Default::default();
    for (event, state, subjects, measures) in RULES {
        for subject in subjects.split(' ') {
            for measure in measures.split(' ') {
                let (kind, address) = subject.split_once('=').unwrap_or((subject, ""));
                let (measure, amount) = measure.split_once('=').unwrap_or((measure, ""));
                let rule = [*event, *state, kind, address, measure, amount];
                let values = columns.iter_mut().zip(rule);
                values.for_each(|(column, value)| column.push(value));
            }
        }
    }
    columns
}
