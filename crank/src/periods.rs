//! Which windows and periods of a model are over at a given time.

use driftshield_sdk::Model;

/// Whether a period with this end is over at `now`. An end beyond the range of `i64` is never
/// reached.
pub fn has_ended<E>(end: Result<i64, E>, now: i64) -> bool {
    end.is_ok_and(|end| end <= now)
}

/// Number of windows that have ended at `now`.
pub fn ended_windows(model: &Model, now: i64) -> u64 {
    let windows = now
        .saturating_sub(model.genesis)
        .div_euclid(model.window_secs.max(1));
    u64::try_from(windows).unwrap_or(0)
}

/// First window whose submit period is not over at `now`. The window itself may not have ended.
pub fn first_open_window(model: &Model, now: i64) -> u64 {
    ended_windows(model, now.saturating_sub(model.submit_secs))
}
