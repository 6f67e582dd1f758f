//! What a slot holds of ours, out of Yellowstone's messages.

use std::collections::{BTreeSet, HashMap, HashSet};

use chrono::{DateTime, Utc};
use driftshield_sdk::{Event, ID};
use yellowstone_grpc_proto::prelude::{
    Message, SlotStatus, SubscribeUpdateAccountInfo, SubscribeUpdateBlockMeta,
    SubscribeUpdateTransactionInfo, TransactionStatusMeta, subscribe_update::UpdateOneof,
};

/// What the stream tells the applier.
#[derive(Clone, Debug)]
pub enum Update {
    Sealed(Box<SealedSlot>),
    Finalized(i64),
}

/// A confirmed slot, whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedSlot {
    pub slot: i64,
    pub blockhash: String,
    pub parent_slot: i64,
    pub parent_blockhash: String,
    pub block_time: Option<DateTime<Utc>>,
    /// The program's accounts that changed, as they are at the end of the slot.
    pub writes: Vec<AccountWrite>,
    /// Accounts, not only the program's, that are gone at the end of the slot.
    pub closed: BTreeSet<String>,
    /// In the order in which they were emitted.
    pub events: Vec<Emitted>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountWrite {
    /// Base58.
    pub address: String,
    /// Orders the writes of one slot.
    pub write_version: i64,
    pub lamports: u64,
    pub data: Vec<u8>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Emitted {
    /// Base58.
    pub signature: String,
    /// Position of the transaction in its block.
    pub transaction_index: i64,
    /// Position of the outer instruction in the transaction.
    pub instruction_index: i32,
    /// Position among the inner instructions of the outer one.
    pub event_index: i32,
    /// `discriminator ‖ body`.
    pub data: Vec<u8>,
    /// None where this version doesn't know the event.
    pub event: Option<Event>,
}

/// The server does not tell what is needed. Trying again would not help.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SlotError {
    #[error("the gRPC server sent {0} without {1}: use another server")]
    Incomplete(&'static str, &'static str),
    #[error(
        "the gRPC server gives no inner instructions of transaction {0}, so events would be lost: \
         use a server that records them"
    )]
    NoInnerInstructions(String),
    #[error("the gRPC server sent {0} {1}, which is out of range: use another server")]
    OutOfRange(&'static str, u64),
}

/// Collects what comes of each slot until the slot is sealed. A connection has one of its own:
/// what a broken connection left incomplete is sent again whole.
#[derive(Default)]
pub struct Assembler {
    open: HashMap<u64, Content>,
    last_sealed: u64,
}

#[derive(Default)]
struct Content {
    accounts: Vec<SubscribeUpdateAccountInfo>,
    transactions: Vec<SubscribeUpdateTransactionInfo>,
}

impl Assembler {
    pub fn push(&mut self, update: UpdateOneof) -> Result<Option<Update>, SlotError> {
        match update {
            UpdateOneof::Account(update) => {
                let account = update.account;
                let account = account.ok_or(SlotError::Incomplete("an update", "its account"))?;
                self.content(update.slot).accounts.push(account);
            }
            UpdateOneof::Transaction(update) => {
                let transaction = update
                    .transaction
                    .ok_or(SlotError::Incomplete("an update", "its transaction"))?;
                self.content(update.slot).transactions.push(transaction);
            }
            UpdateOneof::BlockMeta(meta) => {
                self.last_sealed = meta.slot;
                let content = self.open.remove(&meta.slot).unwrap_or_default();
                let sealed = seal(meta, content)?;
                return Ok(Some(Update::Sealed(Box::new(sealed))));
            }
            UpdateOneof::Slot(status) if status.status() == SlotStatus::SlotFinalized => {
                self.open.retain(|&slot, _| status.slot < slot);
                let slot = signed("a slot", status.slot)?;
                return Ok(Some(Update::Finalized(slot)));
            }
            _ => {}
        }
        Ok(None)
    }

    fn content(&mut self, slot: u64) -> &mut Content {
        if slot <= self.last_sealed {
            tracing::error!(
                slot,
                "content came after its slot was sealed: verify the mirror"
            );
        }
        self.open.entry(slot).or_default()
    }
}

fn seal(meta: SubscribeUpdateBlockMeta, content: Content) -> Result<SealedSlot, SlotError> {
    let Content {
        accounts,
        mut transactions,
    } = content;
    // Servers replay, and what comes twice counts once.
    let mut seen = HashSet::new();
    transactions.retain(|transaction| seen.insert(transaction.signature.clone()));
    transactions.sort_by_key(|transaction| transaction.index);

    let ours = accounts
        .into_iter()
        .filter(|account| account.owner == ID.as_ref());
    // What has no lamports at the end of the slot is gone, whoever owned it.
    let (emptied, kept): (Vec<_>, Vec<_>) = ours.partition(|account| account.lamports == 0);
    let writes = kept
        .into_iter()
        .map(account_write)
        .collect::<Result<Vec<_>, _>>()?;
    let mut closed: BTreeSet<_> = emptied.iter().map(|gone| base58(&gone.pubkey)).collect();
    let mut events = vec![];
    for transaction in transactions {
        let executed = Executed::new(transaction)?;
        if executed.meta.err.is_some() {
            continue;
        }
        closed.extend(executed.emptied());
        let emitted = executed.events()?;
        let known = emitted.iter().filter_map(|emitted| emitted.event.as_ref());
        closed.extend(known.filter_map(closed_by));
        events.extend(emitted);
    }
    // One that was made again is the program's at the end of the slot, and comes as a write.
    let written: HashSet<_> = writes.iter().map(|write| &write.address).collect();
    closed.retain(|address| !written.contains(address));

    let block_time = meta.block_time.map(|time| time.timestamp);
    Ok(SealedSlot {
        slot: signed("a slot", meta.slot)?,
        blockhash: meta.blockhash,
        parent_slot: signed("a slot", meta.parent_slot)?,
        parent_blockhash: meta.parent_blockhash,
        block_time: block_time.and_then(|seconds| DateTime::from_timestamp(seconds, 0)),
        writes,
        closed,
        events,
    })
}

fn account_write(account: SubscribeUpdateAccountInfo) -> Result<AccountWrite, SlotError> {
    Ok(AccountWrite {
        address: base58(&account.pubkey),
        write_version: signed("a write version", account.write_version)?,
        lamports: account.lamports,
        data: account.data,
    })
}

/// The account that the event says is closed. Its balance does not always tell: anybody can send
/// lamports to an address that was closed a moment ago.
pub fn closed_by(event: &Event) -> Option<String> {
    let address = match event {
        Event::SeatClosed(event) => event.seat,
        Event::ReceiptClosed(event) => event.receipt,
        Event::MarketCancelled(event) => event.market,
        Event::MarketClosed(event) => event.market,
        Event::Claimed(event) => event.position,
        Event::VaultClosed(event) => event.vault,
        Event::ExposureClosed(event) => event.exposure,
        Event::WithdrawCancelled(event) => event.request,
        Event::Withdrawn(event) if event.requested == 0 => event.request,
        Event::PolicyClaimed(event) if event.paid == event.cover => event.policy,
        Event::PolicyCancelled(event) => event.policy,
        Event::PolicyExpired(event) => event.policy,
        _ => return None,
    };
    Some(address.to_string())
}

struct Executed {
    signature: Vec<u8>,
    index: u64,
    message: Message,
    meta: TransactionStatusMeta,
}

impl Executed {
    fn new(info: SubscribeUpdateTransactionInfo) -> Result<Self, SlotError> {
        let incomplete = |lacking| SlotError::Incomplete("a transaction", lacking);
        let message = info.transaction.and_then(|transaction| transaction.message);
        Ok(Self {
            signature: info.signature,
            index: info.index,
            message: message.ok_or(incomplete("its message"))?,
            meta: info.meta.ok_or(incomplete("its meta"))?,
        })
    }

    /// In the order of balances and of instructions' indexes.
    fn keys(&self) -> impl Iterator<Item = &Vec<u8>> {
        self.message
            .account_keys
            .iter()
            .chain(&self.meta.loaded_writable_addresses)
            .chain(&self.meta.loaded_readonly_addresses)
    }

    fn is_writable(&self, index: usize) -> bool {
        let named = self.message.account_keys.len();
        let header = self.message.header.unwrap_or_default();
        let signers = header.num_required_signatures as usize;
        let readonly_signers = header.num_readonly_signed_accounts as usize;
        let readonly_others = header.num_readonly_unsigned_accounts as usize;
        if index < signers {
            index + readonly_signers < signers
        } else if index < named {
            index + readonly_others < named
        } else {
            index < named + self.meta.loaded_writable_addresses.len()
        }
    }

    /// Addresses that the transaction left without lamports, closed by it or never made. The
    /// stream tells nothing of them: the system program owns them now.
    fn emptied(&self) -> impl Iterator<Item = String> {
        self.keys()
            .zip(&self.meta.post_balances)
            .enumerate()
            .filter(|&(index, (_, &balance))| balance == 0 && self.is_writable(index))
            .map(|(_, (key, _))| base58(key))
    }

    fn events(&self) -> Result<Vec<Emitted>, SlotError> {
        let position = self.keys().position(|key| key == ID.as_ref());
        let is_ours = |program: u32| position == Some(program as usize);
        let signature = base58(&self.signature);
        let mut invoked = self.message.instructions.iter();
        if self.meta.inner_instructions_none && invoked.any(|outer| is_ours(outer.program_id_index))
        {
            return Err(SlotError::NoInnerInstructions(signature));
        }

        let mut events = vec![];
        for outer in &self.meta.inner_instructions {
            for (index, inner) in outer.instructions.iter().enumerate() {
                if !is_ours(inner.program_id_index) {
                    continue;
                }
                let Some(event) = Event::decode_inner_instruction(&inner.data) else {
                    continue;
                };
                let event_index = index as u64;
                events.push(Emitted {
                    signature: signature.clone(),
                    transaction_index: signed("a transaction's index", self.index)?,
                    instruction_index: small("an instruction's index", outer.index.into())?,
                    event_index: small("an instruction's index", event_index)?,
                    data: inner.data[EVENT_TAG_BYTES..].to_vec(),
                    event: event.ok(),
                });
            }
        }
        Ok(events)
    }
}

/// What an event's inner instruction begins with.
const EVENT_TAG_BYTES: usize = 8;

fn base58(bytes: &[u8]) -> String {
    bs58::encode(bytes).into_string()
}

/// Postgres has no unsigned integers.
fn signed(what: &'static str, number: u64) -> Result<i64, SlotError> {
    i64::try_from(number).map_err(|_| SlotError::OutOfRange(what, number))
}

fn small(what: &'static str, number: u64) -> Result<i32, SlotError> {
    i32::try_from(number).map_err(|_| SlotError::OutOfRange(what, number))
}

#[cfg(test)]
mod tests {
    use driftshield_sdk::{
        VaultTotals,
        events::{PolicyClaimed, Withdrawn},
    };
    use yellowstone_grpc_proto::prelude::{
        CompiledInstruction, InnerInstruction, InnerInstructions, MessageHeader,
        SubscribeUpdateAccount, SubscribeUpdateTransaction, Transaction, TransactionError,
    };

    use super::*;

    /// `e445a52e51cb9a1d`, as Anchor has it.
    const EVENT_TAG: [u8; EVENT_TAG_BYTES] = [0xe4, 0x45, 0xa5, 0x2e, 0x51, 0xcb, 0x9a, 0x1d];
    const PAYER: [u8; 32] = [1; 32];
    const ACCOUNT: [u8; 32] = [2; 32];

    fn meta(slot: u64) -> UpdateOneof {
        UpdateOneof::BlockMeta(SubscribeUpdateBlockMeta {
            slot,
            parent_slot: slot - 1,
            ..Default::default()
        })
    }

    fn write(slot: u64, owner: &[u8]) -> UpdateOneof {
        UpdateOneof::Account(SubscribeUpdateAccount {
            account: Some(SubscribeUpdateAccountInfo {
                pubkey: ACCOUNT.to_vec(),
                owner: owner.to_vec(),
                lamports: 1,
                ..Default::default()
            }),
            slot,
            ..Default::default()
        })
    }

    /// Of a payer, an account and the program: leaves the account with `balance`, and the program
    /// calls itself with `inner`.
    fn transaction(index: u64, balance: u64, inner: &[&[u8]]) -> SubscribeUpdateTransactionInfo {
        let to_self = |data: &&[u8]| InnerInstruction {
            program_id_index: 2,
            data: data.to_vec(),
            ..Default::default()
        };
        SubscribeUpdateTransactionInfo {
            signature: vec![index as u8; 64],
            index,
            transaction: Some(Transaction {
                message: Some(Message {
                    header: Some(MessageHeader {
                        num_required_signatures: 1,
                        num_readonly_signed_accounts: 0,
                        num_readonly_unsigned_accounts: 1,
                    }),
                    account_keys: vec![PAYER.to_vec(), ACCOUNT.to_vec(), ID.to_bytes().to_vec()],
                    instructions: vec![CompiledInstruction {
                        program_id_index: 2,
                        ..Default::default()
                    }],
                    ..Default::default()
                }),
                ..Default::default()
            }),
            meta: Some(TransactionStatusMeta {
                post_balances: vec![9, balance, 0],
                inner_instructions: vec![InnerInstructions {
                    index: 0,
                    instructions: inner.iter().map(to_self).collect(),
                }],
                ..Default::default()
            }),
            ..Default::default()
        }
    }

    fn sent(slot: u64, transaction: SubscribeUpdateTransactionInfo) -> UpdateOneof {
        UpdateOneof::Transaction(SubscribeUpdateTransaction {
            transaction: Some(transaction),
            slot,
            ..Default::default()
        })
    }

    fn sealed(updates: Vec<UpdateOneof>) -> SealedSlot {
        let mut assembler = Assembler::default();
        let mut sealed = None;
        for update in updates {
            if let Some(Update::Sealed(slot)) = assembler.push(update).unwrap() {
                sealed = Some(*slot);
            }
        }
        sealed.unwrap()
    }

    fn account() -> String {
        base58(&ACCOUNT)
    }

    #[test]
    fn a_slot_is_sealed_by_its_meta_with_its_own_content() {
        let mut assembler = Assembler::default();
        for update in [write(7, ID.as_ref()), write(8, ID.as_ref())] {
            assert!(assembler.push(update).unwrap().is_none());
        }
        let Some(Update::Sealed(slot)) = assembler.push(meta(7)).unwrap() else {
            panic!("not sealed");
        };
        assert_eq!((slot.slot, slot.parent_slot, slot.writes.len()), (7, 6, 1));
        let Some(Update::Sealed(slot)) = assembler.push(meta(8)).unwrap() else {
            panic!("not sealed");
        };
        assert_eq!((slot.slot, slot.writes.len()), (8, 1));
        assert!(assembler.open.is_empty());
    }

    #[test]
    fn an_account_of_another_program_is_not_ours() {
        let slot = sealed(vec![write(7, &PAYER), meta(7)]);
        assert!(slot.writes.is_empty());
    }

    #[test]
    fn an_account_without_lamports_is_closed() {
        let slot = sealed(vec![sent(7, transaction(0, 0, &[])), meta(7)]);
        assert_eq!(slot.closed, [account()].into());
    }

    #[test]
    fn an_account_that_is_written_without_lamports_is_closed() {
        let gone = UpdateOneof::Account(SubscribeUpdateAccount {
            account: Some(SubscribeUpdateAccountInfo {
                pubkey: ACCOUNT.to_vec(),
                owner: ID.to_bytes().to_vec(),
                ..Default::default()
            }),
            slot: 7,
            ..Default::default()
        });
        let slot = sealed(vec![sent(7, transaction(0, 0, &[])), gone, meta(7)]);
        assert!(slot.writes.is_empty());
        assert_eq!(slot.closed, [account()].into());
    }

    #[test]
    fn a_readonly_account_is_not_closed() {
        // The program, whose balance is 0 in these transactions, is read only.
        let slot = sealed(vec![sent(7, transaction(0, 5, &[])), meta(7)]);
        assert!(slot.closed.is_empty());
    }

    #[test]
    fn a_failed_transaction_closes_nothing() {
        let mut failed = transaction(0, 0, &[]);
        let meta_of = failed.meta.as_mut().unwrap();
        meta_of.err = Some(TransactionError { err: vec![1] });
        let slot = sealed(vec![sent(7, failed), meta(7)]);
        assert!(slot.closed.is_empty());
    }

    #[test]
    fn an_account_closed_and_made_again_is_not_closed() {
        let slot = sealed(vec![
            sent(7, transaction(0, 0, &[])),
            sent(7, transaction(1, 5, &[])),
            write(7, ID.as_ref()),
            meta(7),
        ]);
        assert!(slot.closed.is_empty());
        assert_eq!(slot.writes.len(), 1);
    }

    #[test]
    fn an_account_closed_and_given_lamports_is_closed() {
        let slot = sealed(vec![
            sent(7, transaction(0, 0, &[])),
            sent(7, transaction(1, 5, &[])),
            meta(7),
        ]);
        assert_eq!(slot.closed, [account()].into());
    }

    #[test]
    fn what_is_paid_in_parts_is_closed_by_the_last() {
        let claimed = |paid| {
            let event = PolicyClaimed {
                vault: [1; 32].into(),
                vault_seq: 1,
                exposure: [2; 32].into(),
                exposure_seq: 1,
                policy: ACCOUNT.into(),
                policy_seq: 2,
                model: [3; 32].into(),
                model_seq: 1,
                holder: [4; 32].into(),
                destination: [5; 32].into(),
                first_window: 9,
                value: 300_000,
                amount: 4,
                paid,
                cover: 10,
                totals: VaultTotals::default(),
                exposure_cover: 0,
                at_risk: 0,
                model_exposure: 0,
            };
            closed_by(&Event::PolicyClaimed(event))
        };
        assert_eq!(claimed(4), None);
        assert_eq!(claimed(10), Some(account()));

        let withdrawn = |requested| {
            let event = Withdrawn {
                vault: [1; 32].into(),
                vault_seq: 1,
                request: ACCOUNT.into(),
                request_seq: 2,
                owner: [4; 32].into(),
                destination: [5; 32].into(),
                shares: 4,
                amount: 4,
                requested,
                value: requested,
                totals: VaultTotals::default(),
            };
            closed_by(&Event::Withdrawn(event))
        };
        assert_eq!(withdrawn(6), None);
        assert_eq!(withdrawn(0), Some(account()));
    }

    #[test]
    fn events_come_in_the_order_of_transactions_with_their_positions() {
        let mut event = EVENT_TAG.to_vec();
        event.extend([7; 9]);
        let slot = sealed(vec![
            sent(7, transaction(3, 5, &[&event])),
            sent(7, transaction(1, 5, &[&[0; 8], &event])),
            sent(7, transaction(1, 5, &[&[0; 8], &event])),
            meta(7),
        ]);
        let positions: Vec<_> = slot
            .events
            .iter()
            .map(|e| (e.transaction_index, e.instruction_index, e.event_index))
            .collect();
        assert_eq!(positions, [(1, 0, 1), (3, 0, 0)]);
        assert_eq!(slot.events[0].data, [7; 9]);
        assert_eq!(slot.events[0].event, None);
    }

    #[test]
    fn transactions_are_told_apart_by_their_signatures() {
        let mut event = EVENT_TAG.to_vec();
        event.extend([7; 9]);
        let mut another = transaction(1, 5, &[&event]);
        another.signature = vec![9; 64];
        let one = || sent(7, transaction(1, 5, &[&event]));
        let slot = sealed(vec![one(), sent(7, another), one(), meta(7)]);
        let signatures: Vec<_> = slot.events.iter().map(|e| e.signature.as_str()).collect();
        assert_eq!(signatures, [base58(&[1; 64]), base58(&[9; 64])]);
    }

    #[test]
    fn an_event_of_another_program_is_none() {
        let mut foreign = transaction(0, 5, &[&EVENT_TAG]);
        let meta_of = foreign.meta.as_mut().unwrap();
        meta_of.inner_instructions[0].instructions[0].program_id_index = 1;
        let slot = sealed(vec![sent(7, foreign), meta(7)]);
        assert!(slot.events.is_empty());
    }

    #[test]
    fn missing_inner_instructions_are_an_error() {
        let mut blind = transaction(0, 5, &[]);
        let meta_of = blind.meta.as_mut().unwrap();
        meta_of.inner_instructions = vec![];
        meta_of.inner_instructions_none = true;
        let mut assembler = Assembler::default();
        assembler.push(sent(7, blind)).unwrap();
        let signature = base58(&[0; 64]);
        assert_eq!(
            assembler.push(meta(7)).unwrap_err(),
            SlotError::NoInnerInstructions(signature)
        );
    }
}
