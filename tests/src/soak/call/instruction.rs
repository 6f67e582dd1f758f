//! Builds the instruction of a call.

use std::ops::RangeInclusive;

use driftshield_sdk::{
    Account, AccountMeta, Address, ChallengePayee, DepositLimits, FeePayee, Instruction,
    PremiumPayee, RewardPayee, Series, TokenProgram, address, instruction,
};
use spl_token_interface::instruction::{self as token, AuthorityType};

use super::{Call, KnownAccounts, TokenInfo};
use crate::world::swapped;

const SPL_TOKEN: Address = spl_token_interface::ID;
/// The slot of the destination in `buy_position`. The buyer may pass the same account as its source.
const DESTINATION: usize = 9;

/// Functions that return the known state of an account, if it is of their type.
macro_rules! known {
    ($($name:ident $kind:ident),* $(,)?) => {
        $(fn $name<'a>(
            known: &'a KnownAccounts,
            address: &Address,
        ) -> Option<&'a driftshield_sdk::$kind> {
            match known.get(address)? {
                Account::$kind(account) => Some(account),
                _ => None,
            }
        })*
    };
}

known!(
    collateral Collateral,
    model Model,
    receipt Receipt,
    series Series,
    market Market,
    vault Vault,
    policy Policy,
);

impl Call {
    /// The instruction of the call; `None` if an account that the instruction needs never existed. `payer`
    /// pays for share accounts and sends lamports. `tokens` returns the mint of a token account.
    pub fn instruction(
        &self,
        known: &KnownAccounts,
        payer: &Address,
        tokens: impl Fn(&Address) -> Option<TokenInfo>,
    ) -> Option<Instruction> {
        self.role_instruction(known)
            .or_else(|| self.model_instruction(known))
            .or_else(|| self.receipt_instruction(known))
            .or_else(|| self.market_instruction(known))
            .or_else(|| self.vault_instruction(known))
            .or_else(|| self.liquidity_instruction(known))
            .or_else(|| self.policy_instruction(known))
            .or_else(|| self.token_instruction(known, payer, tokens))
    }

    fn role_instruction(&self, known: &KnownAccounts) -> Option<Instruction> {
        Some(match self {
            Self::Initialize { signer, params } => {
                instruction::initialize(*signer, *signer, *signer, *signer, *params)
            }
            Self::UpdateConfig {
                signer,
                guardian,
                params,
            } => instruction::update_config(*signer, *guardian, *params),
            Self::ProposeArbiter { signer, to } => instruction::propose_arbiter(*signer, *to),
            Self::AcceptArbiter { signer } => instruction::accept_arbiter(*signer),
            Self::ProposeAdmin { signer, to } => instruction::propose_admin(*signer, *to),
            Self::AcceptAdmin { signer } => instruction::accept_admin(*signer),
            Self::SetPause { signer, flags } => instruction::set_pause(*signer, *flags),
            Self::RegisterCollateral {
                signer,
                mint,
                program,
                terms,
                accepts_freeze,
            } => {
                instruction::register_collateral(*signer, *mint, *program, *terms, *accepts_freeze)
            }
            Self::UpdateCollateral {
                signer,
                mint,
                terms,
                enabled,
            } => instruction::update_collateral(*signer, *mint, *terms, *enabled),
            Self::WithdrawTreasury {
                signer,
                mint,
                destination,
                amount,
            } => {
                let state = collateral(known, &address::collateral(mint))?;
                instruction::withdraw_treasury(*signer, state, *destination, *amount)
            }
            _ => return None,
        })
    }

    fn model_instruction(&self, known: &KnownAccounts) -> Option<Instruction> {
        Some(match self {
            Self::RegisterModel {
                signer,
                id,
                mint,
                spec,
                terms,
            } => {
                let bonds = collateral(known, &address::collateral(mint))?;
                instruction::register_model(*signer, *id, bonds, spec.clone(), terms.clone())
            }
            Self::UpdateModel {
                signer,
                model: at,
                terms,
            } => instruction::update_model(*signer, *at, model(known, at)?, terms.clone()),
            Self::RetireModel { signer, model } => instruction::retire_model(*signer, *model),
            Self::Bond {
                signer,
                model: at,
                source,
                amount,
            } => instruction::bond(*signer, *at, model(known, at)?, *source, *amount),
            Self::RequestUnbond {
                signer,
                model,
                amount,
            } => instruction::request_unbond(*signer, *model, *amount),
            Self::WithdrawBond {
                oracle,
                model: at,
                destination,
                signed,
            } => {
                let state = model(known, at)?;
                let own = own(oracle, &state.bond_mint, state.token_program.into());
                let withdraw = instruction::withdraw_bond(*oracle, *at, state);
                paying(withdraw, &own, destination, oracle, *signed)
            }
            Self::FundOracles {
                signer,
                model: at,
                source,
                amount,
                until,
            } => {
                let state = model(known, at)?;
                instruction::fund_oracles(*signer, *at, state, *source, *amount, *until)
            }
            Self::CollectReward {
                oracle,
                model: at,
                payee,
                destination,
                signed,
            } => {
                let state = model(known, at)?;
                let mint = state.bond_mint;
                let (collect, default) = match payee {
                    RewardPayee::Treasury => (
                        instruction::collect_pot(*at, state),
                        address::treasury(&address::collateral(&mint)),
                    ),
                    RewardPayee::Oracle => (
                        instruction::collect_reward(*at, state, 0),
                        own(&state.oracles[0], &mint, state.token_program.into()),
                    ),
                };
                let collect = paying(collect, &default, destination, &state.oracles[0], *signed);
                swapped(collect, &state.oracles[0], oracle)
            }
            Self::CloseSeat { oracle, model } => instruction::close_seat(*oracle, *model),
            Self::SyncSeat { oracle, model } => instruction::sync_seat(*oracle, *model),
            Self::LeaveSeat { signer, model } => instruction::leave_seat(*signer, *model),
            Self::ReplaceOracle {
                signer,
                model: at,
                oracle,
                successor,
            } => instruction::replace_oracle(*signer, *at, model(known, at)?, *oracle, *successor),
            _ => return None,
        })
    }

    fn receipt_instruction(&self, known: &KnownAccounts) -> Option<Instruction> {
        Some(match self {
            Self::SubmitReceipt {
                signer,
                model,
                window,
                counts,
                evidence,
                uri,
            } => instruction::submit_receipt(
                *signer,
                *model,
                *window,
                counts.clone(),
                *evidence,
                uri.clone(),
            ),
            Self::ChallengeReceipt {
                signer,
                model: at,
                window,
                counts,
                source,
            } => {
                let state = model(known, at)?;
                instruction::challenge_receipt(
                    *signer,
                    *at,
                    state,
                    *window,
                    counts.clone(),
                    *source,
                )
            }
            Self::RuleReceipt {
                signer,
                model: at,
                window,
                counts,
                seats,
            } => {
                let state = model(known, at)?;
                let read = receipt(known, &address::receipt(at, *window))?;
                let mut rule = instruction::rule_receipt(*at, state, read, counts.clone());
                let expected_seats = read.submitted.count_ones() as usize;
                rule.accounts.truncate(rule.accounts.len() - expected_seats);
                let seats = seats.iter().map(|seat| AccountMeta::new(*seat, false));
                rule.accounts.extend(seats);
                swapped(rule, &state.arbiter, signer)
            }
            Self::ReturnSlashes {
                signer,
                model: at,
                window,
                seats,
            } => {
                let state = model(known, at)?;
                let read = receipt(known, &address::receipt(at, *window))?;
                let mut give_back = instruction::return_slashes(*signer, *at, state, read);
                let expected_seats = read.slashed().count();
                give_back
                    .accounts
                    .truncate(give_back.accounts.len() - expected_seats);
                let seats = seats.iter().map(|seat| AccountMeta::new(*seat, false));
                give_back.accounts.extend(seats);
                give_back
            }
            Self::FinalizeReceipt { model, window } => {
                instruction::finalize_receipt(receipt(known, &address::receipt(model, *window))?)
            }
            Self::CollectChallenge {
                model: at,
                window,
                payee,
                destination,
                signed,
            } => {
                let state = model(known, at)?;
                let read = receipt(known, &address::receipt(at, *window))?;
                let default = match payee {
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
                paying(collect, &default, destination, &read.challenger, *signed)
            }
            Self::CloseSeries { model, page } => {
                instruction::close_series(series(known, &address::series_page(model, *page))?)
            }
            _ => return None,
        })
    }

    fn market_instruction(&self, known: &KnownAccounts) -> Option<Instruction> {
        Some(match self {
            Self::CreateMarket {
                signer,
                id,
                model: at,
                terms,
            } => instruction::create_market(*signer, *id, *at, model(known, at)?, terms.clone()),
            Self::CancelMarket { market: at, signed } => {
                instruction::cancel_market(*at, market(known, at)?, *signed)
            }
            Self::PlaceBet {
                signer,
                market: at,
                source,
                bet,
                stale,
            } => {
                let mut state = *market(known, at)?;
                state.terms_hash[0] ^= u8::from(*stale);
                instruction::place_bet(*signer, *at, &state, *source, *bet)
            }
            Self::SetAsk {
                signer,
                market: at,
                outcome,
                ask,
            } => instruction::set_ask(*signer, *at, market(known, at)?, *outcome, *ask),
            Self::BuyPosition {
                signer,
                market: at,
                seller,
                source,
                destination,
                purchase,
                stale,
                signed,
            } => {
                let mut state = *market(known, at)?;
                state.terms_hash[0] ^= u8::from(*stale);
                let mut buy =
                    instruction::buy_position(*signer, *at, &state, *source, *seller, *purchase);
                let default = own(seller, &state.mint, state.token_program.into());
                assert_eq!(buy.accounts[DESTINATION].pubkey, default);
                buy.accounts[DESTINATION].pubkey = *destination;
                for account in &mut buy.accounts {
                    account.is_signer |= *signed && account.pubkey == *seller;
                }
                buy
            }
            Self::SettleMarket { market: at, pages } => {
                let state = market(known, at)?;
                let settle = instruction::settle_market(*at, state);
                with_pages(settle, state.next_window..=state.last_window, pages)
            }
            Self::Claim {
                market: at,
                owner,
                destination,
                signed,
            } => {
                let state = market(known, at)?;
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
                let state = market(known, at)?;
                let default = match payee {
                    FeePayee::Treasury => address::treasury(&address::collateral(&state.mint)),
                    FeePayee::Creator => {
                        own(&state.creator, &state.mint, state.token_program.into())
                    }
                };
                let collect = instruction::collect_fees(*at, state, *payee);
                paying(collect, &default, destination, &state.creator, *signed)
            }
            Self::CloseMarket { market: at } => instruction::close_market(*at, market(known, at)?),
            _ => return None,
        })
    }

    fn vault_instruction(&self, known: &KnownAccounts) -> Option<Instruction> {
        Some(match self {
            Self::CreateVault {
                signer,
                id,
                mint,
                cooldown_secs,
                manager_fee_bps,
                terms,
            } => {
                let state = collateral(known, &address::collateral(mint))?;
                instruction::create_vault(
                    *signer,
                    *id,
                    state,
                    *cooldown_secs,
                    *manager_fee_bps,
                    *terms,
                )
            }
            Self::UpdateVault {
                signer,
                vault,
                terms,
            } => instruction::update_vault(*signer, *vault, *terms),
            Self::ListModel {
                signer,
                vault,
                model,
                terms,
            } => instruction::list_model(*signer, *vault, *model, *terms),
            Self::CloseExposure { vault: at, model } => {
                instruction::close_exposure(*at, vault(known, at)?, *model)
            }
            Self::CloseVault { vault: at, signed } => {
                instruction::close_vault(*at, vault(known, at)?, *signed)
            }
            _ => return None,
        })
    }

    fn liquidity_instruction(&self, known: &KnownAccounts) -> Option<Instruction> {
        Some(match self {
            Self::Deposit {
                signer,
                vault: at,
                source,
                destination,
                amount,
                min_shares,
            } => {
                let state = vault(known, at)?;
                let deposit = instruction::deposit(
                    *signer,
                    *at,
                    state,
                    *source,
                    *amount,
                    DepositLimits::as_read(state, *min_shares),
                );
                swapped(deposit, &address::share_account(signer, state), destination)
            }
            Self::RequestWithdraw {
                signer,
                vault: at,
                source,
                shares,
            } => {
                let state = vault(known, at)?;
                let request = instruction::request_withdraw(*signer, *at, state, *shares);
                swapped(request, &address::share_account(signer, state), source)
            }
            Self::CancelWithdraw {
                signer,
                vault: at,
                destination,
            } => {
                let state = vault(known, at)?;
                let cancel = instruction::cancel_withdraw(*signer, *at, state);
                swapped(cancel, &address::share_account(signer, state), destination)
            }
            Self::Withdraw {
                owner,
                vault: at,
                destination,
                signed,
            } => {
                let state = vault(known, at)?;
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
                let state = vault(known, at)?;
                let default = match payee {
                    PremiumPayee::Treasury => address::treasury(&address::collateral(&state.mint)),
                    PremiumPayee::Manager => {
                        own(&state.manager, &state.mint, state.token_program.into())
                    }
                };
                let collect = instruction::collect_manager_fees(*at, state, *payee);
                paying(collect, &default, destination, &state.manager, *signed)
            }
            _ => return None,
        })
    }

    fn policy_instruction(&self, known: &KnownAccounts) -> Option<Instruction> {
        Some(match self {
            Self::BuyPolicy {
                signer,
                id,
                vault: at,
                model,
                source,
                terms,
            } => {
                let state = vault(known, at)?;
                instruction::buy_policy(*signer, *id, *at, state, *model, *source, *terms)
            }
            Self::ClaimPolicy {
                policy: at,
                destination,
                signed,
            } => {
                let (state, vault) = policy_and_vault(known, at)?;
                let own = own(&state.holder, &vault.mint, vault.token_program.into());
                let claim = instruction::claim_policy(state, vault);
                paying(claim, &own, destination, &state.holder, *signed)
            }
            Self::CancelPolicy {
                policy: at,
                destination,
            } => {
                let (state, vault) = policy_and_vault(known, at)?;
                let own = own(&state.holder, &vault.mint, vault.token_program.into());
                let cancel = instruction::cancel_policy(state, vault);
                paying(cancel, &own, destination, &state.holder, true)
            }
            Self::RenewPolicy {
                policy: at,
                source,
                signed,
            } => {
                let (state, vault) = policy_and_vault(known, at)?;
                instruction::renew_policy(state, vault, *source, *signed)
            }
            Self::ExpirePolicy {
                policy: at,
                pages,
                destination,
                signed,
            } => {
                let (state, vault) = policy_and_vault(known, at)?;
                let own = own(&state.holder, &vault.mint, vault.token_program.into());
                let expire = instruction::expire_policy(state, vault);
                let expire = with_pages(expire, state.windows_to_expire(), pages);
                paying(expire, &own, destination, &state.holder, *signed)
            }
            Self::BeginPolicy {
                policy: at,
                pages,
                destination,
                signed,
            } => {
                let (state, vault) = policy_and_vault(known, at)?;
                let own = own(&state.holder, &vault.mint, vault.token_program.into());
                let begin = instruction::begin_policy(state, vault);
                let begin = with_pages(begin, state.windows_to_begin(), pages);
                paying(begin, &own, destination, &state.holder, *signed)
            }
            Self::ExaminePolicy { policy: at, pages } => {
                let state = policy(known, at)?;
                let pages = pages.iter().map(|at| AccountMeta::new_readonly(*at, false));
                #[expect(clippy::reversed_empty_ranges, reason = "no windows")]
                let mut examine = instruction::examine_policy(state, 1..=0);
                examine.accounts.extend(pages);
                examine
            }
            _ => return None,
        })
    }

    fn token_instruction(
        &self,
        known: &KnownAccounts,
        payer: &Address,
        tokens: impl Fn(&Address) -> Option<TokenInfo>,
    ) -> Option<Instruction> {
        Some(match self {
            Self::OpenShares { signer, vault: at } => {
                instruction::create_share_account(payer, signer, vault(known, at)?)
            }
            Self::Send {
                signer,
                source,
                destination,
                amount,
            } => {
                let info = tokens(source)?;
                let (mint, decimals) = (&info.mint, info.decimals);
                for_program(
                    info.program,
                    token::transfer_checked(
                        &SPL_TOKEN,
                        source,
                        mint,
                        destination,
                        signer,
                        &[],
                        *amount,
                        decimals,
                    ),
                )
            }
            Self::Burn {
                signer,
                source,
                amount,
            } => {
                let info = tokens(source)?;
                let burn = token::burn(&SPL_TOKEN, source, &info.mint, signer, &[], *amount);
                for_program(info.program, burn)
            }
            Self::Approve {
                signer,
                source,
                amount,
            } => {
                let delegate = address::renewal_authority(signer);
                let approve = token::approve(&SPL_TOKEN, source, &delegate, signer, &[], *amount);
                for_program(tokens(source)?.program, approve)
            }
            Self::Revoke { signer, source } => {
                let revoke = token::revoke(&SPL_TOKEN, source, signer, &[]);
                for_program(tokens(source)?.program, revoke)
            }
            Self::GiveAway {
                signer,
                account,
                to,
            } => {
                let owner = AuthorityType::AccountOwner;
                let give = token::set_authority(&SPL_TOKEN, account, Some(to), owner, signer, &[]);
                for_program(tokens(account)?.program, give)
            }
            Self::SendLamports { to } => {
                solana_system_interface::instruction::transfer(payer, to, 1_000_000)
            }
            _ => return None,
        })
    }
}

fn policy_and_vault<'a>(
    known: &'a KnownAccounts,
    at: &Address,
) -> Option<(&'a driftshield_sdk::Policy, &'a driftshield_sdk::Vault)> {
    let state = policy(known, at)?;
    Some((state, vault(known, &state.vault)?))
}

/// The instruction, which passes the pages of these windows, with the given pages instead.
fn with_pages(
    mut instruction: Instruction,
    windows: RangeInclusive<u64>,
    pages: &[Address],
) -> Instruction {
    let declared = instruction.accounts.len() - Series::pages_of(windows).count();
    instruction.accounts.truncate(declared);
    let pages = pages.iter().map(|at| AccountMeta::new_readonly(*at, false));
    instruction.accounts.extend(pages);
    instruction
}

fn own(owner: &Address, mint: &Address, program: TokenProgram) -> Address {
    address::token_account(owner, mint, program)
}

/// The instruction with the payout account `default` replaced by `destination`, signed by the payee if
/// `signed`.
fn paying(
    instruction: Instruction,
    default: &Address,
    destination: &Address,
    payee: &Address,
    signed: bool,
) -> Instruction {
    let mut instruction = swapped(instruction, default, destination);
    for account in &mut instruction.accounts {
        account.is_signer |= signed && account.pubkey == *payee;
    }
    instruction
}

/// An instruction of SPL Token as one of `program`: Token-2022 has the same instructions.
fn for_program<E: std::fmt::Debug>(
    program: TokenProgram,
    instruction: Result<Instruction, E>,
) -> Instruction {
    let mut instruction = instruction.expect("the program id is SPL Token's");
    instruction.program_id = program.id();
    instruction
}
