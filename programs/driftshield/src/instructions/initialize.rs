use anchor_lang::prelude::*;

use crate::{Account, Config, ConfigParams, DriftShieldError, Initialized};

const LOADER: Address = anchor_lang::address!("BPFLoaderUpgradeab1e11111111111111111111111");
/// The loader's `ProgramData`: a tag (u32), the slot (u64), and the upgrade authority as an option
/// (one byte, 1 if there is one, then the key).
const PROGRAM_DATA_TAG: [u8; 4] = 3u32.to_le_bytes();
const AUTHORITY: core::ops::Range<usize> = 12..45;

#[event_cpi]
#[derive(Accounts)]
pub struct Initialize {
    /// The program's upgrade authority. Pays the rent.
    #[account(mut)]
    pub authority: Signer,
    #[account(init, payer = authority, seeds = [b"config"], bump)]
    pub config: Account<Config>,
    /// The program's data account, which names the upgrade authority.
    pub program_data: UncheckedAccount,
    pub system_program: Program<System>,
}

impl Initialize {
    pub fn initialize(
        &mut self,
        admin: Address,
        guardian: Address,
        arbiter: Address,
        params: ConfigParams,
        bump: u8,
    ) -> Result<Initialized> {
        self.require_upgrade_authority()?;
        params.validate()?;
        *self.config = Config {
            admin,
            pending_admin: Address::default(),
            guardian,
            arbiter,
            pending_arbiter: Address::default(),
            seq: 1,
            params,
            paused: 0,
            bump,
            reserved: [0; 6],
        };
        Ok(Initialized {
            config_seq: self.config.seq,
            admin,
            guardian,
            arbiter,
            params,
        })
    }

    fn require_upgrade_authority(&self) -> Result<()> {
        let (address, _) = anchor_lang::find_program_address(&[crate::ID.as_ref()], &LOADER);
        let account = self.program_data.account();
        require!(
            *account.address() == address && account.owned_by(&LOADER),
            DriftShieldError::NotUpgradeAuthority
        );
        let data = account.try_borrow()?;
        let mut expected = [1; 33]; // the option's tag 1, then the key
        expected[1..].copy_from_slice(self.authority.address().as_ref());
        require!(
            data.get(..4) == Some(&PROGRAM_DATA_TAG[..])
                && data.get(AUTHORITY) == Some(&expected[..]),
            DriftShieldError::NotUpgradeAuthority
        );
        Ok(())
    }
}
