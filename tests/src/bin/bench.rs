//! `bench compute`, `bench rent`: compute units and rent of the program, measured in the virtual machine.

use std::collections::BTreeMap;

use driftshield_sdk::{
    Collateral, Config, Exposure, Market, Model, PAGE_WINDOWS, Policy, Position, Receipt, Seat,
    Series, Vault, WithdrawRequest,
};
use driftshield_tests::bench;

/// Number of key sets. The cost of finding PDA bumps depends on the keys, so it is averaged over sets.
const KEY_SETS: usize = 100;

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

/// Prints a line per benchmark case: its mean and its maximum compute units over all key sets.
fn compute() {
    let mut runs: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for set in 0..KEY_SETS {
        eprint!("\r{}/{KEY_SETS}", set + 1);
        for (name, units) in bench::compute(&format!("bench {set}")) {
            runs.entry(name).or_default().push(units);
        }
    }
    eprintln!();
    println!("instruction mean_units max_units");
    for (name, units) in runs {
        let mean = units.iter().sum::<u64>() / units.len() as u64;
        println!("{name} {mean} {}", units.iter().max().expect("a run"));
    }
}

/// Prints a line for each account type of the program, and one for token accounts: the size in bytes,
/// discriminator included, and the rent-exempt balance in lamports. The last line is the share of a
/// window, beside its receipt while that is open, in a page that holds 256.
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
        Series,
        Market,
        Position,
        Vault,
        Exposure,
        WithdrawRequest,
        Policy
    );
    print("token account", 165);
    // A window's receipt is closed when it is settled. For the rest of its life, the window occupies
    // its share of a page.
    let page = 8 + size_of::<Series>();
    println!(
        "window {:.2} {}",
        page as f64 / PAGE_WINDOWS as f64,
        svm.minimum_balance_for_rent_exemption(page) / PAGE_WINDOWS
    );
}
