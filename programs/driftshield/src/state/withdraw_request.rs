use anchor_lang::prelude::*;

/// A liquidity provider's request to withdraw shares from a vault.
///
/// Address: PDA of `["withdraw", vault, owner]`.
#[account]
pub struct WithdrawRequest {
    pub vault: Address,
    /// Receives the payment and the account's rent.
    pub owner: Address,
    /// Sequence number of this account's latest event, counted from 1.
    pub seq: u64,
    /// Number of requested shares, held in the vault's escrow.
    pub shares: u64,
    /// Maximum payment for the shares, in base units: their value when they were requested. A
    /// further request lowers it if the earlier shares have lost value.
    pub value: u64,
    /// Unix time from which the shares can be paid.
    pub unlock_at: i64,
    pub bump: u8,
    pub reserved: [u8; 7],
}

const _: () = assert!(core::mem::size_of::<WithdrawRequest>() == 2 * 32 + 4 * 8 + 8);

impl WithdrawRequest {
    /// Whether the running instruction created the account.
    pub fn is_new(&self) -> bool {
        self.seq == 0
    }

    pub fn next_seq(&mut self) -> u64 {
        super::next_seq(&mut self.seq)
    }
}
