//! `bench compute`, `bench rent`: compute units and rent of the program, measured in the virtual machine.

use std::collections::BTreeMap;

use driftshield_sdk::{
    Collateral, Config, Exposure, Market, Model, Policy, Position, Receipt, Seat, Vault,
    WithdrawRequest,
};
use driftshield_tests::bench;

/// Sets of random keys over which the cost of finding bumps is averaged.
const KEYS: usize = 100;

fn main() {
    match std::env::args().nth(1).as_deref() {
        Some("compute") => compute(),
        Some("rent") => rent(),
        _ => {
            eprintln!("usage: bench compute | rent");
            std::process::exit(2);
        }
    }
}

/// Prints a line per instruction: its mean and its maximum compute units over all sets of keys.
fn compute() {
    let mut runs: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for keys in 0..KEYS {
        eprint!("\r{}/{KEYS}", keys + 1);
        for (name, units) in bench::compute(&format!("bench {keys}")) {
            runs.entry(name).or_default().push(units);
        }
    }
    eprintln!();
    println!("instruction units dearest");
    for (name, units) in runs {
        let mean = units.iter().sum::<u64>() / units.len() as u64;
        println!("{name} {mean} {}", units.iter().max().expect("a run"));
    }
}

/// Prints a line per account type: its size with the discriminator, and the rent in lamports.
fn rent() {
    let svm = litesvm::LiteSVM::new();
    println!("account bytes lamports");
    let print = |name: &str, bytes: usize| {
        println!(
            "{name} {bytes} {}",
            svm.minimum_balance_for_rent_exemption(bytes)
        );
    };
    macro_rules! accounts {
        ($($name:ident),*) => {
            $(print(stringify!($name), 8 + size_of::<$name>());)*
        };
    }
    accounts!(
        Config,
        Collateral,
        Model,
        Seat,
        Receipt,
        Market,
        Position,
        Vault,
        Exposure,
        WithdrawRequest,
        Policy
    );
    print("token account", 165);
}
