//! Changes of single columns, and what must be reported.

/// Damages that don't hide each other. Each statement changes one column and returns the texts that differences must
/// contain, separated by `|`.
pub type Round = &'static [(&'static str, &'static str, &'static str)];

/// Rows of `chain.feed` of events, the newest first.
macro_rules! feed {
    ($column:literal, $offset:literal, $value:literal) => {
        concat!(
            "update chain.feed set ",
            $column,
            " = ",
            $value,
            " where seq = (select seq from chain.feed
               where kind = 'event' order by seq desc offset ",
            $offset,
            " limit 1)
             returning 'feed ' || seq || ': columns of chain.feed differ: ",
            $column,
            "'"
        )
    };
}

/// A row of the accounts of a type.
macro_rules! account {
    ($column:literal, $kind:literal, $value:literal, $reported:literal) => {
        concat!(
            "update chain.account set ",
            $column,
            " = ",
            $value,
            " where ctid = (select ctid from chain.account
               where kind = ",
            $kind,
            " order by life limit 1)
             returning base58(address) || '",
            $reported,
            "'"
        )
    };
}

/// The totals that are kept before the newest slot with a bet.
macro_rules! kept {
    ($column:literal, $kind:literal, $value:literal) => {
        concat!(
            "with old as (select * from chain.hourly_version where kind = '", $kind, "' and bets > 0
               order by slot desc limit 1)
             update chain.hourly_version version set ", $column, " = ", $value, " from old
             where (version.slot, version.kind, version.subject, version.mint, version.hour)
                 = (old.slot, old.kind, old.subject, old.mint, old.hour)
             returning 'totals of ' || old.kind || ' ' || base58(old.subject) || ' kept to undo slot '
               || old.slot || ': row is missing'"
        )
    };
}

pub const BEFORE_ROWS: Round = &[
    (
        "cursor",
        "blockhash",
        "update chain.cursor set blockhash = set_byte(blockhash, 0, get_byte(blockhash, 0) # 1)
         returning 'cursor: blockhash is not the chain''s'",
    ),
    (
        "event_party",
        "is_named",
        "update chain.event_party set is_named = not is_named where event_id = (select min(event_id) from chain.sale)
         returning 'event ' || event_id || ': is not in chain.event_party'",
    ),
    ("feed", "epoch", feed!("epoch", "0", "epoch + 1")),
    ("feed", "slot", feed!("slot", "1", "slot + 1")),
    ("feed", "kind", feed!("kind", "2", "'gap'")),
    ("feed", "channels", feed!("channels", "4", "array_append(channels, 'x')")),
    ("feed", "body", feed!("body", "5", "body || '{\"body\": {}}'")),
    (
        "feed",
        "event_id",
        "with old as (select * from chain.feed where kind = 'event' order by seq desc offset 3 limit 1)
         update chain.feed set event_id = null from old where feed.seq = old.seq
         returning 'event ' || old.event_id || ': is announced 0 times'",
    ),
    (
        "feed",
        "seq",
        "update chain.feed set seq = -5 where seq = (select min(seq) from chain.feed)
         returning 'feed: has '",
    ),
    (
        "slot",
        "blockhash",
        "update chain.slot set blockhash = '\\x01' where slot = (
           select slot from chain.slot order by slot offset 5 limit 1)
         returning 'is not the child of slot ' || slot",
    ),
    (
        "slot",
        "parent_slot",
        "update chain.slot set parent_slot = parent_slot - 1 where slot = (
           select slot from chain.slot order by slot offset 10 limit 1)
         returning 'slot ' || slot || ': is not the child'",
    ),
    (
        "slot",
        "parent_blockhash",
        "update chain.slot set parent_blockhash = '\\x01' where slot = (
           select slot from chain.slot order by slot offset 15 limit 1)
         returning 'slot ' || slot || ': is not the child'",
    ),
    (
        "slot",
        "slot",
        "with old as (select slot from chain.slot order by slot offset 20 limit 1)
         update chain.slot set slot = -slot.slot from old where slot.slot = old.slot
         returning 'slot ' || (select min(slot) from chain.slot where old.slot < slot) || ': is not the child'",
    ),
    (
        "slot",
        "block_time",
        "update chain.slot set block_time = block_time + interval '1 s' where slot = (
           select max(slot) from chain.event)
         returning 'chain.slot has no slot ' || slot || ' with the event''s block time'",
    ),
];

pub const ACCOUNTS: Round = &[
    (
        "account",
        "is_current",
        account!("is_current", "'Seat'", "false", ": no life is current"),
    ),
    (
        "account",
        "kind",
        account!(
            "kind",
            "'Series'",
            "'Seat'",
            ": columns of chain.account differ: kind"
        ),
    ),
    (
        "account",
        "slot",
        account!(
            "slot",
            "'Exposure'",
            "slot + 1000000",
            ": slot in chain.account is after"
        ),
    ),
    (
        "account",
        "write_version",
        account!(
            "write_version",
            "'Policy'",
            "0",
            ": columns of chain.account differ: write_version"
        ),
    ),
    (
        "account",
        "closed_slot",
        account!(
            "closed_slot",
            "'Vault'",
            "slot",
            ": columns of chain.account differ: closed_slot"
        ),
    ),
    (
        "account",
        "lamports",
        "update chain.account set lamports = lamports + 1 where kind = 'Model'
         returning base58(address) || ': ' || lamports || ' lamports of slot '",
    ),
    (
        "account",
        "data",
        account!(
            "data",
            "'Config'",
            "set_byte(data, 60, get_byte(data, 60) # 1)",
            ": data of slot "
        ),
    ),
    (
        "account",
        "is_exact",
        account!(
            "is_exact",
            "'Collateral'",
            "false",
            ": is_exact in chain.account is false"
        ),
    ),
    (
        "account",
        "facts",
        account!(
            "facts",
            "'WithdrawRequest'",
            "'{\"began_at\": \"2020-01-01T00:00:00Z\", \"payout\": 1, \"destination\": \"x\", \"refund\": 2}'",
            ": columns of chain.account differ: facts."
        ),
    ),
    (
        "account",
        "decoder_version",
        account!(
            "decoder_version",
            "'Market'",
            "999",
            ": columns of chain.account differ: decoder_version"
        ),
    ),
    (
        "account",
        "life",
        "update chain.account set life = life + 1 where ctid = (
           select ctid from chain.account where kind = 'Market' order by life desc limit 1)
         returning base58(address) || ': event ' || life - 1 || ' is of no life in chain.account'",
    ),
    (
        "account",
        "address",
        "with old as (select * from chain.account where kind = 'Receipt' order by life limit 1)
         update chain.account set address = '\\x01' from old
         where (account.address, account.life) = (old.address, old.life)
         returning base58(old.address) || ': event ' || old.life || ' is of no life in chain.account'",
    ),
    (
        "market_volume",
        "valid_from",
        "update chain.market_volume set valid_from = (select seq + 1 from chain.cursor)
         where address = (select address from chain.market order by life limit 1)
         returning base58(address) || ': columns of chain.market_volume differ: valid_from'",
    ),
    (
        "vault_assets",
        "valid_from",
        "update chain.vault_assets set valid_from = (select seq + 1 from chain.cursor)
         returning base58(address) || ': columns of chain.vault_assets differ: valid_from'",
    ),
    (
        "market_volume_past",
        "valid_from",
        "update chain.market_volume_past set valid_from = valid_to where ctid = (
           select ctid from chain.market_volume_past limit 1)
         returning base58(address) || ': columns of chain.market_volume_past differ: valid_from'",
    ),
    (
        "vault_assets_past",
        "valid_from",
        "update chain.vault_assets_past set valid_from = valid_to where ctid = (
           select ctid from chain.vault_assets_past limit 1)
         returning base58(address) || ': columns of chain.vault_assets_past differ: valid_from'",
    ),
    (
        "hourly_version",
        "existed",
        "update chain.hourly_version set existed = not existed where ctid = (
           select ctid from chain.hourly_version where kind = 'platform' and staked > 0
           order by slot desc limit 1 offset 1)
         returning 'totals of platform  kept to undo slot ' || slot || ': '",
    ),
    (
        "hourly_version",
        "slot",
        kept!("slot", "platform", "version.slot + 1000000"),
    ),
    ("hourly_version", "kind", kept!("kind", "wallet", "'vault'")),
    ("hourly_version", "mint", kept!("mint", "market", "'\\x01'")),
    (
        "hourly_version",
        "hour",
        kept!("hour", "model", "version.hour + interval '1 h'"),
    ),
];

pub const EVENTS: Round = &[
    (
        "event",
        "slot",
        "update chain.event set slot = slot + 1 where id = (select min(id) from chain.event)
         returning 'event ' || id || ': columns of chain.event differ: slot'",
    ),
    (
        "event",
        "name",
        "update chain.event set name = name || 'x' where id = (select id from chain.event order by id offset 1 limit 1)
         returning 'event ' || id || ': columns of chain.event differ: name'",
    ),
    (
        "event",
        "body",
        "update chain.event set body = body || '{\"x\": 1}' where id = (
           select id from chain.event order by id offset 2 limit 1)
         returning 'event ' || id || ': columns of chain.event differ: body'",
    ),
    (
        "event",
        "data",
        "update chain.event set data = set_byte(data, 12, get_byte(data, 12) # 1) where id = (
           select min(id) from chain.event where name = 'Bonded')
         returning 'event ' || id || ': columns of chain.event differ: body'",
    ),
    (
        "event",
        "signature",
        "with old as (select min(id) as id from chain.event where name = 'ModelRegistered')
         update chain.event set signature = (select signature from chain.event order by id desc limit 1)
         from old where event.id = old.id
         returning 'event ' || event.id || ': columns of chain.event differ: signature'",
    ),
    (
        "event",
        "block_time",
        "update chain.event set block_time = block_time + interval '1 s' where id = (
           select max(id) from chain.event)
         returning 'event ' || id || ': chain.slot has no slot'",
    ),
    (
        "event",
        "id",
        "update chain.event set id = id + 1 where id = (select id from chain.event where name = 'PolicyBought')
         returning 'event ' || id || ': is not in chain.event_account'",
    ),
    (
        "ask",
        "life",
        "update chain.ask set life = life + 1
         returning base58(address) || ': columns of chain.ask differ: row'",
    ),
    (
        "market_volume",
        "life",
        "update chain.market_volume set life = life + 1
         returning base58(address) || ': columns of chain.market_volume differ: row'",
    ),
    (
        "vault_assets",
        "life",
        "update chain.vault_assets set life = life + 1
         returning base58(address) || ': columns of chain.vault_assets differ: row'",
    ),
    (
        "event_party",
        "role",
        "update chain.event_party set role = role || 'x' where event_id = (select max(event_id) from chain.sale)
         returning 'event ' || event_id || ': is not in chain.event_party'",
    ),
    (
        "hourly",
        "kind",
        "update chain.hourly set kind = 'market' where ctid = (
           select ctid from chain.hourly where kind = 'wallet' and staked > 0 limit 1)
         returning 'totals of market ' || base58(subject) || ' in the hour'",
    ),
    (
        "hourly",
        "mint",
        "update chain.hourly set mint = '\\x02' where ctid = (
           select ctid from chain.hourly where kind = 'market' and staked > 0 limit 1)
         returning 'totals of market ' || base58(subject) || ' in the token ' || base58('\\x02'::bytea)",
    ),
    (
        "hourly",
        "subject",
        "update chain.hourly set subject = '\\x03' where ctid = (
           select ctid from chain.hourly where kind = 'model' and staked > 0 limit 1)
         returning 'totals of model ' || base58('\\x03'::bytea)",
    ),
    (
        "hourly",
        "hour",
        "update chain.hourly set hour = hour + interval '9 h' where ctid = (
           select ctid from chain.hourly where kind = 'platform' and staked > 0 limit 1)
         returning 'totals of platform  in the hour of ' || hour",
    ),
    ("hourly_version", "subject", kept!("subject", "wallet", "'\\x01'")),
    (
        "account_version",
        "slot",
        "with old as (select * from chain.account_version where kind = 'Model' order by slot desc limit 1)
         update chain.account_version version set slot = version.slot + 1000000 from old
         where (version.slot, version.address) = (old.slot, old.address)
         returning base58(old.address) || ': columns of chain.account_version differ in slot '
           || old.slot || ': row|in slot ' || old.slot + 1000000 || ': slot'",
    ),
    (
        "account_version",
        "address",
        "with old as (select * from chain.account_version where kind = 'Position' order by slot desc limit 1)
         update chain.account_version version set address = '\\x01' from old
         where (version.slot, version.address) = (old.slot, old.address)
         returning base58(old.address) || ': columns of chain.account_version differ in slot ' || old.slot || ': row'",
    ),
    (
        "account_version",
        "life",
        "update chain.account_version set life = life + 1 where ctid = (
           select ctid from chain.account_version where kind = 'Market' order by slot desc limit 1)
         returning 'chain.account_version differ in slot ' || slot || ': life'",
    ),
    (
        "cursor",
        "slot",
        "update chain.cursor set slot = slot + 1 returning 'cursor: differs from chain.slot'",
    ),
];

/// In a round without changes of the feed, which tells which of them can be compared.
pub const PAST_RANKS: Round = &[(
    "market_volume_past",
    "rank",
    "update chain.market_volume_past set rank = rank + 0.123
         returning base58(address) || ': columns of chain.market_volume_past differ: rank'",
)];
