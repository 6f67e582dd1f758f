//! Accounts that are read from an RPC node beside the stream, and how the mirror takes them over.
//!
//! A node answers with the accounts of its newest slot, which the mirror may not have reached. So an
//! answer waits until the mirror has passed its slot. Then the mirror knows every event up to that slot
//! and after it: an account that did not change since is, on chain, what the node answered, and of the
//! mirror's current life; an account that changed since came with the stream.

use std::collections::{BTreeSet, HashMap, HashSet};

use driftshield_sdk::{AccountKind, Address};
use metrics::counter;
use sqlx::{PgConnection, Postgres, Transaction};

use crate::{
    apply::{ApplyError, notify},
    cursor::Cursor,
    event_id::first_id,
    lives::{ChangedLife, Count, Facts, Hole, Life, RPC_VERSION, UNDONE_VERSION},
    metrics::GUARD_REJECTIONS,
    ranks,
    rpc::{AccountsAt, Blockhashes, ReadError, Rpc, RpcAccount},
    store::{
        Care, IfIncomplete, Store, addresses_of, bytes_of, load_lives, load_open_lives, set_current,
    },
};

/// Which accounts are read.
#[derive(Clone, Debug)]
pub enum Scope {
    /// All accounts of a type; `None` for those of no known type.
    Kind(Option<AccountKind>),
    Addresses(BTreeSet<Address>),
}

/// The answer of a node.
pub struct Reading {
    scope: Scope,
    found: AccountsAt,
    /// The node's blocks of the slots that it answered with.
    blockhashes: Blockhashes,
}

/// What the mirror did with a reading.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub enum Taken {
    /// The mirror has the accounts, but for those that must be read by their address.
    Stored {
        doubtful: BTreeSet<Address>,
        /// Accounts that the mirror did not know. Lamports that others sent to them since, in transactions
        /// that don't name the program, do not come with polled slots.
        added: BTreeSet<Address>,
        /// Whether events are missing, so that all accounts must be read again.
        lacks_events: bool,
    },
    /// The node was on a fork that the mirror is not on.
    OtherFork,
}

impl Scope {
    /// All accounts.
    pub fn all() -> Vec<Self> {
        let kinds = AccountKind::ALL.iter().copied().map(Some);
        kinds.chain([None]).map(Self::Kind).collect()
    }
}

impl Reading {
    /// Reads accounts as of a slot that is `min_slot` or later.
    pub async fn read(rpc: &Rpc, scope: Scope, min_slot: i64) -> Result<Self, ReadError> {
        let (found, blockhashes) = match &scope {
            Scope::Kind(kind) => {
                let found = rpc.accounts_of(*kind, min_slot).await?;
                let blockhashes = rpc.blockhashes(&found.slots).await?;
                (found, blockhashes)
            }
            Scope::Addresses(addresses) => {
                rpc.accounts_with_blockhashes(addresses, min_slot).await?
            }
        };
        Ok(Self {
            scope,
            found,
            blockhashes,
        })
    }

    /// Whether the mirror knows all writes that the accounts can contain.
    pub fn is_passed_by(&self, cursor: &Cursor) -> bool {
        self.found.newest_slot() < cursor.slot
    }

    /// Stores the accounts that did not change since, and ends the lives of those that the node no
    /// longer has. The mirror must have passed the reading.
    pub async fn store(
        self,
        mut transaction: Transaction<'_, Postgres>,
    ) -> Result<Taken, ApplyError> {
        let mut cursor = match Cursor::lock(&mut transaction).await {
            Err(ApplyError::NoCursor) => return Ok(Taken::OtherFork),
            locked => locked?,
        };
        if !self.is_of_the_mirrored_chain(&mut transaction).await? {
            return Ok(Taken::OtherFork);
        }
        let slot = self.found.slot();
        let known = self.known_lives(&mut transaction).await?;
        let is_list = matches!(self.scope, Scope::Kind(_));
        let Takeover {
            changed,
            succeeded,
            doubtful,
            added,
            holes,
        } = take_over(slot, is_list, known, self.found.accounts);
        for life in succeeded {
            set_current(&mut transaction, &life, false).await?;
        }
        let ranked = ranks::Keys::of(&changed);
        let has_changed = !changed.is_empty();
        let mut store = Store::new(&mut transaction, &mut cursor, Care::Careful);
        // Events that the mirror lacks are of slots that it has passed, so nobody sends them any more.
        store.heed(&[], holes, IfIncomplete::Record).await?;
        store.store_lives(slot, changed).await?;
        let lacks_events = store.lacks_events;
        if lacks_events {
            cursor.update(&mut transaction).await?;
        } else if has_changed && cursor.settled_slot.is_some() {
            // Readers take answers for unchanged until the feed goes on. An undo of slots before this one makes
            // the mirror read all accounts again.
            cursor.settled_slot = Some(cursor.slot);
            cursor.announce_settled(&mut transaction).await?;
            ranks::store(&mut transaction, &ranked, cursor.seq).await?;
            cursor.update(&mut transaction).await?;
            notify(&mut transaction, cursor.seq).await?;
        }
        transaction.commit().await?;
        Ok(Taken::Stored {
            doubtful,
            added,
            lacks_events,
        })
    }

    async fn is_of_the_mirrored_chain(
        &self,
        transaction: &mut Transaction<'_, Postgres>,
    ) -> Result<bool, sqlx::Error> {
        let slots: Vec<_> = self.blockhashes.keys().copied().collect();
        let mirrored: Vec<(i64, Vec<u8>)> =
            sqlx::query_as("select slot, blockhash from chain.slot where slot = any($1)")
                .bind(slots)
                .fetch_all(&mut **transaction)
                .await?;
        Ok(are_mirrored(
            &self.blockhashes,
            &mirrored.into_iter().collect(),
        ))
    }

    /// Current lives of the accounts that were found, and open lives of those that could have been.
    async fn known_lives(
        &self,
        transaction: &mut Transaction<'_, Postgres>,
    ) -> Result<Vec<Life>, sqlx::Error> {
        let found = self.found.accounts.iter().map(|account| account.address);
        let mut addresses: BTreeSet<Address> = found.collect();
        let mut lives = vec![];
        match &self.scope {
            Scope::Kind(kind) => {
                let open = load_open_lives(transaction, *kind).await?;
                addresses.retain({
                    let open: HashSet<_> = open.iter().map(|life| life.address).collect();
                    move |address| !open.contains(address)
                });
                lives.extend(open);
            }
            Scope::Addresses(asked) => addresses.extend(asked),
        }
        let addresses: Vec<_> = addresses.into_iter().collect();
        lives.extend(load_lives(transaction, &addresses).await?);
        Ok(lives)
    }
}

/// Whether the mirror has every block that a node answered with. Each answer can be of another fork, or of another
/// node behind the same address.
fn are_mirrored(answered: &Blockhashes, mirrored: &HashMap<i64, Vec<u8>>) -> bool {
    answered.iter().all(|(slot, hash)| {
        // A node without the block has dropped its slot in the meantime.
        hash.is_some_and(|hash| {
            mirrored
                .get(slot)
                .is_some_and(|mirrored| hash[..] == mirrored[..])
        })
    })
}

/// The open accounts among `addresses`.
pub async fn open_among(
    connection: &mut PgConnection,
    addresses: &BTreeSet<Address>,
) -> Result<Vec<Address>, sqlx::Error> {
    let open: Vec<Vec<u8>> = sqlx::query_scalar(
        "select address from chain.account join unnest($1::bytea[]) as given (key) on address = key
         where is_current and closed_slot is null",
    )
    .bind(bytes_of(addresses))
    .fetch_all(connection)
    .await?;
    Ok(addresses_of(open))
}

/// What a reading changes.
#[derive(Default)]
struct Takeover {
    changed: Vec<ChangedLife>,
    /// Ended lives that another one follows.
    succeeded: Vec<Life>,
    /// Accounts whose existence must be asked for again.
    doubtful: BTreeSet<Address>,
    added: BTreeSet<Address>,
    /// Accounts that differ although no event says so.
    holes: Vec<Hole>,
}

/// `known` are the lives that could have been found at the end of `slot`. A list of accounts comes from
/// the node's index, which can have accounts that are closed and lack others: it doesn't prove that an
/// account exists or not.
fn take_over(slot: i64, is_list: bool, known: Vec<Life>, found: Vec<RpcAccount>) -> Takeover {
    let mut known: HashMap<_, _> = known.into_iter().map(|life| (life.address, life)).collect();
    let mut takeover = Takeover::default();
    for account in found {
        match known.remove(&account.address) {
            // Its changes since came with the stream.
            Some(life) if slot < life.slot => counter!(GUARD_REJECTIONS).increment(1),
            // Of bytes that may be of a slot that was undone, the same ones say that they are not.
            Some(life) if life.shows(&account) && life.write_version != UNDONE_VERSION => {}
            Some(life) if life.closed_slot.is_none() => {
                takeover.compare(slot, Count::of(&life), &account);
                takeover
                    .changed
                    .push(account.into_life(slot, life.life, life.facts));
            }
            _ if is_list => {
                takeover.doubtful.insert(account.address);
            }
            // The event that created it again is missing.
            Some(ended) => {
                takeover.added.insert(account.address);
                takeover.compare(slot, Count::of(&ended), &account);
                let life = account.into_life(slot, first_id(slot), Facts::default());
                takeover.changed.push(life);
                takeover.succeeded.push(ended);
            }
            None => {
                takeover.added.insert(account.address);
                takeover.compare(slot, Count::none(), &account);
                let life = account.into_life(slot, 0, Facts::default());
                takeover.changed.push(life);
            }
        }
    }
    let absent = known.into_values();
    let ended = absent.filter(|life| life.closed_slot.is_none() && life.slot <= slot);
    if is_list {
        takeover.doubtful.extend(ended.map(|life| life.address));
        return takeover;
    }
    takeover.changed.extend(ended.map(|life| {
        let hole = Count::of(&life).end(life.address, slot);
        takeover.holes.extend(hole);
        let life = Life {
            closed_slot: Some(slot),
            slot,
            write_version: RPC_VERSION,
            ..life
        };
        ChangedLife::from(life)
    }));
    takeover
}

impl Takeover {
    /// Compares the account's counter with the events that the mirror has.
    fn compare(&mut self, slot: i64, mut count: Count, account: &RpcAccount) {
        let hole = count.bytes(account.address, &account.data, slot);
        self.holes.extend(hole);
    }
}

impl Life {
    /// Whether the life is open and already has the account's bytes.
    fn shows(&self, account: &RpcAccount) -> bool {
        let has_bytes = (self.lamports, &self.data) == (account.lamports, &account.data);
        self.closed_slot.is_none() && self.is_exact && has_bytes
    }
}

impl RpcAccount {
    fn into_life(self, slot: i64, life: i64, facts: Facts) -> ChangedLife {
        let life = Life {
            address: self.address,
            life,
            is_current: true,
            kind: AccountKind::of_data(&self.data),
            slot,
            write_version: RPC_VERSION,
            closed_slot: None,
            lamports: self.lamports,
            data: self.data,
            is_exact: true,
            facts,
        };
        life.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn life(address: u8, slot: i64, closed_slot: Option<i64>) -> Life {
        let account = account(address, 7);
        let life = account.into_life(slot, 5, Facts::default()).life;
        Life {
            closed_slot,
            is_exact: false,
            ..life
        }
    }

    fn account(address: u8, byte: u8) -> RpcAccount {
        RpcAccount {
            address: [address; 32].into(),
            lamports: 3,
            data: vec![byte],
        }
    }

    /// The changed lives after accounts were read by address: life, slot, slot of the close, and first
    /// byte.
    fn changed(known: Vec<Life>, found: Vec<RpcAccount>) -> Vec<(i64, i64, Option<i64>, u8)> {
        let changed = take_over(20, false, known, found).changed.into_iter();
        changed
            .map(|changed| {
                let life = changed.life;
                (life.life, life.slot, life.closed_slot, life.data[0])
            })
            .collect()
    }

    #[test]
    fn bytes_are_taken_over_only_by_accounts_that_did_not_change_since() {
        let taken = changed(vec![life(1, 20, None)], vec![account(1, 9)]);
        assert_eq!(taken, [(5, 20, None, 9)]);
        assert_eq!(changed(vec![life(1, 21, None)], vec![account(1, 9)]), []);
        // It was closed, or closed and created again, after the node answered.
        assert_eq!(
            changed(vec![life(1, 21, Some(21))], vec![account(1, 9)]),
            []
        );
    }

    #[test]
    fn every_answer_must_be_of_a_mirrored_block() {
        let mirrored = [(20, vec![20; 32]), (22, vec![22; 32])].into();
        let are_mirrored = |answered: [(i64, Option<u8>); 2]| {
            let hashes = answered.map(|(slot, hash)| (slot, hash.map(|byte| [byte; 32])));
            are_mirrored(&hashes.into(), &mirrored)
        };
        assert!(are_mirrored([(20, Some(20)), (22, Some(22))]));
        // The older answer was of a fork, or of a slot that the cluster dropped, and the newer one wasn't.
        assert!(!are_mirrored([(20, Some(9)), (22, Some(22))]));
        assert!(!are_mirrored([(20, None), (22, Some(22))]));
        assert!(!are_mirrored([(21, Some(20)), (22, Some(22))]));
        assert!(!are_mirrored([(20, Some(20)), (22, Some(9))]));
    }

    #[test]
    fn accounts_that_the_mirror_missed_begin_a_life() {
        assert_eq!(changed(vec![], vec![account(1, 9)]), [(0, 20, None, 9)]);
        let again = take_over(20, false, vec![life(1, 12, Some(12))], vec![account(1, 9)]);
        assert_eq!(again.changed[0].life.life, first_id(20));
        assert_eq!(again.succeeded[0].life, 5);
        assert_eq!(again.added, [[1; 32].into()].into());
    }

    #[test]
    fn a_list_does_not_prove_that_an_account_exists_or_not() {
        let known = vec![life(1, 12, None), life(2, 12, Some(12)), life(3, 12, None)];
        let found = vec![account(2, 9), account(3, 9), account(4, 9)];
        let taken = take_over(20, true, known, found);
        assert_eq!(taken.changed.len(), 1);
        assert_eq!(taken.changed[0].life.address, [3; 32].into());
        assert_eq!(
            taken.doubtful,
            [1, 2, 4].map(|byte| [byte; 32].into()).into()
        );
    }

    #[test]
    fn accounts_that_the_node_no_longer_has_end() {
        let absent = vec![life(1, 12, None), life(2, 21, None), life(3, 12, Some(12))];
        assert_eq!(changed(absent, vec![]), [(5, 20, Some(20), 7)]);
    }
}
