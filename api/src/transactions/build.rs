//! From instructions to a transaction that its wallet can sign.

use std::collections::BTreeSet;

use base64::{Engine, prelude::BASE64_STANDARD};
use driftshield_sdk::{
    Address, Event, Instruction, TokenProgram, address, instruction, json,
    rpc::{self, Accounts, Budget, Simulation, message, unsigned},
};

use super::{
    chain::{View, call},
    failure::{Failure, simulated},
    reply::{Bound, Created, Fee, Limits, Simulated, SimulatedEvent, TransactionReply},
    words,
};
use crate::{
    problem::Problem,
    values::{Scaled, U64, scaled},
};

/// Fee of a signature in lamports.
const SIGNATURE_FEE: u64 = 5_000;
const SOL_DECIMALS: u8 = 9;
const MICRO_LAMPORTS: u128 = 1_000_000;

/// A transaction before its simulation.
pub struct Draft {
    /// The wallet of the request.
    payer: Address,
    /// Slot of the accounts.
    slot: u64,
    /// Decimals of the token in question.
    decimals: u8,
    instructions: Vec<Instruction>,
    bounds: Vec<Bound>,
    created: Vec<Created>,
}

impl Draft {
    pub fn new(payer: Address, accounts: &Accounts, decimals: u8) -> Self {
        Self {
            payer,
            slot: accounts.slot,
            decimals,
            instructions: vec![],
            bounds: vec![],
            created: vec![],
        }
    }

    pub fn push(mut self, instruction: Instruction) -> Self {
        self.instructions.push(instruction);
        self
    }

    pub fn bound(mut self, bound: Bound) -> Self {
        self.bounds.push(bound);
        self
    }

    pub fn creates(mut self, kind: &'static str, address: Address) -> Self {
        let key = address.into();
        self.created.push(Created { kind, key });
        self
    }

    /// Notes an account that the program creates if it is missing among `accounts`, which were read.
    pub fn creates_if_missing(
        self,
        accounts: &Accounts,
        kind: &'static str,
        address: Address,
    ) -> Self {
        match accounts.contains(&address) {
            true => self,
            false => self.creates(kind, address),
        }
    }

    /// Creates `owner`'s associated token account for `mint`, if it is missing among `accounts`, which
    /// were read.
    pub fn with_token_account(
        self,
        accounts: &Accounts,
        owner: &Address,
        mint: &Address,
        program: TokenProgram,
    ) -> Self {
        let address = address::token_account(owner, mint, program);
        if accounts.contains(&address) {
            return self;
        }
        let create = instruction::create_token_account(&self.payer, owner, mint, program);
        self.push(create).creates("token_account", address)
    }

    /// Takes the demand for a signature away from all keys but the payer's: a program then names
    /// the right that the payer doesn't have.
    fn demand_one_signature(&mut self) {
        let accounts = self
            .instructions
            .iter_mut()
            .flat_map(|instruction| &mut instruction.accounts);
        for account in accounts {
            account.is_signer &= account.pubkey == self.payer;
        }
    }

    /// Accounts that the transaction writes.
    fn writable(&self) -> Vec<Address> {
        let accounts = self.instructions.iter().flat_map(|i| &i.accounts);
        let written = accounts.filter(|account| account.is_writable);
        let written: BTreeSet<_> = written.map(|account| account.pubkey).collect();
        written.into_iter().chain([self.payer]).collect()
    }
}

/// Refuses a payment that the token account at `source` can't make.
pub fn require_balance(
    accounts: &Accounts,
    source: &Address,
    needed: u64,
    decimals: u8,
) -> Result<(), Problem> {
    let found = accounts.token_account(source)?;
    let balance = found.map_or(0, |account| account.amount);
    if needed <= balance {
        return Ok(());
    }
    Err(Failure::WouldFail(format!(
        "insufficient tokens: token account {source} has {}, needs {}; fund it or lower the amount",
        scaled(balance.into(), decimals),
        scaled(needed.into(), decimals),
    ))
    .into())
}

impl View {
    /// Simulates a draft, and returns it as a transaction with the limits that the simulation yields.
    pub async fn finish(&self, mut draft: Draft) -> Result<TransactionReply, Problem> {
        draft.demand_one_signature();
        let highest = self.build(&draft, Budget::MAX, rpc::Hash::default())?;
        let writable = draft.writable();
        let (simulation, price) =
            tokio::join!(self.simulate(&draft, highest), self.priority_fee(&writable));
        let (simulation, price) = (simulation?, price?);
        let budget = simulation.budget(price)?;
        // The first simulation left out the priority fee, which the wallet may not be able to pay.
        let simulation = match price {
            0 => simulation,
            _ => {
                let priced = self.build(&draft, budget, rpc::Hash::default())?;
                self.simulate(&draft, priced).await?
            }
        };
        let blockhash = simulation
            .blockhash
            .ok_or(rpc::Error::IncompleteResponse("the recent blockhash"))?;
        let message = self.build(&draft, budget, blockhash.hash)?;
        let fee = fee(budget);
        Ok(TransactionReply {
            transaction: BASE64_STANDARD.encode(unsigned(&message)),
            summary: summary(&draft, &simulation),
            fee_payer: draft.payer.into(),
            created: draft.created,
            bounds: draft.bounds,
            fee,
            limits: Limits {
                units: budget.units,
                loaded_bytes: budget.loaded_bytes,
            },
            simulation: Simulated {
                slot: simulation.slot,
                units: U64(simulation.units.unwrap_or_default()),
                events: events(&simulation),
            },
            blockhash: blockhash.hash.to_string(),
            last_valid_block_height: blockhash.last_valid_height,
            slot: draft.slot,
        })
    }

    fn build(
        &self,
        draft: &Draft,
        budget: Budget,
        blockhash: rpc::Hash,
    ) -> Result<rpc::VersionedMessage, Problem> {
        let message = message(&draft.instructions, budget, &draft.payer, blockhash)?;
        // Whoever signs a transaction with other required signers is being deceived.
        assert_eq!(message.header().num_required_signatures, 1);
        Ok(message)
    }

    /// Simulates on a state not before that of the draft's accounts. Fails if the transaction would.
    async fn simulate(
        &self,
        draft: &Draft,
        message: rpc::VersionedMessage,
    ) -> Result<Simulation, Problem> {
        let client = &self.node.client;
        let simulate = || client.simulate_message(message.clone(), draft.slot);
        let simulation = self.when_reached(simulate).await?;
        match &simulation.failure {
            Some(failure) => Err(simulated(failure)),
            None => Ok(simulation),
        }
    }

    /// What a transaction that writes `accounts` pays for priority, in micro-lamports per compute unit.
    async fn priority_fee(&self, accounts: &[Address]) -> Result<u64, Problem> {
        let recent = call(self.node.client.recent_priority_fees(accounts)).await;
        let recent = recent.map_err(Failure::from)?;
        let fee = percentile(recent, self.node.priority_fee_percentile);
        Ok(fee.min(self.node.max_priority_fee))
    }
}

/// The smallest of `values` that at least `percent` percent of them don't exceed; 0 if there are none.
fn percentile(mut values: Vec<u64>, percent: u8) -> u64 {
    values.sort_unstable();
    let rank = (values.len() * usize::from(percent)).div_ceil(100);
    values
        .get(rank.saturating_sub(1))
        .copied()
        .unwrap_or_default()
}

fn fee(budget: Budget) -> Fee {
    let micro = u128::from(budget.units) * u128::from(budget.priority_fee);
    let priority = u64::try_from(micro.div_ceil(MICRO_LAMPORTS)).unwrap_or(u64::MAX);
    let sol = |lamports| Scaled::new(lamports, SOL_DECIMALS);
    Fee {
        signature: sol(SIGNATURE_FEE),
        priority: sol(priority),
        total: sol(priority.saturating_add(SIGNATURE_FEE)),
        micro_lamports_per_unit: U64(budget.priority_fee),
    }
}

/// What the events of the simulation say in words.
fn summary(draft: &Draft, simulation: &Simulation) -> String {
    let decoded = simulation.events.iter();
    let decoded = decoded.filter_map(|data| Event::decode(data).ok());
    let mut sentences: Vec<_> = decoded
        .filter_map(|event| words::sentence(&event, draft.decimals))
        .collect();
    let creates_tokens =
        |created: &&Created| ["token_account", "share_account"].contains(&created.kind);
    if draft.created.iter().any(|created| creates_tokens(&created)) {
        sentences.push("Creates the token account that it pays to, for its rent.".to_owned());
    }
    sentences.join(" ")
}

fn events(simulation: &Simulation) -> Vec<SimulatedEvent> {
    let events = simulation.events.iter().map(|data| json::event(data));
    events
        .filter_map(Result::ok)
        .map(|event| SimulatedEvent {
            name: event.name,
            fields: event.fields,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_one_of_the_values() {
        assert_eq!(percentile(vec![], 60), 0);
        assert_eq!(percentile(vec![0, 0, 0, 0], 60), 0);
        assert_eq!(percentile(vec![5, 1, 4, 2, 3], 60), 3);
        assert_eq!(percentile(vec![5, 1, 4, 2, 3], 61), 4);
        assert_eq!(percentile(vec![5, 1, 4, 2, 3], 0), 1);
        assert_eq!(percentile(vec![5, 1, 4, 2, 3], 100), 5);
    }

    #[test]
    fn the_priority_fee_is_rounded_up() {
        let budget = |units, priority_fee| Budget {
            units,
            loaded_bytes: 0,
            priority_fee,
        };
        assert_eq!(fee(budget(200_000, 0)).total.raw, U64(5_000));
        let paid = fee(budget(200_001, 5));
        assert_eq!(paid.priority.raw, U64(2));
        assert_eq!(paid.total.scaled, "0.000005002");
    }
}
