//! Runs the operations that compile to calls of `scripts/sbf/builtins.c`, on operands from an
//! account, and writes the results next to the operands. Empty off chain.
//!
//! The only account holds an operation (u64), a buffer for the memory operations, then records of
//! `a`, `b` and the result, 16 bytes each.
#![cfg_attr(target_os = "solana", no_std)]

#[cfg(target_os = "solana")]
mod program {
    use core::mem::size_of;
    use core::ptr::{read_volatile, write_volatile};

    const BUFFER: usize = 2048;

    #[repr(C)]
    struct Header {
        operation: u64,
        buffer: [u8; BUFFER],
    }

    #[repr(C)]
    struct Record {
        a: [u64; 2],
        b: [u64; 2],
        result: [u64; 2],
    }

    unsafe extern "C" {
        fn memcpy(to: *mut u8, from: *const u8, n: usize) -> *mut u8;
        fn memmove(to: *mut u8, from: *const u8, n: usize) -> *mut u8;
        fn memset(to: *mut u8, byte: i32, n: usize) -> *mut u8;
        fn memcmp(a: *const u8, b: *const u8, n: usize) -> i32;
        fn bcmp(a: *const u8, b: *const u8, n: usize) -> i32;
    }

    fn join([low, high]: [u64; 2]) -> u128 {
        u128::from(high) << 64 | u128::from(low)
    }

    fn split(x: u128) -> [u64; 2] {
        [x as u64, (x >> 64) as u64]
    }

    /// Applies `operation` to each record's operands and writes its result.
    fn apply(records: &mut [Record], operation: impl Fn(u128, u128) -> u128) {
        for record in records {
            // SAFETY: the pointers come from references. The accesses are volatile so that their
            // cost is the same for every operation.
            unsafe {
                let a = join(read_volatile(&record.a));
                let b = join(read_volatile(&record.b));
                write_volatile(&mut record.result, split(operation(a, b)));
            }
        }
    }

    /// # Safety
    /// `input` must be the runtime's input for a program with one account of the layout above.
    #[unsafe(no_mangle)]
    pub unsafe extern "C" fn entrypoint(input: *mut u8) -> u64 {
        // SAFETY: the account's data follow their length, which follows the number of accounts (8),
        // flags (8), two addresses (32 each) and the lamports (8).
        let (header, records) = unsafe {
            let len = *input.add(88).cast::<u64>() as usize;
            let data = input.add(96);
            let count = (len - size_of::<Header>()) / size_of::<Record>();
            let records = data.add(size_of::<Header>()).cast::<Record>();
            (
                &mut *data.cast::<Header>(),
                core::slice::from_raw_parts_mut(records, count),
            )
        };
        match header.operation {
            0 => apply(records, |a, b| a.wrapping_mul(b)),
            1 => apply(records, |a, b| a / b),
            2 => apply(records, |a, b| a % b),
            3 => apply(records, |a, b| (a as i128 / b as i128) as u128),
            4 => apply(records, |a, b| (a as i128 % b as i128) as u128),
            5 => apply(records, |a, b| a << (b as u32 % 128)),
            6 => apply(records, |a, b| a >> (b as u32 % 128)),
            7 => apply(records, |a, b| (a as i128 >> (b as u32 % 128)) as u128),
            8 => apply(records, |a, b| a.checked_mul(b).unwrap_or(u128::MAX)),
            9 => apply(records, |a, b| {
                (a as i128).checked_mul(b as i128).unwrap_or(i128::MIN) as u128
            }),
            // 32-bit arithmetic, widened: SBPF's 32-bit instructions extend the sign.
            10 => apply(records, |a, b| {
                u128::from((a as u32).wrapping_add(b as u32)) << 64
                    | u128::from((a as u32).wrapping_mul(b as u32))
            }),
            11 => apply(records, |a, b| {
                u128::from((a as u32).wrapping_sub(b as u32)) << 64
                    | (a as i32).wrapping_add(b as i32) as u128
            }),
            12 => apply(records, |a, b| a ^ b), // baseline for the costs of the others
            // SAFETY: the test chooses operands within the buffer, and ranges that don't overlap
            // for `memcpy`.
            operation => unsafe {
                let base = header.buffer.as_mut_ptr();
                apply(records, |a, b| {
                    let [to, from] = split(a).map(|at| base.add(at as usize));
                    let [n, byte] = split(b);
                    let n = n as usize;
                    let returned = match operation {
                        16 => memcpy(to, from, n),
                        17 => memmove(to, from, n),
                        18 => memset(to, byte as i32, n),
                        19 => return memcmp(to, from, n) as i128 as u128,
                        20 => return bcmp(to, from, n) as i128 as u128,
                        // Zero bytes at a dangling address, as for an empty slice.
                        21 => memmove(1 as _, memcpy(1 as _, memset(1 as _, 0, n), n), n),
                        _ => base,
                    };
                    returned as u128 - base as u128 * u128::from(operation != 21)
                });
            },
        }
        0
    }

    #[panic_handler]
    fn panic(_: &core::panic::PanicInfo) -> ! {
        loop {}
    }
}
