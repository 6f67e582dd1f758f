//! `driftshield-feed` against the program's own types: every offset, and every refusal.

use std::mem::{offset_of, size_of};

use anchor_lang::{
    Discriminator,
    bytemuck::{self, NoUninit, Zeroable},
};
use driftshield_feed::{
    Account, Current, Error, Limits, Model, PAGE_WINDOWS, PROGRAM_ID, Page, Pin, Reading, Window,
    layout,
};
use driftshield_sdk::{Entry, ID, ModelStatus, Series};

type State = driftshield_sdk::Model;

const MODEL: [u8; 32] = [1; 32];
const OTHER: [u8; 32] = [2; 32];
const DAY: i64 = 24 * 60 * 60;
const GENESIS: i64 = 1_800_000_000;
/// End of the newest final window.
const LAST_END: i64 = GENESIS + 8 * DAY;
const LIMITS: Limits = Limits {
    max_age_secs: 1_000,
    min_security: 500,
};
const PIN: Pin = Pin {
    model: MODEL,
    version: 3,
};

/// A model whose windows 0 to 7 are final.
fn state() -> State {
    let mut state = State::zeroed();
    (state.genesis, state.window_secs) = (GENESIS, DAY);
    (state.submit_secs, state.challenge_secs) = (20, 300);
    (state.noise_floor, state.security) = (7_000, 500);
    (state.final_count, state.last_window, state.last_value) = (8, 7, 10_007);
    (state.latest_window, state.latest) = (8, 20_008);
    (state.ewma, state.max_value) = (30_000, 40_000);
    state.version = 3;
    state
}

/// Bytes of an account.
fn data<T: Discriminator + NoUninit>(state: &T) -> Vec<u8> {
    [T::DISCRIMINATOR, bytemuck::bytes_of(state)].concat()
}

fn account<'a>(address: &'a [u8; 32], data: &'a [u8]) -> Account<'a> {
    Account {
        address,
        owner: &PROGRAM_ID,
        data,
    }
}

fn load(state: &State) -> Result<Model, Error> {
    Model::load(account(&MODEL, &data(state)), &PIN)
}

fn current(state: &State, now: i64) -> Result<Current, Error> {
    load(state).unwrap().current(now, &LIMITS)
}

/// A page of a model.
fn page(model: [u8; 32], page: u64, entries: &[Entry]) -> Vec<u8> {
    let mut series = Series::zeroed();
    series.model = model.into();
    series.page = page;
    for (word, entry) in series.entries.iter_mut().zip(entries) {
        *word = entry.to_word();
    }
    data(&series)
}

#[test]
fn offsets_sizes_and_discriminators_are_those_of_the_program() {
    assert_eq!(PROGRAM_ID, ID.to_bytes());
    assert_eq!(layout::model::DISCRIMINATOR, State::DISCRIMINATOR);
    assert_eq!(layout::series::DISCRIMINATOR, Series::DISCRIMINATOR);
    assert_eq!(layout::model::SIZE, 8 + size_of::<State>());
    assert_eq!(layout::series::SIZE, 8 + size_of::<Series>());
    assert_eq!(PAGE_WINDOWS, driftshield_sdk::PAGE_WINDOWS);

    macro_rules! offsets {
        ($layout:ident, $state:ty: $($constant:ident $field:ident $type:ty),+ $(,)?) => {
            $(
                assert_eq!(
                    layout::$layout::$constant,
                    8 + offset_of!($state, $field),
                    stringify!($field)
                );
                let _: fn(&$state) -> &$type = |state| &state.$field;
            )+
        };
    }
    offsets!(model, State:
        GENESIS genesis i64,
        WINDOW_SECS window_secs i64,
        NOISE_FLOOR noise_floor u64,
        SUBMIT_SECS submit_secs i64,
        CHALLENGE_SECS challenge_secs i64,
        SECURITY security u64,
        FINAL_COUNT final_count u64,
        LAST_VALUE last_value u64,
        LAST_WINDOW last_window u64,
        LATEST latest u64,
        LATEST_WINDOW latest_window u64,
        MAX_VALUE max_value u64,
        EWMA ewma u64,
        VERSION version u32,
    );
    assert_eq!(layout::model::STATUS, 8 + offset_of!(State, status));
    offsets!(series, Series:
        MODEL model anchor_lang::Address,
        PAGE page u64,
        ENTRIES entries [u64; 256],
    );
}

#[test]
fn a_model_reads_as_the_program_wrote_it() {
    let state = state();
    let model = load(&state).unwrap();
    assert_eq!((*model.address(), model.version()), (MODEL, 3));
    assert_eq!((model.noise_floor(), model.security()), (7_000, 500));
    assert_eq!(model.window_secs(), DAY);
    assert_eq!(model.usual_age_secs(), DAY as u64 + 320);
    for window in [0, 7, 100_000] {
        let end = state.window_end(window).unwrap();
        assert_eq!(model.window_end(window), Ok(end));
    }
    for window in [u64::MAX, i64::MAX as u64, i64::MAX as u64 / DAY as u64] {
        assert_eq!(model.window_end(window), Err(Error::WindowOutOfRange));
    }

    let current = current(&state, LAST_END).unwrap();
    let reading = |window, ended_at, value| Reading {
        window,
        ended_at,
        value,
    };
    assert_eq!(current.last, reading(7, LAST_END, 10_007));
    assert_eq!(current.latest, reading(8, LAST_END + DAY, 20_008));
    assert_eq!((current.ewma, current.max), (30_000, 40_000));
    assert_eq!(current.final_count, 8);
}

#[test]
fn only_the_pinned_model_loads() {
    let state = state();
    let bytes = data(&state);
    assert!(load(&state).is_ok());

    // The same bytes under another program
    let foreign = Account {
        owner: &OTHER,
        ..account(&MODEL, &bytes)
    };
    assert_eq!(Model::load(foreign, &PIN), Err(Error::WrongOwner));
    assert_eq!(Model::load_any(foreign), Err(Error::WrongOwner));
    // A closed account
    let system = Account {
        address: &MODEL,
        owner: &[0; 32],
        data: &[],
    };
    assert_eq!(Model::load(system, &PIN), Err(Error::WrongOwner));
    // Another account of the program, and one that is being created
    for other in [page(MODEL, 0, &[]), vec![0; bytes.len()], vec![], vec![152]] {
        let result = Model::load(account(&MODEL, &other), &PIN);
        assert_eq!(result, Err(Error::NotAModel));
    }
    // Another size
    let longer = [&bytes[..], &[0]].concat();
    for other in [&bytes[..bytes.len() - 1], &bytes[..8], &longer] {
        let result = Model::load(account(&MODEL, other), &PIN);
        assert_eq!(result, Err(Error::WrongSize));
    }
    // Another model of the program
    let result = Model::load(account(&OTHER, &bytes), &PIN);
    assert_eq!(result, Err(Error::OtherModel));
    assert!(Model::load_any(account(&OTHER, &bytes)).is_ok());
    // Another version, earlier or later
    for version in [2, 4] {
        let pin = Pin { version, ..PIN };
        let result = Model::load(account(&MODEL, &bytes), &pin);
        assert_eq!(result, Err(Error::OtherVersion));
    }
}

#[test]
fn values_are_refused_beyond_each_limit() {
    let state = state();
    // Age
    assert!(current(&state, LAST_END + 1_000).is_ok());
    assert_eq!(current(&state, LAST_END + 1_001), Err(Error::Stale));
    assert_eq!(current(&state, i64::MAX), Err(Error::Stale));
    // Before the window's end
    assert_eq!(current(&state, LAST_END - 1), Err(Error::WrongClock));
    for now in [0, i64::MIN] {
        assert!(current(&state, now).is_err());
    }
    // Security
    let mut insecure = state;
    insecure.security = 499;
    assert_eq!(current(&insecure, LAST_END), Err(Error::Insecure));
    // Status
    let mut retired = state;
    retired.status = ModelStatus::Retired.into();
    assert!(load(&retired).unwrap().is_retired());
    assert_eq!(current(&retired, LAST_END), Err(Error::Retired));
    // No value in this version, although the fields of the window hold numbers
    let mut empty = state;
    empty.final_count = 0;
    assert_eq!(current(&empty, LAST_END), Err(Error::NoValue));
}

#[test]
fn a_range_of_windows_never_reaches_beyond_the_final_ones() {
    let mut state = state();
    let windows = |state: &State, count| current(state, LAST_END).unwrap().windows(count);
    assert_eq!(windows(&state, 1), Ok(7..=7));
    assert_eq!(windows(&state, 8), Ok(0..=7));
    assert_eq!(windows(&state, 9), Err(Error::TooFewWindows));
    assert_eq!(windows(&state, 0), Err(Error::TooFewWindows));
    state.final_count = 3;
    assert_eq!(windows(&state, 3), Ok(5..=7));
    assert_eq!(windows(&state, 4), Err(Error::TooFewWindows));
    // More final windows than there are windows: impossible, and refused.
    state.final_count = 100;
    assert_eq!(windows(&state, 9), Err(Error::TooFewWindows));
}

#[test]
fn every_entry_of_a_page_reads_as_the_program_wrote_it() {
    const LARGEST: u64 = (1 << 56) - 1;
    let kinds = [
        (Entry::None, Window::None),
        (Entry::Open, Window::Open),
        (Entry::Final(0), Window::Final(0)),
        (Entry::Final(123_456), Window::Final(123_456)),
        (Entry::Final(LARGEST), Window::Final(LARGEST)),
        (Entry::Void, Window::Void),
        (Entry::Thin, Window::Thin),
    ];
    let entries: Vec<Entry> = (0..256).map(|index| kinds[index % 7].0).collect();
    let bytes = page(MODEL, 3, &entries);
    let pages = [Page::load(account(&OTHER, &bytes)).unwrap()];
    let model = load(&state()).unwrap();
    for index in 0..256 {
        let window = model.window(&pages, 3 * 256 + index as u64);
        assert_eq!(window, Ok(kinds[index % 7].1));
    }
    for window in [3 * 256 - 1, 4 * 256, 0] {
        assert_eq!(model.window(&pages, window), Err(Error::MissingPage));
    }

    let mut unknown = bytes;
    unknown[layout::series::ENTRIES + 7] = 5;
    let pages = [Page::load(account(&OTHER, &unknown)).unwrap()];
    assert_eq!(model.window(&pages, 3 * 256), Err(Error::UnknownState));
}

#[test]
fn only_pages_of_the_model_are_read() {
    let model = load(&state()).unwrap();
    let own = page(MODEL, 1, &[Entry::Final(1)]);
    let others = page(OTHER, 1, &[Entry::Final(2)]);
    let next = page(MODEL, 2, &[Entry::Final(3)]);
    let load = |data| Page::load(account(&OTHER, data)).unwrap();
    let (own, others, next) = (load(&own), load(&others), load(&next));

    assert_eq!(model.window(&[others], 256), Err(Error::MissingPage));
    assert_eq!(model.window(&[], 256), Err(Error::MissingPage));
    for pages in [[others, next, own], [own, next, others]] {
        assert_eq!(model.window(&pages, 256), Ok(Window::Final(1)));
        assert_eq!(model.window(&pages, 512), Ok(Window::Final(3)));
    }

    let bytes = page(MODEL, 1, &[]);
    let foreign = Account {
        owner: &OTHER,
        ..account(&OTHER, &bytes)
    };
    assert_eq!(Page::load(foreign).err(), Some(Error::WrongOwner));
    let error = |data: &[u8]| Page::load(account(&OTHER, data)).err();
    assert_eq!(error(&data(&state())), Some(Error::NotAPage));
    assert_eq!(error(&bytes[..bytes.len() - 1]), Some(Error::WrongSize));
    assert_eq!(Page::index_of(255), 0);
    assert_eq!(Page::index_of(256), 1);
}

#[test]
fn errors_have_numbers_that_never_change_and_say_what_to_do() {
    let errors = [
        Error::WrongOwner,
        Error::NotAModel,
        Error::NotAPage,
        Error::WrongSize,
        Error::OtherModel,
        Error::OtherVersion,
        Error::Retired,
        Error::NoValue,
        Error::Stale,
        Error::WrongClock,
        Error::Insecure,
        Error::TooFewWindows,
        Error::MissingPage,
        Error::UnknownState,
        Error::WindowOutOfRange,
    ];
    for (number, error) in errors.into_iter().enumerate() {
        assert_eq!(error as usize, number);
        assert!(error.to_string().contains("; "), "{error}");
    }
}
