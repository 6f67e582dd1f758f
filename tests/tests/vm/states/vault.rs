//! States of a vault.

use driftshield_sdk::{
    DepositLimits, Event, ListingTerms, Policy, PolicyTerms, PremiumPayee, Vault, VaultTerms,
    address, first_window, instruction,
};
use driftshield_tests::{insurance::*, world::*};

use super::{StateFixture, Step, assert_complete, check};

/// Id of the tested vault. The manager has vault 1 already.
const ID: u64 = 2;
/// Drift that pays the whole cover of the policies, in micro-units.
const DRIFT: u64 = 300_000;

/// The second vault of a manager, on a model with a history; two liquidity providers, and the holder of a
/// policy.
#[derive(Clone)]
struct VaultFixture {
    insured: Insured,
    terms: VaultTerms,
    /// A second liquidity provider, who deposits.
    newcomer: Wallet,
    holder: Wallet,
    /// The vault as it is created: names the accounts of instructions when the vault does not exist.
    initial: Vault,
    /// The policy as it was last bought: names the accounts of instructions when the policy does not exist.
    policy: Policy,
    /// State after the vault was closed.
    end_state: Option<&'static str>,
}

impl VaultFixture {
    fn new() -> Self {
        Self::with(VaultTerms {
            max_utilisation_bps: 10_000,
            ..vault_terms()
        })
    }

    fn with(terms: VaultTerms) -> Self {
        let world = World::with(params(), insurance_terms());
        let mut insured = Insured::empty(world, terms).with_capital(CAPITAL);
        let [newcomer, holder] = [(); 2].map(|()| insured.world.wallet(10 * CAPITAL));
        let mut fork = insured.clone();
        fork.buy(&holder, 1, insured.terms()).unwrap();
        let vault = address::vault(&insured.manager.address(), ID);
        let policy = Policy {
            vault,
            ..fork.policy(&holder, 1)
        };
        insured.vault = vault;
        let mut fixture = Self {
            initial: insured.world.vault(&fork.vault),
            insured,
            terms,
            newcomer,
            holder,
            policy,
            end_state: None,
        };
        let mut fork = fixture.clone();
        create(&mut fork).unwrap();
        fixture.initial = fork.insured.vault();
        fixture
    }

    fn exists(&self) -> bool {
        self.insured.world.exists(&self.insured.vault)
    }

    fn policy_exists(&self) -> bool {
        let (vault, holder) = (self.insured.vault, self.holder.address());
        let address = address::policy(&vault, &holder, 1);
        self.insured.world.exists(&address)
    }

    /// Names the state of a vault whose shares are all redeemed or burned.
    fn without_shares(&self, vault: &Vault) -> String {
        let now = self.insured.world.now();
        let mut state = String::new();
        if 0 < vault.exposures {
            let listed = self.insured.exposure().listed_at;
            state += if vault.notice_end(listed) <= now {
                ", listed long ago"
            } else {
                ", listed"
            };
        }
        if 0 < vault.manager_credit {
            state += ", fees left";
        }
        if !vault.is_notice_over(now) {
            state += ", in its notice";
        }
        state
    }

    /// Names the state of a vault that has shares.
    fn with_shares(&self, vault: &Vault) -> String {
        let owner = self.insured.lp.address();
        let requested = 0 < vault.requests;
        let request = requested.then(|| self.insured.world.request(&self.insured.vault, &owner));
        let request = match request {
            None => "",
            Some(request) if 0 < request.shares => ", request lapsed",
            Some(request) if request.lapses_at <= self.insured.world.now() => ", request overdue",
            Some(request) if request.unlock_at <= self.insured.world.now() => ", request due",
            Some(_) => ", request cooling down",
        };
        let unlisted = if vault.exposures == 0 {
            ", unlisted"
        } else {
            ""
        };
        let wiped_out = 1_000_000_000 * u128::from(vault.staying()) < u128::from(vault.shares);
        // With all shares requested, there is no price of a share.
        let capital = if wiped_out || vault.assets < TOKEN {
            "wiped out"
        } else if vault.locked == 0 {
            "capital"
        } else if vault.locked < vault.assets {
            "capital and cover"
        } else {
            "all capital locked"
        };
        format!("{capital}{unlisted}{request}")
    }

    // Fixtures in their states.

    fn created() -> Self {
        Self::new().then(create)
    }

    fn listed() -> Self {
        Self::created().then(list)
    }

    fn funded() -> Self {
        Self::listed().fund(CAPITAL)
    }

    fn fund(mut self, amount: u64) -> Self {
        let lp = self.insured.provider();
        self.insured.deposit(&lp, amount).unwrap();
        self
    }

    /// A policy whose first term is on probation, and can be begun.
    fn covered() -> Self {
        let mut fixture = Self::funded().then(buy);
        while fixture.insured.window < fixture.policy.first_window {
            fixture.insured.measure(CALM_DRIFT);
        }
        fixture
    }

    /// Begins the policy, and sells cover for all free capital.
    fn fill(self) -> Self {
        let mut fixture = self.then(begin);
        fixture.sell_the_rest();
        fixture
    }

    fn sell_the_rest(&mut self) {
        let vault = self.insured.vault_now();
        let free = vault.assets - vault.locked;
        self.buy(2, free).unwrap();
    }

    /// The policy as it is now; as it was last bought if it does not exist.
    fn current_policy(&self) -> Policy {
        if self.policy_exists() {
            self.insured.policy(&self.holder, 1)
        } else {
            self.policy
        }
    }

    fn buy(&mut self, id: u64, cover: u64) -> Outcome {
        let (model, now) = (self.insured.model(), self.insured.world.now());
        let vault = if self.exists() {
            self.insured.vault()
        } else {
            self.initial
        };
        let terms = PolicyTerms {
            cover,
            first_window: first_window(&vault, &model, now),
            ..self.policy_terms()
        };
        let buy = instruction::buy_policy(
            self.holder.address(),
            id,
            self.insured.vault,
            &self.initial,
            self.insured.model.address,
            self.holder.tokens,
            terms,
        );
        self.insured.world.send(buy, &[&self.holder.key])
    }

    fn policy_terms(&self) -> PolicyTerms {
        PolicyTerms {
            model_version: self.policy.model_version,
            cover: self.policy.cover,
            trigger: self.policy.trigger,
            exhaustion: self.policy.exhaustion,
            persistence: self.policy.persistence,
            first_window: 0, // set at the purchase
            windows: self.policy.windows,
            max_premium: u64::MAX,
            max_cancel_fee_bps: u16::MAX,
            auto_renew: false,
        }
    }

    /// Advances the clock by `secs`, and finalizes the windows that can become Final in that time.
    fn later(mut self, secs: i64) -> Self {
        let until = self.insured.world.now() + secs;
        let model = self.insured.model();
        while model.window_end(self.insured.window).unwrap() + params().challenge_secs <= until {
            self.insured.measure(CALM_DRIFT);
        }
        self.insured.world.warp_to(until);
        self
    }

    fn after_notice(self) -> Self {
        self.later(COOLDOWN + DAY)
    }

    fn after_cooldown(self) -> Self {
        self.later(COOLDOWN)
    }

    fn then(mut self, step: fn(&mut Self) -> Outcome) -> Self {
        let sent = step(&mut self).unwrap();
        self.observe(sent.event());
        self
    }

    /// A claim on a policy, whose premium was one base unit, has paid out all of the capital.
    fn wiped_out() -> Self {
        let free = VaultTerms {
            base_bps: 0,
            slope1_bps: 0,
            slope2_bps: 0,
            risk_slope_bps: 0,
            max_utilisation_bps: 10_000,
            ..vault_terms()
        };
        let mut fixture = Self::with(free).then(create).then(list).fund(CAPITAL);
        fixture.policy.cover = CAPITAL;
        let mut fixture = fixture.then(buy);
        while fixture.insured.window < fixture.policy.first_window {
            fixture.insured.measure(CALM_DRIFT);
        }
        fixture.insured.measure(DRIFT);
        let mut fixture = fixture.then(begin).then(examine).then(claim);
        for _ in 0..4 {
            fixture.insured.measure(CALM_DRIFT); // until the capital has borne it
        }
        fixture
    }

    /// All shares are withdrawn after the manager has earned a fee.
    fn deserted() -> Self {
        Self::covered()
            .then(cancel_policy)
            .then(request)
            .after_cooldown()
            .then(withdraw)
    }

    /// The provider burns all of its shares.
    fn burned(mut self) -> Self {
        let owner = self.insured.provider();
        let vault = self.insured.vault();
        let account = address::share_account(&owner.address(), &vault);
        let burn = spl_token_interface::instruction::burn(
            &spl_token_interface::ID,
            &account,
            &vault.share_mint,
            &owner.address(),
            &[],
            self.insured.shares(&owner),
        );
        self.insured
            .world
            .send(burn.unwrap(), &[&owner.key])
            .unwrap();
        self
    }
}

impl StateFixture for VaultFixture {
    fn state(&self) -> String {
        if !self.exists() {
            return self.end_state.unwrap_or("none").into();
        }
        let vault = self.insured.vault_now();
        let supply = self.insured.world.svm.get_account(&vault.share_mint);
        let supply = u64::from_le_bytes(supply.unwrap().data[36..44].try_into().unwrap());
        if vault.shares == 0 && vault.requests == 0 {
            format!("no shares{}", self.without_shares(&vault))
        } else if supply == 0 && vault.requests == 0 && vault.locked == 0 {
            format!("all shares burned{}", self.without_shares(&vault))
        } else {
            self.with_shares(&vault)
        }
    }

    fn observe(&mut self, event: &Event) {
        match event {
            Event::VaultClosed(_) => self.end_state = Some("closed"),
            Event::PolicyBought(_) => self.policy = self.insured.policy(&self.holder, 1),
            _ => {}
        }
    }
}

// Steps.

fn create(s: &mut VaultFixture) -> Outcome {
    let (manager, collateral) = (s.insured.manager.address(), s.insured.world.collateral());
    let create = instruction::create_vault(manager, ID, &collateral, COOLDOWN, 1_000, s.terms);
    let sent = s.insured.world.send(create, &[&s.insured.manager.key])?;
    let payer = solana_signer::Signer::pubkey(&s.insured.world.payer);
    for owner in [s.insured.lp.address(), s.newcomer.address()] {
        let account = instruction::create_share_account(&payer, &owner, &s.insured.vault());
        s.insured.world.send(account, &[]).unwrap();
    }
    Ok(sent)
}

fn update(s: &mut VaultFixture) -> Outcome {
    let manager = &s.insured.manager;
    let update = instruction::update_vault(manager.address(), s.insured.vault, s.terms);
    s.insured.world.send(update, &[&manager.key])
}

fn list(s: &mut VaultFixture) -> Outcome {
    let terms = ListingTerms {
        model_version: s.policy.model_version,
        cap: 100_000 * TOKEN,
        lowest_trigger: s.policy.trigger,
        max_persistence: 1,
    };
    let (manager, model) = (&s.insured.manager, s.insured.model.address);
    let list = instruction::list_model(manager.address(), s.insured.vault, model, terms);
    s.insured.world.send(list, &[&manager.key])
}

fn deposit(s: &mut VaultFixture) -> Outcome {
    let (owner, vault) = (&s.newcomer, s.insured.vault);
    let (key, source) = (owner.address(), owner.tokens);
    let state = if s.insured.world.exists(&vault) {
        s.insured.vault()
    } else {
        s.initial
    };
    let deposit = instruction::deposit(
        key,
        vault,
        &state,
        source,
        TOKEN,
        DepositLimits::as_read(&state, 0),
    );
    s.insured.world.send(deposit, &[&owner.key])
}

/// Requests all shares of the provider, or one share if it has none.
fn request(s: &mut VaultFixture) -> Outcome {
    let owner = s.insured.provider();
    let account = address::share_account(&owner.address(), &s.initial);
    let shares = s.insured.world.tokens(&account).max(1);
    let vault = s.insured.vault;
    let request = instruction::request_withdraw(owner.address(), vault, &s.initial, shares);
    s.insured.world.send(request, &[&owner.key])
}

fn cancel_request(s: &mut VaultFixture) -> Outcome {
    let (owner, vault) = (s.insured.provider(), s.insured.vault);
    let cancel = instruction::cancel_withdraw(owner.address(), vault, &s.initial);
    s.insured.world.send(cancel, &[&owner.key])
}

fn withdraw(s: &mut VaultFixture) -> Outcome {
    let owner = s.insured.lp.address();
    let withdraw = instruction::withdraw(owner, s.insured.vault, &s.initial);
    s.insured.world.send(withdraw, &[])
}

fn collect(s: &mut VaultFixture, payee: PremiumPayee) -> Outcome {
    let collect = instruction::collect_manager_fees(s.insured.vault, &s.initial, payee);
    s.insured.world.send(collect, &[])
}

fn collect_manager(s: &mut VaultFixture) -> Outcome {
    collect(s, PremiumPayee::Manager)
}

fn close_exposure(s: &mut VaultFixture) -> Outcome {
    let (vault, model) = (s.insured.vault, s.insured.model.address);
    let close = instruction::close_exposure(vault, &s.initial, model);
    s.insured.world.send(close, &[])
}

fn close_signed(s: &mut VaultFixture) -> Outcome {
    let close = instruction::close_vault(s.insured.vault, &s.initial, true);
    s.insured.world.send(close, &[&s.insured.manager.key])
}

fn close_unsigned(s: &mut VaultFixture) -> Outcome {
    let close = instruction::close_vault(s.insured.vault, &s.initial, false);
    s.insured.world.send(close, &[])
}

fn buy(s: &mut VaultFixture) -> Outcome {
    let id = if s.policy_exists() { 3 } else { 1 };
    s.buy(id, s.policy.cover)
}

fn claim(s: &mut VaultFixture) -> Outcome {
    let claim = instruction::claim_policy(&s.current_policy(), &s.initial);
    s.insured.world.send(claim, &[])
}

fn cancel_policy(s: &mut VaultFixture) -> Outcome {
    let cancel = instruction::cancel_policy(&s.current_policy(), &s.initial);
    s.insured.world.send(cancel, &[&s.holder.key])
}

fn renew(s: &mut VaultFixture) -> Outcome {
    let policy = s.current_policy();
    let renew = instruction::renew_policy(&policy, &s.initial, s.holder.tokens, true);
    s.insured.world.send(renew, &[&s.holder.key])
}

fn expire(s: &mut VaultFixture) -> Outcome {
    let expire = instruction::expire_policy(&s.current_policy(), &s.initial);
    s.insured.world.send(expire, &[])
}

fn begin(s: &mut VaultFixture) -> Outcome {
    let begin = instruction::begin_policy(&s.current_policy(), &s.initial);
    s.insured.world.send(begin, &[])
}

fn examine(s: &mut VaultFixture) -> Outcome {
    let policy = s.current_policy();
    let (model, now) = (s.insured.model(), s.insured.world.now());
    let windows = policy.windows_to_examine(&model, now, usize::MAX);
    let examine = instruction::examine_policy(&policy, windows);
    s.insured.world.send(examine, &[])
}

const STEPS: &[Step<VaultFixture>] = &[
    ("create_vault", create),
    ("update_vault", update),
    ("list_model", list),
    ("deposit", deposit),
    ("request_withdraw", request),
    ("cancel_withdraw", cancel_request),
    ("withdraw", withdraw),
    ("collect_manager_fees of the treasury", |s| {
        collect(s, PremiumPayee::Treasury)
    }),
    ("collect_manager_fees of the manager", collect_manager),
    ("close_exposure", close_exposure),
    ("close_vault by its manager", close_signed),
    ("close_vault by anyone", close_unsigned),
    ("buy_policy", buy),
    ("claim_policy", claim),
    ("cancel_policy", cancel_policy),
    ("renew_policy", renew),
    ("expire_policy", expire),
    ("begin_policy", begin),
    ("examine_policy", examine),
];

#[test]
fn vault_instructions_match_the_state_table() {
    // The token account of a market is called `vault` too.
    assert_complete(STEPS, |accounts| {
        accounts.contains(&"vault") && !accounts.contains(&"market")
    });
    let requested = |fixture: VaultFixture| fixture.then(request);
    let unlisted = || VaultFixture::created().fund(CAPITAL);
    let fixtures = [
        ("none", VaultFixture::new()),
        ("no shares, in its notice", VaultFixture::created()),
        ("no shares", VaultFixture::created().after_notice()),
        ("no shares, listed, in its notice", VaultFixture::listed()),
        (
            "no shares, listed",
            VaultFixture::created().after_notice().then(list),
        ),
        (
            "no shares, listed long ago",
            VaultFixture::listed().after_notice(),
        ),
        ("capital, unlisted", unlisted()),
        (
            "capital, unlisted, request cooling down",
            requested(unlisted()),
        ),
        (
            "capital, unlisted, request due",
            requested(unlisted()).after_cooldown(),
        ),
        ("capital", VaultFixture::funded()),
        (
            "capital, request cooling down",
            requested(VaultFixture::funded()),
        ),
        (
            "capital, request due",
            requested(VaultFixture::funded()).after_cooldown(),
        ),
        ("capital and cover", VaultFixture::covered()),
        (
            "capital and cover, request cooling down",
            requested(VaultFixture::covered()),
        ),
        (
            "capital and cover, request due",
            requested(VaultFixture::covered()).after_cooldown(),
        ),
        ("all capital locked", VaultFixture::covered().fill()),
        (
            "all capital locked, request cooling down",
            requested(VaultFixture::covered().fill()),
        ),
        (
            "all capital locked, request due",
            requested(VaultFixture::covered().fill())
                .after_cooldown()
                .then(withdraw),
        ),
        ("wiped out", VaultFixture::wiped_out()),
        (
            "wiped out, request cooling down",
            requested(VaultFixture::wiped_out()),
        ),
        (
            "wiped out, request due",
            requested(VaultFixture::wiped_out()).after_cooldown(),
        ),
        (
            "no shares, listed long ago, fees left",
            VaultFixture::deserted().after_notice(),
        ),
        (
            "no shares, fees left",
            VaultFixture::deserted().after_notice().then(close_exposure),
        ),
        (
            "no shares, listed, fees left",
            VaultFixture::deserted()
                .after_notice()
                .then(close_exposure)
                .then(list),
        ),
        ("closed", VaultFixture::created().then(close_signed)),
        (
            "all shares burned, listed, in its notice",
            VaultFixture::funded().burned(),
        ),
        (
            "all shares burned, listed",
            VaultFixture::funded().burned().after_notice().then(list),
        ),
        (
            "all shares burned, listed long ago",
            VaultFixture::funded().burned().after_notice(),
        ),
        (
            "all shares burned",
            VaultFixture::funded()
                .burned()
                .after_notice()
                .then(close_exposure),
        ),
    ];
    check("vault", &fixtures, STEPS);
}
