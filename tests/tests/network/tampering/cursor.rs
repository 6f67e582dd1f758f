//! Changes of the cursor, of what is kept to undo slots, and of the record of lost slots.

use super::special::Round;

pub const TOTALS: Round = &[
    (
        "ask",
        "address",
        "with old as (select address from chain.ask limit 1)
         update chain.ask set address = '\\x01' from old where ask.address = old.address
         returning base58(old.address) || ': columns of chain.ask differ: row'",
    ),
    (
        "market_volume",
        "address",
        "with old as (select address from chain.market order by life limit 1)
         update chain.market_volume volume set address = '\\x01' from old where volume.address = old.address
         returning base58(old.address) || ': columns of chain.market_volume differ: row'",
    ),
    (
        "vault_assets",
        "address",
        "with old as (select address from chain.vault)
         update chain.vault_assets assets set address = '\\x01' from old where assets.address = old.address
         returning base58(old.address) || ': columns of chain.vault_assets differ: row'",
    ),
    (
        "cursor",
        "epoch",
        "update chain.cursor set epoch = epoch + 1 returning 'cursor: epoch is not that of the last record'",
    ),
    (
        "cursor",
        "block_time",
        "update chain.cursor set block_time = block_time + interval '1 s'
         returning 'cursor: differs from chain.slot'",
    ),
    (
        "cursor",
        "as_of",
        "update chain.cursor set as_of = as_of - interval '1 s'
         returning 'cursor: as_of is neither that of the tip nor that of the block'",
    ),
    (
        "cursor",
        "seq",
        "update chain.cursor set seq = seq + 1 returning 'but the cursor''s seq is ' || seq",
    ),
    (
        "cursor",
        "tip_slot",
        "update chain.cursor set tip_slot = 0 returning 'cursor: tip_slot is before the slot'",
    ),
    (
        "cursor",
        "settled_slot",
        "update chain.cursor set settled_slot = slot + 1 returning 'cursor: settled_slot is after the slot'",
    ),
    (
        "cursor",
        "is_following",
        "update chain.cursor set is_following = false returning 'cursor: is_following is false'",
    ),
    (
        "account_version",
        "data",
        "update chain.account_version set data = (select data from chain.account where kind = 'Seat')
         where ctid = (select ctid from chain.account_version where kind = 'Market' order by slot desc limit 1)
         returning base58(address) || ': columns of chain.account_version differ in slot ' || slot || ': data'",
    ),
    (
        "account_version",
        "lamports",
        "update chain.account_version set lamports = 0
         where ctid = (select ctid from chain.account_version where kind = 'Market' order by slot desc limit 1)
         returning base58(address) || ': columns of chain.account_version differ in slot ' || slot || ': lamports'",
    ),
    (
        "account_version",
        "facts",
        "update chain.account_version set facts = '{}'
         where ctid = (select ctid from chain.account_version where kind = 'Market' order by slot desc limit 1)
         returning base58(address) || ': columns of chain.account_version differ in slot ' || slot || ': facts'",
    ),
    (
        "account_version",
        "account_slot",
        "update chain.account_version set account_slot = slot
         where ctid = (select ctid from chain.account_version where kind = 'Market' order by slot desc limit 1)
         returning base58(address) || ': columns of chain.account_version differ in slot ' || slot || ': account_slot'",
    ),
    (
        "account_version",
        "kind",
        "update chain.account_version set kind = 'Seat'
         where ctid = (select ctid from chain.account_version where kind = 'Market' order by slot desc limit 1)
         returning base58(address) || ': columns of chain.account_version differ in slot ' || slot || ': kind'",
    ),
    (
        "account_version",
        "closed_slot",
        "update chain.account_version set closed_slot = 1
         where ctid = (select ctid from chain.account_version where kind = 'Position' order by slot desc limit 1)
         returning base58(address) || ': columns of chain.account_version differ in slot ' || slot || ': closed_slot'",
    ),
    (
        "account_version",
        "write_version",
        "update chain.account_version set write_version = 0
         where ctid = (select ctid from chain.account_version where kind = 'Position' order by slot desc limit 1)
         returning base58(address) || ': columns of chain.account_version differ in slot ' || slot || ': write_version'",
    ),
    (
        "account_version",
        "existed",
        "update chain.account_version set existed = false
         where ctid = (select ctid from chain.account_version where kind = 'Model' order by slot desc limit 1)
         returning base58(address) || ': columns of chain.account_version differ in slot ' || slot || ': existed'",
    ),
];

pub const LATE: Round = &[
    (
        "ask",
        "outcome",
        "update chain.ask set outcome = outcome + 9
         returning base58(address) || ': columns of chain.ask differ: row'",
    ),
    (
        "cursor",
        "finalized_slot",
        "update chain.cursor set finalized_slot = slot + 1 returning 'cursor: finalized_slot is after the slot'",
    ),
    (
        "cursor",
        "history_from",
        "update chain.cursor set history_from = slot + 2 returning 'cursor: history_from is after the slot'",
    ),
];

/// Columns of `chain.gap`, in a mirror that has lost slots.
pub const GAP_STATES: Round = &[
    (
        "gap",
        "epoch",
        "update chain.gap set epoch = epoch + 1 where state = 'lost' returning ': epoch is after the cursor''s'",
    ),
    (
        "gap",
        "closed_at",
        "update chain.gap set closed_at = null where state = 'lost' returning ': closed_at does not fit the state'",
    ),
    (
        "gap",
        "state",
        "update chain.gap set state = 'filled' where state = 'lost' returning ': state is not what the feed has announced'",
    ),
];

pub const GAP_SLOTS: Round = &[
    (
        "gap",
        "from_slot",
        "update chain.gap set from_slot = from_slot + 1 where state = 'lost' returning ': from_slot does not follow a slot'",
    ),
    (
        "gap",
        "to_slot",
        "update chain.gap set to_slot = to_slot + 1 where state = 'lost' returning 'cursor: history_from does not follow the last lost slot'",
    ),
];
