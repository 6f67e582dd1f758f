//! Shrinks a sequence that causes a violation.

use super::{action::Action, driver::Driver, step::Violation};

/// A subsequence that causes a violation.
pub struct Shrunk {
    /// Indices of the subsequence's actions in the original sequence.
    pub kept: Vec<usize>,
    pub violation: Violation,
    pub transcript: String,
}

/// Shrinks `actions`, the last of which causes `violation`. Removes ever smaller chunks, as long as the
/// rest still causes some violation.
pub fn shrink(start: &Driver, actions: &[Action], violation: Violation) -> Shrunk {
    let mut kept: Vec<usize> = (0..actions.len()).collect();
    let mut shrunk = Shrunk {
        transcript: String::new(),
        kept: kept.clone(),
        violation,
    };
    let mut chunk = kept.len().div_ceil(2).max(1);
    loop {
        let mut at = 0;
        while at < kept.len() {
            let mut fewer = kept.clone();
            fewer.drain(at..(at + chunk).min(kept.len()));
            if let Some(smaller) = find_violation(start, actions, &fewer) {
                kept.clone_from(&smaller.kept);
                shrunk = smaller;
            } else {
                at += chunk;
            }
        }
        if chunk == 1 {
            break;
        }
        chunk = chunk.div_ceil(2);
    }
    if shrunk.transcript.is_empty() {
        // Nothing could be removed.
        shrunk = find_violation(start, actions, &kept).unwrap_or(shrunk);
    }
    shrunk
}

/// Runs the actions at the indices `kept` until one causes a violation; `None` if none does.
pub fn find_violation(start: &Driver, actions: &[Action], kept: &[usize]) -> Option<Shrunk> {
    let mut driver = start.fork();
    driver.log.clear();
    for (done, &at) in kept.iter().enumerate() {
        if let Err(violation) = driver.act(&actions[at]) {
            return Some(Shrunk {
                kept: kept[..=done].to_vec(),
                violation,
                transcript: driver.transcript(),
            });
        }
    }
    None
}
