//! Everybody who plays: their keys, and what they have at first.

use std::collections::HashMap;

use driftshield_sdk::{Address, TokenProgram, address};
use solana_account::Account;
use solana_keypair::Keypair;
use solana_signer::Signer;

use super::books::{Books, Tokens};
use crate::world::{World, key};

/// Two models' owners, six oracles, two creators, two managers, four providers, four holders, four
/// bettors and two strangers, after the three who hold the program's roles.
const NAMES: [(&str, usize); 8] = [
    ("owner", 2),
    ("oracle", 6),
    ("creator", 2),
    ("manager", 2),
    ("provider", 4),
    ("holder", 4),
    ("bettor", 4),
    ("stranger", 2),
];

pub struct Actor {
    pub name: String,
    pub key: Keypair,
}

/// A token that they have.
#[derive(Clone, Copy, Debug)]
pub struct Token {
    pub mint: Address,
    pub program: TokenProgram,
    /// What everybody begins with.
    pub wealth: u64,
}

pub struct Cast {
    pub actors: Vec<Actor>,
    places: HashMap<Address, usize>,
    /// The first two are collateral from the beginning; the last can be frozen by its issuer.
    pub tokens: [Token; 3],
}

impl Cast {
    pub fn new(world: &World) -> Self {
        let roles = [
            ("admin", &world.admin),
            ("guardian", &world.guardian),
            ("arbiter", &world.arbiter),
        ];
        let roles = roles.map(|(name, key)| Actor {
            name: name.into(),
            key: key.insecure_clone(),
        });
        let others = NAMES.into_iter().flat_map(|(name, count)| {
            (0..count).map(move |number| Actor {
                name: format!("{name} {number}"),
                key: key(&format!("soak {name} {number}")),
            })
        });
        let actors: Vec<Actor> = roles.into_iter().chain(others).collect();
        let places = actors.iter().enumerate();
        let places = places.map(|(at, actor)| (actor.key.pubkey(), at)).collect();
        let token = |name: &str, program, wealth| Token {
            mint: key(&format!("soak {name}")).pubkey(),
            program,
            wealth,
        };
        let small = Token {
            mint: world.mint,
            ..token("small", TokenProgram::SplToken, 1_000_000_000_000)
        };
        let tokens = [
            small,
            token("large", TokenProgram::Token2022, 1 << 58),
            token("freezable", TokenProgram::SplToken, 1_000_000),
        ];
        Self {
            actors,
            places,
            tokens,
        }
    }

    pub fn address(&self, actor: usize) -> Address {
        self.actors[actor].key.pubkey()
    }

    pub fn addresses(&self) -> Vec<Address> {
        (0..self.actors.len()).map(|at| self.address(at)).collect()
    }

    pub fn key(&self, address: &Address) -> Option<&Keypair> {
        self.places.get(address).map(|&at| &self.actors[at].key)
    }

    /// Those whose name begins with `role`.
    pub fn of(&self, role: &str) -> Vec<Address> {
        let actors = self.actors.iter();
        actors
            .filter(|actor| actor.name.starts_with(role))
            .map(|actor| actor.key.pubkey())
            .collect()
    }

    pub fn name(&self, address: &Address) -> Option<&str> {
        let at = self.places.get(address)?;
        Some(&self.actors[*at].name)
    }

    /// Gives everybody lamports and tokens, and enters them into the books.
    pub fn provide(&self, world: &mut World, books: &mut Books) {
        for token in &self.tokens {
            let freezes = token.mint == self.tokens[2].mint;
            let supply = token.wealth * self.actors.len() as u64;
            set_mint(world, token, supply, freezes);
            books.supplies.insert(token.mint, supply.into());
            if freezes {
                books.freezable = Some(token.mint);
            }
            for owner in self.addresses() {
                let at = address::token_account(&owner, &token.mint, token.program);
                set_tokens(world, token, &at, &owner);
                let tokens = Tokens {
                    mint: token.mint,
                    owner,
                    amount: token.wealth.into(),
                    delegate: None,
                    donated: 0,
                    is_programs: false,
                };
                books.tokens.insert(at, tokens);
            }
        }
        for owner in self.addresses() {
            world
                .svm
                .airdrop(&owner, 100_000_000_000)
                .expect("lamports");
        }
    }
}

fn set_mint(world: &mut World, token: &Token, supply: u64, freezes: bool) {
    let authority = world.payer.pubkey();
    let freezer = freezes.then_some(&authority);
    crate::world::set_mint(&mut world.svm, &token.mint, &authority, freezer);
    let mut account = world.svm.get_account(&token.mint).expect("a mint");
    account.data[36..44].copy_from_slice(&supply.to_le_bytes());
    account.owner = token.program.id();
    world.svm.set_account(token.mint, account).expect("a mint");
}

fn set_tokens(world: &mut World, token: &Token, at: &Address, owner: &Address) {
    let mut data = vec![0; 165];
    data[..32].copy_from_slice(token.mint.as_ref());
    data[32..64].copy_from_slice(owner.as_ref());
    data[64..72].copy_from_slice(&token.wealth.to_le_bytes());
    data[108] = 1; // initialized
    let account = Account {
        lamports: world.svm.minimum_balance_for_rent_exemption(data.len()),
        data,
        owner: token.program.id(),
        executable: false,
        rent_epoch: u64::MAX,
    };
    world.svm.set_account(*at, account).expect("tokens");
}
