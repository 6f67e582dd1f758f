//! Compute budget of a transaction: limits that a simulation yields, and the priority fee.

use anchor_lang::solana_program::instruction::Instruction;
use solana_compute_budget_interface::ComputeBudgetInstruction;

/// Bytes of account data that the cost model counts together: a transaction's share of a block
/// grows with each page that its limit begins.
const PAGE_BYTES: u32 = 32 * 1024;

/// What a transaction may use at most, and what it pays for priority.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Compute units.
    pub units: u32,
    /// Bytes of all accounts that the transaction names, and of the code of its programs.
    pub loaded_bytes: u32,
    /// Priority fee in micro-lamports per compute unit of the limit; 0 for none.
    pub priority_fee: u64,
}

impl Budget {
    /// The most that the runtime allows, without a priority fee.
    pub const MAX: Self = Self {
        units: 1_400_000,
        loaded_bytes: 64 << 20,
        priority_fee: 0,
    };

    /// The budget of a transaction that used this much in a simulation.
    ///
    /// The margins allow for other transactions that land in between. For example, a submission
    /// that created the receipt in the simulation may reach the quorum instead, and an account that
    /// did not exist may be loaded.
    pub fn with_margin(units: u64, loaded_bytes: u32, priority_fee: u64) -> Self {
        let units = units.saturating_add(units / 5).saturating_add(20_000);
        let pages = loaded_bytes.div_ceil(PAGE_BYTES) + 1;
        Self {
            units: units.min(Self::MAX.units.into()) as u32,
            loaded_bytes: pages.saturating_mul(PAGE_BYTES).min(Self::MAX.loaded_bytes),
            priority_fee,
        }
    }

    /// `instructions`, followed by those that set the budget. They come last so that an error's
    /// number of the failed instruction counts the caller's.
    pub fn append_to(&self, instructions: &[Instruction]) -> Vec<Instruction> {
        let mut all = instructions.to_vec();
        all.push(ComputeBudgetInstruction::set_compute_unit_limit(self.units));
        all.push(ComputeBudgetInstruction::set_loaded_accounts_data_size_limit(self.loaded_bytes));
        if self.priority_fee != 0 {
            all.push(ComputeBudgetInstruction::set_compute_unit_price(
                self.priority_fee,
            ));
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_have_a_margin_and_stay_within_those_of_the_runtime() {
        let budget = Budget::with_margin(50_000, PAGE_BYTES, 7);
        assert_eq!(budget.units, 80_000);
        assert_eq!(budget.loaded_bytes, 2 * PAGE_BYTES);
        assert_eq!(budget.priority_fee, 7);
        let budget = Budget::with_margin(0, PAGE_BYTES + 1, 0);
        assert_eq!(
            (budget.units, budget.loaded_bytes),
            (20_000, 3 * PAGE_BYTES)
        );
        for (units, bytes) in [(1_399_999, 64 << 20), (u64::MAX, u32::MAX)] {
            assert_eq!(Budget::with_margin(units, bytes, 0), Budget::MAX);
        }
    }

    #[test]
    fn a_price_is_set_only_where_one_is_given() {
        let count = |budget: Budget| budget.append_to(&[]).len();
        assert_eq!(count(Budget::MAX), 2);
        let priced = Budget {
            priority_fee: 1,
            ..Budget::MAX
        };
        assert_eq!(count(priced), 3);
    }
}
