//! The actors: their keys, and the lamports and tokens that they start with.

use std::collections::HashMap;

use driftshield_sdk::{Address, TokenProgram, address};
use solana_keypair::Keypair;
use solana_signer::Signer;

use super::books::{Books, Tokens};
use crate::world::{self, World, key};

/// The number of actors of each role. The admin, the guardian and the arbiter are actors too, and come
/// first.
const ROLES: [(&str, usize); 8] = [
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
    /// The role, and for those of [`ROLES`] a number: `oracle 3`.
    pub name: String,
    pub key: Keypair,
}

/// A token that every actor has.
#[derive(Clone, Copy, Debug)]
pub struct Token {
    pub mint: Address,
    pub program: TokenProgram,
    /// Base units that each actor starts with.
    pub wealth: u64,
}

pub struct Actors {
    all: Vec<Actor>,
    indices: HashMap<Address, usize>,
    /// The first two are registered as collateral at the start; the last has a freeze authority.
    pub tokens: [Token; 3],
}

impl Actors {
    pub fn new(world: &World) -> Self {
        let privileged = [
            ("admin", &world.admin),
            ("guardian", &world.guardian),
            ("arbiter", &world.arbiter),
        ];
        let privileged = privileged.map(|(name, key)| Actor {
            name: name.into(),
            key: key.insecure_clone(),
        });
        let others = ROLES.into_iter().flat_map(|(name, count)| {
            (0..count).map(move |number| Actor {
                name: format!("{name} {number}"),
                key: key(&format!("soak {name} {number}")),
            })
        });
        let all: Vec<Actor> = privileged.into_iter().chain(others).collect();
        let indices = all.iter().enumerate();
        let indices = indices.map(|(index, actor)| (actor.key.pubkey(), index));
        let token = |name: &str, program, wealth| Token {
            mint: key(&format!("soak {name}")).pubkey(),
            program,
            wealth,
        };
        let small = Token {
            mint: world.mint,
            ..token("small", TokenProgram::SplToken, 1_000_000_000_000)
        };
        Self {
            indices: indices.collect(),
            all,
            tokens: [
                small,
                token("large", TokenProgram::Token2022, 1 << 58),
                token("freezable", TokenProgram::SplToken, 1_000_000),
            ],
        }
    }

    pub fn address(&self, index: usize) -> Address {
        self.all[index].key.pubkey()
    }

    pub fn addresses(&self) -> Vec<Address> {
        (0..self.all.len())
            .map(|index| self.address(index))
            .collect()
    }

    pub fn key(&self, address: &Address) -> Option<&Keypair> {
        self.indices.get(address).map(|&index| &self.all[index].key)
    }

    /// The addresses of the actors of a role.
    pub fn with_role(&self, role: &str) -> Vec<Address> {
        let actors = self.all.iter();
        actors
            .filter(|actor| actor.name.starts_with(role))
            .map(|actor| actor.key.pubkey())
            .collect()
    }

    pub fn name(&self, address: &Address) -> Option<&str> {
        let index = self.indices.get(address)?;
        Some(&self.all[*index].name)
    }

    /// Funds every actor with lamports and tokens, and enters the tokens into the books.
    pub fn fund(&self, world: &mut World, books: &mut Books) {
        for token in &self.tokens {
            let is_freezable = token.mint == self.tokens[2].mint;
            let supply = token.wealth * self.all.len() as u64;
            set_mint(world, token, supply, is_freezable);
            books.supplies.insert(token.mint, supply.into());
            if is_freezable {
                books.freezable = Some(token.mint);
            }
            for owner in self.addresses() {
                let address = address::token_account(&owner, &token.mint, token.program);
                world::set_token_account(
                    &mut world.svm,
                    &address,
                    token.program,
                    &token.mint,
                    &owner,
                    token.wealth,
                );
                let tokens = Tokens {
                    mint: token.mint,
                    owner,
                    amount: token.wealth.into(),
                    delegate: None,
                    donated: 0,
                    owned_by_program: false,
                };
                books.tokens.insert(address, tokens);
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

/// Creates the token's mint, with a supply that is not in any account yet.
fn set_mint(world: &mut World, token: &Token, supply: u64, is_freezable: bool) {
    let authority = world.payer.pubkey();
    let freeze_authority = is_freezable.then_some(&authority);
    world::set_mint(&mut world.svm, &token.mint, &authority, freeze_authority);
    let mut account = world.svm.get_account(&token.mint).expect("a mint");
    account.data[36..44].copy_from_slice(&supply.to_le_bytes());
    account.owner = token.program.id();
    world.svm.set_account(token.mint, account).expect("a mint");
}
