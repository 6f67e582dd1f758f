use anchor_lang::prelude::*;

/// A liquidity provider's request to withdraw capital from a vault.
///
/// It can be paid from `unlock_at` to `lapses_at`. What wasn't paid by then becomes shares again,
/// which the request holds for their owner.
///
/// Address: PDA of `["withdraw", vault, owner]`.
#[account]
pub struct WithdrawRequest {
    pub vault: Address,
    /// Receives the payment and the account's rent.
    pub owner: Address,
    /// Sequence number of this account's latest event, counted from 1.
    pub seq: u64,
    /// Requested capital when the vault's `leaving_index` was `index`, in base units. What is left
    /// of it is `⌊value · leaving_index / index⌋`, divided by 2³⁰ for each scaling since then, rounded
    /// down.
    pub value: u64,
    /// The vault's `leaving_index` when `value` was set.
    pub index: u64,
    /// Shares that the request became after its exit window; 0 before.
    pub shares: u64,
    /// Unix time from which the request can be paid.
    pub unlock_at: i64,
    /// Unix time at which the rest of the request becomes shares.
    pub lapses_at: i64,
    /// Unix time until which the vault reserves the value of `shares` against purchases; 0 if it
    /// doesn't.
    pub reserved_until: i64,
    /// The vault's `leaving_scale` when `value` was set.
    pub scale: u32,
    /// Whether free capital did not suffice for a payment in the exit window.
    pub is_short: PodBool,
    pub bump: u8,
    pub reserved: [u8; 2],
}

const _: () = assert!(core::mem::size_of::<WithdrawRequest>() == 2 * 32 + 7 * 8 + 8);

impl WithdrawRequest {
    /// Whether the running instruction created the account.
    pub fn is_new(&self) -> bool {
        self.seq == 0
    }

    /// Whether nothing is left of the request.
    pub fn is_over(&self) -> bool {
        self.value == 0 && self.shares == 0
    }

    pub fn next_seq(&mut self) -> u64 {
        super::next_seq(&mut self.seq)
    }
}
