//! What somebody asks of the program, or of the token programs: all that a transaction says.

use driftshield_sdk::{
    Account, AccountMeta, Address, ChallengePayee, CollateralTerms, ConfigParams, FeePayee,
    Instruction, ListingTerms, MarketTerms, MetricSpec, ModelTerms, PolicyTerms, PremiumPayee,
    TokenProgram, VaultTerms, address, instruction,
};
use std::collections::HashMap;

use crate::world::swapped;

/// A request, and who makes it. `signed` says whether the payee signs where it doesn't have to.
#[derive(Clone, Debug)]
pub enum Call {
    Initialize {
        who: Address,
        params: ConfigParams,
    },
    UpdateConfig {
        who: Address,
        guardian: Address,
        arbiter: Address,
        params: ConfigParams,
    },
    ProposeAdmin {
        who: Address,
        to: Address,
    },
    AcceptAdmin {
        who: Address,
    },
    SetPause {
        who: Address,
        flags: u8,
    },
    RegisterCollateral {
        who: Address,
        mint: Address,
        program: TokenProgram,
        terms: CollateralTerms,
        accepts_freeze: bool,
    },
    UpdateCollateral {
        who: Address,
        mint: Address,
        terms: CollateralTerms,
        enabled: bool,
    },
    WithdrawTreasury {
        who: Address,
        mint: Address,
        destination: Address,
        amount: u64,
    },
    RegisterModel {
        who: Address,
        id: u64,
        mint: Address,
        spec: MetricSpec,
        terms: ModelTerms,
    },
    UpdateModel {
        who: Address,
        model: Address,
        terms: ModelTerms,
    },
    RetireModel {
        who: Address,
        model: Address,
    },
    Bond {
        who: Address,
        model: Address,
        source: Address,
        amount: u64,
    },
    RequestUnbond {
        who: Address,
        model: Address,
        amount: u64,
    },
    WithdrawBond {
        oracle: Address,
        model: Address,
        destination: Address,
        signed: bool,
    },
    CloseSeat {
        oracle: Address,
        model: Address,
    },
    SubmitReceipt {
        who: Address,
        model: Address,
        window: u64,
        counts: Vec<u32>,
        evidence: [u8; 32],
        uri: String,
    },
    ChallengeReceipt {
        who: Address,
        model: Address,
        window: u64,
        source: Address,
    },
    RuleReceipt {
        who: Address,
        model: Address,
        window: u64,
        counts: Vec<u32>,
        seats: Vec<Address>,
    },
    FinalizeReceipt {
        model: Address,
        window: u64,
    },
    CollectChallenge {
        model: Address,
        window: u64,
        payee: ChallengePayee,
        destination: Address,
        signed: bool,
    },
    CloseReceipt {
        model: Address,
        window: u64,
    },
    CreateMarket {
        who: Address,
        id: u64,
        model: Address,
        terms: MarketTerms,
    },
    CancelMarket {
        market: Address,
        signed: bool,
    },
    PlaceBet {
        who: Address,
        market: Address,
        source: Address,
        outcome: u8,
        amount: u64,
        min_multiple: u64,
        /// Whether the bet names the terms of another market.
        stale: bool,
    },
    SettleMarket {
        market: Address,
        receipts: Vec<Address>,
    },
    Claim {
        market: Address,
        owner: Address,
        destination: Address,
        signed: bool,
    },
    CollectFees {
        market: Address,
        payee: FeePayee,
        destination: Address,
        signed: bool,
    },
    CloseMarket {
        market: Address,
    },
    CreateVault {
        who: Address,
        id: u64,
        mint: Address,
        cooldown_secs: i64,
        manager_fee_bps: u16,
        terms: VaultTerms,
    },
    UpdateVault {
        who: Address,
        vault: Address,
        terms: VaultTerms,
    },
    ListModel {
        who: Address,
        vault: Address,
        model: Address,
        terms: ListingTerms,
    },
    Deposit {
        who: Address,
        vault: Address,
        source: Address,
        destination: Address,
        amount: u64,
        min_shares: u64,
    },
    RequestWithdraw {
        who: Address,
        vault: Address,
        source: Address,
        shares: u64,
    },
    CancelWithdraw {
        who: Address,
        vault: Address,
        destination: Address,
    },
    Withdraw {
        owner: Address,
        vault: Address,
        destination: Address,
        signed: bool,
    },
    CollectManagerFees {
        vault: Address,
        payee: PremiumPayee,
        destination: Address,
        signed: bool,
    },
    CloseExposure {
        vault: Address,
        model: Address,
    },
    CloseVault {
        vault: Address,
        signed: bool,
    },
    BuyPolicy {
        who: Address,
        id: u64,
        vault: Address,
        model: Address,
        source: Address,
        terms: PolicyTerms,
    },
    ClaimPolicy {
        policy: Address,
        receipts: Vec<Address>,
        destination: Address,
        signed: bool,
    },
    CancelPolicy {
        policy: Address,
        destination: Address,
    },
    RenewPolicy {
        policy: Address,
        source: Address,
        signed: bool,
    },
    ExpirePolicy {
        policy: Address,
    },

    // Of the token programs and the system program.
    OpenShares {
        who: Address,
        vault: Address,
    },
    Send {
        who: Address,
        source: Address,
        destination: Address,
        amount: u64,
    },
    Burn {
        who: Address,
        source: Address,
        amount: u64,
    },
    Approve {
        who: Address,
        source: Address,
        amount: u64,
    },
    Revoke {
        who: Address,
        source: Address,
    },
    GiveAway {
        who: Address,
        account: Address,
        to: Address,
    },
    SendLamports {
        to: Address,
    },
}

/// What was last read of every account, closed ones as well.
pub type Remembered = HashMap<Address, Account>;

macro_rules! remembered {
    ($($name:ident $kind:ident),* $(,)?) => {
        $(fn $name<'a>(
            seen: &'a Remembered,
            address: &Address,
        ) -> Option<&'a driftshield_sdk::$kind> {
            match seen.get(address)? {
                Account::$kind(account) => Some(account),
                _ => None,
            }
        })*
    };
}

remembered!(
    collateral Collateral,
    model Model,
    receipt Receipt,
    market Market,
    vault Vault,
    policy Policy,
);

/// What a token account is of.
pub struct TokenInfo {
    pub mint: Address,
    pub program: TokenProgram,
    pub decimals: u8,
}

impl Call {
    /// As the table of results names it.
    pub fn name(&self) -> String {
        let debug = format!("{self:?}");
        let end = debug.find([' ', '{']).unwrap_or(debug.len());
        let mut name = String::new();
        for letter in debug[..end].chars() {
            if letter.is_uppercase() && !name.is_empty() {
                name.push('_');
            }
            name.extend(letter.to_lowercase());
        }
        name
    }

    /// How many accounts it passes beside those that the instruction declares.
    pub fn remaining(&self) -> usize {
        match self {
            Self::RuleReceipt { seats, .. } => seats.len(),
            Self::SettleMarket { receipts, .. } | Self::ClaimPolicy { receipts, .. } => {
                receipts.len()
            }
            _ => 0,
        }
    }

    /// Accounts that the caller may choose: token accounts that pay or are paid.
    pub fn chosen(&self) -> Vec<Address> {
        match self {
            Self::WithdrawTreasury { destination, .. }
            | Self::WithdrawBond { destination, .. }
            | Self::CollectChallenge { destination, .. }
            | Self::Claim { destination, .. }
            | Self::CollectFees { destination, .. }
            | Self::CancelWithdraw { destination, .. }
            | Self::Withdraw { destination, .. }
            | Self::CollectManagerFees { destination, .. }
            | Self::ClaimPolicy { destination, .. }
            | Self::CancelPolicy { destination, .. } => vec![*destination],
            Self::Bond { source, .. }
            | Self::ChallengeReceipt { source, .. }
            | Self::PlaceBet { source, .. }
            | Self::RequestWithdraw { source, .. }
            | Self::BuyPolicy { source, .. }
            | Self::RenewPolicy { source, .. } => vec![*source],
            Self::Deposit {
                source,
                destination,
                ..
            } => vec![*source, *destination],
            _ => vec![],
        }
    }

    /// The account that the call is about, where the caller may as well name another one of the kind.
    pub fn subject(&self) -> Option<Address> {
        match self {
            Self::UpdateCollateral { mint, .. } => Some(address::collateral(mint)),
            Self::CreateMarket { model, .. }
            | Self::UpdateModel { model, .. }
            | Self::RetireModel { model, .. } => Some(*model),
            Self::ChallengeReceipt { model, window, .. }
            | Self::RuleReceipt { model, window, .. }
            | Self::FinalizeReceipt { model, window }
            | Self::CollectChallenge { model, window, .. }
            | Self::CloseReceipt { model, window } => Some(address::receipt(model, *window)),
            Self::SettleMarket { market, .. } => Some(*market),
            Self::UpdateVault { vault, .. } => Some(*vault),
            Self::ClaimPolicy { policy, .. }
            | Self::CancelPolicy { policy, .. }
            | Self::RenewPolicy { policy, .. }
            | Self::ExpirePolicy { policy } => Some(*policy),
            _ => None,
        }
    }

    /// The account that the call closes, or may close.
    pub fn closes(&self) -> Option<Address> {
        match self {
            Self::CloseSeat { oracle, model } => Some(address::seat(model, oracle)),
            Self::CloseReceipt { model, window } => Some(address::receipt(model, *window)),
            Self::CancelMarket { market, .. } | Self::CloseMarket { market } => Some(*market),
            Self::Claim { market, owner, .. } => Some(address::position(market, owner)),
            Self::CancelWithdraw {
                who: owner, vault, ..
            }
            | Self::Withdraw { owner, vault, .. } => Some(address::withdraw_request(vault, owner)),
            Self::CloseExposure { vault, model } => Some(address::exposure(vault, model)),
            Self::CloseVault { vault, .. } => Some(*vault),
            Self::ClaimPolicy { policy, .. }
            | Self::CancelPolicy { policy, .. }
            | Self::ExpirePolicy { policy } => Some(*policy),
            _ => None,
        }
    }

    /// The instruction, `None` where what it is about was never there. `payer` pays for what no
    /// actor does; `tokens` tells what a token account is of.
    pub fn instruction(
        &self,
        seen: &Remembered,
        payer: &Address,
        tokens: impl Fn(&Address) -> Option<TokenInfo>,
    ) -> Option<Instruction> {
        self.of_roles(seen)
            .or_else(|| self.of_models(seen))
            .or_else(|| self.of_markets(seen))
            .or_else(|| self.of_vaults(seen))
            .or_else(|| self.of_policies(seen))
            .or_else(|| self.of_tokens(seen, payer, tokens))
    }

    fn of_roles(&self, seen: &Remembered) -> Option<Instruction> {
        Some(match self {
            Self::Initialize { who, params } => {
                instruction::initialize(*who, *who, *who, *who, *params)
            }
            Self::UpdateConfig {
                who,
                guardian,
                arbiter,
                params,
            } => instruction::update_config(*who, *guardian, *arbiter, *params),
            Self::ProposeAdmin { who, to } => instruction::propose_admin(*who, *to),
            Self::AcceptAdmin { who } => instruction::accept_admin(*who),
            Self::SetPause { who, flags } => instruction::set_pause(*who, *flags),
            Self::RegisterCollateral {
                who,
                mint,
                program,
                terms,
                accepts_freeze,
            } => instruction::register_collateral(*who, *mint, *program, *terms, *accepts_freeze),
            Self::UpdateCollateral {
                who,
                mint,
                terms,
                enabled,
            } => instruction::update_collateral(*who, *mint, *terms, *enabled),
            Self::WithdrawTreasury {
                who,
                mint,
                destination,
                amount,
            } => {
                let state = collateral(seen, &address::collateral(mint))?;
                instruction::withdraw_treasury(*who, state, *destination, *amount)
            }
            _ => return None,
        })
    }

    fn of_models(&self, seen: &Remembered) -> Option<Instruction> {
        Some(match self {
            Self::RegisterModel {
                who,
                id,
                mint,
                spec,
                terms,
            } => {
                let bonds = collateral(seen, &address::collateral(mint))?;
                instruction::register_model(*who, *id, bonds, spec.clone(), terms.clone())
            }
            Self::UpdateModel { who, model, terms } => {
                instruction::update_model(*who, *model, terms.clone())
            }
            Self::RetireModel { who, model } => instruction::retire_model(*who, *model),
            Self::Bond {
                who,
                model: at,
                source,
                amount,
            } => instruction::bond(*who, *at, model(seen, at)?, *source, *amount),
            Self::RequestUnbond { who, model, amount } => {
                instruction::request_unbond(*who, *model, *amount)
            }
            Self::WithdrawBond {
                oracle,
                model: at,
                destination,
                signed,
            } => {
                let state = model(seen, at)?;
                let own = own(oracle, &state.bond_mint, state.token_program.into());
                let withdraw = instruction::withdraw_bond(*oracle, *at, state);
                paying(withdraw, &own, destination, oracle, *signed)
            }
            Self::CloseSeat { oracle, model } => instruction::close_seat(*oracle, *model),
            Self::SubmitReceipt {
                who,
                model,
                window,
                counts,
                evidence,
                uri,
            } => instruction::submit_receipt(
                *who,
                *model,
                *window,
                counts.clone(),
                *evidence,
                uri.clone(),
            ),
            Self::ChallengeReceipt {
                who,
                model: at,
                window,
                source,
            } => instruction::challenge_receipt(*who, *at, model(seen, at)?, *window, *source),
            Self::RuleReceipt {
                who,
                model: at,
                window,
                counts,
                seats,
            } => {
                let state = model(seen, at)?;
                let read = receipt(seen, &address::receipt(at, *window))?;
                let mut rule = instruction::rule_receipt(*at, state, read, counts.clone());
                let named = read.submitted.count_ones() as usize;
                rule.accounts.truncate(rule.accounts.len() - named);
                let seats = seats.iter().map(|seat| AccountMeta::new(*seat, false));
                rule.accounts.extend(seats);
                swapped(rule, &state.arbiter, who)
            }
            Self::FinalizeReceipt { model, window } => {
                instruction::finalize_receipt(*model, *window)
            }
            Self::CollectChallenge {
                model: at,
                window,
                payee,
                destination,
                signed,
            } => {
                let state = model(seen, at)?;
                let read = receipt(seen, &address::receipt(at, *window))?;
                let named = match payee {
                    ChallengePayee::Treasury => {
                        address::treasury(&address::collateral(&state.bond_mint))
                    }
                    ChallengePayee::Challenger => own(
                        &read.challenger,
                        &state.bond_mint,
                        state.token_program.into(),
                    ),
                };
                let collect = instruction::collect_challenge(*at, state, read, *payee);
                paying(collect, &named, destination, &read.challenger, *signed)
            }
            Self::CloseReceipt { model, window } => {
                instruction::close_receipt(receipt(seen, &address::receipt(model, *window))?)
            }
            _ => return None,
        })
    }

    fn of_markets(&self, seen: &Remembered) -> Option<Instruction> {
        Some(match self {
            Self::CreateMarket {
                who,
                id,
                model: at,
                terms,
            } => instruction::create_market(*who, *id, *at, model(seen, at)?, terms.clone()),
            Self::CancelMarket { market: at, signed } => {
                instruction::cancel_market(*at, market(seen, at)?, *signed)
            }
            Self::PlaceBet {
                who,
                market: at,
                source,
                outcome,
                amount,
                min_multiple,
                stale,
            } => {
                let mut state = *market(seen, at)?;
                state.terms_hash[0] ^= u8::from(*stale);
                instruction::place_bet(*who, *at, &state, *source, *outcome, *amount, *min_multiple)
            }
            Self::SettleMarket {
                market: at,
                receipts,
            } => {
                let mut settle = instruction::settle_market(*at, market(seen, at)?, 0);
                let receipts = receipts.iter().map(|at| AccountMeta::new(*at, false));
                settle.accounts.extend(receipts);
                settle
            }
            Self::Claim {
                market: at,
                owner,
                destination,
                signed,
            } => {
                let state = market(seen, at)?;
                let own = own(owner, &state.mint, state.token_program.into());
                let claim = instruction::claim(*owner, *at, state);
                paying(claim, &own, destination, owner, *signed)
            }
            Self::CollectFees {
                market: at,
                payee,
                destination,
                signed,
            } => {
                let state = market(seen, at)?;
                let named = match payee {
                    FeePayee::Treasury => address::treasury(&address::collateral(&state.mint)),
                    FeePayee::Creator => {
                        own(&state.creator, &state.mint, state.token_program.into())
                    }
                };
                let collect = instruction::collect_fees(*at, state, *payee);
                paying(collect, &named, destination, &state.creator, *signed)
            }
            Self::CloseMarket { market: at } => instruction::close_market(*at, market(seen, at)?),
            _ => return None,
        })
    }

    fn of_vaults(&self, seen: &Remembered) -> Option<Instruction> {
        Some(match self {
            Self::CreateVault {
                who,
                id,
                mint,
                cooldown_secs,
                manager_fee_bps,
                terms,
            } => {
                let state = collateral(seen, &address::collateral(mint))?;
                instruction::create_vault(
                    *who,
                    *id,
                    state,
                    *cooldown_secs,
                    *manager_fee_bps,
                    *terms,
                )
            }
            Self::UpdateVault { who, vault, terms } => {
                instruction::update_vault(*who, *vault, *terms)
            }
            Self::ListModel {
                who,
                vault,
                model,
                terms,
            } => instruction::list_model(*who, *vault, *model, *terms),
            Self::Deposit {
                who,
                vault: at,
                source,
                destination,
                amount,
                min_shares,
            } => {
                let state = vault(seen, at)?;
                let deposit = instruction::deposit(*who, *at, state, *source, *amount, *min_shares);
                swapped(deposit, &address::share_account(who, state), destination)
            }
            Self::RequestWithdraw {
                who,
                vault: at,
                source,
                shares,
            } => {
                let state = vault(seen, at)?;
                let request = instruction::request_withdraw(*who, *at, state, *shares);
                swapped(request, &address::share_account(who, state), source)
            }
            Self::CancelWithdraw {
                who,
                vault: at,
                destination,
            } => {
                let state = vault(seen, at)?;
                let cancel = instruction::cancel_withdraw(*who, *at, state);
                swapped(cancel, &address::share_account(who, state), destination)
            }
            Self::Withdraw {
                owner,
                vault: at,
                destination,
                signed,
            } => {
                let state = vault(seen, at)?;
                let own = own(owner, &state.mint, state.token_program.into());
                let withdraw = instruction::withdraw(*owner, *at, state);
                paying(withdraw, &own, destination, owner, *signed)
            }
            Self::CollectManagerFees {
                vault: at,
                payee,
                destination,
                signed,
            } => {
                let state = vault(seen, at)?;
                let named = match payee {
                    PremiumPayee::Treasury => address::treasury(&address::collateral(&state.mint)),
                    PremiumPayee::Manager => {
                        own(&state.manager, &state.mint, state.token_program.into())
                    }
                };
                let collect = instruction::collect_manager_fees(*at, state, *payee);
                paying(collect, &named, destination, &state.manager, *signed)
            }
            Self::CloseExposure { vault: at, model } => {
                instruction::close_exposure(*at, vault(seen, at)?, *model)
            }
            Self::CloseVault { vault: at, signed } => {
                instruction::close_vault(*at, vault(seen, at)?, *signed)
            }
            _ => return None,
        })
    }

    fn of_policies(&self, seen: &Remembered) -> Option<Instruction> {
        Some(match self {
            Self::BuyPolicy {
                who,
                id,
                vault: at,
                model,
                source,
                terms,
            } => {
                let state = vault(seen, at)?;
                instruction::buy_policy(*who, *id, *at, state, *model, *source, *terms)
            }
            Self::ClaimPolicy {
                policy: at,
                receipts,
                destination,
                signed,
            } => {
                let (state, vault) = policy_and_vault(seen, at)?;
                let own = own(&state.holder, &vault.mint, vault.token_program.into());
                let mut claim = instruction::claim_policy(state, vault, 0);
                let named = usize::from(state.persistence);
                claim.accounts.truncate(claim.accounts.len() - named);
                let receipts = receipts
                    .iter()
                    .map(|at| AccountMeta::new_readonly(*at, false));
                claim.accounts.extend(receipts);
                paying(claim, &own, destination, &state.holder, *signed)
            }
            Self::CancelPolicy {
                policy: at,
                destination,
            } => {
                let (state, vault) = policy_and_vault(seen, at)?;
                let own = own(&state.holder, &vault.mint, vault.token_program.into());
                let cancel = instruction::cancel_policy(state, vault);
                paying(cancel, &own, destination, &state.holder, true)
            }
            Self::RenewPolicy {
                policy: at,
                source,
                signed,
            } => {
                let (state, vault) = policy_and_vault(seen, at)?;
                instruction::renew_policy(state, vault, *source, *signed)
            }
            Self::ExpirePolicy { policy: at } => instruction::expire_policy(policy(seen, at)?),
            _ => return None,
        })
    }

    fn of_tokens(
        &self,
        seen: &Remembered,
        payer: &Address,
        tokens: impl Fn(&Address) -> Option<TokenInfo>,
    ) -> Option<Instruction> {
        Some(match self {
            Self::OpenShares { who, vault: at } => {
                instruction::create_share_account(payer, who, vault(seen, at)?)
            }
            Self::Send {
                who,
                source,
                destination,
                amount,
            } => {
                let of = tokens(source)?;
                let data = [&[12][..], &amount.to_le_bytes(), &[of.decimals]].concat();
                let accounts = [(*source, true), (of.mint, false), (*destination, true)];
                by_owner(of.program, &accounts, who, data)
            }
            Self::Burn {
                who,
                source,
                amount,
            } => {
                let of = tokens(source)?;
                let data = [&[8][..], &amount.to_le_bytes()].concat();
                by_owner(of.program, &[(*source, true), (of.mint, true)], who, data)
            }
            Self::Approve {
                who,
                source,
                amount,
            } => {
                let of = tokens(source)?;
                let data = [&[4][..], &amount.to_le_bytes()].concat();
                let delegate = address::renewal_authority(who);
                by_owner(of.program, &[(*source, true), (delegate, false)], who, data)
            }
            Self::Revoke { who, source } => {
                by_owner(tokens(source)?.program, &[(*source, true)], who, vec![5])
            }
            Self::GiveAway { who, account, to } => {
                let data = [&[6, 2, 1][..], to.as_ref()].concat(); // SetAuthority, AccountOwner, Some
                by_owner(tokens(account)?.program, &[(*account, true)], who, data)
            }
            Self::SendLamports { to } => {
                solana_system_interface::instruction::transfer(payer, to, 1_000_000)
            }
            _ => return None,
        })
    }
}

fn policy_and_vault<'a>(
    seen: &'a Remembered,
    at: &Address,
) -> Option<(&'a driftshield_sdk::Policy, &'a driftshield_sdk::Vault)> {
    let state = policy(seen, at)?;
    Some((state, vault(seen, &state.vault)?))
}

fn own(owner: &Address, mint: &Address, program: TokenProgram) -> Address {
    address::token_account(owner, mint, program)
}

/// The instruction, paying `destination` instead of `named`, with the payee's signature or without.
fn paying(
    instruction: Instruction,
    named: &Address,
    destination: &Address,
    payee: &Address,
    signed: bool,
) -> Instruction {
    let mut instruction = swapped(instruction, named, destination);
    for account in &mut instruction.accounts {
        account.is_signer |= signed && account.pubkey == *payee;
    }
    instruction
}

/// An instruction of a token program, signed by the owner.
fn by_owner(
    program: TokenProgram,
    accounts: &[(Address, bool)],
    owner: &Address,
    data: Vec<u8>,
) -> Instruction {
    let mut metas: Vec<AccountMeta> = accounts
        .iter()
        .map(|&(pubkey, is_writable)| AccountMeta {
            pubkey,
            is_signer: false,
            is_writable,
        })
        .collect();
    metas.push(AccountMeta::new_readonly(*owner, true));
    Instruction {
        program_id: program.id(),
        accounts: metas,
        data,
    }
}
