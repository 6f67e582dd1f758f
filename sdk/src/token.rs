//! Token accounts and mints. Both token programs share the layout of SPL Token; the extensions
//! that Token-2022 appends are ignored.

use anchor_lang::Address;
use solana_program_pack::Pack;
use spl_token_interface::state::{Account, AccountState, Mint};

/// A token account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenAccount {
    pub owner: Address,
    /// Balance in base units.
    pub amount: u64,
    /// Key that may transfer tokens out of the account in addition to the owner.
    pub delegate: Option<Address>,
    /// Base units that the delegate may still transfer.
    pub delegated: u64,
    pub is_frozen: bool,
}

impl TokenAccount {
    /// Decodes a token account. `None` if `data` is too short for a token account, or is invalid.
    pub fn decode(data: &[u8]) -> Option<Self> {
        let account: Account = unpack(data)?;
        Some(Self {
            owner: account.owner,
            amount: account.amount,
            delegate: account.delegate.into(),
            delegated: account.delegated_amount,
            is_frozen: account.state == AccountState::Frozen,
        })
    }

    /// Base units that `delegate` can transfer out of the account, at most the balance. 0 if the
    /// account is frozen, or no longer belongs to `owner`.
    pub fn allowance(&self, owner: &Address, delegate: &Address) -> u64 {
        let can_transfer =
            self.owner == *owner && self.delegate == Some(*delegate) && !self.is_frozen;
        if can_transfer {
            self.delegated.min(self.amount)
        } else {
            0
        }
    }
}

/// Supply of a mint in base units. `None` if `data` is too short for a mint, or is invalid.
pub fn mint_supply(data: &[u8]) -> Option<u64> {
    unpack::<Mint>(data).map(|mint| mint.supply)
}

/// Decimals of a mint. `None` if `data` is too short for a mint, or is invalid.
pub fn mint_decimals(data: &[u8]) -> Option<u8> {
    unpack::<Mint>(data).map(|mint| mint.decimals)
}

/// Decodes the part of an account that both token programs share.
fn unpack<T: Pack>(data: &[u8]) -> Option<T> {
    T::unpack_unchecked(data.get(..T::LEN)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWNER: Address = Address::new_from_array([1; 32]);
    const DELEGATE: Address = Address::new_from_array([2; 32]);

    fn data() -> Vec<u8> {
        let mut data = vec![0; 165];
        data[32..64].fill(1);
        data[64] = 50;
        data[72] = 1;
        data[76..108].fill(2);
        data[108] = 1;
        data[121] = 30;
        data
    }

    fn allowance(data: &[u8]) -> u64 {
        let account = TokenAccount::decode(data).unwrap();
        account.allowance(&OWNER, &DELEGATE)
    }

    #[test]
    fn the_allowance_is_limited_by_approval_balance_owner_and_freeze() {
        assert_eq!(allowance(&data()), 30);
        let change = |at: usize, byte: u8| {
            let mut data = data();
            data[at] = byte;
            allowance(&data)
        };
        assert_eq!(change(64, 20), 20, "the balance is lower");
        assert_eq!(change(72, 0), 0, "there is no delegate");
        assert_eq!(change(76, 3), 0, "the delegate is another key");
        assert_eq!(change(32, 3), 0, "the account has another owner");
        assert_eq!(change(108, 2), 0, "the account is frozen");
    }

    #[test]
    fn too_short_data_is_not_decoded() {
        assert_eq!(TokenAccount::decode(&data()[..128]), None);
        assert_eq!(mint_supply(&[0; 43]), None);
        let mut mint = [0; 82];
        mint[36] = 7;
        assert_eq!(mint_supply(&mint), Some(7));
        mint[44] = 6;
        assert_eq!(mint_decimals(&mint), Some(6));
    }

    #[test]
    fn token_2022_extensions_are_ignored() {
        let extended = [data(), vec![2; 40]].concat();
        assert_eq!(
            TokenAccount::decode(&extended),
            TokenAccount::decode(&data())
        );
    }
}
