//! The compiler builtins that programs are linked with (`scripts/sbf/builtins.c`), run in the virtual
//! machine and compared with the host's arithmetic and memory operations.

use anchor_lang::solana_program::instruction::{AccountMeta, Instruction};
use litesvm::LiteSVM;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use solana_keypair::Keypair;
use solana_message::{Address, Message, VersionedMessage};
use solana_signer::Signer;
use solana_transaction::versioned::VersionedTransaction;

/// Pairs of operands for each arithmetic operation.
const PAIRS: usize = 20_480;
/// Pairs in one transaction.
const BATCH: usize = 256;
/// Bytes of the buffer that memory operations use.
const BUFFER: usize = 2048;
/// Bytes of one record in the probe's account: two operands and the result.
const RECORD: usize = 48;

/// An operation of the probe (`tests/programs/builtins`): its number, name and expected result.
type Operation = (u64, &'static str, fn(u128, u128) -> u128);

const ARITHMETIC: [Operation; 12] = [
    (0, "mul", |a, b| a.wrapping_mul(b)),
    (1, "udiv", |a, b| a / b),
    (2, "urem", |a, b| a % b),
    (3, "sdiv", |a, b| (a as i128 / b as i128) as u128),
    (4, "srem", |a, b| (a as i128 % b as i128) as u128),
    (5, "shl", |a, b| a << (b as u32 % 128)),
    (6, "shr", |a, b| a >> (b as u32 % 128)),
    (7, "sar", |a, b| (a as i128 >> (b as u32 % 128)) as u128),
    (8, "checked umul", |a, b| a.saturating_mul(b)),
    (9, "checked smul", |a, b| {
        (a as i128).checked_mul(b as i128).unwrap_or(i128::MIN) as u128
    }),
    (10, "widened u32 add, mul", |a, b| {
        let (a, b) = (a as u32, b as u32);
        (u128::from(a.wrapping_add(b)) << 64) | u128::from(a.wrapping_mul(b))
    }),
    (11, "widened u32 sub, i32 add", |a, b| {
        let difference = u128::from((a as u32).wrapping_sub(b as u32));
        (difference << 64) | (a as i32).wrapping_add(b as i32) as u128
    }),
];

const UDIV: u64 = 1;
const XOR: u64 = 12;
const MEMCPY: u64 = 16;
const MEMMOVE: u64 = 17;
const MEMSET: u64 = 18;
const MEMCMP: u64 = 19;
const BCMP: u64 = 20;
const EMPTY: u64 = 21;

/// Results and cost of one transaction.
struct Output {
    results: Vec<u128>,
    compute_units: u64,
}

struct Probe {
    svm: LiteSVM,
    payer: Keypair,
    program: Address,
    account: Address,
}

impl Probe {
    fn new() -> Self {
        let deploy = match std::env::var("CARGO_TARGET_DIR") {
            Ok(target) => format!("{target}/deploy"),
            Err(_) => concat!(env!("CARGO_MANIFEST_DIR"), "/../target/deploy").to_owned(),
        };
        let path = format!("{deploy}/builtins_probe.so");
        let mut svm = LiteSVM::new()
            .with_sigverify(false)
            .with_transaction_history(0);
        let program = Address::new_unique();
        svm.add_program_from_file(program, &path)
            .unwrap_or_else(|error| {
                panic!("{path}: {error}: run `scripts/build-program tests/programs/builtins`")
            });
        let payer = Keypair::new();
        let account = Address::new_unique();
        for address in [payer.pubkey(), account] {
            svm.airdrop(&address, 10_000_000_000).unwrap();
        }
        Self {
            svm,
            payer,
            program,
            account,
        }
    }

    /// Runs an operation on each pair in turn, and updates `buffer` to its content afterwards.
    fn run(&mut self, operation: u64, buffer: &mut [u8], pairs: &[(u128, u128)]) -> Output {
        let mut account = self.svm.get_account(&self.account).unwrap();
        account.owner = self.program;
        account.data = operation.to_le_bytes().to_vec();
        account.data.extend_from_slice(buffer);
        for (a, b) in pairs {
            account.data.extend(a.to_le_bytes());
            account.data.extend(b.to_le_bytes());
            account.data.extend([0; 16]);
        }
        self.svm.set_account(self.account, account).unwrap();

        let instruction = Instruction {
            program_id: self.program,
            accounts: vec![AccountMeta::new(self.account, false)],
            data: vec![],
        };
        let message = Message::new_with_blockhash(
            &[instruction],
            Some(&self.payer.pubkey()),
            &self.svm.latest_blockhash(),
        );
        let message = VersionedMessage::Legacy(message);
        let transaction = VersionedTransaction::try_new(message, &[&self.payer]).unwrap();
        let sent = self.svm.send_transaction(transaction).unwrap();

        let account = self.svm.get_account(&self.account).unwrap();
        let (left, records) = account.data[8..].split_at(BUFFER);
        buffer.copy_from_slice(left);
        Output {
            results: records
                .chunks(RECORD)
                .map(|record| u128::from_le_bytes(record[32..].try_into().unwrap()))
                .collect(),
            compute_units: sent.compute_units_consumed,
        }
    }
}

/// A random number of 0 to 128 bits, often near values at which carries and quotient estimates can go
/// wrong.
fn operand(rng: &mut StdRng) -> u128 {
    let near = |rng: &mut StdRng, x: u128| x.wrapping_add(rng.random_range(0..5)).wrapping_sub(2);
    let bit = 1u128 << rng.random_range(0..128);
    match rng.random_range(0..8) {
        0 => near(rng, bit),
        1 => near(rng, bit.wrapping_neg()),
        2 => {
            let power = [0, 31, 32, 63, 64, 95, 96, 127][rng.random_range(0..8)];
            near(rng, 1 << power)
        }
        // Extreme values in each 32-bit digit.
        3 => (0..4).fold(0, |x, _| {
            let digit = [0, 1, 0x7fff_ffff, 0x8000_0000, 0xffff_fffe, 0xffff_ffff];
            (x << 32) | digit[rng.random_range(0..6)]
        }),
        4 => rng.random::<u128>() | (1 << 127),
        _ => rng.random::<u128>() >> rng.random_range(0..128),
    }
}

/// Pairs of operands that can be divided without a panic, signed and unsigned.
fn pairs(rng: &mut StdRng) -> Vec<(u128, u128)> {
    let edges = [0, 1, 2, 1 << 63, 1 << 64, 1 << 127, u128::MAX];
    let edges = edges.into_iter().flat_map(|a| edges.map(|b| (a, b)));
    let random = std::iter::repeat_with(|| {
        let (a, b) = (operand(rng), operand(rng));
        match rng.random_range(0..3) {
            // Near exact multiples.
            0 => (a.wrapping_mul(b).wrapping_sub(rng.random_range(0..2)), b),
            _ => (a, b),
        }
    });
    edges
        .chain(random)
        .filter(|&(a, b)| b != 0 && (a as i128).checked_div(b as i128).is_some())
        .take(PAIRS)
        .collect()
}

#[test]
fn arithmetic_matches_the_host() {
    let mut probe = Probe::new();
    let mut rng = StdRng::seed_from_u64(1);
    let pairs = pairs(&mut rng);
    for (operation, name, expected) in ARITHMETIC {
        for batch in pairs.chunks(BATCH) {
            let output = probe.run(operation, &mut [0; BUFFER], batch);
            for (&(a, b), result) in batch.iter().zip(output.results) {
                assert_eq!(result, expected(a, b), "{name} of {a:#x} and {b:#x}");
            }
        }
    }
}

/// The compute units of a division depend on its operands: each pair of lengths has a limit.
#[test]
fn division_stays_within_its_compute_limits() {
    const COPIES: usize = 8;
    let mut probe = Probe::new();
    let mut rng = StdRng::seed_from_u64(2);
    let shapes = [
        (64, 64, 20),
        (128, 32, 50),
        (128, 64, 150),
        (128, 96, 300),
        (128, 128, 200),
    ];
    for (numerator, denominator, limit) in shapes {
        let mut of_length = |bits| (rng.random::<u128>() | (1 << 127)) >> (128 - bits);
        let mut costs = Vec::new();
        for _ in 0..200 {
            let pairs = [(of_length(numerator), of_length(denominator)); COPIES];
            let [cost, baseline] = [UDIV, XOR]
                .map(|operation| probe.run(operation, &mut [0; BUFFER], &pairs).compute_units);
            costs.push((cost - baseline) / COPIES as u64);
        }
        let mean = costs.iter().sum::<u64>() / costs.len() as u64;
        let worst = *costs.iter().max().unwrap();
        println!("{numerator}/{denominator} bits: {mean} CU, at worst {worst}");
        assert!(worst <= limit, "{numerator}/{denominator} bits: {worst} CU");
    }
}

/// Operands of a memory operation.
fn memory(to: usize, from: usize, len: usize, byte: u8) -> (u128, u128) {
    let pair = |low: usize, high: usize| (high as u128) << 64 | low as u128;
    (pair(to, from), pair(len, byte.into()))
}

#[test]
fn memory_operations_match_the_host() {
    const HALF: usize = BUFFER / 2;
    let mut probe = Probe::new();
    let mut rng = StdRng::seed_from_u64(3);
    for round in 0..100 {
        let operation = [MEMCPY, MEMMOVE, MEMSET, MEMCMP, BCMP][round % 5];
        // Two halves that differ in one bit, which comparisons have to find.
        let mut buffer = [0; BUFFER];
        rng.fill(&mut buffer[..]);
        buffer.copy_within(..HALF, HALF);
        buffer[rng.random_range(0..BUFFER)] ^= 1 << rng.random_range(0..8);

        let mut pairs = Vec::new();
        let mut expected = Vec::new();
        let mut host = buffer;
        for _ in 0..BATCH {
            let len = rng.random_range(0..=300);
            let to = rng.random_range(0..=HALF - len);
            let from = match operation {
                // Source and destination may be the same, but not overlap otherwise.
                MEMCPY if rng.random() => to,
                // Most ranges overlap, in either direction.
                MEMMOVE => rng.random_range(to.saturating_sub(300)..=to + 300),
                _ => to + HALF,
            };
            let byte = rng.random();
            pairs.push(memory(to, from, len, byte));
            let (a, b) = (to..to + len, from..from + len);
            match operation {
                MEMSET => host[a].fill(byte),
                MEMCMP => {
                    expected.push(host[a].cmp(&host[b]) as i128);
                    continue;
                }
                BCMP => {
                    expected.push((host[a] != host[b]).into());
                    continue;
                }
                _ => host.copy_within(b, to),
            }
            expected.push(to as i128); // these return the destination
        }

        let output = probe.run(operation, &mut buffer, &pairs);
        for ((result, expected), pair) in output.results.into_iter().zip(expected).zip(&pairs) {
            let result = match operation {
                MEMCMP => (result as i128).signum(),
                BCMP => (result != 0).into(),
                _ => result as i128,
            };
            assert_eq!(result, expected, "operation {operation} of {pair:x?}");
        }
        assert!(buffer == host, "operation {operation}");
    }
}

#[test]
fn empty_ranges_may_be_at_any_address() {
    let output = Probe::new().run(EMPTY, &mut [0; BUFFER], &[memory(0, 0, 0, 0)]);
    assert_eq!(output.results, [1]);
}
