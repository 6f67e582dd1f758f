//! What a transaction requests from the runtime, read from its instructions.

use driftshield_sdk::rpc::VersionedTransaction;

/// Limits and price that a transaction sets. `None` where it sets none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestedBudget {
    /// Compute units.
    pub units: Option<u32>,
    pub loaded_bytes: Option<u32>,
    /// Micro-lamports per compute unit.
    pub price: Option<u64>,
}

impl RequestedBudget {
    pub fn of(transaction: &VersionedTransaction) -> Self {
        let message = &transaction.message;
        let mut budget = Self::default();
        for instruction in message.instructions() {
            let program = instruction.program_id(message.static_account_keys());
            if program.to_string() != "ComputeBudget111111111111111111111111111111" {
                continue;
            }
            match &instruction.data[..] {
                [2, units @ ..] => budget.units = Some(u32::from_le_bytes(number(units))),
                [3, price @ ..] => budget.price = Some(u64::from_le_bytes(number(price))),
                [4, bytes @ ..] => budget.loaded_bytes = Some(u32::from_le_bytes(number(bytes))),
                other => panic!("an unknown instruction of the compute budget: {other:?}"),
            }
        }
        budget
    }

    /// Whether both limits are set, and far below what the runtime allows: 1.4 million compute
    /// units and 64 MiB.
    pub fn is_limited(&self) -> bool {
        self.units.is_some_and(|units| units <= 500_000)
            && self.loaded_bytes.is_some_and(|bytes| bytes <= 8 << 20)
    }

    /// Priority fee in lamports, rounded up.
    pub fn priority_fee(&self) -> u64 {
        let units = u64::from(self.units.expect("a limit"));
        (self.price.unwrap_or(0) * units).div_ceil(1_000_000)
    }
}

fn number<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.try_into().expect("a number of this size")
}
