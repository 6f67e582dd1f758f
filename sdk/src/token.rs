//! Token accounts and mints, as far as clients look into them: both token programs hold this much
//! at the same places.

use anchor_lang::Address;

const MINT_SUPPLY: usize = 36;
const ACCOUNT_OWNER: usize = 32;
const ACCOUNT_AMOUNT: usize = 64;
const ACCOUNT_DELEGATE: usize = 72;
const ACCOUNT_STATE: usize = 108;
const ACCOUNT_DELEGATED: usize = 121;

/// A token account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenAccount {
    pub owner: Address,
    /// Base units that it holds.
    pub amount: u64,
    /// Who else may take of it, and how much.
    pub delegate: Option<Address>,
    pub delegated: u64,
    pub is_frozen: bool,
}

impl TokenAccount {
    /// `None` where `data` are too short for a token account.
    pub fn decode(data: &[u8]) -> Option<Self> {
        const FROZEN: u8 = 2;
        let is_delegated = data.get(ACCOUNT_DELEGATE..)?.first_chunk()? == &1u32.to_le_bytes();
        let delegate = address(data, ACCOUNT_DELEGATE + 4)?;
        Some(Self {
            owner: address(data, ACCOUNT_OWNER)?,
            amount: number(data, ACCOUNT_AMOUNT)?,
            delegate: is_delegated.then_some(delegate),
            delegated: number(data, ACCOUNT_DELEGATED)?,
            is_frozen: *data.get(ACCOUNT_STATE)? == FROZEN,
        })
    }

    /// What `authority` can take of `owner`'s account.
    pub fn allowance(&self, owner: &Address, authority: &Address) -> u64 {
        let can = self.owner == *owner && self.delegate == Some(*authority) && !self.is_frozen;
        if can {
            self.delegated.min(self.amount)
        } else {
            0
        }
    }
}

/// The base units of a mint that exist. `None` where `data` are too short for a mint.
pub fn mint_supply(data: &[u8]) -> Option<u64> {
    number(data, MINT_SUPPLY)
}

fn number(data: &[u8], at: usize) -> Option<u64> {
    let bytes = data.get(at..)?.first_chunk()?;
    Some(u64::from_le_bytes(*bytes))
}

fn address(data: &[u8], at: usize) -> Option<Address> {
    let bytes = data.get(at..)?.first_chunk()?;
    Some(Address::new_from_array(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWNER: Address = Address::new_from_array([1; 32]);
    const AUTHORITY: Address = Address::new_from_array([2; 32]);

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
        account.allowance(&OWNER, &AUTHORITY)
    }

    #[test]
    fn what_is_delegated_and_there_can_be_taken() {
        assert_eq!(takeable(&data()), 30);
        let change = |at: usize, byte: u8| {
            let mut data = data();
            data[at] = byte;
            takeable(&data)
        };
        assert_eq!(change(64, 20), 20, "less is there");
        assert_eq!(change(72, 0), 0, "nobody is the delegate");
        assert_eq!(change(76, 3), 0, "another one is");
        assert_eq!(change(32, 3), 0, "the account is given away");
        assert_eq!(change(108, 2), 0, "the account is frozen");
    }

    #[test]
    fn what_is_too_short_is_none() {
        assert_eq!(TokenAccount::decode(&data()[..128]), None);
        assert_eq!(mint_supply(&[0; 43]), None);
        let mut mint = [0; 82];
        mint[36] = 7;
        assert_eq!(mint_supply(&mint), Some(7));
    }
}
