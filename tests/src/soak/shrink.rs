//! Finds a small part of a sequence that still goes wrong.

use super::{
    action::Action,
    run::{Driver, Violation},
};

/// Which actions of a sequence are left, and what goes wrong by them.
pub struct Shrunk {
    pub kept: Vec<usize>,
    pub violation: Violation,
    /// The steps, in words.
    pub story: String,
}

/// Removes chunks of `actions`, which end in a violation, as long as there is one.
pub fn shrink(start: &Driver, actions: &[Action], violation: Violation) -> Shrunk {
    let mut kept: Vec<usize> = (0..actions.len()).collect();
    let mut shrunk = Shrunk {
        story: String::new(),
        kept: kept.clone(),
        violation,
    };
    let mut chunk = kept.len().div_ceil(2).max(1);
    loop {
        let mut at = 0;
        while at < kept.len() {
            let mut fewer = kept.clone();
            fewer.drain(at..(at + chunk).min(kept.len()));
            if let Some(smaller) = goes_wrong(start, actions, &fewer) {
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
    if shrunk.story.is_empty() {
        shrunk = goes_wrong(start, actions, &kept).unwrap_or(shrunk);
    }
    shrunk
}

/// Runs the actions at `kept`; what goes wrong, if anything does.
pub fn goes_wrong(start: &Driver, actions: &[Action], kept: &[usize]) -> Option<Shrunk> {
    let mut driver = start.fork();
    driver.story.clear();
    for (done, &at) in kept.iter().enumerate() {
        if let Err(violation) = driver.act(&actions[at]) {
            return Some(Shrunk {
                kept: kept[..=done].to_vec(),
                violation,
                story: driver.tell(),
            });
        }
    }
    None
}
